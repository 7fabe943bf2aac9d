"""One Atari game: the emulators alone, our loop, our PPO and DQN, and stable-baselines3 with the same settings.

Network, batch, epochs and replay ratio are those of SB3's Atari zoo for both; the number of environments is free.
SB3 runs with the thread count and VecEnv that measured best in a first round. Every contender has a process of its
own, which rests while the others run: threads and memory are as they are for its users.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import statistics
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.util import Finalize
from typing import Any

import numpy as np
import torch

import envs
from agents.core import device as devices
from experiments import building, cli, configuration, lab
from experiments.recipes import recipes

GAME = "breakout"  # game that is measured where none is named
PPO = dict(rollout=16, epochs=4, minibatch=256, lr=2.5e-4, clip=0.1, encoder="nature", hidden=512)
PPO_ENVS = 64  # environments; with 16 steps each the zoo's 1,024 transitions per rollout (8 environments, 128 steps)
DQN = dict(
    replay=100_000, warmup=2_000, batch=32, ratio=8.0, lr=1e-4, target_period=1_000, encoder="nature", hidden=512
)  # fmt: skip
DQN_ENVS = 16
PATIENCE = 4.2  # SB3 is stopped once it has taken so many times as long in the race; the bar is 4
RING = 20_000  # rows of the random agent's ring
PIECE, WARM = 1_024, 3_000  # steps that SB3 makes at a time (one rollout), and before it is measured: it learns by then
SLICE = 1.0  # seconds after which the two of a pair take turns: a machine that is shared changes its speed
Meter = Callable[[float], tuple[int, float]]  # seconds -> (steps done, seconds taken)


@contextlib.contextmanager
def untouched() -> Iterator[None]:
    """Processes started inside have torch's threads spin as long as they do by default, not as our programs set it."""
    ours = os.environ["GOMP_SPINCOUNT"]
    os.environ["GOMP_SPINCOUNT"] = "300000"  # libgomp's default
    try:
        yield
    finally:
        os.environ["GOMP_SPINCOUNT"] = ours


class Apart:
    """A meter in a process of its own, made there by ``build(*args)``."""

    def __init__(self, build: Callable[..., Meter], *args: Any):
        fresh = multiprocessing.get_context("spawn")
        self._pipe, other = fresh.Pipe()
        self._process = fresh.Process(target=_serve, args=(other, build, args))
        self._process.start()
        other.close()
        Finalize(self, self._process.kill, exitpriority=0)  # a bench that is interrupted does not wait for contenders

    def __call__(self, seconds: float) -> tuple[int, float]:
        try:
            self._pipe.send(seconds)
            return self._pipe.recv()
        except (EOFError, ConnectionError):
            raise RuntimeError("a contender's process has died; its message stands above") from None

    def close(self) -> None:
        with contextlib.suppress(ConnectionError):
            self._pipe.send(None)
        self._process.join()


def _serve(pipe: Connection, build: Callable[..., Meter], args: tuple[Any, ...]) -> None:
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()
    meter = build(*args)
    while (seconds := pipe.recv()) is not None:
        pipe.send(meter(seconds))


def _end_with(bench: Any) -> None:
    """A contender does not go on when the bench has been killed."""
    bench.join()
    os._exit(1)


def run(device: torch.device, seconds: float, rounds: int, race: bool, game: str = GAME) -> dict[str, Any]:
    """Figures by name. Raises UserError for a game that is none of Atari's, or a race in another than GAME."""
    if game not in envs.atari_games():
        raise cli.UserError(f"--game {game}: must be an Atari game; python -m experiments.list games names them")
    if race and game != GAME:
        raise cli.UserError(f"--race: the score to reach is one of {GAME}; leave out --game")
    best = {kind: best_of_sb3(kind, device, seconds, game) for kind in ("ppo", "dqn")}
    meters = {"emulators alone": Apart(emulators, 64, game)}
    meters["loop with random agent"] = Apart(loop, "random", device, None, game)
    pairs = [("loop with random agent", "emulators alone")]
    for kind, row in best.items():
        meters |= {kind: Apart(loop, kind, device, None, game), f"sb3-{kind}": row[3]}
        pairs.append((kind, f"sb3-{kind}"))
    rows = compared(meters, pairs, seconds, rounds)
    if race:
        rows |= race_to(30.0, device, threads=best["ppo"][1], processes=best["ppo"][2])
    return rows


def compared(meters: dict[str, Apart], pairs: Sequence[tuple[str, str]], seconds: float, rounds: int) -> dict[str, Any]:
    """Rates of all (medians over rounds), and of each pair, whose two take turns second by second, the ratio. They are
    closed in the end."""
    for meter in meters.values():  # the first steps load and compile
        meter(seconds / 2)
    rates: dict[str, list[float]] = {name: [] for name in meters}
    alone = [(name,) for name in meters if all(name not in pair for pair in pairs)]
    for number in range(rounds):
        for group in (*pairs, *alone):
            for name, rate in zip(group, in_turns([meters[name] for name in group], seconds), strict=True):
                rates[name].append(rate)
                print(f"round {number + 1} of {rounds}: {name} {rate:,.0f} steps/s", file=sys.stderr)
    for meter in meters.values():
        meter.close()
    rows: dict[str, Any] = {f"{name}, steps/s": statistics.median(rate) for name, rate in rates.items()}
    for one, other in pairs:
        shares = sorted(a / b for a, b in zip(rates[one], rates[other], strict=True))
        rows[one] = f"{statistics.median(shares):.2f}x {other} ({shares[0]:.2f} to {shares[-1]:.2f})"
    return rows


