"""Let a player play itself and keep the games as records to learn from: ``python -m experiments.selfplay GAME``.

    python -m experiments.selfplay go --player rave --games 1000 --size 9 --out data/rave9

Every option: ``selfplay GAME --help``. The same command again goes on where it was stopped; the same seed gives the
same games.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import sys

import envs
from experiments import arguments, cli
from experiments.arguments import Positional


@dataclasses.dataclass(frozen=True)
class SelfplayCommand:
    """Which game; what else can be said depends on it."""

    game: Positional[str]  # a game whose records have a format of their own


def rooms() -> dict[str, str]:
    """The games that have records of self-play: name -> module."""
    found = {name: f"{room}.selfplay" for name in envs.GAMES if (room := envs.entry(name).room)}
    return {name: module for name, module in found.items() if importlib.util.find_spec(module)}


def main() -> None:
    game, known = "".join(sys.argv[1:2]), rooms()
    if game in known:
        importlib.import_module(known[game]).main(sys.argv[2:])
        return
    with cli.edge():
        command = arguments.read(SelfplayCommand, None, __doc__, "selfplay")
        envs.canonical(command.game)  # a wrong name is told as such
        raise cli.UserError(f"{command.game} writes no records of self-play; these games do: {', '.join(known)}")


if __name__ == "__main__":
    main()
