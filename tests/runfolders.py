"""Small made-up run folders, as training would leave them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agents.core import manifest

BUDGET, RATE = 10_000, 100.0  # steps, steps per second


def make(
    root: Path,
    seed: int,
    score: float | None,
    *,
    game: str = "breakout",
    agent: str = "ppo",
    name: str = "default",
    steps: int = BUDGET,
    budget: int | None = BUDGET,
    protocol: str = "baselines",
    evaluated: str | None = None,
    lr: float = 3e-4,
    folder: str | None = None,
    **config: Any,
) -> Path:
    """A run whose train/return rises in ten straight steps to `score`, which is also its evaluation.

    score: None for a run that was not evaluated. evaluated: the protocol of eval.json, if not the run's.
    """
    path = root / game.replace(":", "-") / agent / (folder or f"{name}-s{seed}")
    path.mkdir(parents=True)
    content = {
        "format": 1, "game": game, "agent": agent, "name": name, "seed": seed, "steps": budget, "minutes": None,
        "num_envs": 8, "protocol": protocol, "machine": "2 cores", "device": "cpu", "commit": "abc",
        "command": f"python -m experiments.train {game} --seed {seed}", "agent_config": {"lr": lr, "gamma": 0.99},
        "env": {"protocol": protocol, "env_threads": seed}, "versions": {"torch": "2.13.0"}, **config,
    }  # fmt: skip
    (path / "config.json").write_text(json.dumps(content))
    lines = [
        {"steps": s, "clock/seconds": s / RATE, "train/return": s / BUDGET * (10.0 if score is None else score)}
        for s in range(BUDGET // 10, steps + 1, BUDGET // 10)
    ]
    if score is not None:
        lines.append({"steps": steps, "eval/return": score})
        evaluation = {"mean": score, "median": score - 1, "protocol": evaluated or protocol, "policy": "sampled"}
        (path / "eval.json").write_text(json.dumps({**evaluation, "episodes": 30, "step": steps, "game": game}))
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def rewrite(folder: Path, step: int, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes the manifest of a checkpoint and seals it anew, as someone with intent would."""
    path = folder / f"{step:012d}" / "manifest.json"
    content = json.loads(path.read_text())["manifest"]
    change(content)
    path.write_text(json.dumps({"sha256": manifest.seal(content), "manifest": content}))
