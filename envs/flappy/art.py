"""The drawn world, own art made by code: every pixel is a mixture of the palette's colours.

Each table holds *weights* of palette colours, never colours. A picture is weights times palette, and a mean
of pixels is a mean of weights, so the 84x84 grey view is the same scene as the 288x512 one under every
palette, day, night or random. The grey view shows the columns 36..287 and the rows 0..419 of the picture,
each of its pixels the mean over a block 3 wide and 5 high: what lies left of it has been passed, what lies
below it is soil.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from envs.flappy.facts import GREY_SIZE, HEIGHT, WIDTH
from envs.flappy.rules import (
    BIRD_HEIGHT,
    BIRD_WIDTH,
    BODY_INSET,
    CAP_HEIGHT,
    GROUND_ROW,
    PIPE_WIDTH,
    silhouette,
)  # fmt: skip

BLOCK_X, BLOCK_Y = 3, 5  # px of the picture per pixel of the grey view
VIEW_X = WIDTH - GREY_SIZE * BLOCK_X  # 36, first column of the grey view
GREY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601 luma
STRIPE = 24  # px, period of the ground
VARIANTS = 4  # backgrounds to draw from, each by day and by night

COLOURS = {  # name: (day, night); the order gives the slices below
    "sky top": ((88, 164, 228), (14, 18, 50)),
    "sky low": ((222, 240, 240), (70, 66, 124)),
    "cloud": ((255, 255, 255), (84, 84, 138)),
    "glow": ((255, 244, 196), (246, 240, 214)),
    "far hill": ((158, 190, 214), (50, 52, 104)),
    "near hill": ((140, 190, 150), (34, 46, 84)),
    "bush": ((96, 158, 108), (20, 32, 62)),
    "pipe light": ((142, 226, 200), (120, 200, 194)),
    "pipe": ((46, 152, 142), (52, 138, 144)),
    "pipe dark": ((20, 92, 102), (24, 82, 102)),
    "pipe line": ((12, 50, 64), (8, 26, 48)),
    "body": ((230, 78, 66), (238, 98, 84)),
    "belly": ((255, 226, 194), (250, 224, 200)),
    "wing": ((170, 40, 60), (182, 56, 76)),
    "eye": ((255, 255, 255), (255, 255, 255)),
    "ink": ((58, 20, 36), (40, 12, 34)),
    "beak": ((255, 186, 58), (255, 190, 80)),
    "mouth": ((232, 138, 38), (226, 140, 60)),
    "grass light": ((164, 214, 106), (78, 118, 98)),
    "grass dark": ((124, 182, 84), (58, 94, 84)),
    "edge": ((70, 62, 52), (22, 24, 40)),
    "soil": ((226, 198, 150), (96, 84, 96)),
    "soil dark": ((206, 174, 126), (80, 68, 84)),
}
PALETTES = np.array(list(zip(*COLOURS.values(), strict=True)), np.float32)  # [2, colours, 3]
BACK, PIPE, BIRD, GROUND = slice(0, 7), slice(7, 11), slice(11, 18), slice(18, 23)
GROUPS = np.array([0] * 4 + [1] * 3 + [2] * 4 + [3] * 7 + [4] * 5)  # colours that are randomised together

RIM, FACE, SHADOW, BODY = 0, 1, 2, 3  # kinds of a pipe's rows, from the gap outwards
PIPE_ROWS = np.array([RIM] * 2 + [FACE] * (CAP_HEIGHT - 4) + [RIM] * 2 + [SHADOW] * 4 + [BODY])  # then BODY


class FlappyLook(NamedTuple):
    """Weights of the colours, float32 unless noted; in the small tables 0 where nothing is drawn."""

    backdrop: np.ndarray  # [2 * variants, 403, 288, 7] uint8, 255 is all
    backdrop_small: np.ndarray  # [2 * variants, 84, 84, 7]
    pipe: np.ndarray  # [kind, 52, 4]
    pipe_small: np.ndarray  # [kind, x % 3, 18, 4]
    bird: np.ndarray  # [wing, 24, 34, 7]
    bird_small: np.ndarray  # [wing, y % 5, 6, 12, 7]
    ground: np.ndarray  # [109, 24, 5]
    ground_small: np.ndarray  # [shift, 4, 8, 5], the rows 80..83 of the grey view


def _coverage(distance: np.ndarray) -> np.ndarray:
    """Share of a pixel inside an edge that is `distance` px away, positive inside."""
    return np.clip(distance + 0.5, 0, 1)


def _over(weights: np.ndarray, colour: int, alpha: np.ndarray) -> None:
    """Paints `colour` with opacity `alpha` [H, W] over weights [H, W, colours]."""
    weights *= 1 - alpha[..., None]
    weights[..., colour] += alpha


def _disc(alpha: np.ndarray, x: float, y: float, radius: float, flat: float = 1.0) -> None:
    """Adds an ellipse, `flat` times as high as wide, to alpha [H, W]."""
    top, left = max(0, int(y - radius - 2)), max(0, int(x - radius - 2))
    part = alpha[top : int(y + radius + 3), left : max(0, int(x + radius + 3))]
    rows, columns = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
    distance = np.hypot(columns + 0.5 - x, (rows + 0.5 - y) / flat)
    np.maximum(part, _coverage(radius - distance), out=part)


class _Canvas:
    """The weights of a picture's seven colours while it is painted, and the place of each pixel."""

    def __init__(self, rng: np.random.Generator, night: bool):
        self.rng, self.night = rng, night
        self.rows, self.columns = np.mgrid[:GROUND_ROW, :WIDTH] + 0.5
        self.weights = np.zeros((GROUND_ROW, WIDTH, 7))

    def blank(self) -> np.ndarray:
        """A layer with nothing on it."""
        return np.zeros((GROUND_ROW, WIDTH))

    def paint(self, colour: int, layer: np.ndarray) -> None:
        """Puts a layer of opacities 0..1 over what is there."""
        _over(self.weights, colour, layer)

    def quantised(self) -> np.ndarray:
        """The weights as uint8, each pixel's sum 255."""
        whole = np.floor(self.weights * 255).astype(np.uint8)
        largest = whole.argmax(2)[..., None]  # takes what rounding has left over
        rest = 255 - whole.sum(2, dtype=np.int64)[..., None]
        np.put_along_axis(whole, largest, (np.take_along_axis(whole, largest, 2) + rest).astype(np.uint8), 2)
        return whole


