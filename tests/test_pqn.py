"""PQN's target and loss against numbers worked out by hand (Gallici et al. 2025, equations 9 and 10)."""

import pytest
import torch

from agents import pqn
from agents.core.clock import Clock
from agents.core.rows import Batch, Context, Spec

SPEC = Spec((3,), "float32", 1, num_actions=2)


def test_one_step_follows_the_hand_worked_targets():
    """gamma 0.9, lambda 0.5; two environments, rows 0..3.

    The first: row 2 is the last of its episode, cut by a clock (discount 1).
        G_1 = 0 + 0.9 * 3 = 2.7;  G_0 = 1 + 0.9 * (0.5 * 4 + 0.5 * 2.7) = 4.015;  from row 2 nothing follows
    The second ends with row 3 by the rules (discount 0).
        G_2 = 1;  G_1 = -1 + 0.9 * (0.5 * 4 + 0.5 * 1) = 1.25;  G_0 = 1 + 0.9 * (0.5 * 2 + 0.5 * 1.25) = 2.4625
    """
    config = pqn.PQNConfig(
        rollout=3, epochs=1, minibatch=0, gamma=0.9, lam=0.5, hidden=8, precision="fp32", lr=0.01, optimizer="adam"
    )
    agent = pqn.build(config, SPEC, Context(Clock(100), torch.device("cpu"), 0, 2))
    generator = torch.Generator().manual_seed(1)
    obs, action = torch.randn((2, 4, 1, 3), generator=generator), torch.tensor([[0, 1, 0, 1], [1, 1, 0, 0]])
    last = torch.tensor([[False, False, True, False], [False, False, False, True]])
    batch = Batch(
        obs=obs, action=action, last=last, first=torch.zeros(2, 4, dtype=torch.bool), legal=None, memory=None,
        reward=torch.tensor([[9.0, 1.0, 0.0, 7.0], [9.0, 1.0, -3.0, 1.0]]),  # the third is clipped to -1
        discount=torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 0.0]]),
        extras={"value": torch.tensor([[5.0, 4.0, 3.0, 2.0], [7.0, 2.0, 4.0, 6.0]])},
        weight=(~last[:, :-1]).float(), index=torch.arange(2),
    )  # fmt: skip
    rows = [(0, 0, 4.015), (0, 1, 2.7), (1, 0, 2.4625), (1, 1, 1.25), (1, 2, 1.0)]
    q = torch.stack([agent.network(obs[b, t][None])[0][0, action[b, t]] for b, t, _ in rows])
    error = torch.tensor([g for _, _, g in rows]) - q
    gradient = torch.autograd.grad((0.5 * error.square()).mean(), list(agent.network.parameters()))
    (learned,) = agent.learn(batch)
    assert learned.metrics["loss"].item() == pytest.approx((0.5 * error.square()).mean().item(), rel=1e-5)
    for parameter, wanted in zip(agent.network.parameters(), gradient, strict=True):
        torch.testing.assert_close(parameter.grad, wanted, rtol=1e-4, atol=1e-6)
