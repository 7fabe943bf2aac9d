"""Games on the screen, played under Xvfb: a toy's window is seen, its keys are pressed, its numbers are read."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import screen_toy
from programs import tool

import envs
from envs.screen import display, orphans
from envs.screen.env import ScreenVectorEnv
from envs.screen.faults import ScreenFault

pytestmark = pytest.mark.slow  # tests in real time run alone
pytest.importorskip("mss", reason="mss is not installed (pip install mss)")
pytest.importorskip("Xlib", reason="python-xlib is not installed (pip install python-xlib)")


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> str:
    tool("Xvfb")
    return screen_toy.profile(tmp_path_factory.mktemp("toy") / "toy.toml")


@contextlib.contextmanager
def playing(game: str, **options) -> Iterator[ScreenVectorEnv]:
    games = envs.make_vec("screen", options.pop("num_envs", 1), game=game, xvfb=True, **options)
    try:
        yield games
    finally:
        games.close()


def test_the_window_is_seen_its_keys_are_pressed_and_nothing_stays_behind(toy) -> None:
    with playing(toy) as games:
        obs, info = games.reset(seed=[1])
        assert obs.shape == (1, 84, 84) and info["read/score"] == [0] and info["read/lives"] == [3]
        assert (obs[0, :8] == 0).all() and obs[0, 12:].any()  # the score is masked, the game is seen
        session = games.games[0].session
        name, keeper = session.desktop.name, session.link.process
        paddle = {}
        for action, steps in ((1, 20), (2, 30)):
            for _ in range(steps):
                obs, reward, terminated, truncated, info = games.step(np.array([action]))
            while games.over[0] or terminated[0]:  # a new game begins, with its keys held
                terminated = games.step(np.array([action]))[2]
            games.step(np.array([action]))
            green = (games.render()[0][-3] == (0, 250, 0)).all(1)
            paddle[action] = float(np.flatnonzero(green).mean())
        assert paddle[1] < paddle[2]  # the paddle went left, then right
        for _ in range(100):  # the key may be let go of again before a busy machine looks
            games.send(np.array([2]))
            time.sleep(0.02)
            if down := session.held(["Left", "Right"]):
                break
            games.recv()
        assert down == {"Right"}
        time.sleep(0.6)
        assert session.held(["Left", "Right"]) == set()  # nobody drives
    assert keeper.poll() is not None and not (orphans.room() / f"{keeper.pid}.json").exists()
    with pytest.raises(ScreenFault, match="cannot be opened"):
        display.open_display(name)


def test_the_score_is_the_games_and_a_lost_game_ends_and_begins_anew(toy) -> None:
    with playing(toy) as games:
        games.reset(seed=[3])
        rewards, ends = 0.0, 0
        for _ in range(400):
            _, reward, terminated, _, info = games.step(np.array([0]))
            rewards += reward[0]
            if terminated[0]:
                assert info["read/lives"] == [0] and info["_score"] == [True]
                assert info["score"][0] == rewards  # every point from 0 on is rewarded once
                _, reward, terminated, truncated, info = games.step(np.array([0]))
                assert reward[0] == 0 and not terminated[0] and info["read/lives"] == [3]
                rewards, ends = 0.0, ends + 1
                if ends == 2:
                    break
        assert ends == 2


def test_axes_hold_a_key_for_its_share_of_a_step(toy) -> None:
    """Half a step to the left moves the paddle less far than a whole one to the right."""

    def moved(share: float) -> float:
        with playing(toy, control="axes") as games:
            games.reset(seed=[1])
            green = np.flatnonzero((games.render()[0][-3] == (0, 250, 0)).all(1)).mean()
            for _ in range(5):
                games.step(np.array([[share]], np.float32))
            games.games[0].session.release()
            for _ in range(2):
                games.step(np.zeros((1, 1), np.float32))
            return float(np.flatnonzero((games.render()[0][-3] == (0, 250, 0)).all(1)).mean() - green)

    half, whole = moved(-0.5), moved(1.0)
    assert half < 0 < whole and -half < whole


def test_several_games_have_displays_of_their_own(toy) -> None:
    with playing(toy, num_envs=2) as games:
        obs, info = games.reset(seed=1)
        assert obs.shape[0] == 2 and len({game.session.desktop.name for game in games.games}) == 2
        for _ in range(12):
            games.step(np.array([1, 2]))
        at = [np.flatnonzero((p[-3] == (0, 250, 0)).all(1)).mean() for p in games.render()]
        assert at[0] < at[1] - 20  # each has keys of its own
    with pytest.raises(ValueError, match="there is one screen; --xvfb"):
        envs.make_vec("screen", 2, game=toy)


def test_what_is_not_there_is_told_in_a_sentence(toy, monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    games = envs.make_vec("screen", 1, game=toy)
    with pytest.raises(ScreenFault, match="there is no display here; --xvfb starts"):
        games.reset(seed=[1])
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    with pytest.raises(ScreenFault, match="Wayland lets no program.*--xvfb"):
        games.reset(seed=[1])
    games.close()
    text = Path(toy).read_text()
    for old, new, sentence in (
        ('command = ["{python}"', 'install = "apt-get install toy"\ncommand = ["no-such-game"',
         "Toy is not installed: apt-get install toy"),
        ("screen_toy.py", "no_such_toy.py", "Toy ended at once, exit status 2; it said:"),
        ('window = "^Toy catcher"', 'window = "^Another"\npatience = 1.0', "there is no window '.Another'"),
        ('left = ["Left"]', 'left = ["Lefft"]', "the keyboard has no key 'Lefft'"),
    ):  # fmt: skip
        path = tmp_path / f"changed{abs(hash(sentence))}.toml"
        assert old in text
        path.write_text(text.replace(old, new))
        with playing(str(path)) as games, pytest.raises(ScreenFault, match=sentence):
            games.reset(seed=[1])


def test_a_key_that_is_not_in_the_profile_is_refused(toy) -> None:
    with playing(toy) as games:
        games.reset(seed=[1])
        with pytest.raises(ScreenFault, match="'q' is no key of the profile toy; it has Left, Right, space"):
            games.games[0].session.hold(["q"], 0.1)
