"""Damage by chance to every kind of file of a recording: what is read is what was recorded, fewer records are counted
and named, or there is one sentence; nothing around the folder is touched. mutations.py has seeds and numbers of cases.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from mutations import Case, cases, surroundings, unchanged
from PIL import Image
from tubs import BEGAN, damage, read, said

from agents.core.rows import Spec
from envs.recordings import tub_edits, tub_version1
from envs.recordings.tub import IMAGE, Tub, TubError, TubWriter
from experiments.driving.page import about

N = 6  # records
CASES = 14  # once every kind of damage; MUTATIONS=500 for the whole check
SPEC = Spec((60, 80, 3), "uint8", 1, action_dim=2)
COLUMNS = {"user/target_speed": "float", "game/lap": "int", "game/drivable": "str", "override": "boolean",
           "pilot/angle": "float", "a/list": "list"}  # fmt: skip
FILES = ("manifest.json", "catalog_0.catalog", "catalog_0.catalog_manifest", "edits.jsonl",
         "images/2_cam_image_array_.jpg")  # fmt: skip


def row(k: int) -> dict[str, Any]:
    return {"user/angle": k / 10, "user/throttle": 0.5, "user/mode": "user", "user/target_speed": 2.0 + k,
            "game/lap": k // 3, "game/drivable": f"{k:02x}" * 38, "override": k % 2 == 0, "pilot/angle": -k / 10,
            "a/list": [k, k + 0.5]}  # fmt: skip


def picture(k: int) -> np.ndarray:
    y, x = np.mgrid[:60, :80]
    return np.stack([40 * k + y // 2, x + y, 255 - 30 * k - x // 4], -1).astype(np.uint8)


def recorded(path: Path, checked: bool) -> Path:
    """A dataset with one deleted record. checked: with checksums of the pictures, as only ours have."""
    with TubWriter(path, COLUMNS) as writer:
        for k in range(N):
            writer.write({IMAGE: picture(k), **row(k)}, timestamp_ms=BEGAN + 50 * k)
    if not checked:
        for k in range(N):
            damage(path, k, _image_crc32=KeyError)
    tub_edits.delete(path, [4])
    return path


class Around(NamedTuple):
    """A dataset in a folder among others, and a place for copies."""

    root: Path
    path: Path
    out: Path

    def copy(self) -> Path:
        shutil.rmtree(self.out, ignore_errors=True)
        return self.out


def around(tmp_path: Path) -> Around:
    inside = surroundings(tmp_path / "around")
    inside.mkdir()
    return Around(tmp_path / "around", inside / "d", tmp_path / "out")


def intact(case: Case, name: str, good: bytes) -> set[int]:
    """Records whose own bytes the damage has left alone."""
    if name != "catalog_0.catalog":
        return set(range(N)) - ({2} if name.startswith("images") else set())
    there = case.data.removeprefix(b"\xef\xbb\xbf").replace(b"\r", b"\n").split(b"\n")
    return {k for k, line in enumerate(good.splitlines()) if line in there}


def check_read(tub: Tub, whole: set[int]) -> None:
    """What is returned is what was recorded; what is not returned is counted, and what is passed over is named."""
    told = " ".join((*tub.faults, *tub.notes))
    for k, index in enumerate(tub.index.tolist()):
        if index not in whole:
            continue
        found, wanted = tub.row(k), row(index)
        assert found == {name: value for name, value in wanted.items() if name in found}, index
        for name in wanted.keys() - found.keys():
            assert f"column {name} " in told, name
        assert np.abs(tub.image(k).astype(int) - picture(index)).max() <= 12


def check_count(tub: Tub) -> None:
    """Records that are not returned are counted."""
    told = " ".join(tub.faults)
    counted = len(tub) + tub.deleted + len(tub.damaged) + tub.lost
    assert counted >= N or "cannot be told" in told, (len(tub), tub.deleted, tub.damaged, tub.lost, tub.faults)


def check_rows(path: Path, tub: Tub, whole: set[int]) -> None:
    """What an agent learns from."""
    rows = read(path, SPEC)
    assert len(rows.group) <= len(tub)
    steps = {k: np.array([k / 10, 2 * (2.0 + k) / 16 - 1], np.float32) for k in range(N)}
    if whole == set(range(N)):
        for obs, action in zip(rows.obs, rows.action, strict=True):
            (k,) = (k for k in range(N) if np.abs(obs.astype(int) - picture(k)).max() <= 12)
            assert np.abs(action - steps[k]).max() < 1e-5


def look(around: Around, whole: set[int]) -> None:
    """Every way of reading a dataset."""
    path = around.path
    with unchanged(around.root):
        try:
            tub = Tub(path)
        except TubError as fault:
            assert str(path) in str(fault) and "\n" not in str(fault)
            assert said(path).strip() == str(fault)
            with pytest.raises(ValueError, match="d"):
                read(path, SPEC)
            return
        check_read(tub, whole)
        check_count(tub)
        try:
            tub.require("user/angle")
        except TubError as fault:
            assert said(path).strip() == str(fault)
        else:
            assert said(path).startswith(f"{path}: {len(tub)} records,") and json.dumps(about(tub))
            try:
                check_rows(path, tub, whole)
            except ValueError as fault:
                assert str(path) in str(fault) and "\n" not in str(fault)
        answer = said(path, "--merge", around.copy())
    if around.out.exists():
        copy = Tub(around.out)
        assert f"{len(copy)} records in {around.out}" in answer and not copy.damaged and not copy.faults
        assert len(copy) + answer.count("skipped: record") >= len(tub) or "skipped" in answer
        check_read(copy, set())
        rows = [tub.row(k) for k in range(len(tub))]
        assert all(copy.row(k) in rows for k in range(len(copy)))
    else:
        assert len(answer.splitlines()) <= 1 + len(tub.faults) + len(tub.notes) + 1


@pytest.mark.parametrize("checked", [True, False], ids=["ours", "another program's"])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_of_a_recording(tmp_path: Path, name: str, checked: bool) -> None:
    place = around(tmp_path)
    file = recorded(place.path, checked) / name
    good = file.read_bytes()
    for case in cases(good, f"tub {name} {checked}", CASES):
        with case.told():
            file.write_bytes(case.data)
            whole = intact(case, name, good)
            if name.startswith("images") and checked:
                whole = set(range(N))  # a damaged picture is never shown
            look(place, whole)
    file.write_bytes(good)
    assert Tub(place.path).index.tolist() == [0, 1, 2, 3, 5]


@pytest.mark.parametrize("name", FILES[:-1])
def test_a_damaged_recording_is_written_on_without_loss(tmp_path: Path, name: str) -> None:
    """Or refused in one sentence, and then nothing has changed for a reader."""
    place = around(tmp_path)
    good = recorded(place.path, True)
    kept = tmp_path / "kept"
    shutil.copytree(good, kept)
    for case in cases((good / name).read_bytes(), f"write {name}", CASES):
        with case.told():
            shutil.rmtree(good)
            shutil.copytree(kept, good)
            (good / name).write_bytes(case.data)
            try:
                before = Tub(good)
            except TubError:
                before = None
            with unchanged(place.root, but=place.root / "inside"):
                more = written_on(good)
                for edit in (lambda: tub_edits.undo(good), lambda: tub_edits.delete(good, [0])):
                    try:
                        edit()
                        tub_edits.undo(good)
                    except TubError as fault:
                        assert "\n" not in str(fault)
            if before is not None:
                after = Tub(good)
                rows = {index: after.row(k) for k, index in enumerate(after.index.tolist())}
                for k, index in enumerate(before.index.tolist()):
                    assert index in rows or index in edited(good), index
                    wanted = before.row(k)
                    assert {name: rows.get(index, wanted).get(name) for name in wanted} == wanted
                assert more is None or np.abs(after.image(len(after) - 1).astype(int) - picture(9)).max() <= 12


def written_on(path: Path) -> int | None:
    try:
        with TubWriter(path, COLUMNS) as writer:
            return writer.write({IMAGE: picture(9), **row(3)}, timestamp_ms=BEGAN + 10**6)
    except TubError as fault:
        assert "\n" not in str(fault)
        return None


def edited(path: Path) -> set[int]:
    """Records that a damaged journal's `undo` may have deleted."""
    try:
        last = json.loads((path / "manifest.json").read_bytes().splitlines()[4])
        return set(last["deleted_indexes"])
    except (ValueError, KeyError, IndexError, TypeError):
        return set()


