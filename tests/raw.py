"""Bytes on a socket, for tests of the web server: what no browser sends, and browsers that do not read."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from typing import Any

DEEP = "[" * 30_000 + "]" * 30_000

# Every kind of value that JSON knows, and what Python makes of the odd ones: none is right for all commands.
KINDS: list[Any] = [
    0, 1, -1, 7, 2**31, -(2**63), 10**400, 0.0, 0.5, -0.25, 1e308, 5e-324, float("nan"), float("inf"), float("-inf"),
    "", "x", "0", "greedy", "\x00", "é日本", "\ud800", "x" * 30_000, [], [[]], [None, None], ["a", 1], [1.5] * 40,
    {}, {"a": 1}, {"size": {}, "komi": []}, True, False, None,
]  # fmt: skip
MISSING = object()  # no value at all


def connect(port: int, buffer: int = 0) -> socket.socket:
    """A connection; buffer: bytes that the kernel keeps for a reader who does not read."""
    sock = socket.socket()
    if buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    sock.settimeout(60)
    sock.connect(("127.0.0.1", port))
    return sock


def request(path: str | bytes, port: int, *headers: bytes, host: bytes | None = None, method: bytes = b"GET") -> bytes:
    """A request as bytes, after whose answer the connection ends (unless a header says something else about it)."""
    if not any(header.startswith(b"Connection:") for header in headers):
        headers = (*headers, b"Connection: close")
    path = path.encode() if isinstance(path, str) else path
    host = b"127.0.0.1:%d" % port if host is None else host
    return b"\r\n".join([method + b" " + path + b" HTTP/1.1", b"Host: " + host, *headers, b"", b""])


def answer(port: int, data: bytes) -> tuple[int, bytes]:
    """(status, everything else) of the answer to some bytes; status 0: the connection was closed without one."""
    with connect(port) as sock:
        with contextlib.suppress(ConnectionError):  # it may be closed before everything is sent
            sock.sendall(data)
        found = rest(sock)
    return (int(found.split(b" ", 2)[1]) if found.startswith(b"HTTP/1.") else 0), found


def rest(sock: socket.socket) -> bytes:
    """What still comes until the other side ends the connection; TimeoutError where it never does."""
    found = b""
    with contextlib.suppress(ConnectionError):
        while part := sock.recv(2**16):
            found += part
    return found


class Talker:
    """A websocket by hand: frames are sent as they are told, and nothing is read unless it is asked for."""

    def __init__(self, port: int, token: str, page: str, buffer: int = 0):
        self.sock = connect(port, buffer)
        self.sock.sendall(
            request(
                f"/{page}/ws?token={token}", port, b"Upgrade: websocket", b"Connection: Upgrade",
                b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            )
        )  # fmt: skip
        self._got = b""
        while b"\r\n\r\n" not in self._got:
            self._got += self.sock.recv(4096)
        head, _, self._got = self._got.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head

    def frame(self, data: bytes | str, kind: int = 1) -> None:
        """1 text, 2 bytes, 8 close, 9 ping, 10 pong."""
        data = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
        size = len(data)
        short = bytes([0x80 | size]) if size < 126 else b"\xff" + size.to_bytes(8, "big")
        mask = os.urandom(4)
        whole = (mask * (size // 4 + 1))[:size]
        hidden = (int.from_bytes(data, "big") ^ int.from_bytes(whole, "big")).to_bytes(size, "big")
        self.sock.sendall(bytes([0x80 | kind]) + short + mask + hidden)

    def say(self, **message: Any) -> None:
        self.frame(json.dumps(message))

    def read(self) -> tuple[int, bytes]:
        """(kind, data) of the next frame."""
        head = self._take(2)
        size = head[1]
        if size > 125:
            size = int.from_bytes(self._take(2 if size == 126 else 8), "big")
        return head[0] & 15, self._take(size)

    def hear(self, *types: str) -> dict[str, Any]:
        """The next message of these types."""
        while True:
            kind, data = self.read()
            assert kind != 8, f"closed: {data!r}"
            if kind == 1 and (message := json.loads(data))["type"] in types:
                return message

    def _take(self, count: int) -> bytes:
        while len(self._got) < count:
            part = self.sock.recv(2**16)
            assert part, "closed"
            self._got += part
        found, self._got = self._got[:count], self._got[count:]
        return found

    def close(self) -> None:
        self.sock.close()
