"""What every recording becomes for an agent that learns from it: rows, in the order of time.

Neighbouring frames are nearly the same picture. A validation set of frames drawn at random would be known by heart, so
that whole groups are kept back: laps of a drive, or games.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

Tell = Callable[[str], None]  # listener to one sentence about what was left out or set right


class RecordingError(ValueError):
    """What is wrong with a recording, and where."""


class Rows(NamedTuple):
    """T rows; what a row is stands in agents/core/rows.py. None: the recording does not tell."""

    obs: np.ndarray  # [T, *obs_shape], newest frame alone, of the spec's dtype
    action: np.ndarray  # player's action, float32 [T, action_dim] in -1..1, or int64 [T]
    group: np.ndarray  # int64 [T], rising: number of the lap or game, which training and validation do not share
    info: dict[str, np.ndarray] = {}  # noqa: RUF012  name -> [T, ...], more that is known, e.g. "lateral", "outcome"
    first: np.ndarray | None = None  # bool [T], rows that follow nothing, within a group too; None: no gap in a group
    reward: np.ndarray | None = None  # float32 [T], arrived with the row's observation; None: 0
    discount: np.ndarray | None = None  # float32 [T], 0, 1 or -1; None: 1
    last: np.ndarray | None = None  # bool [T], final rows of episodes, whose action is ignored; None: no row
    legal: np.ndarray | None = None  # bool [T, A]; None: every action

    def take(self, at: np.ndarray) -> Rows:
        """The rows of the numbers `at`."""
        return self._replace(
            info={name: column[at] for name, column in self.info.items()},
            **{name: column[at] for name, column in self._columns()},
        )

    def without(self, left_out: np.ndarray) -> Rows:
        """All rows but those of the mask `left_out`, bool [T]; each gap is the beginning of another stretch."""
        at = np.flatnonzero(~left_out)
        begins = self.begins[at] | np.append(True, np.diff(at) != 1)
        return self.take(at)._replace(first=begins[: len(at)])

    @property
    def begins(self) -> np.ndarray:
        """bool [T]: rows that do not follow the row before: `first`, a new group, or after a final row."""
        found = np.append(True, np.diff(self.group) != 0)[: len(self.group)]
        if self.first is not None:
            found = found | self.first
        if self.last is not None:
            found[1:] |= self.last[:-1]
        return found

    @property
    def digest(self) -> str:
        """A fingerprint of everything that is learned from: a resumed run refuses another recording."""
        total = hashlib.sha256()
        columns = dict(self._columns())
        head = [columns.pop(name) for name in ("obs", "action", "group")]
        for array in (*head, *(self.info[name] for name in sorted(self.info)), *columns.values()):
            total.update(np.ascontiguousarray(array).data if array.dtype.kind in "fiub" else array.tobytes())
        return total.hexdigest()[:16]

    def _columns(self) -> Iterator[tuple[str, np.ndarray]]:
        """Name and array of every column that is there, `info` left out."""
        for name in self._fields:
            column = getattr(self, name)
            if name != "info" and column is not None:
                yield name, column


DEFAULTS: dict[str, Any] = {"reward": np.float32(0), "discount": np.float32(1), "last": False, "legal": True}


def together(parts: Sequence[Rows]) -> Rows:
    """Several recordings as one, in their order. `info` that one of them lacks is not taken from the others."""
    if len(parts) == 1:
        return parts[0]
    before = np.cumsum([0, *(int(part.group[-1]) + 1 for part in parts)])
    parts = [part._replace(group=part.group + count) for part, count in zip(parts, before, strict=False)]
    info = set.intersection(*(set(part.info) for part in parts))
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ("obs", "action", "group")}
    for name, default in DEFAULTS.items():
        held = [getattr(part, name) for part in parts]
        one = next((column for column in held if column is not None), None)
        if one is not None:
            fill = [np.full((len(p.group), *one.shape[1:]), default, one.dtype) for p in parts]
            columns[name] = np.concatenate([f if h is None else h for f, h in zip(fill, held, strict=True)])
    if any(part.first is not None for part in parts):
        columns["first"] = np.concatenate([part.begins if part.first is None else part.first for part in parts])
    return Rows(info={k: np.concatenate([part.info[k] for part in parts]) for k in sorted(info)}, **columns)


def split(rows: Rows, share: float, seed: int) -> tuple[Rows, Rows]:
    """(training, validation): whole groups, drawn at random, until `share` of the rows is kept back.

    With a single group there is nothing to keep back: validation is empty then.
    """
    groups, sizes = np.unique(rows.group, return_counts=True)
    order = np.random.default_rng([17, seed]).permutation(len(groups))
    kept, total = [], 0
    for i in order[: len(groups) - 1]:
        if total >= share * len(rows.group):
            break
        kept.append(groups[i])
        total += sizes[i]
    inside = np.isin(rows.group, kept)
    return rows.take(np.flatnonzero(~inside)), rows.take(np.flatnonzero(inside))


def check(rows: Rows, spec: Any, where: str) -> None:
    """Raises RecordingError, in one sentence, where rows do not fit what an agent sees and does (its Spec)."""
    count = len(rows.obs)
    if not count:
        raise RecordingError(f"{where} holds no rows")
    if rows.group.ndim != 1:
        raise RecordingError(f"{where}: lap must be one number a row, not {rows.group.shape[1:]}")
    if rows.obs.shape[1:] != tuple(spec.obs_shape) or str(rows.obs.dtype) != spec.obs_dtype:
        raise RecordingError(
            f"{where} shows {rows.obs.dtype} of {rows.obs.shape[1:]}, the game {spec.obs_dtype} of {spec.obs_shape}"
        )
    if rows.obs.dtype.kind == "f":
        _refuse(~np.isfinite(rows.obs.reshape(count, -1)).all(1), "what was seen in row {} is not finite", where)
    _check_actions(rows, spec, where)
    for name in ("first", "reward", "discount", "last"):
        column = getattr(rows, name)
        if column is not None and column.shape != (count,):
            raise RecordingError(f"{where}: {name} must be one number a row, not {column.shape[1:]}")
    if rows.reward is not None:
        _refuse(~np.isfinite(rows.reward), "the reward of row {} is not finite", where)
    if rows.discount is not None:
        _refuse(~np.isin(rows.discount, (0, 1, -1)), "the discount of row {} is not 0, 1 or -1", where)


def _check_actions(rows: Rows, spec: Any, where: str) -> None:
    """Whether every action is one of the game's, and allowed where the recording tells what was."""
    free = np.zeros(len(rows.obs), np.bool_) if rows.last is None else rows.last.astype(bool).reshape(-1)
    if spec.action_dim:
        if rows.action.shape[1:] != (spec.action_dim,):
            raise RecordingError(f"{where} has actions of {rows.action.shape[1:]}, the game of ({spec.action_dim},)")
        wrong = ~(np.abs(rows.action) <= 1).all(1)  # nan is wrong too
    else:
        if rows.action.ndim != 1:
            raise RecordingError(f"{where} has actions of {rows.action.shape[1:]}, the game of one whole number")
        wrong = ~((rows.action >= 0) & (rows.action < spec.num_actions))
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise RecordingError(f"{where}: the action of row {at} is outside the game's space: {rows.action[at]}")
    if rows.legal is None:
        return
    if spec.action_dim or rows.legal.shape != (len(rows.obs), spec.num_actions):
        raise RecordingError(f"{where}: legal is of {rows.legal.shape[1:]}, the game has {spec.num_actions} actions")
    allowed = np.take_along_axis(rows.legal, rows.action[:, None], 1)[:, 0]
    _refuse(~allowed & ~free, "the action of row {} is not legal there", where)


def _refuse(wrong: np.ndarray, sentence: str, where: str) -> None:
    if wrong.any():
        raise RecordingError(f"{where}: " + sentence.format(int(np.flatnonzero(wrong)[0])))


def check_info(rows: Rows, wanted: dict[str, np.ndarray], where: str) -> None:
    """Raises RecordingError where a column of `info` is not what an agent learns from. wanted: as in `Needs`."""
    for name, unknown in wanted.items():
        column, shape = rows.info.get(name), np.shape(unknown)
        if column is not None and (column.shape[1:] != shape or column.dtype.kind not in "fiub"):
            held = f"{column.dtype} of {column.shape[1:]}"
            raise RecordingError(f"{where}: {name} must be numbers of {shape} a row, not {held}")
