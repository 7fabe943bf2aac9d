"""Breakout: the emulators alone, our loop, our PPO and DQN, and stable-baselines3 with the same settings.

Network, batch, epochs and replay ratio are those of SB3's Atari zoo for both; the number of environments is free.
SB3 runs with the thread count and VecEnv that measured best in the first round.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from agents.core import device as devices
from experiments import lab
from experiments.recipes import recipes

GAME = "breakout"
PPO = dict(rollout=16, epochs=4, minibatch=256, lr=2.5e-4, clip=0.1, encoder="nature", hidden=512)
PPO_ENVS = 64  # with 16 steps each the zoo's 1,024 transitions per rollout (8 environments with 128 steps)
DQN = dict(
    replay=100_000, warmup=2_000, batch=32, ratio=8.0, lr=1e-4, target_period=1_000, encoder="nature", hidden=512
)  # fmt: skip
DQN_ENVS = 16
PATIENCE = 4.2  # SB3 is stopped once it has taken so many times as long in the race; the bar is 4
RING = 20_000  # rows of the random agent's ring
Meter = Callable[[float], tuple[int, float]]  # seconds -> (steps done, seconds taken)


def run(device: torch.device, seconds: float, rounds: int, race: bool) -> dict[str, Any]:
    """Contenders that are compared stand next to each other; ratios are medians over rounds, so that a machine whose
    speed drifts does not decide."""
    best = {kind: best_of_sb3(kind, device, seconds) for kind in ("ppo", "dqn")}
    contenders: dict[str, Meter] = {"emulators alone": emulators(), "loop with random agent": loop("random", device)}
    for kind, row in best.items():
        contenders |= {kind: loop(kind, device), f"sb3-{kind}": row[3]}
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name, meter in contenders.items():
            steps, taken = meter(seconds)
            rates[name].append(steps / taken)
            print(f"round {number + 1} of {rounds}: {name} {steps / taken:,.0f} steps/s", file=sys.stderr)

    def ratio(one: str, other: str) -> str:
        shares = sorted(a / b for a, b in zip(rates[one], rates[other], strict=True))
        return f"{statistics.median(shares):.2f}x {other} ({shares[0]:.2f} to {shares[-1]:.2f})"

    rows: dict[str, Any] = {f"{name}, steps/s": statistics.median(rate) for name, rate in rates.items()}
    rows["loop with random agent"] = ratio("loop with random agent", "emulators alone")
    rows |= {kind: ratio(kind, f"sb3-{kind}") for kind in best}
    if race:
        rows |= race_to(30.0, device, threads=best["ppo"][1], processes=best["ppo"][2])
    return rows


def emulators(num_envs: int = 64) -> Meter:
    """AtariVectorEnv with random actions and every argument as in our protocol."""
    from envs import atari

    vector = atari.emulators(GAME, num_envs, devices.cores(), **atari.arguments(atari.PROTOCOLS["baselines"]))
    vector.reset(seed=devices.seed_array(num_envs, 0))
    rng = np.random.default_rng(0)

    def measure(seconds: float) -> tuple[int, float]:
        steps, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            vector.step(rng.integers(4, size=num_envs))
            steps += num_envs
        return steps, time.perf_counter() - began

    return measure


def loop(agent: str, device: torch.device) -> Meter:
    """Our loop; training goes on from one round to the next."""
    settings = {"ppo": (PPO, PPO_ENVS), "dqn": (DQN, DQN_ENVS), "random": ({"replay": RING}, 64)}
    config, num_envs = settings[agent]
    parts, threads = None, 1

    def measure(seconds: float) -> tuple[int, float]:
        nonlocal parts, threads
        if parts is None:
            whole = {"game": GAME, "agent": agent, "agent_config": config, "num_envs": num_envs, "seed": 0}
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


def sb3(kind: str, device: torch.device, processes: bool) -> Any:
    """stable-baselines3's model with the zoo's settings."""
    from stable_baselines3 import DQN as SbDQN
    from stable_baselines3 import PPO as SbPPO
    from stable_baselines3.common.env_util import make_atari_env
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecFrameStack

    vector = make_atari_env(  # its wrappers skip frames themselves; the prefix imports ale_py in other processes
        "ale_py:ALE/Breakout-v5", n_envs=8, seed=0, vec_env_cls=SubprocVecEnv if processes else DummyVecEnv,
        env_kwargs=dict(frameskip=1, repeat_action_probability=0.0),
    )  # fmt: skip
    vector = VecFrameStack(vector, 4)
    if kind == "ppo":
        return SbPPO(
            "CnnPolicy", vector, n_steps=128, n_epochs=4, batch_size=256, learning_rate=lambda left: left * 2.5e-4,
            clip_range=lambda left: left * 0.1, vf_coef=0.5, ent_coef=0.01, device=device, seed=0,
        )  # fmt: skip
    return SbDQN(
        "CnnPolicy", vector, buffer_size=20_000, learning_rate=1e-4, batch_size=32, learning_starts=2_000,
        target_update_interval=1_000, train_freq=4, gradient_steps=8, exploration_fraction=0.1,
        exploration_final_eps=0.01, device=device, seed=0,
    )  # fmt: skip


def sb3_meter(model: Any, threads: int) -> Meter:
    """SB3's own loop in pieces of one rollout (1,024 steps)."""
    warm = False

    def measure(seconds: float) -> tuple[int, float]:
        nonlocal warm
        torch.set_num_threads(threads)
        while not warm:
            model.learn(1024, reset_num_timesteps=False)
            warm = model.num_timesteps >= 3_000
        start, began = model.num_timesteps, time.perf_counter()
        while time.perf_counter() - began < seconds:
            model.learn(1024, reset_num_timesteps=False)
        return model.num_timesteps - start, time.perf_counter() - began

    return measure


