"""Ladders read out: can a group with one or two liberties be captured by nothing but ataris?

The reading is exact within its rules: the attacker may play the liberties of the group only, the defender its
last liberty or the capture of an attacker's group in atari that touches it; a group that reaches three
liberties, or is to move with two, is free. Simple ko is obeyed, superko is not looked at.
"""

import numpy as np
from numba import njit

from envs.go.board import (
    ACTION,
    BLACK,
    CELL,
    EMPTY,
    GROUP,
    HISTORY,
    KO,
    LIBERTIES,
    NEXT,
    SIZE,
    STEP,
    TURN,
    WHITE,
    in_atari,
    is_suicide,
    last_liberty,
    liberties,
    place,
    point_of,
)  # fmt: skip

NODES = 2000  # positions looked at before a ladder counts as not working
WIDTH = 16  # moves tried in one position


@njit("int64(int64[::1], int64, int64)", cache=True)
def room(state, point, taken):
    """Empty neighbours of a point other than `taken`: a stone there has at least so many liberties. With
    three the group is free at once, which settles most readings before they begin.
    """
    step, count = state[STEP], 0
    for neighbour in (point - CELL, point + CELL, point - step, point + step):
        count += state[neighbour] == EMPTY and neighbour != taken
    return count


@njit("int64(int64[::1], int64, int64, int64, int64[::1])", cache=True)
def defences(state, target, colour, ko, moves):
    """Moves that may save a group in atari: captures next to it, then its liberty. Fills `moves`."""
    step, count, group = state[STEP], 0, state[target + GROUP]
    point = group
    while True:
        for neighbour in (point - CELL, point + CELL, point - step, point + step):
            if state[neighbour] == 3 - colour:
                other = state[state[neighbour + GROUP] + LIBERTIES]
                if in_atari(other) and count < len(moves) - 1:
                    move, new = last_liberty(other), True
                    for i in range(count):
                        new &= moves[i] != move
                    if new and move != ko:
                        moves[count] = move
                        count += 1
        point = state[point + NEXT]
        if point == group:
            break
    move, new = last_liberty(state[group + LIBERTIES]), True
    for i in range(count):
        new &= moves[i] != move
    if new and move != ko and not is_suicide(state, move, colour):
        moves[count] = move
        count += 1
    return count


@njit("int64(int64[::1], int64, boolean, int64)", cache=True)
def read_ladder(state, target, attack, nodes):
    """The first move that works, as a point, or 0: of the attacker (`attack`) or of the group at `target`.

    A depth-first search without recursion. Going back means to copy the position and to replay the way down,
    which is rare: almost every branch of a ladder ends at once.
    """
    colour = state[target]
    board = state[: state[HISTORY]]
    work = board.copy()
    depths = 2 * state[SIZE] * state[SIZE] + 2
    moves = np.empty((depths, WIDTH), np.int64)
    counts, tried, kos = np.empty(depths, np.int64), np.empty(depths, np.int64), np.empty(depths, np.int64)
    first = 3 - colour if attack else colour
    kos[0] = state[KO] if first == state[TURN] + 1 else 0  # out of turn, as if the other side had passed
    free = np.empty(3, np.int64)
    depth, entering, verdict = 0, True, -1  # verdict: 1 captured, 0 free, -1 not known
    while True:
        attacker = (depth & 1 == 0) == attack
        if entering:
            nodes -= 1
            count = liberties(work, work[target + GROUP], free)
            tried[depth] = counts[depth] = 0
            verdict = -1
            if nodes < 0 or depth == depths - 1 or count > 2 or (count == 2 and not attacker):
                verdict = 0
            elif not attacker:
                counts[depth] = defences(work, target, colour, kos[depth], moves[depth])
            else:
                for i in range(count):
                    if count == 2 and room(work, free[1 - i], free[i]) > 2:
                        continue  # the group would extend there
                    if free[i] != kos[depth] and not is_suicide(work, free[i], 3 - colour):
                        moves[depth, counts[depth]] = free[i]
                        counts[depth] += 1
                if count == 1 and counts[depth] == 1:
                    verdict, tried[depth] = 1, 1
            entering = False
        if verdict < 0:
            if tried[depth] < counts[depth]:
                move = moves[depth, tried[depth]]
                tried[depth] += 1
                depth += 1
                kos[depth] = place(work, move, 3 - colour if attacker else colour)
                entering = True
                continue
            verdict = 0 if attacker else 1  # nothing worked
        if depth == 0:
            works = verdict == 1 if attack else verdict == 0
            return moves[0, tried[0] - 1] if works and tried[0] > 0 else 0
        depth -= 1
        attacker = not attacker
        if (verdict == 1) != attacker:  # a failure for the side above: its next move, if any
            verdict = -1
            work[:] = board
            for i in range(depth):
                place(work, moves[i, tried[i] - 1], 3 - colour if (i & 1 == 0) == attack else colour)


@njit("boolean(int64[::1], int64)", cache=True)
def in_ladder(state, group):
    """Whether the group with this first point is lost to a ladder: with one liberty and its own side to move,
    or with two and the opponent to move. False for a group with more."""
    free = np.empty(3, np.int64)
    count = liberties(state, group, free)
    if count == 1:
        return room(state, free[0], 0) < 3 and read_ladder(state, group, False, NODES) == 0
    if count != 2 or (room(state, free[0], free[1]) > 2 and room(state, free[1], free[0]) > 2):
        return False
    return read_ladder(state, group, True, NODES) != 0


def ladder_capture(state: np.ndarray, action: int) -> int:
    """The action by which the opponent of the group at `action` captures it in a ladder, or -1. The group has
    one or two liberties, else the answer is -1. Raises ValueError where there is no stone."""
    point = _stone(state, action)
    if liberties(state, state[point + GROUP], np.empty(3, np.int64)) > 2:
        return -1
    move = read_ladder(state, point, True, NODES)
    return int(state[move + ACTION]) if move else -1


def ladder_escape(state: np.ndarray, action: int) -> int:
    """The action by which the group at `action`, in atari, gets out of the ladder, or -1 if it does not (or
    is not in atari). Raises ValueError where there is no stone."""
    point = _stone(state, action)
    if not in_atari(state[state[point + GROUP] + LIBERTIES]):
        return -1
    move = read_ladder(state, point, False, NODES)
    return int(state[move + ACTION]) if move else -1


def _stone(state: np.ndarray, action: int) -> int:
    if not 0 <= action < state[SIZE] ** 2 or state[point_of(state, action)] not in (BLACK, WHITE):
        raise ValueError(f"there is no stone at {action}")
    return point_of(state, action)
