"""The Go board for people: the commands of its table, and what they are told."""

from __future__ import annotations

import numpy as np
import pytest
from gotables import at, until

from envs.go import record, sgf


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
    until(table, lambda v: v["ply"] == 4 and not v["looking_back"])
    table.command("go", 2)
    table.command("play", at("e5"))
    view = until(table, lambda v: v["ply"] == 3 and v["plies"] == 3)
    assert view["board"][at("e5")] == 1 and not view["board"][at("d4")] and len(view["chances"]) == 4


def test_looking_back_silences_nobody_and_changes_no_side(seat):
    """The player answers after the return, and where a person plays on from an earlier move."""
    table = seat(human="black")
    for vertex in ("c3", "b2"):
        table.command("play", at(vertex))
        table.command("go", 10)
        until(table, lambda v, ply=2 if vertex == "c3" else 4: v["ply"] == ply and v["mine"] and not v["thinking"])
    line = list(table.line)
    for ply in (3, 1, 0):  # at 1 and 3 it is the player's turn there
        table.command("go", ply)
        view = until(table, lambda v, ply=ply: v["ply"] == ply)
        assert view["looking_back"] and view["human"] == "black" and not view["thinking"] and view["plies"] == 4
    table.command("resign")
    assert "looking back" in until(table, lambda v: v["message"])["message"]
    table.command("go", 4)
    view = until(table, lambda v: v["ply"] == 4)
    assert view["mine"] and not view["looking_back"] and table.line == line
    table.command("go", 2)
    until(table, lambda v: v["ply"] == 2)
    free = next(a for a in range(25) if a not in [action for _, action in line])
    table.command("play", free)
    until(table, lambda v: v["ply"] == 4 and v["board"][free] == 1 and v["mine"])  # it has answered
    assert table.line[:2] == line[:2] and table.line[2] == (0, free) and len(table.line) == 4
    table.command("go", 1)  # the player's turn: a person who plays there chooses its move
    until(table, lambda v: v["ply"] == 1 and v["mine"])
    free = next(a for a in range(25) if not table.game.at(a))
    table.command("play", free)
    view = until(table, lambda v: v["ply"] == v["plies"] == 2 and v["mine"])
    assert view["board"][free] == 2
    table.command("new", {"size": 5, "komi": 0.5})
    assert until(table, lambda v: v["ply"] == 0 and v["komi"] == 0.5)["human"] == "black"
    table.command("load", "(;SZ[5];B[aa];W[bb])")
    until(table, lambda v: v["ply"] == 2 and v["human"] == "both")
    table.command("new", {"size": 5, "komi": 1.5})
    assert until(table, lambda v: v["komi"] == 1.5)["human"] == "black"  # what was chosen before the file


def test_a_refused_move_says_why(seat):
    from envs.go.game import GoGame
    from experiments.go.telling import why_illegal

    def game(black, white, turn, **options):
        made = GoGame(5, 0.5, **options)
        made.set_up([at(v) for v in black.split()], [at(v) for v in white.split()], turn)
        return made

    plain = {"suicide": False, "superko": "positional"}
    eye = game("a2 b1", "c2 b3 a4", 1, **plain)  # White into a1: no liberty, and nothing is taken
    assert "suicide" in why_illegal(eye, at("a1")) and why_illegal(eye, at("c3")) == ""
    two = game("a3 b3 c2 c1", "a2 b1", 1, **plain)
    assert why_illegal(two, at("b2")) == "" and "occupied" in why_illegal(two, at("c1"))
    ko = game("b2 a3 b4", "c2 d3 c4 b3", 0, **plain)
    ko.play(at("c3"))
    assert ko.at(at("b3")) == 0 and why_illegal(ko, at("b3")).startswith("B3 is ko")
    assert "no point" in why_illegal(ko, 25 + 1) and why_illegal(ko, 25) == ""
    table = seat()
    table.command("play", at("c3"))
    table.command("play", at("c3"))
    assert until(table, lambda v: v["message"])["message"] == "C3 is occupied"


