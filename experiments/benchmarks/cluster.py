"""Actors on a Ray cluster of this machine beside the loop of one process: all figures of docs/scaling.md in one run.

    python -m experiments.bench cluster --game breakout --seconds 20 --markdown

"collecting" acts and plays without learning on one processor: in this process, and in an actor of Ray's whose rows come
into a ring here. "learning" is the game's recipe with every processor: the loop of one process, and clusters of 1, 2, 4
... actors up to the number of processors, which share them with the learner; the last of them also in order. With the
extra `oracle` installed RLlib's PPO on CartPole takes turns with ours on as many processors and with the same
hyperparameters. Then come synthetic actors (`bench saturation`), and a node that is killed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import envs
from agents.core import device as devices
from agents.core.clock import Clock
from agents.core.collector import Order
from agents.core.stream import spec_of
from agents.core.transport import Message, packed
from experiments import building, lab
from experiments.benchmarks import saturation
from experiments.benchmarks.contenders.apart import Apart, Meter, compared
from experiments.benchmarks.contenders.killed import killed
from experiments.benchmarks.contenders.ours import GAME
from experiments.benchmarks.contenders.rllib import PPO as SHARED
from experiments.benchmarks.contenders.rllib import rllib
from experiments.recipes import recipes

RLLIB = ("ray.rllib", "tree", "lz4", "ormsgpack", "pyarrow", "pydantic")  # packages; Ray alone brings none
CARTPOLE = "gym:CartPole-v1"


def configuration(game: str, actors: int, shared: bool = False) -> dict[str, Any]:
    """Of a run with so many actors; shared: the hyperparameters that RLlib has, too."""
    name = envs.canonical(game)
    recipe = recipes(name, envs.find(name)[0]).get("default")
    agent = "ppo" if recipe is None or shared else recipe.agent
    code = building.module(agent)
    chosen = {**code.PRESETS.get(agent, {}), **(SHARED.ours() if shared else dict(recipe.config) if recipe else {})}
    return {
        "game": name, "agent": agent, "seed": 0, "steps": None, "num_envs": SHARED.envs if shared else
        (recipe.num_envs if recipe else 8), "agent_config": dataclasses.asdict(code.Config(**chosen)),
        "env": envs.defaults(name) | (dict(recipe.env) if recipe and not shared else {}),
        "cluster": "local", "actors": actors, "in_order": False,
    }  # fmt: skip


def meter_of(loop: Any, clock: Any) -> Meter:
    """Steps of a loop that is being trained."""

    def measure(seconds: float) -> tuple[int, float]:
        start, began = clock.steps, time.perf_counter()
        while time.perf_counter() - began < seconds:
            loop.advance()
            loop.stream.take_episodes()
            loop.learner.take_learned()
        return clock.steps - start, time.perf_counter() - began

    return measure


def learning(game: str, actors: int, shared: bool = False, in_order: bool = False) -> Meter:
    """Training, in one process (actors 0) or on a cluster of this machine."""
    config = {**configuration(game, max(actors, 1), shared), "in_order": in_order}
    if actors:
        from experiments.cluster import assembling

        with contextlib.redirect_stdout(None):
            parts = assembling.assemble(config, torch.device("cpu"))
        torch.set_num_threads(1)
    else:
        parts = lab.assemble({k: v for k, v in config.items() if k != "cluster"}, torch.device("cpu"))
        parts.stream.reset(0, 0)
    while not parts.clock.updates:
        parts.loop.advance()
    return meter_of(parts.loop, parts.clock)


def collecting(game: str, elsewhere: bool) -> Meter:
    """One actor that plays rollout after rollout, with the weights of the beginning; rows end in a ring."""
    torch.set_num_threads(1)
    config = configuration(game, 1)
    games = building.games({**config, "num_envs": 1}, building.prepare(config, torch.device("cpu")))
    torch.set_num_threads(1)
    spec, cpu = spec_of(games), torch.device("cpu")
    agent = building.build_agent(config, spec, Clock(), cpu)
    ring = building.ring(agent.needs.capacity, config["num_envs"], spec, agent.needs, cpu, 0, "")
    weights = packed({"network": agent.state_dict()["network"]}, version=1)
    columns = np.arange(config["num_envs"])
    boundary, rows = agent.needs.pace.rewrites_boundary, agent.needs.window - 1 or 32
    order = Order(rows, boundary, (), 0, 0, None)
    if elsewhere:
        from experiments.cluster import engine
        from experiments.cluster.transport import RayTransport

        engine.connect("local")
        transport = RayTransport(config, [columns], print)
        transport.ready()
        transport.publish(weights)

        def ask(words: bytes) -> Any:
            transport.order(0, words)

        def answer() -> Message:
            while (arrival := transport.receive(1.0)) is None:
                pass
            return arrival.message
    else:
        from experiments.cluster.worker import GameActor

        work = GameActor(config, 0, (0, len(columns)))
        work.open()
        waiting: list[bytes] = []
        ask = waiting.append

        def answer() -> Message:
            return work.work(waiting.pop(0), weights)

    ask(order._replace(begin=(0, 0)).words())
    answer()

    def measure(seconds: float) -> tuple[int, float]:
        done, began = 0, time.perf_counter()
        ask(order.words())
        while time.perf_counter() - began < seconds:
            message = answer()
            ask(order.words())
            ring.extend({k: v for k, v in message.arrays.items() if not k.startswith("done.")}, columns)
            done += json.loads(message.words)["sent"] * len(columns)
        message = answer()
        done += json.loads(message.words)["sent"] * len(columns)
        return done, time.perf_counter() - began

    return measure


def processor_time(game: str, seconds: float) -> dict[str, float]:
    """Processor microseconds per row: collecting in one process, and in an actor with what its learner's side takes.

    It is what a busy machine can measure: a wall clock also counts what others do there.
    """
    here = collecting(game, False)
    here(seconds / 4)
    before = time.process_time()
    rows, _ = here(seconds)
    alone = (time.process_time() - before) / rows
    away = collecting(game, True)
    away(seconds / 4)
    actors = [pid for pid in descendants() if "GameActor" in _command(pid)]
    used, before = sum(map(_ticks, actors)), time.process_time()
    rows, _ = away(seconds)
    learner = (time.process_time() - before) / rows
    actor = (sum(map(_ticks, actors)) - used) / os.sysconf("SC_CLK_TCK") / rows
    from experiments.cluster import engine

    engine.close()
    return {
        "collecting, this process, processor us per row": 1e6 * alone,
        "collecting, an actor of Ray's, processor us per row": 1e6 * actor,
        "collecting, its learner's side, processor us per row": 1e6 * learner,
        "rows per processor second of an actor, of one process's": alone / actor,
    }  # fmt: skip


def descendants() -> list[int]:
    """All processes that this one has started, and those that they have."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
    found, every = [os.getpid()], []
    while found:
        found = [pid for pid, parent in parents.items() if parent in found]
        every += found
    return every


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return ""


