"""What a machine is asked for: memory that was freed is kept for the next tensor."""

import subprocess
import sys

import pytest

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
