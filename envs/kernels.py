"""Compiled kernels of an older source are dropped.

numba stores a kernel beside its file and compiles anew when *that file* changes, but not when a function or constant
that it takes from another file does: after an update an old kernel would run silently. So a kernel that is older
than the newest source of its folder goes, in every folder of PLACES. (With NUMBA_CACHE_DIR set numba stores them there,
in folders that begin with the name of the source's.)
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows has other locks; there nothing is locked
    fcntl = None

PLACES = ("envs", "agents")  # packages in which kernels are written, at any depth
LOCK = ".lock"  # lock file in the folder of the kernels


def drop_stale(root: Path) -> int:
    """Looks at the PLACES under `root`; returns how many stored kernels were dropped."""
    dropped, elsewhere = 0, os.environ.get("NUMBA_CACHE_DIR")
    for folder in _folders(root):
        stored = [*(folder / "__pycache__").glob("*.nbi")]
        if elsewhere:
            stored += Path(elsewhere).glob(f"{folder.name}_*/*.nbi")
        if not stored:
            continue
        newest = max((p.stat().st_mtime for p in folder.glob("*.py")), default=0.0)
        for index in stored:
            with contextlib.suppress(OSError):  # another process was faster, or the place cannot be written
                if index.stat().st_mtime < newest:
                    index.unlink()
                    dropped += 1
    return dropped


def _folders(root: Path) -> list[Path]:
    """The PLACES with every folder of sources in them."""
    found = []
    for place in PLACES:
        for folder, inside, _ in os.walk(root / place):
            inside[:] = [name for name in inside if name != "__pycache__"]
            found.append(Path(folder))
    return found


def stored(package: str, root: Path | None = None) -> bool:
    """Are there compiled kernels of a package, such as envs/kart? Without any its first use compiles for a while."""
    place = (root or Path(__file__).resolve().parent.parent) / package
    elsewhere = os.environ.get("NUMBA_CACHE_DIR")
    kept = Path(elsewhere).glob(f"{Path(package).name}_*/*.nbi") if elsewhere else place.glob("__pycache__/*.nbi")
    return any(kept)


def compiles(module: str) -> bool:
    """Does a game's module that is not loaded yet have kernels, in its file or, if it is in a package, beside it?"""
    spec = None if module in sys.modules else importlib.util.find_spec(module)
    if spec is None or not spec.origin:
        return False
    file = Path(spec.origin)
    own = [file] if len(module.split(".")) < 3 else file.parent.glob("*.py")
    return any("numba" in path.read_text(errors="replace") for path in own)


def one_writes_at_a_time() -> None:
    """From now on numba holds a lock while it stores a kernel: two processes that store signatures of one function at
    the same moment would give both the same file."""
    try:
        from numba.core.caching import IndexDataCacheFile
    except ImportError:  # the game itself says that numba is missing
        return
    save = IndexDataCacheFile.save
    if fcntl is None or getattr(save, "locks", False):
        return

    def locked(self: Any, key: Any, data: Any) -> None:
        with open(Path(self._cache_path) / LOCK, "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # until the file is closed
            save(self, key, data)

    locked.locks = True
    IndexDataCacheFile.save = locked


@contextlib.contextmanager
def alone(package: str, root: Path | None = None) -> Iterator[None]:
    """Around the first use of a package with kernels, such as envs/kart: of programs that start at once one compiles,
    the others wait for it. Once that is done, as a mark beside the kernels says, nobody waits."""
    root = root or Path(__file__).resolve().parent.parent
    elsewhere = os.environ.get("NUMBA_CACHE_DIR")
    place = Path(elsewhere) if elsewhere else root / package / "__pycache__"
    sources = [p.stat().st_mtime for folder in _folders(root) for p in folder.glob("*.py")]
    mark, wanted = place / f".{Path(package).name}-compiled", f"{max(sources, default=0.0)} {sys.version} {numba()}"

    def done() -> bool:
        with contextlib.suppress(OSError):
            return mark.read_text() == wanted and stored(package, root)
        return False

    with contextlib.ExitStack() as held:
        if fcntl is not None and not done():
            with contextlib.suppress(OSError):  # a place that cannot be written, or without locks
                place.mkdir(parents=bool(elsewhere), exist_ok=True)
                file = held.enter_context(open(place / f".{Path(package).name}-lock", "w"))
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if _say is not None:
                        _say("another program compiles already, waiting for it ...")
                    fcntl.flock(file, fcntl.LOCK_EX)
        yield
        if fcntl is not None and not done():
            with contextlib.suppress(OSError):
                mark.write_text(wanted)


def numba() -> str:
    """The version whose kernels are stored."""
    try:
        return metadata.version("numba")
    except metadata.PackageNotFoundError:
        return ""


PERIOD = 10.0  # seconds between lines
_say: Callable[[str], None] | None = None  # function that is given the lines
_heard = False  # True once numba reports its compilations


def tell(say: Callable[[str], None]) -> None:
    """From now on `say` is given a line when kernels are compiled, and one every few seconds as long as that lasts.

    A library stays silent: only programs ask for it.
    """
    global _say
    _say = say


def listen() -> None:
    """Called before a game with kernels is loaded: numba is told to lock its stores, and where somebody wants to know
    (`tell`), to say what it compiles."""
    global _heard
    one_writes_at_a_time()
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
