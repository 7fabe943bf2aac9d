"""RLlib's PPO, with the hyperparameters that ours has beside it (`bench cluster`)."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True)
class SharedPPO:
    """What both are given."""

    envs: int = 16  # games, over all env runners
    rollout: int = 128  # steps of each game in a batch
    epochs: int = 4
    minibatch: int = 256
    hidden: int = 64  # units of each of two layers
    lr: float = 3e-4

    def ours(self) -> dict[str, Any]:
        """As our configuration says it."""
        return {"rollout": self.rollout, "epochs": self.epochs, "minibatch": self.minibatch, "hidden": self.hidden,
                "lr": self.lr, "lr_end": 1.0, "encoder": "auto", "precision": "fp32"}  # fmt: skip


PPO = SharedPPO()


def rllib(game: str, runners: int) -> Callable[[float], tuple[int, float]]:
    """RLlib's own loop, one batch after the other. game: an id of Gymnasium's."""
    from experiments.cluster import engine

    engine.connect("local")
    from ray.rllib.algorithms.ppo import PPOConfig
    from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig

    config = (
        PPOConfig()
        .environment(game)
        .env_runners(num_env_runners=runners, num_envs_per_env_runner=PPO.envs // runners, num_cpus_per_env_runner=0.5)
        .learners(num_learners=0)
        .training(train_batch_size_per_learner=PPO.envs * PPO.rollout, num_epochs=PPO.epochs, lr=PPO.lr,
                  minibatch_size=PPO.minibatch)
        .rl_module(model_config=DefaultModelConfig(fcnet_hiddens=[PPO.hidden, PPO.hidden]))
    )  # fmt: skip
    algorithm = config.build_algo()
    algorithm.train()

    def measure(seconds: float) -> tuple[int, float]:
        done, began = 0, time.perf_counter()
        while not done or time.perf_counter() - began < seconds:
            algorithm.train()
            done += PPO.envs * PPO.rollout
        return done, time.perf_counter() - began

    return measure
