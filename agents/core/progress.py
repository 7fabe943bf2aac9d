"""How far a long job has come: one way to print it, and one to tell the time that is left. Without torch."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from agents.core.run import duration

FAST = 0.5  # time between two texts on a terminal, in s
Now = Callable[[], float]


class Live:
    """One line that is written over on a terminal; elsewhere a line now and then. A context manager, or `close` it.

    period: seconds between lines where there is no terminal. wait: seconds before the first text; None: a period.
    The same words are not said twice. lines: lines on a terminal, too, since others print there meanwhile. stream:
    standard error where none is named.
    """

    def __init__(
        self, period: float = 10.0, *, wait: float | None = None, quiet: bool = False, lines: bool = False,
        stream: TextIO | None = None, now: Now = time.monotonic,
    ):  # fmt: skip
        self.stream, self.quiet, self._now = stream or sys.stderr, quiet, now
        self.terminal, self.text = self.stream.isatty() and not lines, ""
        self.period = FAST if self.terminal else period
        self._shown = now() if wait is None else now() + wait - self.period

    @property
    def due(self) -> bool:
        """Is it time for a new text?"""
        return not self.quiet and self._now() - self._shown >= self.period

    def __call__(self, text: str) -> None:
        if text == self.text or not self.due:
            return
        self._shown, self.text = self._now(), text
        self.stream.write(f"\r\x1b[K{text}" if self.terminal else f"{text}\n")
        self.stream.flush()

    def close(self) -> None:
        """Ends the line; what is printed next begins another."""
        if self.terminal and self.text:
            self.stream.write("\n")
        self.text = ""

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *fault: object) -> None:
        self.close()


class TimeEstimate:
    """The time that is left of `total` steps, from the pace since the first: that one may compile."""

    def __init__(self, total: float, now: Now = time.monotonic):
        self.total, self._now = total, now
        self._first: tuple[float, float] | None = None  # time and count of the first step

    def __call__(self, done: float) -> str:
        """As text; "?" where nothing is known yet."""
        now = self._now()
        if self._first is None:
            self._first = now, done
        began, before = self._first
        return duration((now - began) / (done - before) * (self.total - done)) if done > before else "?"


class TimeLeft:
    """Tells "DONE of TOTAL WHAT, TIME left" every few seconds; silent where the job is shorter.

    total: 1.0 counts shares of the whole, as per cent. stream: standard output where none is named.
    """

    def __init__(self, total: float, what: str, stream: TextIO | None = None, now: Now = time.monotonic):
        self.total, self.what, self._estimate = total, what, TimeEstimate(total, now)
        self._live = Live(5.0, wait=5.0, stream=stream or sys.stdout, now=now)

    def __call__(self, done: float) -> None:
        left = self._estimate(done)
        share = f"{done:.0%}" if self.total == 1.0 else f"{done:,} of {self.total:,}"
        self._live(f"{share} {self.what}, {left} left")
        if done >= self.total:
            self._live.close()


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
