"""The Go board inside a flat int64 array: groups, liberties, captures, superko, all incremental.

Everything about a game is one array `state` (see `envs.rules`): a header, then eight numbers per point, then
the list of empty points, the hashes of all earlier positions and a bit filter over them. The size, komi and
rule options stand in the header, so that one compilation serves every board.

A *point* is the address of its cell in `state`: neighbours are `point ± CELL` and `point ± state[STEP]`, and
`state[point]` is its colour. The board has a border: one column shared by both sides, a row above and below.

Liberties are pseudo-liberties (a liberty counts once for each stone that touches it), kept for each group as
three sums packed in one number: how many, the sum of their points, the sum of the squared points. The sums of
a list of equal numbers satisfy count * squares == sum ** 2, and of no other list, so a group in atari is
known at once, and where.
"""

import numpy as np
from numba import njit

from envs.go.facts import MAX_SIZE as MAX_SIZE

# The header. The first five are settings, written before `reset` and kept by it.
SIZE, KOMI, SUICIDE, SUPERKO, MAX_MOVES = 0, 1, 2, 3, 4  # KOMI holds the bits of a float64
TURN, KO, PASSES, MOVES, HASH, PAST = 5, 6, 7, 8, 9, 10  # KO: a point or 0; PASSES: in a row
TAKEN = 11  # two numbers: stones that Black, that White has captured; a suicide is a gift to the opponent
LAST, LASTS = 13, 5  # the last five actions, newest first, -1 where there was none
STEP, EMPTIES, LIST, HISTORY, RECORDED, FILTER, BITS = 18, 19, 20, 21, 22, 23, 24
HEADER = 25

SIMPLE, POSITIONAL, SITUATIONAL = 0, 1, 2  # values of SUPERKO

EMPTY, BLACK, WHITE, BORDER = 0, 1, 2, 3
# One cell, from its address on: colour, then
GROUP, NEXT, LIBERTIES, STONES, GROUP_HASH, SLOT, ACTION = 1, 2, 3, 4, 5, 6, 7
# GROUP: the group's first point; NEXT: ring of its stones; LIBERTIES, STONES, GROUP_HASH: valid at the first
# point only; SLOT: place in the list of empty points; ACTION: row * size + column, row 0 at the top.
CELL = 8

ZOBRIST = np.random.Generator(np.random.PCG64(20061)).integers(-(2**63), 2**63 - 1, (4, 512), np.int64)
# Rows 1 and 2: stones. Row 0: the ko point. Row 3: 0 White to move, 1 and 2 passes in a row.
SIDE = int(ZOBRIST[3, 0])


def padded(size: int) -> int:
    """Cells of the bordered board."""
    return (size + 2) * (size + 1) + 1


def filter_bits(max_moves: int) -> int:
    """Bits of the filter over the history: a power of two, at least 16 per position, so few false alarms."""
    return 1 << (16 * (max_moves + 1) - 1).bit_length()


def state_size(size: int, max_moves: int) -> int:
    """Elements of a state."""
    return HEADER + CELL * padded(size) + size * size + max_moves + 1 + filter_bits(max_moves) // 64


