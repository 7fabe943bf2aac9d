"""Centrelines: a random outline of squares or hand-made points, a closed B-spline, equal steps, bounded curvature."""

import math

import numpy as np
from numba import njit

from envs.kart.columns import CELL, GRID

MIN_RADIUS = 8.5  # tightest bend of a centreline, m
STEP = 1.0  # wanted distance of centreline points, m


def random_cells(rng: np.random.Generator) -> set[tuple[int, int]]:
    """A connected set of 4 to 9 squares without holes and without squares that touch at a corner only."""
    wanted = int(rng.integers(4, 10))
    cells = {(0, 0)}
    for _ in range(200):
        if len(cells) == wanted:
            break
        edge = sorted({(x + dx, y + dy) for x, y in cells for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1))} - cells)
        new = edge[int(rng.integers(len(edge)))]
        trial = cells | {new}
        xs, ys = [c[0] for c in trial], [c[1] for c in trial]
        if max(xs) - min(xs) < 4 and max(ys) - min(ys) < 4 and outline(trial) is not None:
            cells = trial
    return cells


def outline(cells: set[tuple[int, int]]) -> list[tuple[int, int]] | None:
    """Corners of the boundary in order, clockwise on the screen; None if it is not one simple loop."""
    follow: dict[tuple[int, int], tuple[int, int]] = {}
    for x, y in cells:
        sides = (
            ((x, y - 1), (x, y), (x + 1, y)),
            ((x + 1, y), (x + 1, y), (x + 1, y + 1)),
            ((x, y + 1), (x + 1, y + 1), (x, y + 1)),
            ((x - 1, y), (x, y + 1), (x, y)),
        )
        for beyond, start, end in sides:
            if beyond not in cells:
                if start in follow:  # two squares touch at a corner
                    return None
                follow[start] = end
    loop = [min(follow)]
    while follow[loop[-1]] != loop[0]:
        loop.append(follow[loop[-1]])
    return loop if len(loop) == len(follow) else None


def random_points(rng: np.random.Generator) -> np.ndarray:
    """Control points [P, 2] of a random circuit, driven clockwise or anticlockwise with equal chance."""
    corners = np.array(outline(random_cells(rng)), float)
    size = rng.uniform(26.0, 33.0)
    middles = 0.5 * (corners + np.roll(corners, -1, axis=0))
    keep = rng.random(len(corners)) < 0.65  # a corner without its middles beside it becomes a wide sweep
    points = []
    for i, corner in enumerate(corners):
        points.append(corner + rng.uniform(-0.2, 0.2, 2))
        if keep[i]:
            points.append(middles[i] + rng.uniform(-0.2, 0.2, 2))
    points = np.array(points) * size
    angle = rng.uniform(0.0, 2.0 * math.pi)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    points = points @ turn
    return points[::-1].copy() if rng.random() < 0.5 else points


def spline(points: np.ndarray) -> np.ndarray:
    """Closed uniform cubic B-spline through the polygon's neighbourhood, [16 P, 2]."""
    u = (np.arange(16) / 16.0)[None, :, None]
    p0, p1, p2, p3 = (np.roll(points, 1 - k, axis=0)[:, None, :] for k in range(4))
    curve = (
        (1 - u) ** 3 * p0 + (3 * u**3 - 6 * u**2 + 4) * p1 + (-3 * u**3 + 3 * u**2 + 3 * u + 1) * p2 + u**3 * p3
    ) / 6.0
    return curve.reshape(-1, 2)


def resample(curve: np.ndarray) -> np.ndarray:
    """The closed curve at points of equal distance, about STEP apart, [n, 2]."""
    closed = np.concatenate([curve, curve[:1]])
    steps = np.hypot(*np.diff(closed, axis=0).T)
    arc = np.concatenate([[0.0], np.cumsum(steps)])
    n = max(8, round(arc[-1] / STEP))
    at = np.arange(n) * (arc[-1] / n)
    return np.stack([np.interp(at, arc, closed[:, k]) for k in range(2)], axis=1)


def curvature(points: np.ndarray) -> np.ndarray:
    """Signed curvature of a closed, evenly spaced line, 1/m, positive where it turns right, [n]."""
    ahead, behind = np.roll(points, -1, axis=0), np.roll(points, 1, axis=0)
    first, second = points - behind, ahead - points
    cross = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    dot = (first * second).sum(axis=1)
    mean_step = 0.5 * (np.hypot(*first.T) + np.hypot(*second.T))
    return np.arctan2(cross, dot) / mean_step


@njit(cache=True)
def relax(points, bound):
    """Smooth a closed line in place where it bends more than `bound`; True once it no longer does."""
    n = points.shape[0]
    near = np.zeros(n)
    for _ in range(40):
        near[:] = 0.0
        calm = True
        for i in range(n):
            ax = points[i, 0] - points[i - 1, 0]
            ay = points[i, 1] - points[i - 1, 1]
            bx = points[(i + 1) % n, 0] - points[i, 0]
            by = points[(i + 1) % n, 1] - points[i, 1]
            angle = math.atan2(ax * by - ay * bx, ax * bx + ay * by)
            if abs(angle) > bound * 0.5 * (math.hypot(ax, ay) + math.hypot(bx, by)):
                calm = False
                for k in range(-12, 13):  # weights that fade out, so that no new kink begins there
                    j = (i + k) % n
                    near[j] = max(near[j], 1.0 - abs(k) / 13.0)
        if calm:
            return True
        old = points.copy()
        for i in range(n):
            if near[i] > 0.0:
                for k in range(2):
                    mean = 0.0
                    for j in range(-5, 6):
                        mean += old[(i + j) % n, k] / 11.0
                    points[i, k] += near[i] * (mean - points[i, k])
    return False


@njit(cache=True)
def clearance(points, normals, apart):
    """Distance to the nearest other part of the line on the left and on the right, [n, 2], at most 60 m.

    Points closer than `apart` along the line are its own neighbourhood and do not count.
    """
    n = points.shape[0]
    out = np.full((n, 2), 60.0)
    for i in range(n):
        for j in range(n):
            gap = abs(i - j)
            if min(gap, n - gap) < apart:
                continue
            dx, dy = points[j, 0] - points[i, 0], points[j, 1] - points[i, 1]
            side = 1 if dx * normals[i, 0] + dy * normals[i, 1] > 0.0 else 0
            out[i, side] = min(out[i, side], math.sqrt(dx * dx + dy * dy))
    return out


def centreline(control: np.ndarray) -> np.ndarray | None:
    """Evenly spaced points [n, 2] inside the ground map from control points, or None if they do not fit."""
    line = resample(spline(control))
    if np.ptp(line, axis=0).max() > GRID * CELL - 28.0 or not relax(line, 1.0 / (MIN_RADIUS + 0.5)):
        return None
    line = resample(line)
    if np.abs(curvature(line)).max() > 1.0 / MIN_RADIUS:
        return None
    low, high = line.min(axis=0), line.max(axis=0)
    return line - 0.5 * (low + high) + 0.5 * GRID * CELL
