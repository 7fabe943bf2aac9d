"""Pictures for people: the score over the picture, and a window that shows them at the game's pace."""

from functools import cache

import numpy as np

from envs.flappy.art import FlappyLook
from envs.flappy.batch import RGB, new_scenes
from envs.flappy.draw import draw_bird, draw_world, paint_backdrop
from envs.flappy.rules import HEIGHT, WIDTH

DIGITS = (  # rows of five bits
    (14, 27, 27, 27, 27, 27, 14), (6, 14, 6, 6, 6, 6, 15), (14, 27, 3, 6, 12, 24, 31),
    (14, 27, 3, 14, 3, 27, 14), (6, 14, 22, 22, 31, 6, 6), (31, 24, 30, 3, 3, 27, 14),
    (14, 24, 24, 30, 27, 27, 14), (31, 3, 3, 6, 6, 12, 12), (14, 27, 27, 14, 27, 27, 14),
    (14, 27, 27, 15, 3, 3, 14),
)  # fmt: skip
SIZE, LINE = 4, 2  # sizes of a bit and of the outline, px
TOP = 40  # space above the score, px
WHITE, INK = (255, 252, 244), (46, 34, 54)


@cache
def _stamp(score: int) -> tuple[np.ndarray, np.ndarray]:
    """(ink, outline and ink) of a number, bool [34, width]."""
    rows = np.array([DIGITS[int(digit)] for digit in str(score)])  # [digits, 7]
    bits = rows[..., None] >> np.arange(5, -1, -1) & 1  # [digits, 7, 6], a blank column before each
    ink = np.pad(np.hstack(bits == 1)[:, 1:].repeat(SIZE, 0).repeat(SIZE, 1), LINE)
    thick = ink.copy()
    for dy in range(-LINE, LINE + 1):
        for dx in range(-LINE, LINE + 1):
            if dy * dy + dx * dx <= LINE * LINE + 1:
                thick |= np.roll(ink, (dy, dx), (0, 1))
    return ink, thick


def with_score(game: np.void, look: FlappyLook) -> np.ndarray:
    """A game as RGB uint8 [512, 288, 3] with the number of pipes passed."""
    scene = new_scenes(1, RGB).colour[0]
    picture = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    paint_backdrop(scene, look, game)
    draw_world(picture, scene, look, game)
    draw_bird(picture, look, game)
    ink, thick = _stamp(int(game["score"]))
    left = (WIDTH - ink.shape[1]) // 2
    part = picture[TOP : TOP + ink.shape[0], left : left + ink.shape[1]]
    part[thick] = INK
    part[ink] = WHITE
    return picture
