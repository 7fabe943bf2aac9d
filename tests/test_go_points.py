"""KataGo as a player and as a judge of tournaments: how it is found, and what points lost per move are."""

from __future__ import annotations

import json
import math
import os
import shutil
import stat
import sys
from pathlib import Path

import pytest
from programs import program

from envs.go.game import to_vertex
from envs.go.record import GameRecord, Step
from experiments import tournament
from experiments.cli import UserError
from experiments.go import points
from experiments.go.programs import Failed, Program, command_line, found
from experiments.go.tournament import TournamentFolder, TournamentSettings

SIZE = 5

# A GTP program of few lines. It plays the first empty point, from the bottom or the top, and says who leads by a rule
# that the test repeats: Black by seven times the number of moves, modulo 11, less 5, and half a point more for whoever
# is to move.
FAKE = """
import sys
habit, moves, size = sys.argv[1], [], 9
for line in sys.stdin:
    words = line.split()
    text, sign = "", "="
    if words[0] == "protocol_version": text = "2"
    elif words[0] == "list_commands": text = "genmove\\nplay" + ("" if habit == "low" else "\\nkata-search_analyze")
    elif words[0] == "boardsize": size = int(words[1])
    elif words[0] == "clear_board": moves = []
    elif words[0] == "play": moves.append(words[2].upper())
    elif words[0] == "kata-search_analyze":
        if habit == "dies" and len(moves) > 3: print("out of memory", file=sys.stderr); sys.exit(1)
        lead = (7 * len(moves) % 11 - 5) * (1 if words[1] == "B" else -1)
        text = f"\\ninfo move A1 visits 1 scoreLead 99 pv A1 rootInfo visits 9 scoreLead {lead + 0.5} x 1\\nplay A1"
        if habit == "mute": text = "\\nplay A1"
    elif words[0] == "genmove":
        rows = range(1, size + 1) if habit == "low" else range(size, 0, -1)
        points = [f"{c}{r}" for r in rows for c in "ABCDEFGHJ"[:size]]
        text = next((p for p in points if p not in moves), "PASS") if len(moves) < 12 else "PASS"
        moves.append(text)
    elif words[0] == "quit": print("=\\n", flush=True); break
    print(f"{sign} {text}\\n", flush=True)
"""


def lead(moves: int) -> float:
    """Black's lead after so many moves as FAKE sees it: half a point is added in the view of the side to move."""
    return 7 * moves % 11 - 5 + (0.5 if moves % 2 == 0 else -0.5)


@pytest.fixture(scope="module")
def fake(tmp_path_factory):
    """A function of a habit -> the name of a player."""
    path = tmp_path_factory.mktemp("fake") / "fake.py"
    path.write_text(FAKE)
    return lambda habit="high": f"gtp:{sys.executable} {path} {habit}"


def argv(fake, out: Path, *more: str) -> list[str]:
    words = [fake("low"), fake("high"), "--size", str(SIZE), "--openings", "test", "--out", str(out)]
    return [*words, "--games", "4", *more]


def by_hand(folder: TournamentFolder, player: int) -> list[tuple[int, float]]:
    """(moves before it, points lost) of every move of a player, written down once more from the definition."""
    lost = []
    for number, row in folder.rows.items():
        game = folder.game(number)
        first = row["moves"] - sum(row["thought"])
        end = len(game.moves)
        leads = {ply: lead(ply) for ply in range(first, end)}
        leads[end] = game.winner * game.margin  # two passes: it is counted
        for ply in range(first, end):
            before, after = (leads[ply], leads[ply + 1]) if ply % 2 == 0 else (-leads[ply], -leads[ply + 1])
            if (row["black"], row["white"])[ply % 2] == player:
                lost.append((ply, before - after))
    return lost


def test_points_lost_by_player_and_phase(fake, tmp_path, capsys, monkeypatch):
    code, out, err = program(tournament.main, argv(fake, tmp_path / "t", "--judge", fake()), capsys, monkeypatch)
    assert code == 0, err
    settings = tournament.TournamentCommand(tuple(argv(fake, tmp_path)[:2]), 4, size=SIZE, openings="test").settings()
    folder = TournamentFolder(tmp_path / "t", settings)
    figures = json.loads((tmp_path / "t/summary.json").read_text())
    assert figures["judge"] == fake() and figures["judged"] == 4
    for number, player in enumerate(figures["players"]):
        told, expected = player["points_lost"], by_hand(folder, number)
        assert told["moves"] == len(expected) > 10
        mean = sum(p for _, p in expected) / len(expected)
        assert told["per_move"] == pytest.approx(mean)
        low, high = told["interval"]
        assert low <= mean <= high
        for name, least, most in (("opening", 0, 0.14 * 25), ("middle", 0.14 * 25, 0.4 * 25), ("endgame", 10, 99)):
            own = [p for ply, p in expected if least <= ply < most]
            assert told["phases"][name] == (pytest.approx(sum(own) / len(own)) if own else None), name
        assert f"{told['per_move']:6.3f}" in out and f"{told['moves']:,} moves" in out
    assert "points lost per move" in out


