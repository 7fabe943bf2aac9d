"""Counters of a run: agent steps, optimizer updates, seconds, and how much of the budget is spent."""

from __future__ import annotations

import time
from typing import Any

PARTS = ("act", "env", "sample", "learn")  # parts of a vector step; each is timed


class Clock:
    """The three counters under the names that they have everywhere, and the share of the budget that is spent."""

    def __init__(self, budget: int | None = None, frame_skip: int = 1):
        self.steps = 0  # agent decisions, over all environments
        self.updates = 0  # optimizer steps
        self.frame_skip = frame_skip
        self.budget = budget  # budget in steps; None until `--minutes` has been turned into steps
        self.seconds = 0.0  # seconds of training, over all resumes
        self.away = 0.0  # seconds in this process that hooks spent on something else, such as an evaluation
        self.dropped = 0  # draws of this process that were due in a game in real time, and for which there was no time
        self.parts = dict.fromkeys(PARTS, 0.0)  # seconds of each part in this process
        self._mark = 0.0

    @property
    def frames(self) -> int:
        """Emulator frames."""
        return self.steps * self.frame_skip

    @property
    def progress(self) -> float:
        """0..1, for schedules."""
        return min(1.0, self.steps / self.budget) if self.budget else 0.0

    def lap(self, part: str | None = None) -> None:
        """The time since the lap before went into `part`; into none of them without one. Costs 0.2 microseconds."""
        now = time.perf_counter()
        if part is not None:
            self.parts[part] += now - self._mark
        self._mark = now

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "updates": self.updates, "budget": self.budget, "seconds": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps, self.updates, self.seconds = state["steps"], state["updates"], state["seconds"]
        self.budget = state["budget"] if self.budget is None else self.budget
