"""The page of `drive`: the newest picture, hands that hold the controls, and requests that the loop works off."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol

import numpy as np

from envs.car.model import LARGEST
from experiments.car import library
from experiments.car.modes import MODES, CarHands
from experiments.car.pilot import REMOTE
from experiments.web.page import Client, Message
from experiments.web.server import Server
from experiments.web.values import command_of, flag, items, nothing, number, record, text, whole

FOLDER = Path(__file__).parents[1] / "web" / "car"
PULSE = number(500, 2500)
CALIBRATION = record(
    left=PULSE, centre=PULSE, right=PULSE, stopped=PULSE, forward=PULSE, backward=PULSE, least=number(0, 0.5),
    speeds=items(items(number(0, 100), most=2, least=2), most=32, least=2),
)  # fmt: skip
COMMANDS = {
    "hands": record(n=whole(0, 2**31), steer=number(-1, 1), throttle=number(-1, 1)),
    "arm": nothing,
    "disarm": nothing,
    "stop": text(20, ("page", "key")),
    "leave": text(20, ("hidden", "gamepad")),
    "mode": text(20, MODES),
    "cap": number(0, 1),
    "record": flag,
    "calibrate": CALIBRATION,
    "save": CALIBRATION,
    "open": text(200),
    "pilot": REMOTE,
}  # fmt: skip


class Files(Protocol):
    """What is served beside the page (`experiments.car.depot`)."""

    def get(self, path: str, query: Mapping[str, str]) -> tuple[bytes, str] | None:
        """The answer to GET."""

    def put(self, path: str, query: Mapping[str, str], body: bytes) -> tuple[bytes, str] | None:
        """The answer to PUT."""


class Request(NamedTuple):
    """What a browser asks for."""

    client: Client
    name: str
    value: Any


class CarPage:
    """One page of `server`. wake: is set whenever something came that the loop should look at."""

    def __init__(
        self, server: Server, shelf: library.Shelf, wake: threading.Event, calibration: Callable[[], dict[str, Any]]
    ):
        self.server, self.shelf, self.wake, self._calibration = server, shelf, wake, calibration
        self.requests: SimpleQueue[Request] = SimpleQueue()
        self.hands: dict[Client, CarHands] = {}  # controls that the person at each browser holds
        self.remote: Callable[[dict[str, Any]], None] | None = None  # takes answers of a network that is elsewhere
        self.depot: Files | None = None  # files for another computer, once the drive has begun
        self.page = server.add_page(
            "drive", FOLDER, title="Drive", on_message=self._heard, on_open=self._opened, on_get=self._get
        )
        self.page.take_files(self._put, LARGEST + 2**16)

    def _opened(self, client: Client) -> None:
        client.send({"type": "modes", "modes": MODES, "you": id(client)})

    def _heard(self, client: Client, message: Message) -> None:
        try:
            name, value = command_of(COMMANDS, message)
        except ValueError:
            self._ask(Request(client, "wrong", message.get("name")))
            raise
        if name == "hands":
            before = self.hands.get(client)
            if before is not None and value["n"] <= before.number:
                return  # an old one, on a way that does not keep the order
            self.hands[client] = CarHands(value["n"], value["steer"], value["throttle"], time.monotonic())
            self.wake.set()
        elif name == "pilot":
            if self.remote is None:
                raise ValueError("this car has a network of its own")
            self.remote(value)
        else:
            self._ask(Request(client, name, value))

    def _ask(self, request: Request) -> None:
        self.requests.put(request)
        self.wake.set()

    def _get(self, path: str, query: Mapping[str, str]) -> tuple[bytes, str] | None:
        if path == "recordings":
            return json.dumps(self.shelf.listed()).encode(), "application/json"
        if path == "calibration":
            return json.dumps(self._calibration()).encode(), "application/json"
        return self.depot.get(path, query) if self.depot else None

    def _put(self, path: str, query: Mapping[str, str], body: bytes) -> tuple[bytes, str] | None:
        return self.depot.put(path, query, body) if self.depot else None

    def is_there(self, client: Client | None) -> bool:
        """Has this browser the page open?"""
        return client is not None and client in self.page.clients

    def forget_the_gone(self) -> None:
        """Drops the hands of browsers that have left."""
        for client in [client for client in list(self.hands) if client not in self.page.clients]:
            self.hands.pop(client, None)

    def show(self, picture: np.ndarray | None, state: Mapping[str, Any]) -> None:
        """The newest picture, uint8 [H, W, 3], and what is to be said beside it."""
        self.page.publish({} if picture is None else {"main": picture}, {"now": state})
