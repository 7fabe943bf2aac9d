"""How the renderer's kernels are compiled, and the scratch arrays that they share."""

from functools import partial
from typing import NamedTuple

import numpy as np
from numba import njit

from envs.kart.columns import MAX_ITEMS, MAX_POINTS
from envs.kart.looks import SHADES

# numba counts references to arrays with atomic operations, also for every row that is taken out of an array: a
# quarter of the renderer's time. Without counts (`_nrt`) a kernel may not create arrays; it gets them as `Scratch`.
drawn = partial(njit, cache=True, nogil=True, fastmath=True, error_model="numpy", _nrt=False)

SOLIDS = 6  # colours of the row palette after grass and road: edge, two of kerbs, two of pads, black
SKY_LEVELS = 256  # steps of the sky's gradient
CLOUD_LEVELS = 32  # steps between clear sky and cloud
BUCKETS = 280  # steps of depth in which solid things are sorted
PLACES = 2 * MAX_POINTS + MAX_ITEMS + 64  # posts of both walls, items, karts, pieces of the banner


class Scratch(NamedTuple):
    """Working memory for drawing one picture; nothing in it outlives that."""

    eye_of: np.ndarray  # float32 [10], see `render.backdrop`
    xs: np.ndarray  # int32 [W], like the next six
    ys: np.ndarray
    cell: np.ndarray
    texel: np.ndarray
    edges: np.ndarray
    ridge: np.ndarray
    cloudy: np.ndarray
    total: np.ndarray  # uint32 [W]
    mixed: np.ndarray  # uint32 [W]
    dip: np.ndarray  # float32 [W]
    work: np.ndarray  # float32 [3, W]
    palette: np.ndarray  # float32 [3, 2 * SHADES + SOLIDS]
    plain: np.ndarray  # uint32 [2 * SHADES]
    shades: np.ndarray  # uint32 [CLOUD_LEVELS]
    gradient: np.ndarray  # uint32 [SKY_LEVELS]
    head: np.ndarray  # int32 [BUCKETS]
    follow: np.ndarray  # int32 [PLACES]
    places: np.ndarray  # float64 [4, PLACES]
    tone: np.ndarray  # float64 [6]


@njit(cache=True, nogil=True)
def new_scratch(width):
    """Scratch for pictures of this width."""
    return Scratch(
        np.empty(10, np.float32),
        np.empty(width, np.int32),
        np.empty(width, np.int32),
        np.empty(width, np.int32),
        np.empty(width, np.int32),
        np.empty(width, np.int32),
        np.empty(width, np.int32),
        np.empty(width, np.int32),
        np.empty(width, np.uint32),
        np.empty(width, np.uint32),
        np.empty(width, np.float32),
        np.empty((3, width), np.float32),
        np.empty((3, 2 * SHADES + SOLIDS), np.float32),
        np.empty(2 * SHADES, np.uint32),
        np.empty(CLOUD_LEVELS, np.uint32),
        np.empty(SKY_LEVELS, np.uint32),
        np.empty(BUCKETS, np.int32),
        np.empty(PLACES, np.int32),
        np.empty((4, PLACES), np.float64),
        np.empty(6, np.float64),
    )
