"""The protocol of KataGo's analysis engine, for KaTrain and other tools: a JSON query per line, JSON answers.

A query names a game and which of its positions to search; answers come as they are ready, the highest priority first.
Values are in Black's view, as KaTrain sets KataGo up. Of a query's fields those are understood that change what our
search does; others of KataGo's are passed over. Source: KataGo's docs/Analysis_Engine.md.
"""

from __future__ import annotations

import io
import json
import time
from typing import Any, NamedTuple

import numpy as np

from envs.go.game import from_vertex, to_vertex
from experiments.cli import UserError
from experiments.go.engine import RULES, Engine
from experiments.go.kata_rules import ALIASES
from experiments.go.players import Player
from experiments.go.protocol import Input, Output

VERSION = "1.15.0"  # of the protocol that is spoken
LONGEST = 1 << 18  # bytes of a query
MOST = 100_000  # visits of a position, whatever is asked for
PLAYOUTS = 200  # for ownership and score


class Wrong(Exception):
    """A query that cannot be answered: the field and what is wrong with it."""


class Position(NamedTuple):
    """One position to be searched."""

    query: dict
    turn: int  # moves before it
    engine: Engine
    visits: int
    every: float  # s between reports, 0 for none
    priority: int
    number: int  # order of arrival


def field(query: dict, name: str, kinds: tuple[type, ...], default: Any = None) -> Any:
    """A field of the right kind; without a default it must be there."""
    value = query.get(name, default)
    if value is None and default is None:
        raise Wrong(name, "must be given")
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise Wrong(name, f"must be {' or '.join(kind.__name__ for kind in kinds)}")
    return value


