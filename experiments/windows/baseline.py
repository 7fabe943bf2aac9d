"""What a random player gets, measured and written into profiles: ``python -m experiments.windows.baseline [GAME ...]``

    python -m experiments.windows.baseline --episodes 20             every profile, in a virtual display, in real time
    python -m experiments.windows.baseline xracer mine.toml

The line is `random = [mean, low, high, episodes]`, with the 95 % interval of the mean (bootstrap over episodes).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from envs.screen import profile as profiles
from experiments import arguments, cli
from experiments.arguments import Positional

RESAMPLES = 10_000
LINE = re.compile(r"^random = .*\n", re.MULTILINE)
TABLE = re.compile(r"^\[", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class BaselineCommand:
    """Which games, and how often."""

    games: Positional[tuple[str, ...]] = ()  # profiles, by name or file; without one, all of them
    episodes: int = 10  # full episodes of each game

    def __post_init__(self) -> None:
        arguments.within(self, 2, 10_000, "episodes")


def summary(scores: Sequence[float], seed: int = 0) -> tuple[float, float, float, int]:
    """Mean, its 95 % interval, and the number of scores."""
    values = np.asarray(scores, float)
    means = values[np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))].mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(values.mean()), float(low), float(high), len(values)


def written(text: str, found: tuple[float, float, float, int]) -> str:
    """A profile's text with the line, in the place of the one that was there, else before the first table."""
    line = "random = [{:.4g}, {:.4g}, {:.4g}, {}]\n".format(*found)
    cut = first.start() if (first := TABLE.search(text)) else len(text)
    head, tables = text[:cut], text[cut:]
    if LINE.search(head):
        return LINE.sub(line, head, count=1) + tables
    return f"{head.rstrip()}\n{line}\n{tables}"


def main() -> None:
    with cli.edge():
        command = arguments.read(BaselineCommand, None, __doc__, "windows.baseline")
        from experiments.windows.suite import random_scores

        failed = []
        for game in command.games or profiles.names():
            with cli.refusing():
                profiles.load(game)
            path = Path(game) if game.endswith(".toml") else profiles.FOLDER / f"{game}.toml"
            try:
                found = summary(random_scores("screen", game, command.episodes))
            except ValueError as fault:  # a game that is not installed: the others are played
                failed.append(f"{game}: {fault}")
                continue
            path.write_text(written(path.read_text(encoding="utf-8"), found), encoding="utf-8")
            print("{}: {:.4g} ({:.4g} to {:.4g}), {} episodes".format(game, *found), flush=True)
        if failed:
            raise cli.UserError("; ".join(failed))


if __name__ == "__main__":
    main()
