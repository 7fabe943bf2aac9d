"""The network of board games: a residual tower with heads for policy, reply, result, score and ownership.

The convolutions are 3x3 and nothing depends on the board's size, so one set of weights serves every board. What the
whole board tells (the mean and the maximum of each channel) reaches every point in every second block and in the
heads, after KataGo (Wu 2019). There is no normalisation: a block's second convolution starts at zero, so that a fresh
tower passes its input on.

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
WIN, DRAW, LOSS = 0, 1, 2  # places of the results in `TowerOutput.result`


@dataclasses.dataclass(frozen=True)
class TowerConfig:
    """How large the tower is."""

    blocks: int = 4  # residual blocks of two convolutions
    channels: int = 32  # channels of the trunk
    head: int = 16  # channels of each head
    hidden: int = 32  # units of the hidden layer of result and score

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if value < 1:
                raise ValueError(f"{name} is {value}; it must be 1 or more")


class TowerOutput(NamedTuple):
    """What the tower says of a position, in the view of the side to move."""

    logits: Tensor  # [B, A] policy
    reply: Tensor  # [B, A] logits of the opponent's policy after it
    result: Tensor  # [B, 3] logits of win, draw and loss
    score: Tensor  # [B] expected lead in points
    owner: Tensor  # [B, H, W] half the log odds that a point will be the mover's: its tanh is the expected owner

    @property
    def value(self) -> Tensor:
        """Expected result [B], -1..1."""
        return expected(self.result)

    @property
    def ownership(self) -> Tensor:
        """Expected owner of each point [B, H, W], -1..1: 1 the side to move."""
        return self.owner.tanh()


def expected(result: Tensor) -> Tensor:
    """Logits of win, draw and loss [B, 3] -> expected result [B], -1..1."""
    share = result.softmax(1)
    return share[:, WIN] - share[:, LOSS]


class Block(nn.Module):
    """Two convolutions beside a shortcut; with `whole` the first one's channels hear of the whole board."""

    def __init__(self, channels: int, whole: bool):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.whole = nn.Linear(2 * channels, channels) if whole else None
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.kaiming_normal_(self.first.weight, nonlinearity="relu")
        nn.init.zeros_(self.second.weight)
        for layer in (self.first, self.second):
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.first(x))
        if self.whole is not None:
            y = F.relu(y + self.whole(pooled(y))[:, :, None, None])
        return F.relu(x + self.second(y))


class Tower(nn.Module):
    """Planes [B, C, H, W] -> TowerOutput, in float32 whatever the tower computes in.

    columns: actions are the board's columns; else they are its points, and with `passes` the pass behind them.
    """

    def __init__(self, planes: int, config: TowerConfig | None = None, *, passes: bool = True, columns: bool = False):
        super().__init__()
        config = config or TowerConfig()
        channels, head = config.channels, config.head
        self.stem = nn.Conv2d(planes, channels, 3, padding=1)
        self.blocks = nn.Sequential(*(Block(channels, whole=k % 2 == 1) for k in range(config.blocks)))
        self.head = nn.Conv2d(channels, 2 * head, 1)  # policy's channels, then the value's: one product for both
        self.spread = nn.Linear(2 * head, head)  # summary of the whole board, for every point of the policy
        self.point = nn.Conv2d(head, 2, 1)  # policy and reply
        self.skip = nn.Linear(2 * head, 2) if passes else None  # logits of the pass, for policy and reply
        self.hidden = nn.Linear(2 * head, config.hidden)
        self.result = nn.Linear(config.hidden, 3)
        self.lead = nn.Linear(config.hidden, 1)
        self.owner = nn.Conv2d(head, 1, 1)
        self.channels, self.columns = head, columns
        nn.init.kaiming_normal_(self.stem.weight, nonlinearity="relu")
        for layer in (self.point, self.skip, self.result, self.lead, self.owner):  # a fresh network finds all alike
            if layer is not None:
                nn.init.normal_(layer.weight, std=0.01)
                nn.init.zeros_(layer.bias)
        self.to(memory_format=torch.channels_last)

    def trunk(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        """[B, C, H, W] -> the policy's and the value's features, each [B, head, H, W]."""
        x = planes.contiguous(memory_format=torch.channels_last)
        x = F.relu(self.head(self.blocks(F.relu(self.stem(x)))))
        return x[:, : self.channels], x[:, self.channels :]

    def policies(self, x: Tensor) -> Tensor:
        """[B, head, H, W] -> logits of policy and reply [B, 2, A]."""
        whole = pooled(x)  # [B, 2 head]
        points = self.point(F.relu(x + self.spread(whole)[:, :, None, None]))
        points = points.mean(2) if self.columns else points.flatten(2)
        return (points if self.skip is None else torch.cat([points, self.skip(whole)[:, :, None]], 2)).float()

    def summary(self, x: Tensor) -> Tensor:
        """[B, head, H, W] -> what result and score are read from [B, hidden]."""
        return F.relu(self.hidden(pooled(x)))

    def forward(self, planes: Tensor) -> TowerOutput:
        x, y = self.trunk(planes)
        policies, told = self.policies(x), self.summary(y)
        score = SCORE * self.lead(told)[:, 0].float()
        result, owner = self.result(told).float(), self.owner(y)[:, 0].float()
        return TowerOutput(policies[:, 0], policies[:, 1], result, score, owner)

    def play(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and value alone: what search needs."""
        x, y = self.trunk(planes)
        return self.policies(x)[:, 0], expected(self.result(self.summary(y)).float())


def pooled(x: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, 2 C]: the mean and the maximum of each channel."""
    highest = F.adaptive_max_pool2d(x, 1).flatten(1)  # eight times as fast as `amax` on a processor
    return torch.cat([x.mean((2, 3)), highest], 1)


class Exported(nn.Module):
    """A tower with plain outputs, for ONNX: logits [B, A], value [B] and, with `points`, score [B] and ownership
    [B, H * W]."""

    def __init__(self, tower: Tower, points: bool):
        super().__init__()
        self.tower, self.points = tower.eval(), points
        self.names = ("logits", "value", "score", "ownership") if points else ("logits", "value")

    def forward(self, planes: Tensor) -> tuple[Tensor, ...]:
        told = self.tower(planes)
        known = (told.score, told.ownership.flatten(1)) if self.points else ()
        return told.logits, told.value, *known


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

    @torch.no_grad()
    def take(self, tower: Tower) -> None:
        """Answers with these weights from now on."""
        for own, new in zip(self.tower.parameters(), tower.parameters(), strict=True):
            own.copy_(new)

    @torch.inference_mode()
    def __call__(self, planes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = torch.from_numpy(planes).to(self.tower.stem.weight.device)
        # Channels last before the cast: the other order is several times slower on processors.
        logits, value = self.tower.play(x.contiguous(memory_format=torch.channels_last).to(self.dtype))
        return logits.cpu().numpy(), value.cpu().numpy()
