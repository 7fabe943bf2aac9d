"""Pictures of the road made different without changing what is to be done, or with a label that follows.

Everything is drawn for a whole batch at once from the caller's generator: flip (steering, offset and heading change
sign), sideways shift (the camera turned by an angle: the wheel turns with it), colours (a mixing matrix, brightness,
contrast), negatives, exposure, a shade across the picture, noise. Pictures come out as float32, still 0..255.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from agents import ranges

SIGNED = ("lateral", "heading")  # labels that change sign in a mirror


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """How much of each; 0 everywhere leaves pictures and labels as they are."""

    flip: float = 0.5  # share of mirrored pictures
    shift: float = 0.1  # largest sideways shift, share of the picture's width
    shift_steer: float = 2.3  # steering per picture width of shift: as the expert steers at 8 to 10 m/s
    shift_angle: float = 1.7  # rad per picture width of shift
    colour: float = 0.5  # strength of the colour mixing: 0 none .. 1 each colour becomes another mixture of all three
    brightness: float = 0.4  # largest relative change of brightness and of contrast
    noise: float = 8.0  # largest standard deviation of noise on the pixels, of 255
    exposure: float = 0.0  # most stops (factors of two) by which a picture becomes darker; brighter by a third of it
    shade: float = 0.0  # largest share of light that one side of the picture loses, as behind a lamp or in a shadow
    invert: float = 0.0  # share of pictures of which a negative is made: the road is then the brighter part, or no more

    def __post_init__(self) -> None:
        ranges.share(self, "flip", "shift", "colour", "brightness", "shade", "invert")
        ranges.at_least(self, 0, "shift_steer", "shift_angle", "noise", "exposure")


class Augment:
    """See the module. steering: which axis of the action is the wheel."""

    def __init__(self, config: AugmentConfig, device: torch.device | str = "cpu", steering: int = 0):
        self.config, self.device, self.steering = config, torch.device(device), steering
        self.sheet = torch.empty(0, device=self.device)

    def __call__(
        self, obs: Tensor, action: Tensor, labels: dict[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """obs: uint8 [B, S, H, W, 3] (or without colours), action: [B, D] in -1..1, labels: lateral [B] m,
        heading [B] rad, drivable [B, h, w]. Returns new tensors of the same shapes; obs as float32.
        """
        c, batch, width = self.config, len(obs), obs.shape[3]
        action, labels = action.clone(), dict(labels)

        def uniform(*shape: int, low: float = -1.0, high: float = 1.0) -> Tensor:
            return low + (high - low) * torch.rand(shape, generator=generator, device=self.device)

        mirrored = uniform(batch, low=0.0) < c.flip
        sign = 1.0 - 2.0 * mirrored.float()
        action[:, self.steering] *= sign
        most = int(c.shift * width)
        by = torch.randint(-most, most + 1, (batch,), generator=generator, device=self.device)
        # The picture moves to the right by `by`: the camera looks further to the left.
        action[:, self.steering] = (action[:, self.steering] + c.shift_steer * by / width).clamp(-1, 1)
        for name in SIGNED:
            if name in labels:
                labels[name] = labels[name] * sign
        if "heading" in labels:
            labels["heading"] = labels["heading"] - c.shift_angle * by / width
        if "drivable" in labels:
            area = labels["drivable"]
            moved = (by * area.shape[-1] / width).round().long()
            labels["drivable"] = area.gather(2, _columns(mirrored, moved, area.shape[-1])[:, None, :].expand_as(area))
        return self._coloured(_moved(obs, _columns(mirrored, by, width)), uniform, generator), action, labels

    def _coloured(self, picture: Tensor, uniform: Callable[..., Tensor], generator: torch.Generator) -> Tensor:
        """[B, S, H, W, C] or [B, S, H, W] uint8 -> the same in other light, float32 with the colours' planes apart."""
        c, batch = self.config, len(picture)
        grey = picture.ndim == 4
        planes = (picture.unsqueeze(1) if grey else picture.movedim(4, 1)).float().contiguous()  # [B, C, S, H, W]
        channels = planes.shape[1]
        mix = torch.eye(channels, device=self.device).expand(batch, -1, -1)
        if c.colour and channels == 3:
            mix = mix + 0.5 * c.colour * uniform(batch, 3, 3)
            mix = mix / mix.sum(2, keepdim=True).clamp(min=0.3)  # each row sums to 1, so grey stays grey
            mix = mix * (1.0 + 0.3 * c.colour * uniform(batch, 3, 1))  # a tint: another gain for each channel
        contrast, brightness = 1.0 + c.brightness * uniform(batch), 255.0 * 0.5 * c.brightness * uniform(batch)
        mix = mix * contrast[:, None, None]
        offset = (127.5 * (1.0 - contrast) + brightness)[:, None].expand(-1, channels)  # [B, C]
        if c.invert:
            negative = (uniform(batch, low=0.0) < c.invert)[:, None]
            offset = torch.where(negative, 255.0 * mix.sum(2) + offset, offset)
            mix = torch.where(negative[..., None], -mix, mix)
        if c.exposure:
            gain = torch.exp2(uniform(batch, low=-c.exposure, high=c.exposure / 3))
            mix, offset = mix * gain[:, None, None], offset * gain[:, None]
        # Plane by plane: a product of tiny matrices would take three times as long.
        result = torch.empty_like(planes)
        for i in range(channels):
            torch.mul(planes[:, 0], _as(mix[:, i, 0], planes[:, 0]), out=result[:, i])
            for k in range(1, channels):
                result[:, i].addcmul_(planes[:, k], _as(mix[:, i, k], planes[:, 0]))
            result[:, i].add_(_as(offset[:, i], planes[:, 0]))
        if c.shade:
            result.clamp_(0.0, 255.0).mul_(self._shade(uniform, batch, *result.shape[-2:])[:, None, None])
        if c.noise:
            noise = self._noise(result.numel(), generator).view_as(result)
            result.addcmul_(noise, _as(uniform(batch, low=0.0) * c.noise, result))
        result.clamp_(0.0, 255.0)
        return result.squeeze(1) if grey else result.movedim(1, 4)

    def _shade(self, uniform: Callable[..., Tensor], batch: int, height: int, width: int) -> Tensor:
        """Light of 1 - depth .. 1 that falls off across the picture in a random direction: [B, H, W]."""
        y = torch.linspace(-1, 1, height, device=self.device)[:, None]
        x = torch.linspace(-1, 1, width, device=self.device)
        turn, middle, edge, depth = (uniform(batch, 1, 1) for _ in range(4))
        across = x * torch.cos(math.pi * turn) + y * torch.sin(math.pi * turn)
        return 1 - self.config.shade * (0.5 + 0.5 * depth) * torch.sigmoid((across - middle) * (4 + 3 * edge))

    def _noise(self, size: int, generator: torch.Generator) -> Tensor:
        """`size` normal numbers, cut from one sheet at a random place: drawn anew they would cost a quarter of the
        whole training.
        """
        if len(self.sheet) < 2 * size:
            fixed = torch.Generator(self.device).manual_seed(7)
            self.sheet = torch.randn(2 * size, generator=fixed, device=self.device)
        begin = int(torch.randint(len(self.sheet) - size + 1, (), generator=generator, device=self.device))
        return self.sheet[begin : begin + size]


def _as(each: Tensor, like: Tensor) -> Tensor:
    """[B] -> [B, 1, ...] with the rank of `like`."""
    return each.view(-1, *[1] * (like.ndim - 1))


def _columns(mirrored: Tensor, by: Tensor, width: int) -> Tensor:
    """Which column of a picture comes to each place: int64 [B, width]. First mirrored, then moved; edges repeat."""
    source = (torch.arange(width, device=by.device) - by[:, None]).clamp_(0, width - 1)
    return torch.where(mirrored[:, None], width - 1 - source, source)


def _moved(obs: Tensor, columns: Tensor) -> Tensor:
    """[B, S, H, W] or [B, S, H, W, C] with its columns rearranged; whole pixels are copied."""
    batch, stack, height, width = obs.shape[:4]
    line = torch.arange(batch * stack * height, device=obs.device).view(batch, stack * height, 1)
    at = (line * width + columns[:, None, :]).view(-1)
    return obs.reshape(batch * stack * height * width, -1).index_select(0, at).view(obs.shape)


def plain(config: Any) -> bool:
    """Does the configuration change nothing?"""
    changes = ("flip", "shift", "colour", "brightness", "noise", "exposure", "shade", "invert")
    return not any(getattr(config, name) for name in changes)
