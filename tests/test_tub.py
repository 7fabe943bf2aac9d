"""The dataset of driving: written, appended to, edited and read; what goes wrong is in test_tub_damage.py."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tubs import KINDS, picture, values, written

from envs.recordings import tub_edits
from envs.recordings.tub import BLOCK, Tub, TubError, TubWriter
from envs.recordings.tub_format import IMAGE

ROOT = Path(__file__).resolve().parents[1]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """The seed's preparation wrote one row per recording and black pictures: here are n rows and the pictures."""
    with TubWriter(tmp_path / "d", KINDS, metadata={"game": "kart"}) as writer:
        for k in range(1005):
            more = {"override": k % 7 == 0, "game_lap": k // 100, "game_race": 0, "game_note": f"n{k}"}
            if k % 2:
                more["pilot_angle"] = k / 2000
            assert writer.write(values(k, **more), timestamp_ms=50 * k) == k
    tub = Tub(tmp_path / "d")
    assert len(tub) == 1005 and not tub.damaged and not tub.faults and tub.metadata == {"game": "kart"}
    assert tub.records["user/angle"].tolist() == [(k % 21 - 10) / 10 for k in range(1005)]
    assert tub.records["user/angle"].dtype == np.float64 and tub.records["game/lap"].dtype == np.int64
    assert tub.records["override"].tolist() == [k % 7 == 0 for k in range(1005)]
    assert tub.records["game/note"].tolist() == [f"n{k}" for k in range(1005)]
    pilot = tub.records["pilot/angle"]
    assert np.isnan(pilot[::2]).all() and np.allclose(pilot[1::2], np.arange(1, 1005, 2) / 2000)
    assert tub.laps.tolist() == [k // 100 for k in range(1005)]
    assert tub.starts.tolist() == [True] + [False] * 1004
    assert np.array_equal(tub.records["_timestamp_ms"], 50 * np.arange(1005))
    assert tub.shape == (12, 16)
    images = tub.images([0, 3, 1004])
    assert images.dtype == np.uint8 and images.shape == (3, 12, 16, 3)
    for row, k in enumerate((0, 3, 1004)):
        assert np.array_equal(images[row], tub.image(k))
        assert np.abs(images[row].astype(int) - picture(k)).max() <= 6


def test_a_dataset_grows_by_sessions(tmp_path: Path) -> None:
    written(tmp_path, 3)
    with pytest.raises(TubError, match="column 'override' holds boolean, not float"):
        TubWriter(tmp_path, {"override": "float"})
    with TubWriter(tmp_path, {"game/new": "float"}) as writer:
        assert writer.write({**values(3), "game/new": 2.5}) == 3
    tub = Tub(tmp_path)
    assert len(tub) == 4 and len(tub.sessions) == 2
    assert tub.starts.tolist() == [True, False, False, True] and tub.laps.tolist() == [0, 0, 0, 1]
    assert np.isnan(tub.records["game/new"][:3]).all() and tub.records["game/new"][3] == 2.5


def test_laps_are_those_of_the_game_or_blocks(tmp_path: Path) -> None:
    with TubWriter(tmp_path / "a", KINDS) as writer:
        for k, (race, lap) in enumerate([(0, 0), (0, 0), (0, 1), (1, 0), (1, 1), (1, 1), (2, 1)]):
            writer.write(values(k, game_race=race, game_lap=lap))
    tub = Tub(tmp_path / "a")
    assert tub.laps.tolist() == [0, 0, 1, 2, 3, 3, 4]
    assert tub.starts.tolist() == [True, False, False, True, False, False, True]
    assert Tub(written(tmp_path / "b", BLOCK + 2)).laps.tolist() == [0] * BLOCK + [1, 1]


def test_a_networks_own_driving_is_no_label(tmp_path: Path) -> None:
    with TubWriter(tmp_path, KINDS) as writer:
        for k, mode in enumerate(("user", "local", None)):
            writer.write({**values(k), "user/mode": mode})
    assert Tub(tmp_path).labelled.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"user/angle": 1.01}, "user/angle is 1.01, outside -1 to 1"),
        ({"user/angle": float("nan")}, "user/angle is nan, not a finite number"),
        ({"user/angle": "0"}, "user/angle must be float"),
        ({"user/angle": True}, "user/angle must be float"),
        ({"override": 1}, "override must be boolean"),
        ({"game/lap": 1.5}, "game/lap must be int"),
        ({"game/lap": 10**400}, "not a finite number"),
        ({"steering": 0.0}, "there is no column 'steering'"),
        ({IMAGE: None}, "record 1 has no cam/image_array"),
        ({IMAGE: picture(0) / 255.0}, "must be uint8 .*, not float64"),  # the seed's: 0..1 cast to uint8 is black
        ({IMAGE: picture(0)[..., 0]}, "must be uint8"),
        ({IMAGE: picture(0, 20, 16)}, "holds pictures of 16x12, this one is 16x20"),
        ({IMAGE: b"no picture"}, "cannot identify image"),
    ],
)
def test_a_bad_record_is_refused_and_nothing_is_written(tmp_path: Path, change: dict, told: str) -> None:
    with TubWriter(tmp_path, KINDS) as writer:
        writer.write(values(0))
        before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
        with pytest.raises(TubError, match=told):
            writer.write({**values(1), **change})
        assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
        writer.write(values(1))
    assert len(Tub(tmp_path)) == 2


