"""experiments.runs on made-up run folders: nothing is lost, and what is there is told."""

from __future__ import annotations

import contextlib
import os
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from runfolders import BUDGET, make

from agents.core import checkpoint
from agents.core.run import Run
from experiments import child, runs
from experiments.comparing import records, wording


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    """Runs the program on tmp_path/runs -> (exit code, standard output, standard error)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["runs", *map(str, arguments), "--runs", str(tmp_path / "runs")])
        code = 0
        try:
            runs.main()
        except SystemExit as left:
            code = left.code
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


SAFELY = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # Python 3.11.4 and later know filters


def saved(path: Path, step: int) -> None:
    """A checkpoint with a ring in segments."""
    ring = checkpoint.Segments({"obs": torch.arange(8.0)}, 4, np.array([1, 1]))
    parts = {"agent": {"weight": torch.tensor([1.5])}, "replay": {"rows": ring}}
    checkpoint.save(path / "checkpoints", step, parts, {"step": step, "ring": True})


def old(path: Path, seconds: float = 3600) -> Path:
    """As if nothing had been written for an hour."""
    for inside in path.rglob("*"):
        os.utime(inside, (time.time() - seconds,) * 2)
    return path


def test_list_tells_states_disk_use_and_how_to_go_on(tmp_path: Path, program) -> None:
    root = tmp_path / "runs"
    old(make(root, 0, 50.0))
    half = make(root, 1, None, steps=BUDGET // 2)
    saved(half, BUDGET // 2)
    old(half)
    old(make(root, 2, None, steps=0))
    silent = old(make(root, 3, None, steps=BUDGET // 2))
    (old(make(root, 4, 1.0)) / "config.json").write_bytes(b"\xff\xfe{")
    with child.lock(silent / child.LOCK):  # a training that has written nothing for an hour
        code, text, _ = program("list")
    lines = {line.split()[0]: line for line in text.splitlines() if line.startswith("breakout/")}
    states = {name[-1]: line.split()[1] for name, line in lines.items()}
    assert code == 0
    assert states == {"0": "finished", "1": "unfinished", "2": "unfinished", "3": "training", "4": "damaged"}
    assert "10,000 of 10,000  50 (baselines, 30 games)" in lines["breakout/ppo/default-s0"]
    assert "1 hour ago" in lines["breakout/ppo/default-s1"]
    assert f"python -m experiments.train --resume {half}\n" in text
    assert "train breakout --seed 2   (it has no checkpoint: from the start)" in text
    assert "--seed 3" not in text and "breakout/ppo/default-s4: config.json cannot be read" in text
    ring = sum(p.stat().st_size for p in (half / "checkpoints" / "ring").iterdir())
    whole = sum(p.stat().st_size for p in root.rglob("*") if p.is_file())
    (silent / child.LOCK).unlink()
    assert f"5 runs, {wording.size(whole)}, of it {wording.size(ring)} in replay rings" in text
    _, text, _ = program("list", "--sort", "size")
    assert text.splitlines()[1].startswith("breakout/ppo/default-s1")


def test_damaged_events_older_versions_and_games_that_are_not_here(tmp_path: Path, program) -> None:
    """Each is listed with the reason, and the rest is listed as ever."""
    from torch.utils.tensorboard import SummaryWriter

    root = tmp_path / "runs"
    whole, torn, empty = (make(root, seed, 50.0) for seed in range(3))
    for path in (whole, torn):
        with SummaryWriter(str(path)) as writer:
            for step in range(100):
                writer.add_scalar("train/return", step, step)
    (file,) = torn.glob("events.out.tfevents.*")
    size = file.stat().st_size
    os.truncate(file, size - 7)
    (empty / "events.out.tfevents.1.x").touch()
    make(root, 0, 1.0, game="zork", protocol="zork")
    make(root, 0, 1.0, game="gym:NoSuchThing-v7", protocol="NoSuchThing")
    lander = make(root, 0, 1.0, game="gym:no_such_package:Thing-v0", protocol="Thing")
    (make(root, 7, 1.0) / "config.json").write_text('{"format": 0}')
    for path in root.glob("*/*/*"):
        old(path)
    code, text, _ = program("list")
    assert code == 0 and "7 runs" in text and str(whole) not in text.split("remarks:")[1]
    assert "default-s0: its game is not installed here: there is no game 'zork'" in text
    assert "its game gym:NoSuchThing-v7 is not installed here" in text
    assert f"{lander.relative_to(root)}: its game gym:no_such_package:Thing-v0 is not installed here: there is" in text
    assert f"default-s1: {file.name} is damaged or half written: TensorBoard shows its first " in text
    assert f" of {size - 7:,} bytes" in text and "default-s2: events.out.tfevents.1.x is empty" in text
    assert "default-s7: was written in another format" in text or "another format than 1" in text
    shown = int(text.split("shows its first ")[1].split(" of ")[0].replace(",", ""))
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    assert len(list(EventFileLoader(str(file)).Load())) == 100 and 0 < shown < size  # the version, 99 of 100 values
    program("tag", "breakout/ppo/default-s0", "good")
    assert program("delete", "zork")[0] == 0 and program("restore", "zork")[0] == 0


def test_a_number_that_no_float_holds_is_a_damaged_line(tmp_path: Path, program) -> None:
    with open(make(tmp_path / "runs", 0, 50.0) / "metrics.jsonl", "a") as file:
        file.write(f'{{"steps": 1{"0" * 400}, "train/return": 1.0}}\n')
    code, text, _ = program("list")
    assert code == 0 and "1 damaged line of metrics.jsonl left out" in text


def test_find_by_words_tags_and_fields(tmp_path: Path, program) -> None:
    root = tmp_path / "runs"
    make(root, 0, 1.0, lr=3e-4)
    make(root, 1, 1.0, lr=1e-3)
    make(root, 0, 1.0, agent="dqn", game="pong")

    def found(*words: str) -> list[str]:
        return [line.split()[0] for line in program("find", *words)[1].splitlines() if "/" in line.split("  ")[0]]

    assert found("PPO") == ["breakout/ppo/default-s0", "breakout/ppo/default-s1"]
    assert found("ppo", "lr=0.001") == found("agent_config.lr=1e-3") == ["breakout/ppo/default-s1"]
    assert found("agent=DQN") == found("pong", "finished") == ["pong/dqn/default-s0"]
    assert program("tag", "pong/dqn", "good", "to keep")[0] == 0
    assert found("to keep") == ["pong/dqn/default-s0"]
    assert records.tags(root / "pong/dqn/default-s0") == ["good", "to keep"]
    program("tag", "pong/dqn", "good", "--remove")
    assert records.tags(root / "pong/dqn/default-s0") == ["to keep"]
    assert "no runs fit" in program("find", "zork")[1]


@pytest.mark.parametrize(("action", "where"), [("delete", "trash"), ("archive", "archive")])
def test_put_away_and_restored_whole(tmp_path: Path, program, action: str, where: str) -> None:
    root = tmp_path / "runs"
    path = old(make(root, 0, 7.0))
    make(root, 0, 8.0, agent="dqn")
    before = {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()}
    assert program(action, "breakout/ppo")[0] == 0
    assert not path.parent.exists() and [p.name for p in (root / "breakout").iterdir()] == ["dqn"]
    assert "breakout/ppo" not in program("list")[1] and f"{where}: 1 run, " in program("list")[1]
    assert "breakout/ppo/default-s0" in program("list", "--where", where)[1]
    old(make(root, 0, 9.0))
    code, _, told = program("restore", "breakout/ppo/default-s0")
    assert code == 2 and "is there already" in told
    program(action, "breakout/ppo/default-s0")  # the same name again: both are kept
    assert "breakout/ppo/default-s0-2" in program("list", "--where", where)[1]
    assert program("restore", "breakout/ppo/default-s0")[0] == 0
    assert {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()} == before


def test_what_can_be_restored_is_restored(tmp_path: Path, program) -> None:
    root = tmp_path / "runs"
    paths = [make(root, seed, 7.0) for seed in range(3)]
    program("delete", "breakout", "--all")
    old(make(root, 1, 9.0))
    code, text, told = program("restore", *(f"breakout/ppo/default-s{seed}" for seed in range(3)))
    assert code == 2 and "default-s1 is there already" in told and told.count("\n") == 1
    assert all(path.is_dir() for path in paths) and text.count(" -> ") == 2
    assert [p.name for p in records.below(root / ".trash")] == ["default-s1"]


def test_an_archived_run_can_be_deleted(tmp_path: Path, program) -> None:
    root = tmp_path / "runs"
    make(root, 0, 7.0)
    program("archive", "breakout")
    assert program("delete", root / ".archive/breakout/ppo/default-s0")[0] == 0
    assert (root / ".trash/breakout/ppo/default-s0/config.json").is_file()
    code, _, told = program("delete", root / ".trash/breakout/ppo/default-s0")
    assert code == 2 and "in the trash already" in told


def test_what_is_refused(tmp_path: Path, program) -> None:
    root = tmp_path / "runs"
    one, two = make(root, 0, 7.0), old(make(root, 1, None, steps=BUDGET // 2))
    outside = make(tmp_path / "elsewhere", 0, 7.0)
    held = contextlib.ExitStack()
    held.enter_context(child.lock(two / child.LOCK))
    for arguments, said in (
        (("delete", "breakout"), "stands for 2 runs"),
        (("delete", "breakout", "--all"), "is being trained"),
        (("delete", outside), "is not a run inside"),
        (("delete", "zork"), "'zork' is neither"),
        (("delete",), "which run?"),
        (("restore", "zork"), "neither in the trash nor in the archive"),
        (("tag", "breakout", "good"), "stands for 2 runs"),
        (("export", "breakout"), "stands for 2 runs"),
    ):
        code, _, told = program(*arguments)
        assert code == 2 and said in told and told.count("\n") == 1, arguments
    assert one.is_dir() and two.is_dir() and outside.is_dir()
    held.close()
    assert program("archive", two)[0] == 0 and not two.exists()  # written to a moment ago, and nobody trains it


def test_a_run_of_the_future_can_be_put_away(tmp_path: Path, program) -> None:
    """The clock was set back since it was trained: the lock tells that nobody trains it."""
    path = old(make(tmp_path / "runs", 0, None, steps=BUDGET // 2), -86400)
    assert "unfinished" in program("list")[1]
    assert program("delete", path)[0] == 0 and not path.exists()


def test_empty_asks_first(tmp_path: Path, program, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "runs"
    make(root, 0, 7.0)
    kept = make(root, 0, 7.0, agent="dqn")
    program("delete", "breakout/ppo")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    code, _, told = program("empty")
    assert code == 2 and "--yes" in told and (root / ".trash").is_dir()
    assert "deleted: 1 run" in program("empty", "--yes")[1]
    assert not (root / ".trash").exists() and kept.is_dir()
    assert "empty" in program("empty")[1]
    elsewhere = make(tmp_path / "elsewhere", 0, 7.0)
    (root / ".trash").symlink_to(tmp_path / "elsewhere")
    code, _, told = program("empty", "--yes")
    assert code == 2 and "is a link" in told and elsewhere.is_dir()


def test_an_exported_run_is_a_run_elsewhere(tmp_path: Path, program) -> None:
    path = make(tmp_path / "runs", 0, 7.0)
    saved(path, BUDGET)
    (path / "checkpoints" / ".000000020000.tmp").mkdir()
    out = tmp_path / "one.tar.gz"
    code, text, _ = program("export", path, "--out", out)
    assert code == 0 and "--ring" in text
    with tarfile.open(out) as file:
        file.extractall(tmp_path / "other", **SAFELY)
    there = Run.find(tmp_path / "other", "breakout/ppo")
    assert there.config == Run.open(path).config
    parts, meta = checkpoint.load(there.checkpoints, None, {"agent"})
    assert parts["agent"]["weight"].tolist() == [1.5] and meta["step"] == BUDGET
    assert sorted(p.name for p in there.checkpoints.iterdir()) == [f"{BUDGET:012d}", "newest.json"]
    assert program("export", path, "--out", out)[0] == 2
    program("export", path, "--out", tmp_path / "whole.tar.gz", "--ring")
    with tarfile.open(tmp_path / "whole.tar.gz") as file:
        file.extractall(tmp_path / "whole", **SAFELY)
    parts, _ = checkpoint.load(tmp_path / "whole/breakout/ppo/default-s0/checkpoints")
    target = torch.zeros(8)
    parts["replay"]["rows"].copy_to({"obs": target})
    assert target.tolist() == list(range(8))


def test_sizes_and_ages() -> None:
    assert [wording.size(s) for s in (0, 1023, 1536, 5 * 2**20, 3.25 * 2**30)] == [
        "0 B", "1023 B", "2 KiB", "5 MiB", "3.2 GiB"
    ]  # fmt: skip
    assert [wording.ago(time.time() - s) for s in (5, 60, 7300, 86400 * 3)] == [
        "just now", "1 minute ago", "2 hours ago", "3 days ago"
    ]  # fmt: skip
