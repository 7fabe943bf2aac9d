"""Commands beyond the specification that board programs and referees use: facts about the game and the position."""

from __future__ import annotations

import time

from envs.go.game import to_vertex
from experiments.go.engine import Engine, arguments, colour_of, command, integer, listed, vertex_of
from experiments.go.protocol import GTPCommand, GTPError


@command("set_random_seed")
def set_random_seed(engine: Engine, given: GTPCommand) -> str:
    """Seeds the player's random numbers."""
    engine.player.seed(integer(arguments(given, 1)[0]) % 2**31)
    return ""


@command("cputime", "gomill-cpu_time")
def cputime(engine: Engine, given: GTPCommand) -> str:
    """Seconds of processor time of this process."""
    return f"{time.process_time():.3f}"


@command("get_komi")
def get_komi(engine: Engine, given: GTPCommand) -> str:
    """Answers with the komi of the game, in points."""
    return f"{engine.game.komi:g}"


@command("query_boardsize")
def query_boardsize(engine: Engine, given: GTPCommand) -> str:
    """Answers with the number of lines of the board."""
    return str(engine.game.size)


@command("is_legal")
def is_legal(engine: Engine, given: GTPCommand) -> str:
    """Answers with 1 if the move is legal for the colour, else with 0."""
    colour, vertex = arguments(given, 2)
    return "1" if engine.game.is_legal(vertex_of(vertex, engine.game.size), colour_of(colour)) else "0"


@command("all_legal")
def all_legal(engine: Engine, given: GTPCommand) -> str:
    """Answers with all vertices where the colour may play; a pass is not listed."""
    colour, game = colour_of(arguments(given, 1)[0]), engine.game
    return listed((action for action in range(game.size**2) if game.is_legal(action, colour)), game.size)


@command("list_stones")
def list_stones(engine: Engine, given: GTPCommand) -> str:
    """Answers with the vertices of all stones of the colour."""
    colour, game = colour_of(arguments(given, 1)[0]), engine.game
    return listed((action for action in range(game.size**2) if game.at(action) == colour + 1), game.size)


@command("color")
def color(engine: Engine, given: GTPCommand) -> str:
    """Answers with what stands on a vertex: black, white or empty."""
    action = vertex_of(arguments(given, 1)[0], engine.game.size)
    if action == engine.game.size**2:
        raise GTPError("syntax error")
    return ("empty", "black", "white")[engine.game.at(action)]


@command("captures")
def captures(engine: Engine, given: GTPCommand) -> str:
    """Answers with the number of stones that the colour has captured."""
    return str(engine.game.captured()[colour_of(arguments(given, 1)[0])])


@command("move_history")
def move_history(engine: Engine, given: GTPCommand) -> str:
    """The moves, newest first."""
    game = engine.game
    return "\n".join(f"{('black', 'white')[c]} {to_vertex(a, game.size)}" for c, a in reversed(game.moves))


@command("last_move")
def last_move(engine: Engine, given: GTPCommand) -> str:
    """Answers with the colour and vertex of the last move. Raises GTPError before the first."""
    if not engine.game.moves:
        raise GTPError("no previous move known")
    colour, action = engine.game.moves[-1]
    return f"{('black', 'white')[colour]} {to_vertex(action, engine.game.size)}"
