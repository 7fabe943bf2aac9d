"""Tracks: closed courses from a seed or by name, with walls, kerbs, boost pads, cones, signs and scenery.

`make_track(number)` is a pure function of its number: seeds are those of `splits.py`, negative numbers are the
hand-made tracks of `splits.NAMES`.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from envs.kart import columns as c
from envs.kart.ground import KERB_WIDTH, ground_field, ground_map
from envs.kart.line import least_bending, pace
from envs.kart.physics import BRAKE_ACCEL, DRAG_QUADRATIC, ENGINE_ACCEL, ENGINE_POWER, MAX_GRIP, ROLLING
from envs.kart.shape import centreline, clearance, curvature, random_points
from envs.kart.splits import NAMES, SPLITS

SCENERY = (c.SCENERY_A, c.SCENERY_B, c.SCENERY_C)
GRID_LENGTH = 14.0  # the starting grid needs this much straight road behind the line, m
RACE_MARGIN = 1.1  # the racing line stays this far from the road's edge, m
ATTEMPTS = 200

# Control points in metres, driven in this order; the spline rounds them.
HAND_MADE = {
    "oval": ((0, 0), (28, 0), (56, 0), (84, 0), (104, 14), (104, 38), (84, 52), (56, 52), (28, 52), (0, 52), (-20, 38),
             (-20, 14)),
    "harbour": ((0, 0), (26, 0), (46, 3), (66, -3), (92, 0), (106, 18), (100, 42), (78, 46), (70, 62), (80, 80),
                (72, 98), (44, 100), (34, 82), (38, 56), (20, 38), (-2, 48), (-14, 74), (-34, 78), (-42, 56),
                (-36, 24), (-22, 2)),
    "serpent": ((0, 0), (36, 0), (72, 0), (98, 4), (100, 26), (76, 34), (44, 30), (22, 40), (28, 60), (56, 62),
                (86, 60), (102, 76), (88, 94), (52, 92), (16, 96), (-14, 84), (-24, 52), (-22, 16)),
    "dunes": ((0, 0), (40, -8), (82, 4), (112, 34), (104, 76), (68, 92), (36, 76), (4, 84), (-24, 66), (-30, 26)),
}  # fmt: skip


@dataclass(frozen=True)
class Track:
    """One closed course. Arrays have the columns of `columns.py`; world coordinates lie in [0, 192] m."""

    number: int
    name: str
    half: float  # half the width of the road without kerbs, m
    length: float  # length of the centreline, m
    line: np.ndarray  # float64 [n, LINE_COLUMNS]
    pads: np.ndarray  # float64 [p, PAD_COLUMNS]
    items: np.ndarray  # float64 [k, ITEM_COLUMNS], the cones first
    cones: int
    cells: np.ndarray  # int16 [GRID * GRID]
    details: np.ndarray  # float32 [d, DETAIL_COLUMNS]
    specials: int  # details that may show the start line or a pad, the first ones


@lru_cache(maxsize=64)
def make_track(number: int) -> Track:
    """Build a track; the last 64 are kept. Raises ValueError for a number outside every split."""
    if number < 0:
        if number < -len(NAMES):
            raise ValueError(f"track {number}: hand-made tracks are -1 to {-len(NAMES)}")
        name = NAMES[-1 - number]
        rng = np.random.default_rng([7, -number])
        return assemble(number, name, centreline(np.array(HAND_MADE[name], float)), 4.2, rng)
    if not any(number in seeds for seeds in SPLITS.values()):
        raise ValueError(f"track {number} is in no split; splits are {SPLITS}")
    rng = np.random.default_rng([11, number])
    for _ in range(ATTEMPTS):
        half = rng.uniform(3.4, 4.6)
        points = centreline(random_points(rng))
        track = None if points is None else assemble(number, f"track {number}", points, half, rng)
        if track is not None:
            return track
    raise RuntimeError(f"no track found for seed {number} in {ATTEMPTS} attempts")


def assemble(number: int, name: str, points: np.ndarray, half: float, rng: np.random.Generator) -> Track | None:
    """Add walls, kerbs, lines and objects to a centreline; None if parts of it come too close to each other."""
    n = len(points)
    points = np.roll(points, -start_index(curvature(points)), axis=0)
    tangent = np.roll(points, -1, axis=0) - np.roll(points, 1, axis=0)
    tangent /= np.hypot(*tangent.T)[:, None]
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    length = float(np.hypot(*(np.roll(points, -1, axis=0) - points).T).sum())
    if not 230.0 <= length <= c.MAX_POINTS - 2.0 or n > c.MAX_POINTS:
        return None
    step = length / n
    bend = smooth(curvature(points), 1)
    clear = 0.5 * clearance(points, normal, int(22.0 / step))
    if clear.min() < half + 1.8:
        return None
    line = np.zeros((n, c.LINE_COLUMNS))
    line[:, c.X], line[:, c.Y] = points.T
    line[:, c.TX], line[:, c.TY] = tangent.T
    line[:, c.BEND] = bend
    for side, column in ((0, c.WALL_L), (1, c.WALL_R)):
        inward = np.maximum(bend if side else -bend, 1e-3)
        limit = np.minimum(clear[:, side] - 0.3, 1.0 / inward - 1.2)
        wanted = half + 1.2 + 4.3 * noise(rng, n, 40.0 / step)
        line[:, column] = smooth(lowest(np.minimum(wanted, limit), 6), 6)
        if line[:, column].min() < half + 0.6:
            return None
    sharp = np.abs(bend) > 1.0 / 26.0
    for column in (c.KERB_L, c.KERB_R):
        room = line[:, c.WALL_R if column == c.KERB_R else c.WALL_L] - half - 0.2
        line[:, column] = np.minimum(smooth(-lowest(-sharp.astype(float), 3), 3) * KERB_WIDTH, room)
    line[:, c.RACE] = least_bending(points, normal, half - RACE_MARGIN)
    race = points + line[:, c.RACE, None] * normal
    line[:, c.PACE] = pace(race, MAX_GRIP, ENGINE_ACCEL, ENGINE_POWER, BRAKE_ACCEL, DRAG_QUADRATIC, ROLLING)
    pads = place_pads(line, step, half, rng)
    field = ground_field(line, n, step)
    cells, details, specials = ground_map(field, line, n, step, half, pads, len(pads))
    items = place_items(line, step, half, field, rng)
    cones = int((items[:, c.ITEM_KIND] == c.CONE).sum())
    return Track(number, name, half, length, line, pads, items, cones, cells, details, specials)


def start_index(bend: np.ndarray) -> int:
    """Point on the longest straight, GRID_LENGTH after its beginning."""
    n = len(bend)
    straight = np.abs(bend) < 1.0 / 60.0
    best, best_end, run = 0, 0, 0
    for i in range(2 * n):
        run = run + 1 if straight[i % n] else 0
        if best < run <= n:
            best, best_end = run, i
    return int(best_end - best + min(GRID_LENGTH, 0.6 * best)) % n


def smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Cyclic mean over `width` points to both sides."""
    return np.mean([np.roll(values, k) for k in range(-width, width + 1)], axis=0)