class Analyst:
    """Answers queries until the input ends and all of them are done. visits: of a position that names none."""

    def __init__(self, player: Player, lines: Input, output: Output, visits: int = 1000):
        self.player, self.lines, self.output, self.visits = player, lines, output, visits
        self._waiting: list[Position] = []
        self._current: Position | None = None
        self._ended = self._halted = False
        self._number, self._source = 0, iter(lines)

    def serve(self) -> None:
        while self._waiting or not self._ended:
            while not self._ended and (not self._waiting or self.lines.waiting()):
                self._hear()
            if self._waiting:
                best = min(self._waiting, key=lambda position: (-position.priority, position.number))
                self._waiting.remove(best)
                self._search(best)

    def _hear(self) -> None:
        line = next(self._source, None)
        if line is None:
            self._ended = True
        elif line.strip():
            try:
                query = json.loads(line)
            except (ValueError, RecursionError):
                query = None
            if not isinstance(query, dict):
                self._send({"error": "a query must be a JSON object on one line"})
                return
            try:
                self._take(query)
            except Wrong as fault:
                self._send({"error": fault.args[1], "field": fault.args[0]} | self._named(query))
            except UserError as fault:
                self._send({"error": str(fault)} | self._named(query))

    @staticmethod
    def _named(query: dict) -> dict:
        return {"id": query["id"]} if isinstance(query.get("id"), str) else {}

    def _send(self, message: dict) -> None:
        self.output.send(json.dumps(message) + "\n")

    def _take(self, query: dict) -> None:
        """Queues a query's positions, or does its action."""
        field(query, "id", (str,))
        if "action" in query:
            self._act(query)
            return
        moves = field(query, "moves", (list,))
        turns = field(query, "analyzeTurns", (list,), [len(moves)])
        priorities = field(query, "priorities", (list,), [field(query, "priority", (int,), 0)] * len(turns))
        if len(priorities) != len(turns) or not all(isinstance(p, int) for p in priorities):
            raise Wrong("priorities", "must be as many whole numbers as analyzeTurns")
        visits = min(max(field(query, "maxVisits", (int,), self.visits), 1), MOST)
        every = field(query, "reportDuringSearchEvery", (int, float), 0.0)
        if not 0 <= every <= 3600:
            raise Wrong("reportDuringSearchEvery", "must be from 0 to 3600 seconds")
        found = []
        for turn, priority in zip(turns, priorities, strict=True):
            if not isinstance(turn, int) or not 0 <= turn <= len(moves):
                raise Wrong("analyzeTurns", f"{turn!r} is no turn of the {len(moves)} moves")
            self._number += 1
            found.append(Position(query, turn, self._game(query, turn), visits, every, priority, self._number))
        self._waiting += found

    def _game(self, query: dict, turn: int) -> Engine:
        """The game after so many moves."""
        size = field(query, "boardXSize", (int,))
        if field(query, "boardYSize", (int,)) != size or not 2 <= size <= 19:
            raise Wrong("boardYSize", "boards must be squares of 2 to 19 lines")
        rules = query.get("rules")
        name = rules.lower().replace("_", "-") if isinstance(rules, str) else ""
        name = ALIASES.get(name, name)
        if isinstance(rules, dict):  # the nearest of ours
            name = "japanese" if rules.get("scoring") == "TERRITORY" else "chinese"
            name = "tromp-taylor" if name == "chinese" and rules.get("suicide") else name
        if name not in RULES:
            raise Wrong("rules", f"must be one of {', '.join(RULES)}")
        komi = field(query, "komi", (int, float), 6.5 if name == "japanese" else 7.5)
        if not abs(komi) <= 150:
            raise Wrong("komi", "must be -150 to 150")
        engine = Engine(self.player, Output(io.BytesIO()), size=size, komi=float(komi), rules=name)
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

    def _act(self, query: dict) -> None:
        action, answer = query["action"], dict(query)
        if action == "query_version":
            answer |= {"version": VERSION, "git_hash": "<omitted>"}
        elif action in ("terminate", "terminate_all"):
            name = field(query, "terminateId", (str,)) if action == "terminate" else None
            turns = query.get("turnNumbers")

            def meant(position: Position) -> bool:
                right = name is None or position.query["id"] == name
                return right and (not isinstance(turns, list) or position.turn in turns)

            for position in filter(meant, list(self._waiting)):
                self._waiting.remove(position)
                nothing = {"isDuringSearch": False, "noResults": True, "turnNumber": position.turn}
                self._send({"id": position.query["id"]} | nothing)
            self._halted = self._halted or (self._current is not None and meant(self._current))
        elif action not in ("clear_cache", "query_models"):
            raise Wrong("action", "must be query_version, clear_cache, terminate or terminate_all")
        self._send(answer)

    def _search(self, position: Position) -> None:
        self._current, self._halted = position, False
        last = [time.monotonic()]

        def stop() -> bool:
            while not self._ended and self.lines.waiting():
                self._hear()
            if position.every > 0 and time.monotonic() - last[0] >= position.every:
                self._report(position, True)
                last[0] = time.monotonic()
            return self._halted

        try:
            rules, state = position.engine.position()
            self.player.think(rules, state, visits=position.visits, stop=stop)
            self._report(position, False)
        except UserError as fault:  # a network that does not fit the board
            self._send({"error": str(fault), "id": position.query["id"]})
        finally:
            self._current = None

    def _report(self, position: Position, during: bool) -> None:
        """One answer. Signs: the search speaks for the side to move, the answer for Black."""
        game, (_, state) = position.engine.game, position.engine.position()
        result, sign = self.player.result(), 1 - 2 * game.turn
        owner, lead = self.player.ownership(state, PLAYOUTS)
        visits, q, prior = result.visits[0], result.q[0], result.prior[0]
        infos = []
        for order, action in enumerate(np.argsort(-visits, kind="stable")[: int((visits > 0).sum())]):
            value, n = sign * float(q[action]), int(visits[action])
            radius = 1.96 * float(np.sqrt(max(1 - value * value, 4e-4) / n)) / 2
            line = self.player.variation(int(action))
            info = {
                "move": to_vertex(int(action), game.size), "visits": n, "edgeVisits": n, "weight": n, "order": order,
                "winrate": (1 + value) / 2, "lcb": (1 + value) / 2 - sign * radius, "utility": value,
                "utilityLcb": value - sign * 2 * radius, "prior": float(prior[action]), "scoreLead": lead,
                "scoreMean": lead, "scoreSelfplay": lead, "scoreStdev": 0.0,
                "pv": [to_vertex(a, game.size) for a in line],
            }  # fmt: skip
            infos.append(info)
        value = sign * float(result.value[0])
        answer = {
            "id": position.query["id"], "isDuringSearch": during, "turnNumber": position.turn, "moveInfos": infos,
            "rootInfo": {
                "winrate": (1 + value) / 2, "utility": value, "visits": int(visits.sum()) + 1, "scoreLead": lead,
                "scoreSelfplay": lead, "scoreStdev": 0.0, "currentPlayer": "BW"[game.turn],
            },
        }  # fmt: skip
        if position.query.get("includeOwnership"):
            answer["ownership"] = np.round(owner, 4).tolist()
        if position.query.get("includePolicy"):
            policy = self.player.policy(state, result)
            legal = [game.is_legal(action) for action in range(game.size**2 + 1)]
            answer["policy"] = [float(p) if ok else -1.0 for p, ok in zip(policy, legal, strict=True)]
        self._send(answer)
