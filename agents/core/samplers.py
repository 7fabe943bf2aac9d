"""Which windows a ring yields: Uniform, Newest, Prioritized, Recent.

The ring tells a sampler that `follows` it which window starts have become drawable (`opened`) and which no longer are
(`closed`); the sampler answers `draw` with flat slots ``time * num_envs + column`` and importance weights, or with
None where nothing may be drawn yet.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor


class Starts(NamedTuple):
    """The window starts that a ring holds, per column (host side)."""

    oldest: np.ndarray  # int64 [N] time slot of the oldest drawable start
    count: np.ndarray  # int64 [N] number of starts that follow one another from there
    length: int  # time slots of the ring
    total: int  # drawable starts of all columns
    alike: bool  # True where all columns hold the same times


class Sampler(Protocol):
    """What a replay buffer asks which windows to read. Its state is part of a checkpoint."""

    follows: bool  # True where the sampler needs `opened` and `closed`; known once it is bound

    def bind(self, size: int, device: torch.device, finished_only: bool) -> None:
        """size: slots of the replay buffer. finished_only: only windows that were `opened` may be drawn."""
        ...

    def opened(self, index: Tensor) -> None:
        """The windows that start at these slots may be drawn now."""
        ...

    def closed(self, index: Tensor) -> None:
        """They may no longer be drawn."""
        ...

    def draw(self, size: int, starts: Starts, generator: torch.Generator) -> tuple[Tensor, Tensor | None] | None:
        """`size` slots [B] and their importance weights [B], None for all 1. None where nothing may be drawn yet."""
        ...

    def update(self, index: Tensor, priority: Tensor, beta: float | None = None) -> None:
        """New priorities [B] of the windows at the slots [B], and what else an agent says in `Priority`."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Returns what a checkpoint must hold of it."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from what `state_dict` returned."""
        ...


class PrefixSums:
    """Non-negative weights over slots with draws proportional to them, on any device.

    Two levels: sums of blocks of `block` leaves, recomputed (never incremented, so rounding cannot pile up) for each
    block that is touched. A draw costs one cumulative sum over the blocks and one within a block.
    """

    def __init__(self, size: int, device: torch.device | str, block: int = 512):
        self.block = block
        blocks = -(-size // block)
        self.leaves = torch.zeros(blocks, block, dtype=torch.float32, device=device)
        self.exact = torch.float32 if torch.device(device).type == "mps" else torch.float64  # Metal has no float64
        self.sums = torch.zeros(blocks, dtype=self.exact, device=device)

    def get(self, index: Tensor) -> Tensor:
        """Returns the weights of these slots (int64), float32 of the same shape."""
        return self.leaves.view(-1)[index]

    def set(self, index: Tensor, value: Tensor | float) -> None:
        """index: int64 [B], value: [B] or a number >= 0."""
        if isinstance(value, Tensor):
            self.leaves.view(-1)[index] = value
        else:
            self.leaves.view(-1).index_fill_(0, index, value)
        touched = index // self.block
        if not touched.is_cuda:  # many neighbours share a block; on a GPU recomputing is cheaper than a sync
            touched = torch.unique_consecutive(touched)
        self.sums[touched] = self.leaves.index_select(0, touched).sum(1, dtype=self.exact)

    @property
    def total(self) -> Tensor:
        """Returns the sum of all weights, a scalar tensor of dtype `exact`."""
        return self.sums.sum()

    def find(self, target: Tensor) -> Tensor:
        """The slot at which the running sum passes `target` (`exact` [B], in 0..total). Never a slot of weight 0."""
        ends = self.sums.cumsum(0)
        below = 1 - 4 * torch.finfo(self.exact).eps  # keeps the target strictly inside, whatever the rounding
        target = torch.minimum(target, ends[-1] * below)
        at = torch.searchsorted(ends, target, right=True).clamp_(max=len(ends) - 1)  # [B]
        inner = self.leaves.index_select(0, at).to(self.exact).cumsum_(1)  # [B, block]
        rest = target - (ends[at] - self.sums[at])
        rest = torch.minimum(rest, inner[:, -1] * below).clamp_(min=0)
        leaf = torch.searchsorted(inner, rest[:, None], right=True).squeeze(1).clamp_(max=self.block - 1)
        return at * self.block + leaf

    def any(self) -> bool:
        """Is there a slot of a weight above 0? Waits for the device."""
        return bool(self.total > 0)

    def draw(self, size: int, generator: torch.Generator) -> Tensor:
        """`size` slots by stratified draws (Schaul et al. 2016, appendix B.2.1)."""
        u = torch.rand(size, dtype=self.exact, device=self.leaves.device, generator=generator)
        strata = torch.arange(size, dtype=self.exact, device=self.leaves.device)
        return self.find((strata + u) / size * self.total)

    def state_dict(self) -> dict[str, Any]:
        return {"leaves": self.leaves}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.leaves.copy_(state["leaves"])
        self.sums.copy_(self.leaves.sum(1, dtype=self.exact))


class Uniform:
    """Every drawable start with equal probability.

    In a ring with `on_episode_end` only rows of finished episodes are drawable; then the starts are kept in
    `PrefixSums`, otherwise arithmetic on the cursors is enough.
    """

    def bind(self, size: int, device: torch.device, finished_only: bool) -> None:
        self.drawable = PrefixSums(size, device) if finished_only else None
        self.follows = finished_only

    def opened(self, index: Tensor) -> None:
        self.drawable.set(index, 1.0)

    def closed(self, index: Tensor) -> None:
        self.drawable.set(index, 0.0)

    def update(self, index: Tensor, priority: Tensor, beta: float | None = None) -> None:
        """Every start stays as likely as the others."""

    def draw(self, size: int, starts: Starts, generator: torch.Generator) -> tuple[Tensor, Tensor | None] | None:
        if self.drawable is not None:
            return (self.drawable.draw(size, generator), None) if self.drawable.any() else None
        if not starts.total:
            return None
        n = len(starts.count)
        device = generator.device
        flat = torch.randint(starts.total, (size,), device=device, generator=generator)
        if starts.alike:
            if starts.oldest[0] == 0:
                return flat, None
            return flat.add_(int(starts.oldest[0]) * n).remainder_(starts.length * n), None
        ends = torch.as_tensor(starts.count.cumsum(), device=device)
        column = torch.searchsorted(ends, flat, right=True)  # [B]
        begin = ends - torch.as_tensor(starts.count, device=device)
        time = torch.as_tensor(starts.oldest, device=device)[column] + flat - begin[column]
        return time.remainder_(starts.length) * n + column, None

    def state_dict(self) -> dict[str, Any]:
        return {} if self.drawable is None else self.drawable.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.drawable is not None:
            self.drawable.load_state_dict(state)


class Newest:
    """The newest share of all starts that were ever drawable, with equal probability: a replay window that grows.

    Under uniform draws from a ring that is still filling, the first rows are trained many times more than the average:
    `ratio` draws a new row make ratio * ln(n / m) of each of the first m rows by the time that there are n. Here a row
    leaves before: at most ``ratio * ln(1 / (1 - share)) / share`` draws of any, until the ring is full, and about
    `ratio` from then on. KataGo's window grows for the same reason (Wu 2019, section 3).

    share: above 0 and below 1.
    """

    follows = True

    def __init__(self, share: float):
        self.share = share

    def bind(self, size: int, device: torch.device, finished_only: bool) -> None:
        self.drawable = PrefixSums(size, device)
        self.number = torch.full((size,), -1, dtype=torch.int64, device=device)  # number of each slot's newest start
        self.slot = torch.zeros(size, dtype=torch.int64, device=device)  # slot of each number, modulo the size
        self.total = 0  # starts that were ever opened
        self.gone = 0  # starts of lower numbers may no longer be drawn

    def opened(self, index: Tensor) -> None:
        if not len(index):
            return
        numbers = torch.arange(self.total, self.total + len(index), device=index.device)
        self.number[index], self.slot[numbers % len(self.slot)] = numbers, index
        self.drawable.set(index, 1.0)
        self.total += len(index)
        self._leave()

    def _leave(self) -> None:
        """Closes what has grown too old."""
        oldest = max(self.gone, int(self.total * (1.0 - self.share)))
        known = max(self.gone, self.total - len(self.slot))  # earlier numbers have lost their slots to later ones
        self.gone = oldest
        if known < oldest:
            numbers = torch.arange(known, oldest, device=self.slot.device)
            slots = self.slot[numbers % len(self.slot)]
            self.drawable.set(slots[self.number[slots] == numbers], 0.0)  # others hold a newer start already

    def closed(self, index: Tensor) -> None:
        self.drawable.set(index, 0.0)

    def update(self, index: Tensor, priority: Tensor, beta: float | None = None) -> None:
        """Every start stays as likely as the others."""

    def draw(self, size: int, starts: Starts, generator: torch.Generator) -> tuple[Tensor, None] | None:
        return (self.drawable.draw(size, generator), None) if self.drawable.any() else None

    def state_dict(self) -> dict[str, Any]:
        order = {"number": self.number, "slot": self.slot, "total": self.total, "gone": self.gone}
        return {**self.drawable.state_dict(), **order}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.drawable.load_state_dict(state)
        if "number" in state:
            self.number.copy_(state["number"])
            self.slot.copy_(state["slot"])
            self.total, self.gone = state["total"], state["gone"]
        else:  # a checkpoint of uniform draws: its starts are numbered as they lie
            found = (self.drawable.leaves.view(-1) > 0).nonzero().view(-1)
            self.number.fill_(-1)
            self.total = self.gone = 0
            self.opened(found)


class Prioritized:
    """Proportional prioritization (Schaul et al. 2016): P(i) ~ p_i^alpha, weight (n P(i))^-beta / max of the batch.

    New rows enter with the largest priority ever given.
    """

    follows = True

    def __init__(self, alpha: float = 0.6, beta: float = 0.4, epsilon: float = 1e-6):
        self.alpha = alpha
        self.beta = beta
        self.epsilon = epsilon  # addend of |priority|, so that every row may be drawn again

    def bind(self, size: int, device: torch.device, finished_only: bool) -> None:
        self.tree = PrefixSums(size, device)
        self.largest = torch.ones((), device=device)  # largest p^alpha so far
        self.finished_only = finished_only

    def opened(self, index: Tensor) -> None:
        self.tree.set(index, self.largest.expand(len(index)))

    def closed(self, index: Tensor) -> None:
        self.tree.set(index, 0.0)

    def draw(self, size: int, starts: Starts, generator: torch.Generator) -> tuple[Tensor, Tensor] | None:
        if not starts.total or (self.finished_only and not self.tree.any()):
            return None
        index = self.tree.draw(size, generator)
        share = self.tree.get(index) / self.tree.total.float()  # [B] probability
        weight = (share * starts.total).pow(-self.beta)
        return index, weight / weight.max()

    def update(self, index: Tensor, priority: Tensor, beta: float | None = None) -> None:
        """priority: [B], for instance |TD error|. Slots that have been closed since the draw stay closed.

        beta: exponent of the importance weights from the next draw on; None: as it was.
        """
        self.beta = self.beta if beta is None else beta
        value = (priority.abs().float() + self.epsilon).pow(self.alpha)
        self.largest = torch.maximum(self.largest, value.max())
        self.tree.set(index, torch.where(self.tree.get(index) > 0, value, 0.0))

    def state_dict(self) -> dict[str, Any]:
        return {"tree": self.tree.state_dict(), "largest": self.largest, "beta": self.beta}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.tree.load_state_dict(state["tree"])
        self.largest = state["largest"].to(self.largest.device)
        self.beta = state["beta"]


class Recent:
    """The newest window of every column, in column order: the rollout of on-policy agents."""

    follows = False

    def bind(self, size: int, device: torch.device, finished_only: bool) -> None:
        self.device = device

    def opened(self, index: Tensor) -> None:
        """The cursors of the ring tell which windows are the newest."""

    def closed(self, index: Tensor) -> None:
        """See `opened`."""

    def update(self, index: Tensor, priority: Tensor, beta: float | None = None) -> None:
        """Nothing is more likely than anything else."""

    def draw(self, size: int, starts: Starts, generator: torch.Generator) -> tuple[Tensor, None] | None:
        n = len(starts.count)
        if not starts.count.all():  # a column holds no window yet
            return None
        newest = (starts.oldest + starts.count - 1) % starts.length  # [N]
        return torch.as_tensor(newest * n + np.arange(n), device=self.device), None

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass
