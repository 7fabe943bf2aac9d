"""Returns of windows of rows: one recursion for TD(n), GAE, Q(lambda) and the outcome of a game.

    G_t = r_{t+1} + gamma * d_{t+1} * [(1 - lam) * v_{t+1} + lam * G_{t+1}],   lam := 0 where row t+1 is last

Sutton & Barto (2018), section 12.3; Schulman et al. (2016) for the advantages ``G - v`` (GAE). Where row t itself
is ``last`` the transition does not exist: the value there is meaningless and carries weight 0.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


def lambda_returns(reward: Tensor, discount: Tensor, last: Tensor, value: Tensor, gamma: float, lam: float) -> Tensor:
    """G of every row but the last of the window.

    reward, discount, last, value: [B, L], value in the view of the side to move at its row. Returns [B, L-1].
    The window's final row is bootstrapped with its value.
    """
    assert reward.shape == discount.shape == last.shape == value.shape and reward.ndim == 2
    length = reward.shape[1]
    lam_t = lam * (~last).to(value.dtype)  # [B, L]
    result = torch.empty_like(value[:, :-1])
    g_t = value[:, -1]
    for t in range(length - 2, -1, -1):
        mixed = (1 - lam_t[:, t + 1]) * value[:, t + 1] + lam_t[:, t + 1] * g_t
        g_t = reward[:, t + 1] + gamma * discount[:, t + 1] * mixed
        result[:, t] = g_t
    return result


class NStep(NamedTuple):
    """``G = reward + discount * v(row `boot`)`` of the first row of each window."""

    reward: Tensor  # [B] discounted sum of the rewards up to row `boot`
    discount: Tensor  # [B] product of gamma and discounts up to row `boot`; negative where the view changes
    boot: Tensor  # int64 [B] row of the window to bootstrap from: L-1, or the first row that is last


def n_step(reward: Tensor, discount: Tensor, last: Tensor, gamma: float) -> NStep:
    """The n-step return of row 0 over a window of n+1 rows, cut at the first ``last`` row after it. [B, L] -> [B]."""
    assert reward.shape == discount.shape == last.shape and reward.ndim == 2 and reward.shape[1] >= 2
    open_ = torch.cumprod((~last[:, 1:-1]).to(reward.dtype), 1)  # [B, L-2] 1 while no row 1..t was last
    open_ = torch.cat([torch.ones_like(reward[:, :1]), open_], 1)  # [B, L-1] 1 where transition t -> t+1 is inside
    step = torch.where(open_ > 0, gamma * discount[:, 1:], 1.0)  # [B, L-1]
    product = torch.cumprod(step, 1)  # [B, L-1]
    before = torch.cat([torch.ones_like(product[:, :1]), product[:, :-1]], 1)
    return NStep((before * open_ * reward[:, 1:]).sum(1), product[:, -1], open_.sum(1).long())


def outcome(reward: Tensor, discount: Tensor) -> Tensor:
    """The undiscounted outcome of one finished game, in the view of the side to move at each row.

    reward, discount: [L], the rows of one episode. Returns [L]; the final row's outcome is 0 (nothing follows).
    """
    assert reward.ndim == 1 and reward.shape == discount.shape
    result = torch.zeros_like(reward)
    for t in range(len(reward) - 2, -1, -1):
        result[t] = reward[t + 1] + discount[t + 1] * result[t + 1]
    return result
