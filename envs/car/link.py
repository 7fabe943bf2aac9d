"""The program's end of the guardian: starts it, sends commands, hears statuses, and steps in where it dies."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from envs.car import CarError, messages
from envs.car.calibration import Calibration
from envs.car.driver import CarDriver, DriverSettings, open_driver, warm
from envs.car.guardian import GuardianSettings
from envs.car.messages import CarCommand
from envs.car.rules import DEFAULT, SafetyLimits

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = (sys.executable, "-m", "envs.car.guardian")
PATIENCE = 30.0  # time that a guardian has to start, s
SILENCE = 0.5  # time without a status after which the guardian counts as dead, s


class GuardianDied(CarError):
    """The guardian is no more; the wheels were set to neutral without it, as far as they can be reached."""


class GuardianLink:
    """Starts the guardian and waits until the wheels are neutral. Raises CarError where it cannot open the driver.

    program: the command line of the guardian, without its settings; tests give one of their own. rescue: opens the
    driver where the guardian has died.
    """

    def __init__(
        self, driver: DriverSettings, calibration: Calibration, limits: SafetyLimits = DEFAULT, *, name: str = "car",
        program: Sequence[str] = PROGRAM, rescue: Callable[..., CarDriver] | None = None,
    ):  # fmt: skip
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket, self.driver, self.calibration, self.rescue = ours, driver, calibration, rescue or open_driver
        self.status: dict[str, Any] = {}  # newest status of the guardian
        self.refusals: list[str] = []  # sentences of the guardian about what it did not do
        self.heard = time.monotonic()
        settings = GuardianSettings(theirs.fileno(), os.getpid(), driver, limits, calibration, name)
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        self.process = subprocess.Popen(
            [*program, settings.packed()],
            pass_fds=[theirs.fileno(), *([] if driver.socket is None else [driver.socket])],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-Z in a terminal stops all processes there: this one has to stop the car
        )
        theirs.close()
        self.seq, self.dead = 0, ""
        warm(driver.kind)
        self._wait()
        ours.setblocking(False)

    def _wait(self) -> None:
        self.socket.settimeout(PATIENCE)
        try:
            message = messages.message_of(self.socket.recv(messages.LARGEST)) or {}
        except (TimeoutError, ConnectionError):
            message = {}
        if message.get("type") != "status":
            self.process.kill()
            self.process.wait()
            self.socket.close()
            raise CarError(message.get("told", "the guardian did not start; its words stand above"))
        self.status, self.heard = message, time.monotonic()

    def send(self, command: CarCommand) -> None:
        """Sends a command, with the next number and the time of now."""
        self.seq += 1
        self._put(command._replace(seq=self.seq, time=time.monotonic()).packed())

    def fault(self, cause: str) -> None:
        """Reports a fault that the program itself has seen; causes are those of `rules.CAUSES`."""
        self._put(messages.packed({"type": "fault", "value": cause}))

    def calibrate(self, calibration: Calibration) -> None:
        """Gives the driver another calibration; the guardian takes it while the throttle is neutral."""
        self.calibration = calibration
        self._put(messages.packed({"type": "calibration", "value": calibration.plain()}))

    def _put(self, data: bytes) -> None:
        try:
            self.socket.send(data)
        except BlockingIOError:
            pass  # the guardian does not listen: `hear` finds out whether it lives
        except OSError:
            self._step_in()

    def hear(self) -> dict[str, Any]:
        """Reads what the guardian has said; returns its newest status. Raises GuardianDied."""
        while True:
            try:
                data = self.socket.recv(messages.LARGEST)
            except BlockingIOError:
                break
            except ConnectionError:
                data = b""
            if not data:
                self._step_in()
            message = messages.message_of(data) or {}
            if message.get("type") == "status":
                self.status, self.heard = message, time.monotonic()
            elif message.get("type") == "refused":
                self.refusals.append(str(message.get("told")))
        if time.monotonic() - self.heard > SILENCE and not self._was_late():
            self._step_in()
        return self.status

    def _was_late(self) -> bool:
        """Were we the ones who slept? Then its words are waiting."""
        readable, _, _ = select.select([self.socket], [], [], SILENCE)
        return bool(readable)

    def _step_in(self) -> None:
        """The guardian is dead or hangs: its process is ended, and the driver is set to neutral from here."""
        self.process.kill()
        self.process.wait()
        self.socket.close()
        if self.dead:
            raise GuardianDied(self.dead)
        told = "the guardian has died; the wheels are neutral, and the drive is over"
        try:
            driver = self.rescue(dataclasses.replace(self.driver, enable_pin=None, stop_pin=None), self.calibration)
            driver.neutral()
            driver.close()
        except (CarError, OSError) as fault:
            told = f"the guardian has died, and the wheels could not be set to neutral: {fault}"
        self.dead = told
        raise GuardianDied(told)

    def end(self) -> None:
        """Neutral at once and for good, whatever has to be closed before `close`."""
        with contextlib.suppress(GuardianDied):
            self._put(messages.packed({"type": "end"}))

    def close(self) -> None:
        """Neutral; the guardian straightens the wheels and ends."""
        self.end()
        self.socket.close()
        try:
            self.process.wait(5.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> GuardianLink:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
