"""A pygame window as a screen. Escape or closing it ends."""

from __future__ import annotations

import textwrap
import time
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from agents.core.run import safe
from envs.window import PygameWindow
from experiments.driving.hands import Gamepad
from experiments.overlay import font
from experiments.video import enlarge
from experiments.watching.clip import Clip
from experiments.watching.commands import COMMANDS, KEYS, recorder_of
from experiments.watching.panels import GROUND, QUIET, beside
from experiments.watching.player import Player, PlayerFrame

SHORT = {
    "pause": "pause", "step": "step", "slower": "slower", "faster": "faster", "new": "new episode", "again": "restart",
    "policy": "greedy/sampled", "take": "take over", "overlay": "overlay", "panels": "panels", "clip": "save clip",
}  # fmt: skip
RECORDED = {"record": "pause recording", "discard": "delete last 3 s"}  # keys of a drive that is recorded
KEY_NAMES = {"left": "\u2190", "right": "\u2192", "up": "\u2191", "down": "\u2193", "return": "Enter"}
DRAWN = 0.1  # s between two drawings of the panels; the picture itself is drawn each time


class PlayerWindow(PygameWindow):
    """The player's window; `close` it."""

    def __init__(self, title: str, fps: float):
        super().__init__(title)
        self.name, self.gamepad, self.clip = title, Gamepad(), Clip(fps)
        self.messages: list[str] = []
        self.column: Any = None
        self.factor = 1.0  # pixels of the enlarged picture per pixel of the game's
        self._drawn, self._held, self._pad = 0.0, set(), []
        self._bar: Any = None
        self._whole: np.ndarray | None = None  # picture that the window shows

    def looks(self) -> bool:
        """Tells that somebody looks, which holds for every open window."""
        return True

    def show(self, player: Player, frame: PlayerFrame) -> None:
        """Draws the frame, the panels where they are on, and the bar with the keys."""
        now = time.monotonic()
        self.messages += player.messages
        player.messages = []
        picture = enlarge(frame.picture)
        if not player.panels:
            self.column = None
        elif self.column is None or now - self._drawn > DRAWN or self.column.shape[0] != picture.shape[0]:
            self.column, self._drawn = beside(frame.picture, player)[:, picture.shape[1] :], now
        parts = [picture] if self.column is None else [picture, self.column]
        shown = np.concatenate(parts, axis=1)
        self._whole = np.concatenate([shown, self._keys(player, shown.shape[1])])
        self.title = self._caption(player)
        self.draw(self._whole)
        self.factor = picture.shape[0] / frame.picture.shape[0]
        if not frame.redrawn:
            self.clip.add(frame.picture)

    def _keys(self, player: Player, width: int) -> np.ndarray:
        """A bar with the keys, uint8 [H, width, 3]: the game's while a person plays, and the window's own."""
        human = player.focus.human
        mine = ("; ".join(KEY_NAMES.get(k, k) for k in human.known), "play") if human is not None else None
        words = [mine] if mine else []
        words += [(key, SHORT[name]) for key, name in KEYS.items() if name in SHORT]
        if recorder_of(player.focus) is not None:
            words += [(COMMANDS[name].key, told) for name, told in RECORDED.items()]
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
        step = f"   step {seat.at:,}" if seat.source.run is not None and seat.at >= 0 else ""
        return f"{self.name}{step}   score {seat.score:.10g}   {state}{news}"

    def commands(self, player: Player) -> list[tuple[str, Any]]:
        """Returns the commands from keyboard, mouse and gamepad since the last call."""
        pygame, found = self.pygame, []
        keys = KEYS | {"=": "faster"}
        for event in pygame.event.get():
            if event.type == pygame.QUIT:
                found.append(("quit", None))
            elif event.type in (pygame.KEYDOWN, pygame.KEYUP):
                found += self._key(event, keys, player)
            elif event.type in (pygame.VIDEOEXPOSE, pygame.VIDEORESIZE) and self._whole is not None:
                self.draw(self._whole)  # a play that is paused draws nothing itself
            elif event.type == pygame.MOUSEBUTTONDOWN and event.button == 1 and self.screen is not None:
                found.append(("click", [at / self.factor for at in self.place(event.pos)]))
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
        """The first gamepad as the command `sticks` has it; empty without one."""
        pad = self.gamepad.read()
        return [] if pad is None else [round(x, 2) for x in (pad.steer, pad.down, pad.hand, pad.gas, pad.brake)]

    def close(self) -> None:
        self.clip.wait()
        self.pygame.quit()
