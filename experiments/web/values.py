"""The door for what a page sends: every command names the type of its value, and nothing else comes through.

    COMMANDS = {"speed": number(0, 100), "load": text(60_000), "held": items(text(20), most=16), "step": nothing}
    value = take(COMMANDS, name, value)          # ValueError with a sentence for the person, whatever was sent

A type is a function: it returns the value as the program uses it, and raises ValueError with what it must be. JSON
knows no other types than these, so a command needs no list of the exceptions that wrong ones might cause.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

Type = Callable[[Any], Any]
SHOWN = 40  # characters of a wrong value that a sentence repeats


def take(types: Mapping[str, Type], name: Any, value: Any) -> Any:
    """The checked value of a command. Raises ValueError where there is no such command, or the value is wrong."""
    if not isinstance(name, str) or name not in types:
        raise ValueError(f"there is no command {shown(name)}")
    try:
        return types[name](value)
    except ValueError as fault:
        raise ValueError(f"{name} {shown(value)}: {fault}") from None


def command_of(types: Mapping[str, Type], message: Mapping[str, Any]) -> tuple[str, Any]:
    """The (name, checked value) of a message {"type": "command", "name": ..., "value": ...} of a page."""
    if message["type"] != "command":
        raise ValueError(f"there is no message {shown(message['type'])}")
    name = message.get("name")
    return name, take(types, name, message.get("value"))


def shown(value: Any) -> str:
    """A value as JSON, cut to SHOWN characters."""
    if isinstance(value, int) and abs(value) >= 10**SHOWN:
        return "a huge number"  # Python refuses to print some of them
    try:
        shown = json.dumps(value, ensure_ascii=False)
    except (ValueError, TypeError, RecursionError):  # a value that a program gave, not a page
        shown = f"of type {type(value).__name__}"
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}..."


def nothing(value: Any) -> None:
    """Accepts no value. Raises ValueError for any."""
    if value is not None:
        raise ValueError("takes no value")


def flag(value: Any) -> bool:
    """Accepts true or false. Raises ValueError for anything else."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def whole(low: int, high: int) -> Type:
    """A whole number in low..high; 3.0 is one, since JSON does not tell it from 3."""

    def check(value: Any) -> int:
        if not _is_number(value) or not low <= value <= high or value != int(value):
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(value)

    return check


def number(low: float, high: float) -> Type:
    """A finite number in low..high."""

    def check(value: Any) -> float:
        if not _is_number(value) or not low <= value <= high:
            raise ValueError(f"must be a number from {low:g} to {high:g}")
        return float(value)

    return check


def text(longest: int, choices: Collection[str] = ()) -> Type:
    """Text of at most `longest` characters, or one of `choices`."""

    def check(value: Any) -> str:
        if choices and (not isinstance(value, str) or value not in choices):
            raise ValueError(f"must be one of {', '.join(choices)}")
        if not isinstance(value, str) or len(value) > longest:
            raise ValueError(f"must be text of at most {longest:,} characters")
        return value

    return check


def items(of: Type, most: int, least: int = 0) -> Type:
    """A list of `least` to `most` values of one type."""

    def check(value: Any) -> list[Any]:
        if not isinstance(value, list | tuple) or not least <= len(value) <= most:
            counts = f"{most}" if least == most else f"{least} to {most}"
            raise ValueError(f"must be a list of {counts} values")
        return [of(item) for item in value]

    return check


def record(**fields: Type) -> Type:
    """An object with these fields and no others; a field of an `optional` type may be missing."""

    def check(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict) or not value.keys() <= fields.keys():
            raise ValueError(f"must be an object with {', '.join(fields)}")
        found = {}
        for name, of in fields.items():
            try:
                found[name] = of(value.get(name))
            except ValueError as fault:
                raise ValueError(f"{name} {fault}") from None
        return found

    return check


def optional(of: Type) -> Type:
    """Null, or a value of the type."""
    return lambda value: None if value is None else of(value)


def _is_number(value: Any) -> bool:
    """Is it a finite number? True and False are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) or math.isfinite(value)
