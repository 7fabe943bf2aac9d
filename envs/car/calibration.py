"""What a car's own steering and motor need, in a file of JSON: made on the page with the wheels off the ground.

Steering is a servo's pulse; throttle is a pulse of a speed controller (`pca9685`) or the duty of an H-bridge (`gpio`).
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from envs.car import CarError

PULSE = (500.0, 2500.0)  # pulses that a servo or a speed controller may get, microseconds
LARGEST = 2**16  # bytes of the file
FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Raises CarError for values that no car can have."""

    left: float = 1900.0  # pulse at full steering to the left, us
    centre: float = 1500.0  # pulse of wheels that stand straight, us
    right: float = 1100.0  # pulse at full steering to the right, us
    stopped: float = 1500.0  # speed controller: pulse at which the motor stands, us
    forward: float = 2000.0  # speed controller: pulse of full throttle, us
    backward: float = 1000.0  # speed controller: pulse of full throttle backwards, us
    least: float = 0.0  # share of full throttle at which the wheels begin to turn
    speeds: tuple[tuple[float, float], ...] = ((0.0, 0.0), (1.0, 0.25))  # (speed, m/s; throttle that holds it), rising

    def __post_init__(self) -> None:
        for name in ("left", "centre", "right", "stopped", "forward", "backward"):
            if not _within(getattr(self, name), *PULSE):
                raise CarError(f"calibration: {name} must be a pulse of {PULSE[0]:g} to {PULSE[1]:g} microseconds")
        for low, middle, high in (("left", "centre", "right"), ("backward", "stopped", "forward")):
            a, b, c = (getattr(self, name) for name in (low, middle, high))
            if not (a < b < c or a > b > c):
                raise CarError(f"calibration: {middle} must lie between {low} and {high}")
        if not _within(self.least, 0.0, 0.5):
            raise CarError("calibration: least must be a throttle of 0 to 0.5")
        table = tuple((float(speed), float(throttle)) for speed, throttle in self.speeds)
        rising = all(a[0] < b[0] and a[1] <= b[1] for a, b in zip(table, table[1:], strict=False))
        good = all(_within(speed, 0.0, 100.0) and _within(throttle, 0.0, 1.0) for speed, throttle in table)
        if not 2 <= len(table) <= 32 or not rising or not good:
            raise CarError("calibration: speeds must be 2 to 32 pairs of speed (m/s) and throttle (0 to 1) that rise")
        object.__setattr__(self, "speeds", table)

    def steering(self, steer: float) -> float:
        """The servo's pulse for a steering in [-1, 1], us."""
        end = self.right if steer > 0 else self.left
        return self.centre + abs(steer) * (end - self.centre)

    def effort(self, throttle: float) -> float:
        """The share of the motor's whole range, in [-1, 1]: what lies below `least` would only hum."""
        if throttle == 0.0:
            return 0.0
        return math.copysign(self.least + (1.0 - self.least) * abs(throttle), throttle)

    def motor(self, throttle: float) -> float:
        """The speed controller's pulse for a throttle in [-1, 1], us."""
        effort = self.effort(throttle)
        end = self.forward if effort > 0 else self.backward
        return self.stopped + abs(effort) * (end - self.stopped)

    def throttle(self, speed: float) -> float:
        """The throttle that holds a speed (m/s) on the flat; between the pairs of the table it is interpolated."""
        below = self.speeds[0]
        for above in self.speeds:
            if speed <= above[0]:
                width = above[0] - below[0]
                share = (speed - below[0]) / width if width else 1.0
                return max(0.0, below[1] + share * (above[1] - below[1])) if speed > 0 else 0.0
            below = above
        return self.speeds[-1][1]

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"format": FORMAT, **dataclasses.asdict(self)}


def of(values: Mapping[str, Any]) -> Calibration:
    """The calibration of what JSON held. Raises CarError."""
    if values.get("format") != FORMAT:
        raise CarError(f"calibration: format {values.get('format')!r} is not {FORMAT}, which this version reads")
    names = {field.name for field in dataclasses.fields(Calibration)}
    given = {name: value for name, value in values.items() if name != "format"}
    if strange := given.keys() - names:
        raise CarError(f"calibration: there is no value {min(strange)!r}; values are {', '.join(sorted(names))}")
    speeds = given.get("speeds")
    pairs = isinstance(speeds, list | tuple) and all(isinstance(p, list | tuple) and len(p) == 2 for p in speeds)
    if speeds is not None and not (pairs and all(_is_number(v) for pair in speeds for v in pair)):
        raise CarError("calibration: speeds must be pairs of numbers")
    return Calibration(**given)


def load(path: Path) -> Calibration:
    """Raises CarError where there is no file, or it is damaged."""
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1)
    except FileNotFoundError:
        told = "drive with --calibrate, the wheels off the ground, and save it on the page"
        raise CarError(f"there is no calibration {path}: {told}") from None
    except OSError as fault:
        raise CarError(f"the calibration {path} cannot be read: {fault.strerror}") from None
    try:
        values = json.loads(data) if len(data) <= LARGEST else None
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise CarError(f"the calibration {path} is damaged: it holds no JSON object")
    try:
        return of(values)
    except CarError as fault:
        raise CarError(f"{path}: {fault}") from None


def save(path: Path, calibration: Calibration) -> None:
    """Writes the file whole or not at all."""
    other = path.with_name(f"{path.name}.new")
    with open(other, "w") as file:
        file.write(json.dumps(calibration.plain(), indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(other, path)


def _is_number(value: Any) -> bool:
    """Is it a finite number? A whole one may be larger than a float can hold, and is none here."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max


def _within(value: Any, low: float, high: float) -> bool:
    return _is_number(value) and low <= value <= high


SIMULATED = Calibration(speeds=((0.0, 0.0), (8.0, 0.25)))  # calibration of the simulated car (`simulator.SPEEDS`)
