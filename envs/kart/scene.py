"""The tracks and looks of N environments as padded arrays, one slot per environment, for the kernels."""

from typing import NamedTuple

import numpy as np

from envs.kart import columns as c
from envs.kart.looks import AZIMUTHS, COLOURS, WEATHER, Look
from envs.kart.track import Track


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
    flags: np.ndarray  # uint8 [N, GRID * GRID]
    rows: np.ndarray  # int16 [N, GRID * GRID]
    details: np.ndarray  # float32 [N, MAX_DETAILS, DETAIL_COLUMNS]


class Paint(NamedTuple):
    """Looks of N environments; see `looks.py`."""

    colours: np.ndarray  # float32 [N, COLOURS, 3]
    weather: np.ndarray  # float32 [N, WEATHER]
    hills: np.ndarray  # float32 [N, 2, AZIMUTHS]
    scenery: np.ndarray  # int64 [N, 6]


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
        np.zeros((num, c.GRID * c.GRID), np.uint8),
        np.zeros((num, c.GRID * c.GRID), np.int16),
        np.zeros((num, c.MAX_DETAILS, c.DETAIL_COLUMNS), np.float32),
    )


def new_paint(num: int) -> Paint:
    """Empty slots for `num` looks."""
    return Paint(
        np.zeros((num, COLOURS, 3), np.float32),
        np.zeros((num, WEATHER), np.float32),
        np.zeros((num, 2, AZIMUTHS), np.float32),
        np.zeros((num, 6), np.int64),
    )


def put_track(scene: Scene, i: int, track: Track) -> None:
    """Copy a track into slot i."""
    n, pads, items = len(track.line), len(track.pads), len(track.items)
    scene.line[i, :n], scene.pads[i, :pads], scene.items[i, :items] = track.line, track.pads, track.items
    scene.count[i], scene.pad_count[i], scene.item_count[i], scene.cone_count[i] = n, pads, items, track.cones
    scene.step[i], scene.half[i] = track.length / n, track.half
    scene.flags[i], scene.rows[i], scene.details[i, : len(track.details)] = track.flags, track.rows, track.details


def put_look(paint: Paint, i: int, look: Look) -> None:
    """Copy a look into slot i."""
    paint.colours[i], paint.weather[i], paint.hills[i] = look.colours, look.weather, look.hills
    paint.scenery[i] = look.scenery
