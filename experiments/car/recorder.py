"""Recordings of drives, written by a thread of their own, so that a slow disk delays no command."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from envs.recordings.tub import TubWriter

COLUMNS = {
    "override": "boolean",
    "pilot/angle": "float",
    "pilot/throttle": "float",
    "pilot/target_speed": "float",
    "safety/state": "str",  # the guardian's state
    "safety/cause": "str",  # reason why it is no longer armed
    "safety/stops": "int",  # stops of this drive so far
    "safety/steer": "float",  # steering that reached the wheels
    "safety/throttle": "float",
}
WAITING = 40  # records that wait for the disk at most: two seconds
Waiting = queue.SimpleQueue[tuple[dict[str, Any], int] | None]  # records and their moments, ms; None is the end


class DriveRecorder:
    """Writes into one dataset for each day, below `folder`; every press of record begins a session.

    `start`, `put` and `stop` wait for nothing: to open a long dataset takes longer than the guardian has patience.
    """

    def __init__(self, folder: Path, metadata: Mapping[str, Any]):
        self.folder, self.metadata = folder, dict(metadata)
        self.on = False  # True while records are taken
        self.count, self.lost, self.fault = 0, 0, ""
        self._waiting: Waiting = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @property
    def path(self) -> Path:
        """The dataset of today."""
        return self.folder / time.strftime("%Y-%m-%d")

    @property
    def busy(self) -> bool:
        """Are records taken, or written still?"""
        return self.on or (self._thread is not None and self._thread.is_alive())

    def start(self) -> None:
        """Records from now on; where nothing can be written, `fault` says why, and `on` is False again."""
        if self.on:
            return
        self.on, self.fault, self._waiting = True, "", queue.SimpleQueue()
        before, self._thread = self._thread, None
        self._thread = threading.Thread(
            target=self._write, args=(self.path, self._waiting, before), name="recorder", daemon=True
        )
        self._thread.start()

    def put(self, record: dict[str, Any]) -> None:
        """One record, at the time of now; where the disk is behind it is lost, and counted."""
        if self._waiting.qsize() >= WAITING:
            self.lost += 1
        else:
            self._waiting.put((record, round(time.time() * 1000)))

    def _write(self, path: Path, waiting: Waiting, before: threading.Thread | None) -> None:
        if before is not None:  # a dataset has one writer
            before.join()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with TubWriter(path, COLUMNS, metadata=self.metadata) as writer:
                while (item := waiting.get()) is not None:
                    writer.write(item[0], timestamp_ms=item[1])
                    self.count += 1
        except Exception as fault:  # a full disk, another writer, a picture of another size: all else goes on
            self.fault = " ".join(str(getattr(fault, "strerror", None) or fault).split()) or type(fault).__name__
            if waiting is self._waiting:
                self.on = False

    def stop(self) -> None:
        """What was put in is still written; then nothing more."""
        if self.on:
            self._waiting.put(None)
        self.on = False

    def close(self) -> None:
        """Stops, and waits until all is written."""
        self.stop()
        if self._thread is not None:
            self._thread.join()
