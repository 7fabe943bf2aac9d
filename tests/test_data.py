"""The commands on datasets of driving: statistics, what they warn of, edits, copies, pictures, mistakes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tubs import BEGAN, KINDS, damage, picture, refusal, values, written

from envs.recordings import tub_copies, tub_statistics
from envs.recordings.tub import IMAGE, Tub, TubError, TubWriter
from experiments import cli, data, overlay

ROOT = Path(__file__).resolve().parents[1]
N = 2000  # the fewest records without a warning


def drive(path: Path, steer: np.ndarray, laps: int = 4, **more: object) -> Path:
    with TubWriter(path, {**KINDS, "game/off_road": "boolean", "game/lap_time": "float"}) as writer:
        for k, angle in enumerate(steer):
            lap = k * laps // len(steer)
            row = {**values(k, game_lap=lap, game_race=0), "user/angle": float(angle), "game/off_road": False}
            writer.write({**row, "game/lap_time": 20.0 + lap if lap else 0.0, **more}, timestamp_ms=50 * k)
    return path


def command(*arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "experiments.data", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode in (0, 2), done.stderr
    if done.returncode:
        assert done.stderr.startswith("joypad: ") and done.stderr.count("\n") == 1, done.stderr
    return done.stdout + done.stderr


def refused(*arguments: object) -> str:
    with pytest.raises(cli.UserError) as fault:
        data.run([str(a) for a in arguments])
    return str(fault.value)


# Statistics


def test_statistics_against_numpy(tmp_path: Path) -> None:
    steer = np.sin(np.arange(N) / 9.0)
    s = tub_statistics.statistics(Tub(drive(tmp_path, steer)))
    assert (s["records"], s["laps"], s["sessions"], s["height"], s["width"]) == (N, 4, 1, 12, 16)
    assert s["steering_std"] == pytest.approx(steer.std()) and s["steering_mean"] == pytest.approx(steer.mean())
    assert s["straight"] == pytest.approx((np.abs(steer) < 0.05).mean())
    assert s["right"] == pytest.approx((steer[np.abs(steer) >= 0.05] > 0).mean())
    assert s["constant_error"] == pytest.approx(np.abs(steer - np.median(steer)).mean())
    assert sum(s["histogram"]) == N
    edges = [-1 + 2 * b / 21 for b in range(21)] + [1.1]
    assert s["histogram"] == [sum(edges[b] <= a < edges[b + 1] for a in steer) for b in range(21)]
    assert s["minutes"] == pytest.approx(N / 1200) and s["lap_times"] == [21.0, 22.0, 23.0]
    assert tub_statistics.balance(s) == []
    assert "nothing to complain of" in tub_statistics.report(s)
    assert json.loads(json.dumps(s)) == s


@pytest.mark.parametrize(
    ("steer", "told"),
    [
        (np.zeros(200), "it only goes straight"),
        (np.where(np.arange(200) % 10 == 0, 0.5, 0.0), "it only goes straight: 90%"),
        (0.02 * np.sin(np.arange(200)), "it only goes straight"),
        (np.abs(np.sin(np.arange(200))), "it only turns right: 100%"),
        (-np.abs(np.sin(np.arange(200))), "it only turns left: 100%"),
        (np.sin(np.arange(60)), "there are few records: 60"),
    ],
)
def test_what_a_network_could_not_learn_from_is_told(tmp_path: Path, steer: np.ndarray, told: str) -> None:
    found = tub_statistics.balance(tub_statistics.statistics(Tub(drive(tmp_path, steer))))
    assert any(told in warning for warning in found)


def test_further_warnings(tmp_path: Path) -> None:
    steer = np.sin(np.arange(300))
    still = Tub(drive(tmp_path / "still", steer, laps=1, **{IMAGE: picture(3), "game/off_road": True}))
    told = " ".join(tub_statistics.balance(tub_statistics.statistics(still)))
    assert "there is one lap" in told and "100% of the pictures equal the one before" in told
    assert "100% of the time the kart was off the road" in told
    alone = Tub(drive(tmp_path / "alone", steer, **{"user/mode": "local"}))
    assert tub_statistics.balance(tub_statistics.statistics(alone))[0].startswith("no record is a label")
    tub_statistics.report(tub_statistics.statistics(alone))


def test_the_report_names_damage(tmp_path: Path) -> None:
    written(tmp_path, 12)
    for line in range(7):
        damage(tmp_path, line, user_angle=3)
    told = command(tmp_path)
    assert "5 records" in told and "damaged 7 (skipped)" in told and "and 2 more" in told
    assert "catalog_0.catalog line 1, record 0: user/angle is 3, outside -1 to 1" in told
    (s,) = json.loads(command(tmp_path, "--json"))
    assert s["damaged"] == 7 and s["warnings"]


# Edits


def test_ranges(tmp_path: Path) -> None:
    tub = Tub(drive(tmp_path, np.sin(np.arange(40))))
    assert tub_copies.choose(tub, "3:6") == {3, 4, 5} and tub_copies.choose(tub, "38:") == {38, 39}
    assert tub_copies.choose(tub, ":2") == {0, 1} and tub_copies.choose(tub, "7") == {7}
    assert tub_copies.choose(tub, "lap:1") == set(range(10, 20))
    for what in ("40:50", "x", "6:3", "lap:9", "-1", "1:2:3", "off-road", ""):
        with pytest.raises(TubError, match="chooses no records"):
            tub_copies.choose(tub, what)


def test_delete_trim_and_undo_by_command(tmp_path: Path) -> None:
    drive(tmp_path, np.sin(np.arange(40)))
    data.run([str(tmp_path), "--delete", "3:6", "lap:3"])
    assert Tub(tmp_path).index.tolist() == [0, 1, 2, *range(6, 30)]
    data.run([str(tmp_path), "--trim", "2:10"])
    assert Tub(tmp_path).index.tolist() == [2, 6, 7, 8, 9]
    data.run([str(tmp_path), "--restore", "4:6", "39"])
    assert Tub(tmp_path).index.tolist() == [2, 4, 5, 6, 7, 8, 9, 39]
    for left in ([2, 6, 7, 8, 9], [0, 1, 2, *range(6, 30)], list(range(40))):
        data.run([str(tmp_path), "--undo"])
        assert Tub(tmp_path).index.tolist() == left
    assert "nothing to undo" in refused(tmp_path, "--undo")


# Copies


def test_a_split_holds_whole_laps(tmp_path: Path) -> None:
    """The seed's random split put neighbouring frames on both sides."""
    tub = Tub(drive(tmp_path / "d", np.sin(np.arange(100)), laps=5))
    counts = tub_copies.split(tub, tmp_path / "out", 0.4, seed=1)
    train, held = Tub(tmp_path / "out" / "train"), Tub(tmp_path / "out" / "validation")
    assert counts == {"train": 60, "validation": 40} == {"train": len(train), "validation": len(held)}
    laps = [set(t.records["game/lap"].tolist()) for t in (train, held)]
    assert len(laps[0]) == 3 and len(laps[1]) == 2 and not laps[0] & laps[1]
    again = tub_copies.split(tub, tmp_path / "again", 0.4, seed=1)
    assert again == counts and set(Tub(tmp_path / "again" / "train").records["game/lap"].tolist()) == laps[0]
    with pytest.raises(TubError, match="exists already"):
        tub_copies.split(tub, tmp_path / "out", 0.4)
    with pytest.raises(TubError, match="one lap"):
        tub_copies.split(Tub(drive(tmp_path / "one", np.zeros(9), laps=1)), tmp_path / "x", 0.5)


