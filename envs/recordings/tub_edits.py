"""Deleting records of a tub and taking it back: records are marked in the manifest and stay in the files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from envs.recordings.tub_files import APPEND, MIB, TubError, content, lines, lock, opened, replace
from envs.recordings.tub_format import Manifest, catalog_lines

JOURNAL = "edits.jsonl"  # one line per edit: the records that it deleted or restored
LARGEST = 64 * MIB  # bytes of the journal, at most


def delete(path: str | Path, indexes: Iterable[int]) -> int:
    """Marks records as deleted; returns how many were not before. Raises TubError for one that does not exist."""
    return _edit(Path(path), set(indexes), "deleted")


def restore(path: str | Path, indexes: Iterable[int]) -> int:
    """Takes marks away; returns how many records are back."""
    return _edit(Path(path), set(indexes), "restored")


def undo(path: str | Path) -> tuple[str, int]:
    """Takes the last edit back; returns what it was ("deleted", "restored") and how many records it changed."""
    path = Path(path)
    held = _manifest_and_lock(path)
    try:
        manifest, edits = held[0], _journal(path)
        if not edits:
            raise TubError(f"{path}: there is nothing to undo")
        what, indexes = edits[-1]
        manifest.deleted = manifest.deleted - indexes if what == "deleted" else manifest.deleted | indexes
        manifest.write(path)
        other = path / f"{JOURNAL}.new"
        replace(other, "".join(_line(*edit) for edit in edits[:-1]).encode())
        os.replace(other, path / JOURNAL)
        return what, len(indexes)
    finally:
        os.close(held[1])


def count(path: str | Path) -> int:
    """How many records the dataset has, deleted ones too."""
    return _count(Path(path), Manifest.read(Path(path)))


def _count(path: Path, manifest: Manifest) -> int:
    return max(manifest.current_index, sum(len(catalog_lines(path, name)) for name in manifest.paths))


def note(path: Path, what: str, indexes: set[int]) -> None:
    """Writes an edit into the journal; to be called before the manifest is written, so that nothing is lost."""
    with os.fdopen(opened(path / JOURNAL, APPEND), "a") as file:
        file.write(_line(what, indexes))


def _edit(path: Path, indexes: set[int], what: str) -> int:
    manifest, held = _manifest_and_lock(path)
    try:
        total = _count(path, manifest)
        wrong = sorted(i for i in indexes if not 0 <= i < total)
        if wrong:
            raise TubError(f"{path} has no record {wrong[0]}; its records are 0 to {total - 1}")
        changed = indexes - manifest.deleted if what == "deleted" else indexes & manifest.deleted
        if changed:
            note(path, what, changed)
            manifest.deleted ^= changed
            manifest.write(path)
        return len(changed)
    finally:
        os.close(held)


def _manifest_and_lock(path: Path) -> tuple[Manifest, int]:
    """Raises TubError where another process writes, and where the manifest is damaged: an edit would settle that."""
    Manifest.read(path)
    held = lock(path)
    manifest = Manifest.read(path)
    if manifest.faults:
        os.close(held)
        raise TubError(f"{path}: {manifest.faults[0]}; `merge` makes a sound copy, which can be edited")
    return manifest, held


def _journal(path: Path) -> list[tuple[str, set[int]]]:
    try:
        data = content(path, JOURNAL, LARGEST)
    except FileNotFoundError:
        return []
    edits = []
    for line in lines(data):
        try:
            ((what, indexes),) = json.loads(line).items()
        except (ValueError, AttributeError, RecursionError):
            continue  # torn by a crash, before its edit was made
        numbers = isinstance(indexes, list) and all(type(i) is int and 0 <= i < 2**53 for i in indexes)
        if what in ("deleted", "restored") and numbers:
            edits.append((what, set(indexes)))
    return edits


def _line(what: str, indexes: set[int]) -> str:
    return json.dumps({what: sorted(indexes)}) + "\n"
