"""From the kart game to the car: ``python -m experiments.car.transfer RUN``, the table of docs/results.md.

RUN is a clone that was trained in the kart game alone. Its trunk stays frozen, and a new head learns from 25, 100 or
400 recorded frames of the car: another camera, another look. Beside it the same network learns the same frames from
scratch, with the same augmentation and as many updates. What each of them says of frames of other tracks, and how it
drives on tracks that neither has seen, is compared pair by pair: a pair has the frames and the seed in common.

The frames of a seed are a block fixed beforehand: four tracks of its own, driven by the expert who is pushed aside now
and then, 5 frames a second. Fewer frames are every 4th or every 16th of them.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import envs
from experiments import arguments, cli, finding
from experiments.arguments import Positional

SIZES = (25, 100, 400)
PARTS = 4  # tracks of one block
EVERY = 4  # control steps between two frames
LENGTH = 100  # frames of one track
GAME = "car"
LOOK = {"theme": "snow", "random_looks": 0.5}  # look of all frames and drives; the trunk has seen day, desert and rain
FIRST = 100  # number of the first track of the blocks, in the split `train`
VALIDATION, DRIVEN = "validation:8", "test:4"
SETTINGS = dict(flip=0.5, shift=0.08, colour=0.5, brightness=0.5, noise=15.0, steering_weight=1.0, batch=32, lr=1e-3)


@dataclasses.dataclass(frozen=True)
class TransferCommand:
    """What the trunk comes from, and how much is trained and driven."""

    run: Positional[str]  # a clone of the kart game
    seeds: int = 5  # blocks of frames
    updates: int = 600  # optimizer steps of each training
    seconds: float = 20.0  # time on each of the tracks that are driven, s
    out: Path | None = None  # file for the figures, as JSON
    runs: Path = Path("runs")  # folder of the run folders


class Frames(NamedTuple):
    """Recorded frames, and what the expert does there."""

    obs: np.ndarray  # uint8 [T, 60, 80, 3]
    action: np.ndarray  # float32 [T, 2]


def recorded(tracks: str, seed: int) -> list[Frames]:
    """The frames of each track, driven by the expert and pushed aside now and then."""
    from experiments.driving.races import Pushes

    count = envs.describe(GAME).driving.course.count(tracks)
    options = dict(tracks=tracks, order="cycle", start="random", laps=0, time_limit=3600.0, expert_info=True, **LOOK)
    games = envs.make_vec(GAME, count, **options)
    games.reset(seed=seed)
    pushes = [Pushes(0.4, np.random.default_rng([seed, i]), 20) for i in range(count)]
    seen, done = [], []
    for step in range(20 + EVERY * LENGTH):
        wanted = games.batch.expert()
        if step >= 20 and step % EVERY == 0:
            seen.append(games.batch.observe())
            done.append(wanted.copy())
        sent = wanted.copy()
        sent[:, 0] = np.clip(sent[:, 0] + [push.step() for push in pushes], -1.0, 1.0)
        games.batch.step(sent)
    games.close()
    obs, action = np.stack(seen, 1), np.stack(done, 1).astype(np.float32)
    return [Frames(*part) for part in zip(obs, action, strict=True)]


def trained(frames: Frames, trunk: dict[str, Any] | None, seed: int, updates: int) -> Any:
    """A driver that has learned the frames: its head alone on a frozen trunk, or everything where there is none."""
    import torch

    from agents.clone import Clone, CloneConfig
    from agents.core.clock import Clock
    from agents.core.rows import Batch, Context, Spec

    spec = Spec((60, 80, 3), "uint8", 1, action_dim=2)
    clock = Clock(updates)
    config = CloneConfig(**SETTINGS, freeze_trunk=trunk is not None)
    agent = Clone(config, spec, Context(clock, torch.device("cpu"), seed, 1))
    if trunk is not None:
        agent.learner.encoder.load_state_dict(trunk)
        agent.driver.encoder.load_state_dict(trunk)
    rng, size = np.random.default_rng([41, seed]), config.batch
    obs, action = torch.from_numpy(frames.obs), torch.from_numpy(frames.action)
    none = torch.zeros(size, 1)
    for _ in range(updates):
        at = torch.from_numpy(rng.integers(len(obs), size=size))
        rows = Batch(
            obs[at][:, None, None], action[at][:, None], none, none + 1, none.bool(), none.bool(), None,
            {"expert": action[at][:, None]}, None, none + 1, at,
        )  # fmt: skip
        list(agent.learn(rows))
        clock.steps += 1
        clock.updates += 1
    return agent


def error(agent: Any, frames: Frames) -> float:
    """Mean absolute error of the steering on frames of other tracks."""
    import torch

    with torch.no_grad():
        params = torch.cat([agent.driver(part, None) for part in torch.from_numpy(frames.obs)[:, None].split(200)])
    return float(np.abs(params[:, 0, 0].float().clamp(-1, 1).numpy() - frames.action[:, 0]).mean())


def driven(agent: Any, seconds: float) -> tuple[float, float]:
    """Autonomy, 0 to 1, and interventions per minute on the tracks that are driven."""
    import torch

    from agents.core.evaluate import Policy
    from experiments.driving import closed_loop

    what = closed_loop.ClosedLoopTest(GAME, dict(LOOK), DRIVEN, seconds)
    drive = closed_loop.drive(what, closed_loop.at_the_wheel(
        Policy(agent, "greedy", agent.spec, 1), agent.spec, torch.device("cpu")
    ), 1)  # fmt: skip
    return float(drive.autonomy.mean()), float(60.0 * drive.interventions.sum() / drive.seconds.sum())


def compare(command: TransferCommand) -> list[dict[str, Any]]:
    """A row for each pair: seed, number of frames, and the figures of both."""
    import torch

    from experiments import players

    run = finding.find_run(command.runs, command.run)
    torch.set_num_threads(1)
    weights = players.weights_of(run)["network"]
    trunk = {name.removeprefix("encoder."): value for name, value in weights.items() if name.startswith("encoder.")}
    validation = Frames(*map(np.concatenate, zip(*recorded(VALIDATION, 1), strict=True)))
    rows = []
    for seed in range(command.seeds):
        tracks = ",".join(f"train#{FIRST + PARTS * seed + k}" for k in range(PARTS))
        block = Frames(*map(np.concatenate, zip(*recorded(tracks, 100 + seed), strict=True)))
        for size in SIZES:
            some = Frames(*(part[:: len(block.obs) // size] for part in block))
            row: dict[str, Any] = {"seed": seed, "frames": len(some.obs)}
            for name, start in (("frozen", trunk), ("scratch", None)):
                began = time.monotonic()
                agent = trained(some, start, seed, command.updates)
                autonomy, interventions = driven(agent, command.seconds)
                row[name] = {"error": error(agent, validation), "autonomy": autonomy, "interventions": interventions}
                row[name]["seconds"] = time.monotonic() - began
            rows.append(row)
            print(json.dumps(row), file=sys.stderr, flush=True)
            if command.out is not None:
                command.out.write_text(json.dumps(rows, indent=1) + "\n")
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """The figures, and by how much the frozen trunk is better, with 95 % intervals over the pairs."""
    from scipy import stats

    def gain(name: str, some: list[dict[str, Any]], sign: float) -> str:
        mine, other = ([row[arm][name] for row in some] for arm in ("frozen", "scratch"))
        off = sign * (np.array(mine) - np.array(other))
        wide = stats.t.ppf(0.975, len(off) - 1) * off.std(ddof=1) / len(off) ** 0.5 if len(off) > 1 else np.nan
        middle = f"{np.mean(mine):.3f} | {np.mean(other):.3f}"
        return f"{middle} | {off.mean():+.3f} ({off.mean() - wide:+.3f} to {off.mean() + wide:+.3f})"

    lines = [
        "| frames | steering error, frozen trunk | scratch | better by (95 %) | autonomy, frozen trunk | scratch |"
        " better by (95 %) |",
        "|---|---|---|---|---|---|---|",
    ]
    for size in SIZES:
        some = [row for row in rows if row["frames"] == size]
        if some:
            lines.append(f"| {size} | {gain('error', some, -1.0)} | {gain('autonomy', some, 1.0)} |")
    return "\n".join(lines)


def main() -> None:
    with cli.edge():
        command = arguments.read(TransferCommand, None, __doc__, "car.transfer")
        cli.starting(torch=True)
        with cli.refusing():
            print(table(compare(command)))


if __name__ == "__main__":
    main()
