"""The web server from outside: who is let in, and that a slow browser gets fewer pictures, never old ones."""

import asyncio
import io
import json
import threading
import time

import aiohttp
import numpy as np
import pytest
from PIL import Image

from experiments.web.page import MAILBOX, Item
from experiments.web.pictures import encode
from experiments.web.server import Server


@pytest.fixture
def served(tmp_path):
    """A server with one page, and what the page has heard."""
    (tmp_path / "secret.txt").write_text("secret")
    folder = tmp_path / "page"
    folder.mkdir()
    (folder / "index.html").write_text("<!doctype html><title>here</title>")
    (folder / "notes.txt").write_text("not for browsers")
    heard = []
    with Server() as server:
        page = server.add_page(
            "here", folder, title="Here", on_message=lambda client, message: heard.append((client, message)),
            on_get=lambda path, query: (f"{path} {query.get('n')}".encode(), "text/plain") if path != "no" else None,
        )  # fmt: skip
        server.start()
        yield server, page, heard


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 60))


async def status(server, path, **headers) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session:
        address = f"http://127.0.0.1:{server.port}{path}"
        async with session.get(address, headers=headers, allow_redirects=False) as reply:
            return reply.status, await reply.text()


def test_files_only_with_the_token_and_only_of_the_page(served):
    server, page, _ = served

    async def check():
        token = {"Cookie": f"joypad-{server.port}={server.token}"}
        assert (await status(server, "/here/"))[0] == 403
        assert (await status(server, "/here/?token=wrong", **token))[0] == 403
        assert (await status(server, f"/here/?token={server.token}"))[0] == 302
        assert (await status(server, "/here/", **token)) == (200, "<!doctype html><title>here</title>")
        assert (await status(server, "/", **token))[0] == 302
        assert (await status(server, "/shared/stream.js", **token))[0] == 200
        assert (await status(server, "/here/data/a/b?n=3", **token)) == (200, "a/b 3")
        for path in ("/here/notes.txt", "/here/%2e%2e/secret.txt", "/here/..%2fsecret.txt", "/there/", "/here/data/no",
                     "/here/notes.txt%00", "/shared/../server.py"):  # fmt: skip
            assert (await status(server, path, **token))[0] == 404, path
        for evil in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
            assert (await status(server, "/here/", **token, **evil))[0] == 403, evil
        assert (await status(server, "/here/", **token, Host=f"localhost:{server.port}"))[0] == 200

    run(check())


def test_the_address_leads_to_the_page_and_the_token_leaves_it(served):
    server, page, _ = served

    async def check():
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            async with session.get(server.start(page)) as reply:
                assert reply.status == 200 and "token" not in str(reply.url)
                assert "default-src 'self'" in reply.headers["Content-Security-Policy"]
            (cookie,) = session.cookie_jar
            assert cookie["httponly"] and cookie["samesite"] == "Strict"

    run(check())


class Browser:
    """What stream.js does, in Python."""

    def __init__(self, session, server, **headers):
        self.session, self.server, self.headers = session, server, headers

    async def __aenter__(self):
        address = f"http://127.0.0.1:{self.server.port}/here/ws?token={self.server.token}"
        self.socket = await self.session.ws_connect(address, headers=self.headers)
        return self

    async def __aexit__(self, *exc):
        await self.socket.close()

    async def delivery(self):
        """(pictures, states, messages) up to the end of one delivery."""
        pictures, states, messages = {}, {}, []
        while True:
            frame = await self.socket.receive()
            if frame.type == aiohttp.WSMsgType.BINARY:
                length = int.from_bytes(frame.data[:4], "big")
                about = json.loads(frame.data[4 : 4 + length])
                pictures[about["name"]] = (about, frame.data[4 + length :])
                continue
            assert frame.type == aiohttp.WSMsgType.TEXT, frame
            message = json.loads(frame.data)
            if message["type"] == "end":
                return pictures, states, messages
            if message["type"] == "state":
                states[message["name"]] = message["state"]
            else:
                messages.append(message)

    async def say(self, **message):
        await self.socket.send_str(json.dumps(message))


