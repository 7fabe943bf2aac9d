"""One page and the browsers that have it open: pictures and states of which only the newest counts, and messages.

A browser that is slow gets fewer pictures, never older ones: after each delivery the server waits until the page has
drawn it and says `ready`, and then sends what is newest at that moment. Everything else that is to be sent (messages,
errors, answers to pings) waits in one mailbox that holds at most MAILBOX letters and ROOM bytes; a browser whose
mailbox is full is let go.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from aiohttp import WSMessage, WSMsgType, web

from experiments.web.pictures import encode
from experiments.web.values import number, shown, take

LOG = logging.getLogger("joypad.web")
MAILBOX = 256  # letters that wait for one browser at most
ROOM = 2**20  # bytes of the waiting letters at most
LONGEST = 2**17  # bytes of a message from a browser
TYPES = {"ping": number(-1e12, 1e12)}  # types of the messages that the page's own half sends

Message = dict[str, Any]


class Client:
    """One browser that has the page open."""

    def __init__(self, page: Page, socket: web.WebSocketResponse):
        self.page, self.socket = page, socket
        self.ready = True  # True if the browser has drawn the last delivery
        self.seen: dict[str, int] = {}  # state or picture -> number of the newest that was sent
        self.letters: deque[str | bytes] = deque()  # messages, and answers to pings of the WebSocket protocol
        self.bytes = 0  # bytes of the letters
        self.refused = False  # True if the browser has not read for too long
        self.wake = asyncio.Event()

    def send(self, message: Message) -> None:
        """Sends a message to this browser alone; from any thread."""
        self.page.call(self.put, message)

    def put(self, message: Message | bytes) -> None:
        """Into the mailbox; in the server's thread."""
        if self.refused:
            return
        letter = message if isinstance(message, bytes) else json.dumps(message)
        self.letters.append(letter)
        self.bytes += len(letter)
        if len(self.letters) > MAILBOX or self.bytes > ROOM:
            self.letters.clear()
            self.bytes, self.refused = 0, True
        self.wake.set()

    async def deliver(self) -> None:
        """Sends whatever there is, as long as the browser is there."""
        with contextlib.suppress(ConnectionError):  # it has just gone
            while not self.socket.closed and not self.refused:
                await self.wake.wait()
                self.wake.clear()
                while self.letters:
                    letter = self.letters.popleft()
                    self.bytes -= len(letter)
                    await (self.socket.pong(letter) if isinstance(letter, bytes) else self.socket.send_str(letter))
                if self.ready and not self.refused:
                    await self._newest()
            await self.socket.close(code=1008, message=b"too many unread messages")

    async def _newest(self) -> None:
        """One delivery: every state and picture that is newer than what the browser has."""
        fresh = [item for item in list(self.page.items.values()) if item.number > self.seen.get(item.key, 0)]
        if not fresh:
            return
        self.ready = False
        for item in fresh:
            self.seen[item.key] = item.number
            data = await item.encoded()
            await (self.socket.send_bytes(data) if isinstance(data, bytes) else self.socket.send_str(data))
        await self.socket.send_str('{"type": "end"}')


class Item:
    """The newest state or picture of one name. It is encoded at most once, and only if a browser wants it."""

    def __init__(self, key: str, number: int, content: Any, at: float):
        self.key, self.number, self.content, self.at = key, number, content, at
        self._task: asyncio.Future | None = None

    def encoded(self) -> asyncio.Future:
        """Returns a future of the encoded content, which all browsers share."""
        if self._task is None:
            self._task = asyncio.get_running_loop().run_in_executor(None, self._encode)
        return asyncio.shield(self._task)  # a browser that leaves meanwhile takes it from nobody else

    def _encode(self) -> str | bytes:
        kind, _, name = self.key.partition(" ")
        if kind == "state":
            return json.dumps({"type": "state", "name": name, "at": self.at, "state": self.content})
        data, media = encode(self.content)
        about = json.dumps({"name": name, "at": self.at, "number": self.number, "media": media}).encode()
        return len(about).to_bytes(4, "big") + about + data


