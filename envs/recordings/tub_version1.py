"""Version 1 of the tub format (`record_N.json` beside its pictures, columns in `meta.json`) as version 2."""

from __future__ import annotations

import datetime
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from envs.recordings.tub import TubWriter
from envs.recordings.tub_copies import check_new, partly
from envs.recordings.tub_files import MIB, TubError, content, parsed
from envs.recordings.tub_pictures import LARGEST_FILE, shape_of, size
from envs.recordings.tub_values import IMAGE, STANDARD, Values, understood
from envs.recordings.tub_writer import RecordError
from envs.text import shown

CLOCKS = ("milliseconds", "timestamp")


class Old(NamedTuple):
    """A good record of version 1: its file and number, its values by column, all that it holds, its picture's size."""

    file: str
    number: int
    row: dict[str, Any]
    held: dict[str, Any]
    shape: tuple[int, int]


class Converted(NamedTuple):
    """How many records went over, a sentence for each that did not, and what was passed over or set right."""

    count: int
    skipped: list[str]
    notes: list[str]


def convert(path: Path, out: Path, progress: Callable[[int], None] = lambda done: None) -> Converted:
    """Writes the good records into a new dataset. Raises TubError where there is none."""
    names = [p.name for p in path.glob("record_*.json")] if path.is_dir() else []
    if not names:
        raise TubError(f"{path} is no dataset of version 1: there are no record_N.json")
    check_new(out, [path])
    columns, picture, notes = _columns(path)
    values = Values(columns)
    records, skipped = _records(path, sorted(names, key=_order), columns, picture, values)
    done = 0
    if records:
        more = {name: kind for name, kind in columns.items() if name not in STANDARD}
        with TubWriter(out, more, metadata={"converted": "1"}) as writer:
            done = _write(writer, path, records, skipped, progress)
    if not done:
        raise TubError(f"{path}: no record could be converted; {skipped[0]}")
    return Converted(done, skipped, [*notes, *_undeclared(records, columns, notes), *values.notes])


def _undeclared(records: Sequence[Old], columns: dict[str, str], notes: Sequence[str]) -> list[str]:
    """Sentences about what records hold and `meta.json` does not name."""
    counts = Counter(name for old in records for name in old.held if name not in (*columns, *CLOCKS))
    columns = {name: f"column {shown(name)} " for name in counts}
    return [
        f"{columns[name]}of {count:,} records is passed over: meta.json does not declare it"
        for name, count in counts.items()
        if not any(note.startswith(columns[name]) for note in notes)
    ]


def _order(name: str) -> tuple[int, str]:
    return _number(name), name


def _number(name: str) -> int:
    found = re.fullmatch(r"record_([0-9]{1,15})\.json", name)
    return int(found[1]) if found else 10**15


def _columns(path: Path) -> tuple[dict[str, str], str, list[str]]:
    """Columns, the picture's name in the records, and notes on columns that are passed over."""
    try:
        meta = parsed(content(path, "meta.json", 16 * MIB))
        if not all(isinstance(text, str) for text in (*meta["inputs"], *meta["types"])):
            raise TypeError("names and types are text")
        found = dict(zip(meta["inputs"], meta["types"], strict=True))
    except FileNotFoundError:
        found = dict(STANDARD)
    except TubError as fault:
        raise TubError(f"{path}: {fault}") from None
    except (ValueError, KeyError, TypeError, RecursionError) as fault:
        raise TubError(f"{path / 'meta.json'} is damaged: {shown(str(fault))}") from None
    pictures = [name for name, kind in found.items() if kind == "image_array"]
    if not pictures:
        raise TubError(f"{path / 'meta.json'} names no picture")
    picture = IMAGE if IMAGE in pictures else pictures[0]
    columns, notes = understood({(IMAGE if name == picture else name): kind for name, kind in found.items()})
    return {**STANDARD, **columns}, picture, notes


