"""Self-play of 9x9 Go in lock-step, 16 visits a move: moves and games per second of the clock, and of processor time.

    python -m experiments.bench selfplay --seconds 10

All processors work: the games are searched in parts, one on each thread (`agents.search.lockstep`), each with one call
of the network per step for all its games. "one batch" is the same with one part, whose network has every thread. The
networks are untrained; a game counts as 100 moves, about what trained ones need to the end.
"""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

import envs
from agents.search.gumbel import Gumbel
from agents.search.lockstep import Lockstep

SIZE, VISITS, GAMES, MOVES = 9, 16, 128, 100
NETWORKS = {"6 blocks of 64": (6, 64), "4 blocks of 32": (4, 32)}
OPENING = 60  # most random moves before a game is searched, so that all stages of a game take part


class Table:
    """Games that go on: `play(seconds)` makes moves everywhere and returns how many a second."""

    def __init__(self, blocks: int, channels: int, parts: int, threads: int):
        import torch

        from agents.core.device import compute_dtype
        from agents.perception.tower import Answers, Tower, TowerConfig

        torch.manual_seed(0)
        self.games = envs.make_vec("go", GAMES, size=SIZE, settle=True)
        rules = self.games.rules
        tower = Tower(rules.planes[0], TowerConfig(blocks, channels))
        answers = Answers(tower, compute_dtype(torch.device("cpu"), "auto"))
        self.threads, self.alone = threads, torch.set_num_threads
        pool = ThreadPoolExecutor(parts, initializer=torch.set_num_threads, initargs=(1,)) if parts > 1 else None
        self.search = Lockstep(rules, answers, Gumbel(prove=True), games=GAMES, visits=VISITS, parts=parts, pool=pool)
        _, info = self.games.reset(seed=0)
        rng = np.random.default_rng(0)
        for move in range(OPENING):
            going = np.arange(GAMES) * OPENING < (OPENING - move) * GAMES
            legal = info["legal"].copy()
            legal[going, -1] &= legal[going, :-1].sum(1) == 0
            drawn = np.array([rng.choice(np.flatnonzero(row)) for row in legal])
            *_, info = self.games.step(drawn)
        self.states = info["state"]

    def play(self, seconds: float) -> tuple[float, float]:
        """Moves per second of the clock, and per second of processor time."""
        self.alone(self.threads)
        moves, started, used = 0, time.perf_counter(), time.process_time()
        while (spent := time.perf_counter() - started) < seconds:
            action = self.search.run(self.states, VISITS).action
            *_, info = self.games.step(np.maximum(action, 0))
            self.states = info["state"]
            moves += int((action >= 0).sum())
        return moves / spent, moves / (time.process_time() - used)


def run(device: Any, seconds: float, rounds: int, race: bool) -> dict[str, Any]:
    """What `python -m experiments.bench selfplay` prints."""
    from agents.core import device as devices

    cores, result = devices.cores(), {}
    tables = {f"{name}, {cores} parts": Table(*size, parts=cores, threads=1) for name, size in NETWORKS.items()}
    tables |= {f"{name}, one batch": Table(*size, parts=1, threads=cores) for name, size in NETWORKS.items()}
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in tables}
    for _ in range(rounds):
        for name, table in tables.items():
            rates[name].append(table.play(seconds))
    for name, values in rates.items():
        clock, processor = (float(statistics.median(column)) for column in zip(*values, strict=True))
        result[f"{name}, moves/s"] = clock
        result[f"{name}, games/s"] = clock / MOVES
        result[f"{name}, games per second of processor time"] = processor / MOVES
    return result