class Page:
    """A page as the rest of the program sees it; every method may be called from any thread. See `Server.add_page`."""

    def __init__(
        self, name: str, folder: Path, title: str, on_message: Callable[[Client, Message], None],
        on_open: Callable[[Client], None], on_get: Callable[[str, Mapping[str, str]], tuple[bytes, str] | None],
        command: str,
    ):  # fmt: skip
        self.command = command  # command line of the program, for a page that has lost it
        self.name, self.folder, self.title = name, folder, title
        self.on_message, self.on_open, self.on_get = on_message, on_open, on_get
        self.clients: set[Client] = set()
        self.items: dict[str, Item] = {}
        self.home = ""  # path of the page that leads to all others; "" without one
        self.on_put: Callable[[str, Mapping[str, str], bytes], tuple[bytes, str] | None] | None = None
        self.longest_body = 0  # bytes of what on_put is given at most
        self.loop: asyncio.AbstractEventLoop | None = None  # event loop of the server, once it has started
        self._waking, self._lock, self._number = False, threading.Lock(), 0

    def take_files(
        self, on_put: Callable[[str, Mapping[str, str], bytes], tuple[bytes, str] | None], longest: int
    ) -> None:  # fmt: skip
        """PUT /name/data/path is answered by on_put(path, query, body), as GET is by on_get; the body has at most
        `longest` bytes. Nothing else is taken without it."""
        self.on_put, self.longest_body = on_put, longest

    @property
    def watchers(self) -> int:
        """How many browsers have the page open."""
        return len(self.clients)

    def publish(
        self, pictures: Mapping[str, np.ndarray] | None = None, states: Mapping[str, Any] | None = None
    ) -> None:
        """Shows the newest pictures (uint8 [H, W, 3] or [H, W], not to be changed afterwards) and states (JSON).

        They reach a browser together; of what comes faster than it draws, it gets the newest alone.
        """
        at = time.time()
        with self._lock:
            for kind, group in (("picture", pictures), ("state", states)):
                for name, content in (group or {}).items():
                    self._number += 1
                    self.items[f"{kind} {name}"] = Item(f"{kind} {name}", self._number, content, at)
            if self._waking or self.loop is None:  # clients that come later get it then
                return
            self._waking = True
        self.call(self._wake_all)

    def send(self, message: Message) -> None:
        """Sends a message to every browser, in order."""
        self.call(lambda: [client.put(message) for client in self.clients])

    def call(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Runs a function in the server's thread; before it starts and after it has stopped: not at all."""
        if self.loop is not None and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(function, *arguments)

    def dismiss(self) -> None:
        """Sends every browser away; in the server's thread."""
        for client in self.clients:
            client.put({"type": "gone"})

    def _wake_all(self) -> None:
        with self._lock:
            self._waking = False
        for client in self.clients:
            client.wake.set()

    async def talk(self, socket: web.WebSocketResponse) -> None:
        """Serves one browser until it leaves."""
        client = Client(self, socket)
        self.clients.add(client)
        client.put({"type": "welcome", "command": self.command, "home": self.home})
        self.on_open(client)
        client.wake.set()
        delivery = asyncio.create_task(client.deliver())
        delivery.add_done_callback(_tell)
        try:
            async for frame in socket:
                if not client.refused:
                    self._hear(client, frame)
        finally:
            self.clients.discard(client)
            delivery.cancel()
            await asyncio.gather(delivery, return_exceptions=True)  # the socket may have broken under it

    def _hear(self, client: Client, frame: WSMessage) -> None:
        if frame.type == WSMsgType.PING:  # answered from the mailbox, so that unread answers are counted
            client.put(bytes(frame.data))
        elif frame.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            message: Message = {}
            try:
                message = message_of(frame)
                self._obey(client, message)
            except ValueError as fault:
                ask = message.get("ask")  # number of a question, by which the page knows whose answer it is
                asked = {"ask": ask} if isinstance(ask, int) and 0 <= ask < 2**53 else {}
                client.put({"type": "error", "message": str(fault), **asked})

    def _obey(self, client: Client, message: Message) -> None:
        if message["type"] == "ready":
            client.ready = True
            client.wake.set()
        elif message["type"] == "ping":  # the sender's time, for the difference of the clocks
            sent = take(TYPES, "ping", message.get("sent"))
            client.put({"type": "pong", "sent": sent, "now": time.time()})
        else:
            self.on_message(client, message)


def _tell(delivery: asyncio.Task) -> None:
    """Something was published that is no picture or no JSON."""
    if not delivery.cancelled() and (fault := delivery.exception()) is not None:
        LOG.error("joypad: a page could not be shown: %s: %s", type(fault).__name__, fault)


def message_of(frame: WSMessage) -> Message:
    """The JSON object in a frame. Raises ValueError for everything else."""
    try:
        message = json.loads(frame.data) if frame.type == WSMsgType.TEXT else None
    except (ValueError, RecursionError):  # no JSON, or lists in lists without end
        message = None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ValueError("a message must be a JSON object with a type")
    if len(message["type"]) > 40:
        raise ValueError(f"there is no message {shown(message['type'])}")
    return message
