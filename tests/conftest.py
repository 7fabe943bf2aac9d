"""How the tests run: one torch thread each, and side by side on the processors that there are (pytest-xdist).

The networks here are too small for more threads, and threads that wait on each other beside another busy program cost
minutes. Files of one family go to one process, which compiles their kernels once and keeps them to itself: numba's
store is not made for two processes that compile the same function at the same moment.

    python -m pytest -n 0 tests/test_replay.py        one process: for --pdb, for timings, for one file
"""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    os.environ["NUMBA_CACHE_DIR"] = str(Path(__file__).parents[1] / ".pytest_cache" / f"numba-{worker}")

FAMILIES = {  # beginnings of file names -> the process that runs them
    "kart": ("kart", "cli", "contracts", "clone", "data", "drives", "driving", "record", "tub", "watch", "saliency"),
    "go": ("go", "gtp", "search", "tournament"),
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        name = item.path.stem.removeprefix("test_")
        family = next((f for f, starts in FAMILIES.items() if name.startswith(starts)), name)
        item.add_marker(pytest.mark.xdist_group(family))
