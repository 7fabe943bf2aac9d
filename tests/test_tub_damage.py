"""The dataset of driving when things go wrong: writers killed, records, pictures and whole files damaged."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tubs import KINDS, damage, picture, values, written

from envs.recordings import tub_edits
from envs.recordings.tub import Tub, TubError, TubWriter

ROOT = Path(__file__).resolve().parents[1]

# Killed

WRITER = """
import sys
from pathlib import Path
from envs.recordings.tub import TubWriter
sys.path.insert(0, "tests")
from tubs import values
with TubWriter(sys.argv[1], {"override": "boolean"}) as writer:
    while True:
        sys.stdout.write(f"{writer.write(values(writer.index))}\\n")
        sys.stdout.flush()
"""


def killed(path: Path, after: int, delay: float) -> int:
    """Writes until `after` records were told, then kills the writer; returns how many records it had told of."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, cwd=ROOT, env=environ)
    for _ in range(after):
        assert process.stdout.readline()
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read()
    process.wait()
    return after + rest.count(b"\n")


def look(path: Path, told: int, torn: int) -> Tub:
    """After a kill: what was told is there; one record more may be, that was written and not yet told of; and of the
    one under way half a line may be, for a process that is killed may leave a write between two pages."""
    tub = Tub(path)
    assert not tub.faults and len(tub.damaged) <= torn + 1
    assert all("the line is not a record in JSON" in fault for fault in tub.damaged)
    assert told <= len(tub) <= told + (len(tub.damaged) == torn), (told, len(tub), tub.damaged)
    return tub


def check_killed(path: Path, rounds: int, seed: int) -> int:
    """Kills a writer again and again at random moments; each time at most the record under way may be lost."""
    rng = np.random.default_rng(seed)
    told = torn = 0
    for k in range(rounds):
        tub = look(path, told + killed(path, int(rng.integers(1, 40)), float(rng.uniform(0.0, 0.004))), torn)
        told, torn = len(tub), len(tub.damaged)
        assert len(tub.sessions) == k + 1 and (np.diff(tub.index) > 0).all() and tub.index[-1] < told + torn
        for row in (0, told - 1):
            assert np.abs(tub.image(row).astype(int) - picture(int(tub.index[row]))).max() <= 6
    return told


def test_a_killed_recording_loses_one_record_at_most(tmp_path: Path) -> None:
    assert check_killed(tmp_path / "d", 3, 1) > 3


@pytest.mark.slow
def test_killed_at_many_moments_over_several_catalogs(tmp_path: Path) -> None:
    """The whole check: TUB_KILLS=1000 python -m pytest -m slow --timeout 0 -k many_moments tests/test_tub_damage.py"""
    written(tmp_path / "d", 990)  # so that catalogs change under the kills
    rng = np.random.default_rng(5)
    told, torn, kills = 990, 0, int(os.environ.get("TUB_KILLS", 40))
    for _ in range(kills):
        more = killed(tmp_path / "d", int(rng.integers(1, 40)), float(rng.uniform(0.0, 0.004)))
        tub = look(tmp_path / "d", told + more, torn)
        told, torn = len(tub), len(tub.damaged)
    assert told > 990 + 5 * kills


def snapshots(path: Path, n: int) -> list[dict[str, bytes]]:
    """The folder after every single write to a file while n records are written: all moments of a kill."""
    seen: list[dict[str, bytes]] = []

    def look() -> None:
        seen.append({str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()})

    real_write, real_pwrite, real_replace, real_bytes = os.write, os.pwrite, os.replace, Path.write_bytes

    def after(function):
        def call(*arguments):
            result = function(*arguments)
            look()
            return result

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", after(real_write))
        patch.setattr(os, "pwrite", after(real_pwrite))
        patch.setattr(os, "replace", after(real_replace))
        patch.setattr(Path, "write_bytes", after(real_bytes))
        with TubWriter(path, KINDS) as writer:
            writer._data.max_len = 3
            for k in range(n):
                writer.write(values(k))
                look()
    return seen


def test_after_every_single_write_the_dataset_is_sound(tmp_path: Path) -> None:
    """Kills at random moments hit few of the points between two writes: here each is looked at, and written on."""
    moments = snapshots(tmp_path / "d", 8)
    assert len(moments) > 40
    for k, files in enumerate(moments):
        other = tmp_path / f"m{k}"
        for name, data in files.items():
            (other / name).parent.mkdir(parents=True, exist_ok=True)
            (other / name).write_bytes(data)
        lines = sum(data.count(b"\n") for name, data in files.items() if name.endswith(".catalog"))
        if lines:
            tub = Tub(other)
            assert len(tub) == lines and not tub.damaged and not tub.faults, k
        with TubWriter(other, KINDS) as writer:
            assert writer.write(values(lines)) == lines
        assert len(Tub(other)) == lines + 1 and not Tub(other).damaged


