"""Records of driving chosen by a person, and copies of parts of recordings: merged, or split into whole laps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from envs.recordings.tub import Tub, TubWriter
from envs.recordings.tub_format import IMAGE, STANDARD, TubError
from envs.recordings.tub_writer import RecordError
from envs.text import shown


def choose(tub: Tub, what: str) -> set[int]:
    """Indexes of good records: "A:B" (from A to before B, either may be missing), "N", "lap:K", "off-road".

    Raises TubError for anything else, and where nothing is chosen.
    """
    head, _, tail = what.partition(":")
    if what == "off-road":
        if "game/off_road" not in tub.records:
            raise TubError(f"{tub.path} does not tell when it was off the road")
        mask = tub.records["game/off_road"]
    elif head == "lap" and is_number(tail):
        mask = tub.laps == int(tail)
    elif is_number(what):
        mask = tub.index == int(what)
    elif ":" in what and all(is_number(part) or not part for part in (head, tail)):
        mask = (tub.index >= int(head or 0)) & (tub.index < int(tail or tub.index[-1] + 1))
    else:
        raise TubError(f"{what!r} chooses no records; say A:B (records A to B-1), N, lap:K or off-road")
    if not mask.any():
        raise TubError(f"{what!r} chooses no records; {tub.path} has {tub.index[0]} to {tub.index[-1]}, "
                       f"laps 0 to {tub.laps[-1]}")  # fmt: skip
    return set(tub.index[mask].tolist())


def is_number(text: str) -> bool:
    """Is it the number of a record, such as 0 or 1200? (`isdigit` takes ² too, which `int` does not.)"""
    return text.isascii() and text.isdecimal() and len(text) <= 15


Progress = Callable[[int], None]


def check_new(out: Path, sources: Iterable[Path]) -> None:
    """Raises TubError where a copy cannot go."""
    for path in sources:
        if out.resolve().is_relative_to(path.resolve()):
            raise TubError(f"{out} lies in the dataset {path}; name a folder outside")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise TubError(f"{out} is not empty; name a new folder")


def partly(fault: Exception, out: Path, done: int) -> TubError:
    """What ended a copy in the middle, and what is there."""
    message = fault.strerror if isinstance(fault, OSError) else fault
    return TubError(f"{message}; {out} holds only the first {done:,} records")


def copy(
    sources: Iterable[tuple[Tub, np.ndarray]], out: Path, progress: Progress = lambda done: None,
    skipped: list[str] | None = None,
) -> int:  # fmt: skip
    """Rows of datasets into a new one, pictures as they are; returns how many. Sessions stay what they were: records
    that were left out make no new laps of the rest, which a split would draw one by one. skipped: gets a sentence for
    each record whose picture cannot be read after all."""
    sources, skipped = list(sources), [] if skipped is None else skipped
    check_new(out, [tub.path for tub, _ in sources])
    for tub, _ in sources:
        tub.require("user/angle")
    columns, about = _together([tub for tub, _ in sources])
    extra = {name: kind for name, kind in columns.items() if name not in STANDARD}
    done = 0
    with TubWriter(out, extra, metadata={**about, "sources": [str(tub.path) for tub, _ in sources]}) as writer:
        for tub, rows in sources:
            names, session, stamps = tub.records.get("_session_id"), None, _times(tub)
            for row in rows.tolist():
                name = "" if names is None else str(names[row])
                if done and name != session:
                    writer.new_session()
                values = {name: value for name, value in tub.row(row).items() if name in writer.columns}
                try:
                    values[IMAGE] = _picture(tub, row)
                    writer.write(values, timestamp_ms=stamps[row], timed=stamps[row] is not None)
                except RecordError as fault:
                    skipped.append(f"{tub.path}: record {tub.index[row]}: {fault}")
                    continue
                except (OSError, TubError) as fault:
                    raise partly(fault, out, done) from fault
                session, done = name, done + 1
                progress(done)
    if not done:
        raise TubError(f"no record could be copied; {skipped[0]}" if skipped else "there are no records to copy")
    return done


def _picture(tub: Tub, row: int) -> bytes:
    try:
        return tub.jpeg(row)
    except TubError as fault:  # a change since it was looked at
        raise RecordError(str(fault)) from None


def _together(tubs: Sequence[Tub]) -> tuple[dict[str, str], dict[str, Any]]:
    """Columns of several datasets in one, and the metadata that they agree about. Raises TubError where they do not go
    together."""
    shapes = {str(tub.path): tub.shape for tub in tubs}
    if len(set(shapes.values())) > 1:
        message = ", ".join(f"{path} {shape[1]}x{shape[0]}" for path, shape in shapes.items())
        raise TubError(f"pictures of different sizes do not go into one dataset: {message}")
    columns: dict[str, str] = {}
    for tub in tubs:
        for name, kind in tub.columns.items():
            if columns.setdefault(name, kind) != kind:
                raise TubError(f"{tub.path}: column {name!r} holds {kind}, in another dataset {columns[name]}")
    cameras = {str(tub.path): tub.metadata["camera"] for tub in tubs if "camera" in tub.metadata}
    if len(set(map(str, cameras.values()))) > 1:
        message = ", ".join(f"{path} {shown(str(camera))}" for path, camera in cameras.items())
        raise TubError(f"pictures of different cameras do not go into one dataset: {message}")
    about = {key: value for tub in tubs for key, value in tub.metadata.items()}
    return columns, {k: v for k, v in about.items() if all(tub.metadata.get(k, v) == v for tub in tubs)}


def _times(tub: Tub) -> list[int | None]:
    """When each record was made, or the one before it that tells; None where neither does."""
    newest, times = None, []
    for stamp in tub.records.get("_timestamp_ms", np.full(len(tub), np.nan)).tolist():
        newest = newest if math.isnan(stamp) else int(stamp)
        times.append(newest)
    return times


def split(tub: Tub, out: Path, validation: float, seed: int = 0, skipped: list[str] | None = None) -> dict[str, int]:
    """Whole laps, drawn at random, into out/train and out/validation; returns the numbers of records. skipped: as of
    `copy`."""
    if out.resolve().is_relative_to(tub.path.resolve()):
        raise TubError(f"--split {out}: name a folder outside the dataset")
    laps = np.unique(tub.laps)
    if len(laps) < 2:
        raise TubError(f"{tub.path} has one lap; a split needs two")
    count = min(max(1, round(validation * len(laps))), len(laps) - 1)
    chosen = np.random.default_rng([23, seed]).permutation(laps)[:count]
    held = np.isin(tub.laps, chosen)
    parts = {"train": np.flatnonzero(~held), "validation": np.flatnonzero(held)}
    for name in parts:
        if (out / name).exists():
            raise TubError(f"{out / name} exists already; name a new folder")
    return {name: copy([(tub, rows)], out / name, skipped=skipped) for name, rows in parts.items()}
