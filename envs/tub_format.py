"""The files of a tub, version 2 (see `envs.tub`): names, types, manifest, catalogs' lines, pictures."""

from __future__ import annotations

import fcntl
import io
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

IMAGE = "cam/image_array"
STANDARD = {IMAGE: "image_array", "user/angle": "float", "user/throttle": "float", "user/mode": "str"}
TYPES = ("float", "int", "str", "boolean", "list", "vector", "nparray", "image_array")
LISTED = ("list", "vector", "nparray")
UNIT = {"user/angle", "user/throttle", "pilot/angle", "pilot/throttle"}  # columns that lie in [-1, 1]
MAX_LEN = 1000  # records of a catalog
NEWLINE = b"\n"


class TubError(ValueError):
    """What is wrong with a dataset, and where."""


class Manifest:
    """manifest.json: `columns` (name -> type), `metadata`, `sessions`, `paths`, `current_index`, `deleted`."""

    def __init__(self, lines: Sequence[Any]):
        inputs, types, metadata, sessions, catalogs = lines
        self.columns: dict[str, str] = {str(n): str(k) for n, k in zip(inputs, types, strict=True)}
        self.metadata: dict[str, Any] = dict(metadata)  # DonkeyCar: a dict or a list of pairs
        self.sessions: dict[str, Any] = dict(sessions)
        self.paths = [str(name) for name in catalogs["paths"]]
        self.current_index = int(catalogs["current_index"])
        self.max_len = max(1, int(catalogs.get("max_len", MAX_LEN)))
        self.deleted = {int(i) for i in catalogs["deleted_indexes"]}
        self.faults: list[str] = []

    @classmethod
    def new(cls) -> Manifest:
        catalogs = {"paths": [], "current_index": 0, "max_len": MAX_LEN, "deleted_indexes": []}
        return cls([[], [], {}, {"created_at": time.time()}, catalogs])

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Raises TubError where there is no dataset; where only the manifest is damaged, it is in `faults`."""
        if not path.is_dir():
            raise TubError(f"there is no folder {path}")
        found = sorted(path.glob("catalog_*.catalog"), key=lambda p: (len(p.name), p.name))
        try:
            lines = (path / "manifest.json").read_bytes().splitlines()
            manifest = cls([json.loads(line) for line in lines[:5]])
        except FileNotFoundError:
            if not found:
                old = any(path.glob("record_*.json"))
                hint = f"its records are of version 1; `python -m experiments.data {path} --convert OUT` makes 2 of it"
                raise TubError(f"{path} is no dataset: there is no manifest.json" + f"; {hint}" * old) from None
            manifest, fault = cls.new(), "manifest.json is missing"
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            manifest, fault = cls.new(), "manifest.json is damaged"
        else:
            fault = ""
        if fault:
            manifest.faults.append(f"{fault}: deleted records cannot be told and are back")
        for name in [p for p in manifest.paths if Path(p).name != p or not (path / p).is_file()]:
            manifest.faults.append(f"{name} is in manifest.json, but not in the folder")
            manifest.paths.remove(name)
        lost = [p.name for p in found if p.name not in manifest.paths]
        # A process killed between making a catalog and naming it leaves an empty one.
        lost = [name for name in lost if fault or (path / name).stat().st_size]
        manifest.faults += [f"{name} is in the folder, but not in manifest.json" for name in lost if not fault]
        manifest.paths += lost
        return manifest

    def begin_session(self) -> str:
        """A new session's name: day and number."""
        known = self.sessions.get("sessions")
        known = dict(known) if isinstance(known, dict) else {}
        number = int(known.get("last_id", -1)) + 1
        name = f"{time.strftime('%y-%m-%d')}_{number}"
        ids = [*known.get("all_full_ids", []), name]
        self.sessions["sessions"] = {"all_full_ids": ids, "last_id": number, "last_full_id": name}
        return name

    def last_line(self) -> bytes:
        """The catalogs, without the line's end. The count stands last: while it grows, the line only gets longer."""
        catalogs = {"paths": self.paths, "max_len": self.max_len, "deleted_indexes": sorted(self.deleted)}
        return json.dumps({**catalogs, "current_index": self.current_index}).encode()

    def lines(self) -> list[bytes]:
        """The five lines, without their ends."""
        values = [list(self.columns), list(self.columns.values()), self.metadata, self.sessions]
        return [*(json.dumps(value).encode() for value in values), self.last_line()]

    def write(self, path: Path) -> None:
        """Atomically."""
        other = path / "manifest.json.new"
        other.write_bytes(b"".join(line + NEWLINE for line in self.lines()))
        os.replace(other, path / "manifest.json")


def catalog_lines(path: Path) -> list[bytes]:
    """The lines of a catalog without their ends; the last may be torn."""
    lines = path.read_bytes().split(b"\n")
    if not lines[-1]:
        lines.pop()
    return [line.rstrip(b"\r") for line in lines]


def mend(path: Path) -> list[int]:
    """Ends a line that a crash left torn, and returns the lengths of the lines in bytes, with their ends."""
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        with path.open("ab") as file:
            file.write(NEWLINE)
        data += NEWLINE
    return [len(line) + 1 for line in data.split(b"\n")[:-1]]


def lock(path: Path) -> int:
    """An open file that is this process's right to change the dataset; it ends with the process, however that ends."""
    file = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise TubError(f"{path} is being recorded or edited by another process") from None
    return file


def out_of_range(name: str, value: float) -> str:
    """What is wrong with a number, or nothing."""
    if not abs(value) < 2**63:  # nan included; JSON knows integers of any length
        return f"{name} is {value}, not a finite number of ordinary size"
    if name in UNIT and not -1.0 <= value <= 1.0:
        return f"{name} is {value:g}, outside -1 to 1"
    return ""


def encode(picture: np.ndarray | bytes, quality: int) -> tuple[bytes, tuple[int, int]]:
    """A picture as the bytes of a JPEG file, and (height, width). Bytes are a JPEG file already."""
    if isinstance(picture, bytes):
        return picture, decode(picture).shape[:2]  # the whole of it: half a file has a header too
    picture = np.asarray(picture)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        # A cast would make black pictures of floats from 0 to 1.
        raise TubError(f"{IMAGE} must be uint8 [height, width, 3], not {picture.dtype} {list(picture.shape)}")
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", quality=quality, subsampling=0)  # small pictures need all their colour
    return out.getvalue(), picture.shape[:2]


def shape_of(data: bytes) -> tuple[int, int]:
    """(height, width) from a picture file's header."""
    with Image.open(io.BytesIO(data)) as image:
        return image.height, image.width


def decode(data: bytes) -> np.ndarray:
    """A picture file's bytes as uint8 [H, W, 3]."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def first_shape(path: Path) -> tuple[int, int] | None:
    """(height, width) of the first picture in a dataset that can be opened."""
    for file in sorted((path / "images").glob("*.*"), key=lambda p: (len(p.name), p.name)):
        try:
            return shape_of(file.read_bytes())
        except OSError:
            continue  # half a picture of a crash: the next one tells
    return None


def size(shape: tuple[int, int]) -> str:
    """As people say it: width x height."""
    return f"{shape[1]}x{shape[0]}"
