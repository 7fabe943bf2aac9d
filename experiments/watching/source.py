"""What is watched: a game, a run, a checkpoint, a stage of a run, or a run that is training now."""

from __future__ import annotations

import warnings
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import envs
from agents.core import checkpoint
from agents.core.checkpoint import CheckpointError
from agents.core.run import PLAYED, Run, RunError, safe
from experiments import players

REFERENCE = Path(__file__).resolve().parents[2] / "runs" / "reference"  # the committed reference runs
PERIOD = 1.0  # s between two looks for a newer checkpoint


class Source(NamedTuple):
    """A game and who plays it."""

    game: str
    run: Run | None = None  # None: the random agent
    step: int | str | None = None  # of the checkpoint, or "best"; None: the newest
    stage: int | None = None  # per cent of training, for the checkpoints that a run keeps of its course
    live: bool = False  # follow the newest checkpoint
    note: str = ""  # what a person should be told
    env: dict[str, Any] = {}  # noqa: RUF012  options of the game; a run has its own

    @property
    def checkpoints(self) -> Path:
        return self.run.checkpoints if self.stage is None else players.milestone_folder(self.run, self.stage)

    @property
    def label(self) -> str:
        """Whose play it is, in a few words."""
        return "random" if self.run is None else f"{self.run.config['agent']} {self.run.path.name}"


def find(what: str, runs: Path, *, step: int | str | None = None, live: bool = False) -> Source:
    """Raises RunError or UnknownGame where there is nothing of that name."""
    path = Path(what)
    if (path / "manifest.json").is_file() and path.name.isdigit():  # a checkpoint itself
        kind = path.parent
        if kind.name == "checkpoints":
            return _of(Run.open(kind.parent), step=int(path.name))
        if kind.parent.name == "stages" and kind.name.isdigit():
            return _of(Run.open(kind.parent.parent), step=int(path.name), stage=int(kind.name))
    if live:
        return _of(_training(what, runs), live=True)
    try:
        return _of(players.find_run(runs, what), step=step)
    except RunError as fault:
        if (path / "config.json").exists() or (path.exists() and not _is_game(what)):
            raise
        game = envs.canonical(what)  # UnknownGame tells the nearest names
        missing = fault
    for root in (runs / "reference", REFERENCE):
        try:
            run = Run.find(root, safe(game))
        except RunError:
            continue
        return _of(run, step=step)._replace(note=f"{game} has no run of yours: the reference run {run.path} plays")
    more = "; the classical player: python -m experiments.play go --you none" if game == "go" else ""
    return Source(game, note=f"{game} has no run yet ({missing}): the random agent plays{more}")


def _of(run: Run, **fields: Any) -> Source:
    run.require(PLAYED)
    return Source(run.config["game"], run, **fields)


def _is_game(name: str) -> bool:
    try:
        envs.find(name)
    except envs.UnknownGame:
        return False
    return True


def _training(what: str, runs: Path) -> Run:
    """The run that was begun or went on last, whether it has a checkpoint yet or not."""
    for candidate in (Path(what), runs / what):
        if (candidate / "config.json").is_file():
            return Run.open(candidate)
    folder = runs / (safe(envs.canonical(what)) if _is_game(what) else what)
    inside = folder.is_dir() and runs.resolve() in folder.resolve().parents
    found = list(folder.rglob("config.json")) if inside else []
    if not found:
        raise RunError(f"--live {what}: there is no run of it under {runs}")
    return Run.open(max(found, key=_newest_line).parent)


def _newest_line(config: Path) -> float:
    lines = config.with_name("metrics.jsonl")
    return max(p.stat().st_mtime for p in (config, lines) if p.exists())


class Follower:
    """Reads a run's newest checkpoint as soon as there is one, beside the play; it only ever reads."""

    def __init__(self, run: Run, at: int):
        self.run, self.at = run, at
        self._pool, self._reading = ThreadPoolExecutor(1, "follower"), None
        self._looked = monotonic()

    def newer(self) -> tuple[dict[str, Any], int] | None:
        """(state of the agent, its step) once for each checkpoint that is newer than the last one; at once."""
        if self._reading is None:
            if monotonic() - self._looked < PERIOD:
                return None
            self._looked = monotonic()
            found = checkpoint.steps(self.run.checkpoints)
            if found and found[-1] > self.at:
                self._reading = self._pool.submit(_agent_of, self.run.checkpoints)
            return None
        if not self._reading.done():
            return None
        reading, self._reading = self._reading, None
        return self._checked(reading)

    def _checked(self, reading: Future) -> tuple[dict[str, Any], int] | None:
        try:
            state, step = reading.result()
        except (CheckpointError, OSError):  # the run has just replaced it; the next look finds its successor
            return None
        if step <= self.at:
            return None
        self.at = step
        return state, step

    def close(self) -> None:
        self._pool.shutdown()


def _agent_of(folder: Path) -> tuple[dict[str, Any], int]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a checkpoint that was pruned while it was read: the one before will do
        parts, meta = checkpoint.load(folder, None, {"agent"})
    return parts["agent"], meta["step"]
