"""Stored kernels of an older source are dropped, newer ones stay."""

import os

from envs.kernels import PACKAGES, drop_stale


def test_only_kernels_older_than_the_newest_source_of_their_package_go(tmp_path, monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    for package in PACKAGES[:2]:
        (tmp_path / package / "__pycache__").mkdir(parents=True)
        files = {"a.py": 100, "b.py": 200, "__pycache__/a.old.nbi": 150, "__pycache__/b.new.nbi": 250}
        for name, when in files.items():
            path = tmp_path / package / name
            path.write_text("")
            os.utime(path, (when, when))
    assert drop_stale(tmp_path) == 2
    left = sorted(p.name for p in tmp_path.rglob("*.nbi"))
    assert left == ["b.new.nbi", "b.new.nbi"]
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