def test_only_one_process_writes(tmp_path: Path) -> None:
    with TubWriter(tmp_path) as writer:
        writer.write(values(0))
        with pytest.raises(TubError, match="being recorded or edited"):
            TubWriter(tmp_path)
        with pytest.raises(TubError, match="being recorded or edited"):
            tub_edits.delete(tmp_path, [0])
        assert len(Tub(tmp_path)) == 1  # reading goes on
    with TubWriter(tmp_path) as writer:
        writer.write(values(1))


def test_folders_of_other_things_are_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(TubError, match="holds other files and no manifest.json"):
        TubWriter(tmp_path)
    with pytest.raises(TubError, match="is a file"):
        TubWriter(tmp_path / "letter.txt")
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]


# Deleting


def test_deleted_records_are_left_out_and_come_back(tmp_path: Path) -> None:
    written(tmp_path, 10)
    assert tub_edits.delete(tmp_path, range(2, 5)) == 3
    assert tub_edits.delete(tmp_path, [4, 9]) == 1
    tub = Tub(tmp_path)
    assert tub.index.tolist() == [0, 1, 5, 6, 7, 8] and tub.deleted == 4
    assert tub.starts.tolist() == [True, False, True, False, False, False]
    assert np.abs(tub.image(2).astype(int) - picture(5)).max() <= 6
    assert tub_edits.undo(tmp_path) == ("deleted", 1) and Tub(tmp_path).index.tolist() == [0, 1, 5, 6, 7, 8, 9]
    assert tub_edits.restore(tmp_path, [3, 7]) == 1 and Tub(tmp_path).index.tolist() == [0, 1, 3, 5, 6, 7, 8, 9]
    assert tub_edits.undo(tmp_path) == ("restored", 1)
    assert tub_edits.undo(tmp_path) == ("deleted", 3) and len(Tub(tmp_path)) == 10
    with pytest.raises(TubError, match="nothing to undo"):
        tub_edits.undo(tmp_path)
    with pytest.raises(TubError, match="no record 10; its records are 0 to 9"):
        tub_edits.delete(tmp_path, [3, 10])
    assert len(Tub(tmp_path)) == 10


def test_deleting_while_recording(tmp_path: Path) -> None:
    with TubWriter(tmp_path, KINDS) as writer:
        for k in range(6):
            writer.write(values(k))
        writer.delete([4, 5, 77])
        writer.write(values(6))
    assert Tub(tmp_path).index.tolist() == [0, 1, 2, 3, 6]
    assert tub_edits.undo(tmp_path) == ("deleted", 2) and len(Tub(tmp_path)) == 7


def test_everything_deleted_is_told(tmp_path: Path) -> None:
    written(tmp_path, 3)
    tub_edits.delete(tmp_path, range(3))
    with pytest.raises(TubError, match="no good record .0 damaged, 3 deleted"):
        Tub(tmp_path)


# The original


@pytest.mark.skipif("DONKEYCAR_PYTHON" not in os.environ, reason="DONKEYCAR_PYTHON: an interpreter with donkeycar 5.3")
def test_donkeycar_reads_deletes_and_appends(tmp_path: Path) -> None:
    written(tmp_path, 1100, game_lap=1)
    code = """
import json, sys
from donkeycar.parts.tub_v2 import Tub
tub = Tub(sys.argv[1])
rows = [(r["_index"], r["user/angle"], r["cam/image_array"]) for r in tub]
tub.delete_records([3, 1005])
tub.write_record({"user/angle": 0.25, "user/throttle": 0.5, "user/mode": "user"})
tub.close()
print(json.dumps(rows))
"""
    out = subprocess.run([os.environ["DONKEYCAR_PYTHON"], "-c", code, tmp_path], capture_output=True, text=True)
    rows = json.loads(out.stdout.splitlines()[-1])
    assert rows == [[k, (k % 21 - 10) / 10, f"{k}_cam_image_array_.jpg"] for k in range(1100)], out.stderr
    with TubWriter(tmp_path, KINDS) as writer:
        assert writer.write(values(1101)) == 1101
    tub = Tub(tmp_path)
    assert tub.index.tolist() == [k for k in range(1102) if k not in (3, 1005, 1100)]
    assert tub.damaged == ["catalog_1.catalog line 101, record 1100: there is no cam/image_array"]
