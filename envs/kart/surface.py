"""Colours of the ground: what a pixel's footprint covers of road, line, kerb, grass, start line and pads."""

import math

import numpy as np

from envs.kart import looks
from envs.kart.columns import (
    ARC,
    ARC_X,
    ARC_Y,
    CELL,
    DETAIL,
    GRASS,
    KERB_RATE,
    KERB_WIDE,
    OFFSET,
    OFFSET_X,
    OFFSET_Y,
    PAD_END,
    PAD_LEFT,
    PAD_RIGHT,
    PAD_START,
)
from envs.kart.drawing import SOLIDS, drawn
from envs.kart.ground import START_WIDTH
from envs.kart.looks import AMBIENT, BUMP, FOG, FOG_RATE, SHADES, SKY_LOW, TEXEL, TILE, WET

HEADLIGHTS = 24.0  # distance at which the light of the headlights has fallen to 1/e, m
LINE_OUT, LINE_IN = 0.34, 0.14  # the white line begins and ends this far inside the road's edge, m
STRIPE = 1.6  # length of one kerb colour, m
CHECK = 0.8  # side of a square of the start line, m
F32, LANE = np.float32, np.uint32(1023)
UNIT = 65536.0  # places on the ground are whole numbers of 1 / UNIT m
ROAD = np.uint32(TILE * TILE)  # the ground texture holds so many texels of grass, then as many of road


@drawn(inline="always")
def covered(low, high, value, width, per_width):
    """Fraction of [value - width/2, value + width/2] that lies in [low, high]; per_width = 1 / width."""
    part = (min(high, value + F32(0.5) * width) - max(low, value - F32(0.5) * width)) * per_width
    return min(max(part, F32(0.0)), F32(1.0))


@drawn(inline="always")
def pack(red, green, blue):
    """Three channels 0..255 as 10-bit lanes of one word, so that colours can be added; red is lowest."""
    return np.uint32(np.uint32(red) + np.uint32(green) * np.uint32(1 << 10) + np.uint32(blue) * np.uint32(1 << 20))


@drawn(inline="always")
def unpack(word):
    """The channels of a packed colour, red, green and blue as float32."""
    return F32(word & LANE), F32((word >> np.uint32(10)) & LANE), F32(word >> np.uint32(20))


@drawn()
def blend_row(mixed, count, offsets, alongs, kerbs, wide, deep, half, palette):
    """Packed colours of pixels beside the road's edge: how much of each is road, white line, kerb, and grass.

    mixed: uint32, out; offsets, alongs and kerb widths: float32, m; wide and deep: the footprint of a pixel, m.
    All colours are taken out of the palette first and nothing branches, so that the compiler vectorises the loop.
    """
    per_wide, per_deep = F32(1.0) / wide, F32(1.0) / deep
    zero, one = F32(0.0), F32(1.0)
    g, r, e = SHADES // 2, SHADES + SHADES // 2, 2 * SHADES
    grass_0, grass_1, grass_2 = palette[0, g], palette[1, g], palette[2, g]
    road_0, road_1, road_2 = palette[0, r] - grass_0, palette[1, r] - grass_1, palette[2, r] - grass_2
    line_0, line_1, line_2 = palette[0, e] - grass_0, palette[1, e] - grass_1, palette[2, e] - grass_2
    first_0, first_1, first_2 = palette[0, e + 1] - grass_0, palette[1, e + 1] - grass_1, palette[2, e + 1] - grass_2
    step_0, step_1 = palette[0, e + 2] - palette[0, e + 1], palette[1, e + 2] - palette[1, e + 1]
    step_2 = palette[2, e + 2] - palette[2, e + 1]
    for i in range(count):
        distance, along = abs(offsets[i]), alongs[i]
        line = covered(half - F32(LINE_OUT), half - F32(LINE_IN), distance, wide, per_wide)
        road = min(max((half - distance) * per_wide + F32(0.5), zero), one) - line
        phase = along - F32(2.0 * STRIPE) * np.floor(along * F32(0.5 / STRIPE))
        second = covered(F32(STRIPE), F32(2.0 * STRIPE), phase, deep, per_deep)
        second += covered(F32(-STRIPE), zero, phase, deep, per_deep)
        kerb = covered(half, half + kerbs[i], distance, wide, per_wide)
        second *= kerb
        mixed[i] = pack(
            grass_0 + road * road_0 + line * line_0 + kerb * first_0 + second * step_0,
            grass_1 + road * road_1 + line * line_1 + kerb * first_1 + second * step_1,
            grass_2 + road * road_2 + line * line_2 + kerb * first_2 + second * step_2,
        )


