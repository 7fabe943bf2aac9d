"""Recorded drives as rows: tubs and files of arrays, what is left out of them, and what is refused."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tubs import read

import envs
from agents.core import dataset
from agents.core.replay import ReplayBuffer
from agents.core.rows import Spec
from agents.core.samplers import Uniform
from envs.recordings import reader
from envs.recordings.rows import RecordingError, Rows, check_info
from envs.recordings.tub import IMAGE, TubWriter
from experiments import lab

CPU = torch.device("cpu")


def test_what_is_wrong_with_a_dataset_is_said_in_one_sentence(tmp_path: Path) -> None:
    spec = Spec((3,), "float32", 1, action_dim=2)
    obs, action, lap = np.zeros((4, 3), np.float32), np.zeros((4, 2), np.float32), np.zeros(4, np.int64)

    def refused(match: str, **arrays: np.ndarray) -> None:
        np.savez(tmp_path / "x.npz", **arrays)
        with pytest.raises(ValueError, match=match) as fault:
            read(tmp_path / "x.npz", spec)
        assert "\n" not in str(fault.value) and "x.npz" in str(fault.value)

    refused("holds no rows", obs=obs[:0], action=action[:0], lap=lap[:0])
    refused("holds no 'action'", obs=obs, lap=lap)
    refused("differ in length", obs=obs, action=action[:3], lap=lap)
    refused(r"shows float32 of \(2,\)", obs=obs[:, :2], action=action, lap=lap)
    refused("shows uint8", obs=obs.astype(np.uint8), action=action, lap=lap)
    refused(r"has actions of \(1,\)", obs=obs, action=action[:, :1], lap=lap)
    refused("the action of row 2 is outside", obs=obs, action=np.array([[0, 0], [1, 1], [0, 1.5], [9, 9]]), lap=lap)
    refused("the action of row 0 is outside", obs=obs, action=action * np.nan, lap=lap)
    refused("'lap' is no array of numbers", obs=obs, action=action, lap=lap.astype(str))
    refused("lap must be one number a row", obs=obs, action=action, lap=np.zeros((4, 2)))
    refused("what the teacher does is 'action'", obs=obs, action=action, lap=lap, expert=7 * action)
    np.savez(tmp_path / "x.npz", obs=obs, action=np.ones((4, 2), np.int64), lap=lap)
    assert read(tmp_path / "x.npz", spec).action.dtype == np.float32  # of a game with continuous actions
    np.save(tmp_path / "x.npy", obs)
    (tmp_path / "x.npy").rename(tmp_path / "x.npz")
    with pytest.raises(ValueError, match="x.npz: cannot be read"):
        read(tmp_path / "x.npz", spec)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("obs", b"text")
    with pytest.raises(ValueError, match="'obs' is no array of numbers"):
        read(tmp_path / "x.npz", spec)
    needs = {"lateral": np.float32(np.nan), "drivable": np.full((15, 20), 255, np.uint8)}
    for name, label in (
        ("lateral", lap.astype(str)), ("lateral", np.zeros((4, 2))), ("drivable", np.zeros((4, 3, 3), np.uint8))
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"here: {name} must be numbers of"):
            check_info(Rows(obs, action, lap, {name: label}), needs, "here")
    (tmp_path / "x.npz").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(ValueError, match="cannot be read"):
        read(tmp_path / "x.npz", spec)
    for path, told in ((tmp_path / "none", "there is no such dataset"), (tmp_path, "is neither a tub")):
        with pytest.raises(ValueError, match=told):
            read(path, spec)


def tub(
    path: Path, count: int = 30, size: tuple[int, int] = (60, 80), camera: str | None = None, **record: Any
) -> Path:
    from envs.recordings.tub import TubWriter

    kinds = {"user/target_speed": "float", "game/lap": "int", "game/lateral": "float", "game/drivable": "str"}
    rng = np.random.default_rng(0)
    with TubWriter(path, kinds, metadata={"camera": camera} if camera else {}) as writer:
        for i in range(count):
            picture = np.full((*size, 3), 8 * i, np.uint8) + rng.integers(0, 3, (*size, 3), dtype=np.uint8)
            area = np.packbits(np.arange(300) < i).tobytes().hex()
            row = {"user/angle": i / 50, "user/throttle": 0.0, "user/mode": "user", "user/target_speed": 8.0,
                   "game/lap": i // 10, "game/lateral": 0.1 * i, "game/drivable": area}  # fmt: skip
            writer.write({"cam/image_array": picture, **row, **record})
    return path


def test_a_tub_becomes_rows(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    spec = Spec((60, 80, 3), "uint8", 1, action_dim=2)
    rows = read(tub(tmp_path / "a"), spec)
    np.testing.assert_allclose(rows.action, np.stack([np.arange(30) / 50, np.zeros(30)], 1), atol=1e-6)
    np.testing.assert_allclose(rows.info["lateral"], 0.1 * np.arange(30), atol=1e-5)
    assert list(rows.info["drivable"].sum((1, 2))) == list(range(30)) and sorted(rows.info) == [
        "drivable",
        "lateral",
    ]
    assert np.abs(rows.obs.mean((1, 2, 3)) - 8 * np.arange(30) - 1).max() < 2
    assert list(np.unique(rows.group)) == [0, 1, 2]
    large = read(tub(tmp_path / "b", size=(120, 160)), spec)
    assert large.obs.shape == (30, 60, 80, 3)
    both = read(tub(tmp_path / "two" / "a", 12).parent, spec)
    assert len(both.group) == 12
    tub(tmp_path / "two" / "b", 30)
    assert len(np.unique(read(tmp_path / "two", spec).group)) == 2 + 3
    (tmp_path / "a" / "images" / "3_cam_image_array_.jpg").unlink()
    assert len(read(tmp_path / "a", spec).group) == 29
    assert "1 damaged records are skipped" in capsys.readouterr().err


def test_no_stack_of_pictures_reaches_across_what_was_left_out(tmp_path: Path) -> None:
    """Records that a network drove between two of a person, and a deleted one: one lap, several stacks."""
    from envs.recordings import tub_edits
    from envs.recordings.tub import Tub, TubWriter

    with TubWriter(tmp_path / "d", {"user/target_speed": "float", "game/lap": "int"}) as writer:
        for i in range(20):
            row = {"user/angle": 0.0, "user/throttle": 0.0, "user/target_speed": 8.0, "game/lap": 0}
            row |= {"user/mode": "local" if 5 <= i < 10 else "user"}
            writer.write({"cam/image_array": np.full((60, 80, 3), 8 * i, np.uint8), **row}, timestamp_ms=50 * i)
    tub_edits.delete(tmp_path / "d", [14])
    rows = read(tmp_path / "d", Spec((60, 80, 3), "uint8", 4, action_dim=2))
    at = np.delete(np.arange(20), [5, 6, 7, 8, 9, 14])
    assert len(rows.group) == len(at) and set(rows.group) == {0} and Tub(tmp_path / "d").laps.max() == 0
    assert at[rows.first].tolist() == [0, 10, 15]
    ring = ReplayBuffer(16, 1, Spec((60, 80, 3), "uint8", 4, action_dim=2), Uniform(), window=1, device=CPU, seed=0)
    dataset.fill(ring, rows, {})
    seen = ring.windows(torch.arange(len(at))).obs[:, 0].float().mean((2, 3, 4)) / 8  # [14, 4], numbers of records
    for k, record in enumerate(at):
        begin = max(int(e) for e in at[rows.first] if e <= record)
        wanted = [r if r >= begin else 0 for r in range(record - 3, record + 1)]  # black before an edge
        assert seen[k].round().tolist() == wanted, record


def test_a_dataset_without_its_manifest_and_pictures_that_no_checksum_guards(tmp_path: Path, capsys) -> None:
    spec = Spec((60, 80, 3), "uint8", 1, action_dim=2)
    path = tub(tmp_path / "a")
    (path / "manifest.json").unlink()
    assert len(read(path, spec).group) == 30 and "manifest.json is missing" in capsys.readouterr().err
    path = tub(tmp_path / "b")
    picture = path / "images" / "4_cam_image_array_.jpg"
    picture.write_bytes(picture.read_bytes()[:900])
    lines = (path / "catalog_0.catalog").read_bytes().splitlines()
    record = json.loads(lines[4])  # as another program may have written it
    lines[4] = json.dumps({**record, "_image_crc32": zlib.crc32(picture.read_bytes())}).encode()
    (path / "catalog_0.catalog").write_bytes(b"\n".join(lines) + b"\n")
    assert len(read(path, spec).group) == 29
    assert "1 records whose picture cannot be read are skipped" in capsys.readouterr().err


def test_records_without_a_good_label_are_left_out_and_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    from tubs import damage

    spec = Spec((60, 80, 3), "uint8", 1, action_dim=2)
    path = tub(tmp_path / "a", 12)
    damage(path, 2, user_target_speed=900.0)
    damage(path, 4, game_drivable="not a number")
    damage(path, 7, user_target_speed=None)
    rows = read(path, spec)
    told = capsys.readouterr().err
    assert "3 records without a good label are skipped; record 2: user/target_speed is 900 m/s" in told
    np.testing.assert_allclose(rows.action[:, 0] * 50, [0, 1, 3, 5, 6, 8, 9, 10, 11], atol=1e-4)
    for line in range(12):
        damage(path, line, user_target_speed=-3.0)
    with pytest.raises(ValueError, match="no record has a label that can be; record 0"):
        read(path, spec)
    tub(tmp_path / "both" / "good", 5)
    path.rename(tmp_path / "both" / "bad")
    assert len(read(tmp_path / "both", spec).group) == 5
    assert "left out" in capsys.readouterr().err


def test_what_a_recording_cannot_give_is_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """No validation from one lap, no rounds without a teacher: both train, and neither is silent."""
    common = {"game": "kart", "num_envs": 1, "seed": 0, "steps": 4, "env": {"obs": "trunk", "expert_info": False}}
    config = {"agent": "clone", "agent_config": {"validation": 0.1}, "data": str(tub(tmp_path / "a", 10))}
    parts = lab.assemble({**common, **config}, torch.device("cpu"))
    assert parts.validation is None and "one lap or game: none is kept back" in capsys.readouterr().err
    parts.stream.close()
    config = {"agent": "dagger", "agent_config": {"validation": 0.1, "dagger": True}, "data": str(tub(tmp_path / "b"))}
    parts = lab.assemble({**common, **config}, torch.device("cpu"))
    told = capsys.readouterr().err
    assert parts.validation is not None and "no teacher here (--expert-info): no rounds" in told
    assert "one lap or" not in told
    parts.stream.close()


def test_a_tub_that_cannot_teach_is_refused(tmp_path: Path) -> None:
    spec = Spec((60, 80, 3), "uint8", 1, action_dim=2)
    with pytest.raises(ValueError, match="too small for a network that sees 80x60"):
        read(tub(tmp_path / "tiny", 3, (30, 40)), spec)
    with pytest.raises(ValueError, match="by camera picam, not kart: say --camera picam"):
        read(tub(tmp_path / "seen", 3, camera="picam"), spec, camera="kart")
    for part in ("train", "validation"):
        tub(tmp_path / "split" / part, 3)
    with pytest.raises(ValueError, match="is split into train and validation; name .*train"):
        read(tmp_path / "split", spec)
    with pytest.raises(ValueError, match="do not fit a network that sees 80x60"):
        read(tub(tmp_path / "wide", 3, (60, 200)), spec)
    with pytest.raises(ValueError, match="a network drove all of its 3 records"):
        read(tub(tmp_path / "mine", 3, **{"user/mode": "local"}), spec)
    from envs.recordings.tub import TubWriter

    with TubWriter(tmp_path / "throttle") as writer:
        picture = np.zeros((60, 80, 3), np.uint8)
        writer.write({"cam/image_array": picture, "user/angle": 0.0, "user/throttle": 0.1, "user/mode": "user"})
    with pytest.raises(ValueError, match="no column 'user/target_speed'"):
        read(tmp_path / "throttle", spec)


def test_drives_of_several_cameras_are_learned_from_where_cameras_are_random(tmp_path):
    with TubWriter(tmp_path / "wide", {"user/target_speed": "float"}, metadata={"camera": "wide"}) as writer:
        for k in range(3):
            row = {IMAGE: np.full((60, 80, 3), 50 * k, np.uint8), "user/angle": 0.1 * k, "user/target_speed": 5.0}
            writer.write({**row, "user/throttle": 0.1, "user/mode": "user"})
    spec = Spec((60, 80, 3), "uint8", 1, action_dim=2)
    for random_camera in (0.0, 1.0):
        driving = envs.describe("kart", obs="trunk", random_camera=random_camera).driving
        wanted = reader.WantedRows(spec, driving=driving)
        if random_camera:
            assert len(reader.read([tmp_path / "wide"], wanted, print).obs) == 3
            continue
        with pytest.raises(RecordingError, match="recorded by camera wide, not kart: say --camera wide"):
            reader.read([tmp_path / "wide"], wanted, print)
