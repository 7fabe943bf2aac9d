"""A Go program behind GTP: the game at hand, a player that thinks, and how commands come to it."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable

from envs.go.game import Game, from_vertex, to_vertex
from envs.go.rules import go_rules
from experiments.cli import UserError
from experiments.go.clock import Clock
from experiments.go.players import Player, status
from experiments.go.protocol import Command, GTPError, Output
from experiments.go.rulesets import RULES, RuleSet

COLOURS = {"b": 0, "black": 0, "w": 1, "white": 1}
STATUS_PLAYOUTS = 400
DEFAULT_SECONDS = 1.0  # per move, without any limit
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
        from experiments.go import commands  # noqa: F401  (they register themselves, and need this module)

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
