"""What can be set of PQN: read by `train --help`, so that nothing heavy is imported."""

from __future__ import annotations

import dataclasses
from typing import Any

from agents import ranges


@dataclasses.dataclass(frozen=True)
class Config:
    """PQN with the paper's settings for Atari, but for a learning rate that falls to 0 and epsilon 1e-5 in RAdam."""

    rollout: int = 32  # transitions per environment between updates
    epochs: int = 2  # passes over a rollout
    minibatch: int = 128  # transitions per optimizer step; 0: the whole rollout
    lr: float = 2.5e-4  # learning rate at the start
    lr_end: float = 0.0  # share of the learning rate that is left at the end of the budget
    optimizer: str = "radam"  # adam, radam, rmsprop or centred-rmsprop
    gamma: float = 0.99  # discount per step
    lam: float = 0.65  # lambda of Q(lambda)
    epsilon: float = 1.0  # share of random actions at the start
    epsilon_end: float = 0.001  # and after its fall
    epsilon_decay: float = 0.1  # steps of its fall; up to 1: a share of the budget
    max_grad_norm: float = 10.0  # gradients are scaled down to this norm
    evaluation: str = "epsilon 0.001"  # policy that scores are made with: greedy or epsilon E
    reward_clip: float = 1.0  # learns from rewards cut to +-this, 0: as they are
    encoder: str = "auto"  # nature, nips, small, tiny or auto (by the size of the picture)
    hidden: int = 512  # features
    recurrent: int = 0  # units of an LSTM after the encoder, for games that do not show everything; 0: none
    precision: str = "auto"  # bf16 where the machine has it, or fp32
    graphs: bool = True  # on a CUDA device: steps are recorded once and replayed

    def __post_init__(self) -> None:
        ranges.at_least(self, 1, "rollout", "epochs", "hidden")
        ranges.at_least(self, 0, "minibatch", "recurrent", "reward_clip")
        ranges.above(self, 0, "lr", "epsilon_decay", "max_grad_norm")
        ranges.share(self, "lr_end", "gamma", "lam", "epsilon", "epsilon_end")
        ranges.evaluation(self, "greedy", "epsilon")
        ranges.optimizer(self)


PRESETS: dict[str, dict[str, Any]] = {"pqn": {}}
