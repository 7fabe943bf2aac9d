"""Recordings of driving: the tub format, version 2, of the DonkeyCar project, with columns of our own.

A dataset is a folder:

  manifest.json             five lines of JSON: columns, their types, metadata, sessions, catalogs and deleted indexes
  catalog_K.catalog         one record a line, 1000 lines at most; line L of all catalogs is record L
  catalog_K.catalog_manifest  lengths of these lines
  images/N_cam_image_array_.jpg
  edits.jsonl               ours: what was deleted together, for `undo`

Columns: `cam/image_array` the picture; `user/angle` steering from -1 (left) to 1; `user/throttle` -1 to 1; `user/mode`
who drove: "user" (a person or a teacher, so that user/* are labels) or "local" (a network); `override` a person took
over from a network; `pilot/*` what the network wanted; `game/*` what the game knows. Each record also has `_index`,
`_session_id`, `_timestamp_ms` and (ours) `_image_crc32`.

numpy, Pillow and the standard library are enough, since the toy car uses this file too.

    with Writer("data", {"user/angle": "float"}) as writer:
        writer.write({"cam/image_array": picture, "user/angle": 0.1})
    tub = Tub("data")
    tub.records["user/angle"], tub.image(0), tub.laps, tub.damaged
"""

from __future__ import annotations

import json
import math
import os
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from envs.tub_edits import note
from envs.tub_format import (
    IMAGE,
    LISTED,
    NEWLINE,
    STANDARD,
    TYPES,
    Manifest,
    TubError,
    catalog_lines,
    decode,
    encode,
    first_shape,
    lock,
    mend,
    out_of_range,
    shape_of,
    size,
)

BLOCK = 400  # records that count as one lap where the data do not tell laps: 20 s at 20 Hz
OWN = ("_where", "_shape", "_fault")  # what the reader notes about a record


