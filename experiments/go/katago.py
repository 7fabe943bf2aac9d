"""The protocol of KataGo's analysis engine, for KaTrain and other tools: a JSON query per line, JSON answers.

A query names a game and which of its positions to search (`katago_query`); answers come as they are ready, the highest
priority first. Values are in Black's view, as KaTrain sets KataGo up, unless `reportAnalysisWinratesAs` says otherwise.
Source: KataGo's docs/Analysis_Engine.md.
"""

from __future__ import annotations

import json
import time

import numpy as np

from envs.go.game import to_vertex
from experiments.cli import UserError
from experiments.go.katago_query import Position, Reader, Wrong, field
from experiments.go.players import SearchPlayer
from experiments.go.protocol import Input, Output
from experiments.go.standard import SPOKEN

LONGEST = 1 << 18  # bytes of a query
PLAYOUTS = 200  # playouts for ownership and score


class Analyst:
    """Answers queries until the input ends and all of them are done. visits: of a position that names none."""

    def __init__(self, player: SearchPlayer, lines: Input, output: Output, visits: int = 1000):
        self.player, self.lines, self.output, self.visits = player, lines, output, visits
        self._waiting: list[Position] = []
        self._current: Position | None = None
        self._ended = self._halted = False
        self._number, self._source = 0, iter(lines)

    def serve(self) -> None:
        """Searches the waiting positions, highest priority first, until the input ends and none is left."""
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
        found, warnings = Reader(query, self.player).positions(self.visits)
        for name, what in warnings.items():
            self._send({"id": query["id"], "field": name, "warning": what})
        for position in found:
            self._number += 1
            self._waiting.append(position._replace(number=self._number))

    def _act(self, query: dict) -> None:
        action, answer = query["action"], dict(query)
        if action == "query_version":
            answer |= {"version": SPOKEN, "git_hash": "<omitted>"}
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
        elif action == "clear_cache":
            self.player.forget()
        elif action == "query_models":
            name = self.player.name
            answer |= {"models": [{"name": name, "internalName": name, "usesHumanSLProfile": False}]}
        else:
            raise Wrong("action", "must be query_version, query_models, clear_cache, terminate or terminate_all")
        self._send(answer)

    def _search(self, position: Position) -> None:
        self._current, self._halted = position, False
        due = [time.monotonic() + position.first]

        def stop() -> bool:
            while not self._ended and self.lines.waiting():
                self._hear()
            if position.every > 0 and time.monotonic() >= due[0]:
                self._report(position, True)
                due[0] = time.monotonic() + position.every
            return self._halted

        try:
            rules, state = position.engine.position()
            self.player.think(
                rules, state, visits=position.visits, seconds=position.seconds, stop=stop, barred=position.barred
            )
            self._report(position, False)
        except UserError as fault:  # a network that does not fit the board
            self._send({"error": str(fault), "id": position.query["id"]})
        finally:
            self._current = None

    def _report(self, position: Position, during: bool) -> None:
        """One answer. Signs: the search speaks for the side to move, the playouts for Black, the answer for `view`."""
        game, (_, state) = position.engine.game, position.engine.position()
        black = {"BLACK": 1, "WHITE": -1}.get(position.view, 1 - 2 * game.turn)  # factor of values in Black's view
        result, sign = self.player.result(), black * (1 - 2 * game.turn)
        owner, lead = self.player.ownership(state, PLAYOUTS)
        owner, lead = black * owner, black * lead
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
            if position.query.get("includeNoResultValue"):
                info["noResultValue"] = 0.0
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
