"""The renderer: ground plane per row (mode 7), sky, then walls and sprites from far to near, straight into the picture.

Every pixel looks along its ray (`camera.Rays`); where the ray meets the ground, the map of `ground.py` gives the
offset from the centreline and the place along it, and edges, kerbs and lines are covered by the pixel's footprint,
so that they are smooth at any size. Colours fade into fog with the distance of the row.
"""

import math

import numpy as np
from numba import njit

from envs.kart import looks
from envs.kart.camera import AHEAD, ASIDE, HEIGHT, LOOK, PITCH, ROLL, ZOOM
from envs.kart.columns import (
    ASPHALT,
    EDGE,
    GRASS,
    GRID,
    KERB_L,
    KERB_R,
    PAD_END,
    PAD_LEFT,
    PAD_RIGHT,
    PAD_START,
    POS_X,
    POS_Y,
    SPECIAL,
    YAW,
)
from envs.kart.ground import KERB_WIDTH, START_WIDTH
from envs.kart.looks import (
    AMBIENT,
    AZIMUTHS,
    BUMP,
    CLOUD,
    CLOUDS,
    DRIFT,
    FOG,
    FOG_RATE,
    HILL_FAR,
    HILL_NEAR,
    SHADES,
    SKY_LOW,
    SKY_ROWS,
    SKY_SPAN,
    SKY_TILE,
    SKY_TOP,
    SUN,
    SUN_HEIGHT,
    SUN_TURN,
    TEXEL,
    TILE,
    WET,
)

FARTHEST = 250.0  # ground beyond this is part of the sky's lower edge, m
SOLIDS = 6  # colours of the row palette after grass and road: edge, two of kerbs, two of pads, black
SKY_LEVELS = 256  # steps of the sky's gradient
SUN_SIZE = 0.055  # radius of the sun's disc, rad
HEADLIGHTS = 24.0  # distance at which the light of the headlights has fallen to 1/e, m
LINE_OUT, LINE_IN = 0.34, 0.14  # the white line begins and ends this far inside the road's edge, m
STRIPE = 1.6  # length of one kerb colour, m
CHECK = 0.8  # side of a square of the start line, m
F32, ONE, LANE = np.float32, np.uint32(1), np.uint64(0xFFFF)


@njit(cache=True, nogil=True)
def eye(kart, pose):
    """Place (x, y) and direction of the camera that a kart carries."""
    yaw = kart[YAW]
    x = kart[POS_X] + pose[AHEAD] * math.cos(yaw) - pose[ASIDE] * math.sin(yaw)
    y = kart[POS_Y] + pose[AHEAD] * math.sin(yaw) + pose[ASIDE] * math.cos(yaw)
    return x, y, yaw + pose[LOOK]


@njit(cache=True, nogil=True, fastmath=True, inline="always")
def covered(low, high, value, width, per_width):
    """Fraction of [value - width/2, value + width/2] that lies in [low, high]; per_width = 1 / width."""
    part = (min(high, value + F32(0.5) * width) - max(low, value - F32(0.5) * width)) * per_width
    return min(max(part, F32(0.0)), F32(1.0))


