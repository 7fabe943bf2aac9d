"""Cameras behind one small interface: the Pi's own, USB cameras, a recording, and the simulated car's."""

from __future__ import annotations

import dataclasses
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from envs.car import CarError
from envs.car.driver import WORD

LIGHT = "`--camera tub:PATH --driver sim` runs without them"


class Picture(NamedTuple):
    """One picture of a camera."""

    rgb: np.ndarray  # uint8 [H, W, 3]
    time: float  # moment of the exposure on the clock of time.monotonic, s
    number: int  # pictures of this camera so far, from 0; a number that is missing is a picture that was lost


class CarCamera(Protocol):
    """What gives pictures. The methods are called by one thread, in this order."""

    rate: float  # pictures per second that it is asked for

    def open(self) -> None:
        """Starts the camera. Raises CarError where it is not there, or busy."""

    def read(self, timeout: float) -> Picture | None:
        """The newest picture that was not given before; None where none came within `timeout` seconds.

        Raises CarError where the camera has gone for good.
        """

    def close(self) -> None:
        """Stops the camera; may be called twice."""


@dataclasses.dataclass(frozen=True)
class CameraSettings:
    """What is asked of a camera. Raises CarError."""

    kind: str = "sim"  # picamera2, v4l2 (or v4l2:/dev/videoN), tub:PATH, sim
    width: int = 160  # pixels
    height: int = 120  # pixels
    rate: float = 20.0  # pictures per second
    track: str = "test#0"  # sim: what it drives on
    seed: int = 0  # sim: seed of the track's look

    def __post_init__(self) -> None:
        name, _, rest = self.kind.partition(":")
        if name not in OPENERS or (name == "tub" and not rest) or (name in ("picamera2", "sim") and rest):
            raise CarError(f"--camera {self.kind}: must be picamera2, v4l2, v4l2:/dev/videoN, tub:PATH or sim")
        if not (16 <= self.width <= 1920 and 16 <= self.height <= 1080):
            raise CarError(f"--size {self.width}x{self.height}: must lie in 16x16..1920x1080")
        if not 1.0 <= self.rate <= 100.0:
            raise CarError(f"--rate {self.rate:g}: must lie in 1..100")


def make_camera(settings: CameraSettings) -> CarCamera:
    """The camera, not open yet."""
    name, _, rest = settings.kind.partition(":")
    return OPENERS[name](settings, rest)


class Ticks:
    """A clock that gives the moments of pictures, and lets go of those that are over."""

    def __init__(self, rate: float):
        self.period = 1.0 / rate
        self._next = time.monotonic()

    def wait(self, timeout: float) -> bool:
        """Sleeps until the next moment, at most `timeout` seconds; has it come?"""
        rest = self._next - time.monotonic()
        if rest > timeout:
            time.sleep(timeout)
            return False
        if rest > 0:
            time.sleep(rest)
        self._next = max(self._next + self.period, time.monotonic())
        return True


class Exposures:
    """What a camera says of the moments of its pictures, on the clock of time.monotonic.

    Its clock is believed from the first picture on that is of the last second. Then an old picture is old; before that,
    and where the camera's clock is another one, a picture counts as taken when it came.
    """

    def __init__(self) -> None:
        self.believed = False

    def __call__(self, moment: float | None, now: float) -> float:
        """The moment of an exposure, s. moment: as the camera tells it; None where it tells nothing."""
        if moment is None:
            return now
        self.believed = self.believed or now - 1.0 <= moment <= now
        return min(moment, now) if self.believed else now


class TubCamera:
    """The pictures of a recording, again and again, at their rate."""

    def __init__(self, settings: CameraSettings, path: str):
        self.path, self.rate = Path(path), settings.rate
        self._number = -1
        self._tub: Any = None

    def open(self) -> None:
        """Reads the recording. Raises TubError, which is one sentence, where it is none."""
        from envs.recordings.tub import Tub

        self._tub = Tub(self.path)
        self._ticks = Ticks(self.rate)

    def read(self, timeout: float) -> Picture | None:
        """The next record's picture, when its time has come."""
        from envs.recordings.tub import TubError

        if not self._ticks.wait(timeout):
            return None
        self._number += 1
        try:
            return Picture(self._tub.image(self._number % len(self._tub)), time.monotonic(), self._number)
        except TubError as fault:
            raise CarError(str(fault)) from None

    def close(self) -> None:
        """Forgets the recording."""
        self._tub = None


