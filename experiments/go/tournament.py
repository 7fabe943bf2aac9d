"""A tournament's plan, its folder, and the workers who play it: what `experiments.tournament` runs.

FOLDER/tournament.json   the settings; only the same ones may continue it
FOLDER/games.jsonl       one line per finished game, void ones among them
FOLDER/games/0001.sgf    the games
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

from agents.core import files
from experiments.cli import UserError
from experiments.go.match import Played, play, write_sgf
from experiments.go.openings import openings
from experiments.go.programs import Failed, Program, Refused

VOIDS_IN_A_ROW = 8  # void games in a row after which something is wrong that more games would not mend


@dataclass(frozen=True)
class Settings:
    """Everything that games depend on."""

    players: tuple[str, ...]
    games: int  # games per pair of players
    size: int
    komi: float
    openings: str  # name of the opening set
    seed: int
    move_seconds: float  # time limit of one move, in s; a longer silence voids the game


@dataclass(frozen=True)
class Task:
    """One game to be played."""

    number: int  # number of the game, from 1
    black: int  # index of the player with Black
    white: int
    opening: int  # number of the opening within its set
    seed: int  # seed for the programs, another one for every game


def plan(settings: Settings) -> list[Task]:
    """All games. Two of them share an opening with colours exchanged; pairs of players take turns."""
    tasks = []
    for game in range(settings.games):
        for i, j in combinations(range(len(settings.players)), 2):
            black, white = (i, j) if game % 2 == 0 else (j, i)
            number = len(tasks) + 1
            tasks.append(Task(number, black, white, game // 2, (settings.seed * 1_000_003 + number) % 2**31))
    return tasks


class Folder:
    """Where a tournament is kept; whatever was finished before a kill is still there after it."""

    def __init__(self, path: Path, settings: Settings):
        self.path, self._file = path, path / "games.jsonl"
        (path / "games").mkdir(parents=True, exist_ok=True)
        told, wanted = path / "tournament.json", json.loads(json.dumps(asdict(settings)))
        if told.exists():
            try:
                there = files.read_json(told)
            except (OSError, ValueError):
                there = None
            if not isinstance(there, dict):
                raise UserError(f"{told} cannot be read; give another --out")
            if {**there, "games": 0} != {**wanted, "games": 0}:
                different = [name for name in wanted if there.get(name) != wanted[name]]
                raise UserError(f"{path} holds a tournament with another {', '.join(different)}; give another --out")
        files.write_json(told, wanted)
        self.rows: dict[int, dict] = {}
        whole = 0
        data = self._file.read_bytes() if self._file.exists() else b""
        for line in data.splitlines(keepends=True):
            try:
                row = files.parse(line) if line.endswith(b"\n") else None
            except ValueError:
                row = None
            if not isinstance(row, dict) or not isinstance(row.get("number"), int):
                break  # the kill came in the middle of this line
            self.rows[row["number"]] = row
            whole += len(line)
        if whole < len(data):
            with self._file.open("r+b") as file:
                file.truncate(whole)

    def add(self, task: Task, played: Played, settings: Settings) -> dict:
        """Stores a game for good."""
        names = [settings.players[i] for i in (task.black, task.white)]
        write_sgf(self.path / "games" / f"{task.number:04}.sgf", played, *names, settings.size, settings.komi)
        line = ",".join(str(action) for _, action in played.moves)
        row = asdict(task) | played.row() | {"points": played.points}
        row["digest"] = hashlib.sha256(line.encode()).hexdigest()[:16]
        with self._file.open("ab") as file:
            file.write((json.dumps(row) + "\n").encode())
            file.flush()
            os.fsync(file.fileno())
        self.rows[task.number] = row
        return row


class Worker:
    """Plays one game after the other with programs of its own, which stay alive in between."""

    def __init__(self, settings: Settings):
        self._settings, self._programs = settings, {}

    def play(self, task: Task) -> Played:
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
        except (Failed, Refused) as fault:  # it did not even start
            played = Played(result="Void", void=str(fault))
        if played.void:
            self.close()
        return played

    def close(self) -> None:
        for program in self._programs.values():
            program.close(kill=True)
        self._programs.clear()


def run(settings: Settings, folder: Folder, parallel: int, report: Callable[[Task, dict], None]) -> None:
    """Plays what is missing. `report` is called after every game, by one thread at a time. Raises UserError when
    game after game is void."""
    tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
    for task in plan(settings):
        if task.number not in folder.rows:
            tasks.put(task)
    lock, enough, voids, faults = threading.Lock(), threading.Event(), [0], []

    def work() -> None:
        worker = Worker(settings)
        try:
            while not enough.is_set():
                task = tasks.get_nowait()
                played = worker.play(task)
                with lock:
                    if enough.is_set():
                        return
                    report(task, folder.add(task, played, settings))
                    voids[0] = voids[0] + 1 if played.void else 0
                    if voids[0] >= VOIDS_IN_A_ROW:
                        raise UserError(f"{voids[0]} games in a row are void, the last one since {played.void}")
        except queue.Empty:
            pass
        except BaseException as fault:  # handed over to the main thread
            faults.append(fault)
            enough.set()
        finally:
            worker.close()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(parallel)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)
    finally:
        enough.set()
    if faults:
        raise faults[0]