def _backdrop(variant: int, night: bool) -> np.ndarray:
    """Sky, sun or moon, stars, clouds, hills, trees, bushes: uint8 [403, 288, 7], each pixel's sum 255."""
    # The seed is fixed: a background is a picture, not a part of a run.
    canvas = _Canvas(np.random.default_rng([variant, 2]), night)
    _sky(canvas)
    _clouds(canvas)
    _hills(canvas)
    _bushes(canvas)
    return canvas.quantised()


def _sky(canvas: _Canvas) -> None:
    """The sky's gradient, the stars of a night, the sun or the moon with its glow."""
    rng, rows, columns = canvas.rng, canvas.rows, canvas.columns
    canvas.weights[..., 1] = np.clip(rows / 340, 0, 1) ** 0.9
    canvas.weights[..., 0] = 1 - canvas.weights[..., 1]
    x, y = rng.uniform(200, 258), rng.uniform(52, 90)
    if canvas.night:
        for _ in range(60):
            star = canvas.blank()
            _disc(star, rng.uniform(0, WIDTH), rng.uniform(0, 270), rng.uniform(0.35, 1.1))
            canvas.paint(3, star * rng.uniform(0.4, 0.9))
    distance = np.hypot(columns - x, rows - y)
    canvas.paint(3, 0.38 * np.exp(-((distance / 52) ** 2)))
    sun = canvas.blank()
    _disc(sun, x, y, 20)
    if canvas.night:  # a crescent
        shade = canvas.blank()
        _disc(shade, x + 9, y - 6, 17)
        sun *= 1 - shade
    canvas.paint(3, sun)


def _clouds(canvas: _Canvas) -> None:
    """Four clouds with flat undersides."""
    rng, rows = canvas.rng, canvas.rows
    for k in range(4):
        cloud = canvas.blank()
        x, y, size = rng.uniform(-10, 40) + 78 * k, rng.uniform(80, 245), rng.uniform(0.7, 1.25)
        for dx, radius in ((-27, 9), (-13, 15), (5, 20), (23, 13), (36, 7)):
            _disc(cloud, x + dx * size, y - (radius - 7) * 0.5 * size, radius * size, 0.8)
        cloud *= _coverage(y + 7 * size - rows)  # a flat underside
        canvas.paint(2, cloud * (0.5 if canvas.night else 0.82 - 0.4 * _coverage((rows - y) / 24)))


