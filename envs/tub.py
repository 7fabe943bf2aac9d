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
import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from envs.tub_format import (
    IMAGE,
    LISTED,
    STANDARD,
    Manifest,
    TubError,
    catalog_lines,
    decode,
    first_shape,
    out_of_range,
    shape_of,
    size,
)
from envs.tub_writer import Writer

__all__ = ["BLOCK", "IMAGE", "Tub", "TubError", "Writer"]

BLOCK = 400  # records that count as one lap where the data do not tell laps: 20 s at 20 Hz
PRIVATE = {"_index": "int", "_session_id": "str", "_timestamp_ms": "int", "_image_crc32": "int"}
OWN = ("_where", "_shape", "_fault")  # what the reader notes about a record


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
        self.columns, self.metadata, self.faults = manifest.columns or STANDARD, manifest.metadata, manifest.faults
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
        if not manifest.columns:  # damaged: the values tell what the columns are
            self.columns = {**guessed(rows), **STANDARD}
        # Columns that nobody has declared could hold anything, and are left out.
        kinds = {n: k for n, k in {**PRIVATE, **self.columns}.items() if k not in LISTED and n != "_index"}
        there = {name for row in rows for name, value in row.items() if value is not None}
        self.records = {name: column(rows, name, kind) for name, kind in kinds.items() if name in there}
        mode = self.records.get("user/mode", np.full(len(rows), "user"))
        self.labelled = ((mode == "user") | (mode == "")) & ("user/angle" in self.records)
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
                    fault = self._fault(row)
                    index = index if fault else row.get("_index", index)
                    fault = fault or ("its index occurs twice" if index in seen else "")
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
        for name, kind in {**self.columns, **PRIVATE}.items():
            value = row.get(name)
            if value is None:
                if name in ("user/angle", IMAGE):
                    return f"there is no {name}"
            elif kind == "float" or (kind == "int" and name not in PRIVATE):
                if isinstance(value, bool) or not isinstance(value, int | float):
                    return f"{name} is {value!r}, not a number"
                if fault := out_of_range(name, value):
                    return fault
            elif kind == "int" and (type(value) is not int or not 0 <= value < 2**53):
                return f"{name} is {value!r}, not a whole number from 0"
            elif kind == "boolean" and value not in (True, False):
                return f"{name} is {value!r}, not true or false"
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
            return (values[1:] != values[:-1]) & ~((values[1:] != values[1:]) & (values[:-1] != values[:-1]))  # nan

        session = changes("_session_id")
        race = session | changes("game/race")
        gap = np.diff(self.index) != 1
        if (stamps := self.records.get("_timestamp_ms")) is not None and len(rows) > 2:
            step = np.diff(stamps)
            # Records that a copy has left out: five steps of the usual length, and at least those of 50 a second.
            gap |= step > 5 * max(20.0, float(np.nanmedian(step)))
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


def guessed(rows: list[dict[str, Any]]) -> dict[str, str]:
    """Columns of records, and their types, by the values."""
    found: dict[str, str] = {}
    for name in sorted({name for row in rows for name in row if not name.startswith("_")}):
        values = [row[name] for row in rows if row.get(name) is not None]
        if all(isinstance(v, bool) for v in values):
            found[name] = "boolean"
        elif all(isinstance(v, str) for v in values):
            found[name] = "str"
        elif all(isinstance(v, int | float) and not isinstance(v, bool) and not out_of_range(name, v) for v in values):
            found[name] = "int" if all(isinstance(v, int) for v in values) else "float"
    return found


def column(rows: list[dict[str, Any]], name: str, kind: str = "") -> np.ndarray:
    """One column of records as an array [n]; see `Tub.records`. kind: as declared; without it the values tell."""
    values = [row.get(name) for row in rows]
    present = [value for value in values if value is not None]
    if kind == "boolean" or (not kind and all(isinstance(value, bool) for value in present)):
        return np.array([bool(value) for value in values])
    if kind in ("str", "image_array") or (not kind and any(isinstance(value, str) for value in present)):
        return np.array(["" if value is None else str(value) for value in values])
    if kind != "float" and len(present) == len(values) and all(isinstance(value, int) for value in values):
        return np.array(values, np.int64)
    return np.array([math.nan if value is None else float(value) for value in values])
