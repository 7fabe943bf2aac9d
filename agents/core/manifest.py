"""What lies in a folder of checkpoints: their steps, the verified manifest of each, which files are theirs.

    000000040960/manifest.json     its files with their sha256, meta data, every value that is no tensor; sealed itself
    000000040960/<part>.safetensors
    ring/<part>-<segment>-<version>.safetensors
    newest.json                    the step that was written last

Torch is not needed here: lists of runs and the schema of strangers' files are light.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import warnings
from pathlib import Path
from typing import Any

from agents.core import files

FORMAT = 1
KEEP = 2  # checkpoints that are kept
NEWEST = "newest.json"
STEP = re.compile(r"\d{12}")
ASIDE = re.compile(r"\.(\d{12})\.old")  # name of a checkpoint while its successor takes its place
UNFINISHED = re.compile(r"\.(\d{12}|ring)\.[0-9a-f]{16}\.tmp|\.\d{12}\.tmp")  # unfinished saves, old names too
SEGMENT = re.compile(r"[\w.-]+-\d{5}-(\d+-)?\d+\.safetensors")
CHECKSUM = re.compile(r"[0-9a-f]{64}")
PART = re.compile(r"[A-Za-z0-9_-]+")


class CheckpointError(Exception):
    """A checkpoint that cannot be used; the message says which and why."""


def steps(folder: Path) -> list[int]:
    """The numbers of the checkpoints under `folder`, oldest first. What a link leads to is none."""
    if not folder.is_dir():
        return []
    names = [p.name for p in folder.iterdir() if files.is_folder(p)]
    found = [int(n) for n in names if STEP.fullmatch(n)] + [int(m[1]) for n in names if (m := ASIDE.fullmatch(n))]
    return sorted(set(found))


def home(folder: Path, step: int) -> Path:
    """Where a checkpoint lies: under its name, or set aside where a kill came before its successor took its place."""
    final = folder / f"{step:012d}"
    return final if final.exists() else folder / f".{step:012d}.old"


def seal(content: Any) -> str:
    """The sha256 of a JSON value, however it is laid out in a file."""
    return hashlib.sha256(json.dumps(content, indent=1, sort_keys=True).encode()).hexdigest()


def read(folder: Path, step: int) -> dict[str, Any]:
    """The verified manifest of a checkpoint. Raises ValueError or OSError where it is damaged."""
    sealed = files.read_json(home(folder, step) / "manifest.json")
    if not isinstance(sealed, dict) or not isinstance(sealed.get("manifest"), dict):
        raise ValueError("manifest.json does not hold a manifest")
    content = sealed["manifest"]
    if seal(content) != sealed.get("sha256"):
        raise ValueError("manifest.json does not match its checksum")
    if content.get("format") != FORMAT:
        raise ValueError(f"format {content.get('format')} is not {FORMAT}, the one that this version reads")
    _check(content, step)
    return content


def _check(content: dict[str, Any], step: int) -> None:
    """A seal says who wrote nothing: names and types are checked as well. Raises ValueError."""
    for name in ("meta", "files", "values"):
        if not isinstance(content.get(name), dict):
            raise ValueError(f"manifest.json: {name} must be an object, not {content.get(name)!r}")
    if content.get("step") != step or isinstance(content["step"], bool):
        raise ValueError(f"manifest.json is of step {content.get('step')!r}, not of {step}")
    for path, checksum in content["files"].items():
        if not isinstance(checksum, str) or not CHECKSUM.fullmatch(checksum):
            raise ValueError(f"manifest.json: {path} has no checksum")
    for name, values in content["values"].items():
        if not isinstance(values, dict):
            raise ValueError(f"manifest.json: the part {name} must be an object")


def newest(folder: Path) -> tuple[int, dict[str, Any]] | None:
    """The step and the manifest of the newest checkpoint whose manifest is whole; None where there is none."""
    for number in reversed(steps(folder)):
        try:
            return number, read(folder, number)
        except (OSError, ValueError):
            continue  # `checkpoint.load` tells of it
    return None


def note_newest(folder: Path, step: int) -> None:
    """Writes down which checkpoint was written last, so that its loss is noticed."""
    files.write_json(folder / NEWEST, {"step": step})


def missing(folder: Path) -> int | None:
    """The step of a checkpoint that was written last and is gone; None where nothing is known to be missing."""
    try:
        listed = files.read_json(folder / NEWEST)
    except (OSError, ValueError):
        return None  # older versions wrote none
    step = listed.get("step") if isinstance(listed, dict) else None
    found = steps(folder)
    known = isinstance(step, int) and not isinstance(step, bool)
    return step if known and found and step > found[-1] else None


def require_own(folder: Path) -> None:
    """Raises CheckpointError where writing or deleting would follow a link out of `folder`."""
    for path in (folder, folder / "ring"):
        if path.is_symlink():
            raise CheckpointError(f"{path} is a link; checkpoints are neither written nor deleted through links")


def discard_after(folder: Path, step: int) -> None:
    """Deletes checkpoints newer than `step`: a run that goes on from there makes them anew."""
    require_own(folder)
    newer = [number for number in steps(folder) if number > step]
    if newer or missing(folder) is not None:  # first: a kill in between must not look like a loss
        note_newest(folder, step)
    for number in newer:
        while files.is_folder(home(folder, number)):
            files.remove(home(folder, number))


def put_back(folder: Path) -> None:
    """Undoes a replacement that a kill interrupted."""
    for aside in list(folder.iterdir()):
        if not ASIDE.fullmatch(aside.name) or not files.is_folder(aside):
            continue
        if (folder / aside.name[1:-4]).exists():
            files.remove(aside)
        else:
            os.rename(aside, folder / aside.name[1:-4])


def known_segments(folder: Path) -> dict[str, str]:
    """Segment files that a whole checkpoint refers to; any other file of that name may be torn and is rewritten."""
    known: dict[str, str] = {}
    for number in steps(folder):
        try:
            listed = read(folder, number)["files"]
        except (OSError, ValueError):
            continue  # a damaged checkpoint vouches for nothing
        known |= {path: checksum for path, checksum in listed.items() if path.startswith("ring/")}
    return {path: checksum for path, checksum in known.items() if _is_segment(folder / path)}


def _is_segment(path: Path) -> bool:
    return SEGMENT.fullmatch(path.name) is not None and path.is_file() and not path.is_symlink()


def prune(folder: Path) -> None:
    """Keeps the newest checkpoints and the segments that they refer to; deletes nothing but what has our names."""
    require_own(folder)
    for number in steps(folder)[:-KEEP]:
        files.remove(home(folder, number))
    for stale in list(folder.iterdir()):
        ours = ASIDE.fullmatch(stale.name) or UNFINISHED.fullmatch(stale.name)
        if ours and files.is_folder(stale):
            files.remove(stale)
    kept = known_segments(folder)
    for path in (folder / "ring").glob("*"):
        if f"ring/{path.name}" not in kept and _is_segment(path):
            path.unlink()


def warn_of_missing(folder: Path) -> None:
    """Warns where the checkpoint that was written last is gone."""
    if (step := missing(folder)) is not None:
        warnings.warn(f"checkpoint {step}, the last that was written, is gone; an older one is taken", stacklevel=3)
