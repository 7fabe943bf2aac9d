"""What there is: ``python -m experiments.list games``.

python -m experiments.list games            the games of the lab, every Atari game, and how others are named
python -m experiments.list agents           the algorithms
python -m experiments.list recipes          tuned configurations: game, name, agent, budget
python -m experiments.list recipes kart     of one game
"""

from __future__ import annotations

import dataclasses
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import envs
from agents import ABOUT, AGENTS, BASELINES
from experiments import arguments, cli
from experiments.arguments import Positional, Shown
from experiments.recipes import every, recipes


@dataclasses.dataclass(frozen=True)
class ListCommand:
    """What to list."""

    what: Annotated[Positional[Literal["games", "agents", "recipes"]], Shown("games|agents|recipes")]  # subject
    game: Positional[str | None] = None  # recipes: of this game only
    pages: Path | None = None  # games: write a page of each into this folder


def games() -> Iterator[str]:
    """The games, by where they come from."""
    yield "games of the lab:"
    for name in envs.GAMES:
        yield f"  {name:12} {envs.entry(name).about}".rstrip()
    for family in envs.FAMILIES.values():
        yield f"\n{family.title}, {len(family.games)} games:"
        yield textwrap.indent(textwrap.fill(", ".join(family.games), 110, break_on_hyphens=False), "  ")
    yield f"\n{envs.OTHERS}"


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
        sources = every()
    for name, found in sources.items():
        yield f"{name}:" if found else f"{name}: none; an agent's own defaults are taken"
        for recipe, content in found.items():
            yield f"  {recipe:14} {content.agent:9} {content.steps:>12,} steps   {content.note}"


def main(argv: Sequence[str] | None = None) -> None:
    with cli.edge():
        command = arguments.read(ListCommand, sys.argv[1:] if argv is None else argv, __doc__, "list")
        if command.game is not None and command.what != "recipes":
            raise cli.UserError(f"{command.what} are not listed by game; recipes are")
        if command.pages is not None:
            if command.what != "games":
                raise cli.UserError("--pages: games have pages, nothing else does")
            from experiments import game_pages

            print("\n".join(f"written: {path}" for path in game_pages.write(command.pages)))
            return
        lines = {"games": games, "agents": agents, "recipes": lambda: tuned(command.game)}[command.what]()
        print("\n".join(lines))


if __name__ == "__main__":
    main()
