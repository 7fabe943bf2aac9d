"""What a classical player thinks of a position's moves before it searches (after the priors of MoGo and Michi).

An opinion is so many visits of so much value, in the view of the side to move; the search adds them to its own. Moves
that fill an own one-point eye are left out: as moves that delay the end they would otherwise fill the tree.
"""

import numpy as np
from numba import njit

from envs.go.board import (
    ACTION,
    BORDER,
    CELL,
    EMPTIES,
    EMPTY,
    GROUP,
    HEADER,
    KO,
    LAST,
    LIST,
    SIZE,
    STEP,
    STONES,
    TURN,
    in_atari,
    liberties,
    point_of,
)  # fmt: skip
from envs.go.heavy import HEURISTIC, PATTERNS, liberties_after, neighbourhood
from envs.go.ladders import NODES, read_ladder
from envs.go.playout import is_eye

# Visits; the value is as many wins or, where it says so, losses.
EVEN = 10.0  # visits of every action, as many wins as losses
NEAR = np.array([0.0, 24.0, 22.0, 8.0])  # wins by distance from the last move, a group counting as one
SELF_ATARI = 10.0  # losses of a self-atari
TAKE_ONE, TAKE_MANY = 15.0, 30.0  # wins of a capture, or of a rescue of own stones, of one stone or of more
LADDER = 15.0  # wins of an atari that begins a working ladder
SHAPE = 10.0
OPEN = 10.0  # wins on the third line, losses on the first and second, where no stone is within three points
PASS_VALUE = -5.0  # value of the pass's EVEN visits


@njit("void(int64[::1], int64, int64[::1])", cache=True)
def common_fate(state, start, distance):
    """Distance [cells] of every point from `start`, 4 for farther than 3; a step along a group's stones is free."""
    step = state[STEP]
    queue = np.empty(len(distance) * 4, np.int64)
    distance[:] = 4
    frontier = np.empty(len(distance) * 4, np.int64)
    frontier[0], count = start, 1
    for length in range(4):
        size = 0
        for i in range(count):
            if distance[(frontier[i] - HEADER) >> 3] == 4:
                distance[(frontier[i] - HEADER) >> 3] = length
                queue[size] = frontier[i]
                size += 1
        done = 0
        while done < size:  # the rest of the groups that were reached
            point = queue[done]
            done += 1
            if state[point] != EMPTY:
                for neighbour in (point - CELL, point + CELL, point - step, point + step):
                    if state[neighbour] == state[point] and distance[(neighbour - HEADER) >> 3] == 4:
                        distance[(neighbour - HEADER) >> 3] = length
                        queue[size] = neighbour
                        size += 1
        count = 0
        for i in range(size):
            point = queue[i]
            for neighbour in (point - CELL, point + CELL, point - step, point + step):
                if state[neighbour] != BORDER and distance[(neighbour - HEADER) >> 3] == 4:
                    frontier[count] = neighbour
                    count += 1
                    if count == len(frontier):
                        return


@njit("boolean(int64[::1], int64)", cache=True)
def is_open(state, point):
    """Whether no stone stands within three steps of an empty point."""
    size, action = state[SIZE], state[point + ACTION]
    row, column = action // size, action % size
    for r in range(max(0, row - 3), min(size, row + 4)):
        reach = 3 - abs(r - row)
        for c in range(max(0, column - reach), min(size, column + reach + 1)):
            if state[point_of(state, r * size + c)] != EMPTY:
                return False
    return True


@njit("void(float32[::1], float32[::1], int64, float64)", cache=True)
def praise(visits, value, action, bonus):
    """So many wins more; to fill an own eye comes back into view where it saves stones."""
    if visits[action] < 0.0:
        visits[action] = EVEN
    visits[action] += bonus
    value[action] += bonus


@njit("void(int64[::1], float32[::1], float32[::1])", cache=True)
def ataris(state, visits, value):
    """Captures, rescues and working ladders of the side to move."""
    size, colour, ko = state[SIZE], state[TURN] + 1, state[KO]
    free = np.empty(3, np.int64)
    for action in range(size * size):
        point = point_of(state, action)
        if state[point] == EMPTY or state[point + GROUP] != point:
            continue
        count = liberties(state, point, free)
        bonus = TAKE_ONE if state[point + STONES] == 1 else TAKE_MANY
        if count == 1 and state[point] != colour:
            if free[0] != ko:
                praise(visits, value, state[free[0] + ACTION], bonus)
        elif count == 1:
            move = read_ladder(state, point, False, NODES)
            if move > 0:
                praise(visits, value, state[move + ACTION], bonus)
                if move != free[0] and free[0] != ko:  # it takes an attacker; to extend may work as well
                    total = liberties_after(state, free[0], colour)
                    if not in_atari(total):
                        praise(visits, value, state[free[0] + ACTION], bonus / 2)
        elif count == 2 and state[point] != colour:
            move = read_ladder(state, point, True, NODES)
            if move > 0:
                praise(visits, value, state[move + ACTION], LADDER)


@njit(HEURISTIC, cache=True)
def heuristic(state, visits, value):
    """Fills the opinion of every action [size * size + 1]: how many visits it is worth and their summed value.

    -1 visits: the action is not worth a look at all.
    """
    size, colour = state[SIZE], state[TURN] + 1
    area = size * size
    visits[:] = EVEN
    value[:] = 0.0
    value[area] = PASS_VALUE
    last = state[LAST]
    near = 0 <= last < area
    distance = np.empty((size + 2) * (size + 1) + 1, np.int64)
    if near:
        common_fate(state, point_of(state, last), distance)
    for i in range(state[LIST], state[LIST] + state[EMPTIES]):
        point = state[i]
        action = state[point + ACTION]
        if near:
            steps = distance[(point - HEADER) >> 3]
            if steps < 4:
                visits[action] += NEAR[steps]
                value[action] += NEAR[steps]
        if is_eye(state, point, colour):
            visits[action], value[action] = -1.0, 0.0
            continue
        total = liberties_after(state, point, colour)
        if total != -1 and in_atari(total):
            visits[action] += SELF_ATARI
            value[action] -= SELF_ATARI
        elif PATTERNS[neighbourhood(state, point)] & colour:
            visits[action] += SHAPE
            value[action] += SHAPE
        row, column = action // size, action % size
        line = min(min(row, column), size - 1 - max(row, column))
        if size > 7 and line < 3 and is_open(state, point):
            visits[action] += OPEN
            value[action] += OPEN if line == 2 else -OPEN
    ataris(state, visits, value)


@njit(HEURISTIC, cache=True)
def heuristic_territory(state, visits, value):
    """As `heuristic`, where territory counts: a pass costs nothing there, and a move into settled points does."""
    heuristic(state, visits, value)
    value[state[SIZE] * state[SIZE]] = 0.0
