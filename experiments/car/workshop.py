"""The car as the front door shows it on the PC: recordings come from the car, networks go to it.

Trainings are those of the front door. Nothing of a car's address is written to a file, since it holds the token.
"""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

import envs
from agents.perception import preprocess
from envs.car import CarError
from envs.car.model import band_of
from envs.recordings.tub import Tub, TubError
from envs.text import shown
from experiments.car.client import CarClient
from experiments.car.garage import NAME, about, packed
from experiments.web.values import nothing, optional, record, text

GAME = "car"
WORD = text(300)
COMMANDS = {
    "connect": text(500),
    "disconnect": nothing,
    "fetch": WORD,
    "export": record(run=WORD, name=text(64)),
    "deploy": text(64),
    "choose": optional(text(64)),
}
ZOOM = 3  # size of the preview in sizes of what the network sees


class Runs(Protocol):
    """Knows the run folders by name (`experiments.front.ledger`)."""

    def path_of(self, name: str) -> Path:
        """The folder of a run. Raises ValueError."""


class Programs(Protocol):
    """Starts programs of the lab (`experiments.front.jobs`)."""

    def start(self, program: str, argv: list[object]) -> str:
        """The name of what was started."""


class Workshop:
    """data: folder of the recordings; models: folder of exported networks. Methods raise ValueError with a sentence."""

    def __init__(self, runs: Runs, programs: Programs, data: Path, models: Path):
        self.runs, self.programs, self.data, self.models = runs, programs, data, models
        self.client: CarClient | None = None
        self.fetches: dict[str, dict[str, Any]] = {}  # recording -> how far it has come
        self._lock = threading.Lock()
        self._tub: tuple[Any, Tub] | None = None  # the recording of the preview, and what it was opened from

    # What the page asks for.

    def connect(self, place: str) -> dict[str, Any]:
        """Speaks with this car from now on."""
        client = CarClient(place.strip())
        told = client.about()
        self.disconnect(None)
        self.client = client
        return {"text": f"connected with {shown(told.get('name'))} at {client.where}"}

    def disconnect(self, _: None) -> dict[str, Any]:
        """Forgets the car, and its token."""
        client, self.client = self.client, None
        if client is not None:
            client.close()
        return {}

    def fetch(self, name: str) -> dict[str, Any]:
        """Brings a recording in a thread of its own; `state` tells how far it is."""
        client = self._connected()
        if not NAME.fullmatch(name):
            raise CarError(f"a recording called {shown(name)} is none of a car's")
        with self._lock:
            if self.fetches.get(name, {}).get("running"):
                raise CarError(f"{name} is coming already")
            self.fetches[name] = told = {"name": name, "done": 0, "of": 0, "running": True, "text": "", "bad": False}
        threading.Thread(target=self._bring, args=(CarClient(client.address), name, told), daemon=True).start()
        return {}

    def _bring(self, client: CarClient, name: str, told: dict[str, Any]) -> None:
        """Over a connection of its own, so that the page goes on meanwhile."""
        try:
            came = client.fetch(name, self.data / GAME / name, lambda done, of: told.update(done=done, of=of))
            told["text"] = f"{came / 2**20:.1f} MiB came" if came else "nothing new"
        except (CarError, TubError) as fault:
            told.update(text=str(fault), bad=True)
        except OSError as fault:
            told.update(text=f"{fault.strerror}: {fault.filename or 'while writing'}", bad=True)
        finally:
            client.close()
            told["running"] = False

    def export(self, value: dict[str, Any]) -> dict[str, Any]:
        """Writes the network of a run for the car, in a process of its own."""
        path = self.runs.path_of(value["run"])
        return {"job": self.programs.start("export", [path, "--target=car", f"--out={self._folder(value['name'])}"])}

    def deploy(self, name: str) -> dict[str, Any]:
        """Sends a network to the car, which checks it and drives with it from now on."""
        client, folder = self._connected(), self._folder(name)
        told = client.send(name, packed(folder))
        return {"text": f"{shown(told.get('name'))} drives with {shown(told.get('active'))} now"}

    def choose(self, name: str | None) -> dict[str, Any]:
        """A network that is on the car already drives from now on."""
        told = self._connected().choose(name)
        return {"text": f"{shown(told.get('name'))} drives with {shown(told.get('active') or 'no network')} now"}

    def _connected(self) -> CarClient:
        if self.client is None:
            raise CarError("connect with a car first")
        return self.client

    def _folder(self, name: str) -> Path:
        if not NAME.fullmatch(name):
            raise CarError(f"a network cannot be called {shown(name)}: letters, digits, and . _ - between them")
        return self.models / name

    # What the page shows.

    def get(self, path: str, query: Mapping[str, str]) -> Any:
        """JSON values by the name of what is asked for; None where there is none."""
        makers = {"car": lambda: self.state(), "crop": lambda: self.crop(query)}
        return makers[path]() if path in makers else None

    def state(self) -> dict[str, Any]:
        """The car as it says it is, what comes from it, and the networks here."""
        client, car, fault = self.client, None, ""
        if client is not None:
            try:
                car = client.about()
            except CarError as told:
                fault = str(told)
        return {
            "where": client and client.where, "address": client and client.address, "car": car, "fault": fault,
            "fetches": [dict(one) for one in list(self.fetches.values())], "models": self.listed(),
        }  # fmt: skip

    def listed(self) -> list[dict[str, Any]]:
        """The exported networks, the newest first."""
        found = []
        for path in self.models.iterdir() if self.models.is_dir() else ():
            if NAME.fullmatch(path.name) and (path / "model.json").is_file() and not path.is_symlink():
                found.append({"name": path.name, "changed": (path / "model.json").stat().st_mtime, **about(path)})
        return sorted(found, key=lambda one: -one["changed"])

    def crop(self, query: Mapping[str, str]) -> dict[str, Any]:
        """A picture of a recording, and what a network sees of it: a new one, or the one that `model` names."""
        tub = self._opened(query.get("recording", ""))
        row = query.get("row", "0")
        if not (row.isascii() and row.isdecimal() and len(row) < 12):
            raise ValueError("row must be the number of a record, such as row=0")
        at = min(int(row), len(tub) - 1)
        picture, name = tub.image(at), query.get("model", "")
        if name:
            band = band_of(self._folder(name), about(self._folder(name)).get("preprocess"))
        else:
            band = envs.describe(GAME).driving.frame()._asdict()
        told: dict[str, Any] = {
            "rows": len(tub), "row": at, "size": [picture.shape[1], picture.shape[0]], "picture": as_url(picture),
            "steer": round(float(tub.records["user/angle"][at]), 3), "fault": "", "seen": None,
            "top": band["top"], "bottom": band["bottom"],
        }  # fmt: skip
        try:
            seen = preprocess.band(picture, **band)
            told |= {"seen": as_url(np.kron(seen, np.ones((ZOOM, ZOOM, 1), np.uint8)))}
            told["sees"] = [seen.shape[1], seen.shape[0]]
        except ValueError as fault:
            told["fault"] = str(fault)
        return told

    def _opened(self, name: str) -> Tub:
        """A recording below `data`; the last one stays open until it changes."""
        path = self.data / name
        if not all(NAME.fullmatch(part) for part in name.split("/")) or not (path / "manifest.json").is_file():
            raise ValueError(f"there is no recording {shown(name)}")
        about_it = (path, (path / "manifest.json").stat().st_mtime_ns)
        with self._lock:
            if self._tub is None or self._tub[0] != about_it:
                self._tub = about_it, Tub(path, check=False)
            return self._tub[1]


def as_url(picture: np.ndarray) -> str:
    """A picture, uint8 [H, W, 3], as a data: URL."""
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(picture).save(data, "PNG")
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"
