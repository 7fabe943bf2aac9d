"""Heavy playouts: random games by a player that knows a little.

The playouts follow MoGo (Gelly, Wang, Munos and Teytaud, "Modification of UCT with patterns in Monte-Carlo Go", 2006):
answer an atari or capture near the last moves, play the vital point of a small eye space, else a 3x3 pattern around
the last moves, else a random move that neither fills an eye nor puts the own stones into atari.

Random numbers are splitmix64, `rng` uint64 [1]; the state is overwritten. Superko is not looked at.
"""

import itertools

import numpy as np
from numba import njit

from envs.go.board import (
    ACTION,
    BLACK,
    BORDER,
    CELL,
    EMPTIES,
    EMPTY,
    GROUP,
    KO,
    LAST,
    LIBERTIES,
    LIST,
    NEXT,
    PASSES,
    SIZE,
    SLOT,
    STEP,
    TURN,
    WHITE,
    in_atari,
    is_suicide,
    last_liberty,
    packed,
    place,
    point_of,
)  # fmt: skip
from envs.go.playout import is_eye
from envs.go.scoring import score

TRACED = "float64(int64[::1], uint64[::1], int8[::1])"
HEURISTIC = "void(int64[::1], float32[::1], float32[::1])"
LENGTH = 3  # moves per point of the board
GOLDEN, MIX1, MIX2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
S27, S30, S31, S32 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32)

# Shapes around a move `*` of X: X own, O enemy, . empty, # edge, x not X, o not O, ? anything. All eight orientations
# hold, and the colours may be exchanged unless it says X only.
SHAPES = [
    "XOX .*. ???",  # hane that encloses
    "XO. .*. ?.?",  # hane that does not cut
    "XO? X*. x.?",  # turn
    ".O. X*. ...",  # shoulder
    "XO? O*o ?o?",  # cut, unprotected
    "XO? O*X ???",  # cut, peeped
    "?X? O*O ooo",  # push and cut
    "OX? o*O ???",  # cut of a knight's move
    "X.? O*? ###",  # chase along the edge
    "OX? X*O ###",  # block of a cut at the edge
    "?X? x*O ###",  # block of a connection at the edge
    "?XO x*x ###",  # descent at the edge
    "?OX X*O ###",  # cut at the edge
]
SHAPES_OF_X = ["XOO .*. ?.?"]  # hane against a thin wall, X only


def pattern_table() -> np.ndarray:
    """uint8 [65536]: bit 0 a shape for Black, bit 1 for White. The index is `neighbourhood`'s."""
    table = np.zeros((4,) * 8, np.uint8)  # axes: the eight cells in the order of `neighbourhood`, last first
    order = [(0, 1), (1, 2), (2, 1), (1, 0), (0, 2), (2, 2), (2, 0), (0, 0)]
    for text in SHAPES + SHAPES_OF_X:
        shape = np.array([list(row) for row in text.split()])
        for turns, mirrored in itertools.product(range(4), (False, True)):
            view = np.rot90(shape, turns)
            view = view[:, ::-1] if mirrored else view
            for own, mover in itertools.product((BLACK, WHITE), (BLACK, WHITE)):
                if text in SHAPES_OF_X and own != mover:
                    continue
                meaning = {
                    "X": [own], "O": [3 - own], ".": [EMPTY], "#": [BORDER], "?": [0, 1, 2, 3],
                    "x": [v for v in range(4) if v != own], "o": [v for v in range(4) if v != 3 - own],
                }  # fmt: skip
                table[np.ix_(*[meaning[view[cell]] for cell in reversed(order)])] |= mover
    return table.reshape(-1)


PATTERNS = pattern_table()


@njit("int64(int64[::1], int64)", cache=True)
def neighbourhood(state, point):
    """The eight cells around a point, two bits each: above, right, below, left, then the corners likewise turned."""
    step = state[STEP]
    return (
        state[point - step]
        | state[point + CELL] << 2
        | state[point + step] << 4
        | state[point - CELL] << 6
        | state[point - step + CELL] << 8
        | state[point + step + CELL] << 10
        | state[point + step - CELL] << 12
        | state[point - step - CELL] << 14
    )


