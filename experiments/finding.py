"""Finds runs and their checkpoints by the words of a person, and refuses what is not there. Without torch."""

from __future__ import annotations

from pathlib import Path

import envs
from agents.core import manifest
from agents.core.run import PLAYED, Run, RunError, safe
from experiments import cli


def find_run(root: Path, what: str) -> Run:
    """A run that can be played: `Run.find`, for games by any of their names (``gym:X`` lies in gym-X)."""
    run = _find(root, what)
    run.require(PLAYED)
    return run


def _find(root: Path, what: str) -> Run:
    try:
        return Run.find(root, what)
    except RunError as fault:
        if "/" in what or "\\" in what:  # a path, no game
            raise
        try:
            game = envs.canonical(what)
        except envs.UnknownGame as unknown:
            raise RunError(f"{fault}; {unknown}") from None
        folder = safe(game)
        if folder == what or not (root / folder).is_dir():
            raise RunError(f"{fault}; train one first: {cli.line('train', game)}") from None
        return Run.find(root, folder)


def best_folder(run: Run) -> Path:
    """Where the weights lie that had the best evaluation along the way."""
    return run.path / "best"


MILESTONES = (0, 1, 10, 100)  # shares of training, in per cent, whose weights are kept for `watch --milestones`


def milestone_folder(run: Run, percent: int) -> Path:
    """Where the weights of a milestone lie: a folder of checkpoints with one in it."""
    return run.path / "stages" / f"{percent:03d}"


def milestones(run: Run) -> list[int]:
    """The milestones that a run has kept, in per cent."""
    return [percent for percent in MILESTONES if manifest.steps(milestone_folder(run, percent))]


def require_checkpoint(run: Run, wanted: int | str | None) -> None:
    """Raises RunError where the run has no such checkpoint. wanted: a step, "best", or None for the newest."""
    kept, best = manifest.steps(run.checkpoints), manifest.steps(best_folder(run))
    if wanted == "best" and not best:
        raise RunError(f"{run.path} has kept no best checkpoint (train --eval-every N keeps it)")
    if wanted is None and not kept:
        raise RunError(f"{run.checkpoints} holds no checkpoint")
    if wanted not in (None, "best", *kept):
        there = [*map(str, kept), *(["best"] if best else [])]
        raise RunError(f"--checkpoint {wanted}: {run.path} has no such checkpoint; it has {', '.join(there) or 'none'}")
