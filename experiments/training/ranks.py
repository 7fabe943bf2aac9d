"""`train --cluster ... --gpus-per-learner K`: K processes of this machine that learn together, one for each GPU.

They are what torchrun would start (`agents.core.parallel`), but meet at a file and sum gradients on loopback, so that
no port is open to others. Each has a share of the actors. Signals go to the first process, which agrees with the others
to save and stop. Where one ends early the others are ended, too, and the run goes on from its newest checkpoint.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from agents.core import parallel
from experiments import child, cli

PERIOD = 0.2  # seconds between two looks at the processes
GRACE = 30.0  # seconds in which the others may end by themselves, once one has ended early
FORWARDED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")  # signals that the first process is told


def require(gpus: int, device: str) -> None:
    """Raises UserError where this machine has not as many GPUs. device: as it was named; `cpu` needs none."""
    import torch

    if device == "cpu":  # processes on the processor: how it is tried without GPUs
        return
    if device not in ("auto", "cuda") and not (gpus == 1 and device.startswith("cuda:")):
        raise cli.UserError(
            f"--device {device}: --gpus-per-learner {gpus} takes the first GPUs; name cuda, or cpu for processors"
        )
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpus > there:
        found = f"{there} GPU{'s' if there > 1 else ''}" if there else "no GPU"
        raise cli.UserError(
            f"--gpus-per-learner {gpus}: there is {found} here; --device cpu learns in as many processes without"
        )


def are_to_start(config: dict[str, Any]) -> bool:
    """Are several processes to learn this run, and is this none of them?"""
    return config.get("gpus_per_learner", 0) > 1 and parallel.asked() == 1


def run(argv: Sequence[str], count: int) -> int:
    """Trains with `count` processes, each called with these options. Returns the exit code.

    Raises UserError where one of them was ended from outside.
    """
    with tempfile.TemporaryDirectory(prefix="joypad-") as folder:
        processes = [_start(argv, rank, count, Path(folder) / "meeting") for rank in range(count)]
        try:
            with _forwarding(processes[0]):
                return _watch(processes)
        finally:
            for process in processes:
                process.kill()
                process.wait()


def _start(argv: Sequence[str], rank: int, count: int, meeting: Path) -> subprocess.Popen:
    loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    mine = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, parallel.STARTED: "joypad"}
    mine |= {parallel.MEETING: meeting, "GLOO_SOCKET_IFNAME": loopback, "NCCL_SOCKET_IFNAME": loopback}
    threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // count))}
    path = os.pathsep.join(filter(None, [str(child.ROOT), os.environ.get("PYTHONPATH")]))
    env = {**threads, **os.environ, **{name: str(value) for name, value in mine.items()}, "PYTHONPATH": path}
    # A session of its own: Ctrl-C reaches us alone, and we tell the first one.
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.train", *argv], env=env, stdin=subprocess.DEVNULL,
        preexec_fn=child.end_with_parent, start_new_session=True,
    )  # fmt: skip


@contextlib.contextmanager
def _forwarding(first: subprocess.Popen) -> Iterator[None]:
    """Within: signals to this process go to another one. Under nohup a closed terminal ends nothing."""
    numbers = [getattr(signal, name) for name in FORWARDED if hasattr(signal, name)]
    numbers = [n for n in numbers if n == signal.SIGINT or signal.getsignal(n) is not signal.SIG_IGN]
    before = {n: signal.signal(n, lambda number, frame: first.send_signal(number)) for n in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(processes: Sequence[subprocess.Popen]) -> int:
    """Waits until all have ended well, or one has not: then the others are given a while. Returns the exit code."""
    while not (failed := [process for process in processes if process.poll()]):
        if all(process.poll() == 0 for process in processes):
            return 0
        time.sleep(PERIOD)
    end = time.monotonic() + GRACE
    while any(process.poll() is None for process in processes) and time.monotonic() < end:
        time.sleep(PERIOD)
    code = failed[0].returncode
    if code < 0:
        raise cli.UserError(
            f"process {processes.index(failed[0])} of the {len(processes)} that learn together was ended by"
            f" {signal.Signals(-code).name}; train --resume RUN goes on from the newest checkpoint"
        )
    return code
