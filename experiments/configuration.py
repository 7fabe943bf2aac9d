"""Configurations as they are written down: checked by name and type, read from files and from words. Without torch."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import envs
from agents.core import files, renamed
from experiments.spellings import BOOLEANS


def check_fields(kind: type, values: dict[str, Any]) -> None:
    """Raises ValueError, by name, for what is no field of a configuration or of another type."""
    # A module with postponed annotations tells types by name, another the types themselves.
    known = {f.name: getattr(f.type, "__name__", f.type) for f in dataclasses.fields(kind)}
    if unknown := sorted(values.keys() - known.keys()):
        raise ValueError(f"{', '.join(unknown)}: no such field of {kind.__module__}.{kind.__name__}")
    for name, value in values.items():
        fitting = {"bool": bool, "int": int, "float": int | float, "str": str}[known[name]]
        if not isinstance(value, fitting) or (isinstance(value, bool) and known[name] != "bool"):
            raise ValueError(f"{name} of {kind.__module__}.{kind.__name__} must be {known[name]}, not {value!r}")


def read_options(game: str, text: str) -> dict[str, Any]:
    """``theme=night,snow,latency=2`` -> fields of the game's Options, of their types. Raises ValueError by name."""
    kinds = {f.name: getattr(f.type, "__name__", f.type) for f in dataclasses.fields(envs.options(game))}
    found: dict[str, str] = {}
    for part in text.split(",") if text else ():
        name, equals, value = part.partition("=")
        if equals:
            found[name.strip().replace("-", "_").removeprefix("env.")] = value.strip()
        elif found:  # a list: the comma belongs to the value
            found[next(reversed(found))] += f",{part.strip()}"
        else:
            raise ValueError(f"{text}: write option=value, with commas between")
    result: dict[str, Any] = {}
    for name, value in renamed.apply(renamed.of_game(game), found).items():
        if name not in kinds:
            raise ValueError(f"{game} has no option {name!r}; it has {', '.join(kinds)}")
        kind = {"int": int, "float": float, "bool": bool, "str": str}[kinds[name]]
        try:
            result[name] = BOOLEANS[value.lower()] if kind is bool else kind(value)
        except (ValueError, KeyError):
            raise ValueError(f"{name}={value}: must be {kind.__name__}") from None
    return result


def read_config(path: Path) -> dict[str, Any]:
    """A configuration file under the names of today: a run's config.json, or a recipe of `sweep`. Raises ValueError."""
    try:
        content = files.read_json(path)
    except FileNotFoundError:
        raise ValueError(f"--config {path}: there is no such file") from None
    except (OSError, ValueError) as fault:
        raise ValueError(f"--config {path}: {fault}") from None
    if not isinstance(content, dict):
        raise ValueError(f"--config {path}: must hold one JSON object")
    return renamed.config(_gathered(content))


def _gathered(content: dict[str, Any]) -> dict[str, Any]:
    """A configuration whose fields of agent and game may stand at the top, as `agent.lr` and `env.noise`."""
    found = dict(content)
    for prefix, part in (("agent.", "agent_config"), ("env.", "env")):
        if isinstance(found.setdefault(part, {}), dict):
            found[part] = found[part] | {k.removeprefix(prefix): found.pop(k) for k in content if k.startswith(prefix)}
    return found


def fields(kind: type) -> set[str]:
    """The names of a dataclass's fields."""
    return {f.name for f in dataclasses.fields(kind)}
