"""The Go board as a page of the lab's web server; the files are in experiments/web/go."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import experiments.web
from experiments.go.table import TYPES, GoTable
from experiments.web.page import Client, Message
from experiments.web.server import Server
from experiments.web.values import command_of, text

FILES = Path(experiments.web.__file__).parent / "go"


def file_of(value: Any) -> bytes:
    """A file as a page sends it: its bytes in base64, since its characters may be of any set."""
    try:
        return base64.b64decode(text(2**17)(value), validate=True)
    except (binascii.Error, UnicodeError):
        raise ValueError("must be a file in base64") from None


PAGE = {name: takes for name, takes in TYPES.items() if name != "quit"} | {"load": file_of}  # commands of a page


class TablePage:
    """A server with the table's page; `address` is to be opened. server: one that is there already."""

    def __init__(self, table: GoTable, host: str = "127.0.0.1", port: int = 0, *, server: Server | None = None):
        self.table = table
        self._owns, self.server = server is None, server or Server(host, port)
        self.page = self.server.add_page("go", FILES, title="Go", on_message=self._heard, on_get=self._get)
        table.publish = lambda view: self.page.publish(states={"table": view})
        self.address = self.server.start(self.page)

    def _heard(self, client: Client, message: Message) -> None:
        self.table.command(*command_of(PAGE, message))

    def _get(self, path: str, query: Mapping[str, str]) -> tuple[bytes, str] | None:
        return (self.table.saved, "application/x-go-sgf") if path == "game.sgf" else None

    def close(self) -> None:
        if self._owns:
            self.server.stop()
        else:
            self.server.remove_page(self.page)