class Writer:
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
        old.metadata.update(metadata)
        self.columns, self.session = old.columns, old.begin_session()
        self.shape: tuple[int, int] | None = first_shape(self.path)
        self.index, lines, start = 0, [], 0
        for name in old.paths:
            lines = mend(self.path / name)
            start, self.index = self.index, self.index + len(lines)
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
        self._manifest = os.open(self.path / "manifest.json", os.O_WRONLY)
        self._last_line = sum(len(line) + len(NEWLINE) for line in self._data.lines()[:4])

    def _open_catalog(self, name: str) -> None:
        for file in (self._catalog, self._lengths_file):
            if file >= 0:
                os.close(file)
        flags = os.O_WRONLY | os.O_CREAT
        self._catalog = os.open(self.path / name, flags | os.O_APPEND, 0o644)
        self._lengths_file = os.open(self.path / f"{name}_manifest", flags | os.O_TRUNC, 0o644)
        head = {"created_at": time.time(), "path": name, "start_index": self._start}
        self._head = json.dumps(head)[:-1].encode() + b', "line_lengths": ['
        self._lengths = b", ".join(b"%d" % n for n in self._line_lengths)
        self._store_lengths()

    def _store_lengths(self) -> None:
        # Never shorter than what is there, so that one write in place is enough.
        os.pwrite(self._lengths_file, self._head + self._lengths + b"]}" + NEWLINE, 0)

    def write(self, values: Mapping[str, Any], *, timestamp_ms: int | None = None) -> int:
        """Appends a record and returns its index. None leaves a column out.

        The picture is uint8 [H, W, 3], or bytes, which are a JPEG file. timestamp_ms: now, if not given.
        Raises TubError (and writes nothing) for an unknown column, a value that is not of its type, a number that is
        not finite or outside its range, and a picture of another size than the dataset's.
        """
        record = {name: self._plain(name, value) for name, value in values.items() if value is not None}
        if IMAGE not in record:
            raise TubError(f"record {self.index} has no {IMAGE}")
        data, shape = record[IMAGE]
        if self.shape not in (None, shape):
            raise TubError(f"{self.path} holds pictures of {size(self.shape)}, this one is {size(shape)}")
        if len(self._line_lengths) >= self._data.max_len or not self._data.paths:
            self._next_catalog()
        name = f"{self.index}_cam_image_array_.jpg"
        (self.path / "images" / name).write_bytes(data)
        record[IMAGE] = name
        record["_index"], record["_session_id"] = self.index, self.session
        record["_timestamp_ms"] = round(time.time() * 1000) if timestamp_ms is None else int(timestamp_ms)
        record["_image_crc32"] = zlib.crc32(data)
        line = json.dumps(record, allow_nan=False, sort_keys=True).encode() + NEWLINE
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

    def delete(self, indexes: Iterable[int]) -> None:
        """Marks records as deleted, while recording goes on; `tub_edits.undo` takes it back."""
        fresh = {i for i in indexes if 0 <= i < self.index} - self._data.deleted
        if fresh:
            note(self.path, "deleted", fresh)
            self._data.deleted |= fresh
            self._store_manifest()

    def _next_catalog(self) -> None:
        name = f"catalog_{len(self._data.paths)}.catalog"
        self._start, self._line_lengths = self.index, []
        self._open_catalog(name)
        self._data.paths.append(name)
        self._store_manifest()

    def _plain(self, name: str, value: Any) -> Any:
        """A value as JSON has it; the picture as (JPEG bytes, (height, width))."""
        kind = self.columns.get(name)
        try:
            if kind == "image_array":
                return encode(value, self.quality)
            if kind in LISTED:
                return [float(v) if isinstance(v, float | np.floating) else int(v) for v in np.asarray(value).tolist()]
            if kind == "str" and isinstance(value, str):
                return value
            if kind == "boolean" and isinstance(value, bool | np.bool_):
                return bool(value)
            if kind == "int" and isinstance(value, int | np.integer):
                return int(value)
            if kind == "float" and isinstance(value, int | float | np.number) and not isinstance(value, bool):
                value = float(value)
                if fault := out_of_range(name, value):
                    raise TubError(fault)
                return value
        except (TypeError, OSError) as fault:
            raise TubError(f"{name}: {fault}") from None
        if kind is None:
            raise TubError(f"there is no column {name!r}; columns are {', '.join(self.columns)}")
        raise TubError(f"{name} must be {kind}, not {value!r}")

    def close(self) -> None:
        """Ends the session."""
        for file in (self._catalog, self._lengths_file, self._manifest, self._lock):
            if file >= 0:
                os.close(file)
        self._catalog = self._lengths_file = self._manifest = self._lock = -1

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Tub:
    """A dataset, read tolerantly: what is damaged is skipped, counted and named; deleted records are left out.

    index: int64 [n], the records' numbers in the dataset.
    records: column -> array [n] of the n good records; numbers float64 or int64 (float64 with nan where some records
        lack them), str, bool (False where lacking). The picture's column holds names of files.
    labelled: bool [n], records that a person or a teacher drove; a network's own driving is no label.
    laps: int64 [n], number of the lap, 0, 1, ... in order: session, race, lap (blocks of BLOCK records where the data
        tell no laps). Split training and validation by these, never by neighbouring frames.
    starts: bool [n], True where a record does not follow the one before it (another session or race, a gap).
    sessions: names of the sessions in order.  damaged: one sentence per skipped record: where, and what is wrong.
    faults: what is wrong with whole files.  deleted: how many records are marked as deleted.
    shape: (height, width) of the pictures; pictures of another size than most are damaged records.

    check=False leaves the pictures' files unopened. Raises TubError where there is no dataset or no good record.
    """

    def __init__(self, path: str | Path, *, check: bool = True):
        self.path = Path(path)
        manifest = Manifest.read(self.path)
        self.columns, self.metadata, self.faults = manifest.columns, manifest.metadata, manifest.faults
        self.damaged: list[str] = []
        self.deleted = 0
        rows = self._rows(manifest)
        if check:
            rows = self._with_pictures(rows)
        if not rows:
            total = f"{len(self.damaged)} damaged, {self.deleted} deleted"
            first = f"; {self.damaged[0]}" if self.damaged else ""
            raise TubError(f"{self.path} has no good record ({total}){first}")
        self.shape: tuple[int, int] = rows[0]["_shape"] if check else first_shape(self.path) or (0, 0)
        self.index = column(rows, "_index")
        names = dict.fromkeys(name for row in rows for name in row)
        kept = [n for n in names if n not in ("_index", *OWN) and self.columns.get(n) not in LISTED]
        self.records: dict[str, np.ndarray] = {name: column(rows, name) for name in kept}
        mode = self.records.get("user/mode", np.full(len(rows), "user"))
        self.labelled = (mode == "user") | (mode == "")
        self._rows_read = [{k: v for k, v in row.items() if not k.startswith("_") and k != IMAGE} for row in rows]
        self._mark_laps(rows)

    def __len__(self) -> int:
        return len(self.index)

    def _rows(self, manifest: Manifest) -> list[dict[str, Any]]:
        """Records whose lines are good, in order."""
        rows: list[dict[str, Any]] = []
        seen: set[int] = set()
        count = 0
        for name in manifest.paths:
            for number, line in enumerate(catalog_lines(self.path / name), 1):
                index, count = count, count + 1
                try:
                    row = json.loads(line)
                    index = row["_index"] if type(row.get("_index")) is int else index
                    fault = self._fault(row) or ("its index occurs twice" if index in seen else "")
                except (ValueError, AttributeError, RecursionError):
                    row, fault = {}, "the line is not a record in JSON"
                if index in manifest.deleted:
                    self.deleted += 1
                elif fault:
                    self.damaged.append(f"{name} line {number}, record {index}: {fault}")
                else:
                    rows.append({**row, "_index": index, "_where": f"{name} line {number}, record {index}"})
                seen.add(index)
        return rows

    def _fault(self, row: dict[str, Any]) -> str:
        """What is wrong with a record's values, or nothing."""
        for name, kind in self.columns.items():
            value = row.get(name)
            if value is None:
                if name in ("user/angle", IMAGE):
                    return f"there is no {name}"
            elif kind in ("float", "int"):
                if isinstance(value, bool) or not isinstance(value, int | float):
                    return f"{name} is {value!r}, not a number"
                if fault := out_of_range(name, value):
                    return fault
            elif kind in ("str", "image_array") and not isinstance(value, str):
                return f"{name} is {value!r}, not text"
        name = row.get(IMAGE)
        if not isinstance(name, str) or Path(name).name != name:
            return f"{IMAGE} is {name!r}, not the name of a file"
        return ""

    def _with_pictures(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for row in rows:
            row["_shape"], row["_fault"] = None, ""
            try:
                data = (self.path / "images" / row[IMAGE]).read_bytes()
                known = row.get("_image_crc32")
                if known is not None and known != zlib.crc32(data):
                    row["_fault"] = f"picture {row[IMAGE]} is not what was recorded (its checksum differs)"
                else:  # without a checksum only decoding tells
                    row["_shape"] = shape_of(data) if known is not None else decode(data).shape[:2]
            except FileNotFoundError:
                row["_fault"] = f"picture {row[IMAGE]} is missing"
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as fault:
                row["_fault"] = f"picture {row[IMAGE]} cannot be read: {fault}"
        usual = Counter(row["_shape"] for row in rows if row["_shape"]).most_common(1)
        good = []
        for row in rows:
            if not row["_fault"] and row["_shape"] != usual[0][0]:
                row["_fault"] = f"picture {row[IMAGE]} is {size(row['_shape'])}, most are {size(usual[0][0])}"
            if row["_fault"]:
                self.damaged.append(f"{row['_where']}: {row['_fault']}")
            else:
                good.append(row)
        return good

    def _mark_laps(self, rows: list[dict[str, Any]]) -> None:
        def changes(name: str) -> np.ndarray:
            values = self.records.get(name)
            if values is None:
                return np.zeros(len(rows) - 1, np.bool_)
            return values[1:] != values[:-1]

        session = changes("_session_id")
        race = session | changes("game/race")
        gap = np.diff(self.index) != 1
        self.starts = np.concatenate([[True], race | gap])
        if "game/lap" in self.records:
            lap = race | changes("game/lap")
        else:
            began = np.maximum.accumulate(np.where(np.concatenate([[True], session]), np.arange(len(rows)), 0))
            block = (np.arange(len(rows)) - began) // BLOCK
            lap = session | (block[1:] != block[:-1])
        self.laps = np.concatenate([[0], np.cumsum(lap)]).astype(np.int64)
        names = self.records.get("_session_id")
        self.sessions = [] if names is None else list(dict.fromkeys(str(name) for name in names))

    def require(self, *names: str) -> None:
        """Raises TubError where not every record has these columns."""
        for name in names:
            values = self.records.get(name)
            if values is None:
                raise TubError(f"{self.path} has no column {name!r}; it has {', '.join(self.records)}")
            if values.dtype.kind == "f" and np.isnan(values).any():
                row = int(np.isnan(values).argmax())
                raise TubError(f"{self.path}: {int(np.isnan(values).sum())} records have no {name!r}, "
                               f"the first is record {self.index[row]}")  # fmt: skip

    def jpeg(self, row: int) -> bytes:
        """The file of a good record's picture."""
        try:
            return (self.path / "images" / self.records[IMAGE][row]).read_bytes()
        except OSError as fault:
            raise TubError(f"{self.path}: the picture of record {self.index[row]}: {fault.strerror}") from None

    def image(self, row: int) -> np.ndarray:
        """The picture of a good record, uint8 [H, W, 3]; `row` counts good records from 0."""
        try:
            return decode(self.jpeg(row))
        except (OSError, SyntaxError) as fault:
            raise TubError(f"{self.path}: the picture of record {self.index[row]}: {fault}") from None

    def images(self, rows: Iterable[int] | None = None) -> np.ndarray:
        """Pictures of good records, all or some: uint8 [n, H, W, 3]."""
        chosen = np.arange(len(self)) if rows is None else np.asarray(list(rows))
        out = np.empty((len(chosen), *self.shape, 3), np.uint8)
        for k, row in enumerate(chosen):
            out[k] = self.image(int(row))
        return out

    def row(self, row: int) -> dict[str, Any]:
        """A good record as a Writer takes it, without picture and bookkeeping; columns that it lacks are left out."""
        return dict(self._rows_read[row])


def column(rows: list[dict[str, Any]], name: str) -> np.ndarray:
    """One column of records as an array [n]; see `Tub.records`."""
    values = [row.get(name) for row in rows]
    present = [value for value in values if value is not None]
    if all(isinstance(value, bool) for value in present):
        return np.array([bool(value) for value in values])
    if any(isinstance(value, str) for value in present):
        return np.array(["" if value is None else str(value) for value in values])
    if len(present) == len(values) and all(isinstance(value, int) for value in values):
        return np.array(values, np.int64)
    return np.array([math.nan if value is None else float(value) for value in values])
