"""Segments of the ring that rot on disk: they belong to several checkpoints, and cost none of them its weights."""

import os
import secrets

import pytest
import torch
from programs import program
from test_checkpoint import Tape

from agents.core import checkpoint, manifest
from agents.core import replay as rings
from agents.core.checkpoint import CheckpointError
from experiments import train

SHARED = "ring/ring-rows-00003-1.safetensors"  # of row 9


def save(folder, step, tape):
    checkpoint.save(folder, step, {"ring": tape.state_dict(), "agent": {"weight": torch.full((9,), float(step))}}, {})


def saved(folder):
    tape = Tape()
    tape.write(9, 90)
    for step in (1, 2):
        tape.write(0, step)
        save(folder, step, tape)
    return tape


def flip(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def test_a_rotten_segment_of_both_checkpoints_costs_the_ring_alone(tmp_path):
    saved(tmp_path)
    assert all(SHARED in manifest.read(tmp_path, step)["files"] for step in (1, 2))
    flip(tmp_path / SHARED)
    with pytest.warns(UserWarning), pytest.raises(CheckpointError, match="2 is damaged.*1 is damaged"):
        checkpoint.load(tmp_path)
    with pytest.warns(UserWarning, match="the rest of checkpoint 2 is whole and is taken"):
        parts, _ = checkpoint.load(tmp_path, required={"agent", "ring"}, spare={"ring"})
    assert parts.keys() == {"agent"} and parts["agent"]["weight"].tolist() == [2.0] * 9
    flip(tmp_path / "000000000002" / "agent.safetensors")  # the newest whose weights are whole
    with pytest.warns(UserWarning):
        assert checkpoint.load(tmp_path, spare={"ring"})[0]["agent"]["weight"].tolist() == [1.0] * 9


@pytest.mark.parametrize("damage", [flip, lambda path: os.truncate(path, 100), lambda path: path.unlink()])
def test_a_segment_that_rots_while_the_run_goes_on_is_written_anew(damage, tmp_path, monkeypatch):
    """From memory, so that the checkpoint before is whole again, too. One that is drawn by chance is read at a time."""
    tape = saved(tmp_path)
    damage(tmp_path / SHARED)
    monkeypatch.setattr(secrets, "choice", lambda names: SHARED if SHARED in names else names[0])
    tape.write(0, 3)
    save(tmp_path, 3, tape)
    for step in (2, 3):
        rows = Tape.restored(checkpoint.load(tmp_path, step)[0]["ring"]).data["frame"]
        assert rows[9].tolist() == [90, 90] and rows[0].tolist() == [step, step]


def test_each_shared_segment_has_its_turn_to_be_read(tmp_path):
    tape, seen = Tape(), set()
    for row in (0, 3, 6, 9):
        tape.write(row, 1)
    save(tmp_path, 1, tape)
    for _ in range(60):
        seen.add(checkpoint._Ring(tmp_path, lambda path: None).doubtful)
    assert len(seen) == 4


def test_a_run_whose_ring_has_rotted_goes_on_and_says_so(tmp_path, capsys, monkeypatch):
    """And what it saves afterwards is never mixed with segments of the ring that was lost."""
    monkeypatch.setattr(rings, "SEGMENT_BYTES", 1500)
    argv = ["gym:CartPole-v1", "--agent", "dqn", "--steps", "400", "--num-envs", "4", "--hidden", "16"]
    argv += ["--warmup", "40", "--replay", "400", "--checkpoint-every", "100", "--runs", str(tmp_path)]
    again = ["--eval-episodes", "0", "--no-video"]
    assert program(train.main, [*argv, *again], capsys)[0] == 0
    (run,) = (tmp_path / "gym-CartPole-v1" / "dqn").iterdir()
    one, two = (manifest.read(run / "checkpoints", s)["files"] for s in checkpoint.steps(run / "checkpoints"))
    shared = sorted(one.keys() & two.keys())
    assert shared
    flip(run / "checkpoints" / shared[0])
    code, out, err = program(train.main, ["--resume", str(run), "--steps", "600", *again], capsys)
    assert code == 0 and "replay ring is damaged: it fills anew" in out, err
    assert "the rest of checkpoint 400 is whole" in err
    newest = manifest.read(run / "checkpoints", 600)["files"]
    assert not newest.keys() & two.keys() and any("-400-" in name for name in newest)
    code, out, err = program(train.main, ["--resume", str(run), "--steps", "700", *again], capsys)
    assert code == 0 and "anew" not in out and "damaged" not in err
