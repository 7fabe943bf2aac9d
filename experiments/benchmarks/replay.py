"""A ring of one million Atari transitions: its memory, and the time of drawing 32 windows (stack 4, n = 3).

Two thirds of a draw are the copy of 1.6 MB from places that no cache holds. Where other programs, or other guests of
the same machine, use the memory, that copy alone takes three times as long: it is measured beside, in turn.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

from agents.core.replay import ReplayBuffer
from agents.core.rows import Act, Spec, TimeStep
from agents.core.samplers import Prioritized, Uniform

ROWS, ENVS, WINDOWS = 1_000_000, 64, 32


def run(device: torch.device, seconds: float, rounds: int, race: bool) -> dict[str, Any]:
    """What `python -m experiments.bench replay` prints."""
    torch.set_num_threads(1)
    rows: dict[str, Any] = {}
    for name, sampler in (("uniform", Uniform()), ("prioritized", Prioritized())):
        ring = filled(sampler, device)
        rows["ring of 1M transitions, GB"] = ring.nbytes / 1e9
        times, copies, updates = [], [], []
        place = torch.arange(7, device=device)  # frames of a window: 4 + 3
        end = time.perf_counter() + seconds * rounds
        while time.perf_counter() < end:
            began = time.perf_counter()
            batch = ring.sample(WINDOWS)
            times.append(_since(began, device))
            at = torch.randint(ROWS - 7, (WINDOWS, 1), device=device).add(place).view(-1)
            began = time.perf_counter()
            ring.frames.index_select(0, at)
            copies.append(_since(began, device))
            if name == "prioritized":
                priority = torch.rand(WINDOWS, device=device)
                began = time.perf_counter()
                ring.update_priorities(batch.index, priority)
                updates.append(_since(began, device))
        rows[f"{name}: drawing {WINDOWS} windows, us (median)"] = 1e6 * statistics.median(times)
        rows[f"{name}: copying their frames alone, us (median)"] = 1e6 * statistics.median(copies)
        if updates:
            rows[f"{name}: updating {WINDOWS} priorities, us (median)"] = 1e6 * statistics.median(updates)
        del ring, batch
    return rows


def filled(sampler: Any, device: torch.device) -> ReplayBuffer:
    """A full ring with an episode's end every 1,000 rows, in step with nothing."""
    spec = Spec((84, 84), "uint8", 4, num_actions=4)
    ring = ReplayBuffer(ROWS // ENVS, ENVS, spec, sampler, window=4, device=device)
    frames = torch.randint(0, 256, (ENVS, 4, 84, 84), dtype=torch.uint8, device=device)
    zeros, ones = torch.zeros(ENVS, device=device), torch.ones(ENVS, device=device)
    act = Act(torch.zeros(ENVS, dtype=torch.int64, device=device))
    legal = torch.ones((ENVS, 4), dtype=torch.bool, device=device)
    column = torch.arange(ENVS, device=device)
    for t in range(ring.length + 1):
        last, first = (t + column * 17) % 1000 == 999, (t + column * 17) % 1000 == 0
        ring.add(TimeStep(frames, zeros, ones, first, last, legal), act)
    return ring


def _since(began: float, device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began
