"""Players that need no training, seated as an agent is: they show what a game is before anything was trained."""

from __future__ import annotations

import importlib
from typing import Any

import envs
from agents.core.rows import Act, TimeStep
from agents.core.stream import Stream


class Expert:
    """Does what the game tells that its own scripted player would do (`info["expert"]`)."""

    evaluation = "greedy"

    def __init__(self, stream: Stream):
        stream.info_wanted = ("expert",)

    def act(self, step: TimeStep, memory: Any = None, *, explore: bool = True) -> Act:
        return Act(step.info["expert"])


def player_of(game: str, name: str, stream: Stream) -> Any:
    """The player of that name for the games of a stream: the game's own `expert`, or one of its room's PLAYERS."""
    if name == "expert":
        return Expert(stream)
    return importlib.import_module(f"{envs.entry(game).room}.watched").PLAYERS[name](stream)