def _hills(canvas: _Canvas) -> None:
    """Far hills in the haze, near ones, and the trees on these."""
    rng, rows, columns = canvas.rng, canvas.rows, canvas.columns
    waves = rng.uniform(0, 2 * np.pi, 6)
    turn = 2 * np.pi * columns / WIDTH
    far = 306 + 20 * np.sin(turn + waves[0]) + 9 * np.sin(3 * turn + waves[1])
    far = far + 2.5 * np.sin(7 * turn + waves[2])
    haze = np.clip((rows - far) / 130, 0, 0.6)  # mist gathers in the valley
    canvas.paint(4, _coverage(rows - far) * (0.95 - haze))
    near = 350 + 14 * np.sin(turn + waves[3]) + 8 * np.sin(2 * turn + waves[4])
    canvas.paint(5, _coverage(rows - near))
    trees = canvas.blank()
    for x in rng.uniform(0, WIDTH, 9):
        foot = near[0, int(x)]
        for up, radius in ((-7.0, 5.5), (-13.0, 4.2), (-18.0, 2.8)):
            _disc(trees, x, foot + up, radius)
        trees = np.maximum(trees, _coverage(1.2 - np.abs(columns - x)) * _coverage(4 - np.abs(rows - foot)))
    canvas.paint(6, trees * 0.55)
    canvas.paint(5, trees * 0.35)


def _bushes(canvas: _Canvas) -> None:
    """The row of bushes above the ground, and their lit crowns."""
    rng, bushes, crowns = canvas.rng, canvas.blank(), canvas.blank()
    for x in np.arange(-10, WIDTH + 20, 15):
        _disc(bushes, x + rng.uniform(-5, 5), GROUND_ROW - 1, rng.uniform(10, 22), 0.9)
    canvas.paint(6, bushes)
    for x in np.arange(-4, WIDTH + 20, 13):
        _disc(crowns, x + rng.uniform(-5, 5), GROUND_ROW + 5, rng.uniform(8, 17), 0.9)
    canvas.paint(5, crowns * 0.35)


def _pipe() -> np.ndarray:
    """Weights of the four kinds of rows, [kind, 52, 4]: a round pillar lit from the left."""
    weights = np.zeros((4, PIPE_WIDTH, 4))
    for kind, inset in ((RIM, 0), (FACE, 0), (SHADOW, BODY_INSET), (BODY, BODY_INSET)):
        x = np.linspace(-1, 1, PIPE_WIDTH - 2 * inset)
        light = 0.95 * np.exp(-(((x + 0.45) / 0.22) ** 2)) + 0.3 * np.exp(-(((x - 0.72) / 0.1) ** 2))
        dark = np.clip((x - 0.1) / 1.0, 0, 0.85) + np.clip((-0.75 - x) * 2, 0, 0.5)
        part = np.stack([light, np.clip(1 - light - dark, 0, 1), dark * (1 - light), 0 * x], 1)
        part /= part.sum(1, keepdims=True)
        if kind == SHADOW:
            part = part * 0.45 + np.array([0, 0, 0.45, 0.1])
        part[:2] = part[-2:] = (0, 0, 0, 1)
        if kind == RIM:
            part[:] = (0, 0, 0, 1)
        weights[kind, inset : PIPE_WIDTH - inset] = part
    return weights


