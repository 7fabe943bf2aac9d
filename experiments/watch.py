"""Watch an agent play: ``python -m experiments.watch breakout``.

With a display a window opens; without one (or with --video) a video is written. A game that has no run yet is
played by the random agent, and it says so.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import envs
from agents.core import device as devices
from agents.core.evaluate import Policy
from agents.core.loop import Clock
from agents.core.run import Run, RunError
from agents.core.stream import Stream
from experiments import cli, lab
from experiments.video import Video, enlarge


@dataclasses.dataclass(frozen=True)
class Command:
    """What to watch."""

    what: tyro.conf.Positional[str]  # a run's folder, or a game: its newest run, else the random agent
    video: Path | None = None  # write a video here instead of opening a window
    episodes: int | None = None  # stop after so many games; without any limit a video has one
    seconds: float | None = None  # stop after so much of the game's time
    speed: float = 1.0  # of the window, 1: as fast as the game really is, 0: unlimited
    seed: int = 1  # of the game
    policy: str | None = None  # greedy, sampled or "epsilon E"; without it the agent's
    checkpoint: int | None = None  # step of the checkpoint; without it the newest
    runs: Path = Path("runs")  # where run folders are

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**31:
            raise ValueError(f"--seed {self.seed}: must lie in 0..2147483647")
        if self.episodes is not None and self.episodes < 1:
            raise ValueError(f"--episodes {self.episodes}: must be at least 1")
        if self.seconds is not None and not 0 < self.seconds < float("inf"):
            raise ValueError(f"--seconds {self.seconds}: must be above 0")
        if not 0 <= self.speed < float("inf"):
            raise ValueError(f"--speed {self.speed}: must be at least 0")


class Player:
    """An agent in one game with a picture: yields the pictures, keeps the score."""

    def __init__(self, run: Run | None, game: str, *, seed: int, policy: str | None = None, step: int | None = None):
        env = dict(run.config["env"]) if run else {}
        probe = envs.make_vec(game, 1, **env)
        self.metadata = probe.metadata
        probe.close()
        device = devices.choose("auto")
        vector = SyncVectorEnv(
            [functools.partial(with_picture, game, env)], autoreset_mode=AutoresetMode.NEXT_STEP
        )
        vector.metadata = {**vector.metadata, "frame_stack": self.metadata.get("frame_stack", 1)}
        self.env = vector.envs[0]
        self.stream = Stream(vector, device)
        if run is not None:
            agent, self.at = lab.load_player(run, self.stream.spec, device, step)
        else:
            config = {"agent": "random", "agent_config": {}, "seed": seed, "num_envs": 1}
            agent, self.at = lab.build_agent(config, self.stream.spec, Clock(1), device), 0
        self.policy = Policy(agent, policy or agent.evaluation, seed)
        self.seed = seed
        self.fps = float(self.env.metadata.get("render_fps") or 30)
        self.scores: list[float] = []
        self.score = 0.0

    def pictures(self, episodes: int | None, seconds: float | None) -> Iterator[np.ndarray]:
        """RGB pictures [H, W, 3] at `fps`, until either limit is reached."""
        shown = 0
        step, memory = self.stream.reset(self.seed, 1), None
        while True:
            for picture in rendered(self.env):
                yield picture
                shown += 1
                if seconds is not None and shown >= round(seconds * self.fps):
                    return
            if episodes is not None and len(self.scores) >= episodes:
                return
            act = self.policy.act(step, memory, self.stream.spec)
            memory = act.memory
            self.stream.send(act)
            step = self.stream.receive()
            self.score = float(self.stream.running_score[0])
            self.scores += [e.score for e in self.stream.take_episodes()]

    def close(self) -> None:
        self.stream.close()


def with_picture(game: str, env: dict[str, Any]) -> Any:
    """The game with every picture that it can show: a list per step where it has more than one."""
    if not has_display():
        os.environ["SDL_VIDEODRIVER"] = "dummy"  # games that draw with pygame then ask for no screen
    one = envs.make(game, None, **env)
    modes = one.metadata.get("render_modes", [])
    one.close()
    mode = next((m for m in ("rgb_array_list", "rgb_array") if m in modes), None)
    if mode is None:
        raise ValueError(f"{game} has no picture to show")
    own = game not in envs.GAMES and not game.startswith("gym:")  # Gymnasium's own list mode collects for ever
    return envs.make(game, mode if own or mode == "rgb_array" else "rgb_array", **env)


def rendered(env: Any) -> list[np.ndarray]:
    """The pictures since the last call: one, or all emulated frames where the game tells them."""
    picture = env.render()
    return list(picture) if isinstance(picture, list) else [np.asarray(picture)]


def record(run: Run | None, path: Path, *, game: str | None = None, episodes: int | None, seconds: float | None,
           **options: Any) -> Player:  # fmt: skip
    """Writes a video; returns the player with its scores."""
    player = Player(run, game or run.config["game"], seed=options.pop("seed", 1), **options)
    shown = time.perf_counter()
    with Video(path, player.fps) as video:
        for picture in player.pictures(episodes, seconds):
            video.write(picture)
            if time.perf_counter() - shown > 5:
                shown = time.perf_counter()
                print(f"video: {video.frames / player.fps:.0f} s written, score {player.score:g}", file=sys.stderr)
    player.close()
    return player


def window(player: Player, title: str, episodes: int | None, seconds: float | None, speed: float) -> None:
    """A pygame window; Escape or closing it ends."""
    import pygame

    pygame.display.init()
    clock, screen = pygame.time.Clock(), None
    try:
        for picture in player.pictures(episodes, seconds):
            picture = enlarge(picture)
            if screen is None:
                screen = pygame.display.set_mode((picture.shape[1], picture.shape[0]))
            screen.blit(pygame.surfarray.make_surface(picture.swapaxes(0, 1)), (0, 0))
            pygame.display.set_caption(f"{title}   score {player.score:g}")
            pygame.display.flip()
            if speed:
                clock.tick(player.fps * speed)
            for event in pygame.event.get():
                if event.type == pygame.QUIT or (event.type == pygame.KEYDOWN and event.key == pygame.K_ESCAPE):
                    return
    finally:
        pygame.quit()
        player.close()


def has_display() -> bool:
    """Can a window be opened here?"""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or os.environ.get("SDL_VIDEODRIVER"))


def main() -> None:
    with cli.edge():
        with cli.refusing():
            command = tyro.cli(Command, description=__doc__, prog="watch")
        torch.set_num_threads(1)
        try:
            run = lab.find_run(command.runs, command.what)
            game = run.config["game"]
        except RunError as fault:
            if Path(command.what).exists():
                raise
            game, run = envs.canonical(command.what), None
            print(f"{game} has no run yet ({fault}): the random agent plays")
        options = dict(seed=command.seed, policy=command.policy, step=command.checkpoint)
        with cli.refusing():
            if command.video is None and has_display():
                player = Player(run, game, **options)
                window(player, f"{game} step {player.at:,}", command.episodes, command.seconds, command.speed)
            else:
                path = command.video or Path(f"watch-{game.replace(':', '-').replace('/', '-')}.mp4")
                if command.video is None:
                    print("there is no display here: a video is written")
                episodes = command.episodes if command.episodes or command.seconds else 1
                player = record(run, path, game=game, episodes=episodes, seconds=command.seconds, **options)
                print(f"video: {path}")
        told = ", ".join(f"{s:g}" for s in player.scores) or f"{player.score:g} so far"
        print(f"scores: {told}")


if __name__ == "__main__":
    main()
