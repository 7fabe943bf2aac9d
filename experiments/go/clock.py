"""How long to think: GTP's time settings (main time, then Canadian byo-yomi), and how much of it to spend."""

from __future__ import annotations

LAG = 0.2  # s kept back per move for the way there and back
LEAST, MOST = 0.02, 60.0  # s per move, however little or much time there is


class Clock:
    """The time of both sides. Colours: 0 Black, 1 White."""

    def __init__(self) -> None:
        self.timed = False  # do the settings limit the time?
        self.limited = False  # they, or what the controller has said of this game
        self.main = self.byo_time = 0.0  # s
        self.byo_stones = 0  # moves within byo_time
        self._left = [(0.0, 0), (0.0, 0)]  # (s, stones of the period, 0 in main time)

    def set(self, main: float, byo_time: float, byo_stones: int) -> None:
        """Sets both clocks. Byo-yomi time without stones means no limit (GTP 2, section 4.2)."""
        self.main, self.byo_time, self.byo_stones = main, byo_time, byo_stones
        self.timed = not (byo_time > 0 and byo_stones == 0)
        self.restart()

    def restart(self) -> None:
        """Both clocks as at the beginning of a game."""
        self.limited = self.timed
        start = (self.main, 0) if self.main > 0 or self.byo_stones == 0 else (self.byo_time, self.byo_stones)
        self._left = [start, start]

    def left(self, colour: int, seconds: float, stones: int) -> None:
        """What the controller says is left; stones 0 in main time."""
        self._left[colour] = (seconds, stones)
        self.limited = True

    def spent(self, colour: int, seconds: float) -> None:
        """A move took so long: the estimate until the controller says more."""
        time, stones = self._left[colour]
        time -= seconds
        if stones == 0 and time <= 0 and self.byo_stones:
            time, stones = self.byo_time + min(time, 0), self.byo_stones
        elif stones > 1:
            stones -= 1
        elif stones == 1:
            time, stones = self.byo_time, self.byo_stones
        self._left[colour] = (max(time, 0.0), stones)

    def allowed(self, colour: int, moves: int, points: int) -> float | None:
        """Seconds for the next move, None without a limit. moves: played so far; points: of the board."""
        if not self.limited:
            return None
        time, stones = self._left[colour]
        if stones:
            return min(MOST, max(LEAST, time / stones - LAG))
        expected = max(12, points // 8, (points * 3 // 4 - moves) // 2)  # moves that this side may still have to make
        share = time / expected
        if self.byo_stones:
            share = max(share, min(time, self.byo_time / self.byo_stones))
        share = min(share, time / 2)
        return min(MOST, max(LEAST, share - LAG if share > 2 * LAG else share / 2))
