"""What torch's own products allow: the bare network at an agent's batch, and what follows for its steps per second.

A contender makes in each environment step so many samples' worth of training and of inference. With the rates of the
bare network (no replay, no loss but a sum, no bookkeeping) and of the emulators, one after the other,

    limit = 1 / (sum of samples per step / samples per second + 1 / emulators' steps per second)

A contender whose emulators run beside its network can pass it by at most their share.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import nn

from agents.core import device as devices
from experiments.benchmarks.contenders.apart import Apart, Meter
from experiments.benchmarks.contenders.ours import DQN, DQN_ENVS, PPO, PPO_ENVS


class SampleWork(NamedTuple):
    """Samples that the network sees for each environment step."""

    samples: float  # samples of each environment step
    batch: int  # samples at a time
    trained: bool  # forward, backward and an optimizer step; False: forward alone

    @property
    def name(self) -> str:
        """Returns what a table calls it."""
        return f"bare network, {'trained' if self.trained else 'inferred'}, batch {self.batch}"


WORKS: Mapping[str, Sequence[SampleWork]] = {
    "ppo": (SampleWork(PPO["epochs"], PPO["minibatch"], True), SampleWork(1, PPO_ENVS, False)),
    "dqn": (
        SampleWork(DQN["ratio"], DQN["batch"], True),
        SampleWork(DQN["ratio"], DQN["batch"], False),  # next states by the target network (Mnih et al. 2015)
        SampleWork(1, DQN_ENVS, False),
    ),
}


def nature_network(actions: int = 4) -> nn.Sequential:
    """The network of Mnih et al. (2015), 84x84 in four frames: 9.35 M multiply-adds."""
    return nn.Sequential(
        nn.Conv2d(4, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, actions),
    )  # fmt: skip


def bare(work: SampleWork, device: torch.device, threads: int) -> Meter:
    """The bare network on one batch again and again: samples, in the precision that our agents choose here."""
    network = nature_network().to(device, memory_format=torch.channels_last)
    dtype = devices.compute_dtype(device, "auto")
    optimizer = torch.optim.Adam(network.parameters(), 1e-4, fused=True)
    pictures = torch.rand((work.batch, 4, 84, 84), device=device).to(memory_format=torch.channels_last)
    if not work.trained:  # weights that do not learn are cast once
        network, pictures = network.requires_grad_(False).to(dtype), pictures.to(dtype)

    def once() -> None:
        if not work.trained:
            network(pictures)
            return
        with devices.mixed(device, dtype):
            found = network(pictures)
        optimizer.zero_grad()
        found.float().sum().backward()
        optimizer.step()

    def measure(seconds: float) -> tuple[int, float]:
        torch.set_num_threads(threads)
        samples, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            once()
            samples += work.batch
            if device.type == "cuda":
                torch.cuda.synchronize()
        return samples, time.perf_counter() - began

    return measure


def fastest(work: SampleWork, device: torch.device, seconds: float) -> Apart:
    """The bare network with 1 or all threads, whichever is faster."""
    tried = []
    for threads in sorted({1, devices.cores()}):
        candidate = Apart(bare, work, device, threads)
        candidate(seconds / 4)
        samples, taken = candidate(seconds / 2)
        tried.append((samples / taken, candidate))
        print(f"{work.name}, {threads} threads: {samples / taken:,.0f} samples/s", file=sys.stderr)
    tried.sort(key=lambda pair: pair[0])
    for _, candidate in tried[:-1]:
        candidate.close()
    return tried[-1][1]


def limit(works: Sequence[SampleWork], rates: Mapping[str, float], emulators: float) -> float:
    """Steps per second. rates: samples per second by `SampleWork.name`; emulators: their steps per second."""
    return 1.0 / (sum(work.samples / rates[work.name] for work in works) + 1.0 / emulators)
