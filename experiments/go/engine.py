"""A Go program behind GTP: the game at hand, a player that thinks, and the commands of the specification."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from envs.go import record, sgf
from envs.go.board import MAX_SIZE
from envs.go.game import COLUMNS, Game, fixed_handicap, free_handicap, from_vertex, to_vertex
from envs.go.rules import go_rules
from experiments.cli import UserError
from experiments.go.clock import Clock
from experiments.go.players import Player, status
from experiments.go.protocol import Command, GTPError, Output

COLOURS = {"b": 0, "black": 0, "w": 1, "white": 1}
KOMI_LIMIT = 1000.0  # points
STATUS_PLAYOUTS = 400
DEFAULT_SECONDS = 1.0  # per move, without any limit


class RuleSet(NamedTuple):
    """What distinguishes the rules that people name."""

    superko: str
    suicide: bool
    method: str = "area"  # of counting, see `Game.score`
    compensation: str = "none"  # to White for handicap stones
    removal: bool = True  # dead stones are taken off before counting


RULES = {
    "chinese": RuleSet("positional", False, compensation="full"),
    "tromp-taylor": RuleSet("positional", True, removal=False),
    "aga": RuleSet("situational", False, compensation="less_one"),
    "new-zealand": RuleSet("situational", True),
    "japanese": RuleSet("simple", False, method="territory"),
}
COMMANDS: dict[str, Callable[..., str | None]] = {}  # name -> function(engine, command)


def command(*names: str):
    """Registers a function (engine, command) -> the answer's text, or None if it has answered itself."""

    def register(function):
        COMMANDS.update(dict.fromkeys(names, function))
        return function

    return register


class Engine:
    """The game, the player and its limits; called with one command after the other.

    visits, seconds: most per move, None without; resign: the chance of winning (0 to 1) below which it resigns after
    three moves in a row; ponder: think in the opponent's time; clock: what counts the seconds. moves are those of
    `game`.
    """

    def __init__(
        self, player: Player, output: Output, *, size: int = 19, komi: float = 7.5, rules: str = "chinese",
        visits: int | None = None, seconds: float | None = None, resign: float = 0.0, ponder: bool = False,
        clock: Callable[[], float] = time.perf_counter,
    ):  # fmt: skip
        self.player, self.output, self.visits, self.seconds = player, output, visits, seconds
        self.resign, self.ponder, self.rules_name, self.komi = resign, ponder, rules, komi
        self.seconds_by = clock
        self.clock, self.losing = Clock(), [0, 0]
        self.waiting: Callable[[], bool] = lambda: False  # whether another command has come
        self.wait: Callable[[], None] = lambda: None  # until one has
        self.new_game(size)

    def __call__(self, given: Command) -> str | None:
        function = COMMANDS.get(given.name)
        if function is None:
            raise GTPError("unknown command")
        try:
            return function(self, given)
        except UserError as fault:  # a network that was made for another board, for example
            raise GTPError(str(fault)) from fault

    @property
    def rule_set(self) -> RuleSet:
        return RULES[self.rules_name]

    def empty(self, size: int) -> Game:
        """A game by the present rules."""
        rules = self.rule_set
        limit = max(300, 4 * size * size)
        return Game(size, self.komi, superko=rules.superko, suicide=rules.suicide, max_moves=limit)

    def new_game(self, size: int) -> None:
        """An empty board of this size, clocks as at the beginning."""
        self.game, self.losing = self.empty(size), [0, 0]
        self.clock.restart()

    def position(self, colour: int | None = None) -> tuple:
        """(rules, state) for the search, `colour` to move; the komi holds what handicap stones give White."""
        game, gift = self.game, {"none": 0, "full": self.game.handicap, "less_one": max(self.game.handicap - 1, 0)}
        rules = go_rules(game.size, game.komi + gift[self.rule_set.compensation], **game.options)
        state = game.with_turn(colour).copy()
        state[: len(rules.header)] = rules.header
        return rules, state

    def think(self, colour: int, stop: Callable[[], bool] | None = None) -> tuple[int, float]:
        """(action, chance of winning) of this side within the limits; plays nothing."""
        rules, state = self.position(colour)
        seconds = self.seconds
        allowed = self.clock.allowed(colour, len(self.game.moves), self.game.size**2)
        if allowed is not None:
            seconds = allowed if seconds is None else min(seconds, allowed)
        if self.visits is None and seconds is None:
            seconds = DEFAULT_SECONDS
        found = self.player.think(rules, state, self.visits, seconds, stop, settle=stop is None, clock=self.seconds_by)
        action = int(found.action[0])
        return (self.game.size**2 if action < 0 else action), (float(found.value[0]) + 1) / 2

    def generate(self, colour: int, stop: Callable[[], bool] | None = None) -> str:
        """Thinks and plays: a vertex, "pass" or "resign"."""
        started = time.monotonic()
        action, chance = self.think(colour, stop)
        self.losing[colour] = self.losing[colour] + 1 if chance < self.resign else 0
        self.clock.spent(colour, time.monotonic() - started)
        if self.losing[colour] >= 3:
            return "resign"
        try:
            self.game.play(action, colour)
        except ValueError as fault:  # the move limit
            raise GTPError(str(fault)) from fault
        if self.ponder:
            self.player.ponder(*self.position())
        return to_vertex(action, self.game.size)

    def judged(self) -> dict[str, list[list[int]]]:
        """The groups on the board by status."""
        return status(self.game.state, self.player.ownership(self.game.state, STATUS_PLAYOUTS)[0])

    def score(self) -> float:
        """Black's lead by the rules at hand, of the position as it stands."""
        rules, dead, seki = self.rule_set, [], []
        if rules.removal:
            judged = self.judged()
            dead = [group[0] for group in judged["dead"]]
            seki = [group[0] for group in judged["seki"]] if rules.method == "territory" else []
        return self.game.score(rules.method, dead, seki, rules.compensation)


