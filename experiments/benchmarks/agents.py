"""Breakout: the speed of every agent with its preset's values; those that stable-baselines3 has too stand beside it.

Settings of PPO and DQN as in `bench atari`; A2C and QR-DQN have those of the zoo on both sides. The others have their
papers' values, and a ring that is small enough to be filled soon.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import torch

from experiments.benchmarks.contenders import peers
from experiments.benchmarks.contenders.apart import Apart, compared
from experiments.benchmarks.contenders.ours import emulators, loop

BESIDE_SB3 = ("ppo", "a2c", "dqn", "qrdqn")
OF_CONTRIB = ("qrdqn",)  # those of them that sb3-contrib has
BESIDE_EMULATORS = ("pqn",)
ALONE = ("reinforce", "c51", "iqn", "rainbow", "btr")


def run(device: torch.device, seconds: float, rounds: int, race: bool) -> dict[str, Any]:
    """One pair after another, so that two programs at most are in memory."""
    rows: dict[str, Any] = {}
    for kind in BESIDE_SB3:
        if kind in OF_CONTRIB and importlib.util.find_spec("sb3_contrib") is None:
            rows |= compared({kind: Apart(loop, kind, device)}, [], seconds, rounds)
            rows[f"sb3-{kind}"] = 'not measured: pip install -e ".[contrib]"'
            continue
        other = peers.fastest("sb3", kind, device, seconds).meter
        meters = {kind: Apart(loop, kind, device), f"sb3-{kind}": other}
        rows |= compared(meters, [(kind, f"sb3-{kind}")], seconds, rounds)
    for kind in BESIDE_EMULATORS:
        meters = {kind: Apart(loop, kind, device), "emulators alone": Apart(emulators)}
        rows |= compared(meters, [(kind, "emulators alone")], seconds, rounds)
    for kind in ALONE:
        rows |= compared({kind: Apart(loop, kind, device)}, [], seconds, rounds)
    return dict(sorted(rows.items(), key=lambda row: not row[0].endswith("steps/s")))  # ratios last
