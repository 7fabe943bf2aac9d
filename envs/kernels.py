"""Compiled kernels of an older source are dropped.

numba stores a kernel beside its file and compiles anew when *that file* changes, but not when a function or constant
that it takes from another file does: after an update an old kernel would run silently. So a kernel that is older
than the newest source of its package goes. (With NUMBA_CACHE_DIR set numba stores them there, in folders that begin
with the package's name.)
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

PACKAGES = ("envs/flappy", "envs/go", "envs/kart", "agents/search")


def drop_stale(root: Path) -> int:
    """Looks at the PACKAGES under `root`; returns how many stored kernels were dropped."""
    dropped = 0
    for package in PACKAGES:
        newest = max((p.stat().st_mtime for p in (root / package).glob("*.py")), default=0.0)
        stored = [*(root / package / "__pycache__").glob("*.nbi")]
        if elsewhere := os.environ.get("NUMBA_CACHE_DIR"):
            stored += Path(elsewhere).glob(f"{Path(package).name}_*/*.nbi")
        for index in stored:
            with contextlib.suppress(OSError):  # another process was faster, or the place cannot be written
                if index.stat().st_mtime < newest:
                    index.unlink()
                    dropped += 1
    return dropped
