"""Players of Go for `watch`, seated as an agent is. torch is imported where they are seated: this room has none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.go.players import rave

if TYPE_CHECKING:
    from agents.core.rows import Act, TimeStep
    from agents.core.stream import Stream

VISITS = 400  # visits of the search for each move


class RavePlayer:
    """Searches each position anew, by playouts."""

    evaluation = "greedy"

    def __init__(self, stream: Stream):
        self.rules = stream.envs.envs[0].unwrapped.options.rules
        self.players = [rave(seed=i) for i in range(stream.num_envs)]

    def act(self, step: TimeStep, memory: Any = None, *, explore: bool = True) -> Act:
        import torch

        from agents.core.rows import Act

        states, over = np.asarray(step.state), step.last.tolist()
        found = [
            0 if over[i] else int(player.think(self.rules, states[i], VISITS).action[0])
            for i, player in enumerate(self.players)
        ]  # fmt: skip
        return Act(torch.tensor(found, device=step.first.device))


PLAYERS = {"rave": RavePlayer}
