"""GTP programs as opponents: how their command lines are named, and a conversation with a time limit."""

from __future__ import annotations

import contextlib
import os
import queue
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path

from experiments.cli import UserError

# Area scoring that a referee without eyes for dead stones can count (see docs/protocols.md).
GNUGO = (
    "--mode gtp --chinese-rules --capture-all-dead --play-out-aftermath --never-resign --positional-superko "
    "--forbid-suicide"
)
RELEASES = "https://github.com/lightvector/KataGo/releases"  # page where KataGo is to be had
LONGEST = 1 << 20  # characters of an answer


class Failed(Exception):
    """The program crashed, fell silent or does not speak GTP."""


class ProgramRefused(Exception):
    """The program answered with `?`."""


def found(program: str) -> str | None:
    """Where a program is: in the PATH, or where Debian puts games, which many PATHs leave out."""
    return shutil.which(program) or shutil.which(program, path="/usr/games")


def command_line(player: str, size: int, play_on: bool = False) -> list[str]:
    """The program and arguments of a player's name. play_on: ours captures what is dead before it passes, for a referee
    who counts the stones as they stand.

    `gnugo[:level=10,OPTION=VALUE]`, `katago[:visits=32,model=FILE,SETTING=VALUE]`, `rave[:seconds=1,NAME=VALUE]`,
    `RUN[:visits=400]` (ours: options of `experiments.gtp`, or settings of the player), `gtp:COMMAND` (anything, quoted
    as in a shell). Raises UserError.
    """
    kind, _, rest = player.partition(":")
    if kind == "gtp":
        try:
            words = shlex.split(rest)
        except ValueError as fault:
            raise UserError(f"{player}: {fault}") from fault
        path = found(words[0]) if words else None
        if path is None:
            raise UserError(f"{player}: there is no program {words[0] if words else ''!r}")
        return [path, *words[1:]]
    options = {}
    for item in filter(None, rest.split(",")):
        name, equals, value = item.partition("=")
        if not (name and equals and value):
            raise UserError(f"{player}: {item!r} is not NAME=VALUE")
        options[name] = value
    if kind == "gnugo":
        path = found("gnugo")
        if path is None:
            raise UserError("gnugo is not installed (apt-get install gnugo)")
        options = {"level": "10"} | options
        return [path, *GNUGO.split(), *(word for name, value in options.items() for word in (f"--{name}", value))]
    if kind == "katago":
        return katago(player, options)
    words = [sys.executable, "-m", "experiments.gtp", "--player", kind, "--size", str(size)]
    words += ["--play-on"] if play_on else []
    for name, value in options.items():
        own = name in ("visits", "seconds", "clock", "rules", "resign", "seed")
        words += [f"--{name}", value] if own else ["--set", f"{name}={value}"]
    return words


def katago(player: str, options: dict[str, str]) -> list[str]:
    """KataGo with the rules of `katago.cfg`. options: visits, model (a network's file), and settings of KataGo's own.

    The program is `katago` in the PATH, or what KATAGO names; the network is `model`, what KATAGO_MODEL names, or the
    default one beside the program. Raises UserError.
    """
    named = os.environ.get("KATAGO") or "katago"
    path = found(os.path.expanduser(named))
    if path is None:
        raise UserError(
            f"{player}: there is no program {named!r}; get KataGo from {RELEASES} and put it into the PATH, or name it"
            " by KATAGO=/path/to/katago"
        )
    settings = dict(options)
    visits, model = settings.pop("visits", "32"), settings.pop("model", "") or os.environ.get("KATAGO_MODEL", "")
    if not visits.isdecimal() or not int(visits):
        raise UserError(f"{player}: visits={visits} must be a whole number above 0")
    words = [path, "gtp", "-config", str(Path(__file__).with_name("katago.cfg"))]
    if model:
        network = Path(model).expanduser()
        if not network.is_file():
            raise UserError(f"{player}: there is no network {model}")
        words += ["-model", str(network)]
    settings = {"maxVisits": visits} | settings
    return [*words, "-override-config", ",".join(f"{name}={value}" for name, value in settings.items())]


class Program:
    """A running GTP program. Every question has a time limit; after `Failed` the process is gone."""

    def __init__(self, player: str, size: int, start_seconds: float = 600.0):
        self.player, self.size = player, size
        self._process = subprocess.Popen(
            command_line(player, size, play_on=True), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        self._answers: queue.Queue[str | None] = queue.Queue()
        self._complaints: deque[str] = deque(maxlen=5)  # last lines of standard error
        threading.Thread(target=self._read, daemon=True).start()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self.ask("protocol_version", start_seconds)
        self.commands = set(self.ask("list_commands", start_seconds).split())

    def _read(self) -> None:
        stream, lines, length = self._process.stdout, [], 0
        while True:
            try:
                raw = stream.readline(LONGEST)
            except (OSError, ValueError):
                raw = b""
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            if not raw or length > LONGEST:
                self._answers.put(None)
                return
            if line:
                lines.append(line)
                length += len(line)
            elif lines:
                self._answers.put("\n".join(lines))
                lines, length = [], 0

    def _listen(self) -> None:
        for raw in iter(lambda: self._process.stderr.readline(4096), b""):
            self._complaints.append(raw.decode("utf-8", "replace").strip())

    def ask(self, command: str, seconds: float = 60.0) -> str:
        """The answer's text. Raises Refused, or Failed if the program does not answer in time or not at all."""
        try:
            self._process.stdin.write(f"{command}\n".encode())
            self._process.stdin.flush()
            text = self._answers.get(timeout=seconds)
        except queue.Empty:
            self._fail(f"no answer to {command!r} within {seconds:g} s")
        except OSError:
            text = None
        if text is None:
            self._fail(f"ended at {command!r}")
        if text[0] == "?":
            raise ProgramRefused(f"{self.player} refused {command!r}: {text[1:].strip()}")
        if text[0] != "=":
            self._fail(f"answered {command!r} with {text[:60]!r}")
        return text[1:].strip()

    def _fail(self, what: str) -> None:
        self.close(kill=True)
        self._listener.join(2.0)  # its last words may still be on their way
        said = f" ({self._complaints[-1][:200]})" if self._complaints else ""
        raise Failed(f"{self.player} {what}{said}")

    def cpu(self) -> float | None:
        """Seconds of processor time so far, if the program can say."""
        if "cputime" not in self.commands:
            return None
        try:
            return float(self.ask("cputime"))
        except (ProgramRefused, ValueError):
            return None

    def close(self, kill: bool = False) -> None:
        """Ends the program: `quit`, and if it does not go, by force."""
        try:
            if not kill:
                self._process.stdin.write(b"quit\n")
                self._process.stdin.close()
                self._process.wait(5)
        except (OSError, subprocess.TimeoutExpired):
            kill = True
        if kill:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
