"""The time of both sides of a game at a table: what they have used, and what a time control leaves them.

A move that is taken back gives its time back. Colours: 0 Black, 1 White.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from experiments.go.clock import GoClock, Setting, SideClock


class Stopwatch:
    """Counts the seconds of every move. now: what tells the time. `setting`, the time control, may be set."""

    def __init__(self, now: Callable[[], float] = time.monotonic):
        self.setting, self.now = Setting(), now
        self.restart(0)

    def restart(self, plies: int) -> None:
        """For a game of which so many moves are made already."""
        self.moves = [(0, 0.0)] * plies  # (colour, seconds) of each move
        self.part, self._whose, self._since = 0.0, 0, 0.0  # move under way: its seconds, colour and beginning
        self.running: int | None = None  # side whose time passes
        self.begun = False  # True once time counts; a person's first move is free, as nobody knows when they sat down

    def run(self, side: int | None) -> None:
        """This side's time passes from now on; None: nobody's."""
        if side == self.running:
            return
        now = self.now()
        if self.running is not None:
            self.part += now - self._since
        self.running, self._since = side, now
        if side is not None:
            self._whose, self.begun = side, True

    def cut(self, ply: int) -> None:
        """So many moves stay."""
        if ply < len(self.moves):
            self.moves, self.part, self._since = self.moves[:ply], 0.0, self.now()

    def played(self, ply: int, side: int) -> None:
        """This side has made a move after so many others."""
        self.cut(ply)
        self.run(None)
        self.moves.append((side, self.part))
        self.part, self.begun = 0.0, True

    def thought(self, side: int) -> float:
        """Seconds of the move at hand."""
        if side != self._whose:
            return 0.0
        return self.part + (self.now() - self._since if self.running == side else 0.0)

    def used(self, side: int) -> float:
        """Returns the seconds that the side has spent on the game, its present move included."""
        return sum(seconds for colour, seconds in self.moves if colour == side) + self.thought(side)

    def clock(self) -> GoClock:
        """As it stood before the move at hand."""
        clock = GoClock()
        clock.control(self.setting)
        for colour, seconds in self.moves:
            clock.spent(colour, seconds)
        return clock

    def left(self, side: int) -> SideClock:
        """Returns the side's remaining time, its present move included."""
        return self.clock().during(side, self.thought(side))

    def remaining(self) -> float | None:
        """Seconds until the running side has lost by time; None without a limit, or where nobody's time passes."""
        if self.running is None or self.setting.kind == "none":
            return None
        left = self.left(self.running)
        periods = max(left.count - 1, 0) if left.count else self.setting.count
        return max(left.time + periods * self.setting.period, 0.0)

    def view(self) -> dict[str, Any]:
        """As JSON; `left` is None where the time is not limited."""
        sides = [self.left(side) for side in (0, 1)] if self.setting.kind != "none" else None
        return {
            "running": self.running, "used": [round(self.used(side), 2) for side in (0, 1)],
            "left": None if sides is None else [{"time": round(s.time, 2), "count": s.count} for s in sides],
            "period": self.setting.period, "count": self.setting.count,
        }  # fmt: skip


def clock_text(view: dict[str, Any], side: int, past: float = 0.0) -> str:
    """A side's clock, so many seconds after its `view`: 3:07 used, or what is left, 0:24 x3 in byo-yomi."""
    past = past if view["running"] == side else 0.0
    if view["left"] is None:
        return minutes(view["used"][side] + past)
    clock = GoClock()
    clock.control(Setting("byoyomi", 0.0, view["period"], view["count"]))
    clock.left(side, view["left"][side]["time"], view["left"][side]["count"])
    left = clock.during(side, past)
    return minutes(max(left.time, 0.0)) + (f" x{left.count}" if left.count else "")


def minutes(seconds: float) -> str:
    """Formats seconds as minutes and seconds, such as 5:07."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
