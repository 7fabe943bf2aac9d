"""Who can teach an agent that learns from somebody else: a recording, another run, the game's own expert. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import envs
from agents import settings
from envs.description import Description
from experiments import cli


def require(agent: str, game: str, env: Mapping[str, Any], given: bool) -> None:
    """Raises UserError for an agent that learns from a teacher where it is known beforehand that there is none.

    env: options of the game. given: whether a person names a recording or a run.
    """
    if given or not getattr(settings(agent), "NEEDS_TEACHER", False):
        return
    about = envs.describe(game, **env)
    if about.tells("expert") is False:
        raise cli.UserError(none(agent, about))


def none(agent: str, about: Description) -> str:
    """The sentence for an agent without a teacher."""
    sentence = f"{agent} learns from a teacher and {about.name} has none with these options"
    others = asking(about, "expert", ", and {} asks the game")
    return f"{sentence}; --data names a recording, --teacher-run a run{others}"


def asking(about: Description, name: str, words: str) -> str:
    """`words` with the option by which a game tells the array `name` of `info`; empty where no option does."""
    return words.format(f"--{about.info[name].replace('_', '-')}") if name in about.info else ""
