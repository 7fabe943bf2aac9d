"""What the programs of Go players send, in their order, and what they read from the answers: Sabaki, GoGui, Lizzie,
gtp2ogs, CGOS by GTP, KaTrain by the analysis protocol."""

from __future__ import annotations

import io
import json
import re

import pytest
from test_gtp import Talk

from experiments.go import players
from experiments.go.katago import LONGEST, Analyst
from experiments.go.protocol import Input, Output

VERTEX = r"(?:[A-HJ-T][1-9][0-9]?|pass)"


def answers(talk: Talk, lines: list[str]) -> list[str]:
    """An answer for every line, none of them a refusal."""
    found = talk(*lines)
    assert len(found) == len(lines)
    assert not [(line, text) for line, text in zip(lines, found, strict=True) if not text.startswith("=")]
    return found


def sabaki_reads(line: str) -> list[tuple[str, float, list[str]]]:
    """(move, winrate, variation) of every candidate as Sabaki finds them: the variation ends the candidate's text."""
    found = []
    for part in re.split(r"\s*info\s+", line.strip())[1:]:
        variation = re.search(rf"(?:\D|^)pv((?:\s+{VERTEX})+)\s*$", part)
        if variation:
            words = part[: variation.start()].split()
            pairs = dict(zip(words[0::2], words[1::2], strict=True))
            found.append((pairs["move"], float(pairs["winrate"]), variation[1].split()))
    return found


def test_sabaki():
    talk = Talk(size=19, visits=60)
    hello = answers(talk, ["name", "version", "protocol_version", "list_commands"])
    assert {"kata-analyze", "lz-analyze", "genmove_analyze"} & set(hello[3][2:].split())
    answers(talk, ["boardsize 9", "clear_board", "komi 6.5", "set_free_handicap C3 G7", "play W E5", "undo"])
    for dialect in ("kata", "lz"):
        text = talk.raw(f"{dialect}-analyze W 2\nplay W D6\nundo\n".encode())
        reports = text.split("\n\n")[0].split("\n")[1:]
        assert reports
        candidates = sabaki_reads(reports[-1])
        assert len(candidates) == reports[-1].count("info move ") >= 2  # none is lost, the last one neither
        assert all(move == variation[0] for move, _, variation in candidates)
        lines = talk.raw(f"{dialect}-genmove_analyze B 5\n".encode()).split("\n")
        assert sabaki_reads(lines[-4]) and re.fullmatch(rf"play {VERTEX}", lines[-3])


def test_gogui():
    talk = Talk()
    answers(talk, ["protocol_version", "name", "version", "list_commands", "gogui-analyze_commands"])
    answers(talk, ["boardsize 9", "clear_board", "komi 5.5", "time_settings 600 30 5", "fixed_handicap 2", "play W E5"])
    text = talk.raw(b"12 genmove b\n# interrupt\n13 gg-undo 2\n14 undo\n")
    assert re.fullmatch(rf"=12 {VERTEX}\n\n=13\n\n\?14 cannot undo\n\n", text)
    answers(talk, ["final_status_list dead", "final_status_list seki", "final_score", "joypad-ownership", "printsgf"])
    assert answers(talk, ["reg_genmove b", "captures b", "showboard"])[1] == "= 0"


