"""What stands on the ground: walls, the start banner, signs, cones, scenery, karts; and what falls from the sky.

Everything is put into buckets by its depth and painted from far to near.
"""

import math

import numpy as np

from envs.kart.camera import AHEAD, ZOOM, aim, project
from envs.kart.columns import ITEM_KIND, ITEM_SIZE, ITEM_X, ITEM_Y, POS_X, POS_Y, YAW
from envs.kart.drawing import BUCKETS, drawn
from envs.kart.looks import AMBIENT, BANNER, FOG, FOG_RATE, LINE, RAIN, SNOW, WALL_A, WALL_B, WALL_TOP
from envs.kart.random import uniform
from envs.kart.sprites import FOOT, KART_VIEWS, LEVELS, SIZE
from envs.kart.surface import HEADLIGHTS

WALL_HEIGHT = 0.55  # height of a wall, m
BANNER_LOW, BANNER_HIGH, BANNER_PIECES = 3.1, 4.1, 12  # edges of the banner, m, m, and its squares across the road
DRAW_DISTANCE = 100.0  # distance up to which solid things are drawn, m
NEAR = 0.3  # nearest depth that is drawn, m
TINTS = 8


@drawn(inline="always")
def mix_pixel(image, row, col, share, red, green, blue):
    """Cover a share of a pixel with a colour."""
    image[row, col, 0] = np.uint8(image[row, col, 0] + share * (red - image[row, col, 0]))
    image[row, col, 1] = np.uint8(image[row, col, 1] + share * (green - image[row, col, 1]))
    image[row, col, 2] = np.uint8(image[row, col, 2] + share * (blue - image[row, col, 2]))


@drawn()
def column_fill(image, col, top, bottom, red, green, blue):
    """Paint rows top..bottom (floats) of one column, blending the two rows that are covered in part."""
    top, bottom = max(top, 0.0), min(bottom, float(image.shape[0]))
    if bottom <= top:
        return
    first, last = int(top), int(bottom)
    if first == last:
        mix_pixel(image, first, col, bottom - top, red, green, blue)
        return
    if top > first:
        mix_pixel(image, first, col, first + 1.0 - top, red, green, blue)
        first += 1
    r, g, b = np.uint8(red), np.uint8(green), np.uint8(blue)
    for row in range(first, last):
        image[row, col, 0], image[row, col, 1], image[row, col, 2] = r, g, b
    if bottom > last:
        mix_pixel(image, last, col, bottom - last, red, green, blue)


@drawn()
def panel(image, f0, r0, f1, r1, low, high, main, strip, view, tone):
    """An upright rectangle between two ground points (forward, right), from height low to high, with a top strip.

    main, strip: colours [3]; view: of `camera.aim`; tone: light and fog, see `set_tone`.
    """
    if f0 < NEAR and f1 < NEAR:
        return
    if f0 < NEAR:
        cut = (NEAR - f0) / (f1 - f0)
        f0, r0 = NEAR, r0 + cut * (r1 - r0)
    elif f1 < NEAR:
        cut = (NEAR - f1) / (f0 - f1)
        f1, r1 = NEAR, r1 + cut * (r0 - r1)
    x0, bottom0, depth0 = project(f0, r0, low, view)
    x1, bottom1, depth1 = project(f1, r1, low, view)
    _, top0, _ = project(f0, r0, high, view)
    _, top1, _ = project(f1, r1, high, view)
    if depth0 <= 0.0 or depth1 <= 0.0:
        return
    if x0 > x1:
        x0, x1, bottom0, bottom1, top0, top1 = x1, x0, bottom1, bottom0, top1, top0
    a, b = tone[0], tone[1]
    red, green, blue = a * main[0] + b * tone[2], a * main[1] + b * tone[3], a * main[2] + b * tone[4]
    red_s, green_s, blue_s = a * strip[0] + b * tone[2], a * strip[1] + b * tone[3], a * strip[2] + b * tone[4]
    slope = 1.0 / max(x1 - x0, 1e-3)
    # Rows are pixel centres; + 0.5 turns them into edges. Half-open columns, so that neighbours do not overlap.
    for col in range(max(int(math.ceil(x0)), 0), min(int(math.ceil(x1)), image.shape[1])):
        u = (col - x0) * slope
        top = top0 + u * (top1 - top0) + 0.5
        bottom = bottom0 + u * (bottom1 - bottom0) + 0.5
        split = top + 0.22 * (bottom - top)
        column_fill(image, col, split, bottom, red, green, blue)
        column_fill(image, col, top, split, red_s, green_s, blue_s)


