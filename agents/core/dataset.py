"""Rows that somebody recorded: read into the same ring that agents fill by playing, split by lap.

Neighbouring frames are nearly the same picture. A validation set of frames drawn at random would be known by heart;
here whole laps are kept back, and training and validation are two rings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch

from agents.core.replay import ReplayBuffer
from agents.core.rows import Act, Spec, TimeStep


class Rows(NamedTuple):
    """T rows in the order of time."""

    obs: np.ndarray  # [T, *obs_shape], of the spec's dtype
    action: np.ndarray  # float32 [T, action_dim] in -1..1, or int64 [T]: what the teacher did
    lap: np.ndarray  # int64 [T], rising: rows of one lap stand together, a new number is an edge
    labels: dict[str, np.ndarray]  # more that is known, [T, ...]
    edge: np.ndarray | None = None  # bool [T]: rows that do not follow the one before, within a lap too; None: no gaps

    def take(self, at: np.ndarray) -> Rows:
        """The rows of the numbers `at`."""
        labels = {k: v[at] for k, v in self.labels.items()}
        return Rows(self.obs[at], self.action[at], self.lap[at], labels, None if self.edge is None else self.edge[at])

    @property
    def digest(self) -> str:
        """Of everything that is learned from: a resumed run refuses another dataset."""
        total = hashlib.sha256()
        gaps = () if self.edge is None else (self.edge,)
        for array in (self.obs, self.action, self.lap, *(self.labels[k] for k in sorted(self.labels)), *gaps):
            total.update(np.ascontiguousarray(array).data)
        return total.hexdigest()[:16]


def split(rows: Rows, share: float, seed: int) -> tuple[Rows, Rows]:
    """(training, validation): whole laps, drawn at random, until `share` of the rows is kept back.

    With a single lap there is nothing to keep back: validation is empty then.
    """
    laps, sizes = np.unique(rows.lap, return_counts=True)
    order = np.random.default_rng([17, seed]).permutation(len(laps))
    kept, total = [], 0
    for i in order[: len(laps) - 1]:
        if total >= share * len(rows.lap):
            break
        kept.append(laps[i])
        total += sizes[i]
    inside = np.isin(rows.lap, kept)
    return rows.take(np.flatnonzero(~inside)), rows.take(np.flatnonzero(inside))


def check(rows: Rows, spec: Spec, where: str) -> None:
    """Raises ValueError, in one sentence, where rows do not fit what an agent sees and does."""
    if not len(rows.obs):
        raise ValueError(f"{where} holds no rows")
    if rows.lap.ndim != 1:
        raise ValueError(f"{where}: lap must be one number a row, not {rows.lap.shape[1:]}")
    if rows.obs.shape[1:] != tuple(spec.obs_shape) or str(rows.obs.dtype) != spec.obs_dtype:
        raise ValueError(
            f"{where} shows {rows.obs.dtype} of {rows.obs.shape[1:]}, the game {spec.obs_dtype} of {spec.obs_shape}"
        )
    if spec.action_dim:
        if rows.action.shape[1:] != (spec.action_dim,):
            raise ValueError(f"{where} has actions of {rows.action.shape[1:]}, the game of ({spec.action_dim},)")
        wrong = ~(np.abs(rows.action) <= 1).all(1)  # nan is wrong too
    else:
        wrong = ~((rows.action >= 0) & (rows.action < spec.num_actions))
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise ValueError(f"{where}: the action of row {at} is outside the game's space: {rows.action[at]}")


def check_labels(rows: Rows, labels: Mapping[str, np.ndarray], where: str) -> None:
    """Raises ValueError, in one sentence, where a label is not what an agent learns from. labels: as in `Needs`."""
    for name, unknown in labels.items():
        label, wanted = rows.labels.get(name), np.shape(unknown)
        if label is not None and (label.shape[1:] != wanted or label.dtype.kind not in "fiub"):
            held = f"{label.dtype} of {label.shape[1:]}"
            raise ValueError(f"{where}: {name} must be numbers of {wanted} a row, not {held}")


def fill(ring: ReplayBuffer, rows: Rows, labels: Mapping[str, np.ndarray]) -> None:
    """Adds the rows to a ring, a stretch of time to each column. labels: as in `Needs`."""
    total, columns = len(rows.lap), ring.num_envs
    begins = np.append(True, np.diff(rows.lap) != 0)
    if rows.edge is not None:
        begins |= rows.edge
    known = {"expert": rows.action, **rows.labels}
    known = {k: v for k, v in known.items() if k in labels}
    for name, unknown in labels.items():
        if name not in known:
            known[name] = np.broadcast_to(unknown, (total, *np.shape(unknown)))
    length = -(-total // columns)
    for t in range(length):
        here = np.arange(t, total, length)  # one row for each column, which holds a stretch of time
        n = len(here)
        tensor = {k: torch.as_tensor(np.array(v[here])).to(ring.device) for k, v in known.items()}
        flag = torch.zeros(n, dtype=torch.bool, device=ring.device)
        step = TimeStep(
            obs=torch.as_tensor(rows.obs[here]).to(ring.device).unsqueeze(1),  # [n, 1, *obs_shape]
            reward=torch.zeros(n, device=ring.device),
            discount=torch.ones(n, device=ring.device),
            first=torch.as_tensor(begins[here] | (t == 0)).to(ring.device),
            last=flag,
        )
        action = torch.as_tensor(rows.action[here]).to(ring.device)
        ring.add(step, Act(action, tensor), None if n == columns else np.arange(n))
    ring.seal()
