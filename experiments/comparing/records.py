"""Run folders as they are found: what can be read is read, what cannot is named with the reason."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import math
import os
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import envs
from agents.core import files, manifest
from agents.core.run import PLAYED, Run, RunError, safe
from envs.text import printable
from experiments import child, cli, finding, references
from experiments.comparing import evaluations
from experiments.comparing.wording import ago, size

ARCHIVE, TRASH = ".archive", ".trash"  # folders in a runs folder; names that begin with a dot are never searched
TAGS = "tags.json"  # list of the user's own words
MARKS = {"config.json", "metrics.jsonl", "checkpoints"}  # entries of which one makes a folder a run, or the rest of one


class Curve(NamedTuple):
    """One logged value over a run; float64 [n] each."""

    steps: np.ndarray  # steps, in rising order
    minutes: np.ndarray  # minutes of training; nan where the run did not log its clock
    values: np.ndarray


class Score(NamedTuple):
    """What a run reached, under one protocol."""

    value: float
    protocol: str
    policy: str = ""  # policy of the evaluation; "" for a training score
    games: int = 0  # games of the evaluation; 0: unknown
    step: int | None = None  # step of the evaluated checkpoint, or of the last logged value
    own: bool = True  # True if the policy is the one that scores of this run are made with


class OmittedRun(NamedTuple):
    """A run, or a word for one, that was left out."""

    what: str
    reason: str


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """One run as it lies on disk."""

    path: Path
    config: dict[str, Any]
    lines: list[dict[str, float]]  # entries of metrics.jsonl; `steps` of each never falls
    evaluations: tuple[dict[str, Any], ...] = ()  # all evaluations, oldest first
    newest: int | None = None  # step of the newest checkpoint
    remarks: tuple[str, ...] = ()  # faults that leave the rest usable

    @property
    def steps(self) -> int:
        """How far the run has come, as far as it was logged."""
        return int(self.lines[-1]["steps"]) if self.lines else 0

    @property
    def budget(self) -> int | None:
        """Steps in all; None until --minutes has been turned into steps."""
        steps = self.config.get("steps")
        return int(steps) if isinstance(steps, int | float) else None

    @property
    def finished(self) -> bool:
        """Tells whether the run has used up its budget of steps."""
        return self.budget is not None and self.steps >= self.budget

    @property
    def seconds(self) -> float:
        """Of training, over all resumes; nan where it was not logged."""
        return next((x["clock/seconds"] for x in reversed(self.lines) if "clock/seconds" in x), math.nan)

    @property
    def rate(self) -> float:
        """Steps per second over the whole run; nan where its clock was not logged."""
        last = next((x for x in reversed(self.lines) if x.get("clock/seconds", 0) > 0), None)
        return last["steps"] / last["clock/seconds"] if last else math.nan

    def curve(self, tag: str) -> Curve:
        """Every value of `tag`; empty where there is none."""
        points = {x["steps"]: x[tag] for x in self.lines if tag in x}  # the newest one of each step
        steps = np.array(list(points), dtype=np.float64)
        clock = np.array([(x["steps"], x["clock/seconds"]) for x in self.lines if "clock/seconds" in x])
        minutes = np.interp(steps, *clock.T) / 60 if len(clock) else np.full(len(steps), np.nan)
        return Curve(steps, minutes, np.array(list(points.values()), dtype=np.float64))

    def scores(self, metric: str) -> dict[str, Score]:
        """Protocol -> score, the run's own first. eval/return and its like come from the evaluations, if there are."""
        protocol = str(self.config["protocol"])
        name = {"return": "mean"}.get(metric.removeprefix("eval/"), metric.removeprefix("eval/"))
        chosen = list(evaluations.own(self.evaluations, self.newest, protocol)) if metric.startswith("eval/") else []
        chosen = [evaluation for evaluation in chosen if evaluations.is_number(evaluation.get(name))]
        found = {(score := _score(evaluation, name, protocol)).protocol: score for evaluation in chosen}
        curve = self.curve(metric)
        if len(curve.values) and protocol not in found:
            logged = {protocol: Score(float(curve.values[-1]), protocol, step=int(curve.steps[-1]))}
            others_alone = all(map(evaluations.is_other, chosen))
            found = logged | found if others_alone else found | logged
        return found


def _score(found: Mapping[str, Any], name: str, protocol: str) -> Score:
    games, step = (int(found[k]) if evaluations.is_number(found.get(k)) else None for k in ("episodes", "step"))
    own, under = found.get("own_policy", True) is not False, str(found.get("protocol", protocol))
    return Score(float(found[name]), under, str(found.get("policy", "")), games or 0, step, own)


def read(path: Path) -> RunRecord:
    """A run's folder. Raises RunError where it cannot be used at all."""
    run = Run.open(path)
    config, remarks = run.config, [*run.remarks]
    lines, scored = _lines(path, remarks), evaluations.read(path, remarks)
    return RunRecord(path, config, lines, scored, (checkpoints(path) or [None])[-1], tuple(remarks))


