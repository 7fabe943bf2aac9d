"""What is in a recording of play, arrays or Go games, and what would keep a network from learning from it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from envs.recordings import arrays
from envs.recordings.reader import Kind
from envs.recordings.rows import RecordingError
from envs.text import shown

ONE_ACTION = 0.9  # share of one action above which a network learns little else
FEW = 2000  # rows below which a person is warned
FROZEN = 0.5  # share of observations that equal the one before
NAMED = 18  # actions of a histogram that is printed


def summary(path: Path, kind: Kind) -> dict[str, Any]:
    """Figures of a recording, as JSON takes them. Raises RecordingError where nothing in it can be read."""
    return _games(path) if kind == "games" else _columns(path, kind)


def columns(path: Path, kind: Kind, faults: list[str]) -> dict[str, np.ndarray]:
    """The columns of a recording of play or arrays, [T, ...]. faults: gets a sentence for each file left out."""
    if kind == "arrays":
        found = arrays.load(path)
        for name in ("obs", "action"):
            if name not in found or found[name].dtype.kind not in arrays.NUMBERS or not found[name].ndim:
                raise RecordingError(f"{path}: holds no array of numbers {name!r}")
        if len(found["obs"]) != len(found["action"]):
            raise RecordingError(f"{path}: obs and action differ in length")
        return found
    parts = list(arrays.chunks(path, faults))
    if not parts:
        raise RecordingError(f"{path} has no good row" + (f"; {faults[0]}" if faults else ""))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _columns(path: Path, kind: Kind) -> dict[str, Any]:
    faults: list[str] = []
    found = columns(path, kind, faults)
    obs, action = found["obs"], found["action"]
    about = arrays.manifest(path) if kind == "play" else {}
    scores = about.get("scores", [])
    last = found.get("last", np.zeros(len(obs), np.bool_)).astype(np.bool_).reshape(-1)
    person = arrays.examples(found)
    chosen = action[~last] if last.shape == action.shape[:1] else action
    out = {
        "path": str(path), "kind": kind, "game": about.get("game"), "rows": len(obs), "games": int(last.sum()),
        "observation": f"{obs.dtype} {'x'.join(map(str, obs.shape[1:]))}",
        "by_agent": int((~person).sum()), "masks": "legal" in found, "faults": faults,
        "scores": scores, "score_mean": float(np.mean(scores)) if scores else None,
        "more": sorted(set(found) - {*arrays.SEALED, "person"}),
        "frozen": float((obs[1:] == obs[:-1]).reshape(len(obs) - 1, -1).all(1).mean()) if len(obs) > 1 else 0.0,
    }  # fmt: skip
    if action.dtype.kind == "f" or action.ndim > 1:
        flat = chosen.reshape(len(chosen), -1).astype(np.float64)
        with np.errstate(invalid="ignore"):
            moments = np.stack([flat.min(0), flat.mean(0), flat.max(0), flat.std(0)], 1) if len(flat) else []
        out["actions"] = [[float(x) for x in row] for row in moments]
    else:
        out["actions"] = {str(k): int(n) for k, n in zip(*np.unique(chosen, return_counts=True), strict=True)}
    return {**out, "warnings": _balance(out)}


def _balance(s: dict[str, Any]) -> list[str]:
    """What would keep a network from learning from this; empty: nothing was found."""
    out = []
    total = sum(s["actions"].values()) if isinstance(s["actions"], dict) else 0
    if total:
        action, most = max(s["actions"].items(), key=lambda item: item[1])
        if most > ONE_ACTION * total:
            out.append(f"it mostly does one thing: action {action} in {most / total:.0%} of the rows")
    elif s["actions"] and all(row[3] == 0 for row in s["actions"]):
        out.append("every action is the same")
    if s["rows"] < FEW:
        out.append(f"there are few rows: {s['rows']:,}")
    if s["by_agent"] == s["rows"]:
        out.append("no row is an example: an agent played all of them")
    if s["frozen"] > FROZEN:
        out.append(f"{s['frozen']:.0%} of the observations equal the one before")
    return out


def _games(path: Path) -> dict[str, Any]:
    """Game records in SGF."""
    from envs.go import dataset

    skipped: list[str] = []
    found = list(dataset.records([path], skipped))
    if not found:
        raise RecordingError(f"{path} has no good game" + (f"; {skipped[0]}" if skipped else ""))
    sizes = Counter(f"{game.size}x{game.size}" for game in found)
    results = Counter({1: "Black", -1: "White", 0: "nobody"}.get(game.winner, "unknown") for game in found)
    few = [f"there are few games: {len(found):,}"] if len(found) < 100 else []
    return {
        "path": str(path), "kind": "games", "game": "go", "games": len(found),
        "moves": sum(len(game.moves) for game in found), "boards": dict(sizes),
        "winners": dict(results), "faults": skipped, "warnings": few,
    }  # fmt: skip


def report(s: dict[str, Any]) -> str:
    """The figures for people."""
    if s["kind"] == "games":
        boards = ", ".join(f"{count:,} on {size}" for size, count in s["boards"].items())
        lines = [f"{s['path']}: {s['games']:,} games of Go, {s['moves']:,} moves; {boards}"]
        lines.append("  won by " + ", ".join(f"{who} {count:,}" for who, count in sorted(s["winners"].items())))
    else:
        what = f"play of {shown(s['game'])}" if s["game"] else "arrays"
        lines = [f"{s['path']}: {what}, {s['rows']:,} rows, {s['games']:,} games that ended; sees {s['observation']}"]
        if s["scores"]:
            lines.append(f"  scores: {', '.join(f'{x:g}' for x in s['scores'][-10:])}; mean {s['score_mean']:g}")
        lines += [f"  {s['by_agent']:,} rows were played by an agent, and are no examples"] * bool(s["by_agent"])
        lines += ["  each row tells which actions are legal"] * s["masks"]
        lines += [f"  more columns: {', '.join(map(shown, s['more'][:20]))}"] * bool(s["more"])
        lines += _action_lines(s["actions"])
    lines += [f"  left out: {fault}" for fault in s["faults"][:5]]
    lines += [f"  left out: {len(s['faults']) - 5:,} more"] * (len(s["faults"]) > 5)
    return "\n".join(lines + ([f"  warning: {w}" for w in s["warnings"]] or ["  balance: nothing to complain of"]))


def _action_lines(actions: Any) -> list[str]:
    if not isinstance(actions, dict):
        lines = [f"action {i}: {low:+.2f} to {high:+.2f}, mean {mean:+.2f}, deviation {std:.2f}"
                for i, (low, mean, high, std) in enumerate(actions[:NAMED])]  # fmt: skip
        return [f"  {line}" for line in lines]
    most = max(actions.values(), default=1)
    shown_ = sorted(actions.items(), key=lambda item: -item[1])[:NAMED]
    lines = [f"    action {name:>4}  {count:7,}  {'#' * -(-48 * count // most)}" for name, count in shown_]
    return lines + [f"    and {len(actions) - NAMED} more"] * (len(actions) > NAMED)
