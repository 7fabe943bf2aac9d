"""The PCA9685: sixteen pulses by I2C, for a servo and a speed controller. Registers after NXP's data sheet, rev. 4.

The board goes on sending its last pulses when nobody speaks to it. So neutral is the first thing that is written to it
and the last, and a pin at its output enable (low: pulses) can tie the pulses to the life of the guardian.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import Any

from envs.car import CarError
from envs.car.calibration import Calibration
from envs.car.driver import PERIOD, DriverSettings, gpiozero_module, pins_explained

I2C_SLAVE = 0x0703  # request of Linux: the device that this file speaks to from now on
MODE1, MODE2, PRESCALE, LED0 = 0x00, 0x01, 0xFE, 0x06  # registers
SLEEP, INCREMENT, TOTEM = 0x10, 0x20, 0x04  # bits of MODE1, MODE1 and MODE2
OSCILLATOR, STEPS = 25e6, 4096  # ticks per second, and ticks in one period
SCALE = round(OSCILLATOR / STEPS / (1e6 / PERIOD)) - 1  # divider for 50 pulses a second


class I2cDevice:
    """One device on an I2C bus of Linux. Raises CarError where there is no bus or no device."""

    def __init__(self, path: str, address: int):
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as fault:
            raise CarError(f"--i2c {path}: {fault.strerror}; is I2C on (raspi-config, Interface Options)?") from None
        try:
            fcntl.ioctl(self._file, I2C_SLAVE, address)
        except OSError as fault:
            os.close(self._file)
            told = "a driver of the system holds it" if fault.errno == 16 else "that is no I2C bus"
            raise CarError(f"--i2c {path}, address {address:#x}: {told}") from None

    def write(self, *data: int) -> None:
        """Register and bytes, in one transfer."""
        os.write(self._file, bytes(data))

    def close(self) -> None:
        """Leaves the bus."""
        os.close(self._file)


def ticks(pulse: float) -> int:
    """The length of a pulse (us) in ticks of the board, whose period is a little off 20 ms."""
    return round(pulse * 1e-6 * OSCILLATOR / (SCALE + 1))


class Pca9685Driver:
    """Steering and throttle as pulses. device: stands in for the bus (tests)."""

    def __init__(self, settings: DriverSettings, calibration: Calibration, device: Any = None):
        self.calibration, self.settings = calibration, settings
        self.device = device or I2cDevice(settings.i2c, settings.address)
        self._enable, self._closed = None, False
        try:
            self.device.write(MODE1, INCREMENT)  # whatever it did before: neutral, before anything else
            self.neutral()
            self.device.write(MODE1, INCREMENT | SLEEP)  # the divider can be set while it sleeps alone
            self.device.write(PRESCALE, SCALE)
            self.device.write(MODE2, TOTEM)
            self.device.write(MODE1, INCREMENT)
            time.sleep(0.001)  # the oscillator needs half a millisecond
            self.neutral()
        except OSError as fault:
            told = f"no PCA9685 answers at {settings.address:#x} on {settings.i2c} ({fault.strerror})"
            raise CarError(f"{told}: look at its wires and --i2c-address") from None
        if settings.enable_pin is not None:
            with pins_explained():
                zero = gpiozero_module()
                self._enable = zero.DigitalOutputDevice(settings.enable_pin, active_high=False, initial_value=True)

    def _pulse(self, channel: int, pulse: float) -> None:
        off = ticks(pulse)
        self.device.write(LED0 + 4 * channel, 0, 0, off & 0xFF, off >> 8)

    def write(self, steer: float, throttle: float) -> None:
        """Throttle first: the transfer that stops the car waits for nothing."""
        self._pulse(self.settings.throttle_channel, self.calibration.motor(throttle))
        self._pulse(self.settings.steer_channel, self.calibration.steering(steer))

    def neutral(self) -> None:
        """The pulse of a motor that stands; without any pulse speed controllers do what they like."""
        self.write(0.0, 0.0)

    def close(self) -> None:
        """Neutral, pulses off by the enable pin where there is one."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError):  # the wire has gone, and with it whatever could be done
            self.neutral()
        if self._enable is not None:
            self._enable.off()
            self._enable.close()
        self.device.close()