def test_lizzie():
    talk = Talk(size=19, visits=50)
    said = answers(talk, ["name", "version", "list_commands"])
    major, minor = said[1].split()[1].split(".")[:2]  # below 0.15 it warns
    assert (int(major), int(minor)) >= (0, 15)
    answers(talk, ["boardsize 9", "komi 7.5", "kata-get-rules", "kata-get-param playoutDoublingAdvantage"])
    answers(talk, ["kata-set-param playoutDoublingAdvantage 0", "time_settings 0 5 1", "time_left b 4.8 1"])
    rules = answers(talk, ["kata-get-rules"])[0][2:]
    spaced = json.dumps(json.loads(rules), indent=None, separators=(" , ", " : "))
    answers(talk, [f"kata-set-rules {rules}", f"kata-set-rules {spaced}", "kata-set-rules chinese"])
    text = talk.raw(b"kata-analyze B 10 ownership true movesOwnership true rootInfo true\nplay B E5\nkata-analyze 10\n")
    last = text.split("\n\n")[0].split("\n")[-1]
    assert "rootInfo" in last and len(last.partition("ownership ")[2].split()) == 81
    text = talk.raw(b"lz-analyze W interval 5 avoid W C3,G7 1 avoid B D4 1\nname\n")
    assert not re.search(r"info move (C3|G7) ", text)
    text = talk.raw(b"kata-analyze W 10 allow W D4,D6 1\nname\n")
    assert {move for move, _, _ in sabaki_reads(text.split("\n\n")[0].split("\n")[-1])} == {"D4", "D6"}


def test_gtp2ogs():
    talk = Talk()
    kinds = answers(talk, ["list_commands", "kata-list_time_settings"])[1][2:].split()
    numbers = {"none": "", "absolute": "60.5", "fischer": "30 5", "fischer-capped": "86400 3600 172800 -1"}
    for kind in kinds:
        answers(talk, [f"kata-time_settings {kind} {numbers.get(kind, '600 30 5')}"])
    assert {"fischer-capped", "byoyomi", "canadian"} <= set(kinds)
    answers(talk, ["boardsize 9", "clear_board", "komi 6.5", "play black c4", "play white g6"])
    answers(talk, ["kgs-time_settings byoyomi 1200 30 5", "time_left black 1200 0", "time_left white 30 5"])
    assert re.fullmatch(rf"= {VERTEX}", answers(talk, ["genmove black"])[0])
    answers(talk, ["kata-time_settings fischer-capped 60 10 120 -1", "time_left black 70 0", "time_left white 12 0"])
    assert re.fullmatch(rf"= {VERTEX}", answers(talk, ["genmove white"])[0])
    answers(talk, ["final_status_list dead", "quit"])


def test_cgos():
    """One final report always, whatever the interval: it is sent on with the move."""
    talk = Talk(size=9, visits=30)
    answers(talk, ["protocol_version", "name", "version", "list_commands", "boardsize 9", "clear_board", "komi 7"])
    answers(talk, ["time_settings 300 0 0", "time_left b 300 0"])
    for line in ("kata-genmove_analyze b 100000000 ownership true rootInfo true", "lz-genmove_analyze w 100000000"):
        head, report, move = talk.raw(f"{line}\n".encode()).rstrip("\n").split("\n")
        assert head == "=" and report.startswith("info move ") and re.fullmatch(rf"play {VERTEX}", move)
        assert report.split()[2] == move.split()[1]
    talk("clear_board", *(f"play {c} {x}{row}" for row in range(1, 10) for c, x in (("b", "e"), ("w", "f"))))
    for line in ("play w pass", "time_left b 200 0"):
        answers(talk, [line])
    lines = talk.raw(b"kata-genmove_analyze b 100 ownership true\n").rstrip("\n").split("\n")
    assert lines[1].startswith("info move pass visits 1 ") and lines[2] == "play pass"  # it wins without a search
    solved = Talk(size=2, komi=0.5)
    answers(solved, ["play b a1", "play w pass"])
    lines = solved.raw(b"lz-genmove_analyze b 5\n").rstrip("\n").split("\n")
    assert len(lines) == 3 and lines[1].startswith("info move ")


def katrain(*queries: dict) -> list[dict]:
    data = b"".join(json.dumps(query).encode() + b"\n" for query in queries)
    stream = io.BytesIO()
    Analyst(players.rave(seed=1), Input(io.BytesIO(data), LONGEST), Output(stream)).serve()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


