"""The eight symmetries of a square board as tables of actions."""

from functools import lru_cache

import numpy as np


@lru_cache(maxsize=32)
def symmetries(size: int) -> np.ndarray:
    """int64 [8, size * size + 1]: in picture g, place i shows the game's action table[g, i]; the pass is
    fixed.

    Picture g is the board turned by g % 4 quarter turns against the clock, for g >= 4 mirrored left to right
    first. So a plane p of the game becomes `p.ravel()[table[g, :-1]]`, a policy `policy[table[g]]`, and a
    move m in the picture is `table[g, m]` in the game. Picture 0 is the game itself. Read-only.
    """
    board = np.arange(size * size).reshape(size, size)
    pictures = [np.rot90(side, turns) for side in (board, board[:, ::-1]) for turns in range(4)]
    table = np.array([[*picture.ravel(), size * size] for picture in pictures], np.int64)
    table.flags.writeable = False
    return table


def inverse(size: int) -> np.ndarray:
    """int64 [8, size * size + 1]: the game's action a is place inverse[g, a] of picture g."""
    return np.argsort(symmetries(size), axis=1)
