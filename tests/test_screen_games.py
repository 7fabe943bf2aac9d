"""Games of Debian's under Xvfb, which nobody here wrote: they start, are seen, obey, and their numbers are read."""

from __future__ import annotations

import numpy as np
import pytest
from programs import tool
from test_screen import playing

from envs.screen import profile as profiles

pytestmark = pytest.mark.slow
pytest.importorskip("mss", reason="mss is not installed (pip install mss)")
pytest.importorskip("Xlib", reason="python-xlib is not installed (pip install python-xlib)")


def action(game: str, name: str) -> np.ndarray:
    """The action of that name, for one game."""
    return np.array([list(profiles.load(game).actions).index(name)])


def test_xracer_speeds_up_and_stands_at_the_beginning_again_after_an_episode() -> None:
    tool("Xvfb"), tool("xracer")
    with playing("xracer", seconds=8.0, expert_info=True) as games:
        obs, info = games.reset(seed=[1])
        assert obs.shape == (1, 84, 84) and obs.std() > 10
        speeds, ground, total, scripted = [], [], 0.0, []
        for _ in range(round(8.0 * games.options.profile.rate)):
            obs, reward, terminated, truncated, info = games.step(action("xracer", "faster"))
            speeds.append(float(info["read/speed"][0]))
            ground.append(float(info["read/ground"][0]))
            scripted.append(int(info["expert"][0]))
            total += reward[0]
        assert truncated[0] and not terminated[0] and np.isfinite(speeds).mean() > 0.9
        assert max(speeds) >= 2.0 and max(speeds) > 2 * np.nanmean(speeds[:5]) - 1.0  # tens of the display's units
        assert total == pytest.approx(0.1 * np.nansum(speeds) / games.options.profile.rate, rel=0.05)
        assert np.mean(np.abs(np.diff(speeds)) < 2.0) > 0.95  # read digit by digit, with no jumps
        assert info["read/lap"] == [1.0] and np.median(ground) > 0.95 and len(set(scripted)) > 1
        terminated, truncated, info = games.step(action("xracer", "nothing"))[2:]
        assert not terminated[0] and not truncated[0] and info["read/ground"][0] > 0.15
        assert info["read/speed"][0] < max(speeds)


def test_lbreakout2_ends_when_the_balls_are_lost_and_begins_anew() -> None:
    tool("Xvfb"), tool("lbreakout2")
    with playing("lbreakout2") as games:
        _, info = games.reset(seed=[1])
        assert info["score"] == [0.0] and info["read/dark"][0] < 0.5
        rewards = 0.0
        for step in range(1800):  # a ball is launched now and then, and nobody catches it
            name = "fire" if step % 20 == 0 else "left" if step % 40 < 20 else "nothing"
            _, reward, terminated, truncated, info = games.step(action("lbreakout2", name))
            rewards += reward[0]
            if terminated[0] or truncated[0]:
                break
        assert terminated[0] and info["read/dark"][0] > 0.9 and info["_score"] == [True]
        assert rewards == pytest.approx(0.02 * info["score"][0], abs=0.02)
        _, _, terminated, _, info = games.step(action("lbreakout2", "nothing"))
        assert not terminated[0] and info["score"] == [0.0] and info["read/dark"][0] < 0.5
