"""A pygame window as a screen. Escape or closing it ends."""

from __future__ import annotations

import time
from typing import Any

from agents.core.run import safe
from experiments.video import enlarge
from experiments.watching.clip import Clip
from experiments.watching.commands import KEYS
from experiments.watching.panels import beside
from experiments.watching.player import Frame, Player

DRAWN = 0.1  # s between two drawings of the panels; the picture itself is drawn each time


class Window:
    """The player's window; `close` it."""

    def __init__(self, title: str, fps: float):
        import pygame

        self.pygame, self.title = pygame, title
        pygame.display.init()
        pygame.joystick.init()
        self.sticks = [pygame.joystick.Joystick(i) for i in range(pygame.joystick.get_count())]
        self.screen: Any = None
        self.clip = Clip(fps)
        self.messages: list[str] = []
        self.column: Any = None
        self._drawn, self._held, self._pad = 0.0, set(), []

    def looks(self) -> bool:
        return True

    def show(self, player: Player, frame: Frame) -> None:
        pygame, now = self.pygame, time.monotonic()
        self.messages += player.messages
        player.messages = []
        picture = enlarge(frame.picture)
        if not player.panels:
            self.column = None
        elif self.column is None or now - self._drawn > DRAWN or self.column.shape[0] != picture.shape[0]:
            self.column, self._drawn = beside(frame.picture, player)[:, picture.shape[1] :], now
        size = (picture.shape[1] + (0 if self.column is None else self.column.shape[1]), picture.shape[0])
        if self.screen is None or self.screen.get_size() != size:
            self.screen = pygame.display.set_mode(size)
        self.screen.blit(pygame.surfarray.make_surface(picture.swapaxes(0, 1)), (0, 0))
        if self.column is not None:
            self.screen.blit(pygame.surfarray.make_surface(self.column.swapaxes(0, 1)), (picture.shape[1], 0))
        pygame.display.set_caption(self._caption(player))
        pygame.display.flip()
        self.factor = picture.shape[0] / frame.picture.shape[0]
        self.clip.add(frame.picture)

    def _caption(self, player: Player) -> str:
        seat = player.focus
        state = "paused" if player.paused else f"{player.speed:g}x" if player.speed else "unlimited"
        news = f"   {self.messages[-1]}" if self.messages else ""
        return f"{self.title}   score {seat.score:g}   {state}{news}"

    def commands(self, player: Player) -> list[tuple[str, Any]]:
        pygame, found = self.pygame, []
        keys = KEYS | {"=": "faster"}
        for event in pygame.event.get():
            if event.type == pygame.QUIT:
                found.append(("quit", None))
            elif event.type in (pygame.KEYDOWN, pygame.KEYUP):
                found += self._key(event, keys, player)
            elif event.type == pygame.MOUSEBUTTONDOWN and self.screen is not None:
                found.append(("click", [c / self.factor for c in event.pos]))
        pad = self._gamepad()
        if pad != self._pad:
            self._pad = pad
            found.append(("sticks", pad))
        self.messages += player.messages
        player.messages = []
        if ("clip", None) in found:
            found.remove(("clip", None))
            self.clip.save(safe(player.game), self.messages.append)
        return found

    def _key(self, event: Any, keys: dict[str, str], player: Player) -> list[tuple[str, Any]]:
        pygame = self.pygame
        name = pygame.key.name(event.key)
        if event.type == pygame.KEYUP:
            self._held.discard(name)
            return [("held", sorted(self._held))]
        if name == "escape":
            return [("quit", None)]
        playing = player.focus.human
        if name in keys and not (playing and name in playing.known):
            return [(keys[name], None)]
        self._held.add(name)
        return [("held", sorted(self._held))]

    def _gamepad(self) -> list[float]:
        """The first stick of the first gamepad, and its first button."""
        if not self.sticks or self.sticks[0].get_numaxes() < 2:
            return []
        stick = self.sticks[0]
        button = float(stick.get_numbuttons() and stick.get_button(0))
        return [round(stick.get_axis(0), 2), round(stick.get_axis(1), 2), button]

    def close(self) -> None:
        self.clip.wait()
        self.pygame.quit()
