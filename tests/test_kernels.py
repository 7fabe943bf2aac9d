"""Stored kernels of an older source are dropped, newer ones stay."""

import os
import sys
from pathlib import Path

from envs.kernels import PLACES, compiles, drop_stale

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("envs/flappy", "envs/balloon/wind", "agents/search", "envs")  # at any depth, whoever wrote them


def test_only_kernels_older_than_the_newest_source_of_their_package_go(tmp_path, monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    for package in PACKAGES:
        (tmp_path / package / "__pycache__").mkdir(parents=True)
        files = {"a.py": 100, "b.py": 200, "__pycache__/a.old.nbi": 150, "__pycache__/b.new.nbi": 250}
        for name, when in files.items():
            path = tmp_path / package / name
            path.write_text("")
            os.utime(path, (when, when))
    assert drop_stale(tmp_path) == len(PACKAGES)
    assert [p.name for p in tmp_path.rglob("*.nbi")] == ["b.new.nbi"] * len(PACKAGES)
    assert drop_stale(tmp_path) == 0


def test_kernels_that_numba_stores_elsewhere_go_as_well(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "store"))
    source = tmp_path / PACKAGES[0] / "a.py"
    kernels = [tmp_path / "store" / f"{source.parent.name}_0123" / f"a.{name}.nbi" for name in ("old", "new")]
    for path, when in ((source, 200), *zip(kernels, (150, 250), strict=True)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
        os.utime(path, (when, when))
    assert drop_stale(tmp_path) == 1
    assert [path.exists() for path in kernels] == [False, True]


def test_every_kernel_of_the_lab_lies_where_it_is_looked_for():
    """Those of benchmarks are in the file that they belong to."""
    files = [p.relative_to(ROOT) for place in ("agents", "envs", "experiments") for p in (ROOT / place).rglob("*.py")]
    written = {p for p in files if "@njit" in (ROOT / p).read_text() and p.parts[:2] != ("experiments", "benchmarks")}
    assert len(written) > 30 and {p.parts[0] for p in written} == set(PLACES)


def test_a_module_that_has_kernels_is_known_before_it_is_loaded(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "balloons").mkdir()
    (tmp_path / "balloons" / "air").mkdir()
    (tmp_path / "balloons" / "air" / "env.py").write_text("from balloons.air import rules\n")
    assert not compiles("balloons.air.env")
    (tmp_path / "balloons" / "air" / "rules.py").write_text("from numba import njit\n")
    assert compiles("balloons.air.env")
    (tmp_path / "balloons" / "plain.py").write_text("")
    assert not compiles("balloons.plain") and not compiles("balloons.absent")
    assert "balloons.air.env" not in sys.modules
