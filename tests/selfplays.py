"""Small self-play trainings for tests, and their rows game by game."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch

from agents.alphazero import Config
from experiments import lab

CPU = torch.device("cpu")
TINY: dict[str, Any] = dict(
    blocks=1, channels=8, visits=6, visits_start=4, cheap_visits=0.5, full_share=0.5, warmup=40, batch=16, replay=2000,
    precision="fp32", parts=1, eval_visits=8, holdout=4,
)  # fmt: skip
GO: dict[str, Any] = dict(size=3, komi=0.0, komi_spread=2.0, settle=True)


def made(game: str = "go", steps: int = 400, columns: int = 4, env: Any = None, **changed: Any) -> lab.Lab:
    config = dataclasses.asdict(Config(**{**TINY, **changed}))
    whole = {"game": game, "agent": "alphazero", "seed": 3, "steps": steps, "num_envs": columns, "agent_config": config}
    return lab.assemble({**whole, "env": (GO if game == "go" else {}) if env is None else env}, CPU)


def rows_of(parts: lab.Lab, column: int) -> dict[str, np.ndarray]:
    """What the ring holds of a column, the oldest row first."""
    ring = parts.replay
    assert ring.count[column] == ring.cursor[column]  # it has not wrapped around
    return {k: v[: ring.count[column], column].numpy() for k, v in ring.data.items()}


def games_of(rows: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """The finished games of a column, each with its last row."""
    ends = np.flatnonzero(rows["last"])
    starts = [0, *(ends[:-1] + 1)]
    return [{k: v[a : b + 1] for k, v in rows.items()} for a, b in zip(starts, ends, strict=True)]
