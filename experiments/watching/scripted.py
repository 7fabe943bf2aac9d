"""Players that need no training, seated as an agent is: they show what a game is before anything was trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from agents.core.rows import Act, TimeStep
from agents.core.stream import Stream

VISITS = 400  # of a search's tree for each move


class Expert:
    """Does what the game tells that its own scripted player would do (`info["expert"]`)."""

    evaluation = "greedy"

    def __init__(self, stream: Stream):
        stream.info_wanted = ("expert",)

    def act(self, step: TimeStep, memory: Any = None, *, explore: bool = True) -> Act:
        return Act(step.info["expert"])


class Rave:
    """Searches each position anew, by playouts; for Go."""

    evaluation = "greedy"

    def __init__(self, stream: Stream):
        from experiments.go.players import rave

        self.rules = stream.envs.envs[0].unwrapped.options.rules
        self.players = [rave(seed=i) for i in range(stream.num_envs)]

    def act(self, step: TimeStep, memory: Any = None, *, explore: bool = True) -> Act:
        states, over = np.asarray(step.state), step.last.tolist()
        found = [
            0 if over[i] else int(player.think(self.rules, states[i], VISITS).action[0])
            for i, player in enumerate(self.players)
        ]  # fmt: skip
        return Act(torch.tensor(found, device=step.first.device))


def player_of(name: str, stream: Stream) -> Expert | Rave:
    """The player of that name (`source.PLAYERS`) for the games of a stream."""
    return {"expert": Expert, "rave": Rave}[name](stream)