def test_a_line_torn_by_a_crash_is_skipped_and_written_on(tmp_path: Path) -> None:
    written(tmp_path, 5)
    catalog = tmp_path / "catalog_0.catalog"
    catalog.write_bytes(catalog.read_bytes()[:-30])
    tub = Tub(tmp_path)
    assert len(tub) == 4 and tub.damaged == ["catalog_0.catalog line 5, record 4: the line is not a record in JSON"]
    with TubWriter(tmp_path, KINDS) as writer:
        assert writer.write(values(5)) == 5
    tub = Tub(tmp_path)
    assert tub.index.tolist() == [0, 1, 2, 3, 5] and len(tub.damaged) == 1
    tub_edits.delete(tmp_path, [4])
    assert not Tub(tmp_path).damaged and Tub(tmp_path).deleted == 1


# Damaged


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"user_angle": KeyError}, "there is no user/angle"),
        ({"user_angle": 7}, "user/angle is 7, outside -1 to 1"),
        ({"user_angle": "left"}, "user/angle is 'left', not a number"),
        ({"user_angle": float("nan")}, "user/angle is nan, not a finite number"),
        ({"picture": KeyError}, "there is no cam/image_array"),
        ({"picture": "../../secret.jpg"}, "not the name of a file"),
        ({"picture": "other.jpg"}, "picture other.jpg is missing"),
        ({"_index": 1}, "its index occurs twice"),
        ({"user_mode": 3}, "user/mode is 3, not text"),
        ({"_image_crc32": 12}, "its checksum differs"),
        ({"_index": -3}, "_index is -3, not a whole number"),
        ({"_index": 10**40}, "not a whole number"),
        ({"_timestamp_ms": [1]}, "_timestamp_ms is [1], not a whole number"),
        ({"_session_id": 7}, "_session_id is 7, not text"),
        ({"override": "yes"}, "override is 'yes', not true or false"),
        ({"game_lap": 10**400}, "not a finite number of ordinary size"),
    ],
)
def test_damaged_records_are_skipped_counted_and_named(tmp_path: Path, change: dict, told: str) -> None:
    written(tmp_path, 5)
    damage(tmp_path, 2, **change)
    tub = Tub(tmp_path)
    assert tub.index.tolist() == [0, 1, 3, 4]
    (reason,) = tub.damaged
    assert told in reason and reason.startswith("catalog_0.catalog line 3, record ")
    assert tub.starts.tolist() == [True, False, True, False]


