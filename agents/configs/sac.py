"""What can be set of SAC: read by `train --help`, so that nothing heavy is imported."""

from __future__ import annotations

import dataclasses
from typing import Any

from agents import ranges


@dataclasses.dataclass(frozen=True)
class SACConfig:
    """SAC of Haarnoja et al. 2018b, with the sizes that are usual for vectors."""

    replay: int = 1_000_000  # size of the replay buffer in transitions
    warmup: int = 1_000  # steps with random actions before learning starts
    batch: int = 256  # transitions per update
    ratio: float = 256.0  # replay ratio: transitions trained per new one (the paper: one batch of 256 per step)
    optimizer: str = "adam"  # adam, radam, rmsprop or centred-rmsprop
    lr: float = 3e-4  # learning rate of policy, critics and temperature
    eps: float = 1e-8  # the optimizer's epsilon
    gamma: float = 0.99  # discount per step
    n_step: int = 1  # steps until the bootstrap
    tau: float = 0.005  # share of the way that the target critics go to the learned ones per update
    temperature: float = 1.0  # weight of the entropy at the start; it is learned
    entropy_per_axis: float = -1.0  # target entropy per axis of a continuous action, in nats
    entropy_share: float = 0.3  # target entropy of discrete actions, as a share of the largest there is
    critics: int = 2  # critics, of which the lowest value counts
    max_grad_norm: float = 0.0  # largest norm of the gradients, 0: no bound
    evaluation: str = "greedy"  # policy that scores are made with: greedy or sampled
    reward_clip: float = 0.0  # bound of the rewards that are learned from (+-), 0: none
    reward_scale: float = 1.0  # factor of the rewards that are learned from
    encoder: str = "auto"  # encoder of pictures: nature, small, tiny, impala or auto (by the size of the picture)
    hidden: int = 256  # units of each layer of policy and critics, and features that an encoder of pictures gives
    layers: int = 2  # layers of policy and critics before the last
    precision: str = "auto"  # bf16 where the machine has it, or fp32
    graphs: bool = True  # CUDA graphs: on a CUDA device steps are captured once and replayed

    def __post_init__(self) -> None:
        ranges.at_least(self, 1, "batch", "n_step", "hidden", "critics", "layers")
        ranges.at_least(self, 2, "replay")
        ranges.at_least(self, 0, "warmup", "eps", "max_grad_norm", "reward_clip")
        ranges.above(self, 0, "ratio", "lr", "temperature", "reward_scale")
        ranges.share(self, "gamma", "tau", "entropy_share")
        ranges.finite(self, "entropy_per_axis")
        ranges.evaluation(self, "greedy", "sampled")
        ranges.optimizer(self)
        if self.warmup > self.replay:
            raise ValueError(f"--warmup {self.warmup} is more than --replay {self.replay}: learning would never start")


Config = SACConfig  # name under which every agent's module offers its own
PRESETS: dict[str, dict[str, Any]] = {"sac": {}}
