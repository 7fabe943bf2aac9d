"""Recordings as arrays: what `play GAME --record FOLDER` writes, and single files .npz. numpy alone.

    manifest.json       what it is: game, options, observation and actions, how many rows lie in which file
    000000.npz          columns of at most CHUNK rows: obs (the newest frame alone), action, reward, discount, first,
                        last, person (or did an agent choose?), and legal where the game tells it

A file is written whole, then the manifest is replaced, so that a recording that is cut off at any moment loses at most
the rows of its last, unfinished file. Every column has a checksum. Folders of format 1 hold files .safetensors.

A single file .npz holds the same columns, of which obs and action must be there; `group` (or `lap`) says which rows
belong together, and every other array of T rows is `info`.
"""

from __future__ import annotations

import io
import json
import math
import os
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from envs.recordings.rows import RecordingError, Rows, Tell, check
from envs.recordings.tub_files import NEWLINE, TubError, content, lock, opened, parsed
from envs.text import shown

MANIFEST = "manifest.json"
FORMAT = 2
CHUNK = 2_000  # rows in a file; 14 MB of Atari frames
LARGEST_MANIFEST, LARGEST_FILE = 16 * 2**20, 8 * 2**30  # bytes
SEALED = ("obs", "action", "reward", "discount", "first", "last", "legal")  # columns of a row
NUMBERS = "fiub"  # kinds of numpy's types


