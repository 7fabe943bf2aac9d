"""A person plays: recordings of it as datasets, and the score table."""

import time

import numpy as np
import pytest
from programs import program

from envs.recordings import arrays
from experiments.watching.player import Player, drive
from experiments.watching.rows import RowRecorder
from experiments.watching.source import Source

pytestmark = pytest.mark.usefixtures("dummy_display")


def test_recorded_rows_are_those_of_the_game(tmp_path):
    player = Player([Source("flappy")], seed=4, episodes=2)
    rows = RowRecorder(tmp_path / "data", "flappy", {}, player.focus.spec)
    seen = []

    class Witness:
        def add(self, step, action, person):
            seen.append((step.obs[0, -1].numpy().copy(), int(action[0]), float(step.reward[0]), bool(step.last[0])))

        def ended(self, score):
            self.score = score

    player.focus.listeners += [rows, Witness()]
    for _ in player.frames():
        if rows.count % 30 == 29:
            rows.flush()
    rows.close()
    player.close()
    columns = list(arrays.chunks(tmp_path / "data"))
    assert len(columns) > 1 and arrays.manifest(tmp_path / "data")["games"] == 2
    whole = {k: np.concatenate([c[k] for c in columns]) for k in columns[0]}
    assert len(whole["obs"]) == len(seen) == rows.count
    for name, place in (("obs", 0), ("action", 1), ("reward", 2), ("last", 3)):
        np.testing.assert_array_equal(whole[name], np.array([row[place] for row in seen]).astype(whole[name].dtype))
    with pytest.raises(ValueError, match="another game"):
        RowRecorder(tmp_path / "data", "pong", {}, player.focus.spec)
    again = RowRecorder(tmp_path / "data", "flappy", {}, player.focus.spec)
    assert again.count == len(seen)
    path = tmp_path / "data" / "000001.npz"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ValueError, match="is damaged"):
        list(arrays.chunks(tmp_path / "data"))
    (tmp_path / "data" / "manifest.json").write_text("[]")
    with pytest.raises(ValueError, match="no recording"):
        arrays.manifest(tmp_path / "data")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("x")
    with pytest.raises(ValueError, match="name another folder"):
        RowRecorder(tmp_path / "other", "flappy", {}, player.focus.spec)


def test_races_of_the_kart_become_a_dataset_of_driving(tmp_path):
    from envs.recordings.tub import Tub
    from experiments.watching.driving import Laps

    player = Player([Source("kart", env={"obs": "trunk", "control": "speed"})], seed=1, seconds=1.5)
    laps, seen = Laps(tmp_path / "tub", player.focus), []
    player.focus.listeners += [laps, type("L", (), {"add": lambda s, t, a, p: seen.append((t, a)), "ended": print})()]
    player.command("take", True)
    player.command("held", ["up", "left"])
    for _ in player.frames():
        pass
    laps.close()
    player.close()
    tub = Tub(tmp_path / "tub")
    assert not tub.damaged and len(tub.records["user/angle"]) == len(seen) == laps.count == 29
    np.testing.assert_allclose(tub.records["user/angle"], [float(a[0, 0]) for _, a in seen], atol=1e-6)
    assert tub.records["user/angle"][-1] < -0.9 and set(tub.records["user/mode"]) == {"user"}
    assert np.abs(tub.image(3).astype(float) - seen[3][0].obs[0, -1].numpy()).mean() < 4  # JPEG


def test_driving_limits_the_pace_and_asks_the_screen():
    """Half a second of a 30 fps game at twice its speed takes a quarter of a second; nobody looks: it stands."""

    class Counter:
        def __init__(self):
            self.frames, self.eyes, self.queue = 0, True, []

        def show(self, player, frame):
            self.frames += 1

        def commands(self, player):
            taken, self.queue = self.queue, []
            return taken

        def looks(self):
            return self.eyes

    player, screen = Player([Source("flappy")], seed=1, seconds=1.0), Counter()
    player.speed = 2.0
    began = time.monotonic()
    drive(player, screen)
    assert screen.frames == 30 and 0.4 < time.monotonic() - began < 5
    player.close()
    player, screen = Player([Source("flappy")], seed=1, seconds=1.0), Counter()
    screen.eyes, asked = False, []
    screen.commands = lambda player: asked.append(1) or ([("quit", None)] if len(asked) > 20 else [])
    drive(player, screen)
    assert screen.frames == 0 and player.ended
    player.close()


def test_play_has_a_table_and_refuses_mistakes(runs, tmp_path, capsys, monkeypatch):
    from experiments import play

    folder = tmp_path / "flappy" / "ppo" / "x-s0"
    folder.mkdir(parents=True)
    (folder / "eval.json").write_text('{"mean": 12.5}')
    (folder.parent / "z-s0").mkdir()
    (folder.parent / "z-s0" / "eval.json").write_text('{"mean": 99, "protocol": "flappy gap=200"}')
    (folder.parent / "y-s0").mkdir()
    (folder.parent / "y-s0" / "eval.json").write_text("{")
    lines = play.table(tmp_path, "flappy", [3.0, 20.0]).splitlines()
    assert [line.split()[0] for line in lines] == ["20.0", "12.5", "11.5", "99.0"]
    assert lines[-1].endswith("(under flappy gap=200)")
    for argv, message in (
        (["flappy", "--speed", "0"], "--speed 0"), (["flapy"], "did you mean flappy"),
        (["flappy", "--env", "gap=7"], "gap must be from"), (["flappy", "--env", "wind=7"], "no option 'wind'"),
        (["flappy", "--seed", "-1"], "--seed -1"), (["gym:NoSuch-v1"], "NoSuch"),
    ):  # fmt: skip
        code, _, err = program(play.main, argv, capsys, monkeypatch)
        assert code == 2 and message in err and "Traceback" not in err, err
