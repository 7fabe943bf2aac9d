"""Actors that are not in the learner's process: two blocks of columns, ragged, each with a version of the weights.

The stub copies what would go over a wire: rows one way, weights the other.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import worlds
from worlds import Worlds

from agents.configs.dqn import PRESETS, DQNConfig
from agents.core.actor import Actor
from agents.core.clock import Clock
from agents.core.learner import Learner
from agents.core.pace import Ratio
from agents.core.replay import ReplayBuffer
from agents.core.rows import Act, Context, Learned, Needs
from agents.core.samplers import Uniform
from agents.core.stream import Stream
from agents.dqn import DQN

CPU = torch.device("cpu")


def config(**changed):
    preset = {**PRESETS["dqn"], "hidden": 32, "encoder": "auto", "precision": "fp32", "lr": 3e-3, "batch": 32}
    more = {"warmup": 100, "replay": 2000, "ratio": 4.0, "epsilon_decay": 300, "target_period": 50, "reward_clip": 0.0}
    return DQNConfig(**{**preset, **more, **changed})


class Remote:
    """An actor with environments, an agent and a clock of its own, for some columns of the learner's ring."""

    def __init__(self, columns, seed):
        self.columns = np.array(columns)
        self.stream = Stream(Worlds(len(columns), worlds.Options(world="bandit")))
        self.clock = Clock(1000)
        agent = DQN(config(), self.stream.spec, Context(self.clock, CPU, seed, len(columns)))
        self.actor = Actor(agent, self.stream.spec, self.stream.columns)
        self.stream.reset(seed)

    def block(self, rows):
        """So many rows of each of its columns, with the version of the weights that acted."""
        sent = []
        for _ in range(rows):
            step, act = self.stream.step, self.actor.act()
            sent.append((self.actor.version, step, act))
            self.stream.send(act)
            self.stream.receive()
            self.clock.steps += 5  # the learner's clock would be told with the weights
        return copy.deepcopy(sent)


def test_two_ragged_blocks_of_columns_teach_one_learner():
    one, other = Remote([0, 2], seed=1), Remote([1, 3, 4], seed=2)
    clock = Clock(1000)
    agent = DQN(config(), one.stream.spec, Context(clock, CPU, 0, 5))
    ring = ReplayBuffer(400, 5, one.stream.spec, agent.needs.sampler, window=agent.needs.window)
    learner = Learner(agent, ring, agent.needs.pace, clock)
    seen = []
    for k in range(120):
        for remote, rows in ((one, 3), (other, 1 + k % 2)):
            for version, step, act in remote.block(rows):
                learner.absorb(step, act, remote.columns)
                seen.append((version, learner.version))
                clock.steps += len(remote.columns)
            learner.learn()
            learner.check()
        if k % 3 == 2:
            one.actor.load(copy.deepcopy(learner.weights()))
        if k % 5 == 4:
            other.actor.load(copy.deepcopy(learner.weights()))
    rows = 120 * (3 * 2) + 180 * 3
    assert ring.added == rows == ring.count.sum() and ring.count.tolist() == [360, 180, 360, 180, 180]
    assert clock.updates == learner.version == int(4.0 * (rows - agent.needs.pace.start) / 32)
    assert all(acted <= learned for acted, learned in seen)
    assert len({acted for acted, _ in seen}) > 20 and seen[-1][0] > learner.version - 60
    for c in range(5):  # nothing is mixed up: each column's rows follow one another
        first, last = ring.data["first"][: ring.count[c], c], ring.data["last"][: ring.count[c], c]
        assert torch.equal(first[1:], last[:-1]) and first[0] and last.any()
    agent_of_one = one.actor.policy
    one.actor.load(learner.weights())
    step = one.stream.step
    right = step.obs[:, 0].argmax(1)  # the bandit shows which action pays
    assert torch.equal(agent_of_one.act(step, explore=False).action, right)


class Slow:
    """An update takes its time."""

    evaluation = "greedy"

    def __init__(self, clock):
        self.needs = Needs(1, Uniform(), Ratio(4.0, 1, 0), 100, 1)
        self.clock, self.loaded = clock, 0

    def learn(self, batch):
        self.clock[0] += 1.0
        yield Learned({})

    def load_weights(self, state):
        self.loaded += 1

    def state_dict(self):
        return {}


@pytest.fixture
def timed(monkeypatch):
    """A clock that stands still but for updates, a second each."""
    now = [0.0]
    monkeypatch.setattr("agents.core.learner.time.perf_counter", lambda: now[0])
    return now


def test_learning_stops_at_a_deadline_and_what_is_left_is_owed(timed):
    stream = Stream(Worlds(2, worlds.Options(world="bandit")))
    agent = Slow(timed)
    ring = ReplayBuffer(50, 2, stream.spec, agent.needs.sampler)
    learner = Learner(agent, ring, agent.needs.pace)
    step = stream.reset(1)
    learner.absorb(step, Act(torch.zeros(2)))
    learner.learn(until=timed[0] + 2.5)
    assert learner.clock.updates == 3 and learner.owed > 0  # the third had begun in time
    state = learner.state_dict()
    learner.absorb(step, Act(torch.zeros(2)))
    learner.learn(until=timed[0])
    assert learner.clock.updates == 3
    learner.learn()
    assert learner.clock.updates == 16 == learner.version and learner.owed == 0
    learner.load_weights({})
    assert learner.version == 17 and agent.loaded == 1
    learner.load_state_dict(state)
    assert learner.owed == state["owed"] > 0 and learner.version == 3


def test_a_checkpoint_without_a_version_goes_on_from_its_updates():
    stream = Stream(Worlds(2, worlds.Options(world="bandit")))
    agent = Slow([0.0])
    learner = Learner(agent, ReplayBuffer(50, 2, stream.spec, agent.needs.sampler), agent.needs.pace)
    learner.clock.updates = 12
    learner.load_state_dict({"pace": {"seen": 3, "credit": 0.0}})
    assert learner.version == 12 and learner.owed == 0
