"""A memory between encoder and heads, for games that do not show all: an LSTM (Hochreiter & Schmidhuber 1997)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from agents.core import parallel
from agents.core.rows import Batch


class Memory(nn.Module):
    """Reads features row by row. Its state is [B, 2, units], output and cell, and starts anew at each `first` row."""

    def __init__(self, features: int, units: int):
        super().__init__()
        self.cell = nn.LSTMCell(features, units)
        for name, weight in self.cell.named_parameters():
            nn.init.orthogonal_(weight) if name.startswith("weight") else nn.init.zeros_(weight)
        self.features = units

    def initial(self, size: int) -> Tensor:
        """The state before anything was seen, [size, 2, units]."""
        return torch.zeros((size, 2, self.features), device=self.cell.weight_hh.device)

    def forward(self, x: Tensor, state: Tensor | None, first: Tensor) -> tuple[Tensor, Tensor]:
        """x: [B, L, features], state before them (None: nothing was seen), first: bool [B, L].

        Returns what is remembered at each row [B, L, units] and the state after the last. All in float32.
        """
        with torch.autocast(x.device.type, enabled=False):
            rows, keep = x.float().unbind(1), (~first).float().unsqueeze(-1).unbind(1)
            state = self.initial(x.shape[0]) if state is None else state
            state = state if len(state) == len(x) else state.expand(len(x), -1, -1)
            out, cell = state.unbind(1)
            outs = []
            for row, same in zip(rows, keep, strict=True):
                out, cell = self.cell(row, (out * same, cell * same))
                outs.append(out)
        return torch.stack(outs, 1), torch.stack([out, cell], 1)


def columns(minibatch: int, rollout: int) -> int:
    """How many whole windows of `rollout` rows come next to `minibatch` transitions: a memory cannot be cut up."""
    return max(1, round(minibatch / rollout))


def shuffled(envs: int, length: int, minibatch: int, whole: bool, generator: torch.Generator) -> Iterator[Tensor]:
    """Minibatches of the transitions 0 .. envs * length - 1 in random order, int64 [M]; `whole`: of whole windows.

    Where several processes learn together they are drawn over the windows of all, and each has its own of them.
    """
    count, envs = envs * length, envs * parallel.size()
    if not whole:
        for rows in torch.randperm(envs * length, generator=generator, device=generator.device).split(minibatch):
            yield parallel.own(rows, count)
        return
    inside = torch.arange(length, device=generator.device)
    order = torch.randperm(envs, generator=generator, device=generator.device)
    for some in order.split(minibatch // length):
        yield parallel.own((some[:, None] * length + inside).view(-1), count)


def windows(batch: Batch, rows: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """What a recurrent layer reads beside features: state before each window [B, ...], `first` flags [B, length]."""
    chosen = rows[::length] // length
    return batch.memory[chosen], batch.first[chosen, :length]
