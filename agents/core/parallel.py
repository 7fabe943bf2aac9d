"""Data-parallel learning: processes that torchrun starts, each with a share of the rows, and one set of weights.

Every process has the whole network and computes the gradient of its rows; gradients are summed, so that all make the
same optimizer step. What is a mean over rows is one over the rows of all processes (`whole`), whatever each has of
them: the weights are those of a single process with the same rows, but for rounding. In a process that torchrun did
not start nothing here does anything.

Sums are made of one flat gradient rather than by DistributedDataParallel, which averages over processes: shares differ
in size where minibatches are drawn over all rows, and a mean of means is not the mean.

Processes that torchrun started find each other at its address. Those of one machine (`experiments.training.ranks`) meet
at a file and listen on loopback.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

STARTED = "TORCHELASTIC_RUN_ID"  # environment variable that is there in each of several processes
MEETING = "JOYPAD_MEETING"  # environment variable: file at which processes of one machine find each other
PATIENCE = 1.0  # seconds that a thread of the group has to drop a tensor
LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "NCCL", "gloo", "ProcessGroup")


def asked() -> int:
    """The number of processes that torchrun has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1")) if STARTED in os.environ else 1


def place() -> int:
    """This process among them, on this machine: which GPU it has."""
    return int(os.environ.get("LOCAL_RANK", "0")) if asked() > 1 else 0


def begin(device: torch.device) -> None:
    """Joins the other processes: by NCCL on GPUs, by gloo on processors. The group is left before Python ends."""
    if asked() > 1 and not dist.is_initialized():
        backend, file = "nccl" if device.type == "cuda" else "gloo", os.environ.get(MEETING)
        if file is None:
            dist.init_process_group(backend)
        else:
            number = int(os.environ["RANK"])
            dist.init_process_group(backend, init_method=f"file://{file}", rank=number, world_size=asked())
        atexit.register(end)


def end() -> None:
    """Leaves the others."""
    if dist.is_initialized():
        dist.destroy_process_group()


_apart = False  # True while this process computes something of its own


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Within: this process is a single one, such as when it alone examines what was learned."""
    global _apart
    before, _apart = _apart, True
    try:
        yield
    finally:
        _apart = before


def size() -> int:
    """Processes that learn together."""
    return dist.get_world_size() if dist.is_initialized() and not _apart else 1


def rank() -> int:
    """The number of this process; 0 keeps the run folder."""
    return dist.get_rank() if dist.is_initialized() else 0


def key() -> tuple[int, ...]:
    """What a seed has in addition where processes must draw different numbers; the first one's are a single's."""
    return (rank(),) if size() > 1 and rank() else ()


def _exchange(together: Callable[..., object], tensor: Tensor, *args: int) -> None:
    """Calls `together`, which all processes call with a tensor each, and waits until only its caller has the tensor.

    A thread of gloo drops it some time after the call has returned, and needs Python for that. One that does so while
    Python ends aborts the process, after everything was done: one in thirty runs, where processors were busy.
    """
    before = sys.getrefcount(tensor)
    together(tensor, *args)
    end = time.monotonic() + PATIENCE
    while not tensor.is_cuda and sys.getrefcount(tensor) > before and time.monotonic() < end:
        time.sleep(0)


def whole(part: Tensor) -> Tensor:
    """The sum over all processes, of a tensor without gradient."""
    if size() == 1:
        return part
    summed = part.detach().clone()
    _exchange(dist.all_reduce, summed)
    return summed


def total(numbers: Sequence[float], device: torch.device) -> list[float]:
    """The sums over all processes. device: theirs."""
    if size() == 1:
        return list(numbers)
    return whole(torch.tensor(numbers, dtype=torch.float64, device=device)).tolist()


def agreed(said: bool, device: torch.device) -> bool:
    """Do all processes say so?"""
    return total([float(said)], device)[0] == size()


def is_lost(fault: BaseException) -> bool:
    """Is it another process that has gone, in the midst of a sum? torch has no class of its own for that."""
    return size() > 1 and isinstance(fault, RuntimeError) and any(words in str(fault) for words in LOST)


_counted: tuple[Tensor, Tensor] | None = None  # the newest weights of rows that were counted, and their number


def rows_that_count(weight: Tensor) -> Tensor:
    """The number of rows of weight above 0, over all processes. Asked again for the same rows, nobody is asked."""
    global _counted
    if size() == 1:
        return (weight > 0).sum()
    if _counted is None or _counted[0] is not weight:
        _counted = (weight, whole((weight > 0).sum()))
    return _counted[1]


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Every gradient becomes the sum over all processes."""
    if size() == 1:
        return
    learned = [p for p in parameters if p.requires_grad]
    for p in learned:
        if p.grad is None:
            p.grad = torch.zeros_like(p)
    flat = torch.cat([p.grad.reshape(-1) for p in learned])
    _exchange(dist.all_reduce, flat)
    for p, grad in zip(learned, flat.split([p.numel() for p in learned]), strict=True):
        p.grad.copy_(grad.view_as(p))


def share(count: int) -> slice:
    """This process's part of `count` rows that every process has."""
    return slice(count * rank() // size(), count * (rank() + 1) // size())


def own(rows: Tensor, count: int) -> Tensor:
    """Of rows 0..size*count-1, numbered over all processes, those that are this process's, by its own numbers."""
    if size() == 1:
        return rows
    first = count * rank()
    return rows[(rows >= first) & (rows < first + count)] - first


def told(text: str, device: torch.device) -> str:
    """What the first process says, in all."""
    if size() == 1:
        return text
    words = torch.tensor(list(text.encode()), dtype=torch.uint8, device=device)
    length = torch.tensor([len(words)], device=device)
    _exchange(dist.broadcast, length, 0)
    words = words if not rank() else torch.zeros(int(length), dtype=torch.uint8, device=device)
    _exchange(dist.broadcast, words, 0)
    return bytes(words.cpu().tolist()).decode()


def meet(device: torch.device) -> None:
    """Waits for all others."""
    whole(torch.zeros(1, device=device))
