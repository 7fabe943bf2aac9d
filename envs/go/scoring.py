"""Who owns what: area (Tromp-Taylor, Chinese), territory (Japanese style) and Benson's unconditional life.

Ownership arrays are int8 [size * size] by action: +1 Black, -1 White, 0 nobody. Scores are Black's points
less White's points less komi, so positive is good for Black, whoever is to move.
"""

from collections.abc import Iterable

import numpy as np
from numba import njit

from envs.go.board import (
    ACTION,
    BLACK,
    BORDER,
    CELL,
    EMPTY,
    GROUP,
    HEADER,
    KOMI,
    NEXT,
    SIZE,
    STEP,
    STONES,
    SUICIDE,
    TAKEN,
    WHITE,
    point_of,
    remove_group,
)  # fmt: skip


@njit("int64(int64[::1], int8[::1])", cache=True)
def area(state, owner):
    """Fills `owner` by area and returns Black's points less White's, without komi.

    Tromp and Taylor: a player's points are the own stones and the empty points that reach only them.
    """
    step = state[STEP]
    cells = (state[SIZE] + 2) * (state[SIZE] + 1)
    region = np.empty(state[SIZE] * state[SIZE], np.int64)  # points of one empty region, also the queue
    known = np.zeros(cells, np.bool_)
    difference = 0
    for cell in range(cells):
        point = HEADER + CELL * cell
        colour = state[point]
        if colour in (BLACK, WHITE):
            owner[state[point + ACTION]] = 3 - 2 * colour
            difference += 3 - 2 * colour
        elif colour == EMPTY and not known[cell]:
            known[cell] = True
            region[0], count, done, touched = point, 1, 0, 0
            while done < count:
                here = region[done]
                done += 1
                for neighbour in (here - CELL, here + CELL, here - step, here + step):
                    there = state[neighbour]
                    if there == EMPTY:
                        other = (neighbour - HEADER) >> 3
                        if not known[other]:
                            known[other] = True
                            region[count] = neighbour
                            count += 1
                    else:
                        touched |= 1 << there
            touched &= (1 << BLACK) | (1 << WHITE)
            value = 1 if touched == 1 << BLACK else -1 if touched == 1 << WHITE else 0
            for i in range(count):
                owner[state[region[i] + ACTION]] = value
            difference += value * count
    return difference


@njit("float64(int64[::1])", cache=True)
def score(state):
    """Black's area less White's area and komi, of the position as it stands."""
    komi = state[KOMI : KOMI + 1].view(np.float64)[0]
    return area(state, np.empty(state[SIZE] * state[SIZE], np.int8)) - komi


@njit("void(int64[::1], int64, int8[::1])", cache=True)
def benson(state, colour, owner):
    """Marks in `owner` the chains of `colour` that live though their side always passes, and their eyes.

    D. B. Benson, "Life in the game of Go" (1976): of the chains and the regions between them remove each
    chain with fewer than two vital regions and each region with a removed chain on its edge, until nothing
    changes. A region is vital to a chain if all its empty points are liberties of the chain. Where suicide is
    allowed the points under enemy stones count too, since those stones may be taken off by their own side. A
    region between living chains alone is marked as well if at most one of its points does not touch them:
    nobody makes two eyes there. Entries of other points are left as they are.
    """
    step, size = state[STEP], state[SIZE]
    cells = (size + 2) * (size + 1)
    index = np.full(cells, -1, np.int64)  # number of a chain at its first stone, of a region at each of its points
    queue = np.empty(size * size, np.int64)  # the points of all regions, one after the other
    starts = np.empty(size * size + 1, np.int64)
    chains, regions, count = 0, 0, 0
    for cell in range(cells):
        point = HEADER + CELL * cell
        if state[point] == colour:
            if state[point + GROUP] == point:
                index[cell] = chains
                chains += 1
        elif state[point] != BORDER and index[cell] < 0:
            starts[regions] = done = count
            index[cell] = regions
            queue[count] = point
            count += 1
            while done < count:
                here = queue[done]
                done += 1
                for neighbour in (here - CELL, here + CELL, here - step, here + step):
                    other = (neighbour - HEADER) >> 3
                    if state[neighbour] != colour and state[neighbour] != BORDER and index[other] < 0:
                        index[other] = regions
                        queue[count] = neighbour
                        count += 1
            regions += 1
    starts[regions] = count
    if chains == 0 or regions < 2:
        return  # nothing has two vital regions

    edge = np.zeros((regions, chains), np.bool_)  # the chain is on the region's edge
    reached = np.zeros((regions, chains), np.int64)  # points of the region that matter and touch the chain
    matter = np.zeros(regions, np.int64)
    inside = np.zeros(regions, np.int64)  # points that touch no chain
    for region in range(regions):
        for i in range(starts[region], starts[region + 1]):
            point = queue[i]
            matters = state[point] == EMPTY or state[SUICIDE] != 0
            matter[region] += matters
            first, second, third, interior = -1, -1, -1, 1
            for neighbour in (point - CELL, point + CELL, point - step, point + step):
                if state[neighbour] == colour:
                    chain = index[(state[neighbour + GROUP] - HEADER) >> 3]
                    interior = 0
                    edge[region, chain] = True
                    if matters and chain != first and chain != second and chain != third:
                        first, second, third = chain, first, second
                        reached[region, chain] += 1
            inside[region] += interior

    alive, sound = np.ones(chains, np.bool_), np.ones(regions, np.bool_)
    changed = True
    while changed:
        changed = False
        for chain in range(chains):
            if alive[chain]:
                vital = 0
                for region in range(regions):
                    all_reached = reached[region, chain] == matter[region]
                    vital += sound[region] and edge[region, chain] and all_reached
                if vital < 2:
                    alive[chain] = False
                    changed = True
                    for region in range(regions):
                        sound[region] &= not edge[region, chain]

    if not alive.any():
        return
    for cell in range(cells):
        point = HEADER + CELL * cell
        if state[point] == colour:
            living = alive[index[(state[point + GROUP] - HEADER) >> 3]]
        elif state[point] != BORDER:
            region = index[cell]
            living = sound[region] and inside[region] <= 1 and edge[region].any()
        else:
            living = False
        if living:
            owner[state[point + ACTION]] = 3 - 2 * colour


