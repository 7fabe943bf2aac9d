"""The networks on the car's own computer: those that another computer has sent, and the one that drives.

Each is a folder below `folder`, as `export --target car` writes it; active.json names the one that was chosen last,
with which `drive` begins where --model names none.
"""

from __future__ import annotations

import io
import json
import os
import re
import secrets
import shutil
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from agents.core import files
from envs.car import CarError
from envs.car.model import FILES, LARGEST, CarModel
from envs.text import shown

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
ACTIVE = "active.json"  # file that names the network with which the next drive begins
COMING = ".coming-"  # beginning of the names of folders that are not whole yet
MOST = 50  # networks that are kept on the car


class Garage:
    """shape: height and width of the camera's pictures, once they are known; a network must fit them."""

    def __init__(self, folder: Path, shape: Callable[[], tuple[int, int] | None] = lambda: None):
        self.folder, self.shape, self._lock = folder, shape, threading.Lock()

    def listed(self) -> list[dict[str, Any]]:
        """Every network that is here, by name, with what its model.json says of its training."""
        found = []
        for path in sorted(self.folder.iterdir()) if self.folder.is_dir() else ():
            if NAME.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
                found.append({"name": path.name, **about(path)})
        return found

    @property
    def active(self) -> str | None:
        """The name of the network that was chosen last; None where none was."""
        try:
            told = json.loads((self.folder / ACTIVE).read_bytes()[:LARGEST])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError):
            raise CarError(f"{self.folder / ACTIVE} is damaged; delete it, and choose a network again") from None
        name = told.get("name") if isinstance(told, dict) else None
        if name is not None and (not isinstance(name, str) or not NAME.fullmatch(name)):
            raise CarError(f"{self.folder / ACTIVE} names no network of this folder: {shown(name)}")
        return name

    def chosen(self) -> CarModel | None:
        """The network that was chosen last. Raises CarError where it is not here any more, or is none."""
        name = self.active
        if name is not None and not (self.folder / name).is_dir():
            told = f"delete {self.folder / ACTIVE}, or name another network by --model"
            raise CarError(f"{shown(name)}, which drove the car last, is no longer in {self.folder}: {told}")
        return None if name is None else self.opened(name)

    def opened(self, name: str) -> CarModel:
        """A network of this folder. Raises CarError where there is none of that name, or it does not fit the camera."""
        if not NAME.fullmatch(name) or not (self.folder / name).is_dir() or (self.folder / name).is_symlink():
            raise CarError(f"there is no network {shown(name)} on the car")
        return self._fitting(CarModel(self.folder / name))

    def received(self, name: str, data: bytes) -> CarModel:
        """Unpacks a zip file with a network, tries it, and keeps it under its name, or that with a number behind it.

        Whatever is wrong with it, nothing of it stays. Raises CarError, or OSError where it cannot be written.
        """
        if not NAME.fullmatch(name):
            raise CarError(f"a network cannot be called {shown(name)}: letters, digits, and . _ - between them")
        if len(self.listed()) >= MOST:
            raise CarError(f"there are {MOST} networks on the car: delete some in {self.folder}")
        place = self.folder / f"{COMING}{secrets.token_hex(8)}"
        place.mkdir(parents=True)
        try:
            for file, content in contents(data).items():
                write(place / file, content)
            files.sync(place)
            model = self._fitting(CarModel(place))
            with self._lock:
                model.folder = self._kept(place, name)
            files.sync(self.folder)
        finally:
            shutil.rmtree(place, ignore_errors=True)
        return model

    def _kept(self, place: Path, name: str) -> Path:
        """Where the network of `place` is kept; one that is here already is not kept twice."""
        for k in range(1, MOST + 1):
            path = self.folder / (name if k == 1 else f"{name[:60]}-{k}")
            if not os.path.lexists(path):
                os.rename(place, path)
                return path
            if is_same(place, path):
                return path
        raise CarError(f"there are {MOST} networks called {name} on the car")

    def _fitting(self, model: CarModel) -> CarModel:
        shape = self.shape()
        if shape is not None:
            model.prepared(np.zeros((*shape, 3), np.uint8))
        return model

    def choose(self, name: str | None) -> None:
        """The next drive begins with this network; with none, where it is None."""
        self.folder.mkdir(parents=True, exist_ok=True)
        other = self.folder / f"{ACTIVE}.new"
        other.unlink(missing_ok=True)
        write(other, json.dumps({"name": name}).encode())
        os.replace(other, self.folder / ACTIVE)
        files.sync(self.folder)

    def tidy(self) -> None:
        """Deletes what a computer without power has left unfinished."""
        for path in self.folder.glob(f"{COMING}*") if self.folder.is_dir() else ():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)


def is_same(one: Path, other: Path) -> bool:
    """Do two folders hold the same network, byte for byte?"""
    if other.is_symlink() or not other.is_dir():
        return False
    contents = ([(f / n).read_bytes() if (f / n).is_file() else None for n in FILES] for f in (one, other))
    return next(contents) == next(contents)


def about(folder: Path) -> dict[str, Any]:
    """What people want to know of a network's folder, without running it; `fault` where it is damaged."""
    try:
        if (folder / "model.json").stat().st_size > LARGEST:
            raise ValueError
        told = json.loads((folder / "model.json").read_bytes())
        training = told["training"]
        return {
            "run": shown(training["run"]), "step": training.get("step"), "kind": told["drive"]["kind"],
            "signs": [shown(one) for one in told["signs"][:8]], "multiply_adds": told.get("multiply_adds"),
            "difference": told.get("difference"), "preprocess": told["preprocess"], "commit": told.get("commit"),
            "bytes": sum((folder / name).stat().st_size for name in FILES if (folder / name).is_file()),
        }  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {"fault": "model.json is missing or damaged"}


def packed(folder: Path) -> bytes:
    """The folder of a network as one zip file, for `Garage.received`. Raises CarError where it holds no network."""
    CarModel(folder)
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in FILES:
            if (folder / name).is_file():
                archive.writestr(name, (folder / name).read_bytes())
    return data.getvalue()


def contents(data: bytes) -> dict[str, bytes]:
    """The files of a network in a zip file. Raises CarError for any other file, and for one that is too large."""
    found: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for entry in archive.infolist():
                if entry.filename not in FILES or entry.filename in found:
                    raise CarError(f"a network has no file {shown(entry.filename)}, or it came twice")
                if entry.file_size > LARGEST or sum(map(len, found.values())) + entry.file_size > LARGEST:
                    raise CarError(f"the network is larger than {LARGEST // 2**20} MiB")
                with archive.open(entry) as file:
                    found[entry.filename] = file.read(entry.file_size)  # an entry's stated size may be wrong
    except CarError:
        raise
    except Exception as fault:  # zipfile has an exception for each way in which an archive can be damaged
        raise CarError(f"what came is no whole zip file: {shown(str(fault))}") from None
    return found


def write(path: Path, content: bytes) -> None:
    """A new file, on disk when this returns."""
    with open(path, "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
