"""What there is: ``python -m experiments.list games``.

python -m experiments.list games            the games of the lab, every Atari game, and how others are named
python -m experiments.list agents           the algorithms
python -m experiments.list recipes          tuned configurations: game, name, agent, budget
python -m experiments.list recipes kart     of one game
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import envs
from agents import ABOUT, AGENTS, BASELINES
from experiments import arguments, cli
from experiments.arguments import Positional, Shown
from experiments.recipes import recipes

GYM = ("CartPole-v1", "LunarLander-v3")  # Gymnasium's games with recipes of their own
FAMILIES = {"atari": "every Atari game", "gym": "every gym:ID"}  # games that share their recipes


@dataclasses.dataclass(frozen=True)
class Command:
    """What to list."""

    what: Annotated[Positional[Literal["games", "agents", "recipes"]], Shown("games|agents|recipes")]  # what to list
    game: Positional[str | None] = None  # recipes: of this game only


def games() -> Iterator[str]:
    """The games, by where they come from."""
    yield "games of the lab:"
    for name in envs.GAMES:
        yield f"  {name:12} {envs.entry(name).about}".rstrip()
    atari = [name.replace("_", "-") for name in envs.atari_games()]
    yield f"\nAtari, {len(atari)} games:"
    yield textwrap.indent(textwrap.fill(", ".join(atari), 110, break_on_hyphens=False), "  ")
    yield "\nany other Gymnasium environment: gym:ID, such as gym:CartPole-v1 or gym:package:ID"


def agents() -> Iterator[str]:
    """The algorithms."""
    for title, names in (("of the lab", AGENTS), ("of stable-baselines3, on the same games", BASELINES)):
        yield f"{title}:"
        yield from (f"  {name:12} {ABOUT[name]}" for name in names)


def tuned(game: str | None) -> Iterator[str]:
    """The recipes of a game, or all."""
    if game is not None:
        name = envs.canonical(game)
        sources = {name: recipes(name, envs.find(name)[0])}
    else:
        own = {name: recipes(name, envs.entry(name).module) for name in envs.GAMES}
        atari = {n: importlib.import_module(f"experiments.recipes.{n}").RECIPES for n in _atari_files()}
        sources = {**own, **{FAMILIES[f]: recipes("", f"envs.{f}") for f in FAMILIES}, **atari}
        sources |= {f"gym:{id}": recipes(f"gym:{id}", "envs.gym", own=True) for id in GYM}
    for name, found in sources.items():
        yield f"{name}:" if found else f"{name}: none; an agent's own defaults are taken"
        for recipe, content in found.items():
            yield f"  {recipe:14} {content.agent:9} {content.steps:>12,} steps   {content.note}"


def _atari_files() -> list[str]:
    """Atari games with a file of recipes of their own."""
    from pathlib import Path

    files = Path(__file__).with_name("recipes").glob("*.py")
    known = set(envs.atari_games())
    return sorted(f.stem for f in files if f.stem in known)


def main(argv: Sequence[str] | None = None) -> None:
    with cli.edge():
        command = arguments.read(Command, sys.argv[1:] if argv is None else argv, __doc__, "list")
        if command.game is not None and command.what != "recipes":
            raise cli.UserError(f"{command.what} are not listed by game; recipes are")
        lines = {"games": games, "agents": agents, "recipes": lambda: tuned(command.game)}[command.what]()
        print("\n".join(lines))


if __name__ == "__main__":
    main()
