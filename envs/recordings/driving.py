"""A tub as rows: steering and target speed of what somebody drove, as the pictures of an agent's own size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from agents.perception import preprocess
from envs.driving import unpack
from envs.recordings.rows import RecordingError, Rows, Tell
from envs.recordings.tub import Tub, TubError
from envs.text import shown

HOLDS = "is of colour pictures, steering and target speed; the game is not"


def rows(path: Path, spec: Any, driving: Any, tell: Tell) -> Rows:
    """The records that somebody drove; what is damaged is skipped and counted, what a network drove is no label.

    driving: how the game is driven (`envs.driving.Driving`). Raises TubError where there is no good record, else
    RecordingError.
    """
    if driving is None or len(spec.obs_shape) != 3 or not spec.action_dim:
        raise RecordingError(f"{path}: {HOLDS}")
    if driving.refusal is not None:
        raise RecordingError(f"{path}: holds driving; {driving.refusal}")
    tub = Tub(path)
    for remark in (*tub.faults, *tub.notes):
        tell(f"{path}: {remark}")
    if tub.damaged:
        tell(f"{path}: {len(tub.damaged)} damaged records are skipped; {tub.damaged[0]}")
    camera, recorded = driving.about().get("camera"), tub.metadata.get("camera")
    if camera is not None and isinstance(recorded, str) and recorded != camera and not driving.several_cameras:
        recorded = shown(recorded)
        raise RecordingError(f"{path}: was recorded by camera {recorded}, not {camera}: say --camera {recorded}")
    at = np.flatnonzero(tub.labelled)
    try:
        action = driving.actions(tub.records)  # [n, D]
    except KeyError as fault:
        held = ", ".join(map(shown, tub.records))
        raise TubError(f"{path}: has no column {fault.args[0]!r}; it has {held}") from None
    if not len(at):
        raise TubError(f"{path}: a network drove all of its {len(tub)} records: nothing to learn from")
    at = at[_sound(tub, at, driving, tell)]
    at, obs = _pictures(tub, at, driving.frame(), tell)
    info = {}
    for name, shape in driving.labels.items():
        column = tub.records.get(f"game/{name}")
        if column is not None and shape:
            info[name] = np.stack([_area(text, shape) for text in column[at]])
        elif column is not None:
            info[name] = column[at].astype(np.float32)
    # What was left out (deleted, damaged, driven by the network) is a gap: no stack of pictures reaches across it.
    first = tub.starts[at] | np.append(True, np.diff(at) != 1)
    return Rows(obs, action[at].astype(np.float32), tub.laps[at], info, first)


def _sound(tub: Tub, at: np.ndarray, driving: Any, tell: Tell) -> np.ndarray:
    """bool [n]: which of the records `at` have labels that can be. The others are counted, and the first one named.

    Raises TubError where none has.
    """
    good, first = np.ones(len(at), np.bool_), ""
    for k, row in enumerate(at):
        record = {name: column[row] for name, column in tub.records.items()}
        reason = driving.fault(record) or _area_fault(record, driving)
        if reason is not None:
            first = first or f"record {tub.index[row]}: {reason}"
            good[k] = False
    if not good.any():
        raise TubError(f"{tub.path}: no record has a label that can be; {first}")
    if first:
        tell(f"{tub.path}: {(~good).sum()} records without a good label are skipped; {first}")
    return good


def _area_fault(record: dict[str, Any], driving: Any) -> str | None:
    """What is wrong with the masks of one record; None: nothing."""
    for name, shape in driving.labels.items():
        if shape and f"game/{name}" in record:
            try:
                _area(record[f"game/{name}"], shape)
            except ValueError as fault:
                return f"game/{name}: {fault}"
    return None


def _pictures(tub: Tub, at: np.ndarray, frame: Any, tell: Tell) -> tuple[np.ndarray, np.ndarray]:
    """Which of the records `at` have a picture that can be read, and these pictures as the network sees them."""
    obs, lost = np.empty((len(at), frame.height, frame.width, 3), np.uint8), []
    for k, row in enumerate(at):
        try:
            obs[k] = preprocess.band(tub.image(int(row)), frame.height, frame.width, frame.top, frame.bottom)
        except TubError as fault:
            lost.append((k, fault))
        except ValueError as fault:
            raise RecordingError(f"{tub.path}: {fault}") from None
    if not lost:
        return at, obs
    if len(lost) == len(at):
        raise TubError(f"{tub.path}: no picture can be read; {lost[0][1]}")
    tell(f"{tub.path}: {len(lost)} records whose picture cannot be read are skipped; {lost[0][1]}")
    kept = np.delete(np.arange(len(at)), [k for k, _ in lost])
    return at[kept], obs[kept]


def _area(text: str, shape: tuple[int, ...]) -> np.ndarray:
    """The mask of one record, uint8, 255 where it is not known."""
    return unpack(text, shape) if text else np.full(shape, 255, np.uint8)
