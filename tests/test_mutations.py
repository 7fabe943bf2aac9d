"""The damage that other tests do to files: repeatable, of every kind, and watched."""

import os
import random
import time

import pytest
from mutations import KINDS, cases, limited, mutate, surroundings, unchanged

DATA = b'{"size": 19, "names": ["a", "b"], "komi": 7.5}\n(;SZ[9];B[aa])\n' * 4


def test_the_same_seed_gives_the_same_cases(monkeypatch):
    monkeypatch.delenv("MUTATION_SEED", raising=False)
    monkeypatch.setenv("MUTATIONS", "60")
    first = list(cases(DATA, "x"))
    assert len(first) == 60 and first == list(cases(DATA, "x"))
    assert len({case.data for case in first}) > 40
    monkeypatch.setenv("MUTATION_SEED", "2")
    assert {case.data for case in cases(DATA, "x")} != {case.data for case in first}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_changes_data_and_takes_any(kind):
    rng = random.Random(0)
    assert any(mutate(DATA, rng, kind)[1] != DATA for _ in range(20))
    for data in (b"", b"\x00", b"\xff\xfe\xfd", DATA):
        for _ in range(20):
            what, changed = mutate(data, rng, kind)
            assert what.startswith(kind) and isinstance(changed, bytes) and len(changed) < 1_000_000


def test_a_failure_names_the_case(capsys):
    case = next(cases(DATA, "notes", 1))
    with pytest.raises(ValueError) as fault, case.told():
        raise ValueError("x")
    told = "".join(getattr(fault.value, "__notes__", [])) or capsys.readouterr().out
    assert "MUTATION_SEED=" in told and "notes case 0" in told and case.what in told


def test_what_hangs_fails():
    with pytest.raises(AssertionError, match="did not end"), limited(0.05):
        time.sleep(60)


def touch_file(root):
    os.utime(root / "file.txt", ns=(0, 0))


def swap_content(root):
    path = root / "neighbour" / "file.txt"
    times = path.stat()
    path.write_text(path.read_text().swapcase())
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def through_the_link(root):
    (root / "neighbour" / "link").write_text("x")


CHANGES = (
    touch_file, swap_content, through_the_link, lambda root: (root / "neighbour" / "empty").rmdir(),
    lambda root: (root / "neighbour" / "new").touch(), lambda root: (root / "file.txt").chmod(0o600),
    lambda root: (root / "file.txt").rename(root / "other.txt"), lambda root: (root / "inside").rename(root / "gone"),
)  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_outside_is_seen(tmp_path, change):
    inside = surroundings(tmp_path / "around")
    inside.mkdir()
    with unchanged(tmp_path / "around", but=inside):
        (inside / "file").write_text("x")
        (tmp_path / "around" / "neighbour" / "file.txt").read_text()
    with pytest.raises(AssertionError, match="was"), unchanged(tmp_path / "around", but=inside):
        change(tmp_path / "around")
