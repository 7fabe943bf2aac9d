"""Losses as pure functions of tensors. Time is in the names: `q_tm1` stands before the reward `r_t`.

Every loss returns one value per row, [B]; `mean` weighs them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from agents.core import parallel


def mean(loss: Tensor, weight: Tensor) -> Tensor:
    """The weighted mean over the rows that count: sum(w * l) / number of w > 0. Same shapes, any rank.

    Importance weights below 1 thus lower a row's share, as in Schaul et al. (2016); rows of weight 0 are not there.
    Where several processes learn together it is this one's part: their sum is the mean over all rows.
    """
    assert loss.shape == weight.shape
    return (loss * weight).sum() / parallel.rows_that_count(weight).clamp(min=1)


def huber(error: Tensor, bound: float) -> Tensor:
    """Quadratic up to `bound`, linear beyond: a gradient clipped to +-bound. bound 0: plain half square."""
    if bound == 0:
        return 0.5 * error.square()
    size = error.abs()
    inner = size.clamp(max=bound)
    return 0.5 * inner.square() + bound * (size - inner)


def clipped_surrogate(logp: Tensor, old_logp: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """PPO's pessimistic objective as a loss (Schulman et al. 2017, eq. 7). All [B]."""
    assert logp.shape == old_logp.shape == advantage.shape and logp.ndim == 1
    ratio = (logp - old_logp).exp()
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


def policy_gradient(logp: Tensor, advantage: Tensor) -> Tensor:
    """The score-function estimator (Williams 1992). All [B]."""
    assert logp.shape == advantage.shape and logp.ndim == 1
    return -logp * advantage.detach()


def categorical_projection(z_t: Tensor, p_t: Tensor, support: Tensor) -> Tensor:
    """Projects probabilities `p_t` at values `z_t` onto a fixed, evenly spaced support (Bellemare et al. 2017, alg. 1).

    z_t: [B, K] values r + d * support; p_t: [B, K]; support: [M]. Returns [B, M].
    """
    assert z_t.shape == p_t.shape and z_t.ndim == 2 and support.ndim == 1
    gap = support[1] - support[0]
    z_t = z_t.clamp(support[0], support[-1])
    share = (1 - (z_t[:, None, :] - support[None, :, None]).abs() / gap).clamp(0, 1)  # [B, M, K]
    return (share * p_t[:, None, :]).sum(-1)


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Of a target distribution and logits, both [B, M]. Returns [B]."""
    assert logits.shape == target.shape and logits.ndim == 2
    return -(target.detach() * torch.log_softmax(logits, -1)).sum(-1)


def quantile_regression(theta: Tensor, tau: Tensor, target: Tensor, bound: float) -> Tensor:
    """Quantile Huber loss (Dabney et al. 2018a, eq. 10): sum over the quantiles, mean over the target's samples.

    theta: [B, M] quantile values with gradient; tau: [B, M] or [1, M] their levels in 0..1; target: [B, K] samples.
    Returns [B].
    """
    assert theta.ndim == tau.ndim == target.ndim == 2
    error = target.detach()[:, None, :] - theta[:, :, None]  # [B, M, K]
    tilt = (tau[:, :, None] - (error < 0).to(error.dtype)).abs()
    return (tilt * huber(error, bound) / (bound or 1)).mean(2).sum(1)


def soft_policy(q: Tensor, temperature: float, legal: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Boltzmann policy of action values: (probabilities, log probabilities), [B, A] each; illegal actions get 0."""
    q = q if legal is None else torch.where(legal, q, -torch.inf)
    logp = torch.log_softmax(q / temperature, -1)
    return logp.exp(), logp.clamp(min=-1e9)


def munchausen_bonus(
    q: Tensor, action: Tensor, alpha: float, temperature: float, lowest: float, legal: Tensor | None = None
) -> Tensor:
    """alpha * max(temperature * log pi(action), lowest) (Vieillard et al. 2020, eq. 2). q: [B, A]; returns [B].

    legal: bool [B, A]; an action without an alternative has the probability 1, and no bonus.
    """
    assert q.ndim == 2 and action.ndim == 1
    logp = soft_policy(q, temperature, legal)[1].gather(1, action[:, None]).squeeze(1)
    return alpha * (temperature * logp).clamp(lowest, 0)
