"""Tic-tac-toe and Connect Four as compiled rules: solved games against which search can be held.

Both keep one bitboard per side: `state = [stones of the first player, stones of the second, number of
moves]`. At a terminal state every action counts as legal (there is no row without a True).
"""

import numpy as np
from numba import njit

from envs.rules import FEATURES, KEY, LEGAL, OUTCOME, PLAY, RESET, TO_MOVE, Rules

ROWS, COLUMNS = 6, 7
# Connect Four: bit column * 7 + height, height 0 at the bottom; the seventh bit of a column stays empty, so
# that four in a row never wraps into the next column (J. Tromp's and F. Rhind's layout).
LINES = np.array(  # tic-tac-toe: bit row * 3 + column
    [0b000000111, 0b000111000, 0b111000000, 0b001001001, 0b010010010, 0b100100100, 0b100010001, 0b001010100],
    np.int64,
)


@njit(RESET, cache=True)
def reset(state):
    """Makes `state` an empty board, the first player to move."""
    state[:3] = 0


@njit(TO_MOVE, cache=True)
def to_move(state):
    """Returns the side to move, 0 or 1."""
    return state[2] & 1


@njit(OUTCOME, cache=True)
def tictactoe_outcome(state):
    """Returns -1 where the other side has just made a line, 0 on a full board; NaN while the game goes on."""
    mover = state[1 - (state[2] & 1)]  # the side that has just played
    for line in LINES:
        if mover & line == line:
            return -1.0
    return 0.0 if state[2] == 9 else np.nan


@njit(LEGAL, cache=True)
def tictactoe_legal(state, mask):
    """Marks the empty cells in mask [9]; all of them after the end."""
    over = not np.isnan(tictactoe_outcome(state))
    taken = state[0] | state[1]
    for action in range(9):
        mask[action] = over or not (taken >> action) & 1


@njit(PLAY, cache=True)
def tictactoe_play(state, action):
    """The side to move marks a cell, in place."""
    state[state[2] & 1] |= 1 << action
    state[2] += 1


@njit(FEATURES, cache=True)
def tictactoe_features(state, planes):
    """Fills two planes of 3x3: own marks, then the opponent's."""
    own = state[2] & 1
    for action in range(9):
        planes[action] = (state[own] >> action) & 1
        planes[9 + action] = (state[1 - own] >> action) & 1


@njit(KEY, cache=True)
def tictactoe_key(state):
    """Returns the two bitboards in one number, different for each position."""
    return state[0] | state[1] << 9  # exact; the side to move follows from the number of stones


@njit(OUTCOME, cache=True)
def connect_four_outcome(state):
    """Returns -1 where the other side has just made four in a row, 0 on a full board; NaN while the game goes on."""
    mover = state[1 - (state[2] & 1)]
    for step in (1, 7, 6, 8):  # vertical, horizontal, both diagonals
        pairs = mover & (mover >> step)
        if pairs & (pairs >> (2 * step)):
            return -1.0
    return 0.0 if state[2] == ROWS * COLUMNS else np.nan


@njit(LEGAL, cache=True)
def connect_four_legal(state, mask):
    """Marks the columns that are not full in mask [7]; all of them after the end."""
    over = not np.isnan(connect_four_outcome(state))
    taken = state[0] | state[1]
    for column in range(COLUMNS):
        mask[column] = over or not (taken >> (column * 7 + ROWS - 1)) & 1


@njit(PLAY, cache=True)
def connect_four_play(state, action):
    """The side to move drops a stone into a column, in place."""
    taken = state[0] | state[1]
    # Adding the column's lowest bit carries through its stones into the first empty cell.
    state[state[2] & 1] |= (taken + (1 << (action * 7))) & ~taken & (0x3F << (action * 7))
    state[2] += 1


@njit(FEATURES, cache=True)
def connect_four_features(state, planes):
    """Fills two planes of 6x7: own stones, then the opponent's."""
    own = state[2] & 1
    for row in range(ROWS):  # row 0 is the top one, as in a picture
        for column in range(COLUMNS):
            bit, cell = column * 7 + ROWS - 1 - row, row * COLUMNS + column
            planes[cell] = (state[own] >> bit) & 1
            planes[ROWS * COLUMNS + cell] = (state[1 - own] >> bit) & 1


@njit(KEY, cache=True)
def connect_four_key(state):
    """Returns a number that differs from position to position."""
    bottom = 0
    for column in range(COLUMNS):
        bottom |= 1 << (column * 7)
    return state[0] + (state[0] | state[1]) + bottom  # exact: the carry marks the height of each column


def tictactoe_rules() -> Rules:
    """Tic-tac-toe: action row * 3 + column; planes own stones, the opponent's."""
    return Rules(
        "tictactoe",
        9,
        3,
        (2, 3, 3),
        reset,
        tictactoe_legal,
        tictactoe_play,
        tictactoe_outcome,
        to_move,
        tictactoe_features,
        tictactoe_key,
        9,
        symmetry="square",
    )


def connect_four_rules() -> Rules:
    """Connect Four on 7 columns and 6 rows: the action is the column; planes own stones, the opponent's."""
    return Rules(
        "connect_four",
        COLUMNS,
        3,
        (2, ROWS, COLUMNS),
        reset,
        connect_four_legal,
        connect_four_play,
        connect_four_outcome,
        to_move,
        connect_four_features,
        connect_four_key,
        ROWS * COLUMNS,
        symmetry="mirror",
    )
