"""Damaged checkpoints and kills in the midst of writing: an old or the new state is there, whole, never a mix."""

import os
import pickle
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from runfolders import rewrite
from test_checkpoint import Tape

from agents.core import checkpoint, manifest
from agents.core.checkpoint import CheckpointError


def two_checkpoints(folder):
    """Steps 1 and 2 with the values 1 and 2 everywhere; segment 1 of the tape is shared, segment 0 is not."""
    tape = Tape()
    tape.write(4, 99)
    for step in (1, 2):
        tape.write(0, step)
        agent = {"weight": torch.full((50,), float(step)), "count": step}
        checkpoint.save(folder, step, {"agent": agent, "ring": tape.state_dict(), "other": {"x": torch.ones(3)}}, {})


def assert_whole(parts, step):
    """Everything is of `step`: never a mix."""
    assert parts["agent"]["weight"].tolist() == [step] * 50 and parts["agent"]["count"] == step
    frame = Tape.restored(parts["ring"]).data["frame"]
    assert frame[0].tolist() == [step] * 2 and frame[4].tolist() == [99] * 2


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) * 2 // 3] ^= 4
    path.write_bytes(content)


def pickled(path):
    class Bomb:
        def __reduce__(self):
            return os.system, (f"touch {path.parents[1] / 'exploded'}",)

    path.write_bytes(pickle.dumps(Bomb()))


FILES = ["manifest.json", "agent.safetensors", "other.safetensors", "segment"]
DAMAGES = [truncate, flip, Path.unlink, lambda path: path.write_bytes(b""), pickled]


def damage(folder, step, name, how):
    path = folder / f"{step:012d}" / name
    if name == "segment":  # the one that only this checkpoint refers to
        others = [s for s in checkpoint.steps(folder) if s != step]
        shared = {f for s in others for f in manifest.read(folder, s)["files"]}
        (own,) = {f for f in manifest.read(folder, step)["files"] if f.startswith("ring/")} - shared
        path = folder / own
    how(path)


@pytest.mark.parametrize("how", DAMAGES, ids=["truncated", "flipped", "deleted", "emptied", "pickled"])
@pytest.mark.parametrize("name", FILES)
def test_damage_to_any_file_falls_back_to_the_checkpoint_before(name, how, tmp_path, monkeypatch):
    monkeypatch.setattr(pickle, "Unpickler", None)
    monkeypatch.setattr(pickle, "load", None)
    monkeypatch.setattr(pickle, "loads", None)
    two_checkpoints(tmp_path)
    assert_whole(checkpoint.load(tmp_path)[0], 2)
    damage(tmp_path, 2, name, how)
    with pytest.warns(UserWarning, match="checkpoint 2 is damaged .*; trying the one before"):
        parts, _ = checkpoint.load(tmp_path)
    assert_whole(parts, 1)
    with warnings.catch_warnings(), pytest.raises(CheckpointError, match="checkpoint 2 is damaged"):
        warnings.simplefilter("error")  # whoever asks for one checkpoint is not told of another
        checkpoint.load(tmp_path, 2)
    assert_whole(checkpoint.load(tmp_path, 1)[0], 1)
    assert not (tmp_path / "exploded").exists()


def test_every_bit_of_a_manifest_counts(tmp_path):
    """A flipped bit is noticed, or it changes nothing (white space)."""
    checkpoint.save(tmp_path, 7, {"agent": {"x": 1, "y": [0.5, "text"]}}, {"game": "pong"})
    path = tmp_path / "000000000007" / "manifest.json"
    content = path.read_bytes()
    noticed = 0
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            parts, meta = checkpoint.load(tmp_path)
            assert parts == {"agent": {"x": 1, "y": [0.5, "text"]}} and meta == {"game": "pong"}
        except CheckpointError:
            noticed += 1
    assert noticed > 0.9 * len(content)


