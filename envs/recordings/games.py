"""Go games in SGF as rows; the records themselves are read in `envs.go.dataset`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from envs.recordings.rows import RecordingError, Rows, Tell


def from_files(paths: Sequence[Path], spec: Any, tell: Tell, komi: float | None = None) -> Rows:
    """All games on the board of `spec` in SGF files and folders of them, each a group. komi: where none is recorded.

    `info` holds outcome, score and ownership (`envs.go.dataset.rows`).
    """
    from envs.go import dataset

    where = str(paths[0])
    if len(spec.obs_shape) != 3 or spec.num_actions != spec.obs_shape[1] * spec.obs_shape[2] + 1:
        raise RecordingError(f"{where}: is a record of Go; the game is not")
    options = {} if komi is None else {"komi": komi}
    try:
        columns, skipped = dataset.load(paths, spec.obs_shape[1], dtype=spec.obs_dtype, **options)
    except (OSError, ValueError) as fault:
        raise RecordingError(str(fault)) from None
    if skipped:
        message = f"{len(skipped):,} game{'s are' if len(skipped) > 1 else ' is'} left out; {skipped[0]}"
        tell(f"{where}: {message}")
    own = {name: columns.pop(name) for name in ("obs", "action", "first", "reward", "discount", "last", "legal")}
    return Rows(group=np.cumsum(own["first"]) - 1, info=columns, **own)
