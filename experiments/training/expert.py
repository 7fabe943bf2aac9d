"""A teacher that knows more than its pupil: another run's driver, which sees the numbers of the game, says in every
state what it would do, as the scripted expert does (Chen et al. 2019, Learning by Cheating).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv

from agents.core.rows import Agent, TimeStep


class Taught:
    """N games whose `info["expert"]` [N, D] is what `teacher` does with `info["numbers"]` [N, K]; else as they were.

    The teacher acts greedily and without a memory: the same numbers are always answered alike.
    """

    def __init__(self, games: VectorEnv, teacher: Agent, device: torch.device):
        self._games, self._teacher, self._device = games, teacher, device

    def __getattr__(self, name: str) -> Any:
        return getattr(self._games, name)

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        obs, info = self._games.reset(**kwargs)
        return obs, self._told(info)

    def step(self, actions: np.ndarray) -> tuple[Any, ...]:
        *rest, info = self._games.step(actions)
        return *rest, self._told(info)

    @torch.no_grad()
    def _told(self, info: dict[str, Any]) -> dict[str, Any]:
        numbers = torch.as_tensor(info["numbers"], device=self._device).unsqueeze(1)
        zeros = torch.zeros(len(numbers), device=self._device)
        seen = TimeStep(numbers, zeros, zeros + 1, zeros.bool(), zeros.bool())
        answer = self._teacher.act(seen, explore=False).action
        if answer.is_floating_point():
            answer = answer.float().clamp(-1, 1)
        return {**info, "expert": answer.cpu().numpy()}
