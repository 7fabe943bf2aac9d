"""Our side of a benchmark of Atari: the emulators alone, and the loop with an agent."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import numpy as np
import torch

from agents.core import device as devices
from experiments import building, configuration, lab
from experiments.benchmarks.contenders.apart import Meter
from experiments.recipes import recipes

GAME = "breakout"  # game that is measured where none is named
PPO = dict(rollout=16, epochs=4, minibatch=256, lr=2.5e-4, clip=0.1, encoder="nature", hidden=512)
PPO_ENVS = 64  # environments; with 16 steps each the zoo's 1,024 transitions per rollout (8 environments, 128 steps)
DQN = dict(
    replay=100_000, warmup=2_000, batch=32, ratio=8.0, lr=1e-4, target_period=1_000, encoder="nature", hidden=512
)  # fmt: skip
DQN_ENVS = 16  # environments
RING = 20_000  # rows of the random agent's ring


def emulators(num_envs: int = 64, game: str = GAME) -> Meter:
    """AtariVectorEnv with random actions and every argument as in our protocol."""
    from envs import atari

    vector = atari.emulators(game, num_envs, devices.cores(), **atari.arguments(atari.PROTOCOLS["baselines"]))
    vector.reset(seed=devices.seed_array(num_envs, 0))
    rng, actions = np.random.default_rng(0), vector.single_action_space.n

    def measure(seconds: float) -> tuple[int, float]:
        steps, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            vector.step(rng.integers(actions, size=num_envs))
            steps += num_envs
        return steps, time.perf_counter() - began

    return measure


def settings(agent: str) -> tuple[dict[str, Any], int]:
    """The configuration of an agent of ours, and with how many environments it is measured."""
    known = {"ppo": (PPO, PPO_ENVS), "dqn": (DQN, DQN_ENVS), "random": ({"replay": RING}, 64)}
    if agent in known:
        return known[agent]
    code = building.module(agent)
    small = {k: v for k, v in dict(replay=RING, warmup=2_000).items() if k in configuration.fields(code.Config)}
    return {**code.PRESETS[agent], **small}, {"pqn": 128}.get(agent, 16)


def loop(agent: str, device: torch.device, chosen: tuple[dict[str, Any], int] | None = None, game: str = GAME) -> Meter:
    """Our loop; training goes on from one round to the next. chosen: configuration and number of environments."""
    config, num_envs = chosen or settings(agent)
    parts, threads = None, 1

    def measure(seconds: float) -> tuple[int, float]:
        nonlocal parts, threads
        if parts is None:
            whole = {"game": game, "agent": agent, "agent_config": config, "num_envs": num_envs, "seed": 0}
            env = {"env_threads": devices.cores() if agent == "random" else 0}
            parts = lab.assemble({**whole, "steps": None, "env": env}, device)
            threads = torch.get_num_threads()
            parts.stream.reset(0, 0)
            while agent != "random" and not parts.clock.updates:  # past the warm-up: learning is what is measured
                parts.loop.advance()
        torch.set_num_threads(threads)
        start, began = parts.clock.steps, time.perf_counter()
        while time.perf_counter() - began < seconds:
            parts.loop.advance()
            parts.stream.take_episodes()
        return parts.clock.steps - start, time.perf_counter() - began

    return measure


def our_race(score: float, device: torch.device) -> tuple[float, int]:
    """Seconds and steps of our recipe until the newest 100 games have the mean `score`."""
    recipe = recipes(GAME, "envs.atari")["default"]
    whole = {"game": GAME, "agent": recipe.agent, "agent_config": dict(recipe.config), "num_envs": recipe.num_envs}
    parts = lab.assemble({**whole, "seed": 0, "steps": recipe.steps, "env": {"env_threads": 0}}, device)
    games: deque[float] = deque(maxlen=100)
    parts.stream.reset(0, 0)
    began = time.perf_counter()
    while len(games) < 100 or np.mean(games) < score:
        parts.loop.advance()
        games.extend(e.score for e in parts.stream.take_episodes())
    return time.perf_counter() - began, parts.clock.steps
