"""How long to think: the ways in which Go programs are told their time, and how much of it to spend.

Canadian: main time, then so many stones within each period. Byo-yomi: main time, then periods of which one is lost by
a move that outlasts it. Fischer: every move adds to the time. Colours: 0 Black, 1 White.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

LAG = 0.2  # time kept back per move for the way there and back, in s
LEAST, MOST = 0.02, 60.0  # bounds of the time per move, however little or much time there is, in s


@dataclass(frozen=True)
class Setting:
    """A time control, in seconds. kind: none, absolute, canadian, byoyomi, fischer."""

    kind: str = "none"
    main: float = 0.0
    period: float = 0.0  # canadian, byoyomi: length of a period; fischer: time added by a move
    count: int = 0  # canadian: stones of a period; byoyomi: periods
    cap: float = math.inf  # fischer: largest time that the clock shows
    longest: float = math.inf  # time limit of one move


@dataclass
class SideClock:
    """A side's clock. count: stones (canadian) or periods (byoyomi) left; 0 in main time."""

    time: float
    count: int = 0


class GoClock:
    """The time of both sides."""

    def __init__(self) -> None:
        self.setting = Setting()
        self.limited = False  # True if the setting, or the controller's report about this game, limits the time
        self._left = [SideClock(0.0), SideClock(0.0)]

    def set(self, main: float, period: float, stones: int) -> None:
        """As `time_settings` has it; overtime without stones means no limit (GTP 2, section 4.2)."""
        kind = "canadian" if stones else "none" if period > 0 else "absolute"
        self.control(Setting(kind, main, period, stones))

    def control(self, setting: Setting) -> None:
        """Sets both clocks."""
        self.setting = setting
        self.restart()

    def restart(self) -> None:
        """Both clocks as at the beginning of a game."""
        setting = self.setting
        self.limited = setting.kind != "none"
        overtime = setting.main <= 0 and setting.count > 0
        begun = SideClock(setting.period, setting.count) if overtime else SideClock(setting.main)
        self._left = [begun, begun]

    def left(self, colour: int, seconds: float, count: int) -> None:
        """What the controller says is left; count: stones, or periods of byo-yomi, 0 in main time."""
        self._left[colour] = SideClock(seconds, count)
        self.limited = True

    def spent(self, colour: int, seconds: float) -> None:
        """A move took so long: the estimate until the controller says more."""
        setting, left = self.setting, self._left[colour]
        time = left.time - seconds
        if setting.kind == "fischer":
            self._left[colour] = SideClock(min(max(time, 0.0) + setting.period, setting.cap))
        elif setting.kind == "byoyomi":
            now = self.during(colour, seconds)
            self._left[colour] = SideClock(setting.period, now.count) if now.count else SideClock(max(now.time, 0.0))
        elif left.count == 1:
            again = SideClock(setting.period, setting.count)
            self._left[colour] = again if setting.count else SideClock(max(time, 0.0), 1)
        elif left.count == 0 and time <= 0 and setting.count:
            self._left[colour] = SideClock(max(setting.period + time, 0.0), setting.count)
        else:
            self._left[colour] = SideClock(max(time, 0.0), max(left.count - 1, 0))

    def during(self, colour: int, seconds: float) -> SideClock:
        """What the clock shows so many seconds into a move: below 0 where it is overstepped."""
        setting, left = self.setting, self._left[colour]
        time, count = left.time - seconds, left.count
        if setting.kind == "byoyomi":
            if count == 0 and time <= 0 and setting.count:  # main time is over
                count, time = setting.count, time + setting.period
            while count > 1 and time <= 0 < setting.period:  # a period is over
                count, time = count - 1, time + setting.period
        return SideClock(time, count)

    def allowed(self, colour: int, moves: int, points: int) -> float | None:
        """Seconds for the next move, None without a limit. moves: played so far; points: of the board."""
        if not self.limited:
            return None
        setting, left = self.setting, self._left[colour]
        most = min(MOST, setting.longest)
        if left.count:
            share = left.time if setting.kind == "byoyomi" else left.time / left.count
            return min(most, max(LEAST, share - LAG))
        expected = max(12, points // 8, (points * 3 // 4 - moves) // 2)  # moves that this side may still have to make
        share = left.time / expected
        if setting.kind == "fischer":
            share = max(share + setting.period, left.time + setting.period - setting.cap)
        elif setting.kind == "byoyomi" and setting.count:  # a side that oversteps the main time has a period before it
            return min(most, max(LEAST, max(share, setting.period) - LAG))
        elif setting.count:
            share = max(share, min(left.time, setting.period / setting.count))
        share = min(share, left.time / 2)
        return min(most, max(LEAST, share - LAG if share > 2 * LAG else share / 2))
