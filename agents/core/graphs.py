"""Steps of fixed shapes, recorded once as a CUDA graph and replayed: one launch instead of some two hundred.

    update = Graphed(self._update, device, generators=[self.generator])
    loss, = update(obs, action, 0.5)

What a step reads beside its arguments must stay where it is: weights, optimizer state (`agents.optimizers` asks for
that), the generators that are named. Arguments that are tensors or floats may have other values every time. Other
arguments and the shapes of tensors are baked into a graph: a new value or shape captures a new graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

WARM = 3  # calls before the recording: libraries choose their kernels, optimizers make their state


class Graphed:
    """A function of tensors, floats and constants that returns a tuple of tensors (None among them stays None).

    On a CUDA device the first WARM calls are done as they are, each of them in full, on a stream of its own; the next
    is recorded. Elsewhere, and with enabled=False, it is the plain function. The results belong to the caller.
    """

    def __init__(
        self,
        function: Callable[..., tuple[Tensor | None, ...]],
        device: torch.device,
        *,
        generators: Sequence[torch.Generator] = (),
        enabled: bool = True,
    ):
        self.function, self.device, self.generators = function, device, generators
        self.enabled = enabled and device.type == "cuda"
        self.forget()

    def forget(self) -> None:
        """Drops every recording: something that they read has moved to another place, such as optimizer state."""
        self._calls: dict[tuple, int] = {}
        self._recordings: dict[tuple, Recording] = {}

    def __call__(self, *args: Any) -> tuple[Tensor | None, ...]:
        if not self.enabled:
            return self.function(*args)
        key = tuple(_kind(x) for x in args)
        if key not in self._recordings:
            self._calls[key] = self._calls.get(key, 0) + 1
            if self._calls[key] <= WARM:
                return self._aside(args)
            self._recordings[key] = self._record(args)
        return self._recordings[key](args)

    def _aside(self, args: tuple[Any, ...]) -> tuple[Tensor | None, ...]:
        """One call on a stream of its own, as recording asks for."""
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):
            results = self.function(*(_own(x, self.device) for x in args))
        torch.cuda.current_stream(self.device).wait_stream(stream)
        return results

    def _record(self, args: tuple[Any, ...]) -> Recording:
        graph = torch.cuda.CUDAGraph()
        for generator in self.generators:
            graph.register_generator_state(generator)
        inputs = [_own(x, self.device) for x in args]
        torch.cuda.synchronize(self.device)
        with torch.cuda.graph(graph):
            outputs = self.function(*inputs)
        return Recording(graph.replay, inputs, outputs)


class Recording:
    """What `replay` reads and writes."""

    def __init__(self, replay: Callable[[], None], inputs: list[Any], outputs: tuple[Tensor | None, ...]):
        self.replay, self.inputs, self.outputs = replay, inputs, outputs

    def __call__(self, args: tuple[Any, ...]) -> tuple[Tensor | None, ...]:
        for mine, given in zip(self.inputs, args, strict=True):
            if isinstance(given, Tensor):
                mine.copy_(given, non_blocking=True)
            elif isinstance(given, float):
                mine.fill_(given)
        self.replay()
        return tuple(None if x is None else x.clone() for x in self.outputs)


def _kind(x: Any) -> Any:
    """The part of an argument that is baked into a graph: kind and shape of a tensor, the value of anything else."""
    if isinstance(x, Tensor):
        return (tuple(x.shape), x.dtype)
    return float if isinstance(x, float) else x


def _own(x: Any, device: torch.device) -> Any:
    """The place of an argument in a recording."""
    if isinstance(x, Tensor):
        return x.clone(memory_format=torch.contiguous_format)
    return torch.tensor(x, dtype=torch.float32, device=device) if isinstance(x, float) else x
