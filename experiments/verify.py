"""Check the reference runs: ``python -m experiments.verify [GAME]``.

    python -m experiments.verify                    every reference run, 10 games each
    python -m experiments.verify breakout --episodes 30
    python -m experiments.verify --episodes 4 --max-games 1     a short form: one reference of each game

Each is compared with its checksums and plays games of seeds that neither its training nor its stated score has used.
The stated score must lie within the interval that both samples of games allow (a permutation test; one of a thousand
honest references is called wrong). The exit code is 1 where one does not hold. A
reference whose game needs a package that is not installed is named and not played.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import envs
from envs.description import MissingPackage
from experiments import arguments, cli, references
from experiments.arguments import Positional

VERDICTS = {True: "holds", False: "WRONG", None: "not played"}


@dataclasses.dataclass(frozen=True)
class VerifyCommand:
    """What to check."""

    what: Positional[tuple[str, ...]] = ()  # games, or reference/GAME/NAME; without any all
    episodes: int = 10  # new games of each; more where so few could refuse nothing
    max_games: int = 0  # references of one game that are played, the best first; 0: all
    files: bool = False  # compare files and figures alone, play nothing
    seed: int | None = None  # seed of the new games; without it one that was not used yet
    trust: str | None = None  # gym:MODULE:ID or MODULE:CLASS of a reference, whose code you allow to be imported
    device: str = "auto"  # auto, cpu, cuda, cuda:N or mps
    json: bool = False  # print one JSON object per reference and nothing else
    runs: Path = Path("runs")  # folder of the run folders; references lie in RUNS/reference and beside the lab

    def __post_init__(self) -> None:
        arguments.within(self, 2, 100_000, "episodes")
        arguments.at_least(self, 0, "max_games")
        arguments.within(self, *arguments.SEEDS, "seed")


def chosen(command: VerifyCommand) -> list[Path]:
    """The references that are asked for. Raises UserError where a word names none."""
    if not command.what:
        found = references.every(command.runs)
    else:
        found = []
        for word in command.what:
            named = references.named(command.runs, word) or references.of_game(command.runs, envs.canonical(word))
            if not named:
                raise cli.UserError(f"{word} has no reference run; there are references of {_games(command.runs)}")
            found += named
    if not found:
        raise cli.UserError(f"there are no reference runs in {references.HOME} and {command.runs / references.WORD}")
    found = [*dict.fromkeys(found)]
    if command.max_games:
        order = sorted(found, key=lambda path: (-references.score(path), path.name))
        best = {game: [p for p in order if p.parent.name == game] for game in {path.parent.name for path in found}}
        found = [path for path in found if path in best[path.parent.name][: command.max_games]]
    return found


def _games(root: Path) -> str:
    return ", ".join(dict.fromkeys(path.parent.name for path in references.every(root))) or "no game"


def check(path: Path, command: VerifyCommand) -> dict[str, Any]:
    """One reference: {"reference", "holds", "told"}, and the figures where it came to games.

    holds: None where its game needs a package that is not installed here.
    """
    import numpy as np

    from agents.core.manifest import CheckpointError
    from agents.core.run import RunError
    from experiments import evaluate
    from experiments.promoting import checks

    name = f"{references.WORD}/{path.parent.name}/{path.name}"
    try:
        run, stated = checks.opened(path)
        if command.files:
            mean, games = stated["mean"], stated["episodes"]
            return {"reference": name, "holds": True, "told": f"whole; stated {mean:.4g} over {games} games"}
        seed = checks.fresh_seed(run, stated) if command.seed is None else command.seed
        episodes = max(command.episodes, checks.fewest(len(stated["scores"])))
        with cli.refusing():
            new = evaluate.evaluate(run, episodes=episodes, seed=seed, device=command.device, quiet=command.json)
    except (checks.ReferenceFault, RunError, CheckpointError, cli.UserError) as fault:
        missing = isinstance(fault.__cause__, MissingPackage)
        return {"reference": name, "holds": None if missing else False, "told": str(fault)}
    for what in ("protocol", "policy"):
        if stated.get(what) != new[what]:
            said = f"{what} of the stated score is {stated.get(what)!r}, the run has {new[what]!r}"
            return {"reference": name, "holds": False, "told": said}
    verdict = checks.compare(np.array(stated["scores"]), np.array(new["scores"]))
    figures = {**dataclasses.asdict(verdict), "seed": seed, "scores": new["scores"]}
    return {"reference": name, "holds": verdict.holds, "told": verdict.sentence, **figures}


def main() -> None:
    with cli.edge():
        command = arguments.read(VerifyCommand, None, __doc__, "verify")
        paths = chosen(command)
        if not command.files:
            cli.starting(torch=True)
        verdicts = []
        for path in paths:
            found = check(path, command)
            verdicts.append(found["holds"])
            if command.json:
                print(json.dumps(found), flush=True)
            else:
                cli.say(f"{VERDICTS[found['holds']]}  {found['reference']}: {found['told']}")
                sys.stdout.flush()
        if not command.json:
            missing = verdicts.count(None)
            more = f"; {missing} could not be played here" if missing else ""
            print(f"{verdicts.count(True)} of {len(paths)} reference runs hold{more}")
        sys.exit(1 if False in verdicts else 0)


if __name__ == "__main__":
    main()
