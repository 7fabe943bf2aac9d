"""A web page as a screen; the files are in experiments/web/watch."""

from __future__ import annotations

import math
import queue
import time
from pathlib import Path
from typing import Any

import experiments.web
from agents.core.run import safe
from experiments.watching.clip import Clip
from experiments.watching.commands import COMMANDS, TYPES
from experiments.watching.player import Player, PlayerFrame
from experiments.web.page import Client, Message
from experiments.web.server import Server
from experiments.web.values import command_of

FILES = Path(experiments.web.__file__).parent / "watch"
ABSENT = 2.0  # s after which a play that nobody looks at stands still
CURVES = 0.1  # s between two states of the curves
PAGE = {name: takes for name, takes in TYPES.items() if name != "quit"}  # commands of a page
HELD = ("held", "sticks")  # commands that hold until the next one of their name
WAITING = 1000  # commands that wait at most; more are dropped


class PlayerPage:
    """The player's page: `address` is to be opened; `close` ends the server.

    server: one that is there already, where it becomes the page `name`; `close` then removes the page alone.
    patience: seconds after which a play that nobody looks at ends; inf: never.
    """

    def __init__(
        self, fps: float, host: str = "127.0.0.1", port: int = 0, *, server: Server | None = None, name: str = "watch",
        patience: float = math.inf,
    ):  # fmt: skip
        self._queue: queue.Queue[tuple[str, Any]] = queue.Queue(WAITING)
        self._owns, self.server, self.patience = server is None, server or Server(host, port), patience
        self.page = self.server.add_page(name, FILES, title="Watch", on_message=self._heard, on_open=self._greet)
        self.address = self.server.start(self.page)
        self.clip = Clip(fps)
        self._began, self._looked, self._curves = time.monotonic(), -math.inf, 0.0
        self._held = False  # True while a key or a stick of a browser may be held
        self.joined: Any = None  # other pages of the same server, which are closed with this one

    def _greet(self, client: Client) -> None:
        known = [{"name": name, "key": c.key, "about": c.about} for name, c in COMMANDS.items() if c.key]
        client.send({"type": "hello", "commands": known})

    def _heard(self, client: Client, message: Message) -> None:
        command = command_of(PAGE, message)
        if not self._queue.full():
            self._queue.put_nowait(command)

    def looks(self) -> bool:
        """Does any browser have the page open, or had it a moment ago? Nothing is played before the first one came."""
        if self.page.watchers:
            self._looked = time.monotonic()
        return time.monotonic() - self._looked < ABSENT

    def show(self, player: Player, frame: PlayerFrame) -> None:
        """Publishes the frame, the player's state and, where the panels are on, its curves."""
        pictures, states = {"main": frame.picture}, {"now": player.status()}
        now = time.monotonic()
        if player.panels and frame.decided and (seen := player.focus.seen()) is not None:
            pictures["seen"] = seen
        if player.panels and now - self._curves > CURVES:
            states["curves"], self._curves = [seat.history() for seat in player.seats], now
        self.page.publish(pictures, states)
        if not frame.redrawn:
            self.clip.add(frame.picture)

    def commands(self, player: Player) -> list[tuple[str, Any]]:
        """Returns the commands of the page since the last call, and sends it the player's messages."""
        found: list[tuple[str, Any]] = []
        if not self.looks() and time.monotonic() - max(self._began, self._looked) > self.patience:
            found.append(("quit", None))
        while not self._queue.empty():
            name, value = self._queue.get_nowait()
            if name == "clip":
                self.clip.save(safe(player.game), self.tell)
            else:
                found.append((name, value))
                self._held |= name in HELD
        if self._held and not self.page.watchers:  # a browser that has gone holds nothing down
            self._held = False
            found += [(name, []) for name in HELD]
        messages, player.messages = player.messages, []
        for text in messages:
            self.tell(text)
        return found

    def tell(self, text: str) -> None:
        """A sentence for everybody who looks."""
        self.page.send({"type": "told", "text": text})

    def close(self) -> None:
        self.clip.wait()
        if self.joined is not None:
            self.joined.close()
        if self._owns:
            self.server.stop()
        else:
            self.server.remove_page(self.page)
