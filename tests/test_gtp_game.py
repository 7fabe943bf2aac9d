"""What the GTP program makes of a game: sekis and one judgement, passes, rules by name, time, limits of the search."""

from __future__ import annotations

import json

import pytest
from test_go_judging import SEKI
from test_gtp import Talk

from envs.go import settle
from envs.go.game import to_vertex
from experiments.go.clock import GoClock, Setting

WALLS = [f"play {c} {x}{row}" for row in range(1, 10) for c, x in (("b", "d"), ("w", "e"))]


def stones(text: str) -> list[str]:
    """set_position for a diagram."""
    found = [("bw"["XO".index(there)], i) for i, there in enumerate(text.replace(" ", "")) if there in "XO"]
    return ["set_position " + " ".join(f"{colour} {to_vertex(i, 9)}" for colour, i in found)]


def test_sekis_are_not_dead_and_every_answer_says_the_same(monkeypatch):
    asked, endings = [], settle.endings
    monkeypatch.setattr(settle, "endings", lambda *given: asked.append(1) or endings(*given))
    talk = Talk(komi=7.0)
    talk("komi 7", *stones(SEKI))
    score, seki, dead, alive, again, white = talk(
        "final_score", "final_status_list seki", "final_status_list dead", "final_status_list alive", "final_score",
        "final_status_list seki",
    )  # fmt: skip
    assert score == again == "= B+2" and dead == "=" and seki == white
    assert {"J9", "D9"} <= set(seki[2:].split()) and not set(seki[2:].split()) & set(alive[2:].split())
    assert talk("final_status j9", "final_status a9", "final_status d5", "final_status f9") == [
        "= seki", "= black_territory", "= alive", "= dame"
    ]  # fmt: skip
    assert "F9" in talk("final_status_list dame")[0].split()
    assert len(asked) == 1  # whatever was asked
    assert talk("final_status pass", "final_status", "final_status_list happy") == ["? syntax error"] * 3


@pytest.mark.parametrize("rules", ["japanese", "chinese", "tromp-taylor"])
def test_a_pass_that_wins_is_taken(rules):
    """White is half a point ahead, by area and by territory, and Black passes."""
    talk = Talk(rules=rules, komi=-8.5, visits=50)
    talk(*WALLS, "play b pass")
    assert talk("genmove w", "final_score") == ["= pass", "= W+0.5"]
    on = Talk(rules=rules, komi=-8.5, visits=50, play_on=True)
    on(*WALLS, "play b pass")
    if rules != "japanese":
        assert on("genmove w") != ["= pass"]
    talk.engine.game.undo()
    assert talk("kgs-genmove_cleanup w") == on("undo", "genmove w")[1:] or rules == "japanese"


def test_under_territory_rules_its_own_territory_is_not_filled():
    """Sixty turns against passes: half a point stays half a point, though nobody has passed before the first."""
    talk = Talk(rules="japanese", komi=-8.5, visits=50)
    talk(*WALLS)
    moves = talk(*["genmove w", "play b pass"] * 60)[0::2]
    assert set(moves) == {"= pass"} and talk("final_score") == ["= W+0.5"]


def test_an_invader_that_dies_costs_its_side_a_point():
    """And whether White answers it or not, White still wins."""
    talk = Talk(rules="japanese", komi=-8.5, visits=400)
    talk(*WALLS, "play b g5")
    assert talk("final_status g5", "final_score") == ["= dead", "= W+1.5"]
    talk("genmove w", "play b pass", "genmove w")
    assert talk("final_score")[0] in ("= W+0.5", "= W+1.5")


def test_a_lost_position_or_an_open_one_is_played_on():
    talk = Talk(komi=7.5, visits=50)
    assert talk("play w pass", "genmove b")[1] not in ("= pass", "= resign")  # 7.5 behind on an empty board
    talk = Talk(komi=-20.5, visits=50)
    talk("play b e5", "play w pass")
    assert talk("final_score") == ["= B+101.5"] and talk("genmove b") != ["= pass"]  # nothing is decided yet


def test_a_long_game_does_not_end_at_a_silent_limit():
    talk = Talk(visits=5)
    for _ in range(200):  # 400 moves on 9x9; the limit was 324
        assert talk("play b pass", "play w pass") == ["=", "="]
    assert len(talk.engine.game.moves) == 400
    talk("play b e5", "play w c3")
    assert talk("genmove b", "undo", "undo", "undo", "list_stones b")[1:] == ["=", "=", "=", "="]
    assert talk.engine.game.rules.max_moves > 2 * 81 + len(talk.engine.game.moves)
    assert talk("play b c3", "play w c3") == ["=", "? illegal move"]


