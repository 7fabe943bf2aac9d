"""A run from one machine to another: `import` takes in what `export` writes, and nothing else."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from pathlib import Path

import pytest
from programs import program
from runfolders import make

from experiments import references, runs
from experiments.cli import UserError
from experiments.comparing import records, transfer


def packed(tmp_path: Path) -> Path:
    """A run in a file, as `export` writes it."""
    path = make(tmp_path / "there", 0, 12.0, name="größe")
    (path / ".lock").touch()
    (path / "out").symlink_to("/etc/passwd")
    transfer.pack(path, Path("breakout/ppo/default-s0"), tmp_path / "run.tar.gz", ring=False)
    return tmp_path / "run.tar.gz"


def test_what_is_exported_is_taken_in_and_scored(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch) -> None:
    make(tmp_path / "there", 0, 12.0)
    file = tmp_path / "a b.tar.gz"
    there = ["--runs", str(tmp_path / "there"), "--out", str(file)]
    code, out, _ = program(runs.main, ["export", "breakout/ppo/default-s0", *there], capsys, monkeypatch)
    assert code == 0 and f"python -m experiments.runs import '{file}'" in out
    code, _, err = program(runs.main, ["export", "breakout/ppo/default-s0", "x.tar.gz", *there], capsys, monkeypatch)
    assert code == 2 and "name one file" in err
    here = ["--runs", str(tmp_path / "here")]
    code, out, _ = program(runs.main, ["import", str(file), *here], capsys, monkeypatch)
    assert code == 0 and f"run: {tmp_path}/here/breakout/ppo/default-s0" in out
    record = records.read(tmp_path / "here/breakout/ppo/default-s0")
    assert next(iter(record.scores("eval/return").values())).value == 12.0
    code, _, err = program(runs.main, ["import", str(file), *here], capsys, monkeypatch)
    assert code == 2 and "is there already" in err


def test_neither_links_nor_locks_are_packed(tmp_path: Path) -> None:
    with tarfile.open(packed(tmp_path)) as file:
        assert {Path(m.name).name for m in file if m.isfile()} == {"config.json", "metrics.jsonl", "eval.json"}
        assert all(m.isfile() or m.isdir() for m in file)
        assert {(m.uid, m.gid, m.uname, m.gname) for m in file} == {(0, 0, "", "")}


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


RUN = "breakout/ppo/default-s0"
ODD = [
    (member("/tmp/evil"), "no plain name"),
    (member("../evil"), "no plain name"),
    (member(f"{RUN}/../../../../evil"), "no plain name"),
    (member(f"{RUN}/checkpoints", tarfile.SYMTYPE, "/tmp"), "link or a device"),
    (member(f"{RUN}/hard", tarfile.LNKTYPE, f"{RUN}/config.json"), "link or a device"),
    (member(f"{RUN}/pipe", tarfile.FIFOTYPE), "link or a device"),
    (member(f"{RUN}/null", tarfile.CHRTYPE), "link or a device"),
    (member(f"{RUN}/config.json"), "twice"),
    (member("breakout/ppo/other-s1/config.json"), "2 runs, not one"),
    (member("pong/readme"), "lies outside the run"),
    (member(f"{RUN}/.hidden"), "no plain name"),
    (member("C:\\evil"), "no plain name"),
    (member(f"{RUN}/a\x1b[31m"), "no plain name"),
    (member(f"{RUN}/large", size=2**40), "cannot be unpacked"),  # says more than there is
]


@pytest.mark.parametrize(("odd", "told"), ODD, ids=lambda x: x if isinstance(x, str) else repr(x.name))
def test_an_odd_archive_is_refused_and_leaves_nothing(tmp_path: Path, odd: tarfile.TarInfo, told: str) -> None:
    file, root = tmp_path / "odd.tar.gz", tmp_path / "runs"
    with tarfile.open(packed(tmp_path)) as good, tarfile.open(file, "w:gz") as bad:
        for one in good:
            bad.addfile(one, good.extractfile(one) if one.isfile() else None)
        bad.addfile(odd, io.BytesIO(b"") if odd.size == 0 else None)
    with pytest.raises(UserError) as fault:
        transfer.unpack(file, root, 2**42)
    assert told in str(fault.value) or (odd.size and "needs" in str(fault.value))
    assert not root.exists() or not list(root.rglob("*"))
    assert not (tmp_path / "evil").exists()


def test_limits_damage_and_what_is_no_archive(tmp_path: Path) -> None:
    file, root = packed(tmp_path), tmp_path / "runs"
    (tmp_path / "cut.tar.gz").write_bytes(file.read_bytes()[:-40])
    (tmp_path / "text.tar.gz").write_text("hello")
    broken = "cannot be unpacked"
    for name, limit, told in (
        ("run", 100, "more than 100 B"), ("cut", 2**30, broken), ("text", 2**30, broken),
        ("none", 2**30, "there is no such file"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=told):
            transfer.unpack(tmp_path / f"{name}.tar.gz", root, limit)
    assert not root.exists() or not list(root.rglob("*"))


def test_no_archive_makes_itself_a_reference(tmp_path: Path) -> None:
    path = make(tmp_path / "there", 0, 12.0, game="reference", agent="breakout")
    transfer.pack(path, Path("x/y/z"), tmp_path / "a.tar.gz", ring=False)
    with pytest.raises(UserError, match="its game is called reference"):
        transfer.unpack(tmp_path / "a.tar.gz", tmp_path / "runs", 2**30)
    path = make(tmp_path / "there", 1, 12.0)
    (path / references.ABOUT).write_text("{}")
    with tarfile.open(tmp_path / "b.tar.gz", "w:gz") as file:
        file.add(path, RUN)
    found = transfer.unpack(tmp_path / "b.tar.gz", tmp_path / "runs", 2**30)
    assert not references.is_reference(found) and records.read(found).finished


def test_the_room_that_counts_is_that_of_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, root = packed(tmp_path), tmp_path / "runs"
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10 if path == root else usage.free))
    with pytest.raises(UserError, match=r"10 B are free in .*runs"):
        transfer.unpack(file, root, 2**30)


def test_a_file_that_goes_while_it_is_packed_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch) -> None:
    path = make(tmp_path / "there", 0, 12.0)
    before = {*tmp_path.iterdir()}

    def gone(file: tarfile.TarFile, member: tarfile.TarInfo, content: object = None) -> None:
        if member.isfile():
            raise FileNotFoundError(2, "No such file or directory", member.name)

    monkeypatch.setattr(tarfile.TarFile, "addfile", gone)
    with pytest.raises(UserError, match="has changed while it was packed"):
        transfer.pack(path, Path(RUN), tmp_path / "out.tar.gz", ring=False)
    assert {*tmp_path.iterdir()} == before


def test_a_run_goes_where_its_configuration_says(tmp_path: Path) -> None:
    """An archive of the run's folder alone, whose name says nothing of game and agent."""
    path = make(tmp_path / "there", 3, 12.0, game="gym:CartPole-v1", agent="dqn")
    transfer.pack(path, Path("mine"), tmp_path / "mine.tar.gz", ring=False)
    assert (
        transfer.unpack(tmp_path / "mine.tar.gz", tmp_path / "runs", 2**30)
        == tmp_path / "runs/gym-CartPole-v1/dqn/mine"
    )
    config = path / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "game": "../../evil"}))
    transfer.pack(path, Path("mine"), tmp_path / "evil.tar.gz", ring=False)
    made = transfer.unpack(tmp_path / "evil.tar.gz", tmp_path / "runs", 2**30)
    assert made.resolve().is_relative_to((tmp_path / "runs").resolve())