def test_every_refusal_has_the_reason_that_the_rules_have():
    """Random games on a small board: a legal move has no reason, and suicide is told exactly where it is one."""
    from envs.go.game import GoGame
    from experiments.go.telling import why_illegal

    draw, reasons = np.random.default_rng(5), set()
    for superko in ("positional", "situational"):
        for _ in range(12):
            game = GoGame(3, 0.5, suicide=False, superko=superko)
            free = GoGame(3, 0.5, suicide=True, superko="simple")  # the same position under rules that allow both
            for _ in range(40):
                free.set_up(*([a for a in range(9) if game.at(a) == c] for c in (1, 2)), game.turn)
                legal = [a for a in range(10) if game.is_legal(a)]
                for action in range(9):
                    told = why_illegal(game, action)
                    assert (told == "") == (action in legal)
                    if "suicide" in told:
                        reasons.add("suicide")
                        trial = GoGame(3, 0.5, suicide=False, superko="simple")
                        trial.set_up(*free.setup)
                        assert not trial.is_legal(action) and not trial.at(action)
                    elif "superko" in told:
                        reasons.add("superko")
                        assert free.is_legal(action)
                game.play(int(draw.choice(legal[:-1] or legal)))
                if game.over:
                    break
    assert reasons == {"suicide", "superko"}


def test_giving_up_ends_the_game(seat):
    table = seat(human="white", komi=0.5)
    until(table, lambda v: v["ply"] == 1 and v["mine"])
    table.command("resign")
    view = until(table, lambda v: v["ended"])
    assert (view["ended"], view["result"]) == ("White resigns: Black wins.", "B+R") and not view["thinking"]
    assert record.read(sgf.parse(table.saved)).result == "B+R"
    for name, value, told in (
        ("resign", None, "the game is over"), ("play", 0, "given up"), ("pass", None, "given up"),
    ):  # fmt: skip
        table.command(name, value)
        assert told in until(table, lambda v: v["message"])["message"]
        table.command("analyse", False)
        until(table, lambda v: not v["message"])
    table.command("go", 0)  # looking back and forth forgets nothing
    until(table, lambda v: v["ply"] == 0)
    table.command("go", 1)
    assert until(table, lambda v: v["ply"] == 1)["result"] == "B+R"
    table.command("side", "both")
    table.command("undo")
    view = until(table, lambda v: v["ply"] == 0 and v["plies"] == 0)
    assert not view["ended"] and not view["result"] and view["mine"]
    table.command("resign")
    assert until(table, lambda v: v["ended"])["result"] == "W+R"  # the side that is to move
    table.command("new", {"size": 5, "komi": 0.5})
    until(table, lambda v: not v["ended"])
    table.command("side", "none")
    table.command("resign")
    until(table, lambda v: v["message"] == "you play neither side" or v["ended"])


def test_the_counted_area_and_the_cost_of_the_last_move(seat):
    from experiments.go.telling import lost

    table = seat(komi=0.5)
    for vertex in ("c1", "d1", "c2", "d2", "c3", "d3", "c4", "d4", "c5", "d5"):
        table.command("play", at(vertex))
    table.command("pass")
    table.command("pass")
    found = until(table, lambda v: v["ended"])["found"]["ownership"]
    assert np.array(found).reshape(5, 5).tolist() == [[1, 1, 1, -1, -1]] * 5
    assert table.shown["result"] == "B+4.5" and table.shown["loss"] is None
    line, chances = [(0, 1), (1, 2), (0, 3)], {0: 0.5, 1: 0.3, 2: 0.6, 3: 0.7}
    assert [lost(line, chances, ply) for ply in (0, 1, 2, 3)] == [None, 0.2, 0.3, -0.1]
    assert lost(line, {0: 0.5}, 1) is None


