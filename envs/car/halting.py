"""What a car does at a stop sign: it halts, waits, and drives on past that sign."""

from __future__ import annotations

SURE = 0.5  # probability from which a sign counts as seen
SEEN = 2  # pictures in a row that must show it: one alone may be a shadow
WAIT = 2.0  # time of standing at a sign, s
GONE = 1.0  # time without the sign after which the next one is another one, s


class SignHalt:
    """Fed with every answer of the network; `halted` says whether the car has to stand. Times in s."""

    def __init__(self, name: str = "stop"):
        self.name, self.halts = name, 0
        self._seen, self._until, self._passing = 0, 0.0, False
        self._last = 0.0  # moment at which the sign was seen last

    def saw(self, sign: str, certain: float, now: float) -> None:
        """One more picture: what it shows, and how likely."""
        if sign == self.name and certain >= SURE:
            self._seen, self._last = self._seen + 1, now
        else:
            self._seen = 0
        if self._passing and now >= self._until and now - self._last > GONE:
            self._passing = False
        if not self._passing and self._seen >= SEEN:
            self._passing, self._until = True, now + WAIT
            self.halts += 1

    def halted(self, now: float) -> bool:
        """Does the car stand at a sign?"""
        return self._passing and now < self._until
