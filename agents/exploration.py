"""Epsilon-greedy: which actions are random, and how their share falls."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from agents.heads import masked


def epsilon_greedy(
    greedy: Tensor, legal: Tensor | None, num_actions: int, epsilon: float | Tensor, generator: torch.Generator
) -> Tensor:
    """Replaces actions by random ones with probability epsilon, each uniform over the legal actions.

    greedy: int64 [N], legal: bool [N, num_actions] or None (all are). Returns int64 [N]. Row by row the same numbers
    are drawn whatever epsilon is, so that a change of it moves no later draw.
    """
    draw = torch.rand((2, len(greedy), num_actions), generator=generator, device=greedy.device)
    anything = masked(draw[0], legal).argmax(1)
    return torch.where(draw[1, :, 0] < epsilon, anything, greedy)


def epsilon_now(config: Any, clock: Any, start: int = 0) -> float:
    """The share of random actions at this moment of training: a line from `epsilon` to `epsilon_end`, then flat.

    config: with epsilon, epsilon_end and epsilon_decay, which is a share of the budget up to 1 and a number of steps
    above. start: the step at which a fall in steps begins.
    """
    c = config
    done = clock.progress if c.epsilon_decay <= 1 else max(0, clock.steps - start)
    spent = done / c.epsilon_decay
    return c.epsilon + (c.epsilon_end - c.epsilon) * min(1.0, spent)
