"""Follows a run that is training: its newest checkpoint, as soon as there is one."""

from __future__ import annotations

import warnings
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any

from agents.core import checkpoint
from agents.core.checkpoint import CheckpointError
from agents.core.run import Run

PERIOD = 1.0  # s between two looks for a newer checkpoint


class Follower:
    """Reads a run's newest checkpoint as soon as there is one, beside the play; it only ever reads."""

    def __init__(self, run: Run, at: int):
        self.run, self.at = run, at
        self._pool, self._reading = ThreadPoolExecutor(1, "follower"), None
        self._looked = monotonic()

    def newer(self) -> tuple[dict[str, Any], int] | None:
        """(state of the agent, its step) once for each checkpoint that is newer than the last one; at once."""
        if self._reading is None:
            if monotonic() - self._looked < PERIOD:
                return None
            self._looked = monotonic()
            found = checkpoint.steps(self.run.checkpoints)
            if found and found[-1] > self.at:
                self._reading = self._pool.submit(_agent_of, self.run.checkpoints)
            return None
        if not self._reading.done():
            return None
        reading, self._reading = self._reading, None
        return self._checked(reading)

    def _checked(self, reading: Future) -> tuple[dict[str, Any], int] | None:
        try:
            state, step = reading.result()
        except (CheckpointError, OSError):  # the run has just replaced it; the next look finds its successor
            return None
        if step <= self.at:
            return None
        self.at = step
        return state, step

    def close(self) -> None:
        self._pool.shutdown()


def _agent_of(folder: Path) -> tuple[dict[str, Any], int]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a checkpoint that was pruned while it was read: the one before will do
        parts, meta = checkpoint.load(folder, None, {"agent"})
    return parts["agent"], meta["step"]