def arguments(given: Command, least: int, most: int | None = None) -> list[str]:
    """The arguments, or a syntax error if their number is wrong."""
    if len(given.arguments) < least or len(given.arguments) > (least if most is None else most):
        raise GTPError("syntax error")
    return given.arguments


def integer(text: str) -> int:
    """A whole number that GTP allows (31 bits)."""
    if not re.fullmatch(r"-?[0-9]{1,10}", text, re.ASCII) or abs(int(text)) >= 2**31:
        raise GTPError("syntax error")
    return int(text)


def number(text: str, limit: float = 1e9) -> float:
    try:
        value = math.nan if "_" in text else float(text)  # Python's own 1_000 is no number of GTP
    except ValueError:
        value = math.nan
    if not abs(value) <= limit:
        raise GTPError("syntax error")
    return value


def colour_of(text: str) -> int:
    if text.lower() not in COLOURS:
        raise GTPError("syntax error")
    return COLOURS[text.lower()]


def vertex_of(text: str, size: int) -> int:
    try:
        return from_vertex(text, size)
    except ValueError:
        raise GTPError("syntax error") from None


def listed(actions: Iterable[int], size: int) -> str:
    return " ".join(to_vertex(action, size) for action in actions)


@command("protocol_version")
def protocol_version(engine: Engine, given: Command) -> str:
    return "2"


@command("name")
def name(engine: Engine, given: Command) -> str:
    return f"joypad {engine.player.name}"


@command("version")
def version(engine: Engine, given: Command) -> str:
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("joypad")
    except PackageNotFoundError:  # run from a folder that was not installed
        return "0"


@command("known_command")
def known_command(engine: Engine, given: Command) -> str:
    return "true" if arguments(given, 1)[0] in COMMANDS else "false"


@command("list_commands")
def list_commands(engine: Engine, given: Command) -> str:
    return "\n".join(sorted(COMMANDS))


@command("quit")
def quit_(engine: Engine, given: Command) -> str:
    engine.player.stop()
    return ""


@command("boardsize")
def boardsize(engine: Engine, given: Command) -> str:
    size = integer(arguments(given, 1)[0])
    if not 2 <= size <= MAX_SIZE:
        raise GTPError("unacceptable size")
    engine.new_game(size)
    return ""


@command("clear_board")
def clear_board(engine: Engine, given: Command) -> str:
    engine.new_game(engine.game.size)
    return ""


