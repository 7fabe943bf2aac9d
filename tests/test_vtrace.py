"""V-trace against the sum that defines it, and the agent that learns by it."""

from __future__ import annotations

import pytest
import torch
import worlds

from agents.configs.policy_gradient import PRESETS, Config
from agents.core import training
from agents.core.clock import Clock
from agents.core.loop import Loop
from agents.core.replay import ReplayBuffer
from agents.core.returns import lambda_returns, vtrace
from agents.core.rows import Context
from agents.core.stream import Stream
from agents.policy_gradient import PolicyGradient

CPU = torch.device("cpu")


def window(size: int = 6, length: int = 9):
    g = torch.Generator().manual_seed(4)
    reward, value = torch.randn((2, size, length), generator=g)
    last = torch.rand((size, length), generator=g) < 0.2
    discount = torch.where(last & (torch.rand((size, length), generator=g) < 0.5), 0.0, 1.0)
    discount[0] *= -1  # a game of two sides
    return reward, discount, last, value, 0.7 * torch.randn((size, length - 1), generator=g)


def literal(reward, discount, last, value, log_ratio, gamma, rho_bar, c_bar, lam=1.0):
    """Equation 1 of the paper, term by term; targets and advantages [L - 1] of one window."""
    n = len(reward) - 1
    ratio = [float(x.exp()) for x in log_ratio]
    targets = [0.0] * n + [float(value[n])]
    for s in range(n):
        total, factor = float(value[s]), 1.0
        for t in range(s, n):
            later = gamma * float(discount[t + 1])
            delta = min(rho_bar, ratio[t]) * (float(reward[t + 1]) + later * float(value[t + 1]) - float(value[t]))
            total += factor * delta
            if last[t + 1]:
                break
            factor *= later * lam * min(c_bar, ratio[t])
        targets[s] = total
    advantages = []
    for s in range(n):
        follows = float(value[s + 1]) if last[s + 1] else targets[s + 1]
        gain = float(reward[s + 1]) + gamma * float(discount[s + 1]) * follows - float(value[s])
        advantages.append(min(rho_bar, ratio[s]) * gain)
    return targets[:n], advantages


@pytest.mark.parametrize(("rho_bar", "c_bar", "lam"), [(1.0, 1.0, 1.0), (2.0, 0.5, 1.0), (1.5, 1.0, 0.9)])
def test_targets_are_the_sum_that_defines_them(rho_bar, c_bar, lam):
    rows = window()
    traced = vtrace(*rows, 0.97, lam, (rho_bar, c_bar))
    reward, discount, last, value, log_ratio = rows
    for b in range(len(reward)):
        one = literal(reward[b], discount[b], last[b], value[b], log_ratio[b], 0.97, rho_bar, c_bar, lam)
        real = ~last[b, :-1]  # where row t is `last` there is no transition
        torch.testing.assert_close(traced.target[b][real], torch.tensor(one[0])[real], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(traced.advantage[b][real], torch.tensor(one[1])[real], rtol=1e-4, atol=1e-5)


def test_rows_of_the_present_policy_have_the_usual_returns():
    reward, discount, last, value, log_ratio = window()
    for lam in (1.0, 0.8):
        traced = vtrace(reward, discount, last, value, torch.zeros_like(log_ratio), 0.95, lam)
        usual = lambda_returns(reward, discount, last, value, 0.95, lam)
        real = ~last[:, :-1]
        torch.testing.assert_close(traced.target[real], usual[real])


def test_the_value_is_that_of_the_policy_that_learns_not_of_the_one_that_acted():
    """One decision of two, paid 1 and 0, drawn evenly; the policy that learns takes the first nine times in ten."""
    g = torch.Generator().manual_seed(1)
    first = torch.rand(40_000, generator=g) < 0.5
    reward = torch.stack([torch.zeros(len(first)), first.float()], 1)
    discount, last = torch.zeros_like(reward), torch.tensor([[False, True]]).expand_as(reward)
    log_ratio = torch.where(first, torch.tensor(0.9 / 0.5), torch.tensor(0.1 / 0.5)).log()[:, None]
    value = torch.zeros_like(reward)
    wide = vtrace(reward, discount, last, value, log_ratio, 1.0, bounds=(10.0, 1.0))
    assert float(wide.target.mean()) == pytest.approx(0.9, abs=0.02)
    naive = lambda_returns(reward, discount, last, value, 1.0, 1.0)
    assert float(naive.mean()) == pytest.approx(0.5, abs=0.02)


def learner(agent: str, **changed):
    stream = Stream(worlds.make_vec(4, world="corridor"))
    fields = {**PRESETS[agent], "rollout": 5, "hidden": 16, "precision": "fp32", "lr": 1e-3, "max_grad_norm": 0.5}
    clock = Clock(400)
    made = PolicyGradient(Config(**{**fields, **changed}), stream.spec, Context(clock, CPU, 7, 4))
    needs = made.needs
    ring = ReplayBuffer(needs.capacity // 4, 4, stream.spec, needs.sampler, window=needs.window)
    return made, Loop(made, stream, ring, clock, seed=2)


def test_without_lag_it_is_a2c():
    """Rows of the policy that learns, the whole rollout at once: the same weights after many updates."""
    trained = []
    for name in ("a2c", "impala"):
        agent, loop = learner(name, overlap=False)
        assert training.train(loop) and loop.clock.updates > 15
        trained.append(agent.network.state_dict())
    for name, weights in trained[0].items():
        torch.testing.assert_close(weights, trained[1][name], rtol=1e-3, atol=1e-5, msg=name)


def test_rows_one_policy_behind_are_corrected():
    """With overlap every rollout is one policy old: what is learned differs from taking it as the present one's."""
    weights = []
    for bound in (1.0, 1e-6):  # the ratio as it is, and none of it
        agent, loop = learner("impala", lr=1e-2, rho_bar=bound)
        assert agent.needs.overlap and training.train(loop)
        weights.append(torch.cat([p.detach().flatten() for p in agent.network.policy.parameters()]))
    assert not torch.allclose(*weights)


def test_the_lag_that_a_batch_has_is_seen_by_the_agent():
    """`_now` is the network that learns; the columns of the ring hold what the one that acted said."""
    agent, loop = learner("impala", lr=0.0 + 1e-30)
    assert training.train(loop)
    batch = loop.replay.sample(4)
    value, logp = agent._now(batch)
    torch.testing.assert_close(value[:, :-1], batch.extras["value"][:, :-1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(logp, batch.extras["logp"][:, :-1], rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        agent.network.policy.logits.bias[0] += 1.0
    later = agent._now(batch)[1]
    moved = torch.where(batch.action[:, :-1] == 0, later - logp, logp - later)
    assert (moved[~batch.last[:, :-1]] > 0).all()


def test_what_does_not_go_together_is_refused():
    for wrong in ({"importance_ratio": True}, {"recurrent": 8}):
        with pytest.raises(ValueError, match="--vtrace"):
            Config(**{**PRESETS["impala"], **wrong})
