"""The page of `experiments.data DATA --web`: a recording to scrub through, to mark and to cut, with undo."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from envs import tub_edits
from envs.tub import Tub, TubError
from experiments.driving import dataset
from experiments.web.server import Server

FOLDER = Path(__file__).parents[1] / "web" / "tub"
SHOWN = 200  # sentences about damage that the page gets
# Columns that stand beside the picture: name -> (label, format).
FACTS = {
    "user/throttle": ("pedal", "{:+.2f}"),
    "game/speed": ("speed, m/s", "{:.1f}"),
    "user/target_speed": ("wanted speed, m/s", "{:.1f}"),
    "game/time": ("time, s", "{:.2f}"),
    "game/lateral": ("beside the middle, m", "{:+.2f}"),
    "user/mode": ("driver", "{}"),
    "override": ("override", "{}"),
    "game/off_road": ("off the road", "{}"),
}


class DataPage:
    """`server` serves the dataset at `path`; its pages may edit it. Raises TubError where it cannot be read."""

    def __init__(self, path: Path, port: int = 0):
        self.path, self._lock = path, threading.Lock()
        self.tub = Tub(path)
        self.server = Server(port=port)
        self.page = self.server.add_page(
            "tub", FOLDER, title=f"Recording {path.name}", on_message=self._heard, on_get=self._get
        )

    def start(self) -> str:
        """The address."""
        return self.server.start(self.page)

    def _get(self, path: str, query: Mapping[str, str]) -> tuple[bytes, str] | None:
        tub = self.tub
        if path == "about":
            return json.dumps(about(tub)).encode(), "application/json"
        row = query.get("row", "")
        if path != "frame" or not row.isdigit() or int(row) >= len(tub):
            return None
        try:
            return tub.jpeg(int(row)), "image/jpeg"
        except TubError:  # deleted by another program
            return None

    def _heard(self, client: Any, message: dict[str, Any]) -> None:
        # In a thread of its own: reading a dataset anew takes a second, and the server must go on.
        threading.Thread(target=self._edit, args=(client, message), daemon=True).start()

    def _edit(self, client: Any, message: dict[str, Any]) -> None:
        with self._lock:
            try:
                text = self._done(message)
            except TubError as fault:
                client.send({"type": "refused", "text": str(fault)})
                return
            self.page.send({"type": "changed", "text": text})

    def _done(self, message: dict[str, Any]) -> str:
        if message["type"] == "undo":
            what, count = tub_edits.undo(self.path)
            text = f"undone: {count:,} records are {'back' if what == 'deleted' else 'deleted again'}"
        elif message["type"] == "delete":
            first, last = message.get("first"), message.get("last")
            if type(first) is not int or type(last) is not int:
                raise TubError("first and last must be numbers of records")
            chosen = self.tub.index[(self.tub.index >= first) & (self.tub.index <= last)].tolist()
            if len(chosen) == len(self.tub):
                raise TubError("that would delete every record")
            text = f"{tub_edits.delete(self.path, chosen):,} records deleted"
        else:
            raise TubError(f"there is no command {message['type']!r}")
        self.tub = Tub(self.path)
        return text


def about(tub: Tub) -> dict[str, Any]:
    """Everything that the page shows but the pictures."""
    s = dataset.statistics(tub)
    pilot = tub.records.get("pilot/angle")
    facts = {}
    for name, (label, form) in FACTS.items():
        values = tub.records.get(name)
        if values is not None:
            facts[label] = [_told(value, form) for value in values.tolist()]
    counts = f"{len(tub):,} records, {s['minutes']:.1f} minutes, {s['laps']} laps, {tub.deleted:,} deleted"
    return {
        "title": f"{tub.path}: {counts}",
        "rows": len(tub),
        "index": tub.index.tolist(),
        "lap": tub.laps.tolist(),
        "steer": np.round(tub.records["user/angle"], 3).tolist(),
        "pilot": [] if pilot is None else [None if np.isnan(v) else round(v, 3) for v in pilot.tolist()],
        "facts": facts,
        "stats": s,
        "warnings": dataset.balance(s),
        "damaged": [*tub.faults, *tub.notes, *tub.damaged][:SHOWN],
    }


def _told(value: Any, form: str) -> str | None:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value == "" or value != value:
        return None
    return form.format(value)