def _ticks(pid: int) -> int:
    user, system = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return int(user) + int(system)


def run(device: torch.device, seconds: float, rounds: int, race: bool, game: str = GAME) -> dict[str, Any]:
    """Figures by name. Each part's are told on standard error as soon as they are there."""
    parts: list[Callable[[], dict[str, Any]]] = [
        lambda: of_collecting(game, seconds, rounds),
        lambda: processor_time(game, seconds),
        lambda: of_learning(game, seconds, rounds),
        lambda: {f"bytes per row, {name}": bytes_per_row(name) for name in (game, CARTPOLE)},
        lambda: beside_rllib(seconds, rounds),
        lambda: saturation.run(device, seconds, rounds, race),
        lambda: {"a node is killed, s until its actor plays again": of_death(seconds)},
    ]
    rows: dict[str, Any] = {}
    for number, part in enumerate(parts):
        try:
            found = part()
        except RuntimeError as fault:  # figures of the other parts are told nevertheless
            found = {f"part {number + 1} of {len(parts)}": f"not measured: {fault}"}
        for name, value in found.items():
            print(f"{name}: {value}", file=sys.stderr)
        rows |= found
    return rows


def of_collecting(game: str, seconds: float, rounds: int) -> dict[str, Any]:
    """Acting and playing alone: this process, and an actor of Ray's beside it."""
    here, away = "collecting, this process", "collecting, an actor of Ray's"
    apart = {here: Apart(collecting, game, False), away: Apart(collecting, game, True)}
    return compared(apart, [(away, here)], seconds, rounds)


def of_learning(game: str, seconds: float, rounds: int) -> dict[str, Any]:
    """Training with 1, 2, 4 ... actors, each number beside the loop of one process, and what order costs."""
    cores, rows = devices.cores(), {}
    for actors in sorted({cores, *(2**k for k in range(cores.bit_length()))}):
        count = f"{actors} actor{'s' if actors > 1 else ''}"
        name, whole = f"learning, {count} and a learner on {cores} processors", f"learning, one process beside {count}"
        apart = {name: Apart(learning, game, actors), whole: Apart(learning, game, 0)}
        rows |= compared(apart, [(name, whole)], seconds, rounds)
    ordered = f"{name}, in order"
    apart = {ordered: Apart(learning, game, cores, False, True), name: Apart(learning, game, cores)}
    found = compared(apart, [(ordered, name)], seconds, rounds)
    return rows | {k: v for k, v in found.items() if k.startswith(ordered)}


def beside_rllib(seconds: float, rounds: int) -> dict[str, Any]:
    """Ours and RLlib's PPO, where that is installed."""
    if not all(importlib.util.find_spec(name) for name in RLLIB):
        return {"RLlib": "not installed: pip install -e '.[oracle]'"}
    cores = devices.cores()
    ours, theirs = f"PPO on CartPole, {cores} actors", f"RLlib's PPO on CartPole, {cores} env runners"
    shared = {ours: Apart(learning, CARTPOLE, cores, True)}
    shared[theirs] = Apart(rllib, CARTPOLE.removeprefix("gym:"), cores)
    return compared(shared, [(ours, theirs)], seconds, rounds)


def of_death(seconds: float) -> float:
    """Seconds that a killed node costs, after a training of `seconds`."""
    meter = Apart(killed, configuration(CARTPOLE, 2, True))
    _, taken = meter(seconds)
    meter.close()
    return taken


def bytes_per_row(game: str) -> float:
    """On the wire, of a rollout or block of the game's recipe."""
    from experiments.cluster.worker import GameActor

    config = configuration(game, 1)
    work = GameActor(config, 0, (0, config["num_envs"]))
    work.open()
    agent = work.work.make(0, work.work.clock)
    order = Order(agent.needs.window, agent.needs.pace.rewrites_boundary, (0, 0), 0, 0, None)
    weights = packed({"network": agent.state_dict()["network"]}, version=1)
    return work.work(order.words(), weights).nbytes / (order.rows * config["num_envs"])