@drawn()
def stamp(image, col, row, wide, high, texels, sprite, mirror, tone):
    """Paint a sprite whose ground point is at (col, row), `wide` x `high` pixels; tone as in `panel`."""
    level, side, offset = 0, SIZE, 0
    while level < LEVELS - 1 and high < 0.75 * side:
        offset += side * side * 4
        side >>= 1
        level += 1
    chain = 0
    size = SIZE
    for _ in range(LEVELS):
        chain += size * size * 4
        size >>= 1
    start = sprite * chain + offset
    left, top = col - 0.5 * wide + 0.5, row + 0.5 - (1.0 - FOOT) * high
    step_x, step_y = side / wide, side / high
    # Whole numbers in 1 / 65536: the light, and what fog adds per unit of alpha in each channel.
    light, haze = int(tone[0] * 65536.0), tone[1] * 65536.0 / 255.0
    red, green, blue = int(haze * tone[2]), int(haze * tone[3]), int(haze * tone[4])
    first_col, last_col = max(int(math.ceil(left - 0.5)), 0), min(int(math.ceil(left + wide - 0.5)), image.shape[1])
    across, stride = int((first_col + 0.5 - left) * step_x * 65536.0), int(step_x * 65536.0)
    for y in range(max(int(math.ceil(top - 0.5)), 0), min(int(math.ceil(top + high - 0.5)), image.shape[0])):
        v = min(int((y + 0.5 - top) * step_y), side - 1)
        base, place = start + v * side * 4, across
        for x in range(first_col, last_col):
            u = min(place >> 16, side - 1)
            place += stride
            at = base + 4 * (side - 1 - u if mirror else u)
            alpha = int(texels[at + 3])
            if alpha == 0:
                continue
            keep = (255 - alpha) * 257
            image[y, x, 0] = min((keep * image[y, x, 0] + light * texels[at] + alpha * red) >> 16, 255)
            image[y, x, 1] = min((keep * image[y, x, 1] + light * texels[at + 1] + alpha * green) >> 16, 255)
            image[y, x, 2] = min((keep * image[y, x, 2] + light * texels[at + 2] + alpha * blue) >> 16, 255)


@drawn()
def set_tone(tone, distance, colours, weather):
    """Fog of things at a distance, and headlights there: tone = (clear share, fog share, fog colour[3], beam)."""
    tone[1] = 1.0 - math.exp(-weather[FOG_RATE] * distance)
    tone[0] = 1.0 - tone[1]
    tone[2], tone[3], tone[4] = colours[FOG, 0], colours[FOG, 1], colours[FOG, 2]
    reach = distance / HEADLIGHTS
    tone[5] = math.exp(-reach * reach) if weather[AMBIENT] < 1.0 else 1.0


