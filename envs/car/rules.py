"""What stops the car: a machine of states without clock, process or device, so that every rule is a test.

    starting -> disarmed -> armed <-> late -> latched
                    ^         |                  |
                    +---------+<-- a person arms +

`armed` alone moves the wheels. `late` is neutral, and becomes armed again by itself where two good commands follow
within a second; after that second, and at once for everything that is no lateness, the fault is `latched`: neutral
until a person presses arm, with the throttle released.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from typing import Any, NamedTuple

from envs.car.messages import CarCommand

CAUSES = {  # cause of a stop -> what a person reads
    "command": "the program that drives sent nothing for too long",
    "frame": "the picture was older than 150 ms",
    "frozen": "the picture did not change while the car drove",
    "inference": "the network missed two pictures",
    "heartbeat": "nothing came from the page that drives for 200 ms",
    "page closed": "the page that drives was closed",
    "page hidden": "the page that drives was hidden",
    "gamepad gone": "the gamepad has gone",
    "value": "a value was no number, or out of its range",
    "program dead": "the program that drives has ended",
    "program stopped": "the program that drives was stopped",
    "driver": "the driver of the wheels does not answer",
    "camera": "the camera has gone",
    "emergency page": "emergency stop on the page",
    "emergency key": "emergency stop by key",
    "emergency button": "emergency stop by the button on the car",
    "emergency command line": "emergency stop from the command line",
    "disarmed": "a person disarmed the car",
    "ended": "the drive has ended",
}
LEFT = ("page closed", "page hidden", "gamepad gone")  # ways in which a person leaves
PERSONS = ("disarmed", "ended", *(cause for cause in CAUSES if cause.startswith("emergency")))  # wishes of a person
LATE = ("command", "frame", "frozen", "inference", "heartbeat")  # causes that two good commands may take back


@dataclasses.dataclass(frozen=True)
class SafetyLimits:
    """The numbers of the rules; times in seconds, rates per second."""

    command_age: float = 0.200  # age of the newest command at which the car stops
    frame_age: float = 0.150  # age of the picture behind a command at which the car stops
    hands_age: float = 0.200  # age of the last heartbeat at which the car stops
    missed: int = 2  # pictures without an answer of the network at which the car stops
    patience: float = 1.0  # time within which two good commands take lateness back
    first: float = 1.0  # time of neutral at the beginning
    released: float = 0.3  # time for which the throttle must have been released before a person arms
    moving: float = 0.5  # time of throttle after which pictures must change
    cap: float = 0.25  # highest throttle
    throttle_rate: float = 1.0  # rise of the throttle; it falls at once
    steer_rate: float = 6.0  # change of the steering
    narrow: float = 0.6  # share of the steering that is taken away at full throttle
    hold: float = 0.3  # time for which the steering stays after a stop, before it is centred


DEFAULT = SafetyLimits()
SILENT = 0.1  # age of a command, s, from which it is to blame for what became too old since then
NEUTRAL = 0.02  # throttle up to which a lever counts as released


class WheelOutput(NamedTuple):
    """What the wheels get."""

    steer: float
    throttle: float


class SafetyRules:
    """The states of one drive. Every time is that of time.monotonic, s, and never goes back."""

    def __init__(self, now: float, limits: SafetyLimits = DEFAULT):
        self.limits, self.began = limits, now
        self.state, self.cause = "starting", ""
        self.refused = ""  # reason why the last press of arm was refused
        self.stops: Counter[str] = Counter()  # cause -> stops
        self.held: set[str] = set()  # emergency stops that are still held down
        self.output = WheelOutput(0.0, 0.0)
        self._last: CarCommand | None = None  # newest good-looking command
        self._presses: int | None = None  # presses of arm that are dealt with
        self._late = self._stopped = now  # moments of the last lateness and of the last stop
        self._good: list[tuple[int, int, int]] = []  # (picture, heartbeat, content) of good commands since then
        self._rolls = False  # True if the car drove when it became late
        self._pressed = now  # last moment at which the throttle was not released
        self._content, self._changed = -1, now  # content of the newest picture, and the moment since which it is shown
        self._moved: float | None = None  # moment at which the throttle left neutral
        self._ticked = now

    def command(self, command: CarCommand, now: float) -> None:
        """A command has come."""
        if not self._sound(command, now):
            self.fault("value", now)
            return
        if self._last is not None and command.seq <= self._last.seq:
            return  # an old one tells nothing
        self._last = command
        if command.content != self._content:
            self._content, self._changed = command.content, command.time
        if abs(command.throttle) > NEUTRAL:
            self._pressed = now
        if self._presses is None:  # presses from before this guardian lived arm nothing
            self._presses = command.presses
        if command.presses > self._presses:
            self._arm(command, now)
        self._presses = command.presses
        if not command.armed and self.state in ("armed", "late"):
            self._stop("disarmed", "disarmed", now)
        elif self.state == "late":
            self._count_good(command, now)

    def _sound(self, command: CarCommand, now: float) -> bool:
        numbers = (command.time, command.steer, command.throttle, command.frame_age, command.hands_age, command.cap)
        return (
            all(map(math.isfinite, numbers))
            and max(abs(command.steer), abs(command.throttle)) <= 1.0
            and 0.0 <= command.cap <= 1.0
            and min(command.frame_age, command.hands_age) >= 0.0
            and command.time <= now + 0.01  # a command of the future would never be late
        )

    def _arm(self, command: CarCommand, now: float) -> None:
        """A person has pressed arm."""
        late = self._lateness(now)
        if self.state in ("armed", "late"):
            self.refused = ""
        elif self.state == "ended":
            self.refused = CAUSES["ended"]
        elif now - self.began < self.limits.first:
            self.refused = "the first second is neutral"
        elif self.held:
            self.refused = "the emergency stop is still pressed"
        elif now - self._pressed < self.limits.released:
            self.refused = "release the throttle first"
        elif late:
            self.refused = CAUSES[late]
        else:
            self.state, self.cause, self.refused = "armed", "", ""
            self._moved = None

    def _count_good(self, command: CarCommand, now: float) -> None:
        """Two good commands, each with a picture and a heartbeat of its own, take lateness back.

        Of a car that drove until a moment ago the pictures must also show different things: else a camera that froze
        while something else was late would be given another half second.
        """
        unchanged = self._rolls and now - self._changed > self.limits.frame_age
        if unchanged or self._lateness(now):
            self._good.clear()
            return
        seen = (command.frame, command.hands, command.content if self._rolls else command.seq)
        if all(new != old for before in self._good for new, old in zip(seen, before, strict=True)):
            self._good.append(seen)
        if len(self._good) >= 2:
            self.state, self.cause = "armed", ""
            self._moved = now - self.limits.moving if self._rolls else None

    def fault(self, cause: str, now: float) -> None:
        """Something other than lateness: neutral, and latched."""
        if self.state == "ended" or (self.state == "latched" and not cause.startswith("emergency")):
            return
        if cause in LEFT and self.state not in ("armed", "late"):
            return  # a person who leaves a car that stands is no fault
        self._stop("latched", cause, now)

    def hold(self, cause: str, down: bool, now: float) -> None:
        """An emergency stop was pressed, or released; while it is held down nothing arms."""
        if down and cause not in self.held:
            self.fault(cause, now)
        (self.held.add if down else self.held.discard)(cause)

    def end(self, now: float) -> None:
        """The drive is over: neutral for good."""
        if self.state in ("armed", "late"):
            self._stop("ended", "ended", now)
        self.state = "ended"

    def _stop(self, state: str, cause: str, now: float) -> None:
        if self.state == "armed":
            self._stopped = now
        if self.state == "late" and cause not in PERSONS:  # the same stop, whose cause is now known better
            self.stops[self.cause] -= 1
        self.stops[cause] += 1
        self.state, self.cause, self.refused = state, cause, ""
        self._moved = None

    def _lateness(self, now: float) -> str:
        """The cause of lateness at this moment; nothing where all is fresh."""
        last, limits = self._last, self.limits
        if last is None:
            return "command"
        age = now - last.time
        if age > limits.command_age:
            return "command"
        if last.hands_age + age > limits.hands_age:
            return "heartbeat" if age < SILENT else "command"
        if last.missed >= limits.missed:
            return "inference"
        if last.frame_age + age > limits.frame_age:
            return "frame" if age < SILENT else "command"
        moving = self._moved is not None and now - self._moved > limits.moving
        return "frozen" if moving and now - self._changed > limits.frame_age else ""

    def tick(self, now: float) -> WheelOutput:
        """What the wheels get now; to be called a hundred times a second."""
        if self.state == "starting" and now - self.began >= self.limits.first:
            self.state = "disarmed"
        if self.state == "armed" and (late := self._lateness(now)):
            self._rolls = self._moved is not None
            self._stop("late", late, now)
            self._late = now
            self._good.clear()
        elif self.state == "late" and now - self._late > self.limits.patience:
            self._stop("latched", self.cause, now)
        self.output = self._driven(now) if self.state == "armed" else self._neutral(now)
        self._ticked = now
        return self.output

    def _driven(self, now: float) -> WheelOutput:
        last, limits, step = self._last, self.limits, now - self._ticked
        cap = min(limits.cap, last.cap)
        wanted, before = max(-cap, min(cap, last.throttle)), self.output.throttle
        if wanted * before < 0:
            wanted = 0.0  # through neutral, never from one direction into the other
        rise = abs(before) + limits.throttle_rate * step
        throttle = math.copysign(min(abs(wanted), rise), wanted) if wanted else 0.0
        if throttle == 0.0:
            self._moved = None
        elif self._moved is None:
            self._moved = now
        most = 1.0 - limits.narrow * abs(throttle)
        return WheelOutput(self._turned(max(-most, min(most, last.steer)), step), throttle)

    def _neutral(self, now: float) -> WheelOutput:
        """No throttle; the steering stays for a moment, then the wheels are straightened."""
        if now - self._stopped < self.limits.hold and self.state != "ended":
            return WheelOutput(self.output.steer, 0.0)
        return WheelOutput(self._turned(0.0, now - self._ticked), 0.0)

    def _turned(self, wanted: float, step: float) -> float:
        reach = self.limits.steer_rate * step
        return self.output.steer + max(-reach, min(reach, wanted - self.output.steer))

    def status(self) -> dict[str, Any]:
        """What the guardian tells, as JSON has it."""
        told = self.refused or CAUSES.get(self.cause, "")
        return {
            "state": self.state,
            "cause": self.cause,
            "told": told,
            "refused": bool(self.refused),
            "steer": self.output.steer,
            "throttle": self.output.throttle,
            "stops": sum(self.stops.values()),
            "causes": {cause: count for cause, count in self.stops.items() if count},
            "seq": self._last.seq if self._last else 0,
            "hands": self._last.hands if self._last else 0,
            "cap": self.limits.cap,
        }
