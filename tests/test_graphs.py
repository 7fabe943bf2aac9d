"""Recorded steps (agents.core.graphs) with a stand-in for the recording, since there may be no CUDA device here.

The stand-in does what a CUDA graph does: it reads the recorded places, and writes the recorded results. While it runs,
the agent's clock cannot be read: a recording would never see it move. tests/test_cuda.py has the real ones.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from batches import assert_same_way, drawn, learned

import envs
from agents.core import graphs, training
from agents.core.graphs import Graphed, Recording
from experiments import building, lab

CPU = torch.device("cpu")
COMMON = dict(hidden=16, precision="fp32", reward_clip=0.0, gamma=0.9)
ROLLOUT = dict(**COMMON, lr=3e-3, rollout=8)
DQN = dict(**COMMON, lr=2e-3, batch=16, ratio=4.0, replay=1_000, warmup=100, target_period=60)
AGENTS = {
    "ppo": dict(**ROLLOUT, minibatch=24, clip=0.2, entropy_end=0.1),  # 64 rows: the last minibatch has 16
    "a2c": ROLLOUT,
    "impala": ROLLOUT,
    "pqn": dict(**ROLLOUT, minibatch=32, epsilon_decay=0.5, epsilon_end=0.05),
    "dqn": dict(**DQN, epsilon_end=0.05, epsilon_decay=0.5, lr_end=0.1),
    "rainbow": dict(**DQN, v_min=0.0, v_max=12.0),
    "sac": dict(**COMMON, lr=2e-3, batch=16, ratio=4.0, replay=1_000, warmup=100),
    "iqn": dict(**DQN, atoms=8, epsilon_decay=0.5),
}


class Unreadable:
    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"clock.{name} is read inside a recorded step")


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Recording]:
    """Steps are recorded here too from now on, by the stand-in. Returns the recordings to come."""
    made: list[Recording] = []
    begin = Graphed.__init__

    def init(self: Graphed, function: Any, device: torch.device, **kw: Any) -> None:
        begin(self, function, device, **kw)
        self.enabled = kw.get("enabled", True)

    def run(self: Graphed, inputs: Any) -> Any:
        owner = getattr(self.function, "__self__", None)
        clock = getattr(owner, "clock", None)
        if clock is not None:
            owner.clock = Unreadable()
        try:
            return self.function(*inputs)
        finally:
            if clock is not None:
                owner.clock = clock

    def record(self: Graphed, args: Any) -> Recording:
        inputs = [graphs._own(x, CPU) for x in args]
        outputs: list[Any] = []

        def replay() -> None:
            results = run(self, inputs)
            if not recording.outputs:
                recording.outputs = tuple(None if x is None else x.clone() for x in results)
            for mine, given in zip(recording.outputs, results, strict=True):
                if mine is not None:
                    mine.copy_(given)

        recording = Recording(replay, inputs, tuple(outputs))
        made.append(recording)
        return recording

    monkeypatch.setattr(Graphed, "__init__", init)
    monkeypatch.setattr(Graphed, "_aside", lambda self, args: run(self, [graphs._own(x, CPU) for x in args]))
    monkeypatch.setattr(Graphed, "_record", record)
    return made


def assembled(agent: str, **changed: Any) -> lab.Lab:
    config = {**building.module(agent).PRESETS[agent], **AGENTS[agent], **changed}
    whole = {"game": "worlds", "agent": agent, "seed": 3, "steps": 480, "num_envs": 8, "agent_config": config}
    return lab.assemble({**whole, "env": {"world": "picture"}}, CPU)


def trained(parts: lab.Lab) -> dict[str, torch.Tensor]:
    training.train(parts.loop)
    return {k: v for k, v in parts.agent.state_dict()["network"].items()}


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(envs.GAMES, "worlds", "worlds")


@pytest.mark.parametrize("agent", AGENTS)
def test_recorded_steps_learn_the_same(agent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = trained(assembled(agent))
    made = recorded(monkeypatch)
    replayed = trained(assembled(agent))
    assert len(made) >= 2  # acting and learning, and one more for each shape
    for name, value in plain.items():
        assert torch.equal(value, replayed[name]), name
    made.clear()
    assert all(torch.equal(v, plain[k]) for k, v in trained(assembled(agent, graphs=False)).items()) and not made


@pytest.mark.parametrize("agent", AGENTS)
def test_recorded_steps_move_the_weights_as_plain_ones_do(agent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the same batches, as on a CUDA device; here to the bit."""
    batches = drawn(assembled(agent), updates=20)
    plain, way = learned(assembled(agent), batches)
    made = recorded(monkeypatch)
    replayed, other = learned(assembled(agent), batches)
    assert made and len(plain) >= 20 and torch.equal(plain, replayed)
    assert_same_way(way, other, tolerance=0)


def test_after_a_resume_everything_is_recorded_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    made = recorded(monkeypatch)
    parts = assembled("ppo")
    training.train(parts.loop)
    before = len(made)
    parts.agent.load_state_dict(parts.agent.state_dict())  # moments lie elsewhere now
    parts.clock.budget = 1_600
    training.train(parts.loop)
    assert len(made) > before


def test_values_may_change_but_shapes_and_constants_make_a_recording_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = recorded(monkeypatch)
    step = Graphed(lambda x, k, name: (x * k, None if name == "none" else x.sum()), CPU)
    kept = []
    for i in range(8):
        for size in (2, 3):
            for name in ("sum", "none"):
                product, total = step(torch.full((size,), float(i)), 0.5 * i, name)
                assert torch.equal(product, torch.full((size,), 0.5 * i * i))
                assert total is None if name == "none" else total == size * i
                kept.append((product, 0.5 * i * i))
    assert len(made) == 4
    assert all((product == value).all() for product, value in kept)  # what was handed out stays as it was
