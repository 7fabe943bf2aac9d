"""Drivers behind one small interface: a servo and an H-bridge on pins, a PCA9685 board, and the simulated car."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import struct
import time
import warnings
from pathlib import Path
from typing import Any, Protocol

from envs.car import CarError
from envs.car.calibration import Calibration

PERIOD = 20_000.0  # time from one pulse of a servo to the next, us
PINS = range(2, 28)  # numbers of the pins on the Pi's header, as Broadcom counts them
ADDRESSES = range(0x08, 0x78)  # addresses that devices on an I2C bus may have
WORD = struct.Struct("<ddd")  # moment, steering, throttle: what the simulated car is told


class CarDriver(Protocol):
    """What turns the wheels. One process at a time owns it: the guardian."""

    calibration: Calibration  # meaning of the numbers on this car; may be set between two writes

    def write(self, steer: float, throttle: float) -> None:
        """Sets steering (-1 left to 1 right) and throttle (-1 backwards to 1). Raises OSError or CarError where the
        device has gone."""

    def neutral(self) -> None:
        """No throttle, wheels straight."""

    def close(self) -> None:
        """Neutral, and the device is given back; may be called twice."""


@dataclasses.dataclass(frozen=True)
class DriverSettings:
    """Where the wheels are wired. Raises CarError."""

    kind: str = "sim"  # gpio, pca9685 or sim
    servo_pin: int = 18  # gpio: pin of the steering servo
    forward_pin: int = 23  # gpio: pin of the H-bridge that drives forwards
    backward_pin: int = 24  # gpio: pin of the H-bridge that drives backwards
    i2c: str = "/dev/i2c-1"  # pca9685: device file of the bus
    address: int = 0x40  # pca9685: address of the board on the bus
    steer_channel: int = 1  # pca9685: output of the steering servo
    throttle_channel: int = 0  # pca9685: output of the speed controller
    enable_pin: int | None = None  # pca9685: pin at the board's output enable, high without a guardian
    stop_pin: int | None = None  # pin of an emergency stop button that closes to ground
    socket: int | None = None  # sim: file descriptor that leads to the simulated car; None: nobody listens

    def __post_init__(self) -> None:
        if self.kind not in OPENERS:
            raise CarError(f"--driver {self.kind}: must be one of {', '.join(OPENERS)}")
        used: dict[int, str] = {}
        for name in self._pins():
            pin, flag = getattr(self, name), f"--{name.replace('_', '-')}"
            if pin is None:
                continue
            if pin not in PINS:
                raise CarError(f"{flag} {pin}: pins are GPIO {PINS[0]} to {PINS[-1]}, as Broadcom counts them")
            if pin in used:
                raise CarError(f"{flag} {pin}: is {used[pin]} already")
            used[pin] = flag
        if self.kind == "pca9685":
            if self.address not in ADDRESSES:
                raise CarError(f"--i2c-address {self.address:#x}: must lie in {ADDRESSES[0]:#x}..{ADDRESSES[-1]:#x}")
            for name in ("steer_channel", "throttle_channel"):
                if not 0 <= getattr(self, name) < 16:
                    raise CarError(f"--{name.replace('_', '-')} {getattr(self, name)}: must lie in 0..15")
            if self.steer_channel == self.throttle_channel:
                raise CarError(f"--throttle-channel {self.throttle_channel}: is --steer-channel already")

    def _pins(self) -> tuple[str, ...]:
        if self.kind == "gpio":
            return ("servo_pin", "forward_pin", "backward_pin", "stop_pin")
        return ("enable_pin", "stop_pin") if self.kind == "pca9685" else ("stop_pin",)

    @property
    def place(self) -> str:
        """A name of the device: what two programs must not hold at once. Simulated cars share nothing."""
        if self.kind == "gpio":
            return f"gpio-{self.servo_pin}-{self.forward_pin}-{self.backward_pin}"
        if self.kind == "pca9685":
            return f"pca9685-{Path(self.i2c).name}-{self.address:#x}"
        return ""


def open_driver(settings: DriverSettings, calibration: Calibration) -> CarDriver:
    """Opens the device; it is neutral from the first moment. Raises CarError."""
    return OPENERS[settings.kind](settings, calibration)


@contextlib.contextmanager
def pins_explained() -> Any:
    """Within: what gpiozero raises is a CarError of one sentence."""
    try:
        yield
    except CarError:
        raise
    except Exception as fault:  # gpiozero and its pin factories raise dozens of kinds, of which none is ours to mend
        told = " ".join(str(fault).split()) or type(fault).__name__
        if type(fault).__name__ == "BadPinFactory":
            told = "gpiozero finds no library for them (on a Raspberry Pi: apt install python3-lgpio)"
        raise CarError(f"the pins cannot be used: {told}") from fault


def kept_pins(modules: Path = Path("/sys/module")) -> bool:
    """Do pins stay as they are when the program that set them dies? Raspberry Pi OS keeps them, by default."""
    return any(path.read_text().strip() == "Y" for path in modules.glob("pinctrl_*/parameters/persist_gpio_outputs"))


def gpiozero_module() -> Any:
    """gpiozero. Raises CarError where it is not installed."""
    try:
        import gpiozero
    except ImportError:
        raise CarError("--driver gpio needs gpiozero: pip install -r requirements-car.txt") from None
    # gpiozero warns of each library for pins that is missing; where all are, one sentence says so.
    warnings.simplefilter("ignore", gpiozero.PinFactoryFallback)
    return gpiozero


class GpioDriver:
    """A servo and an H-bridge, by gpiozero."""

    def __init__(self, settings: DriverSettings, calibration: Calibration):
        zero = gpiozero_module()
        self.calibration, self._opened = calibration, contextlib.ExitStack()
        self._driven = (0.0, 0.0)
        with pins_explained():
            # Motor pins first: they are low before anything else happens.
            self.forward = self._pin(zero, settings.forward_pin, 1000, 0.0)
            self.backward = self._pin(zero, settings.backward_pin, 1000, 0.0)
            self.servo = self._pin(zero, settings.servo_pin, 50, calibration.centre / PERIOD)

    def _pin(self, zero: Any, pin: int, frequency: int, value: float) -> Any:
        return self._opened.enter_context(
            contextlib.closing(zero.PWMOutputDevice(pin, initial_value=value, frequency=frequency))
        )

    def write(self, steer: float, throttle: float) -> None:
        """One direction is off before the other goes on."""
        effort = self.calibration.effort(throttle)
        forward, backward = max(0.0, effort), max(0.0, -effort)
        pins = [(self.forward, forward), (self.backward, backward)]
        with pins_explained():
            for pin, value in sorted(pins, key=lambda each: each[1]):
                pin.value = value
            self.servo.value = self.calibration.steering(steer) / PERIOD

    def neutral(self) -> None:
        """No duty in either direction, the servo at its centre."""
        self.write(0.0, 0.0)

    def close(self) -> None:
        """Neutral; the pins are inputs again."""
        with contextlib.suppress(CarError):  # the pins obey no more, and all that is left is to give them back
            if not self.servo.closed:
                self.neutral()
        self._opened.close()


class SimDriver:
    """Tells the simulated car what to do; without one, nobody."""

    def __init__(self, settings: DriverSettings, calibration: Calibration):
        self.calibration = calibration
        self._socket = None if settings.socket is None else socket.socket(fileno=settings.socket)
        if self._socket:
            self._socket.setblocking(False)
        self.neutral()

    def write(self, steer: float, throttle: float) -> None:
        """A datagram; where the simulated car is behind, the next one tells it."""
        if self._socket:
            with contextlib.suppress(BlockingIOError, ConnectionError):
                self._socket.send(WORD.pack(time.monotonic(), steer, throttle))

    def neutral(self) -> None:
        """Steering and throttle 0."""
        self.write(0.0, 0.0)

    def close(self) -> None:
        """Neutral, then silence."""
        if self._socket:
            self.neutral()
            self._socket.close()
            self._socket = None


def warm(kind: str) -> None:
    """Imports what a driver needs, for whoever may have to open it in a hurry. What is missing is told on opening."""
    if kind == "pca9685":
        from envs.car import pca9685 as pca9685
    elif kind == "gpio":
        with contextlib.suppress(CarError):
            gpiozero_module()


def _pca9685(settings: DriverSettings, calibration: Calibration) -> CarDriver:
    from envs.car.pca9685 import Pca9685Driver

    return Pca9685Driver(settings, calibration)


OPENERS = {"gpio": GpioDriver, "pca9685": _pca9685, "sim": SimDriver}
