"""Random games that end a position as good players would: what they leave on the board is alive or in seki.

The playouts of `heavy` put own stones into atari half of the time, which breaks a seki at random: its last shared
liberties are just such moves. Here a move that captures nothing and leaves its chain in atari is played only where
losing that chain may kill: one stone (a throw-in), or a chain of a killing shape (nakade) that its capturer cannot make
two eyes of. Whoever would have to fill the last shared liberty of a seki passes, and the seki stands at the end.
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
    KOMI,
    LAST,
    LIST,
    MAX_MOVES,
    MOVES,
    NEXT,
    PASSES,
    SIZE,
    SLOT,
    STEP,
    STONES,
    TURN,
    in_atari,
    is_suicide,
    place,
    point_of,
)  # fmt: skip
from envs.go.game import set_up
from envs.go.heavy import HEURISTIC, TRACED, chance, liberties_after, nakade, random_bits, shaped, urgent
from envs.go.heuristic import heuristic_territory
from envs.go.playout import is_eye
from envs.go.rules import go_rules
from envs.go.scoring import area
from envs.rules import OUTCOME, Rules

LENGTH = 3  # moves per point of the board
LARGEST = 6  # stones of the largest killing shape


@njit("boolean(int64[::1], int64, int64)", cache=True)
def is_killing_shape(state, point, colour):
    """Whether the chain that a move at this empty point makes is one whose capture gives no two eyes.

    That is so for one to three stones, the square and the pyramid of four, the bulky and the crossed five, and the
    rabbity six: told apart by how many pairs of neighbours they have, and by the most neighbours of one stone.
    """
    step, count = state[STEP], 1
    stones = np.empty(LARGEST, np.int64)
    stones[0] = point
    for neighbour in (point - CELL, point + CELL, point - step, point + step):
        if state[neighbour] == colour:
            group = state[neighbour + GROUP]
            known = False
            for i in range(count):
                known |= i > 0 and state[stones[i] + GROUP] == group
            if known:
                continue
            if count + state[group + STONES] > LARGEST:
                return False
            stone = group
            while True:
                stones[count] = stone
                count += 1
                stone = state[stone + NEXT]
                if stone == group:
                    break
    if count <= 3:
        return True
    most, pairs = 0, 0
    for i in range(count):
        degree = 0
        for j in range(count):
            degree += abs(stones[i] - stones[j]) in (CELL, step)
        pairs += degree
        most = max(most, degree)
    pairs //= 2
    if count == 4:
        return pairs == 4 or most == 3
    if count == 5:
        return pairs == 5 or most == 4
    return pairs == 6 and most == 4


@njit("int64(int64[::1], uint64[::1], int64, int64)", cache=True)
def sensible(state, rng, ko, colour):
    """A random move that fills no eye and gives no chain away that cannot kill, or 0."""
    points, left = state[LIST], state[EMPTIES]
    while left > 0:
        drawn = points + np.int64((random_bits(rng) * np.uint64(left)) >> np.uint64(32))
        point = state[drawn]
        if point != ko and not is_eye(state, point, colour):
            total = liberties_after(state, point, colour)
            if total == -1 or not in_atari(total):
                return point
            if total >> 48 > 0 and is_killing_shape(state, point, colour):
                return point
        left -= 1  # out of the draw: it changes places with the last point that is still in
        other = state[points + left]
        state[points + left], state[drawn] = point, other
        state[other + SLOT], state[point + SLOT] = drawn - points, left
    return 0


@njit("void(int64[::1], uint64[::1], int8[::1])", cache=True)
def settle(state, rng, first):
    """Plays the state out in place, as described above. first [size * size + 1]: see `heavy.heavy_playout`."""
    area_ = state[SIZE] * state[SIZE]
    passes, ko, colour, last, before = 0, state[KO], state[TURN] + 1, 0, 0
    if 0 <= state[LAST] < area_:
        last = point_of(state, state[LAST])
    if 0 <= state[LAST + 1] < area_:
        before = point_of(state, state[LAST + 1])
    for _ in range(LENGTH * area_):
        move = 0
        if last > 0:
            if chance(rng, 90):
                move = urgent(state, rng, last, before, ko, colour)
            if move == 0:
                move = nakade(state, last)
                if move > 0 and (move == ko or is_suicide(state, move, colour)):
                    move = 0
            if move == 0 and chance(rng, 80):
                move = shaped(state, rng, last, ko, colour)
        if move == 0:
            move = sensible(state, rng, ko, colour)
        before = last
        if move == 0:
            passes += 1
            if passes >= 2:
                break
            ko = last = 0
        else:
            passes = 0
            action = state[move + ACTION]
            if first[action] == 0:
                first[action] = colour
            ko = place(state, move, colour)
            last = move
        colour = 3 - colour


@njit("void(int64[::1], int64, uint64[::1], float64[::1], float64[::1])", cache=True)
def endings(state, count, rng, owner, shared):
    """Means over `count` endings, each side first in half of them, by point of the board.

    owner [size * size]: +1 Black, -1 White. shared [size * size]: how often a stone of the position stands at the end
    beside empty points that are nobody's.
    """
    size, step = state[SIZE], state[STEP]
    points = size * size
    owner[:] = 0.0
    shared[:] = 0.0
    once, first = np.empty(points, np.int8), np.empty(points + 1, np.int8)
    work, touched = np.empty_like(state), np.empty((size + 2) * (size + 1) + 1, np.bool_)
    for game in range(count):
        work[:] = state
        work[PASSES] = 0
        if game % 2 != 0:
            work[TURN], work[KO] = 1 - work[TURN], 0
            work[LAST : LAST + 2] = -1
        settle(work, rng, first)
        area(work, once)
        owner += once
        touched[:] = False
        for i in range(work[LIST], work[LIST] + work[EMPTIES]):
            point = work[i]
            if once[work[point + ACTION]] == 0:
                for neighbour in (point - CELL, point + CELL, point - step, point + step):
                    if work[neighbour] != EMPTY and work[neighbour] != BORDER:
                        touched[(work[neighbour + GROUP] - HEADER) >> 3] = True
        for action in range(points):
            point = point_of(state, action)
            if state[point] != EMPTY and work[point] == state[point]:
                shared[action] += touched[(work[point + GROUP] - HEADER) >> 3]
    owner /= count
    shared /= count


# The life of one stone as a game of its own: its side wins if its point is theirs in the end (a chain may well be given
# away to kill what takes it). The komi's place in the state holds the stone: 2 * action, and 1 more for a white one.


@njit("boolean(int64[::1])", cache=True)
def holds(state):
    """Whether the stone's side owns its point, of the position as it stands."""
    owner = np.empty(state[SIZE] * state[SIZE], np.int8)
    area(state, owner)
    return owner[state[KOMI] >> 1] == 1 - 2 * (state[KOMI] & 1)


