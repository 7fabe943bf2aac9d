"""A person plays: recordings of it as datasets, and the score table."""

import signal
import time

import numpy as np
import pytest
from programs import program

from envs.recordings import arrays
from experiments import cli, display
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


@pytest.mark.parametrize("again", [False, True])
def test_the_last_row_of_a_game_is_recorded_whatever_comes_then(tmp_path, again):
    """The reward of the end comes with it: where the play ends there, and where the person begins anew at once."""
    player = Player([Source("flappy")], seed=4, episodes=1, panels=False)
    rows = RowRecorder(tmp_path / "data", "flappy", {}, player.focus.spec)
    player.focus.listeners.append(rows)
    for _ in player.frames():
        if player.focus.over and again:
            again = False
            player.command("again")
    rows.close()
    player.close()
    (columns,) = arrays.chunks(tmp_path / "data")
    games = arrays.manifest(tmp_path / "data")["games"]
    assert columns["last"].sum() == columns["first"].sum() == games and columns["last"][-1]
    assert (columns["discount"][columns["last"].astype(bool)] == 0).all()


def test_a_browser_that_has_gone_holds_no_key(tmp_path):
    from experiments.watching.browser import PlayerPage

    player, page = Player([Source("flappy")], seed=1, panels=False), PlayerPage(30.0, patience=60.0)
    try:
        client = object()
        assert not page.looks() and page.commands(player) == []  # nobody misses the beginning of a game
        page.page.clients.add(client)
        page._heard(client, {"type": "command", "name": "held", "value": ["space"]})
        assert page.commands(player) == [("held", ["space"])]
        assert page.commands(player) == []
        page.page.clients.clear()
        assert page.commands(player) == [("held", []), ("sticks", [])]
        assert page.commands(player) == [] and page.looks()  # a page that is loaded anew comes back at once
        page._looked -= 61
        assert not page.looks() and page.commands(player) == []
        page._began -= 61
        assert page.commands(player) == [("quit", None)]
    finally:
        page.close()
        player.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_a_program_ends_it_as_ctrl_c_does(number):
    """Else the rows that are still in memory are lost, and a video cannot be read."""
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(KeyboardInterrupt), cli.ended_by_signals():
            signal.raise_signal(number)
        assert signal.getsignal(number) == signal.SIG_DFL
        signal.signal(number, signal.SIG_IGN)
        with cli.ended_by_signals():
            signal.raise_signal(number)  # nohup has it so
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_a_game_with_a_board_of_its_own_is_found_behind_options(capsys, monkeypatch):
    from experiments import play

    for words in (["go", "--nonsense"], ["--web", "go", "--nonsense"], ["--size", "9", "go", "--nonsense"]):
        code, _, err = program(play.main, words, capsys, monkeypatch)
        assert code == 2 and "there is no option --nonsense" in err and "play go --help" in err, err


def test_a_display_is_one_that_somebody_sees(monkeypatch):
    for driver, shown, seen in (
        ("dummy", ":0", False), ("offscreen", "", False), ("x11", "", True), ("", ":0", True), ("", "", False),
        ("wayland,x11", "", True),
    ):  # fmt: skip
        monkeypatch.setattr(display.sys, "platform", "linux")
        monkeypatch.setenv("SDL_VIDEODRIVER", driver)
        monkeypatch.setenv("DISPLAY", shown)
        monkeypatch.setenv("WAYLAND_DISPLAY", "")
        assert display.has_display() == seen, (driver, shown)


def test_the_window_hears_one_button_and_draws_again_what_was_covered(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    import pygame

    from experiments.watching.window import PlayerWindow

    player = Player([Source("flappy")], seed=1, panels=False)
    window = PlayerWindow("flappy", player.fps)
    try:
        window.show(player, next(player.frames()))
        for _ in range(3):  # commands while the play is paused: the clip has each moment once
            window.show(player, player.redrawn())
        assert len(window.clip._files) == 1
        window.commands(player)
        for button in (1, 2, 3, 4, 5):
            pygame.event.post(pygame.event.Event(pygame.MOUSEBUTTONDOWN, button=button, pos=(10, 20)))
        assert window.commands(player) == [("click", [10.0, 20.0])]
        shown = pygame.surfarray.array3d(window.screen)
        window.screen.fill((0, 0, 0))
        pygame.event.post(pygame.event.Event(pygame.VIDEOEXPOSE))
        assert window.commands(player) == []
        assert (pygame.surfarray.array3d(window.screen) == shown).all() and shown.any()
    finally:
        window.close()
        player.close()
