"""From the kart game to the car: ``python -m experiments.car.transfer RUN``, the table of docs/results.md.

RUN is a clone that was trained in the kart game alone. Its network stays frozen, and a new linear head learns from 25,
100 or 400 recorded frames of the car: another camera, another look. The head sees the last convolution's map, the
features, and what the kart's own heads say of the picture, which it starts from: these few weigh more (`OUTPUTS`). It
is fitted in closed form (`ridge`), on pictures with the same augmentation. Beside it the same network learns the same
frames from scratch. What each of them says of frames of other tracks, and how it drives on tracks that neither has
seen, is compared pair by pair: a pair has the frames and the seed in common.

RUN should have seen several cameras: on the car's pictures the steering of a clone that knows one alone has little to
do with what is right there (docs/log.md).

The frames of a seed are a block fixed beforehand: four tracks of its own, driven by the expert who is pushed aside now
and then, 5 frames a second. Fewer frames are every 4th or every 16th of them.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import envs
from agents.core.run import Run
from experiments import arguments, cli, finding
from experiments.arguments import Positional
from experiments.car import ridge

SIZES = (25, 100, 400)
PARTS = 4  # tracks of one block
EVERY = 4  # control steps between two frames
LENGTH = 100  # frames of one track
GAME = "car"
PICTURE = (60, 80, 3)  # shape of what all networks here see
LOOK = {"theme": "snow", "random_looks": 0.5}  # look of all frames and drives; the trunk has seen none of snow
FIRST = 100  # number of the first track of the blocks, in the split `train`
VALIDATION, DRIVEN = "validation:8", "test:4"
CHANGES = dict(flip=0.5, shift=0.08, colour=0.5, brightness=0.5, noise=15.0)  # augmentation of both
SETTINGS = dict(**CHANGES, steering_weight=1.0, batch=32, lr=3e-3)  # options of the training from scratch
AREA, OUTPUTS = 0.5, 10.0  # emphasis of the drivable area that the kart's head sees, and of its other answers
COPIES = {25: 24, 100: 8, 400: 3}  # copies of each frame that the linear head is fitted to


@dataclasses.dataclass(frozen=True)
class TransferCommand:
    """What the trunk comes from, and how much is trained and driven."""

    run: Positional[str]  # a clone of the kart game
    seeds: int = 5  # blocks of frames
    updates: int = 300  # optimizer steps of each training from scratch
    seconds: float = 30.0  # time on each of the tracks that are driven, s
    out: Path | None = None  # file for the figures, as JSON
    runs: Path = Path("runs")  # folder of the run folders

    def __post_init__(self) -> None:
        arguments.at_least(self, 1, "seeds", "updates")
        arguments.within(self, 1.0, 3600.0, "seconds")
        if self.out is not None and not self.out.parent.is_dir():
            raise ValueError(f"--out {self.out}: there is no folder {self.out.parent}")


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


Predict = Callable[[np.ndarray], np.ndarray]  # driver: pictures uint8 [N, 60, 80, 3] -> actions [N, 2]


def network_of(run: Run) -> Any:
    """The network of a clone, with its weights, in float32. Raises ValueError for a run of anything else."""
    import torch

    from agents import driving
    from agents.clone import CloneConfig, CloneNetwork
    from agents.core.rows import Spec
    from experiments import players

    seen = envs.describe(run.config["game"], **run.config["env"])
    if run.config["agent"] not in ("clone", "dagger") or (seen.observation.shape, seen.frame_stack) != (PICTURE, 1):
        told = f"a clone that sees one colour picture of {PICTURE[1]}x{PICTURE[0]}"
        raise ValueError(f"{run.path} is not what a car can begin with: {told}")
    spec, config = Spec(PICTURE, "uint8", 1, action_dim=2), CloneConfig(**run.config["agent_config"])
    network = CloneNetwork(config, spec, driving.part(config, spec, torch.device("cpu")))
    weights = players.weights_of(run)
    found = {**weights["network"], **weights.get("extra", {})}
    network.load_state_dict({name: value.float() for name, value in found.items()})
    return network.eval()


def features(network: Any, pictures: Any) -> tuple[np.ndarray, np.ndarray]:
    """What a linear head sees of a tensor [N, 60, 80, 3], float32 [N, F], and how much each of it weighs, [F]."""
    import torch

    from agents.perception.encoders import to_channels

    found, wide = [], (0, 0, 0)
    with torch.no_grad():
        for part in pictures[:, None].split(200):
            maps = network.encoder.convolutions(to_channels(part, torch.float32))
            dense = network.encoder.dense(maps)
            said = [network.policy(dense, None)[..., 0].clamp(-1.5, 1.5)]
            seen = torch.cat([maps.flatten(1), dense], 1)
            area = dense[:, :0]
            if network.extra is not None and network.extra.place is not None:
                lateral, heading, logits = network.extra(dense)
                said, area = [*said, lateral[:, None], heading[:, None]], torch.sigmoid(logits).flatten(1)
            parts = (seen, area, torch.cat(said, 1))
            wide = tuple(x.shape[1] for x in parts)
            found.append(torch.cat(parts, 1))
    return torch.cat(found).numpy(), np.repeat([1.0, AREA, OUTPUTS], wide)


def frozen(frames: Frames, network: Any, seed: int) -> Predict:
    """A driver whose linear head has learned the frames, on a network that stays as it is."""
    import torch

    from agents.perception import augment

    change = augment.Augment(augment.AugmentConfig(**CHANGES))
    generator = torch.Generator().manual_seed(seed)
    obs, action = torch.from_numpy(frames.obs), torch.from_numpy(frames.action)
    seen, done, emphasis = [], [], np.ones(1)
    for _ in range(COPIES[len(frames.obs)]):
        other, wanted, _ = change(obs[:, None], action, {}, generator)
        values, emphasis = features(network, other[:, 0])
        seen.append(values)
        done.append(wanted.numpy())
    frame = np.tile(np.arange(len(frames.obs)), len(seen))
    head = ridge.fitted(np.concatenate(seen), np.concatenate(done), frame, emphasis)
    return lambda pictures: head(features(network, torch.from_numpy(pictures))[0]).clip(-1.0, 1.0)


def scratch(frames: Frames, seed: int, updates: int) -> Predict:
    """A driver that has learned the frames and nothing else."""
    import torch

    from agents.clone import Clone, CloneConfig
    from agents.core.clock import Clock
    from agents.core.rows import Batch, Context, Spec

    clock, config = Clock(updates), CloneConfig(**SETTINGS)
    agent = Clone(config, Spec(PICTURE, "uint8", 1, action_dim=2), Context(clock, torch.device("cpu"), seed, 1))
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

    def predict(pictures: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            parts = torch.from_numpy(pictures)[:, None].split(200)
            return torch.cat([agent.driver(part, None)[..., 0] for part in parts]).float().clamp(-1, 1).numpy()

    return predict


def error(predict: Predict, frames: Frames) -> float:
    """Mean absolute error of the steering on frames of other tracks."""
    return float(np.abs(predict(frames.obs)[:, 0] - frames.action[:, 0]).mean())


def driven(predict: Predict, seconds: float) -> dict[str, float]:
    """Autonomy, 0 to 1, interventions per minute, and laps on the tracks that are driven."""
    from experiments.driving import closed_loop

    what = closed_loop.ClosedLoopTest(GAME, dict(LOOK), DRIVEN, seconds)
    drive = closed_loop.drive(what, lambda obs, info: predict(obs).astype(np.float32), 1)
    minutes = drive.seconds.sum() / 60.0
    return {
        "autonomy": float(drive.autonomy.mean()), "interventions": float(drive.interventions.sum() / minutes),
        "laps": float(drive.laps.mean()), "off_road": float(drive.off_road.sum() / drive.seconds.sum()),
    }  # fmt: skip


def compare(command: TransferCommand) -> list[dict[str, Any]]:
    """A row for each pair: seed, number of frames, and the figures of both."""
    import torch

    torch.set_num_threads(1)
    network = network_of(finding.find_run(command.runs, command.run))
    validation = Frames(*map(np.concatenate, zip(*recorded(VALIDATION, 1), strict=True)))
    rows = []
    for seed in range(command.seeds):
        tracks = ",".join(f"train#{FIRST + PARTS * seed + k}" for k in range(PARTS))
        block = Frames(*map(np.concatenate, zip(*recorded(tracks, 100 + seed), strict=True)))
        for size in SIZES:
            some = Frames(*(part[:: len(block.obs) // size] for part in block))
            row: dict[str, Any] = {"seed": seed, "frames": len(some.obs)}
            for name in ("frozen", "scratch"):
                began = time.monotonic()
                learned = frozen(some, network, seed) if name == "frozen" else scratch(some, seed, command.updates)
                row[name] = {"error": error(learned, validation), **driven(learned, command.seconds)}
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