@njit("void(int64[::1], int8[::1])", cache=True)
def pass_alive(state, owner):
    """Fills `owner` with what Benson's theorem gives to each side, 0 elsewhere."""
    owner[:] = 0
    benson(state, BLACK, owner)
    benson(state, WHITE, owner)


def bounds(state: np.ndarray) -> tuple[float, float]:
    """The worst and the best final area score for Black (less komi) that `pass_alive` leaves possible."""
    owner = np.empty(state[SIZE] ** 2, np.int8)
    pass_alive(state, owner)
    komi = float(state[KOMI : KOMI + 1].view(np.float64)[0])
    black, white = int((owner > 0).sum()), int((owner < 0).sum())
    return 2 * black - owner.size - komi, owner.size - 2 * white - komi


def without_dead(state: np.ndarray, dead: Iterable[int]) -> tuple[np.ndarray, list[int]]:
    """A copy of the state without the groups that have a stone in `dead` (actions), and how many black and
    white stones that took off. Raises ValueError for a point that holds no stone."""
    left, removed = state.copy(), [0, 0]
    for action in dead:
        if not 0 <= action < state[SIZE] ** 2 or state[point_of(state, action)] == EMPTY:
            raise ValueError(f"dead names {action}, which holds no stone")
        point = point_of(left, action)
        if left[point] != EMPTY:  # else an earlier stone of the list has taken this one along
            group = left[point + GROUP]
            removed[left[point] - 1] += int(left[group + STONES])
            remove_group(left, group)
    return left, removed


def area_score(state: np.ndarray, dead: Iterable[int] = ()) -> float:
    """Area score (Chinese without compensation; Tromp-Taylor if nothing is dead), Black's view, less komi."""
    return float(score(without_dead(state, dead)[0]))


def territory_score(state: np.ndarray, dead: Iterable[int] = (), seki: Iterable[int] = ()) -> float:
    """Japanese-style score: surrounded empty points and prisoners, Black's view, less komi.

    `dead` and `seki` hold actions, one or more stones of each group. Dead stones are removed and count as
    prisoners; an empty region that touches a group in seki is nobody's. Life and death are the caller's
    judgement.
    """
    left, removed = without_dead(state, dead)
    size, step = int(state[SIZE]), int(state[STEP])
    owner = np.empty(size * size, np.int8)
    area(left, owner)
    empty = np.array([left[point_of(left, action)] == EMPTY for action in range(size * size)])
    for action in seki:
        point = point_of(left, action)
        if not 0 <= action < size * size or left[point] not in (BLACK, WHITE):
            raise ValueError(f"seki names {action}, which holds no living stone")
        queue, member = [], point
        while True:  # the liberties of the group, then everything empty that hangs together with them
            queue += [member + d for d in (-CELL, CELL, -step, step)]
            member = int(left[member + NEXT])
            if member == point:
                break
        known = set()
        while queue:
            here = queue.pop()
            if left[here] == EMPTY and here not in known:
                known.add(here)
                owner[left[here + ACTION]] = 0
                queue += [here + d for d in (-CELL, CELL, -step, step)]
    komi = float(state[KOMI : KOMI + 1].view(np.float64)[0])
    prisoners = int(state[TAKEN]) + removed[1] - int(state[TAKEN + 1]) - removed[0]
    return float(owner[empty].sum()) + prisoners - komi
