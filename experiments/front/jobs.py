"""Programs that the page starts, in processes of their own: a training goes on when page and server have ended.

What a job is stands in RUNS/.jobs/ID.json, its output beside it in ID.log: any later server finds it again.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agents.core import files
from envs.text import printable
from experiments import child

FOLDER = ".jobs"  # folder in a runs folder; no list of runs looks into it
KEPT = 30  # finished jobs whose logs are kept
RUN = re.compile(r"^run: (.+?)(?:, from step [\d,]+)?$", re.MULTILINE)
TAIL = 4000  # bytes of a log that are read


class Jobs:
    """Every method may be called from any thread."""

    def __init__(self, root: Path):
        self.root, self.folder, self._lock = root, root / FOLDER, threading.Lock()
        self._ours: dict[str, subprocess.Popen] = {}

    def start(self, program: str, argv: Sequence[object]) -> str:
        """Starts ``python -m experiments.PROGRAM``; returns the job's name."""
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{program}-{secrets.token_hex(3)}"
        with self._lock:
            process = child.start(program, argv, self.folder / f"{name}.log")
            self._ours[name] = process
            about = {"program": program, "argv": [*map(str, argv)], "pid": process.pid, "started": time.time()}
            files.write_json(self.folder / f"{name}.json", about)
        return name

    def listed(self) -> list[dict[str, Any]]:
        """Every job, newest first: its program, options, whether it runs, its run's folder and its last line."""
        with self._lock:
            names = sorted((p.stem for p in self.folder.glob("*.json")), reverse=True)
            found = [job for name in names if (job := self._job(name)) is not None]
            ended = [job["job"] for job in found if not job["running"]]
            for name in ended[KEPT:]:
                for suffix in (".json", ".log"):
                    (self.folder / f"{name}{suffix}").unlink(missing_ok=True)
        return [job for job in found if job["job"] not in ended[KEPT:]]

    def _job(self, name: str) -> dict[str, Any] | None:
        try:
            about = files.read_json(self.folder / f"{name}.json")
            program, argv, pid = str(about["program"]), [*map(str, about["argv"])], int(about["pid"])
        except (OSError, ValueError, KeyError, TypeError):
            return None  # torn, or somebody else's
        log = self.folder / f"{name}.log"
        text = _head_and_tail(log)
        run = RUN.search(text)
        code = self._code(name)
        lines = [line for line in printable(text, keep="\n").splitlines() if line.strip()]
        return {
            "job": name, "program": program, "argv": argv, "started": about.get("started"), "code": code,
            "running": code is None and _is_program(pid, program, argv), "run": run[1] if run else None,
            "line": lines[-1][:300] if lines else "starting", "pid": pid,
        }  # fmt: skip

    def _code(self, name: str) -> int | None:
        """The exit code of a process that this server has started; None of others, and while it runs."""
        process = self._ours.get(name)
        return None if process is None else process.poll()

    def output(self, name: str) -> str:
        """What a job has printed so far, its beginning and its end."""
        return printable(_head_and_tail(self.folder / f"{Path(name).name}.log"), keep="\n")

    def stop(self, name: str) -> None:
        """Asks a program to save and stop. Raises ValueError where it does not run."""
        with self._lock:
            job = self._job(name) if (self.folder / f"{name}.json").is_file() and Path(name).name == name else None
        if job is None or not job["running"]:
            raise ValueError("it does not run any more")
        with contextlib.suppress(ProcessLookupError):
            os.kill(job["pid"], signal.SIGTERM)


def _head_and_tail(log: Path) -> str:
    """The beginning of a log, where the run is named, and its end."""
    try:
        with open(log, "rb") as file:
            head = file.read(TAIL)
            size = os.fstat(file.fileno()).st_size
            if size > 2 * TAIL:
                file.seek(size - TAIL)
                return f"{head.decode(errors='replace')}\n...\n{file.read().decode(errors='replace')}"
            return (head + file.read()).decode(errors="replace")
    except OSError:
        return ""


def _is_program(pid: int, program: str, argv: Sequence[str] = ()) -> bool:
    """Does this process still run, and is it the program that it was? Numbers of processes are used again.

    argv: its options, where they are known: another run of the same program is not the one that is meant.
    """
    if pid <= 0:
        return False
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return False
        with contextlib.suppress(OSError):  # a system without /proc
            os.kill(pid, 0)
            return True
        return False
    except OSError:
        return False
    mine = not argv or words[:-1][-len(argv) :] == [*map(os.fsencode, argv)]  # behind the last word stands a 0, too
    return _names(words, program) and mine and state != "Z"


def _names(words: Sequence[bytes], program: str) -> bool:
    """Is it the command line of a program of the lab: ``-m experiments.NAME``, ``joypad NAME``, or the same longer?"""
    if f"experiments.{program}".encode() in words:
        return True
    pairs = itertools.pairwise(words)
    return any(os.path.basename(one) in (b"joypad", b"experiments") and two == program.encode() for one, two in pairs)


def stop_training(run: Path) -> None:
    """Asks whoever trains a run to save and stop, wherever it was started. Raises ValueError where nobody does."""
    if not child.is_training(run):
        raise ValueError("nobody trains it now")
    try:
        pid = int(files.read_text(run / child.LOCK, 100) or 0)
    except (OSError, ValueError):
        pid = 0
    if not _is_program(pid, "train"):
        raise ValueError("who trains it cannot be told; stop it where it was started")
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
