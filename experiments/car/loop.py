"""The loop of `drive`: fifty times a second it asks the guardian for what is wanted, and tells the page."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from envs.car import CarError, calibration
from envs.car.halting import SignHalt
from envs.car.link import GuardianLink
from envs.car.messages import CarCommand
from envs.recordings.tub import IMAGE, TubError
from experiments.car.eye import CarEye, Sight
from experiments.car.modes import NETWORK, DriveWish, wish
from experiments.car.page import CarPage, Request
from experiments.car.pilot import CarPilot, PilotAnswer, throttle_of
from experiments.car.recorder import DriveRecorder
from experiments.web.page import Client

PERIOD = 0.02  # time between two commands at most, s
SHOW = 0.2  # time between two states for the page where no picture comes, s
NEVER = 9.0  # age of what never came, s
TOLD = ("state", "cause", "told", "refused", "stops", "causes", "steer", "throttle")  # fields of the guardian's status
LONG_AGO = 99  # pictures without an answer, where there was none at all
DRIVEN = ("armed", "late")  # states of the guardian in which somebody drives
BUSY = "somebody drives the car: first disarm it"
PATIENCE = 5.0  # time that the loop has to change its network, s


class DriveLoop:
    """One drive. wake: set by whoever has something new; calibration_path: where `save` writes."""

    def __init__(
        self, eye: CarEye, pilot: CarPilot | None, link: GuardianLink, page: CarPage, recorder: DriveRecorder,
        wake: threading.Event, calibration_path: Path,
    ):  # fmt: skip
        self.eye, self.link, self.page, self.recorder = eye, link, page, recorder
        self.wake, self.calibration_path = wake, calibration_path
        self.mode, self.cap, self.operator = "manual", float(link.status["cap"]), None
        self.page.shelf.page.refusal = lambda: BUSY if self.driven else ""
        self._seat(pilot)
        self.wish = DriveWish(0.0, 0.0, True)
        self.trip = 0.0  # time from a command to the status that answers it, ms
        self._presses, self._armed, self._ended = 0, False, threading.Event()
        self._hands = -1  # number of the last heartbeat that the wheels have felt
        self._shown, self._recorded = -1, ("", 0)  # number of the shown picture; state and stops of the newest record
        self._told = self._sent = 0.0
        self._camera_gone = False
        self._exchanges: SimpleQueue[tuple[CarPilot, Future]] = SimpleQueue()

    def run(self) -> None:
        """Until `end`; then the wheels are neutral at once. Raises GuardianDied."""
        try:
            while not self._ended.is_set():
                self.step()
                self.wake.wait(PERIOD)
                self.wake.clear()
        finally:
            self.link.end()

    def end(self, *_: object) -> None:
        """Ends `run`; may be called from a signal."""
        self._ended.set()
        self.wake.set()

    @property
    def driven(self) -> bool:
        """Does somebody drive, or does the motor turn?"""
        return self.link.status["state"] in DRIVEN or bool(self.link.status["throttle"])

    def exchange(self, pilot: CarPilot) -> CarPilot | None:
        """Another network from now on; returns the one before. From another thread.

        Raises CarError while somebody drives, and where the drive is ending.
        """
        answer: Future = Future()
        self._exchanges.put((pilot, answer))
        self.wake.set()
        try:
            return answer.result(PATIENCE)
        except FutureTimeout:  # Python 3.10 has another class than TimeoutError
            if answer.cancel():
                raise CarError("the drive is ending") from None
            return answer.result()

    def _exchange(self) -> None:
        while not self._exchanges.empty():
            pilot, answer = self._exchanges.get()
            if not answer.set_running_or_notify_cancel():
                continue
            if self.driven:
                answer.set_exception(CarError(BUSY))
                continue
            before = self.pilot
            self._seat(pilot)
            answer.set_result(before)

    def _seat(self, pilot: CarPilot | None) -> None:
        """This network drives from now on."""
        self.pilot, self.halt, self._answered = pilot, SignHalt(), -1
        self.page.remote = pilot.take if pilot else None
        self.page.shelf.page.predict = pilot.predict if pilot else None

    def step(self) -> None:
        """One look at everything."""
        now = time.monotonic()
        self._obey()
        self._exchange()
        self._look_for_faults()
        sight = self.eye.newest
        answer = self.pilot.newest if self.pilot else None
        self._command(now, sight, answer)
        status = self.link.hear()
        self._feel(status)
        fresh = sight is not None and sight.picture.number != self._shown
        if sight is not None:
            self._record(sight, answer, status, fresh)
        if fresh:
            self._shown = sight.picture.number
            self._show(now, sight, answer, status)
        elif now - self._told > SHOW:
            self._show(now, None, answer, status)

    def _obey(self) -> None:
        for _ in range(self.page.requests.qsize()):  # a flood of requests must not hold up the commands
            request = self.page.requests.get()
            try:
                REQUESTS[request.name](self, request)
            except (CarError, TubError) as fault:
                request.client.send({"type": "error", "message": str(fault)})
            except OSError as fault:
                request.client.send({"type": "error", "message": f"{fault.strerror}: {fault.filename}"})

    def _look_for_faults(self) -> None:
        if self.operator is not None and not self.page.is_there(self.operator):
            self.link.fault("page closed")
            self.operator = None
        self.page.forget_the_gone()
        if self.eye.fault and not self._camera_gone:
            self._camera_gone = True
            self.link.fault("camera")
        for told in self.link.refusals:
            self.page.page.send({"type": "error", "message": told})
        self.link.refusals.clear()

    def _command(self, now: float, sight: Sight | None, answer: PilotAnswer | None) -> None:
        hands = self.page.hands.get(self.operator)
        network = self.mode in NETWORK
        pilot = None
        if answer is not None:
            pilot = (answer.answer.steer, throttle_of(answer.answer, self.link.calibration))
            if answer.number != self._answered:
                self._answered = answer.number
                self.halt.saw(answer.answer.sign, answer.answer.certain, now)
        self.wish = wish(self.mode, hands, pilot)
        throttle = self.wish.throttle
        if network and self.halt.halted(now) and not self.wish.override:
            throttle = 0.0
        if self.link.status["state"] != "armed":  # a person arms, and only with the lever released
            throttle = hands.throttle if hands else 0.0
        newest = sight.picture if sight else None
        behind = answer if network else newest  # picture that this command rests on
        missed = 0
        if network:
            missed = max(0, newest.number - answer.number) if newest and answer else LONG_AGO
        self._sent = now
        self.link.send(
            CarCommand(
                seq=0, time=0.0, steer=self.wish.steer, throttle=throttle, presses=self._presses, armed=self._armed,
                frame_age=max(0.0, now - behind.time) if behind else NEVER,
                hands_age=max(0.0, now - hands.time) if hands else NEVER,
                frame=behind.number if behind else 0, content=sight.content if sight else 0,
                hands=hands.number if hands else 0, missed=missed, cap=self.cap,
            )
        )  # fmt: skip

    def _feel(self, status: dict[str, Any]) -> None:
        """Tells the page which of its heartbeats the wheels have felt: its round trip."""
        if status["seq"] == self.link.seq and self._sent:
            self.trip, self._sent = (time.monotonic() - self._sent) * 1000, 0.0
        if status["hands"] != self._hands:
            self._hands = status["hands"]
            if self.operator is not None:
                self.operator.send({"type": "felt", "n": self._hands})

    def _record(self, sight: Sight, answer: PilotAnswer | None, status: dict[str, Any], fresh: bool) -> None:
        """Every picture of an armed car, and one record of every change: a camera that has gone stops it, too."""
        now = (status["state"], status["stops"])
        wanted = fresh if status["state"] == "armed" else now != self._recorded
        if not self.recorder.on or not wanted:
            return
        self._recorded = now
        armed, driven = status["state"] == "armed", self.wish
        record = {
            IMAGE: sight.picture.rgb, "user/angle": status["steer"], "user/throttle": status["throttle"],
            "user/mode": ("user" if driven.person else "local") if armed else "stopped", "override": driven.override,
            "safety/state": status["state"], "safety/cause": status["cause"], "safety/stops": status["stops"],
            "safety/steer": status["steer"], "safety/throttle": status["throttle"],
        }  # fmt: skip
        if armed and -1.0 <= driven.steer <= 1.0:
            record["user/angle"] = driven.steer
        if answer is not None:
            record["pilot/angle"] = within(answer.answer.steer, -1.0, 1.0)
            record["pilot/throttle"] = within(throttle_of(answer.answer, self.link.calibration), -1.0, 1.0)
            if answer.answer.kind == "target_speed":
                record["pilot/target_speed"] = within(answer.answer.drive, 0.0, 100.0)
        self.recorder.put(record)

    def _show(self, now: float, sight: Sight | None, answer: PilotAnswer | None, status: dict[str, Any]) -> None:
        self._told = now
        age = None if self.eye.newest is None else (now - self.eye.newest.picture.time) * 1000
        state = {
            **{name: status[name] for name in TOLD},
            "mode": self.mode, "cap": self.cap, "most": status["cap"], "driver": status["driver"],
            "operator": id(self.operator) if self.operator is not None else None,
            "picture": None if sight is None else sight.picture.number, "age": age, "rate": self.eye.rate,
            "camera": self.eye.fault, "trip": self.trip, "wish": [self.wish.steer, self.wish.throttle],
            "network": self.pilot.title if self.pilot else None, "pilot": None,
            "network_fault": self.pilot.fault if self.pilot else "",
            "halted": self.mode in NETWORK and self.halt.halted(now),
            "recording": self.recorder.on, "records": self.recorder.count, "lost": self.recorder.lost,
            "disk": self.recorder.fault, "watchers": self.page.page.watchers,
        }  # fmt: skip
        if answer is not None:
            told = answer.answer
            state["pilot"] = {
                "steer": told.steer, "throttle": throttle_of(told, self.link.calibration), "drive": told.drive,
                "kind": told.kind, "sign": told.sign, "certain": told.certain, "ms": answer.ms,
            }  # fmt: skip
        self.page.show(None if sight is None else sight.picture.rgb, plain(state))

    def _arm(self, request: Request) -> None:
        if self._is_anothers(request.client):
            raise CarError("somebody else drives; you can watch, and stop the car")
        self.operator, self._armed = request.client, True
        self._presses += 1

    def _is_anothers(self, client: Client) -> bool:
        """Does somebody else drive at this moment?"""
        return self.link.status["state"] in DRIVEN and self.operator is not None and self.operator is not client

    def _disarm(self, request: Request) -> None:
        self._armed = False

    def _stop(self, request: Request) -> None:
        self.link.fault(f"emergency {request.value}")

    def stop_by_key(self) -> None:
        """The emergency stop of the terminal."""
        self.link.fault("emergency key")

    def _leave(self, request: Request) -> None:
        if request.client is self.operator:
            self.link.fault({"hidden": "page hidden", "gamepad": "gamepad gone"}[request.value])

    def _wrong(self, request: Request) -> None:
        """A page, or a network elsewhere, that sends what is no value is broken; if it drives, the car stops."""
        if request.client is self.operator or (request.value == "pilot" and self.mode in NETWORK and self.driven):
            self.link.fault("value")

    def _set_mode(self, request: Request) -> None:
        self._check_seat(request)
        if request.value != "manual" and self.pilot is None:
            raise CarError(f"{request.value}: there is no network here; start with --model FOLDER")
        self.mode = request.value

    def _set_cap(self, request: Request) -> None:
        self._check_seat(request)
        self.cap = min(request.value, float(self.link.status["cap"]))

    def _check_seat(self, request: Request) -> None:
        if self._is_anothers(request.client):
            raise CarError("somebody else drives")

    def _set_recording(self, request: Request) -> None:
        if request.value:
            self.recorder.start()
        else:
            self.recorder.stop()

    def _calibrate(self, request: Request) -> None:
        self._check_seat(request)
        if self.link.status["throttle"]:
            raise CarError("release the throttle first: a calibration changes while the motor stands")
        self.link.calibrate(calibration.of({"format": calibration.FORMAT, **request.value}))

    def _save(self, request: Request) -> None:
        self._calibrate(request)
        calibration.save(self.calibration_path, self.link.calibration)
        request.client.send({"type": "saved", "path": str(self.calibration_path)})

    def _open(self, request: Request) -> None:
        if self.driven:
            raise CarError(BUSY)
        # A thread of its own: to read a dataset takes a second, which is longer than the guardian waits.
        def open_it() -> None:
            try:
                self.page.shelf.open(request.value)
                request.client.send({"type": "opened", "name": request.value})
            except (TubError, OSError) as fault:
                request.client.send({"type": "error", "message": str(fault)})

        threading.Thread(target=open_it, daemon=True).start()


REQUESTS: dict[str, Callable[[DriveLoop, Request], None]] = {
    "arm": DriveLoop._arm, "disarm": DriveLoop._disarm, "stop": DriveLoop._stop, "leave": DriveLoop._leave,
    "wrong": DriveLoop._wrong, "mode": DriveLoop._set_mode, "cap": DriveLoop._set_cap,
    "record": DriveLoop._set_recording, "calibrate": DriveLoop._calibrate, "save": DriveLoop._save,
    "open": DriveLoop._open,
}  # fmt: skip


def within(value: float, low: float, high: float) -> float | None:
    """The value, cut to its range; None for what is no number."""
    return max(low, min(high, value)) if math.isfinite(value) else None


def plain(value: Any) -> Any:
    """As JSON has it: what is no finite number is null."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value


@contextlib.contextmanager
def stopped_by(loop: DriveLoop) -> Any:
    """Within: SIGTERM and Ctrl-C end the loop."""
    import signal

    before = {number: signal.signal(number, loop.end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
