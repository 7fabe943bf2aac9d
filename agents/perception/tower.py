"""The network of board games: a residual tower with heads for policy, value, score and ownership.

The convolutions are 3x3 and nothing depends on the board's size, so one set of weights serves every board (the
heads that speak for the whole board see it through the mean and the maximum of each channel, after KataGo; Wu 2019).
There is no normalisation: a block's second convolution starts at zero, so that a fresh tower passes its input on.

`Answers` makes a module into the network that `agents.search.evaluators` asks for.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

SCORE = 20.0  # points of lead that one unit of the network's output stands for


@dataclasses.dataclass(frozen=True)
class TowerConfig:
    """How large the tower is."""

    blocks: int = 4  # residual blocks of two convolutions
    channels: int = 32  # channels of the trunk
    head: int = 16  # channels of each head
    hidden: int = 32  # units of the value's and the score's hidden layer

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if value < 1:
                raise ValueError(f"{name} is {value}; it must be 1 or more")


class TowerOutput(NamedTuple):
    """What the tower says of a position, in the view of the side to move."""

    logits: Tensor  # [B, H * W + 1] the policy; the last action is the pass
    value: Tensor  # [B] expected result, -1..1
    score: Tensor  # [B] expected lead in points
    ownership: Tensor  # [B, H, W] expected owner of each point, -1..1: 1 the side to move


class Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.kaiming_normal_(self.first.weight, nonlinearity="relu")
        nn.init.zeros_(self.second.weight)
        for layer in (self.first, self.second):
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(F.relu(self.first(x))))


class Tower(nn.Module):
    """Planes [B, C, H, W] -> Judgement, in float32 whatever the tower computes in."""

    def __init__(self, planes: int, config: TowerConfig | None = None):
        super().__init__()
        config = config or TowerConfig()
        channels, head = config.channels, config.head
        self.stem = nn.Conv2d(planes, channels, 3, padding=1)
        self.blocks = nn.Sequential(*(Block(channels) for _ in range(config.blocks)))
        self.head = nn.Conv2d(channels, 2 * head, 1)  # policy's channels, then the value's: one product for both
        self.spread = nn.Linear(2 * head, head)  # summary of the whole board, for every point of the policy
        self.point = nn.Conv2d(head, 1, 1)
        self.skip = nn.Linear(2 * head, 1)  # logit of the pass
        self.hidden = nn.Linear(2 * head, config.hidden)
        self.value = nn.Linear(config.hidden, 2)  # value and score
        self.owner = nn.Conv2d(head, 1, 1)
        self.channels = head
        nn.init.kaiming_normal_(self.stem.weight, nonlinearity="relu")
        for layer in (self.point, self.skip, self.value, self.owner):  # a fresh network finds all moves alike
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
        self.to(memory_format=torch.channels_last)

    def trunk(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        """[B, C, H, W] -> the policy's and the value's features, each [B, head, H, W]."""
        x = planes.contiguous(memory_format=torch.channels_last)
        x = F.relu(self.head(self.blocks(F.relu(self.stem(x)))))
        return x[:, : self.channels], x[:, self.channels :]

    def policy(self, x: Tensor) -> Tensor:
        """[B, head, H, W] -> logits [B, H * W + 1]."""
        whole = pooled(x)  # [B, 2 head]
        points = self.point(F.relu(x + self.spread(whole)[:, :, None, None]))
        return torch.cat([points.flatten(1), self.skip(whole)], 1).float()

    def outcome(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, head, H, W] -> value [B], score [B]."""
        told = self.value(F.relu(self.hidden(pooled(x)))).float()
        return told[:, 0].tanh(), SCORE * told[:, 1]

    def forward(self, planes: Tensor) -> TowerOutput:
        x, y = self.trunk(planes)
        return TowerOutput(self.policy(x), *self.outcome(y), self.owner(y)[:, 0].float().tanh())

    def play(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and value alone: what search needs."""
        x, y = self.trunk(planes)
        return self.policy(x), self.outcome(y)[0]


def pooled(x: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, 2 C]: the mean and the maximum of each channel."""
    return torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)


class Answers:
    """A tower as a network for the search: planes [n, C, H, W] float32 -> logits [n, A], values [n], all numpy.

    The tower is copied: training that goes on does not reach it. dtype: what it computes in; bfloat16 where the
    processor multiplies it natively (`agents.core.device.compute_dtype`). Batches of eight or more are a processor's
    best: give a search of one game `leaves=8`.
    """

    def __init__(self, tower: Tower, dtype: torch.dtype = torch.float32):
        self.tower = copy.deepcopy(tower).eval().to(dtype=dtype, memory_format=torch.channels_last)
        self.tower.requires_grad_(False)
        self.dtype = dtype

    @torch.inference_mode()
    def __call__(self, planes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = torch.from_numpy(planes).to(self.tower.stem.weight.device)
        # Channels last before the cast: the other order is several times slower on processors.
        logits, value = self.tower.play(x.contiguous(memory_format=torch.channels_last).to(self.dtype))
        return logits.cpu().numpy(), value.cpu().numpy()
