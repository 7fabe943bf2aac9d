"""One reader for every recording, and the one place that tells their formats apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from envs.recordings import rows as rows_
from envs.recordings.rows import RecordingError, Rows, Tell
from envs.recordings.tub_files import TubError

Kind = Literal["tub", "tub 1", "play", "arrays", "games", "several"]
KNOWN = (
    "a tub (a folder with manifest.json), a folder that `play GAME --record` has written, a folder of several of them,"
    " a file of arrays (.npz), nor Go games in SGF"
)


class WantedRows(NamedTuple):
    """Whose recordings are to be read."""

    spec: Any  # observations and actions of the learner (agents.core's Spec)
    game: str | None = None  # name of the game; None: any that fits
    driving: Any = None  # driving of the game (`envs.driving.Driving`); None: it is not driven
    komi: float | None = None  # komi of Go games that name none


def kind_of(path: Path) -> Kind | None:
    """The format of a recording; None where it is none. One that has lost its manifest is told by its other files."""
    if path.is_file():
        return {".npz": "arrays", ".sgf": "games"}.get(path.suffix.lower())
    if not path.is_dir():
        return None
    if any(path.glob("catalog_*.catalog")):
        return "tub"
    if any(path.glob("[0-9]*.npz")) or any(path.glob("[0-9]*.safetensors")):
        return "play"
    if (path / "manifest.json").is_file():
        return "play" if _is_play(path) else "tub"
    if any(path.glob("record_*.json")):
        return "tub 1"
    if next(path.rglob("*.sgf"), None) is not None:
        return "games"
    return "several" if any(kind_of(inner) for inner in inside(path)) else None


def _is_play(path: Path) -> bool:
    """Whether a manifest is one object, as ours is, and not the five lines of a tub's."""
    with (path / "manifest.json").open("rb") as file:
        return file.read(1024).lstrip().startswith(b"{")


def inside(path: Path) -> list[Path]:
    """The recordings that lie side by side in a folder."""
    return sorted(p for p in path.glob("*") if p.is_dir() and kind_of(p) in ("tub", "play"))


def read(paths: Sequence[Path], wanted: WantedRows, tell: Tell) -> Rows:
    """Every row of the recordings, checked against what the game shows and does.

    tell: hears, sentence by sentence, what is left out. Raises RecordingError or TubError, one sentence that says what
    is wrong and where.
    """
    kinds = {path: _known(path) for path in paths}
    games = [path for path, kind in kinds.items() if kind == "games"]
    found: list[Path] = []
    for path, kind in kinds.items():
        if kind == "several":
            parts = inside(path)
            if {"train", "validation"} <= {part.name for part in parts}:
                raise RecordingError(f"{path}: is split into train and validation; name {path / 'train'}")
            found += parts
        elif kind != "games":
            found.append(path)
    parts, faults = [], []
    for path in found:
        try:
            parts.append(_rows(path, wanted, tell))
        except TubError as fault:  # holds no good record; others may
            faults.append(fault)
    if games:
        from envs.recordings import games as sgf

        parts.append(sgf.from_files(games, wanted.spec, tell, wanted.komi))
        rows_.check(parts[-1], wanted.spec, str(games[0]))
    if not parts:
        raise faults[0]
    for fault in faults:
        tell(f"left out: {fault}")
    return rows_.together(parts)


def _known(path: Path) -> Kind:
    """The format of what is there. Raises RecordingError where it is nothing that can be learned from."""
    if not path.exists():
        raise RecordingError(f"{path}: there is no such dataset")
    kind = kind_of(path)
    if kind == "tub 1":
        message = f"`python -m experiments.data {path} --convert NEW` makes it one of version 2"
        raise RecordingError(f"{path}: is a tub of version 1; {message}")
    if kind is None:
        message = "is no regular file" if path.suffix == ".npz" else f"is neither {KNOWN}"
        raise RecordingError(f"{path}: {message}")
    return kind


def _rows(path: Path, wanted: WantedRows, tell: Tell) -> Rows:
    """The rows of one recording. Raises TubError where it holds no good record."""
    from envs.recordings import arrays, driving

    kind = kind_of(path)
    if kind == "tub":
        found = driving.rows(path, wanted.spec, wanted.driving, tell)
    elif kind == "play":
        game = arrays.manifest(path)["game"]
        if wanted.game is not None and game != wanted.game:
            raise RecordingError(f"{path}: is a recording of {game}, not of {wanted.game}")
        found = arrays.from_folder(path, wanted.spec, tell)
    else:
        found = arrays.from_file(path, wanted.spec)
    rows_.check(found, wanted.spec, str(path))
    return found
