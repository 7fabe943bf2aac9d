"""What an agent is handed to learn from: one optimizer step per batch of windows, and what the ring must refuse."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
import worlds
from scripted_env import Scripted

import envs
from agents import AGENTS
from agents.core import training
from agents.core.clock import Clock
from agents.core.loop import Loop
from agents.core.pace import Every, Ratio
from agents.core.replay import ReplayBuffer
from agents.core.rows import Act, Learned, Needs, Priority, Spec, TimeStep
from agents.core.samplers import Prioritized, Recent, Uniform
from agents.core.stream import Stream, spec_of
from experiments import building, lab

CPU = torch.device("cpu")
TINY = dict(
    rollout=4,
    minibatch=8,
    hidden=8,
    replay=400,
    warmup=24,
    batch=4,
    ratio=8.0,
    rows_per_round=16,
    updates_per_round=5,
    atoms=5,
)
TINY |= dict(encoder="auto", encoder_width=1, pool=False, spectral=False)


@pytest.mark.parametrize("name", [name for name in AGENTS if name not in ("random", "alphazero")])
def test_every_agent_makes_one_optimizer_step_per_batch_of_windows(name, monkeypatch):
    """Sixteen draws are due at every vector step of eight rows; none may be melted into another."""
    monkeypatch.setitem(envs.GAMES, "worlds", "worlds")
    code = building.module(name)
    preset = dataclasses.asdict(code.Config(**code.PRESETS[name]))
    fields = {k: v for k, v in TINY.items() if k in preset and type(preset[k]) is type(v)}
    if name in ("a2c", "reinforce"):  # one step per rollout
        del fields["minibatch"]
    config = {**preset, **fields}
    whole = {"game": "worlds", "agent": name, "seed": 1, "steps": 120, "num_envs": 8, "agent_config": config}
    parts = lab.assemble({**whole, "env": {"world": "bandit"}}, CPU)
    agent, needs, learn = parts.agent, parts.agent.needs, parts.agent.learn
    calls, steps = [], []
    step = agent.optimizer.step
    agent.optimizer.step = lambda: (steps.append(1), step())

    def counted(batch):
        running = learn(batch)  # at once: an agent may copy its weights here

        def count():
            made = 0
            for learned in running:
                made += 1
                yield learned
            calls.append((len(batch.index), made))

        return count()

    agent.learn = counted
    assert training.train(parts.loop)
    assert len(steps) == parts.clock.updates == sum(made for _, made in calls) > 0
    if isinstance(needs.sampler, Recent):
        minibatch = min(config.get("minibatch") or 32, 32)
        assert set(calls) == {(8, config.get("epochs", 1) * math.ceil(32 / minibatch))}
        return
    assert all(windows == made * needs.batch and made <= needs.together for windows, made in calls)
    if not config.get("dagger"):
        assert parts.clock.updates == int(8.0 * (120 - needs.pace.start) / 4)


class Reader:
    """Learns nothing and keeps what it is handed."""

    evaluation = "sampled"

    def __init__(self, **needs):
        self.needs = Needs(**{"window": 2, "sampler": Uniform(), "capacity": 80, "batch": 4, **needs})
        self.batches = []

    def act(self, step, memory=None, *, explore=True):
        return Act(torch.zeros(len(step.first), dtype=torch.int64))

    def learn(self, batch):
        self.batches.append(batch)
        yield Learned({}, Priority(batch.index, batch.reward[:, -1].abs()))  # a sampler may have no use for it

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass

    load_weights = load_state_dict


def reading(agent, script):
    stream = Stream(Scripted(script))
    needs = agent.needs
    replay = ReplayBuffer(
        40, len(script), stream.spec, needs.sampler, window=needs.window, on_episode_end=needs.on_episode_end
    )
    stream.reset(1)
    return Loop(agent, stream, replay, Clock(200), seed=1)


@pytest.mark.parametrize("sampler", [Uniform, Prioritized])
def test_what_is_due_before_any_game_has_ended_waits_for_none(sampler):
    """Nothing can be drawn: no error, and no burst when the first game has ended."""
    agent = Reader(sampler=sampler(), pace=Ratio(1.0, 4, 0), on_episode_end=lambda rows: {"won": rows["reward"] > 0})
    loop = reading(agent, ["........D", "............D"])
    made = []
    for _ in range(20):
        loop.advance()
        made.append(len(agent.batches))
    assert made[8] == 0 and made[-1] > 0  # the row with the end is the tenth
    assert all(b - a <= 1 for a, b in zip(made, made[1:], strict=False))
    assert all("won" in batch.extras for batch in agent.batches)


def test_columns_without_a_window_are_no_error():
    ring = ReplayBuffer(9, 2, Spec((2,), "float32", 1, 3), Recent(), window=2)
    assert ring.sample(2) is None
    step = TimeStep(torch.zeros(1, 1, 2), torch.zeros(1), torch.ones(1), torch.zeros(1).bool(), torch.zeros(1).bool())
    for _ in range(3):
        ring.add(step, Act(torch.zeros(1)), np.array([1]))
    assert ring.sample(2) is None
    for _ in range(2):
        ring.add(step, Act(torch.zeros(1)), np.array([0]))
    assert len(ring.sample(2).index) == 2


@pytest.mark.parametrize("name", ["obs", "action", "reward", "discount", "first", "last", "legal"])
def test_an_agent_cannot_overwrite_a_rows_own_columns(name):
    ring = ReplayBuffer(9, 2, Spec((2,), "float32", 1, 3), Uniform())
    step = TimeStep(torch.zeros(2, 1, 2), torch.zeros(2), torch.ones(2), torch.zeros(2).bool(), torch.zeros(2).bool())
    wrong = Act(torch.zeros(2), {name: torch.zeros(2), "mine": torch.zeros(2)})
    with pytest.raises(ValueError, match=f"^the extra columns {name} have names of a row's own$"):
        ring.add(step, wrong)
    assert ring.added == 0 and "mine" not in ring.data
    ring.add(step, Act(torch.zeros(2), {"mine": torch.zeros(2)}))
    with pytest.raises(ValueError, match=name):
        ring.amend(wrong)
    ended = ReplayBuffer(9, 1, Spec((2,), "float32", 1, 3), Uniform(), on_episode_end=lambda rows: {name: rows["last"]})
    over = TimeStep(torch.zeros(1, 1, 2), torch.zeros(1), torch.zeros(1), torch.zeros(1).bool(), torch.ones(1).bool())
    with pytest.raises(ValueError, match=name):
        ended.add(over, Act(torch.zeros(1)))


def test_the_rules_of_a_game_are_in_its_spec():
    go = envs.make_vec("go", 1)
    assert spec_of(go).rules is go.rules and go.rules.num_actions == spec_of(go).num_actions
    go.close()
    assert spec_of(worlds.make_vec(1)).rules is None
    stranger = Scripted(["."])
    stranger.rules = "of the house"
    stranger.metadata = {k: v for k, v in stranger.metadata.items() if k != "lab_info"}
    assert spec_of(stranger).rules is None


def test_rollouts_need_no_environment_of_their_own():
    """The pace of rollouts is told how many columns there are: their windows are whole when a draw is due."""
    agent = Reader(sampler=Recent(), window=5, pace=Every(4, 1, 2))
    loop = reading(agent, ["......T", "..."])
    for _ in range(13):
        loop.advance()
    loop.learner.drain()
    assert [batch.reward.shape for batch in agent.batches] == [(2, 5)] * 3
