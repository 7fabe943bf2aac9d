"""What the tests of the Go board for people share: a table with a thread of its own, and waiting for its views."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from envs.go.game import from_vertex
from experiments.go import players
from experiments.go.engine import Habits
from experiments.go.table import GoTable


def at(vertex: str, size: int = 5) -> int:
    return from_vertex(vertex, size)


def watched(table: GoTable) -> GoTable:
    """The table, which keeps the view that it published last: `GoTable.view` is for its own thread alone."""
    publish, table.shown = table.publish, table.view()

    def both(view: dict) -> None:
        publish(view)
        table.shown = view

    table.publish = both
    return table


def seats() -> Iterator[Callable[..., GoTable]]:
    """A function that makes a table with quick moves; its thread runs until the test is over."""
    made = []

    def make(start: bool = True, **options) -> GoTable:
        table = GoTable(players.rave(seed=2), **{"size": 5, "human": "both", "habits": Habits(visits=30)} | options)
        table.analysing = False
        made.append(watched(table))
        if start:
            table.start()
        return table

    yield make
    for table in made:
        table.close()


def until(table: GoTable, wanted, seconds: float = 60.0) -> dict:
    """The first published view that is as wanted."""
    end = time.monotonic() + seconds
    while not wanted(view := table.shown):
        assert time.monotonic() < end, view
        time.sleep(0.01)
    return view
