"""The Go board for people: the table's commands, the window without a display, the page in chromium."""

from __future__ import annotations

import time

import numpy as np
import pytest

from envs.go import record, sgf
from envs.go.game import from_vertex
from experiments.go import players
from experiments.go.table import Table


def at(vertex: str, size: int = 5) -> int:
    return from_vertex(vertex, size)


def watched(table: Table) -> Table:
    """The table, which keeps the view that it published last: `Table.view` is for its own thread alone."""
    publish, table.shown = table.publish, table.view()

    def both(view: dict) -> None:
        publish(view)
        table.shown = view

    table.publish = both
    return table


@pytest.fixture
def seat():
    """A function that makes a table with quick moves; its thread runs until the test is over."""
    made = []

    def make(start: bool = True, **options) -> Table:
        table = Table(players.rave(seed=2), **{"size": 5, "human": "both", "visits": 30, "seconds": None} | options)
        table.analysing = False
        made.append(watched(table))
        if start:
            table.start()
        return table

    yield make
    for table in made:
        table.close()


def until(table: Table, wanted, seconds: float = 60.0) -> dict:
    """The first published view that is as wanted."""
    end = time.monotonic() + seconds
    while not wanted(view := table.shown):
        assert time.monotonic() < end, view
        time.sleep(0.01)
    return view


def test_a_person_plays_and_the_player_answers(seat):
    table = seat(human="black")
    table.command("play", at("c3"))
    view = until(table, lambda v: v["ply"] == 2 and not v["thinking"])
    assert view["board"][at("c3")] == 1 and sum(stone == 2 for stone in view["board"]) == 1
    assert view["mine"] and view["chances"][1] is not None and view["found"] == {}
    table.command("undo")
    view = until(table, lambda v: v["ply"] == 0)
    assert view["plies"] == 0 and not any(view["board"])
    table.command("undo")
    assert until(table, lambda v: v["message"])["message"] == "there is nothing to take back"
    table.command("side", "white")
    view = until(table, lambda v: v["ply"] == 1)
    assert view["turn"] == 1 and view["mine"]


def test_two_players_without_a_person_finish_and_count_their_game(seat):
    table = seat(human="none", komi=0.5)
    view = until(table, lambda v: v["ended"], 120)
    lead = table.engine.score()
    assert view["result"] == (f"{'B' if lead > 0 else 'W'}+{abs(lead):g}") and view["chances"][-1] in (0.0, 1.0)
    loaded = record.read(sgf.parse(table.saved))
    assert loaded.result == view["result"] and loaded.moves == table.line


def test_going_through_a_game_and_branching_off(seat):
    table = seat()
    for vertex in ("c3", "b2", "d4", "d2"):
        table.command("play", at(vertex))
    table.command("go", 1)
    view = until(table, lambda v: v["ply"] == 1)
    assert view["plies"] == 4 and view["board"][at("c3")] == 1 and not view["board"][at("b2")]
    assert len(record.read(sgf.parse(table.saved)).moves) == 4  # nothing is lost by looking back
    table.command("go", 99)
    until(table, lambda v: v["ply"] == 4)
    table.command("go", 2)
    table.command("play", at("e5"))
    view = until(table, lambda v: v["ply"] == 3 and v["plies"] == 3)
    assert view["board"][at("e5")] == 1 and not view["board"][at("d4")] and len(view["chances"]) == 4


def test_loading_and_new_games(seat):
    table = seat()
    table.command("load", "(;SZ[7]KM[3.5]PB[An]PW[Bo]RE[W+R]AB[cc][ee];W[dd];B[](;W[bb])(;W[aa]))")
    view = until(table, lambda v: v["size"] == 7)
    assert (view["ply"], view["komi"], view["message"], view["result"]) == (3, 3.5, "loaded An - Bo W+R", "W+R")
    table.command("load", "(;SZ[99])")
    assert "must be a square" in until(table, lambda v: "loaded" not in v["message"] and v["message"])["message"]
    assert table.shown["size"] == 7
    table.command("new", {"size": 9, "komi": 0.5, "handicap": 3})
    view = until(table, lambda v: v["size"] == 9)
    assert (sum(view["board"]), view["turn"], view["handicap"], view["komi"]) == (3, 1, 3, 0.5)


