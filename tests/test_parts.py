"""Parts that algorithms share, each against its definition: exploration, rewards, first weights."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from agents import critics
from agents.core import device as devices
from agents.core.rows import Context, Spec
from agents.core.samplers import Prioritized
from agents.exploration import epsilon_greedy, epsilon_now
from agents.rewards import Shaping
from agents.rollouts import ActingCopy


def test_epsilon_greedy_is_uniform_over_the_legal_actions_and_greedy_otherwise() -> None:
    n = 60_000
    legal = torch.tensor([True, False, True, True]).expand(n, -1)
    greedy = torch.full((n,), 3)
    chosen = epsilon_greedy(greedy, legal, 4, 0.3, torch.Generator().manual_seed(1))
    share = torch.bincount(chosen, minlength=4) / n
    torch.testing.assert_close(share, torch.tensor([0.1, 0.0, 0.1, 0.8]), atol=0.01, rtol=0)
    for epsilon, wanted in ((0.0, {3}), (1.0, {0, 2, 3})):
        found = epsilon_greedy(greedy, legal, 4, epsilon, torch.Generator().manual_seed(2))
        assert set(found.tolist()) == wanted
    free = epsilon_greedy(greedy, None, 4, 1.0, torch.Generator().manual_seed(2))
    assert set(free.tolist()) == {0, 1, 2, 3}


def test_epsilon_draws_the_same_numbers_whatever_it_is() -> None:
    after = []
    for epsilon in (0.0, 0.5, torch.tensor(1.0)):
        generator = torch.Generator().manual_seed(3)
        epsilon_greedy(torch.zeros(5, dtype=torch.int64), None, 3, epsilon, generator)
        after.append(torch.rand(4, generator=generator))
    assert torch.equal(after[0], after[1]) and torch.equal(after[0], after[2])


@pytest.mark.parametrize(
    ("decay", "start", "steps", "progress", "wanted"),
    [
        (0.5, 0, 10, 0.0, 1.0), (0.5, 0, 10, 0.25, 0.55), (0.5, 0, 10, 0.5, 0.1), (0.5, 0, 10, 0.9, 0.1),
        (1.0, 0, 10, 0.5, 0.55), (0.5, 99, 10, 0.25, 0.55),  # a share of the budget has no other start
        (100, 0, 50, 0.0, 0.55), (100, 0, 100, 0.0, 0.1), (100, 0, 900, 0.0, 0.1),
        (100, 40, 40, 0.9, 1.0), (100, 40, 20, 0.9, 1.0), (100, 40, 90, 0.9, 0.55), (100, 40, 140, 0.0, 0.1),
    ],
)  # fmt: skip
def test_epsilon_falls_on_a_line(decay: float, start: int, steps: int, progress: float, wanted: float) -> None:
    config = SimpleNamespace(epsilon=1.0, epsilon_end=0.1, epsilon_decay=decay)
    clock = SimpleNamespace(steps=steps, progress=progress)
    assert epsilon_now(config, clock, start) == pytest.approx(wanted)


@pytest.mark.parametrize("kind", [torch.tensor, np.array])
def test_rewards_are_cut_and_then_scaled(kind) -> None:
    reward = kind([[-7.0, 0.25], [1.5, 3.0]])
    assert Shaping()(reward) is reward  # nothing is copied
    assert Shaping(2)(reward).tolist() == [[-2, 0.25], [1.5, 2]]
    assert Shaping(0, 0.5)(reward).tolist() == [[-3.5, 0.125], [0.75, 1.5]]
    assert Shaping(2, 0.5)(reward).tolist() == [[-1, 0.125], [0.75, 1]]
    assert reward.tolist() == [[-7, 0.25], [1.5, 3]]


def test_weights_come_from_the_seed_and_leave_other_numbers_alone() -> None:
    torch.manual_seed(9)
    wanted = torch.rand(3)
    torch.manual_seed(9)
    with devices.seeded(4):
        first = torch.rand(2)
    assert torch.equal(torch.rand(3), wanted)
    torch.manual_seed(77)
    with devices.seeded(4):
        assert torch.equal(torch.rand(2), first)


def test_the_exponent_of_importance_weights_comes_with_the_priorities() -> None:
    """The agent tells it; the ring's sampler is not reached into."""
    from agents import dqn
    from agents.core.replay import ReplayBuffer
    from agents.core.rows import Act, TimeStep

    spec = Spec((2,), "float32", num_actions=2)
    config = dqn.DQNConfig(prioritized=True, beta=0.4, replay=40, warmup=0, batch=4, hidden=8, encoder="auto")
    clock = SimpleNamespace(steps=0, progress=0.0)
    agent = dqn.build(config, spec, Context(clock, torch.device("cpu"), 1, 1))
    ring = ReplayBuffer(40, 1, spec, agent.needs.sampler, window=2, device="cpu", seed=1)
    for t in range(20):
        no, one = torch.zeros(1, dtype=torch.bool), torch.ones(1)
        step = TimeStep(torch.full((1, 1, 2), float(t)), one * t, one, no if t else ~no, no)
        ring.add(step, Act(torch.zeros(1, dtype=torch.int64)))
    assert isinstance(ring.sampler, Prioritized) and ring.sampler.beta == 0.4
    clock.progress = 0.5
    (learned,) = agent.learn(ring.sample(4))
    assert learned.priority.beta == pytest.approx(0.7) and ring.sampler.beta == 0.4
    ring.update_priorities(*learned.priority)
    assert ring.sampler.beta == pytest.approx(0.7)
    ring.update_priorities(learned.priority.index, learned.priority.value)
    assert ring.sampler.beta == pytest.approx(0.7)


