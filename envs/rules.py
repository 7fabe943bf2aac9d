"""A two-player game as a handful of compiled functions: what tree search needs to know of a game.

A position is ONE flat, C-contiguous numpy array of int64, shape [state_size]. Copying it copies the game.
Every function is compiled by numba with exactly the signature below, so that it can be handed to compiled
code as a first-class function (`numba.types.FunctionType`) and both sides stay cached on disk. The layout is
part of the type: all arrays are C-contiguous (`int64[::1]`); one row of a [n, state_size] C array is.

Points of view: `outcome` and `features` speak for the side to move *at that state*, also at a terminal state
(there, the side that would move next: after a winning move in tic-tac-toe that side has lost, outcome -1).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

RESET = "void(int64[::1])"
LEGAL = "void(int64[::1], boolean[::1])"
PLAY = "void(int64[::1], int64)"
OUTCOME = "float64(int64[::1])"
TO_MOVE = "int64(int64[::1])"
FEATURES = "void(int64[::1], float32[::1])"
KEY = "int64(int64[::1])"
OWNER = "float64(int64[::1], int8[::1])"


class Rules(NamedTuple):
    """The rules of one game at one size. Take a first position from `new_state` and copy it."""

    name: str
    num_actions: int  # number of actions, A
    state_size: int  # length of a state, S
    planes: tuple[int, int, int]  # shape (C, H, W) of the network's input
    reset: Callable  # RESET: fills the initial position; what `header` wrote is read and kept
    legal: Callable  # LEGAL: fills mask [A] for the side to move; at least one True, at a terminal state too
    play: Callable  # PLAY: plays an action in place; the caller makes sure that it is legal
    outcome: Callable  # OUTCOME: NaN while the game goes on, else +1 / 0 / -1 for the side to move here
    to_move: Callable  # TO_MOVE: 0 the first player (Black), 1 the second
    features: Callable  # FEATURES: fills planes [C * H * W] in the view of the side to move
    key: Callable  # KEY: equal keys (but for chance collisions) have equal futures; for transpositions
    max_moves: int  # actions after which a game is over at the latest
    header: tuple[int, ...] = ()  # leading elements of a state: the game's settings (size, komi, ...)
    # OWNER, where points of the board belong to a side at the end: fills owners [H * W] (+1 the first player's, -1 the
    # second's, 0 nobody's) of the position as it stands and returns the first player's lead. In such games the sides
    # take turns, whatever is played.
    owner: Callable | None = None
    symmetry: str = ""  # "square": the eight of a square board; "mirror": left and right; "": none

    def new_state(self) -> np.ndarray:
        """The initial position as a fresh int64 array [S]."""
        state = np.zeros(self.state_size, np.int64)
        state[: len(self.header)] = self.header
        self.reset(state)
        return state
