"""Tuned configurations that `train` starts from: one file per game, RECIPES: name -> Recipe."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import envs


@dataclasses.dataclass(frozen=True)
class Recipe:
    """An agent, its budget and everything that differs from the agent's and the game's defaults."""

    agent: str
    note: str  # line for people
    steps: int = 1_000_000  # budget where the user names none
    num_envs: int = 8
    # Steps between checkpoints: about ten minutes on a slow machine (two cores without AVX-512), which a kill costs.
    # Games that cannot be saved begin anew at each, so that they are fewer where many slow games are played.
    checkpoint_every: int = 300_000
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # fields of the agent's Config
    env: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # fields of the game's Options
    chosen_by: tuple[str, ...] = ()  # fields of `env`: a person who names them so gets this recipe, without its name


def file_of(game: str) -> str:
    """The name of a game's own file of recipes: ``gym:CartPole-v1`` -> gym_CartPole_v1."""
    return re.sub(r"\W", "_", game)


def recipes(game: str, module: str, own: bool = False) -> dict[str, Recipe]:
    """The recipes of a game, by name; those of its family (atari, gym) where it has no file of its own.

    own: without those of the family.
    """
    family = module.removeprefix("envs.").split(".")[0]
    for name in (file_of(game), family):
        if name.isidentifier() and importlib.util.find_spec(f"experiments.recipes.{name}"):
            found = importlib.import_module(f"experiments.recipes.{name}").RECIPES
            if name != family and not own:
                return {**recipes(family, module), **found}
            return dict(found)
    return {}


# Gymnasium's games with recipes of their own.
GYM = ("CartPole-v1", "LunarLander-v3", "LunarLanderContinuous-v3", "Pendulum-v1")
SHARED = {"atari": "every Atari game", "gym": "every gym:ID"}  # families whose games share recipes


def every() -> dict[str, dict[str, Recipe]]:
    """All recipes, by the games that they are of."""
    found = {name: recipes(name, envs.entry(name).module) for name in envs.GAMES}
    found |= {title: recipes("", f"envs.{family}") for family, title in SHARED.items()}
    files = {file.stem for file in Path(__file__).parent.glob("*.py")}
    for name in sorted(files & {*envs.atari_games()}):
        found[name] = importlib.import_module(f"experiments.recipes.{name}").RECIPES
    return found | {f"gym:{id}": recipes(f"gym:{id}", "envs.gym", own=True) for id in GYM}
