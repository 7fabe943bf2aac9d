"""The pages of watching, datasets and Go in a real browser, at desk and phone size, light and dark: nothing is cut.

What the page of Go does is in test_go_table.py.

PAGES=FOLDER in the environment keeps the pictures, to be looked at.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from chrome import Chrome

ROOT = Path(__file__).resolve().parents[1]
SIZES = {"desk": (1280, 800, False), "phone": (390, 844, True)}
ANSWERED = "window.joypad && joypad.state() && (joypad.state().ply > 1 && joypad.state().mine"
ANSWERED += " ? joypad.state().found.visits > 100 : (window.sent ??= (joypad.command('play', 40), true), false))"
PAGES = {
    "watch": (["watch", "kart"], "window.joypad && joypad.state() && joypad.link.figures.drawn > 10"),
    "go": (["play", "go", "--main-time", "10", "--byo-yomi", "30"], ANSWERED),
    "data": (["data", "drive"], "document.querySelector('canvas') && document.querySelector('canvas').width > 0"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short recorded drive."""
    folder = tmp_path_factory.mktemp("pages")
    words = ["record", "kart", "--driver", "expert", "--minutes", "0.05", "--out", "drive"]
    subprocess.run(command(words), cwd=folder, env=surroundings(), check=True, capture_output=True)
    return folder


def command(words: list[str]) -> list[str]:
    return [sys.executable, "-m", f"experiments.{words[0]}", *words[1:]]


def surroundings() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_a_page_at_every_size_in_light_and_dark(name: str, place: Path, tmp_path: Path) -> None:
    words, ready = PAGES[name]
    kept = Path(os.environ.get("PAGES", tmp_path))
    process = subprocess.Popen(
        command([*words, "--web"]), cwd=place, env=surroundings(), stdout=subprocess.PIPE, text=True
    )
    chrome = Chrome(tmp_path / "chrome")
    try:
        address = next(m[1] for line in process.stdout if (m := re.search(r"(http://\S+)", line)))
        grounds = {}
        for size, (width, height, mobile) in SIZES.items():
            for dark in (False, True):
                chrome.look(width, height, mobile=mobile, dark=dark)
                chrome.open(address)
                chrome.wait(ready)
                chrome.wait("new Promise(done => setTimeout(() => done(true), 500))")
                chrome.screenshot(kept / f"{name}-{size}-{'dark' if dark else 'light'}.png")
                assert chrome.eval("document.documentElement.scrollWidth") <= width
                cut = "[...document.querySelectorAll('button, select, h1')].filter(e => e.offsetParent"
                cut += " && (e.scrollWidth > e.clientWidth + 1 || e.getBoundingClientRect().right > innerWidth + 1))"
                assert chrome.eval(f"{cut}.map(e => e.textContent.trim().slice(0, 40))") == []
                grounds[dark] = chrome.eval("getComputedStyle(document.body).backgroundColor")
        assert grounds[False] != grounds[True]
        assert not chrome.faults
    finally:
        chrome.close()
        process.send_signal(signal.SIGINT)
        process.wait(60)
