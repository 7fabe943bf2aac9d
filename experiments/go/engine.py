"""A Go program behind GTP: the game at hand, a player that thinks, and how commands come to it."""

from __future__ import annotations

import dataclasses
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from agents.search.search import Result
from envs.go.game import GoGame, from_vertex, gift, to_vertex
from envs.go.rules import exchanged, go_rules
from experiments.cli import UserError
from experiments.go.clock import GoClock
from experiments.go.judging import Judgement
from experiments.go.players import SearchPlayer
from experiments.go.protocol import GTPCommand, GTPError, Output
from experiments.go.rulesets import RULES

COLOURS = {"b": 0, "black": 0, "w": 1, "white": 1}
DEFAULT_SECONDS = 1.0  # thinking time per move without any limit, in s
COMMANDS: dict[str, Callable[..., str | None]] = {}  # name -> function(engine, command)
SENT = object()  # result of a command that has answered itself


def command(*names: str, takes: Sequence[Callable[..., Any]] | None = None):
    """Registers a function for these names. It returns the answer's text, nothing for an empty one, or SENT.

    takes: readers of the arguments, one each, such as `colour_of`: the function is called with the engine and what they
    have read. None: it is called with the engine and the command.
    """

    def register(function):
        def called(engine: Engine, given: GTPCommand) -> str | None:
            told = function(engine, *([given] if takes is None else read(engine, given, takes)))
            return None if told is SENT else told or ""

        COMMANDS.update(dict.fromkeys(names, called))
        return function

    return register


def read(engine: Engine, given: GTPCommand, takes: Sequence[Callable[..., Any]]) -> list[Any]:
    """The arguments of a command, as many as there are readers. Raises GTPError."""
    texts = arguments(given, len(takes))
    return [one(text, engine.game.size) if one is vertex_of else one(text)
            for one, text in zip(takes, texts, strict=True)]  # fmt: skip


def answers(table: Mapping[str, Callable[[Engine], str | None]]) -> None:
    """Registers commands that need no arguments: name -> what the engine answers."""
    for name, answer in table.items():
        command(name)(lambda engine, given, answer=answer: answer(engine))


class Thought(NamedTuple):
    """What the program would do."""

    action: int
    chance: float  # winning chance of the side that thought
    found: Result | None  # result of the search; None where the judgement of the position was enough


@dataclasses.dataclass(frozen=True)
class Habits:
    """How an engine plays."""

    visits: int | None = None  # positions searched per move; None: as many as the time allows
    seconds: float | None = None  # thinking time per move where no clock is set, in s
    resign: float = 0.0  # winning chance below which the engine resigns; 0: never
    ponder: bool = False  # True to think in the opponent's time
    play_on: bool = False  # True to capture dead stones before passing, for a referee who counts stones as they stand


