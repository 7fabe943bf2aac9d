"""One Atari game: the emulators alone, our loop, our PPO and DQN, and other libraries with the same settings.

Network, batch, epochs and replay ratio are those of SB3's Atari zoo for all; the number of environments is free.
The others run with the thread count and VecEnv that measured best in a first round. Every contender has a process of
its own, which rests while the others run: threads and memory are as they are for its users. Beside each stands its
share of what torch's own products allow (`contenders/limits.py`).
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch

import envs
from experiments import cli
from experiments.benchmarks.contenders import limits, peers
from experiments.benchmarks.contenders.apart import Apart, compared, untouched
from experiments.benchmarks.contenders.ours import GAME, emulators, loop, our_race

KINDS = ("ppo", "dqn")
PATIENCE = 4.2  # the others are stopped once they have taken so many times as long in the race; the bar is 4


def run(device: torch.device, seconds: float, rounds: int, race: bool, game: str = GAME) -> dict[str, Any]:
    """Figures by name. Raises UserError for a game that is none of Atari's, or a race in another than GAME."""
    if game not in envs.atari_games():
        raise cli.UserError(f"--game {game}: must be an Atari game; python -m experiments.list games names them")
    if race and game != GAME:
        raise cli.UserError(f"--race: the score to reach is one of {GAME}; leave out --game")
    found = {(library, kind): peers.fastest(library, kind, device, seconds, game)
             for library in peers.libraries() for kind in KINDS}  # fmt: skip
    meters = {"emulators alone": Apart(emulators, 64, game)}
    meters["loop with random agent"] = Apart(loop, "random", device, None, game)
    pairs = [("loop with random agent", "emulators alone")]
    for kind in KINDS:
        meters |= {kind: Apart(loop, kind, device, None, game), f"sb3-{kind}": found["sb3", kind].meter}
        pairs.append((kind, f"sb3-{kind}"))
    others = {f"{library}-{kind}": peer.meter for (library, kind), peer in found.items() if library != "sb3"}
    works = {work.name: work for kind in KINDS for work in limits.WORKS[kind]}
    bare = {name: limits.fastest(work, device, seconds) for name, work in works.items()}
    rows = compared(meters | others | bare, pairs, seconds, rounds)
    rows = with_shares(rows, [*meters, *others])
    if race:
        for library in peers.libraries():
            peer = found[library, "ppo"]
            rows |= race_to(30.0, library, device, threads=peer.threads, processes=peer.processes)
    return rows


def with_shares(rows: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """The rows with the limit of each kind of agent, and each contender's share of it. names: of the contenders."""
    bare = {name: f"{name}, steps/s" for works in limits.WORKS.values() for name in (work.name for work in works)}
    rates = {name: rows.pop(row) for name, row in bare.items()}
    rows = {name: value for name, value in rows.items() if not name.startswith("bare network")}  # their memory
    rows |= {f"{name}, samples/s": rate for name, rate in rates.items()}
    for kind, works in limits.WORKS.items():
        most = limits.limit(works, rates, rows["emulators alone, steps/s"])
        rows[f"limit of {kind}, steps/s"] = most
        for name in names:
            if name.rpartition("-")[2] == kind:
                rows[f"{name}, share of the limit"] = rows[f"{name}, steps/s"] / most
    return rows


def _alone(race: Callable[..., Any], *args: Any) -> Any:
    """What a race comes to in a process of its own, which begins with the environment variables of this moment."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as runner:
        return runner.submit(race, *args).result()


def race_to(score: float, library: str, device: torch.device, threads: int, processes: bool) -> dict[str, Any]:
    """Seconds until the mean of the newest 100 training games reaches `score`: our recipe, then the library's PPO.

    The other has the zoo's schedule over 10 M steps and is stopped once it has taken PATIENCE times as long.
    """
    ours, steps = _alone(our_race, score, device)
    print(f"our recipe: {score:g} after {ours:.0f} s, {steps:,} steps", file=sys.stderr)
    with untouched(), peers.jax_threads(threads):
        taken, steps, mean = _alone(peers.race, library, score, device, threads, processes, PATIENCE * ours)
    bound = "" if mean >= score else "more than "
    return {
        f"our recipe to a score of {score:g} beside {library}, s": ours,
        f"{library}-ppo to a score of {score:g}, s": f"{bound}{taken:,.0f} ({steps:,} steps, mean {mean:.1f})",
        f"wall clock beside {library}": f"{bound and 'at most '}{ours / taken:.2f} of {library}",
    }
