"""Losses as pure functions of tensors. Time is in the names: `q_tm1` stands before the reward `r_t`.

Every loss returns one value per row, [B]; `mean` weighs them.
"""

from __future__ import annotations

import torch
from torch import Tensor


def mean(loss: Tensor, weight: Tensor) -> Tensor:
    """The weighted mean over the rows that count: sum(w * l) / number of w > 0. Same shapes, any rank.

    Importance weights below 1 thus lower a row's share, as in Schaul et al. (2016); rows of weight 0 are not there.
    """
    assert loss.shape == weight.shape
    return (loss * weight).sum() / (weight > 0).sum().clamp(min=1)


def huber(error: Tensor, bound: float) -> Tensor:
    """Quadratic up to `bound`, linear beyond: a gradient clipped to +-bound. bound 0: plain half square."""
    if bound == 0:
        return 0.5 * error.square()
    size = error.abs()
    inner = size.clamp(max=bound)
    return 0.5 * inner.square() + bound * (size - inner)


def q_learning(q_tm1: Tensor, a_tm1: Tensor, r_t: Tensor, d_t: Tensor, q_t: Tensor, a_t: Tensor) -> Tensor:
    """TD error ``r_t + d_t * q_t[a_t] - q_tm1[a_tm1]`` (Watkins 1989; double: van Hasselt et al. 2016).

    q_tm1: [B, A] with gradient; a_tm1: int64 [B]; r_t, d_t: [B] n-step reward and discount; q_t: [B, A] of the
    bootstrap row, from the target network; a_t: int64 [B], the action chosen there. Returns [B].
    """
    assert q_tm1.ndim == q_t.ndim == 2 and r_t.ndim == d_t.ndim == 1
    assert a_tm1.dtype == a_t.dtype == torch.int64
    target = r_t + d_t * q_t.gather(1, a_t[:, None]).squeeze(1)
    return target.detach() - q_tm1.gather(1, a_tm1[:, None]).squeeze(1)


def clipped_surrogate(logp: Tensor, old_logp: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """PPO's pessimistic objective as a loss (Schulman et al. 2017, eq. 7). All [B]."""
    assert logp.shape == old_logp.shape == advantage.shape and logp.ndim == 1
    ratio = (logp - old_logp).exp()
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


def policy_gradient(logp: Tensor, advantage: Tensor) -> Tensor:
    """The score-function estimator (Williams 1992). All [B]."""
    assert logp.shape == advantage.shape and logp.ndim == 1
    return -logp * advantage.detach()
