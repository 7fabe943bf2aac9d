"""Recordings of other programs and of strangers: values that are set right, columns that are passed over, line ends,
files that are no files, version 1 without a clock. What is left out is counted and named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from mutations import limited, surroundings, unchanged
from tubs import BEGAN, KINDS, ODD, bomb, damage, declare, picture, said, values, written

from envs.recordings import tub_edits, tub_statistics
from envs.recordings.tub import Tub, TubError, TubWriter
from envs.recordings.tub_files import content
from envs.text import shown

PICTURE = "images/2_cam_image_array_.jpg"
FILES = ("manifest.json", "catalog_1.catalog", "catalog_0.catalog_manifest", "edits.jsonl", "lock", "images")


# Values


def test_values_a_hair_outside_are_clipped_and_counted(tmp_path: Path) -> None:
    written(tmp_path / "d", 8)
    for line, change in enumerate((
        {"user_angle": 1.02}, {"user_angle": -1.05}, {"user_throttle": 1.0001}, {"pilot_angle": 1.0034},
        {"pilot_angle": -7}, {"user_angle": 1.06}, {"pilot_angle": float("nan")}, {"pilot_angle": float("inf")},
    )):  # fmt: skip
        damage(tmp_path / "d", line, **change)
    tub = Tub(tmp_path / "d")
    assert tub.index.tolist() == [0, 1, 2, 3, 4, 6]
    assert tub.records["user/angle"][:3].tolist() == [1.0, -1.0, values(2)["user/angle"]]
    assert tub.records["user/throttle"][2] == 1.0
    assert np.array_equal(tub.records["pilot/angle"], [np.nan, np.nan, np.nan, 1, -1, np.nan], equal_nan=True)
    assert [fault.split(": ", 1)[1] for fault in tub.damaged] == [
        "user/angle is 1.06, outside -1 to 1", "pilot/angle is inf, not a finite number of ordinary size"
    ]  # fmt: skip
    assert tub.notes == [
        "user/angle is outside -1 to 1 in 2 records: clipped; the first is record 0 (1.02)",
        "user/throttle is outside -1 to 1 in 1 record: clipped; the first is record 2 (1.0001)",
        "pilot/angle is outside -1 to 1 in 2 records: clipped; the first is record 3 (1.0034)",
        "pilot/angle is no number in 1 record: left out; the first is record 6 (nan)",
    ]
    told = said(tmp_path / "d", "--merge", tmp_path / "m")
    assert "6 records" in told and "2 damaged" in told and told.count("clipped") == 3
    assert not Tub(tmp_path / "m").notes and len(Tub(tmp_path / "m")) == 6
    tub_edits.delete(tmp_path / "d", [0])
    assert (
        "user/angle is outside -1 to 1 in 1 record: clipped; the first is record 1 (-1.05)" in Tub(tmp_path / "d").notes
    )


@pytest.mark.parametrize(
    ("name", "kind", "value", "told"),
    [
        ("cam_depth", "gray16_array", "0.png", "its type is gray16_array"),
        ("cam_left", "image_array", "0_left.jpg", "a record has one picture, cam/image_array"),
        ("a_b", "\x1b[2Jx", 1, "its type is \\x1b[2Jx"),
        ("a_b", "", 1, "manifest.json does not declare it"),
        ("game_speed", "str", "fast", "its type is str, not float"),
        ("game_lap", "boolean", True, "its type is boolean, not int"),
        ("user_throttle", "vector", [1], "its type is vector, not float"),
        ("_index", "float", 2, "the name is the format's own"),
        ("a_b", "str", "x" * 1001, "it holds a text of 1,001 characters"),
    ],
)
def test_columns_of_other_kinds_are_passed_over_by_name(
    tmp_path: Path, name: str, kind: str, value: object, told: str
) -> None:
    """In reading, in the statistics, on the page, and in copies, which have every record."""
    from experiments.driving.page import about

    written(tmp_path / "d", 4, **({"game_lap": None}))
    damage(tmp_path / "d", 2, **{name: value})
    declare(tmp_path / "d", **{name: kind})
    tub = Tub(tmp_path / "d")
    column = name if name.startswith("_") else name.replace("_", "/", 1)
    (note,) = tub.notes
    assert note.startswith(f"column {column} ") and told in note and not tub.damaged
    assert len(tub) == 4 and column not in tub.records and "\x1b" not in note
    assert note in tub_statistics.report(tub_statistics.statistics(tub)) and note in about(tub)["damaged"]
    assert "4 records" in said(tmp_path / "d", "--merge", tmp_path / "m")
    assert len(Tub(tmp_path / "m")) == 4 and not Tub(tmp_path / "m").damaged


def test_lists_of_any_depth_are_copied(tmp_path: Path) -> None:
    written(tmp_path / "d", 4)
    declare(tmp_path / "d", a_vector="vector", a_array="nparray", a_list="list")
    damage(tmp_path / "d", 0, a_vector=[0.5, 1, True, None], a_array=[[1, 2], [3.5, 4]], a_list=["x", {"y": 1}])
    damage(tmp_path / "d", 1, a_vector=[float("nan"), 1.0])
    damage(tmp_path / "d", 2, a_vector="no list")
    said(tmp_path / "d", "--merge", tmp_path / "m")
    tub = Tub(tmp_path / "m")
    row = tub.row(0)
    assert row["a/vector"] == [0.5, 1, True, None] and row["a/array"] == [[1, 2], [3.5, 4]]
    assert row["a/list"] == ["x", {"y": 1}] and tub.row(1)["a/vector"] == [None, 1.0] and len(tub) == 3
    tub = Tub(tmp_path / "d")
    assert "a/vector holds what is no finite number in 1 record" in tub.notes[0]
    assert "a/vector is 'no list', not a list" in tub.damaged[0]


def test_other_spellings_of_values_do_not_end_a_copy(tmp_path: Path) -> None:
    written(tmp_path / "d", 4)
    damage(tmp_path / "d", 0, game_lap=3.0, override=1)
    damage(tmp_path / "d", 1, game_lap=3.5)
    assert "3 records" in said(tmp_path / "d", "--merge", tmp_path / "m")
    row = Tub(tmp_path / "m").row(0)
    assert row["game/lap"] == 3 and type(row["game/lap"]) is int and row["override"] is True
    assert "game/lap is 3.5, not a whole number" in Tub(tmp_path / "d").damaged[0]


# Files


@pytest.mark.parametrize("end", [b"\r\n", b"\r\r\n", b"\r", b"\n\n", b"\n\r"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_line_ends_of_other_systems(tmp_path: Path, end: bytes, bom: bytes) -> None:
    written(tmp_path, 12)
    tub_edits.delete(tmp_path, [2, 3])
    wanted = Tub(tmp_path)
    for file in (*tmp_path.glob("*.catalog*"), tmp_path / "manifest.json"):
        file.write_bytes(bom + file.read_bytes().replace(b"\n", end))
    for more in (0, 1):  # the last line without an end
        tub = Tub(tmp_path)
        assert tub.index.tolist() == wanted.index.tolist() and tub.deleted == 2
        assert not tub.faults and not tub.damaged and not tub.notes
        assert tub.records["user/angle"].tolist() == wanted.records["user/angle"].tolist()
        if not more:
            catalog = tmp_path / "catalog_0.catalog"
            catalog.write_bytes(catalog.read_bytes().rstrip(b"\r\n"))
    with TubWriter(tmp_path) as writer:
        assert writer.write(values(12)) == 12
    assert len(Tub(tmp_path)) == 11 and tub_edits.delete(tmp_path, [4]) == 1


@pytest.mark.parametrize("kind", [*ODD, "bomb", "large", "program"])
def test_pictures_that_are_no_pictures(tmp_path: Path, kind: str) -> None:
    path = written(surroundings(tmp_path), 5)
    make, told = ODD.get(kind, (bomb, "claims more pixels"))
    if kind == "large":  # Pillow only warns of it
        make, told = (lambda p: bomb(p, 10_000)), "claims 10,000 x 10,000 pixels"
    if kind == "program":  # PostScript: Pillow would start Ghostscript
        make, told = (lambda p: p.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 12\n")), "neither JPEG"
    for line in range(5):
        damage(path, line, _image_crc32=KeyError)
    (path / PICTURE).unlink()
    make(path / PICTURE)
    with limited(60), unchanged(tmp_path, but=path):
        tub = Tub(path)
        assert tub.index.tolist() == [0, 1, 3, 4] and told in tub.damaged[0] and "record 2" in tub.damaged[0]
        assert len(Tub(path, check=False)) == 5
        with pytest.raises(TubError, match="picture of record 2"):
            Tub(path, check=False).image(2)
    if kind == "pipe":
        told = said(path, "--merge", tmp_path / "m")
        assert "4 records" in told and "1 damaged" in told and len(Tub(tmp_path / "m")) == 4


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("name", FILES)
def test_other_files_that_are_no_files(tmp_path: Path, name: str, kind: str) -> None:
    """The rest is read, or there is one sentence; and nothing is written through a link."""
    path = surroundings(tmp_path)
    with TubWriter(path, KINDS) as writer:
        writer._data.max_len = 3
        for k in range(5):
            writer.write(values(k), timestamp_ms=BEGAN + 50 * k)
    if (path / name).is_dir():
        for file in (path / name).iterdir():
            file.unlink()
        (path / name).rmdir()
    else:
        (path / name).unlink(missing_ok=True)
    ODD[kind][0](path / name)
    with limited(60), unchanged(tmp_path, but=path):
        try:
            tub = Tub(path)
        except TubError as fault:
            assert name == "images" and "\n" not in str(fault)
        else:
            left = 3 if name == "catalog_1.catalog" else 5
            assert len(tub) == left and not tub.damaged
            assert (
                bool(tub.faults) == (name in ("manifest.json", "catalog_1.catalog"))
                and tub.lost == 5 - left
                or (name == "manifest.json")
            )
        for write in (
            lambda: tub_edits.delete(path, [1]),
            lambda: TubWriter(path).close(),
            lambda: tub_edits.undo(path),
        ):
            try:
                write()
            except (TubError, OSError) as fault:
                assert "\n" not in str(fault)


def test_pictures_behind_a_link_are_not_overwritten(tmp_path: Path) -> None:
    path = written(surroundings(tmp_path), 3)
    for name in ("images/3_cam_image_array_.jpg", "manifest.json.new", "edits.jsonl.new"):
        (path / name).symlink_to(tmp_path / "neighbour" / "file.txt")
    with unchanged(tmp_path, but=path):
        with TubWriter(path, KINDS) as writer:
            assert writer.write(values(3)) == 3
        tub_edits.delete(path, [1])
        tub_edits.undo(path)
    assert len(Tub(path)) == 4 and not (path / "images" / "3_cam_image_array_.jpg").is_symlink()


def test_links_inside_the_folder_are_followed(tmp_path: Path) -> None:
    written(tmp_path, 3)
    (tmp_path / PICTURE).rename(tmp_path / "kept.jpg")
    (tmp_path / PICTURE).symlink_to("../kept.jpg")
    assert len(Tub(tmp_path)) == 3 and content(tmp_path, PICTURE, 10**6) == (tmp_path / "kept.jpg").read_bytes()


def test_what_a_file_says_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    assert shown("a\x1b]52;c;x\x07\n\u202e\ud800") == "a\\x1b]52;c;x\\x07\\n\\u202e\\ud800"
    assert len(shown("x" * 999)) == 80
    written(tmp_path, 4)
    damage(tmp_path, 1, user_mode=["\x1b[2J"], _session_id="\x1b[2J")
    damage(tmp_path, 2, picture="\x1b[2J\ud800.jpg")
    told = said(tmp_path)
    assert "2 records" in told and "\x1b" not in told and "\\x1b[2J" in told


# Counting


def test_records_that_the_manifest_counts_and_no_catalog_holds_are_told(tmp_path: Path) -> None:
    written(tmp_path, 10)
    catalog = tmp_path / "catalog_0.catalog"
    lines = catalog.read_bytes().splitlines(keepends=True)
    catalog.write_bytes(b"".join(lines[:4] + lines[6:9]))
    tub = Tub(tmp_path)
    assert tub.index.tolist() == [0, 1, 2, 3, 6, 7, 8] and tub.lost == 3 and tub.starts.nonzero()[0].tolist() == [0, 4]
    assert tub.faults == ["3 of the 10 records that manifest.json counts are in no catalog; the first is record 4"]
    assert "lost 3" in said(tmp_path) and "3 of the 10" in said(tmp_path, "--merge", tmp_path / "out" / "m")


def test_a_line_without_a_number_takes_no_other_ones_place(tmp_path: Path) -> None:
    """Line 4 gone and line 5 torn: what the torn one was is not known, and record 5 is there."""
    written(tmp_path, 8)
    catalog = tmp_path / "catalog_0.catalog"
    lines = catalog.read_bytes().splitlines(keepends=True)
    del lines[3]
    lines[3] = b"{torn\n"
    catalog.write_bytes(b"".join(lines))
    tub = Tub(tmp_path)
    assert tub.index.tolist() == [0, 1, 2, 5, 6, 7] and len(tub.damaged) == 1
    damage(tmp_path, 2, _index=6)  # a wrong number, before the record that has it by right
    tub = Tub(tmp_path)
    assert tub.index.tolist() == [0, 1, 5, 6, 7] and "line 3, record 6: its index occurs twice" in tub.damaged[1]
    assert tub.records["user/angle"].tolist() == [values(k)["user/angle"] for k in (0, 1, 5, 6, 7)]


def test_two_records_of_one_number_are_both_left_out_where_neither_is_likelier(tmp_path: Path) -> None:
    written(tmp_path, 5)
    catalog = tmp_path / "catalog_0.catalog"
    lines = catalog.read_bytes().splitlines(keepends=True)
    other = json.dumps({**json.loads(lines[2]), "user/angle": 0.5}).encode() + b"\n"
    catalog.write_bytes(b"".join([*lines[:2], other, *lines[2:], lines[3]]))
    tub = Tub(tmp_path)
    assert tub.index.tolist() == [0, 1, 3, 4] and tub.lost == 0  # the second record 3 is the first one again
    assert [fault.partition(": ")[0] for fault in tub.damaged] == [
        f"catalog_0.catalog line {line}, record {index}" for line, index in ((3, 2), (4, 2), (7, 3))
    ]
    catalog.write_bytes(lines[0].replace(b"}", b', "user/angle": 0.5}') + lines[1])
    assert Tub(tmp_path).damaged == ["catalog_0.catalog line 1, record 0: the line is not a record in JSON"]


def test_catalogs_with_gaps_in_their_numbers_are_not_written_into_each_other(tmp_path: Path) -> None:
    with TubWriter(tmp_path, KINDS) as writer:
        writer._data.max_len = 3
        for k in range(9):
            writer.write(values(k))
    (tmp_path / "catalog_1.catalog").unlink()
    manifest = (tmp_path / "manifest.json").read_text().replace('"catalog_1.catalog", ', "")
    (tmp_path / "manifest.json").write_text(manifest)
    with TubWriter(tmp_path, KINDS) as writer:
        for k in range(9, 14):
            assert writer.write(values(k)) == k
    tub = Tub(tmp_path)
    assert tub.index.tolist() == [0, 1, 2, *range(6, 14)] and not tub.damaged and tub.lost == 3
    for row, k in enumerate(tub.index.tolist()):
        assert np.abs(tub.image(row).astype(int) - picture(k)).max() <= 6


def test_a_manifest_of_other_types_is_damaged_and_the_records_are_read(tmp_path: Path) -> None:
    written(tmp_path, 4)
    lines = (tmp_path / "manifest.json").read_bytes().splitlines()
    last = json.loads(lines[4])
    for change in (
        {"deleted_indexes": ["1"]}, {"deleted_indexes": [1.0]}, {"deleted_indexes": [True]}, {"current_index": -1},
        {"current_index": 10**400}, {"current_index": "4"}, {"paths": [7]}, {"paths": None}, {"max_len": "x"},
    ):  # fmt: skip
        (tmp_path / "manifest.json").write_bytes(b"\n".join([*lines[:4], json.dumps({**last, **change}).encode()]))
        tub = Tub(tmp_path)
        assert len(tub) == 4 and tub.faults == ["manifest.json is damaged: deleted records cannot be told and are back"]
    for paths in (["catalog_0.catalog"] * 2, ["catalog_0.catalog", "lock"], ["catalog_0.catalog", "../x.catalog"]):
        (tmp_path / "manifest.json").write_bytes(
            b"\n".join([*lines[:4], json.dumps({**last, "paths": paths}).encode()])
        )
        assert len(Tub(tmp_path)) == 4 and len(Tub(tmp_path).faults) == 1
    for sessions in ({"sessions": {"last_id": "x", "all_full_ids": None}}, {"sessions": 3}, []):
        (tmp_path / "manifest.json").write_bytes(b"\n".join([*lines[:3], json.dumps(sessions).encode(), lines[4]]))
        with TubWriter(tmp_path, KINDS) as writer:
            assert writer.session.endswith("_0")


def test_a_damaged_manifest_leaves_the_columns_to_most_of_the_values(tmp_path: Path) -> None:
    with TubWriter(tmp_path, {"a/b": "float", "game/lap": "int", "a/list": "list"}) as writer:
        for k in range(6):
            writer.write({**values(k), "a/b": k + 0.5, "game/lap": k // 3, "a/list": [k]})
    damage(tmp_path, 1, a_b="?")
    damage(tmp_path, 2, pilot_angle=1.01)
    (tmp_path / "manifest.json").write_bytes(b"?")
    tub = Tub(tmp_path)
    assert tub.index.tolist() == [0, 2, 3, 4, 5] and "a/b is '?', not a number" in tub.damaged[0]
    assert tub.laps.tolist() == [0, 0, 1, 1, 1] and tub.records["pilot/angle"][1] == 1.0
    assert tub.columns["a/list"] == "list" and tub.row(0)["a/list"] == [0]
