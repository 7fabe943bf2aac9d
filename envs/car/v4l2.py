"""USB cameras by Video4Linux 2, without a library: requests and structures after <linux/videodev2.h> (64 bit).

Two formats are read: MJPG, which Pillow decodes, and YUYV. Four buffers are mapped; of those that are full the newest
is taken, so that no picture is older than it must be.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import mmap
import os
import select
import struct
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from envs.car import CarError
from envs.car.camera import CameraSettings, Exposures, Picture

CAPABILITY = struct.Struct("16s32s32sIII12x")  # driver, card, bus, version, capabilities, capabilities of the device
FORMAT = struct.Struct("=I4xIIIIIIII168x")  # type, width, height, pixels, field, bytes a line, bytes, colours, private
REQUEST = struct.Struct("=IIIII")  # count, type, memory, capabilities, flags
BUFFER = struct.Struct("=IIIII4xqq16xIIQI4xI4x")  # index, type, used, flags, field, time, number, ...
PARAMETERS = struct.Struct("=IIIIIII176x")  # type, capability, mode, seconds, in so many, extended, buffers
CAPTURE, MMAP = 1, 1  # V4L2_BUF_TYPE_VIDEO_CAPTURE, V4L2_MEMORY_MMAP
CAN_CAPTURE, CAN_STREAM, TELLS_DEVICE = 0x1, 0x04000000, 0x80000000  # bits of the capabilities
DAMAGED = 0x40  # bit of a buffer's flags: what is in it is not whole
MONOTONIC = 0x2000  # bit of a buffer's flags: its time is that of CLOCK_MONOTONIC
COUNT = 4  # buffers


def _number(direction: int, size: int, number: int) -> int:
    """The number of an ioctl: _IOR ('V', number, size) and its like."""
    return direction << 30 | size << 16 | ord("V") << 8 | number


QUERYCAP, SET_FORMAT = _number(2, CAPABILITY.size, 0), _number(3, FORMAT.size, 5)
REQUEST_BUFFERS, QUERY_BUFFER = _number(3, REQUEST.size, 8), _number(3, BUFFER.size, 9)
QUEUE, DEQUEUE = _number(3, BUFFER.size, 15), _number(3, BUFFER.size, 17)
STREAM_ON, STREAM_OFF = _number(1, 4, 18), _number(1, 4, 19)
SET_PARAMETERS = _number(3, PARAMETERS.size, 22)


def fourcc(text: str) -> int:
    """The number of a format of pixels."""
    return int.from_bytes(text.encode(), "little")


class V4l2Camera:
    """One device file. ioctl, map_it: stand in for the kernel (tests)."""

    def __init__(
        self, settings: CameraSettings, path: str, ioctl: Callable[..., Any] = fcntl.ioctl,
        map_it: Callable[..., Any] = mmap.mmap,
    ):  # fmt: skip
        self.settings, self.path, self.rate = settings, path, settings.rate
        self._ioctl, self._map = ioctl, map_it
        self._file, self._maps, self._number = -1, [], -1
        self._exposed = Exposures()

    def open(self) -> None:
        """Raises CarError where there is no camera, or another program has it."""
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as fault:
            raise CarError(f"--camera v4l2: {self.path}: {fault.strerror}; is the camera plugged in?") from None
        try:
            self._prepare()
        except OSError as fault:
            self.close()
            busy = "another program has the camera" if fault.errno == errno.EBUSY else fault.strerror
            raise CarError(f"--camera v4l2: {self.path}: {busy}") from None
        except CarError:
            self.close()
            raise

    def _ask(self, request: int, layout: struct.Struct, *values: Any) -> tuple[Any, ...]:
        block = bytearray(layout.pack(*values))
        self._ioctl(self._file, request, block)
        return layout.unpack(block)

    def _prepare(self) -> None:
        try:
            *_, able, device = self._ask(QUERYCAP, CAPABILITY, b"", b"", b"", 0, 0, 0)
        except OSError as fault:
            if fault.errno not in (errno.ENOTTY, errno.ENOSYS):  # the second one is an emulator's
                raise
            raise CarError(f"--camera v4l2: {self.path} is no camera") from None
        able = device if able & TELLS_DEVICE else able
        if not (able & CAN_CAPTURE and able & CAN_STREAM):
            raise CarError(f"--camera v4l2: {self.path} gives no stream of pictures; try /dev/video0, 1, 2, ...")
        self._choose_format()
        with contextlib.suppress(OSError):  # many cameras have one rate
            hundredths = round(100 * self.settings.rate)
            self._ask(SET_PARAMETERS, PARAMETERS, CAPTURE, 0, 0, 100, hundredths, 0, 0)
        count = self._ask(REQUEST_BUFFERS, REQUEST, COUNT, CAPTURE, MMAP, 0, 0)[0]
        if count < 2:
            raise CarError(f"--camera v4l2: {self.path} has no memory for pictures")
        for index in range(count):
            told = self._buffer(QUERY_BUFFER, index)
            self._maps.append(self._map(self._file, told[10], offset=told[9]))
            self._buffer(QUEUE, index)
        self._ioctl(self._file, STREAM_ON, struct.pack("i", CAPTURE))

    def _choose_format(self) -> None:
        wanted = self.settings.width, self.settings.height
        for name in ("YUYV", "MJPG"):
            told = self._ask(SET_FORMAT, FORMAT, CAPTURE, *wanted, fourcc(name), 1, 0, 0, 0, 0)
            if told[3] == fourcc(name):
                self.format, self.width, self.height, self.line = name, told[1], told[2], told[5]
                return
        raise CarError(f"--camera v4l2: {self.path} gives neither YUYV nor MJPG")

    def _buffer(self, request: int, index: int = 0) -> tuple[Any, ...]:
        # index, type, used, flags, field, s, us, number, memory, offset, length, request
        told = self._ask(request, BUFFER, index, CAPTURE, 0, 0, 0, 0, 0, 0, MMAP, 0, 0, 0)
        return told[:11]

    def read(self, timeout: float) -> Picture | None:
        """The newest full buffer; those before it go back unread."""
        if not select.select([self._file], [], [], timeout)[0]:
            return None
        newest = None
        while True:
            try:
                told = self._buffer(DEQUEUE)
            except BlockingIOError:
                break
            except OSError as fault:
                raise CarError(f"the camera {self.path} has gone: {fault.strerror}") from None
            if newest is not None:
                self._buffer(QUEUE, newest[0])
            newest = told
        if newest is None:
            return None
        data = bytes(self._maps[newest[0]][: newest[2]])
        self._buffer(QUEUE, newest[0])
        rgb = None if newest[3] & DAMAGED else self._decoded(data)
        if rgb is None:  # a torn picture, as cables make them
            return None
        self._number += 1
        moment = newest[5] + newest[6] * 1e-6 if newest[3] & MONOTONIC else None
        return Picture(rgb, self._exposed(moment, time.monotonic()), self._number)

    def _decoded(self, data: bytes) -> np.ndarray | None:
        if self.format == "YUYV":
            if len(data) < self.line * self.height:
                return None
            rows = np.frombuffer(data, np.uint8, self.line * self.height).reshape(self.height, self.line)
            return rgb_of_yuyv(rows[:, : 2 * self.width])
        from PIL import Image

        try:
            return np.asarray(Image.open(io.BytesIO(data), formats=("JPEG",)).convert("RGB"))
        except (OSError, ValueError, SyntaxError):
            return None

    def close(self) -> None:
        """Stops the stream and gives the device back."""
        if self._file < 0:
            return
        with contextlib.suppress(OSError):  # unplugged
            self._ioctl(self._file, STREAM_OFF, struct.pack("i", CAPTURE))
        for each in self._maps:
            each.close()
        os.close(self._file)
        self._file, self._maps = -1, []


def rgb_of_yuyv(rows: np.ndarray) -> np.ndarray:
    """YUYV, uint8 [H, 2 W] -> RGB, uint8 [H, W, 3]; ITU-R BT.601, limited range, as cameras give it."""
    pairs = rows.reshape(rows.shape[0], -1, 4).astype(np.float32)
    luma = 1.164383 * (pairs[..., [0, 2]] - 16.0)
    blue, red = pairs[..., 1:2] - 128.0, pairs[..., 3:4] - 128.0
    rgb = np.stack([luma + 1.596027 * red, luma - 0.391762 * blue - 0.812968 * red, luma + 2.017232 * blue], -1)
    return np.clip(rgb + 0.5, 0, 255).astype(np.uint8).reshape(rows.shape[0], -1, 3)
