"""Parts of games on the screen without a display: sessions over stand-ins, orphans, the scripted pilot, baselines."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from envs.screen import env as screen_env
from envs.screen import orphans, players, session
from envs.screen import profile as profiles
from envs.screen.display import Place
from envs.screen.faults import KeeperLost, ScreenFault
from envs.screen.lab import KeeperLink
from envs.screen.profile import tomllib
from experiments import cli, record
from experiments.windows import against, baseline, recording
from experiments.windows import suite as windows

XRACER = profiles.load("xracer")


class FakeDesktop:
    """A display with one window."""

    def __init__(self, focus: bool = True):
        self.name, self.size, self.focus, self.let, self.closed = ":7", (640, 480), focus, [], False

    def place(self, window):
        return Place(0, 0, 640, 480, True, False)

    def grab(self, place):
        return np.full((480, 640, 3), 200, np.uint8)

    def focused(self, window):
        return self.focus

    def let_go(self, codes):
        self.let += list(codes)

    def close(self):
        self.closed = True


class FakeLink:
    """A keeper that notes what it is told; `dead`: it has ended."""

    def __init__(self):
        self.told, self.dead, self.held, self.closed = [], False, {}, False

    def hold(self, keys):
        if self.dead:
            self.held = {}
            raise KeeperLost("the process that presses the keys has ended")
        self.told.append(dict(keys))
        self.held = keys

    def exit_code(self):
        return None

    def close(self):
        self.closed = True


def sitting(focus: bool = True, xvfb: bool = False) -> session.ScreenSession:
    """A session whose game is open."""
    played = session.ScreenSession(XRACER, xvfb)
    played.desktop, played.link, played.window = FakeDesktop(focus), FakeLink(), 1
    played._codes = {"Left": 113, "Right": 114}
    return played


def test_on_a_persons_display_no_key_is_pressed_while_another_window_has_the_keyboard() -> None:
    played = sitting()
    played.hold(["Left"], 0.1)
    assert not played.shoot().hidden and played.link.told[-1] == {113: session.RELEASE}
    played.desktop.focus = False
    assert played.shoot().hidden == "without the keyboard" and played.link.told[-1] == {}
    played.shoot()
    assert len(played.remarks) == 1 and "click into the game's" in played.remarks[0]  # told once
    played._hidden_since -= session.ASKED + 1
    with pytest.raises(ScreenFault, match="without the keyboard for 10 s"):
        played.shoot()
    assert not sitting(focus=False, xvfb=True).shoot().hidden  # in the lab's own display nobody types


def test_keys_that_a_killed_keeper_leaves_down_are_let_go_of() -> None:
    played = sitting()
    played.hold(["Left"], 0.1)
    played.link.dead = True
    with pytest.raises(KeeperLost):
        played.release()
    assert sorted(played.desktop.let) == [113, 114]
    played.release()  # nothing is held any more: nothing to be told


def test_a_keeper_that_has_ended_holds_nothing_and_says_so_once() -> None:
    link = object.__new__(KeeperLink)
    ended = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE)
    ended.wait()
    link.process, link.held = ended, {113: 0.25}
    with pytest.raises(KeeperLost, match="has ended"):
        link.hold({})
    assert link.held == {}
    link.hold({})  # no line is sent where nothing changes
    with contextlib.suppress(BrokenPipeError):
        ended.stdin.close()


def test_a_game_that_cannot_be_opened_leaves_nothing_open(monkeypatch) -> None:
    opened = []
    monkeypatch.setattr(session, "KeeperLink", lambda: opened.append(link := FakeLink()) or link)
    monkeypatch.setattr(session, "open_display", lambda *words, **more: FakeDesktop())
    monkeypatch.setattr(session.ScreenSession, "_program", lambda self: [])
    played = session.ScreenSession(XRACER)
    with pytest.raises(AttributeError):  # the stand-in cannot connect: whatever goes wrong, all is closed
        played.open()
    assert opened[0].closed and played.link is None and played.desktop is None


def test_a_lost_keeper_at_the_beginning_of_an_episode_is_replaced(monkeypatch) -> None:
    game = screen_env.ScreenGame(SimpleNamespace(profile=XRACER, xvfb=True, expert_info=False, obs="grey"))
    played = game.session = sitting(xvfb=True)
    game.opened, game.ticks, restarts = True, 5, []
    played.link.held, played.link.dead = {113: 0.25}, True

    def restart() -> None:
        restarts.append(True)
        played.link.dead = False

    monkeypatch.setattr(played, "restart", restart)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    game.reset(3)
    assert restarts == [True] and not game.lost and game.shot is not None


def test_keys_typed_elsewhere_are_no_actions() -> None:
    single = object.__new__(screen_env.ScreenEnv)
    shot = session.Shot(np.zeros((1, 1, 3), np.uint8), 0.0, True, 0.0, "without the keyboard")
    held = SimpleNamespace(held=lambda names: set(names), release=lambda: None)
    game = SimpleNamespace(lost=False, shot=shot, session=held)
    single.games, single.options = SimpleNamespace(games=[game], hands_off=False), SimpleNamespace(profile=XRACER)
    assert single.held_action() == 0 and single.pressed() == set() and not single.games.hands_off
    game.shot = shot._replace(hidden="")
    assert single.held_action() > 0 and "h" in single.pressed() and single.games.hands_off
    uses = {"nothing": (), "jump": ("h",)}  # the lab's own presses of h are not a person's
    single.options = SimpleNamespace(profile=dataclasses.replace(XRACER, actions=uses, player=""))
    assert single.pressed() == set() and not single.games.hands_off


def test_a_group_whose_first_process_has_gone_is_ended_and_a_strangers_is_not(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(orphans, "room", lambda: tmp_path)
    code = "import subprocess, sys; print(subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL).pid, flush=True)"
    first = subprocess.Popen([sys.executable, "-c", code + "; input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             text=True, start_new_session=True)  # fmt: skip
    child, began = int(first.stdout.readline()), orphans.started(first.pid)
    first.communicate("\n")
    assert orphans.started(first.pid) is None and orphans.started(child) is not None
    groups = [[first.pid, str(int(began) + 10**6)], [os.getpgid(0), "0"]]  # others began at those times
    about = {"keeper": [first.pid, began], "groups": groups, "homes": []}
    (tmp_path / "1.json").write_text(json.dumps(about))
    assert orphans.sweep() == 1 and orphans.started(child) is not None
    about["groups"] = [[first.pid, began]]
    (tmp_path / "1.json").write_text(json.dumps(about))
    assert orphans.sweep() == 1
    end = time.monotonic() + 10
    while orphans.started(child) is not None and time.monotonic() < end:
        time.sleep(0.01)
    assert orphans.started(child) is None
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)


def test_logs_and_homes_of_those_that_are_gone_are_swept(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(orphans, "room", lambda: tmp_path)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    gone, mine = tmp_path / f"log-{ended.pid}.txt", tmp_path / f"log-{os.getpid()}.txt"
    torn, other = tmp_path / f"{ended.pid}.tmp", tmp_path / "window:0-1.lock"
    for path in (gone, mine, torn, other):
        path.write_text("x")
    left, kept = tmp_path / f"home-{ended.pid}-x1", Path(orphans.home())
    left.mkdir()
    (left / "settings").write_text("x")
    orphans.sweep()
    assert not gone.exists() and not torn.exists() and not left.exists()
    assert mine.exists() and other.exists() and kept.exists()


def test_a_folder_that_is_open_to_others_is_a_sentence(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / f"{orphans.PREFIX}{os.getuid()}").mkdir(mode=0o755)
    with pytest.raises(ScreenFault, match="is not a folder of this user alone"):
        KeeperLink()


def test_files_of_a_profile_are_written_into_its_home_and_nowhere_else(tmp_path, monkeypatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.setattr(orphans, "home", lambda: str(tmp_path / "link"))
    monkeypatch.setattr(orphans, "remove", lambda home: None)
    played = session.ScreenSession(dataclasses.replace(XRACER, files={"a/b.cfg": "ä"}))
    played._new_home()
    assert (tmp_path / "real" / "a" / "b.cfg").read_bytes() == "ä".encode()
    played.profile = dataclasses.replace(XRACER, files={"../c.cfg": "x"})
    with pytest.raises(ScreenFault, match="outside of the home folder"):
        played._new_home()
    assert not (tmp_path / "c.cfg").exists()


def valley(at: float, tilt: float = 0.0, speed: str = "") -> np.ndarray:
    """A drawn picture: sky, grey ground, and stripes below the horizon where the valley goes on, at -1 to 1."""
    picture = np.zeros((480, 640, 3), np.uint8)
    picture[:] = (90, 80, 220)
    rows, columns = np.mgrid[:480, :640]
    horizon = 240 + tilt * (columns - 320)
    picture[rows >= horizon] = (190, 189, 187)
    far = (rows >= horizon + 4) & (rows < horizon + 60) & (np.abs(columns - 320 - 320 * at) < 60) & (rows // 6 % 2 == 0)
    picture[far] = (90, 89, 87)
    return picture


class Fixed:
    """A reader that tells one number."""

    def __init__(self, value: float | None):
        self.value = value

    def read(self, picture: np.ndarray) -> float | None:
        return self.value


def pilot(speed: float | None) -> tuple[players.ValleyPilot, list[str]]:
    found = players.ValleyPilot(XRACER)
    found.reader = Fixed(speed)
    return found, list(XRACER.actions)


@pytest.mark.parametrize(
    ("at", "tilt", "speed", "action"),
    [(0.0, 0.0, 2.0, "faster"), (0.0, 0.0, 6.0, "nothing"), (0.0, 0.0, None, "nothing"), (0.0, 0.0, 9.0, "brake"),
     (-0.5, 0.0, 2.0, "faster left"), (0.4, 0.0, 2.0, "faster right"), (0.4, 0.0, 3.5, "faster right"),
     (-0.6, 0.0, 4.0, "left"), (-0.6, 0.0, 9.0, "left"),
     (0.0, 0.3, 2.0, "faster right"), (0.0, -0.3, 2.0, "faster left")],
)  # fmt: skip
def test_the_pilot_steers_to_where_the_valley_goes_on_and_back_from_a_roll(at, tilt, speed, action) -> None:
    one, names = pilot(speed)
    one.begin()
    assert names[one.act(valley(at, tilt))] == action


def test_the_pilot_steers_away_from_an_edge_and_presses_nothing_in_the_air() -> None:
    one, names = pilot(2.0)
    edge = valley(0.0)
    edge[300:, 250:] = (20, 40, 120)  # no ground on the right
    assert names[one.act(edge)].endswith("left")
    assert names[one.act(edge[:, ::-1])].endswith("right")
    assert names[one.act(np.full((480, 640, 3), (90, 80, 220), np.uint8))] == "nothing"


def test_a_profile_names_a_player_that_there_is_and_what_it_needs() -> None:
    with pytest.raises(ValueError, match="needs a reader 'speed'"):
        players.ValleyPilot(dataclasses.replace(XRACER, readers={}, over=(), reward_level={}))
    with pytest.raises(ValueError, match="needs an action"):
        players.ValleyPilot(dataclasses.replace(XRACER, actions={"nothing": ()}))


def test_the_laps_and_the_ground_of_xracer_are_read() -> None:
    """The words as the game draws them: each digit of its font, between signs that are none."""
    reader, glyphs = XRACER.readers["lap"], XRACER.readers["lap"].glyphs
    for sign in "123456789":
        picture = np.full((480, 640, 3), (110, 100, 220), np.uint8)
        for left, pattern in ((572, glyphs[sign]), (598, glyphs["3"])):
            mask = np.array([[c == "#" for c in row] for row in pattern.split()])
            picture[31 : 31 + mask.shape[0], left : left + mask.shape[1]][mask] = (10, 240, 30)
        picture[31:41, 543:567] = picture[31:41, 583:594] = (0, 255, 0)  # words
        assert reader.read(picture) == float(sign)
    assert XRACER.readers["ground"].read(valley(0.0)) == 1.0
    assert XRACER.readers["ground"].read(np.full((480, 640, 3), (150, 140, 230), np.uint8)) == 0.0


def test_what_a_random_player_gets_is_written_into_a_profile() -> None:
    text = (profiles.FOLDER / "lbreakout2.toml").read_text()
    once = baseline.written(text, (12.5, 10.0, 15.25, 20))
    assert tomllib.loads(once) == tomllib.loads(text) | {"random": [12.5, 10.0, 15.25, 20]}
    twice = baseline.written(once, (1.0, 0.0, 2.0, 5))
    assert tomllib.loads(twice)["random"] == [1, 0, 2, 5] and twice.count("random") == 1
    assert profiles.parse(tomllib.loads(twice), "x", "x").random == (1, 0, 2, 5)
    mean, low, high, count = baseline.summary([1.0, 2.0, 3.0, 4.0])
    assert (mean, count) == (2.5, 4) and 1 <= low < mean < high <= 4


class Episodes:
    """A window environment of three ticks a game, for the recorder; `lost` games have crashed."""

    def __init__(self, lost: tuple[bool, ...]):
        self.lost, self.tick, self.game = lost, 0, 0
        self.unwrapped = self

    @property
    def scored(self) -> bool:
        return not self.lost[self.game]

    def reset(self, seed=None):
        self.game += self.tick > 0
        self.tick = 0
        return np.zeros((84, 84), np.uint8), {}

    def follow(self):
        self.tick += 1
        info = {"missed": 0, "late": 0.0, "stale": False}
        return 1, (np.zeros((84, 84), np.uint8), 2.0, self.tick == 3, False, info)

    def close(self):
        pass


def test_a_game_without_a_number_scores_its_rewards_and_one_that_crashed_has_no_score(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(recording.envs, "make", lambda *words, **more: Episodes((False, True, False)))
    recorder = recording.WindowRecorder("screen", {"game": "xracer"}, tmp_path / "data")
    recorder.begin(1)
    for _ in range(8):
        recorder.tick()
    recorder.close()
    manifest = json.loads((tmp_path / "data" / "manifest.json").read_text())
    assert manifest["scores"] == [6.0] and manifest["games"] == 1 == recorder.result.games
    assert recorder.result.rows == 8


def test_a_profile_that_cannot_be_written_is_refused_before_anything_is_recorded(tmp_path) -> None:
    there = tmp_path / "mine.toml"
    there.write_text("")
    named = ["screen", "--out", str(tmp_path / "data"), "--profile"]
    with pytest.raises(cli.UserError, match="--window and --keys"):
        record.parse([*named, str(tmp_path / "new.toml")])
    with pytest.raises(cli.UserError, match="is there already"):
        record.parse([*named, str(there), "--window", "x", "--keys", "a=a"])


def test_a_run_that_was_begun_otherwise_is_not_scored_as_this_suites(tmp_path, monkeypatch) -> None:
    suite = windows.WindowSuite("screen", ("lbreakout2",), 30.0, "dqn", 1, "mine", tmp_path, tmp_path / "out")
    begun = " ".join(["python -m experiments.train", *dataclasses.replace(suite, minutes=0.5).training("lbreakout2")])
    found = SimpleNamespace(config={"command": begun}, budget=10, newest=10)
    monkeypatch.setattr(windows.records, "read", lambda path: found)
    with pytest.raises(ValueError, match="begun with other options"):
        windows._train(suite, "lbreakout2")
    found.config["command"] = " ".join(["python -m experiments.train", *suite.training("lbreakout2")])
    assert windows._train(suite, "lbreakout2") == ""
    assert Path(suite.path("lbreakout2")).is_relative_to(tmp_path)


def test_a_step_is_done_until_what_it_waits_for_is_seen(monkeypatch) -> None:
    ground = XRACER.readers["ground"]
    one = dataclasses.replace(XRACER, readers={"ground": ground}, over=(), reward_level={}, reset=(),
                              start=("Left until ground >= 0.5", "wait until ground >= 0.5"))  # fmt: skip
    played = sitting()
    played.profile, clock, seen = one, [0.0], iter([0, 0, 200, 200])
    monkeypatch.setattr(session.time, "sleep", lambda seconds: clock.append(clock[-1] + seconds))
    monkeypatch.setattr(session.time, "monotonic", lambda: clock[-1])
    played.desktop.grab = lambda place: np.full((480, 640, 3), next(seen, 0), np.uint8)
    played.desktop.title = lambda window: ""
    played.perform(one.start)
    assert played.link.told == [{113: 0.15}, {}, {113: 0.15}, {}]  # pressed twice, until the ground was seen
    with pytest.raises(session.WindowGone, match="has not come to 'ground >= 0.5' in 90 s"):
        played.perform(one.start)
    for text, sentence in (("Left until ground", "condition"), ("Left until sky > 0", "no reader 'sky'")):
        with pytest.raises(ValueError, match=sentence):
            dataclasses.replace(one, start=(text,))


class Races:
    """Races of four ticks; in the second one the car is off the road throughout, and a tick is lost."""

    def __init__(self):
        self.tick, self.race = 0, 0

    def step(self, action):
        if self.tick == 4:
            self.tick, self.race = 0, self.race + 1
            return self.answer(False)
        self.tick += 1
        return self.answer(self.tick == 4)

    def answer(self, over):
        off = self.race == 1 and self.tick > 0
        missed = int(self.race == 1 and self.tick == 2)
        info = {"off": np.array([float(off)]), "rescues": np.array([np.nan]), "missed": np.array([missed])}
        return np.zeros(1), np.zeros(1), np.array([over]), np.array([False]), info


def test_interventions_are_counted_race_by_race_with_the_time_that_was_lost() -> None:
    found = against.driven(Races(), (np.zeros(1), {}), lambda obs, info: np.zeros(1), 3, ("off", "rescues"), 4.0)
    assert found.tolist() == [[0.0, 1.0], [1.0, 1.25], [0.0, 1.0]]
    assert against.autonomy(np.array([[0.0, 60.0], [1.0, 60.0]])) == pytest.approx(0.95)