def test_where_all_are_damaged_each_is_named(tmp_path):
    two_checkpoints(tmp_path)
    damage(tmp_path, 1, "agent.safetensors", flip)
    damage(tmp_path, 2, "manifest.json", truncate)
    with pytest.warns(UserWarning), pytest.raises(CheckpointError) as caught:
        checkpoint.load(tmp_path)
    assert "checkpoint 2 is damaged" in str(caught.value)
    assert "checkpoint 1 is damaged (000000000001/agent.safetensors does not match" in str(caught.value)


def test_a_damaged_part_that_is_not_asked_for_does_not_matter(tmp_path):
    two_checkpoints(tmp_path)
    damage(tmp_path, 2, "segment", flip)
    parts, _ = checkpoint.load(tmp_path, None, {"agent"})  # to watch an agent needs no ring
    assert parts.keys() == {"agent"} and parts["agent"]["count"] == 2


def test_after_a_fall_back_the_damaged_segment_is_written_anew(tmp_path):
    """The run goes on from step 1 and reaches step 2 again: nothing of the damaged checkpoint is trusted."""
    two_checkpoints(tmp_path)
    damage(tmp_path, 2, "segment", flip)
    with pytest.warns(UserWarning):
        parts, _ = checkpoint.load(tmp_path)
    checkpoint.discard_after(tmp_path, 1)
    assert checkpoint.steps(tmp_path) == [1]
    tape = Tape.restored(parts["ring"])
    tape.write(0, 2)
    agent = {"weight": torch.full((50,), 2.0), "count": 2}
    checkpoint.save(tmp_path, 2, {"agent": agent, "ring": tape.state_dict(), "other": {"x": torch.ones(3)}}, {})
    assert_whole(checkpoint.load(tmp_path)[0], 2)


def test_nothing_there(tmp_path):
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        checkpoint.load(tmp_path / "nowhere")
    two_checkpoints(tmp_path)
    with pytest.raises(CheckpointError, match="has no checkpoint 3; it has 1, 2"):
        checkpoint.load(tmp_path, 3)


@pytest.mark.parametrize("where", ["../outside.safetensors", "/{outside}", "ring/../../outside.safetensors", "link"])
def test_a_manifest_that_points_outside_is_refused(where, tmp_path):
    folder, outside = tmp_path / "run", tmp_path / "outside.safetensors"
    two_checkpoints(folder)
    damage(folder, 1, "manifest.json", Path.unlink)
    (segment,) = {f for f in manifest.read(folder, 2)["files"] if f.startswith("ring/") and "00000-" in f}
    shutil.copy(folder / segment, outside)
    target = where.format(outside=str(outside)[1:])
    if where == "link":
        target = "ring/link.safetensors"
        (folder / target).symlink_to(outside)

    def change(content):
        content["files"][target] = content["files"].pop(segment)
        files = content["values"]["ring"]["rows"]["__segments__"]["files"]
        files["0"] = target

    rewrite(folder, 2, change)
    with pytest.warns(UserWarning), pytest.raises(CheckpointError, match="points outside the run folder"):
        checkpoint.load(folder)

    def rename(content):  # a part whose name is a path
        content["values"] = {"../../outside": {"w": {"__tensor__": "frame"}}}
        content["files"]["000000000002/../../outside.safetensors"] = content["files"].pop(target)

    rewrite(folder, 2, rename)
    with pytest.warns(UserWarning), pytest.raises(CheckpointError, match="points outside the run folder"):
        checkpoint.load(folder)


def test_another_format_is_named(tmp_path):
    checkpoint.save(tmp_path, 1, {"agent": {}}, {})
    rewrite(tmp_path, 1, lambda content: content.update(format=99))
    with pytest.raises(CheckpointError, match="format 99 is not 1"):
        checkpoint.load(tmp_path)


# -- kill -9 ----------------------------------------------------------------------------------------------------------

