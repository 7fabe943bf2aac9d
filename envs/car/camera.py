"""Cameras behind one small interface: the Pi's own, USB cameras, a recording, and the simulated car's."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np


class Picture(NamedTuple):
    """One picture of a camera."""

    rgb: np.ndarray  # uint8 [H, W, 3]
    time: float  # moment of the exposure on the clock of time.monotonic, s
    number: int  # pictures of this camera so far, from 0; a number that is missing is a picture that was lost


class CarCamera(Protocol):
    """What gives pictures. The methods are called by one thread, in this order."""

    rate: float  # pictures per second that it is asked for

    def open(self) -> None:
        """Starts the camera. Raises CarError where it is not there, or busy."""

    def read(self, timeout: float) -> Picture | None:
        """The newest picture that was not given before; None where none came within `timeout` seconds.

        Raises CarError where the camera has gone for good.
        """

    def close(self) -> None:
        """Stops the camera; may be called twice."""
