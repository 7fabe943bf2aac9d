"""The ground map: which cells are plain grass or road, and for the others where road, kerb and lines run in them.

The renderer does not look up colours but offset and arc length, two smooth fields; edges, kerbs and lines are then
drawn at any resolution without steps, like letters from a signed distance font.
"""

import math

import numpy as np
from numba import njit

from envs.kart.columns import (
    ARC,
    ARC_X,
    ARC_Y,
    ASPHALT,
    BEND,
    CELL,
    DETAIL,
    DETAIL_COLUMNS,
    FAR,
    GRASS,
    GRID,
    KERB_L,
    KERB_R,
    KERB_RATE,
    KERB_WIDE,
    MAX_DETAILS,
    OFFSET,
    OFFSET_X,
    OFFSET_Y,
    PAD_END,
    PAD_LEFT,
    PAD_RIGHT,
    PAD_START,
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
def ground_field(line, n, step):
    """Offset and arc length at the corners of all cells, float32 [GRID, GRID, 2]; FAR beyond REACH."""
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
                _, along, right = locate(gx * CELL, gy * CELL, np.int64(nearest[gy, gx]), line, n, step)
                field[gy, gx, 0] = right
                field[gy, gx, 1] = along
    return field


@njit(cache=True)
def ground_map(field, line, n, step, half, pads, pad_count):
    """What lies in each cell, from the field of `ground_field`.

    Returns cells int16 [GRID * GRID] (GRASS, ASPHALT, or DETAIL + a row of details), details float32
    [d, DETAIL_COLUMNS], and how many of these, the first ones, may show the start line or a pad.
    """
    cells = np.full(GRID * GRID, GRASS, np.int16)
    details = np.zeros((MAX_DETAILS, DETAIL_COLUMNS), np.float32)
    offset, arc = np.empty(4), np.empty(4)
    count, specials = 0, 0
    for wanted in (True, False):
        for gy in range(GRID - 1):
            for gx in range(GRID - 1):
                low = min(abs(field[gy, gx, 0]), abs(field[gy + 1, gx + 1, 0]))
                if low > half + KERB_WIDTH + 1.3:  # also where nothing is near: the offset is FAR there
                    continue
                for k in range(4):
                    offset[k], arc[k] = field[gy + (k >> 1), gx + (k & 1), 0], field[gy + (k >> 1), gx + (k & 1), 1]
                special = settle(offset, arc, n * step, pads, pad_count)
                if special != wanted:
                    continue
                flag = content(offset, arc, line, n, step, half) if not special else DETAIL
                cell = gy * GRID + gx
                if flag < DETAIL:
                    cells[cell] = flag
                    continue
                if count == MAX_DETAILS:
                    raise ValueError("the road needs more detailed ground cells than there is room for")
                cells[cell] = DETAIL + count
                fit(details[count], offset, arc, line, n, step, half)
                count += 1
        specials = count if wanted else specials
    return cells, details[:count].copy(), specials


@njit(cache=True, inline="always")
def bounds(values):
    """Least and largest of a cell's four corners."""
    low = min(min(values[0], values[1]), min(values[2], values[3]))
    return low, max(max(values[0], values[1]), max(values[2], values[3]))


@njit(cache=True, inline="always")
def sizes(values):
    """Least and largest absolute value of a cell's four corners."""
    a, b, c, d = abs(values[0]), abs(values[1]), abs(values[2]), abs(values[3])
    return min(min(a, b), min(c, d)), max(max(a, b), max(c, d))


@njit(cache=True)
def settle(offset, arc, length, pads, pad_count):
    """Bring the arc lengths of a cell's corners to one side of the start line; True if that or a pad may show."""
    low, high = bounds(arc)
    # Near the start line all corners count from that line, those before it from below 0.
    near_start = high - low > 0.5 * length or low > length - 4.0
    for k in range(4):
        if near_start and arc[k] > 0.5 * length:
            arc[k] -= length
    first, last = bounds(arc)
    left, right = bounds(offset)
    special = -3.0 < first < START_WIDTH + 0.5
    for k in range(pad_count):
        along_pad = last > pads[k, PAD_START] - 0.5 and first < pads[k, PAD_END] + 0.5
        across_pad = right > pads[k, PAD_LEFT] - 0.3 and left < pads[k, PAD_RIGHT] + 0.3
        special |= along_pad and across_pad
    return special


@njit(cache=True)
def content(offset, arc, line, n, step, half):
    """GRASS, ASPHALT or DETAIL, by the offsets and arc lengths of a cell's corners."""
    low, high = sizes(offset)
    if high <= half - LINE_BAND:
        return ASPHALT
    if high > half - 0.3:
        column = KERB_R if bounds(offset)[1] > half - 0.3 else KERB_L
        first, last = bounds(arc)
        for i in range(int(math.floor(first / step)) - 1, int(last / step) + 3):
            if line[i % n, column] > 0.02:
                return DETAIL if low <= half + KERB_WIDTH + 0.3 else GRASS
    return GRASS if low > half + 0.3 else DETAIL


@njit(cache=True)
def fit(row, offset, arc, line, n, step, half):
    """Fill a row of details: offset, arc length and kerb as linear functions of the place in the cell."""
    for column, value in ((OFFSET, offset), (ARC, arc)):
        row[column + 1] = 0.5 * (value[1] - value[0] + value[3] - value[2])
        row[column + 2] = 0.5 * (value[2] - value[0] + value[3] - value[1])
        row[column] = value.mean() - 0.5 * (row[column + 1] + row[column + 2])
    column = KERB_R if bounds(offset)[1] > half - 0.3 else KERB_L
    begin = int(math.floor(arc[0] / step))
    kerb, ahead = line[begin % n, column], line[(begin + 1) % n, column]
    row[KERB_RATE] = (ahead - kerb) / step
    row[KERB_WIDE] = kerb - row[KERB_RATE] * begin * step


@njit(cache=True, nogil=True)
def ground_at(x, y, cells, details):
    """What lies at a world point: (GRASS, ASPHALT or DETAIL; offset; arc length), the last two only for DETAIL."""
    gx = min(max(x / CELL, 0.0), GRID - 1.001)
    gy = min(max(y / CELL, 0.0), GRID - 1.001)
    ix, iy = int(gx), int(gy)
    cell = int(cells[iy * GRID + ix])
    if cell < DETAIL:
        return cell, 0.0, 0.0
    row, fx, fy = details[cell - DETAIL], gx - ix, gy - iy
    offset = row[OFFSET] + fx * row[OFFSET_X] + fy * row[OFFSET_Y]
    return DETAIL, float(offset), float(row[ARC] + fx * row[ARC_X] + fy * row[ARC_Y])
