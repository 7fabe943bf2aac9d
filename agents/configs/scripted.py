"""What can be set of the random player: read by `train --help`, so that nothing heavy is imported."""

from __future__ import annotations

import dataclasses
from typing import Any

from agents import ranges


@dataclasses.dataclass(frozen=True)
class RandomConfig:
    """The random player has nothing to configure but its memory."""

    replay: int = 100_000  # transitions that the ring holds

    def __post_init__(self) -> None:
        ranges.at_least(self, 2, "replay")


Config = RandomConfig  # name under which every agent's module offers its own
PRESETS: dict[str, dict[str, Any]] = {"random": {}}
