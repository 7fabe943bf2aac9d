"""The learning curve of a run in a few kilobytes: metrics.jsonl and TensorBoard events with some of its points."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

POINTS = 120  # lines that are kept of metrics.jsonl
DIGITS = 5  # significant digits of a logged value
EVENTS = "events.out.tfevents.0000000000.reference"  # TensorBoard's own name would hold the machine's


def thinned(lines: Sequence[Mapping[str, float]], points: int = POINTS) -> list[dict[str, float]]:
    """Some of the lines, evenly over the steps: the first, the last, and every one with an evaluation stay.

    Values are rounded to DIGITS significant digits, steps are not.
    """
    kept = {0, len(lines) - 1} if lines else set()
    kept |= {i for i, line in enumerate(lines) if any(tag.startswith("eval/") for tag in line)}
    if lines:
        first, last = lines[0]["steps"], lines[-1]["steps"]
        wanted = [first + (last - first) * k / (points - 1) for k in range(points)]
        place = 0
        for step in wanted:
            while place + 1 < len(lines) and lines[place + 1]["steps"] <= step:
                place += 1
            kept.add(place)
    return [_rounded(lines[i]) for i in sorted(kept)]


def _rounded(line: Mapping[str, float]) -> dict[str, float]:
    return {k: int(v) if k == "steps" else float(f"{v:.{DIGITS}g}") for k, v in line.items()}


def write_lines(path: Path, lines: Sequence[Mapping[str, float]]) -> None:
    """Writes metrics.jsonl."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_events(folder: Path, config: Mapping[str, Any], lines: Sequence[Mapping[str, float]]) -> Path:
    """Writes the lines as TensorBoard events, with the run's hyperparameters, command and layout of charts.

    The time of a point is that of the training's clock, from 1970 on: no other time is known of it.
    """
    from torch.utils.tensorboard import SummaryWriter

    from agents.core import events

    with SummaryWriter(str(folder)) as writer:
        content = {"run/config": f"```\n{json.dumps(config, indent=2)}\n```", "run/command": f"`{config['command']}`"}
        texts = (events.text(name, text) for name, text in content.items())
        for one in (events.layout(), events.hyperparameters(config), *texts, events.finished()):
            writer.file_writer.add_summary(one, 0, walltime=0.0)
        for line in lines:
            seconds = line.get("clock/seconds", 0.0)
            for tag in line.keys() - {"steps"}:
                writer.add_scalar(tag, line[tag], int(line["steps"]), walltime=seconds)
    (written,) = folder.glob("events.out.tfevents.*")
    return written.rename(folder / EVENTS)
