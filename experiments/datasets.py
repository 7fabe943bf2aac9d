"""Recorded drives as rows for an agent that learns from them: ``--data``.

What is understood: a tub (a folder with manifest.json, `envs/tub.py`), a folder with several of them, and a file of
arrays .npz: obs [T, ...] and action [T, ...] as the game has them, lap int64 [T], and any labels float32 [T] or
uint8 [T, ...].
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from agents.core import dataset
from agents.core.dataset import Rows
from agents.core.rows import Spec


def read(path: Path, spec: Spec) -> Rows:
    """Every row of the dataset at `path`, checked against what the game shows and does.

    Raises ValueError, one sentence that says what is wrong and where.
    """
    if not path.exists():
        raise ValueError(f"--data {path}: there is no such dataset")
    if path.suffix == ".npz":
        rows = _arrays(path)
    else:
        raise ValueError(f"--data {path}: is neither a tub (a folder with manifest.json) nor a file of arrays (.npz)")
    dataset.check(rows, spec, f"--data {path}")
    return rows


def _arrays(path: Path) -> Rows:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, KeyError) as fault:
        raise ValueError(f"--data {path}: cannot be read: {fault}") from None
    for name in ("obs", "action", "lap"):
        if name not in arrays:
            raise ValueError(f"--data {path}: holds no {name!r}, only {', '.join(sorted(arrays)) or 'nothing'}")
    sizes = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"--data {path}: the arrays differ in length: {sizes}")
    action = arrays.pop("action")
    whole = action.dtype.kind in "iu"
    lap = np.cumsum(np.append(0, np.diff(arrays.pop("lap")) != 0)).astype(np.int64)[: len(action)]
    return Rows(arrays.pop("obs"), action.astype(np.int64 if whole else np.float32), lap, arrays)
