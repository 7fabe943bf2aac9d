"""What is known of a game's positions, and what its moves have cost: the review of a game at a table.

A move costs what its side's chance of winning, and its lead in points, are smaller by after it than before it. Ply n is
the position after n moves. The lead is the mean of playouts, so that a point or two of it are chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from envs.go.game import GoGame, to_vertex
from experiments.go.engine import Engine
from experiments.go.telling import lost

VISITS = 400  # visits of the search of a position that is reviewed
PLAYOUTS = 300  # playouts for its lead
LISTED = 8  # costliest moves that are told
LEAST = 0.05  # share of the chances that a move must cost to be told


@dataclass(frozen=True)
class Seen:
    """A position, in Black's view."""

    chance: float  # Black's chance of winning, 0..1
    lead: float | None  # Black's lead in points; None: not known
    best: str = ""  # vertex of the best move; empty: none is known


class Cost(NamedTuple):
    """What a move has cost its side; negative: it gained."""

    ply: int  # number of the move, from 1
    chance: float  # share of the chances of winning, 0..1
    points: float | None


class Review:
    """The positions of a line that were looked at. `waiting`: those that a whole review has left."""

    def __init__(self) -> None:
        self.seen: dict[int, Seen] = {}
        self.waiting: list[int] = []
        self.asked = 0  # positions that the present review began with

    def clear(self) -> None:
        """Another game."""
        self.seen.clear()
        self.stop()

    def cut(self, ply: int) -> None:
        """The game was changed after so many moves."""
        self.seen = {known: value for known, value in self.seen.items() if known <= ply}
        self.stop()

    def ask(self, plies: int) -> None:
        """Every position of a line of so many moves is to be looked at, those that were not reviewed yet."""
        self.waiting = [ply for ply in range(plies + 1) if ply not in self.seen or self.seen[ply].lead is None]
        self.asked = len(self.waiting)

    def stop(self) -> None:
        """No position is left to be looked at."""
        self.waiting, self.asked = [], 0

    def note(self, ply: int, seen: Seen) -> None:
        """What was found at a position."""
        self.seen[ply] = seen

    @property
    def chances(self) -> dict[int, float]:
        """Black's chances at the positions that are known."""
        return {ply: seen.chance for ply, seen in self.seen.items()}

    def cost(self, line: list[tuple[int, int]], ply: int) -> Cost | None:
        """What the move that led to this position has cost, as far as that is known."""
        share = lost(line, self.chances, ply)
        if share is None:
            return None
        leads = {known: seen.lead for known, seen in self.seen.items() if seen.lead is not None}
        return Cost(ply, share, lost(line, leads, ply))

    def worst(self, line: list[tuple[int, int]]) -> list[Cost]:
        """The costliest moves, the worst first."""
        costs = [cost for ply in range(1, len(line) + 1) if (cost := self.cost(line, ply)) and cost.chance >= LEAST]
        return sorted(costs, key=lambda cost: (-cost.chance, cost.ply))[:LISTED]

    def view(self, line: list[tuple[int, int]], size: int) -> dict:
        """As JSON: the costliest moves, and how far a review has come."""
        worst = []
        for ply, chance, points in self.worst(line):
            colour, action = line[ply - 1]
            worst.append({
                "ply": ply, "colour": colour, "move": to_vertex(action, size), "chance": chance,
                "points": None if points is None else round(points, 1), "best": self.seen[ply - 1].best,
            })  # fmt: skip
        return {"worst": worst, "done": self.asked - len(self.waiting), "asked": self.asked}


def look(engine: Engine, game: GoGame, stop) -> Seen | None:
    """What a search finds at the newest position of a game that is not the engine's own; None where it was stopped."""
    own, player = engine.game, engine.player
    try:
        engine.game = game
        if game.over:
            lead = engine.score()
            return Seen(float(lead > 0) if lead else 0.5, lead)
        rules, state = engine.position()
    finally:
        engine.game = own
    found = player.think(rules, state, VISITS, stop=stop)
    if stop() and int(found.visits[0].sum()) < VISITS // 2 and not found.solved[0]:
        return None
    black, action = 1 - 2 * game.turn, int(found.action[0])
    best = "" if action < 0 else to_vertex(action, game.size)
    return Seen((1 + black * float(found.value[0])) / 2, player.ownership(state, PLAYOUTS)[1], best)