@drawn()
def solids(
    image, x, y, yaw, pose, lens, posts, count, items, item_count, fallen, karts, colours, weather, scenery,
    texels, span, first_kart, scratch,
):  # fmt: skip
    """Walls, banner, items and the other karts [K, ...] of one picture. Kart 0 carries the camera.

    posts: float32 [count or more, 2, 2], of the walls, left and right; fallen: bool [items], cones that were hit.
    """
    cos_y, sin_y = math.cos(yaw), math.sin(yaw)
    points = 2 * count
    forward, aside, place_f, place_r = scratch.places[0], scratch.places[1], scratch.places[2], scratch.places[3]
    for side in range(2):
        for i in range(count):
            dx, dy = posts[i, side, 0] - x, posts[i, side, 1] - y
            forward[side * count + i] = dx * cos_y + dy * sin_y
            aside[side * count + i] = -dx * sin_y + dy * cos_y
    total = points + item_count + karts.shape[0] + BANNER_PIECES
    head, follow, tone = scratch.head, scratch.follow, scratch.tone
    for bucket in range(BUCKETS):
        head[bucket] = -1
    edge = pose[ZOOM] * 0.5 * lens[0] / lens[3] * 1.6 + 0.3  # generous slope of the picture's border
    scale = BUCKETS / DRAW_DISTANCE
    for i in range(total):
        if i < points:
            j = i + 1 if (i + 1) % count else i + 1 - count
            f, r = 0.5 * (forward[i] + forward[j]), 0.5 * (aside[i] + aside[j])
            reach = 3.0
        elif i < points + BANNER_PIECES:
            u = (i - points + 0.5) / BANNER_PIECES
            f = forward[0] + u * (forward[count] - forward[0])
            r = aside[0] + u * (aside[count] - aside[0])
            reach = 1.0
        else:
            j = i - points - BANNER_PIECES
            if j < item_count:
                dx, dy = items[j, ITEM_X] - x, items[j, ITEM_Y] - y
                reach = 0.0 if fallen[j] else 6.0
            else:
                j -= item_count
                dx, dy = karts[j, POS_X] - x, karts[j, POS_Y] - y
                reach = 0.0 if j == 0 and pose[AHEAD] > -1.0 else 2.0
            f, r = dx * cos_y + dy * sin_y, -dx * sin_y + dy * cos_y
            if reach == 0.0:
                continue
        if -1.0 < f < DRAW_DISTANCE and abs(r) < edge * f + reach:
            bucket = int(max(f, 0.0) * scale)
            follow[i], head[bucket] = head[bucket], i
            place_f[i], place_r[i] = f, r

    view = aim(pose, lens)
    for bucket in range(BUCKETS - 1, -1, -1):
        i = head[bucket]
        if i >= 0:
            set_tone(tone, (bucket + 0.5) / scale, colours, weather)
            clear = tone[0]
        while i >= 0:
            f, r = place_f[i], place_r[i]
            if weather[AMBIENT] < 1.0:  # lit by the headlights, less to both sides
                aside_slope = r / max(f, 0.5)
                beam = tone[5] / (1.0 + 1.6 * aside_slope * aside_slope)
                tone[0] = clear * (weather[AMBIENT] + (1.0 - weather[AMBIENT]) * beam)
            if i < points:
                j = i + 1 if (i + 1) % count else i + 1 - count
                paint = WALL_A if (i % count) & 1 else WALL_B
                panel(image, forward[i], aside[i], forward[j], aside[j], 0.0, WALL_HEIGHT, colours[paint],
                      colours[WALL_TOP], view, tone)  # fmt: skip
            elif i < points + BANNER_PIECES:
                k = i - points
                df = (forward[count] - forward[0]) / BANNER_PIECES
                dr = (aside[count] - aside[0]) / BANNER_PIECES
                f0, r0 = forward[0] + k * df, aside[0] + k * dr
                paint, other = (LINE, BANNER) if k & 1 else (BANNER, LINE)
                middle = 0.5 * (BANNER_LOW + BANNER_HIGH)
                f1, r1 = f0 + df, r0 + dr
                panel(image, f0, r0, f1, r1, BANNER_LOW, middle, colours[paint], colours[paint], view, tone)
                panel(image, f0, r0, f1, r1, middle, BANNER_HIGH, colours[other], colours[other], view, tone)
                if k == 0 or k == BANNER_PIECES - 1:
                    f0, r0, post = (f0, r0, colours[BANNER]) if k == 0 else (f1, r1, colours[BANNER])
                    panel(image, f0, r0 - 0.1, f0, r0 + 0.1, 0.0, BANNER_HIGH, post, post, view, tone)
            else:
                j = i - points - BANNER_PIECES
                col, row, depth = project(f, r, 0.0, view)
                if depth > NEAR:
                    mirror = False
                    if j < item_count:
                        sprite = scenery[int(items[j, ITEM_KIND])]
                        size = span[sprite] * items[j, ITEM_SIZE]
                    else:
                        j -= item_count
                        turn = karts[j, YAW] - yaw - math.atan2(r, f)
                        turn -= 2.0 * math.pi * math.floor(turn / (2.0 * math.pi) + 0.5)
                        side_seen = int(abs(turn) / math.pi * (KART_VIEWS - 1) + 0.5)
                        mirror = turn < 0.0
                        sprite = first_kart + (j % TINTS) * KART_VIEWS + side_seen
                        size = span[sprite]
                    pixels = size / (depth * pose[ZOOM])
                    stamp(image, col, row, pixels * lens[3], pixels * lens[4], texels, sprite, mirror, tone)
            i = follow[i]


@drawn()
def falling(image, weather, state, index):
    """Rain streaks or snow flakes, drawn from the picture's own random state[index]."""
    height, width = image.shape[0], image.shape[1]
    if weather[RAIN] > 0.0:
        size = max(height // 14, 3)
        for _ in range(int(weather[RAIN] * width * height / 260)):
            col = int(uniform(state, index, 0.0, float(width)))
            row = int(uniform(state, index, 0.0, float(height)))
            for k in range(size):
                if row + k < height:
                    for c in range(3):
                        image[row + k, col, c] += np.uint8((225 - min(image[row + k, col, c], 225)) * 0.25)
    if weather[SNOW] > 0.0:
        for _ in range(int(weather[SNOW] * width * height / 220)):
            col = int(uniform(state, index, 0.0, float(width)))
            row = int(uniform(state, index, 0.0, float(height)))
            size = 1 + int(uniform(state, index, 0.0, max(height / 90.0, 1.0)))
            for dy in range(size):
                for dx in range(size):
                    if row + dy < height and col + dx < width:
                        for c in range(3):
                            value = image[row + dy, col + dx, c]
                            image[row + dy, col + dx, c] = np.uint8(value + (250 - min(value, 250)) * 0.7)