def test_the_limit_that_there_is_says_so(monkeypatch):
    from envs.go import game

    monkeypatch.setattr(game, "MOST_MOVES", 324)
    talk = Talk(visits=5)
    assert set(talk(*["play b pass", "play w pass"] * 162)) == {"="}
    assert talk("play b pass", "genmove b") == ["? the game has reached its limit of 324 moves"] * 2


@pytest.mark.parametrize(
    ("given", "ko", "scoring", "suicide", "bonus"),
    [
        ("tromp-taylor", "POSITIONAL", "AREA", True, "0"), ("chinese", "POSITIONAL", "AREA", False, "N"),
        ("chinese-ogs", "POSITIONAL", "AREA", False, "N"), ("chinese-kgs", "POSITIONAL", "AREA", False, "N"),
        ("japanese", "SIMPLE", "TERRITORY", False, "0"), ("korean", "SIMPLE", "TERRITORY", False, "0"),
        ("aga", "SITUATIONAL", "AREA", False, "N-1"), ("bga", "SITUATIONAL", "AREA", False, "N-1"),
        ("New Zealand", "SITUATIONAL", "AREA", True, "0"), ("new_zealand", "SITUATIONAL", "AREA", True, "0"),
    ],
)  # fmt: skip
def test_rules_by_every_documented_name(given, ko, scoring, suicide, bonus):
    talk = Talk()
    assert talk(f"kata-set-rules {given}") == ["="]
    found = json.loads(talk("kata-get-rules")[0][2:])
    assert (found["ko"], found["scoring"], found["suicide"], found["whiteHandicapBonus"]) == (
        ko, scoring, suicide, bonus
    )  # fmt: skip
    assert found["tax"] == ("SEKI" if scoring == "TERRITORY" else "NONE") and not found["hasButton"]
    text = json.dumps(found)
    assert ", " in text and talk("kata-set-rules tromp-taylor", f"kata-set-rules {text}") == ["=", "="]
    assert talk("kata-get-rules") == [f"= {text}"]


def test_rules_that_are_not_played_are_refused_by_name():
    talk = Talk()
    for line, words in (
        ("kata-set-rules stone-scoring", "stone-scoring"), ("kata-set-rules aga-button", "button"),
        ('kata-set-rules {"hasButton": true}', "button"), ('kata-set-rules {"tax":"ALL"}', "tax ALL"),
        ('kata-set-rules {"ko": "TRIPLE"}', "ko is 'TRIPLE'"), ('kata-set-rules {"depth": 1}', "depth"),
        ("kata-set-rules {", "syntax error"), ("kata-set-rules", "syntax error"), ("kata-set-rule ko", "syntax error"),
        ("kata-set-rule ko MAYBE", "ko is 'MAYBE'"),
    ):  # fmt: skip
        (said,) = talk(line)
        assert said.startswith("? ") and words in said, said
    assert talk("kata-set-rule ko SIMPLE", "kata-set-rule suicide true") == ["=", "="]
    found = json.loads(talk("kata-get-rules")[0][2:])
    assert found["ko"] == "SIMPLE" and found["suicide"] is True and found["whiteHandicapBonus"] == "N"


def test_periods_of_byo_yomi_are_no_stones():
    talk = Talk()
    for name in ("kgs-time_settings", "kata-time_settings"):
        assert talk(f"{name} byoyomi 600 30 5", "time_left b 30 5", "time_left w 30 1") == ["="] * 3
        assert talk.engine.clock.allowed(0, 30, 81) == talk.engine.clock.allowed(1, 30, 81) == pytest.approx(29.8)
    talk("kgs-time_settings byoyomi 0 10 5")
    assert talk.engine.clock.allowed(0, 0, 81) == pytest.approx(9.8)
    talk("kgs-time_settings canadian 0 30 10", "time_left b 20 5")
    assert talk.engine.clock.allowed(0, 0, 81) == pytest.approx(3.8)
    talk("kgs-time_settings none")
    assert talk.engine.clock.allowed(0, 0, 81) is None


