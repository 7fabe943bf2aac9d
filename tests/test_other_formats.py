"""Recordings in the formats of others, read back by the packages whose formats they are, in environments of their own.

FORMATS_PYTHON: an interpreter with numpy, pillow, pyarrow, av, gymnasium and minari; it writes, and reads Minari back.
LEROBOT_PYTHON: one with lerobot, or lerobot-dataset (Python 3.12), which reads LeRobotDataset back.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from programs import program

from envs.recordings import other_formats
from envs.recordings.tub import IMAGE, Tub, TubError, TubWriter
from experiments import data

ROOT = Path(__file__).resolve().parents[1]
writes = pytest.mark.skipif("FORMATS_PYTHON" not in os.environ, reason="FORMATS_PYTHON: pyarrow, av and minari")
reads = pytest.mark.skipif(
    not {"FORMATS_PYTHON", "LEROBOT_PYTHON"} <= {*os.environ}, reason="LEROBOT_PYTHON: lerobot or lerobot-dataset"
)
COUNT, GAP = 60, 40  # records, and the one before which another race begins


def picture(k: int) -> np.ndarray:
    """Flat in blocks of 16, so that a video keeps it."""
    colours = np.random.default_rng(k).integers(40, 216, (3, 4, 3), dtype=np.uint8)
    return colours.repeat(16, 0).repeat(16, 1)


@pytest.fixture(scope="module")
def tub(tmp_path_factory) -> Tub:
    """Two races of 40 and 20 records, 20 a second."""
    path = tmp_path_factory.mktemp("tubs") / "Two races"
    kinds = {"user/target_speed": "float", "game/race": "int", "game/speed": "float", "game/progress": "float"}
    with TubWriter(path, kinds, metadata={"game": "car", "driver": "expert"}) as writer:
        for k in range(COUNT):
            row = {"user/angle": np.sin(k), "user/throttle": 0.2, "user/target_speed": 5.0, "user/mode": "user"}
            more = {"game/race": int(k >= GAP), "game/speed": 0.1 * k, "game/progress": 0.01 * k}
            writer.write({IMAGE: picture(k), **row, **more}, timestamp_ms=1_000_000 + 50 * k)
    return Tub(path)


def told(interpreter: str, code: str, *words: object) -> dict:
    """What another interpreter prints last, as JSON."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [os.environ[interpreter], "-c", code, *map(str, words)], capture_output=True, text=True, env=env, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_an_episode_is_what_follows_one_another(tub):
    assert [rows.tolist() for rows in other_formats.episodes(tub)] == [[*range(GAP)], [*range(GAP, COUNT)]]
    names, values = other_formats.columns(tub, other_formats.ACTIONS)
    assert names == ["steering", "throttle", "target_speed"] and values.shape == (COUNT, 3)
    np.testing.assert_allclose(values[:, 0], np.sin(np.arange(COUNT)), atol=1e-6)
    assert other_formats.columns(tub, {"game/lateral": "lateral"})[1].shape == (COUNT, 0)
    assert other_formats.rate(tub) == 20


def test_what_cannot_be_is_one_sentence(tub, tmp_path, capsys, monkeypatch):
    for argv, why in ((["--to", "lerobot"], "say a format and a new folder"), (["--to", "zip", "x"], "say a format")):
        code, _, err = program(data.main, [str(tub.path), *argv], capsys, monkeypatch)
        assert code == 2 and why in err
    for form, package in (("lerobot", "av"), ("minari", "minari")):
        if importlib.util.find_spec(package) is None:
            argv = [str(tub.path), "--to", form, str(tmp_path / form)]
            code, _, err = program(data.main, argv, capsys, monkeypatch)
            assert code == 2 and "joypad-lab[formats]" in err and not (tmp_path / form).exists()


def test_pictures_that_no_video_holds_are_one_sentence(tmp_path):
    with TubWriter(tmp_path / "odd") as writer:
        writer.write({IMAGE: np.zeros((15, 16, 3), np.uint8), "user/angle": 0.0, "user/mode": "user"})
    with pytest.raises(TubError, match="odd holds pictures of 16x15: videos need even sides"):
        other_formats.to_lerobot(Tub(tmp_path / "odd"), tmp_path / "out")


READ_PARTS = """
import json, sys, av, numpy as np, pyarrow.parquet as pq
out = sys.argv[1]
rows = pq.read_table(out + "/data/chunk-000/file-000.parquet").to_pydict()
with av.open(out + "/videos/observation.images.front/chunk-000/file-000.mp4") as video:
    frames = [f.to_ndarray(format="rgb24").astype(int).mean((0, 1)).tolist() for f in video.decode(video=0)]
episodes = pq.read_table(out + "/meta/episodes/chunk-000/file-000.parquet").to_pydict()
print(json.dumps(dict(rows=rows, frames=frames, episodes=episodes)))
"""


