"""The page of `experiments.data DATA --web`: a recording to scrub through, to mark and to cut, with undo."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from envs.recordings import tub_copies, tub_edits, tub_statistics
from envs.recordings.tub import Tub, TubError
from envs.text import shown
from experiments.web.server import Server
from experiments.web.values import record, whole

FOLDER = Path(__file__).parents[1] / "web" / "tub"
SHOWN = 200  # sentences about damage that the page receives at most
# Columns that stand beside the picture: name -> (label, format).
FACTS = {
    "user/throttle": ("pedal", "{:+.2f}"),
    "game/speed": ("speed, m/s", "{:.1f}"),
    "user/target_speed": ("wanted speed, m/s", "{:.1f}"),
    "game/time": ("time, s", "{:.2f}"),
    "game/lateral": ("lateral offset, m", "{:+.2f}"),
    "override": ("override", "{}"),
    "game/off_road": ("off the road", "{}"),
}

DRIVERS = {"expert": "the expert"}  # driver in the metadata -> name shown where no network drives; otherwise a person
COMMANDS = {"undo": record(), "delete": record(first=whole(0, 2**53), last=whole(0, 2**53))}
WAITING = 16  # edits that wait behind the one under way at most


class DataPage:
    """`server` serves the dataset at `path`; its pages may edit it. Raises TubError where it cannot be read.

    path: None shows nothing until `open`. server: another program's, which this is one more page of, called `name`.
    predict: the steering that a network wants for a picture, drawn beside what was done where a record holds none.
    """

    def __init__(
        self, path: Path | None, port: int = 0, *, server: Server | None = None, name: str = "tub",
        predict: Callable[[np.ndarray], float] | None = None,
    ):  # fmt: skip
        self.path, self._lock, self.predict = path, threading.Lock(), predict
        self.refusal: Callable[[], str] = lambda: ""  # reason why nothing may be edited now; empty where it may
        self._free = threading.BoundedSemaphore(WAITING)
        self.tub = None if path is None else Tub(path)
        self.server = server or Server(port=port)
        title = "Recordings" if path is None else f"Recording {path.name}"
        self.page = self.server.add_page(name, FOLDER, title=title, on_message=self._heard, on_get=self._get)

    def start(self) -> str:
        """The address."""
        return self.server.start(self.page)

    def open(self, path: Path) -> None:
        """Shows another dataset, to everybody. Raises TubError, and shows what it did, where it cannot be read."""
        with self._lock:
            self.tub, self.path = Tub(path), path
        self.page.send({"type": "changed"})

    def _get(self, path: str, query: Mapping[str, str]) -> tuple[bytes, str] | None:
        tub = self.tub
        if tub is None:
            return None
        if path == "about":
            return json.dumps({**about(tub), "predicts": self.predict is not None}).encode(), "application/json"
        if path not in ("frame", "predicted"):
            return None
        row = query.get("row", "")
        if not tub_copies.is_number(row):
            raise ValueError("row must be the number of a record, such as row=0")
        if int(row) >= len(tub):
            return None
        try:
            if path == "frame":
                return tub.jpeg(int(row)), "image/jpeg"
            return self._predicted(tub.image(int(row))), "application/json"
        except TubError:  # deleted by another program
            return None

    def _predicted(self, picture: np.ndarray) -> bytes:
        if self.predict is None:
            raise ValueError("there is no network here that could say what it wants")
        steer = self.predict(picture)
        return json.dumps({"steer": round(steer, 3) if math.isfinite(steer) else None}).encode()

    def _heard(self, client: Any, message: dict[str, Any]) -> None:
        # In a thread of its own: reading a dataset anew takes a second, and the server must go on.
        if not self._free.acquire(blocking=False):
            client.send({"type": "refused", "text": "too many edits at once"})
            return
        threading.Thread(target=self._edit, args=(client, message), daemon=True).start()

    def _edit(self, client: Any, message: dict[str, Any]) -> None:
        try:
            if why := self.refusal():
                raise TubError(why)
            with self._lock:
                text = self._done(message)
        except (ValueError, OSError) as fault:
            sentence = fault.strerror if isinstance(fault, OSError) else str(fault)
            client.send({"type": "refused", "text": sentence})
        else:
            self.page.send({"type": "changed", "text": text})
        finally:
            self._free.release()

    def _done(self, message: dict[str, Any]) -> str:
        name = message["type"]
        if self.tub is None:
            raise TubError("no recording is open")
        if name not in COMMANDS:
            raise TubError(f"there is no command '{shown(name)}'")
        value = COMMANDS[name]({key: value for key, value in message.items() if key != "type"})
        if name == "undo":
            what, count = tub_edits.undo(self.path)
            text = f"undone: {count:,} records are {'back' if what == 'deleted' else 'deleted again'}"
        else:
            index = self.tub.index
            chosen = index[(index >= value["first"]) & (index <= value["last"])].tolist()
            if len(chosen) == len(self.tub):
                raise TubError("that would delete every record")
            text = f"{tub_edits.delete(self.path, chosen):,} records deleted"
        self.tub = Tub(self.path)
        return text


def about(tub: Tub) -> dict[str, Any]:
    """Everything that the page shows but the pictures."""
    s = tub_statistics.statistics(tub)
    pilot = tub.records.get("pilot/angle")
    facts = {}
    for name, (label, form) in FACTS.items():
        values = tub.records.get(name)
        if values is not None:
            facts[label] = [_shown(value, form) for value in values.tolist()]
    laps = f"{s['laps']} lap{'s' * (s['laps'] != 1)}"
    counts = f"{len(tub):,} records, {tub_statistics.length(s['minutes'])}, {laps}, {tub.deleted:,} deleted"
    mode = tub.records.get("user/mode")
    if mode is not None:
        person = DRIVERS.get(str(tub.metadata.get("driver")), "a person")
        facts["driver"] = ["the network" if who == "local" else person for who in mode.tolist()]
    return {
        "title": f"{tub.path}: {counts}",
        "rows": len(tub),
        "index": tub.index.tolist(),
        "lap": tub.laps.tolist(),
        "starts": np.flatnonzero(tub.starts).tolist(),
        "steer": np.round(tub.records["user/angle"], 3).tolist(),
        "pilot": [] if pilot is None else [None if np.isnan(v) else round(v, 3) for v in pilot.tolist()],
        "facts": facts,
        "stats": s,
        "warnings": tub_statistics.balance(s),
        "damaged": [*tub.faults, *tub.notes, *tub.damaged][:SHOWN],
    }


def _shown(value: Any, form: str) -> str | None:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value == "" or value != value:
        return None
    return form.format(value)
