"""What every program shares at its edge: one sentence and exit code 2 for a user's mistake, never a traceback."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import re
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from envs import GAMES, UnknownGame, trust
from envs.text import printable

# Faults of the place that is written to, not of the program.
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR}
DISK |= {errno.ENAMETOOLONG, errno.EEXIST}


# Exceptions that are one sentence, by module. They are looked up without importing: a module that was never loaded
# cannot have raised one.
SENTENCES = (
    ("agents.core.run", "RunError"), ("agents.core.checkpoint", "CheckpointError"),
    ("agents.core.stream", "RowFault"), ("envs.gym_check", "GameFault"),
)  # fmt: skip


def trusting(config: Mapping[str, Any]) -> str:
    """What a command adds for a run whose game or wrapper is somebody's module, such as ` --trust gym:MODULE:ID`."""
    game = str(config["game"])
    words = [game] if game.startswith("gym:") and game.count(":") > 1 else []
    words += [w.strip() for w in str(config["env"].get("wrapper") or "").split(",") if w.strip()]
    return f" --trust {shlex.quote(','.join(words))}" if words else ""


def checkpoint(text: str | None) -> int | str | None:
    """A checkpoint as a person names it: a step, "best", or None for the newest. Raises ValueError."""
    if text is None or text == "best":
        return text
    if not text.isdecimal():
        raise ValueError(f"--checkpoint {text}: must be the step of a checkpoint, or best")
    return int(text)


def loaded(*names: tuple[str, str]) -> tuple[type[Exception], ...]:
    """The classes (module, name) of those modules that are loaded."""
    return tuple(getattr(sys.modules[module], name) for module, name in names if module in sys.modules)


def command(program: str) -> str:
    """How the program is called here: `joypad train`, or `python -m experiments.train`."""
    return f"joypad {program}" if sys.argv[0].startswith("joypad ") else f"python -m experiments.{program}"


def named_game(argv: Sequence[str]) -> str | None:
    """The game of a command line whose options are not known yet: its first word that is no option and no value."""
    before = ["", *argv]
    words = [w for b, w in zip(before, argv, strict=False) if w[:1] != "-" and (b[:2] != "--" or "=" in b)]
    return next(iter(words), None) or next((word for word in argv if word in GAMES), None)


def line(program: str, *words: object) -> str:
    """A command for people to copy: the words are quoted as a shell needs it."""
    return " ".join(["python -m experiments." + program, *(shlex.quote(str(word)) for word in words)])


def version() -> str:
    """The version of the lab and of what results depend on, in one line."""
    versions = [f"{name} {_installed(name)}" for name in ("torch", "gymnasium", "ale-py")]
    return ", ".join([f"joypad {own_version()}", *versions, f"Python {platform.python_version()}"])


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def own_version() -> str:
    """Of the checkout where this is one: what is installed may be an older link to it."""
    with contextlib.suppress(OSError):
        text = Path(__file__).parents[1].joinpath("pyproject.toml").read_text()
        if found := re.search(r'^version = "(.+)"$', text, re.MULTILINE):
            return found[1]
    return _installed("joypad-lab")


def starting(torch: bool = False, kernels: bool = False) -> None:
    """So that the first seconds are not silent: tells on standard error what is loaded and compiled.

    torch: it is needed next. kernels: those of Go are, which `envs` is not asked for.
    """
    from envs import kernels as compiled

    if follows():
        return

    def say(text: str) -> None:
        print(f"joypad: {text}", file=sys.stderr, flush=True)

    compiled.tell(say)
    if kernels:
        compiled.listen()
    if torch and "torch" not in sys.modules:
        say("loading torch ...")


def follows() -> bool:
    """Is this one of several processes that torchrun started, and not the first, which speaks for all?"""
    return "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("RANK", "0") != "0"


@contextlib.contextmanager
def speaking() -> Iterator[None]:
    """Within: a process that follows prints nothing; faults are told by each."""
    if not follows():
        yield
        return
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


