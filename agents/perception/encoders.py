"""Pixels -> features. Every encoder takes observations as stored, [B, stack, *obs_shape], and gives [B, features].

Frames stay uint8 until they are inside; they are permuted to channels-last *before* the cast (four times faster), and
the division by 255 happens in the first layer's weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numba import njit
from torch import Tensor, nn
from torch.jit import is_tracing


def to_channels(obs: Tensor, dtype: torch.dtype) -> Tensor:
    """[B, S, H, W] or [B, S, H, W, C] uint8 -> [B, S*C, H, W] of `dtype`, channels last in memory, still 0..255."""
    if obs.ndim == 4 and obs.shape[1] == 4 and obs.dtype == torch.uint8 and _plain(obs):
        obs = _interleaved(obs.contiguous())
    if obs.ndim == 5 and obs.is_floating_point() and _plain(obs):
        return _gathered(obs, dtype)
    if obs.ndim == 5:  # [B, S, H, W, C] -> [B, H, W, S*C]
        batch, stack, height, width, channels = obs.shape
        obs = obs.permute(0, 2, 3, 1, 4).reshape(batch, height, width, stack * channels).permute(0, 3, 1, 2)
    return obs.contiguous(memory_format=torch.channels_last).to(dtype)


def planes_to_channels(obs: Tensor, dtype: torch.dtype) -> Tensor:
    """[B, S, C, H, W] planes -> [B, S*C, H, W] of `dtype`, channels last in memory; the values stay as they are."""
    return obs.flatten(1, 2).contiguous(memory_format=torch.channels_last).to(dtype)


def _plain(obs: Tensor) -> bool:
    """Is it memory that compiled code can read, and is nobody recording what is done with it?"""
    return obs.device.type == "cpu" and not torch.compiler.is_compiling() and not is_tracing()


def _gathered(obs: Tensor, dtype: torch.dtype) -> Tensor:
    """[B, S, H, W, C] -> [B, S*C, H, W] of `dtype`, channels last in memory, colour by colour: three times as fast as a
    permutation where the colours' planes lie apart, as augmented pictures have them."""
    batch, stack, height, width, channels = obs.shape
    out = torch.empty((batch, height, width, stack * channels), dtype=dtype)
    for i in range(stack):
        for k in range(channels):
            out[..., i * channels + k] = obs[:, i, ..., k]
    return out.permute(0, 3, 1, 2)


def _interleaved(obs: Tensor) -> Tensor:
    """uint8 [B, 4, H, W] -> the same with channels last in memory, 17 times as fast as torch does it."""
    size, stack, height, width = obs.shape
    out = torch.empty((size, height, width, stack), dtype=torch.uint8)
    _interleave(obs.numpy().reshape(size, stack, height * width), out.numpy().view(np.uint32).reshape(size, -1))
    return out.permute(0, 3, 1, 2)


@njit(cache=True, nogil=True)
def _interleave(planes: np.ndarray, out: np.ndarray) -> None:
    """planes: uint8 [B, 4, P]; out: uint32 [B, P], a pixel of all four planes each, the first in the lowest byte."""
    for b in range(len(out)):
        row, (one, two, three, four) = out[b], planes[b]
        for p in range(len(row)):
            row[p] = one[p] | two[p] << np.uint32(8) | three[p] << np.uint32(16) | four[p] << np.uint32(24)


def computed_in(weight: Tensor) -> torch.dtype:
    """The type that a product with `weight` is computed in: the autocast type where one is on."""
    kind = weight.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype


class Scaled(nn.Conv2d):
    """A first convolution over 0..255 pixels: its weights are divided by 255 instead of every pixel."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight / 255, self.bias, self.stride, self.padding)


class Centred(nn.Conv2d):
    """A first convolution over 0..255 pixels that sees them as -1..1. x - 127.5 is exact in bfloat16 too."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x - 127.5, self.weight / 127.5, self.bias, self.stride, self.padding)


def orthogonal(layer: nn.Module, gain: float) -> nn.Module:
    """Orthogonal weights and zero biases, as policy-gradient agents start with (Andrychowicz et al. 2021)."""
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


class NoisyLinear(nn.Module):
    """A linear layer with factorised Gaussian noise on its weights (Fortunato et al. 2018).

    Noise is drawn by `redraw`; while evaluating it is zero.
    """

    def __init__(self, inputs: int, outputs: int, sigma: float = 0.5):
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(outputs, inputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound))
        self.weight_sigma = nn.Parameter(torch.full((outputs, inputs), sigma * bound))
        self.bias_sigma = nn.Parameter(torch.full((outputs,), sigma * bound))
        self.register_buffer("noise_in", torch.zeros(inputs))
        self.register_buffer("noise_out", torch.zeros(outputs))

    def redraw(self, generator: torch.Generator) -> None:
        """New noise f(x) = sign(x) sqrt|x| for inputs and outputs."""
        for noise in (self.noise_in, self.noise_out):
            x = torch.randn(noise.shape, generator=generator, device=noise.device)
            noise.copy_(x.sign() * x.abs().sqrt())

    def silence(self) -> None:
        """No noise: the mean weights."""
        self.noise_in.zero_()
        self.noise_out.zero_()

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight + self.weight_sigma * self.noise_out[:, None] * self.noise_in
        return F.linear(x, weight, self.bias + self.bias_sigma * self.noise_out)