def best_of_sb3(kind: str, device: torch.device, seconds: float) -> tuple[float, int, bool, Meter]:
    """The fastest of 1 or all threads and VecEnv in this process or in processes: (rate, threads, processes, it)."""
    tried = []
    for threads in sorted({1, devices.cores()}):
        for processes in (False, True):
            candidate = sb3_meter(sb3(kind, device, processes), threads)
            steps, taken = candidate(seconds / 2)
            tried.append((steps / taken, threads, processes, candidate))
            where = "SubprocVecEnv" if processes else "DummyVecEnv"
            print(f"sb3-{kind}, {threads} threads, {where}: {steps / taken:,.0f} steps/s", file=sys.stderr)
    return max(tried, key=lambda row: row[0])


def race_to(score: float, device: torch.device, threads: int, processes: bool) -> dict[str, Any]:
    """Seconds until the mean of the newest 100 training games reaches `score`: our recipe, then SB3's PPO.

    SB3 has the zoo's schedule over 10 M steps and is stopped once it has taken PATIENCE times as long.
    """
    from stable_baselines3.common.callbacks import BaseCallback

    recipe = recipes(GAME, "envs.atari")["default"]
    whole = {"game": GAME, "agent": recipe.agent, "agent_config": dict(recipe.config), "num_envs": recipe.num_envs}
    parts = lab.assemble({**whole, "seed": 0, "steps": recipe.steps, "env": {"env_threads": 0}}, device)
    games: deque[float] = deque(maxlen=100)
    parts.stream.reset(0, 0)
    began = time.perf_counter()
    while len(games) < 100 or np.mean(games) < score:
        parts.loop.advance()
        games.extend(e.score for e in parts.stream.take_episodes())
    ours = time.perf_counter() - began
    print(f"our recipe: {score:g} after {ours:.0f} s, {parts.clock.steps:,} steps", file=sys.stderr)
    parts.stream.close()

    class Race(BaseCallback):
        mean, taken = 0.0, 0.0

        def _on_step(self) -> bool:
            self.taken = time.perf_counter() - began
            self.mean = float(np.mean([e["r"] for e in self.model.ep_info_buffer] or [0.0]))
            return self.mean < score and self.taken < PATIENCE * ours

    model, runner = sb3("ppo", device, processes), Race()
    torch.set_num_threads(threads)
    began = time.perf_counter()
    model.learn(10_000_000, callback=runner)
    bound = "" if runner.mean >= score else "more than "
    note = f"{bound}{runner.taken:,.0f} ({model.num_timesteps:,} steps, mean {runner.mean:.1f})"
    return {
        f"our recipe to a score of {score:g}, s": ours,
        f"sb3-ppo to a score of {score:g}, s": note,
        "wall clock": f"{bound and 'at most '}{ours / runner.taken:.2f} of sb3",
    }
