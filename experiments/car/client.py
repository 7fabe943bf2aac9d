"""A car's page as another program speaks to it: recordings are fetched from it, networks are brought to it.

The other half is `experiments.car.depot`. Neither is needed to drive.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlencode, urlsplit

from agents.core import files
from envs.car import CarError
from envs.recordings import tub_files
from envs.text import printable, shown
from experiments.car.depot import FORMAT, PARTS
from experiments.car.loop import BUSY

PATIENCE = 10.0  # time for one answer, s
LARGEST = 64 * 2**20  # bytes of an answer at most
FETCHED = "fetched.json"  # file beside a recording: what it was when it came, so that nobody's edits are written over
WHOLE = ("manifest.json", "edits.jsonl")  # files that an edit here changes


def parsed(place: str) -> SplitResult | None:
    """The address that a car's `drive` printed, in its parts; None for any other text."""
    try:
        parts = urlsplit(place if "//" in place else f"http://{place}")
        good = parts.scheme == "http" and parts.hostname and parts.port != 0 and "token=" in parts.query
    except ValueError:  # a port that is no number
        return None
    return parts if good else None


class CarClient:
    """place: the whole address, with its token. Every method may be called from any thread, and raises CarError."""

    def __init__(self, place: str):
        parts = parsed(place)
        if parts is None:
            raise CarError("the address must be the whole one that the car's drive printed, with its token")
        self.address, self.where = parts.geturl(), printable(parts.netloc)
        self._host, self._port = parts.hostname, parts.port or 80
        self._head = {"Authorization": f"Bearer {parse_qs(parts.query).get('token', [''])[0]}"}
        self._lock, self._link = threading.Lock(), None

    def about(self) -> dict[str, Any]:
        """What the car says of itself (`Depot.about`)."""
        return self._understood(self._asked("GET", "car"))

    def send(self, name: str, data: bytes) -> dict[str, Any]:
        """Brings a network, packed by `garage.packed`, which drives from now on."""
        if self.about().get("driven"):  # the car would say so as well, but only once all of it has come
            raise CarError(BUSY)
        return self._understood(self._asked("PUT", "network", data, name=name))

    def choose(self, name: str | None) -> dict[str, Any]:
        """A network that is on the car drives from now on; with None, none."""
        return self._understood(self._asked("PUT", "active", b"", name=name or ""))

    def _understood(self, data: bytes) -> dict[str, Any]:
        try:
            told = files.parse(data.decode())
        except ValueError:
            told = None
        if not isinstance(told, dict) or told.get("format") != FORMAT:
            raise CarError(f"{self.where}: this is no car, or one with another version of joypad")
        return told

    def _asked(self, method: str, path: str, body: bytes | None = None, **query: str) -> bytes:
        """One request. A connection that the car has closed meanwhile is opened again, once."""
        target = f"/drive/data/{path}?{urlencode(query)}"
        with self._lock:
            for attempt in range(2):
                kept = self._link is not None
                try:
                    status, content = self._exchanged(method, target, body)
                    break
                except (OSError, http.client.HTTPException) as fault:
                    self._drop()
                    if attempt or not kept:
                        told = getattr(fault, "strerror", None) or str(fault) or type(fault).__name__
                        raise CarError(f"{self.where} does not answer: {printable(told)}") from None
        if status == 200:
            return content
        if status == 403:
            raise CarError(f"{self.where} refuses this token: it is new at every start of drive")
        told = printable(" ".join(content.decode(errors="replace").split()))[:300]
        raise CarError(f"{self.where}: {told if status in (400, 408, 413) else f'answers {status}'}")

    def _exchanged(self, method: str, target: str, body: bytes | None) -> tuple[int, bytes]:
        if self._link is None:
            self._link = http.client.HTTPConnection(self._host, self._port, timeout=PATIENCE)
        self._link.request(method, target, body=body, headers=self._head)
        reply = self._link.getresponse()
        content = reply.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise OSError(f"its answer is larger than {LARGEST // 2**20} MiB")
        return reply.status, content

    def _drop(self) -> None:
        if self._link is not None:
            self._link.close()
        self._link = None

    def close(self) -> None:
        """Ends the connection."""
        with self._lock:
            self._drop()

    def parts(self, name: str) -> list[tuple[str, int]]:
        """(name, bytes) of every file of a recording on the car, in the order in which they must be written."""
        try:
            told = files.parse(self._asked("GET", "parts", name=name).decode())
            found = [(str(one["part"]), int(one["bytes"])) for one in told]
        except (ValueError, KeyError, TypeError) as fault:
            if isinstance(fault, CarError):
                raise
            raise CarError(f"{self.where}: its list of files is none") from None
        if strange := [part for part, _ in found if not PARTS.fullmatch(part)]:
            raise CarError(f"{self.where} names a file {shown(strange[0])}, which no recording has")
        return found

    def fetch(self, name: str, folder: Path, tell: Callable[[int, int], None] = lambda done, of: None) -> int:
        """Brings a recording into `folder`, or what it has gained since it was fetched; returns the bytes that came.

        A fetch that broke off goes on where it was. tell(done, of): files. Raises CarError also where the copy here was
        edited since: neither is lost.
        """
        wanted = self.parts(name)
        with self._held(folder):
            _check_untouched(folder)
            came, marks = 0, _marks(folder)
            for k, (part, size) in enumerate(wanted):
                tell(k, len(wanted))
                path = folder / part
                if part.startswith("images/") and path.is_file() and path.stat().st_size == size:
                    continue  # a picture never changes
                content = self._asked("GET", "part", name=name, part=part)
                came += len(content)
                if part in WHOLE:
                    marks[part] = [*marks.get(part, [])[-1:], _digest(content)]
                    files.write_json(folder / FETCHED, {"from": self.where, "name": name, "files": marks})
                tub_files.stays_inside(folder, "images")
                unfinished = path.with_name(f".{path.name}.coming")
                tub_files.replace(unfinished, content)
                os.replace(unfinished, path)
            for part in WHOLE:
                if part in marks:
                    marks[part] = marks[part][-1:]
            files.write_json(folder / FETCHED, {"from": self.where, "name": name, "files": marks})
        tell(len(wanted), len(wanted))
        return came

    @contextlib.contextmanager
    def _held(self, folder: Path) -> Iterator[None]:
        """Within: nobody else changes the recording here."""
        (folder / "images").mkdir(parents=True, exist_ok=True)
        held = tub_files.lock(folder)
        try:
            yield
        finally:
            os.close(held)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _marks(folder: Path) -> dict[str, list[str]]:
    """What manifest.json and edits.jsonl may be, if nobody has edited them here: checksums of what came."""
    try:
        told = files.read_json(folder / FETCHED)["files"]
        return {part: [str(one) for one in told[part]] for part in WHOLE if part in told}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError):
        raise CarError(f"{folder / FETCHED} is damaged: move the folder away, and fetch it again") from None


def _check_untouched(folder: Path) -> None:
    marks = _marks(folder)
    for part in WHOLE:
        if (folder / part).exists() and _digest((folder / part).read_bytes()) not in marks.get(part, []):
            told = "was edited here, or recorded here" if marks else "was not fetched from a car"
            raise CarError(f"{folder} {told}: move it away, and fetch it again")