def _bird() -> np.ndarray:
    """Weights of the bird for three phases of the wing, [3, 24, 34, 7]; they sum to 1 in the silhouette."""
    fine = 8  # samples per pixel and axis
    shape = silhouette(fine)
    inner = shape.copy()
    for _ in range(fine + 2):  # a line of 1.25 px around everything
        padded = np.pad(inner, 1)
        inner = inner & padded[2:, 1:-1] & padded[:-2, 1:-1] & padded[1:-1, 2:] & padded[1:-1, :-2]
    y, x = (np.mgrid[: BIRD_HEIGHT * fine, : BIRD_WIDTH * fine] + 0.5) / fine
    body, belly, wing, eye, ink, beak, mouth = range(7)

    def ellipse(cx, cy, rx, ry):
        return ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1

    pictures = []
    for tip, drop in ((-6.5, -0.8), (0.0, 1.6), (5.5, 3.0)):  # wing up, level, down
        colour = np.full(shape.shape, body)
        colour[ellipse(17, 20, 10, 7.5)] = belly
        colour[(x < 5.5) & (y < 14)] = wing  # the tail
        bill = (x > 23.6 + 0.16 * (y - 13.5) ** 2) & (y > 7.5)
        colour[bill & (y < 13.8)] = beak
        colour[bill & (y >= 13.8)] = mouth
        colour[(np.abs(bill * 1.0 - np.roll(bill, fine // 2, 1)) > 0) & (x > 20) & (x < 29)] = ink
        colour[ellipse(21.3, 8.2, 4.4, 4.4)] = ink
        colour[ellipse(21.3, 8.2, 3.6, 3.6)] = eye
        colour[ellipse(22.5, 8.4, 1.7, 2.1)] = ink
        colour[ellipse(23.1, 7.6, 0.65, 0.65)] = eye
        along = (14.5 - x) / 11  # 0 at the shoulder, 1 at the tip
        middle = 12 + drop + tip * along**2
        half = 4.2 * np.sqrt(np.clip(1 - (2 * along - 0.9) ** 2 / 1.25, 0, 1))
        colour[np.abs(y - middle) <= half] = ink
        colour[np.abs(y - middle) <= half - 1.0] = wing
        colour[(np.abs(y - middle) <= half - 2.4) & (y < middle)] = body
        colour[~inner] = ink
        weights = np.eye(7)[colour] * shape[..., None]
        weights = weights.reshape(BIRD_HEIGHT, fine, BIRD_WIDTH, fine, 7).sum((1, 3))
        weights += 1e-9 * np.eye(7)[ink]  # a pixel of the silhouette is at least half covered
        pictures.append(weights / weights.sum(2, keepdims=True) * silhouette()[..., None])
    return np.stack(pictures)


def _ground() -> np.ndarray:
    """Weights of one period of the ground from row 403 down, [109, 24, 5]: striped grass, soil."""
    rows, columns = np.mgrid[: HEIGHT - GROUND_ROW, :STRIPE]
    slanted = (columns + rows) % STRIPE
    weights = np.zeros((HEIGHT - GROUND_ROW, STRIPE, 5))
    stripe = np.clip(np.minimum(slanted, 12 - slanted) + 1, 0, 1.0)
    grass = rows < 15
    weights[..., 0], weights[..., 1] = grass * stripe, grass * (1 - stripe)
    weights[0:2] = weights[15:17] = (0, 0, 1, 0, 0)
    weights[2, :, :] = (1, 0, 0, 0, 0)
    soil = rows >= 17
    band = np.where(rows < 21, 1.0, np.clip((rows - 17) / 180, 0, 0.5))  # a shadow, then darker with depth
    stone = (columns - 6) ** 2 + 3 * (rows % 36 - 24) ** 2 < 14
    stone |= (columns - 17) ** 2 + 3 * (rows % 36 - 9) ** 2 < 9
    band = np.where(stone & (rows > 24), 0.9, band)
    weights[..., 3], weights[..., 4] = soil * (1 - band), soil * band
    return weights


def _small_pipe(pipe: np.ndarray) -> np.ndarray:
    wide = np.zeros((4, BLOCK_X, 18 * BLOCK_X, 4))  # 52 px from an x % 3 of 2 end in the 18th block
    for phase in range(BLOCK_X):
        wide[:, phase, phase : phase + PIPE_WIDTH] = pipe
    return wide.reshape(4, BLOCK_X, 18, BLOCK_X, 4).mean(3)


def _small_bird(bird: np.ndarray) -> np.ndarray:
    tall = np.zeros((3, BLOCK_Y, 6 * BLOCK_Y, 12 * BLOCK_X, 7))
    for phase in range(BLOCK_Y):
        tall[:, phase, phase : phase + BIRD_HEIGHT, :BIRD_WIDTH] = bird
    return tall.reshape(3, BLOCK_Y, 6, BLOCK_Y, 12, BLOCK_X, 7).mean((3, 5))


def _small_ground(ground: np.ndarray) -> np.ndarray:
    first = GROUND_ROW // BLOCK_Y * BLOCK_Y  # row 400: the first block shows 3 rows of sky and 2 of ground
    rows = np.zeros((GREY_SIZE * BLOCK_Y - first, STRIPE, 5))
    rows[GROUND_ROW - first :] = ground[: GREY_SIZE * BLOCK_Y - GROUND_ROW]
    shifted = np.stack([np.roll(rows, -shift, 1) for shift in range(STRIPE)])
    return shifted.reshape(STRIPE, -1, BLOCK_Y, STRIPE // BLOCK_X, BLOCK_X, 5).mean((2, 4))


def _small_backdrop(backdrop: np.ndarray) -> np.ndarray:
    """Means over the rows of sky in each block; rows that are all ground stay 0."""
    view = backdrop[:, VIEW_X:] / 255
    whole, rest = divmod(GROUND_ROW, BLOCK_Y)
    small = np.zeros((GREY_SIZE, GREY_SIZE, 7))
    small[:whole] = view[: whole * BLOCK_Y].reshape(whole, BLOCK_Y, GREY_SIZE, BLOCK_X, 7).mean((1, 3))
    small[whole] = view[-rest:].reshape(rest, GREY_SIZE, BLOCK_X, 7).mean((0, 2))
    return small


@cache
def build_look(variants: int) -> FlappyLook:
    """Draws everything once per process; `variants` is 1 or VARIANTS."""
    backdrops = np.stack([_backdrop(v, night) for v in range(variants) for night in (False, True)])
    pipe, bird, ground = _pipe(), _bird(), _ground()
    small = np.stack([_small_backdrop(b) for b in backdrops])
    tables = (small, pipe, _small_pipe(pipe), bird, _small_bird(bird), ground, _small_ground(ground))
    return FlappyLook(backdrops, *(np.ascontiguousarray(t, np.float32) for t in tables))
