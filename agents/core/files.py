"""Files of a run folder, which may come from a stranger.

Reading takes regular files of a limited size only: a named pipe would wait for ever, a device would never end.
Writing never opens a name that could be foreseen: a new file under a random name takes the old one's place. Nothing is
written or deleted through a symbolic link.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import stat
from pathlib import Path
from typing import Any

LIMIT = 64 * 2**20  # bytes of a JSON file; a large run's manifest has about one million
LINES_LIMIT = 2**30  # bytes of a log; an hour of training writes about one million
TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}\.tmp")  # names that `temporary` gives


def read_text(path: Path, limit: int = LIMIT) -> str:
    """The text of a regular file. Bytes that are not UTF-8 are replaced.

    Raises OSError where it cannot be read, ValueError where it is no regular file or larger than `limit` bytes.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    with open(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is not a regular file")
        if status.st_size > limit:
            raise ValueError(f"it has {status.st_size:,} bytes, more than the {limit:,} that are read")
        return file.read(limit).decode(errors="replace")


def read_json(path: Path, limit: int = LIMIT) -> Any:
    """The value of a JSON file. Raises OSError or ValueError, whatever is wrong with it."""
    return parse(read_text(path, limit))


def parse(text: str) -> Any:
    """The value of JSON text. Raises ValueError, also where it is nested too deeply for Python."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def temporary(path: Path) -> Path:
    """A name beside `path` that nobody can foresee."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")


def create(path: Path) -> int:
    """Opens a new file for writing; fails where anything, a link too, has that name."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    return os.open(path, flags, 0o666)


def write_new(path: Path, text: str) -> None:
    """Writes a file that is not there yet, and waits until it is on disk."""
    with open(create(path), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def write_text(path: Path, text: str) -> None:
    """Replaces a file atomically: after a kill at any moment the old or the new content is there, whole."""
    unfinished = temporary(path)
    try:
        write_new(unfinished, text)
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    sync(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Replaces a small JSON file atomically."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


def sync(folder: Path) -> None:
    """Waits until the names in a folder are on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_folder(path: Path) -> bool:
    """Is it a folder itself, and not a link to one?"""
    return path.is_dir() and not path.is_symlink()


def remove(path: Path) -> None:
    """Deletes a folder with what is in it, or a file. Of a link the link alone goes, never what it leads to."""
    if is_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink()


def first_link(folder: Path) -> Path | None:
    """The first link, pipe, socket or device below `folder`, which a writer must not touch."""
    for place, inside, names in os.walk(folder):
        for name in sorted((*inside, *names)):
            path = Path(place, name)
            try:
                mode = path.lstat().st_mode
            except FileNotFoundError:  # a program beside us has just replaced it
                continue
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                return path
    return None
