"""A tournament's plan, its folder, and the workers who play it: what `experiments.tournament` runs.

FOLDER/tournament.json   the settings; only the same ones may continue it
FOLDER/games.jsonl       one line per finished game, void ones among them
FOLDER/games/0001.sgf    the games
FOLDER/judged/           what judges found, one file for each (`experiments.go.points`)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

from agents.core import files
from envs.go import record, sgf
from experiments.cli import UserError
from experiments.go import naming
from experiments.go.lines import Lines
from experiments.go.match import GameOutcome, play, write_sgf
from experiments.go.openings import openings
from experiments.go.programs import Failed, Program, ProgramRefused
from experiments.go.spreading import spread

VOIDS_IN_A_ROW = 8  # void games in a row after which something is wrong that more games would not mend


@dataclass(frozen=True)
class TournamentSettings:
    """Everything that games depend on."""

    players: tuple[str, ...]
    games: int  # games per pair of players
    size: int
    komi: float
    openings: str  # name of the opening set
    seed: int
    move_seconds: float  # time limit of one move, in s; a longer silence voids the game


@dataclass(frozen=True)
class GameTask:
    """One game to be played."""

    number: int  # number of the game, from 1
    black: int  # index of the player with Black
    white: int
    opening: int  # number of the opening within its set
    seed: int  # seed for the programs, another one for every game


def plan(settings: TournamentSettings) -> list[GameTask]:
    """All games. Two of them share an opening with colours exchanged; pairs of players take turns."""
    tasks = []
    for game in range(settings.games):
        for i, j in combinations(range(len(settings.players)), 2):
            black, white = (i, j) if game % 2 == 0 else (j, i)
            number = len(tasks) + 1
            tasks.append(GameTask(number, black, white, game // 2, (settings.seed * 1_000_003 + number) % 2**31))
    return tasks


class TournamentFolder:
    """Where a tournament is kept; whatever was finished before a kill is still there after it."""

    def __init__(self, path: Path, settings: TournamentSettings):
        self.path = path
        (path / "games").mkdir(parents=True, exist_ok=True)
        file, wanted = path / "tournament.json", json.loads(json.dumps(asdict(settings)))
        wanted["networks"] = naming.networks(settings.players)
        if file.exists():
            try:
                there = files.read_json(file)
            except (OSError, ValueError):
                there = None
            if not isinstance(there, dict):
                raise UserError(f"{file} cannot be read; give another --out")
            if different := naming.differences(there, {**wanted, "games": there.get("games")}):
                raise UserError(f"{path} holds a tournament with another {', '.join(different)}; give another --out")
        files.write_json(file, wanted)
        self._lines = Lines(path / "games.jsonl")

    @property
    def rows(self) -> dict[int, dict]:
        """The finished games, number -> figures."""
        return self._lines.rows

    def add(self, task: GameTask, played: GameOutcome, settings: TournamentSettings) -> dict:
        """Stores a game for good."""
        names = [settings.players[i] for i in (task.black, task.white)]
        write_sgf(self.path / "games" / f"{task.number:04}.sgf", played, *names, settings.size, settings.komi)
        line = ",".join(str(action) for _, action in played.moves)
        row = asdict(task) | played.row() | {"points": played.points}
        row["digest"] = hashlib.sha256(line.encode()).hexdigest()[:16]
        self._lines.add(row)
        return row

    def game(self, number: int) -> record.GameRecord:
        """A finished game. Raises UserError where its file cannot be read."""
        path = self.path / "games" / f"{number:04}.sgf"
        try:
            return record.load(sgf.read_file(path))
        except (OSError, sgf.SGFError) as fault:
            raise UserError(f"{path}: {fault}") from None


class Worker:
    """Plays one game after the other with programs of its own, which stay alive in between."""

    def __init__(self, settings: TournamentSettings):
        self._settings, self._programs = settings, {}

    def do(self, task: GameTask) -> GameOutcome:
        """Plays one game of the tournament; a program that fails voids it and is started anew for the next."""
        settings = self._settings
        try:
            # A player may meet itself, so programs are kept by colour as well.
            keys = [(task.black, 0), (task.white, 1)]
            for key in keys:
                if key not in self._programs:
                    self._programs[key] = Program(settings.players[key[0]], settings.size)
            sides = [self._programs[key] for key in keys]
            opening = openings(settings.openings, settings.size, task.opening + 1)[-1]
            played = play(
                *sides, size=settings.size, komi=settings.komi, opening=opening, seed=task.seed,
                move_seconds=settings.move_seconds,
            )  # fmt: skip
        except (Failed, ProgramRefused) as fault:  # a program that did not even start
            played = GameOutcome(result="Void", void=str(fault))
        if played.void:
            self.close()
        return played

    def close(self) -> None:
        for program in self._programs.values():
            program.close(kill=True)
        self._programs.clear()


def run(
    settings: TournamentSettings, folder: TournamentFolder, parallel: int, report: Callable[[GameTask, dict], None]
) -> None:
    """Plays what is missing. `report` is called after every game, by one thread at a time. Raises UserError when
    game after game is void."""
    voids = 0

    def done(task: GameTask, played: GameOutcome) -> None:
        nonlocal voids
        report(task, folder.add(task, played, settings))
        voids = voids + 1 if played.void else 0
        if voids >= VOIDS_IN_A_ROW:
            raise UserError(f"{voids} games in a row are void, the last one since {played.void}")

    missing = [task for task in plan(settings) if task.number not in folder.rows]
    spread(missing, parallel, lambda: Worker(settings), done)