@writes
def test_lerobot_holds_what_the_tub_held(tub, tmp_path):
    out = tmp_path / "out"
    code = "import sys; from experiments import data; data.run(sys.argv[1:]); print('{}')"
    told("FORMATS_PYTHON", code, tub.path, "--to", "lerobot", out)
    found = told("FORMATS_PYTHON", READ_PARTS, out)
    rows, info = found["rows"], json.loads((out / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0" and info["total_frames"] == COUNT and info["total_episodes"] == 2
    assert info["fps"] == 20 and {*info["features"]} == {*rows, other_formats.CAMERA}
    assert rows["index"] == [*range(COUNT)] and rows["episode_index"] == [0] * GAP + [1] * (COUNT - GAP)
    assert rows["frame_index"] == [*range(GAP), *range(COUNT - GAP)]
    np.testing.assert_allclose(rows["timestamp"], np.array(rows["frame_index"]) / 20, atol=1e-6)
    np.testing.assert_allclose(rows["action"], other_formats.columns(tub, other_formats.ACTIONS)[1])
    expected = [tub.image(k).astype(int).mean((0, 1)) for k in range(COUNT)]
    assert np.abs(np.array(found["frames"]) - expected).max() < 4  # picture by picture, in order
    assert found["episodes"]["dataset_from_index"] == [0, GAP] and found["episodes"]["length"] == [GAP, COUNT - GAP]
    assert found["episodes"][f"videos/{other_formats.CAMERA}/from_timestamp"] == [0.0, GAP / 20]


@reads
def test_lerobot_itself_reads_it(tub, tmp_path):
    out = tmp_path / "out"
    code = "import sys; from experiments import data; data.run(sys.argv[1:]); print('{}')"
    told("FORMATS_PYTHON", code, tub.path, "--to", "lerobot", out)
    code = """
import json, sys
try:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset
except ImportError:
    from lerobot_dataset import LeRobotDataset
data = LeRobotDataset("joypad/tub", root=sys.argv[1], video_backend="pyav")
rows = [data[k] for k in (0, 39, 40, 59)]
print(json.dumps(dict(
    frames=data.num_frames, episodes=data.num_episodes, fps=data.fps,
    shape=list(rows[0]["observation.images.front"].shape),
    actions=[r["action"].tolist() for r in rows], episode=[int(r["episode_index"]) for r in rows], task=rows[0]["task"],
    means=[(255 * r["observation.images.front"].mean((1, 2))).tolist() for r in rows],
)))
"""
    found = told("LEROBOT_PYTHON", code, out)
    assert (found["frames"], found["episodes"], found["fps"], found["shape"]) == (COUNT, 2, 20, [3, 48, 64])
    at = [0, 39, 40, 59]
    np.testing.assert_allclose(found["actions"], other_formats.columns(tub, other_formats.ACTIONS)[1][at], atol=1e-6)
    assert found["episode"] == [0, 0, 1, 1] and found["task"] == "drive: car"
    assert np.abs(np.array(found["means"]) - [tub.image(k).astype(int).mean((0, 1)) for k in at]).max() < 4


@writes
def test_minari_itself_reads_it(tub, tmp_path):
    out = tmp_path / "out"
    code = "import sys; from experiments import data; data.run(sys.argv[1:]); print('{}')"
    told("FORMATS_PYTHON", code, tub.path, "--to", "minari", out)
    code = """
import json, os, sys
os.environ["MINARI_DATASETS_PATH"] = sys.argv[1]
import minari
data = minari.load_dataset("joypad/two-races-v0")
episodes = list(data.iterate_episodes())
print(json.dumps(dict(
    steps=int(data.total_steps), lengths=[len(e.actions) for e in episodes],
    seen=[len(e.observations) for e in episodes], ends=[bool(e.truncations[-1]) for e in episodes],
    first=episodes[1].actions[0].tolist(), reward=float(episodes[0].rewards[0]),
    mean=float(episodes[1].observations[0].mean()), dtype=str(episodes[0].observations[0].dtype),
)))
"""
    found = told("FORMATS_PYTHON", code, out)
    assert found["steps"] == COUNT - 2 and found["lengths"] == [GAP - 1, COUNT - GAP - 1]
    assert found["seen"] == [GAP, COUNT - GAP] and found["ends"] == [True, True] and found["dtype"] == "uint8"
    np.testing.assert_allclose(found["first"], other_formats.columns(tub, other_formats.ACTIONS)[1][GAP], atol=1e-6)
    assert found["reward"] == pytest.approx(0.01)
    assert found["mean"] == pytest.approx(tub.image(GAP).mean(), abs=0.5)  # another libjpeg decodes a little otherwise
