"""The Go board for people: the window without a display, the page in chromium."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from gotables import at, until, watched

from envs.go import record, sgf


def test_the_window(seat, tmp_path, monkeypatch):
    """Under SDL's dummy driver: events do what their keys say, and every overlay changes the picture."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    import pygame

    from envs.go.picture import geometry
    from experiments.go.screen import OVERLAYS, TableWindow

    table = seat()
    table.analysing = True
    screen = TableWindow(table, tmp_path / "saved")
    watched(table)
    pygame.display.init()
    pygame.font.init()
    surface = pygame.display.set_mode((960, 688))

    def event(kind, **given):
        screen._take(table.shown)
        return screen._hear(pygame.event.Event(kind, **given))

    first, gap = geometry(5)
    assert event(pygame.MOUSEBUTTONDOWN, button=1, pos=(round(first + 2 * gap) + 3, round(first + 2 * gap) - 3))
    until(table, lambda v: v["board"][at("c3")] == 1 and v["found"].get("visits", 0) > 200)
    shots = set()
    for _ in OVERLAYS:
        screen.draw(surface, table.shown)
        shots.add(pygame.image.tobytes(surface, "RGB"))
        event(pygame.KEYDOWN, key=pygame.K_o)
    assert len(shots) == len(OVERLAYS)
    event(pygame.KEYDOWN, key=pygame.K_s)
    (saved,) = (tmp_path / "saved").iterdir()
    assert saved.read_bytes() == table.saved and str(saved) in screen.note
    event(pygame.KEYDOWN, key=pygame.K_p)
    until(table, lambda v: v["passed"])
    event(pygame.KEYDOWN, key=pygame.K_u)
    until(table, lambda v: v["ply"] == 1)
    event(pygame.KEYDOWN, key=pygame.K_LEFT)
    until(table, lambda v: v["ply"] == 0)
    event(pygame.DROPFILE, file=str(saved))
    until(table, lambda v: v["message"].startswith("loaded"))
    event(pygame.DROPFILE, file=str(tmp_path / "none.sgf"))
    assert "No such file" in screen.note
    assert not event(pygame.KEYDOWN, key=pygame.K_ESCAPE) and not event(pygame.QUIT)
    pygame.quit()


@pytest.mark.parametrize("argv", [["--host", ""], ["--port", "99999"], ["--port", "-1"], ["--host", "1.2.3"]])
def test_an_address_that_is_none_is_refused(argv, capsys):
    from experiments.go import play

    with pytest.raises(SystemExit) as stop:
        play.main(["--web", *argv])
    told = capsys.readouterr().err
    assert stop.value.code == 2 and argv[0] in told and "Traceback" not in told


def contrasts(chrome) -> list[float]:
    """Of the borders of everything that can be pressed or filled in, against what lies behind it (WCAG 2, 1.4.11)."""
    return chrome.eval("""(() => {
        const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
        const light = (colour) => {
            probe.fillStyle = colour;
            probe.fillRect(0, 0, 1, 1);
            const [r, g, b] = [...probe.getImageData(0, 0, 1, 1).data].slice(0, 3).map((v) => v / 255)
                .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
        };
        const ground = (node) => {
            while (node && getComputedStyle(node).backgroundColor === "rgba(0, 0, 0, 0)") node = node.parentElement;
            return getComputedStyle(node ?? document.body).backgroundColor;
        };
        return [...document.querySelectorAll("button, select, input:not([type=file]), .button")]
            .filter((node) => node.offsetWidth)
            .map((node) => [light(getComputedStyle(node).borderTopColor), light(ground(node.parentElement))])
            .map(([a, b]) => Math.max(a, b) / Math.min(a, b));
    })()""")


