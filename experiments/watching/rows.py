"""Recordings of play as rows of a dataset: what was seen and what was done there, safetensors and JSON.

    manifest.json          what it is: game, options, observation and action, how many rows lie in which file
    000000.safetensors     columns of at most CHUNK rows: obs (the newest frame alone), action, reward, discount,
                           first, last, person (or did an agent choose?), and legal where the game tells it

Rows are those of agents/core/rows.py. A file is written whole, then the manifest is replaced, so that a recording that
is cut off at any moment loses at most the rows of its last, unfinished file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from agents.core import files
from agents.core.rows import Spec, TimeStep

FORMAT = 1
CHUNK = 2_000  # rows in a file; 14 MB of Atari frames


class Rows:
    """Appends rows to a dataset folder; a folder that is there goes on. `close` it.

    Raises ValueError where the folder holds something else, or rows of another game.
    """

    def __init__(self, folder: Path, game: str, env: dict[str, Any], spec: Spec):
        self.folder, self.rows = folder, []
        about = {"format": FORMAT, "game": game, "env": env}
        about |= {
            "spec": {k: list(v) if isinstance(v, tuple) else v for k, v in spec._asdict().items() if k != "rules"}
        }
        if (folder / "manifest.json").exists():
            self.manifest = read_manifest(folder)
            if {k: self.manifest[k] for k in about} != about:
                raise ValueError(f"{folder} holds rows of another game, or of other options")
        elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ValueError(f"{folder} is there and is no recording; name another folder")
        else:
            folder.mkdir(parents=True, exist_ok=True)
            self.manifest = {**about, "files": [], "games": 0, "scores": []}
            files.write_json(folder / "manifest.json", self.manifest)

    @property
    def count(self) -> int:
        """Rows so far."""
        return sum(file["rows"] for file in self.manifest["files"]) + len(self.rows)

    def add(self, step: TimeStep, action: Any, person: bool) -> None:
        """One row of the first environment: what was seen, the action there, and whether a person chose it."""
        row = {"obs": step.obs[0, -1], "action": action[0], "reward": step.reward[0], "discount": step.discount[0]}
        row |= {"first": step.first[0], "last": step.last[0], "person": person}
        if step.legal is not None:
            row["legal"] = step.legal[0]
        self.rows.append({k: torch.as_tensor(v).cpu().numpy().copy() for k, v in row.items()})
        if len(self.rows) >= CHUNK:
            self.flush()

    def began(self) -> None:
        """A game begins; its first row says so."""

    def ended(self, score: float) -> None:
        """A game came to its end."""
        self.manifest["games"] += 1
        self.manifest["scores"].append(score)

    def flush(self) -> None:
        """Writes the rows that are still in memory, as a file of their own."""
        if not self.rows:
            return
        columns = {k: np.stack([row[k] for row in self.rows]) for k in self.rows[0]}
        name = f"{len(self.manifest['files']):06d}.safetensors"
        temporary = self.folder / f".{name}.tmp"
        save_file(columns, temporary)
        temporary.replace(self.folder / name)
        self.manifest["files"].append({"name": name, "rows": len(self.rows)})
        files.write_json(self.folder / "manifest.json", self.manifest)
        self.rows = []

    def close(self) -> None:
        self.flush()


def read_manifest(folder: Path) -> dict[str, Any]:
    """Raises ValueError where it is no recording of this version."""
    try:
        manifest = files.read_json(folder / "manifest.json")
    except (OSError, ValueError) as fault:
        raise ValueError(f"{folder} is no recording: {fault}") from None
    keys = {"format", "game", "env", "spec", "files", "games", "scores"}
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT or not keys <= manifest.keys():
        raise ValueError(f"{folder} is no recording of format {FORMAT}, the one that this version reads")
    return manifest


def read(folder: Path) -> Iterator[dict[str, np.ndarray]]:
    """The columns of each file in their order, [rows, ...]. Raises ValueError for a file that is damaged."""
    for file in read_manifest(folder)["files"]:
        path = folder / Path(file["name"]).name
        try:
            columns = load_file(path)
        except (OSError, SafetensorError) as fault:
            raise ValueError(f"{path} is damaged: {fault}") from None
        if any(len(column) != file["rows"] for column in columns.values()):
            raise ValueError(f"{path} does not hold the {file['rows']} rows that the manifest tells of")
        yield columns