@drawn()
def special(colour, a, along, wide, deep, palette, half, pads, pad_count):
    """Packed colour with the chequered start line and boost pads on it; a: offset, wide and deep: footprint, m."""
    distance, per_wide, per_deep = abs(a), F32(1.0) / wide, F32(1.0) / deep
    mark, mix = 2 * SHADES, F32(0.0)
    if along < F32(START_WIDTH) + deep:
        mix = covered(F32(0.0), F32(START_WIDTH), along, deep, per_deep)
        mix *= covered(-half, half, distance, wide, per_wide)
        mark += 5 * ((int(math.floor(a / CHECK)) + int(along / CHECK)) & 1)
    for k in range(pad_count):
        start, end = F32(pads[k, PAD_START]), F32(pads[k, PAD_END])
        if start - deep < along < end + deep:
            left, right = F32(pads[k, PAD_LEFT]), F32(pads[k, PAD_RIGHT])
            on = covered(start, end, along, deep, per_deep) * covered(left, right, a, wide, per_wide)
            if on > 0.0:
                arrow = (along - start + abs(a - F32(0.5) * (left + right))) % F32(1.4)
                mark, mix = (2 * SHADES + 4 if arrow < 0.6 else 2 * SHADES + 3), on
    red, green, blue = unpack(colour)
    return pack(
        red + mix * (palette[0, mark] - red),
        green + mix * (palette[1, mark] - green),
        blue + mix * (palette[2, mark] - blue),
    )


@drawn()
def row_palette(palette, plain, colours, weather, distance, wide, deep):
    """Fill palette [3, 2 * SHADES + SOLIDS] and plain (its first columns, packed) with the colours at one distance.

    Texture fades with the footprint, a wet road mirrors the sky, headlights and fog follow the distance.
    """
    footprint = F32(0.5) * wide + F32(0.5) * min(deep, F32(8.0) * wide)
    contrast = weather[BUMP] * min(F32(2.5 * TEXEL) / footprint, F32(1.0))
    reach = distance * F32(1.0 / HEADLIGHTS)
    light = weather[AMBIENT] + (F32(1.0) - weather[AMBIENT]) * F32(math.exp(-reach * reach))
    clear = F32(math.exp(-weather[FOG_RATE] * distance))
    shine = weather[WET] * distance / (distance + F32(8.0))
    clear_light = clear * light
    for k in range(3):
        haze = (F32(1.0) - clear) * colours[FOG, k]
        dark, bright = colours[looks.GRASS_DARK, k], colours[looks.GRASS_LIGHT, k]
        wet_dark = colours[looks.ROAD_DARK, k] + shine * (colours[SKY_LOW, k] - colours[looks.ROAD_DARK, k])
        wet_bright = colours[looks.ROAD_LIGHT, k] + shine * (colours[SKY_LOW, k] - colours[looks.ROAD_LIGHT, k])
        step = clear_light * contrast * (bright - dark) / F32(SHADES - 1)
        first = clear_light * F32(0.5) * (dark + bright) + haze - F32(0.5 * (SHADES - 1)) * step
        for s in range(SHADES):
            palette[k, s] = max(min(first + F32(s) * step, F32(255.0)), F32(0.0))
        step = clear_light * contrast * (wet_bright - wet_dark) / F32(SHADES - 1)
        first = clear_light * F32(0.5) * (wet_dark + wet_bright) + haze - F32(0.5 * (SHADES - 1)) * step
        for s in range(SHADES):
            palette[k, SHADES + s] = max(min(first + F32(s) * step, F32(255.0)), F32(0.0))
        for s in range(SOLIDS - 1):
            palette[k, 2 * SHADES + s] = clear_light * colours[looks.LINE + s, k] + haze
        palette[k, 2 * SHADES + SOLIDS - 1] = clear_light * F32(20.0) + haze
    for s in range(2 * SHADES):
        plain[s] = pack(palette[0, s], palette[1, s], palette[2, s])


