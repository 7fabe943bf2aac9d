"""--track: the scalars and the clip of a run in another logger, which can neither change the run nor end it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from programs import program

from experiments import train

ARGV = ["gym:CartPole-v1", "--recipe", "none", "--rollout", "16", "--hidden", "16", "--steps", "512"]


class Told(types.ModuleType):
    """A library that keeps what it is told; fails: from this call of log on it raises."""

    def __init__(self, fails: int = 10**9):
        super().__init__("trackio")
        self.__spec__ = ModuleSpec("trackio", None)
        self.begun, self.rows, self.ended, self.fails = None, [], 0, fails

    def init(self, **about) -> None:
        self.begun = about

    def log(self, values, step) -> None:
        if len(self.rows) >= self.fails:
            raise OSError("the disk is full")
        self.rows.append((step, values))

    def finish(self) -> None:
        self.ended += 1

    def Video(self, path, format) -> tuple[str, str]:  # noqa: N802  the library's name
        return path, format


def tracked(library: Told, root: Path, monkeypatch, capsys, *more: str) -> tuple[int, str, str]:
    monkeypatch.setitem(sys.modules, "trackio", library)
    return program(train.main, [*ARGV, "--track", "trackio", "--runs", str(root), *more], capsys)


def test_every_line_of_the_run_folder_is_sent(tmp_path: Path, monkeypatch, capsys) -> None:
    library = Told()
    code, _, err = tracked(library, tmp_path, monkeypatch, capsys, "--eval-episodes", "2")
    assert code == 0, err
    (path,) = (tmp_path / "gym-CartPole-v1" / "ppo").iterdir()
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    sent = [(step, values) for step, values in library.rows if "eval/clip" not in values]
    assert [step for step, _ in sent] == [line["steps"] for line in lines] and any("eval/return" in v for _, v in sent)
    for (_, values), line in zip(sent, lines, strict=True):
        kept = {k: v for k, v in line.items() if k != "steps"}  # in six digits
        assert values == pytest.approx(kept, rel=1e-5, abs=0)
    clips = [values["eval/clip"] for _, values in library.rows if "eval/clip" in values]
    assert clips == [(str(path / "videos" / "final.gif"), "gif")]
    assert library.begun["name"] == f"gym-CartPole-v1/ppo/{path.name}" and library.ended == 1
    assert library.begun["config"]["agent_config.rollout"] == 16


def test_a_library_that_fails_ends_no_training(tmp_path: Path, monkeypatch, capsys) -> None:
    code, _, err = tracked(Told(fails=0), tmp_path, monkeypatch, capsys, "--eval-episodes", "2", "--no-video")
    assert code == 0 and err.count("nothing more is sent there (OSError: the disk is full)") == 1
    assert len(list((tmp_path / "gym-CartPole-v1" / "ppo").glob("*/checkpoints/[0-9]*"))) == 1


@pytest.mark.parametrize(("name", "told"), [("mlflow", "choose trackio or wandb"), ("wandb", "it is not installed")])
def test_what_is_not_there_is_refused_beforehand(name: str, told: str, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    code, _, err = program(train.main, [*ARGV, "--track", name, "--runs", str(tmp_path)], capsys)
    assert code == 2 and told in err and not list(tmp_path.iterdir())


@pytest.mark.skipif("TRACKIO_PYTHON" not in os.environ, reason="TRACKIO_PYTHON: an interpreter with trackio")
def test_trackio_keeps_the_curve_in_its_own_store(tmp_path: Path) -> None:
    python, root = os.environ["TRACKIO_PYTHON"], str(Path(__file__).resolve().parents[1])
    place = {**os.environ, "TRACKIO_DIR": str(tmp_path / "store"), "PYTHONPATH": root}
    argv = [*ARGV, "--track", "trackio", "--no-video", "--eval-episodes", "2", "--runs", str(tmp_path / "runs")]
    done = subprocess.run([python, "-m", "experiments.train", *argv], env=place, capture_output=True, text=True)
    assert done.returncode == 0 and "nothing more is sent" not in done.stderr, done.stderr
    (lines,) = (tmp_path / "runs").rglob("metrics.jsonl")
    wanted = [json.loads(line) for line in lines.read_text().splitlines()]
    code = (
        "import json; from trackio.sqlite_storage import SQLiteStorage as store; (run,) = store.get_runs('joypad');"
        "print(json.dumps(store.get_logs('joypad', run)))"
    )
    told = subprocess.run([python, "-c", code], env=place, capture_output=True, text=True, check=True)
    logs = json.loads(told.stdout.splitlines()[-1])
    score = next(line["eval/return"] for line in wanted if "eval/return" in line)
    assert [row["eval/return"] for row in logs if "eval/return" in row] == [pytest.approx(score)]
    assert {row["step"] for row in logs} == {line["steps"] for line in wanted}
