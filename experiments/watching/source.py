"""What is watched: a game, a run, a checkpoint, a stage of a run, or a run that is training now. Without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import envs
from agents import BASELINES
from agents.core import manifest
from agents.core.run import PLAYED, Run, RunError, safe
from experiments import cli, references
from experiments.finding import is_game, look_for, milestone_folder, of_options, require_checkpoint

PLAYERS = {"expert": "the scripted expert", "rave": "the search player rave"}  # players that need no training
NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})
PICTURES, BOARD = ("gradient", "occlusion"), ("policy", "visits", "ownership")  # overlays of networks; of boards


class Source(NamedTuple):
    """A game and who plays it."""

    game: str
    run: Run | None = None  # run of the agent; None: the random agent
    step: int | str | None = None  # step of the checkpoint, or "best"; None: the newest
    stage: int | None = None  # share of training, in per cent, for the checkpoints that a run keeps of its course
    live: bool = False  # True to follow the newest checkpoint
    note: str = ""  # message for the person
    env: dict[str, Any] = {}  # noqa: RUF012  options of the game; a run has its own
    scripted: str = ""  # name in PLAYERS of who plays without a run; "": the random agent

    @property
    def checkpoints(self) -> Path:
        """Returns the folder that the agent's checkpoints are read from."""
        return self.run.checkpoints if self.stage is None else milestone_folder(self.run, self.stage)

    @property
    def options(self) -> dict[str, Any]:
        """The game's options that it is played with."""
        return envs.scored(self.game, self.run.config["env"]) if self.run else dict(self.env)

    @property
    def label(self) -> str:
        """Whose play it is, in a few words."""
        if self.run is None:
            return self.scripted or "random"
        which = "reference " if references.is_reference(self.run.path) else ""
        return f"{which}{self.run.config['agent']} {self.run.path.name}"


def find(
    what: str, runs: Path, *, step: int | str | None = None, live: bool = False, env: Mapping[str, Any] = NO_OPTIONS
) -> Source:
    """Raises RunError or UnknownGame where there is nothing of that name. env: options that the game must have."""
    path = Path(what)
    if (source := _checkpoint(path)) is not None:
        if live or step is not None:
            raise RunError(f"{what} is a checkpoint itself: --live and --checkpoint are of runs")
        return source
    if live:
        return _of(_training(what, runs, env), live=True)
    try:
        run, note = (of_options(runs, what, env), "") if env else look_for(runs, what)
    except RunError as fault:
        if (path / "config.json").exists() or (path.exists() and not is_game(what)):
            raise
        game = envs.canonical(what)  # UnknownGame tells the nearest names
        missing = fault
    else:
        return _at(run, step)._replace(note=note)
    if step is not None:
        raise RunError(f"--checkpoint {step}: {missing}")
    return untrained(game, runs, env)


def _checkpoint(path: Path) -> Source | None:
    """The checkpoint that lies in this folder; None for any other folder."""
    kind = path.parent
    if path.name.isdecimal() and (path / "manifest.json").is_file():
        if kind.name == "checkpoints":
            return _of(Run.open(kind.parent), step=int(path.name))
        if kind.parent.name == "stages" and kind.name.isdecimal():
            return _of(Run.open(kind.parent.parent), step=int(path.name), stage=int(kind.name))
    return None


def untrained(game: str, runs: Path, env: Mapping[str, Any] = NO_OPTIONS) -> Source:
    """Who plays a game that nobody was trained for: the player that its description names, or chance."""
    about = envs.describe(game, **env)
    who = PLAYERS.get(about.scripted, "the random agent")
    note = f"{game} has no run under {runs} yet: {who} plays; an agent is trained by {cli.line('train', game)}"
    asks = {about.info["expert"]: True} if about.scripted == "expert" else {}
    return Source(game, note=note, scripted=about.scripted, env={**env, **asks})


def _at(run: Run, step: int | str | None) -> Source:
    """A run at a checkpoint, which must be there."""
    require_checkpoint(run, step)
    return _of(run, step=step)


def refuse_overlay(source: Source, name: str) -> None:
    """Raises ValueError for an overlay that is known beforehand to show nothing here."""
    known = ["off", *PICTURES, *BOARD]
    if name == "off":
        return
    if name not in known:
        raise ValueError(f"--overlay {name}: choose {', '.join(known)}")
    if source.run is None or source.run.config["agent"] in (*BASELINES, "random"):
        reason = f"shows why a network of the lab acts, and {source.label} plays {source.game}"
        raise ValueError(f"--overlay {name}: {reason}")
    about = envs.describe(source.game, **envs.scored(source.game, source.run.config["env"]))
    if name in BOARD and about.observation is not None and about.board is None:
        raise ValueError(f"--overlay {name}: is of board games; {source.game} has off, {', '.join(PICTURES)}")
    found = manifest.newest(source.checkpoints)  # nothing is known of a stranger's game without opening it
    dtype = (found[1]["meta"].get("spec") or {}).get("obs_dtype") if found else None
    if name in PICTURES and str(about.observation.dtype if about.observation else dtype or "uint8") != "uint8":
        raise ValueError(f"--overlay {name}: {source.run.path} sees numbers, and no picture that could be laid over")


def require_driven(source: Source, shadow: bool = True) -> None:
    """Raises ValueError where nothing is driven that could be recorded, or taken over at the wheel.

    shadow: whether a wheel is needed; else the keys of a game's own window will do.
    """
    about = envs.describe(source.game, **source.options)
    if about.window and not shadow:
        return
    driving = about.driving
    if driving is None:
        play = cli.line("play", source.game, "--record", "DATA")
        raise ValueError(f"--shadow and --record: {source.game} is not driven; {play} records what you play")
    if driving.refusal:
        raise ValueError(f"--shadow and --record: {driving.refusal}")


def _of(run: Run, **fields: Any) -> Source:
    run.require(PLAYED)
    return Source(run.config["game"], run, **fields)


def _training(what: str, runs: Path, env: Mapping[str, Any]) -> Run:
    """The run with these options that was begun or went on last, whether it has a checkpoint yet or not."""
    for candidate in (Path(what), runs / what):
        if (candidate / "config.json").is_file():
            return Run.open(candidate)
    folder = runs / (safe(envs.canonical(what)) if is_game(what) else what)
    inside = folder.is_dir() and runs.resolve() in folder.resolve().parents
    for config in sorted(folder.rglob("config.json"), key=_newest_line, reverse=True) if inside else ():
        run = Run.open(config.parent)
        if env.items() <= run.config.get("env", {}).items():
            return run
    told = "".join(f" with {name}={value}" for name, value in env.items())
    raise RunError(f"--live {what}: there is no run of it{told} under {runs}")


def _newest_line(config: Path) -> float:
    lines = config.with_name("metrics.jsonl")
    return max(p.stat().st_mtime for p in (config, lines) if p.exists())
