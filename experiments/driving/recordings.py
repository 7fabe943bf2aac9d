"""Recorded drives as rows for an agent that learns from them: ``--data``.

What is understood: a tub (a folder with manifest.json, `envs/recordings/tub.py`), a folder with several of them, and a
file of arrays .npz: obs [T, ...] and action [T, ...] as the game has them, lap int64 [T], and any labels float32 [T] or
uint8 [T, ...].
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from agents.core import dataset
from agents.core.dataset import Rows
from agents.core.rows import Spec
from agents.perception import preprocess
from envs.recordings.tub import Tub, TubError
from envs.text import shown
from experiments import cli


def read(path: Path, spec: Spec, camera: str | None = None) -> Rows:
    """Every row of the dataset at `path`, checked against what the game shows and does. camera: the game's.

    Raises ValueError, one sentence that says what is wrong and where.
    """
    if not path.exists():
        raise ValueError(f"--data {path}: there is no such dataset")
    if path.suffix == ".npz":
        if not path.is_file():
            raise ValueError(f"--data {path}: is no regular file")
        rows = _arrays(path, spec)
    else:
        found = [path] if _is_tub(path) else sorted(p for p in path.glob("*") if _is_tub(p))
        if {"train", "validation"} <= {p.name for p in found}:
            raise ValueError(f"--data {path}: is split into train and validation; name {path / 'train'}")
        if not found:
            told = "is neither a tub (a folder with manifest.json), nor a folder of them, nor a file of arrays (.npz)"
            raise ValueError(f"--data {path}: {told}")
        rows = _together(_tubs(found, spec, camera))
    dataset.check(rows, spec, f"--data {path}")
    return rows


def _is_tub(path: Path) -> bool:
    """Is it the folder of a dataset, one that has lost its manifest included?"""
    return (path / "manifest.json").is_file() or any(path.glob("catalog_*.catalog"))


def _tubs(found: Sequence[Path], spec: Spec, camera: str | None) -> list[Rows]:
    """Those of them that hold a good record; one at least must."""
    parts, faults = [], []
    for folder in found:
        try:
            parts.append(_tub(folder, spec, camera))
        except TubError as fault:
            faults.append(fault)
    if not parts:
        raise faults[0]
    for fault in faults:
        cli.tell(f"left out: {fault}")
    return parts


def _tub(path: Path, spec: Spec, camera: str | None) -> Rows:
    """The records that somebody drove; what is damaged is skipped and counted, what a network drove is no label.

    Raises TubError where there is no good record, else ValueError.
    """
    from envs.kart.line import TOP_SPEED
    from envs.kart.options import PICTURES

    tub = Tub(path)
    for told in (*tub.faults, *tub.notes):
        cli.tell(f"{path}: {told}")
    if tub.damaged:
        cli.tell(f"{path}: {len(tub.damaged)} damaged records are skipped; {tub.damaged[0]}")
    recorded = tub.metadata.get("camera")
    if camera is not None and isinstance(recorded, str) and recorded != camera:
        recorded = shown(recorded)
        raise ValueError(f"--data {path}: was recorded by camera {recorded}, not {camera}: say --camera {recorded}")
    for name in ("user/angle", "user/target_speed"):
        if name not in tub.records:
            raise TubError(f"--data {path}: has no column {name!r}; it has {', '.join(map(shown, tub.records))}")
    at = np.flatnonzero(tub.labelled)
    if not len(at):
        raise TubError(f"--data {path}: a network drove all of its {len(tub)} records: nothing to learn from")
    at = at[_sound(tub, at, path, TOP_SPEED)]
    if len(spec.obs_shape) != 3 or spec.action_dim != 2:
        raise ValueError(f"--data {path}: is of colour pictures, steering and target speed; the game is not")
    height, width, _ = spec.obs_shape
    cuts = {(h, w): (top, bottom) for h, w, _, top, bottom in PICTURES.values()}.get((height, width), (0.0, 0.0))
    obs, lost = np.empty((len(at), height, width, 3), np.uint8), []
    for k, row in enumerate(at):
        try:
            obs[k] = preprocess.band(tub.image(int(row)), height, width, *cuts)
        except TubError as fault:
            lost.append((k, fault))
        except ValueError as fault:
            raise ValueError(f"--data {path}: {fault}") from None
    if lost:
        if len(lost) == len(at):
            raise TubError(f"--data {path}: no picture can be read; {lost[0][1]}")
        cli.tell(f"{len(lost)} records whose picture cannot be read are skipped; {lost[0][1]}")
        kept = np.delete(np.arange(len(at)), [k for k, _ in lost])
        obs, at = obs[kept], at[kept]
    angle, speed = tub.records["user/angle"][at], tub.records["user/target_speed"][at]
    action = np.stack([angle, np.clip(2 * speed / TOP_SPEED - 1, -1, 1)], 1).astype(np.float32)  # rounding only
    labels = {
        name: tub.records[f"game/{name}"][at].astype(np.float32)
        for name in ("lateral", "heading")
        if f"game/{name}" in tub.records
    }
    if "game/drivable" in tub.records:
        labels["drivable"] = np.stack([_area(text) for text in tub.records["game/drivable"][at]])
    # What was left out (deleted, damaged, driven by the network) is a gap: no stack of pictures reaches across it.
    return Rows(obs, action, tub.laps[at], labels, tub.starts[at] | np.append(True, np.diff(at) != 1))


def _sound(tub: Tub, at: np.ndarray, path: Path, top: float) -> np.ndarray:
    """bool [n]: which of the records `at` have labels that can be. The others are counted, and the first one named.

    Raises TubError where none has.
    """
    good = np.ones(len(at), np.bool_)
    speed = tub.records["user/target_speed"]
    for k, row in enumerate(at):
        reason = None
        if np.isnan(speed[row]):
            reason = "there is no user/target_speed"
        elif not -0.01 <= speed[row] <= 1.01 * top:
            reason = f"user/target_speed is {speed[row]:g} m/s, outside 0 to {top:g}"
        elif "game/drivable" in tub.records:
            try:
                _area(tub.records["game/drivable"][row])
            except ValueError as fault:
                reason = f"game/drivable: {fault}"
        if reason is not None:
            if good.all():
                first = f"record {tub.index[row]}: {reason}"
            good[k] = False
    if not good.any():
        raise TubError(f"--data {path}: no record has a label that can be; {first}")
    if not good.all():
        cli.tell(f"{path}: {(~good).sum()} records without a good label are skipped; {first}")
    return good


def _area(text: str) -> np.ndarray:
    """The drivable area of one record, uint8 [15, 20], 255 where it is not known."""
    from experiments.driving.races import unpack

    return unpack(text) if text else np.full((15, 20), 255, np.uint8)


def _together(parts: Sequence[Rows]) -> Rows:
    """Several recordings as one; a label that one of them lacks is not taken from the others."""
    laps = np.cumsum([0, *(int(p.lap[-1]) + 1 for p in parts)])
    names = set.intersection(*(set(p.labels) for p in parts))
    return Rows(
        np.concatenate([p.obs for p in parts]),
        np.concatenate([p.action for p in parts]),
        np.concatenate([p.lap + first for p, first in zip(parts, laps, strict=False)]),
        {k: np.concatenate([p.labels[k] for p in parts]) for k in sorted(names)},
        np.concatenate([p.edge for p in parts]),
    )


def _arrays(path: Path, spec: Spec) -> Rows:
    try:
        with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, KeyError) as fault:
        raise ValueError(f"--data {path}: cannot be read: {fault}") from None
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray) or (name in ("action", "lap") and array.dtype.kind not in "fiu"):
            raise ValueError(f"--data {path}: {name!r} is no array of numbers")
    if "expert" in arrays:
        raise ValueError(f"--data {path}: holds 'expert'; what the teacher does is 'action'")
    for name in ("obs", "action", "lap"):
        if name not in arrays:
            raise ValueError(f"--data {path}: holds no {name!r}, only {', '.join(sorted(arrays)) or 'nothing'}")
    sizes = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"--data {path}: the arrays differ in length: {sizes}")
    action, lap = arrays.pop("action"), arrays.pop("lap")
    if not spec.action_dim and action.dtype.kind == "f":
        raise ValueError(f"--data {path}: the game's actions are whole numbers, not {action.dtype}")
    if lap.ndim == 1:  # what else it is, is told of with the rest
        lap = np.cumsum(np.append(0, np.diff(lap) != 0)).astype(np.int64)[: len(action)]
    return Rows(arrays.pop("obs"), action.astype(spec.action_dtype), lap, arrays)
