"""The camera in a thread of its own: the newest picture, and word to whoever waits for one."""

from __future__ import annotations

import threading
import time
import zlib
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from envs.car.camera import CarCamera, Picture
from envs.recordings.tub import TubError
from experiments.cli import UserError

WAIT = 0.1  # time of one look at the camera, s
KEPT = 64  # pictures whose moments are remembered: a remote network answers late


class Sight(NamedTuple):
    """A picture, and what it shows as one number."""

    picture: Picture
    content: int  # checksum of the pixels


class CarEye:
    """Opens the camera at once (UserError where it cannot be opened) and reads it until it is closed."""

    def __init__(self, camera: CarCamera):
        self.camera, self.newest, self.fault = camera, None, ""
        self.listeners: list[Callable[[Sight], None]] = []  # called in the camera's thread; they must not wait
        self.moments: dict[int, float] = {}  # number of a picture -> when it was taken
        self.times: deque[float] = deque(maxlen=40)  # moments of the last pictures
        self._ended = threading.Event()
        try:
            camera.open()
        except (ValueError, TubError) as fault:
            raise UserError(str(fault)) from fault
        self._thread = threading.Thread(target=self._look, name="camera", daemon=True)

    def start(self) -> None:
        """Begins to read."""
        self._thread.start()

    def _look(self) -> None:
        try:
            while not self._ended.is_set():
                picture = self.camera.read(WAIT)
                if picture is not None:
                    self._take(picture)
        except Exception as fault:  # whatever a device does: the drive stops, and says why
            self.fault = " ".join(str(fault).split()) or type(fault).__name__
        finally:
            self.camera.close()

    def _take(self, picture: Picture) -> None:
        sight = Sight(picture, zlib.crc32(picture.rgb.tobytes()))
        self.moments[picture.number] = picture.time
        self.moments.pop(picture.number - KEPT, None)
        self.times.append(picture.time)
        self.newest = sight
        for listener in list(self.listeners):
            listener(sight)

    @property
    def rate(self) -> float:
        """Pictures per second, of the last ones."""
        times = list(self.times)
        return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else 0.0

    def wait(self, patience: float) -> bool:
        """Has there been a picture within so many seconds?"""
        end = time.monotonic() + patience
        while self.newest is None and not self.fault and time.monotonic() < end:
            time.sleep(0.01)
        return self.newest is not None

    def close(self) -> None:
        """Ends the thread and gives the camera back."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(5.0)
        elif self._thread.ident is None:  # it was never started, and closes nothing
            self.camera.close()
