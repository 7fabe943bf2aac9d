"""Compiled kernels of an older source are dropped.

numba stores a kernel beside its file and compiles anew when *that file* changes, but not when a function or constant
that it takes from another file does: after an update an old kernel would run silently. So a kernel that is older
than the newest source of its package goes. (With NUMBA_CACHE_DIR set numba stores them there, in folders that begin
with the package's name.)
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PACKAGES = ("envs/flappy", "envs/go", "envs/kart", "agents/search")


def drop_stale(root: Path) -> int:
    """Looks at the PACKAGES under `root`; returns how many stored kernels were dropped."""
    dropped = 0
    for package in PACKAGES:
        newest = max((p.stat().st_mtime for p in (root / package).glob("*.py")), default=0.0)
        stored = [*(root / package / "__pycache__").glob("*.nbi")]
        if elsewhere := os.environ.get("NUMBA_CACHE_DIR"):
            stored += Path(elsewhere).glob(f"{Path(package).name}_*/*.nbi")
        for index in stored:
            with contextlib.suppress(OSError):  # another process was faster, or the place cannot be written
                if index.stat().st_mtime < newest:
                    index.unlink()
                    dropped += 1
    return dropped


def stored(package: str, root: Path | None = None) -> bool:
    """Are there compiled kernels of one of the PACKAGES? Where there are none, its first use compiles for a while."""
    place = (root or Path(__file__).resolve().parent.parent) / package
    elsewhere = os.environ.get("NUMBA_CACHE_DIR")
    kept = Path(elsewhere).glob(f"{Path(package).name}_*/*.nbi") if elsewhere else place.glob("__pycache__/*.nbi")
    return any(kept)


PERIOD = 10.0  # seconds between lines
_say: Callable[[str], None] | None = None  # who wants to know
_heard = False  # does numba tell us?


def tell(say: Callable[[str], None]) -> None:
    """From now on `say` is given a line when kernels are compiled, and one every few seconds as long as that lasts.

    A library stays silent: only programs ask for it.
    """
    global _say
    _say = say


def listen() -> None:
    """Called before a game with kernels is loaded: where somebody wants to know (`tell`), numba is asked to say so."""
    global _heard
    if _heard or _say is None:
        return
    _heard = True
    from numba.core import event

    class Listener(event.Listener):
        """numba calls it around each function that it compiles, those of its own inside ours."""

        def __init__(self) -> None:
            self.lock, self.done, self.began, self.shown, self.name = threading.Lock(), 0, 0.0, 0.0, ""

        def on_start(self, what: Any) -> None:
            name = subject(what.data["dispatcher"].py_func.__module__)
            with self.lock:
                if name and name != self.name:
                    self.name, self.done, self.began = name, 0, time.monotonic()
                    self.shown = self.began
                    self._say(f"compiling {name} once, about half a minute ...")

        def on_end(self, what: Any) -> None:
            now = time.monotonic()
            with self.lock:
                self.done += 1
                if self.name and now - self.shown >= PERIOD:
                    self.shown = now
                    self._say(f"compiling {self.name}: {self.done} functions, {now - self.began:.0f} s")

        def _say(self, text: str) -> None:
            if _say is not None:
                _say(text)

    event.register("numba:compile", Listener())


def subject(module: str) -> str:
    """What a compiled module belongs to, for people: the game, or the tree search; "" for what is not ours."""
    parts = module.split(".")
    if parts[:2] == ["agents", "search"]:
        return "the tree search"
    return parts[1] if parts[0] == "envs" and len(parts) > 2 else ""
