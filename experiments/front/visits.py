"""Pages of watching, playing, boards and recordings that the front door opens, in the server that it is part of."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import envs
from agents.core.manifest import CheckpointError
from experiments.cli import UserError
from experiments.web.server import Server

LOG = logging.getLogger("joypad.web")
MOST = 4  # plays at once; each has a game and a network, and steps in real time
PATIENCE = 60.0  # seconds after which a play that nobody looks at ends
GRACE = 10.0  # seconds that plays have to end
MODES = ("watch", "live", "play", "race")


class Visits:
    """Every page that is open. Methods return the path of a page and raise ValueError for what cannot be opened."""

    def __init__(self, server: Server, root: Path):
        self.server, self.root = server, root
        self._lock, self._numbers = threading.Lock(), itertools.count(1)
        self._open: dict[tuple[Any, ...], str] = {}  # board or recording -> path of the page that shows it
        self._watched: dict[tuple[str, ...], Future[str]] = {}  # words of a watched game -> path of its page
        self._players: dict[str, Any] = {}  # name of a page -> its player; None while that is loaded
        self._closed = False
        self._threads: list[threading.Thread] = []

    def play(self, mode: str, what: Sequence[str]) -> str:
        """A game to be watched, played or raced; the page of equal words is shared."""
        key = (mode, *what)
        with self._lock:
            opened = self._watched.get(key)
            if opened is None:
                if len(self._players) >= MOST:
                    told = f"{MOST} games are open already; close the page of one, and it ends within a minute"
                    raise ValueError(told)
                opened, name = Future(), f"watch-{next(self._numbers)}"
                self._players[name] = None
                if mode == "watch":
                    self._watched[key] = opened
                thread = threading.Thread(target=self._run, args=(key, name, opened), name=name, daemon=True)
                self._threads = [other for other in self._threads if other.is_alive()] + [thread]
                thread.start()
        try:
            return opened.result()
        except (CheckpointError, UserError, ImportError) as fault:
            raise ValueError(str(fault)) from None

    def _run(self, key: tuple[str, ...], name: str, opened: Future[str]) -> None:
        """A play from its beginning to its end, in a thread of its own. Its place is free again whatever happens."""
        failed: BaseException | None = None
        try:
            with contextlib.ExitStack() as held:
                held.callback(self._forget, key, name, opened)
                self._show(key, name, opened, held)
        except BaseException as fault:  # a game may raise anything, and somebody waits for an answer
            failed = fault
        if failed is not None and not opened.done():
            opened.set_exception(failed)
        elif failed is not None:
            LOG.error("joypad: the play of %s has ended: %s: %s", " ".join(key[1:]), type(failed).__name__, failed)

    def _show(self, key: tuple[str, ...], name: str, opened: Future[str], held: contextlib.ExitStack) -> None:
        """Plays on a page of its own. What is opened is closed with `held`."""
        import torch

        from experiments.watching.browser import PlayerPage
        from experiments.watching.player import drive

        torch.set_num_threads(1)
        player = _player(key[0], key[1:], self.root)
        held.callback(player.close)
        browser = PlayerPage(player.fps, server=self.server, name=name, patience=PATIENCE)
        held.callback(browser.close)
        with self._lock:
            self._players[name] = player
            player.ended = self._closed
        opened.set_result(f"/{name}/")
        drive(player, browser)

    def _forget(self, key: tuple[str, ...], name: str, opened: Future[str]) -> None:
        with self._lock:
            del self._players[name]
            if self._watched.get(key) is opened:
                del self._watched[key]

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
        self._closed, end = True, time.monotonic() + GRACE
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
