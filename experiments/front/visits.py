"""Pages of watching, playing, boards and recordings that the front door opens, in the server that it is part of."""

from __future__ import annotations

import importlib
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import envs
from agents.core.run import RunError
from experiments.cli import UserError
from experiments.web.server import Server

MOST = 4  # plays at once; each has a game and a network, and steps in real time
PATIENCE = 60.0  # seconds after which a play that nobody looks at ends
GRACE = 10.0  # seconds that plays have to end
MODES = ("watch", "live", "play", "race")


class Visits:
    """Every page that is open. Methods return the path of a page and raise ValueError for what cannot be opened."""

    def __init__(self, server: Server, root: Path):
        self.server, self.root = server, root
        self._lock, self._numbers = threading.Lock(), itertools.count(1)
        self._open: dict[tuple[Any, ...], str] = {}  # content -> path of the page that shows it
        self._players: dict[tuple[Any, ...], Any] = {}
        self._threads: list[threading.Thread] = []

    def play(self, mode: str, what: Sequence[str]) -> str:
        """A game to be watched, played or raced; the page of equal words is shared."""
        key = (mode, *what)
        with self._lock:
            if mode == "watch" and key in self._open:
                return self._open[key]
            if len(self._players) >= MOST:
                raise ValueError(f"{MOST} games are open already; close the page of one, and it ends within a minute")
            self._players[key] = None
            name = f"watch-{next(self._numbers)}"
        ready: list[str | Exception] = []
        done = threading.Event()

        def tell(found: str | Exception) -> None:
            ready.append(found)
            done.set()

        thread = threading.Thread(target=self._run, args=(key, name, tell), name=name, daemon=True)
        with self._lock:
            self._threads = [other for other in self._threads if other.is_alive()] + [thread]
            thread.start()
        done.wait()
        if isinstance(ready[0], Exception):
            raise ValueError(str(ready[0]))
        return ready[0]

    def _run(self, key: tuple[Any, ...], name: str, tell: Callable[[str | Exception], None]) -> None:
        """A play from its beginning to its end, in a thread of its own."""
        import torch

        from agents.core.manifest import CheckpointError
        from experiments.watching.browser import PlayerPage
        from experiments.watching.player import drive

        torch.set_num_threads(1)
        player = browser = None
        try:
            player = _player(key[0], key[1:], self.root)
            browser = PlayerPage(player.fps, server=self.server, name=name, patience=PATIENCE)
        except (ValueError, RunError, CheckpointError, UserError, ImportError) as fault:
            if player is not None:
                player.close()
            with self._lock:
                del self._players[key]
            tell(fault)
            return
        path = f"/{name}/"
        with self._lock:
            self._players[key], self._open[key] = player, path
        tell(path)
        try:
            drive(player, browser)
        finally:
            with self._lock:
                del self._players[key], self._open[key]
            browser.close()
            player.close()

    def board(self, game: str) -> str:
        """The board of a game that has a page of its own."""
        if game not in envs.GAMES or not (room := envs.entry(game).room):
            raise ValueError(f"{game[:40]!r} has no board")
        with self._lock:
            if ("board", game) not in self._open:
                served = importlib.import_module(f"{room}.play").serve_on(self.server)
                self._open["board", game] = f"/{served.name}/"
            return self._open["board", game]

    def recording(self, path: Path) -> str:
        """A recorded drive, to look through and to cut."""
        from experiments.driving.page import DataPage

        with self._lock:
            if ("recording", path) not in self._open:
                page = DataPage(path, server=self.server, name=f"tub-{next(self._numbers)}")
                self._open["recording", path] = f"/{page.page.name}/"
            return self._open["recording", path]

    def close(self) -> None:
        """Ends every play and waits for it: a thread that is in a network while Python ends aborts the process."""
        end = time.monotonic() + GRACE
        while any(thread.is_alive() for thread in self._threads) and time.monotonic() < end:
            with self._lock:
                for player in self._players.values():
                    if player is not None:
                        player.ended = True
            time.sleep(0.01)


def _player(mode: str, what: Sequence[str], root: Path) -> Any:
    """The games of a visit. Raises ValueError, RunError or CheckpointError for what cannot be shown."""
    from experiments.watching.player import Player
    from experiments.watching.source import Source, find

    if mode == "play":
        sources = [Source(envs.canonical(what[0]))]
    else:
        sources = [find(word, root, live=mode == "live") for word in what]
    if mode == "race":
        agent = sources[0]
        sources = [Source(agent.game, env=agent.options), agent]
    player = Player(sources, seed=1, panels=mode not in ("play", "race"))
    player.loops = True
    if mode in ("play", "race"):
        player.command("take", True)
        if player.focus.human is None:
            told = player.messages[-1] if player.messages else f"{player.game} cannot be played by hand"
            player.close()
            raise ValueError(told)
    return player
