"""Points lost per move: a strong program looks at every position of the games, and what the lead sinks by is lost.

A move loses what its side's lead before it exceeds its lead after it, both as the judge sees them (KaTrain counts so,
too); where both sides have passed, the position that the referee has counted stands in. The moves of the opening are
nobody's. Phases are KaTrain's: the opening lasts 14 % of the board's points, the endgame begins at 40 %.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from envs.go.game import to_vertex
from envs.go.record import GameRecord
from experiments.cli import UserError
from experiments.go.lines import Lines
from experiments.go.openings import openings
from experiments.go.programs import Failed, Program, ProgramRefused
from experiments.go.spreading import spread
from experiments.go.tournament import TournamentFolder, TournamentSettings

PHASES = ("opening", "middle", "endgame")
BOUNDS = (0.14, 0.4)  # moves per point of the board after which the middle of the game and the endgame begin
ASKED = "kata-search_analyze"  # command of GTP that tells the lead
LEAD = re.compile(r"\brootInfo\b.*?\bscoreLead (\S+)")
RESAMPLES = 1000  # draws of games behind an interval


class Loss(NamedTuple):
    """What one move has cost."""

    colour: int  # side that moved, 0 Black
    ply: int  # moves before it
    points: float  # points by which its side's lead sank; negative where it rose


class Bench:
    """A judge at work: a program that is asked about one game after the other."""

    def __init__(self, judge: str, settings: TournamentSettings):
        self._judge, self._settings = judge, settings
        self._program = start(judge, settings.size)

    def do(self, task: tuple[int, GameRecord, int]) -> list[float]:
        """Black's lead before every move from the opening's end on, and after the last. task: see `judged`."""
        _, game, first = task
        try:
            return self._leads(game, first)
        except (Failed, ProgramRefused) as fault:
            raise UserError(f"--judge {self._judge}: {fault}") from None

    def _leads(self, game: GameRecord, first: int) -> list[float]:
        program, size, moves = self._program, game.size, game.moves
        for command in (f"boardsize {size}", "clear_board", f"komi {game.komi:g}"):
            program.ask(command)
        found = []
        for ply in range(len(moves) + 1):
            counted = ply == len(moves) and game.margin is not None and game.winner is not None
            if counted:
                found.append(float(game.winner * game.margin))
            elif ply >= first:
                found.append(self._lead(ply % 2 if ply == len(moves) else moves[ply][0]))
            if ply < len(moves):
                colour, action = moves[ply]
                program.ask(f"play {'BW'[colour]} {to_vertex(action, size)}")
        return found

    def _lead(self, colour: int) -> float:
        """Black's lead where `colour` is to move."""
        answer = self._program.ask(f"{ASKED} {'BW'[colour]} rootInfo true", self._settings.move_seconds)
        found = LEAD.search(answer)
        if found is None:
            raise UserError(f"--judge {self._judge}: it tells no lead; give it 2 visits or more")
        return (1 - 2 * colour) * float(found[1])

    def close(self) -> None:
        self._program.close(kill=True)


def start(judge: str, size: int) -> Program:
    """The judge's program. Raises UserError where it does not run or cannot judge."""
    try:
        program = Program(judge, size)
    except (Failed, ProgramRefused, OSError) as fault:
        raise UserError(f"--judge {fault}") from None
    if ASKED not in program.commands:
        program.close()
        raise UserError(f"--judge {judge}: the program does not know {ASKED}; katago:visits=32 and rave:visits=1000 do")
    return program


def lines(folder: TournamentFolder, judge: str) -> Lines:
    """What this judge has found in a tournament."""
    place = folder.path / "judged"
    place.mkdir(exist_ok=True)
    name = re.sub(r"[^A-Za-z0-9._=-]+", "-", judge)[:80]
    return Lines(place / f"{name}-{hashlib.sha256(judge.encode()).hexdigest()[:8]}.jsonl")


def judged(
    judge: str,
    settings: TournamentSettings,
    folder: TournamentFolder,
    parallel: int,
    follow: Callable[[int], None] = lambda done: None,
) -> dict[int, dict]:
    """The leads in every game that counts: number -> {"first": moves of the opening, "leads": Black's, see `Bench`}.

    What was judged before is not judged again. follow: is told how many games are judged. Raises UserError.
    """
    kept = lines(folder, judge)
    tasks = []
    for number, row in sorted(folder.rows.items()):
        if not row["void"] and number not in kept.rows:
            first = len(openings(settings.openings, settings.size, row["opening"] + 1)[-1])
            tasks.append((number, folder.game(number), first))

    def done(task: tuple[int, GameRecord, int], leads: list[float]) -> None:
        kept.add({"number": task[0], "first": task[2], "leads": leads})
        follow(len(kept.rows))

    spread(tasks, parallel, lambda: Bench(judge, settings), done)
    return kept.rows


def losses(row: dict) -> list[Loss]:
    """What every move of a judged game has cost; sides alternate, Black begins."""
    leads, found = row["leads"], []
    for i, (before, after) in enumerate(zip(leads, leads[1:], strict=False)):
        ply = row["first"] + i
        found.append(Loss(ply % 2, ply, (before - after) * (1 - 2 * (ply % 2))))
    return found


def phase(ply: int, size: int) -> int:
    """The number of the phase, of PHASES, in which a move after so many others falls."""
    return int(np.searchsorted(np.array(BOUNDS) * size**2, ply, side="right"))


def figures(player: int, rows: dict[int, dict], judged: dict[int, dict], size: int) -> dict:
    """Mean points that a player's moves have lost: all, their 95 % interval, and by phase (None without moves)."""
    by_game = []
    for number, found in judged.items():
        sides = (rows[number]["black"], rows[number]["white"])
        mine = [loss for loss in losses(found) if sides[loss.colour] == player]
        by_game.append([(phase(loss.ply, size), loss.points) for loss in mine])
    totals = np.array([(sum(p for _, p in game), len(game)) for game in by_game if game]).reshape(-1, 2)
    moves = int(totals[:, 1].sum())
    if not moves:
        return {"moves": 0, "per_move": None, "interval": None, "phases": dict.fromkeys(PHASES)}
    drawn = np.random.default_rng(0).integers(len(totals), size=(RESAMPLES, len(totals)))
    sums = totals[drawn].sum(1)
    low, high = np.quantile(sums[:, 0] / sums[:, 1], (0.025, 0.975))
    everything = [item for game in by_game for item in game]
    phases = {}
    for place, name in enumerate(PHASES):
        own = [points for where, points in everything if where == place]
        phases[name] = sum(own) / len(own) if own else None
    return {
        "moves": moves, "per_move": float(totals[:, 0].sum() / moves), "interval": [float(low), float(high)],
        "phases": phases,
    }  # fmt: skip


def table(judge: str, games: int, players: list[dict]) -> list[str]:
    """The figures for people. players: those of `tournament.summary`, each with its `points_lost`."""
    rows = [f"points lost per move, as {judge} sees {games} games (95 % bootstrap over games; {', '.join(PHASES)}):"]
    for player in players:
        found = player["points_lost"]
        if not found["moves"]:
            rows.append(f"  no moves  {player['player']}")
            continue
        low, high = found["interval"]
        parts = ", ".join("-" if value is None else f"{value:.2f}" for value in found["phases"].values())
        span = f"[{low:.2f}, {high:.2f}]"
        rows.append(f"  {found['per_move']:6.3f}  {span:>14}  {player['player']}   ({parts}; {found['moves']:,} moves)")
    return rows
