"""What a ring holds beside its frames, read for many windows: in one compiled call on the processor.

About twenty small tensor operations would cost more than copying the frames: every draw moves megabytes and so evicts
their data from the caches (docs/log.md). On other devices the same is done by tensor operations.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numba import njit
from torch import Tensor


class RingColumns(NamedTuple):
    """The one-number columns of a ring, [N * length] each, one environment's rows after the other."""

    first: Any
    last: Any
    reward: Any
    discount: Any


class Windows(NamedTuple):
    """B windows of L rows, and the S - 1 frames before them."""

    flat: Tensor  # int64 [B, S-1+L]: place of each frame in the ring
    begun: Tensor  # bool [B, S-1+L]: an episode begins at the frame
    last: Tensor  # bool [B, L]
    reward: Tensor  # float32 [B, L]
    discount: Tensor  # float32 [B, L]
    weight: Tensor  # float32 [B, L-1] ([B, 1] where L = 1): 0 where row t is `last`
    inside: bool  # True where an episode begins inside a window; on a GPU always True, as nothing is waited for


def by_tensors(index: Tensor, num_envs: int, length: int, window: int, stack: int, columns: RingColumns) -> Windows:
    """The windows that start at the slots `index` (time * num_envs + column), int64 [B], on any device."""
    offsets = torch.arange(1 - stack, window, device=index.device)  # [S-1+L]
    time = index.div(num_envs, rounding_mode="floor")  # [B]
    base = index.sub(time, alpha=num_envs).mul_(length)  # [B] start of the environment's rows
    flat = time[:, None].add(offsets).remainder_(length).add_(base[:, None])
    rows = flat[:, stack - 1 :].contiguous().view(-1)
    last, reward, discount = (x.index_select(0, rows).view(len(index), window) for x in columns[1:])
    begun = columns.first.index_select(0, flat.view(-1)).view(flat.shape)
    weight = (~(last[:, :-1] if window > 1 else last)).to(torch.float32)
    return Windows(flat, begun, last, reward, discount, weight, begun.is_cuda or bool(begun[:, 1:].any()))


def compiled(index: Tensor, num_envs: int, length: int, window: int, stack: int, columns: RingColumns) -> Windows:
    """The same; `index` and `columns` in the processor's memory, the columns as arrays."""
    size, frames = len(index), stack - 1 + window
    flat, begun = np.empty((size, frames), np.int64), np.empty((size, frames), np.bool_)
    last, (reward, discount) = np.empty((size, window), np.bool_), np.empty((2, size, window), np.float32)
    weight = np.empty((size, max(1, window - 1)), np.float32)
    inside = _fill(
        index.numpy(), num_envs, length, window, stack, *columns, flat, begun, last, reward, discount, weight
    )
    return Windows(*map(torch.from_numpy, (flat, begun, last, reward, discount, weight)), inside)


@njit(cache=True, nogil=True)
def _fill(  # noqa: PLR0913, PLR0917 arrays one by one: a tuple of them would be unpacked in every call
    index, num_envs, length, window, stack,
    column_first, column_last, column_reward, column_discount,
    flat, begun, last, reward, discount, weight,
):  # fmt: skip
    inside = False
    for b in range(len(index)):
        time, env = divmod(index[b], num_envs)
        for k in range(stack - 1 + window):
            at = env * length + (time + k - stack + 1) % length
            flat[b, k] = at
            begun[b, k] = column_first[at]
            inside |= k > 0 and column_first[at]
            row = k - stack + 1
            if row >= 0:
                last[b, row] = column_last[at]
                reward[b, row] = column_reward[at]
                discount[b, row] = column_discount[at]
                if row < weight.shape[1]:
                    weight[b, row] = not column_last[at]
    return inside