@njit("uint64(uint64[::1])", cache=True)
def random_bits(rng):
    """32 random bits."""
    rng[0] += GOLDEN
    z = rng[0]
    z = (z ^ (z >> S30)) * MIX1
    z = (z ^ (z >> S27)) * MIX2
    return (z ^ (z >> S31)) >> S32


@njit("boolean(uint64[::1], int64)", cache=True)
def chance(rng, percent):
    """True with this probability in percent."""
    return np.int64((random_bits(rng) * np.uint64(100)) >> S32) < percent


@njit("int64(uint64[::1], int64, int64, int64)", cache=True)
def pick(rng, chosen, move, count):
    """Reservoir sampling: `move` is the count-th candidate; the new choice."""
    return move if np.int64((random_bits(rng) * np.uint64(count)) >> S32) == 0 else chosen


@njit("int64(int64[::1], int64, int64)", cache=True)
def liberties_after(state, point, colour):
    """Pseudo-liberties, packed, of the group that a move at this empty point makes; -1 if it captures something."""
    step, total, own = state[STEP], 0, packed(point)
    first, second, third = 0, 0, 0
    for neighbour in (point - CELL, point + CELL, point - step, point + step):
        there = state[neighbour]
        if there == EMPTY:
            total += packed(neighbour)
        elif there != BORDER:
            group = state[neighbour + GROUP]
            if there != colour:
                if in_atari(state[group + LIBERTIES]):
                    return -1
            else:
                total -= own
                if group != first and group != second and group != third:
                    first, second, third = group, first, second
                    total += state[group + LIBERTIES]
    return total


@njit("boolean(int64[::1], int64, int64)", cache=True)
def is_self_atari(state, point, colour):
    """Whether a move that captures nothing leaves its group with one liberty or none."""
    total = liberties_after(state, point, colour)
    return total != -1 and in_atari(total)


@njit("int64(int64[::1], uint64[::1], int64, int64, int64, int64)", cache=True)
def urgent(state, rng, last, before, ko, colour):
    """A capture or an escape near the opponent's last move and the own one before it, or 0."""
    step, chosen, count = state[STEP], 0, 0
    if state[last] != EMPTY:
        liberties = state[state[last + GROUP] + LIBERTIES]
        if in_atari(liberties):  # the stone just played can be taken
            move = last_liberty(liberties)
            if move != ko:
                count += 1
                chosen = pick(rng, chosen, move, count)
    for neighbour in (last - CELL, last + CELL, last - step, last + step):
        if state[neighbour] == colour and in_atari(state[state[neighbour + GROUP] + LIBERTIES]):
            group = state[neighbour + GROUP]
            move = last_liberty(state[group + LIBERTIES])
            total = liberties_after(state, move, colour)
            if move != ko and (total == -1 or not in_atari(total)):  # extend
                count += 1
                chosen = pick(rng, chosen, move, count)
            stone = group
            while True:  # or take what attacks
                for attacker in (stone - CELL, stone + CELL, stone - step, stone + step):
                    if state[attacker] == 3 - colour and in_atari(state[state[attacker + GROUP] + LIBERTIES]):
                        move = last_liberty(state[state[attacker + GROUP] + LIBERTIES])
                        if move != ko:
                            count += 1
                            chosen = pick(rng, chosen, move, count)
                stone = state[stone + NEXT]
                if stone == group:
                    break
    if before > 0:
        for neighbour in (before - CELL, before + CELL, before - step, before + step):
            if state[neighbour] == 3 - colour and in_atari(state[state[neighbour + GROUP] + LIBERTIES]):
                move = last_liberty(state[state[neighbour + GROUP] + LIBERTIES])
                if move != ko:
                    count += 1
                    chosen = pick(rng, chosen, move, count)
    return chosen


@njit("int64(int64[::1], uint64[::1], int64, int64, int64)", cache=True)
def shaped(state, rng, near, ko, colour):
    """A move in a good 3x3 shape among the eight points around `near`, or 0."""
    step, chosen, count = state[STEP], 0, 0
    for row in (near - step, near, near + step):
        for point in (row - CELL, row, row + CELL):
            if state[point] == EMPTY and point != ko and PATTERNS[neighbourhood(state, point)] & colour:
                total = liberties_after(state, point, colour)
                if total == -1 or not in_atari(total):
                    count += 1
                    chosen = pick(rng, chosen, point, count)
    return chosen


