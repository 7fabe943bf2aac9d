"""Commands beyond the specification that board programs and referees use: facts about the game and the position."""

from __future__ import annotations

import time

from envs.go.game import to_vertex
from experiments.go.engine import Engine, answers, colour_of, command, integer, listed, vertex_of
from experiments.go.protocol import GTPCommand, GTPError


def cputime(engine: Engine) -> str:
    """Seconds of processor time of this process."""
    return f"{time.process_time():.3f}"


def move_history(engine: Engine) -> str:
    """The moves, newest first."""
    game = engine.game
    return "\n".join(f"{('black', 'white')[c]} {to_vertex(a, game.size)}" for c, a in reversed(game.moves))


answers({
    "cputime": cputime,
    "gomill-cpu_time": cputime,
    "get_komi": lambda engine: f"{engine.game.komi:g}",
    "query_boardsize": lambda engine: str(engine.game.size),
    "move_history": move_history,
})  # fmt: skip


@command("set_random_seed", takes=[integer])
def set_random_seed(engine: Engine, seed: int) -> None:
    """Seeds the player's random numbers."""
    engine.player.seed(seed % 2**31)


@command("is_legal", takes=[colour_of, vertex_of])
def is_legal(engine: Engine, colour: int, action: int) -> str:
    """Answers with 1 if the move is legal for the colour, else with 0."""
    return "1" if engine.game.is_legal(action, colour) else "0"


@command("all_legal", takes=[colour_of])
def all_legal(engine: Engine, colour: int) -> str:
    """Answers with all vertices where the colour may play; a pass is not listed."""
    game = engine.game
    return listed((action for action in range(game.size**2) if game.is_legal(action, colour)), game.size)


@command("list_stones", takes=[colour_of])
def list_stones(engine: Engine, colour: int) -> str:
    """Answers with the vertices of all stones of the colour."""
    game = engine.game
    return listed((action for action in range(game.size**2) if game.at(action) == colour + 1), game.size)


@command("color", takes=[vertex_of])
def color(engine: Engine, action: int) -> str:
    """Answers with what stands on a vertex: black, white or empty."""
    if action == engine.game.size**2:
        raise GTPError("syntax error")
    return ("empty", "black", "white")[engine.game.at(action)]


@command("captures", takes=[colour_of])
def captures(engine: Engine, colour: int) -> str:
    """Answers with the number of stones that the colour has captured."""
    return str(engine.game.captured()[colour])


@command("last_move")
def last_move(engine: Engine, given: GTPCommand) -> str:
    """Answers with the colour and vertex of the last move. Raises GTPError before the first."""
    if not engine.game.moves:
        raise GTPError("no previous move known")
    colour, action = engine.game.moves[-1]
    return f"{('black', 'white')[colour]} {to_vertex(action, engine.game.size)}"
