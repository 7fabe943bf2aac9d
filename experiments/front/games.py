"""Every game with its best agent, beside random play, people, seed project and literature: one protocol each."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import envs
from agents.core import files
from agents.core.run import Run, RunError
from experiments import finding, references
from experiments import recipes as tuned
from experiments.comparing import records

PEERS = Path(__file__).with_name("peers.json")  # figures of others: game -> [{"who", "score", "protocol", "source"}]


def names(root: Path, runs: list[dict[str, Any]]) -> list[str]:
    """The games of the first page: the lab's own, and those with recipes, references or runs of their own.

    runs: rows of the ledger.
    """
    files_of = {file.stem for file in Path(tuned.__file__).parent.glob("*.py")}
    families = [
        game for family in envs.FAMILIES.values() for game in family.games if tuned.file_of(game) in files_of
    ]
    found = [*envs.GAMES, *families, *(f"gym:{id}" for id in tuned.GYM), *(str(row["game"]) for row in runs)]
    return [*dict.fromkeys(game for game in found if game and finding.is_game(game))]


def card(root: Path, game: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """What the page tells of a game. runs: rows of the ledger. A game that is not installed says why."""
    found: dict[str, Any] = {"game": game, "about": "", "missing": "", "others": [], "best": None, "room": False}
    if absent := records.absent(game):
        return {**found, "missing": absent[0]}
    about = envs.describe(game)
    found["about"] = about.about
    found["room"] = bool(game in envs.GAMES and envs.entry(game).room)
    found["scripted"], found["window"] = about.scripted, about.window
    player = best(root, game, runs)
    if player is not None:
        found["best"] = player
        found["others"] = others(root, game, player)
    found["recipes"] = [
        {"name": name, "agent": r.agent, "steps": r.steps, "note": r.note}
        for name, r in tuned.recipes(game, envs.find(game)[0]).items()
    ]
    return found


def best(root: Path, game: str, runs: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Who plays a game on the page: the person's newest run that can be played, else the best reference."""
    try:
        run, _ = finding.look_for(root, game)
    except (RunError, OSError):  # OSError: somebody has just deleted it
        return None
    row = next((row for row in runs if Path(row["path"]).resolve() == run.path.resolve()), None)
    if row is None:
        return None
    return {k: row.get(k) for k in ("name", "agent", "score", "minutes", "reference", "steps", "path")}


def others(root: Path, game: str, player: dict[str, Any]) -> list[dict[str, Any]]:
    """Scores of others under the protocol of the player's own score; published ones say theirs (`protocol`)."""
    score = player["score"]
    if score is None:
        return []
    path, found = Path(player["path"]), []
    run = Run.open(path)
    published = envs.describe(game, **envs.scored(game, run.config["env"])).published
    chance = _chance(root, game, score["protocol"])
    if chance is not None:
        found.append({"who": "random", "score": chance})
    family = next((family for family in envs.FAMILIES if envs.is_of(game, family)), None)
    if published is not None and family is not None:  # the literature scores families of games
        suite = envs.suite(family)
        figures = [] if chance is not None else [("random", published.random)]
        figures += [("human", published.human), (suite.agent, published.dqn)]
        said = {"source": suite.source, "protocol": suite.protocol}
        found += [{"who": who, "score": score, **said} for who, score in figures]
    found += [
        {"who": one["who"], "score": one["score"], "source": one.get("source", "")}
        for one in peers().get(game, ())
        if one.get("protocol") in (None, score["protocol"])
    ]
    return found


def _chance(root: Path, game: str, protocol: str) -> float | None:
    """The random agent's mean in the games of a reference."""
    for path in references.of_game(root, game):
        try:
            told = files.read_json(path / references.ABOUT)["reference"]["random"]
            if told["protocol"] == protocol and math.isfinite(mean := float(told["mean"])):
                return mean
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            continue
    return None


@functools.cache
def peers() -> dict[str, Any]:
    """The figures of others, from docs/results.md."""
    return files.read_json(PEERS)
