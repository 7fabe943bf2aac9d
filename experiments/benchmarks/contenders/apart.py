"""Contenders in processes of their own that take turns: threads and memory are as they are for their users."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import statistics
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

SLICE = 1.0  # seconds after which the two of a pair take turns: a machine that is shared changes its speed
Meter = Callable[[float], tuple[int, float]]  # seconds -> (steps done, seconds taken)


class DeadContender(RuntimeError):
    """The process of a contender has ended; what it said of that stands on standard error."""


@contextlib.contextmanager
def untouched() -> Iterator[None]:
    """Processes started inside have torch's threads spin as long as they do by default, not as our programs set it."""
    ours = os.environ["GOMP_SPINCOUNT"]
    os.environ["GOMP_SPINCOUNT"] = "300000"  # libgomp's default
    try:
        yield
    finally:
        os.environ["GOMP_SPINCOUNT"] = ours


class Apart:
    """A meter in a process of its own, made there by ``build(*args)``."""

    def __init__(self, build: Callable[..., Meter], *args: Any):
        fresh = multiprocessing.get_context("spawn")
        self._pipe, other = fresh.Pipe()
        self._process = fresh.Process(target=_serve, args=(other, build, args))
        self._process.start()
        other.close()
        Finalize(self, self._process.kill, exitpriority=0)  # a bench that is interrupted does not wait for contenders

    def __call__(self, seconds: float) -> tuple[int, float]:
        try:
            self._pipe.send(seconds)
            return self._pipe.recv()
        except (EOFError, ConnectionError):
            raise DeadContender("a contender's process has died; its message stands above") from None

    def megabytes(self) -> float | None:
        """Most memory that it and its own processes have had resident, in MB; None where /proc is missing."""
        return peak(self._process.pid)

    def close(self) -> None:
        with contextlib.suppress(ConnectionError):
            self._pipe.send(None)
        self._process.join()


def _serve(pipe: Connection, build: Callable[..., Meter], args: tuple[Any, ...]) -> None:
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()
    meter = build(*args)
    while (seconds := pipe.recv()) is not None:
        pipe.send(meter(seconds))


def _end_with(bench: Any) -> None:
    """A contender does not go on when the bench has been killed."""
    bench.join()
    os._exit(1)


def peak(process: int) -> float | None:
    """The peaks of a process and of all that it has started, summed, in MB. Memory that they share counts for each."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
    family = {process}
    while more := {one for one, parent in parents.items() if parent in family} - family:
        family |= more
    total = 0
    for one in family:
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{one}/status").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return total * 1024 / 1e6 if total else None


def compared(meters: dict[str, Apart], pairs: Sequence[tuple[str, str]], seconds: float, rounds: int) -> dict[str, Any]:
    """Rates of all (medians over rounds), and of each pair, whose two take turns second by second, the ratio; what
    memory each has taken. They are closed in the end."""
    for meter in meters.values():  # the first steps load and compile
        meter(seconds / 2)
    rates: dict[str, list[float]] = {name: [] for name in meters}
    alone = [(name,) for name in meters if all(name not in pair for pair in pairs)]
    for number in range(rounds):
        for group in (*pairs, *alone):
            for name, rate in zip(group, in_turns([meters[name] for name in group], seconds), strict=True):
                rates[name].append(rate)
                print(f"round {number + 1} of {rounds}: {name} {rate:,.0f} steps/s", file=sys.stderr)
    taken = {name: meter.megabytes() for name, meter in meters.items()}
    for meter in meters.values():
        meter.close()
    rows: dict[str, Any] = {f"{name}, steps/s": statistics.median(rate) for name, rate in rates.items()}
    for one, other in pairs:
        shares = sorted(a / b for a, b in zip(rates[one], rates[other], strict=True))
        rows[one] = f"{statistics.median(shares):.2f}x {other} ({shares[0]:.2f} to {shares[-1]:.2f})"
    return rows | {f"{name}, MB of memory": size for name, size in taken.items() if size is not None}


def in_turns(meters: Sequence[Meter], seconds: float) -> list[float]:
    """Steps per second of each, over at least `seconds` each."""
    steps, taken = [0] * len(meters), [0.0] * len(meters)
    while min(taken) < seconds:
        for i, meter in enumerate(meters):
            if taken[i] < seconds:
                done, spent = meter(min(SLICE, seconds))
                steps[i], taken[i] = steps[i] + done, taken[i] + spent
    return [n / t for n, t in zip(steps, taken, strict=True)]
