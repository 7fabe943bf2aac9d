"""Writing a tub, version 2 (see `envs.recordings.tub`)."""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from envs.recordings.tub_edits import note
from envs.recordings.tub_files import APPEND, NEWLINE, TubError, lock, mend, opened, replace
from envs.recordings.tub_format import LARGEST_CATALOG, LISTED, LONGEST_LINE, STANDARD, TYPES, Manifest
from envs.recordings.tub_pictures import encode, first_shape, size
from envs.recordings.tub_values import IMAGE, finite, out_of_range
from envs.text import shown


class RecordError(TubError):
    """What is wrong with one record; the next one may be written all the same."""


class TubWriter:
    """Appends records to a dataset, which is made if it is not there. A process has one; others are refused.

    columns: name -> type (one of TYPES) beside STANDARD; an existing dataset keeps its own and gains these.
    metadata: JSON values that are kept with the dataset. Each Writer is a session of its own.

    A record is its picture's file, then one `write` of its line. Whatever moment the process is killed at, at most the
    record that is being written is lost; nothing that is there is ever truncated.
    """

    def __init__(self, path: str | Path, columns: Mapping[str, str] = {}, *, metadata: Mapping[str, Any] = {},
                 quality: int = 95):  # fmt: skip
        self.path, self.quality = Path(path), quality
        self._check_place()
        if (self.path / "images").is_symlink():
            raise TubError(f"{self.path / 'images'} is a link: nothing is written through it")
        (self.path / "images").mkdir(parents=True, exist_ok=True)
        self._lock = lock(self.path)
        self._catalog = self._lengths_file = self._manifest = -1
        try:
            self._open(dict(columns), dict(metadata))
        except BaseException:
            self.close()
            raise

    def _check_place(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise TubError(f"{self.path} is a file, not the folder of a dataset")
        ours = ("manifest.json", "images", "lock")
        if self.path.is_dir() and not any((self.path / name).exists() for name in ours) and any(self.path.iterdir()):
            raise TubError(f"{self.path} holds other files and no manifest.json; name a new or an empty folder")

    def _open(self, columns: dict[str, str], metadata: dict[str, Any]) -> None:
        for name, kind in columns.items():
            if kind not in TYPES:
                raise TubError(f"column {name!r}: type {kind!r} is unknown; types are {', '.join(TYPES)}")
        old = Manifest.read(self.path) if (self.path / "manifest.json").exists() else Manifest.new()
        if old.faults:
            raise TubError(f"{self.path}: {old.faults[0]}; nothing is appended to a damaged dataset, `merge` it first")
        for name, kind in {**STANDARD, **columns}.items():
            if old.columns.setdefault(name, kind) != kind:
                raise TubError(f"{self.path}: column {name!r} holds {old.columns[name]}, not {kind}")
        held, given = old.metadata.get("camera"), metadata.get("camera")
        if old.paths and None not in (held, given) and held != given:
            message = f"the camera {shown(str(held))}, not {given}"
            raise TubError(f"{self.path} holds pictures of {message}: record into another folder")
        old.metadata.update(metadata)
        self.columns, self.session = old.columns, old.begin_session()
        self.shape: tuple[int, int] | None = first_shape(self.path)
        self.index, lines, start = 0, [], 0
        for name in old.paths:
            lines, count, after = mend(self.path / name, LARGEST_CATALOG)
            start, self.index = self.index, max(self.index + count, after)  # no picture is written over
        self.index = max(self.index, old.current_index)
        self._data, self._start, self._line_lengths = old, start, lines
        if old.paths:
            self._open_catalog(old.paths[-1])
        self._store_manifest()

    def _store_manifest(self) -> None:
        """Whole, by another file's name: for whatever changes more than the last line's growing end."""
        self._data.current_index = self.index
        self._data.write(self.path)
        if self._manifest >= 0:
            os.close(self._manifest)
        self._manifest = opened(self.path / "manifest.json", os.O_WRONLY)
        self._last_line = sum(len(line) + len(NEWLINE) for line in self._data.lines()[:4])

    def _open_catalog(self, name: str) -> None:
        for file in (self._catalog, self._lengths_file):
            if file >= 0:
                os.close(file)
        self._catalog = self._lengths_file = -1
        self._catalog = opened(self.path / name, APPEND)
        self._lengths_file = opened(self.path / f"{name}_manifest", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        head = {"created_at": time.time(), "path": name, "start_index": self._start}
        self._head = json.dumps(head)[:-1].encode() + b', "line_lengths": ['
        self._lengths = b", ".join(b"%d" % n for n in self._line_lengths)
        self._store_lengths()

    def _store_lengths(self) -> None:
        # Never shorter than what is there, so that one write in place is enough.
        os.pwrite(self._lengths_file, self._head + self._lengths + b"]}" + NEWLINE, 0)

    def write(self, values: Mapping[str, Any], *, timestamp_ms: int | None = None, timed: bool = True) -> int:
        """Appends a record and returns its index. None leaves a column out.

        The picture is uint8 [H, W, 3], or bytes, which are a JPEG file. timestamp_ms: now, if not given; timed=False:
        nobody knows when it was. Raises RecordError (and writes nothing) for a record without picture or steering, an
        unknown column, a value that is not of its type, a number that is not finite or outside its range, and a
        picture of another size than the dataset's.
        """
        record = {name: self._plain(name, value) for name, value in values.items() if value is not None}
        for name in (IMAGE, "user/angle"):
            if name not in record:
                raise RecordError(f"record {self.index} has no {name}")
        data, shape = record[IMAGE]
        if self.shape not in (None, shape):
            raise RecordError(f"{self.path} holds pictures of {size(self.shape)}, this one is {size(shape)}")
        name = f"{self.index}_cam_image_array_.jpg"
        record[IMAGE] = name
        record["_index"], record["_session_id"] = self.index, self.session
        if timed:
            record["_timestamp_ms"] = round(time.time() * 1000) if timestamp_ms is None else int(timestamp_ms)
        record["_image_crc32"] = zlib.crc32(data)
        line = self._line(record)
        full = len(self._line_lengths) >= self._data.max_len or sum(self._line_lengths) > LARGEST_CATALOG // 2
        if full or not self._data.paths:
            self._next_catalog()
        replace(self.path / "images" / name, data)
        done = os.write(self._catalog, line)
        if done != len(line):  # a full disk: the next Writer mends the torn line
            raise TubError(f"{self.path}: the disk is full; record {self.index} was not written")
        self.shape = shape
        self.index += 1
        self._line_lengths.append(len(line))
        self._lengths += (b", %d" if self._lengths else b"%d") % len(line)
        self._store_lengths()
        self._data.current_index = self.index
        os.pwrite(self._manifest, self._data.last_line() + NEWLINE, self._last_line)
        return self.index - 1

    def _line(self, record: dict[str, Any]) -> bytes:
        try:
            line = json.dumps(record, allow_nan=False, sort_keys=True).encode() + NEWLINE
        except (TypeError, ValueError, RecursionError) as fault:
            raise RecordError(f"record {self.index} cannot be JSON: {fault}") from None
        if len(line) > LONGEST_LINE:
            raise RecordError(f"record {self.index} is longer than {LONGEST_LINE:,} bytes")
        return line

    def new_session(self) -> None:
        """What comes now does not follow what came before."""
        self.session = self._data.begin_session()
        self._store_manifest()

    def delete(self, indexes: Iterable[int]) -> None:
        """Marks records as deleted, while recording goes on; `tub_edits.undo` takes it back."""
        fresh = {i for i in indexes if 0 <= i < self.index} - self._data.deleted
        if fresh:
            note(self.path, "deleted", fresh)
            self._data.deleted |= fresh
            self._store_manifest()

    def _next_catalog(self) -> None:
        name = self._data.next_catalog()
        self._start, self._line_lengths = self.index, []
        self._open_catalog(name)
        self._data.paths.append(name)
        self._store_manifest()

    def _plain(self, name: str, value: Any) -> Any:
        """A value as JSON has it; the picture as (JPEG bytes, (height, width))."""
        kind = self.columns.get(name)
        try:
            if name == IMAGE:
                return encode(value, self.quality)
            if kind == "image_array":
                raise RecordError(f"{name}: a record has one picture, {IMAGE}")
            if kind in LISTED:
                plain = [v.item() if isinstance(v, np.generic) else v for v in value]
                listed, strange = finite(value.tolist() if isinstance(value, np.ndarray) else plain)
                if strange:
                    raise RecordError(f"{name} holds what is no finite number")
                return listed
            if kind == "str" and isinstance(value, str):
                return value
            if kind == "boolean" and isinstance(value, bool | np.bool_):
                return bool(value)
            if kind == "int" and isinstance(value, int | np.integer) and not isinstance(value, bool):
                if fault := out_of_range(name, int(value)):
                    raise RecordError(fault)
                return int(value)
            if kind == "float" and isinstance(value, int | float | np.number) and not isinstance(value, bool):
                value = float(value)
                if fault := out_of_range(name, value):
                    raise RecordError(fault)
                return value
        except RecordError:
            raise
        except (TypeError, ValueError, OverflowError, OSError) as fault:
            raise RecordError(f"{name}: {fault}") from None
        if kind is None:
            raise RecordError(f"there is no column {name!r}; columns are {', '.join(self.columns)}")
        raise RecordError(f"{name} must be {kind}, not {value!r}")

    def close(self) -> None:
        """Ends the session."""
        for file in (self._catalog, self._lengths_file, self._manifest, self._lock):
            if file >= 0:
                os.close(file)
        self._catalog = self._lengths_file = self._manifest = self._lock = -1

    def __enter__(self) -> TubWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