@njit("int64(int64[::1], int64)", cache=True)
def nakade(state, last):
    """The vital point of an eye space of three to six points beside the last move, or 0.

    The space is an empty region walled by one colour only; its vital point touches more of it than any other.
    """
    step = state[STEP]
    region = np.empty(6, np.int64)
    for start in (last - CELL, last + CELL, last - step, last + step):
        if state[start] != EMPTY:
            continue
        region[0], size, done, walls = start, 1, 0, 0
        while done < size and size <= 6 and walls != 3:
            here = region[done]
            done += 1
            for neighbour in (here - CELL, here + CELL, here - step, here + step):
                there = state[neighbour]
                if there == EMPTY:
                    new = True
                    for i in range(size):
                        new &= region[i] != neighbour
                    if new:
                        if size == 6:
                            size = 7
                            break
                        region[size] = neighbour
                        size += 1
                elif there != BORDER:
                    walls |= there
        if size < 3 or size > 6 or walls == 3:
            continue
        best, most, second = 0, 0, 0
        for i in range(size):
            point, degree = region[i], 0
            for neighbour in (point - CELL, point + CELL, point - step, point + step):
                degree += state[neighbour] == EMPTY
            if degree > most:
                best, most, second = point, degree, most
            elif degree > second:
                second = degree
        # Three in a row, pyramid, cross, bulky five, rabbity six: one point alone has the most neighbours.
        if most > second and most >= (2 if size == 3 else 3):
            return best
    return 0


@njit("int64(int64[::1], uint64[::1], int64, int64, int64)", cache=True)
def anywhere(state, rng, ko, colour, careful):
    """A random move that fills no eye, or 0; with probability `careful` percent self-atari is passed over."""
    points, left = state[LIST], state[EMPTIES]
    while left > 0:
        drawn = points + np.int64((random_bits(rng) * np.uint64(left)) >> S32)
        point = state[drawn]
        if point != ko and not is_eye(state, point, colour):
            total = liberties_after(state, point, colour)
            if total == -1 or not in_atari(total):
                return point
            if total >> 48 > 0 and not chance(rng, careful):  # self-atari, but no suicide
                return point
        left -= 1  # out of the draw: it changes places with the last point that is still in
        other = state[points + left]
        state[points + left], state[drawn] = point, other
        state[other + SLOT], state[point + SLOT] = drawn - points, left
    return 0


@njit("int64(int64[::1], uint64[::1], int64, int64, int64, int64)", cache=True)
def choose(state, rng, last, before, ko, colour):
    """The playout's next move as a point, or 0 for a pass. last, before: the latest two moves (points; 0 for none)."""
    move = 0
    if last > 0:
        if chance(rng, 90):
            move = urgent(state, rng, last, before, ko, colour)
        if move == 0:
            move = nakade(state, last)
            if move > 0 and (move == ko or is_suicide(state, move, colour)):
                move = 0
        if move == 0 and chance(rng, 95):
            move = shaped(state, rng, last, ko, colour)
            if move == 0 and before > 0:
                move = shaped(state, rng, before, ko, colour)
    if move == 0:
        move = anywhere(state, rng, ko, colour, 50)
    return move


@njit(TRACED, cache=True)
def heavy_playout(state, rng, first):
    """Plays the state out: +1, 0 or -1 in the view of the side that was to move. Where first [size * size + 1] is 0
    at the first play of an action it becomes 1 (Black) or 2 (White)."""
    view, area = 1.0 - 2.0 * state[TURN], state[SIZE] * state[SIZE]
    passes, ko, colour = state[PASSES], state[KO], state[TURN] + 1
    last, before = 0, 0
    if 0 <= state[LAST] < area:
        last = point_of(state, state[LAST])
    if 0 <= state[LAST + 1] < area:
        before = point_of(state, state[LAST + 1])
    for _ in range(LENGTH * area):
        move = choose(state, rng, last, before, ko, colour)
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
    return np.sign(score(state)) * view