def test_a_field_with_another_default_keeps_the_help_of_what_it_extends() -> None:
    from agents.configs import pqn
    from experiments import arguments

    told = arguments.helps(pqn.PQNConfig)
    assert told["rollout"] == "transitions per environment between updates" and pqn.PQNConfig().rollout == 32
    assert told["lam"] == "lambda of Q(lambda)" and all(told.values())


def test_a_copy_acts_with_old_weights_until_it_takes_the_new_ones() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    copied = ActingCopy(network)
    before = {k: v.clone() for k, v in copied.network.state_dict().items()}
    network(torch.randn(8, 2))  # moves the statistics
    with torch.no_grad():
        network[0].weight += 1
    assert all(torch.equal(v, before[k]) for k, v in copied.network.state_dict().items())
    other = ActingCopy(torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2)))
    other.load_state_dict(copied.state_dict())  # two networks, not one
    assert torch.equal(other.source[0].weight, network[0].weight)
    assert torch.equal(other.network[0].weight, before["0.weight"])
    copied.take()
    assert all(torch.equal(v, network.state_dict()[k]) for k, v in copied.network.state_dict().items())
    assert not copied.network.training and not any(p.requires_grad for p in copied.network.parameters())
    with torch.no_grad():
        network[0].weight += 1
    assert not torch.equal(copied.network[0].weight, network[0].weight)  # no memory is shared


@pytest.mark.parametrize("name", ["shared", "own", "privileged"])
def test_what_a_critic_sees(name: str) -> None:
    config = SimpleNamespace(critic=name, privileged_size=3, encoder="auto", hidden=8)
    critic = critics.kind(config)
    encoder = critic.encoder(config, Spec((2,), "float32", num_actions=2))
    features, obs, state = torch.randn(4, 8), torch.randn(4, 1, 2), torch.randn(4, 3)
    seen = critic.features(encoder, features, obs, state)
    if name == "shared":
        assert encoder is None and seen is features and not critic.info
    elif name == "own":
        assert torch.equal(seen, encoder(obs)) and not critic.info
    else:
        assert torch.equal(seen, encoder(state)) and critic.info["numbers"].shape == (3,)
        assert critic.features(encoder, features, obs, None) is None  # nothing of the simulator outside training
