"""Opening the files of a recording that a stranger may have made, without waiting, without following links out of its
folder, and without reading more than a limit."""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
from pathlib import Path
from typing import Any

from envs.text import shown

NEWLINE = b"\n"
BOM = b"\xef\xbb\xbf"
MIB = 2**20


class TubError(ValueError):
    """What is wrong with a dataset, and where."""


def content(folder: Path, name: str, limit: int) -> bytes:
    """The bytes of a regular file in a dataset's folder.

    Raises FileNotFoundError where there is none, and TubError for everything else: a pipe, a device, a folder, a link
    that leads out of `folder`, a file of more than `limit` bytes.
    """
    try:
        file = _opened(folder, name)
        try:
            about = os.fstat(file)
            _regular(about, name)
            size = about.st_size
            data = b""
            while size <= limit and len(data) <= limit and (more := os.read(file, max(size - len(data), 0) + 1)):
                data += more
        finally:
            os.close(file)
    except FileNotFoundError:
        raise
    except OSError as fault:
        raise TubError(f"{shown(name)}: {fault.strerror}") from None
    if size > limit or len(data) > limit:
        raise TubError(f"{shown(name)} is larger than {limit // MIB} MiB")
    return data


def _opened(folder: Path, name: str) -> int:
    path = folder / name
    about = os.lstat(path)
    if stat.S_ISLNK(about.st_mode):
        path = _target(folder, name)
        about = os.lstat(path)
    _regular(about, name)  # before it is opened: opening some devices does something
    return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _regular(about: os.stat_result, name: str) -> None:
    if not stat.S_ISREG(about.st_mode):
        raise TubError(f"{shown(name)} is no regular file")


def _target(folder: Path, name: str) -> Path:
    try:
        path = (folder / name).resolve(strict=True)
    except RuntimeError:  # links in a circle, before Python 3.13
        raise TubError(f"{shown(name)} is a link that leads nowhere") from None
    if not path.is_relative_to(folder.resolve()):
        raise TubError(f"{shown(name)} is a link out of the folder")
    return path


def stays_inside(folder: Path, name: str) -> None:
    """Raises TubError where a part of a dataset is a link out of its folder."""
    if os.path.islink(folder / name):
        try:
            _target(folder, name)
        except OSError as fault:
            raise TubError(f"{shown(name)}: {fault.strerror}") from None


def is_regular(path: Path) -> bool:
    """Is it a file of its own, neither a link nor a device?"""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False


def parsed(data: bytes) -> Any:
    """A value in JSON. Raises ValueError (or RecursionError) for anything else, and where an object has a name twice:
    two lines that damage has made one would be a record that nobody recorded."""
    return json.loads(data, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found


def lines(data: bytes) -> list[bytes]:
    """Lines of a file without their ends, whatever those are: Windows' text mode writes \\r\\r\\n. Empty ones hold
    nothing and are left out; the last may be torn."""
    return [line for line in re.split(rb"[\r\n]+", data.removeprefix(BOM)) if line]


# Writing: never through a link, so that nothing outside the folder is touched.

APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND


def opened(path: Path, flags: int) -> int:
    """A file of the dataset, open for writing. Raises TubError where the name is a link or no regular file."""
    try:
        file = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    except OSError as fault:
        if os.path.lexists(path) and not is_regular(path):
            raise TubError(f"{path} is no regular file: nothing is written there") from None
        raise fault
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise TubError(f"{path} is no regular file: nothing is written there")
    return file


def replace(path: Path, data: bytes) -> None:
    """Writes a file under its name whatever stands there (a link's target stays as it is), one write."""
    if os.path.lexists(path):
        if stat.S_ISDIR(os.lstat(path).st_mode):
            raise TubError(f"{path} is a folder: nothing is written there")
        os.unlink(path)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        while data:
            data = data[os.write(file, data) :]
    finally:
        os.close(file)


def lock(path: Path) -> int:
    """An open file that is this process's right to change the dataset; it ends with the process, however that ends."""
    file = opened(path / "lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise TubError(f"{path} is being recorded or edited by another process") from None
    return file


def mend(path: Path, limit: int) -> tuple[list[int], int, int]:
    """Ends a line that a crash left torn; returns the lengths of the lines in bytes, with their ends, how many of them
    hold something, and the number after the highest index in them."""
    with os.fdopen(opened(path, os.O_RDWR | os.O_APPEND), "r+b", buffering=0) as file:
        if os.fstat(file.fileno()).st_size > limit:
            raise TubError(f"{path} is larger than {limit // MIB} MiB")
        data = file.readall()
        if data and not data.endswith(NEWLINE):
            file.write(NEWLINE)
            data += NEWLINE
    return [len(line) + 1 for line in data.split(NEWLINE)[:-1]], len(lines(data)), _after(data)


def _after(data: bytes) -> int:
    parts = (part.lstrip(b" :")[:20].split(b",")[0].rstrip(b" }\r") for part in data.split(b'"_index"')[1:])
    return max((int(part) + 1 for part in parts if part.isdigit() and len(part) < 16), default=0)
