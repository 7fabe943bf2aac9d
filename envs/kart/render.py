"""The renderer's backdrop: ground plane per row (mode 7) and sky, straight into the picture.

Every pixel looks along its ray (`camera.Rays`); where the ray meets the ground, the map of `ground.py` gives the
offset from the centreline and the place along it, and edges, kerbs and lines are covered by the pixel's footprint,
so that they are smooth at any size. Colours fade into fog with the distance of the row.
"""

import math

import numpy as np

from envs.kart.camera import AHEAD, ASIDE, HEIGHT, LOOK, PITCH, ROLL, ZOOM
from envs.kart.columns import CELL, GRID, POS_X, POS_Y, YAW
from envs.kart.drawing import drawn
from envs.kart.looks import AMBIENT, SKY_TILE, SUN_HEIGHT, TEXEL, TILE
from envs.kart.sky import SUN_SIZE, level_sky_row, sky_columns, sky_gradient, sky_row, sun_row
from envs.kart.surface import F32, HEADLIGHTS, UNIT, ground_row, row_palette

FARTHEST = 250.0  # distance from which ground is part of the sky's lower edge, m
CELL_BITS, TEXEL_BITS = np.int32(math.log2(CELL * UNIT)), np.int32(math.log2(TEXEL * UNIT))  # both are powers of 2


@drawn()
def eye(kart, pose):
    """Place (x, y) and direction of the camera that a kart carries."""
    yaw = kart[YAW]
    x = kart[POS_X] + pose[AHEAD] * math.cos(yaw) - pose[ASIDE] * math.sin(yaw)
    y = kart[POS_Y] + pose[AHEAD] * math.sin(yaw) + pose[ASIDE] * math.cos(yaw)
    return x, y, yaw + pose[LOOK]


@drawn()
def dip_row(right, down, row, shift, eye_of, dip):
    """Slope downwards of the rays of one row; eye_of: float32 [10], see `backdrop`."""
    cos_p, sin_p, cos_r, sin_r, zoom = eye_of[0], eye_of[1], eye_of[2], eye_of[3], eye_of[6]
    for col in range(dip.shape[0]):
        dip[col] = (zoom * right[row, col] * sin_r + zoom * (down[row, col] + shift) * cos_r) * cos_p + sin_p


@drawn()
def cast_slanted_row(right, down, row, shift, eye_of, xs, ys, dip, aside, ahead):
    """Where the rays of one row meet the ground: xs, ys int32 [W] in 1 / UNIT m; aside, ahead: scratch.

    Short loops that write one or two arrays each, because the compiler vectorises only those.
    """
    cos_p, sin_p, cos_r, sin_r = eye_of[0], eye_of[1], eye_of[2], eye_of[3]
    cos_y, sin_y, zoom, tall, ex, ey = eye_of[4], eye_of[5], eye_of[6], eye_of[7], eye_of[8], eye_of[9]
    least = tall * F32(1.0 / FARTHEST)
    width = dip.shape[0]
    for col in range(width):  # metres to the right
        level = zoom * right[row, col] * cos_r - zoom * (down[row, col] + shift) * sin_r
        aside[col] = level * tall / max(dip[col], least)
    for col in range(width):  # metres ahead
        level = zoom * right[row, col] * sin_r + zoom * (down[row, col] + shift) * cos_r
        ahead[col] = (cos_p - level * sin_p) * tall / max(dip[col], least)
    for col in range(width):
        xs[col] = np.int32((ex + ahead[col] * cos_y - aside[col] * sin_y) * F32(UNIT))
        ys[col] = np.int32((ey + ahead[col] * sin_y + aside[col] * cos_y) * F32(UNIT))


@drawn(inline="always")
def cast_level_row(right, down, dip, eye_of, xs, ys):
    """As `cast_slanted_row`, for a row without roll and distortion: right [W] for all rows, one down and dip."""
    t = eye_of[6] * eye_of[7] / dip
    ahead = (eye_of[0] / eye_of[6] - down * eye_of[1]) * t
    start_x, step_x = (eye_of[8] + ahead * eye_of[4]) * F32(UNIT), -t * eye_of[5] * F32(UNIT)
    start_y, step_y = (eye_of[9] + ahead * eye_of[5]) * F32(UNIT), t * eye_of[4] * F32(UNIT)
    for col in range(xs.shape[0]):
        xs[col] = np.int32(start_x + right[col] * step_x)
        ys[col] = np.int32(start_y + right[col] * step_y)


