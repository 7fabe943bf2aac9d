"""Recordings of play, arrays and Go games: the ring that they fill, what every program makes of them, and damage."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mutations import cases, surroundings, unchanged
from programs import program

from agents.core import dataset, training
from agents.core.replay import ReplayBuffer
from agents.core.rows import Spec
from agents.core.samplers import Uniform
from envs.recordings import arrays, reader, summary
from envs.recordings.rows import RecordingError, Rows, split, together
from experiments import data, lab

SPEC = Spec((2,), "float32", 2, num_actions=3)
ROOT = Path(__file__).resolve().parents[1]


def played(total: int = 13, legal: bool = True) -> Rows:
    """Games of 4 rows, the second of them with a gap before its third row."""
    rng, t = np.random.default_rng(0), np.arange(total)
    last = t % 4 == 3
    mask = np.ones((total, 3), np.bool_)
    mask[t, (t + 1) % 3] = False
    return Rows(
        obs=rng.random((total, 2), np.float32), action=t % 3, group=t // 4,
        info={"outcome": t.astype(np.float32)}, first=t == 6, reward=t.astype(np.float32) / 2,
        discount=np.where(last, 0.0, -1.0).astype(np.float32), last=last, legal=mask if legal else None,
    )  # fmt: skip


@pytest.mark.parametrize("window", [1, 3])
@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("legal", [True, False])
def test_a_ring_holds_every_column_of_the_rows(window: int, columns: int, legal: bool) -> None:
    """Against the definition, row by row."""
    rows = played(legal=legal)
    total, length = len(rows.action), -(-len(rows.action) // columns)
    ring = ReplayBuffer(length + 3, columns, SPEC, Uniform(), window=window)
    blank = {"expert": np.zeros((), np.int64), "outcome": np.float32(-1), "missing": np.full(2, 9, np.uint8)}
    dataset.fill(ring, rows, blank, masks=True)
    for t in range(total):
        column, slot = divmod(t, length)
        held = {name: value[slot, column].numpy() for name, value in ring.data.items()}
        begins = t % 4 == 0 or t == 6 or slot == 0
        ends = t % 4 == 3 or (window > 1 and t == 5)  # a game's end; no window reaches across the gap
        ends = ends or slot == length - 1 or t == total - 1  # sealed: nothing follows in this column
        assert np.array_equal(held["obs"], rows.obs[t]) and held["action"] == t % 3 == held["expert"]
        assert held["reward"] == t / 2 and held["discount"] == (0 if t % 4 == 3 else -1)
        assert held["first"] == begins and held["last"] == ends, (t, held)
        assert held["legal"].tolist() == ([a != (t + 1) % 3 for a in range(3)] if legal else [True] * 3)
        assert held["outcome"] == t and held["missing"].tolist() == [9, 9]
    if window == 3:
        batch = ring.windows(torch.arange(length - 3))  # of the first column, whatever the number of columns
        assert not batch.weight[batch.last[:, :-1]].any()


def test_without_a_word_of_the_recording_rows_have_no_reward_and_go_on() -> None:
    rows = Rows(np.zeros((5, 2), np.float32), np.arange(5) % 3, np.array([0, 0, 0, 1, 1]))
    ring = ReplayBuffer(6, 1, SPEC, Uniform())
    dataset.fill(ring, rows, {})
    held = {name: ring.data[name][:5, 0].tolist() for name in ("reward", "discount", "first", "last")}
    assert held["reward"] == [0] * 5 and held["discount"] == [1] * 5
    assert held["first"] == [True, False, False, True, False] and held["last"] == [False] * 4 + [True]
    assert "legal" not in ring.data


def test_rows_come_together_apart_and_without_some() -> None:
    rows = played()
    both = together([rows, rows._replace(legal=None, info={})])
    assert both.group.tolist() == [*rows.group, *(rows.group + rows.group[-1] + 1)] and not both.info
    assert both.legal[len(rows.action) :].all() and both.reward.tolist() == [*rows.reward, *rows.reward]
    training, kept = split(rows, 0.3, seed=0)
    assert not set(training.group) & set(kept.group) and len(training.action) + len(kept.action) == 13
    left = rows.without(np.isin(np.arange(13), [1, 8]))
    at = np.delete(np.arange(13), [1, 8])
    assert at[left.begins].tolist() == [0, 2, 4, 6, 9, 12] and left.reward.tolist() == rows.reward[at].tolist()
    assert rows.digest != rows._replace(reward=rows.reward + 1).digest != rows._replace(legal=None).digest


def test_the_room_needs_neither_torch_nor_gymnasium() -> None:
    names = [f"envs.recordings.{path.stem}" for path in (ROOT / "envs/recordings").glob("*.py") if path.stem[0] != "_"]
    loading = f"import importlib, json, sys\nfor name in {names}: importlib.import_module(name)"
    code = f"{loading}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    heavy = {"torch", "gymnasium", "numba", "safetensors", "agents.core", "experiments"}
    assert len(names) > 10 and not heavy & set(json.loads(done.stdout))


# -- from a person's game to a trained agent --------------------------------------------------------------------------


def recorded(folder: Path, game: str, seconds: float, key: int = 0) -> Path:
    """What `play GAME --record` writes while somebody presses a key now and then."""
    from experiments import configuration, play
    from experiments.watching.player import Player
    from experiments.watching.source import Source

    env = configuration.read_options(game, "")
    player = Player([Source(game, env=env)], seed=3, seconds=seconds, panels=False)
    player.command("take", True)
    rows = play.recorder_of(folder, game, env, player)
    for k, _ in enumerate(player.frames()):
        player.command("held", [player.focus.human.known[key]] if k % 7 == 0 else [])
    rows.close()
    player.close()
    return folder


def trained(game: str, data: Any, updates: int = 6, **env: Any) -> lab.Lab:
    """A small clone after some updates."""
    import envs

    config = {
        "game": game, "agent": "clone", "seed": 0, "steps": updates, "num_envs": 2, "data": data,
        "agent_config": {"hidden": 8, "batch": 8, "validation": 0.3}, "env": {**envs.defaults(game), **env},
    }  # fmt: skip
    parts = lab.assemble(config, torch.device("cpu"))
    before = [p.clone() for p in parts.agent.network.parameters()]
    training.train(parts.loop)
    parts.stream.close()
    assert parts.clock.updates == updates
    assert any(not torch.equal(a, b) for a, b in zip(before, parts.agent.network.parameters(), strict=True))
    assert all(p.isfinite().all() for p in parts.agent.network.parameters())
    return parts


@pytest.mark.usefixtures("dummy_display")
@pytest.mark.parametrize(
    ("game", "seconds"),
    [("flappy", 3.0), pytest.param("breakout", 4.0, marks=pytest.mark.slow), ("gym:CartPole-v1", 2.0)],
)
def test_whatever_is_played_and_recorded_is_shown_and_learned_from(
    game: str, seconds: float, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = recorded(tmp_path / "x", game, seconds)
    columns = {k: np.concatenate([c[k] for c in arrays.chunks(folder)]) for k in arrays.SEALED[:-1]}
    code, out, err = program(data.main, [str(folder)], capsys, monkeypatch)
    assert code == 0 and not err and f"play of {game}, {len(columns['obs']):,} rows" in out
    code, out, _ = program(data.main, [str(folder), "--json"], capsys, monkeypatch)
    assert json.loads(out)[0]["rows"] == len(columns["obs"]) and json.loads(out)[0]["by_agent"] == 0
    if columns["obs"].ndim > 2:
        assert program(data.main, [str(folder), "--sheet", str(tmp_path / "s.png")], capsys, monkeypatch)[0] == 0
    code, _, err = program(data.main, [str(folder), "--undo"], capsys, monkeypatch)
    assert code == 2 and "is for recordings of driving" in err
    parts = trained(game, str(folder))
    kept = 0 if parts.validation is None else len(parts.validation)
    assert len(parts.replay) + kept == len(columns["obs"])
    assert (parts.replay.data["discount"] == 0).sum() <= (columns["discount"] == 0).sum()
    with pytest.raises(ValueError, match="is a recording of"):
        trained({"flappy": "breakout"}.get(game, "flappy"), str(folder))


GAME = b"(;GM[1]FF[4]SZ[5]KM[7.5]RE[B+3.5];B[cc];W[bb];B[bc];W[cb];B[dc];W[db];B[ac];W[ab];B[ec];W[eb];B[];W[])"


def test_go_games_are_shown_and_learned_from_with_masks(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / "a.sgf", tmp_path / "b.sgf"]
    files[0].write_bytes(GAME)
    files[1].write_bytes(GAME.replace(b"B[cc]", b"B[dd]").replace(b"B+3.5", b"W+1.5"))
    (tmp_path / "c.sgf").write_bytes(b"(;SZ[5];B[")
    code, out, _ = program(data.main, [str(tmp_path)], capsys, monkeypatch)
    assert code == 0 and "2 games of Go, 24 moves; 2 on 5x5" in out and "c.sgf" in out
    parts = trained("go", [str(file) for file in files], size=5)
    ring = parts.replay.data
    assert len(parts.replay) == len(parts.validation) == 13  # one game each
    assert ring["legal"][:, 0].any(1).all() and set(ring["discount"].unique().tolist()) == {0.0, -1.0, 1.0}
    assert ring["last"].sum() == 2 and ring["reward"].abs().sum() == 1  # the game's end, and the other column's
    with pytest.raises(ValueError, match="is a record of Go; the game is not"):
        trained("flappy", str(files[0]))


def test_several_recordings_are_named_as_a_shell_writes_them(tmp_path: Path) -> None:
    from experiments.training import options

    for name in "abc":
        (tmp_path / f"{name}.sgf").write_bytes(GAME)
    files = [str(tmp_path / f"{name}.sgf") for name in "abc"]
    for argv in (["go", "--data", *files], ["--data", *files, "go"], ["go", "--data", str(tmp_path / "*.sgf")]):
        command, _, _ = options.parse([*argv, "--agent", "clone", "--steps", "9"])
        assert command.game == "go" and list(command.data) == files


def test_rows_of_an_agent_are_no_examples(tmp_path: Path) -> None:
    writer = arrays.ArrayWriter(tmp_path / "d", {"game": "x", "env": {}, "spec": {}})
    for t in range(12):
        row = {"obs": np.zeros(2, np.float32), "action": t % 3, "reward": 0.5, "discount": 0.0 if t % 4 == 3 else 1.0}
        writer.write({**row, "first": t % 4 == 0, "last": t % 4 == 3, "person": t in (0, 1, 2, 8, 9)})
    writer.close()
    told: list[str] = []
    rows = reader.read([tmp_path / "d"], reader.WantedRows(SPEC), told.append)
    assert rows.action.tolist() == [0, 1, 2, 0, 2, 0] and told == [
        f"{tmp_path / 'd'}: 6 rows that an agent played are left out"
    ]
    assert rows.last.tolist() == [False] * 3 + [True, False, False] and rows.begins.tolist() == [
        True,
        *[False] * 3,
        True,
        False,
    ]
    with pytest.raises(RecordingError, match="is a recording of x, not of y"):
        reader.read([tmp_path / "d"], reader.WantedRows(SPEC, "y"), told.append)


# -- what is wrong with a recording -----------------------------------------------------------------------------------


def folder_of(path: Path, old: bool = False) -> Path:
    """Two files of four rows each."""
    writer = arrays.ArrayWriter(path, {"game": "x", "env": {"a": 1}, "spec": {"obs_dtype": "float32"}})
    for t in range(8):
        row = {
            "obs": np.float32([t, -t]),
            "action": np.int64(t % 3),
            "reward": np.float32(t),
            "discount": np.float32(1),
        }
        writer.write({**row, "first": t == 0, "last": False, "person": True, "legal": np.ones(3, np.bool_)})
        if t % 4 == 3:
            writer.flush()
    writer.ended(2.0)
    writer.close()
    if old:  # as before format 2
        from safetensors.numpy import save_file

        for k in range(2):
            save_file(arrays.load(path / f"00000{k}.npz"), path / f"00000{k}.safetensors")
            (path / f"00000{k}.npz").unlink()
        text = (path / "manifest.json").read_text()
        (path / "manifest.json").write_text(text.replace(".npz", ".safetensors").replace('"format": 2', '"format": 1'))
    return path


def test_two_that_record_into_one_folder_do_not_write_over_each_other(tmp_path: Path) -> None:
    about = {"game": "x", "env": {}, "spec": {}}
    first = arrays.ArrayWriter(tmp_path / "d", about)
    with pytest.raises(RecordingError, match="is being recorded or edited by another process"):
        arrays.ArrayWriter(tmp_path / "d", about)
    first.close()
    with pytest.raises(RecordingError, match="another game"):  # the folder is let go of
        arrays.ArrayWriter(tmp_path / "d", {**about, "game": "y"})
    arrays.ArrayWriter(tmp_path / "d", about).close()
    (tmp_path / "d" / "manifest.json").unlink()  # the state after a kill between the two files
    arrays.ArrayWriter(tmp_path / "d", about).close()
    assert arrays.manifest(tmp_path / "d")["game"] == "x"


def test_a_folder_of_format_1_is_read_and_goes_on(tmp_path: Path) -> None:
    path = folder_of(tmp_path / "d", old=True)
    rows = reader.read([path], reader.WantedRows(SPEC), print)
    assert rows.reward.tolist() == list(range(8)) and rows.legal.all()
    writer = arrays.ArrayWriter(path, {"game": "x", "env": {"a": 1}})
    row = {"obs": np.zeros(2, np.float32), "action": 0, "reward": np.float32(9), "discount": np.float32(0)}
    writer.write({**row, "first": True, "last": True, "person": True, "legal": np.ones(3, np.bool_)})
    writer.close()
    assert writer.count == 9 and reader.read([path], reader.WantedRows(SPEC), print).reward.tolist() == [*range(8), 9]


def read_or_refused(path: Path) -> Rows | None:
    """The rows, or None where one sentence says what is wrong; every reader of the recording agrees."""
    told: list[str] = []
    try:
        rows = reader.read([path], reader.WantedRows(SPEC), told.append)
    except ValueError as fault:
        assert "\n" not in str(fault) and "d" in str(fault)
        rows = None
    for line in told:
        assert "\n" not in line
    kind = reader.kind_of(path)
    if kind in ("play", "arrays"):
        try:
            assert summary.report(summary.summary(path, kind))
        except ValueError as fault:
            assert "\n" not in str(fault) and rows is None
    return rows


@pytest.mark.parametrize("name", ["manifest.json", "000000.npz", "000001.npz", "000000.safetensors", "x.npz"])
def test_damage_by_chance_is_told_in_one_sentence(name: str, tmp_path: Path) -> None:
    inside = surroundings(tmp_path / "around")
    inside.mkdir()
    path = folder_of(inside / "d", old=name.endswith("safetensors"))
    file = path / name
    if name == "x.npz":
        rows = {"obs": np.ones((8, 2), np.float32), "action": np.arange(8) % 3, "lap": np.arange(8) // 4}
        np.savez(file, **rows)
        for other in path.glob("0*"):
            other.unlink()
    good = file.read_bytes()
    for case in cases(good, f"play {name}", 28):
        with case.told(), unchanged(tmp_path / "around", but=file):
            file.write_bytes(case.data)
            rows = read_or_refused(file if name == "x.npz" else path)
        if rows is not None and name.startswith("0") and name.endswith("npz"):  # checksums: all of a file, or nothing
            assert rows.reward.tolist() in (list(range(8)), [*range(4)], [*range(4, 8)])


WRONG = [
    ({"obs": np.ones((8, 2))}, "shows float64"),
    ({"obs": np.ones((8, 2), ">f4")}, ""),
    ({"obs": np.full((8, 2), np.nan, np.float32)}, "row 0 is not finite"),
    ({"obs": np.ones(8, np.float32)}, "shows"),
    ({"action": np.full(8, 3)}, "row 0 is outside"),
    ({"action": np.full(8, -1)}, "row 0 is outside"),
    ({"action": np.full(8, 2**63, np.uint64)}, "row 0 is outside"),
    ({"action": np.zeros(7, np.int64)}, "differ"),
    ({"action": np.zeros((8, 1), np.int64)}, "has actions of"),
    ({"action": np.zeros(8)}, "whole numbers, not float64"),
    ({"action": np.array(["a"] * 8)}, "'action' is no array of numbers"),
    ({"action": np.array([{}] * 8)}, "no array"),
    ({"reward": np.full(8, 1e300)}, "reward of row 0 is not finite"),
    ({"reward": np.zeros((8, 2))}, "reward must be"),
    ({"reward": np.array([np.nan] * 8)}, "reward of row 0"),
    ({"discount": np.full(8, 0.99)}, "is not 0, 1 or -1"),
    ({"legal": np.zeros((8, 3), np.bool_)}, "row 0 is not legal"),
    ({"legal": np.ones((8, 2), np.bool_)}, "legal is of"),
    ({"legal": np.ones(8)}, "legal is of"),
    ({"first": np.ones((8, 2))}, "first must be"),
    ({"last": np.ones((8, 2))}, "last must be"),
    ({"last": np.array(["x"] * 8)}, "'last' is no array of numbers"),
    ({"lap": np.array([np.nan] * 8)}, ""),
    ({"group": np.zeros((8, 2))}, "lap must be one number a row"),
    ({"more": np.array(["t"] * 8)}, ""),
    ({"more": np.zeros((8, 3), np.complex128)}, ""),
    ({"more": np.float32(1)}, "differ"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "told"), WRONG)
def test_arrays_that_cannot_be_rows_are_refused_by_name(change: dict[str, Any], told: str, tmp_path: Path) -> None:
    good = {"obs": np.ones((8, 2), np.float32), "action": np.arange(8) % 3}
    np.savez(tmp_path / "d.npz", **{**good, **change})
    if told:
        with pytest.raises(RecordingError, match=told) as fault:
            reader.read([tmp_path / "d.npz"], reader.WantedRows(SPEC), print)
        assert "\n" not in str(fault.value)
    else:
        ring, rows = (
            ReplayBuffer(12, 1, SPEC, Uniform()),
            reader.read([tmp_path / "d.npz"], reader.WantedRows(SPEC), print),
        )
        dataset.fill(ring, rows, {})
        assert len(ring) == 8 and rows.digest


def test_an_array_that_promises_more_than_there_is_takes_no_memory(tmp_path: Path) -> None:
    import io
    import zipfile

    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (2**40, 2)})
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("obs.npy", header.getvalue() + b"\0" * 64)
        archive.writestr("action.npy", b"")
    with pytest.raises(RecordingError, match="'obs' is damaged: it holds 64 bytes"):
        arrays.load(tmp_path / "d.npz")


def test_what_is_no_recording_is_no_recording(tmp_path: Path) -> None:
    (tmp_path / "v1").mkdir()
    (tmp_path / "v1" / "record_1.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    folder_of(tmp_path / "both" / "a")
    shutil.copytree(tmp_path / "both" / "a", tmp_path / "both" / "b")
    assert len(reader.read([tmp_path / "both"], reader.WantedRows(SPEC), print).action) == 16
    kinds = {name: reader.kind_of(tmp_path / name) for name in ("v1", "empty", "both", "both/a", "none")}
    assert kinds == {"v1": "tub 1", "empty": None, "both": "several", "both/a": "play", "none": None}
    for name, told in (("v1", "is a tub of version 1"), ("empty", "is neither"), ("none", "there is no such dataset")):
        with pytest.raises(RecordingError, match=told):
            reader.read([tmp_path / name], reader.WantedRows(SPEC), print)
    told = json.loads((tmp_path / "both" / "a" / "manifest.json").read_text())
    (tmp_path / "both" / "a" / "manifest.json").write_text(json.dumps({**told, "scores": [10**400]}))
    with pytest.raises(RecordingError, match="a score that is no number"):
        reader.read([tmp_path / "both" / "a"], reader.WantedRows(SPEC), print)
    (tmp_path / "both" / "a" / "manifest.json").unlink()
    with pytest.raises(RecordingError, match="is no recording: manifest.json"):
        reader.read([tmp_path / "both" / "a"], reader.WantedRows(SPEC), print)
