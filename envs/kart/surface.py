"""Colours of the ground: what a pixel's footprint covers of road, line, kerb, grass, start line and pads."""

import math

import numpy as np
from numba import njit

from envs.kart import looks
from envs.kart.columns import PAD_END, PAD_LEFT, PAD_RIGHT, PAD_START
from envs.kart.ground import START_WIDTH
from envs.kart.looks import AMBIENT, BUMP, FOG, FOG_RATE, SHADES, SKY_LOW, TEXEL, WET

SOLIDS = 6  # colours of the row palette after grass and road: edge, two of kerbs, two of pads, black
HEADLIGHTS = 24.0  # distance at which the light of the headlights has fallen to 1/e, m
LINE_OUT, LINE_IN = 0.34, 0.14  # the white line begins and ends this far inside the road's edge, m
STRIPE = 1.6  # length of one kerb colour, m
CHECK = 0.8  # side of a square of the start line, m
F32, LANE = np.float32, np.uint32(1023)


@njit(cache=True, nogil=True, fastmath=True, inline="always")
def covered(low, high, value, width, per_width):
    """Fraction of [value - width/2, value + width/2] that lies in [low, high]; per_width = 1 / width."""
    part = (min(high, value + F32(0.5) * width) - max(low, value - F32(0.5) * width)) * per_width
    return min(max(part, F32(0.0)), F32(1.0))


@njit(cache=True, nogil=True, inline="always")
def pack(red, green, blue):
    """Three channels 0..255 as 10-bit lanes of one word, so that colours can be added; red is lowest."""
    return np.uint32(np.uint32(red) + np.uint32(green) * np.uint32(1 << 10) + np.uint32(blue) * np.uint32(1 << 20))


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
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


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
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
    red, green, blue = F32(colour & LANE), F32((colour >> np.uint32(10)) & LANE), F32(colour >> np.uint32(20))
    return pack(
        red + mix * (palette[0, mark] - red),
        green + mix * (palette[1, mark] - green),
        blue + mix * (palette[2, mark] - blue),
    )


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
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
