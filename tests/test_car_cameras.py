"""The toy car's cameras: a recording, the simulated car, Video4Linux, the Pi's own."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tubs import written

from envs.car import CarError, camera, v4l2
from envs.car.camera import CameraSettings, Picture, SimCamera, make_camera
from envs.car.driver import WORD


def test_a_recording_is_a_camera(tmp_path: Path) -> None:
    seen = make_camera(CameraSettings(f"tub:{written(tmp_path / 'd', 3)}", rate=50.0))
    seen.open()
    began = time.monotonic()
    pictures = [seen.read(1.0) for _ in range(7)]
    assert [p.number for p in pictures] == list(range(7)) and time.monotonic() - began > 0.11
    assert (pictures[0].rgb == pictures[3].rgb).all() and (pictures[0].rgb != pictures[1].rgb).any()
    seen.close()
    slow = make_camera(CameraSettings(f"tub:{tmp_path / 'd'}", rate=1.0))
    slow.open()
    assert slow.read(1.0).number == 0 and slow.read(0.0) is None  # the next is due in a second
    slow.close()


class Toy:
    """Stands in for the simulated car."""

    def __init__(self, track: str, seed: int):
        self.told, self.seconds = (0.0, 0.0), 0.0

    def apply(self, steer: float, throttle: float) -> None:
        self.told = (steer, throttle)

    def advance(self, seconds: float) -> None:
        self.seconds += seconds

    def picture(self) -> np.ndarray:
        return np.full((120, 160, 3), int(200 * self.told[1]), np.uint8)


def test_the_simulated_camera_drives_as_its_driver_says() -> None:
    seen = SimCamera(CameraSettings("sim", rate=50.0), make=Toy)
    seen.open()
    assert seen.read(1.0).rgb.max() == 0
    os.write(seen.socket, WORD.pack(0.0, 0.5, 0.1))
    os.write(seen.socket, WORD.pack(0.0, -0.5, 1.0))
    assert seen.read(1.0).rgb.max() == 200 and seen.car.told == (-0.5, 1.0)
    time.sleep(0.6)
    before = seen.car.seconds
    seen.read(1.0)
    assert seen.car.seconds - before <= 0.2001  # a pause is no leap
    seen.close()
    os.close(seen.socket)


def test_a_simulator_that_is_missing_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    class Finder:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "envs.car.simulator":
                raise ModuleNotFoundError("No module named 'numba'", name="numba")

    monkeypatch.delitem(sys.modules, "envs.car.simulator", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    seen = SimCamera(CameraSettings("sim"))
    with pytest.raises(CarError, match="needs numba and gymnasium, which are not here; `--camera tub:PATH"):
        seen.open()
    os.close(seen.socket)


class Kernel:
    """What Linux answers a program that reads a camera: two full buffers at each look, the second one newer."""

    FORMATS = {"YUYV": v4l2.fourcc("YUYV"), "MJPG": v4l2.fourcc("MJPG")}

    def __init__(self, form: str = "YUYV", busy: bool = False, able: int = 0x85200001):
        self.form, self.busy, self.able, self.flags = form, busy, able, v4l2.MONOTONIC
        self.queued: list[int] = []
        self.maps: list[bytearray] = []
        self.full: list[int] = []
        self.on, self.number = False, 0

    def __call__(self, _: int, request: int, block: Any) -> None:
        if request == v4l2.QUERYCAP:
            struct.pack_into("<II", block, 84, self.able, 0x05200001)
        elif request == v4l2.SET_FORMAT:
            struct.pack_into("<II", block, 8, 32, 24)  # the nearest that it has
            struct.pack_into("<I", block, 16, self.FORMATS[self.form])
            struct.pack_into("<I", block, 24, 64)
        elif request == v4l2.REQUEST_BUFFERS and self.busy:
            raise OSError(errno.EBUSY, "Device or resource busy")
        elif request == v4l2.QUERY_BUFFER:
            index = struct.unpack_from("<I", block)[0]
            struct.pack_into("<Q", block, 64, 4096 * index)
            struct.pack_into("<I", block, 72, 4096)
        elif request == v4l2.QUEUE:
            self.queued.append(struct.unpack_from("<I", block)[0])
        elif request == v4l2.DEQUEUE:
            if not self.full:
                raise BlockingIOError(errno.EAGAIN, "nothing")
            index, moment = self.full.pop(0), time.monotonic()
            self.queued.remove(index)
            struct.pack_into("<IIII", block, 0, index, 1, 32 * 24 * 2, self.flags)
            struct.pack_into("<qq", block, 24, int(moment), int(moment % 1 * 1e6))
        elif request == v4l2.STREAM_ON:
            self.on = True
        elif request == v4l2.STREAM_OFF:
            self.on = False

    def map(self, _: int, length: int, offset: int) -> Any:
        assert (length, offset) == (4096, 4096 * len(self.maps))

        class Memory(bytearray):
            def close(self) -> None:
                self.closed = True

        self.maps.append(Memory(length))
        return self.maps[-1]


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """A file that is always ready, as a full camera is."""
    path = tmp_path / "video0"
    path.write_bytes(b"")
    return path


def test_the_newest_of_a_cameras_buffers_is_taken(device: Path) -> None:
    kernel = Kernel()
    seen = v4l2.V4l2Camera(CameraSettings("v4l2", 32, 24), str(device), kernel, kernel.map)
    seen.open()
    assert kernel.on and kernel.queued == [0, 1, 2, 3]
    kernel.maps[0][:1536] = bytes([16, 128] * 768)  # black
    kernel.maps[1][:1536] = bytes([235, 128] * 768)  # white
    kernel.full = [0, 1]
    picture = seen.read(1.0)
    assert picture.rgb.shape == (24, 32, 3) and picture.rgb.min() == 255
    assert 0 <= time.monotonic() - picture.time < 5 and sorted(kernel.queued) == [0, 1, 2, 3]
    assert seen.read(1.0) is None
    kernel.full, kernel.flags = [0], v4l2.MONOTONIC | 0x40  # V4L2_BUF_FLAG_ERROR
    assert seen.read(1.0) is None and sorted(kernel.queued) == [0, 1, 2, 3]
    seen.close()
    seen.close()
    assert not kernel.on and all(memory.closed for memory in kernel.maps)


def test_colours_of_yuyv() -> None:
    """Against the definition of ITU-R BT.601: Y' 16..235, Cb and Cr 16..240."""
    rng = np.random.default_rng(3)
    rgb = np.repeat(rng.integers(0, 256, (6, 4, 3)), 2, 1)  # pairs of pixels share their colour
    share = rgb / 255.0
    luma = share @ [0.299, 0.587, 0.114]
    y = np.rint(16 + 219 * luma)
    u = np.rint(128 + 224 * (share[..., 2] - luma) / 1.772)
    v = np.rint(128 + 224 * (share[..., 0] - luma) / 1.402)
    rows = np.stack([y[:, ::2], u[:, ::2], y[:, 1::2], v[:, ::2]], -1).reshape(6, -1).astype(np.uint8)
    assert np.abs(v4l2.rgb_of_yuyv(rows).astype(int) - rgb).max() <= 3


