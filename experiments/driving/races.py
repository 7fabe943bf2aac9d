"""Drives as datasets (`envs/recordings`): columns, pushes that the expert has to recover from, and the recorder."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import numpy as np

import envs
from envs.driving import Driving
from envs.recordings import tub
from envs.recordings.tub_values import STANDARD


def columns(driving: Driving) -> dict[str, str]:
    """The columns of a recording beside those of every tub: what driver and network want, and what the game says."""
    controls = [name.partition("/")[2] for name in (*STANDARD, *driving.bounds) if name.startswith("user/")]
    controls = [name for name in dict.fromkeys(controls) if name != "mode"]
    more = {name: "float" for name in driving.bounds if name not in STANDARD}
    more |= {"override": "boolean", **{f"pilot/{name}": "float" for name in controls}, "game/steer": "float"}
    return {**more, **driving.columns}


class Pushes:
    """Steering noise that shows recoveries: a push to one side, which swells and fades, then time to recover.

    size: standard deviation of a push's greatest steering; pushes last 0.3 to 0.9 s, the pauses 0.6 to 2.5 s.
    """

    def __init__(self, size: float, rng: np.random.Generator, rate: float):
        self.size, self.rng, self.rate = size, rng, rate
        self._left, self._length, self._height = 0, 1, 0.0
        self._pause = self._draw(0.6, 2.5)

    def _draw(self, low: float, high: float) -> int:
        return max(1, round(self.rng.uniform(low, high) * self.rate))

    def step(self) -> float:
        """The noise of the next control step."""
        if self.size <= 0.0:
            return 0.0
        if self._pause > 0:
            self._pause -= 1
            return 0.0
        if self._left == 0:
            self._left = self._length = self._draw(0.3, 0.9)
            self._height = float(self.rng.normal(0.0, self.size))
        self._left -= 1
        if self._left == 0:
            self._pause = self._draw(0.6, 2.5)
        return self._height * math.sin(math.pi * (self._left + 0.5) / self._length)


class Recorder:
    """A race in simulated time whose steps go into a dataset. options: of the game."""

    def __init__(self, writer: tub.TubWriter, game: str, options: Any, seed: int | None):
        values = dataclasses.asdict(options)
        self.driving = envs.describe(game, **values).driving
        self.writer, self.fps = writer, self.driving.rate
        self.games = envs.make(game, "rgb_array", **values).unwrapped
        self.frame = self.games.reset(seed=seed)[0]
        self.race = self.steps = self.off = 0
        self._start = round(time.time() * 1000)

    def expert(self) -> np.ndarray:
        """The expert's action for the present state."""
        return self.driving.expert(self.games)

    def step(self, label: np.ndarray, sent: np.ndarray) -> dict[str, Any]:
        """Stores the present moment with the action that is right there, and drives one step on with what is sent."""
        figures = self.driving.figures(self.games, self.race)
        record = {
            tub.IMAGE: self.frame, "user/mode": "user", **self.driving.controls(self.games, label),
            "override": False, "game/steer": float(sent[0]), **figures,
        }  # fmt: skip
        self.writer.write(record, timestamp_ms=self._start + round(1000 * self.steps / self.fps))
        self.steps += 1
        self.off += figures["game/off_road"]
        self.frame, _, terminated, truncated, _ = self.games.step(sent.astype(np.float32))
        if terminated or truncated:  # the end is no place to steer at: on to the next race
            self.frame = self.games.reset()[0]
            self.race += 1
        return record

    def close(self) -> None:
        """Ends the game."""
        self.games.close()


def sessions(out: Path) -> int:
    """How many sessions the dataset in `out` has; 0 where there is none."""
    try:
        return len(tub.Tub(out, check=False).sessions)
    except tub.TubError:
        return 0


def open_writer(out: Path, game: str, driving: Driving, driver: str, **more: Any) -> tub.TubWriter:
    """The dataset that a recording of drives goes to, with all its columns."""
    about = {"game": game, "driver": driver, **driving.about(), **more}
    frame = driving.frame()
    writer = tub.TubWriter(out, columns(driving), metadata=about)
    if writer.shape not in (None, (frame.height, frame.width)):
        (height, width), message = writer.shape, f"--obs {about.get('obs')} makes {frame.width}x{frame.height}"
        writer.close()
        raise tub.TubError(f"{out} holds pictures of {width}x{height}, {message}")
    return writer
