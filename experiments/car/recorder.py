"""Recordings of drives, written by a thread of their own, so that a slow disk delays no command."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from envs.recordings.tub import TubError, TubWriter

COLUMNS = {
    "override": "boolean",
    "pilot/angle": "float",
    "pilot/throttle": "float",
    "pilot/target_speed": "float",
    "safety/state": "str",  # the guardian's state
    "safety/cause": "str",  # why it is no longer armed
    "safety/stops": "int",  # stops of this drive so far
    "safety/steer": "float",  # steering that reached the wheels
    "safety/throttle": "float",
}
WAITING = 40  # records that wait for the disk at most: two seconds


class DriveRecorder:
    """Writes into one dataset for each day, below `folder`; every press of record begins a session."""

    def __init__(self, folder: Path, metadata: Mapping[str, Any]):
        self.folder, self.metadata = folder, dict(metadata)
        self.on, self.count, self.lost, self.fault = False, 0, 0, ""
        self._queue: queue.Queue[tuple[dict[str, Any], int] | None] = queue.Queue(WAITING)
        self._thread: threading.Thread | None = None

    @property
    def path(self) -> Path:
        """The dataset of today."""
        return self.folder / time.strftime("%Y-%m-%d")

    def start(self) -> None:
        """Records from now on. Raises TubError or OSError where nothing can be written."""
        if self.on:
            return
        path = self.path
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = TubWriter(path, COLUMNS, metadata=self.metadata)
        self._thread = threading.Thread(target=self._write, args=(writer,), name="recorder", daemon=True)
        self.on, self.fault = True, ""
        self._thread.start()

    def put(self, record: dict[str, Any]) -> None:
        """One record, at the time of now; where the disk is behind it is lost, and counted."""
        try:
            self._queue.put_nowait((record, round(time.time() * 1000)))
        except queue.Full:
            self.lost += 1

    def _write(self, writer: TubWriter) -> None:
        with contextlib.closing(writer):
            while (item := self._queue.get()) is not None:
                if self.fault:
                    continue
                try:
                    writer.write(item[0], timestamp_ms=item[1])
                    self.count += 1
                except (TubError, OSError) as fault:
                    self.fault = getattr(fault, "strerror", None) or str(fault)

    def stop(self) -> None:
        """What was put in is written; then nothing more."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
        self.on, self._thread = False, None
