"""Recorded rows in the ring that agents otherwise fill by playing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch

from agents.core.replay import ReplayBuffer
from agents.core.rows import Act, TimeStep


class Recorded(Protocol):
    """T rows in the order of time, as arrays of numpy (`envs.recordings.rows.Rows`). None: nothing is known."""

    obs: np.ndarray  # [T, *obs_shape]
    action: np.ndarray  # float32 [T, D], or int64 [T]
    info: Mapping[str, np.ndarray]  # name -> [T, ...]
    begins: np.ndarray  # bool [T], rows that do not follow the row before
    reward: np.ndarray | None  # float32 [T]
    discount: np.ndarray | None  # float32 [T]
    last: np.ndarray | None  # bool [T], rows whose action is ignored
    legal: np.ndarray | None  # bool [T, A]


def fill(ring: ReplayBuffer, rows: Recorded, wanted: Mapping[str, np.ndarray], masks: bool = False) -> None:
    """Adds the rows to a ring, a stretch of time to each column.

    wanted: as `info` of `Needs`; "expert" is what was done. masks: the game tells which actions are legal; rows of a
    recording that does not are taken to allow every action.
    """
    total, num = len(rows.action), ring.num_envs
    length = -(-total // num)
    columns, info = _columns(rows, masks, ring), _info(rows, wanted)
    columns["first"] = columns["first"].copy()
    columns["first"][::length] = True  # the stretch of each column begins anew

    for t in range(length):
        here = np.arange(t, total, length)  # one row for each column
        at = {name: _on_device(column[here], ring) for name, column in columns.items()}
        action, obs = at.pop("action"), at.pop("obs").unsqueeze(1)  # [n, 1, *obs_shape]
        step = TimeStep(obs=obs, **at)
        labels = {name: _on_device(column[here], ring) for name, column in info.items()}
        ring.add(step, Act(action, labels), None if len(here) == num else np.arange(len(here)))
    ring.seal()


def _columns(rows: Recorded, masks: bool, ring: ReplayBuffer) -> dict[str, np.ndarray]:
    """Every column of a row, [T, ...]; what the recording does not tell has its default."""
    total, begins = len(rows.action), rows.begins

    def of(column: np.ndarray | None, default: float) -> np.ndarray:
        return np.broadcast_to(np.float32(default), total) if column is None else column.astype(np.float32)

    last = np.zeros(total, np.bool_) if rows.last is None else rows.last.astype(np.bool_)
    if ring.window > 1:  # No transition leads across a gap. A single row has none, and its action is learned from.
        last = last | np.append(begins[1:], False)
    columns = {
        "obs": rows.obs, "action": rows.action, "reward": of(rows.reward, 0.0), "discount": of(rows.discount, 1.0),
        "first": begins, "last": last,
    }  # fmt: skip
    if masks:
        every = np.broadcast_to(np.True_, (total, ring.spec.num_actions))
        columns["legal"] = every if rows.legal is None else rows.legal.astype(np.bool_)
    return columns


def _info(rows: Recorded, wanted: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The wanted columns of info, [T, ...]; what the recording does not tell is unknown."""
    known, total, found = {"expert": rows.action, **rows.info}, len(rows.action), {}
    for name, unknown in wanted.items():
        dtype, shape = np.asarray(unknown).dtype, (total, *np.shape(unknown))
        with np.errstate(over="ignore", invalid="ignore"):
            found[name] = known[name].astype(dtype) if name in known else np.broadcast_to(unknown, shape)
    return found


def _on_device(column: np.ndarray, ring: ReplayBuffer) -> torch.Tensor:
    return torch.as_tensor(np.ascontiguousarray(column)).to(ring.device)
