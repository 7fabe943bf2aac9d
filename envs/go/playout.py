"""Random games to the end, fast: moves drawn uniformly from those that do not fill an own eye.

Playouts obey suicide and simple ko but not superko; they end when neither side has such a move, or after
three moves per point of the board. Random numbers are splitmix64 (Steele, Lea and Flood 2014), `rng` uint64
[1].
"""

import numpy as np
from numba import njit

from envs.go.board import (
    ACTION,
    BLACK,
    BORDER,
    CELL,
    EMPTIES,
    GROUP,
    KO,
    LIST,
    NEXT,
    PASSES,
    SIZE,
    SLOT,
    STEP,
    TURN,
    WHITE,
    is_suicide,
    place,
    point_of,
)  # fmt: skip
from envs.go.scoring import area, score

PLAYOUT = "float64(int64[::1], uint64[::1])"
LENGTH = 3  # moves per point of the board
GOLDEN, MIX1, MIX2 = (
    np.uint64(0x9E3779B97F4A7C15),
    np.uint64(0xBF58476D1CE4E5B9),
    np.uint64(0x94D049BB133111EB),
)
S27, S30, S31, S32 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32)


@njit("boolean(int64[::1], int64, int64)", cache=True)
def is_eye(state, point, colour):
    """Whether an empty point has only own stones (or the edge) beside it and too few enemies at its
    corners.
    """
    step = state[STEP]
    for neighbour in (point - CELL, point + CELL, point - step, point + step):
        if state[neighbour] != colour and state[neighbour] != BORDER:
            return False
    enemies, edge = 0, 0
    for corner in (point - CELL - step, point + CELL - step, point - CELL + step, point + CELL + step):
        enemies += state[corner] == 3 - colour
        edge |= state[corner] == BORDER
    return enemies + edge < 2


@njit("void(int64[::1], uint64[::1])", cache=True)
def play_out(state, rng):
    """Plays the game to its end in place. Only the board stays valid: no hash history, no last moves."""
    seed = rng[0]
    points, passes, ko, colour = state[LIST], state[PASSES], state[KO], state[TURN] + 1
    moves = LENGTH * state[SIZE] * state[SIZE]
    while passes < 2 and moves > 0:
        passes += 1
        left = state[EMPTIES]
        while left > 0:
            seed += GOLDEN
            mixed = (seed ^ (seed >> S30)) * MIX1
            mixed = (mixed ^ (mixed >> S27)) * MIX2
            mixed ^= mixed >> S31
            drawn = points + np.int64(((mixed >> S32) * np.uint64(left)) >> S32)
            point = state[drawn]
            if point != ko and not is_eye(state, point, colour) and not is_suicide(state, point, colour):
                ko = place(state, point, colour)
                passes = 0
                break
            left -= 1  # out of the draw: it changes places with the last point that is still in
            other = state[points + left]
            state[points + left], state[drawn] = point, other
            state[other + SLOT], state[point + SLOT] = drawn - points, left
        if passes > 0:
            ko = 0
        moves -= 1
        colour = 3 - colour
    rng[0] = seed


@njit(PLAYOUT, cache=True)
def playout(state, rng):
    """Plays the state out (and overwrites it): +1, 0 or -1 in the view of the side that was to move."""
    view = 1.0 - 2.0 * state[TURN]
    play_out(state, rng)
    return np.sign(score(state)) * view


@njit("void(int64[::1], int64, uint64[::1], float64[::1])", cache=True)
def ownership(state, count, rng, owner):
    """Fills `owner` [size * size] with the mean owner of each point after `count` playouts: +1 Black, -1
    White.
    """
    owner[:] = 0.0
    once = np.empty(len(owner), np.int8)
    work = np.empty_like(state)
    for _ in range(count):
        work[:] = state
        play_out(work, rng)
        area(work, once)
        owner += once
    owner /= count


def dead_stones(state: np.ndarray, rng: np.ndarray, playouts: int = 400) -> list[int]:
    """Actions of the stones that most random continuations lose: an estimate, good where the borders are
    closed.

    A group is dead if the mean owner of its points, with both sides to move first in half of the playouts, is
    the opponent by more than 0.3.
    """
    size = int(state[SIZE])
    owner, half = np.zeros(size * size), np.empty(size * size)
    for turn in (0, 1):
        start = state.copy()
        start[TURN], start[PASSES], start[KO] = turn, 0, 0
        ownership(start, playouts // 2, rng, half)
        owner += half / 2
    dead = []
    for action in range(size * size):
        point = point_of(state, action)
        if state[point] in (BLACK, WHITE) and state[point + GROUP] == point:
            chain, member = [], point
            while not chain or member != point:
                chain.append(int(state[member + ACTION]))
                member = int(state[member + NEXT])
            sign = 1 if state[point] == BLACK else -1
            if sign * owner[chain].mean() < -0.3:
                dead += chain
    return sorted(dead)