def test_a_review_finds_the_moves_that_cost_most(seat):
    """White leaves the border open with its fifth move, and Black walks in: a blunder that every search sees."""
    table = seat(komi=5.5)
    for vertex in ("c1", "d1", "c2", "d2", "c3", "d3", "c4"):
        table.command("play", at(vertex))
    table.command("pass")
    table.command("play", at("d4"))
    until(table, lambda v: v["ply"] == 9)
    assert table.shown["review"] == {"worst": [], "done": 0, "asked": 0}
    table.command("review", True)
    view = until(table, lambda v: v["review"]["asked"] == v["review"]["done"] == 10, 120)
    chances = view["chances"]
    assert None not in chances
    costs = {ply: (chances[ply - 1] - chances[ply]) * (1 if ply % 2 else -1) for ply in range(1, 10)}
    told = view["review"]["worst"]
    expected = sorted((p for p in costs if costs[p] >= 0.05), key=lambda p: (-costs[p], p))
    assert [move["ply"] for move in told] == expected
    assert all(move["chance"] == pytest.approx(costs[move["ply"]], abs=1e-3) for move in told)
    blunder = next(move for move in told if move["ply"] == 8)
    assert (blunder["move"], blunder["colour"]) == ("pass", 1) and blunder["points"] > 3 and blunder["best"] != "pass"
    assert view["ply"] == 9 and view["points"] is not None  # the board stays where it is
    table.command("go", 8)
    view = until(table, lambda v: v["ply"] == 8)
    assert view["loss"] == blunder["chance"] and view["points"] == blunder["points"]
    table.command("play", at("e4"))  # another game from here: what is behind it is forgotten
    view = until(table, lambda v: v["plies"] == 9 and v["board"][at("e4")])
    assert view["review"]["asked"] == 0 and view["chances"][9] is None and None not in view["chances"][:9]


def test_a_command_is_heard_while_a_game_is_reviewed(seat):
    table = seat(size=9)
    for vertex in ("e5", "c3", "g7", "c7", "g3"):
        table.command("play", at(vertex, 9))
    until(table, lambda v: v["ply"] == 5)
    table.command("review", True)
    until(table, lambda v: v["review"]["asked"] == 6)
    table.command("go", 2)
    view = until(table, lambda v: v["ply"] == 2)
    assert view["review"]["done"] < 6
    until(table, lambda v: v["review"]["done"] == 6)
    table.command("review", True)  # nothing is left to be looked at
    assert until(table, lambda v: v["review"]["asked"] == 0)["review"]["done"] == 0
    table.command("new", {"size": 9, "komi": 7.5, "handicap": 0})
    table.command("review", True)
    table.command("review", False)
    until(table, lambda v: v["plies"] == 0 and v["review"]["asked"] == 0)


def test_loading_and_new_games(seat):
    table = seat()
    table.command("load", "(;SZ[7]KM[3.5]PB[An]PW[Bo]RE[W+R]AB[cc][ee];W[dd];B[](;W[bb])(;W[aa]))")
    view = until(table, lambda v: v["size"] == 7)
    assert (view["ply"], view["komi"], view["message"], view["result"]) == (3, 3.5, "loaded An - Bo W+R", "W+R")
    assert view["names"] == ["An", "Bo"]
    assert record.read(sgf.parse(table.saved)).black == "An"
    table.command("load", b"(;SZ[7]CA[GB18030]PB[" + "\u9ed2".encode("gb18030") + b"]PW[\xa4\xa4])")
    assert until(table, lambda v: v["names"][0] == "\u9ed2")["ply"] == 0
    table.command("load", "(;SZ[7]KM[3.5]PB[An]PW[Bo]RE[W+R]AB[cc][ee];W[dd];B[](;W[bb])(;W[aa]))")
    until(table, lambda v: v["names"] == ["An", "Bo"])
    table.command("load", "(;SZ[99])")
    assert "must be a square" in until(table, lambda v: "loaded" not in v["message"] and v["message"])["message"]
    assert table.shown["size"] == 7
    table.command("new", {"size": 9, "komi": 0.5, "handicap": 3})
    view = until(table, lambda v: v["size"] == 9)
    assert view["names"] == ["", ""]
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
        ("dance", 1), ("quit", 0), ("resign", 1), ("play", True), ("play", 2.5), ("load", b"\xff"), ("load", "("),
        ("new", {"size": 9}), ("new", {"size": 9, "komi": 7, "colour": 1}), ("level", 1e9), ("analyse", 1),
    ):  # fmt: skip
        table.command(name, value)
        told = until(table, lambda v: v["message"])["message"]
        assert len(told) < 200 and "Error" not in told
        table.command("analyse", False)
        after = until(table, lambda v: not v["message"])
        assert [key for key in before if before[key] != after[key] and key != "clock"] == [], (name, value)


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
