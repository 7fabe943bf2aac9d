"""The whole batch in one compiled call: every game moves, collides, scores and draws its observation."""

from typing import NamedTuple

import numpy as np
from numba import njit

from envs.flappy.art import GREY_SIZE
from envs.flappy.draw import (
    SEED_SIZE,
    draw_bird,
    draw_grey,
    draw_seed,
    draw_world,
    dress,
    paint_backdrop,
    paint_small_backdrop,
    write_numbers,
)  # fmt: skip
from envs.flappy.drill import follow, start
from envs.flappy.rules import GROUND_ROW, HEIGHT, WIDTH, play

PIXELS, RGB, NUMBERS, SEED = range(4)


class Scenes(NamedTuple):
    """The painted background of each running episode, derived from its palette; empty where not needed."""

    grey: np.ndarray  # [N, 84, 84] float32
    colour: np.ndarray  # [N, 403, 288, 3] uint8


def new_scenes(num_envs: int, view: int) -> Scenes:
    """Room for the backgrounds that observations of kind `view` are drawn on."""
    return Scenes(
        np.zeros((num_envs * (view == PIXELS), GREY_SIZE, GREY_SIZE), np.float32),
        np.zeros((num_envs * (view == RGB), GROUND_ROW, WIDTH, 3), np.uint8),
    )


@njit(cache=True, nogil=True)
def paint(games, look, scenes, view, i):
    """Paints the backdrop of game `i` into its scene, for the views that have pictures."""
    if view == PIXELS:
        paint_small_backdrop(scenes.grey[i], look, games[i])
    elif view == RGB:
        paint_backdrop(scenes.colour[i], look, games[i])


@njit(cache=True, nogil=True)
def draw_all(games, rules, look, scenes, view, images, numbers):
    """Every game as it stands, into `images` uint8 [N, bytes of a frame] or `numbers` float32 [N, 9]."""
    for i in range(len(games)):
        if view == PIXELS:
            draw_grey(images[i].reshape(GREY_SIZE, GREY_SIZE), scenes.grey[i], look, games[i])
        elif view == RGB:
            picture = images[i].reshape(HEIGHT, WIDTH, 3)
            draw_world(picture, scenes.colour[i], look, games[i])
            draw_bird(picture, look, games[i])
        elif view == NUMBERS:
            write_numbers(numbers[i], games[i], rules)
        else:
            draw_seed(images[i].reshape(SEED_SIZE, SEED_SIZE), games[i])


@njit(cache=True, nogil=True)
def observe_all(games, rules, look, scenes, view, images, numbers):
    """`draw_all` on freshly painted backgrounds: after a reset and after loading a state."""
    for i in range(len(games)):
        paint(games, look, scenes, view, i)
    draw_all(games, rules, look, scenes, view, images, numbers)


@njit(cache=True, nogil=True)
def begin_all(games, rules, notes, moments):
    """Begins an episode in every game, going on with its random streams."""
    for i in range(len(games)):
        start(games, rules, notes, moments, i)
        dress(games[i], rules)


@njit(cache=True, nogil=True)
def step_all(  # noqa: PLR0913, PLR0917
    games, rules, notes, moments, look, scenes, view, actions, images, numbers, rewards, terminated, truncated
):  # fmt: skip
    """One action in every game; a game that was over begins its next episode instead and gives reward 0.

    `actions` int64 [N]; `images` or `numbers` as in `draw_all` and the last three, [N], are written. Returns
    -1, or the first environment whose action is not 0 or 1: then nothing has moved. `notes` and `moments`: see
    `envs.flappy.drill`.
    """
    for i in range(len(games)):
        if actions[i] != 0 and actions[i] != 1:
            return i
    for i in range(len(games)):
        if games[i].over:
            start(games, rules, notes, moments, i)
            rewards[i], terminated[i], truncated[i] = 0.0, False, False
            if rules.light == 2 or rules.random_colours or rules.random_background:
                dress(games[i], rules)
                paint(games, look, scenes, view, i)
        else:
            score = games[i].score
            rewards[i], terminated[i], truncated[i] = play(games[i], rules, actions[i] == 1)
            if rules.drill > 0.0:
                truncated[i] |= follow(games, rules, notes, moments, i, games[i].score - score, terminated[i])
            games[i].over = terminated[i] or truncated[i]
    draw_all(games, rules, look, scenes, view, images, numbers)
    return -1
