"""The guardian: the process that owns the driver, and gives it what the rules allow. The standard library is enough.

    python -m envs.car.guardian SETTINGS       started by `envs.car.link`, never by hand

It hears the program that drives over a socket pair, emergency stops over a socket of its own (`drive --stop`) and from
a button, and looks at the program's process itself. Under systemd it feeds the watchdog while the driver answers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from envs.car import CarError, calibration, messages, places
from envs.car.driver import CarDriver, DriverSettings, gpiozero_module, open_driver, pins_explained
from envs.car.rules import CAUSES, SafetyLimits, SafetyRules

TICK = 0.010  # time between two looks at the rules, s
REFRESH = 0.100  # time after which the driver hears the same again, s
TELL = 0.050  # time between two statuses that say the same, s
FAREWELL = 0.6  # time for straightening the wheels after the program has gone, s
HEARD = 64  # messages of the program between two looks at the rules, at most: a flood of them must not hold the wheels


@dataclasses.dataclass(frozen=True)
class GuardianSettings:
    """What the guardian is started with; it comes as JSON on its command line."""

    fd: int  # file descriptor of the socket to the program
    parent: int  # process id of the program
    driver: DriverSettings = DriverSettings()
    limits: SafetyLimits = SafetyLimits()
    calibration: calibration.Calibration = calibration.Calibration()
    name: str = "car"  # name of the car: `--stop` finds it by this

    def packed(self) -> str:
        """As it stands on the command line."""
        return json.dumps({**dataclasses.asdict(self), "calibration": self.calibration.plain()})

    @classmethod
    def of(cls, text: str) -> GuardianSettings:
        """The settings of a command line."""
        values = json.loads(text)
        parts = dict(
            driver=DriverSettings(**values.pop("driver")),
            limits=SafetyLimits(**values.pop("limits")),
            calibration=calibration.of(values.pop("calibration")),
        )
        return cls(**parts, **values)


class Guardian:
    """One drive. open_it: opens the driver; tests give one whose wires they can read."""

    def __init__(self, settings: GuardianSettings, open_it: Callable[..., CarDriver] = open_driver):
        self.settings = settings
        self.program = socket.socket(fileno=settings.fd)
        self.program.setblocking(False)
        if settings.driver.place:
            places.hold(settings.driver.place, "another program drives by these wires already")
        self.stops = places.listen(settings.name)
        self.driver = open_it(settings.driver, settings.calibration)
        self.button = self._button()
        self.rules = SafetyRules(time.monotonic(), settings.limits)
        self.watchdog = SystemdWatchdog()
        self._gone = 0.0  # moment at which the program went; 0 as long as it is there
        self._ended = False
        self._written: tuple[float, float] | None = None
        self._wrote = self._told = 0.0
        self._said: dict[str, Any] = {}

    def _button(self) -> Any:
        if self.settings.driver.stop_pin is None:
            return None
        with pins_explained():
            return gpiozero_module().Button(self.settings.driver.stop_pin, pull_up=True)

    def run(self) -> None:
        """Until the program has gone and the wheels stand straight, or SIGTERM."""
        poll = select.poll()
        for each in (self.program, self.stops):
            poll.register(each, select.POLLIN)
        self.watchdog.say("READY=1")
        try:
            while not self._over():
                for fd, _ in poll.poll(TICK * 1000):
                    if fd == self.stops.fileno():
                        self._hear_stops()
                    elif not self._hear():
                        poll.unregister(self.program)
                self.step(time.monotonic())
        finally:
            self.driver.close()
            self.watchdog.say("STOPPING=1")

    def _over(self) -> bool:
        return self._ended or (self._gone > 0 and time.monotonic() - self._gone > FAREWELL)

    def end(self, *_: object) -> None:
        """SIGTERM: neutral and out."""
        self.rules.end(time.monotonic())
        self._ended = True

    def step(self, now: float) -> None:
        """Looks at everything, and writes what the rules say."""
        rules = self.rules
        if self.button is not None:
            rules.hold("emergency button", bool(self.button.is_pressed), now)
        output = tuple(rules.tick(now))
        if rules.state == "late":
            self._look_at_program(now)
        answers = True
        if output != self._written or now - self._wrote >= REFRESH:
            try:
                self.driver.write(*output)
                self._written, self._wrote = output, now
            except (OSError, CarError):
                rules.fault("driver", now)
                self._written, answers = None, False
        if answers:
            self.watchdog.feed(now)
        self._tell(now)

    def _look_at_program(self, now: float) -> None:
        """Is it only late, or has it been stopped or killed?"""
        state = places.process_state(self.settings.parent)
        if state in "Tt":
            self.rules.fault("program stopped", now)
        elif state in "ZX":
            self.rules.fault("program dead", now)

    def _hear(self) -> bool:
        """What the program has said, HEARD messages of it at most; False where it has gone."""
        for _ in range(HEARD):
            try:
                data = self.program.recv(messages.LARGEST)
            except BlockingIOError:
                return True
            except ConnectionError:
                data = b""
            now = time.monotonic()
            if not data:
                self.rules.fault("program dead", now)
                self._gone = now
                return False
            if (command := messages.command_of(data)) is not None:
                self.rules.command(command, now)
            elif (message := messages.message_of(data)) is not None:
                self._obey(message, now)
            else:
                self.rules.fault("value", now)
        return True

    def _obey(self, message: dict[str, Any], now: float) -> None:
        """What is said but once."""
        kind, value = message.get("type"), message.get("value")
        if kind == "fault" and isinstance(value, str) and value in CAUSES:
            self.rules.fault(value, now)
        elif kind == "calibration" and isinstance(value, dict):
            self._calibrate(value)
        elif kind == "end":
            self.rules.end(now)

    def _calibrate(self, value: dict[str, Any]) -> None:
        try:
            if self.rules.output.throttle:
                raise CarError("the calibration was not taken: it changes while the motor stands")
            self.driver.calibration = calibration.of(value)
        except CarError as fault:
            self._send({"type": "refused", "told": str(fault)})
        self._written = None

    def _hear_stops(self) -> None:
        """Emergency stops from the command line; each is answered."""
        with contextlib.suppress(BlockingIOError):
            while True:
                _, sender = self.stops.recvfrom(64)
                self.rules.fault("emergency command line", time.monotonic())
                self.step(time.monotonic())
                with contextlib.suppress(OSError):  # the program that asked has not waited for the answer
                    self.stops.sendto(b"stopped", sender)

    def _tell(self, now: float) -> None:
        status = {"type": "status", **self.rules.status(), "driver": self.settings.driver.kind}
        if status != self._said or now - self._told >= TELL:
            self._said, self._told = status, now
            self._send({**status, "time": now})

    def _send(self, message: dict[str, Any]) -> None:
        # A program that does not listen must not make us wait.
        with contextlib.suppress(BlockingIOError, ConnectionError):
            self.program.send(messages.packed(message))


class SystemdWatchdog:
    """systemd's notification socket; without systemd nothing."""

    def __init__(self) -> None:
        self.address = os.environ.get("NOTIFY_SOCKET", "")
        self.period = int(os.environ.get("WATCHDOG_USEC", "0") or 0) / 1e6 / 4  # fed four times as often as it must be
        self._fed = 0.0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) if self.address else None

    def say(self, text: str) -> None:
        """READY=1, WATCHDOG=1, STOPPING=1: see sd_notify(3)."""
        if self._socket is None:
            return
        place = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        with contextlib.suppress(OSError):  # systemd has gone; the watchdog is its own matter then
            self._socket.sendto(text.encode(), place)

    def feed(self, now: float) -> None:
        """Says that all is well, as often as systemd asks for it."""
        if self.period and now - self._fed >= self.period:
            self._fed = now
            self.say("WATCHDOG=1")


def main(argv: list[str] | None = None, open_it: Callable[..., CarDriver] = open_driver) -> None:
    """Runs the guardian; what keeps it from starting is told to the program, in one sentence."""
    settings = GuardianSettings.of((sys.argv[1:] if argv is None else argv)[0])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program, which then says goodbye
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        guardian = Guardian(settings, open_it)
    except (CarError, OSError) as fault:  # OSError: the folder of the sockets, or what lies in it
        with socket.socket(fileno=settings.fd) as program, contextlib.suppress(OSError):
            program.send(messages.packed({"type": "failed", "told": " ".join(str(fault).split())}))
        sys.exit(2)
    signal.signal(signal.SIGTERM, guardian.end)
    with contextlib.suppress(OSError, AttributeError):  # allowed to few; without it we are one process of many
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    gc.collect()
    gc.freeze()
    guardian.run()


if __name__ == "__main__":
    main()
