"""Sky, clouds, stars, sun or moon, and hills, one row of a picture at a time."""

import math

import numpy as np

from envs.kart.drawing import CLOUD_LEVELS, SKY_LEVELS, drawn
from envs.kart.looks import (
    AZIMUTHS,
    CLOUD,
    CLOUDS,
    DRIFT,
    HILL_FAR,
    HILL_NEAR,
    HILLS_BELOW,
    SKY_LOW,
    SKY_ROWS,
    SKY_SPAN,
    SKY_TOP,
    SUN,
    SUN_HEIGHT,
    SUN_TURN,
)
from envs.kart.surface import F32, pack, unpack

SUN_SIZE = 0.055  # radius of the sun's disc, rad


@drawn()
def sky_gradient(colours, gradient):
    """The clear sky from the horizon to SKY_SPAN, packed colours [SKY_LEVELS]."""
    low, high = colours[SKY_LOW], colours[SKY_TOP]
    for i in range(SKY_LEVELS):
        u = F32(i) * F32(1.0 / SKY_LEVELS)
        u *= F32(2.0) - u
        gradient[i] = pack(
            low[0] + u * (high[0] - low[0]), low[1] + u * (high[1] - low[1]), low[2] + u * (high[2] - low[2])
        )


@drawn()
def sky_row(total, dip, turn, face, limit, gradient, colours, weather, hills, tile):
    """Sky and hills of one row: adds packed colours where dip <= limit; gradient: of the sky, packed [SKY_LEVELS]."""
    near = pack(colours[HILL_NEAR, 0], colours[HILL_NEAR, 1], colours[HILL_NEAR, 2])
    far = pack(colours[HILL_FAR, 0], colours[HILL_FAR, 1], colours[HILL_FAR, 2])
    drift, sun = int(weather[DRIFT]), weather[SUN_HEIGHT]
    strength = weather[CLOUDS] * F32(1.0 / 255.0)
    base = face * F32(AZIMUTHS / (2.0 * math.pi)) + F32(16 * AZIMUTHS)
    for col in range(dip.shape[0]):
        if dip[col] > limit:
            continue
        up = -dip[col]
        column = np.uint32(np.int32(base + turn[col] * F32(AZIMUTHS / (2.0 * math.pi))) & np.int32(AZIMUTHS - 1))
        if up < hills[0, column] or up < hills[1, column]:
            total[col] += near if up < hills[1, column] else far
            continue
        high = min(up * F32(1.0 / SKY_SPAN), F32(0.999))
        level = gradient[np.uint32(high * F32(SKY_LEVELS))]
        cloud = tile[np.uint32(high * F32(SKY_ROWS)), np.uint32((int(column) + drift) & (AZIMUTHS - 1))] * strength
        mark = CLOUD
        if abs(up - sun) < SUN_SIZE:
            aside = face + turn[col] - weather[SUN_TURN]
            aside -= F32(2.0 * math.pi) * np.floor(aside * F32(0.5 / math.pi) + F32(0.5))
            inside = F32(SUN_SIZE) - F32(math.sqrt(aside * aside + (up - sun) * (up - sun)))
            glow = min(max(inside * F32(100.0), F32(0.0)), F32(1.0))
            if glow > cloud:
                cloud, mark = glow, SUN
        if cloud > 0.01:
            red, green, blue = unpack(level)
            total[col] += pack(
                red + cloud * (colours[mark, 0] - red),
                green + cloud * (colours[mark, 1] - green),
                blue + cloud * (colours[mark, 2] - blue),
            )
        else:
            total[col] += level


@drawn()
def sky_columns(turn, face, weather, ridge, cloudy):
    """Per column of a level picture: its sample of the hills and its sample of the sky tile, int32 [W] each."""
    base = face * F32(AZIMUTHS / (2.0 * math.pi)) + F32(16 * AZIMUTHS)
    drift = np.int32(weather[DRIFT])
    for col in range(turn.shape[0]):
        place = np.int32(base + turn[col] * F32(AZIMUTHS / (2.0 * math.pi)))
        ridge[col] = place & np.int32(AZIMUTHS - 1)
        cloudy[col] = (place + drift) & np.int32(AZIMUTHS - 1)


@drawn()
def level_sky_row(total, up, gradient, colours, weather, hills, tile, ridge, cloudy, shades):
    """`sky_row` for a row of one elevation, several times as fast, without the sun; shades: scratch."""
    near = pack(colours[HILL_NEAR, 0], colours[HILL_NEAR, 1], colours[HILL_NEAR, 2])
    far = pack(colours[HILL_FAR, 0], colours[HILL_FAR, 1], colours[HILL_FAR, 2])
    high = min(max(up * F32(1.0 / SKY_SPAN), F32(0.0)), F32(0.999))
    level = gradient[np.uint32(high * F32(SKY_LEVELS))]
    red, green, blue = unpack(level)
    for k in range(CLOUD_LEVELS):
        cloud = weather[CLOUDS] * F32(k) * F32(1.0 / (CLOUD_LEVELS - 1))
        shades[k] = pack(
            red + cloud * (colours[CLOUD, 0] - red),
            green + cloud * (colours[CLOUD, 1] - green),
            blue + cloud * (colours[CLOUD, 2] - blue),
        )
    clouds = tile[int(high * F32(SKY_ROWS))]
    for col in range(total.shape[0]):
        total[col] = shades[clouds[np.uint32(cloudy[col])] >> np.uint8(3)]
    if up < F32(HILLS_BELOW):
        for col in range(total.shape[0]):
            column = np.uint32(ridge[col])
            word = far if up < hills[0, column] else total[col]
            total[col] = near if up < hills[1, column] else word


@drawn()
def sun_row(total, up, turn, face, colours, weather, hills, ridge):
    """The sun's part in a row of one elevation that `level_sky_row` has drawn."""
    away = weather[SUN_TURN] - face
    away -= F32(2.0 * math.pi) * np.floor(away * F32(0.5 / math.pi) + F32(0.5))
    below = up - weather[SUN_HEIGHT]
    for col in range(total.shape[0]):
        aside = turn[col] - away
        if abs(aside) < F32(SUN_SIZE) and up >= hills[0, np.uint32(ridge[col])]:
            inside = F32(SUN_SIZE) - F32(math.sqrt(aside * aside + below * below))
            glow = min(max(inside * F32(100.0), F32(0.0)), F32(1.0))
            red, green, blue = unpack(total[col])
            total[col] = pack(
                red + glow * (colours[SUN, 0] - red),
                green + glow * (colours[SUN, 1] - green),
                blue + glow * (colours[SUN, 2] - blue),
            )
