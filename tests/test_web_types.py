"""Every command of every page with every kind of value: who sent a wrong one gets a sentence, and the program lives."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import pytest
from raw import KINDS, MISSING, Talker
from tubs import KINDS as COLUMNS
from tubs import values

from envs.recordings.tub import TubWriter
from experiments.driving.page import COMMANDS, DataPage
from experiments.go import players
from experiments.go.browser import PAGE as GO_PAGE
from experiments.go.browser import TablePage as GoBrowser
from experiments.go.engine import Habits
from experiments.go.table import TYPES as GO_TYPES
from experiments.go.table import GoTable
from experiments.watching.browser import PAGE, PlayerPage
from experiments.watching.commands import TYPES
from experiments.watching.player import Player, drive
from experiments.watching.source import Source

NAMES = ["", "dance", "quit", "__init__", "x" * 9000, *[kind for kind in KINDS if not isinstance(kind, str)]]


def is_right(kind, value) -> bool:
    try:
        kind(value)
    except ValueError:
        return False
    return True


def answers(client: Talker, number: int) -> list[str]:
    """The errors that a browser was told since the last call; the pong of its ping says that there are no more."""
    client.say(type="ping", sent=number)
    found = []
    while (message := client.hear("error", "pong"))["type"] != "pong":
        found.append(message["message"])
    assert message["sent"] == number
    return found


def until(client: Talker, name: str, wanted) -> None:
    """The state of that name becomes as wanted."""
    while True:
        client.say(type="ready")
        if (state := client.hear("state"))["name"] == name and wanted(state["state"]):
            return


def attack(client: Talker, types: dict) -> int:
    """Sends everything; returns how many values were of the right type."""
    right = number = 0
    for name, kind in types.items():
        for value in [*KINDS, MISSING]:
            message = {"type": "command", "name": name} | ({} if value is MISSING else {"value": value})
            client.say(**message)
            number += 1
            told = answers(client, number)
            if is_right(kind, None if value is MISSING else value):
                right += 1
                assert told == [], (name, value)
            else:
                assert len(told) == 1 and told[0].startswith(name) and len(told[0]) < 250, (name, value, told)
    for name in NAMES:
        client.say(type="command", name=name, value=1)
        number += 1
        (told,) = answers(client, number)
        assert told.startswith("there is no command") and len(told) < 100
    for message in ({"type": "command"}, {"type": "state", "name": "now"}, {"type": "error"}, {"type": ""}):
        client.say(**message)
        number += 1
        assert answers(client, number)[0].startswith("there is no ")
    return right


@contextlib.contextmanager
def serving(player: Player):
    """The player's page, driven as the program does it; afterwards it must have ended without a fault."""
    browser, faults = PlayerPage(player.fps), []

    def run():
        try:
            drive(player, browser)
        except BaseException as fault:
            faults.append(fault)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield browser, thread
    finally:
        browser._queue.put(("quit", None))
        thread.join(60)
        browser.close()
        player.close()
    assert not thread.is_alive() and not faults, faults


@pytest.mark.parametrize("taken", [False, True])
def test_the_page_of_watch_and_play(taken, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # for clips
    player = Player([Source("gym:CartPole-v1")], panels=not taken)
    if taken:  # as `play` does
        player.command("take", True)
    with serving(player) as (browser, thread):
        client, other = (Talker(browser.server.port, browser.server.token, "watch") for _ in range(2))
        right = attack(client, PAGE)
        assert len(PAGE) < right < len(PAGE) * len(KINDS)
        client.say(type="command", name="pause", value=True)
        client.say(type="command", name="seed", value=77)
        until(client, "now", lambda state: state["seed"] == 77)
        assert answers(other, 1) == []  # what one browser did wrong is not told to another
        assert thread.is_alive()
        client.close()
        other.close()


def test_the_player_itself():
    """Windows and programs give commands without a page."""
    player = Player([Source("gym:CartPole-v1")])
    frames = player.frames()
    for taken in (False, True):
        player.command("take", taken)
        for name, kind in TYPES.items():
            for value in KINDS:
                player.messages.clear()
                player.command(name, value)
                if not is_right(kind, value):
                    assert len(player.messages) == 1 and player.messages[0].startswith(name), (name, value)
            player.ended = False
        for name in [*NAMES, ["held"]]:
            if name != "quit":
                player.messages.clear()
                player.command(name)
                assert player.messages[0].startswith("there is no command")
        player.command("take", taken)
        for _ in range(3):
            next(frames)
    player.close()


def test_the_go_table():
    table = GoTable(players.rave(seed=2), size=5, human="both", habits=Habits(visits=10))
    table.analysing = False
    for value in [*KINDS, b"\xff", object()]:  # the table's own check, without a page and without its thread
        for name, kind in GO_TYPES.items():
            table._apply(name, value)
            if not is_right(kind, value):
                assert table.message.startswith(name) and len(table.message) < 250, (name, value)
    table._apply("new", {"size": 5, "komi": 0.5})
    browser = GoBrowser(table)
    table.start()
    try:
        client = Talker(browser.server.port, browser.server.token, "go")
        attack(client, GO_PAGE)
        client.say(type="command", name="side", value="both")
        client.say(type="command", name="analyse", value=False)
        client.say(type="command", name="new", value={"size": 7, "komi": 3})
        until(client, "table", lambda state: (state["size"], state["komi"]) == (7, 3))
        assert table._thread.is_alive()
        client.close()
    finally:
        table.close()
        browser.close()


def test_the_data_page(tmp_path: Path):
    with TubWriter(tmp_path / "d", COLUMNS) as writer:
        for k in range(6):
            writer.write(values(k))
    page = DataPage(tmp_path / "d")
    page.start()
    try:
        client = Talker(page.server.port, page.server.token, "tub")
        client.say(type="ping", sent=0)
        client.hear("pong")
        for value in [*KINDS, MISSING]:
            for first, last in ((value, 2), (2, value), (value, value)):
                given = {"first": first, "last": last}
                given = {name: each for name, each in given.items() if each is not MISSING}
                if is_right(COMMANDS["delete"], given):
                    continue
                client.say(type="delete", **given)
                told = client.hear("refused", "changed", "error")
                assert told["type"] != "changed" and len(told.get("text") or told["message"]) < 250, (first, last)
        assert page.tub.deleted == 0 and len(page.tub) == 6
        client.say(type="delete", first=1, last=2)
        assert client.hear("changed", "refused")["type"] == "changed"
        client.close()
    finally:
        page.server.stop()