def test_a_merge_keeps_every_good_record_and_mends(tmp_path: Path) -> None:
    drive(tmp_path / "a", np.linspace(-1, 1, 30))
    with TubWriter(tmp_path / "b", {"extra": "int"}) as writer:
        for k in range(50, 55):
            writer.write({**values(k), "extra": k})
    damage(tmp_path / "a", 7, user_angle="?")
    data.run([str(tmp_path / "a"), "--delete", "20:25"])
    (tmp_path / "a" / "manifest.json").write_text("broken")
    said = command(tmp_path / "a", tmp_path / "b", "--merge", tmp_path / "m")
    assert "1 damaged records left out" in said and "34 records" in said
    tub = Tub(tmp_path / "m")
    assert not tub.damaged and not tub.faults and tub.index.tolist() == list(range(34))
    a = Tub(tmp_path / "a")
    for name in ("user/angle", "game/lap", "game/off_road", "game/lap_time"):
        assert np.array_equal(tub.records[name][:29], a.records[name]), name
    assert len(tub.sessions) == 2 and 29 in tub.starts.nonzero()[0]
    assert np.array_equal(tub.laps[:29], a.laps)  # what was left out makes no new laps
    assert tub.jpeg(0) == a.jpeg(0) and tub.jpeg(29) == Tub(tmp_path / "b").jpeg(0)  # not encoded again
    assert np.array_equal(tub.records["_timestamp_ms"][:29], a.records["_timestamp_ms"])
    assert tub.records["extra"][29:].tolist() == [50, 51, 52, 53, 54] and np.isnan(tub.records["extra"][:29]).all()
    assert "not empty" in refused(tmp_path / "a", "--merge", tmp_path / "m")


