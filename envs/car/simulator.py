"""A toy car that is simulated: the kart's engine with a motor, a Pi's camera and traffic signs. It needs numba.

It is what a camera and a driver of the words `sim` share; nothing else of this package imports it.
"""

from __future__ import annotations

import numpy as np

from envs.car_game.batch import CarBatch
from envs.car_game.options import CarOptions
from envs.car_game.signs import NONE
from envs.kart import columns as c
from envs.kart.columns import CONTROL, FREE_SPEED
from envs.kart.physics import BY_THROTTLE, speed_of
from envs.kart.race import TIME_LIMIT
from envs.kart.splits import parse_tracks

SPEEDS = ((0.0, 0.0), (FREE_SPEED, 1.0))  # table of (speed in m/s, throttle that holds it)


class SimulatedCar:
    """One car on one track, from standstill, until it is closed.

    track: as everywhere, such as "test#3"; of several the first. look: 0 a theme as designed to 1, hard to recognise;
    theme: day, night, rain, snow or desert. Time passes in steps of 50 ms, that of the camera: `apply` holds from the
    next step on. A car that has been off the road for 3 s is put back, which counts as a rescue. Raises ValueError for
    a track, theme or camera that is not there.
    """

    def __init__(
        self, track: str = "test#0", seed: int = 0, look: float = 0.0, theme: str = "day", camera: str = "picam",
        signs: bool = True,
    ):  # fmt: skip
        parse_tracks(track)
        options = CarOptions(
            tracks=track, random_looks=look, theme=theme, camera=camera, control="throttle", throttle_cap=1.0,
            signs=signs, order="cycle",
        )  # fmt: skip
        self._batch = CarBatch(1, options)
        self._batch.seed(0, seed)
        self._batch.begin(0)
        self._batch.rules[TIME_LIMIT] = np.inf
        self._steer = self._throttle = self._owed = 0.0
        self.number = 0  # steps so far

    def apply(self, steer: float, throttle: float) -> None:
        """Steering, -1 (left) to 1, and throttle, -1 (backwards) to 1. Raises ValueError for anything else."""
        if not (abs(steer) <= 1.0 and abs(throttle) <= 1.0):  # nan is wrong, too
            raise ValueError(f"steering and throttle must lie in -1 to 1, not {steer} and {throttle}")
        self._steer, self._throttle = float(steer), float(throttle)

    def advance(self, seconds: float) -> int:
        """Lets so much time pass; returns how many steps that were. What is no whole step is owed."""
        self._owed += seconds
        steps = int(self._owed / CONTROL + 1e-6)
        self._owed -= steps * CONTROL
        for _ in range(steps):
            self._batch.advance(np.array([[self._steer, self._throttle, -1.0]]), BY_THROTTLE)
        self.number += steps
        return steps

    def picture(self) -> np.ndarray:
        """What the camera sees now, uint8 [120, 160, 3]."""
        return self._batch.camera()[0]

    def chase(self) -> np.ndarray:
        """A picture for people, from behind the car: uint8 [360, 480, 3]."""
        return self._batch.rendered()[0]

    @property
    def _kart(self) -> np.ndarray:
        return self._batch.karts[0, 0]

    @property
    def speed(self) -> float:
        """Along the car's axis, m/s."""
        return float(speed_of(self._kart))

    @property
    def progress(self) -> float:
        """Laps with fraction since the start line."""
        return float(self._kart[c.PROGRESS]) / self.length

    @property
    def laps(self) -> int:
        """Laps completed."""
        return int(self._batch.race[0, c.GATE] // c.GATES)

    @property
    def length(self) -> float:
        """Length of the track, m."""
        return float(self._batch.scene.count[0] * self._batch.scene.step[0])

    @property
    def lateral(self) -> float:
        """Metres to the right of the road's middle."""
        return float(self._kart[c.LATERAL])

    @property
    def off_road(self) -> bool:
        """Is the car's middle half a metre or more beyond the road's edge?"""
        return bool(self._batch.race[0, c.OFF_NOW] > 0.0)

    @property
    def rescues(self) -> int:
        """How often the car was put back on the road."""
        return int(self._batch.race[0, c.RESCUES])

    @property
    def sign(self) -> tuple[int, float]:
        """What the picture shows: 0 no sign, 1 a stop sign, 2 another one; and how far ahead it stands, m."""
        kind, away = self._batch.signs()
        return int(kind[0]), float(away[0]) if kind[0] != NONE else float("inf")

    @property
    def stop_signs(self) -> np.ndarray:
        """Where the stop signs stand, m along the track from its start line, rising."""
        items = self._batch.scene.items[0, : self._batch.scene.item_count[0]]
        return np.sort(items[items[:, c.ITEM_KIND] == c.STOP_SIGN, c.ITEM_ALONG])

    @property
    def along(self) -> float:
        """Metres along the track from its start line."""
        return float(self._kart[c.ALONG])

    def expert(self) -> tuple[float, float]:
        """Steering and target speed, m/s, of the scripted driver."""
        steer, share = self._batch.expert()[0]
        return float(steer), (float(share) + 1.0) * 0.5 * self._batch.options.top_speed

    def close(self) -> None:
        """Ends the simulation."""
        self._batch.close()
