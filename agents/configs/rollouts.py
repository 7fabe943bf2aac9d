"""What can be set of every agent that learns from rollouts: read by `train --help`, so nothing heavy is imported."""

from __future__ import annotations

import dataclasses

from agents import ranges


@dataclasses.dataclass(frozen=True)
class Rollouts:
    """The fields of all of them, with PPO's values for Atari."""

    rollout: int = 128  # transitions per environment between updates
    epochs: int = 4  # passes over a rollout
    minibatch: int = 256  # transitions per optimizer step; 0: the whole rollout
    lr: float = 2.5e-4  # learning rate at the start
    lr_end: float = 0.0  # share of the learning rate that is left at the end of the budget
    optimizer: str = "adam"  # adam, radam, rmsprop or centred-rmsprop
    gamma: float = 0.99  # discount per step
    lam: float = 0.95  # lambda of the returns (GAE)
    max_grad_norm: float = 0.5  # largest norm of the gradients
    reward_clip: float = 1.0  # bound of the rewards that are learned from (+-), 0: none
    encoder: str = "auto"  # nature, nips, small, tiny, impala or auto (by the size of the picture)
    hidden: int = 512  # features that the encoder gives
    recurrent: int = 0  # units of an LSTM after the encoder, for games that do not show everything; 0: none
    precision: str = "auto"  # bf16 where the machine has it, or fp32
    graphs: bool = True  # CUDA graphs: on a CUDA device steps are captured once and replayed

    def __post_init__(self) -> None:
        ranges.at_least(self, 1, "rollout", "epochs", "hidden")
        ranges.at_least(self, 0, "minibatch", "recurrent", "reward_clip")
        ranges.above(self, 0, "lr", "max_grad_norm")
        ranges.share(self, "lr_end", "gamma", "lam")
        ranges.optimizer(self)
