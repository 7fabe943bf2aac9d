"""Is there a screen to open a window on?"""

from __future__ import annotations

import os
import sys

UNSEEN = ("dummy", "offscreen")  # drivers of SDL that draw where nobody looks


def has_display() -> bool:
    """Can a window be opened here that somebody sees? SDL_VIDEODRIVER decides, where it is set."""
    if wanted := os.environ.get("SDL_VIDEODRIVER"):
        return any(driver not in UNSEEN for driver in wanted.split(","))
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def go_without() -> None:
    """Where there is no screen, games that draw with pygame are told to ask for none."""
    if not has_display():
        os.environ["SDL_VIDEODRIVER"] = "dummy"
