"""Programs of the lab in processes of their own: what `sweep` and `suite` start, follow and wait for."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has other locks; there nothing is locked
    fcntl = None

ROOT = Path(__file__).resolve().parents[1]


def start(
    program: str, argv: Sequence[object], log: Path, *, cores: Collection[int] = (), keep: Collection[int] = (),
    ready: Callable[[], None] | None = None,
) -> subprocess.Popen:  # fmt: skip
    """``python -m experiments.PROGRAM`` with these options, its output appended to `log`.

    cores: processors that it may use, without any all of ours; its threads are planned by them. keep: file descriptors
    that it inherits, such as locks: they are held as long as it lives, whatever becomes of us. ready: called in the
    child before the program begins.
    """
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    words = [sys.executable, "-m", f"experiments.{program}", *map(str, argv)]
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as file:
        # A session of its own: Ctrl-C reaches us alone, and we ask the child to save and stop.
        process = subprocess.Popen(
            words,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            pass_fds=list(keep),
            preexec_fn=ready,
            start_new_session=True,
        )
    if cores and hasattr(os, "sched_setaffinity"):  # long before it has imported enough to ask
        os.sched_setaffinity(process.pid, set(cores))
    return process


DEATH = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>


def end_with_parent() -> None:
    """In a child, before it begins: it will save and stop when who started it has gone. Linux alone has that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DEATH, int(signal.SIGTERM))


def is_training(run: Path) -> bool:
    """Does a process train this run now? Asks its lock, not a clock: a training may be stopped or starved."""
    if fcntl is None:
        return False
    try:
        file = os.open(run / LOCK, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:  # nobody ever trained it here
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(file)
    return False


def stop(process: subprocess.Popen, patience: float = 120.0) -> None:
    """Asks it to save and stop, and waits; after `patience` seconds it is ended."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def reason(code: int, log: Path) -> str:
    """Why it ended: its last line on standard error, or the signal."""
    if code < 0:
        return f"ended by {signal.Signals(-code).name}" + (" (out of memory?)" if code == -signal.SIGKILL else "")
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    messages = [line.removeprefix("joypad: ") for line in lines if line.startswith("joypad: ")]
    return (messages or lines or [f"exit code {code}"])[-1]


LOCK = ".lock"  # lock file in a run's folder, held by the process that trains the run


@contextlib.contextmanager
def lock(path: Path, wait: bool = False, patience: float = 0.0) -> Iterator[int | None]:
    """Holds the lock on a file; gives its descriptor, or None where another holds it and we do not wait.

    patience: seconds of trying, since somebody may only ask. Raises OSError where the path is a link.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
    end = time.monotonic() + patience
    while fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            break
        except BlockingIOError:
            if time.monotonic() >= end:
                os.close(file)
                yield None
                return
            time.sleep(0.05)
    try:
        yield file
    finally:
        os.close(file)  # a child that inherited it holds it on
