"""What a machine is asked for: memory that was freed is kept for the next tensor, and every processor where it pays."""

import subprocess
import sys

import pytest
import torch

from agents.core import device
from experiments import lab

PROGRAM = """
import resource, torch
from agents.core import device
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(5_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
kept = device.keep_memory()
faults()
print(int(kept), faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_freed_memory_is_not_taken_anew_page_by_page() -> None:
    """20 tensors of 20 MB are 98,000 pages."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    kept, faults = map(int, done.stdout.split())
    assert kept and faults < 500


@pytest.mark.parametrize(
    ("game", "agent", "every"),
    [("flappy", "ppo", True), ("breakout", "ppo", False), ("breakout", "dqn", True), ("gym:CartPole-v1", "ppo", False)],
)
def test_where_learning_takes_nearly_all_the_time_it_gets_every_processor(game, agent, every, monkeypatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(device, "cores", lambda: 2)
    small = {k: 64 for k in ("replay", "warmup") if k in lab.fields(lab.module(agent).Config)}
    config = {"game": game, "agent": agent, "agent_config": {**lab.module(agent).PRESETS[agent], **small}, "env": {}}
    try:
        parts = lab.assemble({**config, "num_envs": 2, "seed": 0, "steps": 10}, torch.device("cpu"))
        parts.stream.close()
        assert torch.get_num_threads() == (2 if every else 1)
    finally:
        torch.set_num_threads(1)
