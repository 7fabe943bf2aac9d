"""Games that begin in the middle of earlier ones, for training: positions that self-play has met, drawn at random.

A learner without search meets late positions only after many moves of its own; begun there, a game's outcome is near.
"""

from __future__ import annotations

from typing import Any

import numpy as np

KEPT = 1024  # positions that are kept; a new one takes the place of one drawn at random


class Restarts:
    """Positions of running games [KEPT, S]. share: of the games that begin from one of them.

    Draws depend on the seed and on how many were made, so that an exact resume needs these two numbers.
    """

    def __init__(self, share: float, size: int):
        self.share = share
        self._positions, self._held = np.zeros((KEPT, size), np.int64), 0
        self._seed, self._drawn = 0, 0

    def reset(self, seed: int | None = None) -> None:
        """Begins anew with this seed; without one the positions and the draws go on."""
        if seed is not None:
            self._seed, self._drawn, self._held = seed, 0, 0

    def begin(self, states: np.ndarray, begun: np.ndarray, over: np.ndarray) -> None:
        """Keeps one of the running games' positions; puts a share of the games that have just begun into earlier ones.

        states [N, S] is changed in place; begun, over: bool [N], `over` the games that have just ended.
        """
        rng = np.random.default_rng((self._seed, self._drawn))
        self._drawn += 1
        running = np.flatnonzero(~begun & ~over)
        if len(running):
            place = self._held if self._held < KEPT else int(rng.integers(KEPT))
            self._positions[place] = states[running[rng.integers(len(running))]]
            self._held = min(self._held + 1, KEPT)
        for game in np.flatnonzero(begun):
            if rng.random() < self.share and self._held:
                states[game] = self._positions[rng.integers(self._held)]

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides the future."""
        return {
            "positions": self._positions[: self._held].copy(), "held": self._held, "seed": self._seed,
            "drawn": self._drawn,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues exactly where `state_dict` was taken."""
        self._held, self._seed, self._drawn = (int(state[name]) for name in ("held", "seed", "drawn"))
        self._positions[: self._held] = state["positions"]
