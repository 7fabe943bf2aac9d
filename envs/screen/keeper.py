"""The keeper: a process of its own that alone presses keys and starts games. ``python -m envs.screen.keeper``

It is told what to do on standard input, a JSON object a line, and answers on standard output. When that input ends,
because the lab has ended or was killed, it lets go of every key and ends every process that it has started.

    {"do": "screen", "size": [W, H]}                    a virtual display of its own; -> {"display": ":99"}
    {"do": "run", "argv": [...], "env": {...}, "home": FOLDER, "log": FILE}     a game; -> {"pid": N}
    {"do": "connect", "display": ":99"}                 where keys are pressed; -> {}
    {"do": "hold", "keys": {"113": 0.05}}               code -> seconds; all others are let go. No answer
    {"do": "click", "x": X, "y": Y}                     moves the pointer there and presses its button; -> {}
    {"do": "poll"}                                      -> {"code": exit status of the game or null}
    {"do": "stop"}                                      ends the game; -> {}

A key is held for so many seconds at most: whoever stops telling, because it hangs or learns, lets go of it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from typing import Any

from envs.screen import orphans

LONGEST = 5.0  # longest time that a key is held without being told again, in s
PATIENCE = 2.0  # time that a process has to end by itself, in s
PR_SET_PDEATHSIG = 1  # option of prctl(2): a signal for this process when its parent dies


class KeeperRefusal(Exception):
    """What cannot be done; the message is a sentence."""


class KeyPresser:
    """Keys that are down, and until when. X11 alone; another server is another class with `press` and `release`."""

    def __init__(self, display: str):
        from envs.screen.x11 import libraries

        lib = libraries()
        try:
            self.display = lib.display.Display(display)
        except (lib.error.DisplayError, OSError) as fault:
            raise KeeperRefusal(f"the display {display} cannot be opened ({fault})") from None
        if self.display.query_extension("XTEST") is None:
            raise KeeperRefusal(f"the display {display} lets no program press keys (it has no XTEST)")
        self._lib, self._fake = lib, lib.xtest.fake_input
        self.until: dict[int, float] = {}  # code of a key that is down -> when it is let go (`time.monotonic`)

    def hold(self, keys: dict[int, float]) -> None:
        """Holds these keys for so many seconds, and no others."""
        now = time.monotonic()
        for code in [code for code in self.until if code not in keys]:
            self._send(self._lib.X.KeyRelease, code)
            del self.until[code]
        for code, seconds in keys.items():
            if code not in self.until:
                self._send(self._lib.X.KeyPress, code)
            self.until[code] = now + min(seconds, LONGEST)
        if keys:
            self.display.flush()
        else:  # whoever asks for that waits until it is done
            self.display.sync()

    def click(self, x: int, y: int) -> None:
        """Moves the pointer to a point of the display and presses its left button for a moment."""
        X = self._lib.X
        self._fake(self.display, X.MotionNotify, x=x, y=y)
        for event in (X.ButtonPress, X.ButtonRelease):
            self.display.sync()
            time.sleep(0.05)
            self._fake(self.display, event, 1)
        self.display.sync()

    def expire(self) -> float | None:
        """Lets go of keys whose time is up. Returns when the next one is due, in seconds; None: no key is down."""
        now = time.monotonic()
        for code in [code for code, until in self.until.items() if until <= now]:
            self._send(self._lib.X.KeyRelease, code)
            del self.until[code]
        self.display.flush()
        return max(0.0, min(self.until.values()) - now) if self.until else None

    def _send(self, event: int, code: int) -> None:
        self._fake(self.display, event, code)


class Keeper:
    """What has been started, and the keys that are down."""

    def __init__(self) -> None:
        self.presser: KeyPresser | None = None
        self.server: subprocess.Popen | None = None  # virtual display of its own
        self.game: subprocess.Popen | None = None
        self.homes: list[str] = []
        self._libc = ctypes.CDLL(None)

    def _start(self, argv: list[str], **more: Any) -> subprocess.Popen:
        """A process in a group of its own that the kernel ends when the keeper dies."""
        own = os.getpid()

        def tied() -> None:
            self._libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != own:  # the keeper died in between
                os._exit(1)

        try:
            return subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=tied, **more)
        except OSError as fault:
            raise KeeperRefusal(f"{argv[0]} cannot be started ({fault.strerror})") from None

    def _note(self) -> None:
        groups = [p.pid for p in (self.server, self.game) if p is not None and p.poll() is None]
        orphans.write(groups, self.homes)

    def screen(self, size: list[int]) -> dict[str, Any]:
        """Starts a virtual display of `size` (width, height in pixels). Raises KeeperRefusal where none starts."""
        reading, writing = os.pipe()
        argv = ["Xvfb", "-displayfd", str(writing), "-screen", "0", f"{size[0]}x{size[1]}x24", "-nolisten", "tcp"]
        quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.server = self._start(argv, pass_fds=[writing], **quiet)
        finally:
            os.close(writing)
        with os.fdopen(reading) as file:
            ready = select.select([file], [], [], 20.0)[0]
            number = file.readline().strip() if ready else ""
        if not number:
            raise KeeperRefusal("Xvfb, the virtual display, does not start")
        self._note()
        return {"display": f":{number}"}

    def run(self, argv: list[str], env: dict[str, str], home: str, log: str) -> dict[str, Any]:
        """Starts a game in place of the one that runs. home: its folder, which ends with the keeper; log: a file."""
        self.stop()
        if home not in self.homes:
            self.homes.append(home)
        with open(log, "ab") as file:
            self.game = self._start(argv, env=env, cwd=home, stdout=file, stderr=file)
        self._note()
        return {"pid": self.game.pid}

    def connect(self, display: str) -> dict[str, Any]:
        """Presses keys on this display from now on."""
        self.presser = KeyPresser(display)
        return {}

    def hold(self, keys: dict[str, float]) -> None:
        """Holds these keys and no others. keys: code of the key -> seconds until it is let go of by itself."""
        if self.presser is not None:
            self.presser.hold({int(code): float(seconds) for code, seconds in keys.items()})

    def click(self, x: int, y: int) -> dict[str, Any]:
        """Clicks at this place of the display, in pixels."""
        if self.presser is not None:
            self.presser.click(x, y)
        return {}

    def poll(self) -> dict[str, Any]:
        """The exit code of the game; None while it runs and where none was started."""
        return {"code": None if self.game is None else self.game.poll()}

    def stop(self) -> dict[str, Any]:
        """Ends the game; the display stays."""
        self._end(self.game)
        self.game = None
        return {}

    def _end(self, process: subprocess.Popen | None) -> None:
        """Ends a process and all of its group, also where it hangs or was stopped."""
        if process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
                os.killpg(process.pid, signal.SIGCONT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
                if number == signal.SIGTERM:  # those of its group that have not ended with it
                    continue
                return

    def close(self) -> None:
        """Lets go of every key and ends everything."""
        if self.presser is not None:
            with contextlib.suppress(Exception):  # the display may be the first that has gone
                self.presser.hold({})
                self.presser.display.sync()
        self._end(self.game)
        self._end(self.server)
        for home in self.homes:
            orphans.remove(home)
        (orphans.room() / f"{os.getpid()}.json").unlink(missing_ok=True)


def obey(keeper: Keeper, line: bytes) -> dict[str, Any] | None:
    """Carries out one line; the answer, if there is one."""
    words = json.loads(line)
    what = {"screen": keeper.screen, "run": keeper.run, "connect": keeper.connect, "hold": keeper.hold,
            "click": keeper.click, "poll": keeper.poll, "stop": keeper.stop}[words.pop("do")]  # fmt: skip
    try:
        return what(**words)
    except KeeperRefusal as fault:
        return {"fault": str(fault)}


def main() -> None:
    for number in (signal.SIGINT, signal.SIGHUP):  # a Ctrl-C is the lab's; the end of its input ends us
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *words: sys.exit(0))
    keeper, rest = Keeper(), b""
    try:
        while True:
            due = keeper.presser.expire() if keeper.presser is not None else None
            if not select.select([0], [], [], due)[0]:
                continue
            read = os.read(0, 2**16)
            if not read:
                return
            *lines, rest = (rest + read).split(b"\n")
            for line in lines:
                if (answer := obey(keeper, line)) is not None:
                    os.write(1, json.dumps(answer).encode() + b"\n")
    except (OSError, EOFError) as fault:
        print(f"keeper: {fault}", file=sys.stderr)
    except Exception as fault:  # python-xlib's: the display has gone, and with it the keys
        if type(fault).__module__.partition(".")[0] != "Xlib":
            raise
    finally:
        keeper.close()


if __name__ == "__main__":
    main()
