"""What is in a recording of driving, and what would keep a network from learning from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from envs.recordings.tub import Tub

BINS = 21  # bins of the steering histogram; the middle one is "straight on"
STRAIGHT = 0.05  # steering below this is straight on
FPS = 20.0

# Limits of the balance report.
MOSTLY_STRAIGHT = 0.7  # share of straight records above which a network learns little else
LITTLE_STEERING = 0.08  # standard deviation of steering below which it "only goes straight"
ONE_SIDED = 0.8  # share of all bends to one side
FEW = 2000  # records below which a person is warned: less than two minutes
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


def length(minutes: float) -> str:
    """How long a recording is; a short one in seconds, since 0.0 minutes says nothing."""
    return f"{minutes:.1f} minutes" if minutes >= 1 else f"{60 * minutes:.0f} s"


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
        f"{s['path']}: {s['records']:,} records, {length(s['minutes'])}, pictures {s['width']}x{s['height']}",
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
