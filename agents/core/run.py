"""A run is a folder: config.json, metrics.jsonl, TensorBoard events, checkpoints/, videos/, eval.json.

runs/<game>/<agent>/<name>-s<seed>/
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agents.core.checkpoint import write_json

FORMAT = 1  # of config.json


class RunError(ValueError):
    """A run that is not there or cannot be used; the message says which and why."""


def safe(text: str) -> str:
    """A name for a folder: characters outside [A-Za-z0-9._-] become '-'; never empty, never dots alone."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", text).lstrip(".")
    return name or "-"


class Run:
    """One run's folder."""

    def __init__(self, path: Path, config: dict[str, Any]):
        self.path, self.config = path, config

    @classmethod
    def create(cls, root: Path, config: Mapping[str, Any]) -> Run:
        """Makes ``root/<game>/<agent>/<name>-s<seed>``, with '-2', '-3', ... where that is taken."""
        base = root / safe(config["game"]) / safe(config["agent"])
        base.mkdir(parents=True, exist_ok=True)
        stem = f"{safe(config['name'])}-s{config['seed']}"
        number = 1
        while True:
            path = base / (stem if number == 1 else f"{stem}-{number}")
            try:
                path.mkdir()
                break
            except FileExistsError:
                number += 1
        run = cls(path, {"format": FORMAT, **config})
        write_json(path / "config.json", run.config)
        return run

    @classmethod
    def open(cls, path: Path) -> Run:
        """Raises RunError where there is no run, or one that this version cannot read."""
        try:
            config = json.loads((path / "config.json").read_text())
        except FileNotFoundError:
            raise RunError(f"{path} is not a run: it holds no config.json") from None
        except (OSError, ValueError) as fault:  # neither text nor JSON
            raise RunError(f"{path}/config.json cannot be read: {fault}") from None
        if not isinstance(config, dict) or config.get("format") != FORMAT:
            raise RunError(f"{path} was written in another format than {FORMAT}, the one that this version reads")
        return cls(path, config)

    @classmethod
    def find(cls, root: Path, what: str) -> Run:
        """A path, a path below `root`, or a game or game/agent: then its newest run that has a checkpoint."""
        for candidate in (Path(what), root / what):
            if (candidate / "config.json").is_file():
                return cls.open(candidate)
        folder = root / what
        inside = folder.is_dir() and root.resolve() in folder.resolve().parents
        found = [p.parent for p in folder.rglob("config.json")] if inside else []
        found = [p for p in found if any((p / "checkpoints").glob("[0-9]*/manifest.json"))]
        if not found:
            raise RunError(f"{what!r} is neither a run nor a game with one under {root}")
        return cls.open(max(found, key=_changed))

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def inside(self, name: str) -> Path:
        """A path within the run folder. Raises RunError for one outside."""
        path = (self.path / name).resolve()
        if self.path.resolve() not in path.parents:
            raise RunError(f"{name!r} lies outside the run folder {self.path}")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def _changed(run: Path) -> float:
    """When its newest checkpoint was written; a training run renames some while one looks."""
    times = [0.0]
    for entry in (run / "checkpoints").iterdir():
        with contextlib.suppress(FileNotFoundError):
            times.append(entry.stat().st_mtime)
    return max(times)


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested configuration -> dotted names."""
    rows: dict[str, Any] = {}
    for key, value in tree.items():
        rows |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return rows


def duration(seconds: float) -> str:
    minutes, seconds = divmod(max(0, round(seconds)), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
