"""The renderer: ground plane per row (mode 7), sky, then walls and sprites from far to near, straight into the picture.

Every pixel looks along its ray (`camera.Rays`); where the ray meets the ground, the map of `ground.py` gives the
offset from the centreline and the place along it, and edges, kerbs and lines are covered by the pixel's footprint,
so that they are smooth at any size. Colours fade into fog with the distance of the row.
"""

import math

import numpy as np
from numba import njit

from envs.kart.camera import AHEAD, ASIDE, HEIGHT, LOOK, PITCH, ROLL, ZOOM
from envs.kart.columns import (
    ARC,
    ARC_X,
    ARC_Y,
    CELL,
    EDGE,
    GRASS,
    GRID,
    KERB_RATE,
    KERB_WIDE,
    OFFSET,
    OFFSET_X,
    OFFSET_Y,
    POS_X,
    POS_Y,
    SPECIAL,
    YAW,
)
from envs.kart.looks import (
    AMBIENT,
    AZIMUTHS,
    CLOUD,
    CLOUDS,
    DRIFT,
    HILL_FAR,
    HILL_NEAR,
    HILLS_BELOW,
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
)
from envs.kart.surface import (
    F32,
    HEADLIGHTS,
    LANE,
    LINE_OUT,
    SOLIDS,
    blend_row,
    pack,
    row_palette,
    special,
)

FARTHEST = 250.0  # ground beyond this is part of the sky's lower edge, m
SKY_LEVELS = 256  # steps of the sky's gradient
SUN_SIZE = 0.055  # radius of the sun's disc, rad
CLOUD_LEVELS = 32  # steps between clear sky and cloud
ROAD_BITS = np.uint32(16)  # the ground texture holds TILE * TILE = 2^16 texels of grass, then as many of road


@njit(cache=True, nogil=True)
def eye(kart, pose):
    """Place (x, y) and direction of the camera that a kart carries."""
    yaw = kart[YAW]
    x = kart[POS_X] + pose[AHEAD] * math.cos(yaw) - pose[ASIDE] * math.sin(yaw)
    y = kart[POS_Y] + pose[AHEAD] * math.sin(yaw) + pose[ASIDE] * math.cos(yaw)
    return x, y, yaw + pose[LOOK]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy", inline="always")
