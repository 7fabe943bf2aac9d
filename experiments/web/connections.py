"""The limits of the connections: how many are open, and how long each may do nothing.

PATIENCE seconds has whoever is asked for something: for the whole of a request (half-sent headers, bytes that trickle,
browsers that keep a connection), and for taking what was sent (answers, pictures, messages that nobody reads).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

PATIENCE = 20.0  # time limit of the other side, in s
MOST = 256  # open connections; a page needs about six
FULL = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 25\r\n\r\ntoo many open connections"


class Connections:
    """All connections of a server. `accept` makes the protocol of a new one around the server's own."""

    def __init__(self, make: Callable[[], asyncio.Protocol], patience: float = PATIENCE, most: int = MOST):
        self.make, self.patience, self.most = make, patience, most
        self.open: dict[asyncio.BaseTransport, Connection] = {}

    def accept(self) -> Connection:
        """Makes the protocol of a new connection."""
        return Connection(self, self.make())

    def begin(self, transport: asyncio.BaseTransport | None) -> None:
        """A whole request has come: from now on its handler decides how long it takes."""
        if connection := self.open.get(transport):
            connection.watch(asked=False)

    def end(self, transport: asyncio.BaseTransport | None) -> None:
        """The request is handled: its answer has to be taken, and the next one may come."""
        if connection := self.open.get(transport):
            connection.watch(asked=True)


class Connection(asyncio.Protocol):
    """One connection; everything is passed on to the protocol `inner`."""

    def __init__(self, all_of_them: Connections, inner: asyncio.Protocol):
        self.all, self.inner = all_of_them, inner
        self.transport: asyncio.Transport | None = None
        self._asked = self._full = False  # True while a request is due; True while the send buffer is full
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Opens the connection, or answers that the server is full and closes it."""
        self.transport = transport
        if len(self.all.open) >= self.all.most:
            self.inner = asyncio.Protocol()  # protocol that ignores everything
            transport.write(FULL)
            transport.close()
            return
        self.all.open[transport] = self
        self.inner.connection_made(transport)
        self.watch(asked=True)

    def watch(self, *, asked: bool | None = None, full: bool | None = None) -> None:
        """Counts the seconds anew, where the other side has something to do."""
        self._asked = self._asked if asked is None else asked
        self._full = self._full if full is None else full
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._asked or self._full:
            self._look_later(math.inf)

    def _look_later(self, unsent: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(self.all.patience, self._look, unsent)

    def _look(self, before: float) -> None:
        """Ends the connection, unless what was sent still flows, however slowly."""
        unsent = self.transport.get_write_buffer_size()
        if 0 < unsent < before:
            self._look_later(unsent)
        else:
            self.transport.abort()

    def connection_lost(self, fault: Exception | None) -> None:
        """Forgets the connection and tells the inner protocol."""
        self.watch(asked=False, full=False)
        self.all.open.pop(self.transport, None)
        self.inner.connection_lost(fault)

    def data_received(self, data: bytes) -> None:
        """Passes the bytes on to the inner protocol."""
        self.inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Passes the end of the input on; a true result keeps the connection half open."""
        return self.inner.eof_received()

    def pause_writing(self) -> None:
        """Passes on that the send buffer is full, and starts the timeout of the other side."""
        self.watch(full=True)
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        """Passes on that the send buffer has room again; the timeout goes on only while a request is due."""
        self.watch(full=False)
        self.inner.resume_writing()
