"""The front door: ``joypad`` alone, or ``python -m experiments.home``.

One page on this machine with every game and its best agent (watch, play, race), all runs (curves, compare, continue,
score, delete), trainings that are started, watched and stopped from it, boards and recordings. Its address is printed,
and a browser is opened where there is a display. Trainings go on when the page or this program has ended.
"""

from __future__ import annotations

import dataclasses
import webbrowser
from pathlib import Path

from experiments import arguments, cli
from experiments.display import has_display
from experiments.web import address


@dataclasses.dataclass(frozen=True)
class HomeCommand:
    """Where the page is."""

    port: int = 0  # port of the page; 0 takes a free one
    host: str = "127.0.0.1"  # address of the page; another one of this machine lets others in who know the token
    browser: bool = True  # open a browser, where there is a display
    data: Path = Path("data")  # folder of the recordings
    models: Path = Path("models")  # folder of networks for the car
    runs: Path = Path("runs")  # folder of the run folders

    def __post_init__(self) -> None:
        address.check(self.host, self.port)


def serve(command: HomeCommand) -> None:
    """The page, until Ctrl-C."""
    from experiments.front import house
    from experiments.web.server import Server

    ended = cli.ending()
    with cli.refusing():
        server = Server(command.host, command.port)
        made = house.join(server, command.runs, command.data, command.models)
        print(server.invitation(made.page), flush=True)
    try:
        if command.browser and has_display():
            webbrowser.open(server.once(made.page))
        cli.until(ended)
    finally:
        made.close()
        server.stop()


def main() -> None:
    with cli.edge():
        serve(arguments.read(HomeCommand, None, __doc__, "home"))


if __name__ == "__main__":
    main()