def _records(
    path: Path, names: Sequence[str], columns: dict[str, str], picture: str, values: Values
) -> tuple[list[Old], list[str]]:
    """The good records, and a sentence for each other one."""
    found, skipped = [], []
    for name in names:
        try:
            found.append(_record(path, name, columns, picture, values))
        except (TubError, FileNotFoundError) as fault:
            reason = f"there is no {shown(Path(fault.filename).name)}" if isinstance(fault, OSError) else str(fault)
            skipped.append(f"{shown(name)}: {reason}")
    usual = Counter(old.shape for old in found).most_common(1)
    good = [old for old in found if old.shape == usual[0][0]]
    for old in found:
        if old.shape != usual[0][0]:
            skipped.append(f"{old.file}: its picture is {size(old.shape)}, most are {size(usual[0][0])}")
    return good, skipped


def _record(path: Path, name: str, columns: dict[str, str], picture: str, values: Values) -> Old:
    try:
        held = parsed(content(path, name, MIB))
    except TubError:
        raise
    except (ValueError, RecursionError):
        held = None
    if not isinstance(held, dict):
        raise TubError("it is not a record in JSON")
    if held.get(picture) is None:
        raise TubError(f"there is no {picture!r}")
    row = {key: _value(held[key], kind) for key, kind in columns.items() if key != IMAGE and key in held}
    row[IMAGE] = held[picture]
    if fault := values.fault(row, _number(name)):
        raise TubError(fault)
    try:
        shape = shape_of(content(path, row[IMAGE], LARGEST_FILE))
    except FileNotFoundError:
        raise
    except (ValueError, OSError) as fault:
        raise TubError(f"picture {shown(row[IMAGE])}: {fault}") from None
    return Old(name, _number(name), row, held, shape)


def _value(value: Any, kind: str) -> Any:
    """Some programs wrote numbers as text. What cannot be understood stays as it is, and is told as wrong."""
    if not isinstance(value, str):
        return value
    try:
        if kind == "float":
            return float(value)
        if kind == "int":
            return int(value)
    except ValueError:
        return value
    words = {"true": True, "1": True, "false": False, "0": False}
    return words.get(value.lower(), value) if kind == "boolean" else value


def _write(
    writer: TubWriter, path: Path, records: Sequence[Old], skipped: list[str], progress: Callable[[int], None]
) -> int:
    clock = _clock(records)
    done, before = 0, None
    for old in records:
        stamp = clock(old.held)
        if stamp is None and before is not None and old.number != before + 1:
            writer.new_session()  # no time tells that records are missing here
        try:
            data = content(path, old.row[IMAGE], LARGEST_FILE)
        except (OSError, TubError) as fault:  # a change since it was looked at
            skipped.append(f"{old.file}: {fault}")
            continue
        try:
            writer.write({**old.row, IMAGE: data}, timestamp_ms=stamp, timed=stamp is not None)
        except RecordError as fault:
            skipped.append(f"{old.file}: {fault}")
            continue
        except (OSError, TubError) as fault:
            raise partly(fault, writer.path, done) from fault
        done, before = done + 1, old.number
        progress(done)
    return done


def _clock(records: Sequence[Old]) -> Callable[[dict[str, Any]], int | None]:
    """The one clock that most records have: two of them in a dataset would not agree."""
    clocks = (_milliseconds, _timestamp)
    return max(clocks, key=lambda clock: sum(clock(old.held) is not None for old in records))


def _milliseconds(held: dict[str, Any]) -> int | None:
    """Since the recording began."""
    value = _value(held.get("milliseconds"), "float")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53:
        return None
    return math.floor(value)


def _timestamp(held: dict[str, Any]) -> int | None:
    """The time of day as text. It names no zone: differences are what counts."""
    value = held.get("timestamp")
    try:
        moment = datetime.datetime.fromisoformat(value)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc)
        stamp = round(moment.timestamp() * 1000)
    except (ValueError, TypeError, OverflowError):
        return None
    return stamp if 0 <= stamp < 2**53 else None
