"""Pictures of a game: each function draws one observation of a game straight into the caller's array.

Everything stands at the floor of its position in every picture: the world is the same to the pixel in all.
In the grey view an object's edge covers part of a 3x5 block, and the block's own mean of the background
stands for the rest; apart from that it is the mean of the picture's luma.
"""

import math

import numpy as np
from numba import njit

from envs.flappy.art import (
    BACK,
    BIRD,
    BLOCK_X,
    BLOCK_Y,
    BODY,
    GREY,
    GROUND,
    GROUPS,
    PALETTES,
    PIPE,
    PIPE_ROWS,
    SHADOW,
    STRIPE,
    VARIANTS,
    VIEW_X,
)  # fmt: skip
from envs.flappy.facts import GREY_SIZE, HEIGHT, SEED_SIZE, WIDTH
from envs.flappy.rules import (
    BIRD_HEIGHT,
    BIRD_LEFT,
    BIRD_RIGHT,
    BIRD_WIDTH,
    BIRD_X,
    BODY_INSET,
    CAP_HEIGHT,
    GROUND_ROW,
    GROUND_Y,
    LOOKS,
    MAX_FALL,
    PIPE_WIDTH,
    current_speed,
    random_unit,
)  # fmt: skip

BACK_0, PIPE_0, BIRD_0, GROUND_0 = BACK.start, PIPE.start, BIRD.start, GROUND.start
PIPE_COLOUR, BIRD_COLOUR = PIPE_0 + 1, BIRD_0  # colours that are seen most
OUTLINES = (PIPE_0 + 3, BIRD_0 + 4)
CONTRAST = 50.0  # grey levels between random pipes and birds and their random sky
FIRST_GROUND_BLOCK = GROUND_ROW // BLOCK_Y  # 80
SKY_SHARE = (GROUND_ROW % BLOCK_Y) / BLOCK_Y  # share of the sky in the first row of ground blocks
WINGS = np.array([0, 1, 2, 1])  # positions of the wing, three frames each


@njit(cache=True, nogil=True)
def luma(colour):
    """Returns the grey level of a colour (red, green, blue), 0 to 255."""
    return GREY[0] * colour[0] + GREY[1] * colour[1] + GREY[2] * colour[2]


@njit(cache=True, nogil=True)
def greys_of(game):
    """The palette in grey, float32 [colours]."""
    greys = np.empty(len(GROUPS), np.float32)
    for k in range(len(GROUPS)):
        greys[k] = luma(game.palette[k])
    return greys


@njit(cache=True, nogil=True)
def turn_and_scale(palette, group, angle, scale):
    """Rotates the hue of a group's colours around the grey axis (Rodrigues) and scales their brightness."""
    c, s = math.cos(angle), math.sin(angle) / math.sqrt(3.0)
    for colour in range(len(GROUPS)):
        if GROUPS[colour] == group:
            r, g, b = palette[colour, 0], palette[colour, 1], palette[colour, 2]
            mean = (r + g + b) / 3.0 * (1.0 - c)
            palette[colour, 0] = min(max(scale * (r * c + mean + (b - g) * s), 0.0), 255.0)
            palette[colour, 1] = min(max(scale * (g * c + mean + (r - b) * s), 0.0), 255.0)
            palette[colour, 2] = min(max(scale * (b * c + mean + (g - r) * s), 0.0), 255.0)


@njit(cache=True, nogil=True)
def relight(palette, group, main, target):
    """Scales a group's brightness until the colour `main` has luma `target`.

    What no scale reaches within 255 is done by mixing white into all but the outline, which stays dark.
    """
    now, brightest = luma(palette[main]), max(palette[main, 0], palette[main, 1], palette[main, 2])
    scale = min(target, now * 255.0 / max(brightest, 1.0)) / max(now, 1.0)
    white = max(0.0, target - now * scale) / (255.0 - now * scale)
    for colour in range(len(GROUPS)):
        if GROUPS[colour] == group and not (white > 0.0 and colour in OUTLINES):
            for channel in range(3):
                value = min(scale * palette[colour, channel], 255.0)
                palette[colour, channel] = value + white * (255.0 - value)


