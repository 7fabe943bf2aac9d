"""The kart game at 160x120 with physics, on one core, beside Gymnasium's CarRacing-v3, measured alternately."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

NUM_ENVS = 16
ROUNDS = 5


def kart(seconds: float = 2.0) -> dict[str, float]:
    """Frames per second of each, one process and one thread; `seconds` for each contender in each of five rounds.

    `kart_*` count environments times steps: physics, a new picture, rewards, and new tracks at the ends of
    episodes. `car_racing` is CarRacing-v3, which also draws a picture (96x96) in each step. Without Box2D the
    ratio is left out.
    """
    from envs.kart.env import make_vec

    settings = {
        "kart_160x120": dict(obs="frame", width=160, height=120),
        "kart_160x120_4_karts": dict(obs="frame", width=160, height=120, karts=4),
        "kart_160x120_picam": dict(obs="frame", width=160, height=120, camera="picam"),
        "kart_80x60": dict(obs="trunk"),
        "kart_200x66": dict(obs="pilotnet"),
        "kart_84x84_grey": dict(obs="grey"),
        "kart_physics": dict(obs="state"),
    }
    meters: dict[str, Callable[[float], float]] = {
        name: _kart(make_vec(NUM_ENVS, theme="day", expert_info=True, **options)) for name, options in settings.items()
    }
    try:
        meters["car_racing"] = _car_racing()
    except ImportError:
        print("CarRacing-v3 needs gymnasium[box2d]; it is left out", file=sys.stderr)
    rates: dict[str, list[float]] = {name: [] for name in meters}
    for _ in range(ROUNDS):
        for name, meter in meters.items():
            rates[name].append(meter(seconds))
    figures = {f"{name}, frames/s": statistics.median(rate) for name, rate in rates.items()}
    if "car_racing" in meters:
        pairs = zip(rates["kart_160x120"], rates["car_racing"], strict=True)
        figures["kart_160x120 / car_racing"] = statistics.median(a / b for a, b in pairs)
    return figures


def run(device: Any, seconds: float, rounds: int, race: bool) -> dict[str, Any]:
    """For `experiments.bench kart`; only `seconds` (in all, per contender) matters here."""
    return kart(seconds / ROUNDS)


def _kart(env: Any) -> Callable[[float], float]:
    state = {"info": env.reset(seed=0)[1]}

    def meter(seconds: float) -> float:
        begin, frames = time.perf_counter(), 0
        while time.perf_counter() - begin < seconds:
            *_, state["info"] = env.step(state["info"]["expert"])
            frames += env.num_envs
        return frames / (time.perf_counter() - begin)

    meter(0.2)  # compile
    return meter


def _car_racing() -> Callable[[float], float]:
    import os

    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    import Box2D  # noqa: F401  (gymnasium.make reports its absence less clearly)
    import gymnasium

    env = gymnasium.make("CarRacing-v3")
    env.reset(seed=0)
    action = np.array([0.0, 0.3, 0.0], np.float32)

    def meter(seconds: float) -> float:
        begin, frames = time.perf_counter(), 0
        while time.perf_counter() - begin < seconds:
            _, _, terminated, truncated, _ = env.step(action)
            frames += 1
            if terminated or truncated:
                env.reset()
        return frames / (time.perf_counter() - begin)

    meter(0.2)
    return meter


if __name__ == "__main__":
    for figure, value in kart().items():
        print(f"{figure:34} {value:,.1f}")
