"""The lab's end of the line to a keeper (`envs.screen.keeper`), and the lock of a window."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from envs.screen import orphans
from envs.screen.faults import KeeperLost, ScreenFault
from envs.text import shown

try:
    import fcntl
except ImportError:  # Windows has neither X11 nor these locks
    fcntl = None

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 40.0  # longest wait for an answer, in s: a loaded machine starts a display slowly
LOG_TAIL = 400  # characters of a game's last words that a fault tells


class KeeperLink:
    """A keeper and what it was told. `close` it; it also ends by itself when this process does, however that ends."""

    def __init__(self) -> None:
        try:
            orphans.sweep()
        except OSError as fault:
            raise ScreenFault(f"the folder of games that run cannot be used: {fault}") from None
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "envs.screen.keeper"], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        self.held: Mapping[int, float] = {}  # keys that were told last
        self.log = orphans.room() / f"log-{self.process.pid}.txt"

    def _send(self, **words: Any) -> None:
        try:
            self.process.stdin.write(json.dumps(words).encode() + b"\n")
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError):
            self.held = {}
            raise KeeperLost("the process that presses the keys has ended") from None

    def _ask(self, **words: Any) -> dict[str, Any]:
        self._send(**words)
        line = self.process.stdout.readline() if select.select([self.process.stdout], [], [], PATIENCE)[0] else b""
        if not line:
            raise KeeperLost("the process that starts games does not answer")
        answer = json.loads(line)
        if "fault" in answer:
            raise ScreenFault(answer["fault"])
        return answer

    def screen(self, size: tuple[int, int]) -> str:
        """Starts a virtual display; returns its name."""
        return self._ask(do="screen", size=list(size))["display"]

    def run(self, argv: Sequence[str], env: Mapping[str, str], home: str) -> int:
        """Starts the game; returns the number of its process."""
        self.log.unlink(missing_ok=True)
        return self._ask(do="run", argv=list(argv), env=dict(env), home=home, log=str(self.log))["pid"]

    def connect(self, display: str) -> None:
        """Presses keys on that display from now on."""
        self._ask(do="connect", display=display)

    def hold(self, keys: Mapping[int, float]) -> None:
        """Holds keys, code -> seconds, and lets go of all others."""
        told, self.held = self.held, keys
        if keys or told:
            self._send(do="hold", keys={str(code): seconds for code, seconds in keys.items()})

    def click(self, x: int, y: int) -> None:
        """Clicks at a point of the display, px."""
        self._ask(do="click", x=x, y=y)

    def exit_code(self) -> int | None:
        """The exit status of the game; None while it runs, or where it was not started here."""
        return self._ask(do="poll")["code"]

    def stop(self) -> None:
        """Ends the game."""
        self._ask(do="stop")

    def last_words(self) -> str:
        """The end of what the game has printed, in one line, for a fault."""
        with contextlib.suppress(OSError):
            text = self.log.read_bytes()[-LOG_TAIL:].decode("utf-8", "replace")
            if said := " ".join(text.split()):
                return f"; it said: {shown(said, LOG_TAIL)}"
        return ""

    def close(self) -> None:
        """Lets go of every key, and ends the game and its display."""
        with contextlib.suppress(OSError, ValueError):
            self.process.stdin.close()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.log.unlink(missing_ok=True)


class WindowLock:
    """The right to drive one window: one lab has it at a time, and the kernel takes it back when that one ends."""

    def __init__(self, identity: str, title: str):
        path = orphans.room() / f"window{identity.replace('/', '-')}.lock"
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = os.pread(self._file, 32, 0).decode("ascii", "replace").strip()
            os.close(self._file)
            raise ScreenFault(f"another lab (process {who or 'unknown'}) drives the window {shown(title)}") from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Lets others drive the window. Calling it again does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
