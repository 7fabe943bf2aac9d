"""Datasets of driving: what is in them, what is wrong with them for a learner, and copies of parts of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from envs.text import shown
from envs.tub import Tub, Writer
from envs.tub_format import IMAGE, STANDARD, TubError
from envs.tub_writer import RecordError

BINS = 21  # of the steering histogram; the middle one is "straight on"
STRAIGHT = 0.05  # steering below this is straight on
FPS = 20.0

# Limits of the balance report.
MOSTLY_STRAIGHT = 0.7  # share of straight records above which a network learns little else
LITTLE_STEERING = 0.08  # standard deviation of steering below which it "only goes straight"
ONE_SIDED = 0.8  # share of all bends to one side
FEW = 2000  # records: less than two minutes
FROZEN = 0.02  # share of pictures that equal the one before
OFF_ROAD = 0.25


def statistics(tub: Tub) -> dict[str, Any]:
    """Numbers of a dataset, as JSON takes them; steering is that of labels. Raises TubError where there are none."""
    tub.require("user/angle")
    get = tub.records.get
    steer = tub.records["user/angle"][tub.labelled]
    mode, overrides = get("user/mode"), get("override")
    crc = get("_image_crc32")
    frozen = 0.0
    if crc is not None and len(tub) > 1:
        frozen = float(((crc[1:] == crc[:-1]) & ~tub.starts[1:]).mean())
    counts, _ = np.histogram(steer, BINS, (-1.0, 1.0))
    bends = np.abs(steer) >= STRAIGHT
    speed, laps = get("game/speed"), get("game/lap_time")
    times = np.array([]) if laps is None else laps[np.concatenate([[True], laps[1:] != laps[:-1]]) & (laps > 0)]
    off = get("game/off_road")
    return {
        "path": str(tub.path),
        "records": len(tub),
        "labelled": int(tub.labelled.sum()),
        "minutes": _minutes(tub),
        "damaged": len(tub.damaged),
        "deleted": tub.deleted,
        "lost": tub.lost,
        "faults": tub.faults,
        "notes": tub.notes,
        "height": tub.shape[0],
        "width": tub.shape[1],
        "sessions": len(tub.sessions),
        "laps": int(tub.laps[-1]) + 1,
        "tracks": 0 if get("game/track") is None else len(np.unique(get("game/track"))),
        "overrides": 0 if overrides is None else int(overrides.sum()),
        "by_network": 0 if mode is None else int((mode == "local").sum()),
        "histogram": counts.tolist(),
        "steering_mean": float(steer.mean()) if len(steer) else None,
        "steering_std": float(steer.std()) if len(steer) else None,
        "straight": float(1.0 - bends.mean()) if len(steer) else None,
        "right": float((steer[bends] > 0).mean()) if bends.any() else None,
        "constant_error": float(np.abs(steer - np.median(steer)).mean()) if len(steer) else None,
        "speed_mean": None if speed is None else float(np.nanmean(speed)),
        "off_road": None if off is None else float(off.mean()),
        "lap_times": [round(float(t), 2) for t in times],
        "frozen": frozen,
    }


def _minutes(tub: Tub) -> float:
    """Time that the records cover: gaps and pauses between them count as one step."""
    stamps = tub.records.get("_timestamp_ms")
    if stamps is None or len(tub) < 2:
        return len(tub) / FPS / 60.0
    steps = np.diff(stamps)[~tub.starts[1:]] / 1000.0
    steps = steps[np.isfinite(steps)]  # records without a time
    usual = float(np.median(steps)) if len(steps) else 1.0 / FPS
    return float((np.clip(steps, 0.0, 5 * usual).sum() + usual * tub.starts.sum()) / 60.0)


def balance(s: dict[str, Any]) -> list[str]:
    """What would keep a network from learning to drive from this; empty: nothing was found."""
    out = []
    if not s["labelled"]:
        return ["no record is a label: all were driven by a network; drive yourself, or take over while it drives"]
    if s["straight"] > MOSTLY_STRAIGHT or s["steering_std"] < LITTLE_STEERING:
        out.append(
            f"it only goes straight: {s['straight']:.0%} of the records steer less than {STRAIGHT:g} (deviation "
            f"{s['steering_std']:.2f}); drive more bends, mirror the pictures, weigh bends higher, or correct by DAgger"
        )
    if s["right"] is not None and not 1 - ONE_SIDED <= s["right"] <= ONE_SIDED:
        side, share = ("right", s["right"]) if s["right"] > 0.5 else ("left", 1 - s["right"])
        out.append(f"it only turns {side}: {share:.0%} of the bends; mirror the pictures or drive the other way round")
    if s["labelled"] < FEW:
        out.append(f"there are few records: {s['labelled']:,}; 10 minutes, 12,000 records, are a good beginning")
    if s["laps"] < 2:
        out.append("there is one lap: none is left for validation")
    if s["off_road"] is not None and s["off_road"] > OFF_ROAD:
        out.append(f"{s['off_road']:.0%} of the time the kart was off the road: `--delete off-road` takes that out")
    if s["frozen"] > FROZEN:
        out.append(f"{s['frozen']:.0%} of the pictures equal the one before: the camera or the window stood still")
    return out


def report(s: dict[str, Any], damaged: Sequence[str] = ()) -> str:
    """The statistics for people."""
    lines = [
        f"{s['path']}: {s['records']:,} records, {s['minutes']:.1f} minutes, pictures {s['width']}x{s['height']}",
        f"  {s['sessions']} sessions, {s['laps']} laps, {s['tracks']} tracks; {s['labelled']:,} labels, "
        f"{s['overrides']:,} of them overrides; {s['by_network']:,} driven by a network",
        f"  damaged {s['damaged']:,} (skipped), deleted {s['deleted']:,}, lost {s['lost']:,}",
    ]
    lines += [f"    {reason}" for reason in damaged[:5]]
    if len(damaged) > 5:
        lines.append(f"    and {len(damaged) - 5:,} more")
    lines += [f"  file: {fault}" for fault in s["faults"]]
    lines += [f"  note: {note}" for note in s["notes"]]
    if s["labelled"]:
        lines.append("  steering, left to right:")
        most = max(s["histogram"])
        for k, count in enumerate(s["histogram"]):
            low = -1.0 + 2.0 * k / BINS
            bar = "#" * math.ceil(48 * count / most)
            lines.append(f"    {low:+5.2f} .. {low + 2.0 / BINS:+5.2f}  {count:7,}  {bar}")
        lines.append(
            f"  mean {s['steering_mean']:+.3f}, deviation {s['steering_std']:.3f}, straight {s['straight']:.0%}; "
            f"the best constant errs by {s['constant_error']:.3f}: a network must do better"
        )
    if s["lap_times"]:
        times = np.array(s["lap_times"])
        lines.append(f"  {len(times)} lap times: best {times.min():.2f} s, median {np.median(times):.2f} s")
    warnings = balance(s)
    lines += [f"  warning: {text}" for text in warnings] or ["  balance: nothing to complain of"]
    return "\n".join(lines)


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
    told = fault.strerror if isinstance(fault, OSError) else fault
    return TubError(f"{told}; {out} holds only the first {done:,} records")


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
    with Writer(out, extra, metadata={**about, "sources": [str(tub.path) for tub, _ in sources]}) as writer:
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
    except TubError as fault:  # since it was looked at
        raise RecordError(str(fault)) from None


def _together(tubs: Sequence[Tub]) -> tuple[dict[str, str], dict[str, Any]]:
    """Columns of several datasets in one, and the metadata that they agree about. Raises TubError where they do not go
    together."""
    shapes = {str(tub.path): tub.shape for tub in tubs}
    if len(set(shapes.values())) > 1:
        told = ", ".join(f"{path} {shape[1]}x{shape[0]}" for path, shape in shapes.items())
        raise TubError(f"pictures of different sizes do not go into one dataset: {told}")
    columns: dict[str, str] = {}
    for tub in tubs:
        for name, kind in tub.columns.items():
            if columns.setdefault(name, kind) != kind:
                raise TubError(f"{tub.path}: column {name!r} holds {kind}, in another dataset {columns[name]}")
    cameras = {str(tub.path): tub.metadata["camera"] for tub in tubs if "camera" in tub.metadata}
    if len(set(map(str, cameras.values()))) > 1:
        told = ", ".join(f"{path} {shown(str(camera))}" for path, camera in cameras.items())
        raise TubError(f"pictures of different cameras do not go into one dataset: {told}")
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
