"""Other libraries on Atari: stable-baselines3 and SBX, its algorithms in JAX, with the settings of SB3's zoo."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from agents.core import device as devices
from experiments.benchmarks.contenders.apart import Apart, Meter, untouched
from experiments.benchmarks.contenders.ours import GAME

PIECE = 1_024  # steps that they make at a time: one rollout
WARM = 3_000  # steps before they are measured: they learn by then
GAMES = 100  # newest games whose mean is the score in a race


class Peer(NamedTuple):
    """A contender in its fastest form."""

    rate: float  # steps/s when the forms were compared
    threads: int  # threads of its computations
    processes: bool  # True: an environment in each of some processes (SubprocVecEnv)
    meter: Apart


def libraries() -> list[str]:
    """The libraries that are installed here: "sb3", and "sbx" with the extra `oracle`."""
    return ["sb3", *(["sbx"] if importlib.util.find_spec("sbx") else [])]


def model(library: str, kind: str, device: torch.device, processes: bool, game: str = GAME) -> Any:
    """An algorithm of "sb3" or "sbx" with the zoo's settings. kind: ppo, a2c, dqn or qrdqn; of SBX ppo or dqn."""
    from stable_baselines3.common.env_util import make_atari_env
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecFrameStack

    vector = make_atari_env(  # its wrappers skip frames themselves; the prefix imports ale_py in other processes
        f"ale_py:ALE/{game.title().replace('-', '')}-v5", n_envs=16 if kind == "a2c" else 8, seed=0,
        vec_env_cls=SubprocVecEnv if processes else DummyVecEnv,
        env_kwargs=dict(frameskip=1, repeat_action_probability=0.0),
    )  # fmt: skip
    vector = VecFrameStack(vector, 4)
    if kind == "qrdqn":
        from sb3_contrib import QRDQN as Algorithm  # noqa: N811
    else:
        source = importlib.import_module("sbx" if library == "sbx" else "stable_baselines3")
        Algorithm = getattr(source, kind.upper())
    where: dict[str, Any] = {} if library == "sbx" else {"device": device}  # JAX takes its own device
    if kind == "ppo":
        clip: Any = (lambda left: left * 0.1) if library == "sb3" else 0.1  # SBX compiles a constant one
        return Algorithm(
            "CnnPolicy", vector, n_steps=128, n_epochs=4, batch_size=256, learning_rate=lambda left: left * 2.5e-4,
            clip_range=clip, vf_coef=0.5, ent_coef=0.01, seed=0, **where,
        )  # fmt: skip
    if kind == "a2c":
        return Algorithm("CnnPolicy", vector, n_steps=5, vf_coef=0.25, ent_coef=0.01, seed=0, **where)
    return Algorithm(
        "CnnPolicy", vector, buffer_size=20_000, learning_rate=1e-4, batch_size=32, learning_starts=2_000,
        target_update_interval=1_000, train_freq=4, gradient_steps=8, exploration_fraction=0.1,
        exploration_final_eps=0.01, seed=0, **where,
    )  # fmt: skip


def meter(library: str, kind: str, device: torch.device, processes: bool, threads: int, game: str = GAME) -> Meter:
    """Their own loop, piece by piece."""
    learner, warm = model(library, kind, device, processes, game), False

    def measure(seconds: float) -> tuple[int, float]:
        nonlocal warm
        torch.set_num_threads(threads)
        while not warm:
            learner.learn(PIECE, reset_num_timesteps=False)
            warm = learner.num_timesteps >= WARM
        start, began = learner.num_timesteps, time.perf_counter()
        while time.perf_counter() - began < seconds:
            learner.learn(PIECE, reset_num_timesteps=False)
        return learner.num_timesteps - start, time.perf_counter() - began

    return measure


@contextlib.contextmanager
def jax_threads(threads: int) -> Iterator[None]:
    """Processes started inside compute with so many threads where they compute with JAX."""
    before = os.environ.get("XLA_FLAGS")
    few = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    if threads == 1:
        os.environ["XLA_FLAGS"] = f"{before or ''} {few}".strip()
    try:
        yield
    finally:
        os.environ.pop("XLA_FLAGS", None)
        if before is not None:
            os.environ["XLA_FLAGS"] = before


def fastest(library: str, kind: str, device: torch.device, seconds: float, game: str = GAME) -> Peer:
    """The fastest of 1 or all threads and of environments in its process or in processes."""
    tried = []
    for threads in sorted({1, devices.cores()}):
        for processes in (False, True):
            with untouched(), jax_threads(threads):
                candidate = Apart(meter, library, kind, device, processes, threads, game)
            steps, taken = candidate(seconds / 2)
            tried.append(Peer(steps / taken, threads, processes, candidate))
            where = "SubprocVecEnv" if processes else "DummyVecEnv"
            print(f"{library}-{kind}, {threads} threads, {where}: {steps / taken:,.0f} steps/s", file=sys.stderr)
    tried.sort(key=lambda peer: peer.rate)
    for peer in tried[:-1]:
        peer.meter.close()
    return tried[-1]


def race(
    library: str, score: float, device: torch.device, threads: int, processes: bool, limit: float
) -> tuple[float, int, float]:
    """Seconds, steps and the mean of their PPO when it has come to `score`, or after `limit` seconds.

    The mean is that of the newest 100 games, as ours is; 0 before there are so many.
    """
    from stable_baselines3.common.callbacks import BaseCallback

    class Race(BaseCallback):
        mean, taken = 0.0, 0.0

        def _on_step(self) -> bool:
            self.taken = time.perf_counter() - began
            games = [e["r"] for e in self.model.ep_info_buffer]
            self.mean = float(np.mean(games)) if len(games) >= GAMES else 0.0
            return self.mean < score and self.taken < limit

    learner, runner = model(library, "ppo", device, processes), Race()
    torch.set_num_threads(threads)
    began = time.perf_counter()
    learner.learn(10_000_000, callback=runner)
    return runner.taken, learner.num_timesteps, runner.mean
