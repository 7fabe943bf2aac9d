"""Races as datasets (`envs.recordings.tub`): columns, labels, pushes to recover from, and the recorder."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np

from envs.kart import columns as c
from envs.kart.batch import RENDERED
from envs.kart.camera import CAMERAS, rays
from envs.kart.env import FPS, KartVectorEnv
from envs.kart.hud import with_figures
from envs.kart.line import TOP_SPEED
from envs.kart.options import DRIVABLE
from envs.kart.physics import speed_control, speed_of
from envs.recordings import tub
from envs.recordings.tub_values import OURS


def figures(batch, i: int, race: int, drivable: np.ndarray | None = None) -> dict:
    """The columns game/* of race i of a `Batch` as it stands; `race` is its number in the recording.

    drivable: uint8 [15, 20]; without it that column is left out.
    """
    kart, times = batch.karts[i, 0], batch.race[i]
    length = batch.scene.count[i] * batch.scene.step[i]
    speed = kart[c.VEL_X] * math.cos(kart[c.YAW]) + kart[c.VEL_Y] * math.sin(kart[c.YAW])
    return {
        "game/race": race,
        "game/lap": int(times[c.GATE] // c.GATES),
        "game/time": float(times[c.CLOCK]),
        "game/lap_time": float(np.nan_to_num(times[c.LAST_LAP])),
        "game/progress": float(kart[c.PROGRESS] / length),
        "game/track": int(batch.track[i]),
        "game/place": int(times[c.PLACE]),
        "game/speed": float(speed),
        "game/lateral": float(kart[c.LATERAL]),
        "game/heading": float(kart[c.HEADING]),
        "game/off_road": bool(times[c.OFF_NOW] > 0.0),
        "game/drivable": None if drivable is None else pack(drivable),
    }


def controls(batch, i: int, action: np.ndarray, who: str = "user") -> dict:
    """An action (steering, target speed, each -1..1) of race i as the columns user/* (or pilot/*)."""
    target = (float(action[1]) + 1.0) * 0.5 * TOP_SPEED
    return {
        f"{who}/angle": float(action[0]),
        f"{who}/throttle": float(speed_control(batch.karts[i, 0], target)),
        f"{who}/target_speed": target,
    }


def pack(mask: np.ndarray) -> str:
    """A mask of zeros and ones as hexadecimal digits."""
    return np.packbits(mask.astype(bool).ravel()).tobytes().hex()


def unpack(text: str) -> np.ndarray:
    """`game/drivable` as uint8 [15, 20]. Raises ValueError where it is something else."""
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8))
    count = math.prod(DRIVABLE)
    if len(bits) != 8 * math.ceil(count / 8):
        raise ValueError(f"a drivable area has {count} bits, not {len(bits)}")
    return bits[:count].reshape(DRIVABLE)


class Pushes:
    """Steering noise that shows recoveries: a push to one side, which swells and fades, then time to recover.

    size: standard deviation of a push's greatest steering; pushes last 0.3 to 0.9 s, the pauses 0.6 to 2.5 s.
    """

    def __init__(self, size: float, rng: np.random.Generator, fps: int = 20):
        self.size, self.rng, self.fps = size, rng, fps
        self._left, self._length, self._height = 0, 1, 0.0
        self._pause = self._draw(0.6, 2.5)

    def _draw(self, low: float, high: float) -> int:
        return max(1, round(self.rng.uniform(low, high) * self.fps))

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
    """A race whose steps go into a dataset: `step(label, sent)` stores the present moment and drives one step on.

    label: what the driver wants (steering, target speed, each in [-1, 1]); sent: what the kart gets, if other.
    """

    def __init__(self, writer: tub.Writer, options: Any, seed: int | None, *, simulated: bool):
        self.writer, self.fps, self.simulated = writer, FPS, simulated
        self.env = KartVectorEnv(1, options)
        self.frame = self.env.reset(seed=None if seed is None else [seed])[0][0]
        self.race = self.steps = self.off = 0
        self.first = writer.index
        self._start = round(time.time() * 1000)

    @property
    def batch(self) -> Any:
        """The race behind it, a batch of one."""
        return self.env.batch

    def expert(self) -> np.ndarray:
        """The expert's action for the present state."""
        return self.batch.expert()[0]

    @property
    def speed(self) -> float:
        """Of the kart, m/s."""
        return float(speed_of(self.batch.karts[0, 0]))

    def view(self) -> np.ndarray:
        """What the recording camera sees, large enough to drive by, with lap times and map: uint8 [360, 480, 3]."""
        eyes = rays(CAMERAS[self.batch.options.camera], RENDERED[1], RENDERED[0])
        return with_figures(self.batch.pictures(eyes, self.batch.poses)[0], self.batch, 0)

    def step(self, label: np.ndarray, sent: np.ndarray | None = None, *, store: bool = True) -> dict[str, Any]:
        """Stores a record (unless told not to) and drives one step; returns the record."""
        sent = label if sent is None else sent
        game = figures(self.batch, 0, self.race, self.batch.drivable()[0])
        record = {
            tub.IMAGE: self.frame, "user/mode": "user", **controls(self.batch, 0, label),
            "override": False, "game/steer": float(sent[0]), **game,
        }  # fmt: skip
        now = self._start + round(1000 * self.steps / self.fps) if self.simulated else None
        if store:
            self.writer.write(record, timestamp_ms=now)
            self.steps += 1
            self.off += game["game/off_road"]
        over = self.env.over[0]
        self.frame = self.env.step(sent[None].astype(np.float32))[0][0]
        if self.env.over[0] and not over:  # the end is no place to steer at: on to the next race
            self.frame = self.env.step(sent[None].astype(np.float32))[0][0]
            self.race += 1
        return record


def sessions(out: Path) -> int:
    """How many sessions the dataset in `out` has; 0 where there is none."""
    try:
        return len(tub.Tub(out, check=False).sessions)
    except tub.TubError:
        return 0


def open_writer(out: Path, options: Any, driver: str, **more: Any) -> tub.Writer:
    """The dataset that a recording of kart goes to, with all its columns."""
    about = {"game": "kart", "driver": driver, "protocol": options.protocol, "camera": options.camera,
             "obs": options.obs, **more}  # fmt: skip
    height, width = options.picture[:2]
    writer = tub.Writer(out, OURS, metadata=about)
    if writer.shape not in (None, (height, width)):
        held = writer.shape
        writer.close()
        raise tub.TubError(f"{out} holds pictures of {held[1]}x{held[0]}, --obs {options.obs} makes {width}x{height}")
    return writer
