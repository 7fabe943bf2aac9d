"""The recordings of a car, to be chosen from, browsed and trimmed on the page of recordings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from envs.recordings import tub_edits
from envs.recordings.tub import TubError
from experiments.driving.page import DataPage
from experiments.web.server import Server


class Shelf:
    """The datasets below `folder`. predict: the network's steering for a picture, where there is a network."""

    def __init__(self, folder: Path, server: Server, predict: Callable[[np.ndarray], float] | None = None):
        self.folder = folder
        self.page = DataPage(None, server=server, predict=predict)

    def listed(self) -> list[dict[str, Any]]:
        """Name and number of records of each, the newest first."""
        found = []
        for path in sorted(self.folder.glob("*"), reverse=True) if self.folder.is_dir() else ():
            if path.is_symlink() or not (path / "manifest.json").is_file():
                continue
            try:
                found.append({"name": path.name, "records": tub_edits.count(path)})
            except (TubError, OSError) as fault:
                found.append({"name": path.name, "records": 0, "fault": str(fault)})
        return found

    def open(self, name: str) -> None:
        """Puts a dataset on the page of recordings. Raises TubError where there is none of that name."""
        if name not in [each["name"] for each in self.listed()]:
            raise TubError(f"there is no recording {name!r}")
        self.page.open(self.folder / name)