@njit("int64(int64[::1], int64)", cache=True)
def point_of(state, action):
    """The point of a board action (not of the pass)."""
    size = state[SIZE]
    return HEADER + CELL * ((action // size + 1) * (size + 1) + action % size + 1)


@njit("int64(int64)", cache=True)
def packed(point):
    """One pseudo-liberty at `point`: 1 in the count, the cell's number and its square in the sums."""
    cell = (point - HEADER) >> 3
    return (1 << 48) + (cell << 28) + cell * cell


@njit("boolean(int64)", cache=True)
def in_atari(liberties):
    """Whether all of a group's pseudo-liberties, packed as in its cell, are one point (or there is none)."""
    total = (liberties >> 28) & 0xFFFFF
    return (liberties >> 48) * (liberties & 0xFFFFFFF) == total * total


@njit("int64(int64)", cache=True)
def last_liberty(liberties):
    """That point, of a group in atari."""
    return HEADER + CELL * (((liberties >> 28) & 0xFFFFF) // (liberties >> 48))


@njit("void(int64[::1], int64)", cache=True)
def add_empty(state, point):
    """The point becomes empty and joins the list of empty points."""
    slot = state[EMPTIES]
    state[point] = EMPTY
    state[state[LIST] + slot] = point
    state[point + SLOT] = slot
    state[EMPTIES] = slot + 1


@njit("int64(int64[::1])", cache=True)
def situation(state):
    """What superko compares: the stones, and under situational superko the side to move as well."""
    return state[HASH] ^ SIDE if state[SUPERKO] == SITUATIONAL and state[TURN] == 1 else state[HASH]


@njit("void(int64[::1])", cache=True)
def record(state):
    """Enters the position into the history. A full history (`max_moves` was reached) stays as it is."""
    if state[RECORDED] <= state[MAX_MOVES]:
        value = situation(state)
        state[state[HISTORY] + state[RECORDED]] = value
        state[RECORDED] += 1
        bit = value & (state[BITS] - 1)
        state[state[FILTER] + (bit >> 6)] |= 1 << (bit & 63)


@njit("void(int64[::1])", cache=True)
def restart(state):
    """Forgets how the position came about: its history holds this position only."""
    state[MOVES] = state[PASSES] = state[KO] = state[PAST] = state[TAKEN] = state[TAKEN + 1] = 0
    state[LAST : LAST + LASTS] = -1
    state[RECORDED] = 0
    state[state[HISTORY] :] = 0
    record(state)


@njit("void(int64[::1])", cache=True)
def clear(state):
    """An empty board, Black to move; keeps the settings."""
    size, max_moves = state[SIZE], state[MAX_MOVES]
    state[TURN:] = 0
    state[STEP] = CELL * (size + 1)
    cells = (size + 2) * (size + 1) + 1
    state[LIST] = HEADER + CELL * cells
    state[HISTORY] = state[LIST] + size * size
    state[FILTER] = state[HISTORY] + max_moves + 1
    state[BITS] = 64 * (len(state) - state[FILTER])
    for cell in range(cells):
        point = HEADER + CELL * cell
        row, column = cell // (size + 1) - 1, cell % (size + 1) - 1
        state[point + GROUP] = point
        if 0 <= row < size and column >= 0:
            state[point + ACTION] = row * size + column
            add_empty(state, point)
        else:
            state[point] = BORDER
    restart(state)


@njit("void(int64[::1], int64)", cache=True)
def remove_group(state, group):
    """Takes the stones of a group off the board."""
    step = state[STEP]
    state[HASH] ^= state[group + GROUP_HASH]
    point = group
    while True:
        liberty = packed(point)
        for neighbour in (point - CELL, point + CELL, point - step, point + step):
            if state[neighbour] != EMPTY:  # for stones of this very group the sum does not matter any more
                state[state[neighbour + GROUP] + LIBERTIES] += liberty
        add_empty(state, point)
        point = state[point + NEXT]
        if point == group:
            return


@njit("int64(int64[::1], int64, int64)", cache=True)
def place(state, point, colour):
    """Puts a stone on an empty point, takes what dies (the own group last) and returns the point that simple
    ko forbids now, or 0. Touches neither the turn nor the history."""
    step = state[STEP]
    around = (point - CELL, point + CELL, point - step, point + step)
    cell = (point - HEADER) >> 3

    slot, last = state[point + SLOT], state[EMPTIES] - 1  # the last empty point takes the place in the list
    moved = state[state[LIST] + last]
    state[state[LIST] + slot] = moved
    state[moved + SLOT] = slot
    state[EMPTIES] = last

    stone = ZOBRIST[colour, cell]
    state[HASH] ^= stone
    state[point] = colour
    state[point + GROUP] = point
    state[point + NEXT] = point
    state[point + STONES] = 1
    state[point + GROUP_HASH] = stone
    taken_liberty = packed(point)
    liberties = 0
    for neighbour in around:
        if state[neighbour] == EMPTY:
            liberties += packed(neighbour)
        else:  # the border keeps meaningless sums of its own, which saves a comparison
            state[state[neighbour + GROUP] + LIBERTIES] -= taken_liberty
    state[point + LIBERTIES] = liberties

    group = point
    for neighbour in around:
        other = state[neighbour + GROUP]
        if state[neighbour] == colour and other != group:
            if state[other + STONES] > state[group + STONES]:
                group, other = other, group
            state[group + STONES] += state[other + STONES]
            state[group + LIBERTIES] += state[other + LIBERTIES]
            state[group + GROUP_HASH] ^= state[other + GROUP_HASH]
            member = other
            while True:  # the smaller group takes the larger one's name
                state[member + GROUP] = group
                following = state[member + NEXT]
                if following == other:
                    break
                member = following
            state[member + NEXT] = state[group + NEXT]
            state[group + NEXT] = other

    captured, ko = 0, 0
    for neighbour in around:
        if state[neighbour] == 3 - colour:
            other = state[neighbour + GROUP]
            if state[other + LIBERTIES] >> 48 == 0:
                captured += state[other + STONES]
                ko = neighbour
                remove_group(state, other)
    if captured:
        state[TAKEN + colour - 1] += captured
        if captured == 1 and state[group + STONES] == 1 and state[group + LIBERTIES] >> 48 == 1:
            return ko
    elif state[group + LIBERTIES] >> 48 == 0:
        state[TAKEN + 2 - colour] += state[group + STONES]
        remove_group(state, group)
    return 0


@njit("boolean(int64[::1], int64)", cache=True)
def seen(state, value):
    """Whether the history holds a position of this hash."""
    bit = value & (state[BITS] - 1)
    if not (state[state[FILTER] + (bit >> 6)] >> (bit & 63)) & 1:
        return False
    for i in range(state[HISTORY], state[HISTORY] + state[RECORDED]):  # noqa: SIM110 (numba has no `any` here)
        if state[i] == value:
            return True
    return False


@njit("boolean(int64[::1], int64)", cache=True)
def is_legal(state, point):
    """Whether the side to move may play at this EMPTY point: suicide, simple ko, superko."""
    step = state[STEP]
    colour = state[TURN] + 1
    value = state[HASH] ^ ZOBRIST[colour, (point - HEADER) >> 3]  # the hash after the move
    breathes, joins, captures = False, False, False
    first, second, third = 0, 0, 0  # captured groups so far: one may touch the point more than once
    for neighbour in (point - CELL, point + CELL, point - step, point + step):
        there = state[neighbour]
        if there == EMPTY:
            breathes = True
        elif there != BORDER:
            group = state[neighbour + GROUP]
            threatened = in_atari(state[group + LIBERTIES])  # `point` is then the group's last liberty
            if there == colour:
                joins = True
                breathes |= not threatened
            elif threatened:
                captures = True
                if group != first and group != second and group != third:
                    first, second, third = group, first, second
                    value ^= state[group + GROUP_HASH]
    if not breathes and not captures:
        if not state[SUICIDE]:
            return False
        # The own groups die with the new stone: without it and them the position is what remains.
        first, second, third = 0, 0, 0
        value ^= ZOBRIST[colour, (point - HEADER) >> 3]
        for neighbour in (point - CELL, point + CELL, point - step, point + step):
            group = state[neighbour + GROUP]
            if state[neighbour] == colour and group != first and group != second and group != third:
                first, second, third = group, first, second
                value ^= state[group + GROUP_HASH]
        if state[SUPERKO] == SIMPLE:
            return joins  # one stone's suicide would leave the position as it is
    if state[SUPERKO] == SIMPLE:
        return point != state[KO]
    if breathes and not captures and state[TAKEN] + state[TAKEN + 1] == 0:
        return True  # nothing was ever captured: more stones than in any earlier position
    if state[SUPERKO] == SITUATIONAL and state[TURN] == 0:
        value ^= SIDE  # White will be to move
    return not seen(state, value)


@njit("boolean(int64[::1], int64, int64)", cache=True)
def is_suicide(state, point, colour):
    """Whether a stone of `colour` at this empty point would take off itself, alone or with its groups."""
    step = state[STEP]
    for neighbour in (point - CELL, point + CELL, point - step, point + step):
        there = state[neighbour]
        if there == EMPTY:
            return False
        # An own group with another liberty breathes; an enemy group without one is captured.
        if there != BORDER and in_atari(state[state[neighbour + GROUP] + LIBERTIES]) != (there == colour):
            return False
    return True


@njit("int64(int64[::1], int64, int64[::1])", cache=True)
def liberties(state, group, found):
    """Fills `found` with different liberties of the group with this first point; returns how many."""
    step, count, point = state[STEP], 0, group
    while True:
        for neighbour in (point - CELL, point + CELL, point - step, point + step):
            if state[neighbour] == EMPTY:
                new = True
                for i in range(count):
                    new &= found[i] != neighbour
                if new:
                    found[count] = neighbour
                    count += 1
                    if count == len(found):
                        return count
        point = state[point + NEXT]
        if point == group:
            return count
