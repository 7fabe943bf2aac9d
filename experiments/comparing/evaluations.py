"""The evaluations of a run: every one is kept, and the tables take the one that says most.

evaluations.jsonl     one JSON object per line, in the order they were played; lines are only ever added
eval.json, eval-nature.json     of older runs, one object each: still read, never written
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import json
import os
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from envs.text import printable

try:
    import fcntl
except ImportError:  # Windows has other locks; there two evaluations at one moment are not kept apart
    fcntl = None

FILE = "evaluations.jsonl"
OLDER = ("eval-nature.json", "eval.json")
FILES = (*OLDER, FILE)
LARGEST = 64 * 2**20  # bytes of a file of evaluations that is read


def keep(run: Path, result: Mapping[str, Any]) -> None:
    """Adds a line, whole or not at all. Raises OSError, and then the file is as it was."""
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    line = json.dumps({**result, "time": now}).encode() + b"\n"
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
    for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"):  # a link in a stranger's folder leads nowhere
        flags |= getattr(os, name, 0)
    file = os.open(run / FILE, flags, 0o644)
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        size = os.fstat(file).st_size
        if size:
            os.lseek(file, size - 1, os.SEEK_SET)
            line = line if os.read(file, 1) == b"\n" else b"\n" + line  # half a line of a killed process stays alone
        try:
            if os.write(file, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(run / FILE))
            os.fsync(file)
        except OSError as fault:
            with contextlib.suppress(OSError):
                os.ftruncate(file, size)
            raise OSError(fault.errno, fault.strerror, str(run / FILE)) from None
    finally:
        os.close(file)


def read(run: Path, remarks: list[str]) -> tuple[dict[str, Any], ...]:
    """Every evaluation, oldest first. What is damaged is left out and named in `remarks`."""
    found = []
    for name in OLDER:
        text = _text(run / name, remarks)
        if text is not None:
            content = _object(text)
            found += [{"own_protocol": name != OLDER[0], **content}] if content else []
            if content is None:
                remarks.append(f"{name} is damaged")
    lines = [line for line in (_text(run / FILE, remarks) or "").splitlines() if line.strip()]
    whole = [content for line in lines if (content := _object(line)) is not None]
    if damaged := len(lines) - len(whole):
        remarks.append(f"{damaged} damaged {'line' if damaged == 1 else 'lines'} of {FILE} left out")
    return (*found, *whole)


def _text(path: Path, remarks: list[str]) -> str | None:
    """The content of an ordinary file of a sane size; None where there is none."""
    try:
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST:
            remarks.append(f"{path.name} is no ordinary file or too large")
            return None
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return None
    except OSError as fault:
        remarks.append(f"{path.name} cannot be read: {fault.strerror}")
        return None


def _object(text: str) -> dict[str, Any] | None:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    return {printable(k): printable(v) if isinstance(v, str) else v for k, v in content.items()}


def own(evaluations: Sequence[Mapping[str, Any]], newest: int | None, protocol: str) -> Iterator[Mapping[str, Any]]:
    """The evaluations that stand for the run, one per protocol; the run's own protocol comes first.

    Of each protocol it is the one of the run's own policy, of its newest checkpoint, over most games, in this order;
    among equals the newest. Games under other options (--options, --tracks) and against somebody (--against) stand for
    nothing but themselves.
    newest: step of the newest checkpoint. protocol: of evaluations that do not tell theirs.
    """
    best: dict[str, tuple[tuple[Any, ...], Mapping[str, Any]]] = {}
    for place, evaluation in enumerate(evaluations):
        if any(evaluation.get(name) for name in ("under", "tracks", "against")):
            continue
        step, games = (int(evaluation[k]) if is_number(evaluation.get(k)) else -1 for k in ("step", "episodes"))
        rank = (evaluation.get("own_policy", True) is not False, step == newest, step, games, place)
        name = str(evaluation.get("protocol", protocol))
        if name not in best or rank > best[name][0]:
            best[name] = rank, evaluation
    yield from sorted((evaluation for _, evaluation in best.values()), key=is_other)


def is_other(evaluation: Mapping[str, Any]) -> bool:
    """Was it played under another protocol than the run is scored under by itself?"""
    return evaluation.get("own_protocol") is False


def every(run: Path) -> tuple[dict[str, Any], ...]:
    """Every evaluation that can be read, oldest first."""
    return read(run, [])


def is_number(value: Any) -> bool:
    """Is it a finite number? A whole one may be larger than a float can hold, and is none here."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max
