"""What befalls windows, games, displays and labs in the midst of play: recovery or one sentence, no key stays down."""

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
import screen_toy
from programs import tool
from test_screen import playing

import envs
from envs.screen import orphans, session
from envs.screen.display import open_display
from envs.screen.faults import DisplayLost, ScreenFault

pytestmark = pytest.mark.slow
pytest.importorskip("mss", reason="mss is not installed (pip install mss)")
pytest.importorskip("Xlib", reason="python-xlib is not installed (pip install python-xlib)")
ROOT = Path(__file__).resolve().parents[1]
LEFT = np.array([1])


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> str:
    tool("Xvfb")
    return screen_toy.profile(tmp_path_factory.mktemp("toy") / "toy.toml", still=1.5, seconds=60.0)


def groups(keeper: int) -> list[int]:
    """The processes that a keeper has started: the display and the game."""
    return [group for group, _ in json.loads((orphans.room() / f"{keeper}.json").read_text())["groups"]]


def game_of(games) -> int:
    """The number of the game's process."""
    return groups(games.games[0].session.link.process.pid)[-1]


def until_over(games, most: int = 200):
    """Steps until the episode ends."""
    for _ in range(most):
        result = games.step(LEFT)
        if (result[2] | result[3])[0]:
            return result
    raise AssertionError("the episode did not end")


def goes_on(games) -> None:
    """The next episode begins with a new game, which is seen and obeys."""
    _, _, terminated, truncated, info = games.step(LEFT)
    assert not terminated[0] and not truncated[0] and info["read/lives"][0] == 3
    changed = [not games.step(LEFT)[4]["stale"][0] for _ in range(5)]
    assert any(changed)


def test_a_closed_window_ends_the_episode_without_a_score_and_the_game_is_started_anew(toy, capsys) -> None:
    with playing(toy) as games:
        games.reset(seed=[1])
        played = games.games[0].session
        played.window.destroy()
        played.desktop.display.sync()
        _, reward, terminated, truncated, info = until_over(games)
        assert truncated[0] and not terminated[0] and reward[0] == 0 and info["_score"] == [False]
        assert played.held(["Left", "Right"]) == set()
        assert "the window of Toy was closed" in capsys.readouterr().err
        goes_on(games)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_crash_ends_the_episode_and_the_game_is_started_anew(toy, number, capsys) -> None:
    with playing(toy) as games:
        games.reset(seed=[1])
        os.kill(game_of(games), number)
        _, _, terminated, truncated, info = until_over(games)
        assert truncated[0] and not terminated[0] and info["_score"] == [False]
        goes_on(games)


def test_a_game_that_hangs_is_ended_and_started_anew(toy, capsys) -> None:
    with playing(toy) as games:
        games.reset(seed=[1])
        hung = game_of(games)
        os.kill(hung, signal.SIGSTOP)
        began = time.monotonic()
        _, _, _, truncated, info = until_over(games)
        assert truncated[0] and 1.0 < time.monotonic() - began < 6 and info["stale"] == [True]
        assert "has drawn nothing for 1.5 s" in capsys.readouterr().err
        goes_on(games)
        assert orphans.started(hung) is None


def test_a_game_that_ends_again_and_again_is_a_sentence(toy, tmp_path) -> None:
    with playing(toy) as games:
        games.reset(seed=[1])
        with pytest.raises(ScreenFault, match="Toy ended 3 times right after its start"):
            for _ in range(2 * session.STARTS + 2):
                os.kill(game_of(games), signal.SIGKILL)
                until_over(games)
                games.step(LEFT)


def outside(games, width=160, height=120, x=0, y=0, top=True):
    """Another program's window on the game's display; its connection and the window."""
    from Xlib import X, display

    other = display.Display(games.games[0].session.desktop.name)
    window = other.screen().root.create_window(
        x, y, width, height, 0, X.CopyFromParent, background_pixel=0xFF00FF
    )  # fmt: skip
    window.map()
    other.sync()
    return other, window


def purple(picture: np.ndarray) -> bool:
    return bool((picture == (255, 0, 255)).all(2).any())


def test_a_covered_window_is_lifted_and_no_frame_shows_what_lay_over_it(toy) -> None:
    with playing(toy) as games:
        games.reset(seed=[1])
        other, window = outside(games)
        for _ in range(4):
            games.step(LEFT)
            assert not purple(games.render()[0])
            window.raise_window()
            other.sync()
        info = games.step(LEFT)[4]
        assert not info["hidden"][0]
        other.close()


