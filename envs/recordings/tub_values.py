"""Values of a tub's records: columns and their types, what is wrong with a record, and what is set right instead."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from envs.text import shown

IMAGE = "cam/image_array"
STANDARD = {IMAGE: "image_array", "user/angle": "float", "user/throttle": "float", "user/mode": "str"}
TYPES = ("float", "int", "str", "boolean", "list", "vector", "nparray", "image_array")
LISTED = ("list", "vector", "nparray")
UNIT = {"user/angle", "user/throttle", "pilot/angle", "pilot/throttle"}  # columns that lie in [-1, 1]
HAIR = 0.05  # distance outside [-1, 1] that counts as the edge: linear networks and worn joysticks overshoot
LONGEST = 1000  # characters of a text that becomes an array

# Columns of our own games beside STANDARD. user/*: labels, what a person or the expert does in this very state.
OURS = {
    "user/target_speed": "float",  # m/s
    "override": "boolean",  # a person has taken over from the network
    "pilot/angle": "float",  # steering, pedal and m/s that the network wants, if one runs
    "pilot/throttle": "float",
    "pilot/target_speed": "float",
    "game/steer": "float",  # the steering that was sent to the kart: the label, or that with noise
    "game/race": "int",  # number of the race in the recording
    "game/lap": "int",  # laps completed in this race
    "game/time": "float",  # s since the race began
    "game/lap_time": "float",  # s, of the last completed lap, 0 before
    "game/progress": "float",  # laps with fraction
    "game/track": "int",  # its number, see `splits`
    "game/place": "int",
    "game/speed": "float",  # m/s
    "game/lateral": "float",  # m from the centreline to the right
    "game/heading": "float",  # rad against the track's direction
    "game/off_road": "boolean",
    "game/drivable": "str",  # 15 x 20 bits as hexadecimal digits
    "game/sign": "int",  # the traffic sign that the picture shows: 0 none, 1 stop, 2 another one
    "game/sign_distance": "float",  # m
}
# What a record holds beside its columns.
PRIVATE = {"_index": "int", "_session_id": "str", "_timestamp_ms": "int", "_image_crc32": "int"}

_KNOWN = {**STANDARD, **OURS}
_NUMBERS = ("float", "int")


def understood(declared: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The columns that are read, the picture's among them whatever is declared, and a sentence about each other one."""
    columns, notes = {IMAGE: "image_array"}, []
    for name, kind in declared.items():
        known = _KNOWN.get(name)
        if name == IMAGE:
            continue
        if kind not in TYPES:
            notes.append(f"column {shown(name)} is passed over: its type is {shown(kind)}")
        elif kind == "image_array":
            notes.append(f"column {shown(name)} is passed over: a record has one picture, {IMAGE}")
        elif known not in (None, kind) and not {known, kind} <= set(_NUMBERS):
            notes.append(f"column {shown(name)} is passed over: its type is {shown(kind)}, not {known}")
        elif name in PRIVATE:
            notes.append(f"column {shown(name)} is passed over: the name is the format's own")
        else:
            columns[name] = kind
    return columns, notes


def guessed(rows: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Columns of records, and their types, by most of their values."""
    found: dict[str, Counter[str]] = {}
    for row in rows:
        for name, value in row.items():
            if value is not None and not name.startswith("_"):
                found.setdefault(name, Counter())[_kind_of(value)] += 1
    columns = {}
    for name in sorted(found):
        kinds = found[name]
        number = kinds["int"] + kinds["float"]
        most, count = kinds.most_common(1)[0]
        if number >= count:
            most = "float" if kinds["float"] else "int"
        columns[name] = _KNOWN.get(name, most)
    return columns


def _kind_of(value: Any) -> str:
    kinds = {bool: "boolean", int: "int", float: "float", str: "str", list: "list"}
    return kinds.get(type(value), "unknown")


def out_of_range(name: str, value: float) -> str:
    """What is wrong with a number, or nothing."""
    if not abs(value) < 2**63:  # nan included; JSON knows integers of any length
        return f"{shown(name)} is {shown(value)}, not a finite number of ordinary size"
    if name in UNIT and not -1.0 <= value <= 1.0:
        return f"{name} is {value:g}, outside -1 to 1"
    return ""


class Values:
    """Checks records against their columns. What is not worth a record's loss is set right and counted in `notes`:
    values a hair outside their range, what a network wanted, numbers of other programs that are no numbers."""

    def __init__(self, columns: Mapping[str, str]):
        self._kinds = {**columns, **PRIVATE}
        self._counts: dict[str, list[Any]] = {}  # kind of change -> number of changes, and a sentence about the first

    def fault(self, row: dict[str, Any], index: int) -> str:
        """What is wrong with a record, or nothing; may change values of it."""
        for name, kind in self._kinds.items():
            value = row.get(name)
            if value is None:
                if name in ("user/angle", IMAGE):
                    return f"there is no {name}"
                continue
            if name in PRIVATE and kind == "int":
                fault = "" if type(value) is int and 0 <= value < 2**53 else "not a whole number from 0"
            elif kind in _NUMBERS:
                fault = self._number(row, name, kind, index)
            elif kind == "boolean":
                fault = "" if isinstance(value, int | float) and value in (0, 1) else "not true or false"
                row[name] = value if fault else bool(value)
            elif kind in LISTED:
                fault = self._list(row, name, index)
            else:
                fault = "" if isinstance(value, str) else "not text"
            if fault:
                return f"{shown(name)} is {shown(repr(value))}, {fault}"
        name = row.get(IMAGE)
        if not isinstance(name, str) or Path(name).name != name:
            return f"{IMAGE} is {shown(repr(name))}, not the name of a file"
        return ""

    def _number(self, row: dict[str, Any], name: str, kind: str, index: int) -> str:
        value = row[name]
        if type(value) not in (int, float):
            return "not a number"
        if value != value and not name.startswith("user/"):
            row[name] = None
            self._note(f"{shown(name)} is no number in", "left out", index, value)
            return ""
        if not abs(value) < 2**63:
            return "not a finite number of ordinary size"
        if kind == "int" and value != int(value):
            return "not a whole number"
        row[name] = int(value) if kind == "int" else value
        if name in UNIT and abs(value) > 1.0:
            if abs(value) > 1.0 + HAIR and not name.startswith("pilot/"):  # wishes of a network are no labels
                return "outside -1 to 1"
            row[name] = math.copysign(1.0, value)
            self._note(f"{shown(name)} is outside -1 to 1 in", "clipped", index, value)
        return ""

    def _list(self, row: dict[str, Any], name: str, index: int) -> str:
        if not isinstance(row[name], list):
            return "not a list"
        row[name], strange = finite(row[name])
        if strange:
            self._note(f"{shown(name)} holds what is no finite number in", "left out", index, "a number")
        return ""

    def _note(self, what: str, done: str, index: int, value: Any) -> None:
        entry = self._counts.setdefault(what, [0, f"{done}; the first is record {index} ({shown(value)})"])
        entry[0] += 1

    @property
    def notes(self) -> list[str]:
        """One sentence for each thing that was set right."""
        return [f"{what} {count:,} record{'s' * (count > 1)}: {first}" for what, (count, first) in self._counts.items()]


def finite(values: list[Any]) -> tuple[list[Any], bool]:
    """A list of JSON values with None for numbers that JSON does not have, and whether there were any."""
    out, strange = [], False
    for value in values:
        if isinstance(value, list):
            value, inside = finite(value)
            strange |= inside
        elif isinstance(value, float) and not math.isfinite(value):
            value, strange = None, True
        out.append(value)
    return out, strange