def test_a_period_is_lost_by_who_outlasts_it():
    clock = GoClock()
    clock.control(Setting("byoyomi", 10.0, 5.0, 3))
    for spent, allowed in ((4.0, 4.8), (8.0, 4.8), (4.9, 4.8), (7.0, 4.8), (4.0, 4.8), (30.0, 4.8)):
        clock.spent(0, spent)
        assert clock.allowed(0, 100, 81) == pytest.approx(allowed)
    assert clock._left[0].count == 1 and clock._left[1].count == 0


def test_fischer_time():
    clock = GoClock()
    clock.control(Setting("fischer", 60.0, 5.0))
    first = clock.allowed(0, 0, 81)
    assert 5 < first < 15
    left = 60.0
    for move in range(0, 400, 2):  # a whole game: the clock never falls to nothing
        spent = clock.allowed(0, move, 81) + 0.05
        left = left - spent + 5
        assert left > 5
        clock.spent(0, spent)
    clock.control(Setting("fischer", 100.0, 10.0, cap=100.0, longest=8.0))
    assert clock.allowed(0, 0, 81) == pytest.approx(8.0)
    clock.control(Setting("fischer", 100.0, 10.0, cap=60.0))
    assert clock.allowed(0, 0, 81) > 45  # what lies over the cap is lost otherwise
    talk = Talk()
    assert talk("kgs-time_settings fischer 60 5", "kata-time_settings fischer 60") == ["? syntax error"] * 2


def test_analysis_looks_only_at_what_is_allowed():
    talk = Talk(size=19, visits=40)
    text = talk.raw(b"kata-analyze B interval 5 allow B A1 1\nname\n")
    assert "info move A1 visits" in text and text.count("info move") == text.count("info move A1 ")
    text = talk.raw(b"lz-genmove_analyze B 5 allow B A1,T19 1\n")
    assert text.rstrip().split("\n")[-1] in ("play A1", "play T19")
    talk("clear_board", "boardsize 5", *(f"play b {c}{r}" for c in "ABCDE" for r in range(1, 5)))
    text = talk.raw(b"kata-search_analyze w 5 avoid w a5,b5,c5,d5,e5 2\nkata-search w\n")
    assert text.split("\n\n")[0].endswith("play pass") and talk("move_history")[0].count("\n") == 19
    assert talk("kata-analyze b allow b a1 1 avoid b b1 1") == ["? allow must be the only limit of black"]
    assert talk("kata-analyze b allow b a1 1", "kata-analyze b allow b a9 1")[0] == "? no legal move is left"


def test_options_that_katago_documents_are_taken():
    talk = Talk(size=5, visits=20)
    for option in (
        "movesOwnershipStdev", "ownershipStdev", "noResultValue", "movesOwnership", "pvVisits", "pvEdgeVisits",
        "rootInfo", "ownership",
    ):  # fmt: skip
        text = talk.raw(f"kata-analyze b 10 {option} true\nname\n".encode())
        assert text.startswith("=\ninfo move ") and ("rootInfo" in text) == (option == "rootInfo")
        assert ("noResultValue 0" in text) == (option == "noResultValue")
    for name in talk("kata-list-params")[0][2:].split():
        (value,) = talk(f"kata-get-param {name}")
        assert talk(f"kata-set-param {name} {value[2:]}") == ["="] and talk(f"kata-get-param {name}") == [value]
    assert talk("kata-set-param maxVisits 7", "kata-get-param maxVisits") == ["=", "= 7"] and talk.engine.visits == 7
    for line, words in (
        ("kata-set-param maxVisits 0", "maxVisits"), ("kata-set-param cpuct 1", "Invalid parameter: cpuct"),
        ("kata-set-param wideRootNoise 0.1", "wideRootNoise"), ("kata-set-params {\"maxVisits\": 3, \"x\": 1}", "x"),
        ("kata-set-params 3", "syntax error"), ("kata-get-param", "syntax error"),
    ):  # fmt: skip
        (said,) = talk(line)
        assert said.startswith("? ") and words in said and talk.engine.visits == 7
    assert json.loads(talk("kata-get-params")[0][2:])["maxVisits"] == 7
    assert talk("clear_cache", "stop", "rectangular_boardsize 9 9", "rectangular_boardsize 9 7")[2:] == [
        "=", "? unacceptable size"
    ]  # fmt: skip
    assert talk("set_position b A1 w A1", "set_position b", "set_position b pass") == [
        "? illegal position", "? syntax error", "? illegal position"
    ]  # fmt: skip
