"""Queries of KataGo's analysis engine: what they ask for, what is wrong with them, and what is not obeyed.

A field that changes the answer is obeyed, or refused (`Wrong`), or told of in a warning; none is passed over.
"""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import numpy as np

from envs.go.game import from_vertex
from experiments.go.analysis import barred_by
from experiments.go.commands import Engine
from experiments.go.players import SearchPlayer
from experiments.go.protocol import Output
from experiments.go.rulesets import RULES, RuleSet, UnknownRules, find, of_fields

MOST = 100_000  # visits of a position at most, even if a query asks for more
KNOWN = {  # fields that are obeyed
    "id", "moves", "initialStones", "initialPlayer", "rules", "komi", "whiteHandicapBonus", "boardXSize", "boardYSize",
    "analyzeTurns", "maxVisits", "includeOwnership", "includePolicy", "includeNoResultValue", "avoidMoves",
    "allowMoves", "overrideSettings", "reportDuringSearchEvery", "firstReportDuringSearchAfter", "priority",
    "priorities",
}  # fmt: skip
NEAREST = {"stone-scoring": "chinese", "aga-button": "aga"}  # rules that cannot be played -> the nearest that can
VIEWS = ("BLACK", "WHITE", "SIDETOMOVE")  # values of reportAnalysisWinratesAs


class Wrong(Exception):
    """A query that cannot be answered: the field and what is wrong with it."""


class Position(NamedTuple):
    """One position to be searched."""

    query: dict
    turn: int  # number of the moves that lead to the position
    engine: Engine
    visits: int
    every: float  # time between reports, in s; 0: no reports
    first: float  # time before the first report, in s
    seconds: float | None  # time limit of the search, in s
    barred: np.ndarray | None  # actions that are barred, see `agents.search.Search.restrict`
    view: str  # name of the view, one of VIEWS
    priority: int
    number: int  # place in the order of arrival


def field(query: dict, name: str, kinds: tuple[type, ...], default: Any = None) -> Any:
    """A field of the right kind; without a default it must be there."""
    value = query.get(name, default)
    if value is None and default is None:
        raise Wrong(name, "must be given")
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise Wrong(name, f"must be {' or '.join(kind.__name__ for kind in kinds)}")
    return value


