"""HTTP and websockets by aiohttp, in a thread of its own. Loopback by default.

Whoever opens a page must know the token, which is in the printed address and afterwards in a cookie. A websocket must
come from a page of this very server (Origin), and on loopback the address must be a name of this machine (Host), so
that no other web site can reach in.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from experiments.web.page import LONGEST, Client, Message, Page

SHARED = Path(__file__).with_name("shared")  # what all pages use
MEDIA = {
    ".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".png": "image/png",
    ".json": "application/json", ".webmanifest": "application/manifest+json",
}  # fmt: skip
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Server:
    """``page = server.add_page(...)``; ``server.start(page)`` returns its address; ``stop``, or use it in a `with`.

    Raises ValueError where the address is not free or not this machine's.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, token: str | None = None):
        self.host, self.port = host, port
        self.token = token or secrets.token_urlsafe(16)
        self.pages: dict[str, Page] = {}
        self._loop = asyncio.new_event_loop()
        self._thread: threading.Thread | None = None
        self._runner: web.AppRunner | None = None

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
        (client): a browser came. Both run in the server's thread and must not wait for anything. on_get(path, query):
        GET /name/data/path, in a thread where it may take its time; returns (content, media type), None for 404.
        """
        if not re.fullmatch(r"[a-z][a-z0-9-]*", name) or name in ("shared", *self.pages):
            raise ValueError(f"{name!r} cannot be the name of a page, or is taken")
        page = Page(name, Path(folder).resolve(), title, on_message, on_open, on_get)
        page.loop = self._loop if self._thread else None
        self.pages[name] = page
        return page

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
                raise ValueError(f"cannot listen on {self.host}:{self.port}: {fault}") from fault
            for served in self.pages.values():
                served.loop = self._loop
        name = page.name if page else next(iter(self.pages), "")
        return f"http://{self._shown}:{self.port}/{name}/?token={self.token}"

    def stop(self) -> None:
        """Closes every connection and ends the thread."""
        if self._thread is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def _shown(self) -> str:
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host
        return f"[{host}]" if ":" in host else host

    def _run(self, ready: asyncio.Future) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._listen())
        except OSError as fault:
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
        app.router.add_get("/{page}/{path:.*}", self._file)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        for page in self.pages.values():
            for client in list(page.clients):
                await client.socket.close(code=1001, message=b"the program has ended")
        await self._runner.cleanup()
        await self._loop.shutdown_default_executor()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Callable) -> web.StreamResponse:
        """Host, Origin and token, before anything is done."""
        if _is_loopback(self.host) and not _is_loopback(urlsplit(f"//{request.host}").hostname or ""):
            raise web.HTTPForbidden(text="this address is not one of the server's")
        origin = request.headers.get("Origin")
        if origin is not None and origin != f"{request.scheme}://{request.host}":
            raise web.HTTPForbidden(text="requests of other sites are not answered")
        named = request.query.get("token")
        given = named if named is not None else request.cookies.get(self._cookie, "")
        if not hmac.compare_digest(given.encode(), self.token.encode()):
            raise web.HTTPForbidden(text="open the address that the program printed: it holds the token")
        if named is not None and not request.path.endswith("/ws"):  # the address that is shown from now on has none
            response = _redirect("/" + request.path.lstrip("/"))
            response.set_cookie(self._cookie, self.token, httponly=True, samesite="Strict")
            return response
        return await handler(request)

    @property
    def _cookie(self) -> str:
        return f"joypad-{self.port}"  # browsers keep cookies of all ports of a host together

    def _page(self, request: web.Request) -> Page:
        page = self.pages.get(request.match_info["page"])
        if page is None:
            raise web.HTTPNotFound()
        return page

    async def _index(self, request: web.Request) -> web.Response:
        if len(self.pages) == 1:
            return _redirect(f"/{next(iter(self.pages))}/")
        links = "".join(f'<li><a href="/{p.name}/">{p.title}</a>' for p in self.pages.values())
        head = '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        style = '<link rel="stylesheet" href="/shared/style.css"><title>joypad</title>'
        return web.Response(text=f"{head}{style}<main><h1>joypad</h1><ul>{links}</ul></main>", content_type="text/html")

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        page = self._page(request)
        socket = web.WebSocketResponse(heartbeat=20.0, max_msg_size=LONGEST, compress=False)
        await socket.prepare(request)
        await page.talk(socket)
        return socket

    async def _data(self, request: web.Request) -> web.Response:
        page, path = self._page(request), request.match_info["path"]
        found = await self._loop.run_in_executor(None, page.on_get, path, dict(request.query))
        if found is None:
            raise web.HTTPNotFound()
        return web.Response(body=found[0], content_type=found[1])

    async def _file(self, request: web.Request) -> web.Response:
        folder = SHARED if request.match_info["page"] == "shared" else self._page(request).folder
        path = (folder / (request.match_info["path"].replace("\0", "") or "index.html")).resolve()
        if folder not in path.parents or path.suffix not in MEDIA or not path.is_file():
            raise web.HTTPNotFound()
        return web.Response(body=path.read_bytes(), content_type=MEDIA[path.suffix], charset="utf-8")


def _redirect(path: str) -> web.Response:
    return web.Response(status=302, headers={"Location": path})


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
