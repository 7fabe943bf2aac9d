"""Board games: the tower of `agents.perception.tower` as a policy and a value, and what records of games teach it.

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
        planes, height, width = spec.rules.planes
        passes = spec.num_actions == height * width + 1
        columns = spec.num_actions == width and height > 1
        self.tower = Tower(planes, TowerConfig(config.blocks, config.channels), passes=passes, columns=columns)
        self.policy = TowerPolicy(self.tower)
        self._planes, self._owners = tuple(spec.rules.planes), bool(spec.rules.owner)

    def exported(self) -> tuple[nn.Module, Tensor, tuple[str, ...]]:
        """The tower in float32, its input for one row, and the names of its outputs, for ONNX."""
        module = Exported(copy.deepcopy(self.tower).float().cpu(), self._owners)
        return module, torch.zeros((1, *self._planes)), module.names

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
        rules = spec.rules
        planes, height, width = rules.planes
        pictures = symmetry.tables(rules.symmetry, height, width, spec.num_actions)
        self.points = torch.as_tensor(pictures.points, device=device)  # [G, H * W]
        self.actions = torch.as_tensor(pictures.actions, device=device)  # [G, A]
        self.places = self.actions.argsort(1)  # [G, A] the game's action -> its place in the picture
        unknown = np.float32("nan")
        self.info = {"outcome": unknown, "score": unknown, "ownership": np.zeros(height * width, np.int8)}

    def changed(
        self, obs: Tensor, action: Tensor, labels: dict[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Each row in a picture drawn at random: planes [B, 1, C, H, W], actions [B], labels [B, ...] with `legal`."""
        drawn = torch.randint(len(self.points), (len(obs),), device=obs.device, generator=generator)
        points, actions = self.points[drawn], self.actions[drawn]
        labels = dict(labels)
        if "legal" in labels:
            labels["legal"] = labels["legal"].gather(1, actions)
        if "ownership" in labels:
            labels["ownership"] = labels["ownership"].gather(1, points)
        seen = obs.flatten(3)  # [B, 1, C, H * W]
        seen = seen.gather(3, points[:, None, None].expand_as(seen)).view_as(obs)
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
        score = losses.huber((lead - labels["score"].nan_to_num()) / SCORE, 1.0)
        share = (1 + labels["ownership"].float()) / 2
        owners = F.binary_cross_entropy_with_logits(2 * owner, share, reduction="none").mean(1)
        found = {"value": (value, known), "score": (score, counted), "ownership": (owners, counted)}
        return {name: (SHARES[name], losses.mean(each, weight * mask)) for name, (each, mask) in found.items()}