def in_turns(meters: Sequence[Meter], seconds: float) -> list[float]:
    """Steps per second of each, over at least `seconds` each."""
    steps, taken = [0] * len(meters), [0.0] * len(meters)
    while min(taken) < seconds:
        for i, meter in enumerate(meters):
            if taken[i] < seconds:
                done, spent = meter(min(SLICE, seconds))
                steps[i], taken[i] = steps[i] + done, taken[i] + spent
    return [n / t for n, t in zip(steps, taken, strict=True)]


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


def sb3(kind: str, device: torch.device, processes: bool, game: str = GAME) -> Any:
    """stable-baselines3's model with the zoo's settings."""
    from stable_baselines3 import A2C as SbA2C
    from stable_baselines3 import DQN as SbDQN
    from stable_baselines3 import PPO as SbPPO
    from stable_baselines3.common.env_util import make_atari_env
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecFrameStack

    vector = make_atari_env(  # its wrappers skip frames themselves; the prefix imports ale_py in other processes
        f"ale_py:ALE/{game.title().replace('-', '')}-v5", n_envs=16 if kind == "a2c" else 8, seed=0,
        vec_env_cls=SubprocVecEnv if processes else DummyVecEnv,
        env_kwargs=dict(frameskip=1, repeat_action_probability=0.0),
    )  # fmt: skip
    vector = VecFrameStack(vector, 4)
    if kind == "ppo":
        return SbPPO(
            "CnnPolicy", vector, n_steps=128, n_epochs=4, batch_size=256, learning_rate=lambda left: left * 2.5e-4,
            clip_range=lambda left: left * 0.1, vf_coef=0.5, ent_coef=0.01, device=device, seed=0,
        )  # fmt: skip
    if kind == "a2c":
        return SbA2C("CnnPolicy", vector, n_steps=5, vf_coef=0.25, ent_coef=0.01, device=device, seed=0)
    if kind == "qrdqn":
        from sb3_contrib import QRDQN as SbDQN  # noqa: N811
    return SbDQN(
        "CnnPolicy", vector, buffer_size=20_000, learning_rate=1e-4, batch_size=32, learning_starts=2_000,
        target_update_interval=1_000, train_freq=4, gradient_steps=8, exploration_fraction=0.1,
        exploration_final_eps=0.01, device=device, seed=0,
    )  # fmt: skip


def sb3_meter(kind: str, device: torch.device, processes: bool, threads: int, game: str = GAME) -> Meter:
    """SB3's own loop, piece by piece."""
    model, warm = sb3(kind, device, processes, game), False

    def measure(seconds: float) -> tuple[int, float]:
        nonlocal warm
        torch.set_num_threads(threads)
        while not warm:
            model.learn(PIECE, reset_num_timesteps=False)
            warm = model.num_timesteps >= WARM
        start, began = model.num_timesteps, time.perf_counter()
        while time.perf_counter() - began < seconds:
            model.learn(PIECE, reset_num_timesteps=False)
        return model.num_timesteps - start, time.perf_counter() - began

    return measure


def best_of_sb3(kind: str, device: torch.device, seconds: float, game: str = GAME) -> tuple[float, int, bool, Apart]:
    """The fastest of 1 or all threads and VecEnv in its process or in processes: (rate, threads, processes, it)."""
    tried = []
    for threads in sorted({1, devices.cores()}):
        for processes in (False, True):
            with untouched():
                candidate = Apart(sb3_meter, kind, device, processes, threads, game)
            steps, taken = candidate(seconds / 2)
            tried.append((steps / taken, threads, processes, candidate))
            where = "SubprocVecEnv" if processes else "DummyVecEnv"
            print(f"sb3-{kind}, {threads} threads, {where}: {steps / taken:,.0f} steps/s", file=sys.stderr)
    tried.sort(key=lambda row: row[0])
    for row in tried[:-1]:
        row[3].close()
    return tried[-1]


def race_to(score: float, device: torch.device, threads: int, processes: bool) -> dict[str, Any]:
    """Seconds until the mean of the newest 100 training games reaches `score`: our recipe, then SB3's PPO.

    SB3 has the zoo's schedule over 10 M steps and is stopped once it has taken PATIENCE times as long.
    """
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, fresh, max_tasks_per_child=1) as runner:
        ours, steps = runner.submit(our_race, score, device).result()
        print(f"our recipe: {score:g} after {ours:.0f} s, {steps:,} steps", file=sys.stderr)
        with untouched():
            theirs = runner.submit(sb3_race, score, device, threads, processes, PATIENCE * ours).result()
    taken, steps, mean = theirs
    bound = "" if mean >= score else "more than "
    return {
        f"our recipe to a score of {score:g}, s": ours,
        f"sb3-ppo to a score of {score:g}, s": f"{bound}{taken:,.0f} ({steps:,} steps, mean {mean:.1f})",
        "wall clock": f"{bound and 'at most '}{ours / taken:.2f} of sb3",
    }


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


def sb3_race(
    score: float, device: torch.device, threads: int, processes: bool, limit: float
) -> tuple[float, int, float]:
    """Seconds, steps and the mean of SB3's PPO when it has come to `score`, or after `limit` seconds."""
    from stable_baselines3.common.callbacks import BaseCallback

    class Race(BaseCallback):
        mean, taken = 0.0, 0.0

        def _on_step(self) -> bool:
            self.taken = time.perf_counter() - began
            self.mean = float(np.mean([e["r"] for e in self.model.ep_info_buffer] or [0.0]))
            return self.mean < score and self.taken < limit

    model, runner = sb3("ppo", device, processes), Race()
    torch.set_num_threads(threads)
    began = time.perf_counter()
    model.learn(10_000_000, callback=runner)
    return runner.taken, model.num_timesteps, runner.mean
