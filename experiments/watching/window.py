"""A pygame window as a screen. Escape or closing it ends."""

from __future__ import annotations

import textwrap
import time
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from agents.core.run import safe
from experiments.video import enlarge
from experiments.watching.clip import Clip
from experiments.watching.commands import KEYS
from experiments.watching.panels import GROUND, QUIET, beside, font
from experiments.watching.player import Player, PlayerFrame

SHORT = {
    "pause": "pause", "step": "step", "slower": "slower", "faster": "faster", "new": "new episode", "again": "restart",
    "policy": "greedy/sampled", "take": "take over", "overlay": "overlay", "panels": "panels", "clip": "save clip",
}  # fmt: skip
KEY_NAMES = {"left": "\u2190", "right": "\u2192", "up": "\u2191", "down": "\u2193", "return": "Enter"}
DRAWN = 0.1  # s between two drawings of the panels; the picture itself is drawn each time


class PlayerWindow:
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
        self.factor = self.scale = 1.0  # pixels of the enlarged picture per pixel of the game's, and of the window
        self.corner = (0, 0)  # corner of the picture in the window
        self._drawn, self._held, self._pad = 0.0, set(), []
        self._fitting: tuple[int, int] | None = None  # size that the picture needs
        self._bar: Any = None

    def looks(self) -> bool:
        """Tells that somebody looks, which holds for every open window."""
        return True

    def show(self, player: Player, frame: PlayerFrame) -> None:
        """Draws the frame, the panels where they are on, and the bar with the keys."""
        pygame, now = self.pygame, time.monotonic()
        self.messages += player.messages
        player.messages = []
        picture = enlarge(frame.picture)
        if not player.panels:
            self.column = None
        elif self.column is None or now - self._drawn > DRAWN or self.column.shape[0] != picture.shape[0]:
            self.column, self._drawn = beside(frame.picture, player)[:, picture.shape[1] :], now
        parts = [picture] if self.column is None else [picture, self.column]
        whole = np.concatenate([np.concatenate(parts, axis=1), self._keys(player, sum(p.shape[1] for p in parts))])
        self._open(whole.shape[1], whole.shape[0])
        surface = pygame.surfarray.make_surface(whole.swapaxes(0, 1))
        (width, height), (wide, high) = surface.get_size(), self.screen.get_size()
        self.scale = min(wide / width, high / height)  # the person may have given the window another size
        size = (round(width * self.scale), round(height * self.scale))
        self.corner = ((wide - size[0]) // 2, (high - size[1]) // 2)
        if size != (width, height):
            surface = pygame.transform.scale(surface, size)
            self.screen.fill((0, 0, 0))
        self.screen.blit(surface, self.corner)
        pygame.display.set_caption(self._caption(player))
        pygame.display.flip()
        self.factor = picture.shape[0] / frame.picture.shape[0]
        self.clip.add(frame.picture)

    def _open(self, width: int, height: int) -> None:
        """The window for a picture of that size. Where the picture's size changes, a size that a person chose stays."""
        if self._fitting == (width, height):
            return
        chosen = self.screen is not None and self._fitting != self.screen.get_size()
        self._fitting = (width, height)
        if not chosen:
            self.screen = self.pygame.display.set_mode((width, height), self.pygame.RESIZABLE)

    def _keys(self, player: Player, width: int) -> np.ndarray:
        """A bar with the keys, uint8 [H, width, 3]: the game's while a person plays, and the window's own."""
        human = player.focus.human
        mine = ("; ".join(KEY_NAMES.get(k, k) for k in human.known), "play") if human is not None else None
        words = [mine] if mine else []
        words += [(key, SHORT[name]) for key, name in KEYS.items() if name in SHORT]
        words.append(("Esc", "end"))
        told = "   ".join(f"{key} {what}" for key, what in words)
        if self._bar is None or self._bar[0] != (told, width):
            lines = textwrap.wrap(told, max(20, width // 7), break_on_hyphens=False)
            image = Image.new("RGB", (width, 8 + 16 * len(lines)), GROUND)
            draw = ImageDraw.Draw(image)
            for i, line in enumerate(lines):
                draw.text((8, 4 + 16 * i), line, QUIET, font(12))
            self._bar = (told, width), np.asarray(image)
        return self._bar[1]

    def _caption(self, player: Player) -> str:
        seat = player.focus
        state = "paused" if player.paused else f"{player.speed:g}x" if player.speed else "unlimited"
        news = f"   {self.messages[-1]}" if self.messages else ""
        return f"{self.title}   score {seat.score:g}   {state}{news}"

    def commands(self, player: Player) -> list[tuple[str, Any]]:
        """Returns the commands from keyboard, mouse and gamepad since the last call."""
        pygame, found = self.pygame, []
        keys = KEYS | {"=": "faster"}
        for event in pygame.event.get():
            if event.type == pygame.QUIT:
                found.append(("quit", None))
            elif event.type in (pygame.KEYDOWN, pygame.KEYUP):
                found += self._key(event, keys, player)
            elif event.type == pygame.MOUSEBUTTONDOWN and self.screen is not None:
                place = [(at - edge) / self.scale for at, edge in zip(event.pos, self.corner, strict=True)]
                found.append(("click", [at / self.factor for at in place]))
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