def _lines(path: Path, remarks: list[str]) -> list[dict[str, float]]:
    kept: list[dict[str, float]] = []
    damaged = rewound = 0
    try:
        text = files.read_text(path / "metrics.jsonl", files.LINES_LIMIT)
    except FileNotFoundError:
        remarks.append("it has no metrics.jsonl")
        return kept
    except (OSError, ValueError) as fault:
        remarks.append(f"metrics.jsonl cannot be read: {getattr(fault, 'strerror', None) or fault}")
        return kept
    for line in filter(str.strip, text.splitlines()):
        try:
            content = files.parse(line)
        except ValueError:
            content = None
        if not isinstance(content, Mapping) or not evaluations.is_number(content.get("steps")) or content["steps"] < 0:
            damaged += 1
            continue
        while kept and kept[-1]["steps"] > content["steps"]:  # resumed from a checkpoint before
            kept.pop()
            rewound += 1
        kept.append({printable(k): float(v) for k, v in content.items() if evaluations.is_number(v)})
    if damaged:
        remarks.append(f"{damaged} damaged {'line' if damaged == 1 else 'lines'} of metrics.jsonl left out")
    if rewound:
        remarks.append(f"{rewound} lines of metrics.jsonl left out that a resume went back behind")
    return kept


def below(folder: Path) -> list[Path]:
    """Every run folder at or below `folder`, sorted; nothing inside a run, nothing whose name begins with a dot."""
    found = []
    for name, inside, others in os.walk(folder):
        if MARKS & {*inside, *others}:
            found.append(Path(name))
            inside.clear()
        inside[:] = [i for i in inside if not i.startswith(".")]
    return sorted(found)


def locate(root: Path, what: str) -> list[Path]:
    """A run, a folder with runs, or a game or game/agent under `root` -> run folders. Raises RunError for none."""
    head, _, tail = what.rpartition("/")
    names = [what, safe(what), f"{safe(head)}/{tail}"]  # gym:ID and gym:ID/AGENT are folders gym-ID and gym-ID/AGENT
    for place in (Path(what), *(root / name for name in names)):
        if place.is_dir() and (found := below(place)):
            return found
    raise RunError(f"{what!r} is neither a run nor a folder with runs, nor a game or game/agent with one under {root}")


def collect(root: Path, words: Iterable[str]) -> tuple[list[RunRecord], list[OmittedRun]]:
    """Reads what the words name, each run once; what cannot be read is listed with the reason.

    Of a game without a run the reference runs are taken, and the person is told so.
    """
    records, left, seen = [], [], set()
    for word in words:
        try:
            paths = _meant(root, word)
        except RunError as fault:
            left.append(OmittedRun(word, str(fault)))
            continue
        for path in paths:
            if path.resolve() in seen:
                continue
            seen.add(path.resolve())
            try:
                records.append(read(path))
            except RunError as fault:
                left.append(OmittedRun(str(path), str(fault).removeprefix(f"{path}/")))
    return records, left


def _meant(root: Path, word: str) -> list[Path]:
    if found := references.named(root, word):
        return found
    try:
        return locate(root, word)
    except RunError:
        name = envs.canonical(word) if finding.is_game(word) else word
        if not (found := references.of_game(root, name)):
            raise
    cli.tell(references.note(name, found[0]) if len(found) == 1 else references.note_of(name, found))
    return found


def checkpoints(path: Path) -> list[int]:
    """Steps of the run's checkpoints, oldest first."""
    return manifest.steps(path / "checkpoints")


def plain(value: Any) -> str:
    """A configuration's value as a person writes it."""
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """A run folder as a whole: its state, what it weighs, how to go on with it."""

    path: Path
    name: str  # path relative to the runs folder
    record: RunRecord | None  # contents of the run; None: damaged
    fault: str  # reason for the damage; "" without any
    bytes: int
    ring: int  # bytes of the replay ring, part of `bytes`
    changed: float  # time of the newest change of a file, in seconds since the epoch
    checkpoint: int | None  # step of the newest checkpoint
    remarks: tuple[str, ...] = ()  # faults that leave the rest usable

    @property
    def steps(self) -> int:
        """Returns the steps of the newest metrics or of the newest checkpoint, whichever are more."""
        return max(self.record.steps if self.record else 0, self.checkpoint or 0)

    @property
    def state(self) -> str:
        """Returns one word: damaged, finished, training or unfinished."""
        if self.record is None:
            return "damaged"
        if self.record.budget is not None and self.steps >= self.record.budget:
            return "finished"
        return "training" if child.is_training(self.path) else "unfinished"

    @property
    def again(self) -> str:
        """The command that goes on with it."""
        if self.checkpoint is not None:
            return f"python -m experiments.train --resume {shlex.quote(str(self.path))}"
        return f"{_command(self.record)}   (it has no checkpoint: from the start)"

    def cells(self) -> list[str]:
        """For the table."""
        steps = f"{self.steps:,}"
        if self.record and self.record.budget:
            steps += f" of {self.record.budget:,}"
        evaluation = (self.record.scores("eval/return") if self.record else None) or {}
        score = next((f"{s.value:.4g} ({s.protocol}{over(s.games)})" for s in evaluation.values()), "")
        return [self.name, self.state, steps, score, " ".join(tags(self.path)), size(self.bytes), ago(self.changed)]