@command("komi")
def komi(engine: Engine, given: Command) -> str:
    engine.komi = number(arguments(given, 1)[0], KOMI_LIMIT)
    engine.game.set_komi(engine.komi)
    return ""


def empty_board(engine: Engine) -> Game:
    if engine.game.board().any():
        raise GTPError("board not empty")
    return engine.game


@command("fixed_handicap", "place_free_handicap")
def place_handicap(engine: Engine, given: Command) -> str:
    stones, game = integer(arguments(given, 1)[0]), empty_board(engine)
    try:
        points = (fixed_handicap if given.name == "fixed_handicap" else free_handicap)(stones, game.size)
    except ValueError:
        raise GTPError("invalid number of stones") from None
    game.place_handicap(points)
    return listed(points, game.size)


@command("set_free_handicap")
def set_free_handicap(engine: Engine, given: Command) -> str:
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
    return ""


@command("play")
def play(engine: Engine, given: Command) -> str:
    colour, vertex = arguments(given, 2)
    colour, action = colour_of(colour), vertex_of(vertex, engine.game.size)
    try:
        engine.game.play(action, colour)
    except ValueError:
        raise GTPError("illegal move") from None
    return ""


@command("genmove", "reg_genmove")
def genmove(engine: Engine, given: Command) -> str:
    colour = colour_of(arguments(given, 1)[0])
    if given.name == "genmove":
        return engine.generate(colour)
    return to_vertex(engine.think(colour)[0], engine.game.size)


@command("undo", "gg-undo")
def undo(engine: Engine, given: Command) -> str:
    moves = 1 if given.name == "undo" else integer(given.arguments[0]) if given.arguments else 1
    if not 0 < moves <= len(engine.game.moves):
        raise GTPError("cannot undo")
    engine.game.undo(moves)
    return ""


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


@command("final_score")
def final_score(engine: Engine, given: Command) -> str:
    lead = engine.score()
    return "0" if lead == 0 else f"{'B' if lead > 0 else 'W'}+{abs(lead):g}"


@command("final_status_list")
def final_status_list(engine: Engine, given: Command) -> str:
    wanted = arguments(given, 1)[0]
    judged = engine.judged()
    if wanted not in judged:
        raise GTPError("syntax error")
    return "\n".join(listed(group, engine.game.size) for group in judged[wanted])


@command("showboard")
def showboard(engine: Engine, given: Command) -> str:
    game, size = engine.game, engine.game.size
    letters, board = "   " + " ".join(COLUMNS[:size]), game.board()
    rows = [f"{size - r:2} " + " ".join(".XO"[stone] for stone in board[r]) + f" {size - r}" for r in range(size)]
    taken = game.captured()
    side = "White" if game.turn else "Black"
    foot = f"{side} to move; captured: Black {taken[0]}, White {taken[1]}; komi {game.komi:g}"
    return "\n".join([letters, *rows, letters, foot])


@command("loadsgf")
def loadsgf(engine: Engine, given: Command) -> str:
    """The position just before the move of that number, or at the end; on failure the game stays as it was."""
    name, upto = given.rest, None
    if not name:
        raise GTPError("syntax error")
    words = name.rsplit(None, 1)
    if not os.path.isfile(name) and len(words) == 2 and words[1].isascii() and words[1].isdigit():
        name, upto = words[0], integer(words[1])
        if upto < 1:
            raise GTPError("syntax error")
    try:
        if not os.path.isfile(name):  # not a device, which may never end
            raise GTPError("cannot load file")
        with Path(name).open("rb") as file:
            root = sgf.parse(file.read(sgf.MAX_BYTES + 1))
        loaded = record.read(root)
        if root.get("KM") is None:
            loaded.komi = engine.komi
        own = engine.game.options | {"max_moves": max(300, 4 * loaded.size**2, len(loaded.steps) + 100)}
        stop = None if upto is None else upto - 1
        try:
            game = record.replay(loaded, stop, **own)
        except sgf.SGFError:  # played by other rules than ours
            game = record.replay(loaded, stop, max_moves=own["max_moves"])
    except (OSError, ValueError):
        raise GTPError("cannot load file") from None
    engine.komi = game.komi
    engine.game = game
    engine.clock.restart()
    return ""
