"""The action in the window that is learned from is the action that was executed, for whoever needs it.

Two readers: SARSA(lambda), whose target is the value of the action that comes next, and V-trace, which corrects for the
probabilities that the behaviour gave to its actions.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scripted_env import Scripted

from agents.core import training
from agents.core.clock import Clock
from agents.core.loop import Loop
from agents.core.pace import Every
from agents.core.replay import ReplayBuffer
from agents.core.rows import Act, Learned, Needs
from agents.core.samplers import Recent
from agents.core.stream import Stream

SCRIPT = ["....D", "..T.......", "L.-.B", "............"]


class Sarsa:
    """Linear SARSA(lambda), forward view over a rollout: q(s, a) of what the frame counts, modulo 7."""

    evaluation = "epsilon 0.1"

    def __init__(self, rollout, columns, overlap, rewrites=False):
        pace = Every(rollout, 1, columns, rewrites_boundary=rewrites)
        self.needs = Needs(rollout + 1, Recent(), pace, 4 * rollout * columns, columns, overlap=overlap)
        self.q = torch.zeros(7, 3)
        self.generator = torch.Generator().manual_seed(3)
        self.read = []  # actions of the windows [N, rollout + 1], and their frames

    def _values(self, obs):
        return self.q[obs[..., 0, 0].long() % 7]

    def act(self, step, memory=None, *, explore=True):
        n = len(step.first)
        anything = torch.randint(3, (n,), generator=self.generator)
        explored = torch.rand(n, generator=self.generator) < 0.5
        return Act(torch.where(explored, anything, self._values(step.obs[:, -1]).argmax(1)))

    def learn(self, batch):
        self.read.append((batch.action.clone(), batch.obs[:, :, -1, 0, 0].clone(), batch.last.clone()))
        q = self._values(batch.obs[:, :, -1]).gather(2, batch.action[..., None]).squeeze(2)  # [N, T+1] of what was done
        g_t, lam = q[:, -1], 0.7
        for t in range(q.shape[1] - 2, -1, -1):
            rest = torch.where(batch.last[:, t + 1], q[:, t + 1], (1 - lam) * q[:, t + 1] + lam * g_t)
            g_t = batch.reward[:, t + 1] + 0.9 * batch.discount[:, t + 1] * rest
            rows = batch.obs[:, t, -1, 0, 0].long() % 7
            self.q.index_put_((rows, batch.action[:, t]), 0.01 * batch.weight[:, t] * (g_t - q[:, t]), accumulate=True)
        yield Learned({"q": q.mean()})

    def load_weights(self, state):
        self.q = state["q"].clone()

    load_state_dict = load_weights

    def state_dict(self):
        return {"q": self.q}


class Vtrace(Sarsa):
    """Reads logp of every row of its windows, the last one's too, and checks the importance ratios by them."""

    def act(self, step, memory=None, *, explore=True):
        logp = torch.log_softmax(self._values(step.obs[:, -1]), -1)
        action = torch.multinomial(logp.exp(), 1, generator=self.generator)
        known = {"logp": logp.gather(1, action).squeeze(1), "weights": self.q.sum().expand(len(logp))}
        return Act(action.squeeze(1), known)

    def learn(self, batch):
        self.logp = getattr(self, "logp", [])
        self.logp.append((batch.extras["logp"].clone(), batch.extras["weights"].clone()))
        return super().learn(batch)


def trained(agent, *, saved, barrier=0, steps=90):
    stream = Stream(Scripted(SCRIPT, saved=saved))
    needs = agent.needs
    replay = ReplayBuffer(80, 4, stream.spec, needs.sampler, window=needs.window)
    loop = Loop(agent, stream, replay, Clock(4 * steps), seed=2)
    executed, acts = [], []
    send = stream.send

    def noted(act):
        executed.append(stream.envs.frame.copy())
        acts.append(act)
        send(act)

    stream.send = noted
    training.train(loop, barrier=barrier)
    return executed, acts, stream


@pytest.mark.parametrize("kind", [Sarsa, Vtrace])
@pytest.mark.parametrize("overlap", [True, False])
@pytest.mark.parametrize(("rollout", "saved", "barrier"), [(1, True, 0), (5, True, 0), (5, False, 52), (8, True, 44)])
def test_every_row_of_a_window_holds_what_was_executed(kind, overlap, rollout, saved, barrier):
    agent = kind(rollout, 4, overlap)
    executed, acts, _ = trained(agent, saved=saved, barrier=barrier)
    assert len(agent.read) >= 8
    known = [{} for _ in range(4)]  # column -> position of the row -> what was executed there
    rows = 0
    for frames, act in zip(executed, acts, strict=True):
        for i in range(4):
            known[i].setdefault(int(frames[i]) % 250 + 1, []).append(
                (int(act.action[i]), float(act.extras["logp"][i]) if "logp" in act.extras else 0.0)
            )
    compared = 0
    for k, (action, frames, last) in enumerate(agent.read):
        for i in range(4):
            for t in range(rollout + 1):
                if bool(last[i, t]):
                    continue  # what is done there is ignored; at a barrier it is never sent
                done = known[i][int(frames[i, t])]
                if len(done) != 1:  # the frame came twice, after a reset
                    continue
                rows += 1
                assert int(action[i, t]) == done[0][0], (k, i, t)
                if kind is Vtrace:
                    assert float(agent.logp[k][0][i, t]) == pytest.approx(done[0][1], abs=1e-6)
                compared += t == rollout
    assert compared > 20 and rows > 100


def test_a_pace_that_rewrites_the_boundary_says_so():
    """Then the last row of a window holds what was chosen before the weights changed; the next window what was done."""
    agent = Sarsa(5, 4, True, rewrites=True)
    _, acts, _ = trained(agent, saved=True)
    differing = 0
    for k, (action, _, _) in enumerate(agent.read[:-1]):
        at = 5 * (k + 1)
        for t in range(5):
            assert torch.equal(action[:, t], acts[at - 5 + t].action)
        assert torch.equal(agent.read[k + 1][0][:, 0], acts[at].action)
        differing += int((action[:, -1] != acts[at].action).sum())
    assert differing > 0 and agent.needs.pace.rewrites_boundary


def test_the_weights_that_begin_a_rollout_without_rewriting_are_those_of_its_end():
    """The row on the boundary is acted on once: by the weights before the update, as the window says."""
    agent = Vtrace(5, 4, False)
    trained(agent, saved=True)
    sums = np.array([weights[0].tolist() for _, weights in agent.logp])  # [rollouts, 6] of the weights that acted
    assert (sums[:, 1:5] == sums[:, 1:2]).all()
    assert (sums[1:, 0] == sums[:-1, 5]).all() and (sums[:, 5] == sums[:, 4]).all()
    assert len(set(sums[:, 2].tolist())) > 3
