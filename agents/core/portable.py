"""An agent as one function of arrays, for a runtime without the lab: what it says of its choice, and the choice.

The function is the agent's own `act` and `explain`, in float32; whatever stands around its network (running figures of
`--normalize-obs`, a memory, a mask of legal actions) is inside.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from agents.core.rows import Agent, TimeStep


class Portable(nn.Module):
    """N observations [N, stack, ...], then a mask of legal actions bool [N, A] where the game tells one, then, where
    the agent has a memory, the memory [N, ...] before the observation and `first` bool [N].

    Returns what `explain` says, in the order of its names, the action int64 [N] or float32 [N, D] (in -1 to 1) that
    the agent does greedily, and the memory after it. `inputs` and `outputs` name both.
    """

    def __init__(self, agent: Agent, obs: Tensor, legal: Tensor | None):
        """obs: two or more observations; legal: their masks. The agent can no longer learn afterwards.

        Raises ValueError for an agent that explains nothing.
        """
        super().__init__()
        if not hasattr(agent, "explain"):
            raise ValueError("it has no network that says why it acts")
        self._agent = agent
        self._parts = nn.ModuleList(_networks(agent)).requires_grad_(False)  # traced weights must be constants
        for part in self._parts.eval().modules():
            if isinstance(part, parametrize.ParametrizationList):  # spectral norm: the weight that acting sees
                weight = part().detach().clone()
                part[0] = nn.Identity()
                part.original.copy_(weight)
        fresh = TimeStep(obs, *(torch.zeros(len(obs)),) * 2, *(torch.ones(len(obs), dtype=torch.bool),) * 2, legal)
        with torch.no_grad():
            memory = agent.act(fresh, explore=False).memory
            self._names = sorted(agent.explain(fresh, None if memory is None else torch.zeros_like(memory)))
        self.inputs = {"obs": obs}
        if legal is not None:
            self.inputs["legal"] = legal
        if memory is not None:
            self.inputs |= {"memory": torch.zeros_like(memory), "first": torch.ones(len(obs), dtype=torch.bool)}
        self.outputs = [*self._names, "action", *(["memory_after"] if memory is not None else [])]

    def forward(self, obs: Tensor, *more: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        given = dict(zip(self.inputs, (obs, *more), strict=True))
        zeros = torch.zeros(obs.shape[0])
        first = given.get("first", torch.zeros(obs.shape[0], dtype=torch.bool))
        step = TimeStep(obs, zeros, zeros + 1.0, first, torch.zeros_like(first), given.get("legal"))
        memory = given.get("memory")
        told = self._agent.explain(step, memory)
        act = self._agent.act(step, memory, explore=False)
        action = act.action.clamp(-1.0, 1.0) if act.action.is_floating_point() else act.action
        after = () if memory is None else (act.memory,)
        return *(told[name] for name in self._names), action, *after


def _networks(agent: Any) -> list[nn.Module]:
    """The networks of an agent, and of what it wraps or holds, each once."""
    found: dict[int, nn.Module] = {}
    waiting = [agent]
    while waiting:
        for value in vars(waiting.pop()).values():
            if isinstance(value, nn.Module):
                found[id(value)] = value
            elif type(value).__module__.startswith("agents.") and hasattr(value, "__dict__"):
                waiting.append(value)  # no circle: parts of an agent do not know the agent
    return list(found.values())
