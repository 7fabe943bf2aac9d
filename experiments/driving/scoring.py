"""A run's driver on the tracks of its game, beside the game's expert: what `evaluate RUN --tracks` does."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import numpy as np
import torch

import envs
from agents.core import device as devices
from agents.core.evaluate import Policy
from agents.core.progress import TimeLeft
from agents.core.run import Run
from agents.core.stream import Stream
from experiments import conditions, players
from experiments.driving import closed_loop


@dataclasses.dataclass(frozen=True)
class Asked:
    """What is to be driven, and how."""

    tracks: str
    seconds: float = 120.0  # time on each track, in s
    under: str | None = None  # options of the game that differ from the run's
    seed: int = 1
    policy: str | None = None  # policy as for games; or straight, the constant predictor, or expert
    step: int | str | None = None  # step of the checkpoint
    device: str = "auto"
    quiet: bool = False


def drive(run: Run, asked: Asked) -> dict[str, Any]:
    """Drives each of the tracks once, beside the expert. Raises ValueError for what cannot be driven."""
    game, where = run.config["game"], devices.choose(asked.device)
    env = conditions.of_tracks(run, asked.tracks, asked.under, asked.policy)
    what = closed_loop.ClosedLoopTest(game, env, asked.tracks, asked.seconds)
    stream = Stream(what.open(1), where)
    spec = stream.spec
    stream.close()
    agent, at = players.load_player(run, spec, where, asked.step)
    name = asked.policy or agent.evaluation
    known = {"straight": what.straight, "expert": closed_loop.expert}
    act = known.get(name) or closed_loop.at_the_wheel(Policy(agent, name, spec, asked.seed), spec, where)
    torch.set_num_threads(devices.plan_threads(where)[0])
    follow = None if asked.quiet else TimeLeft(1.0, f"driven by {name}", sys.stderr)
    mine = closed_loop.drive(what, act, asked.seed, follow)
    follow = None if asked.quiet else TimeLeft(1.0, "driven by the expert", sys.stderr)
    teacher = closed_loop.drive(what, closed_loop.expert, asked.seed, follow)
    under = f" under {asked.under}" if asked.under else ""
    laps, rate = mine.laps, envs.describe(game, **env).driving.rate
    return {
        "protocol": f"drives tracks={asked.tracks} seconds={asked.seconds:g}{under}", "policy": name,
        "episodes": len(laps), "mean": float(laps.mean()), "median": float(np.median(laps)),
        "sem": float(laps.std(ddof=1) / len(laps) ** 0.5) if len(laps) > 1 else None,
        "scores": [float(x) for x in laps], "frames": int(mine.seconds.sum() * rate), "human_normalised": None,
        **closed_loop.figures(mine, teacher), "game": game, "run": str(run.path), "step": at, "seed": asked.seed,
        "own_policy": name == agent.evaluation, "under": asked.under, "driven": asked.tracks,
    }  # fmt: skip
