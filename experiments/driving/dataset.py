"""Datasets of driving: what is in them, what is wrong with them for a learner, and copies of parts of them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from envs.tub import Tub, Writer
from envs.tub_format import IMAGE, LISTED, STANDARD, TYPES, TubError

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
        "faults": tub.faults,
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
        f"  damaged {s['damaged']:,} (skipped), deleted {s['deleted']:,}",
    ]
    lines += [f"    {reason}" for reason in damaged[:5]]
    if len(damaged) > 5:
        lines.append(f"    and {len(damaged) - 5:,} more")
    lines += [f"  file: {fault}" for fault in s["faults"]]
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
    elif head == "lap" and tail.isdecimal():
        mask = tub.laps == int(tail)
    elif what.isdecimal():
        mask = tub.index == int(what)
    elif ":" in what and all(part.isdecimal() or not part for part in (head, tail)):
        mask = (tub.index >= int(head or 0)) & (tub.index < int(tail or tub.index[-1] + 1))
    else:
        raise TubError(f"{what!r} chooses no records; say A:B (records A to B-1), N, lap:K or off-road")
    if not mask.any():
        raise TubError(f"{what!r} chooses no records; {tub.path} has {tub.index[0]} to {tub.index[-1]}, "
                       f"laps 0 to {tub.laps[-1]}")  # fmt: skip
    return set(tub.index[mask].tolist())


Progress = Callable[[int], None]


def copy(sources: Iterable[tuple[Tub, np.ndarray]], out: Path, progress: Progress = lambda done: None) -> int:
    """Rows of datasets into a new one, pictures as they are; returns how many. Sessions stay what they were: records
    that were left out make no new laps of the rest, which a split would draw one by one."""
    sources = list(sources)
    for tub, _ in sources:
        if out.resolve().is_relative_to(tub.path.resolve()):
            raise TubError(f"{out} lies in the dataset {tub.path}; name a folder outside")
    if out.exists() and any(out.iterdir()):
        raise TubError(f"{out} is not empty; name a new folder")
    shapes = {str(tub.path): tub.shape for tub, _ in sources}
    if len(set(shapes.values())) > 1:
        told = ", ".join(f"{path} {shape[1]}x{shape[0]}" for path, shape in shapes.items())
        raise TubError(f"pictures of different sizes do not go into one dataset: {told}")
    columns: dict[str, str] = {}
    for tub, _ in sources:
        for name, kind in tub.columns.items():
            if columns.setdefault(name, kind) != kind:
                raise TubError(f"{tub.path}: column {name!r} holds {kind}, in another dataset {columns[name]}")
    extra = {name: kind for name, kind in columns.items() if name not in STANDARD and kind in TYPES}
    cameras = {str(tub.path): tub.metadata["camera"] for tub, _ in sources if "camera" in tub.metadata}
    if len(set(map(str, cameras.values()))) > 1:
        told = ", ".join(f"{path} {camera}" for path, camera in cameras.items())
        raise TubError(f"pictures of different cameras do not go into one dataset: {told}")
    about = {key: value for tub, _ in sources for key, value in tub.metadata.items()}
    done = 0
    with Writer(out, extra, metadata={**about, "sources": [str(tub.path) for tub, _ in sources]}) as writer:
        for tub, rows in sources:
            names, session, stamps = tub.records.get("_session_id"), None, _times(tub)
            for row in rows.tolist():
                name = "" if names is None else str(names[row])
                if done and name != session:
                    writer.new_session()
                values = {name: value for name, value in tub.row(row).items() if name in writer.columns}
                writer.write({**values, IMAGE: tub.jpeg(row)}, timestamp_ms=stamps[row])
                session, done = name, done + 1
                progress(done)
    return done


def _times(tub: Tub) -> list[int | None]:
    """When each record was made, or the one before it that tells; None where neither does."""
    newest, times = None, []
    for stamp in tub.records.get("_timestamp_ms", np.full(len(tub), np.nan)).tolist():
        newest = newest if math.isnan(stamp) else int(stamp)
        times.append(newest)
    return times


def split(tub: Tub, out: Path, validation: float, seed: int = 0) -> dict[str, int]:
    """Whole laps, drawn at random, into out/train and out/validation; returns the numbers of records."""
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
    return {name: copy([(tub, rows)], out / name) for name, rows in parts.items()}


def convert(path: Path, out: Path, progress: Progress = lambda done: None) -> tuple[int, list[str]]:
    """A dataset of version 1 (`record_N.json` beside its pictures) as a new one of version 2.

    Returns how many records went over, and a sentence for each that did not.
    """
    files = sorted(path.glob("record_*.json"), key=lambda p: (len(p.name), p.name)) if path.is_dir() else []
    if not files:
        raise TubError(f"{path} is no dataset of version 1: there are no record_N.json")
    if out.exists() and any(out.iterdir()):
        raise TubError(f"{out} is not empty; name a new folder")
    columns, picture = _old_columns(path, files)
    skipped: list[str] = []
    done = 0
    with Writer(out, {n: k for n, k in columns.items() if n not in STANDARD}, metadata={"converted": "1"}) as writer:
        for file in files:
            try:
                values = json.loads(file.read_bytes())
                name = values.pop(picture)
                if Path(name).name != name:
                    raise TubError(f"{picture} is {name!r}, not the name of a file")
                stamp = values.pop("milliseconds", None)
                row = {n: _old_value(v, columns[n]) for n, v in values.items() if n in columns and n != picture}
                if "user/angle" not in row:
                    raise TubError("there is no user/angle")
                writer.write({**row, IMAGE: (path / name).read_bytes()}, timestamp_ms=stamp)
                done += 1
                progress(done)
            except (KeyError, ValueError, TypeError, AttributeError, OSError) as fault:
                reason = f"there is no {fault}" if isinstance(fault, KeyError) else str(fault)
                skipped.append(f"{file.name}: {reason}")
    if not done:
        raise TubError(f"{path}: no record could be converted; {skipped[0]}")
    return done, skipped


def _old_columns(path: Path, files: Sequence[Path]) -> tuple[dict[str, str], str]:
    """Columns of a dataset of version 1, and the picture's name in it. Without meta.json, the usual ones."""
    try:
        meta = json.loads((path / "meta.json").read_bytes())
        found = dict(zip(meta["inputs"], meta["types"], strict=True))
    except FileNotFoundError:
        found = dict(STANDARD)
    except (ValueError, KeyError, TypeError) as fault:
        raise TubError(f"{path / 'meta.json'} is damaged: {fault}") from None
    pictures = [name for name, kind in found.items() if kind == "image_array"]
    if not pictures:
        raise TubError(f"{path / 'meta.json'} names no picture")
    kept = {n: k for n, k in found.items() if k in TYPES and k not in (*LISTED, "image_array")}
    return {**STANDARD, **kept}, IMAGE if IMAGE in pictures else pictures[0]


def _old_value(value: Any, kind: str) -> Any:
    if kind == "float" and isinstance(value, str):
        return float(value)
    return bool(value) if kind == "boolean" else value
