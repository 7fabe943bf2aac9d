"""What a run tells while it trains: TensorBoard and metrics.jsonl under the same names, and the progress line."""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents.core import events, files
from agents.core.clock import Clock
from agents.core.progress import Live
from agents.core.run import Run, duration
from agents.core.training import Moment

FIRST_LOOK = 16  # vector steps until the first picture of what the network sees: the stacks are full by then


class Log:
    """A hook: a run's figures to TensorBoard and metrics.jsonl, under the same names, every `period` seconds.

    Pictures of what the network sees and histograms of its weights follow every `slow` seconds, to TensorBoard alone.
    A resumed run forgets the lines after its checkpoint first. stream: whose newest row is the network's input.
    """

    def __init__(self, run: Run, clock: Clock, period: float = 5.0, *, stream: Any = None, slow: float = 120.0):
        from torch.utils.tensorboard import SummaryWriter

        self.run, self.clock, self.period, self.stream, self.slow = run, clock, period, stream, slow
        self.lines = run.path / "metrics.jsonl"
        if self.lines.exists():
            text = files.read_text(self.lines, files.LINES_LIMIT)
            files.write_text(self.lines, "".join(f"{x}\n" for x in text.splitlines() if _steps(x) <= clock.steps))
        self.writer = SummaryWriter(str(run.path), purge_step=clock.steps + 1 if clock.steps else None)
        self.also: Any = None  # another logger, with scalars(values, step), clip(tag, path, step) and close()
        self.sources: list[Callable[[], Mapping[str, float]]] = []  # further sources of scalars, asked at every report
        self.scores: deque[float] = deque(maxlen=100)  # scores of the newest finished episodes
        self.lengths: deque[int] = deque(maxlen=100)
        self.figures: dict[str, deque[float]] = {}
        self.remark = ""  # words in the progress line in place of the score, where something else is measured
        self.pending: list[Mapping[str, Any]] = []  # metrics since the last report, still on the device
        self.rate = 0.0  # steps per second
        self.updates_rate = 0.0
        self.network: torch.nn.Module | None = None  # network that learns, None where nothing does
        self._mark = self._now()
        self._calls, self._looked = 0, 0.0

    def _now(self) -> tuple[float, int, int, dict[str, float]]:
        return time.perf_counter() - self.clock.away, self.clock.steps, self.clock.updates, dict(self.clock.parts)

    def start(self) -> None:
        """What the run is: its hyperparameters, configuration, command, commit and hardware, and a layout of charts."""
        config = self.run.config
        versions = "".join(f"\n- {k} {v}" for k, v in config.get("versions", {}).items())
        content = {
            "run/config": f"```\n{json.dumps(config, indent=2)}\n```",
            "run/command": f"`{config.get('command', '-')}`",
            "run/commit": str(config.get("commit") or "-"),
            "run/hardware": f"{config.get('machine', '-')}, device {config.get('device', '-')}\n{versions}",
        }
        for one in (events.layout(), events.hyperparameters(config), *(events.text(k, v) for k, v in content.items())):
            self._add(one, 0)

    def __call__(self, moment: Moment) -> None:
        for episode in moment.episodes:
            self.scores.append(episode.score)
            self.lengths.append(episode.length)
            for name, value in episode.info.items():
                self.figures.setdefault(name, deque(maxlen=100)).append(value)
        self.pending += [learned.metrics for learned in moment.learned]
        self._calls += 1
        if self._calls == FIRST_LOOK:
            self.network = getattr(moment.agent, "network", None)
            self.look()
        if time.perf_counter() - self.clock.away - self._mark[0] >= self.period:
            self.report()
            if time.perf_counter() - self._looked >= self.slow:
                self.look()

    def report(self) -> None:
        """Writes what has come together since the last report, if anything has."""
        if (self.clock.steps, self.clock.updates) == self._mark[1:3] and not self.pending:
            return
        (then, steps, updates, parts), self._mark = self._mark, self._now()
        elapsed = max(self._mark[0] - then, 1e-9)
        self.rate, self.updates_rate = (self.clock.steps - steps) / elapsed, (self.clock.updates - updates) / elapsed
        values = {"time/steps_per_second": self.rate, "time/updates_per_second": self.updates_rate}
        values |= {f"time/{k}": (v - parts[k]) / elapsed for k, v in self.clock.parts.items()}
        values |= {"clock/frames": self.clock.frames, "clock/updates": self.clock.updates}
        values["clock/seconds"] = round(self.clock.seconds, 2)
        if self.clock.dropped:
            values["clock/draws_dropped"] = self.clock.dropped
        if self.scores:
            values |= {"train/return": float(np.mean(self.scores)), "train/length": float(np.mean(self.lengths))}
            values |= {f"train/{k}": float(np.mean(v)) for k, v in self.figures.items()}
        if self.pending:
            for name in self.pending[-1]:
                column = torch.stack([m[name].detach().float() for m in self.pending if name in m])
                values[f"learn/{name}"] = float(column.mean())
            self.pending.clear()
        if self.network is not None:
            values["learn/weight_norm"] = events.weight_norm(self.network)
        for source in self.sources:
            values |= source()
        self.write(values)

    def look(self) -> None:
        """What the network sees now, and how its weights are distributed."""
        self._looked = time.perf_counter()
        if self.stream is not None:
            obs = self.stream.step.obs[: events.ROWS].cpu().numpy()  # [N, stack, *shape]
            self._add(events.picture(events.INPUTS, events.tiles(obs)), self.clock.steps)
        if self.network is not None:
            for name, weights in self.network.named_parameters():
                self._add(events.histogram(events.WEIGHTS + name.replace(".", "/"), weights), self.clock.steps)

    def write(self, values: Mapping[str, float]) -> None:
        """Scalars at the present step."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, self.clock.steps)
        numbers = {k: _short(float(v)) for k, v in values.items() if math.isfinite(v)}  # JSON has no others
        line = {"steps": self.clock.steps, **numbers}
        with open(self.lines, "a") as file:
            file.write(json.dumps(line) + "\n")
        if self.also is not None:
            self.also.scalars(numbers, self.clock.steps)

    def clip(self, path: Path, size: tuple[int, int]) -> None:
        """An animated GIF of (width, height)."""
        self._add(events.clip(events.CLIP, path, size), self.clock.steps)
        if self.also is not None:
            self.also.clip(events.CLIP, path, self.clock.steps)

    def picture(self, name: str, pixels: np.ndarray) -> None:
        """A picture, uint8 [H, W, 3], under a name of its own."""
        self._add(events.picture(name, pixels), self.clock.steps)

    def finish(self) -> None:
        """The run is complete."""
        self._add(events.finished(), self.clock.steps)

    def _add(self, summary: Any, step: int) -> None:
        self.writer.file_writer.add_summary(summary, step)

    def flush(self) -> None:
        """Everything that TensorBoard's writer still holds goes to disk."""
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()
        if self.also is not None:
            self.also.close()


