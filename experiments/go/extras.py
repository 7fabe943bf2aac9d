"""Commands beyond the specification that board programs and referees use: rules, files, facts about the position."""

from __future__ import annotations

import json
import time
from pathlib import Path

from envs.go import record, sgf
from envs.go.game import to_vertex
from experiments.go.engine import RULES, Engine, arguments, colour_of, command, integer, listed, vertex_of
from experiments.go.protocol import Command, GTPError

ALIASES = {"tromptaylor": "tromp-taylor", "newzealand": "new-zealand", "nz": "new-zealand", "korean": "japanese"}


@command("set_random_seed")
def set_random_seed(engine: Engine, given: Command) -> str:
    engine.player.seed(integer(arguments(given, 1)[0]) % 2**31)
    return ""


@command("cputime")
def cputime(engine: Engine, given: Command) -> str:
    """Seconds of processor time of this process."""
    return f"{time.process_time():.3f}"


@command("get_komi")
def get_komi(engine: Engine, given: Command) -> str:
    return f"{engine.game.komi:g}"


@command("query_boardsize")
def query_boardsize(engine: Engine, given: Command) -> str:
    return str(engine.game.size)


@command("is_legal")
def is_legal(engine: Engine, given: Command) -> str:
    colour, vertex = arguments(given, 2)
    return "1" if engine.game.is_legal(vertex_of(vertex, engine.game.size), colour_of(colour)) else "0"


@command("all_legal")
def all_legal(engine: Engine, given: Command) -> str:
    colour, game = colour_of(arguments(given, 1)[0]), engine.game
    return listed((action for action in range(game.size**2) if game.is_legal(action, colour)), game.size)


@command("list_stones")
def list_stones(engine: Engine, given: Command) -> str:
    colour, game = colour_of(arguments(given, 1)[0]), engine.game
    return listed((action for action in range(game.size**2) if game.at(action) == colour + 1), game.size)


@command("color")
def color(engine: Engine, given: Command) -> str:
    action = vertex_of(arguments(given, 1)[0], engine.game.size)
    if action == engine.game.size**2:
        raise GTPError("syntax error")
    return ("empty", "black", "white")[engine.game.at(action)]


@command("captures")
def captures(engine: Engine, given: Command) -> str:
    return str(engine.game.captured()[colour_of(arguments(given, 1)[0])])


@command("move_history")
def move_history(engine: Engine, given: Command) -> str:
    """The moves, newest first."""
    game = engine.game
    return "\n".join(f"{('black', 'white')[c]} {to_vertex(a, game.size)}" for c, a in reversed(game.moves))


@command("last_move")
def last_move(engine: Engine, given: Command) -> str:
    if not engine.game.moves:
        raise GTPError("no previous move known")
    colour, action = engine.game.moves[-1]
    return f"{('black', 'white')[colour]} {to_vertex(action, engine.game.size)}"


@command("printsgf", "savesgf")
def savesgf(engine: Engine, given: Command) -> str:
    """The game as SGF: into a file, or without a name (`printsgf`) as the answer."""
    root = record.write(record.of_game(engine.game, rules=engine.rules_name))
    data = sgf.dump(root)
    if not given.rest:
        if given.name == "savesgf":
            raise GTPError("syntax error")
        return data.decode()
    try:
        Path(given.rest).write_bytes(data)
    except (OSError, ValueError):
        raise GTPError("cannot save file") from None
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


@command("kata-get-rules")
def get_rules(engine: Engine, given: Command) -> str:
    """As KataGo writes them."""
    rules = engine.rule_set
    return json.dumps({
        "hasButton": False,
        "ko": rules.superko.upper(),
        "scoring": rules.method.upper(),
        "suicide": rules.suicide,
        "tax": "NONE",
        "whiteHandicapBonus": {"none": "0", "full": "N", "less_one": "N-1"}[rules.compensation],
        "friendlyPassOk": rules.removal,
    })  # fmt: skip


@command("kata-set-rules", "kgs-rules")
def set_rules(engine: Engine, given: Command) -> str:
    """By name. Under rules that forbid a move of the game so far nothing changes."""
    name = arguments(given, 1)[0].lower().replace("_", "-")
    name = ALIASES.get(name, name)
    if name not in RULES:
        raise GTPError(f"unknown rules; known are {', '.join(RULES)}")
    before, played = engine.rules_name, engine.game
    engine.rules_name = name
    game = engine.empty(played.size)
    try:
        game.set_up(*played.setup, handicap=played.handicap)
        for colour, action in played.moves:
            game.play(action, colour)
    except ValueError:
        engine.rules_name = before
        raise GTPError("the game so far breaks these rules") from None
    engine.game = game
    return ""
