"""PPO and PQN with a memory: what cannot be seen any more is still known; windows, resets and resumes are exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import worlds

import envs
from agents.core import checkpoint, training
from agents.core.evaluate import Policy, play
from agents.core.stream import Stream
from agents.recurrent import Memory
from experiments import building, lab

CPU = torch.device("cpu")
COMMON = dict(hidden=32, precision="fp32", reward_clip=0.0, gamma=0.99, lr=3e-3, lr_end=0.1, rollout=16, minibatch=64)
AGENTS = {
    "ppo": dict(**COMMON, clip=0.2, entropy_coef=0.01),
    "pqn": dict(**COMMON, lam=0.9, epsilon_decay=0.5, epsilon_end=0.02),
}


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(envs.GAMES, "worlds", "worlds")


def assembled(agent: str, steps: int, recurrent: int, **env: Any) -> lab.Lab:
    config = {**building.module(agent).PRESETS[agent], **AGENTS[agent], "recurrent": recurrent}
    whole = {"game": "worlds", "agent": agent, "seed": 3, "steps": steps, "num_envs": 8, "agent_config": config}
    return lab.assemble({**whole, "env": {"world": "recall", **env}}, CPU)


@pytest.mark.parametrize("agent", ["ppo", pytest.param("pqn", marks=pytest.mark.slow)])
@pytest.mark.parametrize("recurrent", [32, pytest.param(0, marks=pytest.mark.slow)])
def test_a_lamp_is_remembered_and_only_with_a_memory(agent: str, recurrent: int) -> None:
    parts = assembled(agent, {"ppo": 8_000, "pqn": 16_000}[agent], recurrent)
    assert training.train(parts.loop)
    stream = Stream(worlds.make_vec(8, world="recall"))
    played = play(Policy(parts.agent, "greedy", stream.spec, 5), stream, 80, 5)
    score = float(np.mean([e.score for e in played]))
    if recurrent:
        assert score > 0.95
    else:
        assert score < 0.75  # one lamp in two is guessed


def test_a_window_equals_the_rows_one_by_one_and_first_forgets() -> None:
    memory = Memory(5, 7)
    x, state = torch.randn(3, 9, 5), torch.randn(3, 2, 7)
    first = torch.zeros(3, 9, dtype=torch.bool)
    first[0, 0] = first[1, 4] = first[2, 8] = True
    whole, after = memory(x, state, first)
    for b in range(3):
        out, cell = state[b : b + 1].unbind(1)
        for t in range(9):
            if first[b, t]:
                out, cell = torch.zeros(1, 7), torch.zeros(1, 7)
            out, cell = memory.cell(x[b : b + 1, t], (out, cell))
            torch.testing.assert_close(whole[b, t], out[0])
        torch.testing.assert_close(after[b], torch.stack([out[0], cell[0]]))
    torch.testing.assert_close(memory(x[:1], None, first[:1])[0], whole[:1])  # it begins with `first`: nothing before


@pytest.mark.parametrize("agent", AGENTS)
def test_what_is_learned_from_is_what_was_seen_when_acting(agent: str) -> None:
    """With the weights unchanged, the windows of the ring give the values that were stored with their rows."""
    parts = assembled(agent, 10_000, 16)
    parts.stream.reset(3, 0)
    while parts.replay.added < 8 * 30:  # before the second rollout, all by the first weights; episodes of five rows
        parts.loop.advance()
    ring, net = parts.replay, parts.agent.actor.network
    batch = ring.windows(torch.arange(8) + 9 * 8)  # window of 17 rows from time 9
    with torch.no_grad():
        features = net.encoder(batch.obs.flatten(0, 1)).unflatten(0, batch.first.shape)
        known = net.memory(features, batch.memory, batch.first)[0]
    value = net.value(known) if agent == "ppo" else net.q(known).amax(-1)
    assert batch.first[:, 1:].any() and batch.memory.abs().sum() > 0
    torch.testing.assert_close(value, batch.extras["value"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("agent", AGENTS)
def test_resumed_in_the_middle_of_a_rollout_it_goes_on_to_the_bit(agent: str, tmp_path) -> None:
    def run(lab_: lab.Lab, steps: int) -> None:
        while lab_.clock.steps < steps:
            lab_.loop.advance()
        lab_.loop.barrier()

    one, other = assembled(agent, 4_000, 16), assembled(agent, 4_000, 16)
    one.stream.reset(3, 0)
    run(one, 600)
    checkpoint.save(tmp_path, one.clock.steps, one.state(), {})
    other.restore(checkpoint.load(tmp_path)[0])
    for each in (one, other):
        run(each, 1_200)
    assert one.clock.updates > 10 and torch.equal(one.loop.actor.memory, other.loop.actor.memory)
    for name, weight in one.agent.state_dict()["network"].items():
        assert torch.equal(weight, other.agent.state_dict()["network"][name]), name
    for name, column in one.replay.data.items():
        assert torch.equal(column, other.replay.data[name]), name
    assert "memory" in one.replay.data