@drawn(inline="always")
def find_row(xs, ys, cell, texel):
    """Flat places in the ground map and in the texture tile of places in the world."""
    last = np.int32((GRID - 1) * CELL * UNIT - 1)
    for col in range(xs.shape[0]):
        x, y = min(max(xs[col], np.int32(0)), last), min(max(ys[col], np.int32(0)), last)
        cell[col] = np.int32(y >> CELL_BITS) * np.int32(GRID) + np.int32(x >> CELL_BITS)
    for col in range(xs.shape[0]):
        x, y = (xs[col] >> TEXEL_BITS) & np.int32(TILE - 1), (ys[col] >> TEXEL_BITS) & np.int32(TILE - 1)
        texel[col] = y * np.int32(TILE) + x


@drawn(inline="always")
def unpack_row(image, quads, row, total, parts):
    """Mean of `parts` (1 or 2) packed colours into row `row` of the picture [H, W, 3].

    quads: uint32 [H, 3 W / 4], the same memory, or of width 0: then byte by byte. The lowest byte comes first.
    """
    shift = np.uint32(parts - 1)
    low = np.uint32(255)
    if quads.shape[1] == 0:
        for col in range(total.shape[0]):
            word = total[col] >> shift
            image[row, col, 0] = np.uint8(word & low)
            image[row, col, 1] = np.uint8((word >> np.uint32(10)) & low)
            image[row, col, 2] = np.uint8((word >> np.uint32(20)) & low)
        return
    for col in range(total.shape[0]):
        word = total[col] >> shift
        word = (
            (word & low)
            | ((word >> np.uint32(2)) & (low << np.uint32(8)))
            | ((word >> np.uint32(4)) & (low << np.uint32(16)))
        )
        total[col] = word
    for k in range(total.shape[0] // 4):
        a, b, c, d = total[4 * k], total[4 * k + 1], total[4 * k + 2], total[4 * k + 3]
        quads[row, 3 * k] = a | (b << np.uint32(24))
        quads[row, 3 * k + 1] = (b >> np.uint32(8)) | (c << np.uint32(16))
        quads[row, 3 * k + 2] = (c >> np.uint32(16)) | (d << np.uint32(8))


@drawn()
def unpack_lit_row(image, total, parts, fade):
    """As `unpack_row`, each pixel times its `fade` [W]."""
    shift = np.uint32(parts - 1)
    for col in range(total.shape[0]):
        word = total[col] >> shift
        image[col, 0] = np.uint8(F32(word & np.uint32(255)) * fade[col])
        image[col, 1] = np.uint8(F32((word >> np.uint32(10)) & np.uint32(255)) * fade[col])
        image[col, 2] = np.uint8(F32((word >> np.uint32(20)) & np.uint32(255)) * fade[col])


@drawn()
def backdrop(
    image, quads, right, down, turn, bounds, lens, pose, x, y, yaw,
    half, pads, pad_count, cells, details, specials,
    colours, weather, hills, ground_tile, sky_tile, scratch,
):  # fmt: skip
    """Ground and sky of one picture, uint8 [H, W, 3], seen from (x, y) in direction `yaw`; quads as in `unpack_row`."""
    height, width = image.shape[0], image.shape[1]
    eye_of = scratch.eye_of
    eye_of[0], eye_of[1] = math.cos(pose[PITCH]), math.sin(pose[PITCH])
    eye_of[2], eye_of[3] = math.cos(pose[ROLL]), math.sin(pose[ROLL])
    eye_of[4], eye_of[5] = math.cos(yaw), math.sin(yaw)
    eye_of[6], eye_of[7], eye_of[8], eye_of[9] = pose[ZOOM], pose[HEIGHT], x, y
    zoom, tall, face = F32(pose[ZOOM]), F32(pose[HEIGHT]), F32(yaw)
    least = tall * F32(1.0 / FARTHEST)
    row_step, pixel = F32(1.0 / lens[4]), F32(lens[7])
    road_half = F32(half)
    xs, ys, cell, texel, edges = scratch.xs, scratch.ys, scratch.cell, scratch.texel, scratch.edges
    total, mixed, dip, work = scratch.total, scratch.mixed, scratch.dip, scratch.work
    palette, plain, shades, gradient = scratch.palette, scratch.plain, scratch.shades, scratch.gradient
    sky_gradient(colours, gradient)
    tile = sky_tile[int(weather[SKY_TILE])]
    night = weather[AMBIENT] < 0.9
    ridge, cloudy, placed = scratch.ridge, scratch.cloudy, False

    for row in range(height):
        middle = zoom * (down[row, width // 2] * eye_of[2] + right[row, width // 2] * eye_of[3])
        middle = middle * eye_of[0] + eye_of[1]
        distance = tall / max(middle, least)
        wide = distance * pixel * zoom
        deep = distance * distance / tall * row_step * zoom
        # Far rows are much deeper than wide: the mean of two thinner rows.
        parts = 1 if deep < 1.5 or middle <= 0.0 else 2
        deep /= F32(parts)
        for col in range(width):
            total[col] = np.uint32(0)
        # The range of `dip` in this row, from the ranges of its rays: is there sky, is there ground?
        along_x, along_y = zoom * eye_of[3] * eye_of[0], zoom * eye_of[2] * eye_of[0]
        low_dip = eye_of[1] + min(along_x * bounds[row, 0], along_x * bounds[row, 1]) + along_y * bounds[row, 2]
        high_dip = eye_of[1] + max(along_x * bounds[row, 0], along_x * bounds[row, 1]) + along_y * bounds[row, 3]
        level = pose[ROLL] == 0.0 and bounds[row, 2] == bounds[row, 3]
        lit = False
        for part in range(parts):
            shift = ((F32(part) + F32(0.5)) / F32(parts) - F32(0.5)) * row_step
            slope = high_dip + shift * along_y  # slope of all rays in a level row
            if level and parts == 1 and slope <= least:
                if not placed:
                    sky_columns(turn[row], face, weather, ridge, cloudy)
                    placed = True
                level_sky_row(total, -slope, gradient, colours, weather, hills, tile, ridge, cloudy, shades)
                if abs(-slope - weather[SUN_HEIGHT]) < SUN_SIZE:
                    sun_row(total, -slope, turn[row], face, colours, weather, hills, ridge)
                continue
            every = level and slope > least
            if every:
                cast_level_row(right[0], down[row, 0] + shift, slope, eye_of, xs, ys)
            else:
                dip_row(right, down, row, shift, eye_of, dip)
                if low_dip - row_step <= least:
                    sky_row(total, dip, turn[row], face, least, gradient, colours, weather, hills, tile)
                if high_dip + row_step <= least:
                    continue
                cast_slanted_row(right, down, row, shift, eye_of, xs, ys, dip, work[0], work[1])
                every = low_dip - row_step > least
            if not lit:
                row_palette(palette, plain, colours, weather, distance, wide, deep)
                lit = True
            find_row(xs, ys, cell, texel)
            ground_row(
                total, dip, least, every, xs, ys, cell, texel, wide, deep, palette, plain, ground_tile, road_half,
                pads, pad_count, cells, details, specials, edges, mixed, work,
            )  # fmt: skip
        if night and middle > least:  # headlights: darker to both sides
            reach = distance * F32(1.0 / HEADLIGHTS)
            beam = (F32(1.0) - weather[AMBIENT]) * F32(math.exp(-reach * reach))
            scale = F32(1.0) / (weather[AMBIENT] + beam)
            for col in range(width):
                a = right[row, col] * zoom
                dip[col] = (weather[AMBIENT] + beam / (F32(1.0) + F32(1.6) * a * a)) * scale
            unpack_lit_row(image[row], total, parts, dip)
        else:
            unpack_row(image, quads, row, total, parts)