@njit(OUTCOME, cache=True)
def life_outcome(state):
    """Returns 1 where the side to move has what it wants of the stone, else -1; NaN while play goes on."""
    if state[PASSES] < 2 and state[MOVES] < state[MAX_MOVES]:
        return np.nan
    return 1.0 if holds(state) == (state[TURN] == (state[KOMI] & 1)) else -1.0


@njit(TRACED, cache=True)
def life_playout(state, rng, first):
    """Settles the position: +1 if that is well for the side that was to move, else -1."""
    mine = state[TURN] == (state[KOMI] & 1)
    settle(state, rng, first)
    return 1.0 if holds(state) == mine else -1.0


@njit(HEURISTIC, cache=True)
def life_heuristic(state, visits, value):
    """As `heuristic`, but a pass costs nothing, and no chain is given away that cannot kill: in a seki each other move
    loses, and a search that has to find that out anew at every move calls the seki dead."""
    heuristic_territory(state, visits, value)
    colour = state[TURN] + 1
    for i in range(state[LIST], state[LIST] + state[EMPTIES]):
        total = liberties_after(state, state[i], colour)
        if total != -1 and in_atari(total) and not is_killing_shape(state, state[i], colour):
            visits[state[state[i] + ACTION]] = -1.0
            value[state[state[i] + ACTION]] = 0.0


def life_rules(size: int, *, suicide: bool = False) -> Rules:
    """The rules of Go, simple ko, for a game about one stone (see `life_state`)."""
    return go_rules(size, 0.0, suicide=suicide, superko="simple")._replace(name=f"life{size}", outcome=life_outcome)


def life_state(rules: Rules, black: list[int], white: list[int], stone: int, turn: int) -> np.ndarray:
    """A position of `life_rules` about the stone at this point, `turn` (0 Black) to move."""
    state = rules.new_state()
    set_up(state, black, white, turn)
    state[KOMI] = 2 * stone + (stone in white)
    return state
