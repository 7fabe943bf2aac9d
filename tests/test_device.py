"""What a machine is asked for: memory that was freed is kept for the next tensor, and every processor where it pays."""

import subprocess
import sys

import pytest
import torch

from agents.core import device
from experiments import building, lab

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


def test_learning_and_stepping_get_every_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(device, "cores", lambda: 2)
    config = {"game": "flappy", "agent": "ppo", "agent_config": building.module("ppo").PRESETS["ppo"], "env": {}}
    try:
        lab.assemble({**config, "num_envs": 2, "seed": 0, "steps": 10}, torch.device("cpu")).stream.close()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize(("bound", "threads"), [("", 6), ("1", 1), ("4", 4), ("9", 6), ("0", 6), ("many", 6)])
def test_a_bound_of_torchs_threads_holds(bound: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", bound)
    monkeypatch.setattr(device, "cores", lambda: 6)
    assert device.plan_threads(torch.device("cpu")) == (threads, 6)
    assert device.plan_threads(torch.device("cuda")) == (1, 4)