def test_a_window_that_was_moved_resized_or_minimised_is_put_back(toy) -> None:
    with playing(toy) as games:
        games.reset(seed=[1])
        played = games.games[0].session
        for change in (dict(x=50, y=40), dict(x=200, y=150), dict(x=-60, y=-30), dict(width=90, height=70), None):
            if change is None:
                played.window.unmap()
            else:
                played.window.configure(**change)
            played.desktop.display.sync()
            info = games.step(LEFT)[4]
            shot = games.render()[0]
            assert shot.shape == (120, 160, 3) and not info["hidden"][0]
            time.sleep(0.2)  # the game draws anew
            info = games.step(LEFT)[4]
            assert (games.render()[0][-3] == (0, 250, 0)).all(1).any() and np.isfinite(info["read/score"][0])


def test_the_lost_display_of_the_lab_is_replaced_and_a_persons_is_a_sentence(toy, monkeypatch, capsys) -> None:
    with playing(toy) as games:
        games.reset(seed=[1])
        played = games.games[0].session
        os.kill(groups(played.link.process.pid)[0], signal.SIGKILL)
        _, _, _, truncated, info = until_over(games)
        assert truncated[0] and info["_score"] == [False]
        goes_on(games)
        monkeypatch.setenv("DISPLAY", played.desktop.name)
        window = dict(game=toy, window="^Toy catcher")
        theirs = envs.make_vec("screen", 1, **window)
        with pytest.raises(ScreenFault, match="another lab .process .*drives the window Toy"):
            theirs.reset(seed=[1])
        theirs.close()
        played._release_window()
        theirs = envs.make_vec("screen", 1, **window)
        theirs.reset(seed=[1])
        theirs.step(LEFT)
        os.kill(groups(played.link.process.pid)[0], signal.SIGKILL)
        with pytest.raises((DisplayLost, ScreenFault), match="the display|window"):
            for _ in range(50):
                theirs.step(LEFT)
        theirs.close()


LAB = """
import sys, time
sys.path.insert(0, "tests")
import numpy as np, envs
games = envs.make_vec("screen", 1, game=sys.argv[1], xvfb=True)
games.reset(seed=[1])
session = games.games[0].session
print(session.desktop.name, session.link.process.pid, flush=True)
while True:
    games.step(np.array([1]))
"""


def lab(toy):
    """A lab that plays in a process of its own: the process, its display, its keeper."""
    process = subprocess.Popen([sys.executable, "-c", LAB, toy], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    name, keeper = process.stdout.readline().split()
    return process, name, int(keeper)


def gone(pids, seconds=10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if all(orphans.started(pid) is None for pid in pids):
            return True
        time.sleep(0.05)
    return False


def test_a_lab_that_is_killed_leaves_no_process_and_no_key(toy) -> None:
    process, name, keeper = lab(toy)
    started = groups(keeper)
    assert len(started) == 2 and all(map(orphans.started, started))
    process.kill()
    process.wait()
    assert gone([*started, keeper]) and not (orphans.room() / f"{keeper}.json").exists()


def test_a_lab_that_hangs_lets_go_of_its_keys(toy) -> None:
    process, name, keeper = lab(toy)
    desktop = open_display(name)
    left = desktop.codes(("Left",))["Left"]
    end = time.monotonic() + 5
    while left not in desktop.held() and time.monotonic() < end:
        time.sleep(0.01)
    assert left in desktop.held()
    process.send_signal(signal.SIGSTOP)
    time.sleep(0.6)
    assert left not in desktop.held()
    desktop.close()
    process.kill()
    process.wait()
    assert gone([keeper])


def test_what_a_killed_keeper_leaves_ends_with_it_or_at_the_next_start(toy) -> None:
    process, name, keeper = lab(toy)
    started, record = groups(keeper), orphans.room() / f"{keeper}.json"
    os.kill(keeper, signal.SIGKILL)
    process.kill()
    process.wait()
    assert gone(started)  # the kernel ends what the keeper has started
    assert record.exists()
    sleeper = subprocess.Popen(["sleep", "60"], start_new_session=True)  # a grandchild that has outlived it
    home = orphans.home()
    about = json.loads(record.read_text())
    about["groups"] = [[sleeper.pid, orphans.started(sleeper.pid)], [os.getpid(), "0"]]  # ours began at another time
    about["homes"] = [home, "/etc"]
    record.write_text(json.dumps(about))
    assert orphans.sweep() == 1 and sleeper.wait(5) == -signal.SIGKILL
    assert not Path(home).exists() and Path("/etc").exists() and not record.exists()
