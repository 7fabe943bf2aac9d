"""KataGo's commands about itself: parameters that can be changed while it runs, memory, positions, models."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from experiments.go.engine import Engine, answers, colour_of, command, integer, vertex_of
from experiments.go.protocol import GTPCommand, GTPError


class Param(NamedTuple):
    """A parameter by KataGo's name: how it is read, and how it is changed (ValueError for what cannot be)."""

    get: Callable[[Engine], Any]
    change: Callable[[Engine, Any], None]


UNLIMITED = 10**9  # value shown for a limit that is not set


def _whole(value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**31:
        raise ValueError(f"must be a whole number from {least}")
    return value


def _set_visits(engine: Engine, value: Any) -> None:
    value = _whole(value, 1)
    engine.visits = None if value >= UNLIMITED else value


def _set_seconds(engine: Engine, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e20:
        raise ValueError("must be a number of seconds above 0")
    engine.seconds = None if value >= UNLIMITED else float(value)


def _set_ponder(engine: Engine, value: Any) -> None:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    engine.player.stop()
    engine.ponder = value


def _allow_resignation(engine: Engine, value: Any) -> None:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    engine.resign = (engine.resign or 0.05) if value else 0.0


def _fixed(wanted: Any) -> Param:
    """One that our search does not have: it can be asked for, and be set to what it is."""

    def change(engine: Engine, value: Any) -> None:
        if value != wanted:
            raise ValueError(f"can only be {json.dumps(wanted)} here")

    return Param(lambda engine: wanted, change)


PARAMS = {
    "maxVisits": Param(lambda engine: engine.visits or UNLIMITED, _set_visits),
    "maxTime": Param(lambda engine: engine.seconds or float(UNLIMITED), _set_seconds),
    "ponderingEnabled": Param(lambda engine: engine.ponder, _set_ponder),
    "allowResignation": Param(lambda engine: engine.resign > 0, _allow_resignation),
} | {
    name: _fixed(wanted)
    for name, wanted in (
        ("playoutDoublingAdvantage", 0.0), ("analysisWideRootNoise", 0.0), ("wideRootNoise", 0.0),
        ("analysisIgnorePreRootHistory", True), ("antiMirror", False), ("genmoveAntiMirror", False),
        ("numSearchThreads", 1),
    )
}  # fmt: skip


def change(engine: Engine, name: str, value: Any) -> None:
    """Sets a parameter. Raises GTPError that names it."""
    if name not in PARAMS:
        raise GTPError(f"Invalid parameter: {name[:60]}; kata-list-params names those that there are")
    try:
        PARAMS[name].change(engine, value)
    except ValueError as fault:
        raise GTPError(f"{name} {fault}") from None


def parsed(text: str) -> Any:
    """A value as it is written in KataGo's configuration: a number, true, false, or words."""
    try:
        return json.loads(text.lower() if text.lower() in ("true", "false") else text)
    except (ValueError, RecursionError):
        return text


def models(engine: Engine) -> str:
    """The player's name in the place of a network's, as a JSON list of one entry."""
    return json.dumps([{"name": engine.player.name, "internalName": engine.player.name, "usesHumanSLProfile": False}])


answers({
    "kata-list-params": lambda engine: " ".join(PARAMS),
    "kata-get-params": lambda engine: json.dumps({name: param.get(engine) for name, param in PARAMS.items()}),
    "kata-get-models": models,
    "clear_cache": lambda engine: engine.player.forget(),
    "stop": lambda engine: engine.player.stop(),  # pondering; an analysis ends with any command
})  # fmt: skip


@command("kata-get-param", takes=[str])
def get_param(engine: Engine, name: str) -> str:
    """Answers with the value of one parameter, as JSON. Raises GTPError for an unknown name."""
    if name not in PARAMS:
        raise GTPError(f"Invalid parameter: {name[:60]}; kata-list-params names those that there are")
    return json.dumps(PARAMS[name].get(engine))


@command("kata-set-param", takes=[str, parsed])
def set_param(engine: Engine, name: str, value: Any) -> None:
    """Sets one parameter to a value."""
    change(engine, name, value)


@command("kata-set-params")
def set_params(engine: Engine, given: GTPCommand) -> None:
    """All of a JSON object, or none if one of them is refused."""
    try:
        wanted = json.loads(given.rest)
    except (ValueError, RecursionError):
        wanted = None
    if not isinstance(wanted, dict):
        raise GTPError("syntax error")
    before = engine.visits, engine.seconds, engine.ponder, engine.resign
    try:
        for name, value in wanted.items():
            change(engine, name, value)
    except GTPError:
        engine.visits, engine.seconds, engine.ponder, engine.resign = before
        raise


@command("rectangular_boardsize", takes=[integer, integer])
def rectangular_boardsize(engine: Engine, columns: int, rows: int) -> None:
    """Begins a new game on a board with these columns and rows. Raises GTPError unless both are equal."""
    if columns != rows or not 2 <= columns <= 19:
        raise GTPError("unacceptable size")
    engine.new_game(columns)


@command("set_position")
def set_position(engine: Engine, given: GTPCommand) -> None:
    """A new game from colours and vertices: set_position b D4 w Q16; none for the empty board. Black is to move."""
    words, size = given.arguments, engine.game.size
    if len(words) % 2:
        raise GTPError("syntax error")
    stones: tuple[list[int], list[int]] = [], []
    for colour, vertex in zip(words[0::2], words[1::2], strict=True):
        stones[colour_of(colour)].append(vertex_of(vertex, size))
    try:
        engine.game.set_up(*stones, 0)
    except (ValueError, IndexError):
        raise GTPError("illegal position") from None