class ArrayWriter:
    """Appends rows to a folder; a folder that is there goes on. `close` it.

    about: game, env and spec, as JSON has them. aside: files are written in a thread of their own, so that whoever
    records in real time need not wait for the disk; a fault of it is raised by the next file, or by `close`.

    Raises RecordingError where the folder holds something else, or rows of another game, or another process records
    into it: both would number their files alike.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any], aside: bool = False):
        if not (folder / MANIFEST).exists():
            begun = ("lock", f".{MANIFEST}.tmp")  # all that a process leaves that is killed at once
            if folder.exists() and (not folder.is_dir() or any(file.name not in begun for file in folder.iterdir())):
                raise RecordingError(f"{folder} is there and is no recording; name another folder")
            folder.mkdir(parents=True, exist_ok=True)
        self._held = _right_to_write(folder)
        try:
            self._open(folder, about)
        except BaseException:
            self._held.close()
            raise
        self._thread = ThreadPoolExecutor(1) if aside else None
        self._writing: Future | None = None  # file that is being written

    def _open(self, folder: Path, about: Mapping[str, Any]) -> None:
        self.folder, self._rows = folder, []
        if (folder / MANIFEST).exists():
            self.manifest = manifest(folder)
            if {name: self.manifest[name] for name in about} != dict(about):
                raise RecordingError(f"{folder} holds rows of another game, or of other options")
            self.manifest["format"] = FORMAT
        else:
            self.manifest = {"format": FORMAT, **about, "files": [], "games": 0, "scores": []}
            self._store("manifest.json", json.dumps(self.manifest, indent=2).encode())
        self._stored = sum(file["rows"] for file in self.manifest["files"])  # rows that have left memory

    @property
    def count(self) -> int:
        """Rows so far."""
        return self._stored + len(self._rows)

    def write(self, row: Mapping[str, Any]) -> None:
        """One row: column -> its value, which is copied."""
        self._rows.append({name: np.array(value) for name, value in row.items()})
        if len(self._rows) >= CHUNK:
            self.flush()

    def ended(self, score: float) -> None:
        """A game came to its end."""
        self.manifest["games"] += 1
        self.manifest["scores"].append(score)

    def flush(self) -> None:
        """Writes the rows that are still in memory, as a file of their own."""
        if not self._rows:
            return
        rows, self._rows = self._rows, []
        self._stored += len(rows)
        if self._thread is None:
            self._write(rows)
            return
        self._settle()
        self._writing = self._thread.submit(self._write, rows)

    def _write(self, rows: list[dict[str, np.ndarray]]) -> None:
        """One file, and then the manifest with it."""
        columns = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        packed, name = io.BytesIO(), f"{len(self.manifest['files']):06d}.npz"
        np.savez(packed, **columns)
        self._store(name, packed.getvalue())
        self.manifest["files"].append({"name": name, "rows": len(rows)})
        self._store(MANIFEST, json.dumps(self.manifest, indent=2).encode())

    def _settle(self) -> None:
        """Waits for the file that is being written, and raises its fault."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()

    def _store(self, name: str, data: bytes) -> None:
        """A whole file, or the one that was there."""
        temporary = self.folder / f".{name}.tmp"
        with os.fdopen(opened(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
            file.write(data + NEWLINE if name == MANIFEST else data)
        temporary.replace(self.folder / name)

    def close(self) -> None:
        """Writes what is left."""
        try:
            self.flush()
            self._settle()
        finally:
            if self._thread is not None:
                self._thread.shutdown()
            self._held.close()


def _right_to_write(folder: Path) -> Any:
    """An open file that is the right to record into the folder. Raises RecordingError where somebody else has it."""
    try:
        return os.fdopen(lock(folder), "rb")
    except TubError as fault:
        raise RecordingError(str(fault)) from None


def manifest(folder: Path) -> dict[str, Any]:
    """What a folder says of itself. Raises RecordingError where it is no recording that this version reads."""
    try:
        found = parsed(content(folder, MANIFEST, LARGEST_MANIFEST))
    except (OSError, ValueError, RecursionError) as fault:
        message = fault.strerror if isinstance(fault, OSError) else fault
        raise RecordingError(f"{folder} is no recording: {MANIFEST}: {message}") from None
    kinds = {"format": int, "game": str, "env": dict, "spec": dict, "files": list, "games": int, "scores": list}
    if not isinstance(found, dict) or found.get("format") not in range(1, FORMAT + 1):
        raise RecordingError(f"{folder} is no recording of format {FORMAT} or an older one")
    for name, kind in kinds.items():
        if type(found.get(name)) is not kind:
            raise RecordingError(f"{folder} is no recording: {MANIFEST} holds no {name} of type {kind.__name__}")
    for file in found["files"]:
        good = isinstance(file, dict) and isinstance(file.get("name"), str) and type(file.get("rows")) is int
        if not good or file["rows"] < 0 or Path(file["name"]).suffix not in (".npz", ".safetensors"):
            raise RecordingError(f"{folder} is no recording: {MANIFEST} lists {shown(file)}, which is no file of rows")
    if any(type(score) not in (int, float) or not abs(score) <= sys.float_info.max for score in found["scores"]):
        raise RecordingError(f"{folder} is no recording: {MANIFEST} holds a score that is no number")
    return found


def chunks(folder: Path, damaged: list[str] | None = None) -> Iterator[dict[str, np.ndarray]]:
    """The columns of each file in their order, name -> [rows, ...].

    A file that is damaged is left out and, with the reason, appended to `damaged`; without that list it raises
    RecordingError.
    """
    kinds: dict[str, tuple[Any, ...]] | None = None  # kinds of the columns of the first good file
    for file in manifest(folder)["files"]:
        path = folder / Path(file["name"]).name
        try:
            columns = _chunk(path, file["rows"])
            found = {name: (column.dtype, column.shape[1:]) for name, column in columns.items()}
            kinds = kinds or found
            if found != kinds:
                raise RecordingError(f"{path} is damaged: its columns are not those of the other files")
        except RecordingError as fault:
            if damaged is None:
                raise
            damaged.append(str(fault))
            continue
        yield columns


def _chunk(path: Path, count: int) -> dict[str, np.ndarray]:
    try:
        data = content(path.parent, path.name, LARGEST_FILE)
        columns = _safetensors(data) if path.suffix == ".safetensors" else load(path, data)
    except (OSError, ValueError) as fault:
        message = fault.strerror if isinstance(fault, OSError) else str(fault).removeprefix(f"{path}: ")
        raise RecordingError(f"{path} is damaged: {message}") from None
    for name in SEALED[:-1]:
        if name not in columns:
            raise RecordingError(f"{path} is damaged: it holds no {name!r}")
    for name, column in columns.items():
        if column.dtype.kind not in NUMBERS:
            raise RecordingError(f"{path} is damaged: {shown(name)} is no array of numbers")
        if column.shape[:1] != (count,):
            raise RecordingError(f"{path} is damaged: it does not hold the {count:,} rows that {MANIFEST} tells of")
    return columns


def _safetensors(data: bytes) -> dict[str, np.ndarray]:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load as loads
    except ImportError:
        message = "it is of format 1, which the library safetensors reads (pip install safetensors)"
        raise RecordingError(message) from None
    try:
        return loads(data)
    except (ValueError, KeyError, TypeError, SafetensorError) as fault:
        raise RecordingError(shown(str(fault), 200)) from None


def load(path: Path, data: bytes | None = None) -> dict[str, np.ndarray]:
    """The arrays of a file .npz, whose bytes may be known. Raises RecordingError where it is damaged, or too large."""
    try:
        with zipfile.ZipFile(path if data is None else io.BytesIO(data)) as archive:
            members = archive.infolist()
            size = sum(member.file_size for member in members)
            if size > (memory := os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")):
                there, here = size / 2**30, memory / 2**30
                message = f"{there:,.1f} GiB of arrays, more than this machine's memory, {here:,.1f} GiB"
                raise RecordingError(f"{path}: holds {message}")
            return {m.filename.removesuffix(".npy"): _array(path, archive, m) for m in members}
    except RecordingError:
        raise
    except (OSError, ValueError, EOFError, KeyError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error,
            MemoryError, OverflowError) as fault:  # fmt: skip
        raise RecordingError(f"{path}: cannot be read: {shown(str(fault) or type(fault).__name__, 200)}") from None


def _array(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """One array. Its header is believed only where the file is as long as it says."""
    name = shown(member.filename.removesuffix(".npy"))
    file = io.BytesIO(archive.read(member))
    try:
        version = np.lib.format.read_magic(file)
        header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, transposed, dtype = header(file)
    except (ValueError, KeyError, TypeError, RecursionError, MemoryError, SyntaxError):
        raise RecordingError(f"{path}: {name!r} is no array of numbers") from None
    if dtype.hasobject or dtype.kind == "V":
        raise RecordingError(f"{path}: {name!r} is no array of numbers")
    size = file.getbuffer().nbytes - file.tell()
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != size:
        raise RecordingError(f"{path}: {name!r} is damaged: it holds {size:,} bytes, not an array of {shape}")
    flat = np.frombuffer(file.getbuffer(), dtype, offset=file.tell())
    return flat.reshape(shape, order="F" if transposed else "C").astype(dtype.newbyteorder("="), copy=False)


def from_folder(folder: Path, spec: Any, tell: Tell) -> Rows:
    """The rows of a recording of play that a person chose; those that an agent chose are no example."""
    damaged: list[str] = []
    parts = list(chunks(folder, damaged))
    if damaged:
        tell(f"{folder}: {len(damaged)} damaged file{'s are' if len(damaged) > 1 else ' is'} left out; {damaged[0]}")
    if not parts:
        raise RecordingError(f"{folder} has no good row" + (f"; {damaged[0]}" if damaged else ""))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    columns["first"] = _flags(columns["first"])
    if damaged:  # nothing follows a file that is missing
        columns["first"][np.cumsum([0, *(len(part["obs"]) for part in parts[:-1])])] = True
    person = examples(columns)
    columns.pop("person", None)
    rows = _rows(columns, spec, str(folder))
    check(rows, spec, str(folder))
    if person.all():
        return rows
    if not person.any():
        raise RecordingError(f"{folder}: an agent played all of its {len(person):,} rows: nothing to learn from")
    tell(f"{folder}: {(~person).sum():,} rows that an agent played are left out")
    return rows.without(~person)


def examples(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """bool [T]: rows that a person played. The final row of an episode, where nobody acts, goes with the one before."""
    count = len(columns["obs"])
    person = _flags(columns.get("person", np.ones(count, np.bool_))).reshape(count, -1).all(1)
    last = _flags(columns.get("last", np.zeros(count, np.bool_))).reshape(count, -1).any(1)
    person[1:] |= last[1:] & person[:-1]
    return person


def from_file(path: Path, spec: Any) -> Rows:
    """The rows of a file .npz."""
    arrays = load(path)
    for name in ("action", "lap", "group"):
        if name in arrays and arrays[name].dtype.kind not in NUMBERS.replace("b", ""):
            raise RecordingError(f"{path}: {name!r} is no array of numbers")
    for name in ("obs", *SEALED[2:]):
        if name in arrays and arrays[name].dtype.kind not in NUMBERS:
            raise RecordingError(f"{path}: {name!r} is no array of numbers")
    if "expert" in arrays:
        raise RecordingError(f"{path}: holds 'expert'; what the teacher does is 'action'")
    for name in ("obs", "action"):
        if name not in arrays:
            held = ", ".join(shown(name) for name in sorted(arrays)) or "nothing"
            raise RecordingError(f"{path}: holds no {name!r}, only {held}")
    sizes = {shown(name): len(array) if array.ndim else 0 for name, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        raise RecordingError(f"{path}: the arrays differ in length: {sizes}")
    return _rows(arrays, spec, str(path))


def _rows(columns: dict[str, np.ndarray], spec: Any, where: str) -> Rows:
    """Columns as rows of the game; what is neither a row's own nor a group is `info`."""
    for name in ("first", "last", "legal"):
        if name in columns:
            columns[name] = _flags(columns[name])
    for name in ("reward", "discount"):
        if name in columns:
            with np.errstate(over="ignore"):  # a number too large is infinite, and is refused as such
                columns[name] = columns[name].astype(np.float32)
    action = columns.pop("action")
    if not spec.action_dim and action.dtype.kind == "f":
        raise RecordingError(f"{where}: the game's actions are whole numbers, not {action.dtype}")
    if action.dtype == np.uint64:
        action = action.clip(max=2**62)
    with np.errstate(over="ignore", invalid="ignore"):
        action = action.astype(spec.action_dtype)
    group = _group(columns, len(action))
    own = {name: columns.pop(name) for name in SEALED if name in columns}
    return Rows(action=action, group=group, info=columns, **own)


def _group(columns: dict[str, np.ndarray], count: int) -> np.ndarray:
    """Which rows belong together: as the columns say, else games. int64 [T], rising."""
    lap = columns.pop("lap", None)
    group = columns.pop("group", lap)
    if group is not None and group.ndim != 1:
        return group  # which is told with everything else that does not fit
    begins = np.zeros(count, np.bool_)
    if group is not None:
        begins[1:] = group[1:] != group[:-1]
    else:
        begins[1:] = columns["first"][1:] if "first" in columns and columns["first"].ndim == 1 else False
        if "last" in columns and columns["last"].ndim == 1:
            begins[1:] |= columns["last"][:-1]
    return np.cumsum(begins).astype(np.int64)


def _flags(column: np.ndarray) -> np.ndarray:
    return column.astype(np.bool_)