@pytest.mark.slow
def test_the_page(seat, tmp_path):
    from chrome import Chrome

    from experiments.go.browser import TablePage

    table = seat(start=False, human="black")
    table.analysing = True
    browser = TablePage(table)
    chrome = None
    try:
        table.start()
        chrome = Chrome(tmp_path)
        chrome.look(1200, 900)
        chrome.open(browser.address)
        chrome.wait("window.joypad && joypad.state() && joypad.board.view")
        box = chrome.eval("(({x, y}) => [x, y])(document.getElementById('board').getBoundingClientRect())")
        x, y = chrome.eval(f"joypad.board.place({at('c3')})")
        chrome.click(box[0] + x + 4, box[1] + y - 4)
        chrome.wait(f"joypad.state().board[{at('c3')}] === 1 && joypad.state().ply >= 2 && joypad.state().mine")
        chrome.wait("document.getElementById('state').textContent.includes('you')")
        picture = "document.getElementById('board').toDataURL()"
        chrome.wait("(joypad.state().found.visits || 0) > 1000")
        chrome.eval("document.getElementById('analyse').click()")
        chrome.wait("joypad.state().analysing === false")
        shots = set()
        for overlay in ("off", "visits", "policy", "ownership"):
            chrome.eval(f"(o => {{ o.value = '{overlay}'; o.onchange(); }})(document.getElementById('overlay'))")
            shots.add(chrome.eval(picture))
        assert len(shots) == 4
        assert chrome.eval("document.querySelectorAll('#moves tbody tr').length") > 1
        shown = chrome.eval("parseFloat(document.querySelector('#bar i').style.width)")
        assert shown == pytest.approx(100 * chrome.eval("joypad.state().found.chance"), abs=0.01)
        # The pointer on a candidate: the line that follows it stands on the board, numbered
        chrome.eval("(o => { o.value = 'off'; o.onchange(); })(document.getElementById('overlay'))")
        plain = chrome.eval(picture)
        row = "document.querySelector('#moves tbody tr')"
        x, y = chrome.eval(f"(({{x, y}}) => [x + 20, y + 8])({row}.getBoundingClientRect())")
        chrome.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        chrome.wait("joypad.board.line !== null")
        assert chrome.eval("joypad.board.line") == chrome.eval("joypad.state().found.moves[0].actions")
        assert chrome.eval(picture) != plain
        chrome.call("Input.dispatchMouseEvent", type="mouseMoved", x=box[0] + 2, y=box[1] + 2)
        chrome.wait("joypad.board.line === null")
        assert chrome.eval(picture) == plain
        # A review of the game lists what cost most, and leads there
        chrome.key("r")
        chrome.wait("joypad.state().review.asked > 0 || joypad.state().chances.every((chance) => chance !== null)")
        chrome.wait("joypad.state().review.done === joypad.state().review.asked")
        assert chrome.eval("document.querySelectorAll('#worst tbody tr').length") == chrome.eval(
            "joypad.state().review.worst.length"
        )
        assert chrome.eval("document.getElementById('nothing').hidden") == chrome.eval(
            "joypad.state().review.worst.length > 0"
        )
        saved = chrome.eval("fetch('data/game.sgf').then((answer) => answer.text())")
        assert record.read(sgf.parse(saved)).moves == table.line
        chrome.key("u")
        chrome.wait("joypad.state().ply === 0")
        chrome.eval("document.getElementById('board').focus()")
        for key in ("ArrowUp", "ArrowUp", "ArrowLeft", "Enter"):  # the cursor begins in the middle
            chrome.key(key)
        chrome.wait(f"joypad.state().board[{at('b4')}] === 1")
        name = b"(;SZ[9]CA[GB18030]PB[" + "\u9ed2".encode("gb18030") + b"])"
        load = """(text) => {
            const given = new DataTransfer();
            given.items.add(new File([text], "a.sgf"));
            document.getElementById("file").files = given.files;
            document.getElementById("file").dispatchEvent(new Event("change"));
        }"""
        chrome.eval(f"({load})('(;SZ[9]KM[7];B[ee];W[cc];B[gc])')")
        chrome.wait("joypad.state().size === 9 && joypad.state().ply === 3")
        assert chrome.eval("(({size, komi}) => [size.value, komi.value])(document.getElementById('new'))") == ["9", "7"]
        chrome.eval(f"({load})('(;SZ[9]KM[7];B[ee];W[cc];B[aa];W[gg];B[ia];W[gc];B[ai];W[cg];B[];W[eg];B[])')")
        chrome.wait("joypad.state().ply === 11")
        chrome.eval("document.getElementById('review').click()")
        chrome.wait("joypad.state().review.done === 12 && document.querySelector('#worst tbody tr button') !== null")
        worst = chrome.eval("joypad.state().review.worst[0]")
        words = chrome.eval("document.querySelector('#worst tbody tr').innerText")
        assert f"{worst['ply']} {'BW'[worst['colour']]} {worst['move']}" in words and worst["best"] in words
        chrome.eval("document.querySelector('#worst tbody tr button').click()")
        chrome.wait(f"joypad.state().ply === {worst['ply'] - 1}")
        if folder := os.environ.get("PAGES"):
            chrome.screenshot(Path(folder) / "go-review.png")
        chrome.eval(f"({load})('(;SZ[9]KM[7];B[ee];W[cc];B[gc])')")
        chrome.wait("joypad.state().plies === 3 && joypad.state().ply === 3")
        chrome.eval("document.getElementById('back').click()")
        chrome.wait("joypad.state().ply === 2 && joypad.state().plies === 3")
        assert chrome.eval("document.getElementById('past').textContent").startswith("You look back at move 2 of 3.")
        chrome.eval("document.getElementById('return').click()")
        chrome.wait("joypad.state().ply === 3 && document.getElementById('past').hidden")
        ink = "getComputedStyle(document.getElementById('chances').children[0]).color"
        assert chrome.eval(ink) == chrome.eval("getComputedStyle(document.body).color")  # beside the bar, not across it
        chrome.eval(f"({load})(new Uint8Array([{','.join(map(str, name))}]))")  # in a character set of its own
        chrome.wait("document.getElementById('told').textContent.includes('\u9ed2')")
        chrome.eval(f"({load})('nonsense')")
        chrome.wait("document.getElementById('told').textContent.includes('no game tree')")
        chrome.eval("document.querySelector('#new button').click()")
        chrome.wait("joypad.state().ply === 0 && joypad.state().human === 'black'")
        for wide, high in ((1280, 800), (390, 844), (844, 390)):
            for dark in (False, True):
                chrome.look(wide, high, mobile=wide < 1000, dark=dark)
                chrome.wait(f"document.documentElement.scrollWidth <= {wide}")
                board = "document.getElementById('board').getBoundingClientRect()"
                left, top, right, bottom = chrome.eval(f"(b => [b.left, b.top, b.right, b.bottom])({board})")
                assert left >= 0 and top >= 0 and right <= wide and bottom <= high  # the whole board, without scrolling
                assert min(contrasts(chrome)) >= 3
        assert chrome.eval("document.documentElement.scrollHeight") >= 390
        # A board of small points on a phone: the first tap chooses, the second one plays
        chrome.look(390, 844, mobile=True)
        chrome.call("Emulation.setTouchEmulationEnabled", enabled=True)
        chrome.eval("joypad.command('new', {size: 19, komi: 6.5})")
        chrome.wait("joypad.state().size === 19 && joypad.board.gap() < 30")
        box = chrome.eval("(({x, y}) => [x, y])(document.getElementById('board').getBoundingClientRect())")
        x, y = chrome.eval(f"joypad.board.place({at('q16', 19)})")
        chrome.click(box[0] + x, box[1] + y)
        chrome.wait("document.getElementById('confirm').textContent === 'Play Q16'")
        assert chrome.eval("joypad.state().ply") == 0
        chrome.eval("document.getElementById('confirm').click()")
        chrome.wait(f"joypad.state().board[{at('q16', 19)}] === 1 && document.getElementById('tapped').hidden")
        # Giving up is asked for twice
        chrome.wait("joypad.state().mine")
        chrome.eval("document.getElementById('resign').click()")
        assert chrome.eval("document.getElementById('resign').textContent") == "Really resign?"
        chrome.eval("document.getElementById('resign').click()")
        chrome.wait("document.getElementById('told').textContent === 'Black resigns: White wins.'")
        assert chrome.faults == []
        # The program ends: the page says so, and what stands there is dimmed
        browser.close()
        chrome.wait("document.getElementById('lost')?.hidden === false && document.body.classList.contains('lost')")
        assert chrome.eval("document.getElementById('lost').textContent").startswith("The program has ended.")
        chrome.wait("Number(getComputedStyle(document.getElementById('board')).opacity) < 0.5")
    finally:
        if chrome is not None:
            chrome.close()
        browser.close()
