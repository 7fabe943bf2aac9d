"""Fresh searches of many games at once: every position is searched from its root, one move after the other.

The games are cut into parts, each with a thread of its own: while the network judges the leaves of one part, the trees
of the other are climbed. What a part finds depends on its games alone, never on the threads' timing.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from agents.search.evaluators import network
from agents.search.gumbel import Gumbel
from agents.search.search import Result, Search


class Lockstep:
    """Gumbel searches of `games` games, in `parts` parts.

    function: the network, as `evaluators.network` takes it. visits: the most that a search will be asked for.
    pool: the threads, None for none. seed: of the games' generators, whose state is `generators`.
    """

    def __init__(
        self, rules: Any, function: Callable, config: Gumbel, *, games: int, visits: int, parts: int = 1,
        pool: ThreadPoolExecutor | None = None, seed: int = 0,
    ):  # fmt: skip
        self.games, self.visits, self._pool = games, visits, pool
        self._cuts = np.linspace(0, games, min(parts, games) + 1).astype(int)
        seeds = np.random.SeedSequence(seed).generate_state(games, np.uint32).tolist()
        common = dict(evaluator=network(function), config=config, capacity=visits + 2)
        self._parts = [
            Search(rules, games=b - a, seed=seeds[a:b], **common)
            for a, b in zip(self._cuts, self._cuts[1:], strict=False)
        ]

    def run(self, states: np.ndarray, visits: int) -> Result:
        """What searches of these positions [N, S] find with so many visits each. A game that is over has action -1."""

        def part(number: int) -> Result:
            search, first = self._parts[number], self._cuts[number]
            for game in range(search.games):
                search.reset(game, states[first + game])
            return search.run(visits=visits)

        run = map if self._pool is None else self._pool.map
        found = list(run(part, range(len(self._parts))))
        return Result(*(np.concatenate(column) for column in zip(*found, strict=True)))

    @property
    def generators(self) -> np.ndarray:
        """Each game's random state, uint64 [N]."""
        return np.concatenate([part._leaves.rng[:, 0] for part in self._parts])

    @generators.setter
    def generators(self, states: np.ndarray) -> None:
        for part, first in zip(self._parts, self._cuts, strict=False):
            part._leaves.rng[:, 0] = states[first : first + part.games]
