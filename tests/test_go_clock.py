"""Clocks at the board for people: the time used by each side, main time and byo-yomi, who loses by time, the page."""

from __future__ import annotations

import re
import time

import pytest
from gotables import at, until

from envs.go import record, sgf
from experiments.go.clock import GoClock, Setting, SideClock
from experiments.go.play import PlayGoCommand, control
from experiments.go.stopwatch import Stopwatch, clock_text


class Time:
    """A clock that a test sets."""

    def __init__(self):
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def watch():
    return Stopwatch(Time())


def pass_time(watch: Stopwatch, seconds: float) -> None:
    watch.now.at += seconds


def test_every_side_has_its_own_time(watch):
    watch.run(0)
    pass_time(watch, 3)
    assert (watch.used(0), watch.used(1)) == (3, 0)
    watch.played(0, 0)
    watch.run(1)
    pass_time(watch, 5)
    watch.run(None)  # a person looks back while it is the player's turn
    pass_time(watch, 60)
    watch.run(1)
    pass_time(watch, 1)
    assert (watch.used(0), watch.used(1)) == (3, 6)
    watch.played(1, 1)
    watch.run(0)
    pass_time(watch, 10)
    assert watch.view()["used"] == [13, 6] and watch.view()["running"] == 0 and watch.view()["left"] is None
    watch.cut(1)  # White's move is taken back
    watch.run(1)
    assert (watch.used(0), watch.used(1)) == (3, 0)
    watch.restart(7)
    assert (watch.used(0), watch.used(1), watch.running, watch.begun) == (0, 0, None, False)


@pytest.mark.parametrize(
    ("setting", "seconds", "left", "remaining"),
    [
        (Setting("absolute", 60), 20, SideClock(40, 0), 40),
        (Setting("absolute", 60), 61, SideClock(-1, 0), 0),
        (Setting("byoyomi", 60, 30, 3), 20, SideClock(40, 0), 130),
        (Setting("byoyomi", 60, 30, 3), 70, SideClock(20, 3), 80),
        (Setting("byoyomi", 60, 30, 3), 100, SideClock(20, 2), 50),
        (Setting("byoyomi", 60, 30, 3), 149, SideClock(1, 1), 1),
        (Setting("byoyomi", 60, 30, 3), 151, SideClock(-1, 1), 0),
        (Setting("byoyomi", 0, 30, 2), 31, SideClock(29, 1), 29),
    ],
)
def test_what_is_left_in_the_midst_of_a_move(watch, setting, seconds, left, remaining):
    watch.setting = setting
    watch.run(0)
    pass_time(watch, seconds)
    assert watch.left(0) == left and watch.remaining() == remaining
    assert watch.left(1) == SideClock(setting.main or setting.period, 0 if setting.main else setting.count)
    watch.run(None)
    assert watch.remaining() is None


def test_a_move_in_byo_yomi_fills_the_period(watch):
    watch.setting = Setting("byoyomi", 10, 30, 3)
    watch.run(0)
    pass_time(watch, 45)
    assert clock_text(watch.view(), 0) == "0:25 x2" and clock_text(watch.view(), 1) == "0:10"
    view = watch.view()
    assert clock_text(view, 0, 26.5) == "0:28 x1" and clock_text(view, 1, 26.5) == "0:10"
    watch.played(0, 0)
    assert watch.left(0) == SideClock(30, 2)
    clock = GoClock()
    clock.control(watch.setting)
    clock.spent(0, 45)
    assert clock.during(0, 0) == SideClock(30, 2)


def test_the_options_name_the_control():
    assert control(PlayGoCommand()) == Setting()
    assert control(PlayGoCommand(main_time=10)) == Setting("absolute", 600)
    assert control(PlayGoCommand(byo_yomi=30)) == Setting("byoyomi", 0, 30, 5)
    assert control(PlayGoCommand(main_time=0.5, byo_yomi=20, periods=3)) == Setting("byoyomi", 30, 20, 3)
    for wrong in ({"main_time": 0}, {"byo_yomi": float("nan")}, {"periods": 0}, {"main_time": -1}):
        with pytest.raises(ValueError, match="must lie in"):
            PlayGoCommand(**wrong)


