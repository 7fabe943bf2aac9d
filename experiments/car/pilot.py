"""The network in a thread of its own, or far away: its newest answer, and to which picture it was one."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np

from envs.car.calibration import Calibration
from envs.car.model import CarAnswer, CarModel
from experiments.car.eye import CarEye, Sight
from experiments.web.values import number, record, text, whole

REMOTE = record(
    number=whole(0, 2**53), steer=number(-1, 1), drive=number(0, 100), kind=text(20, ("target_speed", "throttle")),
    sign=text(40), certain=number(0, 1), ms=number(0, 1e6),
)  # fmt: skip


class PilotAnswer(NamedTuple):
    """An answer of the network, and how old it is."""

    answer: CarAnswer
    number: int  # number of the picture
    time: float  # moment of the picture, of time.monotonic, s
    ms: float  # time that the network took


class CarPilot(Protocol):
    """What answers pictures."""

    title: str  # name of the network, for people
    fault: str  # reason why it answers nothing; empty where it does
    newest: PilotAnswer | None
    take: Callable[[dict[str, Any]], None] | None  # takes answers that come through the page; None: it needs none
    predict: Callable[[np.ndarray], float] | None  # the steering that it wants for a picture; None: it is elsewhere

    def close(self) -> None:
        """Answers no more."""


def throttle_of(answer: CarAnswer, calibration: Calibration) -> float:
    """The throttle that an answer means on this car; nan stays nan, so that the guardian sees it."""
    if answer.kind == "throttle" or not math.isfinite(answer.drive):
        return answer.drive
    return calibration.throttle(answer.drive)


class LocalPilot:
    """The network of a folder, on this computer; of pictures that come while it thinks it takes the newest."""

    take = None

    def __init__(self, model: CarModel, eye: CarEye, wake: threading.Event):
        self.model, self.title, self.newest, self.fault = model, model.title, None, ""
        self.times: deque[float] = deque(maxlen=200)  # ms of the last answers
        self._eye, self._wake = eye, wake
        self._fresh, self._ended = threading.Event(), False
        eye.listeners.append(self._heard)
        self._thread = threading.Thread(target=self._think, name="network", daemon=True)
        self._thread.start()

    def _heard(self, _: Sight) -> None:
        self._fresh.set()

    def _think(self) -> None:
        while not self._ended:
            if not self._fresh.wait(0.1):
                continue
            self._fresh.clear()
            picture, began = self._eye.newest.picture, time.perf_counter()
            try:
                answer = self.model.look(picture.rgb)
            except Exception as fault:  # a picture of another size, say; without answers the guardian stops the car
                self.fault = " ".join(str(fault).split()) or type(fault).__name__
                continue
            self.fault = ""
            took = (time.perf_counter() - began) * 1000
            self.times.append(took)
            self.newest = PilotAnswer(answer, picture.number, picture.time, took)
            self._wake.set()

    def predict(self, rgb: np.ndarray) -> float:
        """The steering for a picture of a recording."""
        return self.model.look(rgb).steer

    def close(self) -> None:
        """Ends the thread."""
        self._ended = True
        self._eye.listeners.remove(self._heard)
        self._thread.join(5.0)


class RemotePilot:
    """A network on another computer (`drive --remote`), whose answers come through the page's server."""

    predict, fault = None, ""

    def __init__(self, eye: CarEye, wake: threading.Event):
        self.title, self.newest = "a network on another computer", None
        self._eye, self._wake = eye, wake

    def take(self, value: dict[str, Any]) -> None:
        """An answer came, checked by REMOTE. One to a picture that nobody remembers is too old to be of use."""
        taken = self._eye.moments.get(value["number"])
        if taken is None or (self.newest is not None and value["number"] <= self.newest.number):
            return
        answer = CarAnswer(*(value[name] for name in ("steer", "drive", "kind", "sign", "certain")))
        self.newest = PilotAnswer(answer, value["number"], taken, value["ms"])
        self._wake.set()

    def close(self) -> None:
        """The last answer is forgotten."""
        self.newest = None
