"""The run folders as JSON for the page; a folder is read again only where something in it has changed."""

from __future__ import annotations

import contextlib
import math
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np

from agents.core import files
from agents.core.run import RunError
from experiments import child, references
from experiments.comparing import evaluations, records, wording
from experiments.comparing.records import RunFolder, RunRecord, below, look, tags

POINTS = 240  # points of a curve
SPARK = 40  # points of the small curve in the list
CURVE = "train/return"  # tag of the small curve
LOSS = "learn/loss"  # tag of the small curve of what learns from recordings
SEEN = ("config.json", "metrics.jsonl", records.TAGS, evaluations.FILE, "eval.json", "checkpoints", child.LOCK)


class Ledger:
    """The runs below a folder, and the reference runs. Every method may be called from any thread."""

    def __init__(self, root: Path):
        self.root, self._lock = root, threading.Lock()
        self._kept: dict[Path, tuple[Any, dict[str, Any]]] = {}

    def runs(self) -> list[dict[str, Any]]:
        """Every run, those that changed last first; then the references."""
        with self._lock:
            own = [p for p in below(self.root) if p.relative_to(self.root).parts[:1] != (references.WORD,)]
            found = {**dict.fromkeys(own, False), **dict.fromkeys(references.every(self.root), True)}
            listed: dict[Path, dict[str, Any]] = {}
            for path, reference in found.items():
                with contextlib.suppress(FileNotFoundError):  # somebody has just deleted it
                    listed[path] = self._row(path, reference)
            self._kept = {path: kept for path, kept in self._kept.items() if path in listed}
        rows = [{**row, "state": _state(path, row)} for path, row in listed.items()]
        return sorted(rows, key=lambda row: (row["reference"], -row["changed"], row["name"]))

    def _row(self, path: Path, reference: bool) -> dict[str, Any]:
        mark = _mark(path)
        if path not in self._kept or self._kept[path][0] != mark:
            self._kept[path] = mark, _row(self.root, path, reference)
        return self._kept[path][1]

    def path_of(self, name: str) -> Path:
        """The folder of a run that is listed under this name. Raises ValueError for any other word."""
        with self._lock:
            found = next((path for path, (_, row) in self._kept.items() if row["name"] == name), None)
        if found is None:
            self.runs()
            with self._lock:
                found = next((path for path, (_, row) in self._kept.items() if row["name"] == name), None)
        if found is None:
            raise ValueError(f"there is no run {name[:80]!r}")
        return found

    def detail(self, name: str) -> dict[str, Any]:
        """Curves, evaluations and configuration of one run. Raises ValueError."""
        path = self.path_of(name)
        try:
            record = records.read(path)
        except RunError as fault:
            raise ValueError(str(fault)) from None
        tags_of = sorted({tag for line in record.lines for tag in line if "/" in tag})
        curves = {tag: _points(record, tag, POINTS) for tag in tags_of}
        told = [
            {k: one.get(k) for k in ("time", "protocol", "policy", "episodes", "mean", "median", "step", "under")}
            for one in record.evaluations
        ]
        films = sorted(p.name for p in (path / "videos").glob("*.mp4")) if (path / "videos").is_dir() else []
        return {"name": name, "curves": curves, "evaluations": told[-20:], "config": record.config, "videos": films}


def _mark(path: Path) -> tuple[Any, ...]:
    """What changes when the run does."""
    found = []
    for name in SEEN:
        try:
            status = os.lstat(path / name)
            found.append((status.st_mtime_ns, status.st_size))
        except OSError:
            found.append(None)
    return tuple(found)


def _row(root: Path, path: Path, reference: bool) -> dict[str, Any]:
    one = look(root, path)
    config = one.record.config if one.record else {}
    name = f"{references.WORD}/{path.parent.name}/{path.name}" if reference else one.name
    row = {
        "name": name, "path": str(path), "reference": reference, "fault": one.fault, "remarks": list(one.remarks),
        "game": config.get("game", ""), "agent": config.get("agent", ""), "seed": config.get("seed"),
        "steps": one.steps, "budget": one.record.budget if one.record else None, "tags": tags(path),
        "size": wording.size(one.bytes), "changed": one.changed, "resumable": _resumable(one, reference),
    }  # fmt: skip
    if one.record is not None:
        seconds, rate = one.record.seconds, one.record.rate
        row |= {"minutes": None if math.isnan(seconds) else seconds / 60, "rate": None if math.isnan(rate) else rate}
        row |= {"score": score(one.record), "spark": _points(one.record, CURVE, SPARK), "live": newest(one.record)}
        row["loss"] = _points(one.record, LOSS, SPARK)
    return row


def _resumable(one: RunFolder, reference: bool) -> bool:
    return not reference and one.record is not None and one.checkpoint is not None


def _state(path: Path, row: dict[str, Any]) -> str:
    """One word; asked anew each time, since a lock leaves no trace in the folder."""
    if row["fault"]:
        return "damaged"
    if row["reference"]:
        return "reference"
    if child.is_training(path):
        return "training"
    return "finished" if row["budget"] is not None and row["steps"] >= row["budget"] else "unfinished"


def score(record: RunRecord) -> dict[str, Any] | None:
    """The score that stands for a run, with its protocol and the games behind it."""
    found = next(iter(record.scores("eval/return").values()), None)
    return None if found is None else {"value": found.value, "protocol": found.protocol, "games": found.games}


def newest(record: RunRecord) -> dict[str, float]:
    """The newest value of what a live line tells."""
    wanted = ("train/return", LOSS, "time/steps_per_second", "time/updates_per_second", "clock/seconds")
    found = {tag: next((x[tag] for x in reversed(record.lines) if tag in x), None) for tag in wanted}
    return {tag: value for tag, value in found.items() if value is not None}


def _points(record: RunRecord, tag: str, count: int) -> list[list[float | None]]:
    """[steps, minutes, value] of at most `count` points."""
    curve = record.curve(tag)
    places = np.unique(np.linspace(0, len(curve.steps) - 1, min(count, len(curve.steps))).round().astype(int))
    return [
        [float(curve.steps[i]), None if math.isnan(curve.minutes[i]) else round(float(curve.minutes[i]), 3),
         float(f"{curve.values[i]:.6g}")]
        for i in places
    ]  # fmt: skip


def trashed(root: Path) -> int:
    """How many runs lie in the trash."""
    place = root / records.TRASH
    return len(below(place)) if files.is_folder(place) else 0