class Engine:
    """The game, the player and its limits; called with one command after the other.

    visits, seconds: most per move, None without; resign: the chance of winning (0 to 1) below which it resigns after
    three moves in a row; ponder: think in the opponent's time; clock: what counts the seconds; play_on: play where a
    pass would win at once, or could lose nothing.
    """

    def __init__(
        self, player: SearchPlayer, output: Output, *, size: int = 19, komi: float = 7.5, rules: str = "chinese",
        habits: Habits = Habits(), clock: Callable[[], float] = time.perf_counter,
    ):  # fmt: skip
        self.player, self.output, self.visits, self.seconds = player, output, habits.visits, habits.seconds
        self.resign, self.ponder, self.komi = habits.resign, habits.ponder, komi
        self.rules_name, self.rule_set = rules, RULES[rules]
        self.seconds_by, self.play_on = clock, habits.play_on
        self.clock, self.losing = GoClock(), [0, 0]
        self.waiting: Callable[[], bool] = lambda: False  # check whether another command has come
        self.wait: Callable[[], None] = lambda: None  # wait until another command has come
        self.new_game(size)

    def __call__(self, given: GTPCommand) -> str | None:
        function = COMMANDS.get(given.name)
        if function is None:
            raise GTPError("unknown command")
        try:
            return function(self, given)
        except UserError as fault:  # a network that was made for another board, for example
            raise GTPError(str(fault)) from fault

    @property
    def game(self) -> GoGame:
        """Returns the game on the board; the history of an assigned game grows as it is needed."""
        return self._game

    @game.setter
    def game(self, game: GoGame) -> None:
        self._game, game.grows = game, True

    def empty(self, size: int) -> GoGame:
        """A game by the present rules."""
        rules = self.rule_set
        room = max(300, 4 * size * size)
        return GoGame(size, self.komi, superko=rules.superko, suicide=rules.suicide, max_moves=room)

    def new_game(self, size: int) -> None:
        """An empty board of this size, clocks as at the beginning."""
        self.game, self.losing = self.empty(size), [0, 0]
        self.clock.restart()

    def position(self, colour: int | None = None) -> tuple:
        """(rules, state) for the search, `colour` to move; the komi holds what handicap stones give White, and where
        territory counts what `envs.go.rules.exchanged` says."""
        game, komi = self.game, self.game.komi + gift(self.game, self.rule_set.compensation)
        scoring = self.rule_set.method
        if scoring == "territory":
            komi += exchanged(game.state)
        rules = go_rules(game.size, komi, scoring=scoring, **game.options)
        state = game.with_turn(colour).copy()
        state[: len(rules.header)] = rules.header
        return rules, state

    def limit(self, colour: int) -> float | None:
        """Seconds for the next move of this side, None for no limit but the visits."""
        allowed, seconds = self.clock.allowed(colour, len(self.game.moves), self.game.size**2), self.seconds
        if allowed is not None:
            seconds = allowed if seconds is None else min(seconds, allowed)
        return DEFAULT_SECONDS if self.visits is None and seconds is None else seconds

    def think(
        self, colour: int, stop: Callable[[], bool] | None = None, barred: np.ndarray | None = None
    ) -> Thought:  # fmt: skip
        """What this side should do within the limits; plays nothing. barred: see `agents.search.Search.restrict`."""
        seconds, nothing = self.limit(colour), self.game.size**2
        if not self.play_on and (barred is None or barred[colour, nothing] == 0) and self.may_pass(colour):
            lead = (1 - 2 * colour) * self.score()
            return Thought(nothing, 0.5 if lead == 0 else float(lead > 0), None)
        rules, state = self.position(colour)
        found = self.player.think(
            rules, state, self.visits, seconds, stop, settle=stop is None, clock=self.seconds_by, barred=barred
        )
        action = int(found.action[0])
        return Thought(nothing if action < 0 else action, (float(found.value[0]) + 1) / 2, found)

    def may_pass(self, colour: int) -> bool:
        """Whether a pass is as good as any move, seen without a search.

        That is so if the position is won as it stands, whatever of it is open, or if nothing is open. Where area counts
        the other side must have passed: a first pass could give a point away.
        """
        game = self.game
        passed = bool(game.moves) and game.moves[-1] == (1 - colour, game.size**2)
        if not passed and self.rule_set.method == "area":
            return False
        lead, judged = (1 - 2 * colour) * self.score(), self.judged()
        if not self.rule_set.removal:  # it is counted as it stands
            return lead > 0
        return lead - judged.doubt(colour) > 0 or judged.settled

    def generate(
        self, colour: int, stop: Callable[[], bool] | None = None, barred: np.ndarray | None = None,
        report: Callable[[Thought], None] = lambda thought: None,
    ) -> str:  # fmt: skip
        """Thinks and plays: a vertex, "pass" or "resign". told: is called with the thought before the move."""
        started = time.monotonic()
        thought = self.think(colour, stop, barred)
        report(thought)
        action = thought.action
        self.losing[colour] = self.losing[colour] + 1 if thought.chance < self.resign else 0
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

    def judged(self) -> Judgement:
        """What is alive, dead or in seki on the board."""
        return self.player.judge(self.game.state)

    def score(self) -> float:
        """Black's lead by the rules at hand, of the position as it stands, once dead stones are taken off."""
        rules, dead, seki = self.rule_set, (), ()
        if rules.removal:
            judged = self.judged()
            dead = judged.stones("dead")
            seki = judged.stones("seki") if rules.method == "territory" else ()
        return self.game.score(rules.method, dead, seki, rules.compensation)


def arguments(given: GTPCommand, least: int, most: int | None = None) -> list[str]:
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
    """Parses a number of at most this magnitude. Raises GTPError for anything else."""
    try:
        value = math.nan if "_" in text else float(text)  # Python's own 1_000 is no number of GTP
    except ValueError:
        value = math.nan
    if not abs(value) <= limit:
        raise GTPError("syntax error")
    return value


def colour_of(text: str) -> int:
    """Parses a colour, 0 for Black and 1 for White. Raises GTPError for anything else."""
    if text.lower() not in COLOURS:
        raise GTPError("syntax error")
    return COLOURS[text.lower()]


def vertex_of(text: str, size: int) -> int:
    """Parses a vertex such as D4 or pass into an action. Raises GTPError for anything else."""
    try:
        return from_vertex(text, size)
    except ValueError:
        raise GTPError("syntax error") from None


def listed(actions: Iterable[int], size: int) -> str:
    """Formats actions as vertices with spaces between them."""
    return " ".join(to_vertex(action, size) for action in actions)