def test_a_websocket_of_another_site_is_refused(served):
    server, _, _ = served

    async def check():
        async with aiohttp.ClientSession() as session:
            for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
                with pytest.raises(aiohttp.WSServerHandshakeError):
                    await Browser(session, server, **headers).__aenter__()
            async with Browser(session, server, Origin=f"http://127.0.0.1:{server.port}"):
                pass

    run(check())


def test_pictures_states_and_messages_arrive_and_nonsense_is_answered(served):
    server, page, heard = served
    picture = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)

    async def check():
        async with aiohttp.ClientSession() as session, Browser(session, server) as browser:
            page.publish({"main": picture}, {"now": {"score": 3}})
            pictures, states, _ = await browser.delivery()
            about, data = pictures["main"]
            assert about["media"] == "image/png" and abs(about["at"] - time.time()) < 5
            assert (np.asarray(Image.open(io.BytesIO(data))) == picture).all()
            assert states == {"now": {"score": 3}}
            for nonsense in ("{", "[]", "3", '{"type": 4}', "\x00"):
                await browser.socket.send_str(nonsense)
                assert json.loads((await browser.socket.receive()).data)["type"] == "error"
            await browser.say(type="jump", high=2)
            await browser.say(type="ping", sent=5)
            assert json.loads((await browser.socket.receive()).data)["sent"] == 5
            assert heard[0][1] == {"type": "jump", "high": 2}
            heard[0][0].send({"type": "landed"})
            assert json.loads((await browser.socket.receive()).data) == {"type": "landed"}
            assert page.watchers == 1
        async with aiohttp.ClientSession() as session, Browser(session, server) as late:  # gets what stands there
            assert (await late.delivery())[1] == {"now": {"score": 3}}

    run(check())


def test_a_slow_browser_gets_the_newest_picture_and_nothing_piles_up(served):
    """30 pictures a second, a browser that needs 0.15 s for each: on arrival none is older than two periods (p95).

    Counted in pictures, so that a busy machine slows both sides alike; test_watch_web.py takes the time.
    """
    server, page, _ = served
    period, stop, newest = 1 / 30, threading.Event(), [0]
    base = np.random.default_rng(2).integers(0, 256, (240, 320, 3), np.uint8)

    def produce():
        while not stop.wait(period):
            newest[0] += 1
            page.publish({"main": np.roll(base, newest[0], 1)}, {"now": {"number": newest[0]}})

    async def check():
        ages, numbers = [], []
        async with aiohttp.ClientSession() as session, Browser(session, server) as browser:
            for _ in range(20):
                pictures, states, _ = await browser.delivery()
                if "main" in pictures:
                    numbers.append(states["now"]["number"])
                    ages.append(newest[0] - numbers[-1])
                await asyncio.sleep(0.15)
                await browser.say(type="ready")
        return ages, numbers

    thread = threading.Thread(target=produce)
    thread.start()
    try:
        ages, numbers = run(check())
    finally:
        stop.set()
        thread.join()
    assert np.percentile(ages, 95) <= 2
    assert np.diff(numbers).min() >= 1 and np.diff(numbers).mean() > 3  # those between were dropped
    assert len(page.items) == 2


def test_a_browser_that_reads_no_messages_is_let_go(served):
    server, page, _ = served

    async def check():
        async with aiohttp.ClientSession() as session, Browser(session, server) as browser:
            while not page.watchers:
                await asyncio.sleep(0.01)
            for _ in range(4 * MAILBOX):
                page.send({"type": "news"})
            while (frame := await browser.socket.receive()).type == aiohttp.WSMsgType.TEXT:
                pass
            assert frame.type == aiohttp.WSMsgType.CLOSE and frame.data == 1008
        while page.watchers:
            await asyncio.sleep(0.01)

    run(check())


def test_encoding_refuses_what_is_no_picture():
    for wrong in (np.zeros((3, 4)), np.zeros((3, 4, 4), np.uint8), np.zeros(3, np.uint8)):
        with pytest.raises(ValueError, match="must be uint8"):
            encode(wrong)
    assert encode(np.zeros((300, 300), np.uint8))[1] == "image/jpeg"


