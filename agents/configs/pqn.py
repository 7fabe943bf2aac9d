"""What can be set of PQN: read by `train --help`, so that nothing heavy is imported."""

from __future__ import annotations

import dataclasses
from typing import Any

from agents import ranges
from agents.configs.rollouts import Rollouts


@dataclasses.dataclass(frozen=True)
class PQNConfig(Rollouts):
    """PQN with the paper's settings for Atari, but for a learning rate that falls to 0 and epsilon 1e-5 in RAdam."""

    rollout: int = 32
    epochs: int = 2
    minibatch: int = 128
    optimizer: str = "radam"
    max_grad_norm: float = 10.0
    lam: float = 0.65  # lambda of Q(lambda)
    epsilon: float = 1.0  # share of random actions at the start
    epsilon_end: float = 0.001  # share of random actions after the decay
    epsilon_decay: float = 0.1  # steps of the decay; up to 1: a share of the budget
    evaluation: str = "epsilon 0.001"  # policy that scores are made with: greedy or epsilon E

    def __post_init__(self) -> None:
        super().__post_init__()
        ranges.above(self, 0, "epsilon_decay")
        ranges.share(self, "epsilon", "epsilon_end")
        ranges.evaluation(self, "greedy", "epsilon")


Config = PQNConfig  # name under which every agent's module offers its own
PRESETS: dict[str, dict[str, Any]] = {"pqn": {}}