OLD = {**{name: kind for name, kind in COLUMNS.items() if name != "a/list"}, "a/vector": "vector"}


def old(path: Path) -> Path:
    path.mkdir()
    kinds = {IMAGE: "image_array", "user/angle": "float", "user/throttle": "float", "user/mode": "str", **OLD}
    (path / "meta.json").write_text(json.dumps({"inputs": list(kinds), "types": list(kinds.values()), "start": 1.5}))
    for k in range(N):
        Image.fromarray(picture(k)).save(path / f"{k}_cam-image_array_.jpg", quality=95)
        values = {name: value for name, value in row(k).items() if name in kinds}
        values |= {IMAGE: f"{k}_cam-image_array_.jpg", "a/vector": [k, 1.5], "milliseconds": 50 * k}
        (path / f"record_{k}.json").write_text(json.dumps(values))
    return path


@pytest.mark.parametrize("name", ["meta.json", "record_2.json", "2_cam-image_array_.jpg"])
def test_a_damaged_file_of_version_1(tmp_path: Path, name: str) -> None:
    place = around(tmp_path)
    file = old(place.path) / name
    good = file.read_bytes()
    whole = set(range(N)) - ({2} if name != "meta.json" else set())
    for case in cases(good, f"version 1 {name}", CASES):
        with case.told(), unchanged(place.root, but=file):
            file.write_bytes(case.data)
            answer = said(place.path, "--convert", place.copy())
            if not place.out.exists():
                assert str(place.path) in answer and answer.count("\n") == 1
                continue
            tub = Tub(place.out)
            assert not tub.damaged and not tub.faults and f"{len(tub)} records in" in answer
            shutil.rmtree(place.out)
            done, skipped, notes = tub_version1.convert(place.path, place.copy())
            assert done == len(tub) and done + len(skipped) == N
            tub = Tub(place.out)
            numbers = [k for k in range(N) if not any(text.startswith(f"record_{k}.json") for text in skipped)]
            for at, k in enumerate(numbers):
                if k in whole:
                    found = tub.row(at)
                    wanted = {**{n: v for n, v in row(k).items() if n != "a/list"}, "a/vector": [k, 1.5]}
                    assert found == {n: v for n, v in wanted.items() if n in found}
                    for column in wanted.keys() - found.keys():
                        assert any(f"column {column} " in note for note in notes), column
                    assert np.abs(tub.image(at).astype(int) - picture(k)).max() <= 12
                    assert tub.records["_timestamp_ms"][at] == 50 * k
