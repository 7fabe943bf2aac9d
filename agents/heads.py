"""Heads: features -> distributions over actions, values, action values. All compute in float32."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from agents.perception.encoders import orthogonal

LOWEST = -1e9  # logit or value of an illegal action; finite, so that no NaN can arise from 0 * inf


def masked(values: Tensor, legal: Tensor | None) -> Tensor:
    """Illegal actions get the lowest value. values: [..., A], legal: bool [..., A]."""
    return values if legal is None else torch.where(legal, values, LOWEST)


class Categorical(nn.Module):
    """A policy over discrete actions."""

    def __init__(self, features: int, num_actions: int):
        super().__init__()
        self.logits = orthogonal(nn.Linear(features, num_actions), 0.01)

    def forward(self, x: Tensor, legal: Tensor | None) -> Tensor:
        """[B, features] -> log probabilities [B, A]."""
        return torch.log_softmax(masked(self.logits(x.float()), legal), -1)

    def sample(self, logp: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Log probabilities [B, A] -> (action int64 [B], its log probability [B])."""
        action = torch.multinomial(logp.exp(), 1, generator=generator)
        return action.squeeze(1), logp.gather(1, action).squeeze(1)

    def mode(self, logp: Tensor) -> Tensor:
        return logp.argmax(-1)

    def logp(self, logp: Tensor, action: Tensor) -> Tensor:
        return logp.gather(1, action[:, None]).squeeze(1)

    def entropy(self, logp: Tensor) -> Tensor:
        return -(logp.exp() * logp).sum(-1)


class Gaussian(nn.Module):
    """A policy over actions in [-1, 1]^D: independent normals, one learned deviation per axis.

    The environment clips; the density is that of the unclipped action, as is common (Andrychowicz et al. 2021).
    """

    def __init__(self, features: int, action_dim: int):
        super().__init__()
        self.mean = orthogonal(nn.Linear(features, action_dim), 0.01)
        self.log_std = nn.Parameter(torch.full((action_dim,), -0.5))

    def forward(self, x: Tensor, legal: Tensor | None = None) -> Tensor:
        """[B, features] -> [B, D, 2]: mean and log deviation."""
        mean = self.mean(x.float())
        return torch.stack([mean, self.log_std.expand_as(mean)], -1)

    def sample(self, params: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        noise = torch.randn(params.shape[:-1], generator=generator, device=params.device)
        action = params[..., 0] + params[..., 1].exp() * noise
        return action, self.logp(params, action)

    def mode(self, params: Tensor) -> Tensor:
        return params[..., 0]

    def logp(self, params: Tensor, action: Tensor) -> Tensor:
        mean, log_std = params.unbind(-1)
        return (-0.5 * ((action - mean) / log_std.exp()) ** 2 - log_std - 0.5 * math.log(2 * math.pi)).sum(-1)

    def entropy(self, params: Tensor) -> Tensor:
        return (params[..., 1] + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)


class Value(nn.Module):
    """State value [B]."""

    def __init__(self, features: int):
        super().__init__()
        self.value = orthogonal(nn.Linear(features, 1), 1.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.value(x.float()).squeeze(-1)


class ActionValues(nn.Module):
    """Action values [B, A]; dueling (Wang et al. 2016): V + A - mean A."""

    def __init__(self, features: int, num_actions: int, dueling: bool = False):
        super().__init__()
        self.advantage = nn.Linear(features, num_actions)
        self.value = nn.Linear(features, 1) if dueling else None

    def forward(self, x: Tensor) -> Tensor:
        x = x.float()
        advantage = self.advantage(x)
        if self.value is None:
            return advantage
        return self.value(x) + advantage - advantage.mean(-1, keepdim=True)
