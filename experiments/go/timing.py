"""Commands about time: GTP's own, those of KGS and of KataGo."""

from __future__ import annotations

import math

from experiments.go.clock import Setting
from experiments.go.engine import Engine, answers, colour_of, command, integer, number
from experiments.go.protocol import GTPCommand, GTPError

KINDS = {  # kinds of `kata-time_settings` and the meaning of their numbers
    "none": (), "absolute": ("main",), "byoyomi": ("main", "period", "count"), "canadian": ("main", "period", "count"),
    "fischer": ("main", "period"), "fischer-capped": ("main", "period", "cap", "longest"),
}  # fmt: skip


answers({"kata-list_time_settings": lambda engine: " ".join(KINDS)})


@command("time_settings", takes=[integer, integer, integer])
def time_settings(engine: Engine, main: int, byo_time: int, stones: int) -> None:
    """Sets main time, overtime (both in seconds) and the stones of an overtime period."""
    if min(main, byo_time, stones) < 0:
        raise GTPError("syntax error")
    engine.clock.set(main, byo_time, stones)


@command("time_left", takes=[colour_of, number, integer])
def time_left(engine: Engine, colour: int, seconds: float, count: int) -> None:
    """Under byo-yomi the last number is that of the periods left, as KGS and KataGo have it."""
    if count < 0:
        raise GTPError("syntax error")
    engine.clock.left(colour, max(seconds, 0), count)


@command("kgs-time_settings", "kata-time_settings")
def kata_time_settings(engine: Engine, given: GTPCommand) -> None:
    """A kind and its seconds: none, absolute MAIN, byoyomi MAIN PERIOD PERIODS, canadian MAIN PERIOD STONES; KataGo's
    also fischer MAIN INCREMENT, fischer-capped MAIN INCREMENT CAP MOST_OF_A_MOVE (negative for no limit)."""
    kind, *rest = given.arguments or [""]
    kind = kind.lower()
    if kind not in KINDS or (given.name == "kgs-time_settings" and kind.startswith("fischer")):
        raise GTPError("syntax error")
    names = KINDS[kind]
    if len(rest) != len(names):
        raise GTPError("syntax error")
    values: dict = {}
    for name, text in zip(names, rest, strict=True):
        values[name] = integer(text) if name == "count" else number(text)
    for name in ("cap", "longest"):
        if values.get(name, 0) < 0:
            values[name] = math.inf
    if any(value < 0 for value in values.values()):
        raise GTPError("syntax error")
    engine.clock.control(Setting(kind.split("-")[0], **values))
