"""The tracks and looks of N environments as padded arrays, one slot per environment, for the kernels."""

from typing import NamedTuple

import numpy as np

from envs.kart import columns as c
from envs.kart.looks import AZIMUTHS, COLOURS, WEATHER, KartLook
from envs.kart.track import Track

WALL_BLOCK = 2  # centreline points from post to post; the wall changes colour at each


class Scene(NamedTuple):
    """Tracks of N environments; see `columns.py`."""

    line: np.ndarray  # float64 [N, MAX_POINTS, LINE_COLUMNS]
    count: np.ndarray  # int64 [N], points
    step: np.ndarray  # float64 [N], m between points
    half: np.ndarray  # float64 [N], half the road's width, m
    pads: np.ndarray  # float64 [N, MAX_PADS, PAD_COLUMNS]
    pad_count: np.ndarray  # int64 [N]
    items: np.ndarray  # float64 [N, MAX_ITEMS, ITEM_COLUMNS]
    item_count: np.ndarray  # int64 [N]
    cone_count: np.ndarray  # int64 [N], the first of the items
    cells: np.ndarray  # int16 [N, GRID * GRID]
    details: np.ndarray  # float32 [N, MAX_DETAILS, DETAIL_COLUMNS]
    special_count: np.ndarray  # int64 [N], details that may show the start line or a pad, the first ones
    posts: np.ndarray  # float32 [N, MAX_POINTS, 2, 2], places of the wall's posts, left and right
    post_count: np.ndarray  # int64 [N], per side


class Paint(NamedTuple):
    """Looks of N environments; see `looks.py`."""

    colours: np.ndarray  # float32 [N, COLOURS, 3]
    weather: np.ndarray  # float32 [N, WEATHER]
    hills: np.ndarray  # float32 [N, 2, AZIMUTHS]
    scenery: np.ndarray  # int64 [N, ITEM_KINDS]


def new_scene(num: int) -> Scene:
    """Empty slots for `num` tracks."""
    return Scene(
        np.zeros((num, c.MAX_POINTS, c.LINE_COLUMNS)),
        np.ones(num, np.int64),
        np.ones(num),
        np.ones(num),
        np.zeros((num, c.MAX_PADS, c.PAD_COLUMNS)),
        np.zeros(num, np.int64),
        np.zeros((num, c.MAX_ITEMS, c.ITEM_COLUMNS)),
        np.zeros(num, np.int64),
        np.zeros(num, np.int64),
        np.zeros((num, c.GRID * c.GRID), np.int16),
        np.zeros((num, c.MAX_DETAILS, c.DETAIL_COLUMNS), np.float32),
        np.zeros(num, np.int64),
        np.zeros((num, c.MAX_POINTS, 2, 2), np.float32),
        np.zeros(num, np.int64),
    )


def new_paint(num: int) -> Paint:
    """Empty slots for `num` looks."""
    return Paint(
        np.zeros((num, COLOURS, 3), np.float32),
        np.zeros((num, WEATHER), np.float32),
        np.zeros((num, 2, AZIMUTHS), np.float32),
        np.zeros((num, c.ITEM_KINDS), np.int64),
    )


def put_track(scene: Scene, i: int, track: Track) -> None:
    """Copy a track into slot i."""
    n, pads, items = len(track.line), len(track.pads), len(track.items)
    scene.line[i, :n], scene.pads[i, :pads], scene.items[i, :items] = track.line, track.pads, track.items
    scene.count[i], scene.pad_count[i], scene.item_count[i], scene.cone_count[i] = n, pads, items, track.cones
    scene.step[i], scene.half[i] = track.length / n, track.half
    scene.cells[i], scene.details[i, : len(track.details)] = track.cells, track.details
    scene.special_count[i] = track.specials
    put_posts(scene, i)


def put_posts(scene: Scene, i: int) -> None:
    """Set up the posts of slot i along the walls of its line: at every WALL_BLOCK-th point."""
    line = scene.line[i, : scene.count[i] : WALL_BLOCK]
    normal = np.stack([-line[:, c.TY], line[:, c.TX]], axis=1)
    middle = line[:, [c.X, c.Y]]
    scene.post_count[i] = len(line)
    scene.posts[i, : len(line), 0] = middle - line[:, c.WALL_L, None] * normal
    scene.posts[i, : len(line), 1] = middle + line[:, c.WALL_R, None] * normal


def put_look(paint: Paint, i: int, look: KartLook) -> None:
    """Copy a look into slot i."""
    paint.colours[i], paint.weather[i], paint.hills[i] = look.colours, look.weather, look.hills
    paint.scenery[i] = look.scenery
