"""Copies of datasets (merge, split, convert): they lose no record and invent none, and say what they left out."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from mutations import limited, surroundings, unchanged
from PIL import Image
from test_data import old
from tubs import BEGAN, ODD, damage, picture, said, written

from envs.recordings import tub_copies, tub_statistics, tub_version1
from envs.recordings.tub import Tub, TubError


def test_a_copy_invents_no_time(tmp_path: Path) -> None:
    written(tmp_path / "d", 6)
    for line in (0, 1, 4):
        damage(tmp_path / "d", line, _timestamp_ms=KeyError)
    said(tmp_path / "d", "--merge", tmp_path / "m")
    stamps = Tub(tmp_path / "m").records["_timestamp_ms"]
    wanted = [np.nan, np.nan, BEGAN + 100, BEGAN + 150, BEGAN + 150, BEGAN + 250]
    assert np.array_equal(stamps, wanted, equal_nan=True)
    for line in (2, 3, 5):
        damage(tmp_path / "d", line, _timestamp_ms=KeyError)
    said(tmp_path / "d", "--merge", tmp_path / "n")
    assert "_timestamp_ms" not in Tub(tmp_path / "n").records


def test_a_picture_that_only_its_checksum_vouches_for_is_skipped_in_a_copy(tmp_path: Path) -> None:
    written(tmp_path / "d", 6, game_race=0)
    for line in (1, 4):
        file = tmp_path / "d" / "images" / f"{line}_cam_image_array_.jpg"
        file.write_bytes(file.read_bytes()[:-20])
        damage(tmp_path / "d", line, _image_crc32=zlib.crc32(file.read_bytes()))
    for line in range(6):
        damage(tmp_path / "d", line, game_lap=line // 3)
    told = said(tmp_path / "d", "--merge", tmp_path / "m")
    assert "4 records" in told and told.count("skipped: ") == 3 and "record 1: " in told and "record 4: " in told
    told = said(tmp_path / "d", "--split", tmp_path / "s", "--validation", "0.5")
    assert told.count("2 records in") == 2 and told.count("skipped: ") == 3
    counts = [len(Tub(folder)) for folder in (tmp_path / "m", tmp_path / "s" / "train", tmp_path / "s" / "validation")]
    assert counts == [4, 2, 2]


def test_a_copy_that_ends_in_the_middle_says_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from envs.recordings import tub_writer

    tub, real = Tub(written(tmp_path / "d", 5)), tub_writer.replace

    def full(path: Path, content: bytes) -> None:
        if path.name.startswith("3_"):
            raise OSError(28, "No space left on device", str(path))
        real(path, content)

    monkeypatch.setattr(tub_writer, "replace", full)
    with pytest.raises(TubError, match=r"No space left on device; .*m holds only the first 3 records"):
        tub_copies.copy([(tub, np.arange(5))], tmp_path / "m")
    old(tmp_path / "old", 6)
    with pytest.raises(TubError, match=r"No space left on device; .*new holds only the first 3 records"):
        tub_version1.convert(tmp_path / "old", tmp_path / "new")
    assert len(Tub(tmp_path / "m")) == len(Tub(tmp_path / "new")) == 3


def test_one_dataset_is_not_merged_with_itself(tmp_path: Path) -> None:
    written(tmp_path / "d", 3)
    (tmp_path / "same").symlink_to("d")
    assert "named twice" in said(tmp_path / "d", tmp_path / "same", "--merge", tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_no_range_is_too_long_to_be_refused(tmp_path: Path) -> None:
    written(tmp_path, 3)
    with limited(60):
        assert "has no record 999999999999" in said(tmp_path, "--restore", "0:1000000000000")
        for what in ("9" * 5000, "1:" + "9" * 5000, "lap:" + "9" * 5000, "٣"):
            assert "chooses no records" in said(tmp_path, "--delete", what)
        assert "say A:B" in said(tmp_path, "--restore", "9" * 5000)


# Version 1


def rewrite(path: Path, k: int, **change: object) -> None:
    file = path / f"record_{k}.json"
    row = json.loads(file.read_text()) | {n.replace("_", "/", 1): value for n, value in change.items()}
    file.write_text(json.dumps({name: value for name, value in row.items() if value is not KeyError}))


def test_version_1_of_other_programs(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = old(tmp_path / "old", 11)
    rewrite(path, 0, user_angle="0.25", flag="False")
    rewrite(path, 1, user_angle=None)
    rewrite(path, 2, user_angle=1.02, user_mode=None)
    rewrite(path, 3, user_angle=float("nan"))
    rewrite(path, 4, user_angle="left")
    rewrite(path, 5, flag="perhaps")
    (path / "6_cam-image_array_.jpg").unlink()
    os.mkfifo(path / "6_cam-image_array_.jpg")
    (path / "record_7.json").unlink()
    (path / "record_7.json").symlink_to("/dev/zero")
    Image.fromarray(picture(0, 30, 40)).save(path / "8_cam-image_array_.jpg")
    (path / "record_x.json").write_text("[]")
    with limited(60):
        done, skipped, notes = tub_version1.convert(path, tmp_path / "new")
    tub = Tub(tmp_path / "new")
    kept = [0, 2, 9, 10]
    assert done == len(tub) == 4 and not tub.damaged and tub.index.tolist() == list(range(4))
    assert tub.records["user/angle"].tolist() == [0.25, 1.0, 0.9, 1.0]
    assert tub.records["flag"].tolist()[0] is False and tub.records["_timestamp_ms"].tolist() == [50 * k for k in kept]
    for k, told in {
        1: "there is no user/angle", 3: "user/angle is nan", 4: "user/angle is 'left', not a number",
        5: "flag is 'perhaps', not true or false", 6: "no regular file", 7: "link out of the folder",
        8: "is 40x30, most are 16x12", "x": "not a record in JSON",
    }.items():  # fmt: skip
        assert any(s.startswith(f"record_{k}.json: ") and told in s for s in skipped), (k, skipped)
    assert len(skipped) == 8 and notes == [
        "user/angle is outside -1 to 1 in 1 record: clipped; the first is record 2 (1.02)"
    ]
    assert tub.row(0)["imu/acl"] == [1, 2]


def test_version_1_has_the_time_that_it_has_and_no_other(tmp_path: Path) -> None:
    path = old(tmp_path / "text", 6)
    for k in range(6):
        rewrite(path, k, milliseconds=KeyError, timestamp=f"2019-10-02 12:00:{k:02d}.250000")
    rewrite(path, 2, milliseconds=1234.5, timestamp="yesterday")  # another clock: not mixed in
    tub_version1.convert(path, tmp_path / "a")
    stamps = Tub(tmp_path / "a").records["_timestamp_ms"]
    assert (np.diff(stamps[3:]) == 1000).all() and stamps[0] == 1570017600250 and np.isnan(stamps[2])
    path = old(tmp_path / "none", 6)
    for k in range(6):
        rewrite(path, k, milliseconds=KeyError)
    (path / "record_3.json").unlink()
    tub_version1.convert(path, tmp_path / "b")
    tub = Tub(tmp_path / "b")
    assert len(tub) == 5 and "_timestamp_ms" not in tub.records
    assert tub.starts.tolist() == [True, False, False, True, False]  # no time tells of the gap
    assert tub_statistics.statistics(tub)["minutes"] == pytest.approx(5 / 1200)
    path = old(tmp_path / "odd", 4)
    for k, value in enumerate((True, -1, "75", 1e400)):
        rewrite(path, k, milliseconds=value)
    tub_version1.convert(path, tmp_path / "c")
    assert np.array_equal(Tub(tmp_path / "c").records["_timestamp_ms"], [np.nan, np.nan, 75, np.nan], equal_nan=True)


@pytest.mark.parametrize("kind", ODD)
def test_version_1_with_a_meta_that_is_no_file(tmp_path: Path, kind: str) -> None:
    inside = surroundings(tmp_path)
    inside.mkdir()
    path = old(inside / "old", 2)
    (path / "meta.json").unlink()
    make, told = ODD[kind]
    make(path / "meta.json")
    with limited(60), unchanged(tmp_path, but=inside):
        answer = said(path, "--convert", inside / "new")
    if kind == "link to nothing":  # as without one
        assert "2 records" in answer and len(Tub(inside / "new")) == 2
    else:
        assert told in answer and answer.startswith(f"{path}: ") and not (inside / "new").exists()