@njit(cache=True, nogil=True, inline="always")
def pack(red, green, blue):
    """Three channels 0..255 as 16-bit lanes of one word, so that four colours can be added at once."""
    return np.uint64(red) | (np.uint64(green) << np.uint64(16)) | (np.uint64(blue) << np.uint64(32))


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def edge_line(distance, wide, per_wide, palette, grass, road, half):
    """Packed colour beside the road's edge where there is no kerb: road, white line, road, grass."""
    line = covered(half - F32(LINE_OUT), half - F32(LINE_IN), distance, wide, per_wide)
    inside = min(max((half - distance) * per_wide + F32(0.5), F32(0.0)), F32(1.0)) - line
    rest = F32(1.0) - line - inside
    edge = 2 * SHADES
    return pack(
        inside * palette[road, 0] + line * palette[edge, 0] + rest * palette[grass, 0],
        inside * palette[road, 1] + line * palette[edge, 1] + rest * palette[grass, 1],
        inside * palette[road, 2] + line * palette[edge, 2] + rest * palette[grass, 2],
    )


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def surface(a, along, wide, deep, palette, grass, road, line, per_step, half, pads, pad_count):
    """Packed colour of any ground: kerb, start line and pads too; a: offset, wide and deep: the footprint, m."""
    distance, per_wide, per_deep = abs(a), F32(1.0) / wide, F32(1.0) / deep
    edge = 2 * SHADES
    red, green, blue = palette[road, 0], palette[road, 1], palette[road, 2]
    if distance > half - wide:
        ground_red, ground_green, ground_blue = palette[grass, 0], palette[grass, 1], palette[grass, 2]
        index = min(np.uint32(along * per_step), np.uint32(line.shape[0] - 1))
        kerb = F32(line[index, KERB_R] if a > 0.0 else line[index, KERB_L])
        if kerb > 0.02 and distance < half + kerb + wide:
            phase = along - F32(2.0 * STRIPE) * F32(math.floor(along * F32(0.5 / STRIPE)))
            second = covered(F32(STRIPE), F32(2.0 * STRIPE), phase, deep, per_deep)
            second += covered(F32(-STRIPE), F32(0.0), phase, deep, per_deep)
            mix = covered(half, half + kerb, distance, wide, per_wide)
            one, two = mix * (F32(1.0) - second), mix * second
            rest = F32(1.0) - mix
            ground_red = rest * ground_red + one * palette[edge + 1, 0] + two * palette[edge + 2, 0]
            ground_green = rest * ground_green + one * palette[edge + 1, 1] + two * palette[edge + 2, 1]
            ground_blue = rest * ground_blue + one * palette[edge + 1, 2] + two * palette[edge + 2, 2]
        mix = covered(-half, half, distance, wide, per_wide)
        red = ground_red + mix * (red - ground_red)
        green = ground_green + mix * (green - ground_green)
        blue = ground_blue + mix * (blue - ground_blue)
    mark, mix = edge, F32(0.0)
    if distance > half - F32(LINE_OUT) - wide:
        mix = covered(half - F32(LINE_OUT), half - F32(LINE_IN), distance, wide, per_wide)
    if along < F32(START_WIDTH) + deep:
        mix = covered(F32(0.0), F32(START_WIDTH), along, deep, per_deep)
        mix *= covered(-half, half, distance, wide, per_wide)
        if (int(math.floor(a / CHECK)) + int(along / CHECK)) & 1:
            mark = edge + 5
    for k in range(pad_count):
        start, end = F32(pads[k, PAD_START]), F32(pads[k, PAD_END])
        if start - deep < along < end + deep:
            left, right = F32(pads[k, PAD_LEFT]), F32(pads[k, PAD_RIGHT])
            on = covered(start, end, along, deep, per_deep) * covered(left, right, a, wide, per_wide)
            if on > 0.0:
                arrow = (along - start + abs(a - F32(0.5) * (left + right))) % F32(1.4)
                mark, mix = (edge + 4 if arrow < 0.6 else edge + 3), on
    return pack(
        red + mix * (palette[mark, 0] - red),
        green + mix * (palette[mark, 1] - green),
        blue + mix * (palette[mark, 2] - blue),
    )


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def row_palette(palette, plain, colours, weather, distance, wide, deep):
    """Fill palette [2 * SHADES + SOLIDS, 3] and plain (its first rows, packed) with the colours at one distance.

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
            palette[s, k] = max(min(first + F32(s) * step, F32(255.0)), F32(0.0))
        step = clear_light * contrast * (wet_bright - wet_dark) / F32(SHADES - 1)
        first = clear_light * F32(0.5) * (wet_dark + wet_bright) + haze - F32(0.5 * (SHADES - 1)) * step
        for s in range(SHADES):
            palette[SHADES + s, k] = max(min(first + F32(s) * step, F32(255.0)), F32(0.0))
        for s in range(SOLIDS - 1):
            palette[2 * SHADES + s, k] = clear_light * colours[looks.LINE + s, k] + haze
        palette[2 * SHADES + SOLIDS - 1, k] = clear_light * F32(20.0) + haze
    for s in range(2 * SHADES):
        plain[s] = pack(palette[s, 0], palette[s, 1], palette[s, 2])


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def cast_row(right, down, shift, eye_of, gx, gy, dip, cell, texel):
    """Where the rays of one row meet the ground.

    eye_of: float32 [10], see `backdrop`; dip: the rays' slope downwards; gx, gy: world, m; cell and texel: flat
    places in the ground map and in the texture tile. Short loops that write one or two arrays each, because the
    compiler vectorises only those.
    """
    cos_p, sin_p, cos_r, sin_r = eye_of[0], eye_of[1], eye_of[2], eye_of[3]
    cos_y, sin_y, zoom, tall, ex, ey = eye_of[4], eye_of[5], eye_of[6], eye_of[7], eye_of[8], eye_of[9]
    least = tall * F32(1.0 / FARTHEST)
    width = right.shape[0]
    for col in range(width):
        dip[col] = (zoom * right[col] * sin_r + zoom * (down[col] + shift) * cos_r) * cos_p + sin_p
    for col in range(width):  # metres to the right
        level = zoom * right[col] * cos_r - zoom * (down[col] + shift) * sin_r
        gx[col] = level * tall / max(dip[col], least)
    for col in range(width):  # metres ahead
        level = zoom * right[col] * sin_r + zoom * (down[col] + shift) * cos_r
        gy[col] = (cos_p - level * sin_p) * tall / max(dip[col], least)
    for col in range(width):
        aside, ahead = gx[col], gy[col]
        gx[col] = ex + ahead * cos_y - aside * sin_y
        gy[col] = ey + ahead * sin_y + aside * cos_y
    # Whole numbers below 2^24 are exact in float32.
    for col in range(width):
        x, y = min(max(gx[col], F32(0.0)), F32(GRID - 1.001)), min(max(gy[col], F32(0.0)), F32(GRID - 1.001))
        cell[col] = np.int32(np.floor(y) * F32(GRID) + np.floor(x))
    for col in range(width):
        tx, ty = gx[col] * F32(1.0 / (TEXEL * TILE)), gy[col] * F32(1.0 / (TEXEL * TILE))
        tx, ty = (tx - np.floor(tx)) * F32(TILE - 0.01), (ty - np.floor(ty)) * F32(TILE - 0.01)
        texel[col] = np.int32(np.floor(ty) * F32(TILE) + tx)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
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
            aside -= F32(2.0 * math.pi) * F32(math.floor(aside * F32(0.5 / math.pi) + F32(0.5)))
            inside = F32(SUN_SIZE) - F32(math.sqrt(aside * aside + (up - sun) * (up - sun)))
            glow = min(max(inside * F32(100.0), F32(0.0)), F32(1.0))
            if glow > cloud:
                cloud, mark = glow, SUN
        if cloud > 0.01:
            red, green, blue = level & LANE, (level >> np.uint64(16)) & LANE, level >> np.uint64(32)
            total[col] += pack(
                F32(red) + cloud * (colours[mark, 0] - F32(red)),
                F32(green) + cloud * (colours[mark, 1] - F32(green)),
                F32(blue) + cloud * (colours[mark, 2] - F32(blue)),
            )
        else:
            total[col] += level


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def ground_row(
    total, dip, limit, gx, gy, cell, texel, wide, deep, palette, plain, ground_tile,
    line, per_step, length, half, pads, pad_count, field, flags,
):  # fmt: skip
    """Ground of one row: adds packed colours where dip > limit."""
    per_wide, per_length = F32(1.0) / wide, F32(1.0) / length
    inside, outside = half - F32(LINE_OUT) - F32(0.5) * wide, half + F32(0.5) * wide
    beyond = outside + F32(KERB_WIDTH)
    for col in range(dip.shape[0]):
        if dip[col] <= limit:
            continue
        place, spot = np.uint32(cell[col]), np.uint32(texel[col])
        flag = flags[place]
        if flag == GRASS:
            total[col] += plain[ground_tile[0, spot]]
        elif flag == ASPHALT:
            total[col] += plain[ground_tile[1, spot] + np.uint8(SHADES)]
        else:
            fx, fy = gx[col] - np.floor(gx[col]), gy[col] - np.floor(gy[col])
            below = place + np.uint32(GRID)
            upper = field[place, 0] + fx * (field[place + ONE, 0] - field[place, 0])
            lower = field[below, 0] + fx * (field[below + ONE, 0] - field[below, 0])
            offset = upper + fy * (lower - upper)
            grass, road = ground_tile[0, spot], ground_tile[1, spot] + np.uint8(SHADES)
            if flag != SPECIAL:
                distance = abs(offset)
                if distance < inside:
                    total[col] += plain[road]
                    continue
                if distance > (outside if flag == EDGE else beyond):
                    total[col] += plain[grass]
                    continue
                if flag == EDGE:
                    total[col] += edge_line(distance, wide, per_wide, palette, grass, road, half)
                    continue
            s0 = field[place, 1]
            s1, s2, s3 = field[place + ONE, 1] - s0, field[below, 1] - s0, field[below + ONE, 1] - s0
            if max(abs(s1), abs(s2), abs(s3)) > 20.0:  # the seam at the start line
                s1 -= length * np.floor(s1 * per_length + F32(0.5))
                s2 -= length * np.floor(s2 * per_length + F32(0.5))
                s3 -= length * np.floor(s3 * per_length + F32(0.5))
            along = s0 + (F32(1.0) - fy) * fx * s1 + fy * ((F32(1.0) - fx) * s2 + fx * s3)
            along -= length * np.floor(along * per_length)
            total[col] += surface(
                offset, along, wide, deep, palette, grass, road, line, per_step, half, pads, pad_count
            )


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def unpack_row(image, total, parts):
    """Mean of `parts` (1 or 2) packed colours into one row of the picture [W, 3]."""
    shift = np.uint64(parts - 1)
    for col in range(total.shape[0]):
        word = total[col] >> shift
        image[col, 0] = np.uint8(word & np.uint64(255))
        image[col, 1] = np.uint8((word >> np.uint64(16)) & np.uint64(255))
        image[col, 2] = np.uint8((word >> np.uint64(32)) & np.uint64(255))


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def unpack_lit_row(image, total, parts, fade):
    """As `unpack_row`, each pixel times its `fade` [W]."""
    shift = np.uint64(parts - 1)
    for col in range(total.shape[0]):
        word = total[col] >> shift
        image[col, 0] = np.uint8(F32(word & LANE) * fade[col])
        image[col, 1] = np.uint8(F32((word >> np.uint64(16)) & LANE) * fade[col])
        image[col, 2] = np.uint8(F32((word >> np.uint64(32)) & LANE) * fade[col])


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def backdrop(
    image, right, down, turn, bounds, lens, pose, x, y, yaw,
    line, step, half, pads, pad_count, field, flags,
    colours, weather, hills, ground_tile, sky_tile,
):  # fmt: skip
    """Ground and sky of one picture, uint8 [H, W, 3], seen from (x, y) in direction `yaw`."""
    height, width = image.shape[0], image.shape[1]
    eye_of = np.empty(10, np.float32)
    eye_of[0], eye_of[1] = math.cos(pose[PITCH]), math.sin(pose[PITCH])
    eye_of[2], eye_of[3] = math.cos(pose[ROLL]), math.sin(pose[ROLL])
    eye_of[4], eye_of[5] = math.cos(yaw), math.sin(yaw)
    eye_of[6], eye_of[7], eye_of[8], eye_of[9] = pose[ZOOM], pose[HEIGHT], x, y
    zoom, tall, face = F32(pose[ZOOM]), F32(pose[HEIGHT]), F32(yaw)
    least = tall * F32(1.0 / FARTHEST)
    row_step, pixel = F32(1.0 / lens[4]), F32(lens[7])
    road_half, per_step = F32(half), F32(1.0 / step)
    length = F32(line.shape[0] * step)
    gx, gy, dip = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
    cell, texel = np.zeros(width, np.int32), np.zeros(width, np.int32)
    total = np.empty(width, np.uint64)
    palette = np.empty((2 * SHADES + SOLIDS, 3), np.float32)
    plain = np.empty(2 * SHADES, np.uint64)
    gradient = np.empty(SKY_LEVELS, np.uint64)
    for i in range(SKY_LEVELS):
        u = F32(i) * F32(1.0 / SKY_LEVELS)
        u *= F32(2.0) - u
        low, high = colours[SKY_LOW], colours[SKY_TOP]
        gradient[i] = pack(
            low[0] + u * (high[0] - low[0]), low[1] + u * (high[1] - low[1]), low[2] + u * (high[2] - low[2])
        )
    tile = sky_tile[int(weather[SKY_TILE])]
    night = weather[AMBIENT] < 0.9

    for row in range(height):
        middle = zoom * (down[row, width // 2] * eye_of[2] + right[row, width // 2] * eye_of[3])
        middle = middle * eye_of[0] + eye_of[1]
        distance = tall / max(middle, least)
        wide = distance * pixel * zoom
        deep = distance * distance / tall * row_step * zoom
        # Far rows are much deeper than wide: the mean of two thinner rows.
        parts = 1 if deep < 1.5 or middle <= 0.0 else 2
        deep /= F32(parts)
        total[:] = np.uint64(0)
        # The range of `dip` in this row, from the ranges of its rays: is there sky, is there ground?
        along_x, along_y = zoom * eye_of[3] * eye_of[0], zoom * eye_of[2] * eye_of[0]
        low_dip = eye_of[1] + min(along_x * bounds[row, 0], along_x * bounds[row, 1]) + along_y * bounds[row, 2]
        high_dip = eye_of[1] + max(along_x * bounds[row, 0], along_x * bounds[row, 1]) + along_y * bounds[row, 3]
        lit = False
        for part in range(parts):
            shift = ((F32(part) + F32(0.5)) / F32(parts) - F32(0.5)) * row_step
            cast_row(right[row], down[row], shift, eye_of, gx, gy, dip, cell, texel)
            if low_dip - row_step <= least:
                sky_row(total, dip, turn[row], face, least, gradient, colours, weather, hills, tile)
            if high_dip + row_step > least:
                if not lit:
                    row_palette(palette, plain, colours, weather, distance, wide, deep)
                    lit = True
                ground_row(
                    total, dip, least, gx, gy, cell, texel, wide, deep, palette, plain, ground_tile,
                    line, per_step, length, road_half, pads, pad_count, field, flags,
                )  # fmt: skip
        if night and middle > least:  # headlights: darker to both sides
            reach = distance * F32(1.0 / HEADLIGHTS)
            beam = (F32(1.0) - weather[AMBIENT]) * F32(math.exp(-reach * reach))
            scale = F32(1.0) / (weather[AMBIENT] + beam)
            for col in range(width):
                a = right[row, col] * zoom
                gx[col] = (weather[AMBIENT] + beam / (F32(1.0) + F32(1.6) * a * a)) * scale
            unpack_lit_row(image[row], total, parts, gx)
        else:
            unpack_row(image[row], total, parts)
