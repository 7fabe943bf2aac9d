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


class VTrace(NamedTuple):
    """What rows of an older policy are worth to the present one."""

    target: Tensor  # [B, L-1] target of the value
    advantage: Tensor  # [B, L-1] advantage for the policy gradient, already weighted by the truncated ratio


def vtrace(
    reward: Tensor, discount: Tensor, last: Tensor, value: Tensor, log_ratio: Tensor, gamma: float, lam: float = 1.0,
    bounds: tuple[float, float] = (1.0, 1.0),
) -> VTrace:  # fmt: skip
    """V-trace (Espeholt et al. 2018, section 4.1): returns of the present policy from rows that another one collected.

    reward, discount, last, value: [B, L], the values by the present network. log_ratio: [B, L-1], log of the
    probability of each action now over that when it was chosen. lam: remark 2 of the paper. bounds: those of the ratio
    in the temporal difference (rho) and in the trace (c). With ratios of 1 the target is `lambda_returns`.
    """
    assert reward.shape == discount.shape == last.shape == value.shape and reward.ndim == 2
    assert log_ratio.shape == (reward.shape[0], reward.shape[1] - 1)
    ratio = log_ratio.exp()
    rho, c = ratio.clamp(max=bounds[0]), lam * ratio.clamp(max=bounds[1])
    later = gamma * discount[:, 1:]  # [B, L-1]
    difference = rho * (reward[:, 1:] + later * value[:, 1:] - value[:, :-1])
    inside = (~last[:, 1:]).to(value.dtype)  # 0 where the next row ends the episode: no trace goes on from there
    excess, target = torch.zeros_like(value[:, 0]), torch.empty_like(value)
    target[:, -1] = value[:, -1]
    for t in range(reward.shape[1] - 2, -1, -1):
        excess = difference[:, t] + later[:, t] * c[:, t] * inside[:, t] * excess
        target[:, t] = value[:, t] + excess
    follows = torch.where(last[:, 1:], value[:, 1:], target[:, 1:])
    advantage = rho * (reward[:, 1:] + later * follows - value[:, :-1])
    return VTrace(target[:, :-1], advantage)


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
