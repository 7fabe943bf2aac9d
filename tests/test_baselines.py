"""stable-baselines3 in its own loop, held to our budget."""

import torch

from experiments import lab

CARTPOLE = {"game": "gym:CartPole-v1", "num_envs": 2, "seed": 1, "env": {}}


def test_schedules_end_with_a_budget_that_becomes_known_on_the_way():
    """`--minutes` become steps when the speed is known: SB3's learning rate and clip range then fall to that end."""
    config = {"n_steps": 32, "batch_size": 32, "n_epochs": 1}
    parts = lab.assemble({**CARTPOLE, "agent": "sb3-ppo", "agent_config": config, "steps": None}, torch.device("cpu"))
    rates = []

    def hook(moment):
        rates.append(parts.agent.model.policy.optimizer.param_groups[0]["lr"])
        if moment.clock.steps >= 128:
            moment.clock.budget = 1024

    parts.stream.reset(1, 0)
    assert parts.agent.train_alone(parts.stream, [hook], lambda: False, lambda: 1.0)
    assert parts.clock.steps == 1024
    assert rates[0] > 0 and rates == sorted(rates, reverse=True)
    assert rates[-1] <= 0.1 * rates[0]
    parts.stream.close()