def test_wrong_commands_change_nothing_but_the_message(seat):
    table = seat(human="black")
    table.command("play", at("c3"))
    before = until(table, lambda v: v["ply"] == 2 and not v["thinking"])
    for name, value in (
        ("play", at("c3")), ("play", 99), ("play", -3), ("play", "x"), ("play", None), ("go", "x"), ("new", {}),
        ("new", {"size": 40, "komi": 1}), ("new", {"size": 9, "komi": float("nan")}), ("new", 3), ("level", "fast"),
        ("level", float("nan")), ("level", -1), ("play", float("inf")), ("side", [1]),
        ("new", {"size": 9, "komi": 0, "handicap": 77}), ("side", "green"), ("load", "nonsense"), ("load", 7),
        ("dance", 1), ("quit", 0),
    ):  # fmt: skip
        table.command(name, value)
        if name != "quit":
            until(table, lambda v: v["message"])
        table.command("analyse", False)
        after = until(table, lambda v: not v["message"])
        changed = {key for key in before if before[key] != after[key]}
        assert changed <= ({"human"} if name == "go" else set()), (name, value, changed)


def test_analysis_fills_the_view(seat):
    table = seat()
    table.command("play", at("c3"))
    table.command("analyse", True)
    view = until(table, lambda v: v["found"].get("visits", 0) > 500)
    found = view["found"]
    assert sum(found["shares"]) == pytest.approx(1, abs=0.05) and sum(found["policy"]) == pytest.approx(1, abs=0.1)
    assert found["shares"][at("c3")] == found["policy"][at("c3")] == 0
    assert len(found["ownership"]) == 25 and max(map(abs, found["ownership"])) <= 1
    assert [move["visits"] for move in found["moves"]] == sorted((m["visits"] for m in found["moves"]), reverse=True)
    assert found["moves"][0]["action"] == int(np.argmax(found["shares"]))
    assert view["chances"][1] == found["chance"] and 0 < found["chance"] <= 1


def test_the_window(seat, tmp_path, monkeypatch):
    """Under SDL's dummy driver: events do what their keys say, and every overlay changes the picture."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    import pygame

    from envs.go.picture import geometry
    from experiments.go.screen import OVERLAYS, Screen

    table = seat()
    table.analysing = True
    screen = Screen(table, tmp_path / "saved")
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


@pytest.mark.slow
def test_the_page(seat, tmp_path):
    from chrome import Chrome

    from experiments.go.browser import Browser

    table = seat(start=False, human="black")
    table.analysing = True
    browser = Browser(table)
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
        saved = chrome.eval("fetch('data/game.sgf').then((answer) => answer.text())")
        assert record.read(sgf.parse(saved)).moves == table.line
        chrome.key("u")
        chrome.wait("joypad.state().ply === 0")
        chrome.eval("document.getElementById('board').focus()")
        for key in ("ArrowUp", "ArrowUp", "ArrowLeft", "Enter"):  # the cursor begins in the middle
            chrome.key(key)
        chrome.wait(f"joypad.state().board[{at('b4')}] === 1")
        load = """(text) => {
            const given = new DataTransfer();
            given.items.add(new File([text], "a.sgf"));
            document.getElementById("file").files = given.files;
            document.getElementById("file").dispatchEvent(new Event("change"));
        }"""
        chrome.eval(f"({load})('(;SZ[9]KM[7];B[ee];W[cc];B[gc])')")
        chrome.wait("joypad.state().size === 9 && joypad.state().ply === 3")
        assert chrome.eval("(({size, komi}) => [size.value, komi.value])(document.getElementById('new'))") == ["9", "7"]
        chrome.eval("document.getElementById('back').click()")
        chrome.wait("joypad.state().ply === 2 && joypad.state().plies === 3")
        chrome.eval(f"({load})('nonsense')")
        chrome.wait("document.getElementById('told').textContent.includes('no game tree')")
        chrome.eval("document.querySelector('#new button').click()")
        chrome.wait("joypad.state().ply === 0 && joypad.state().size === 9")
        chrome.look(380, 800, mobile=True, dark=True)
        chrome.wait("document.documentElement.scrollWidth <= 380")
        assert chrome.faults == []
    finally:
        if chrome is not None:
            chrome.close()
        browser.close()
