"""What is alive, dead or in seki: one judgement of a position, for everything that needs to know.

Three witnesses, from certain to likely. Benson's theorem says what lives whatever happens (`envs.go.scoring`). Endings
in which nobody gives away a seki (`envs.go.settle`) say what usually becomes of everything else. Where those disagree
with each other, a search reads the group: can the opponent take it moving first, can its owner save it moving first?
A group is in seki if it lives, and most endings leave it beside empty points that are nobody's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agents.search import evaluators
from agents.search.rave import Rave
from agents.search.search import Search
from envs.go import settle
from envs.go.board import ACTION, EMPTY, GROUP, HASH, NEXT, SIZE, SUICIDE, point_of
from envs.go.scoring import area, pass_alive, without_dead

ENDINGS = 200  # playouts, half with each side first
SURE = 0.9  # mean owner of a group from which its fate needs no reading
VISITS, MOST_VISITS = 600, 3000  # visits of a search that reads one group with one side first; limit for unclear groups
PLAIN = 0.7  # value from which a reading is clear
READS = 40  # groups that are read at most; the others are judged by the endings
HELD, CLEAR = 0.3, 0.8  # mean owner from which a point is likely to stay its owner's, and from which nobody doubts it
WELL = 0.5  # mean owner from which a chain that has to move first to live is taken to be alive
KEPT = 64  # positions whose judgement is remembered


@dataclass(frozen=True)
class Judgement:
    """A position's groups and points; nothing here depends on komi, counting method or the side to move."""

    status: dict[str, list[list[int]]]  # "alive", "seki", "dead": chains, each a sorted list of actions
    unsettled: list[list[int]]  # chains among them that live or die with the next move
    owner: np.ndarray  # float64 [size * size]: +1 Black to -1 White: mean over the endings, exact where Benson's holds
    points: np.ndarray  # int8 [size * size]: owner of each point once the dead are taken off
    nobodys: np.ndarray  # bool [size * size]: empty points that belong to a seki

    def of(self, action: int) -> str:
        """The status of the stone at this point, "" where none stands."""
        return next((name for name, chains in self.status.items() if any(action in c for c in chains)), "")

    def stones(self, name: str) -> list[int]:
        """One stone of every chain of this status."""
        return [chain[0] for chain in self.status[name]]

    @property
    def settled(self) -> bool:
        """Whether every point is decided beyond doubt, whoever moves next."""
        owned = self.points != 0
        clear = bool((self.owner * self.points >= CLEAR)[owned].all())
        return clear and bool(owned.any()) and not self.unsettled and not (~owned & ~self.nobodys).any()

    def doubt(self, colour: int) -> int:
        """Points by which the area lead of this side (0 Black) may be smaller than judged if all that is open goes
        against it. An empty point between living stones of both counts 2: who takes it may take one more."""
        sign = 1 - 2 * colour
        lost = 2 * int((sign * self.owner[sign * self.points > 0] < HELD).sum())
        lost += 2 * int(((self.points == 0) & ~self.nobodys).sum())
        return lost + sum(2 * len(chain) for chain in self.unsettled if sign * self.points[chain[0]] > 0)


def chains(state: np.ndarray) -> list[list[int]]:
    """The actions of each chain of stones on the board."""
    found = []
    for action in range(int(state[SIZE]) ** 2):
        point = point_of(state, action)
        if state[point] != EMPTY and state[point + GROUP] == point:
            chain, stone = [], point
            while not chain or stone != point:
                chain.append(int(state[stone + ACTION]))
                stone = int(state[stone + NEXT])
            found.append(sorted(chain))
    return sorted(found)


def beside(chain: list[int], size: int) -> list[int]:
    """The points next to a chain's stones, some of them its own."""
    found = []
    for action in chain:
        row, column = divmod(action, size)
        found += [r * size + c for r, c in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1))
                  if 0 <= r < size and 0 <= c < size]  # fmt: skip
    return found


class Judge:
    """Judges positions; the same position always alike, and only once."""

    def __init__(self) -> None:
        self._known: dict[tuple, Judgement] = {}
        self._readers: dict[tuple[int, bool], Search] = {}

    def __call__(self, state: np.ndarray) -> Judgement:
        stones = bytes(int(state[point_of(state, action)]) for action in range(int(state[SIZE]) ** 2))
        key = (stones, bool(state[SUICIDE]))
        if key not in self._known:
            while len(self._known) >= KEPT:
                self._known.pop(next(iter(self._known)))
            self._known[key] = self._judge(state)
        return self._known[key]

    def _judge(self, state: np.ndarray) -> Judgement:
        size = int(state[SIZE])
        owner, shared, certain = np.empty(size * size), np.empty(size * size), np.empty(size * size, np.int8)
        rng = np.array([state[HASH]], np.int64).view(np.uint64)
        settle.endings(state, ENDINGS, rng, owner, shared)
        pass_alive(state, certain)
        owner = np.where(certain != 0, certain, owner)
        status: dict[str, list[list[int]]] = {"alive": [], "seki": [], "dead": []}
        unsettled, reads, open_ones = [], 0, []
        for group in chains(state):
            colour = int(state[point_of(state, group[0])]) - 1
            held = (1 - 2 * colour) * float(owner[group].mean())
            seki = float(shared[group].mean()) > 0.5
            alive = held > 0
            if (abs(held) < SURE or seki) and reads < READS:
                reads += 1
                alive, open_ = self._read(state, group, colour, held)
                if open_:
                    unsettled.append(group)
                    open_ones.append((colour, held))
                    continue
            status["dead" if not alive else "seki" if seki else "alive"].append(group)
        for group, (colour, held) in zip(unsettled, open_ones, strict=True):
            # Who lives only by moving first does not live: the other side begins a dispute. But one side wins a race.
            race = any(other != colour and likely < 0 for other, likely in open_ones)
            status["alive" if held > (0 if race else WELL) else "dead"].append(group)
        left = without_dead(state, [chain[0] for chain in status["dead"]])[0]
        points = np.empty(size * size, np.int8)
        area(left, points)
        seki = np.zeros(size * size, bool)
        for chain in status["seki"]:
            seki[beside(chain, size)] = True
        return Judgement(status, unsettled, owner, points, seki & (points == 0))

    def _read(self, state: np.ndarray, group: list[int], colour: int, held: float) -> tuple[bool, bool]:
        """(whether the group lives, whether that depends on who moves first)."""
        attacked = self._lives(state, group, colour, 1 - colour)
        if attacked:
            return True, False
        if not self._lives(state, group, colour, colour):
            return False, False
        return held > 0, True

    def _lives(self, state: np.ndarray, group: list[int], colour: int, first: int) -> bool:
        """Whether a search expects the group to live if this side moves first."""
        size, suicide = int(state[SIZE]), bool(state[SUICIDE])
        if (size, suicide) not in self._readers:
            rules = settle.life_rules(size, suicide=suicide)
            judge = evaluators.classical(settle.life_playout, settle.life_heuristic)
            self._readers[size, suicide] = Search(rules, judge, Rave(), capacity=2 * MOST_VISITS)
        search = self._readers[size, suicide]
        black, white = ([a for a in range(size * size) if state[point_of(state, a)] == c] for c in (1, 2))
        search.seed(1)
        search.reset(state=settle.life_state(search.rules, black, white, group[0], first))
        value = float(search.run(visits=VISITS).value[0])
        if abs(value) < PLAIN:
            value = float(search.run(visits=MOST_VISITS).value[0])
        return (value > 0) == (first == colour)
