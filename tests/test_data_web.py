"""The page of recordings: what it serves, edits by messages, and the page itself in a browser."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path

import aiohttp
import numpy as np
import pytest
from chrome import Chrome
from PIL import Image
from tubs import KINDS, damage, picture, values

from envs.recordings import tub_edits
from envs.recordings.tub import Tub, TubWriter
from experiments.driving.page import DataPage, about


@pytest.fixture
def page(tmp_path: Path):
    with TubWriter(tmp_path / "d", {**KINDS, "game/speed": "float"}) as writer:
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
        for wrong in ("frame?row=59", "frame?row=999999999999999", "../manifest.json", "other", "other?row=²"):
            async with session.get(f"{base}/data/{wrong}") as reply:
                assert reply.status == 404, wrong
        nines = "9" * 5000
        for wrong in (
            "-1",
            "x",
            "",
            "²",
            "٣",
            "1.0",
            "1e2",
            "+1",
            " 1",
            "0x1",
            "NaN",
            "true",
            "null",
            "[]",
            nines[:900],
        ):
            async with session.get(f"{base}/data/frame", params={"row": wrong}) as reply:
                assert reply.status == 400 and "number of a record" in await reply.text(), wrong
        for wrong in ("frame", f"frame?row={nines}"):
            async with session.get(f"{base}/data/{wrong}") as reply:
                assert reply.status == 400

    talk(page, check)


def test_edits_by_messages_and_refusals(page: DataPage) -> None:
    async def check(session, base):
        async with session.ws_connect(f"{base}/ws") as socket:
            assert (await socket.receive_json(timeout=30))["type"] == "welcome"

            async def say(**message) -> dict:
                await socket.send_json(message)
                return await socket.receive_json(timeout=30)

            assert await say(type="delete", first=10, last=19) == {"type": "changed", "text": "10 records deleted"}
            assert len(page.tub) == 49 == len(Tub(page.path))
            assert (await say(type="delete", first="x", last=3))["type"] == "refused"
            assert (await say(type="delete", first=0, last=99))["text"] == "that would delete every record"
            assert (await say(type="format"))["text"] == "there is no command 'format'"
            for wrong in (-1, 1.5, True, None, "1", [1], {"a": 1}, 10**4000, "9" * 5000):
                for fields in ({"first": wrong, "last": 3}, {"first": 3, "last": wrong}, {"first": wrong}, {}):
                    answer = await say(type="delete", **fields)
                    assert answer["type"] == "refused" and "whole number" in answer["text"], fields
                answer = await say(type="undo", first=wrong)
                assert answer["type"] == "refused" and "\n" not in answer["text"]
            for wrong in (1e400, float("nan")):  # no JSON
                assert (await say(type="delete", first=wrong, last=wrong))["type"] in ("refused", "error")
            assert (await say(type="\x1b[2J"))["text"].startswith("there is no command '\\x1b[2J")
            with TubWriter(page.path):
                assert "being recorded" in (await say(type="delete", first=1, last=2))["text"]
            assert (await say(type="undo"))["text"] == "undone: 10 records are back"
            assert (await say(type="undo"))["type"] == "refused"
        assert len(page.tub) == 59

    talk(page, check)


def test_a_disk_that_refuses_is_told_on_the_page(page: DataPage, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_) -> None:
        raise OSError(28, "No space left on device")

    async def check(session, base):
        async with session.ws_connect(f"{base}/ws") as socket:
            assert (await socket.receive_json(timeout=30))["type"] == "welcome"
            monkeypatch.setattr(tub_edits, "delete", full)
            await socket.send_json({"type": "delete", "first": 1, "last": 2})
            assert await socket.receive_json(timeout=30) == {"type": "refused", "text": "No space left on device"}

    talk(page, check)


@pytest.mark.parametrize(
    ("about_it", "wanted"), [({}, "a person"), ({"driver": "expert"}, "the expert"), ({"driver": "person"}, "a person"),
                             ({"driver": ["x"]}, "a person")]
)  # fmt: skip
def test_the_page_says_who_drove(tmp_path: Path, about_it: dict, wanted: str) -> None:
    with TubWriter(tmp_path, {**KINDS, "game/lateral": "float"}, metadata=about_it) as writer:
        for k, mode in enumerate(("user", "local", None)):
            writer.write({**values(k), "user/mode": mode, "game/lateral": 0.5})
    facts = about(Tub(tmp_path))["facts"]
    assert facts["driver"] == [wanted, "the network", wanted] and facts["lateral offset, m"] == ["+0.50"] * 3


CHART = """(id, names) => {
  const canvas = document.getElementById(id), found = {};
  const all = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  for (const name of names) {
    document.body.style.color = `var(${name})`;
    const wanted = getComputedStyle(document.body).color.match(/\\d+/g).map(Number);
    let count = 0;
    for (let i = 0; i < all.length; i += 4)
      if (all[i + 3] === 255 && wanted.every((value, k) => Math.abs(all[i + k] - value) <= 2)) count += 1;
    found[name] = [count, wanted];
  }
  document.body.style.color = "";
  return found;
}"""
INKS = {"line": ("--edge", "--good", "--ink"), "bars": ("--edge", "--accent")}


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height", "mobile"), [(1280, 800, False), (390, 844, True)])
def test_the_charts_have_the_colours_of_the_scheme(
    page: DataPage, tmp_path: Path, width: int, height: int, mobile: bool
) -> None:
    """Canvas passes over light-dark() without a word: what is drawn is then black, or as it was."""
    chrome = Chrome(tmp_path / "chrome")
    try:
        seen = {}
        chrome.look(width, height, mobile=mobile)
        chrome.open(page.address)
        chrome.wait("document.getElementById('frame').dataset.row === '0'")
        for dark in (False, True, False):  # without a reload
            chrome.look(width, height, mobile=mobile, dark=dark)
            chrome.wait(f"matchMedia('(prefers-color-scheme: dark)').matches === {str(dark).lower()}")
            chrome.wait("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")
            for chart, names in INKS.items():
                found = chrome.eval(f"({CHART})({json.dumps(chart)}, {json.dumps(names)})")
                for name, (count, colour) in found.items():
                    assert count > 50, (chart, name, dark, found)
                    seen.setdefault(name, {}).setdefault(dark, colour)
        assert all(colours[False] != colours[True] for colours in seen.values())
        assert chrome.eval("document.documentElement.scrollWidth <= innerWidth")
        nameless = """[...document.querySelectorAll("canvas, button, input, section, ul, [role=group]")].filter(
            (e) => !(e.getAttribute("aria-label") || e.getAttribute("aria-labelledby") || e.textContent.trim()))
            .map((e) => e.outerHTML)"""
        assert chrome.eval(nameless) == []
        assert "left" in chrome.eval("document.getElementById('bars').getAttribute('aria-label')")
        assert not chrome.faults
    finally:
        chrome.close()


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
