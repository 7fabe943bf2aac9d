"""HTTP and websockets by aiohttp, in a thread of its own. Loopback by default.

Whoever opens a page must know the token, which is in the printed address and afterwards in a cookie. A websocket must
come from a page of this very server (Origin), and on loopback the address must be a name of this machine (Host), so
that no other web site can reach in. What is no proper request is refused with 400, and limits hold for the connections
(connections.py) and for each page's browsers (page.py).
"""

from __future__ import annotations

import asyncio
import hmac
import html
import logging
import re
import secrets
import shlex
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from experiments.web import address
from experiments.web.connections import PATIENCE, Connections
from experiments.web.page import LONGEST, Client, Message, Page

LOG = logging.getLogger("joypad.web")
HTTP = logging.getLogger("joypad.web.http")  # logger of aiohttp
SHARED = Path(__file__).with_name("shared")  # files that all pages use
MEDIA = {
    ".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".png": "image/png",
    ".json": "application/json", ".webmanifest": "application/manifest+json",
}  # fmt: skip
LONGEST_PATH = 1000  # characters
FETCHES = 32  # answers of on_get and on_put that are made at once; pictures and states have threads of their own
TICKET = 300.0  # time in which an address that lets in once must be used, in s
BEARER = "Bearer "  # beginning of the header by which a program shows the token
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Server:
    """``page = server.add_page(...)``; ``server.start(page)`` returns its address; ``stop``, or use it in a `with`.

    Raises ValueError where the address is none, not free or not this machine's. patience: seconds for a browser that
    sends or reads nothing.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, token: str | None = None, *, patience: float = PATIENCE):
        address.check(host, port)
        self.host, self.port, self.patience = host, port, patience
        self.token = token or secrets.token_urlsafe(16)
        self._tickets: dict[str, float] = {}  # token that lets in once -> moment until which it does
        self.pages: dict[str, Page] = {}
        self.home = ""  # path of the page that leads to all others; "" without one
        self._loop = asyncio.new_event_loop()
        self._fetching = ThreadPoolExecutor(FETCHES, "fetch")
        self._thread: threading.Thread | None = None
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None
        self.connections: Connections | None = None

    def add_page(
        self,
        name: str,
        folder: Path,
        *,
        title: str,
        on_message: Callable[[Client, Message], None] = lambda client, message: None,
        on_open: Callable[[Client], None] = lambda client: None,
        on_get: Callable[[str, Mapping[str, str]], tuple[bytes, str] | None] = lambda path, query: None,
    ) -> Page:
        """Serves the files of `folder` under /name/.

        on_message(client, message): a browser sent a JSON object with a "type"; answer by `client.send`. on_open
        (client): a browser came. Both run in the server's thread and must not wait for anything; a ValueError of
        on_message is told to that browser. on_get(path, query): GET /name/data/path, in a thread where it may take its
        time; returns (content, media type), None for 404, and raises ValueError for a query that makes no sense (400).
        """
        if not re.fullmatch(r"[a-z][a-z0-9-]*", name) or name in ("shared", *self.pages):
            raise ValueError(f"{name!r} cannot be the name of a page, or is taken")
        page = Page(name, Path(folder).resolve(), title, on_message, on_open, on_get, command_line())
        page.loop = self._loop if self._thread else None
        page.home = self.home
        self.pages[name] = page
        return page

    def make_home(self, page: Page) -> None:
        """Every page from now on has a way to this one, which the bare address leads to."""
        self.home = f"/{page.name}/"
        for other in self.pages.values():
            other.home = self.home

    def remove_page(self, page: Page) -> None:
        """Serves a page no longer; whoever has it open is told so."""
        self.pages.pop(page.name, None)
        page.call(page.dismiss)

    def start(self, page: Page | None = None) -> str:
        """Begins to listen; returns the address of `page` (of the first), with the token."""
        if self._thread is None:
            ready: asyncio.Future = self._loop.create_future()
            self._thread = threading.Thread(target=self._run, args=(ready,), name="web", daemon=True)
            started = threading.Event()
            ready.add_done_callback(lambda _: started.set())
            self._thread.start()
            started.wait()
            if fault := ready.exception():
                self._thread.join()
                raise ValueError(address.refusal(self.host, self.port, fault)) from fault
            for served in self.pages.values():
                served.loop = self._loop
        return self._address(page.name if page else next(iter(self.pages), ""), self.token)

    def once(self, page: Page) -> str:
        """The address for a browser that is started here. Its token lets in once, and soon: the command line of a
        browser can be seen by every user of this machine.
        """
        self.start(page)
        ticket = secrets.token_urlsafe(16)
        self._tickets[ticket] = time.monotonic() + TICKET
        return self._address(page.name, ticket)

    def _address(self, name: str, token: str) -> str:
        return f"http://{address.shown(self.host)}:{self.port}/{name}/?token={token}"

    @property
    def warning(self) -> str:
        """What a person must know who lets other machines in; empty on loopback."""
        if address.is_loopback(self.host):
            return ""
        return "Whoever can reach this machine and has this address sees and controls the page; nothing is encrypted."

    def invitation(self, page: Page) -> str:
        """What a program prints when the page is there."""
        return "\n".join(filter(None, (f"open {self.start(page)}", self.warning, "(Ctrl-C ends)")))

    def stop(self) -> None:
        """Closes every connection and ends the thread."""
        if self._thread is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _run(self, ready: asyncio.Future) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._listen())
        except (OSError, ValueError) as fault:  # ValueError: a name that no resolver takes
            ready.set_exception(fault)
            self._loop.run_until_complete(asyncio.sleep(0))
        else:
            ready.set_result(None)
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(self._close())
            self._loop.close()

    async def _listen(self) -> None:
        app = web.Application(middlewares=[self._guard])
        app.on_response_prepare.append(_add_headers)
        app.router.add_get("/", self._index)
        app.router.add_get("/{page}/ws", self._socket)
        app.router.add_get("/{page}/data/{path:.*}", self._data)
        app.router.add_put("/{page}/data/{path:.*}", self._put)
        app.router.add_get("/{page}/{path:.*}", self._file)
        self._runner = web.AppRunner(app, access_log=None, logger=HTTP, shutdown_timeout=1.0)
        await self._runner.setup()
        self.connections = Connections(self._runner.server, self.patience)
        self._listener = await self._loop.create_server(self.connections.accept, self.host, self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._listener is not None:
            self._listener.close()
        clients = [client for page in self.pages.values() for client in page.clients]
        farewells = [client.socket.close(code=1001, message=b"the program has ended") for client in clients]
        if farewells:
            await asyncio.wait(map(asyncio.ensure_future, farewells), timeout=1.0)
        for transport in list(self.connections.open if self.connections else ()):
            transport.abort()
        await self._runner.cleanup()
        self._fetching.shutdown(wait=False, cancel_futures=True)
        left = asyncio.all_tasks() - {asyncio.current_task()}  # requests whose data is not there yet
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=1.0)
        await self._loop.shutdown_default_executor()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Callable) -> web.StreamResponse:
        """Whatever comes is answered, and a fault is one line in the terminal."""
        self.connections.begin(request.transport)
        try:
            return self._refused(request) or await handler(request)
        except (web.HTTPException, ConnectionError, asyncio.CancelledError):
            raise
        except ValueError as fault:
            raise web.HTTPBadRequest(text=str(fault)) from None
        except Exception as fault:
            LOG.error("joypad: %s could not be answered: %s: %s", quote(request.path[:80]), type(fault).__name__, fault)
            LOG.debug("the whole of it", exc_info=fault)
            raise web.HTTPInternalServerError(text="the program could not answer; its terminal says why") from None
        finally:
            self.connections.end(request.transport)

    def _refused(self, request: web.Request) -> web.Response | None:
        """Host, Origin and token, before anything is done; the answer to an address that holds the token."""
        hosts = request.headers.getall("Host", [])
        host = address.host_of(hosts[0]) if len(hosts) == 1 else None
        if host is None or len(request.raw_path) > LONGEST_PATH:
            raise web.HTTPBadRequest(text="the Host or the path of this request is none of a browser's")
        if address.is_loopback(self.host) and not address.is_loopback(host):
            raise web.HTTPForbidden(text="this address is not one of the server's")
        origin = request.headers.get("Origin")
        if origin is not None and origin != f"{request.scheme}://{hosts[0]}":
            raise web.HTTPForbidden(text="requests of other sites are not answered")
        named, shown = request.query.get("token"), request.headers.get("Authorization", "")
        given = named if named is not None else request.cookies.get(self._cookie, "")
        if named is None and shown.startswith(BEARER):  # a program keeps no cookies
            given = shown.removeprefix(BEARER)
        try:
            given = given.encode()
        except UnicodeEncodeError:  # bytes that are no UTF-8
            raise web.HTTPBadRequest(text="the token of this request is no text") from None
        opens = named is not None and request.method == "GET" and not request.path.endswith("/ws")
        known = hmac.compare_digest(given, self.token.encode())
        if not known and not (opens and self._tickets.pop(named, 0.0) > time.monotonic()):
            raise web.HTTPForbidden(text="open the address that the program printed: it holds the token")
        if not opens:
            return None
        response = _redirect("/" + quote(request.path.lstrip("/\\")))  # the address that is shown from now on has none
        response.set_cookie(self._cookie, self.token, httponly=True, samesite="Strict")
        return response

    @property
    def _cookie(self) -> str:
        return f"joypad-{self.port}"  # browsers keep cookies of all ports of a host together

    def _page(self, request: web.Request) -> Page:
        page = self.pages.get(request.match_info["page"])
        if page is None:
            raise web.HTTPNotFound()
        return page

    async def _index(self, request: web.Request) -> web.Response:
        if self.home:
            return _redirect(self.home)
        if len(self.pages) == 1:
            return _redirect(f"/{next(iter(self.pages))}/")
        links = "".join(f'<li><a href="/{p.name}/">{html.escape(p.title)}</a>' for p in self.pages.values())
        head = '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        style = '<link rel="stylesheet" href="/shared/style.css"><title>joypad</title>'
        return web.Response(text=f"{head}{style}<main><h1>joypad</h1><ul>{links}</ul></main>", content_type="text/html")

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        page = self._page(request)
        socket = web.WebSocketResponse(heartbeat=20.0, max_msg_size=LONGEST, compress=False, autoping=False)
        await socket.prepare(request)
        await page.talk(socket)
        return socket

    async def _data(self, request: web.Request) -> web.Response:
        page, path = self._page(request), request.match_info["path"]
        found = await self._loop.run_in_executor(self._fetching, page.on_get, path, dict(request.query))
        if found is None:
            raise web.HTTPNotFound()
        return web.Response(body=found[0], content_type=found[1])

    async def _put(self, request: web.Request) -> web.Response:
        """A file comes, which is given on once it is whole."""
        page, body = self._page(request), bytearray()
        if page.on_put is None:
            raise web.HTTPNotFound()
        try:
            while len(body) <= page.longest_body and (
                piece := await asyncio.wait_for(request.content.readany(), self.patience)
            ):
                body += piece
        except asyncio.TimeoutError:  # Python 3.10 has another class than TimeoutError
            raise web.HTTPRequestTimeout(text="the rest of the file did not come") from None
        if len(body) > page.longest_body:
            raise web.HTTPRequestEntityTooLarge(page.longest_body, len(body), text="the file is too large")
        path, query = request.match_info["path"], dict(request.query)
        found = await self._loop.run_in_executor(self._fetching, page.on_put, path, query, bytes(body))
        if found is None:
            raise web.HTTPNotFound()
        return web.Response(body=found[0], content_type=found[1])

    async def _file(self, request: web.Request) -> web.Response:
        folder = SHARED if request.match_info["page"] == "shared" else self._page(request).folder
        path = _files(folder).get(request.match_info["path"] or "index.html")
        if path is None:
            raise web.HTTPNotFound()
        return web.Response(body=path.read_bytes(), content_type=MEDIA[path.suffix], charset="utf-8")


def _files(folder: Path) -> dict[str, Path]:
    """What a folder has for browsers, by name: a name that is not among them leads nowhere, however it is written."""
    found = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.suffix in MEDIA}
    return {name: file for name, file in found.items() if file.is_file() and folder in file.resolve().parents}


def command_line() -> str:
    """What starts this program again, for a page that has lost it."""
    program, *arguments = sys.argv
    if program.startswith("joypad "):  # experiments/__main__.py
        return f"{program} {shlex.join(arguments)}"
    if Path(program).parent.name != "experiments":
        return ""
    return shlex.join(["python", "-m", f"experiments.{Path(program).stem}", *arguments])


def _redirect(path: str) -> web.Response:
    return web.Response(status=302, headers={"Location": path})


def _in_one_line(record: logging.LogRecord) -> bool:
    """Leaves out what a client did wrong (it is told so), and of a fault of ours the traceback."""
    fault = record.exc_info[1] if record.exc_info else None
    if fault is not None:
        record.msg, record.args, record.exc_info = "joypad: the web server: %s: %s", (type(fault).__name__, fault), None
    return not isinstance(fault, HttpProcessingError | ConnectionError)


HTTP.addFilter(_in_one_line)


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)