class Residual(nn.Module):
    """Two convolutions beside a shortcut (He et al. 2016), as IMPALA has them."""

    def __init__(self, channels: int, wrap: Callable[[nn.Module], nn.Module]):
        super().__init__()
        self.first = wrap(nn.Conv2d(channels, channels, 3, padding=1))
        self.second = wrap(nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(F.relu(x))))


class RegionMax(nn.AdaptiveMaxPool2d):
    """An adaptive max-pool that can be written as ONNX, which has none for sizes that do not divide the picture's."""

    def forward(self, x: Tensor) -> Tensor:
        if not is_tracing():
            return super().forward(x)
        for axis in (2, 3):
            size, parts = int(x.shape[axis]), int(self.output_size)
            edges = [(i * size // parts, -(-(i + 1) * size // parts)) for i in range(parts)]
            x = torch.stack([x.narrow(axis, low, high - low).amax(axis) for low, high in edges], axis)
        return x


class Impala(nn.Module):
    """IMPALA's residual network (Espeholt et al. 2018), `encoder_width` times as wide.

    shape: channels, height and width. pool: adaptive max-pool to 6x6 before the linear layer; spectral: spectral norm
    in the residual convolutions (both Clark et al. 2024, "Beyond The Rainbow"). planes: see `build`.
    """

    def __init__(self, shape: Sequence[int], hidden: int, encoder_width: int, pool: bool, spectral: bool, planes: bool):
        super().__init__()
        self.arranged = planes_to_channels if planes else to_channels
        channels, *size = shape
        wrap = nn.utils.parametrizations.spectral_norm if spectral else (lambda layer: layer)
        modules: list[nn.Module] = []
        for i, out in enumerate((16 * encoder_width, 32 * encoder_width, 32 * encoder_width)):
            conv = (Scaled if i == 0 and not planes else nn.Conv2d)(channels, out, 3, padding=1)
            modules += [conv, nn.MaxPool2d(3, 2, padding=1), Residual(out, wrap), Residual(out, wrap)]
            channels, size = out, ((size[0] + 1) // 2, (size[1] + 1) // 2)
        modules.append(nn.ReLU())
        if pool:
            modules.append(RegionMax(6))
            size = (6, 6)
        self.convolutions = nn.Sequential(*modules).to(memory_format=torch.channels_last)
        flat = channels * size[0] * size[1]
        dense = [nn.Linear(flat, hidden), nn.ReLU()] if hidden else []
        self.dense = nn.Sequential(nn.Flatten(), *dense)
        self.features = hidden or flat

    def forward(self, obs: Tensor) -> Tensor:
        return self.dense(self.convolutions(self.arranged(obs, computed_in(self.convolutions[0].weight))))


class Convolutional(nn.Module):
    """Convolutions, then linear layers: (channels, kernel, stride) and the units of each, ReLU between.

    first: kind of the first layer, which knows how pixels are scaled; nn.Conv2d for planes, see `build`.
    """

    def __init__(
        self,
        shape: Sequence[int],
        layers: Sequence[tuple[int, int, int]],
        hidden: Sequence[int],
        norm: bool,
        first: type[nn.Conv2d] = Scaled,
    ):
        super().__init__()
        self.arranged = planes_to_channels if first is nn.Conv2d else to_channels
        channels, height, width = shape
        modules: list[nn.Module] = []
        for i, (out, kernel, stride) in enumerate(layers):
            conv = (first if i == 0 else nn.Conv2d)(channels, out, kernel, stride)
            height, width = (height - kernel) // stride + 1, (width - kernel) // stride + 1
            if min(height, width) < 1:
                raise ValueError(f"images of {shape[1]}x{shape[2]} are too small for this encoder")
            modules.append(orthogonal(conv, math.sqrt(2)))
            if norm:
                modules.append(nn.GroupNorm(1, out))  # layer norm over channels and places
            modules.append(nn.ReLU(inplace=True))
            channels = out
        self.convolutions = nn.Sequential(*modules).to(memory_format=torch.channels_last)
        flat = channels * height * width
        dense: list[nn.Module] = []
        for units in hidden:
            dense.append(orthogonal(nn.Linear(flat, units), math.sqrt(2)))
            dense += [nn.LayerNorm(units), nn.ReLU(inplace=True)] if norm else [nn.ReLU(inplace=True)]
            flat = units
        self.dense = nn.Sequential(nn.Flatten(), *dense)
        self.features = flat

    def forward(self, obs: Tensor) -> Tensor:
        return self.dense(self.convolutions(self.arranged(obs, computed_in(self.convolutions[0].weight))))


class DeepFlappy(nn.Module):
    """The convolutions of yenchenlin/DeepLearningFlappyBird for 80x80 pictures, as its code has them.

    "Same" padding, a max-pool after the first layer, weights N(0, 0.01) cut at two deviations, biases 0.01, pixels
    0..255 as they are. 1,600 features.
    """

    def __init__(self, shape: Sequence[int]):
        super().__init__()
        if tuple(shape[1:]) != (80, 80):
            raise ValueError(f"--encoder deepflappy: takes pictures of 80x80 (--obs seed), not {shape[1]}x{shape[2]}")
        layers = (nn.Conv2d(shape[0], 32, 8, 4, padding=2), nn.Conv2d(32, 64, 4, 2, padding=1),
                  nn.Conv2d(64, 64, 3, 1, padding=1))  # fmt: skip
        for layer in layers:
            nn.init.trunc_normal_(layer.weight, 0.0, 0.01, -0.02, 0.02)
            nn.init.constant_(layer.bias, 0.01)
        first, *others = layers
        modules: list[nn.Module] = [first, nn.ReLU(), nn.MaxPool2d(2)]
        for layer in others:
            modules += [layer, nn.ReLU()]
        self.convolutions = nn.Sequential(*modules).to(memory_format=torch.channels_last)
        self.features = 1600

    def forward(self, obs: Tensor) -> Tensor:
        return self.convolutions(to_channels(obs, computed_in(self.convolutions[0].weight))).flatten(1)


class Dense(nn.Module):
    """Vectors: tanh layers, as small control tasks like them."""

    def __init__(self, inputs: int, hidden: int, norm: bool):
        super().__init__()
        modules: list[nn.Module] = [nn.Flatten()]
        for width in (inputs, hidden):
            modules.append(orthogonal(nn.Linear(width, hidden), math.sqrt(2)))
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
    "trunk": ((16, 5, 2), (32, 5, 2), (48, 3, 2), (32, 3, 1)),  # 60x80 for kart and car: 42 k parameters, 4.7 M MAC
    "pilotnet": ((24, 5, 2), (36, 5, 2), (48, 5, 2), (64, 3, 1), (64, 3, 1)),  # 66x200 (Bojarski et al. 2016)
}
DRIVING = {(60, 80, 3): "trunk", (66, 200, 3): "pilotnet"}  # size of the picture -> its encoder
PILOTNET_DENSE = (100, 50)  # units of PilotNet's dense layers; the last layer of 10 units gives way to the heads
IMPALA: dict[str, dict[str, Any]] = {
    "impala": dict(encoder_width=1, pool=False, spectral=False),
    "btr": dict(encoder_width=2, pool=True, spectral=True),
}
EMPTY: Mapping[str, Any] = {}


def build(
    obs_shape: Sequence[int], stack: int, name: str, hidden: int, norm: bool = False,
    impala: Mapping[str, Any] = EMPTY, dtype: str = "uint8",
) -> nn.Module:  # fmt: skip
    """The encoder `name` for frames of `obs_shape` and `dtype`; "auto" goes by the size of the picture.

    Frames of uint8 are pictures, (H, W) or (H, W, C), 0 to 255; float32 (C, H, W) are planes, as boards have them, and
    are taken as they are.

    hidden: units of the linear layer, 0: none for pictures (the features are the flat convolutions), 64 for vectors.
    norm: layer norm after every layer (not for the residual networks). impala: what differs from
    IMPALA (encoder_width, pool, spectral).
    """
    if len(obs_shape) == 1 and name in ("auto", "deepflappy", *LAYERS, *IMPALA):  # vectors have but one
        return Dense(obs_shape[0] * stack, hidden or 64, norm)
    others = () if norm else (*IMPALA, *(() if hidden else ("deepflappy",)))
    if name not in ("auto", *LAYERS, *others):
        where = " with layer norm" if norm else ""
        raise ValueError(f"--encoder {name}: choose{where} auto, {', '.join((*LAYERS, *others))}")
    planes = dtype == "float32" and len(obs_shape) == 3
    colours, height, width = obs_shape if planes else (*obs_shape[2:], 1)[:1] + tuple(obs_shape[:2])
    shape = (stack * colours, height, width)
    if name == "auto":
        name = DRIVING.get(tuple(obs_shape)) or ("nature" if min(height, width) >= 36 else "tiny")
    if name in IMPALA:
        return Impala(shape, hidden, **{**IMPALA[name], **impala}, planes=planes)
    if name == "deepflappy":
        return DeepFlappy(shape)
    dense = PILOTNET_DENSE if name == "pilotnet" else (hidden,) if hidden else ()
    first = nn.Conv2d if planes else Centred if name in DRIVING.values() else Scaled
    return Convolutional(shape, LAYERS[name], dense, norm, first)
