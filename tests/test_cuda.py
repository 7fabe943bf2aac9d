"""What must hold on a CUDA device beside the processor's: the same windows, the same losses, and agents that learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import worlds
from batches import assert_same_way, drawn, learned

import envs
from agents.core import training
from agents.core.evaluate import Policy, play
from agents.core.stream import Stream
from experiments import building, lab

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

COMMON = dict(hidden=64, precision="fp32", reward_clip=0.0, gamma=0.9)
DQN = dict(**COMMON, lr=2e-3, batch=32, ratio=8.0, replay=4_000, warmup=200, target_period=50, epsilon_end=0.05,
           epsilon_decay=0.5)  # fmt: skip
AGENTS = {
    "ppo": dict(**COMMON, lr=3e-3, rollout=16, minibatch=64, clip=0.2),
    "pqn": dict(**COMMON, lr=3e-3, rollout=16, minibatch=32, epsilon_decay=0.5, epsilon_end=0.05),
    "dqn": DQN,
    "rainbow": {**DQN, "epsilon_decay": 1.0, "epsilon_end": 0.0, "v_min": 0.0, "v_max": 12.0},
}


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(envs.GAMES, "worlds", "worlds")


def assembled(agent: str, device: str, steps: int = 6_000, **changed: object) -> lab.Lab:
    config = {**building.module(agent).PRESETS[agent], **AGENTS[agent], **changed}
    whole = {"game": "worlds", "agent": agent, "seed": 3, "steps": steps, "num_envs": 8, "agent_config": config}
    return lab.assemble({**whole, "env": {"world": "picture"}}, torch.device(device))


@pytest.mark.parametrize("agent", AGENTS)
def test_it_learns_there(agent: str) -> None:
    parts = assembled(agent, "cuda")
    assert training.train(parts.loop)
    stream = Stream(worlds.make_vec(8, world="picture"), "cuda")
    played = play(Policy(parts.agent, parts.agent.evaluation, stream.spec, 5), stream, 40, 5)
    assert np.mean([e.score for e in played]) > 7  # of 8; by chance 2


@pytest.mark.parametrize("agent", AGENTS)
def test_the_same_ring_gives_the_same_windows_and_the_same_losses(agent: str) -> None:
    """Rows that were collected on the processor, learned from on both."""
    plain = dict(noisy=False) if agent == "rainbow" else {}  # noise is drawn on each device by its own generator
    here, there = assembled(agent, "cpu", **plain), assembled(agent, "cuda", **plain)
    here.stream.reset(3, 0)
    while here.replay.count.min() < 40:
        step = here.stream.step
        act = here.agent.act(step)
        here.replay.add(step, act)
        moved = type(step)(*(x.cuda() if isinstance(x, torch.Tensor) else x for x in step))
        there.replay.add(
            moved, act._replace(action=act.action.cuda(), extras={k: v.cuda() for k, v in act.extras.items()})
        )
        here.stream.send(act)
        here.stream.receive()
    index = torch.arange(8) + 8 * (40 - here.replay.window - 2)
    one, other = here.replay.windows(index), there.replay.windows(index.cuda())
    for name in ("obs", "action", "reward", "discount", "first", "last", "weight"):
        assert torch.equal(getattr(one, name), getattr(other, name).cpu()), name
    there.agent.load_weights(here.agent.state_dict())
    losses = [next(iter(parts.agent.learn(batch))).metrics for parts, batch in ((here, one), (there, other))]
    for name in ("loss", "grad_norm"):
        torch.testing.assert_close(losses[0][name], losses[1][name].cpu(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("agent", AGENTS)
def test_recorded_steps_learn_what_plain_ones_do(agent: str) -> None:
    """The same random numbers too: noise and exploration come from generators that the recordings know."""
    losses = []
    for graphs in (True, False):
        parts = assembled(agent, "cuda", steps=1_600, graphs=graphs)
        told: list[float] = []

        def keep(moment: object, told: list[float] = told) -> None:
            told += [float(x.metrics["loss"]) for x in moment.learned]

        assert training.train(parts.loop, hooks=[keep])
        assert bool(parts.agent._learned._recordings) == bool(parts.agent._chosen._recordings) == graphs
        losses.append(torch.tensor(told))
    first = slice(0, 40)  # later the smallest difference has chosen another action, and the games are others
    torch.testing.assert_close(losses[0][first], losses[1][first], rtol=1e-3, atol=1e-4)
    assert len(losses[0]) == len(losses[1])


@pytest.mark.parametrize("agent", AGENTS)
def test_recorded_steps_move_the_weights_as_plain_ones_do(agent: str) -> None:
    """From the same batches, so that no other action makes other games of a difference in the last bit."""
    batches = drawn(assembled(agent, "cuda", graphs=False), updates=20)
    losses, ways = [], []
    for graphs in (True, False):
        parts = assembled(agent, "cuda", graphs=graphs)
        told, way = learned(parts, batches)
        assert bool(parts.agent._learned._recordings) == graphs and len(told) >= 20
        losses.append(told)
        ways.append(way)
    torch.testing.assert_close(*losses, rtol=1e-3, atol=1e-4)
    assert_same_way(*ways, tolerance=0.02)
