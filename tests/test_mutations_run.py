"""Damage by chance to every kind of file of a run: each program goes on with what is whole, or says one sentence.

MUTATIONS=500 python -m pytest -n 0 tests/test_mutations_run.py
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from mutations import Case, cases, surroundings, unchanged
from programs import program

from agents.core import checkpoint
from experiments import compare, evaluate, runs, train

GAME = ("gym:CartPole-v1", "--agent", "dqn", "--num-envs", "2", "--hidden", "4", "--warmup", "16")
RING = ("--replay", "64", "--batch", "4", "--ratio", "0.5")
QUIET = ("--eval-episodes", "0", "--no-video")
KINDS = {  # the name of a case -> where such a file lies
    "config": "config.json",
    "metrics": "metrics.jsonl",
    "evaluations": "evaluations.jsonl",
    "tags": "tags.json",
    "events": "events.out.tfevents.*",
    "newest": "checkpoints/newest.json",
    "manifest": "checkpoints/0*/manifest.json",
    "agent": "checkpoints/0*/agent.safetensors",
    "replay": "checkpoints/0*/replay.safetensors",
    "ring": "checkpoints/ring/*.safetensors",
    "stage": "stages/010/0*/manifest.json",
}
FEW, MORE = 1, 28  # cases of each kind, in the fast and in the slow form


class Whole:
    """A run that was left alone, and how it goes on."""

    def __init__(self, root: Path, capsys: Any):
        self.capsys = capsys
        argv = [*GAME, *RING, *QUIET, "--steps", "120", "--checkpoint-every", "40", "--runs", str(root / "runs")]
        assert program(train.main, argv, capsys)[0] == 0
        (self.path,) = (root / "runs" / "gym-CartPole-v1" / "dqn").iterdir()
        (self.path / "tags.json").write_text(json.dumps(["good"]))
        (self.path / "evaluations.jsonl").write_text(json.dumps({"mean": 20.0, "protocol": "CartPole-v1"}) + "\n")
        self.steps = checkpoint.steps(self.path / "checkpoints")
        on = root / "on"
        shutil.copytree(self.path, on)
        assert self.resume(on)[0] == 0
        self.end = self.weights(on)

    def resume(self, path: Path) -> tuple[int, str, str]:
        return program(train.main, ["--resume", str(path), "--steps", "160", *QUIET], self.capsys)

    def weights(self, path: Path) -> dict[str, torch.Tensor]:
        state = checkpoint.load(path / "checkpoints", None, {"agent"})[0]["agent"]["network"]
        return {k: v.clone() for k, v in state.items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    class Silent:
        """Stands in for capsys, which no module-wide fixture can have."""

        def readouterr(self) -> tuple[str, str]:
            return "", ""

    return Whole(tmp_path_factory.mktemp("whole"), Silent())


def attempt(whole: Whole, case: Case, kind: str, inside: Path, capsys: Any, monkeypatch: Any) -> None:
    """Puts the damaged file into a copy of the run and tries the programs on it."""
    shutil.copytree(whole.path, inside)
    file = sorted(inside.glob(KINDS[kind]))[-1]
    file.write_bytes(case.data)
    damaged = case.data != sorted(whole.path.glob(KINDS[kind]))[-1].read_bytes()
    whole.capsys = capsys
    with unchanged(inside.parent, but=inside), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        code, out, err = program(runs.main, ["list", "--runs", str(inside)], capsys, monkeypatch)
        assert code == 0 and "Traceback" not in err and "\x1b" not in out, (out, err)
        for main, argv in (
            (runs.main, ["find", "ppo", "--runs", str(inside)]),
            (compare.main, [str(inside), "--out", str(inside / "comparison")]),
            (evaluate.main, [str(inside), "--episodes", "1"]),
        ):
            code, out, err = program(main, argv, capsys, monkeypatch)
            assert code in (0, 2) and "Traceback" not in err and "\x1b" not in out + err, (main, err)
        code, out, err = whole.resume(inside)
        assert code in (0, 2) and "Traceback" not in err and "\x1b" not in out + err, err
    if code == 0 and kind != "metrics":
        now = whole.weights(inside)
        equal = now.keys() == whole.end.keys() and all(torch.equal(v, now[k]) for k, v in whole.end.items())
        told = any(word in out + err for word in ("damaged", "is gone", "was changed", "does not match", "anew"))
        assert equal or told or not damaged, (out, err)


@pytest.mark.parametrize("many", [FEW, pytest.param(MORE, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_of_a_run(kind: str, many: int, whole: Whole, tmp_path: Path, capsys, monkeypatch) -> None:
    data = sorted(whole.path.glob(KINDS[kind]))[-1].read_bytes()
    inside = surroundings(tmp_path / "around")
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # hundreds of checkpoints
    for case in cases(data, f"run-{kind}", many):
        with case.told():
            attempt(whole, case, kind, inside, capsys, monkeypatch)
        shutil.rmtree(inside)
