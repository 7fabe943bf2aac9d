"""Games on the screen: how evenly the recorder ticks, how exactly a person's keys are kept, how soon a key follows.

Everything runs under Xvfb on the processors of this machine, the game among it; the load is stated.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import envs
from envs.recordings import arrays
from experiments.recipes.screen import RECIPES
from experiments.windows import recording
from experiments.windows.synthetic import SyntheticPerson

GAME = "xracer"
RATE = 20.0  # decisions a second
LAG = 0.05  # one tick, s


def run(device: Any, seconds: float, rounds: int, race: bool, game: str = GAME) -> dict[str, Any]:
    """For `experiments.bench screen`: `seconds` of recording and of playing; 300 for the figures of the documentation.

    game: a profile. `rounds` and `race` mean nothing here.
    """
    figures: dict[str, Any] = {"game": game, "load before": round(os.getloadavg()[0], 2), "processors": os.cpu_count()}
    folder = Path(tempfile.mkdtemp(prefix="joypad-bench-"))
    try:
        figures |= recorder(game, seconds, folder / "data")
        figures |= loop(game, seconds, device)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return figures | {"load after": round(os.getloadavg()[0], 2)}


def recorder(game: str, seconds: float, out: Path) -> dict[str, float]:
    """Jitter and completeness of a recording with the preview on, and how many keys of a synthetic person it has."""
    options = {"game": game, "xvfb": True, "rate": RATE, "seconds": 3600.0}
    recorder = recording.WindowRecorder("screen", options, out)
    with contextlib.closing(recorder):
        times, single, person = _recorded(recorder, options, seconds)
    result = recorder.result
    names = {i: key for key, i in single.items()} | {0: ""}
    rows = [row for part in arrays.chunks(out) for row in zip(part["action"], part["last"], strict=True)]
    seen = [names.get(int(action), "?") for action, last in rows if not last]  # actions as they were stored
    within = [key in {person.at(t), person.at(t - LAG)} for t, key in zip(times, seen, strict=True)]
    exact = [key == person.at(t) for t, key in zip(times, seen, strict=True)]
    late = 1000 * np.array(result.late)
    return {
        "recorded ticks": len(times),
        "recorder, share of ticks": result.rows / result.ticks,
        "recorder, jitter p50, ms": float(np.percentile(late, 50)),
        "recorder, jitter p99, ms": float(np.percentile(late, 99)),
        "recorder, jitter largest, ms": float(late.max()),
        "keys equal": float(np.mean(exact)),
        "keys equal within one tick": float(np.mean(within)),
        "pictures equal to the one before": result.stale / result.rows,
    }


def _endless(game: Any) -> Any:
    """The session of a game whose episodes do not end: what is measured is the lab, whatever the keys do."""
    game.profile = dataclasses.replace(game.profile, over=())
    return game.session


def _recorded(
    recorder: recording.WindowRecorder, options: dict[str, Any], seconds: float
) -> tuple[list[float], dict[str, int], SyntheticPerson]:
    """Times of the ticks, the actions of a single key by that key, and whoever pressed the keys."""
    recorder.begin(1)
    played = _endless(recorder.env.games.games[0])
    profile = envs.options("screen", **options).profile
    single = {keys[0]: i for i, keys in enumerate(profile.actions.values()) if len(keys) == 1}
    preview = recording.preview_on(played.desktop.name)  # a preview beside the game, below its window
    times, every = [], round(RATE / recording.PREVIEW)
    with SyntheticPerson(played.desktop.name, ("", *tuple(single)[:2])) as person:
        while recorder.ticks < seconds * RATE:
            times.append(time.monotonic())
            recorder.tick()
            if len(times) % every == 0:
                preview.draw(recorder.picture())
    preview.close()
    return times, single, person


def loop(game: str, seconds: float, device: Any) -> dict[str, float]:
    """From a picture to the key that answers it: capture, a network of the default size, and the key's arrival."""
    from agents.core.clock import Clock
    from agents.core.stream import Stream
    from experiments import building

    games = envs.make_vec("screen", 1, game=game, xvfb=True, rate=RATE, seconds=3600.0)
    stream = Stream(games, device)
    config = {"agent": "dqn", "agent_config": dict(RECIPES["default"].config), "seed": 0, "num_envs": 1}
    agent = building.build_agent(config, stream.spec, Clock(1), device)
    stream.reset(1)
    played, times, arrivals = _endless(games.games[0]), [], []
    act = agent.act(stream.step, explore=False)
    count = games.single_action_space.n
    for tick in range(round(seconds * RATE)):
        action = act.action * 0 + tick % count  # another key each time, so that its arrival can be seen
        stream.send(act._replace(action=action))
        keys = list(games.options.profile.actions.values())[tick % count]
        sent = time.monotonic()
        while keys and not set(keys) <= played.held(keys) and time.monotonic() - sent < 0.5:
            pass
        arrivals.append(time.monotonic() - sent if keys else np.nan)  # no key: nothing arrives
        stream.receive()
        taken = games.games[0].shot.at
        act = agent.act(stream.step, explore=False)
        times.append(time.monotonic() - taken)
    stream.close()
    whole = 1000 * (np.array(times[:-1]) + np.array(arrivals[1:]))
    whole = whole[np.isfinite(whole)]
    return {
        "capture to network's answer p50, ms": 1000 * statistics.median(times),
        "answer to key p50, ms": 1000 * float(np.nanmedian(arrivals)),
        "capture to key p50, ms": float(np.percentile(whole, 50)),
        "capture to key p99, ms": float(np.percentile(whole, 99)),
        "capture to key largest, ms": float(whole.max()),
    }
