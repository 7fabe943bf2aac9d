"""Players that do not learn: baselines and test opponents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from agents.configs.scripted import PRESETS as PRESETS
from agents.configs.scripted import Config as Config
from agents.configs.scripted import RandomConfig
from agents.core import device as devices
from agents.core.pace import Ratio
from agents.core.rows import Act, Batch, Context, Learned, Needs, Spec, TimeStep
from agents.core.samplers import Uniform
from agents.heads import masked


class Random:
    """Uniform over the legal actions, or over [-1, 1]^D."""

    evaluation = "sampled"

    def __init__(self, config: RandomConfig, spec: Spec, context: Context):
        self.spec, self.device = spec, context.device
        self.generator = devices.generator(context.device, context.seed, 1)
        self.needs = Needs(1, Uniform(), Ratio(0.0, 1, 0), config.replay, 1)

    def act(self, step: TimeStep, memory: Any = None, *, explore: bool = True) -> Act:
        n = len(step.first)
        shape = (n, self.spec.num_actions or self.spec.action_dim)
        draw = torch.rand(shape, generator=self.generator, device=self.device)
        return Act(masked(draw, step.legal).argmax(1) if self.spec.num_actions else draw * 2 - 1)

    def learn(self, batch: Batch) -> Iterator[Learned]:
        return iter(())

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.set_state(state["generator"])

    def load_weights(self, state: dict[str, Any]) -> None:
        """There are none."""


build = Random
