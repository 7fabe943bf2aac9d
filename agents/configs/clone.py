"""What can be set of cloning and DAgger: read by `train --help`, so that nothing heavy is imported."""

from __future__ import annotations

import dataclasses
from typing import Any

from agents import ranges
from agents.configs.driving import Driving


@dataclasses.dataclass(frozen=True)
class Config(Driving):
    """Of any teacher; what is of driving alone is in `Driving`."""

    batch: int = 64  # rows per optimizer step
    lr: float = 1e-3  # learning rate at the start
    lr_end: float = 0.02  # share of the learning rate that is left at the end of the budget
    optimizer: str = "adam"  # adam, radam, rmsprop or centred-rmsprop
    average: float = 0.999  # the driver's weights are a moving average with this decay per update
    max_grad_norm: float = 1.0  # gradients are scaled down to this norm
    encoder: str = "auto"  # trunk, pilotnet, nature, nips, small, tiny, impala or auto (by the size of the picture)
    hidden: int = 64  # features
    precision: str = "auto"  # bf16 where the machine has it, or fp32
    validation: float = 0.1  # share of a dataset that is kept back, in whole laps
    replay: int = 100_000  # rows that the ring holds beside a dataset
    warmup: int = 256  # clone without a dataset: rows of the teacher before the first update
    ratio: float = 8.0  # clone without a dataset: trained rows per new row
    rounds: bool = False  # DAgger
    first: int = 3_000  # DAgger with a dataset: updates before the first round
    rows: int = 1_000  # DAgger: new rows per round
    draws: int = 1_000  # DAgger: updates after each round's rows
    teacher: float = 0.0  # DAgger: share of steps that the teacher itself does in round 1; squared in round 2, ...

    def __post_init__(self) -> None:
        super().__post_init__()
        ranges.at_least(self, 1, "batch", "hidden", "replay", "rows", "draws")
        ranges.at_least(self, 0, "warmup", "ratio", "first")
        ranges.above(self, 0, "lr", "max_grad_norm")
        ranges.share(self, "lr_end", "average", "validation", "teacher")
        ranges.optimizer(self)


TAUGHT = True  # by recordings or a teacher, which must be there
PRESETS: dict[str, dict[str, Any]] = {
    "clone": {},
    "dagger": dict(rounds=True, lr_end=0.3, teacher=0.5),
}
