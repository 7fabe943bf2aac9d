"""How far a long job has come: one way to tell the time left, as lines of text or as the live line of `cli.Live`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from agents.core.run import duration

PERIOD = 5.0  # time between two lines, in s
Clock = Callable[[], float]


class TimeEstimate:
    """The time that is left of `total` steps, from the pace since the first: that one may compile."""

    def __init__(self, total: float, clock: Clock = time.monotonic):
        self.total, self._clock = total, clock
        self._first: tuple[float, float] | None = None  # time and count of the first step

    def __call__(self, done: float) -> str:
        """As text; "?" where nothing is known yet."""
        now = self._clock()
        if self._first is None:
            self._first = now, done
        began, before = self._first
        return duration((now - began) / (done - before) * (self.total - done)) if done > before else "?"


class TimeLeft:
    """Prints "DONE of TOTAL WHAT, TIME left" every few seconds; silent where the job is shorter.

    total: 1.0 counts shares of the whole, as per cent. stream: standard output where none is named.
    """

    def __init__(self, total: float, what: str, stream: TextIO | None = None, clock: Clock = time.monotonic):
        self.total, self.what, self._stream, self._clock = total, what, stream, clock
        self._estimate, self._shown = TimeEstimate(total, clock), clock()

    def __call__(self, done: float) -> None:
        left, now = self._estimate(done), self._clock()
        if now - self._shown < PERIOD:
            return
        self._shown = now
        share = f"{done:.0%}" if self.total == 1.0 else f"{done:,} of {self.total:,}"
        print(f"{share} {self.what}, {left} left", file=self._stream or sys.stdout, flush=True)


def of_games(
    live: Callable[[str], None], what: str, games: int, limit: int | None = None
) -> Callable[[int, int], None]:
    """A listener of `agents.core.evaluate`, (games that have ended, steps). limit: steps that end every game."""
    estimate = TimeEstimate(games)
    estimate(0)

    def follow(done: int, steps: int) -> None:
        # Before the first game has ended nobody knows how long they are; a limit of steps ends the longest.
        unknown = f"a game ends after {limit:,} steps at most" if limit else "no game has ended yet"
        left = f"{estimate(done)} left" if done else unknown
        live(f"{what}: {done} of {games} games, {steps:,} steps, {left}")

    return follow