def test_the_structures_are_those_of_linux() -> None:
    """Sizes and numbers as <linux/videodev2.h> has them on 64 bit."""
    layouts = (v4l2.CAPABILITY, v4l2.FORMAT, v4l2.REQUEST, v4l2.BUFFER, v4l2.PARAMETERS)
    assert [layout.size for layout in layouts] == [104, 208, 20, 88, 204]
    assert (v4l2.QUERYCAP, v4l2.SET_FORMAT, v4l2.REQUEST_BUFFERS) == (0x80685600, 0xC0D05605, 0xC0145608)
    assert (v4l2.QUERY_BUFFER, v4l2.QUEUE, v4l2.DEQUEUE) == (0xC0585609, 0xC058560F, 0xC0585611)
    assert (v4l2.STREAM_ON, v4l2.STREAM_OFF, v4l2.SET_PARAMETERS) == (0x40045612, 0x40045613, 0xC0CC5616)
    assert ctypes.sizeof(ctypes.c_void_p) == 8


@pytest.mark.parametrize(
    ("kernel", "words"),
    [(Kernel(busy=True), "another program has the camera"), (Kernel(able=0x80000000), "gives no stream"),
     (Kernel(able=0x1), "gives no stream")],
)  # fmt: skip
def test_a_camera_that_cannot_be_is_one_sentence(device: Path, kernel: Kernel, words: str) -> None:
    if words == "gives no stream" and kernel.able & 0x80000000:
        kernel.able = 0x04000000
    seen = v4l2.V4l2Camera(CameraSettings("v4l2", 32, 24), str(device), kernel, kernel.map)
    with pytest.raises(CarError, match=words):
        seen.open()


