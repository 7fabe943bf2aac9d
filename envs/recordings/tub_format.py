"""The manifest of a tub, version 2 (see `envs.recordings.tub`)."""

from __future__ import annotations

import json
import os
import re
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from envs.recordings.tub_files import MIB, NEWLINE, TubError, content, is_regular, lines, parsed, replace
from envs.recordings.tub_values import IMAGE, LISTED, OURS, STANDARD, TYPES
from envs.text import shown

__all__ = ["IMAGE", "LISTED", "OURS", "STANDARD", "TYPES", "Manifest", "TubError", "catalog_lines"]

MAX_LEN = 1000  # records of a catalog
LARGEST = 16 * MIB  # bytes of a manifest, at most: a million deleted records
LARGEST_CATALOG = 64 * MIB
LONGEST_LINE = MIB  # bytes of a record, at most: nested lists take many times their text in memory
CATALOG = re.compile(r"catalog_\d+\.catalog")


class Manifest:
    """manifest.json: `columns` (name -> type), `metadata`, `sessions`, `paths`, `current_index`, `deleted`.

    Raises ValueError, TypeError, KeyError or AttributeError for lines that are not those of a manifest.
    """

    def __init__(self, lines: Sequence[Any]):
        inputs, types, metadata, sessions, catalogs = lines
        if not all(isinstance(text, str) for text in (*inputs, *types, *catalogs["paths"])):
            raise TypeError("names and types are text")
        self.columns: dict[str, str] = dict(zip(inputs, types, strict=True))
        self.metadata: dict[str, Any] = dict(metadata)  # DonkeyCar: a dict or a list of pairs
        self.sessions: dict[str, Any] = dict(sessions)
        self.paths: list[str] = list(catalogs["paths"])
        self.current_index: int = catalogs["current_index"]
        self.max_len: int = catalogs.get("max_len", MAX_LEN)
        self.deleted: set[int] = set(catalogs["deleted_indexes"])
        if not all(type(n) is int and 0 <= n < 2**53 for n in (self.current_index, self.max_len, *self.deleted)):
            raise ValueError("records are counted by whole numbers from 0")
        self.max_len = max(1, self.max_len)
        self.faults: list[str] = []

    @classmethod
    def new(cls) -> Manifest:
        """Returns the manifest of an empty dataset: no columns, no records, created now."""
        catalogs = {"paths": [], "current_index": 0, "max_len": MAX_LEN, "deleted_indexes": []}
        return cls([[], [], {}, {"created_at": time.time()}, catalogs])

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Raises TubError where there is no dataset; where only the manifest is damaged, it is in `faults`."""
        if not path.is_dir():
            raise TubError(f"there is no folder {path}")
        found = sorted(path.glob("catalog_*.catalog"), key=lambda p: (len(p.name), p.name))
        found = [p for p in found if CATALOG.fullmatch(p.name)]
        fault = ""
        try:
            manifest = cls([parsed(line) for line in lines(content(path, "manifest.json", LARGEST))[:5]])
        except FileNotFoundError:
            if not found:
                old = any(path.glob("record_*.json"))
                words = f"python -m experiments.data {shlex.quote(str(path))} --convert OUT"
                hint = f"its records are of version 1; `{words}` makes 2 of it"
                raise TubError(f"{path} is no dataset: there is no manifest.json" + f"; {hint}" * old) from None
            fault = "manifest.json is missing"
        except TubError as reason:
            fault = str(reason)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            fault = "manifest.json is damaged"
        if fault:
            manifest = cls.new()
            manifest.faults.append(f"{fault}: deleted records cannot be told and are back")
        manifest._find(path, found, report=not fault)
        return manifest

    def _find(self, path: Path, found: Sequence[Path], report: bool) -> None:
        """Compares the catalogs that are named with those that are there; names what differs."""
        kept: list[str] = []
        for name in self.paths:
            if not CATALOG.fullmatch(name):
                self.faults.append(f"{shown(name)} is in manifest.json, but is no catalog's name")
            elif name in kept:
                self.faults.append(f"{name} is in manifest.json twice")
            elif not os.path.lexists(path / name):
                self.faults.append(f"{name} is in manifest.json, but not in the folder")
            else:
                kept.append(name)
        lost = [p.name for p in found if p.name not in kept]
        # A process killed between making a catalog and naming it leaves an empty one.
        lost = [name for name in lost if not report or not is_regular(path / name) or (path / name).stat().st_size]
        self.faults += [f"{name} is in the folder, but not in manifest.json" for name in lost if report]
        self.paths = kept + lost

    def begin_session(self) -> str:
        """A new session's name: day and number."""
        known = self.sessions.get("sessions")
        known = dict(known) if isinstance(known, dict) else {}
        ids, number = known.get("all_full_ids"), known.get("last_id")
        ids = ids if isinstance(ids, list) else []
        number = 1 + (number if type(number) is int and number >= 0 else len(ids) - 1)
        name = f"{time.strftime('%y-%m-%d')}_{number}"
        self.sessions["sessions"] = {"all_full_ids": [*ids, name], "last_id": number, "last_full_id": name}
        return name

    def next_catalog(self) -> str:
        """The name of one more catalog: none that is there, whatever numbers are missing."""
        numbers = [int(name.removeprefix("catalog_").removesuffix(".catalog")) for name in self.paths]
        return f"catalog_{max(numbers, default=-1) + 1}.catalog"

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
        replace(other, b"".join(line + NEWLINE for line in self.lines()))
        os.replace(other, path / "manifest.json")


def catalog_lines(path: Path, name: str) -> list[bytes]:
    """The lines of a catalog without their ends; the last may be torn. Raises TubError where it cannot be read."""
    try:
        return lines(content(path, name, LARGEST_CATALOG))
    except FileNotFoundError:
        raise TubError(f"{name} is not in the folder") from None
