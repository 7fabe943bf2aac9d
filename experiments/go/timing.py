"""Commands about time: GTP's own, those of KGS and of KataGo."""

from __future__ import annotations

from experiments.go.engine import Engine, arguments, colour_of, command, integer
from experiments.go.protocol import Command, GTPError


@command("time_settings")
def time_settings(engine: Engine, given: Command) -> str:
    main, byo_time, stones = (integer(text) for text in arguments(given, 3))
    if min(main, byo_time, stones) < 0:
        raise GTPError("syntax error")
    engine.clock.set(main, byo_time, stones)
    return ""


@command("time_left")
def time_left(engine: Engine, given: Command) -> str:
    colour, seconds, stones = arguments(given, 3)
    colour, seconds, stones = colour_of(colour), integer(seconds), integer(stones)
    if stones < 0:
        raise GTPError("syntax error")
    engine.clock.left(colour, max(seconds, 0), stones)
    return ""


@command("kgs-time_settings")
def kgs_time_settings(engine: Engine, given: Command) -> str:
    """none, absolute MAIN, byoyomi MAIN PERIOD PERIODS, or canadian MAIN PERIOD STONES; seconds."""
    kind, *rest = given.arguments or [""]
    kind, numbers = kind.lower(), [integer(text) for text in rest]
    if any(value < 0 for value in numbers):
        raise GTPError("syntax error")
    if kind == "none":
        engine.clock.set(0, 1, 0)
    elif kind == "absolute" and len(numbers) == 1:
        engine.clock.set(numbers[0], 0, 0)
    elif kind == "canadian" and len(numbers) == 3:
        engine.clock.set(*numbers)
    elif kind == "byoyomi" and len(numbers) == 3:
        engine.clock.set(numbers[0], numbers[1], 1)  # one move per period
    else:
        raise GTPError("syntax error")
    return ""


@command("kata-list_time_settings")
def list_time_settings(engine: Engine, given: Command) -> str:
    return "none absolute byoyomi canadian"