def test_no_camera_at_all(tmp_path: Path, device: Path) -> None:
    with pytest.raises(CarError, match="No such file or directory; is the camera plugged in"):
        make_camera(CameraSettings(f"v4l2:{tmp_path / 'video9'}")).open()
    with pytest.raises(CarError, match="is no camera"):
        make_camera(CameraSettings(f"v4l2:{device}")).open()
    if "picamera2" not in sys.modules:
        with pytest.raises(CarError, match="needs the package picamera2"):
            make_camera(CameraSettings("picamera2")).open()


def test_a_picture_that_comes_late_is_old_and_another_clock_is_not_believed() -> None:
    exposed = camera.Exposures()
    assert exposed(5.0, 100.0) == 100.0 == exposed(None, 100.0)  # another clock, or none
    assert exposed(99.9, 100.0) == 99.9
    assert exposed(100.0, 102.5) == 100.0  # the camera hung for more than a second
    assert exposed(103.1, 103.0) == 103.0 == exposed(None, 103.0)


class Request:
    """Of picamera2, one picture."""

    def __init__(self, released: list):
        self.released = released

    def make_array(self, name: str) -> np.ndarray:
        return np.full((120, 160, 3), 7, np.uint8)

    def get_metadata(self) -> dict:
        return {"SensorTimestamp": int((time.monotonic() - 0.02) * 1e9)}

    def release(self) -> None:
        self.released.append(1)


def test_the_pis_camera_through_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    released: list[int] = []
    asked: list[str] = []

    class Picamera2:
        def create_video_configuration(self, main: dict, controls: dict) -> dict:
            assert main == {"size": (160, 120), "format": "BGR888"} and controls == {"FrameRate": 20.0}
            return {}

        configure = start = close = lambda self, *_: None

        def capture_request(self, wait: bool) -> str:
            asked.append(f"job {len(asked)}")
            return asked[-1]

        def wait(self, job: str, timeout: float) -> Request:
            if timeout == 0.0:
                raise TimeoutError
            return Request(released)

    monkeypatch.setitem(sys.modules, "picamera2", types.SimpleNamespace(Picamera2=Picamera2))
    seen = make_camera(CameraSettings("picamera2"))
    seen.open()
    picture = seen.read(1.0)
    assert isinstance(picture, Picture) and picture.rgb.max() == 7 and 0.01 < time.monotonic() - picture.time < 1.0
    assert seen.read(0.0) is None and seen.read(0.0) is None and released == [1]
    assert seen.read(1.0).number == 1 and released == [1, 1] and len(asked) == 2  # none is asked for and never taken

    def nothing() -> None:
        raise IndexError("list index out of range")

    monkeypatch.setitem(sys.modules, "picamera2", types.SimpleNamespace(Picamera2=nothing))
    with pytest.raises(CarError, match="there is none; look at its cable"):
        make_camera(CameraSettings("picamera2")).open()