class Progress:
    """A hook: one live line on a terminal, one line every half minute elsewhere."""

    def __init__(self, log: Log, minutes: float | None = None):
        self.log, self.minutes, self.live = log, minutes, Live(30.0, wait=0.0)

    def __call__(self, moment: Moment) -> None:
        if self.log.rate and self.live.due:
            self.live(self.line(moment.clock))

    def line(self, clock: Clock) -> str:
        """steps, speed, the newest score, time left."""
        log = self.log
        left = ""
        if clock.budget and log.rate:
            left = f" | {duration((clock.budget - clock.steps) / log.rate)} left"
        elif self.minutes is not None:
            left = f" | {duration(self.minutes * 60 - clock.seconds)} left"
        total = f" of {clock.budget:,}" if clock.budget else ""
        score = "none yet"
        if log.scores:
            score = f"{log.scores[-1]:g}, mean of {len(log.scores)} {np.mean(log.scores):.1f}"
        updates = f" | {log.updates_rate:,.1f} updates/s" if log.updates_rate else ""  # other libraries tell of none
        told = log.remark or f"score {score}"
        return f"{clock.steps:,}{total} steps | {log.rate:,.0f} steps/s{updates} | {told}{left}"

    def close(self) -> None:
        self.live.close()


def _short(value: float) -> float:
    """Six decimals, or six digits of what is below 1: small figures, such as a temperature, do not become 0."""
    return round(value, 6) if abs(value) >= 1 else float(f"{value:.6g}")


def _steps(line: str) -> float:
    try:
        return float(files.parse(line)["steps"])
    except (ValueError, KeyError, TypeError, IndexError, OverflowError):
        return float("inf")  # a torn line is dropped
