"""A run becomes a reference: small enough for the repository, scored as it is stored, with the command that made it."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from agents.core import checkpoint, files, manifest
from agents.core.device import cpu_flags
from agents.core.run import SEAL, Run
from experiments import references
from experiments.cli import UserError
from experiments.comparing.records import RunRecord, read
from experiments.comparing.wording import size
from experiments.promoting import thinning

FORMAT = 1  # version of reference.json
LARGEST = 4 * 2**20  # bytes of a reference's weights
FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd")  # processor features that training depends on
WEIGHTS = ("network", "normalizer")  # parts of an agent's state that play
FEWEST = 5  # games of a score at least
Scoring = Callable[[Run], dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Promotion:
    """What is asked of a promotion."""

    name: str | None = None  # name of the reference; None: AGENT-sSEED
    before: tuple[str, ...] = ()  # commands that must be run before the training, such as that of a recording
    replace: bool = False  # take the place of a reference of this name


def promote(run: Run, folder: Path, asked: Promotion, score: Scoring, chance: Scoring) -> Path:
    """Makes a reference of a run below `folder`; returns its path. Raises UserError for a run that cannot be one.

    score: plays the games of a run. chance: the same of the random agent in its place. All is written beside the place
    and moved there at the end.
    """
    record = read(run.path)
    name = asked.name or f"{run.config['agent']}-s{run.config['seed']}"
    goal = folder / references.safe(run.config["game"]) / references.safe(name)
    if goal.exists() and not asked.replace:
        raise UserError(f"{goal} is there already; --name gives this one another name, --replace takes its place")
    if not record.finished:
        raise UserError(f"{run.path} is unfinished, at step {record.steps:,} of {record.budget or 0:,}")
    with _beside(goal) as place:
        config = _portable(run.config)
        stored = Run(place, config)
        stored.write_config()
        halve(run, place / "checkpoints", config)
        lines = thinning.thinned(record.lines)
        thinning.write_lines(place / "metrics.jsonl", lines)
        thinning.write_events(place, config, lines)
        shown = f"{references.WORD}/{goal.parent.name}/{goal.name}"
        result, random = ({**scored(Run.open(place)), "run": shown} for scored in (score, chance))
        files.write_json(place / references.SCORE, result)
        about = describe(record, config, asked.before)
        about["random"] = {k: random[k] for k in ("mean", "sem", "episodes", "seed", "protocol")}
        seal(place, about)
        _take_place(place, goal)
    return goal


def _take_place(place: Path, goal: Path) -> None:
    """Moves a folder to `goal`. What is there is deleted last, so that a kill leaves both whole."""
    if not goal.exists():
        place.rename(goal)
        return
    aside = files.temporary(goal)
    goal.rename(aside)
    try:
        place.rename(goal)
    except OSError:
        aside.rename(goal)
        raise
    shutil.rmtree(aside)


@contextlib.contextmanager
def _beside(goal: Path) -> Iterator[Path]:
    """A new folder beside `goal`, which is removed where it was not moved away."""
    goal.parent.mkdir(parents=True, exist_ok=True)
    place = files.temporary(goal)
    place.mkdir()
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def halve(run: Run, folder: Path, config: Mapping[str, Any]) -> Path:
    """Writes the newest weights of a run in half precision, as a checkpoint that holds nothing else.

    Raises UserError where there are none, they are larger than LARGEST, or too large in value for half precision.
    """
    parts, meta = checkpoint.load(run.checkpoints, None, {"agent"})
    state = {k: parts["agent"][k] for k in WEIGHTS if k in parts["agent"]}
    if "network" not in state:
        raise UserError(f"{run.path}: {run.config['agent']} has no weights; what never learned is no reference")
    state["network"] = {k: half(v, f"{run.path}: {k}") for k, v in state["network"].items()}
    meta = {**meta, "ring": False, "config": {k: v for k, v in config.items() if k != SEAL}}
    written = checkpoint.save(folder, meta["step"], {"agent": state}, meta)
    weights = (written / "agent.safetensors").stat().st_size
    if weights > LARGEST:
        raise UserError(f"{run.path}: its weights take {size(weights)} in half precision, more than {size(LARGEST)}")
    return written


def half(tensor: torch.Tensor, name: str) -> torch.Tensor:
    """float16 of a tensor of floats, any other as it is. Raises UserError where a value has no place in float16."""
    if not tensor.is_floating_point():
        return tensor
    if not tensor.isfinite().all() or tensor.abs().max() > torch.finfo(torch.float16).max:
        raise UserError(f"{name} holds values that half precision has no place for")
    return tensor.to(torch.float16)


PATHS = ("data", "init", "teacher_run")  # fields of a configuration that hold paths


def _portable(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without paths of the machine that it was trained on: what lies elsewhere is called data/NAME."""

    def here(word: Any) -> Any:
        if isinstance(word, list):
            return [here(one) for one in word]
        if not isinstance(word, str):
            return word
        option, equals, value = word.partition("=")
        if equals and option.startswith("--"):
            return f"{option}={here(value)}"
        return f"data/{Path(word).name}" if Path(word).is_absolute() else word

    made = {k: here(v) if k in PATHS else v for k, v in config.items() if k != SEAL}
    return {**made, "command": shlex.join(here(word) for word in shlex.split(str(config.get("command", ""))))}


def describe(record: RunRecord, config: Mapping[str, Any], before: Sequence[str]) -> dict[str, Any]:
    """How the run came about: commands, commit, wall clock, hardware."""
    flags = cpu_flags()
    return {
        "format": FORMAT, "game": config["game"], "agent": config["agent"], "seed": config["seed"],
        "commands": [*before, config["command"]], "commit": config.get("commit"), "steps": record.steps,
        "seconds": record.seconds, "machine": config.get("machine"), "device": config.get("device"),
        "features": [flag for flag in FEATURES if flag in flags], "versions": config.get("versions", {}),
    }  # fmt: skip


def seal(place: Path, about: Mapping[str, Any]) -> None:
    """Writes reference.json: what is known of the reference, and the sha256 of each of its files."""
    listed = {path.relative_to(place).as_posix(): sha256(path) for path in sorted(place.rglob("*")) if path.is_file()}
    content = {**about, "files": {k: v for k, v in listed.items() if k != references.ABOUT}}
    files.write_json(place / references.ABOUT, {"sha256": manifest.seal(content), "reference": content})


def sha256(path: Path) -> str:
    """The checksum of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
