"""A file of JSON lines, one for each numbered thing that is done: a kill at any moment loses none that was finished."""

from __future__ import annotations

import json
import os
from pathlib import Path

from agents.core import files


class Lines:
    """`rows`: number -> the line of that number. A line that a kill has cut off is taken away, and what follows it."""

    def __init__(self, path: Path):
        self.path = path
        self.rows: dict[int, dict] = {}
        whole, data = 0, path.read_bytes() if path.exists() else b""
        for line in data.splitlines(keepends=True):
            try:
                row = files.parse(line) if line.endswith(b"\n") else None
            except ValueError:
                row = None
            if not isinstance(row, dict) or not isinstance(row.get("number"), int):
                break  # the kill came in the middle of this line
            self.rows[row["number"]] = row
            whole += len(line)
        if whole < len(data):
            with path.open("r+b") as file:
                file.truncate(whole)

    def add(self, row: dict) -> None:
        """Stores a line, which has a `number`, for good."""
        with self.path.open("ab") as file:
            file.write((json.dumps(row) + "\n").encode())
            file.flush()
            os.fsync(file.fileno())
        self.rows[row["number"]] = row
