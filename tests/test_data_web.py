"""The page of recordings: what it serves, edits by messages, and the page itself in a browser."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import aiohttp
import numpy as np
import pytest
from chrome import Chrome
from PIL import Image
from tubs import KINDS, damage, picture, values

from envs import tub_edits
from envs.tub import Tub, Writer
from experiments.driving.page import DataPage


@pytest.fixture
def page(tmp_path: Path):
    with Writer(tmp_path / "d", {**KINDS, "game/speed": "float"}) as writer:
        for k in range(60):
            writer.write({**values(k, game_lap=k // 20, game_race=0), "game/speed": k / 10})
    damage(tmp_path / "d", 7, user_angle=9)
    served = DataPage(tmp_path / "d")
    served.address = served.start()
    yield served
    served.server.stop()


def talk(page: DataPage, conversation):
    """Runs `conversation(session, base)` with the page's cookie."""

    async def run():
        base = f"http://127.0.0.1:{page.server.port}/tub"
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            async with session.get(page.address) as reply:
                assert reply.status == 200 and "from here" in (await reply.text()).lower()
            return await conversation(session, base)

    return asyncio.run(asyncio.wait_for(run(), 60))


def test_numbers_and_pictures_are_served(page: DataPage) -> None:
    async def check(session, base):
        async with session.get(f"{base}/data/about") as reply:
            told = await reply.json()
        assert told["rows"] == 59 and told["index"] == [k for k in range(60) if k != 7]
        assert told["lap"][-1] == 2 and told["facts"]["speed, m/s"][3] == "0.3" and told["pilot"] == []
        assert len(told["damaged"]) == 1 and "record 7" in told["damaged"][0] and told["warnings"]
        assert sum(told["stats"]["histogram"]) == 59
        async with session.get(f"{base}/data/frame?row=7") as reply:
            shown = np.asarray(Image.open(io.BytesIO(await reply.read())))
        assert np.abs(shown.astype(int) - picture(8)).max() <= 6
        for wrong in ("frame?row=59", "frame?row=-1", "frame?row=x", "frame", "../manifest.json", "other"):
            async with session.get(f"{base}/data/{wrong}") as reply:
                assert reply.status == 404, wrong

    talk(page, check)


def test_edits_by_messages_and_refusals(page: DataPage) -> None:
    async def check(session, base):
        async with session.ws_connect(f"{base}/ws") as socket:

            async def say(**message) -> dict:
                await socket.send_json(message)
                return await socket.receive_json(timeout=30)

            assert await say(type="delete", first=10, last=19) == {"type": "changed", "text": "10 records deleted"}
            assert len(page.tub) == 49 == len(Tub(page.path))
            assert (await say(type="delete", first="x", last=3))["type"] == "refused"
            assert (await say(type="delete", first=0, last=99))["text"] == "that would delete every record"
            assert (await say(type="format"))["text"] == "there is no command 'format'"
            with Writer(page.path):
                assert "being recorded" in (await say(type="delete", first=1, last=2))["text"]
            assert (await say(type="undo"))["text"] == "undone: 10 records are back"
            assert (await say(type="undo"))["type"] == "refused"
        assert len(page.tub) == 59

    talk(page, check)


@pytest.mark.slow
def test_the_page_in_a_browser(page: DataPage, tmp_path: Path) -> None:
    chrome = Chrome(tmp_path / "chrome")
    try:
        chrome.open(page.address)
        chrome.wait("document.getElementById('frame').dataset.row === '0'")
        for _ in range(12):
            chrome.key("ArrowRight")
        chrome.wait("document.getElementById('frame').dataset.row === '12'")
        assert "13" in chrome.eval("document.getElementById('facts').textContent")  # record 13 is row 12
        chrome.key("[")
        for _ in range(4):
            chrome.key("ArrowRight")
        chrome.key("]")
        chrome.key("Delete")
        chrome.wait("document.getElementById('said').textContent === '5 records deleted'")
        chrome.wait("document.getElementById('place').max === '53'")
        assert Tub(page.path).deleted == 5
        chrome.key("u")
        chrome.wait("document.getElementById('place').max === '58'")
        assert Tub(page.path).deleted == 0
        chrome.key("l")
        assert "records" in chrome.eval("document.getElementById('facts').textContent")
        assert not chrome.faults
        tub_edits.delete(page.path, [3])  # what another program does is no reason to fall over
        chrome.key("u")
        chrome.wait("document.getElementById('place').max === '58'")
    finally:
        chrome.close()
