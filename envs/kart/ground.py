"""The ground map: for every cell the offset from the centreline and the place along it, and what lies there.

The renderer does not look up colours but these two smooth fields; edges, kerbs and lines are then drawn at any
resolution without steps, like letters from a signed distance font.
"""

import math

import numpy as np
from numba import njit

from envs.kart.columns import (
    ASPHALT,
    BEND,
    CELL,
    EDGE,
    FAR,
    GRASS,
    GRID,
    KERB,
    KERB_L,
    KERB_R,
    PAD_END,
    PAD_LEFT,
    PAD_RIGHT,
    PAD_START,
    SPECIAL,
    TX,
    TY,
    X,
    Y,
)

REACH = 14.0  # cells farther from the centreline than this are plain ground, m
LINE_BAND = 0.45  # the road's edge line lies within this distance of the edge, m
KERB_WIDTH = 0.9  # widest kerb, m
START_WIDTH = 1.6  # depth of the chequered start line, m


@njit(cache=True)
def locate(x, y, index, line, n, step):
    """Project a point on the centreline, searching from point `index` to both sides.

    Returns (index, arc length, offset to the right). The arc is a parabola through the nearest point.
    """
    best = (x - line[index, X]) ** 2 + (y - line[index, Y]) ** 2
    for direction in (-1, 1):
        while True:
            k = (index + direction) % n
            distance = (x - line[k, X]) ** 2 + (y - line[k, Y]) ** 2
            if distance >= best:
                break
            index, best = k, distance
    dx, dy = x - line[index, X], y - line[index, Y]
    forward = dx * line[index, TX] + dy * line[index, TY]
    right = -dx * line[index, TY] + dy * line[index, TX]
    shrink = max(1.0 - line[index, BEND] * right, 0.2)  # a step on the inside is shorter than on the centreline
    forward = min(max(forward / shrink, -0.6 * step), 0.6 * step)
    right -= 0.5 * line[index, BEND] * forward * forward
    return index, (index * step + forward) % (n * step), right


@njit(cache=True)
def ground_map(line, n, step, half, pads, pad_count):
    """Fields [GRID, GRID, 2] float32 (offset, arc length) at cell corners and flags [GRID, GRID] uint8 of cells."""
    nearest = np.full((GRID, GRID), -1, np.int32)
    best = np.full((GRID, GRID), REACH * REACH, np.float32)
    reach = int(REACH / CELL)
    for i in range(n):
        cx, cy = int(line[i, X] / CELL), int(line[i, Y] / CELL)
        for gy in range(max(0, cy - reach), min(GRID, cy + reach + 1)):
            dy = gy * CELL - line[i, Y]
            for gx in range(max(0, cx - reach), min(GRID, cx + reach + 1)):
                dx = gx * CELL - line[i, X]
                d = np.float32(dx * dx + dy * dy)
                if d < best[gy, gx]:
                    best[gy, gx] = d
                    nearest[gy, gx] = i
    field = np.full((GRID, GRID, 2), np.float32(FAR))
    for gy in range(GRID):
        for gx in range(GRID):
            if nearest[gy, gx] >= 0:
                _, along, right = locate(gx * CELL, gy * CELL, nearest[gy, gx], line, n, step)
                field[gy, gx, 0] = right
                field[gy, gx, 1] = along
    return field, flag_cells(field, line, n, step, half, pads, pad_count)


@njit(cache=True)
def flag_cells(field, line, n, step, half, pads, pad_count):
    """What may lie in each cell: one of the flags of columns.py, uint8 [GRID, GRID]."""
    flags = np.full((GRID, GRID), GRASS, np.uint8)
    for gy in range(GRID - 1):
        for gx in range(GRID - 1):
            low, high, first, last = FAR, 0.0, 1e9, -1e9
            left, right = FAR, -FAR
            for dy in range(2):
                for dx in range(2):
                    offset, along = field[gy + dy, gx + dx, 0], field[gy + dy, gx + dx, 1]
                    low, high = min(low, abs(offset)), max(high, abs(offset))
                    left, right = min(left, offset), max(right, offset)
                    first, last = min(first, along), max(last, along)
            if low > half + KERB_WIDTH + 0.3:
                continue
            special = last - first > 4.0 or first < START_WIDTH + 0.5  # at the start line, or on both sides of the seam
            for k in range(pad_count):
                along_pad = last > pads[k, PAD_START] - 0.5 and first < pads[k, PAD_END] + 0.5
                special |= along_pad and right > pads[k, PAD_LEFT] - 0.3 and left < pads[k, PAD_RIGHT] + 0.3
            kerbs = False
            if high > half - 0.3:
                for i in range(int(first / step) - 2, int(last / step) + 4):
                    kerb = line[i % n, KERB_R if right > half - 0.3 else KERB_L]
                    kerbs |= kerb > 0.02
            if special:
                flags[gy, gx] = SPECIAL
            elif kerbs:
                flags[gy, gx] = KERB
            elif high > half - LINE_BAND:
                flags[gy, gx] = GRASS if low > half + 0.3 else EDGE
            else:
                flags[gy, gx] = ASPHALT
    return flags


@njit(cache=True)
def sample(field, x, y, length):
    """Bilinear (offset, arc length) at a world point of a flat map [GRID * GRID, 2].

    The arc length jumps at the start line; the four corners are brought to the same side of that seam.
    """
    gx = min(max(x / CELL, 0.0), GRID - 1.001)
    gy = min(max(y / CELL, 0.0), GRID - 1.001)
    ix, iy = int(gx), int(gy)
    fx, fy = gx - ix, gy - iy
    cell = iy * GRID + ix
    a, b, c, d = field[cell], field[cell + 1], field[cell + GRID], field[cell + GRID + 1]
    if max(abs(a[0]), abs(b[0]), abs(c[0]), abs(d[0])) >= FAR:
        return FAR, 0.0
    s0 = a[1]
    s1 = b[1] - length * math.floor((b[1] - s0) / length + 0.5)
    s2 = c[1] - length * math.floor((c[1] - s0) / length + 0.5)
    s3 = d[1] - length * math.floor((d[1] - s0) / length + 0.5)
    offset = (1 - fy) * ((1 - fx) * a[0] + fx * b[0]) + fy * ((1 - fx) * c[0] + fx * d[0])
    along = (1 - fy) * ((1 - fx) * s0 + fx * s1) + fy * ((1 - fx) * s2 + fx * s3)
    return offset, along % length
