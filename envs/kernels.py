"""Compiled kernels of an older source are dropped.

numba stores a kernel beside its file and compiles anew when *that file* changes, but not when a function or constant
that it takes from another file does: after an update an old kernel would run silently. So a kernel that is older
than the newest source of its package goes.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

PACKAGES = ("envs/flappy", "envs/go", "envs/kart", "agents/search")


def drop_stale(root: Path) -> int:
    """Looks at the PACKAGES under `root`; returns how many stored kernels were dropped."""
    dropped = 0
    for package in PACKAGES:
        newest = max((p.stat().st_mtime for p in (root / package).glob("*.py")), default=0.0)
        for index in (root / package / "__pycache__").glob("*.nbi"):
            with contextlib.suppress(OSError):  # another process was faster, or the place cannot be written
                if index.stat().st_mtime < newest:
                    index.unlink()
                    dropped += 1
    return dropped
