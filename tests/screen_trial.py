"""A game on the screen for tests that try every registered game: the toy, in a display of its own."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import screen_toy
from programs import tool

import envs


@cache
def _toy() -> str:
    return screen_toy.profile(Path(tempfile.mkdtemp(prefix="joypad-toy-")) / "toy.toml", seconds=60.0)


def trial(game: str) -> dict[str, Any]:
    """Options with which a registered game is tried; {} for all that need none. Skips where something is missing."""
    if game not in envs.GAMES or not envs.describe(game).window:
        return {}
    tool("Xvfb")
    pytest.importorskip("mss", reason="mss is not installed (pip install mss)")
    pytest.importorskip("Xlib", reason="python-xlib is not installed (pip install python-xlib)")
    return {"game": _toy(), "xvfb": True}
