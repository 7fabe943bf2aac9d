"""Tracks of the kart game: splits, courses, walls, and the map of the ground."""

import numpy as np
import pytest

from envs.kart import columns as c
from envs.kart.ground import ground_at
from envs.kart.splits import NAMES, SPLITS, parse_tracks, split_of
from envs.kart.track import make_track


def test_seed_ranges_are_disjoint_and_every_track_has_one_split():
    ranges = list(SPLITS.values())
    for i, a in enumerate(ranges):
        for b in ranges[i + 1 :]:
            assert a.stop <= b.start or b.stop <= a.start
    assert [split_of(r.start) for r in ranges] == [split_of(r.stop - 1) for r in ranges] == list(SPLITS)
    assert parse_tracks("test:3") == tuple(SPLITS["test"][:3])
    assert parse_tracks("harbour, validation#7") == (-1 - NAMES.index("harbour"), SPLITS["validation"][7])


@pytest.mark.parametrize("text", ["", "tset", "test:0", "test:99999999", "train,test:2", "oval;dunes", "test#-1"])
def test_unknown_tracks_are_named(text):
    with pytest.raises(ValueError, match="tracks: .* is unknown; allowed are train, validation, test"):
        parse_tracks(text)


@pytest.mark.parametrize("number", [-1, -2, -3, -4, 0, 17, 1_000_003, 2_000_001])
def test_a_track_is_a_closed_road_between_walls(number):
    track = make_track(number)
    points = track.line[:, [c.X, c.Y]]
    steps = np.hypot(*(np.roll(points, -1, axis=0) - points).T)
    assert steps.sum() == pytest.approx(track.length)
    assert steps.max() < 1.02 * track.length / len(points)
    # Curvature by its definition: the turn of the direction of travel per metre.
    angle = np.unwrap(np.arctan2(track.line[:, c.TY], track.line[:, c.TX]))
    turn = np.diff(np.append(angle, angle[0] + 2 * np.pi * np.round((angle[-1] - angle[0]) / (2 * np.pi))))
    assert np.abs(turn / steps - 0.5 * (track.line[:, c.BEND] + np.roll(track.line[:, c.BEND], -1))).max() < 0.03
    assert abs(track.line[:, c.BEND].sum() * track.length / len(points)) == pytest.approx(2 * np.pi, rel=0.01)
    assert abs(abs(angle[-1] - angle[0]) - 2 * np.pi) < 0.3  # once around
    assert np.abs(track.line[:, c.BEND]).max() < 1 / 8.0
    for wall in (c.WALL_L, c.WALL_R):
        assert track.line[:, wall].min() > track.half + 0.5
    # A wall is never nearer to another part of the road than that road's edge.
    normal = np.stack([-track.line[:, c.TY], track.line[:, c.TX]], axis=1)
    for wall, side in ((c.WALL_L, -1), (c.WALL_R, 1)):
        posts = points + side * track.line[:, wall, None] * normal
        distance = np.hypot(*(posts[:, None] - points[None]).transpose(2, 0, 1))
        assert distance.min() > track.half + 0.3
    assert np.abs(track.line[:, c.RACE]).max() <= track.half
    assert (track.items[: track.cones, c.ITEM_KIND] == c.CONE).all()
    again = make_track.__wrapped__(number)
    assert all(
        np.array_equal(getattr(track, name), getattr(again, name))
        for name in ("line", "items", "pads", "cells", "details")
    )


def test_the_ground_map_gives_the_distance_to_the_centreline():
    track = make_track(3)
    points = track.line[:, [c.X, c.Y]]
    ends = np.roll(points, -1, axis=0)
    rng, checked = np.random.default_rng(0), 0
    for _ in range(300):
        i = rng.integers(len(points))
        spot = points[i] + rng.uniform(-1, 1, 2) * (track.half + 2.0)
        # Literally: the nearest point of the polygon.
        edge = ends - points
        u = np.clip(((spot - points) * edge).sum(1) / (edge**2).sum(1), 0, 1)
        away = spot - (points + u[:, None] * edge)
        k = np.hypot(*away.T).argmin()
        right = edge[k, 0] * away[k, 1] - edge[k, 1] * away[k, 0]
        expected = np.copysign(np.hypot(*away[k]), right)
        what, offset, along = ground_at(spot[0], spot[1], track.cells, track.details)
        if what == c.ASPHALT:  # such cells hold nothing but the middle of the road
            assert abs(expected) < track.half - 0.3
        elif what == c.GRASS:
            assert abs(expected) > track.half + 0.2
        else:
            checked += 1
            assert offset == pytest.approx(expected, abs=0.12)
            place = (k + u[k]) * track.length / len(points)
            assert abs((along - place + track.length / 2) % track.length - track.length / 2) < 0.5
    assert checked > 60
