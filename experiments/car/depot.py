"""What another computer fetches from the car and brings to it: recordings go out, networks come in.

Everything is refused while somebody drives, so that nothing of it can make a picture or a command late. Who asks has
the token of the page, like everybody else; `experiments.car.client` is the other half.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from envs.car import CarError
from envs.car.model import LARGEST, CarModel
from envs.recordings.tub import TubError
from envs.recordings.tub_files import content
from envs.text import shown
from experiments.car.garage import Garage
from experiments.car.library import Shelf
from experiments.car.loop import BUSY, DriveLoop
from experiments.car.pilot import CarPilot

FORMAT = 1  # version of what the two halves say to each other
CONTROL = r"manifest\.json|edits\.jsonl|catalog_\d+\.catalog(_manifest)?"
PARTS = re.compile(rf"{CONTROL}|images/[A-Za-z0-9_-][A-Za-z0-9_.-]{{0,200}}\.(jpe?g|png)", re.I)  # files of a recording
JSON = "application/json"


class Depot:
    """make_pilot: what answers pictures from now on, of a network or, where it is None, of one elsewhere."""

    def __init__(
        self, name: str, loop: DriveLoop, shelf: Shelf, garage: Garage,
        make_pilot: Callable[[CarModel | None], CarPilot],
    ):  # fmt: skip
        self.name, self.loop, self.shelf, self.garage, self.make_pilot = name, loop, shelf, garage, make_pilot
        self._one = threading.Lock()  # networks come one after the other

    def get(self, path: str, query: Mapping[str, str]) -> tuple[bytes, str] | None:
        """What GET gives; None where there is nothing of that name. Raises ValueError with a sentence."""
        if path == "car":
            return json.dumps(self.about()).encode(), JSON
        if path not in ("parts", "part"):
            return None
        self._check_idle()
        folder = self.shelf.path(query.get("name", ""))
        if path == "parts":
            return json.dumps(parts(folder)).encode(), JSON
        part = query.get("part", "")
        if not PARTS.fullmatch(part):
            raise CarError(f"a recording has no part {shown(part)}")
        try:
            return content(folder, part, LARGEST), "application/octet-stream"
        except FileNotFoundError:
            return None

    def put(self, path: str, query: Mapping[str, str], body: bytes) -> tuple[bytes, str] | None:
        """What PUT does; as `get`."""
        if path not in ("network", "active"):
            return None
        if not self._one.acquire(blocking=False):
            raise CarError("another network is just coming")
        try:
            self._check_idle()
            name = query.get("name", "")
            if path == "network":
                model: CarModel | None = self.garage.received(name, body)
            else:
                model = self.garage.opened(name) if name else None
            self._drive_with(model)
        except OSError as fault:
            raise CarError(f"it could not be kept on the car: {fault.strerror}") from None
        finally:
            self._one.release()
        return json.dumps(self.about()).encode(), JSON

    def about(self) -> dict[str, Any]:
        """The car, its networks and, while nobody drives, its recordings."""
        driven = self.loop.driven
        shape = self.garage.shape()
        return {
            "format": FORMAT, "name": self.name, "driven": driven, "state": self.loop.link.status["state"],
            "network": self.loop.pilot.title if self.loop.pilot else None, "active": self.garage.active,
            "networks": self.garage.listed(), "recordings": None if driven else self.shelf.listed(),
            "recording": self.loop.recorder.on, "camera": None if shape is None else [shape[1], shape[0]],
        }  # fmt: skip

    def _check_idle(self) -> None:
        if self.loop.driven:
            raise CarError(BUSY)
        if self.loop.recorder.busy:
            raise CarError("the car is recording: first end that")

    def _drive_with(self, model: CarModel | None) -> None:
        """The pilot before goes on where the loop refuses the new one."""
        pilot = self.make_pilot(model)
        try:
            before = self.loop.exchange(pilot)
        except CarError:
            pilot.close()
            raise
        if before is not None:
            before.close()
        self.garage.choose(model.folder.name if model else None)
        self.garage.tidy()


def parts(folder: Path) -> list[dict[str, Any]]:
    """Every file of a recording with its size, in the order in which they must arrive: manifest.json comes last."""
    found = []
    for place, names in (("images", True), ("", False)):
        with os.scandir(folder / place if names else folder) as entries:
            for entry in entries:
                name = f"images/{entry.name}" if names else entry.name
                if PARTS.fullmatch(name) and entry.is_file(follow_symlinks=False):
                    found.append({"part": name, "bytes": entry.stat(follow_symlinks=False).st_size})
    if not any(one["part"] == "manifest.json" for one in found):
        raise TubError(f"{folder.name} has no manifest.json")
    return sorted(found, key=lambda one: (not one["part"].startswith("images/"), one["part"] == "manifest.json"))