@njit(cache=True, nogil=True)
def dress(game, rules):
    """Draws the looks of an episode: light, background and, if asked for, a random palette.

    Pipes and bird stay visible in it: their luma is uniform over all that is CONTRAST away from the sky's.
    """
    night = rules.light if rules.light < 2 else np.int64(random_unit(game, LOOKS) < 0.5)
    variant = np.int64(random_unit(game, LOOKS) * VARIANTS) if rules.random_background else 0
    game.backdrop = 2 * variant + night
    palette = game.palette
    for colour in range(len(GROUPS)):
        for channel in range(3):
            palette[colour, channel] = PALETTES[night, colour, channel]
    if not rules.random_colours:
        return
    for group in range(5):
        angle = 2.0 * math.pi * random_unit(game, LOOKS)
        turn_and_scale(palette, group, angle, 0.55 + 0.5 * random_unit(game, LOOKS))
    sky = 0.5 * (luma(palette[BACK_0]) + luma(palette[BACK_0 + 1]))
    darker, lighter = max(0.0, sky - CONTRAST - 25.0), max(0.0, 215.0 - sky - CONTRAST)
    for group, colour in ((2, PIPE_COLOUR), (3, BIRD_COLOUR)):
        target = random_unit(game, LOOKS) * (darker + lighter)
        relight(palette, group, colour, 25.0 + target if target < darker else sky + CONTRAST + target - darker)


@njit(cache=True, nogil=True)
def paint_small_backdrop(scene, look, game):
    """The background of an episode in grey: scene float32 [84, 84]."""
    greys, weights = greys_of(game), look.backdrop_small[game.backdrop]
    for r in range(GREY_SIZE):
        for c in range(GREY_SIZE):
            grey = np.float32(0.0)
            for k in range(weights.shape[2]):
                grey += weights[r, c, k] * greys[BACK_0 + k]
            scene[r, c] = grey


@njit(cache=True, nogil=True)
def paint_backdrop(scene, look, game):
    """The background of an episode in colour: scene uint8 [403, 288, 3]."""
    palette, weights = game.palette, look.backdrop[game.backdrop]
    for r in range(GROUND_ROW):
        for x in range(WIDTH):
            red, green, blue = np.float32(0.5), np.float32(0.5), np.float32(0.5)
            for k in range(weights.shape[2]):
                if weights[r, x, k] == 0:
                    continue
                w = weights[r, x, k] * np.float32(1.0 / 255.0)
                red += w * palette[BACK_0 + k, 0]
                green += w * palette[BACK_0 + k, 1]
                blue += w * palette[BACK_0 + k, 2]
            scene[r, x, 0], scene[r, x, 1], scene[r, x, 2] = np.uint8(red), np.uint8(green), np.uint8(blue)


@njit(cache=True, nogil=True)
def pipe_row(row, top, bottom):
    """Kind of a pipe's drawn row, -1 in the gap."""
    outwards = top - 1 - row if row < top else row - bottom
    return PIPE_ROWS[min(outwards, len(PIPE_ROWS) - 1)] if outwards >= 0 else -1


