"""Known positions as text: ko, superko, captures and suicide, seki, Benson's life, ladders.

A fixture is a title, settings, a board (X Black, O White, row 1 at the bottom) and statements in order:

    play: B C4, W pass      these moves are legal and are played
    legal:, illegal: A1 B2  for the side that is to move now
    captured: 1 0           stones that Black, that White has captured
    after:, owner:          the board as it stands; what is pass-alive, b Black's and w White's (boards follow)
    area:, territory: -1    Black's lead without komi; seki: stones of groups that are in seki for the latter
    captured: C5 by D5      ladders: the opponent catches it; free: it does not
    lost:, saved: C5 by C4  ladders with the group's own side to move
"""

from pathlib import Path

import numpy as np
import pytest

from envs.go.board import GROUP, point_of
from envs.go.game import GoGame, from_vertex
from envs.go.ladders import in_ladder, ladder_capture, ladder_escape
from envs.go.scoring import pass_alive

FOLDER = Path(__file__).parent / "fixtures" / "go"


def fixtures(name):
    """(title, lines) of every fixture in a file."""
    for block in (FOLDER / f"{name}.txt").read_text().split("== ")[1:]:
        title, *lines = block.strip().splitlines()
        yield pytest.param(lines, id=title)


def take_board(lines):
    """Removes the board from the front of `lines`; rows of symbols."""
    rows = []
    while lines and ":" not in lines[0]:
        rows.append(lines.pop(0).split())
    assert all(len(row) == len(rows) for row in rows), rows
    return sum(rows, [])


def begin(lines):
    """Settings and board of a fixture; returns a function that makes the game, and the statements left."""
    settings, lines = {}, list(lines)
    while ":" in lines[0]:
        key, value = lines.pop(0).split(":")
        settings[key] = value.split()
    symbols = take_board(lines)
    size = int(len(symbols) ** 0.5)

    def game(rule):
        superko, _, suicide = rule.partition("+")
        made = GoGame(size, 0.0, superko=superko, suicide=suicide == "suicide")
        stones = [[i for i, symbol in enumerate(symbols) if symbol == colour] for colour in "XO"]
        made.set_up(*stones, "BW".index(settings["turn"][0]))
        return made

    return game, settings.get("rules", ["simple"]), lines


def check(game, lines):
    size, seki = game.size, []
    while lines:
        key, _, value = lines.pop(0).partition(": ")
        key, words = key.rstrip(":"), value.split()
        if key == "play":
            for move in value.split(", "):
                colour, vertex = move.split()
                assert colour == "BW"[game.turn]
                game.play(from_vertex(vertex, size))
        elif key in ("legal", "illegal"):
            mask = np.zeros(size * size + 1, bool)
            game.rules.legal(game.state, mask)
            for vertex in words:
                action = from_vertex(vertex, size)
                assert (game.is_legal(action), mask[action]) == (key == "legal",) * 2, vertex
        elif key == "captured":
            assert game.captured() == tuple(map(int, words))
        elif key == "after":
            assert [".XO"[colour] for colour in game.board().ravel()] == take_board(lines)
        elif key == "owner":
            owner = np.zeros(size * size, np.int8)
            pass_alive(game.state, owner)
            assert [".bw"[value] for value in owner] == take_board(lines)
        elif key == "seki":
            seki = [from_vertex(vertex, size) for vertex in words]
        elif key in ("area", "territory"):
            assert game.score(key, seki=seki) == float(value)
        else:
            raise AssertionError(f"unknown statement {key!r}")


@pytest.mark.parametrize(
    "lines", [p for name in ("ko", "superko", "captures", "seki", "benson") for p in fixtures(name)]
)
def test_position(lines):
    make, rules, statements = begin(lines)
    assert statements
    for rule in rules:
        check(make(rule), list(statements))


@pytest.mark.parametrize("lines", list(fixtures("ladders")))
def test_ladder(lines):
    make, _, (statement,) = begin(lines)
    game = make("simple")
    key, words = statement.split(":")[0], statement.split(":")[1].split()
    target = from_vertex(words[0], game.size)
    by = from_vertex(words[2], game.size) if len(words) > 1 else -1
    answer = ladder_capture if key in ("captured", "free") else ladder_escape
    assert answer(game.state, target) == by
    point = point_of(game.state, target)
    assert in_ladder(game.state, game.state[point + GROUP]) == (key in ("captured", "lost"))