@contextlib.contextmanager
def told_before() -> Iterator[None]:
    """Within: one of several processes that learn on this machine is silent; who started it has said the same."""
    if "JOYPAD_MEETING" not in os.environ:
        yield
        return
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


class UserError(Exception):
    """Something that the person at the keyboard can mend; the message says how."""


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """Within: a ValueError is a user's mistake (a bad option), not ours."""
    try:
        yield
    except ValueError as fault:
        raise UserError(str(fault)) from fault


@contextlib.contextmanager
def edge(argv: Sequence[str] | None = None) -> Iterator[None]:
    """Around a whole program. argv: its command line, whose games a person has named (`envs.trust`)."""
    trust(sys.argv[1:] if argv is None else argv)
    try:
        yield
    except (UserError, UnknownGame, *loaded(*SENTENCES)) as fault:
        fail(str(fault))
    except BrokenPipeError:  # the reader has gone, as with `| head`
        sys.stdout = None
        sys.exit(0)
    except KeyboardInterrupt:
        print("joypad: left at once; what was saved before stays", file=sys.stderr)
        sys.exit(130)
    except (MemoryError, RuntimeError) as fault:
        if not is_short_of_memory(fault):
            raise
        fail(f"not enough memory: {beginning(fault)}")
    except loaded(("safetensors", "SafetensorError")) as fault:  # the disk while writing: `load` does not catch it
        fail(f"a checkpoint could not be written: {fault}")
    except OSError as fault:
        if fault.errno not in DISK:
            raise
        fail(f"{fault.strerror}: {fault.filename or 'while writing'}")


def is_short_of_memory(fault: BaseException) -> bool:
    """Is it memory that is missing? On a processor torch raises a plain RuntimeError that says so."""
    if isinstance(fault, (MemoryError, *loaded(("torch", "OutOfMemoryError")))):
        return True
    return isinstance(fault, RuntimeError) and any(words in str(fault) for words in NO_MEMORY)


NO_MEMORY = ("DefaultCPUAllocator", "can't allocate memory", "not enough memory", "could not create a memory object")


def say(text: str = "") -> None:
    """Prints what may hold words of a stranger's files."""
    print(printable(text, keep="\n\t"))


def beginning(fault: BaseException) -> str:
    """Two sentences of a message: torch adds half a page of advice to the memory that is missing."""
    text = str(fault).rpartition("] ")[2] if "DefaultCPUAllocator" in str(fault) else str(fault)
    return ". ".join(text.split(". ")[:2]).rstrip(".") or "out of memory"


def ending() -> threading.Event:
    """An event that SIGTERM sets from now on: a program that `until` waits for ends as by Ctrl-C."""
    ended = threading.Event()
    with contextlib.suppress(ValueError):  # signals can be had in the main thread alone
        signal.signal(signal.SIGTERM, lambda number, frame: ended.set())
    return ended


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Within: SIGTERM, and SIGHUP of a terminal that is closed, end as Ctrl-C does, so that recordings and videos are
    written to their end. A second one ends at once. Signals that are ignored or heard already stay so.
    """
    before: dict[int, Any] = {}

    def restore() -> None:
        while before:
            signal.signal(*before.popitem())

    def interrupt(number: int, frame: Any) -> None:
        restore()
        raise KeyboardInterrupt

    with contextlib.suppress(ValueError):  # signals can be had in the main thread alone
        for number in (getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP")):
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:
                before[number] = signal.signal(number, interrupt)
    try:
        yield
    finally:
        restore()


def until(ended: threading.Event) -> None:
    """Waits for the event, or for Ctrl-C."""
    try:
        ended.wait()
    except KeyboardInterrupt:
        print()


def tell(message: str) -> None:
    """One sentence on standard error; the program goes on."""
    print(f"joypad: {printable(' '.join(message.split()))}", file=sys.stderr)


def fail(message: str) -> None:
    """One clear sentence on standard error, exit code 2."""
    tell(message)
    sys.exit(2)
