"""Barriers of a game in real time: the rows are sealed, and the game goes on; learning ends when the next row comes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scripted_env import Scripted

from agents.core import learner, training
from agents.core.clock import Clock
from agents.core.loop import Loop
from agents.core.pace import Every, Ratio
from agents.core.replay import ReplayBuffer
from agents.core.rows import Act, Learned, Needs
from agents.core.samplers import Recent, Uniform
from agents.core.stream import Stream


class Remembering:
    """Its memory counts the rows since an episode began."""

    evaluation = "greedy"

    def __init__(self, pace, sampler, window, seconds=0.0, clock=None):
        self.needs = Needs(window, sampler, pace, 400, 4)
        self.seconds, self.now = seconds, clock

    def act(self, step, memory=None, *, explore=True):
        count = torch.where(step.first, 0, torch.zeros(2) if memory is None else memory + 1)
        return Act(torch.zeros(2, dtype=torch.int64), {"count": count}, memory=count)

    def learn(self, batch):
        if self.now is not None:
            self.now[0] += self.seconds
        yield Learned({})

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass

    load_weights = load_state_dict


def real(agent, budget, **metadata):
    env = Scripted(["....D", "............"], stack=3, saved=False)
    env.metadata |= {"real_time": True, **metadata}
    stream = Stream(env)
    replay = ReplayBuffer(200, 2, stream.spec, agent.needs.sampler, window=agent.needs.window)
    return env, Loop(agent, stream, replay, Clock(budget), seed=1)


@pytest.mark.parametrize("kind", ["ratio", "rollouts"])
def test_a_barrier_seals_and_the_game_goes_on(kind):
    if kind == "ratio":
        agent = Remembering(Ratio(1.0, 4, 0), Uniform(), 2)
    else:
        agent = Remembering(Every(4, 1, 2, rewrites_boundary=True), Recent(), 5)
    env, loop = real(agent, 2 * 40)
    saved = []
    training.train(loop, barrier=2 * 13, save=lambda: saved.append(loop.clock.steps // 2))
    assert saved == [13, 26, 39, 40] and len(env.seeds) == 1  # it was reset once, to begin
    ring, count = loop.replay, int(loop.replay.count[0])
    assert count == 41  # each row once: after 40 steps there are 41
    data = {k: v[:count] for k, v in ring.data.items()}
    frames = data["obs"][:, :, 0, 0].long()
    assert (frames[1:] - frames[:-1] == 1).all()  # no moment of the game is missing, and none comes twice
    cut = torch.zeros(count, dtype=torch.bool)
    cut[[13, 26, 39, 40]] = True
    assert torch.equal(data["last"][:, 1], cut)  # the second column's game never ends by itself
    assert data["discount"][cut, 1].eq(1).all()
    for c in range(2):
        assert torch.equal(data["first"][1:, c], data["last"][:-1, c])
        expected, n = [], 0
        for first in data["first"][:, c].tolist():
            n = 0 if first else n + 1
            expected.append(n)
        assert data["count"][:, c].tolist() == expected  # what was remembered is forgotten at a cut
    window = ring.windows(torch.tensor([14 * 2 + 1]))  # the row after a cut: nothing is stacked from before it
    assert window.obs[0, 0, :2].eq(0).all() and window.obs[0, 0, 2].ne(0).all()


def test_scores_are_of_whole_games_whatever_was_cut():
    agent = Remembering(Ratio(1.0, 4, 0), Uniform(), 2)
    _, loop = real(agent, 2 * 40)
    episodes = []
    training.train(loop, barrier=2 * 7, hooks=[lambda moment: episodes.extend(moment.episodes)])
    assert {(e.column, e.length) for e in episodes} == {(0, 5)} and len(episodes) == 6


def test_other_games_that_cannot_be_saved_are_reset():
    agent = Remembering(Ratio(1.0, 4, 0), Uniform(), 2)
    env, loop = real(agent, 2 * 40, real_time=False)
    training.train(loop, barrier=2 * 13)
    assert len(env.seeds) == 5


def test_learning_ends_when_the_next_row_comes(monkeypatch):
    """A row every second, an update takes 0.4: three begin in time, the others are owed; a barrier works them off."""
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    agent = Remembering(Ratio(10.0, 4, 0), Uniform(), 2, seconds=0.4, clock=now)
    _, loop = real(agent, 2 * 12, step_seconds=1.0)
    made = []
    loop.stream.reset(1)
    for _ in range(12):
        loop.advance()
        made.append(loop.clock.updates)
        now[0] += 5.0  # whatever happens between
    assert np.diff(made).tolist() == [3] * 11
    assert loop.learner.owed > 0
    loop.barrier()
    assert loop.learner.owed == 0


def test_what_is_owed_does_not_grow_without_bound(monkeypatch):
    """Each vector step owes 10 draws, and there is time for one: beyond the backlog they are dropped, and counted."""
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    agent = Remembering(Ratio(20.0, 4, 0), Uniform(), 2, seconds=1.0, clock=now)
    _, loop = real(agent, 2 * 60, step_seconds=1.0)
    loop.stream.reset(1)
    for step in range(60):
        loop.advance()
        made, due = loop.clock.updates, 10 * step  # of one row nothing can be drawn: what it made due is void
        assert loop.learner.owed <= learner.BACKLOG and due == made + loop.learner.owed + loop.clock.dropped
    assert loop.learner.owed == learner.BACKLOG and loop.clock.dropped > 0
    loop.barrier()
    assert loop.learner.owed == 0 and loop.clock.updates == made + learner.BACKLOG + 10  # its row owes, too
