"""Finds runs and their checkpoints by the words of a person, and refuses what is not there. Without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import envs
from agents.core import manifest
from agents.core.run import PLAYED, Run, RunError, safe
from experiments import cli, references


def find_run(root: Path, what: str, game: str | None = None) -> Run:
    """A run that can be played, where there is none of a game its reference run; the person is told so.

    game: whose best reference the word ``reference`` stands for.
    """
    run, note = look_for(root, what, game)
    if note:
        cli.tell(note)
    return run


def look_for(root: Path, what: str, game: str | None = None) -> tuple[Run, str]:
    """The same, without telling: the run, and what a person is to be told of it."""
    if what.partition("/")[0] == references.WORD:
        word = f"{what}/{game}" if what == references.WORD and game is not None else what
        found = references.named(root, word)
        if word == references.WORD or not found:
            raise RunError(f"{word!r} is no reference run: {references.WORD}/GAME names the best one of a game")
        return _playable(Run.open(found[0])), ""
    try:
        return find_own(root, what), ""
    except RunError as fault:
        path = references.best(root, envs.canonical(what)) if is_game(what) else None
        if path is None or any((place / "config.json").exists() for place in (Path(what), root / what)):
            raise
        folder = root / safe(envs.canonical(what))
        damaged = next(folder.glob("*/*/checkpoints/[0-9]*/manifest.json"), None) is not None
        reason = str(fault) if damaged else ""
    return _playable(Run.open(path)), references.note(envs.canonical(what), path, reason)


def find_own(root: Path, what: str) -> Run:
    """A run that can be played: `Run.find`, for games by any of their names (``gym:X`` lies in gym-X)."""
    return _playable(_find(root, what))


def _playable(run: Run) -> Run:
    run.require(PLAYED)
    return run


def of_options(root: Path, what: str, env: Mapping[str, Any]) -> Run:
    """The newest run of a game that can be played and was trained with these options. Raises RunError."""
    folder = root / safe(envs.canonical(what)) if is_game(what) else root / what
    inside = folder.is_dir() and root.resolve() in folder.resolve().parents
    found = sorted(folder.rglob("config.json"), key=lambda p: p.stat().st_mtime, reverse=True) if inside else []
    for path in found:
        run = Run.open(path.parent)
        if env.items() <= run.config.get("env", {}).items() and manifest.steps(run.checkpoints):
            return _playable(run)
    told = ", ".join(f"{name}={value}" for name, value in env.items())
    raise RunError(f"there is no run of {what} with {told} under {root}")


def is_game(name: str) -> bool:
    """Is it a game's name?"""
    try:
        envs.find(name)
    except envs.UnknownGame:
        return False
    return True


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
