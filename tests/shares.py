"""What each process of `tests/test_parallel.py` does: it learns its share of rows that are the same in every run.

    python tests/shares.py FOLDER       in an environment as torchrun makes it; without one a single process learns all
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from safetensors.torch import save_file

import envs
from agents.core import parallel, training
from agents.core.clock import Clock
from agents.core.replay import ReplayBuffer
from agents.core.rows import Act, Batch, Context, Spec, TimeStep
from agents.core.samplers import Recent, Uniform
from agents.core.transport import InProcess, Message
from experiments import building
from experiments.cluster import assembling
from experiments.cluster.worker import GameActor

CPU = torch.device("cpu")
COLUMNS, ROLLOUT, SIZE = 6, 8, 5
SPEC = Spec((SIZE,), "float32", 1, num_actions=3)
ROLLOUTS: dict[str, dict[str, Any]] = {
    "ppo": dict(minibatch=16, epochs=3, lr=1e-3), "a2c": {}, "impala": {}, "reinforce": {},
    "pqn": dict(minibatch=16, epochs=2, lr=1e-3), "recurrent": dict(minibatch=16, epochs=2, lr=1e-3, recurrent=8),
}  # fmt: skip


def agent_of(name: str, columns: int, **changed: Any) -> Any:
    kind = {"recurrent": "ppo"}.get(name, name)
    code = building.module(kind)
    usual = dataclasses.asdict(code.Config(**code.PRESETS[kind]))
    small = dict(rollout=ROLLOUT, hidden=16, precision="fp32", encoder="auto", reward_clip=0.0, graphs=False)
    chosen = {k: v for k, v in {**usual, **small, **changed}.items() if k in usual}
    return code.build(code.Config(**chosen), SPEC, Context(Clock(1000), CPU, 4, columns))


def rollout(seed: int, memory: int = 0) -> Batch:
    """Of all columns, with episodes that end by the rules and by the clock."""
    draws = torch.Generator().manual_seed(seed)
    ring = ReplayBuffer(ROLLOUT + 3, COLUMNS, SPEC, Recent(), window=ROLLOUT + 1)
    last = torch.zeros(COLUMNS, dtype=torch.bool)
    for _ in range(ROLLOUT + 1):
        first, last = last, torch.rand(COLUMNS, generator=draws) < 0.2
        ended = last & (torch.rand(COLUMNS, generator=draws) < 0.5)
        obs = torch.randn((COLUMNS, 1, SIZE), generator=draws)
        step = TimeStep(obs, torch.randn(COLUMNS, generator=draws), 1.0 - ended.float(), first, last)
        extras = {"logp": -torch.rand(COLUMNS, generator=draws), "value": torch.randn(COLUMNS, generator=draws)}
        if memory:
            extras["memory"] = torch.randn((COLUMNS, 2, memory), generator=draws)
        ring.add(step, Act(torch.randint(3, (COLUMNS,), generator=draws), extras))
    return ring.sample(COLUMNS)


def part(batch: Batch, rows: slice) -> Batch:
    extras = {name: value[rows] for name, value in batch.extras.items()}
    own = {k: v[rows] for k, v in batch._asdict().items() if isinstance(v, torch.Tensor)}
    return batch._replace(**own, extras=extras)


def of_rollouts(name: str) -> dict[str, torch.Tensor]:
    agent = agent_of(name, COLUMNS // parallel.size(), **ROLLOUTS[name])
    figures = []
    for seed in range(3):
        batch = part(rollout(seed, ROLLOUTS[name].get("recurrent", 0)), parallel.share(COLUMNS))
        figures += [torch.stack([v.float() for v in learned.metrics.values()]) for learned in agent.learn(batch)]
    return {**agent.network.state_dict(), "figures": torch.stack(figures)}


def of_clone() -> dict[str, torch.Tensor]:
    agent = agent_of("clone", 1, batch=10, lr=1e-3)
    agent.take_dataset(40, False)
    draws = torch.Generator().manual_seed(2)
    ring = ReplayBuffer(42, 1, SPEC, Uniform(), window=1, seed=1)
    for _ in range(40):
        obs, label = torch.randn((1, 1, SIZE), generator=draws), torch.randint(3, (1,), generator=draws)
        flags = torch.zeros(1, dtype=torch.bool)
        ring.add(TimeStep(obs, torch.zeros(1), torch.ones(1), flags, flags), Act(label, {"expert": label}))
    figures = []
    for _ in range(30):
        figures += [torch.stack([v.float() for v in x.metrics.values()]) for x in agent.learn(ring.sample(10))]
    with parallel.alone():
        examined = agent.examine(ring.windows(torch.arange(40)))["imitation"]
    return {**agent.network.state_dict(), "figures": torch.stack(figures), "examined": examined}


def of_cluster(agent: str, in_order: bool = True, **changed: Any) -> dict[str, torch.Tensor]:
    """Some rollouts of four actors elsewhere, of which each process has its share, and a barrier among them."""
    code = building.module(agent)
    usual = dataclasses.asdict(code.Config(**code.PRESETS[agent]))
    small = dict(hidden=16, precision="fp32", encoder="auto", rollout=ROLLOUT, minibatch=16, epochs=2, lr=1e-3,
                 reward_clip=0.0)  # fmt: skip
    settings = {k: v for k, v in {**usual, **small, **changed}.items() if k in usual}
    config = {"game": "worlds", "agent": agent, "seed": 3, "steps": 512, "num_envs": 8, "env": {"world": "picture"},
              "agent_config": settings, "cluster": "here", "actors": 4, "in_order": in_order}  # fmt: skip

    def connect(config: dict[str, Any], needs: Any, ring: ReplayBuffer) -> InProcess:
        count, columns = 4 // parallel.size(), ring.num_envs * parallel.size() // 4
        first = parallel.rank() * count
        places = [((first + actor) * columns, columns) for actor in range(count)]
        chosen = None if in_order else (lambda actors: actors[(len(actors) + parallel.rank()) % len(actors)])

        def made(actor: int) -> Any:
            collector = GameActor(config, first + actor, places[actor])._collector()

            def work(words: bytes, weights: Message) -> Message:
                with parallel.alone():  # an actor is a process of its own
                    return collector(words, weights)

            return work

        return InProcess(made, chosen)

    with mock.patch.dict(envs.GAMES, {"worlds": envs.GameEntry("worlds")}):
        parts = assembling.assemble(config, CPU, connect)
        assert training.train(parts.loop, barrier=200)
    told = parts.loop.figures.take()
    assert told["cluster/actors_alive"] == 4 and told["cluster/bytes_per_row"] < 200
    counted = torch.tensor([parts.clock.steps, parts.clock.updates], dtype=torch.float32)
    return {**parts.agent.network.state_dict(), "counted": counted}


def main(folder: Path) -> None:
    parallel.begin(CPU)
    found = {name: of_rollouts(name) for name in ROLLOUTS} | {"clone": of_clone()}
    found |= {"ppo on a cluster": of_cluster("ppo"), "impala on a cluster": of_cluster("impala", minibatch=0, epochs=1)}
    found["any order"] = of_cluster("ppo", in_order=False)
    told = parallel.told("what the first says" if not parallel.rank() else "", CPU)
    assert told == "what the first says" and np.isclose(float(parallel.whole(torch.ones(1))), parallel.size())
    rows = {f"{name}/{k}": v.contiguous() for name, state in found.items() for k, v in state.items()}
    save_file(rows, folder / f"{parallel.rank()}-of-{parallel.size()}.safetensors")
    parallel.end()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
