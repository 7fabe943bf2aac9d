"""A synthetic person: keys that another client of a display presses at known times, to measure and test recordings."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np

PERIODS = (0.15, 0.6)  # shortest and longest time between two changes, s


class SyntheticPerson:
    """Holds one of the keys for a while, then another; "" among them is no key. `at(t)` says which was down."""

    def __init__(self, display: str, keys: tuple[str, ...], seed: int = 0, periods: tuple[float, float] = PERIODS):
        self.display, self.keys, self.periods = display, keys, periods
        self.rng, self.changes, self._stop = np.random.default_rng(seed), [(0.0, "")], threading.Event()
        self._thread = threading.Thread(target=self._play, daemon=True)

    def __enter__(self) -> SyntheticPerson:
        self._thread.start()
        return self

    def __exit__(self, *fault: Any) -> None:
        self._stop.set()
        self._thread.join()

    def _play(self) -> None:
        from Xlib import XK, X, display
        from Xlib.ext import xtest

        mine, down = display.Display(self.display), ""
        codes = {key: mine.keysym_to_keycode(XK.string_to_keysym(key)) for key in self.keys if key}
        while not self._stop.is_set():
            if down:
                xtest.fake_input(mine, X.KeyRelease, codes[down])
            down = self.keys[self.rng.integers(len(self.keys))]
            if down:
                xtest.fake_input(mine, X.KeyPress, codes[down])
            mine.sync()
            self.changes.append((time.monotonic(), down))
            self._stop.wait(float(self.rng.uniform(*self.periods)))
        if down:
            xtest.fake_input(mine, X.KeyRelease, codes[down])
            mine.sync()
        mine.close()

    def at(self, when: float) -> str:
        """The key that was down at a time (`time.monotonic`)."""
        return [key for t, key in self.changes if t <= when][-1]
