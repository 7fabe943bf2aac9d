"""How long one picture takes on this very machine, by part, and what rate that allows."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from envs.car import model as models
from envs.car.calibration import Calibration
from envs.car.camera import make_camera
from envs.car.link import GuardianLink
from envs.car.messages import CarCommand
from experiments.car.eye import CarEye

SHARE = 0.5  # share of a period that the work on a picture may take: the page and the system need theirs
COMMANDS = 200


def report(camera: Any, wires: Any, folder: Path | None, seconds: float) -> str:
    """The measurement as a table. The wheels stay neutral: commands are not armed."""
    eye = CarEye(make_camera(camera))
    eye.start()
    times: dict[str, list[float]] = {}
    with contextlib.closing(eye):
        if not eye.wait(10.0):
            raise ValueError(f"--camera {camera.kind}: {eye.fault or 'no picture came within 10 s'}")
        rgb = eye.newest.picture.rgb
        if folder is not None:
            times |= of_network(models.CarModel(folder), rgb, seconds / 2)
        times["picture for the recording (JPEG)"] = of_jpeg(rgb, min(seconds / 8, 1.0))
        # The guardian's own path is the same for every driver; the wires themselves are not measured.
        with GuardianLink(dataclasses.replace(wires, kind="sim", socket=None, stop_pin=None), Calibration()) as link:
            times["command to guardian and back"] = of_guardian(link)
        given, ages = of_camera(eye, seconds / 4)
        times["age of a picture when it is there"] = ages
    work = [name for name in times if name != "age of a picture when it is there"]
    total = sum(percentile(times[name], 99) for name in work)
    lines = [f"{platform.machine()}, {os.cpu_count()} cores; milliseconds", f"{'':36}{'median':>9}{'p99':>9}"]
    lines += [f"{n:36}{percentile(t, 50):9.2f}{percentile(t, 99):9.2f}" for n, t in times.items()]
    lines.append(f"the camera gives {given:.1f} pictures a second")
    rate = min(1000 * SHARE / total, 1000)
    lines.append(f"this machine can hold {rate:.0f} pictures a second (half of the time, by the p99 of every part)")
    return "\n".join(lines)


def percentile(times: list[float], share: float) -> float:
    """In ms, of times in s."""
    return float(np.percentile(times, share)) * 1000


def of_network(model: models.CarModel, rgb: np.ndarray, seconds: float) -> dict[str, list[float]]:
    """The parts of an answer."""
    found: dict[str, list[float]] = {"preprocessing": [], "network, trunk": [], "network, heads": []}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name, took in zip(found, models.timed(model, rgb), strict=True):
            found[name].append(took)
    return found


def of_jpeg(rgb: np.ndarray, seconds: float) -> list[float]:
    """Packing a picture."""
    found, image, end = [], Image.fromarray(rgb), time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.perf_counter()
        image.save(io.BytesIO(), "JPEG", quality=95)
        found.append(time.perf_counter() - began)
    return found


def of_guardian(link: GuardianLink) -> list[float]:
    """From a command to the status that answers it."""
    found = []
    for _ in range(COMMANDS):
        began = time.perf_counter()
        link.send(CarCommand(0, 0.0, 0.0, 0.0, 0, False, 0.0, 0.0, 0, 0, 0, 0, 1.0))
        while link.hear()["seq"] != link.seq:
            time.sleep(0.0001)
        found.append(time.perf_counter() - began)
    return found


def of_camera(eye: CarEye, seconds: float) -> tuple[float, list[float]]:
    """Pictures per second, and how old each was when it came, s."""
    ages: list[float] = []
    eye.listeners.append(lambda sight: ages.append(time.monotonic() - sight.picture.time))
    time.sleep(max(seconds, 1.0))
    return eye.rate, ages or [float("nan")]
