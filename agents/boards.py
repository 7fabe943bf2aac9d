"""Board games: the tower that a game needs, its pictures and its losses; the tower as a policy and a value without
search, and what records of games teach it.

The weights keep the tower's own names, so that every agent of board games can start from every other's.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents import heads, losses
from agents.core.rows import Spec
from agents.perception import symmetry
from agents.perception.tower import SCORE, Exported, Tower, TowerConfig, expected

SHARES = {"value": 1.0, "score": 0.25, "ownership": 1.0}  # weights of what a game's end teaches, beside its moves


def tower(config: Any, rules: Any) -> Tower:
    """An untrained tower for the planes and the actions of a game. config: has `blocks` and `channels`."""
    planes, height, width = rules.planes
    passes = rules.num_actions == height * width + 1
    columns = rules.num_actions == width and height > 1
    return Tower(planes, TowerConfig(config.blocks, config.channels), passes=passes, columns=columns)


def exported(trained: Tower, rules: Any) -> tuple[nn.Module, Tensor, tuple[str, ...]]:
    """A copy of a tower in float32, its input for one row, and the names of its outputs, for ONNX."""
    module = Exported(copy.deepcopy(trained).float().cpu(), bool(rules.owner))
    return module, torch.zeros((1, *rules.planes)), module.names


class Pictures:
    """The symmetries of a game's board as tensors; see `agents.perception.symmetry`.

    points: [G, H * W]. actions: [G, A].
    """

    def __init__(self, rules: Any, device: torch.device):
        _, height, width = rules.planes
        tables = symmetry.tables(rules.symmetry, height, width, rules.num_actions)
        self.points, self.actions = (torch.as_tensor(table, device=device) for table in tables)

    def drawn(self, count: int, generator: torch.Generator) -> Tensor:
        """A number 0..G-1 for each of so many rows [count]."""
        device = self.points.device
        return torch.randint(len(self.points), (count,), device=device, generator=generator)


def turned(planes: Tensor, points: Tensor) -> Tensor:
    """Planes [B, C, H, W] in other pictures: points [H * W], or [B, H * W] of each."""
    flat = planes.flatten(2)
    if points.ndim == 1:
        return flat.index_select(2, points).view_as(planes)
    return flat.gather(2, points[:, None].expand(-1, flat.shape[1], -1)).view_as(planes)


def lead_loss(told: Tensor, lead: Tensor) -> Tensor:
    """Huber loss of each row [B]: told and true lead, in points."""
    return losses.huber((told - lead) / SCORE, 1.0)


def owner_loss(told: Tensor, owner: Tensor) -> Tensor:
    """Cross entropy of each row, the mean over the points: half the log odds [B, H * W], the owners -1, 0 or 1."""
    share = (1 + owner.float()) / 2
    return F.binary_cross_entropy_with_logits(2 * told, share, reduction="none").mean(1)


def is_board(spec: Spec) -> bool:
    """Whether what is seen are the planes of a game with compiled rules."""
    rules = spec.rules
    return rules is not None and spec.stack == 1 and tuple(spec.obs_shape) == tuple(rules.planes)


class TowerPolicy(heads.Choices):
    """The policy head of a tower, called like `heads.Categorical`."""

    def __init__(self, tower: Tower):
        self._tower = tower

    def __call__(self, features: Tensor, legal: Tensor | None) -> Tensor:
        """Features of the tower [B, 2, head, H, W] -> log probabilities [B, A]."""
        return heads.masked(self._tower.policies(features[:, 0])[:, 0], legal).log_softmax(-1)


class BoardNetwork(nn.Module):
    """A tower for the game of `spec`, cut where the heads begin. config: has `blocks` and `channels`."""

    def __init__(self, config: Any, spec: Spec):
        super().__init__()
        self.tower, self._rules = tower(config, spec.rules), spec.rules
        self.policy = TowerPolicy(self.tower)

    def exported(self) -> tuple[nn.Module, Tensor, tuple[str, ...]]:
        """See the function of this name."""
        return exported(self.tower, self._rules)

    def encoder(self, obs: Tensor) -> Tensor:
        """[B, 1, C, H, W] -> the features of policy and value, float32 [B, 2, head, H, W]."""
        planes = obs[:, 0].to(self.tower.stem.weight.dtype)
        return torch.stack(self.tower.trunk(planes), 1).float()

    def value(self, features: Tensor) -> Tensor:
        """Features [B, 2, head, H, W] -> expected result [B], -1..1."""
        return expected(self.tower.result(self.tower.summary(features[:, 1])).float())

    def ends(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features -> logits of win, draw and loss [B, 3], the lead [B] in points, half the log odds of owners."""
        told, tower = self.tower.summary(features[:, 1]), self.tower
        owner = tower.owner(features[:, 1]).flatten(1)
        return tower.result(told).float(), SCORE * tower.lead(told)[:, 0].float(), owner.float()

    def freeze(self) -> None:
        """Everything but the heads learns no more."""
        for part in (self.tower.stem, self.tower.blocks):
            part.requires_grad_(False)

    def computes_in(self, dtype: Any) -> None:
        """Sets the precision of everything but the heads."""
        for part in (self.tower.stem, self.tower.blocks, self.tower.head):
            part.to(dtype)

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Returns the tower's weights under the tower's names."""
        return self.tower.state_dict(*args, **kwargs)

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Takes the weights of a tower. Raises RuntimeError where it is another one."""
        return self.tower.load_state_dict(state, strict, assign)


class RecordTraining:
    """What learning from records of board games adds to a clone: the symmetries of the board, and how games ended."""

    def __init__(self, spec: Spec, device: torch.device):
        self.pictures = Pictures(spec.rules, device)
        self.places = self.pictures.actions.argsort(1)  # [G, A] the game's action -> its place in the picture
        unknown, points = np.float32("nan"), self.pictures.points.shape[1]
        self.info = {"outcome": unknown, "score": unknown, "ownership": np.zeros(points, np.int8)}

    def changed(
        self, obs: Tensor, action: Tensor, labels: dict[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Each row in a picture drawn at random: planes [B, 1, C, H, W], actions [B], labels [B, ...] with `legal`."""
        drawn = self.pictures.drawn(len(obs), generator)
        points, actions = self.pictures.points[drawn], self.pictures.actions[drawn]
        labels = dict(labels)
        if "legal" in labels:
            labels["legal"] = labels["legal"].gather(1, actions)
        if "ownership" in labels:
            labels["ownership"] = labels["ownership"].gather(1, points)
        seen = turned(obs[:, 0], points)[:, None]
        return seen, self.places[drawn].gather(1, action.long()[:, None])[:, 0], labels

    def losses(
        self, head: Any, features: Tensor, labels: dict[str, Tensor], weight: Tensor
    ) -> dict[str, tuple[float, Tensor]]:
        """Name -> (its weight, a loss): cross entropy of the result, Huber of the lead, cross entropy of the owners.

        head: `BoardNetwork.ends`. Rows of games whose end is not known count nothing; owners are where the lead is.
        """
        result, lead, owner = head(features)
        known, counted = labels["outcome"].isfinite(), labels["score"].isfinite()
        places = 1 - labels["outcome"].nan_to_num().sign().long()  # win 0, draw 1, loss 2
        value = F.cross_entropy(result, places, reduction="none")
        score = lead_loss(lead, labels["score"].nan_to_num())
        owners = owner_loss(owner, labels["ownership"])
        found = {"value": (value, known), "score": (score, counted), "ownership": (owners, counted)}
        return {name: (SHARES[name], losses.mean(each, weight * mask)) for name, (each, mask) in found.items()}
