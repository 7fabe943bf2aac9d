"""One printer for how far a long job has come."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from agents.core.run import duration

PERIOD = 5.0  # s between two lines


class TimeLeft:
    """Prints "DONE of TOTAL WHAT, TIME left" every few seconds of a job; silent where it is shorter.

    total: 1.0 counts shares of the whole, as per cent. The time that the first step takes, which may compile, is left
    out of the estimate.
    """

    def __init__(
        self, total: float, what: str, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ):
        self.total, self.what, self._stream, self._clock = total, what, stream, clock
        self._shown = clock()
        self._first: tuple[float, float] | None = None  # time and count of the first step

    def __call__(self, done: float) -> None:
        now = self._clock()
        if self._first is None:
            self._first = now, done
        if now - self._shown < PERIOD:
            return
        self._shown = now
        print(self.line(done, now), file=self._stream or sys.stdout, flush=True)

    def line(self, done: float, now: float) -> str:
        """The line at one moment."""
        began, before = self._first or (now, done)
        left = duration((now - began) / (done - before) * (self.total - done)) if done > before else "?"
        share = f"{done:.0%}" if self.total == 1.0 else f"{done:,} of {self.total:,}"
        return f"{share} {self.what}, {left} left"