def _command(record: RunRecord | None) -> str:
    """How a run was started, for a person to do again: a command of ours, quoted anew, whatever the file says."""
    try:
        words = shlex.split(str(record.config.get("command", ""))) if record else []
    except ValueError:
        words = []
    return shlex.join(words) if words[:3] == ["python", "-m", "experiments.train"] else "train it anew"


def look(root: Path, path: Path) -> RunFolder:
    """Looks at one run folder, whatever is in it."""
    record, fault = None, ""
    try:
        record = read(path)
    except RunError as wrong:
        fault = str(wrong).removeprefix(f"{path}/")
    total = ring = 0
    changed = 0.0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                status = os.lstat(os.path.join(folder, name))
            except FileNotFoundError:  # a training run has just put a newer one in its place
                continue
            total += status.st_size
            ring += status.st_size if Path(folder) == path / "checkpoints" / "ring" else 0
            changed = max(changed, status.st_mtime if name != TAGS else 0.0)
    inside = path.resolve().is_relative_to(root.resolve())
    name = str(path.resolve().relative_to(root.resolve())) if inside else str(path)
    changed = changed or path.stat().st_mtime
    found = RunFolder(path, name, record, fault, total, ring, changed, (checkpoints(path) or [None])[-1])
    remarks = [*(record.remarks if record else ()), *(absent(record.config["game"]) if record else ())]
    remarks += _faults(path, record)
    if found.state != "training":  # its newest record may be half written at this moment
        remarks += [fault for file in sorted(path.glob("events.out.tfevents.*")) if (fault := torn(file))]
    return dataclasses.replace(found, remarks=tuple(remarks))


def _faults(path: Path, record: RunRecord | None) -> list[str]:
    """What will keep the run from being played or trained further."""
    found = []
    if record and (lacking := [name for name in PLAYED if name not in record.config]):
        found.append(f"config.json lacks {', '.join(lacking)}")
    if record and record.finished and not checkpoints(path):
        found.append("it has no checkpoint: it can be compared, not watched, scored or trained further")
    if (gone := manifest.missing(path / "checkpoints")) is not None:
        found.append(f"checkpoint {gone}, the last that was written, is gone")
    for step in manifest.steps(path / "checkpoints"):
        try:
            manifest.read(path / "checkpoints", step)
        except (OSError, ValueError) as fault:
            found.append(f"checkpoint {step} is damaged ({fault})")
    if (link := files.first_link(path)) is not None:
        found.append(f"{link.relative_to(path)} is a link or no regular file: the run can be read, not trained further")
    return found


def torn(file: Path) -> str:
    """Where the chain of records of a TensorBoard file breaks, in a sentence; "" where it is whole."""
    try:
        if not file.is_file():
            return f"{file.name} is not a regular file"
        content = file.read_bytes()
    except OSError as fault:
        return f"{file.name} cannot be read: {fault.strerror}"
    at, size = 0, len(content)
    while at < size:  # each: length uint64, its checksum uint32, so many bytes, their checksum uint32
        length = int.from_bytes(content[at : at + 8], "little")
        if at + 16 + length > size:
            return f"{file.name} is damaged or half written: TensorBoard shows its first {at:,} of {size:,} bytes"
        at += 16 + length
    return "" if size else f"{file.name} is empty"


@functools.cache
def absent(game: str) -> tuple[str, ...]:
    """Why a game cannot be played here, in a sentence; () where it can. Imports nothing that a file names."""
    try:
        module, which = envs.find(game)
    except envs.UnknownGame as fault:
        return (f"its game is not installed here: {fault}",)
    try:
        if module == "envs.gym":
            import gymnasium

            from envs import gym

            if gym.module_of(which["id"]):
                return _absent_module(which["id"])
            module = str(gymnasium.spec(which["id"]).entry_point).partition(":")[0]
        importlib.import_module(module)  # module of the lab, or one that a package has registered
    except Exception as fault:  # whatever a package raises that lacks something
        return (f"its game {game} is not installed here: {' '.join(str(fault).split())}",)
    return ()


def _absent_module(id: str) -> tuple[str, ...]:
    """For MODULE:ID, without importing MODULE."""
    top = id.partition(":")[0].partition(".")[0]
    if top.isidentifier() and importlib.util.find_spec(top) is not None:
        return ()
    return (f"its game gym:{id} is not installed here: there is no module {top}",)


def over(games: int) -> str:
    """How many games stand behind a score, for a bracket."""
    return f", {games} game{'' if games == 1 else 's'}" if games else ""


def tags(path: Path) -> list[str]:
    """The tags of a run; none where the file is not there or damaged."""
    try:
        content = files.read_json(path / TAGS)
    except (OSError, ValueError):
        return []
    return [t for t in content if isinstance(t, str)] if isinstance(content, list) else []
