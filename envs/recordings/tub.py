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

    with TubWriter("data", {"user/angle": "float"}) as writer:
        writer.write({"cam/image_array": picture, "user/angle": 0.1})
    tub = Tub("data")
    tub.records["user/angle"], tub.image(0), tub.laps, tub.damaged
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from envs.recordings.tub_files import TubError, content, parsed, stays_inside
from envs.recordings.tub_format import LONGEST_LINE, Manifest, catalog_lines
from envs.recordings.tub_pictures import LARGEST_FILE, decode, first_shape, shape_of, size
from envs.recordings.tub_values import IMAGE, LISTED, LONGEST, PRIVATE, STANDARD, Values, guessed, understood
from envs.recordings.tub_writer import TubWriter
from envs.text import shown

__all__ = ["BLOCK", "IMAGE", "Tub", "TubError", "TubWriter"]

OWN = ("_where", "_shape", "_fault")  # keys that the reader adds to a record
BLOCK = 400  # records that count as one lap where the data do not tell laps: 20 s at 20 Hz


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
    lost: how many records the manifest counts that no catalog holds.
    notes: what was passed over or set right in records that are good: columns of other kinds, values that were clipped.
    shape: (height, width) of the pictures; pictures of another size than most are damaged records.

    check=False leaves the pictures' files unopened. Raises TubError where there is no dataset or no good record.
    """

    def __init__(self, path: str | Path, *, check: bool = True):
        self.path = Path(path)
        manifest = Manifest.read(self.path)
        stays_inside(self.path, "images")
        self.metadata, self.faults = manifest.metadata, manifest.faults
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
        # Columns that nobody has declared could hold anything, and are left out.
        kinds = {n: k for n, k in {**PRIVATE, **self.columns}.items() if k not in LISTED and n != "_index"}
        there = {name for row in rows for name, value in row.items() if value is not None}
        kinds = {name: kind for name, kind in kinds.items() if name in there and self._short(rows, name, kind)}
        self.records = {name: column(rows, name, kind) for name, kind in kinds.items()}
        mode = self.records.get("user/mode", np.full(len(rows), "user"))
        self.labelled = ((mode == "user") | (mode == "")) & ("user/angle" in self.records)
        self._rows_read = [{k: v for k, v in row.items() if k in self.columns and k != IMAGE} for row in rows]
        self._mark_laps(rows)

    def __len__(self) -> int:
        return len(self.index)

    def _rows(self, manifest: Manifest) -> list[dict[str, Any]]:
        """Records whose lines are good, in order."""
        lines = self._lines(manifest)
        declared = manifest.columns
        if not declared:  # damaged: the values tell what the columns are
            declared = {**guessed(row for _, row in lines if row is not None), **STANDARD}
        self.columns, self.notes = understood(declared)
        values, undeclared, known = Values(self.columns), Counter(), {*declared, IMAGE}
        rows: dict[int, dict[str, Any]] = {}
        seen: set[int] = set()
        trust: dict[int, int] = {}  # index -> how much speaks for the row that has it
        doubtful: set[int] = set()  # indexes of two different records, of which either may be the right one
        index = -1
        for where, row in lines:
            before = index
            index, fault = self._judged(row, before + 1, values, manifest.deleted)
            place = f"{where}, record {index}"
            seen.add(index)
            if index in manifest.deleted:
                self.deleted += 1
                continue
            if not fault:
                # Of two with one number, the wrong one is that whose picture or neighbours have others.
                mine = 2 if row[IMAGE].startswith(f"{index}_") else int(index == before + 1)
                if index in rows and (mine > trust[index] or (mine == trust[index] and not same(row, rows[index]))):
                    self.damaged.append(f"{rows.pop(index)['_where']}: its index occurs twice")
                    doubtful |= {index} if mine == trust[index] else set()
                fault = "its index occurs twice" if index in rows or index in doubtful else ""
            if fault:
                self.damaged.append(f"{place}: {fault}")
                continue
            rows[index], trust[index] = {**row, "_index": index, "_where": place}, mine
            undeclared.update(name for name in row if name not in known and name[:1] != "_")
        self._tell_lost(manifest.current_index, seen)
        for name, count in undeclared.items():
            place = f"of {count:,} records is passed over: manifest.json does not declare it"
            self.notes.append(f"column {shown(name)} {place}")
        self.notes += values.notes
        return list(rows.values())

    def _lines(self, manifest: Manifest) -> list[tuple[str, dict[str, Any] | None]]:
        """Where each line stands, and what it holds; None where that is no record."""
        out: list[tuple[str, dict[str, Any] | None]] = []
        for name in manifest.paths:
            try:
                lines = catalog_lines(self.path, name)
            except TubError as fault:
                self.faults.append(f"{fault}: its records are lost")
                continue
            for number, line in enumerate(lines, 1):
                try:
                    row = parsed(line) if len(line) <= LONGEST_LINE else None
                except (ValueError, RecursionError):
                    row = None
                out.append((f"{name} line {number}", row if isinstance(row, dict) else None))
        return out

    def _judged(self, row: dict[str, Any] | None, expected: int, values: Values, deleted: set[int]) -> tuple[int, str]:
        """A record's index, and what is wrong with it or nothing. Only a good record's own index is believed."""
        if row is None:
            return expected, "the line is not a record in JSON"
        index = row.get("_index")
        index = expected if index is None else index
        if type(index) is int and index in deleted:
            return index, ""
        try:
            fault = values.fault(row, index)
        except RecursionError:
            fault = "it is nested too deeply"
        return (expected if fault else index), fault

    def _tell_lost(self, counted: int, seen: set[int]) -> None:
        """Counts records that the manifest knows of and no catalog holds."""
        self.lost = max(0, counted - sum(index < counted for index in seen))
        if self.lost and not any(fault.endswith("not in the folder") for fault in self.faults):
            first = next(index for index in range(counted) if index not in seen)
            message = f"{self.lost:,} of the {counted:,} records that manifest.json counts are in no catalog"
            self.faults.append(f"{message}; the first is record {first}")

    def _short(self, rows: list[dict[str, Any]], name: str, kind: str) -> bool:
        """Can a column be an array, whose texts are all as long as the longest? Else it is passed over."""
        if kind not in ("str", "image_array") or name == IMAGE:
            return True
        longest = max(len(row.get(name) or "") for row in rows)
        if longest > LONGEST:
            self.notes.append(f"column {shown(name)} is passed over: it holds a text of {longest:,} characters")
        return longest <= LONGEST

    def _with_pictures(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for row in rows:
            row["_shape"], row["_fault"], message = None, "", f"picture {shown(row[IMAGE])}"
            try:
                data = content(self.path, f"images/{row[IMAGE]}", LARGEST_FILE)
                known = row.get("_image_crc32")
                if known is not None and known != zlib.crc32(data):
                    row["_fault"] = f"{message} is not what was recorded (its checksum differs)"
                else:  # without a checksum decoding alone tells
                    row["_shape"] = shape_of(data) if known is not None else decode(data).shape[:2]
            except FileNotFoundError:
                row["_fault"] = f"{message} is missing"
            except (OSError, ValueError) as fault:
                row["_fault"] = f"{message} cannot be read: {fault}"
        usual = Counter(row["_shape"] for row in rows if row["_shape"]).most_common(1)
        good = []
        for row in rows:
            if not row["_fault"] and row["_shape"] != usual[0][0]:
                message = f"is {size(row['_shape'])}, most are {size(usual[0][0])}"
                row["_fault"] = f"picture {shown(row[IMAGE])} {message}"
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
        stamps = self.records.get("_timestamp_ms")
        step = np.array([]) if stamps is None else np.diff(stamps)
        if len(step) > 1 and np.isfinite(step).any():
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
                there = ", ".join(shown(name) for name in self.records)
                raise TubError(f"{self.path} has no column {name!r}; it has {there}")
            if values.dtype.kind == "f" and np.isnan(values).any():
                row = int(np.isnan(values).argmax())
                raise TubError(f"{self.path}: {int(np.isnan(values).sum())} records have no {name!r}, "
                               f"the first is record {self.index[row]}")  # fmt: skip

    def jpeg(self, row: int) -> bytes:
        """The file of a good record's picture."""
        try:
            return content(self.path, f"images/{self.records[IMAGE][row]}", LARGEST_FILE)
        except OSError as fault:
            raise TubError(f"{self.path}: the picture of record {self.index[row]}: {fault.strerror}") from None
        except ValueError as fault:
            raise TubError(f"{self.path}: the picture of record {self.index[row]}: {fault}") from None

    def image(self, row: int) -> np.ndarray:
        """The picture of a good record, uint8 [H, W, 3]; `row` counts good records from 0."""
        data = self.jpeg(row)
        try:
            return decode(data)
        except TubError as fault:
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


def same(row: dict[str, Any], other: dict[str, Any]) -> bool:
    """Do two records hold the same?"""
    return all(row.get(name) == other.get(name) for name in (row.keys() | other.keys()) - {"_index", *OWN})


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
