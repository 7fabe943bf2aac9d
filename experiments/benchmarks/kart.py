"""The kart game at 160x120 with physics, on one core, beside Gymnasium's CarRacing-v3, measured alternately."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

NUM_ENVS = 16
SETTINGS = {
    "kart_160x120": dict(obs="frame", width=160, height=120),
    "kart_160x120_4_karts": dict(obs="frame", width=160, height=120, karts=4),
    "kart_160x120_picam": dict(obs="frame", width=160, height=120, camera="picam"),
    "kart_80x60": dict(obs="trunk"),
    "kart_200x66": dict(obs="pilotnet"),
    "kart_84x84_grey": dict(obs="grey"),
    "kart_physics": dict(obs="state"),
}
Meter = Callable[[float], tuple[float, float]]  # seconds -> frames per second of the wall's clock, of processor time


def kart(seconds: float = 2.0, rounds: int = 5) -> dict[str, float]:
    """Frames per second of each, one process and one thread; `seconds` for each contender in each round.

    `kart_*` count environments times steps: physics, a new picture, rewards, and new tracks at the ends of
    episodes. `car_racing` is CarRacing-v3, which also draws a picture (96x96) in each step. Without Box2D the
    ratio is left out. `car_racing_ours_*` is `envs.car_racing`, with the same pictures. The figures are per second of
    processor time, so that other programs do not lower them much; by the clock they are given for the two that the
    first ratio compares.
    """
    from envs.kart.env import make_vec

    meters: dict[str, Meter] = {
        name: _kart(make_vec(NUM_ENVS, theme="day", **options)) for name, options in SETTINGS.items()
    }
    try:
        meters["car_racing"] = _car_racing()
        meters |= {f"car_racing_ours_skip_{skip}": _car_racing(skip) for skip in (1, 4)}
    except ImportError:
        print("CarRacing-v3 needs gymnasium[box2d]; it is left out", file=sys.stderr)
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in meters}
    for _ in range(rounds):
        for name, meter in meters.items():
            rates[name].append(meter(seconds))
    figures = {f"{name}, frames/s": statistics.median(cpu for _, cpu in rate) for name, rate in rates.items()}
    for name in [name for name in ("kart_160x120", "car_racing") if name in rates]:
        figures[f"{name}, frames/s by the clock"] = statistics.median(wall for wall, _ in rates[name])
    if "car_racing" in meters:
        pairs = zip(rates["kart_160x120"], rates["car_racing"], strict=True)
        figures["kart_160x120 / car_racing"] = statistics.median(a[1] / b[1] for a, b in pairs)
        pairs = zip(rates["car_racing_ours_skip_4"], rates["car_racing"], strict=True)
        figures["car_racing_ours_skip_4 / car_racing"] = statistics.median(a[1] / b[1] for a, b in pairs)
    return figures


def run(device: Any, seconds: float, rounds: int, race: bool) -> dict[str, Any]:
    """For `experiments.bench kart`; the device does not matter."""
    return kart(seconds, rounds)


def _timed(step: Callable[[], int]) -> Meter:
    """A meter of a function that does some frames and returns how many."""

    def meter(seconds: float) -> tuple[float, float]:
        begin, cpu, frames = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - begin < seconds:
            frames += step()
        return frames / (time.perf_counter() - begin), frames / max(time.process_time() - cpu, 1e-9)

    meter(0.2)  # compile
    return meter


def _kart(env: Any) -> Meter:
    """Steered to the middle of the road at 9.6 m/s, which it never leaves so: the teacher is no part of the game."""
    info = env.reset(seed=0)[1]
    action = np.full((env.num_envs, 2), 0.2, np.float32)

    def step() -> int:
        nonlocal info
        np.clip(-0.3 * info["lateral"] - 2.0 * info["heading"], -1.0, 1.0, out=action[:, 0], casting="same_kind")
        *_, info = env.step(action)
        return env.num_envs

    return _timed(step)


def _car_racing(skip: int | None = None) -> Meter:
    """Gymnasium's own, or ours where an action lasts `skip` frames."""
    import os

    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    import Box2D  # noqa: F401  (gymnasium.make reports its absence less clearly)
    import gymnasium

    from envs import car_racing

    env = gymnasium.make("CarRacing-v3") if skip is None else car_racing.make(control="raw", frame_skip=skip)
    env.reset(seed=0)
    action = np.array([0.0, 0.3, 0.0], np.float32)

    def step() -> int:
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
        return skip or 1

    return _timed(step)


if __name__ == "__main__":
    for figure, value in kart().items():
        print(f"{figure:34} {value:,.1f}")
