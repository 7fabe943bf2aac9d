"""Drivers behind one small interface: a servo and an H-bridge on pins, a PCA9685 board, and the simulated car."""

from __future__ import annotations

from typing import Protocol


class CarDriver(Protocol):
    """What turns the wheels. One process at a time owns it: the guardian."""

    def write(self, steer: float, throttle: float) -> None:
        """Sets steering (-1 left to 1 right) and throttle (-1 backwards to 1). Raises CarError where it has gone."""

    def neutral(self) -> None:
        """No throttle, wheels straight."""

    def close(self) -> None:
        """Neutral, and the device is given back; may be called twice."""