class Reader:
    """Reads one query; `warnings` collects, by field, what is not obeyed."""

    def __init__(self, query: dict, player: SearchPlayer):
        self.query, self.player = query, player
        self.warnings: dict[str, str] = {}

    def positions(self, visits: int) -> tuple[list[Position], dict[str, str]]:
        """What is to be searched, and the warnings. visits: of a position that names none. Raises Wrong."""
        query = self.query
        moves = field(query, "moves", (list,))
        turns = field(query, "analyzeTurns", (list,), [len(moves)])
        priorities = field(query, "priorities", (list,), [field(query, "priority", (int,), 0)] * len(turns))
        if len(priorities) != len(turns) or not all(isinstance(p, int) for p in priorities):
            raise Wrong("priorities", "must be as many whole numbers as analyzeTurns")
        for name in query:
            if name not in KNOWN:
                self.warnings[name[:60]] = "is not obeyed by this engine"
        seconds, view, visits = self._settings(visits)
        every = self._seconds("reportDuringSearchEvery", 0.0)
        first = self._seconds("firstReportDuringSearchAfter", every)
        found, barred = [], None
        for turn, priority in zip(turns, priorities, strict=True):
            if not isinstance(turn, int) or not 0 <= turn <= len(moves):
                raise Wrong("analyzeTurns", f"{turn!r} is no turn of the {len(moves)} moves")
            engine = self._game(turn)
            if not found:
                barred = self._barred(engine.game.size)
            found.append(Position(query, turn, engine, visits, every, first, seconds, barred, view, priority, 0))
        return found, self.warnings

    def _seconds(self, name: str, default: float) -> float:
        value = field(self.query, name, (int, float), default)
        if not 0 <= value <= 3600:
            raise Wrong(name, "must be from 0 to 3600 seconds")
        return value

    def _settings(self, visits: int) -> tuple[float | None, str, int]:
        """(most seconds, view, visits) of the query and its overrideSettings."""
        given = field(self.query, "overrideSettings", (dict,), {})
        seconds, view, ignored = None, VIEWS[0], []
        for name, value in given.items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if name == "maxTime" and number and value > 0:
                seconds = float(value)
            elif name in ("maxVisits", "maxPlayouts") and number and value >= 1:
                visits = min(visits, int(value)) if name == "maxPlayouts" else int(value)
            elif name == "reportAnalysisWinratesAs" and str(value).upper() in VIEWS:
                view = str(value).upper()
            elif name in ("maxTime", "maxVisits", "maxPlayouts", "reportAnalysisWinratesAs"):
                raise Wrong("overrideSettings", f"{name} cannot be {str(value)[:30]!r}")
            else:
                ignored.append(name[:60])
        if ignored:
            self.warnings["overrideSettings"] = f"not obeyed by this engine: {', '.join(sorted(ignored))}"
        return seconds, view, min(max(field(self.query, "maxVisits", (int,), visits), 1), MOST)

    def _barred(self, size: int) -> np.ndarray | None:
        """avoidMoves and allowMoves together."""
        limits = []
        for name, kind in (("avoidMoves", "avoid"), ("allowMoves", "allow")):
            entries = field(self.query, name, (list,), [])
            for entry in entries:
                if not isinstance(entry, dict):
                    raise Wrong(name, "must be a list of objects with player, moves and untilDepth")
                player, depth = str(entry.get("player")).upper(), entry.get("untilDepth")
                if player not in ("B", "W", "BLACK", "WHITE"):
                    raise Wrong(name, "player must be B or W")
                if not isinstance(depth, int) or isinstance(depth, bool) or depth < 1:
                    raise Wrong(name, "untilDepth must be a whole number from 1")
                moves = entry.get("moves")
                if not isinstance(moves, list):
                    raise Wrong(name, "moves must be a list of points")
                actions = {self._move(name, [player[0], move], size)[1] for move in moves}
                limits.append((kind, "BW".index(player[0]), actions, depth))
            players = [limit[1] for limit in limits if limit[0] == "allow"]
            if len(set(players)) < len(players):
                raise Wrong(name, "may have one entry for each player")
        return barred_by(size, limits)

    def _rules(self) -> tuple[str, RuleSet]:
        """The rules, or the nearest that can be played, with a warning."""
        given = self.query.get("rules")
        if not isinstance(given, str | dict):
            raise Wrong("rules", "must be a name or an object")
        try:
            name, rules = find(given)
        except UnknownRules as fault:
            if isinstance(given, str):
                plain = given.lower().replace("_", "-").replace(" ", "-")
                if plain not in NEAREST:
                    raise Wrong("rules", str(fault)) from fault
                name, rules = NEAREST[plain], RULES[NEAREST[plain]]
            else:
                name, rules = "", RULES["chinese"]
                for key in sorted(given, key=lambda key: key != "scoring"):  # scoring first: the others depend on it
                    try:
                        rules = of_fields({key: given[key]}, rules)
                    except UnknownRules as why:
                        fault = why
            self.warnings["rules"] = f"{fault}; the nearest that can be played are used"
        bonus = self.query.get("whiteHandicapBonus")
        if bonus is not None:
            try:
                rules = of_fields({"whiteHandicapBonus": bonus}, rules)
            except UnknownRules as fault:
                raise Wrong("whiteHandicapBonus", str(fault)) from fault
        return name, rules

    def _game(self, turn: int) -> Engine:
        """The game after so many moves."""
        query = self.query
        size = field(query, "boardXSize", (int,))
        if field(query, "boardYSize", (int,)) != size or not 2 <= size <= 19:
            raise Wrong("boardYSize", "boards must be squares of 2 to 19 lines")
        name, rules = self._rules()
        komi = field(query, "komi", (int, float), 6.5 if rules.method == "territory" else 7.5)
        if not abs(komi) <= 150:
            raise Wrong("komi", "must be -150 to 150")
        engine = Engine(self.player, Output(io.BytesIO()), size=size, komi=float(komi))
        engine.rules_name, engine.rule_set = name, rules
        engine.new_game(size)
        black, white = [], []
        for stone in field(query, "initialStones", (list,), []):
            colour, action = self._move("initialStones", stone, size)
            (black, white)[colour].append(action)
        first = query.get("initialPlayer", "W" if black and not white else "B")
        if first not in ("B", "W"):
            raise Wrong("initialPlayer", "must be B or W")
        try:
            handicap = len(black) if black and not white else 0
            engine.game.set_up(black, white, "BW".index(first), handicap=handicap)
        except ValueError as fault:
            raise Wrong("initialStones", str(fault)) from fault
        for i, move in enumerate(query["moves"][:turn]):
            colour, action = self._move("moves", move, size)
            try:
                engine.game.play(action, colour)
            except ValueError as fault:
                raise Wrong("moves", f"move {i}: {fault}") from fault
        return engine

    @staticmethod
    def _move(name: str, move: Any, size: int) -> tuple[int, int]:
        try:
            colour, vertex = move
            return "BW".index(colour.upper()), from_vertex(vertex, size)
        except (ValueError, TypeError, AttributeError):
            raise Wrong(name, f"{str(move)[:40]!r} is not a player and a point") from None
