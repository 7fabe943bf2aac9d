"""Flappy Bird: agent steps per second on one core, beside flappy-bird-gymnasium in the same process."""

import importlib.metadata
import os
import statistics
from typing import Any

import numpy as np
import torch

from envs.flappy.env import make_vec
from experiments.benchmarks import in_rounds

NUM_ENVS = 64
FLAP_RATE = 0.07  # flap probability of the random player, low enough that it flies for some time and leaves the ceiling
CHUNK = 2048  # agent steps between two looks at the clock
INSTALL = "in an environment of its own: pip install -e . && pip install --no-deps flappy-bird-gymnasium"


def _ours(obs: str):
    """A function that takes CHUNK random agent steps in our batch, and returns how many."""
    env = make_vec(NUM_ENVS, obs=obs)
    env.reset(seed=0)
    rounds = CHUNK // NUM_ENVS
    actions = (np.random.default_rng(0).random((64 * rounds, NUM_ENVS)) < FLAP_RATE).astype(np.int64)
    turn = 0

    def play() -> int:
        nonlocal turn
        for action in actions[turn * rounds : (turn + 1) * rounds]:
            env.step(action)
        turn = (turn + 1) % 64
        return CHUNK

    return play


def _theirs(render: bool):
    """A function that takes CHUNK / 16 random agent steps in theirs: 12 numbers, or the picture of each step."""
    import flappy_bird_gymnasium  # noqa: F401  registers the id
    import gymnasium

    mode = "rgb_array" if render else None
    env = gymnasium.make("FlappyBird-v0", use_lidar=False, render_mode=mode, disable_env_checker=True)
    env.reset(seed=0)
    actions = (np.random.default_rng(0).random(CHUNK) < FLAP_RATE).astype(np.int64)
    turn = 0

    def play() -> int:
        nonlocal turn
        for action in actions[turn * CHUNK // 16 : (turn + 1) * CHUNK // 16]:
            _, _, terminated, truncated, _ = env.step(int(action))
            if render:
                env.render()
            if terminated or truncated:
                env.reset()
        turn = (turn + 1) % 16
        return CHUNK // 16

    return play


def run(device: torch.device, seconds: float, rounds: int, race: bool) -> dict[str, Any]:
    """What `python -m experiments.bench flappy` prints; games run on the processor whatever the device."""
    return flappy(seconds, rounds)


def flappy(seconds: float = 2.0, rounds: int = 5) -> dict[str, Any]:
    """Times our pixels (84x84) and state at 64 games and flappy-bird-gymnasium, in turn, pinned to one core.

    Each figure is the median of `rounds` times `seconds` of CPU time, in agent steps per second; a ratio is the
    median of the rounds' own ratios. Their picture is 288x512 RGB and is not shrunk to an observation here, which
    would cost more. Without the package, `flappy-bird-gymnasium` says how to install it and there are no ratios.
    It belongs in an environment of its own: it asks for pygame, which overwrites the files of pygame-ce. `--no-deps`
    leaves pygame out, and the package runs with pygame-ce.
    """
    runs = {"pixels": _ours("pixels"), "state": _ours("state")}
    result: dict[str, Any] = {"games in our batch": NUM_ENVS}
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
    try:
        runs["their picture"] = _theirs(render=True)
        runs["their state"] = _theirs(render=False)
        result["flappy-bird-gymnasium"] = importlib.metadata.version("flappy-bird-gymnasium")
    except ModuleNotFoundError as error:
        result["flappy-bird-gymnasium"] = f"not installed ({error}): {INSTALL}"
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    try:
        if cores:
            os.sched_setaffinity(0, {max(cores)})
        rates = in_rounds(runs, seconds, rounds)
    finally:
        if cores:
            os.sched_setaffinity(0, cores)
    for name, values in rates.items():
        result[f"{name}, steps/s"] = float(statistics.median(values))
    for ours, theirs in (("pixels", "their picture"), ("state", "their state"), ("pixels", "their state")):
        if theirs in rates:
            ratios = [a / b for a, b in zip(rates[ours], rates[theirs], strict=True)]
            result[f"{ours} over {theirs}"] = statistics.median(ratios)
    return result
