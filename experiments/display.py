"""Is there a screen to open a window on?"""

from __future__ import annotations

import os
import sys

_hidden = False  # True once `go_without` has told SDL to draw without a screen


def has_display() -> bool:
    """Can a window be opened here? (SDL_VIDEODRIVER, where a person has set it, counts as one.)"""
    if sys.platform in ("darwin", "win32"):
        return True
    wanted = None if _hidden else os.environ.get("SDL_VIDEODRIVER")
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or wanted)


def go_without() -> None:
    """Where there is no screen, games that draw with pygame are told to ask for none."""
    global _hidden
    if not has_display():
        os.environ["SDL_VIDEODRIVER"] = "dummy"
        _hidden = True