def test_the_clock_of_a_game(seat):
    table = seat(human="black")
    assert table.shown["clock"]["running"] is None  # nobody knows when the person sat down
    table.command("play", at("c3"))
    clock = until(table, lambda v: v["ply"] == 2 and v["clock"]["running"] == 0)["clock"]
    assert clock["used"][0] < 0.2 and clock["used"][1] > 0
    table.command("go", 1)  # the player does not think while a person looks at its turn, and it is theirs at the end
    assert until(table, lambda v: v["looking_back"])["clock"]["running"] == 0
    table.command("go", 2)
    until(table, lambda v: not v["looking_back"])
    table.command("resign")
    assert until(table, lambda v: v["ended"])["clock"]["running"] is None
    table.command("go", 1)
    assert until(table, lambda v: v["looking_back"])["clock"]["running"] is None
    table.command("undo")
    view = until(table, lambda v: v["plies"] == 0)
    assert view["clock"]["used"][1] == 0 and not view["result"]


@pytest.mark.parametrize("analysing", [False, True])
def test_who_runs_out_of_time_has_lost(seat, analysing):
    table = seat(start=False, human="black")
    table.watch.setting, table.analysing = Setting("byoyomi", 0, 1, 2), analysing
    table.start()
    table.command("play", at("c3"))
    until(table, lambda v: v["clock"]["running"] == 0)
    began = time.monotonic()
    view = until(table, lambda v: v["ended"])
    assert (view["ended"], view["result"]) == ("Black has run out of time: White wins.", "W+T")
    assert time.monotonic() - began > 1.5  # both periods
    assert record.read(sgf.parse(table.saved)).result == "W+T"
    table.command("play", at("a1"))
    assert "lost by time" in until(table, lambda v: v["message"])["message"]
    table.command("undo")
    view = until(table, lambda v: v["plies"] == 0)
    left = view["clock"]["left"]
    assert not view["ended"] and [one["count"] for one in left] == [2, 2]
    assert all(0.5 < one["time"] <= 1 for one in left)  # it runs on: it is Black's turn


def test_the_player_keeps_within_its_time(seat):
    table = seat(start=False, human="none")
    table.visits, table.seconds, table.watch.setting = None, 60.0, Setting("byoyomi", 0, 1, 1)
    table.start()
    view = until(table, lambda v: v["ply"] >= 3)
    assert not view["ended"] and max(seconds for _, seconds in table.watch.moves) < 1


@pytest.mark.slow
def test_the_clock_on_the_page(seat, tmp_path):
    from chrome import Chrome

    from experiments.go.browser import TablePage

    table = seat(start=False, human="black")
    table.watch.setting = Setting("byoyomi", 3, 9, 2)
    browser, chrome = TablePage(table), None
    try:
        table.start()
        chrome = Chrome(tmp_path)
        chrome.open(browser.address)
        chrome.wait("window.joypad && joypad.state()")
        clocks = "[...document.querySelectorAll('time')].map((node) => node.textContent)"
        assert chrome.eval(clocks) == ["0:03", "0:03"]
        chrome.eval(f"joypad.command('play', {at('c3')})")
        chrome.wait("document.querySelector('time').classList.contains('running')")
        messages = chrome.eval("joypad.link.figures.drawn")
        seen = set()
        for _ in range(6):  # ticks by itself: the program, which waits, sends nothing
            seen.add(chrome.eval(clocks)[0])
            chrome.wait("new Promise((done) => setTimeout(() => done(true), 500))")
        assert len(seen) > 1 and chrome.eval("joypad.link.figures.drawn") == messages
        chrome.wait("document.querySelector('time').textContent.endsWith(' ×2')")
        assert re.fullmatch(r"0:0\d ×[12]", chrome.eval(clocks)[0])
        for wide, high in ((1280, 800), (390, 844)):
            for dark in (False, True):
                chrome.look(wide, high, mobile=wide < 1000, dark=dark)
                box = "[...document.querySelectorAll('time')].map((node) => node.getBoundingClientRect())"
                assert chrome.eval(f"{box}.every((b) => b.height > 20 && b.right <= {wide} && b.bottom <= {high})")
        chrome.wait("document.querySelector('time').classList.contains('short')")
        chrome.wait("joypad.state().result === 'W+T'")
        assert chrome.eval("document.getElementById('told').textContent") == "Black has run out of time: White wins."
        assert chrome.faults == []
    finally:
        if chrome is not None:
            chrome.close()
        browser.close()
