"""Checkpoints: what goes in comes out, to the bit, and only what has changed is written."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.core import checkpoint, files, manifest
from agents.core.checkpoint import Segments


def assert_same(one, other):
    """Equal to the bit, with the same types; tuples come back as lists, numpy numbers as Python's."""
    if isinstance(one, torch.Tensor):
        assert isinstance(other, torch.Tensor) and one.dtype == other.dtype and one.shape == other.shape
        assert torch.equal(*(x.detach().contiguous().reshape(-1).view(torch.uint8) for x in (one, other)))
    elif isinstance(one, np.ndarray):
        assert isinstance(other, np.ndarray) and one.dtype == other.dtype and one.shape == other.shape
        assert one.tobytes() == other.tobytes()
    elif isinstance(one, dict):
        assert isinstance(other, dict) and one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert isinstance(other, list) and len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    else:
        one = one.item() if isinstance(one, np.generic) else one
        assert type(one) is type(other)
        assert one == other or (one != one and other != other)


def every_kind():
    torch.manual_seed(0)
    base = torch.randn(6, 8)
    return {
        "float": 0.1 + 0.2,
        "floats": [float("nan"), float("inf"), -float("inf"), -0.0, 5e-324],
        "int": 2**127 - 1,  # PCG64's state is as wide
        "bool": True,
        "none": None,
        "text": "naïve \n \u2713 \ud800",
        "numpy": [np.float32(0.1), np.int64(-3), np.bool_(True)],
        "tuple": (1, (2, "x")),
        "empty": {"dict": {}, "list": [], "tensor": torch.zeros(0, 3), "array": np.zeros((2, 0))},
        "tensors": [torch.arange(5, dtype=t) for t in (torch.uint8, torch.int32, torch.int64, torch.float64)],
        "half": [base.bfloat16(), base.half(), base > 0],
        "scalar": torch.tensor(3.5),
        "views": [base, base.t(), base[::2, 1::3], base.expand(2, 6, 8)],
        "grad": torch.nn.Parameter(base),
        "arrays": [np.arange(6).reshape(2, 3).T.astype(t) for t in ("u1", "i2", "u4", "u8", "f4", "f8", "?")],
        "zero-d": np.array(7),
        "generator": torch.Generator().manual_seed(3).get_state(),
        "numbered": {0: {"step": torch.tensor(1.0)}, 17: [None]},
        "a/b": torch.ones(1),
        "a": {"b": torch.zeros(1), "b+": torch.full((1,), 2.0)},
        5: "numbers name parts too",
    }


def test_every_kind_of_value_comes_back(tmp_path):
    state = every_kind()
    path = checkpoint.save(tmp_path / "new" / "folder", 40960, {"one": state, "two": {}}, {"game": "pong", "n": [1]})
    assert path.name == "000000040960"
    parts, meta = checkpoint.load(tmp_path / "new" / "folder")
    assert_same(state, parts["one"])
    assert parts["two"] == {} and meta == {"game": "pong", "n": [1]}
    only, _ = checkpoint.load(tmp_path / "new" / "folder", 40960, {"two"})
    assert only == {"two": {}}


def test_what_cannot_be_saved_is_refused(tmp_path):
    for value in ({1, 2}, object(), b"bytes", 1j, {2.5: 1}, {"#1": 1}, {"__tensor__": "x"}):
        with pytest.raises(TypeError):
            checkpoint.save(tmp_path, 1, {"part": {"value": value}}, {})
        assert checkpoint.steps(tmp_path) == []


def test_saved_tensors_are_copies(tmp_path):
    """What the run changes after the barrier changes nothing that was saved or loaded."""
    weight = torch.ones(4)
    checkpoint.save(tmp_path, 1, {"part": {"weight": weight}}, {})
    first, _ = checkpoint.load(tmp_path)
    first["part"]["weight"] += 1
    assert checkpoint.load(tmp_path)[0]["part"]["weight"].tolist() == [1, 1, 1, 1]


def test_training_goes_on_to_the_bit_with_weights_in_channels_last(tmp_path):
    """A fused optimizer walks memory: its moments must come back in the order of the weights."""

    def build():
        torch.manual_seed(0)
        model = torch.nn.Conv2d(4, 8, 3).to(memory_format=torch.channels_last)
        return model, torch.optim.Adam(model.parameters(), lr=1e-2, fused=True)

    def train(model, optimizer, seeds):
        for seed in seeds:
            x = torch.randn(5, 4, 9, 9, generator=torch.Generator().manual_seed(seed))
            optimizer.zero_grad()
            model(x.contiguous(memory_format=torch.channels_last)).square().mean().backward()
            optimizer.step()

    straight, resumed = build(), build()
    train(*straight, range(3))
    state = {"model": straight[0].state_dict(), "optimizer": straight[1].state_dict()}
    checkpoint.save(tmp_path, 1, {"agent": state}, {})
    loaded = checkpoint.load(tmp_path)[0]["agent"]
    resumed[0].load_state_dict(loaded["model"])
    resumed[1].load_state_dict(loaded["optimizer"])
    train(*straight, range(3, 6))
    train(*resumed, range(3, 6))
    assert torch.equal(straight[0].weight, resumed[0].weight) and torch.equal(straight[0].bias, resumed[0].bias)


