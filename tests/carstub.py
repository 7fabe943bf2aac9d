"""A car's page and depot on a real server, with a loop that does what a test says."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from envs.car import CarError
from experiments.car import depot, garage
from experiments.car.library import Shelf
from experiments.car.page import CarPage
from experiments.web.server import Server


class CarStub:
    """See the module. driven: somebody drives."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.driven, self.recorder = False, SimpleNamespace(on=False, busy=False)
        self.link, self.pilot = SimpleNamespace(status={"state": "disarmed"}), None
        self.closed: list[Any] = []
        self.server = Server()
        self.page = CarPage(self.server, Shelf(folder / "tubs", self.server), threading.Event(), dict)
        self.garage = garage.Garage(folder / "networks", lambda: (120, 160))
        self.page.depot = depot.Depot("red", self, self.page.shelf, self.garage, self._pilot)
        self.address = self.server.start(self.page.page)

    def _pilot(self, model: Any) -> Any:
        pilot = SimpleNamespace(model=model, title=model.title if model else "elsewhere")
        pilot.close = lambda: self.closed.append(pilot)
        return pilot

    def exchange(self, pilot: Any) -> Any:
        if self.driven:
            raise CarError("somebody drives the car: first disarm it")
        before, self.pilot = self.pilot, pilot
        return before


def same(one: Path, other: Path) -> bool:
    names = [p.relative_to(one).as_posix() for p in one.rglob("*") if p.is_file() and p.name != "lock"]
    return bool(names) and all((one / name).read_bytes() == (other / name).read_bytes() for name in names)
