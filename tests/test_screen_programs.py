"""`record`, `train`, `watch` and `evaluate` through a window: a person's keys become rows, and an agent plays."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import numpy as np
import pytest
import screen_toy
from programs import program, tool

from envs.recordings import arrays
from envs.screen import orphans
from envs.screen.faults import ScreenFault
from experiments import evaluate, record, train, watch
from experiments.windows import recording
from experiments.windows.synthetic import SyntheticPerson

pytestmark = pytest.mark.slow
pytest.importorskip("mss", reason="mss is not installed (pip install mss)")
pytest.importorskip("Xlib", reason="python-xlib is not installed (pip install python-xlib)")


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> str:
    tool("Xvfb")
    return screen_toy.profile(tmp_path_factory.mktemp("toy") / "toy.toml", seconds=6.0)


def recorder_of(toy: str, out: Path) -> recording.WindowRecorder:
    return recording.WindowRecorder("screen", {"game": toy, "xvfb": True}, out)


def test_a_persons_keys_are_recorded_as_they_were_pressed(toy, tmp_path) -> None:
    recorder, times, seen = recorder_of(toy, tmp_path / "data"), [], []
    recorder.begin(1)
    session = recorder.env.games.games[0].session
    with SyntheticPerson(session.desktop.name, ("", "Left", "Right")) as person:
        for _ in range(160):
            before = time.monotonic()
            action, over = recorder.tick()
            if not over:
                times.append(before)
                seen.append(["", "Left", "Right"][action])
    recorder.close()
    exact = [person.at(t) == key for t, key in zip(times, seen, strict=True)]
    near = [key in {person.at(t), person.at(t - 0.05)} for t, key in zip(times, seen, strict=True)]
    assert np.mean(near) >= 0.99 and np.mean(exact) >= 0.9 and len(set(seen)) == 3
    found = recorder.result
    assert found.rows == 160 and arrays.manifest(tmp_path / "data")["games"] == found.games
    columns = list(arrays.chunks(tmp_path / "data"))[0]
    assert len(columns["obs"]) == 160 + found.games and columns["person"].all()
    under_way = not columns["last"][-1]  # a game may end just with the last tick
    assert columns["last"].sum() == found.games and columns["first"].sum() == found.games + under_way


def test_a_recording_stays_whole_where_the_window_is_lost(toy, tmp_path) -> None:
    recorder = recorder_of(toy, tmp_path / "data")
    recorder.begin(1)
    for _ in range(20):
        recorder.tick()
    session = recorder.env.games.games[0].session
    with pytest.raises(ScreenFault, match="ended 3 times right after its start"):
        for _ in range(400):
            os.kill(json.loads((orphans.room() / f"{session.link.process.pid}.json").read_text())["groups"][-1][0], 9)
            recorder.tick()
    recorder.close()
    (columns,) = arrays.chunks(tmp_path / "data")
    assert len(columns["obs"]) >= 20


def test_recorded_cloned_watched_and_scored(toy, tmp_path, capsys, monkeypatch) -> None:
    data, runs = tmp_path / "data", tmp_path / "runs"
    game = ["screen", "--game", toy, "--xvfb"]
    argv = [*game, "--minutes", "0.1", "--seed", "3", "--no-preview", "--out", str(data)]
    code, out, err = program(record.main, argv, capsys, monkeypatch)
    assert code == 0 and "--agent clone" in out, err
    rows, share = re.search(r"(\d+) rows .*; ([\d.]+)% of the ticks", out).groups()
    assert int(rows) / 120 == pytest.approx(float(share) / 100, abs=1e-3)  # 6 s at 20 Hz, lost ticks among them
    argv = [*game, "--agent", "clone", "--data", str(data), "--steps", "40", "--batch", "8", "--hidden", "16"]
    argv += ["--eval-episodes", "1", "--no-video", "--runs", str(runs)]
    code, out, err = program(train.main, argv, capsys)
    assert code == 0 and "score: mean" in out and "protocol screen toy rate=20 seconds=6" in out, err
    corrections = tmp_path / "mine"
    argv = [*game, "--seconds", "3", "--video", str(tmp_path / "x.mp4"), "--record", str(corrections)]
    code, out, err = program(watch.main, [*argv, "--runs", str(runs)], capsys, monkeypatch)
    assert code == 0 and "recorded: " in out and (tmp_path / "x.mp4").stat().st_size > 1000, err
    code, out, err = program(evaluate.main, ["screen", "--episodes", "2", "--runs", str(runs)], capsys, monkeypatch)
    assert code == 0 and "over 2 games" in out, err


def test_a_held_key_overrides_the_network_and_the_correction_is_recorded(toy, tmp_path, capsys) -> None:
    from experiments.watching.player import Player
    from experiments.watching.rows import RowRecorder
    from experiments.watching.source import Source, find

    runs = tmp_path / "runs"
    argv = ["screen", "--game", toy, "--xvfb", "--agent", "ppo", "--rollout", "8", "--hidden", "16", "--steps", "16"]
    argv += ["--recipe", "none", "--num-envs", "1", "--eval-episodes", "0", "--no-video", "--runs", str(runs)]
    assert program(train.main, argv, capsys)[0] == 0
    source = find("screen", runs, env={"game": toy})
    assert isinstance(source, Source) and source.run is not None
    player = Player([source], seed=1, panels=False)
    seat = player.focus
    rows = RowRecorder(tmp_path / "mine", "screen", source.options, seat.spec)
    seat.listeners.append(rows)
    session = seat.envs[0].unwrapped.games.games[0].session
    frames = player.frames()
    for _ in range(10):
        next(frames)
    with SyntheticPerson(session.desktop.name, ("h",), periods=(30.0, 31.0)):
        end = time.monotonic() + 5
        while seat.human is None and time.monotonic() < end:
            next(frames)
        assert seat.human is not None and seat.lent and not session.held(["Left", "Right"])
        for _ in range(10):
            next(frames)
    for _ in range(20):
        next(frames)
    assert seat.human is None  # h is up: the network plays again
    rows.close()
    player.close()
    (columns,) = arrays.chunks(tmp_path / "mine")
    assert 5 <= columns["person"].sum() < len(columns["person"]) and rows.overrides == columns["person"].sum()
