"""Play a game yourself: ``python -m experiments.play flappy``.

The keys are printed at the start. After each game your score stands beside those of the agents that were evaluated on
it. Escape or closing the window ends.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tyro

import envs
from experiments import cli
from experiments.video import enlarge
from experiments.watch import has_display, rendered, with_picture

Keys = Mapping[frozenset[str], int]  # keys that are held together -> action


@dataclasses.dataclass(frozen=True)
class Command:
    """What to play."""

    game: tyro.conf.Positional[str]  # breakout, any other ALE game, flappy, or gym:ID
    episodes: int | None = None  # stop after so many games
    speed: float = 1.0  # 1: as fast as the game is meant to be
    seed: int | None = None  # of the first game; without it each game is another
    runs: Path = Path("runs")  # where the agents' runs are, for the table

    def __post_init__(self) -> None:
        if self.speed <= 0:
            raise ValueError(f"--speed {self.speed}: must be above 0")
        if self.episodes is not None and self.episodes < 1:
            raise ValueError(f"--episodes {self.episodes}: must be at least 1")


def keys_of(game: str, env: Any) -> Keys:
    """Which keys do what, from the game itself. Raises ValueError where a keyboard cannot play it."""
    inner = env.unwrapped
    if hasattr(inner, "keys"):
        return inner.keys()
    if hasattr(inner, "get_keys_to_action"):  # Gymnasium's own convention, for gymnasium.utils.play
        named = {"w": "up", "s": "down", "a": "left", "d": "right", " ": "space"}
        return {frozenset(named.get(k, k) for k in keys): a for keys, a in inner.get_keys_to_action().items()}
    space = env.action_space
    if not hasattr(space, "n"):
        raise ValueError(f"{game} acts in {space}: there are no keys for it")
    return {frozenset([str(a)]): a for a in range(min(int(space.n), 10))}


def choose(pressed: Iterable[str], keys: Keys) -> int:
    """The action of the largest set of keys that is held; without any, that of no keys, else action 0."""
    held = set(pressed)
    fitting = [k for k in keys if k <= held]
    return keys[max(fitting, key=len)] if fitting else 0


def play(command: Command) -> list[float]:
    """Opens the window and plays; returns the scores."""
    import pygame

    game = envs.canonical(command.game)
    with cli.refusing():
        env = with_picture(game, {})
        keys = keys_of(game, env)
    known = sorted(set().union(*keys))
    print(f"keys: {', '.join(known)}; Escape ends")
    pygame.display.init()
    clock, screen, scores = pygame.time.Clock(), None, []
    fps = float(env.metadata.get("render_fps") or 30) * command.speed
    try:
        while command.episodes is None or len(scores) < command.episodes:
            env.reset(seed=command.seed if not scores else None)
            total, over = 0.0, False
            while not over:
                for picture in rendered(env):
                    picture = enlarge(picture)
                    if screen is None:
                        screen = pygame.display.set_mode((picture.shape[1], picture.shape[0]))
                    screen.blit(pygame.surfarray.make_surface(picture.swapaxes(0, 1)), (0, 0))
                    pygame.display.set_caption(f"{game}   score {total:g}")
                    pygame.display.flip()
                    clock.tick(fps)
                for event in pygame.event.get():
                    if event.type == pygame.QUIT or (event.type == pygame.KEYDOWN and event.key == pygame.K_ESCAPE):
                        return scores
                down = pygame.key.get_pressed()
                pressed = [k for k in known if down[pygame.key.key_code(k)]]
                _, reward, terminated, truncated, info = env.step(choose(pressed, keys))
                total = float(info.get("score", total + float(reward)))
                over = terminated or truncated
            scores.append(total)
            print(f"your score: {total:g}")
    finally:
        pygame.quit()
        env.close()
    return scores


def table(root: Path, game: str, scores: list[float]) -> str:
    """Your best game beside the evaluated agents, best first."""
    rows = [("you, best game", max(scores))] if scores else []
    for path in (root / game.replace(":", "-").replace("/", "-")).glob("*/*/eval.json"):
        try:
            rows.append((str(path.parent.relative_to(root)), float(json.loads(path.read_text())["mean"])))
        except (OSError, ValueError, KeyError):
            print(f"joypad: {path} cannot be read and is left out")
    return "\n".join(f"  {score:10,.1f}  {who}" for who, score in sorted(rows, key=lambda row: -row[1]))


def main() -> None:
    with cli.edge():
        with cli.refusing():
            command = tyro.cli(Command, description=__doc__, prog="play")
        if not has_display():
            raise cli.UserError("there is no display here to play on; watch an agent with --video instead")
        scores = play(command)
        print(table(command.runs, envs.canonical(command.game), scores))


if __name__ == "__main__":
    main()
