"""Breakout: steps per second of PPO, PQN and DQN as they would be trained here, with recorded steps and without.

PPO as in the recipe for this device; PQN with the paper's settings; DQN with 8 trained samples per step, in batches of
32 and of 256, on a GPU from a ring of 10 M frames there. Beside them the emulators alone, on every processor.
"""

from __future__ import annotations

from typing import Any

import torch

from agents.dqn import PRESETS as DQN
from agents.pqn import PRESETS as PQN
from experiments.benchmarks.contenders.apart import Apart, compared
from experiments.benchmarks.contenders.ours import GAME, emulators, loop
from experiments.recipes import recipes

FRAMES = 10_000_000


def run(device: torch.device, seconds: float, rounds: int, race: bool) -> dict[str, Any]:
    """One contender after another, so that one large ring at most is in memory."""
    rows = compared({"emulators alone": Apart(emulators, 128)}, [], seconds, rounds)
    for name, (agent, config, num_envs) in contenders(device).items():
        variants = {name: config}
        if device.type == "cuda":
            variants[f"{name}, steps not recorded"] = {**config, "graphs": False}
        for label, values in variants.items():
            rows |= compared({label: Apart(loop, agent, device, (values, num_envs))}, [], seconds, rounds)
    return rows


def contenders(device: torch.device) -> dict[str, tuple[str, dict[str, Any], int]]:
    """Name -> agent, configuration, number of environments."""
    recipe = recipes(GAME, "envs.atari")["gpu" if device.type == "cuda" else "default"]
    dqn = dict(DQN["dqn"], replay=FRAMES if device.type == "cuda" else 20_000, warmup=2_000, ratio=8.0)
    return {
        "ppo": (recipe.agent, dict(recipe.config), recipe.num_envs),
        "pqn": ("pqn", PQN["pqn"], 128),
        "dqn, batch 32": ("dqn", {**dqn, "batch": 32}, 64),
        "dqn, batch 256": ("dqn", {**dqn, "batch": 256}, 64),
    }