@njit(cache=True, nogil=True)
def draw_grey(frame, scene, look, game):
    """The grey view: frame uint8 [84, 84]; scene float32 [84, 84] is the episode's painted background."""
    greys = greys_of(game)
    half = np.float32(0.5)
    for r in range(FIRST_GROUND_BLOCK + 1):
        for c in range(GREY_SIZE):
            frame[r, c] = np.uint8(scene[r, c] + half)

    grey = np.empty((4, 18), np.float32)  # grey levels of the four kinds of rows
    cover = np.empty((4, 18), np.float32)
    for p in range(game.pipes):
        x = int(math.floor(game.pipe_x[p])) - VIEW_X
        if x >= WIDTH - VIEW_X or x <= -PIPE_WIDTH:
            continue
        first, phase = x // BLOCK_X, x % BLOCK_X
        for kind in range(4):
            for c in range(18):
                weights = look.pipe_small[kind, phase, c]
                grey[kind, c] = (
                    weights[0] * greys[PIPE_0] + weights[1] * greys[PIPE_0 + 1]
                    + weights[2] * greys[PIPE_0 + 2] + weights[3] * greys[PIPE_0 + 3]
                )  # fmt: skip
                cover[kind, c] = weights[0] + weights[1] + weights[2] + weights[3]
        left, right = max(0, -first), min(18, GREY_SIZE - first)
        top, bottom = game.gap_top[p], game.gap_bottom[p]
        for r in range(FIRST_GROUND_BLOCK + 1):
            row = r * BLOCK_Y
            if row >= top and row + BLOCK_Y <= bottom:
                continue
            if pipe_row(row, top, bottom) == BODY and pipe_row(row + BLOCK_Y - 1, top, bottom) == BODY:
                for c in range(left, right):
                    behind = scene[r, first + c] * (np.float32(1.0) - cover[BODY, c])
                    frame[r, first + c] = np.uint8(behind + grey[BODY, c] + half)
                continue
            for c in range(left, right):
                light, covered = np.float32(0.0), np.float32(0.0)
                for k in range(BLOCK_Y):
                    kind = pipe_row(row + k, top, bottom)
                    if kind >= 0:
                        light += grey[kind, c]
                        covered += cover[kind, c]
                behind = scene[r, first + c] * (np.float32(1.0) - covered / np.float32(BLOCK_Y))
                frame[r, first + c] = np.uint8(behind + light / np.float32(BLOCK_Y) + half)

    shift = (VIEW_X + int(math.floor(game.travelled))) % STRIPE
    period = STRIPE // BLOCK_X
    for b in range(GREY_SIZE - FIRST_GROUND_BLOCK):
        share = np.float32(SKY_SHARE) if b == 0 else np.float32(0.0)
        for c in range(period):
            ground = np.float32(0.0)
            for k in range(5):
                ground += look.ground_small[shift, b, c, k] * greys[GROUND_0 + k]
            for column in range(c, GREY_SIZE, period):
                r = FIRST_GROUND_BLOCK + b
                above = share * frame[r, column] if b == 0 else np.float32(0.0)
                frame[r, column] = np.uint8(above + ground + half)

    y, left = int(math.floor(game.y)), (BIRD_X - VIEW_X) // BLOCK_X
    bird = look.bird_small[WINGS[game.frames // 3 % 4], y % BLOCK_Y]
    for r in range(bird.shape[0]):
        row = y // BLOCK_Y + r
        for c in range(bird.shape[1]):
            light, covered = np.float32(0.0), np.float32(0.0)
            for k in range(7):
                light += bird[r, c, k] * greys[BIRD_0 + k]
                covered += bird[r, c, k]
            frame[row, left + c] = np.uint8(frame[row, left + c] * (np.float32(1.0) - covered) + light + half)


@njit(cache=True, nogil=True)
def mix(picture, row, x, palette, first, weights):
    """One pixel of weights times palette."""
    for channel in range(3):
        value = np.float32(0.5)
        for k in range(weights.shape[0]):
            value += weights[k] * palette[first + k, channel]
        picture[row, x, channel] = np.uint8(value)


@njit(cache=True, nogil=True)
def draw_world(picture, scene, look, game):
    """The picture but for the bird: uint8 [512, 288, 3] from scene uint8 [403, 288, 3], its background."""
    palette = game.palette
    for row in range(GROUND_ROW):
        for x in range(WIDTH):
            for channel in range(3):
                picture[row, x, channel] = scene[row, x, channel]
    pipe = np.empty((4, PIPE_WIDTH, 3), np.uint8)  # one row of each kind
    for kind in range(4):
        for column in range(PIPE_WIDTH):
            mix(pipe, kind, column, palette, PIPE_0, look.pipe[kind, column])
    for p in range(game.pipes):
        left = int(math.floor(game.pipe_x[p]))
        for row in range(GROUND_ROW):
            kind = pipe_row(row, game.gap_top[p], game.gap_bottom[p])
            if kind < 0:
                continue
            inset = BODY_INSET if kind >= SHADOW else 0
            for column in range(max(inset, -left), min(PIPE_WIDTH - inset, WIDTH - left)):
                for channel in range(3):
                    picture[row, left + column, channel] = pipe[kind, column, channel]
    shift = int(math.floor(game.travelled))
    for row in range(GROUND_ROW, HEIGHT):
        for x in range(STRIPE):
            mix(picture, row, x, palette, GROUND_0, look.ground[row - GROUND_ROW, (x + shift) % STRIPE])
        for x in range(STRIPE, WIDTH):
            for channel in range(3):
                picture[row, x, channel] = picture[row, x - STRIPE, channel]


@njit(cache=True, nogil=True)
def draw_bird(picture, look, game):
    """The bird over a picture uint8 [512, 288, 3]."""
    y, bird = int(math.floor(game.y)), look.bird[WINGS[game.frames // 3 % 4]]
    for r in range(BIRD_HEIGHT):
        for c in range(BIRD_LEFT[r], BIRD_RIGHT[r]):
            mix(picture, y + r, BIRD_X + c, game.palette, BIRD_0, bird[r, c])


@njit(cache=True, nogil=True)
def draw_seed(frame, game):
    """What the seed project's network saw, upright: frame uint8 [80, 80] of 0 and 255.

    The whole picture over a black background, shrunk by bilinear sampling without smoothing and cut at grey
    level 1: a pixel is lit where one of the four that it samples belongs to the bird, a pipe or the ground.
    """
    y = int(math.floor(game.y))
    for r in range(SEED_SIZE):
        row = int(math.floor((r + 0.5) * HEIGHT / SEED_SIZE - 0.5))
        ground = row + 1 >= GROUND_ROW
        for c in range(SEED_SIZE):
            frame[r, c] = 255 if ground else 0
        if ground:
            continue
        for p in range(game.pipes):
            left = int(math.floor(game.pipe_x[p]))
            top, bottom = game.gap_top[p], game.gap_bottom[p]
            if row >= top and row + 1 < bottom:
                continue
            cap = row + 1 >= top - CAP_HEIGHT and row < bottom + CAP_HEIGHT
            inset = 0 if cap else BODY_INSET
            for c in range(SEED_SIZE):
                x = int(math.floor((c + 0.5) * WIDTH / SEED_SIZE - 0.5))
                if x + 1 >= left + inset and x < left + PIPE_WIDTH - inset:
                    frame[r, c] = 255
        for k in range(max(0, row - y), min(BIRD_HEIGHT, row + 2 - y)):
            for c in range(BIRD_X * SEED_SIZE // WIDTH - 1, (BIRD_X + BIRD_WIDTH) * SEED_SIZE // WIDTH + 2):
                x = int(math.floor((c + 0.5) * WIDTH / SEED_SIZE - 0.5)) - BIRD_X
                if x + 1 >= BIRD_LEFT[k] and x < BIRD_RIGHT[k]:
                    frame[r, c] = 255


@njit(cache=True, nogil=True)
def write_numbers(numbers, game, rules):
    """The `state` observation, float32 [9]: y / 404.48, velocity / 10, speed / 4 and, for the next two pipes
    not yet behind the bird, distance / 288, gap top / 404.48, gap bottom / 404.48.

    The distance is from the bird's left edge to the pipe's. A pipe that is alone is given twice.
    """
    numbers[0] = game.y / GROUND_Y
    numbers[1] = game.velocity / MAX_FALL
    numbers[2] = current_speed(game, rules) / 4.0
    last = game.pipes - 1
    p = 0
    while p < last and game.pipe_x[p] + PIPE_WIDTH <= BIRD_X:
        p += 1
    for k in range(2):
        numbers[3 + 3 * k] = (game.pipe_x[p] - BIRD_X) / WIDTH
        numbers[4 + 3 * k] = game.gap_top[p] / GROUND_Y
        numbers[5 + 3 * k] = game.gap_bottom[p] / GROUND_Y
        p = min(p + 1, last)
