"""The whole way, by its commands: record -> look -> train a clone -> let it drive."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from envs.recordings.tub import Tub

ROOT = Path(__file__).resolve().parents[1]
MINUTES = 15.0  # that the three commands may take together on two cores


def command(name: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-m", f"experiments.{name}", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_record_train_drive(tmp_path: Path) -> None:
    """A small budget: four minutes of the expert, a minute of training, and it stays on a track it has not seen."""
    began = time.monotonic()
    said = command("record", "kart", "--out", tmp_path / "data", "--driver", "expert", "--minutes", 4)
    assert f"--data {tmp_path / 'data'}" in said  # the next command is printed
    assert len(Tub(tmp_path / "data")) == 4800
    (told,) = json.loads(command("data", tmp_path / "data", "--json"))
    assert not any("only goes straight" in warning for warning in told["warnings"])
    command("train", "kart", "--agent", "clone", "--data", tmp_path / "data", "--minutes", 1, "--eval-episodes", 0,
            "--no-video", "--runs", tmp_path / "runs")  # fmt: skip
    command("watch", "kart", "--runs", tmp_path / "runs", "--seconds", 20, "--video", tmp_path / "v.mp4",
            "--record", tmp_path / "drive")  # fmt: skip
    assert time.monotonic() - began < 60 * MINUTES
    drive = Tub(tmp_path / "drive")
    assert len(drive) >= 390 and not drive.labelled.any()
    assert drive.records["game/off_road"].mean() < 0.2
    assert drive.records["game/progress"][-1] - drive.records["game/progress"][0] > 0.3