@drawn(inline="always")
def plain_row(total, cell, texel, plain, ground_tile, cells, edges):
    """Adds a whole row of plain grass and road, without branches: where colours change all the time they cost most.

    Returns how many pixels lie in cells with more in them; their columns are the first entries of `edges`.
    """
    count = 0
    for col in range(total.shape[0]):
        what = cells[np.uint32(cell[col])]
        total[col] += plain[ground_tile[np.uint32(what != GRASS) * ROAD + np.uint32(texel[col])]]
        edges[count] = col
        count += what >= DETAIL
    return count


@drawn(inline="always")
def part_row(total, dip, limit, cell, texel, plain, ground_tile, cells, edges):
    """`plain_row` where dip > limit; the rest of the row is sky."""
    count = 0
    for col in range(total.shape[0]):
        if dip[col] > limit:
            what = cells[np.uint32(cell[col])]
            total[col] += plain[ground_tile[np.uint32(what != GRASS) * ROAD + np.uint32(texel[col])]]
            edges[count] = col
            count += what >= DETAIL
    return count


@drawn(inline="always")
def ground_row(
    total, dip, limit, every, xs, ys, cell, texel, wide, deep, palette, plain, ground_tile,
    half, pads, pad_count, cells, details, specials, edges, mixed, work,
):  # fmt: skip
    """Ground of one row: adds packed colours where dip > limit (`every`: that is everywhere).

    edges: int32 [W], mixed: uint32 [W], work: float32 [3, W], all scratch. First everything as plain grass or road,
    then what is really there in the pixels near edges, start line and pads.
    """
    if every:
        count = plain_row(total, cell, texel, plain, ground_tile, cells, edges)
    else:
        count = part_row(total, dip, limit, cell, texel, plain, ground_tile, cells, edges)
    if count == 0:
        return
    offsets, alongs, kerbs = work[0], work[1], work[2]
    in_cell = np.int32(CELL * UNIT - 1)
    for e in range(count):
        col = np.uint32(edges[e])
        d = np.uint32(cells[np.uint32(cell[col])] - DETAIL)
        fx, fy = F32(xs[col] & in_cell) * F32(1.0 / UNIT), F32(ys[col] & in_cell) * F32(1.0 / UNIT)
        along = details[d, ARC] + fx * details[d, ARC_X] + fy * details[d, ARC_Y]
        offsets[e] = details[d, OFFSET] + fx * details[d, OFFSET_X] + fy * details[d, OFFSET_Y]
        alongs[e] = along
        kerbs[e] = max(details[d, KERB_WIDE] + along * details[d, KERB_RATE], F32(0.0))
    blend_row(mixed, count, offsets, alongs, kerbs, wide, deep, half, palette)
    inside, outside = half - F32(LINE_OUT) - F32(0.5) * wide, half + F32(0.5) * wide
    for e in range(count):
        col = np.uint32(edges[e])
        spot, distance = np.uint32(texel[col]), abs(offsets[e])
        road = plain[ground_tile[ROAD + spot]]
        colour = road if distance < inside else mixed[e]
        colour = plain[ground_tile[spot]] if distance > outside + kerbs[e] else colour
        if cells[np.uint32(cell[col])] < specials + DETAIL:
            colour = special(colour, offsets[e], alongs[e], wide, deep, palette, half, pads, pad_count)
        total[col] += colour - road
