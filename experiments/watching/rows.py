"""A listener that records what is played: each decision becomes a row of a recording (`envs.recordings.arrays`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from agents.core.rows import Spec, TimeStep
from envs.recordings.arrays import ArrayWriter


class RowRecorder(ArrayWriter):
    """Rows of a seat's first game; a folder that is there goes on. `close` it.

    Raises ValueError where the folder holds something else, or rows of another game.
    """

    def __init__(self, folder: Path, game: str, env: dict[str, Any], spec: Spec):
        sizes = {k: list(v) if isinstance(v, tuple) else v for k, v in spec._asdict().items() if k != "rules"}
        super().__init__(folder, {"game": game, "env": env, "spec": sizes})

    overrides = 0  # rows of a person in the place of an agent

    def began(self) -> None:
        """A game begins; its first row says so."""

    def add(self, step: TimeStep, action: Any, person: bool) -> None:
        """One decision: what was seen, the action there, and whether a person chose it."""
        self.overrides += person
        row = {"obs": step.obs[0, -1], "action": action[0], "reward": step.reward[0], "discount": step.discount[0]}
        row |= {"first": step.first[0], "last": step.last[0], "person": person}
        if step.legal is not None:
            row["legal"] = step.legal[0]
        self.write({name: torch.as_tensor(value).cpu().numpy() for name, value in row.items()})
