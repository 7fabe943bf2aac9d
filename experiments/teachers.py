"""Who can teach an agent that learns from somebody else: a recording, another run, the game's own expert. No torch."""

from __future__ import annotations

import importlib
from typing import Any

import envs
from agents import settings
from experiments import cli


def require(agent: str, game: str, env: dict[str, Any], given: bool) -> None:
    """Raises UserError for an agent that learns from a teacher where it is known beforehand that there is none.

    env: options of the game. given: whether a person names a recording or a run.
    """
    if given or not getattr(settings(agent), "TAUGHT", False):
        return
    code, _ = envs.find(game)
    if env.get("expert_info") is False or not getattr(importlib.import_module(code), "TEACHES", True):
        raise cli.UserError(none(agent, game))


def none(agent: str, game: str) -> str:
    """The sentence for an agent without a teacher."""
    return (
        f"{agent} learns from a teacher and {game} has none with these options; --data names a recorded drive,"
        " --expert a run, and kart and car-racing have one with --expert-info True"
    )
