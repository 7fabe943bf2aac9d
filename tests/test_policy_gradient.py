"""What a policy-gradient agent is before it has learned anything."""

import pytest
import torch

from agents import policy_gradient
from agents.core.loop import Clock
from agents.core.rows import Spec, TimeStep


@pytest.mark.parametrize("idle, expected", [(0.0, 1 / 3), (0.9, 0.9)])
def test_idle_is_the_first_share_of_action_0(idle, expected):
    config = policy_gradient.Config(idle=idle, hidden=8, rollout=4)
    spec = Spec((3,), "float32", 1, 3)
    agent = policy_gradient.build(config, spec, Clock(100), torch.device("cpu"), 0, 2)
    obs = torch.randn((4000, 1, 3), generator=torch.Generator().manual_seed(1))
    action = agent.act(TimeStep(obs, None, None, None, None)).action
    shares = torch.bincount(action, minlength=3) / len(action)
    assert shares[0] == pytest.approx(expected, abs=0.03)
    assert shares[1] == pytest.approx(shares[2].item(), abs=0.03)


def test_idle_leaves_continuous_policies_alone():
    config = policy_gradient.Config(idle=0.9, hidden=8, rollout=4)
    agent = policy_gradient.build(config, Spec((3,), "float32", 1, 0, 2), Clock(100), torch.device("cpu"), 0, 2)
    assert agent.network.policy.mean.bias.abs().max() == 0
