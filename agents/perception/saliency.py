"""Which pixels drive a choice: a heat map [N, H, W] in 0..1 for the observations of an agent, by two methods.

gradient: |d score / d pixel| (Simonyan et al. 2014), the largest over the frames and channels of the stack. One
backward pass; noisy at the scale of single pixels, so it is smoothed a little.

occlusion: how much all outputs change where a soft spot of the picture is blurred (Greydanus et al. 2018, "Visualizing
and Understanding Atari Agents", equations 1 to 3): 0.5 * |f(I) - f(I')|^2 on a grid of spots. One forward pass of
GRID * GRID pictures; it finds what matters, at the scale of the spots.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

GRID = 12  # spots per side
SPOT = 0.06  # deviation of a spot, in heights of the picture
BLUR = 0.035  # deviation of the blur inside a spot, in heights of the picture

METHODS = ("gradient", "occlusion")


def gradient(score: Callable[[Tensor], Tensor], obs: Tensor) -> Tensor:
    """score: pictures as float32 [N, S, H, W(, C)] -> [N], differentiable; obs: uint8 of that shape."""
    picture = obs.detach().float().requires_grad_(True)
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(score(picture).float().sum(), picture)
    heat = _flat(slope.abs()).amax(1)  # [N, H, W]
    return _scaled(_blur(heat[:, None], 0.02 * heat.shape[1])[:, 0])


@torch.no_grad()
def occlusion(outputs: Callable[[Tensor], Tensor], obs: Tensor) -> Tensor:
    """outputs: pictures [B, S, H, W(, C)] -> [B, K]; obs: uint8 [N, S, H, W(, C)]."""
    picture = _flat(obs.float())  # [N, S*C, H, W]
    n, _, height, width = picture.shape
    blurred = _blur(picture, max(1.0, BLUR * height))
    spots = _spots(height, width, obs.device)  # [G*G, H, W]
    rows = []
    for i in range(n):
        changed = picture[i] + spots[:, None] * (blurred[i] - picture[i])  # [G*G, S*C, H, W]
        changed = _back(changed.round().clamp(0, 255), obs.shape).to(obs.dtype)
        difference = outputs(changed).float() - outputs(obs[i : i + 1]).float()
        rows.append(0.5 * difference.square().sum(1).reshape(1, 1, GRID, GRID))
    heat = F.interpolate(torch.cat(rows), (height, width), mode="bilinear", align_corners=False)
    return _scaled(heat[:, 0])


def _flat(obs: Tensor) -> Tensor:
    """[N, S, H, W] or [N, S, H, W, C] -> [N, S*C, H, W]."""
    return obs if obs.ndim == 4 else obs.permute(0, 1, 4, 2, 3).flatten(1, 2)


def _back(flat: Tensor, shape: torch.Size) -> Tensor:
    """The inverse of `_flat` for observations of `shape`, whatever their number."""
    return flat if len(shape) == 4 else flat.unflatten(1, (shape[1], shape[4])).permute(0, 1, 3, 4, 2)


def _spots(height: int, width: int, device: torch.device) -> Tensor:
    """Soft round masks in 0..1 around the cells of a GRID x GRID raster, [G*G, H, W], row by row."""
    y = torch.arange(height, device=device) + 0.5
    x = torch.arange(width, device=device) + 0.5
    middle = (torch.arange(GRID, device=device) + 0.5) / GRID
    down = torch.exp(-0.5 * ((y - middle[:, None] * height) / (SPOT * height)) ** 2)  # [G, H]
    across = torch.exp(-0.5 * ((x - middle[:, None] * width) / (SPOT * width)) ** 2)  # [G, W]
    return (down[:, None, :, None] * across[None, :, None, :]).flatten(0, 1)


def _blur(picture: Tensor, deviation: float) -> Tensor:
    """A Gaussian blur of [N, C, H, W], `deviation` in pixels; the border is repeated outwards."""
    reach = max(1, round(3 * deviation))
    x = torch.arange(-reach, reach + 1, device=picture.device, dtype=picture.dtype)
    kernel = torch.exp(-0.5 * (x / max(deviation, 1e-6)) ** 2)
    kernel = (kernel / kernel.sum()).expand(picture.shape[1], 1, 1, -1)
    picture = F.pad(picture, (reach,) * 4, mode="replicate")
    picture = F.conv2d(picture, kernel, groups=picture.shape[1])
    return F.conv2d(picture, kernel.transpose(2, 3), groups=picture.shape[1])


def _scaled(heat: Tensor) -> Tensor:
    """The largest value of each map becomes 1; a map without any stays 0, and what is not finite becomes 0."""
    heat = heat.nan_to_num(0.0, 0.0, 0.0)
    return heat / heat.amax((1, 2), keepdim=True).clamp_min(1e-12)