def test_records_that_were_left_out_leave_a_gap_and_no_new_laps(tmp_path: Path) -> None:
    with TubWriter(tmp_path / "a", {"game/lap": "int"}) as writer:
        for k in range(100):
            writer.write({**values(k), "game/lap": k // 50}, timestamp_ms=50 * k)
    data.run([str(tmp_path / "a"), "--delete", *(f"{k}:{k + 6}" for k in range(5, 95, 10))])
    command(tmp_path / "a", "--merge", tmp_path / "m")
    tub = Tub(tmp_path / "m")
    assert tub.laps.tolist() == tub.records["game/lap"].tolist() and set(tub.laps) == {0, 1}
    assert tub.starts.sum() == 1 + 9 and len(tub.sessions) == 1
    tub_copies.split(tub, tmp_path / "out", 0.5)
    parts = [Tub(tmp_path / "out" / name).records["_timestamp_ms"] for name in ("train", "validation")]
    assert np.abs(parts[0][:, None] - parts[1]).min() >= 50 and len(set(parts[0] // 2500)) == 1  # whole laps
    for inside in (tmp_path / "a", tmp_path / "a" / "parts"):
        assert "outside the dataset" in refused(tmp_path / "a", "--split", inside)


def test_not_everything_is_deleted_and_a_dataset_without_steering_is_named(tmp_path: Path) -> None:
    written(tmp_path / "a", 5)
    assert "every record" in refused(tmp_path / "a", "--delete", ":")
    assert len(Tub(tmp_path / "a")) == 5
    with TubWriter(tmp_path / "b", {"user/throttle": "float"}) as writer:
        for k in range(3):
            writer.write({IMAGE: picture(k), "user/throttle": 0.5, "user/mode": "user", "user/angle": 0.0})
    tub = Tub(tmp_path / "b")
    del tub.records["user/angle"]
    for look in (
        lambda: data.sheet(tub, 2),
        lambda: data.video(tub, tmp_path / "b.mp4"),
        lambda: tub_statistics.statistics(tub),
    ):
        with pytest.raises(TubError, match="no column 'user/angle'"):
            look()


def test_pictures_of_two_sizes_are_not_merged(tmp_path: Path) -> None:
    written(tmp_path / "a", 3)
    with TubWriter(tmp_path / "b") as writer:
        writer.write({**values(0), IMAGE: picture(0, 30, 40)})
    for name in ("kart", "picam"):
        with TubWriter(tmp_path / name, metadata={"camera": name}) as writer:
            writer.write(values(0))
    told = refused(tmp_path / "kart", tmp_path / "picam", "--merge", tmp_path / "m")
    assert "different cameras" in told and "kart kart" in told and "picam picam" in told
    assert "lies in the dataset" in refused(tmp_path / "a", "--merge", tmp_path / "a" / "m")
    assert "16x12" in (told := refused(tmp_path / "a", tmp_path / "b", "--merge", tmp_path / "m")) and "40x30" in told


def test_a_record_without_a_time_spoils_neither_the_statistics_nor_a_copy(tmp_path: Path) -> None:
    written(tmp_path / "d", 40)
    damage(tmp_path / "d", 0, _timestamp_ms=KeyError)
    damage(tmp_path / "d", 7, _timestamp_ms=KeyError)
    (s,) = json.loads(command(tmp_path / "d", "--json"), parse_constant=pytest.fail)
    assert s["records"] == 40 and s["minutes"] == pytest.approx(40 / 1200, rel=0.1)
    command(tmp_path / "d", "--merge", tmp_path / "m")
    stamps = Tub(tmp_path / "m").records["_timestamp_ms"]
    assert len(stamps) == 40 and stamps[7] == stamps[6] == BEGAN + 300


def old(path: Path, n: int) -> Path:
    """A dataset of version 1."""
    path.mkdir()
    names = {"cam/image_array": "image_array", "user/angle": "float", "user/throttle": "float", "user/mode": "str",
             "imu/acl": "vector", "flag": "boolean"}  # fmt: skip
    (path / "meta.json").write_text(json.dumps({"inputs": list(names), "types": list(names.values()), "start": 1.5}))
    for k in range(n):
        Image.fromarray(picture(k)).save(path / f"{k}_cam-image_array_.jpg", quality=95)
        row = {"user/angle": k / 10, "user/throttle": 0.5, "user/mode": "user", "flag": k % 2, "milliseconds": 50 * k,
               "cam/image_array": f"{k}_cam-image_array_.jpg", "imu/acl": [1, 2]}  # fmt: skip
        (path / f"record_{k}.json").write_text(json.dumps(row))
    return path


def test_version_1_is_converted_and_damage_is_told(tmp_path: Path) -> None:
    path = old(tmp_path / "old", 12)
    (path / "record_3.json").write_text("{")
    (path / "5_cam-image_array_.jpg").unlink()
    (path / "record_8.json").write_text(json.dumps({"cam/image_array": "8_cam-image_array_.jpg"}))
    whole = (path / "11_cam-image_array_.jpg").read_bytes()
    (path / "11_cam-image_array_.jpg").write_bytes(whole[: len(whole) // 2])  # its header is sound
    said = command(path, "--convert", tmp_path / "new")
    assert "8 records" in said and said.count("skipped: record_") == 4
    tub = Tub(tmp_path / "new")
    kept = [0, 1, 2, 4, 6, 7, 9, 10]
    assert tub.records["user/angle"].tolist() == [k / 10 for k in kept]
    assert tub.records["flag"].tolist() == [bool(k % 2) for k in kept]
    assert tub.records["_timestamp_ms"].tolist() == [50 * k for k in kept]
    assert tub.jpeg(7) == (path / "10_cam-image_array_.jpg").read_bytes()
    assert "not empty" in refused(path, "--convert", tmp_path / "new")
    assert "no record_N.json" in refused(tmp_path / "new", "--convert", tmp_path / "x")
    assert "version 1" in refused(path)
    (path / "meta.json").write_text("[]")
    assert "meta.json is damaged" in refused(path, "--convert", tmp_path / "y")


# Pictures


def test_the_sheet_shows_frames_with_their_steering(tmp_path: Path) -> None:
    drive(tmp_path / "d", np.linspace(-1, 1, 20))
    said = command(tmp_path / "d", "--sheet", tmp_path / "s" / "sheet.png", "--frames", "6")
    assert "sheet.png" in said
    with Image.open(tmp_path / "s" / "sheet.png") as image:
        assert image.width > 6 * 100 and image.height > 100


def test_the_ray_points_where_it_steers() -> None:
    black = np.zeros((60, 80, 3), np.uint8)
    for steer in (-1.0, -0.4, 0.0, 0.4, 1.0):
        drawn = overlay.with_steering(black, steer)
        y, x = np.nonzero((drawn == overlay.USER).all(2))
        tip = x[y == y.min()].mean() - 40
        turn = np.tan(np.radians(60 * steer)) * (59 - y.min())
        assert tip == pytest.approx(turn, abs=3.0)
    assert np.array_equal(overlay.with_steering(black, float("nan"), None), black)
    both = overlay.with_steering(black, 0.8, -0.8)
    assert (both == overlay.USER).all(2)[:, 41:].any() and (both == overlay.PILOT).all(2)[:, :39].any()
    assert not black.any()


def test_the_plot_has_gaps_where_nothing_was_told() -> None:
    plot = overlay.Plot(20)
    for k in range(300):
        plot.add(0.5, -0.5, 0.9 if k > 250 else None)
    shown = plot.picture(400, 120)
    pilot = (shown == overlay.PILOT).all(2)
    assert pilot[:, 320:].any() and not pilot[:, :280].any()
    rows = np.nonzero((shown == overlay.USER).all(2))[0]
    assert rows.min() > 30  # right is below the middle


def test_the_video_has_a_frame_per_record(tmp_path: Path) -> None:
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    drive(tmp_path / "d", np.linspace(-1, 1, 25))
    data.run([str(tmp_path / "d"), "--video", str(tmp_path / "v.mp4")])
    assert imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "v.mp4"))[0] == 25


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere"], "there is no folder nowhere"),
        ([], "which dataset? name its folder"),
        (["D", "--delete", "1", "--undo"], "one thing at a time"),
        (["D", "D", "--undo"], "takes one dataset"),
        (["D", "--sheet", "x.jpg"], "must end in .png"),
        (["D", "--video", "x.txt"], "must end in .mp4 or .gif"),
        (["D", "--validation", "1"], "must lie in 0.001..0.999"),
        (["D", "--frames", "0"], "--frames 0"),
        (["D", "--restore", "x"], "say A:B"),
        (["D", "--delete", "99"], "chooses no records"),
        (["D", "--delete", "²"], "chooses no records"),
        (["D", "--restore", "²"], "say A:B"),
        (["D", "--split", "x", "--seed", "-1"], "--seed -1: must be at least 0"),
    ],
)
def test_mistakes_are_told_in_a_sentence(
    tmp_path: Path, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path / "D", 4)
    assert told in refusal(capsys, data.run, [str(tmp_path / "D") if a == "D" else a for a in arguments])


def test_commands_refuse_with_one_sentence(tmp_path: Path) -> None:
    assert "there is no folder" in command(tmp_path / "nowhere")
    with TubWriter(tmp_path / "empty"):
        pass
    assert "has no good record (0 damaged, 0 deleted)" in command(tmp_path / "empty")
