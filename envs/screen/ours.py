"""A game of ours in a window of its own, to be played through the screen: ``python -m envs.screen.ours kart``

The arrows steer and set the speed: how long each is down in a control step is how far the wheel is turned. The title
tells what the game knows, so that driving through the screen can be compared with driving directly. The space bar
begins another race.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import envs

STARTED = {"kart": dict(obs="frame", width=160, height=120, tracks="test", time_limit=60.0, laps=0)}
ENLARGED = 3  # px of the window per px of the game's picture
SPEED = 0.0  # share of the range of target speeds without an arrow: the middle


class HeldTime:
    """How long keys were down in a control step."""

    def __init__(self, pygame: Any):
        self.pygame = pygame
        self.keys = {pygame.K_LEFT: 0.0, pygame.K_RIGHT: 0.0, pygame.K_UP: 0.0, pygame.K_DOWN: 0.0}
        self._since: dict[int, float] = {}  # keys that are down -> when their time was counted last
        self.again = self.closed = False

    def until(self, end: float) -> None:
        """Waits until then (`time.perf_counter`), and counts."""
        pygame = self.pygame
        self.keys, self.again = dict.fromkeys(self.keys, 0.0), False
        while (now := time.perf_counter()) < end:
            event = pygame.event.wait(max(1, int(1000 * (end - now))))
            now = min(time.perf_counter(), end)
            if event.type == pygame.QUIT:
                self.closed = True
                return
            if event.type == pygame.KEYDOWN:
                self.again |= event.key == pygame.K_SPACE
                self._since.setdefault(event.key, now)
            elif event.type == pygame.KEYUP and event.key in self._since:
                self._count(event.key, now)
                del self._since[event.key]
        for key in self._since:
            self._count(key, end)

    def _count(self, key: int, now: float) -> None:
        if key in self.keys:
            self.keys[key] += max(0.0, now - self._since[key])
        self._since[key] = now

    def axis(self, low: int, high: int, period: float) -> float:
        """The value of two keys in the last step, -1 to 1."""
        return max(-1.0, min(1.0, (self.keys[high] - self.keys[low]) / period))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("game", choices=sorted(STARTED))
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    import pygame

    pygame.display.init()
    game = envs.make(chosen.game, "rgb_array", **STARTED[chosen.game])
    period = 1.0 / game.metadata["render_fps"]
    picture, info = game.reset(seed=chosen.seed)
    high, wide = picture.shape[:2]
    screen = pygame.display.set_mode((wide * ENLARGED, high * ENLARGED))
    held, over, end = HeldTime(pygame), False, time.perf_counter()
    while not held.closed:
        surface = pygame.surfarray.make_surface(picture.swapaxes(0, 1))
        screen.blit(pygame.transform.scale(surface, screen.get_size()), (0, 0))
        pygame.display.set_caption(
            f"joypad {chosen.game}: progress {max(0.0, info['progress']):.3f} speed {max(0.0, info['speed']):.2f}"
            f" off {int(info['off_road'])} rescues {int(info['rescues'])} over {int(over)}"
        )
        pygame.display.flip()
        end = max(end + period, time.perf_counter())
        held.until(end)
        if held.again:
            over, (picture, info) = False, game.reset()
        elif not over:
            steer = held.axis(pygame.K_LEFT, pygame.K_RIGHT, period)
            speed = held.axis(pygame.K_DOWN, pygame.K_UP, period)
            picture, _, terminated, truncated, info = game.step([steer, speed or SPEED])
            over = terminated or truncated
    game.close()


if __name__ == "__main__":
    main()