def lowest(values: np.ndarray, width: int) -> np.ndarray:
    """Cyclic minimum over `width` points to both sides."""
    return np.min([np.roll(values, k) for k in range(-width, width + 1)], axis=0)


def noise(rng: np.random.Generator, n: int, scale: float) -> np.ndarray:
    """Cyclic smooth noise in [0, 1], [n], that changes over about `scale` points."""
    knots = max(4, round(n / scale))
    values = rng.random(knots)
    return np.interp(np.arange(n) * knots / n, np.arange(knots + 1), np.append(values, values[0]))


def place_pads(line: np.ndarray, step: float, half: float, rng: np.random.Generator) -> np.ndarray:
    """Up to three boost pads on parts that stay straight for a while, at random places across the road."""
    calm = -lowest(-np.abs(line[:, c.BEND]), int(8.0 / step)) < 1.0 / 35.0
    calm[: int(12.0 / step)] = calm[-int(18.0 / step) :] = False
    chosen: list[list[float]] = []
    for i in rng.permutation(np.flatnonzero(calm))[: 3 * int(rng.integers(0, c.MAX_PADS))]:
        if len(chosen) < 3 and all(abs(i * step - pad[0]) > 40.0 for pad in chosen):
            middle = rng.uniform(-0.5, 0.5) * half
            chosen.append([i * step, i * step + 4.0, middle - 1.2, middle + 1.2])
    return np.array(chosen).reshape(-1, c.PAD_COLUMNS)


def place_items(line: np.ndarray, step: float, half: float, field: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cones and signs on the outside of sharp bends, scenery beyond the walls; at most MAX_ITEMS, cones first."""
    n = len(line)
    normal = np.stack([-line[:, c.TY], line[:, c.TX]], axis=1)
    items: list[list[float]] = []

    def put(i: int, offset: float, kind: int, size: float) -> None:
        spot = line[i, [c.X, c.Y]] + offset * normal[i]
        items.append([spot[0], spot[1], kind, size, i * step])

    sharp = np.abs(line[:, c.BEND]) > 1.0 / 16.0
    begins = np.flatnonzero(sharp & ~np.roll(sharp, 1))
    for begin in begins:
        right = line[begin, c.BEND] > 0.0
        for k in range(3):  # a row of arrows where the eye falls when the bend comes near
            i = int(begin + (2 + 5 * k) / step) % n
            wall = line[i, c.WALL_L] if right else line[i, c.WALL_R]
            put(i, -(wall + 0.4) if right else wall + 0.4, c.SIGN_RIGHT if right else c.SIGN_LEFT, 1.0)
        if rng.random() < 0.6:
            for k in range(int(rng.integers(2, 5))):
                i = int(begin + (-2 + 4 * k) / step) % n
                edge = half + 0.15 + 0.4 * rng.random()
                put(i, -edge if right else edge, c.CONE, 1.0)
    tries = 400
    at, kinds = rng.integers(n, size=tries), rng.choice(SCENERY, size=tries, p=[0.45, 0.3, 0.25])
    side = np.where(rng.random(tries) < 0.5, 1.0, -1.0)
    scale = rng.uniform(0.75, 1.3, tries)
    wall = np.where(side > 0.0, line[at, c.WALL_R], line[at, c.WALL_L])
    offset = side * (wall + rng.uniform(1.5, 16.0, tries))
    spots = line[at][:, [c.X, c.Y]] + offset[:, None] * normal[at]
    inside = ((spots > 2.0) & (spots < c.GRID * c.CELL - 2.0)).all(axis=1)
    cell = np.where(inside[:, None], spots / c.CELL, 0.0).astype(int)
    away, along = field[cell[:, 1], cell[:, 0]].T
    nearest = (along / step).astype(int) % n
    free = np.abs(away) > np.maximum(line[nearest, c.WALL_L], line[nearest, c.WALL_R]) + 2.0
    for k in np.flatnonzero(inside & free)[: c.MAX_ITEMS - len(items)]:
        put(int(at[k]), offset[k], kinds[k], scale[k])
    items = sorted(items[: c.MAX_ITEMS], key=lambda item: item[c.ITEM_KIND] != c.CONE)
    return np.array(items).reshape(-1, c.ITEM_COLUMNS)
