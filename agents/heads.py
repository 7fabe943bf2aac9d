"""Heads: features -> distributions over actions, values, action values. All compute in float32."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from agents.perception.encoders import NoisyLinear, orthogonal

LOWEST = -1e9  # logit or value of an illegal action; finite, so that no NaN can arise from 0 * inf


def masked(values: Tensor, legal: Tensor | None) -> Tensor:
    """Illegal actions get the lowest value. values: [..., A], legal: bool [..., A]."""
    return values if legal is None else torch.where(legal, values, LOWEST)


class Linear(nn.Linear):
    """A linear layer that stays in float32 where autocast is on around it: bfloat16 has 3 digits, values need more."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


class Choices:
    """What is asked of a distribution over discrete actions, given its log probabilities."""

    def sample(self, logp: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Log probabilities [B, A] -> (action int64 [B], its log probability [B])."""
        # Weights that have just diverged still act: the next loss is not finite and is reported by name.
        weight = logp.exp().nan_to_num(nan=1.0)
        # The first of exponential clocks with these rates: torch.multinomial's draw, without its checks.
        action = (weight / torch.empty_like(weight).exponential_(generator=generator)).argmax(1)
        return action, logp.gather(1, action[:, None]).squeeze(1)

    def mode(self, logp: Tensor) -> Tensor:
        """Returns the most probable action, int64 [B]."""
        return logp.argmax(-1)

    def logp(self, logp: Tensor, action: Tensor) -> Tensor:
        """Returns the log probability [B] of each action (int64 [B])."""
        return logp.gather(1, action[:, None]).squeeze(1)

    def entropy(self, logp: Tensor) -> Tensor:
        """Returns the entropy [B] of each distribution, in nats."""
        return -(logp.exp() * logp).sum(-1)


class Categorical(Choices, nn.Module):
    """A policy over discrete actions."""

    def __init__(self, features: int, num_actions: int):
        super().__init__()
        self.logits = orthogonal(Linear(features, num_actions), 0.01)

    def forward(self, x: Tensor, legal: Tensor | None) -> Tensor:
        """[B, features] -> log probabilities [B, A]."""
        return torch.log_softmax(masked(self.logits(x), legal), -1)


class Gaussian(nn.Module):
    """A policy over actions in [-1, 1]^D: independent normals, one learned deviation per axis.

    The environment clips; the density is that of the unclipped action, as is common (Andrychowicz et al. 2021).
    """

    def __init__(self, features: int, action_dim: int):
        super().__init__()
        self.mean = orthogonal(Linear(features, action_dim), 0.01)
        self.log_std = nn.Parameter(torch.full((action_dim,), -0.5))

    def forward(self, x: Tensor, legal: Tensor | None = None) -> Tensor:
        """[B, features] -> [B, D, 2]: mean and log deviation."""
        mean = self.mean(x)
        return torch.stack([mean, self.log_std.expand_as(mean)], -1)

    def sample(self, params: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draws actions [B, D], not clipped, from parameters [B, D, 2]; returns them and their log densities [B]."""
        noise = torch.randn(params.shape[:-1], generator=generator, device=params.device)
        action = (params[..., 0] + params[..., 1].exp() * noise).nan_to_num()  # see Categorical
        return action, self.logp(params, action)

    def mode(self, params: Tensor) -> Tensor:
        """Returns the mean of each distribution, [B, D]."""
        return params[..., 0]

    def logp(self, params: Tensor, action: Tensor) -> Tensor:
        """Returns the log density [B] of each action ([B, D], not clipped)."""
        mean, log_std = params.unbind(-1)
        return (-0.5 * ((action - mean) / log_std.exp()) ** 2 - log_std - 0.5 * math.log(2 * math.pi)).sum(-1)

    def entropy(self, params: Tensor) -> Tensor:
        """Returns the differential entropy [B] of each distribution, in nats."""
        return (params[..., 1] + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)


class Value(nn.Module):
    """State value [B]."""

    def __init__(self, features: int):
        super().__init__()
        self.value = orthogonal(Linear(features, 1), 1.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.value(x).squeeze(-1)


class ActionValues(nn.Module):
    """Values of actions, M numbers each (1: the mean; else atoms or quantiles of the return).

    dueling (Wang et al. 2016): a stream each for value and advantages, V + A - mean A. noisy: NoisyLinear layers
    (Fortunato et al. 2018). The last layer computes in float32.
    """

    def __init__(
        self, features: int, hidden: int, num_actions: int, atoms: int = 1, dueling: bool = False, noisy: bool = False
    ):
        super().__init__()
        layer, last = (NoisyLinear, NoisyLinear) if noisy else (nn.Linear, Linear)
        self.shape = (num_actions, atoms)
        self.hidden = layer(features, hidden)
        self.advantage = last(hidden, num_actions * atoms)
        self.value_hidden = layer(features, hidden) if dueling else None
        self.value = last(hidden, atoms) if dueling else None

    def forward(self, x: Tensor) -> Tensor:
        """[..., features] -> [..., A, M]."""
        advantage = torch.relu(self.hidden(x)).float()
        value = None if self.value is None else torch.relu(self.value_hidden(x)).float()
        with torch.autocast(x.device.type, enabled=False):
            out = self.advantage(advantage).unflatten(-1, self.shape)
            if value is None:
                return out
            return self.value(value).unsqueeze(-2) + out - out.mean(-2, keepdim=True)


class Cosine(nn.Module):
    """Embeds quantile levels and multiplies them into features (Dabney et al. 2018b, eq. 4)."""

    def __init__(self, features: int, cosines: int = 64):
        super().__init__()
        self.linear = nn.Linear(cosines, features)
        self.register_buffer("multiples", math.pi * torch.arange(cosines, dtype=torch.float32))

    def forward(self, x: Tensor, tau: Tensor) -> Tensor:
        """x: [B, features], tau: [B, K] in 0..1 -> [B, K, features]."""
        return x[:, None, :] * torch.relu(self.linear(torch.cos(tau[..., None] * self.multiples)))