# -- segments ---------------------------------------------------------------------------------------------------------


class Tape:
    """A large tensor of 10 rows in segments of 3; `write` changes a row."""

    def __init__(self):
        self.data = {"frame": torch.zeros(10, 2, dtype=torch.uint8), "reward": torch.zeros(10)}
        self.versions = np.zeros(4, np.int64)

    def write(self, row, value):
        self.data["frame"][row], self.data["reward"][row] = value, value / 2
        self.versions[row // 3] += 1

    def state_dict(self):
        return {"rows": Segments(self.data, 3, self.versions.copy()), "note": 1}

    @classmethod
    def restored(cls, state):
        tape = cls()
        state["rows"].copy_to(tape.data)
        tape.versions = state["rows"].versions
        return tape


def segment_files(folder):
    return {p.name: p.stat().st_mtime_ns for p in (folder / "ring").iterdir()}


def test_only_changed_segments_are_written_and_the_newest_two_checkpoints_kept(tmp_path):
    tape = Tape()
    states = {}
    for step, rows in enumerate([(0, 1, 4), (2,), (), (9, 0), (5,)], 1):
        for row in rows:
            tape.write(row, step * 10 + row)
        before = segment_files(tmp_path) if step > 1 else {}
        written = []
        checkpoint.save(tmp_path, step, {"ring": tape.state_dict()}, {}, written.append)
        changed = {row // 3 for row in rows}
        names = [p.name for p in written if p.parent.name == "ring"]
        assert sorted(int(n.split("-")[-2]) for n in names) == sorted(changed)
        after = segment_files(tmp_path)
        assert all(after[n] == before[n] for n in after.keys() & before.keys())  # immutable on disk
        states[step] = {k: v.clone() for k, v in tape.data.items()}
        assert checkpoint.steps(tmp_path) == [s for s in (step - 1, step) if s]
        for kept in checkpoint.steps(tmp_path):
            assert_same(states[kept], Tape.restored(checkpoint.load(tmp_path, kept)[0]["ring"]).data)
        referred = set()
        for kept in checkpoint.steps(tmp_path):
            referred |= {Path(f).name for f in manifest.read(tmp_path, kept)["files"] if f.startswith("ring/")}
        assert set(after) == referred  # nothing is left over
    assert len(after) == 4  # segments 0 and 3, shared, and both versions of 1; 2 was never written and is not stored
    assert sorted(p.name for p in tmp_path.iterdir()) == ["000000000004", "000000000005", "newest.json", "ring"]


def test_a_checkpoint_without_the_ring_drops_its_segments(tmp_path):
    tape = Tape()
    tape.write(1, 5)
    checkpoint.save(tmp_path, 1, {"ring": tape.state_dict()}, {})
    checkpoint.save(tmp_path, 2, {"agent": {"x": 1}}, {})
    assert len(segment_files(tmp_path)) == 1
    checkpoint.save(tmp_path, 3, {"agent": {"x": 1}}, {})
    assert segment_files(tmp_path) == {}


def test_files_and_folders_are_synced_before_the_rename(tmp_path, monkeypatch):
    """After a power cut the renamed folder must not be empty."""
    synced, fsync, rename = [], os.fsync, os.rename

    def note(handle):
        synced.append(os.path.realpath(f"/proc/self/fd/{handle}"))
        fsync(handle)

    def check(source, target):
        source = Path(source)
        written = [source / "manifest.json", source / "agent.safetensors", source, tmp_path / "ring"]
        written += list((tmp_path / "ring").iterdir())
        assert {str(p.resolve()) for p in written} <= set(synced)
        synced.clear()
        rename(source, target)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(os, "rename", check)
    tape = Tape()
    tape.write(1, 5)
    checkpoint.save(tmp_path, 1, {"ring": tape.state_dict(), "agent": {"w": torch.ones(2)}}, {})
    assert synced[0] == str(tmp_path.resolve())


def test_json_files_are_replaced_whole(tmp_path):
    path = tmp_path / "config.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        files.write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    files.write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 2} and [p.name for p in tmp_path.iterdir()] == ["config.json"]
