"""What can be set of stable-baselines3's algorithms: read by `train --help`, so that nothing heavy is imported."""

from __future__ import annotations

import dataclasses
from typing import Any

from agents import ranges


@dataclasses.dataclass(frozen=True)
class SB3Config:
    """SB3's settings, under its names; the zoo's values for Atari."""

    algorithm: str = "ppo"  # ppo, a2c, dqn or qrdqn (sb3-contrib); the agent's name sets it
    learning_rate: float = 2.5e-4  # learning rate at the start
    anneal: bool = True  # learning rate and clip range fall to 0 over the budget
    gamma: float = 0.99  # discount per step
    n_steps: int = 128  # PPO, A2C: steps per environment and rollout
    batch_size: int = 256  # transitions per optimizer step
    n_epochs: int = 4  # PPO: passes over a rollout
    gae_lambda: float = 0.95  # PPO, A2C
    clip_range: float = 0.1  # PPO
    ent_coef: float = 0.01  # PPO, A2C: weight of the entropy
    vf_coef: float = 0.5  # PPO, A2C: weight of the value loss
    buffer_size: int = 100_000  # DQN: transitions; SB3 stores whole stacks, 56 GB per million
    learning_starts: int = 100_000  # DQN: steps before learning
    ratio: float = 8.0  # DQN: transitions trained per new one
    target_update_interval: int = 1_000  # DQN: steps
    exploration_fraction: float = 0.1  # DQN: share of the budget
    exploration_final_eps: float = 0.01  # DQN
    reward_clip: float = 1.0  # learns from rewards cut to +-this, 0: as they are

    def __post_init__(self) -> None:
        if self.algorithm not in ("ppo", "a2c", "dqn", "qrdqn"):
            raise ValueError(f"--algorithm {self.algorithm}: choose ppo, a2c, dqn or qrdqn")
        ranges.at_least(self, 1, "n_steps", "batch_size", "n_epochs", "buffer_size", "target_update_interval")
        ranges.at_least(self, 0, "ent_coef", "vf_coef", "learning_starts", "reward_clip")
        ranges.above(self, 0, "learning_rate", "clip_range", "ratio")
        ranges.share(self, "gamma", "gae_lambda", "exploration_fraction", "exploration_final_eps")


OFF_POLICY: dict[str, Any] = dict(batch_size=32, learning_rate=1e-4, anneal=False)
Config = SB3Config  # name under which every agent's module offers its own
PRESETS: dict[str, dict[str, Any]] = {
    "sb3-ppo": {},
    "sb3-a2c": dict(algorithm="a2c", n_steps=5, learning_rate=7e-4, anneal=False, gae_lambda=1.0, vf_coef=0.25),
    "sb3-dqn": dict(algorithm="dqn", **OFF_POLICY),
    "sb3-qrdqn": {"algorithm": "qrdqn", **OFF_POLICY, "learning_rate": 5e-5, "exploration_fraction": 0.025},
}
