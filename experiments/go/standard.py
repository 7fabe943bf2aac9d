"""The commands of GTP 2 but for time and files: who it is, the game, its own moves, the end."""

from __future__ import annotations

import functools

from envs.go.board import MAX_SIZE
from envs.go.game import COLUMNS, GoGame, MoveLimit, fixed_handicap, free_handicap, from_vertex, to_vertex
from experiments.go.engine import (
    COMMANDS,
    Engine,
    answers,
    arguments,
    colour_of,
    command,
    integer,
    listed,
    number,
    vertex_of,
)  # fmt: skip
from experiments.go.protocol import GTPCommand, GTPError

SPOKEN = "1.15.0"  # KataGo's version whose GTP extensions and analysis protocol are spoken
KOMI_LIMIT = 1000.0  # points
TERRITORY = ("dame", "black_territory", "white_territory")  # territory of an empty point by its owner: 0, 1, -1


def version(engine: Engine) -> str:
    """The version of KataGo's protocols that is spoken, which is what Lizzie looks at, and then our own."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        own = installed("joypad")
    except PackageNotFoundError:  # run from a folder that was not installed
        own = "not installed"
    return f"{SPOKEN} (joypad {own})"


def score(engine: Engine) -> str:
    """The winner and the lead in points, such as B+3.5, or 0 for a draw."""
    lead = engine.score()
    return "0" if lead == 0 else f"{'B' if lead > 0 else 'W'}+{abs(lead):g}"


answers({
    "protocol_version": lambda engine: "2",
    "name": lambda engine: f"joypad {engine.player.name}",
    "version": version,
    "list_commands": lambda engine: "\n".join(sorted(COMMANDS)),
    "quit": lambda engine: engine.player.stop(),  # the caller ends the session
    "clear_board": lambda engine: engine.new_game(engine.game.size),
    "final_score": score,
})  # fmt: skip


@command("known_command", takes=[str])
def known_command(engine: Engine, name: str) -> str:
    """Answers with true if the engine knows the command, else with false."""
    return "true" if name in COMMANDS else "false"


@command("boardsize", takes=[integer])
def boardsize(engine: Engine, size: int) -> None:
    """Begins a new game on a board of this size. Raises GTPError for a size outside 2 to MAX_SIZE."""
    if not 2 <= size <= MAX_SIZE:
        raise GTPError("unacceptable size")
    engine.new_game(size)


@command("komi", takes=[functools.partial(number, limit=KOMI_LIMIT)])
def komi(engine: Engine, points: float) -> None:
    """Sets the komi of this game and of later ones."""
    engine.komi = points
    engine.game.set_komi(points)


def empty_board(engine: Engine) -> GoGame:
    """Returns the game of the engine. Raises GTPError if a stone is on the board."""
    if engine.game.board().any():
        raise GTPError("board not empty")
    return engine.game


@command("fixed_handicap", "place_free_handicap")
def place_handicap(engine: Engine, given: GTPCommand) -> str:
    """Places handicap stones on an empty board and answers with their vertices."""
    stones, game = integer(arguments(given, 1)[0]), empty_board(engine)
    try:
        points = (fixed_handicap if given.name == "fixed_handicap" else free_handicap)(stones, game.size)
    except ValueError:
        raise GTPError("invalid number of stones") from None
    game.place_handicap(points)
    return listed(points, game.size)


@command("set_free_handicap")
def set_free_handicap(engine: Engine, given: GTPCommand) -> None:
    """Places handicap stones on the given vertices of an empty board. Raises GTPError for a bad list."""
    game = empty_board(engine)
    try:
        points = [from_vertex(text, game.size) for text in given.arguments]
    except ValueError:
        raise GTPError("bad vertex list") from None
    if len(points) < 2 or len(set(points)) < len(points) or not all(p < game.size**2 for p in points):
        raise GTPError("bad vertex list")
    try:
        game.place_handicap(points)
    except ValueError:  # the whole board, or a group without liberties
        raise GTPError("bad vertex list") from None


@command("play", takes=[colour_of, vertex_of])
def play(engine: Engine, colour: int, action: int) -> None:
    """Plays a move of the given colour. Raises GTPError if it is illegal."""
    try:
        engine.game.play(action, colour)
    except MoveLimit as fault:
        raise GTPError(str(fault)) from None
    except ValueError:
        raise GTPError("illegal move") from None


@command("genmove", "reg_genmove", "kata-search")
def genmove(engine: Engine, given: GTPCommand) -> str:
    """Answers with the player's move; `genmove` alone also plays it on the board."""
    colour = colour_of(arguments(given, 1)[0])
    if given.name == "genmove":
        return engine.generate(colour)
    return to_vertex(engine.think(colour).action, engine.game.size)


@command("kgs-genmove_cleanup", takes=[colour_of])
def genmove_cleanup(engine: Engine, colour: int) -> str:
    """A move for people who do not agree about dead stones: nothing is taken for decided, the dead are captured."""
    before, engine.play_on = engine.play_on, True
    try:
        return engine.generate(colour)
    finally:
        engine.play_on = before


@command("undo", "gg-undo")
def undo(engine: Engine, given: GTPCommand) -> None:
    """Takes back the last move, or as many as `gg-undo` names. Raises GTPError if there are fewer."""
    moves = 1 if given.name == "undo" else integer(given.arguments[0]) if given.arguments else 1
    if not 0 < moves <= len(engine.game.moves):
        raise GTPError("cannot undo")
    engine.game.undo(moves)


@command("final_status_list", takes=[str])
def final_status_list(engine: Engine, wanted: str) -> str:
    """Of stones: alive, dead, seki; of empty points, as GNU Go has it: black_territory, white_territory, dame."""
    size, judged = engine.game.size, engine.judged()
    if wanted in judged.status:
        return "\n".join(listed(chain, size) for chain in judged.status[wanted])
    if wanted not in TERRITORY:
        raise GTPError("syntax error")
    return listed((action for action in range(size * size) if point_status(engine, action) == wanted), size)


@command("final_status", takes=[vertex_of])
def final_status(engine: Engine, action: int) -> str:
    """Of one vertex, in the words of `final_status_list`."""
    if action == engine.game.size**2:
        raise GTPError("syntax error")
    return point_status(engine, action)


def point_status(engine: Engine, action: int) -> str:
    """Returns the status of the stone on a point, or the territory that an empty point belongs to."""
    judged = engine.judged()
    return judged.of(action) or TERRITORY[int(judged.points[action])]


@command("showboard")
def showboard(engine: Engine, given: GTPCommand) -> str:
    """Answers with a drawing of the board, the side to move, the captures and the komi."""
    game, size = engine.game, engine.game.size
    letters, board = "   " + " ".join(COLUMNS[:size]), game.board()
    rows = [f"{size - r:2} " + " ".join(".XO"[stone] for stone in board[r]) + f" {size - r}" for r in range(size)]
    taken = game.captured()
    side = "White" if game.turn else "Black"
    foot = f"{side} to move; captured: Black {taken[0]}, White {taken[1]}; komi {game.komi:g}"
    return "\n".join([letters, *rows, letters, foot])