def test_damaged_pictures_are_skipped_counted_and_named(tmp_path: Path) -> None:
    written(tmp_path, 8)
    images = tmp_path / "images"
    (images / "1_cam_image_array_.jpg").unlink()
    half = (images / "2_cam_image_array_.jpg").read_bytes()
    (images / "2_cam_image_array_.jpg").write_bytes(half[: len(half) // 2])
    (images / "3_cam_image_array_.jpg").write_bytes(b"")
    flipped = bytearray((images / "4_cam_image_array_.jpg").read_bytes())
    flipped[-40] ^= 16  # one bit: it still decodes, to another picture
    (images / "4_cam_image_array_.jpg").write_bytes(flipped)
    Image.fromarray(picture(5, 30, 40)).save(images / "5_cam_image_array_.jpg")
    tub = Tub(tmp_path)
    assert tub.index.tolist() == [0, 6, 7] and len(tub.damaged) == 5
    assert "is missing" in tub.damaged[0] and all("checksum differs" in reason for reason in tub.damaged[1:])


def test_pictures_without_checksums_are_decoded(tmp_path: Path) -> None:
    """Datasets of other programs."""
    written(tmp_path, 6)
    for line in range(6):
        damage(tmp_path, line, _image_crc32=KeyError)
    images = tmp_path / "images"
    half = (images / "2_cam_image_array_.jpg").read_bytes()
    (images / "2_cam_image_array_.jpg").write_bytes(half[: len(half) // 2])
    Image.fromarray(picture(5, 30, 40)).save(images / "5_cam_image_array_.jpg")
    tub = Tub(tmp_path)
    assert tub.index.tolist() == [0, 1, 3, 4]
    assert "cannot be read" in tub.damaged[0] and "is 40x30, most are 16x12" in tub.damaged[1]


def test_columns_of_no_known_kind_are_left_out_and_data_without_labels_say_so(tmp_path: Path) -> None:
    written(tmp_path / "d", 4)
    damage(tmp_path / "d", 1, other_thing={"a": [1]}, _own="x")
    assert len(Tub(tmp_path / "d")) == 4 and "other/thing" not in Tub(tmp_path / "d").records
    manifest = tmp_path / "d" / "manifest.json"
    inputs, types, *rest = manifest.read_bytes().splitlines()
    inputs, types = ([v for v, n in zip(json.loads(x), json.loads(inputs), strict=True) if n != "user/angle"]
                     for x in (inputs, types))  # fmt: skip
    manifest.write_bytes(b"\n".join([json.dumps(inputs).encode(), json.dumps(types).encode(), *rest]) + b"\n")
    tub = Tub(tmp_path / "d")
    assert len(tub) == 4 and not tub.labelled.any()
    with pytest.raises(TubError, match="has no column 'user/angle'"):
        tub.require("user/angle")


def test_a_picture_that_vanishes_later_is_an_error_that_names_it(tmp_path: Path) -> None:
    tub = Tub(written(tmp_path, 3))
    (tmp_path / "images" / "1_cam_image_array_.jpg").unlink()
    with pytest.raises(TubError, match="picture of record 1"):
        tub.image(1)


def test_what_is_no_dataset_says_so(tmp_path: Path) -> None:
    with pytest.raises(TubError, match="there is no folder"):
        Tub(tmp_path / "nowhere")
    with pytest.raises(TubError, match="no manifest.json"):
        Tub(tmp_path)
    (tmp_path / "record_1.json").write_text("{}")
    with pytest.raises(TubError, match="version 1.*--convert"):
        Tub(tmp_path)
    with TubWriter(tmp_path / "empty"):
        pass
    with pytest.raises(TubError, match="no good record .0 damaged, 0 deleted"):
        Tub(tmp_path / "empty")


@pytest.mark.parametrize("data", [b"", b"[]\n{}\n", b"\xff\x00", b"[1]\n[]\n{}\n{}\n{}\n", b"[" * 99999, None])
def test_without_a_sound_manifest_the_records_are_read_and_nothing_is_appended(tmp_path: Path, data: bytes) -> None:
    written(tmp_path, 4)
    tub_edits.delete(tmp_path, [1])
    if data is None:
        (tmp_path / "manifest.json").unlink()
    else:
        (tmp_path / "manifest.json").write_bytes(data)
    tub = Tub(tmp_path)
    assert len(tub) == 4 and tub.deleted == 0
    assert len(tub.faults) == 1 and "deleted records cannot be told" in tub.faults[0]
    if data is not None:
        with pytest.raises(TubError, match="nothing is appended"):
            TubWriter(tmp_path)
        with pytest.raises(TubError, match="merge"):
            tub_edits.delete(tmp_path, [2])


def test_a_lost_catalog_is_told(tmp_path: Path) -> None:
    written(tmp_path, 1003)
    (tmp_path / "catalog_0.catalog").unlink()
    tub = Tub(tmp_path)
    assert tub.index.tolist() == [1000, 1001, 1002]
    assert tub.faults == ["catalog_0.catalog is in manifest.json, but not in the folder"]


def test_any_bytes_changed_anywhere_lose_no_other_record(tmp_path: Path) -> None:
    """Fuzz: records that are read are those that were written, in all their columns and pictures."""
    n = 12
    written(tmp_path / "d", n)
    good = {p.relative_to(tmp_path / "d"): p.read_bytes() for p in (tmp_path / "d").rglob("*") if p.is_file()}
    catalog = Path("catalog_0.catalog")
    rng = np.random.default_rng(11)
    skipped = 0
    for trial in range(150):
        victim = catalog if trial % 3 == 0 else list(good)[int(rng.integers(len(good)))]
        data = bytearray(good[victim])
        if not data:
            continue
        at, kind = int(rng.integers(len(data))), trial % 4
        if kind == 0:
            data[at] = int(rng.integers(256))
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            del data[at : at + int(rng.integers(1, 20))]
        else:
            data[at:at] = rng.bytes(int(rng.integers(1, 20)))
        (tmp_path / "d" / victim).write_bytes(data)
        try:
            tub = Tub(tmp_path / "d")
        except TubError as fault:
            assert victim.suffix in (".catalog", ".json") and str(tmp_path / "d") in str(fault)
        else:
            skipped += len(tub.damaged)
            touched = victim.suffix == ".catalog"
            for row, index in enumerate(tub.index.tolist()):
                if not touched:  # a digit that was changed in a line can be another good number
                    assert tub.records["user/angle"][row] == values(index)["user/angle"]
                    assert np.abs(tub.image(row).astype(int) - picture(index)).max() <= 6
            if touched:
                assert len(tub) + len(tub.damaged) + tub.deleted >= data.count(b"\n")
            elif victim.suffix == ".jpg":
                assert len(tub) >= n - 1
        finally:
            (tmp_path / "d" / victim).write_bytes(good[victim])
    assert skipped > 40
