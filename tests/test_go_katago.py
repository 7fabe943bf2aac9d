"""KataGo's analysis protocol: queries and answers as its documentation has them, and input that is none."""

from __future__ import annotations

import io
import json
import random

import pytest

from experiments.go import players
from experiments.go.katago import LONGEST, Analyst
from experiments.go.protocol import Input, Output

QUERY = {
    "id": "foo", "initialStones": [["B", "Q4"], ["B", "C4"]], "moves": [["W", "P5"], ["B", "P6"]],
    "rules": "tromp-taylor", "komi": 7.5, "boardXSize": 19, "boardYSize": 19, "analyzeTurns": [0, 1, 2], "maxVisits": 8,
}  # fmt: skip
SMALL = {"id": "s", "moves": [], "rules": "chinese", "boardXSize": 5, "boardYSize": 5, "maxVisits": 200}


@pytest.fixture(scope="module")
def player():
    return players.rave(seed=1)


@pytest.fixture
def ask(player):
    def ask(*queries) -> list[dict]:
        data = b"".join(q if isinstance(q, bytes) else json.dumps(q).encode() + b"\n" for q in queries)
        stream = io.BytesIO()
        Analyst(player, Input(io.BytesIO(data), LONGEST), Output(stream)).serve()
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    return ask


def test_the_documentations_example(ask):
    answers = ask(QUERY)
    assert [a["turnNumber"] for a in answers] == [0, 1, 2]
    for turn, answer in enumerate(answers):
        assert answer["id"] == "foo" and not answer["isDuringSearch"]
        assert answer["rootInfo"]["currentPlayer"] == "WBW"[turn] and answer["rootInfo"]["visits"] >= 8
        infos = answer["moveInfos"]
        assert [info["order"] for info in infos] == list(range(len(infos))) and infos[0]["pv"][0] == infos[0]["move"]
        assert {"move", "visits", "winrate", "scoreLead", "prior", "utility", "lcb", "order", "pv"} <= set(infos[0])


def test_values_are_blacks_whoever_moves(ask):
    """Black owns the board: his chances are high and all of it is his, at both sides' turns."""
    stones = [["B", f"{c}{r}"] for c in "BD" for r in range(1, 6)]
    for first in "BW":
        (answer,) = ask(
            SMALL | {"initialStones": stones, "initialPlayer": first, "komi": 0.5, "includeOwnership": True}
        )
        assert answer["rootInfo"]["winrate"] > 0.9 and answer["moveInfos"][0]["winrate"] > 0.9
        assert len(answer["ownership"]) == 25 and min(answer["ownership"]) > 0 and answer["rootInfo"]["scoreLead"] > 10


def test_policy_reports_and_priorities(ask):
    query = SMALL | {"moves": [["B", "C3"]], "includePolicy": True, "maxVisits": 3000, "reportDuringSearchEvery": 0.005}
    *during, last = ask(query)
    assert during and all(answer["isDuringSearch"] for answer in during) and not last["isDuringSearch"]
    policy = last["policy"]
    assert len(policy) == 26 and policy[12] == -1 and sum(p for p in policy if p > 0) == pytest.approx(1)
    order = ask(SMALL | {"id": "a"}, SMALL | {"id": "b", "priority": 5}, SMALL | {"id": "c"})
    assert [answer["id"] for answer in order] in (["b", "a", "c"], ["a", "b", "c"])  # a may have begun at once


def test_actions(ask):
    version, rest = ask({"id": "v", "action": "query_version"}, {"id": "c", "action": "clear_cache"})
    assert version["version"] and rest == {"id": "c", "action": "clear_cache"}
    long = SMALL | {"id": "long", "boardXSize": 9, "boardYSize": 9, "maxVisits": 100_000, "komi": 7}
    answers = ask(
        long, SMALL | {"id": "next", "priority": -1}, {"id": "t", "action": "terminate", "terminateId": "long"}
    )
    assert {"id": "t", "action": "terminate", "terminateId": "long"} in answers
    (ended,) = [a for a in answers if a["id"] == "long"]
    assert ended.get("noResults") or ended["rootInfo"]["visits"] < 100_000
    assert len([a for a in answers if a["id"] == "next"]) == 1


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"moves": None}, "moves"), ({"moves": [["B", "Z9"]]}, "moves"), ({"moves": [3]}, "moves"),
        ({"moves": [["B", "A1"], ["W", "A1"]]}, "moves"), ({"boardXSize": 7}, "boardYSize"), ({"rules": "go"}, "rules"),
        ({"boardXSize": 40, "boardYSize": 40}, "boardYSize"), ({"komi": 1e9}, "komi"), ({"komi": "x"}, "komi"),
        ({"analyzeTurns": [9]}, "analyzeTurns"), ({"initialStones": [["B", "A1"], ["W", "A1"]]}, "initialStones"),
        ({"maxVisits": "many"}, "maxVisits"), ({"initialPlayer": "X"}, "initialPlayer"), ({"id": 3}, "id"),
        ({"action": "dance"}, "action"), ({"priorities": [1, 2]}, "priorities"),
    ],
)  # fmt: skip
def test_wrong_queries_are_refused_by_field(ask, change, name):
    refused, answered = ask(SMALL | change, SMALL | {"id": "after", "maxVisits": 5})
    assert refused["field"] == name and refused["error"] and answered["id"] == "after"


def mutated(ask, count: int, query: dict) -> None:
    rng = random.Random(1)
    for _ in range(count):
        data = bytearray(json.dumps(query | {"maxVisits": 3}).encode())
        for _ in range(rng.randrange(1, 5)):
            at = rng.randrange(len(data))
            data[at : at + rng.randrange(4)] = bytes(rng.choice(b'[]{}",:0919BWx\xff') for _ in range(rng.randrange(4)))
        answers = ask(bytes(data).replace(b"\n", b"") + b"\n", SMALL | {"id": "last", "maxVisits": 2, "priority": -99})
        assert [a for a in answers if a.get("id") == "last"]
        assert all({"error", "warning", "moveInfos", "action"} & a.keys() for a in answers)


def test_mutated_queries_end_in_an_answer(ask):
    mutated(ask, 25, SMALL | {"moves": [["B", "C3"], ["W", "B2"]], "initialStones": [["B", "A1"]], "priority": 1})
    assert ask(b"[" * 100_000 + b"\n")[0]["error"]


@pytest.mark.slow
def test_mutated_queries_at_length(ask):
    mutated(ask, 100, QUERY)
