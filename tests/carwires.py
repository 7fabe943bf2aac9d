"""A guardian whose wires can be read: mocked pins, a stand-in for the I2C bus, and the datagrams of the simulated car.

    python tests/carwires.py LOG SETTINGS     the real guardian, with every change of a wire as a line of LOG

The button on the car is pressed as long as a file LOG.button exists, and the driver's device is gone as long as
LOG.unplugged does. `history` decodes what the wires did, in words of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = (sys.executable, str(Path(__file__).resolve()))


class Wires(NamedTuple):
    """What the wheels were told, from one moment on."""

    time: float  # s, of time.monotonic
    steer: float
    throttle: float


class Log:
    """Lines of (moment, wire, value), each written at once."""

    def __init__(self, path: Path):
        self.path, self.file = path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def __call__(self, wire: Any, value: Any) -> None:
        if self.path.with_suffix(".unplugged").exists():
            raise OSError(121, "Remote I/O error")
        os.write(self.file, (json.dumps([time.monotonic(), wire, value]) + "\n").encode())


def mocked_pins(log: Log) -> None:
    """gpiozero's mock pins, which tell the log; the button's pin follows a file."""
    from gpiozero import Device
    from gpiozero.pins.mock import MockFactory, MockPWMPin

    class Pin(MockPWMPin):
        told: float | None = None  # state that the log has

        def _set_state(self, value: float) -> None:
            super()._set_state(value)
            if self.function == "output" and self._state != self.told:
                self.told = self._state
                log(self.info.name, float(self._state))

    Device.pin_factory = MockFactory(pin_class=Pin)


def follow_button(log: Log, pin: int) -> None:
    from gpiozero import Device

    def follow() -> None:
        while True:
            down = log.path.with_suffix(".button").exists()
            button = Device.pin_factory.pin(pin)
            (button.drive_low if down else button.drive_high)()
            time.sleep(0.001)

    threading.Thread(target=follow, daemon=True).start()


class Bus:
    """Stands in for `I2cDevice`: the log has what was written."""

    def __init__(self, log: Log):
        self.log = log

    def write(self, *data: int) -> None:
        self.log("i2c", list(data))

    def close(self) -> None:
        self.log("i2c", [])


def opened(log: Log) -> Any:
    import gpiozero.pins.mock  # noqa: F401  (now, since whoever steps in has no time for it)

    from envs.car import driver, pca9685

    class Told(driver.SimDriver):
        def write(self, steer: float, throttle: float) -> None:
            log("sim", [steer, throttle])
            super().write(steer, throttle)

    def open_it(settings: driver.DriverSettings, calibration: Any) -> Any:
        mocked_pins(log)
        if settings.stop_pin is not None:
            follow_button(log, settings.stop_pin)
        if settings.kind == "pca9685":
            return pca9685.Pca9685Driver(settings, calibration, Bus(log))
        return Told(settings, calibration) if settings.kind == "sim" else driver.GpioDriver(settings, calibration)

    return open_it


def _share(value: float, zero: float, one: float) -> float:
    return (value - zero) / (one - zero)


def _steer(pulse: float) -> float:
    """Of a pulse in us, with the calibration that is the default: 1900 left, 1500 straight, 1100 right."""
    return _share(pulse, 1500, 1100)


class Decoder:
    """Wires -> steering and throttle, with the default calibration and wiring."""

    def __init__(self, kind: str):
        self.kind, self.pins, self.pulses = kind, {}, {}
        self.now = Wires(0.0, 0.0, 0.0)

    def __call__(self, moment: float, wire: str, value: Any) -> Wires:
        steer, throttle = self.now.steer, self.now.throttle
        if self.kind == "gpio":
            self.pins[wire] = value
            steer = _steer(self.pins.get("GPIO18", 0.075) * 20_000)
            throttle = self.pins.get("GPIO23", 0.0) - self.pins.get("GPIO24", 0.0)
        elif self.kind == "pca9685" and wire == "i2c" and len(value) == 5:
            # 4096 ticks of (121 + 1) / 25 MHz each; speed controller on output 0, servo on output 1.
            self.pulses[value[0]] = 1e6 * (value[3] | value[4] << 8) * 122 / 25e6
            throttle = _share(self.pulses.get(6, 1500), 1500, 2000)
            steer = _steer(self.pulses.get(10, 1500))
        elif self.kind == "sim" and wire == "sim":
            steer, throttle = value
        self.now = Wires(moment, steer, throttle)
        return self.now


def history(path: Path, kind: str) -> list[Wires]:
    """What steering and throttle were, from a log."""
    decode = Decoder(kind)
    return [decode(*json.loads(line)) for line in path.read_text().splitlines()]


MOVES = 0.01  # throttle from which a wheel may turn: a board's ticks are 0.01 of full throttle


def moving(path: Path, kind: str, since: float, until: float = float("inf")) -> list[Wires]:
    """The stretch after `since` in which the throttle was not neutral, what held at `since` included."""
    told = history(path, kind)
    before = [w for w in told if w.time <= since][-1:]
    return [w for w in [*before, *(w for w in told if since < w.time <= until)] if abs(w.throttle) > MOVES]


def stopped_after(path: Path, kind: str, since: float, until: float = float("inf")) -> float:
    """Seconds from `since` until the throttle was neutral for good, up to `until`."""
    told = [w for w in history(path, kind) if w.time <= until]
    last = max((k for k, w in enumerate(told) if abs(w.throttle) > MOVES), default=-1)
    if last + 1 >= len(told):
        return float("inf")
    return max(0.0, told[last + 1].time - since) if last >= 0 else 0.0


def wait(condition: Any, patience: float = 20.0) -> Any:
    """The first true value of a condition. Raises TimeoutError."""
    end = time.monotonic() + patience
    while not (value := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"nothing after {patience} s")
        time.sleep(0.005)
    return value


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    from envs.car import guardian

    with contextlib.suppress(KeyboardInterrupt):
        guardian.main([sys.argv[2]], opened(Log(Path(sys.argv[1]))))
