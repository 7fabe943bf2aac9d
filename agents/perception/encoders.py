"""Pixels -> features. Every encoder takes observations as stored, [B, stack, *obs_shape], and gives [B, features].

Frames stay uint8 until they are inside; they are permuted to channels-last *before* the cast (four times faster), and
the division by 255 happens in the first layer's weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def to_channels(obs: Tensor, dtype: torch.dtype) -> Tensor:
    """[B, S, H, W] or [B, S, H, W, C] uint8 -> [B, S*C, H, W] of `dtype`, channels last in memory, still 0..255."""
    if obs.ndim == 5:  # [B, S, H, W, C] -> [B, H, W, S*C]
        batch, stack, height, width, channels = obs.shape
        obs = obs.permute(0, 2, 3, 1, 4).reshape(batch, height, width, stack * channels).permute(0, 3, 1, 2)
    return obs.contiguous(memory_format=torch.channels_last).to(dtype)


def computed_in(weight: Tensor) -> torch.dtype:
    """The type that a product with `weight` is computed in: the autocast type where one is on."""
    kind = weight.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype


class Scaled(nn.Conv2d):
    """A first convolution over 0..255 pixels: its weights are divided by 255 instead of every pixel."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight / 255, self.bias, self.stride, self.padding)


def orthogonal(layer: nn.Module, gain: float) -> nn.Module:
    """Orthogonal weights and zero biases, as policy-gradient agents start with (Andrychowicz et al. 2021)."""
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


class Convolutional(nn.Module):
    """Convolutions, then one linear layer: (channels, kernel, stride) for each, ReLU between."""

    def __init__(self, shape: Sequence[int], layers: Sequence[tuple[int, int, int]], hidden: int, norm: bool = False):
        super().__init__()
        channels, height, width = shape
        modules: list[nn.Module] = []
        for i, (out, kernel, stride) in enumerate(layers):
            conv = (Scaled if i == 0 else nn.Conv2d)(channels, out, kernel, stride)
            height, width = (height - kernel) // stride + 1, (width - kernel) // stride + 1
            if min(height, width) < 1:
                raise ValueError(f"images of {shape[1]}x{shape[2]} are too small for this encoder")
            modules.append(orthogonal(conv, math.sqrt(2)))
            if norm:
                modules.append(nn.GroupNorm(1, out))  # layer norm over channels and places
            modules.append(nn.ReLU())
            channels = out
        self.convolutions = nn.Sequential(*modules).to(memory_format=torch.channels_last)
        dense: list[nn.Module] = [orthogonal(nn.Linear(channels * height * width, hidden), math.sqrt(2))]
        if norm:
            dense.append(nn.LayerNorm(hidden))
        self.dense = nn.Sequential(nn.Flatten(), *dense, nn.ReLU())
        self.features = hidden

    def forward(self, obs: Tensor) -> Tensor:
        return self.dense(self.convolutions(to_channels(obs, computed_in(self.dense[1].weight))))


class Dense(nn.Module):
    """Vectors: tanh layers, as small control tasks like them."""

    def __init__(self, inputs: int, hidden: int, layers: int = 2, norm: bool = False):
        super().__init__()
        modules: list[nn.Module] = [nn.Flatten()]
        for i in range(layers):
            modules.append(orthogonal(nn.Linear(inputs if i == 0 else hidden, hidden), math.sqrt(2)))
            modules += [nn.LayerNorm(hidden)] if norm else []
            modules.append(nn.Tanh())
        self.layers = nn.Sequential(*modules)
        self.features = hidden

    def forward(self, obs: Tensor) -> Tensor:
        return self.layers(obs.to(self.layers[1].weight.dtype))


LAYERS = {
    "nature": ((32, 8, 4), (64, 4, 2), (64, 3, 1)),  # Mnih et al. 2015
    "nips": ((16, 8, 4), (32, 4, 2)),  # Mnih et al. 2013
    "small": ((16, 8, 4), (32, 4, 2), (32, 3, 1)),  # Nature's with half the channels: twice as fast on a processor
    "tiny": ((16, 3, 1),),  # pictures of about 10x10 (MinAtar, Young & Tian 2019)
}


def build(obs_shape: Sequence[int], stack: int, name: str, hidden: int, norm: bool = False) -> nn.Module:
    """The encoder `name` for frames of `obs_shape`; "auto" takes Nature's for large pictures."""
    if len(obs_shape) == 1:
        return Dense(obs_shape[0] * stack, hidden, norm=norm)
    if name == "auto":
        name = "nature" if min(obs_shape[:2]) >= 36 else "tiny"
    if name not in LAYERS:
        raise ValueError(f"--encoder {name}: choose auto, {', '.join(LAYERS)}")
    channels = stack * (obs_shape[2] if len(obs_shape) == 3 else 1)
    return Convolutional((channels, obs_shape[0], obs_shape[1]), LAYERS[name], hidden, norm)