def test_a_port_that_is_taken_and_a_bad_name_are_told(served, tmp_path):
    server, _, _ = served
    with pytest.raises(ValueError, match="another program uses it"):
        Server(port=server.port).start()
    for name in ("here", "shared", "Tub", "../x", ""):
        with pytest.raises(ValueError, match="name of a page"):
            server.add_page(name, tmp_path, title="")


def test_a_browser_that_leaves_takes_a_state_from_nobody_else(served, monkeypatch):
    """A page that is opened again while what it shows is being encoded for the one before."""
    server, page, _ = served
    begun, go_on, encode_now = threading.Event(), threading.Event(), Item._encode

    def slow(item):
        begun.set()
        assert go_on.wait(30)
        return encode_now(item)

    monkeypatch.setattr(Item, "_encode", slow)
    page.publish(states={"now": 7})

    async def check():
        async with aiohttp.ClientSession() as session:
            async with Browser(session, server):
                assert await asyncio.to_thread(begun.wait, 30)
            while page.watchers:
                await asyncio.sleep(0.01)
            go_on.set()
            async with Browser(session, server) as late:
                assert (await late.delivery())[1] == {"now": 7}

    run(check())


def test_data_that_takes_its_time_holds_no_picture_up(served):
    """More requests than a pool of threads has: they wait, and what is watched goes on."""
    server, page, _ = served
    go_on, entered = threading.Event(), []
    page.on_get = lambda path, query: (entered.append(path), go_on.wait(60), (b"late", "text/plain"))[2]

    async def check():
        cookie = {"Cookie": f"joypad-{server.port}={server.token}"}
        async with aiohttp.ClientSession() as session:
            waiting = [asyncio.create_task(status(server, "/here/data/slow", **cookie)) for _ in range(40)]
            while len(entered) < 5:
                await asyncio.sleep(0.01)
            try:
                async with Browser(session, server) as browser:
                    page.publish(states={"now": 3})
                    assert (await asyncio.wait_for(browser.delivery(), 20))[1] == {"now": 3}
            finally:
                go_on.set()
            assert all(reply == (200, "late") for reply in await asyncio.gather(*waiting))

    run(check())


def test_stopping_waits_for_no_data(served):
    server, page, _ = served
    go_on, entered = threading.Event(), threading.Event()
    page.on_get = lambda path, query: (entered.set(), go_on.wait(60), None)[2]

    async def check():
        cookie = {"Cookie": f"joypad-{server.port}={server.token}"}
        asked = asyncio.create_task(status(server, "/here/data/slow", **cookie))
        await asyncio.to_thread(entered.wait, 30)
        await asyncio.wait_for(asyncio.to_thread(server.stop), 30)
        assert not asyncio.all_tasks(server._loop)
        with pytest.raises(aiohttp.ClientError):
            await asked

    try:
        run(check())
    finally:
        go_on.set()


def test_the_address_that_a_browser_is_started_with_lets_in_once(served):
    server, page, _ = served

    async def check():
        here = f"http://127.0.0.1:{server.port}"
        first, late = (server.once(page).removeprefix(here) for _ in range(2))
        assert server.token not in first and (await status(server, first.replace("/?", "/ws?")))[0] == 403
        assert (await status(server, first, Host="evil.example"))[0] == 403
        assert (await status(server, first))[0] == 302
        assert (await status(server, first))[0] == 403
        server._tickets = dict.fromkeys(server._tickets, time.monotonic() - 1)
        assert (await status(server, late))[0] == 403

    run(check())


def test_what_is_published_before_the_start_delays_nothing_later(tmp_path):
    server = Server()
    page = server.add_page("here", tmp_path, title="Here")
    page.publish(states={"now": 1})
    with server:
        server.start(page)

        async def check():
            async with aiohttp.ClientSession() as session, Browser(session, server) as browser:
                assert (await browser.delivery())[1] == {"now": 1}
                for wanted in (2, 3):
                    await browser.say(type="ready")
                    await asyncio.sleep(0.3)  # it has heard so, and found nothing new
                    page.publish(states={"now": wanted})
                    assert (await browser.delivery())[1] == {"now": wanted}

        run(check())