def test_what_is_judged_is_kept_and_another_judge_begins_anew(fake, tmp_path, capsys, monkeypatch):
    assert program(tournament.main, argv(fake, tmp_path / "t"), capsys, monkeypatch)[0] == 0
    words = argv(fake, tmp_path / "t", "--judge", fake("dies"))
    code, _, err = program(tournament.main, words, capsys, monkeypatch)
    assert code == 2 and "--judge" in err and "out of memory" in err and err.count("--judge") == 1
    words = argv(fake, tmp_path / "t", "--judge", fake())
    assert program(tournament.main, words, capsys, monkeypatch)[0] == 0
    (path,) = (p for p in (tmp_path / "t/judged").iterdir() if p.stat().st_size)
    kept = path.read_bytes()
    path.write_bytes(kept[:-20])  # a kill in the middle of a line
    code, out, _ = program(tournament.main, words, capsys, monkeypatch)
    assert code == 0 and "points lost per move" in out and path.read_bytes() == kept


def test_a_resigned_game_ends_with_what_the_judge_sees(fake):
    steps = [Step()] + [Step(move=(i % 2, i)) for i in range(3)]
    game = GameRecord(SIZE, 7.5, winner=1, result="B+R", steps=steps)
    bench = points.Bench(fake(), TournamentSettings(("a", "b"), 2, SIZE, 7.5, "test", 1, 20.0))
    try:
        leads = bench.do((1, game, 1))
    finally:
        bench.close()
    assert leads == [lead(1), lead(2), lead(3)]
    losses = points.losses({"first": 1, "leads": leads})
    assert [(x.colour, x.ply) for x in losses] == [(1, 1), (0, 2)]
    assert [x.points for x in losses] == pytest.approx([lead(2) - lead(1), lead(2) - lead(3)])


@pytest.mark.parametrize(("habit", "words"), [("low", "does not know kata-search_analyze"), ("mute", "2 visits")])
def test_a_judge_that_cannot_judge_is_told_in_a_sentence(fake, tmp_path, capsys, monkeypatch, habit, words):
    line = argv(fake, tmp_path / "t", "--judge", fake(habit))
    code, _, err = program(tournament.main, line, capsys, monkeypatch)
    assert code == 2 and words in err and err.count("--judge") == 1 and "Traceback" not in err


def test_phases_are_those_of_katrain():
    assert [points.phase(ply, 19) for ply in (0, 50, 51, 144, 145, 300)] == [0, 0, 1, 1, 2, 2]


def test_katago_is_found_by_path_or_variable_and_told_how_to_get_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.delenv("KATAGO", raising=False)
    monkeypatch.delenv("KATAGO_MODEL", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None)
    with pytest.raises(UserError, match=r"no program 'katago'; get KataGo from https://.*/releases .* KATAGO="):
        command_line("katago:visits=8", 9)
    monkeypatch.undo()
    there, network = tmp_path / "katago", tmp_path / "net.bin.gz"
    there.write_text("#!/bin/sh\n")
    there.chmod(there.stat().st_mode | stat.S_IXUSR)
    network.touch()
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("KATAGO", raising=False)
    monkeypatch.delenv("KATAGO_MODEL", raising=False)
    words = command_line(f"katago:visits=8,model={network},numSearchThreads=2", 9)
    assert words[:3] == [str(there), "gtp", "-config"] and Path(words[3]).is_file()
    assert words[4:] == ["-model", str(network), "-override-config", "maxVisits=8,numSearchThreads=2"]
    assert command_line("katago", 9)[4:] == ["-override-config", "maxVisits=32"]
    monkeypatch.setenv("KATAGO_MODEL", str(network))
    assert command_line("katago", 9)[4:6] == ["-model", str(network)]
    other = tmp_path / "other"
    shutil.copy(there, other)
    monkeypatch.setenv("KATAGO", str(other))
    assert command_line("katago", 9)[0] == str(other)
    for name, told in (("visits=0", "whole number"), ("visits=x", "whole number"), ("model=/no", "no network /no")):
        with pytest.raises(UserError, match=told):
            command_line(f"katago:{name}", 9)


def test_a_real_katago_plays_by_our_rules_and_judges():
    """On 5x5 the centre wins the board."""
    if found(os.environ.get("KATAGO") or "katago") is None:
        pytest.skip("KataGo is not on this machine")
    try:
        one = Program("katago:visits=1", SIZE)
    except Failed as fault:
        if "model" not in str(fault):
            raise
        pytest.skip("KataGo has no network on this machine (KATAGO_MODEL)")
    try:
        assert json.loads(one.ask("kata-get-rules")) == {
            "friendlyPassOk": False, "hasButton": False, "ko": "POSITIONAL", "scoring": "AREA", "suicide": False,
            "tax": "NONE", "whiteHandicapBonus": "0",
        }  # fmt: skip
        one.ask(f"boardsize {SIZE}")
        assert one.ask("genmove B").upper() == to_vertex(12, SIZE).upper()
    finally:
        one.close()
    moves = [(0, 12), (1, 25), (0, 25)]  # the centre, and two passes
    game = GameRecord(SIZE, 0.5, winner=1, margin=24.5, result="B+24.5", steps=[Step()] + [Step(move=m) for m in moves])
    bench = points.Bench("katago:visits=16", TournamentSettings(("a", "b"), 2, SIZE, 0.5, "test", 1, 60.0))
    try:
        leads = bench.do((1, game, 0))
    finally:
        bench.close()
    assert len(leads) == 4 and leads[3] == 24.5 and all(math.isfinite(x) for x in leads)
    assert leads[1] > 6  # Black's in the end: 24.5 (docs/results.md); a small network sees half of it
