"""A run is a folder: config.json, metrics.jsonl, TensorBoard events, checkpoints/, videos/, eval.json.

    runs/<game>/<agent>/<name>-s<seed>/
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents.core.checkpoint import write_json
from agents.core.loop import Clock, Moment

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
        except (OSError, json.JSONDecodeError) as fault:
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
        return cls.open(max(found, key=lambda p: max(c.stat().st_mtime for c in (p / "checkpoints").iterdir())))

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


class Log:
    """A hook: scalars of a run to TensorBoard and metrics.jsonl, every `period` seconds and at the end.

    Both get the same names. A resumed run forgets the lines after its checkpoint first.
    """

    def __init__(self, run: Run, clock: Clock, period: float = 5.0):
        from torch.utils.tensorboard import SummaryWriter

        self.run, self.clock, self.period = run, clock, period
        self.lines = run.path / "metrics.jsonl"
        if self.lines.exists():
            kept = [line for line in self.lines.read_text().splitlines() if _steps(line) <= clock.steps]
            self.lines.write_text("".join(f"{line}\n" for line in kept))
        self.writer = SummaryWriter(str(run.path), purge_step=clock.steps + 1 if clock.steps else None)
        self.scores: deque[float] = deque(maxlen=100)  # of the newest finished episodes
        self.lengths: deque[int] = deque(maxlen=100)
        self.figures: dict[str, deque[float]] = {}
        self.pending: list[Mapping[str, Any]] = []  # metrics since the last report, still on the device
        self.rate = 0.0  # steps per second
        self._mark = (time.perf_counter(), clock.steps, clock.updates)
        self.updates_rate = 0.0

    def start(self, text: str) -> None:
        """The flat configuration, as HPARAMS of this very run and as text."""
        from torch.utils.tensorboard.summary import hparams

        flat = {k: v if isinstance(v, bool | int | float | str) else str(v) for k, v in _flat(self.run.config)}
        for part in hparams(flat, {"eval/return": 0.0}):
            self.writer.file_writer.add_summary(part)
        self.writer.add_text("run/config", text, 0)

    def __call__(self, moment: Moment) -> None:
        for episode in moment.episodes:
            self.scores.append(episode.score)
            self.lengths.append(episode.length)
            for name, value in episode.info.items():
                self.figures.setdefault(name, deque(maxlen=100)).append(value)
        self.pending += [learned.metrics for learned in moment.learned]
        if time.perf_counter() - self._mark[0] >= self.period:
            self.report()

    def report(self) -> None:
        """Writes what has come together since the last report."""
        now, (then, steps, updates) = time.perf_counter(), self._mark
        elapsed = max(now - then, 1e-9)
        self.rate, self.updates_rate = (self.clock.steps - steps) / elapsed, (self.clock.updates - updates) / elapsed
        self._mark = (now, self.clock.steps, self.clock.updates)
        values = {"time/steps_per_second": self.rate, "time/updates_per_second": self.updates_rate}
        values |= {"clock/frames": self.clock.frames, "clock/updates": self.clock.updates}
        values["clock/seconds"] = round(self.clock.seconds, 2)
        if self.scores:
            values |= {"train/return": float(np.mean(self.scores)), "train/length": float(np.mean(self.lengths))}
            values |= {f"train/{k}": float(np.mean(v)) for k, v in self.figures.items()}
        if self.pending:
            for name in self.pending[-1]:
                column = torch.stack([m[name].detach().float() for m in self.pending if name in m])
                values[f"learn/{name}"] = float(column.mean())
            self.pending.clear()
        self.write(values)

    def write(self, values: Mapping[str, float]) -> None:
        """Scalars at the present step."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, self.clock.steps)
        line = {"steps": self.clock.steps, **{k: round(float(v), 6) for k, v in values.items()}}
        with open(self.lines, "a") as file:
            file.write(json.dumps(line) + "\n")

    def clip(self, name: str, path: Path, size: tuple[int, int]) -> None:
        """An animated GIF of (width, height) as an image summary; TensorBoard's page plays it."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        image = Summary.Image(width=size[0], height=size[1], colorspace=3, encoded_image_string=path.read_bytes())
        self.writer.file_writer.add_summary(Summary(value=[Summary.Value(tag=name, image=image)]), self.clock.steps)

    def flush(self) -> None:
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()


class Progress:
    """A hook: one live line on a terminal, one line every half minute elsewhere."""

    def __init__(self, log: Log, stream: Any = None, minutes: float | None = None):
        self.log, self.stream, self.minutes = log, stream or sys.stderr, minutes
        self.live = self.stream.isatty()
        self._shown = 0.0

    def __call__(self, moment: Moment) -> None:
        now = time.perf_counter()
        if now - self._shown < (0.5 if self.live else 30.0) or not self.log.rate:
            return
        self._shown = now
        text = self.line(moment.clock)
        self.stream.write(f"\r\x1b[K{text}" if self.live else f"{text}\n")
        self.stream.flush()

    def line(self, clock: Clock) -> str:
        """steps, speed, the newest score, time left."""
        log = self.log
        left = "?"
        if clock.budget and log.rate:
            left = duration((clock.budget - clock.steps) / log.rate)
        elif self.minutes is not None:
            left = duration(self.minutes * 60 - clock.seconds)
        total = f" of {clock.budget:,}" if clock.budget else ""
        score = f"{np.mean(log.scores):.1f} (mean of {len(log.scores)})" if log.scores else "none yet"
        return (
            f"{clock.steps:,}{total} steps | {log.rate:,.0f} steps/s | {log.updates_rate:,.1f} updates/s"
            f" | score {score} | {left} left"
        )

    def close(self) -> None:
        if self.live:
            self.stream.write("\n")


def duration(seconds: float) -> str:
    minutes, seconds = divmod(max(0, round(seconds)), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


def _steps(line: str) -> float:
    try:
        return json.loads(line)["steps"]
    except (ValueError, KeyError, TypeError):
        return float("inf")  # a torn line is dropped


def _flat(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows = []
    for key, value in tree.items():
        rows += _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(f"{prefix}{key}", value)]
    return rows
