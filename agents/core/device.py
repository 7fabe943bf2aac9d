"""Devices, precision, threads and seeds: what a machine can do, asked at run time."""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode


def choose(name: str) -> torch.device:
    """ "auto", "cpu", "cuda", "cuda:1" or "mps" -> device. Raises ValueError where it is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = name.partition(":")
    if kind == "cpu" and not number:
        return torch.device("cpu")
    if kind == "cuda":
        if not torch.cuda.is_available():
            raise ValueError("--device cuda: no CUDA device is there; use --device cpu")
        if number and (not number.isdigit() or int(number) >= torch.cuda.device_count()):
            raise ValueError(f"--device {name}: this machine has cuda:0 to cuda:{torch.cuda.device_count() - 1}")
        return torch.device(name)
    if kind == "mps" and not number:
        if not torch.backends.mps.is_available():
            raise ValueError("--device mps: no Metal device is there; use --device cpu")
        return torch.device("mps")
    raise ValueError(f"--device {name}: choose auto, cpu, cuda, cuda:N or mps")


def has_bf16(device: torch.device) -> bool:
    """Does the device multiply bfloat16 natively (faster than float32)?"""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and "avx512_bf16" in cpu_flags()


def cpu_flags() -> set[str]:
    """The instruction sets of the processor, as Linux names them; empty where they cannot be asked."""
    try:
        with open("/proc/cpuinfo") as file:
            return next((set(line.split(":")[1].split()) for line in file if line.startswith("flags")), set())
    except OSError:
        return set()


def compute_dtype(device: torch.device, precision: str) -> torch.dtype:
    """ "auto", "bf16" or "fp32" -> the type that convolutions and large products are computed in."""
    if precision == "fp32" or (precision == "auto" and not has_bf16(device)):
        return torch.float32
    if precision in ("bf16", "auto"):
        return torch.bfloat16
    raise ValueError(f"--precision {precision}: choose auto, bf16 or fp32")


def mixed(device: torch.device, dtype: torch.dtype) -> contextlib.AbstractContextManager[Any]:
    """Computes in `dtype` with float32 weights; nothing at all where `dtype` is float32."""
    return torch.autocast(device.type, dtype) if dtype != torch.float32 else contextlib.nullcontext()


def rounded(module: torch.nn.Module, dtype: torch.dtype) -> torch.nn.Module:
    """Casts weights once, in place, that autocast (`mixed`) would cast in every pass: for networks that do not learn.

    The outputs stay the same to the bit. Layers with a `forward` of their own (noisy, scaled, float32) are left alone.
    """
    for layer in module.modules():
        if type(layer) in (torch.nn.Conv2d, torch.nn.Linear):
            layer.to(dtype)
    return module


def memory(device: torch.device) -> int | None:
    """Bytes for tensors on `device`: what is free on a card, what the machine has otherwise; None: unknown."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "cpu" and hasattr(os, "sysconf"):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


FITS = 0.9  # share of the memory that stored rows may have


def require_memory(what: str, rows: int, row_bytes: int, device: torch.device, knob: str, unit: str = "rows") -> None:
    """Raises ValueError where `rows` of `row_bytes` each do not fit: with both sizes, the largest that fits, and the
    option that sets it. unit: what is counted."""
    needed, there = rows * row_bytes, memory(device)
    if there is not None and needed > FITS * there:
        raise ValueError(
            f"{what} of {rows:,} {unit} needs {needed / 2**30:.1f} GiB and {device} has {there / 2**30:.1f} GiB of"
            f" memory; the largest that fits has {int(FITS * there / row_bytes):,} {unit} ({knob})"
        )


class within_memory(TorchDispatchMode):  # noqa: N801  a context, like torch.no_grad
    """Within: tensors that would not fit are refused before they are allocated. Raises MemoryError with both sizes.

    A system may promise more memory than it has, and end the process when it is touched.
    """

    def __init__(self, what: str, device: torch.device):
        super().__init__()
        self.what, self.device, self.limit, self.asked = what, device, memory(device), 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = function.overloadpacket.__name__
        sized = args and isinstance(args[0], list | tuple) and all(isinstance(n, int) for n in args[0])
        on = torch.device(kwargs.get("device") or "cpu").type
        if sized and self.limit is not None and on == self.device.type and name in ALLOCATING:
            size = math.prod(args[0]) * (kwargs.get("dtype") or torch.float32).itemsize
            self.asked += size
            if (needed := max(self.asked, LEARNING * size)) > FITS * self.limit:
                raise MemoryError(
                    f"{self.what} needs {needed / 2**30:.1f} GiB or more to learn and {self.device} has"
                    f" {self.limit / 2**30:.1f} GiB of memory"
                )
        return function(*args, **kwargs)


ALLOCATING = {"empty", "zeros", "ones", "full", "rand", "randn", "empty_strided", "new_empty"}
LEARNING = 4  # copies of a weight: itself, its gradient and two moments of the optimizer


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def plan_threads(device: torch.device) -> tuple[int, int]:
    """(torch threads, environment threads).

    Without a GPU both get every processor: learning and stepping seldom need them at the same time, and a thread of
    torch's that waits does not spin for long (`experiments/__init__.py`; measured in docs/log.md). On a GPU the
    environments get all but two. OMP_NUM_THREADS is an upper bound of torch's, as everywhere: name 1 where several
    trainings share a machine.
    """
    n = cores()
    bound = os.environ.get("OMP_NUM_THREADS", "")
    most = int(bound) if bound.isdigit() and int(bound) else n
    if device.type != "cpu":
        return 1, max(1, n - 2)
    return min(n, most), n


def keep_memory() -> bool:
    """Has glibc keep what is freed, for the next tensor, instead of handing it back. False with another C library.

    Without it every large activation is mapped and cleared anew, page by page: 4 % of DQN's time, 2 % of PPO's.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is None:
        return False
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of <malloc.h>
    return bool(mallopt(mmap_threshold, 2**28) and mallopt(trim_threshold, 2**29))


def seed_array(n: int, *key: int) -> np.ndarray:
    """`n` seeds in 0..2^31-1 from a key such as (run seed, barrier): different keys share no stream."""
    return (np.random.SeedSequence(key).generate_state(n) & 0x7FFFFFFF).astype(np.int64)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within: torch's own random numbers come from `seed`, so that the first weights do, whatever else draws numbers;
    afterwards they go on as if nothing had been drawn."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def generator(device: torch.device, *key: int) -> torch.Generator:
    """A random generator on `device`, seeded by a key."""
    return torch.Generator(device).manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1))


def describe(device: torch.device) -> str:
    """The machine in words, for run folders and tables."""
    model = "unknown processor"
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), model)
    text = f"{cores()} cores, {model}"
    if device.type == "cuda":
        text += f", {torch.cuda.get_device_name(device)}"
    return text
