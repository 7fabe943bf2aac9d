"""The Go board as a page of the lab's web server; the files are in experiments/web/go."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import experiments.web
from experiments.go.table import Table
from experiments.web.page import Client, Message
from experiments.web.server import Server

FILES = Path(experiments.web.__file__).parent / "go"


class Browser:
    """A server with the table's page; `address` is to be opened."""

    def __init__(self, table: Table, host: str = "127.0.0.1", port: int = 0):
        self.table = table
        self.server = Server(host, port)
        self.page = self.server.add_page("go", FILES, title="Go", on_message=self._heard, on_get=self._get)
        table.publish = lambda view: self.page.publish(states={"table": view})
        self.address = self.server.start(self.page)

    def _heard(self, client: Client, message: Message) -> None:
        name = message.get("name")
        if message["type"] != "command" or not isinstance(name, str) or name == "quit":
            client.send({"type": "error", "message": f"{message['type']} {name} is not understood"})
        else:
            self.table.command(name, message.get("value"))

    def _get(self, path: str, query: Mapping[str, str]) -> tuple[bytes, str] | None:
        return (self.table.saved, "application/x-go-sgf") if path == "game.sgf" else None

    def close(self) -> None:
        self.server.stop()
