"""The recordings of a car, to be chosen from, browsed and trimmed on the page of recordings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from envs.recordings import tub_edits
from envs.recordings.tub import TubError
from envs.text import shown
from experiments.driving.page import DataPage
from experiments.web.server import Server


class Shelf:
    """The datasets below `folder`; what a network wants for their pictures is asked of `page.predict`."""

    def __init__(self, folder: Path, server: Server):
        self.folder = folder
        self._counts: dict[Path, tuple[tuple[int, int], int]] = {}  # dataset -> (its manifest then, records)
        self.page = DataPage(None, server=server)

    def path(self, name: str) -> Path:
        """The folder of a dataset that is listed. Raises TubError where there is none of that name."""
        path = self.folder / name
        inside = name == path.name != ".."
        if not inside or os.path.islink(path) or not os.path.isfile(path / "manifest.json"):
            raise TubError(f"there is no recording {shown(name)}")
        return path

    def listed(self) -> list[dict[str, Any]]:
        """Name and number of records of each, the newest first."""
        found = []
        for path in sorted(self.folder.glob("*"), reverse=True) if self.folder.is_dir() else ():
            if path.is_symlink() or not (path / "manifest.json").is_file():
                continue
            try:
                found.append({"name": path.name, "records": self._count(path)})
            except (TubError, OSError) as fault:
                found.append({"name": path.name, "records": 0, "fault": str(fault)})
        return found

    def _count(self, path: Path) -> int:
        """Records of a dataset, counted again only where its manifest has changed: a PC asks all the time."""
        about = (path / "manifest.json").stat()
        now = (about.st_mtime_ns, about.st_size)
        if self._counts.get(path, (None, 0))[0] != now:
            self._counts[path] = now, tub_edits.count(path)
        return self._counts[path][1]

    def open(self, name: str) -> None:
        """Puts a dataset on the page of recordings. Raises TubError where there is none of that name."""
        self.page.open(self.path(name))
