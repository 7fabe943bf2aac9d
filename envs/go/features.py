"""The network's input planes, in the view of the side to move.

    0  own stones                     6-10  the last five moves, newest first (none for a pass)
    1  the opponent's stones            11  all ones if the opponent has just passed
    2  stones with one liberty          12  all ones (with zero padding this shows the edge)
    3  stones with two liberties        13  the komi that counts for the side to move, divided by 20
    4  stones with three liberties      14  stones lost to a ladder (`ladders.in_ladder`)
    5  empty points where a move is     15  own pass-alive stones and surroundings (`scoring.pass_alive`)
       illegal (ko, superko, suicide)   16  the opponent's

The choice follows KataGo (Wu, "Accelerating self-play learning in Go", 2019), where leaving out liberties,
ladders and pass-alive areas cost a factor of 1.55 in compute.
"""

import numpy as np
from numba import njit

from envs.go.board import (
    ACTION,
    BLACK,
    CELL,
    EMPTIES,
    EMPTY,
    GROUP,
    HEADER,
    KOMI,
    LAST,
    LASTS,
    LIST,
    SIZE,
    STEP,
    TURN,
    WHITE,
    is_legal,
)  # fmt: skip
from envs.go.facts import PLANES as PLANES
from envs.go.ladders import in_ladder
from envs.go.scoring import pass_alive
from envs.rules import FEATURES


@njit(FEATURES, cache=True)
def features(state, planes):
    """Fills all planes, float32 [PLANES * size * size], in the view of the side to move."""
    size, step = state[SIZE], state[STEP]
    area, cells = size * size, (size + 2) * (size + 1)
    own = state[TURN] + 1
    planes[:] = 0.0
    planes[12 * area : 13 * area] = 1.0

    free = np.zeros(cells, np.int64)  # liberties of each group, at its first stone
    for i in range(state[LIST], state[LIST] + state[EMPTIES]):
        point = state[i]
        if not is_legal(state, point):
            planes[5 * area + state[point + ACTION]] = 1.0
        first, second, third = 0, 0, 0
        for neighbour in (point - CELL, point + CELL, point - step, point + step):
            if state[neighbour] == BLACK or state[neighbour] == WHITE:
                group = state[neighbour + GROUP]
                if group != first and group != second and group != third:
                    first, second, third = group, first, second
                    free[(group - HEADER) >> 3] += 1

    lost = np.zeros(cells, np.bool_)
    for cell in range(cells):
        point = HEADER + CELL * cell
        if state[point + GROUP] == point and 1 <= free[cell] <= 2 and state[point] != EMPTY:
            lost[cell] = in_ladder(state, point)
    for cell in range(cells):
        point = HEADER + CELL * cell
        if state[point] == BLACK or state[point] == WHITE:
            action, group = state[point + ACTION], (state[point + GROUP] - HEADER) >> 3
            planes[(0 if state[point] == own else 1) * area + action] = 1.0
            if free[group] <= 3:
                planes[(1 + free[group]) * area + action] = 1.0
            if lost[group]:
                planes[14 * area + action] = 1.0

    for i in range(LASTS):
        action = state[LAST + i]
        if 0 <= action < area:
            planes[(6 + i) * area + action] = 1.0
    if state[LAST] == area:
        planes[11 * area : 12 * area] = 1.0
    komi = state[KOMI : KOMI + 1].view(np.float64)[0]
    planes[13 * area : 14 * area] = (komi if own == WHITE else -komi) / 20.0

    owner = np.empty(area, np.int8)
    pass_alive(state, owner)
    for action in range(area):
        if owner[action] != 0:
            planes[(15 if (owner[action] > 0) == (own == BLACK) else 16) * area + action] = 1.0