class SimCamera:
    """The simulated car's: it moves as the driver `sim` says, which speaks to `socket`, and time is the clock's."""

    def __init__(self, settings: CameraSettings, _: str = "", make: Callable[..., Any] | None = None):
        self.settings, self.rate = settings, settings.rate
        self._make, self._number = make, -1
        self.car: Any = None
        self._heard, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._heard.setblocking(False)
        self.socket = theirs.detach()  # file descriptor for the driver

    def open(self) -> None:
        """Builds the track. Raises CarError where the simulator's libraries are missing."""
        make = self._make
        if make is None:
            try:
                from envs.car.simulator import SimulatedCar as make
            except ImportError as fault:
                if fault.name is None or fault.name.split(".")[0] not in ("numba", "gymnasium", "scipy"):
                    raise
                raise CarError(f"--camera sim needs numba and gymnasium, which are not here; {LIGHT}") from None
        self.car = make(self.settings.track, self.settings.seed)
        self.car.advance(1.0 / self.rate)  # whatever has to be compiled is compiled now
        self.car.picture()
        self._ticks, self._then = Ticks(self.rate), time.monotonic()

    def read(self, timeout: float) -> Picture | None:
        """Lets the car drive on until now, and looks."""
        if not self._ticks.wait(timeout):
            return None
        self._listen()
        now = time.monotonic()
        # A computer that was busy for long does not let the car jump.
        self.car.advance(min(now - self._then, 0.2))
        self._then = now
        self._number += 1
        return Picture(self.car.picture(), now, self._number)

    def _listen(self) -> None:
        while True:
            try:
                data = self._heard.recv(64)
            except BlockingIOError:
                return
            if len(data) == WORD.size:
                _, steer, throttle = WORD.unpack(data)
                self.car.apply(steer, throttle)

    def close(self) -> None:
        """Ends the simulation."""
        if self.car is not None and hasattr(self.car, "close"):
            self.car.close()
        self.car = None
        self._heard.close()


class PiCamera:
    """The camera at the Pi's ribbon cable, by picamera2, which Raspberry Pi OS brings."""

    def __init__(self, settings: CameraSettings, _: str = ""):
        self.settings, self.rate = settings, settings.rate
        self._camera: Any = None
        self._exposed = Exposures()
        self._job: Any = None  # request for a picture that has not come yet
        self._number = -1

    def open(self) -> None:
        """Starts it with a fixed rate, so that darkness makes pictures noisy instead of late."""
        try:
            from picamera2 import Picamera2
        except ImportError:
            told = "apt install python3-picamera2, and a virtual environment with --system-site-packages"
            raise CarError(f"--camera picamera2 needs the package picamera2: {told}") from None
        settings = self.settings
        try:
            self._camera = Picamera2()
            form = {"size": (settings.width, settings.height), "format": "BGR888"}  # picamera2's name for RGB arrays
            wanted = self._camera.create_video_configuration(main=form, controls={"FrameRate": settings.rate})
            self._camera.configure(wanted)
            self._camera.start()
        except Exception as fault:  # IndexError without a camera, RuntimeError for a busy one, and libcamera's own
            self.close()
            told = "there is none; look at its cable" if isinstance(fault, IndexError) else " ".join(str(fault).split())
            raise CarError(f"--camera picamera2: the camera cannot be opened: {told}") from None

    def read(self, timeout: float) -> Picture | None:
        """Waits for the next picture; its age is counted from the exposure, which libcamera tells."""
        # One request at a time: what a request that nobody waits for gets is never given back to the camera.
        self._job = self._job or self._camera.capture_request(wait=False)
        try:
            request = self._camera.wait(self._job, timeout=timeout)
        except TimeoutError:
            return None
        except Exception as fault:
            raise CarError(f"the camera has gone: {' '.join(str(fault).split())}") from None
        self._job = None
        try:
            rgb, told = request.make_array("main"), request.get_metadata()
        finally:
            request.release()
        self._number += 1
        at = told.get("SensorTimestamp")  # ns
        moment = at * 1e-9 if isinstance(at, int | float) else None
        return Picture(rgb, self._exposed(moment, time.monotonic()), self._number)

    def close(self) -> None:
        """Gives the camera back."""
        if self._camera is not None:
            self._camera.close()
        self._camera = self._job = None


def _v4l2(settings: CameraSettings, path: str) -> CarCamera:
    from envs.car.v4l2 import V4l2Camera

    return V4l2Camera(settings, path or "/dev/video0")


OPENERS: dict[str, Callable[..., CarCamera]] = {
    "picamera2": PiCamera, "v4l2": _v4l2, "tub": TubCamera, "sim": SimCamera,
}  # fmt: skip