QUERY = {
    "id": "QUERY:1", "rules": "chinese", "priority": 0, "analyzeTurns": [2], "maxVisits": 60, "komi": 6.5,
    "boardXSize": 9, "boardYSize": 9, "includeOwnership": True, "includeMovesOwnership": False, "includePolicy": True,
    "initialStones": [], "moves": [["B", "C3"], ["W", "G6"]],
    "overrideSettings": {"reportAnalysisWinratesAs": "BLACK", "wideRootNoise": 0.04, "maxTime": 8.0},
}  # fmt: skip


@pytest.mark.parametrize(
    "rules", ["japanese", "chinese", "korean", "aga", "tromp-taylor", "new zealand", "stone_scoring", "aga-button"]
)
def test_katrain_by_every_name_of_its_rules(rules):
    *warnings, answer = katrain(QUERY | {"rules": rules, "maxVisits": 10})
    assert answer["turnNumber"] == 2 and answer["moveInfos"] and len(answer["ownership"]) == 81
    told = {warning["field"] for warning in warnings}
    assert told == {"overrideSettings", "includeMovesOwnership"} | (
        {"rules"} if rules in ("stone_scoring", "aga-button") else set()
    )
    assert all(warning["id"] == "QUERY:1" and warning["warning"] for warning in warnings)


def test_katrain_asks_for_other_moves_and_for_a_region():
    first = katrain(QUERY)[-1]
    best = [info["move"] for info in first["moveInfos"]][:13]
    other = katrain(QUERY | {"avoidMoves": [{"moves": best, "player": "B", "untilDepth": 1}]})[-1]
    assert other["moveInfos"] and not {info["move"] for info in other["moveInfos"]} & set(best)
    assert other["rootInfo"]["visits"] >= 60  # they went into other moves; the list was not cut afterwards
    region = [f"{column}{row}" for column in "ABC" for row in range(7, 10)]
    inside = katrain(QUERY | {"allowMoves": [{"moves": region, "player": "B", "untilDepth": 1}]})[-1]
    assert inside["moveInfos"] and {info["move"] for info in inside["moveInfos"]} <= set(region)
    deep = [{"moves": ["pass", *best], "player": player, "untilDepth": 30} for player in "BW"]
    for info in katrain(QUERY | {"avoidMoves": deep, "maxVisits": 300})[-1]["moveInfos"]:
        assert not set(info["pv"]) & set(best)
    for wrong in ([{"moves": ["C4"], "player": "B"}], [{"moves": ["Z4"], "player": "B", "untilDepth": 1}], [3], {}):
        assert katrain(QUERY | {"avoidMoves": wrong})[-1]["field"] == "avoidMoves"


def test_katrains_time_limit_and_side_of_the_values():
    settings = {"maxTime": 0.05}
    assert 1 < katrain(QUERY | {"maxVisits": 100_000, "overrideSettings": settings})[-1]["rootInfo"]["visits"] < 50_000
    stones = [["B", f"D{row}"] for row in range(1, 10)] + [["W", "G5"]]
    lead = {}
    for view in ("BLACK", "WHITE", "SIDETOMOVE"):
        query = QUERY | {"initialStones": stones, "initialPlayer": "W", "moves": [], "analyzeTurns": [0]}
        found = katrain(query | {"overrideSettings": {"reportAnalysisWinratesAs": view}})[-1]
        lead[view] = (found["rootInfo"]["winrate"] > 0.5, found["ownership"][0] > 0, found["rootInfo"]["scoreLead"] > 0)
    assert lead["BLACK"] == (True, True, True) and lead["WHITE"] == lead["SIDETOMOVE"] == (False, False, False)


def test_katrain_sends_rules_as_an_object():
    rules = {"ko": "SIMPLE", "scoring": "TERRITORY", "tax": "SEKI", "suicide": False, "hasButton": False}
    assert not [a for a in katrain(QUERY | {"rules": rules}) if a.get("field") == "rules"]
    told = [a for a in katrain(QUERY | {"rules": rules | {"hasButton": True}}) if a.get("field") == "rules"]
    assert len(told) == 1 and "button" in told[0]["warning"]
    assert katrain(QUERY | {"rules": "checkers"})[-1]["field"] == "rules"