KILLER = """
import os, shutil, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_checkpoint_damage
from agents.core import checkpoint

root, step, point = Path(sys.argv[2]), int(sys.argv[3]), 0

def here(*_):
    global point
    point += 1
    if point == at:
        os.kill(os.getpid(), signal.SIGKILL)

def watched(function):
    def call(*arguments, **options):
        here()
        return function(*arguments, **options)
    return call

os.rename, shutil.rmtree, Path.unlink = watched(os.rename), watched(shutil.rmtree), watched(Path.unlink)
for at in range(1, 100):
    shutil.copytree(root / "before", root / str(at))
    child = os.fork()
    if child == 0:
        test_checkpoint_damage.go_on(root / str(at), step, 5, here)
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        print(at - 1)
        break
"""


def go_on(folder, step, value, on_write=lambda path: None):
    """Loads the newest checkpoint, moves on to `value` and saves that as `step`."""
    parts, _ = checkpoint.load(folder)
    tape = Tape.restored(parts["ring"])
    tape.write(0, value)
    tape.write(9, value)
    agent = {"weight": torch.full((50,), float(value)), "count": value}
    checkpoint.save(folder, step, {"agent": agent, "ring": tape.state_dict()}, {}, on_write)


@pytest.mark.parametrize("step, kept", [(3, 2), (2, 2), (2, 1)], ids=["new step", "same step", "the only one again"])
def test_a_kill_at_any_point_leaves_the_old_or_the_new_state(step, kept, tmp_path):
    """At each file, before each rename and each removal; the next save then goes through and leaves nothing over."""
    before = tmp_path / "before"
    two_checkpoints(before)
    if kept == 1:
        shutil.rmtree(before / "000000000001")
    code = [sys.executable, "-c", KILLER, str(Path(__file__).parent), str(tmp_path), str(step)]
    done = subprocess.run(code, capture_output=True, text=True, timeout=500, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    points = int(done.stdout)
    assert points >= 6
    found = []
    for at in range(1, points + 1):
        folder = tmp_path / str(at)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a kill damages nothing that is looked at
            parts, _ = checkpoint.load(folder)
        found.append(parts["agent"]["count"])
        assert_whole(parts, found[-1])
        go_on(folder, 4, 8)
        assert_whole(checkpoint.load(folder)[0], 8)
        assert len(checkpoint.steps(folder)) == 2
        names = {p.name for p in folder.iterdir()}
        assert names == {f"{s:012d}" for s in checkpoint.steps(folder)} | {"ring", "newest.json"} and len(names) <= 4
        referred = {f for s in checkpoint.steps(folder) for f in manifest.read(folder, s)["files"]}
        assert {f"ring/{p.name}" for p in (folder / "ring").iterdir()} == {f for f in referred if f[:4] == "ring"}
    assert found == sorted(found) and found[0] == 2 and found[-1] == 5  # the old state up to one moment, then the new


def test_a_torn_segment_is_written_anew(tmp_path):
    """A kill in the midst of writing leaves half a file under the very name that the next save will want."""
    two_checkpoints(tmp_path)
    copy = tmp_path.parent / "copy"
    shutil.copytree(tmp_path, copy)
    go_on(copy, 3, 5)
    new = {p.name for p in (copy / "ring").iterdir()} - {p.name for p in (tmp_path / "ring").iterdir()}
    assert len(new) == 2
    for name in new:
        (tmp_path / "ring" / name).write_bytes((copy / "ring" / name).read_bytes()[:40])
    go_on(tmp_path, 3, 5)
    assert_whole(checkpoint.load(tmp_path)[0], 5)


def test_discard_after_a_replacement_that_was_killed(tmp_path):
    """Of a checkpoint that was set aside, nothing comes back."""
    two_checkpoints(tmp_path)
    shutil.copytree(tmp_path / "000000000002", tmp_path / ".000000000002.old")
    checkpoint.discard_after(tmp_path, 1)
    assert checkpoint.steps(tmp_path) == [1]