def dip_row(right, down, row, shift, eye_of, dip):
    """Slope downwards of the rays of one row; eye_of: float32 [10], see `backdrop`."""
    cos_p, sin_p, cos_r, sin_r, zoom = eye_of[0], eye_of[1], eye_of[2], eye_of[3], eye_of[6]
    for col in range(dip.shape[0]):
        dip[col] = (zoom * right[row, col] * sin_r + zoom * (down[row, col] + shift) * cos_r) * cos_p + sin_p


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def cast_slanted_row(right, down, row, shift, eye_of, gx, gy, dip):
    """Ground points of a row whose pixels have distances of their own: gx, gy as in `cast_row`."""
    cos_p, sin_p, cos_r, sin_r = eye_of[0], eye_of[1], eye_of[2], eye_of[3]
    cos_y, sin_y, zoom, tall, ex, ey = eye_of[4], eye_of[5], eye_of[6], eye_of[7], eye_of[8], eye_of[9]
    least = tall * F32(1.0 / FARTHEST)
    width = dip.shape[0]
    for col in range(width):  # metres to the right
        level = zoom * right[row, col] * cos_r - zoom * (down[row, col] + shift) * sin_r
        gx[col] = level * tall / max(dip[col], least)
    for col in range(width):  # metres ahead
        level = zoom * right[row, col] * sin_r + zoom * (down[row, col] + shift) * cos_r
        gy[col] = (cos_p - level * sin_p) * tall / max(dip[col], least)
    for col in range(width):
        aside, ahead = gx[col], gy[col]
        gx[col] = ex + ahead * cos_y - aside * sin_y
        gy[col] = ey + ahead * sin_y + aside * cos_y


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy", inline="always")
def cast_row(right, down, row, shift, eye_of, gx, gy, dip, cell, texel):
    """Where the rays of one row meet the ground.

    gx, gy: world, m; cell and texel: flat places in the ground map and in the texture tile. Short loops that write
    one or two arrays each, because the compiler vectorises only those.
    """
    cos_p, sin_p, sin_r = eye_of[0], eye_of[1], eye_of[3]
    cos_y, sin_y, zoom, tall, ex, ey = eye_of[4], eye_of[5], eye_of[6], eye_of[7], eye_of[8], eye_of[9]
    least = tall * F32(1.0 / FARTHEST)
    width = dip.shape[0]
    if sin_r == 0.0 and dip[0] == dip[width - 1] and dip[0] == dip[width // 2]:
        # A level row (no roll, no distortion): one distance for all its pixels.
        t = zoom * tall / max(dip[0], least)
        ahead = (cos_p / zoom - (down[row, 0] + shift) * sin_p) * t
        start_x, start_y = ex + ahead * cos_y, ey + ahead * sin_y
        for col in range(width):
            gx[col] = start_x - right[row, col] * t * sin_y
            gy[col] = start_y + right[row, col] * t * cos_y
    else:
        cast_slanted_row(right, down, row, shift, eye_of, gx, gy, dip)
    for col in range(width):
        x = min(max(gx[col], F32(0.0)), F32(GRID - 1.01)) * F32(1.0 / CELL)
        y = min(max(gy[col], F32(0.0)), F32(GRID - 1.01)) * F32(1.0 / CELL)
        cell[col] = np.int32(y) * np.int32(GRID) + np.int32(x)
    for col in range(width):
        x = np.int32(gx[col] * F32(1.0 / TEXEL)) & np.int32(TILE - 1)
        y = np.int32(gy[col] * F32(1.0 / TEXEL)) & np.int32(TILE - 1)
        texel[col] = y * np.int32(TILE) + x


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
            aside -= F32(2.0 * math.pi) * np.floor(aside * F32(0.5 / math.pi) + F32(0.5))
            inside = F32(SUN_SIZE) - F32(math.sqrt(aside * aside + (up - sun) * (up - sun)))
            glow = min(max(inside * F32(100.0), F32(0.0)), F32(1.0))
            if glow > cloud:
                cloud, mark = glow, SUN
        if cloud > 0.01:
            red, green, blue = level & LANE, (level >> np.uint32(10)) & LANE, level >> np.uint32(20)
            total[col] += pack(
                F32(red) + cloud * (colours[mark, 0] - F32(red)),
                F32(green) + cloud * (colours[mark, 1] - F32(green)),
                F32(blue) + cloud * (colours[mark, 2] - F32(blue)),
            )
        else:
            total[col] += level


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def sky_columns(turn, face, weather, ridge, cloudy):
    """Per column of a level picture: its sample of the hills and its sample of the sky tile, int32 [W] each."""
    base = face * F32(AZIMUTHS / (2.0 * math.pi)) + F32(16 * AZIMUTHS)
    drift = np.int32(weather[DRIFT])
    for col in range(turn.shape[0]):
        place = np.int32(base + turn[col] * F32(AZIMUTHS / (2.0 * math.pi)))
        ridge[col] = place & np.int32(AZIMUTHS - 1)
        cloudy[col] = (place + drift) & np.int32(AZIMUTHS - 1)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def level_sky_row(total, up, gradient, colours, weather, hills, tile, ridge, cloudy, shades):
    """`sky_row` for a row of one elevation without the sun in it, several times as fast; shades: scratch."""
    near = pack(colours[HILL_NEAR, 0], colours[HILL_NEAR, 1], colours[HILL_NEAR, 2])
    far = pack(colours[HILL_FAR, 0], colours[HILL_FAR, 1], colours[HILL_FAR, 2])
    high = min(max(up * F32(1.0 / SKY_SPAN), F32(0.0)), F32(0.999))
    level = gradient[np.uint32(high * F32(SKY_LEVELS))]
    red, green, blue = F32(level & LANE), F32((level >> np.uint32(10)) & LANE), F32(level >> np.uint32(20))
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


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy", inline="always")
def plain_row(total, cell, texel, plain, ground_tile, flags, edges):
    """Adds a whole row of plain grass and road, without branches: where colours change all the time they cost most.

    Returns how many pixels lie in cells with more in them; their columns are the first entries of `edges`.
    """
    count = 0
    for col in range(total.shape[0]):
        flag = flags[np.uint32(cell[col])]
        road = np.uint32(flag != GRASS)
        total[col] += plain[ground_tile[(road << ROAD_BITS) + np.uint32(texel[col])]]
        edges[count] = col
        count += flag >= EDGE
    return count


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy", inline="always")
def part_row(total, dip, limit, cell, texel, plain, ground_tile, flags, edges):
    """`plain_row` where dip > limit, the rest of the row is sky."""
    count = 0
    for col in range(total.shape[0]):
        if dip[col] > limit:
            flag = flags[np.uint32(cell[col])]
            road = np.uint32(flag != GRASS)
            total[col] += plain[ground_tile[(road << ROAD_BITS) + np.uint32(texel[col])]]
            edges[count] = col
            count += flag >= EDGE
    return count


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy", inline="always")
def ground_row(
    total, dip, limit, every, gx, gy, cell, texel, wide, deep, palette, plain, ground_tile,
    half, pads, pad_count, flags, rows, details, edges, mixed, work,
):  # fmt: skip
    """Ground of one row: adds packed colours where dip > limit (`every`: that is everywhere).

    edges: int32 [W], mixed: uint32 [W], work: float32 [3, W], all scratch. First everything as plain grass or road,
    then the pixels near edges once more.
    """
    if every:
        count = plain_row(total, cell, texel, plain, ground_tile, flags, edges)
    else:
        count = part_row(total, dip, limit, cell, texel, plain, ground_tile, flags, edges)
    if count > 0:
        detail_row(
            total, count, gx, gy, cell, texel, wide, deep, palette, plain, ground_tile, half, pads, pad_count, flags,
            rows, details, edges, mixed, work,
        )  # fmt: skip


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def detail_row(
    total, count, gx, gy, cell, texel, wide, deep, palette, plain, ground_tile, half, pads, pad_count, flags, rows,
    details, edges, mixed, work,
):  # fmt: skip
    """Replace plain road by what is really there in the first `count` columns of `edges`; mixed, work: scratch."""
    offsets, alongs, kerbs = work[0], work[1], work[2]
    for e in range(count):
        col = np.uint32(edges[e])
        d = np.uint32(rows[np.uint32(cell[col])])
        fx, fy = gx[col] - np.floor(gx[col]), gy[col] - np.floor(gy[col])
        along = details[d, ARC] + fx * details[d, ARC_X] + fy * details[d, ARC_Y]
        offsets[e] = details[d, OFFSET] + fx * details[d, OFFSET_X] + fy * details[d, OFFSET_Y]
        alongs[e] = along
        kerbs[e] = max(details[d, KERB_WIDE] + along * details[d, KERB_RATE], F32(0.0))
    blend_row(mixed, count, offsets, alongs, kerbs, wide, deep, half, palette)
    inside, outside = half - F32(LINE_OUT) - F32(0.5) * wide, half + F32(0.5) * wide
    for e in range(count):
        col = np.uint32(edges[e])
        spot = np.uint32(texel[col])
        road, distance = plain[ground_tile[np.uint32(TILE * TILE) + spot]], abs(offsets[e])
        colour = road if distance < inside else mixed[e]
        colour = plain[ground_tile[spot]] if distance > outside + kerbs[e] else colour
        if flags[np.uint32(cell[col])] == SPECIAL:
            colour = special(colour, offsets[e], alongs[e], wide, deep, palette, half, pads, pad_count)
        total[col] += colour - road


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy", inline="always")
def unpack_row(image, row, total, parts):
    """Mean of `parts` (1 or 2) packed colours into one row of the picture [W, 3]."""
    shift = np.uint32(parts - 1)
    for col in range(total.shape[0]):
        word = total[col] >> shift
        image[row, col, 0] = np.uint8(word & np.uint32(255))
        image[row, col, 1] = np.uint8((word >> np.uint32(10)) & np.uint32(255))
        image[row, col, 2] = np.uint8((word >> np.uint32(20)) & np.uint32(255))


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def unpack_lit_row(image, total, parts, fade):
    """As `unpack_row`, each pixel times its `fade` [W]."""
    shift = np.uint32(parts - 1)
    for col in range(total.shape[0]):
        word = total[col] >> shift
        image[col, 0] = np.uint8(F32(word & np.uint32(255)) * fade[col])
        image[col, 1] = np.uint8(F32((word >> np.uint32(10)) & np.uint32(255)) * fade[col])
        image[col, 2] = np.uint8(F32((word >> np.uint32(20)) & np.uint32(255)) * fade[col])


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def backdrop(
    image, right, down, turn, bounds, lens, pose, x, y, yaw,
    half, pads, pad_count, flags, rows, details,
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
    road_half = F32(half)
    gx, gy, dip = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
    cell, texel = np.zeros(width, np.int32), np.zeros(width, np.int32)
    total, mixed, edges = np.empty(width, np.uint32), np.empty(width, np.uint32), np.empty(width, np.int32)
    work = np.empty((3, width), np.float32)
    palette = np.empty((3, 2 * SHADES + SOLIDS), np.float32)
    plain, shades = np.empty(2 * SHADES, np.uint32), np.empty(CLOUD_LEVELS, np.uint32)
    gradient = np.empty(SKY_LEVELS, np.uint32)
    for i in range(SKY_LEVELS):
        u = F32(i) * F32(1.0 / SKY_LEVELS)
        u *= F32(2.0) - u
        low, high = colours[SKY_LOW], colours[SKY_TOP]
        gradient[i] = pack(
            low[0] + u * (high[0] - low[0]), low[1] + u * (high[1] - low[1]), low[2] + u * (high[2] - low[2])
        )
    tile = sky_tile[int(weather[SKY_TILE])]
    night = weather[AMBIENT] < 0.9
    ridge, cloudy, placed = np.empty(width, np.int32), np.empty(width, np.int32), False

    for row in range(height):
        middle = zoom * (down[row, width // 2] * eye_of[2] + right[row, width // 2] * eye_of[3])
        middle = middle * eye_of[0] + eye_of[1]
        distance = tall / max(middle, least)
        wide = distance * pixel * zoom
        deep = distance * distance / tall * row_step * zoom
        # Far rows are much deeper than wide: the mean of two thinner rows.
        parts = 1 if deep < 1.5 or middle <= 0.0 else 2
        deep /= F32(parts)
        total[:] = np.uint32(0)
        # The range of `dip` in this row, from the ranges of its rays: is there sky, is there ground?
        along_x, along_y = zoom * eye_of[3] * eye_of[0], zoom * eye_of[2] * eye_of[0]
        low_dip = eye_of[1] + min(along_x * bounds[row, 0], along_x * bounds[row, 1]) + along_y * bounds[row, 2]
        high_dip = eye_of[1] + max(along_x * bounds[row, 0], along_x * bounds[row, 1]) + along_y * bounds[row, 3]
        lit = False
        for part in range(parts):
            shift = ((F32(part) + F32(0.5)) / F32(parts) - F32(0.5)) * row_step
            level = pose[ROLL] == 0.0 and bounds[row, 2] == bounds[row, 3] and parts == 1
            if level and high_dip <= least and abs(-high_dip - weather[SUN_HEIGHT]) > SUN_SIZE:
                if not placed:
                    sky_columns(turn[row], face, weather, ridge, cloudy)
                    placed = True
                level_sky_row(total, -high_dip, gradient, colours, weather, hills, tile, ridge, cloudy, shades)
                continue
            dip_row(right, down, row, shift, eye_of, dip)
            if low_dip - row_step <= least:
                sky_row(total, dip, turn[row], face, least, gradient, colours, weather, hills, tile)
            if high_dip + row_step > least:
                if not lit:
                    row_palette(palette, plain, colours, weather, distance, wide, deep)
                    lit = True
                cast_row(right, down, row, shift, eye_of, gx, gy, dip, cell, texel)
                ground_row(
                    total, dip, least, low_dip - row_step > least, gx, gy, cell, texel, wide, deep, palette, plain,
                    ground_tile, road_half, pads, pad_count, flags, rows, details, edges, mixed, work,
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
            unpack_row(image, row, total, parts)
