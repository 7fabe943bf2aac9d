"""What can be set of cloning and DAgger: read by `train --help`, so that nothing heavy is imported."""

from __future__ import annotations

import dataclasses
from typing import Any

from agents import ranges
from agents.configs.driving import DrivingConfig


@dataclasses.dataclass(frozen=True)
class CloneConfig(DrivingConfig):
    """Of any teacher; what is of driving alone is in `DrivingConfig`."""

    batch: int = 64  # rows per optimizer step
    lr: float = 1e-3  # learning rate at the start
    lr_end: float = 0.02  # share of the learning rate that is left at the end of the budget
    optimizer: str = "adam"  # adam, radam, rmsprop or centred-rmsprop
    ema_decay: float = 0.999  # decay per update of the moving average of the weights, which is what drives
    max_grad_norm: float = 1.0  # gradients are scaled down to this norm
    encoder: str = "auto"  # trunk, pilotnet, nature, nips, small, tiny, impala or auto (by the size of the picture)
    hidden: int = 64  # features that the encoder gives
    freeze_trunk: bool = False  # the encoder stays as the run of --init has it: for recordings of few frames
    blocks: int = 4  # residual blocks of the network, where a board with compiled rules is seen
    channels: int = 32  # channels of that network
    precision: str = "auto"  # bf16 where the machine has it, or fp32
    validation: float = 0.1  # share of a dataset that is held out for validation, in whole laps
    replay: int = 100_000  # size of the replay buffer in rows, in addition to a dataset
    warmup: int = 256  # rows of the teacher before the first update (clone without a dataset)
    ratio: float = 8.0  # replay ratio: trained rows per new row (clone without a dataset)
    dagger: bool = False  # DAgger: rounds in which the learner acts and the teacher labels what it meets
    pretrain_updates: int = 3_000  # updates before the first round of DAgger, where there is a dataset
    rows_per_round: int = 1_000  # new rows in each round of DAgger
    updates_per_round: int = 1_000  # updates after the rows of each round of DAgger
    teacher_share: float = 0.0  # share of steps on which the teacher acts in round 1 of DAgger; squared in round 2, ...

    def __post_init__(self) -> None:
        super().__post_init__()
        ranges.at_least(self, 1, "blocks", "channels")
        ranges.at_least(self, 1, "batch", "hidden", "replay", "rows_per_round", "updates_per_round")
        ranges.at_least(self, 0, "warmup", "ratio", "pretrain_updates")
        ranges.above(self, 0, "lr", "max_grad_norm")
        ranges.share(self, "lr_end", "ema_decay", "validation", "teacher_share")
        ranges.optimizer(self)


Config = CloneConfig  # name under which every agent's module offers its own
NEEDS_TEACHER = True  # recordings or a teacher must be given
PRESETS: dict[str, dict[str, Any]] = {
    "clone": {},
    "dagger": dict(dagger=True, lr_end=0.3, teacher_share=0.5),
}
