"""What learning to drive adds to cloning: pictures of the road made different, and what a simulator knows of the road.

Action 0 is the steering wheel. Beside the actions a driver can learn its offset from the centreline, its heading error
and the drivable area: labels that a simulator gives for nothing, which shape the features; rows without them are left
out. The head that learns them is needed for nothing else. Traffic signs are another label: that head may be exported
with the driver (`agents.perception.export`), and stops a car.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents import losses
from agents.core.rows import Spec
from agents.heads import Linear
from agents.perception import augment
from agents.perception.encoders import orthogonal
from agents.perception.signs import SIGNS

LATERAL_SCALE, HEADING_SCALE = 2.0, 0.3  # m and rad that count as an error of 1
SIGN_WEIGHT = 3.0  # weight of a row that shows a sign against one that shows none: signs are rare


class Road(nn.Module):
    """A head for what is seen of the road, of the traffic signs beside it, or of both."""

    AREA = (15, 20)  # height and width of the drivable area, aligned with the picture

    def __init__(self, features: int, road: bool = True, signs: int = 0):
        super().__init__()
        self.place = orthogonal(Linear(features, 2), 0.1) if road else None
        self.area = orthogonal(Linear(features, self.AREA[0] * self.AREA[1]), 0.1) if road else None
        self.sign = orthogonal(Linear(features, signs), 0.1) if signs else None  # logits of `export.SIGNS`

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B, features] -> offset from the centreline [B] m, heading error [B] rad, drivable logits [B, 15, 20]."""
        lateral, heading = self.place(x).unbind(-1)
        return lateral, heading, self.area(x).unflatten(-1, self.AREA)


UNKNOWN: dict[str, Any] = {  # the road's labels of a row where nobody knows them
    "lateral": np.float32("nan"),  # m
    "heading": np.float32("nan"),  # rad
    "drivable": np.full(Road.AREA, 255, np.uint8),  # 1: drivable, 0: not, 255: not known
}
NO_SIGN: dict[str, Any] = {"sign": np.float32("nan")}  # number of the sign where nobody knows whether there is one


class DrivingTraining:
    """The part of a clone that knows of roads. Raises ValueError where pictures are to change that are none."""

    def __init__(self, config: Any, spec: Spec, device: torch.device):
        self.config = config
        # Arrays of `info` -> row where nothing is known.
        self.info: Mapping[str, Any] = {**(UNKNOWN if config.road else {}), **(NO_SIGN if config.sign else {})}
        settings = augment.AugmentConfig(
            flip=config.flip, shift=config.shift, colour=config.colour, brightness=config.brightness,
            noise=config.noise, exposure=config.exposure, shade=config.shade, invert=config.invert,
        )  # fmt: skip
        changes = not augment.plain(settings)
        if changes and (len(spec.obs_shape) < 2 or not spec.action_dim):
            raise ValueError(
                "--flip, --shift, --colour, --brightness, --noise, --exposure, --shade, --invert: only pictures with a"
                " steering wheel have them"
            )
        self.augment = augment.Augment(settings, device) if changes else None

    def head(self, features: int) -> nn.Module | None:
        """The head for the labels of road and signs, untrained; None where they are not learned."""
        c = self.config
        return Road(features, bool(c.road), len(SIGNS) if c.sign else 0) if c.road or c.sign else None

    def changed(
        self, obs: Tensor, action: Tensor, labels: dict[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Pictures [B, S, H, W, ...] as they might have been, with what is done then, action [B, D], and the labels
        of the road there, each [B, ...]."""
        return (obs, action, labels) if self.augment is None else self.augment(obs, action, labels, generator)

    def emphasis(self, action: Tensor) -> Tensor:
        """How much each row counts, [B]: more with more steering. action: [B, D]."""
        return 1 + self.config.steering_weight * action[:, 0].abs()

    def losses(
        self, head: nn.Module | None, features: Tensor, labels: dict[str, Tensor], weight: Tensor
    ) -> dict[str, tuple[float, Tensor]]:
        """Name -> (its weight, a loss): Huber for offset and heading, cross entropy for the drivable area and signs.

        features: [B, F]; labels: [B, ...] each; weight: [B]. Rows without a label count nothing.
        """
        if head is None:
            return {}
        result = {} if head.sign is None else self._sign_losses(head.sign(features), labels, weight)
        if head.place is None:
            return result
        lateral, heading, area = head(features)
        for name, seen, scale in (("lateral", lateral, LATERAL_SCALE), ("heading", heading, HEADING_SCALE)):
            if name in labels:
                known = labels[name].isfinite()
                error = (seen - labels[name].nan_to_num()) / scale
                each = F.smooth_l1_loss(error, torch.zeros_like(error), reduction="none")
                result[name] = (self.config.road, losses.mean(each, weight * known))
        if "drivable" in labels:
            known = labels["drivable"].amax((1, 2)) <= 1
            target = labels["drivable"].clamp(max=1).float()
            each = F.binary_cross_entropy_with_logits(area, target, reduction="none").mean((1, 2))
            result["drivable"] = (self.config.road, losses.mean(each, weight * known))
        return result

    def _sign_losses(
        self, logits: Tensor, labels: dict[str, Tensor], weight: Tensor
    ) -> dict[str, tuple[float, Tensor]]:
        """The loss of the signs, and the share of them that is seen wrongly, which weighs nothing."""
        if "sign" not in labels:
            return {}
        known, label = labels["sign"].isfinite(), labels["sign"].nan_to_num().long()
        each = F.cross_entropy(logits, label, reduction="none")
        shown = weight * known * (label > 0)
        weight = weight * known * (1.0 + (SIGN_WEIGHT - 1.0) * (label > 0))
        wrong = (logits.argmax(1) != label).float()
        return {"sign": (self.config.sign, losses.mean(each, weight)), "sign_missed": (0.0, losses.mean(wrong, shown))}


def part(config: Any, spec: Spec, device: torch.device) -> DrivingTraining | None:
    """The driving part of a configuration (`agents.configs.driving`); None where nothing of it is asked for."""
    asked = config.road or config.sign or config.steering_weight or not augment.plain(config)
    return DrivingTraining(config, spec, device) if asked else None
