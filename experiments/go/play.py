"""Play Go: ``python -m experiments.play go --size 9``. A window, or with --web a page on this machine.

The player can be `rave`, which needs no training, or a run. Load and save SGF, take moves back, see where it looks,
what it expects to belong to whom, and how its chances went.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from experiments import arguments, cli
from experiments.display import has_display
from experiments.go.clock import Setting
from experiments.web import address

if TYPE_CHECKING:
    from experiments.web.page import Page
    from experiments.web.server import Server


@dataclasses.dataclass(frozen=True)
class PlayGoCommand:
    """Who plays whom."""

    player: str = "rave"  # rave, or a run folder
    size: int = 9  # lines of the board, 2 to 19
    komi: float = 7.5  # points that White has beforehand
    you: Literal["black", "white", "both", "none"] = "black"  # your colour
    handicap: int = 0  # black stones on fixed points
    rules: str = "chinese"  # chinese, tromp-taylor, aga, new-zealand, japanese
    seconds: float = 2.0  # seconds that the player thinks about a move
    main_time: float | None = None  # minutes that each side has for the game; without it, and --byo-yomi, no limit
    byo_yomi: float | None = None  # seconds of a period; periods follow the main time
    periods: int = 5  # periods of byo-yomi that each side has
    visits: int | None = None  # visits of the search for a move, at most
    sgf: Path | None = None  # a game to begin with
    web: bool = False  # a page instead of a window
    port: int = 0  # port of the page; 0 takes a free one
    host: str = "127.0.0.1"  # address of the page; another one of this machine lets others in who know the token
    save: Path = Path("runs/go-games")  # folder for saved games

    def __post_init__(self) -> None:
        if not 2 <= self.size <= 19:
            raise ValueError(f"--size {self.size}: must be 2 to 19")
        if not abs(self.komi) <= 1000:
            raise ValueError(f"--komi {self.komi}: must be -1000 to 1000")
        arguments.within(self, 0.01, 120, "seconds")
        arguments.within(self, 0.1, 6000, "main_time")
        arguments.within(self, 1, 3600, "byo_yomi")
        arguments.within(self, 1, 100, "periods")
        if self.handicap and not 2 <= self.handicap <= 9:
            raise ValueError(f"--handicap {self.handicap}: must be 0, or 2 to 9")
        address.check(self.host, self.port)
        arguments.at_least(self, 1, "visits")


def main(argv: list[str], join: Callable[[Server], Any] = lambda server: None) -> None:
    """Called by `experiments.play` with what stands behind `go`. join: adds other pages to the page's server."""
    with cli.edge():
        command = arguments.read(PlayGoCommand, argv, __doc__, "play go")
        from envs import kernels
        from experiments.go import naming
        from experiments.go.rulesets import RULES, UnknownRules, named

        try:
            rules = named(command.rules)[0]
        except UnknownRules:
            raise cli.UserError(f"--rules {command.rules}: must be one of {', '.join(RULES)}") from None
        naming.model(command.player)
        cli.starting(kernels=True)
        with kernels.alone("agents/search"):
            from envs.go import sgf
            from experiments.go import players
            from experiments.go.engine import Habits
            from experiments.go.table import GoTable
        player = players.load(command.player, seed=int.from_bytes(os.urandom(6), "big"))
        with cli.refusing():
            table = GoTable(
                player, size=command.size, komi=command.komi, human=command.you,
                habits=Habits(command.visits, command.seconds), handicap=command.handicap, rules=rules,
            )  # fmt: skip
        table.watch.setting = control(command)
        if command.sgf is not None:
            try:
                remarks = table.load(sgf.read_file(command.sgf))
            except OSError as fault:
                raise cli.UserError(f"{command.sgf}: {fault.strerror}") from fault
            except sgf.SGFError as fault:
                raise cli.UserError(f"{command.sgf}: {fault}") from fault
            for remark in remarks:
                print(f"{command.sgf}: {remark}", flush=True)
        if not command.web and has_display():
            from experiments.go.screen import TableWindow

            try:
                screen = TableWindow(table, command.save)
            except RuntimeError as fault:  # pygame.error: a display that is named and not there
                print(f"no window can be opened ({fault}); a page instead")
            else:
                screen.run()
                return
        serve(command, table, join)


def control(command: PlayGoCommand) -> Setting:
    """The time control that the options ask for."""
    main = 60 * (command.main_time or 0)
    if command.byo_yomi:
        return Setting("byoyomi", main, command.byo_yomi, command.periods)
    return Setting("absolute", main) if main else Setting()


def serve_on(server: Server) -> Page:
    """The board as a page of a server that is there already, with the player that needs no training."""
    from envs import kernels

    with kernels.alone("agents/search"):
        from experiments.go import players
        from experiments.go.browser import TablePage
        from experiments.go.engine import Habits
        from experiments.go.table import GoTable
    usual = PlayGoCommand()
    player = players.load(usual.player, seed=int.from_bytes(os.urandom(6), "big"))
    table = GoTable(player, size=usual.size, komi=usual.komi, human=usual.you, habits=Habits(None, usual.seconds))
    browser = TablePage(table, server=server)
    table.start()
    return browser.page


def serve(command: PlayGoCommand, table, join: Callable[[Server], Any]) -> None:
    """The page, until Ctrl-C."""
    from experiments.go.browser import TablePage

    with cli.refusing():
        browser = TablePage(table, command.host, command.port)
    joined = join(browser.server)
    print(browser.server.invitation(browser.page), flush=True)
    table.start()
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        print()
    finally:
        if joined is not None:
            joined.close()
        table.close()
        browser.close()
