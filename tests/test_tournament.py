"""Tournaments: openings, the referee, programs that crash, hang or cheat, resuming after a kill, ratings."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from programs import tool

from envs.go import record, sgf
from envs.go.game import GoGame
from experiments import tournament as program
from experiments.cli import UserError
from experiments.comparing import ratings
from experiments.go import openings
from experiments.go.match import play
from experiments.go.programs import Failed, Program, command_line
from experiments.go.tournament import TournamentFolder, TournamentSettings, plan

# A GTP program of few lines: plays the first empty point that `prefer` names, as it is told by its arguments.
FAKE = """
import sys, time
name, habit = sys.argv[1], sys.argv[2]
moves, size = [], 9
def points():
    rows = range(1, size + 1) if name == "low" else range(size, 0, -1)
    return [f"{c}{r}" for r in rows for c in "ABCDEFGHJ"[:size]]
for line in sys.stdin:
    words = line.split()
    text, sign = "", "="
    if words[0] == "protocol_version": text = "2"
    elif words[0] == "list_commands": text = "genmove\\nplay\\ncputime\\nset_random_seed"
    elif words[0] == "boardsize": size = int(words[1])
    elif words[0] == "clear_board": moves = []
    elif words[0] == "cputime": text = "1.5"
    elif words[0] == "play": moves.append(words[2].upper())
    elif words[0] == "genmove":
        if habit == "crash" and len(moves) > 5: print("no more", file=sys.stderr); sys.exit(3)
        if habit == "hang" and len(moves) > 5: time.sleep(1000)
        if habit == "slow": time.sleep(0.03)
        if habit == "noise": print("hello"); print(); sys.stdout.flush()
        text = next((p for p in points() if p not in moves), "PASS")
        if habit == "cheat" and len(moves) > 5: text = moves[0]
        if habit == "nonsense" and len(moves) > 5: text = "Z99"
        if habit == "resign" and len(moves) > 5: text = "resign"
        if habit == "pass": text = "pass"
        moves.append(text.upper())
    elif words[0] == "quit": print("=\\n", flush=True); break
    if habit == "deaf" and words[0] == "play" and len(moves) > 6: sign, text = "?", "illegal move"
    print(f"{sign} {text}\\n", flush=True)
"""


FIRST_TEST_OPENINGS = [(38, 42, 20), (58, 51, 20, 22), (58, 60, 30, 24), (48, 38)]


@pytest.fixture(scope="module")
def fake(tmp_path_factory):
    """A function (name, habit) -> the player's name."""
    path = tmp_path_factory.mktemp("fake") / "fake.py"
    path.write_text(FAKE)
    return lambda name="low", habit="good": f"gtp:{sys.executable} {path} {name} {habit}"


def run_game(black, white, seconds=20.0):
    programs = [Program(black, 9), Program(white, 9)]
    try:
        return play(*programs, size=9, komi=7.5, opening=(40, 20), seed=1, move_seconds=seconds)
    finally:
        for one in programs:
            one.close(kill=True)


@pytest.mark.parametrize("size", [2, 3, 4, 5, 7, 9, 19])
def test_openings_of_the_two_sets_share_no_form(size):
    tuning, test = (list(islice(openings.stream(name, size), 60)) for name in openings.DRAWN)
    assert tuning or test
    forms = [openings.canonical(moves, size) for moves in tuning + test]
    assert len(set(forms)) == len(forms)
    for moves in tuning + test:
        assert len({openings.canonical(form, size) for form in openings.forms(moves, size)}) == 1
        assert len(set(openings.forms(moves, size))) in (1, 2, 4, 8)
        game = GoGame(size)
        for action in moves:
            game.play(action)
    if size >= 9:
        assert len(tuning) == len(test) == 60 and {len(m) for m in tuning} == {2, 3, 4}


def test_openings_stay_what_they_are():
    """The sets are part of every published result."""
    assert openings.openings("tuning", 9, 3) == list(islice(openings.stream("tuning", 9), 3))
    assert openings.openings("test", 9, 4) == FIRST_TEST_OPENINGS
    with pytest.raises(ValueError, match="must be one of"):
        openings.openings("mine", 9, 1)


def test_symmetric_forms_by_hand():
    """The two upper corner points of a 3x3 board, as pictures turned and mirrored."""
    assert set(openings.forms((0, 2), 3)) == {(0, 2), (2, 0), (2, 8), (8, 2), (8, 6), (6, 8), (6, 0), (0, 6)}
    assert openings.canonical((0, 4, 2), 3) == openings.canonical((8, 4, 2), 3) != openings.canonical((0, 4, 8), 3)


def test_every_opening_is_played_with_both_colours_and_everyone_meets_everyone():
    settings = TournamentSettings(("a", "b", "c"), 4, 9, 7.5, "test", 3, 10.0)
    tasks = plan(settings)
    assert [task.number for task in tasks] == list(range(1, 13))
    assert len({task.seed for task in tasks}) == 12
    for i, j in ((0, 1), (0, 2), (1, 2)):
        mine = sorted((t.opening, t.black, t.white) for t in tasks if {t.black, t.white} == {i, j})
        assert mine == sorted((o, *colours) for o in (0, 1) for colours in ((i, j), (j, i)))
    longer = plan(TournamentSettings(("a", "b", "c"), 6, 9, 7.5, "test", 3, 10.0))
    assert longer[:12] == tasks


def test_the_referee_counts_what_was_played(fake):
    played = run_game(fake("low"), fake("high"))
    game = GoGame(9, 7.5)
    for colour, action in played.moves:
        assert colour == game.turn
        game.play(action)
    if played.result.endswith("+F"):  # these players know nothing of suicide and ko
        assert "illegal" in played.note
    else:
        assert game.over and played.result[2:] == f"{abs(game.score()):g}"
    assert [action for _, action in played.moves[:2]] == [40, 20]
    assert played.thought[0] + played.thought[1] in (len(played.moves) - 2, len(played.moves) - 1)
    assert played.cpu == [0.0, 0.0] and not played.void


def test_two_passes_end_the_game(fake):
    played = run_game(fake("low", "pass"), fake("low", "pass"))
    assert played.result == "W+7.5" and len(played.moves) == 4 and played.points == 0.0


@pytest.mark.parametrize(
    ("habit", "result", "void", "note"),
    [
        ("crash", "Void", "ended at 'genmove W' (no more)", ""),
        ("hang", "Void", "no answer to 'genmove W' within", ""),
        ("noise", "Void", "answered 'genmove W' with 'hello'", ""), ("deaf", "Void", "refused 'play B", ""),
        ("cheat", "B+F", "", "is illegal"), ("nonsense", "B+F", "", "no vertex"), ("resign", "B+R", "", ""),
    ],
)  # fmt: skip
def test_what_becomes_of_bad_behaviour(fake, habit, result, void, note):
    played = run_game(fake("low"), fake("high", habit), seconds=1.0 if habit == "hang" else 20.0)
    assert played.result == result and void in played.void and note in played.note
    assert bool(played.void) == bool(void)


def test_a_program_that_does_not_start_is_told_at_once(fake, tmp_path):
    for player, words in (
        ("gtp:/no/such/program", "there is no program"), ("gtp:'", "quotation"), ("gnugo:level", "not NAME=VALUE"),
        (f"gtp:{sys.executable} -c pass", "ended at"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=words):
            program.check(TournamentSettings((player, fake()), 2, 9, 7.5, "test", 1, 10.0))
    with pytest.raises(Failed):
        Program(f"gtp:{sys.executable} -c pass", 9)


def test_an_option_that_gnugo_does_not_know_is_told_at_once(fake):
    tool("gnugo")
    with pytest.raises(UserError, match="ended at"):
        program.check(TournamentSettings(("gnugo:no-such=1", fake()), 2, 9, 7.5, "test", 1, 10.0))


def test_a_missing_gnugo_is_told_with_the_way_to_install_it(fake, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None)
    with pytest.raises(UserError, match="gnugo is not installed .apt-get install gnugo."):
        program.check(TournamentSettings(("gnugo:level=3", fake()), 2, 9, 7.5, "test", 1, 10.0))


def test_names_of_players(tmp_path, monkeypatch):
    words = command_line("rave:seconds=1,equivalence=500", 7)
    assert words[1:] == [
        "-m", "experiments.gtp", "--player", "rave", "--size", "7", "--seconds", "1", "--set", "equivalence=500"
    ]  # fmt: skip
    (tmp_path / "gnugo").touch(0o755)  # found first, whether there is another or none
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert command_line("gnugo", 9)[0] == str(tmp_path / "gnugo")
    assert command_line("gnugo", 9)[-2:] == ["--level", "10"]
    assert command_line("gnugo:level=3", 9)[-2:] == ["--level", "3"]


def command(tmp_path: Path, *players: str, **options) -> list[str]:
    words = [sys.executable, "-m", "experiments.tournament", *players, "--out", str(tmp_path / "t")]
    return words + [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def rows(tmp_path: Path) -> list[dict]:
    return [json.loads(line) for line in (tmp_path / "t/games.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_killed_tournament_goes_on(fake, tmp_path):
    players = fake("low", "slow"), fake("high", "slow")
    argv = command(tmp_path, *players, games=6, parallel=2)
    running = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    path = tmp_path / "t/games.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (path.exists() and path.read_text().count("\n") >= 2):
        time.sleep(0.05)
    running.send_signal(signal.SIGKILL)
    running.wait()
    before = rows(tmp_path)
    assert 2 <= len(before) < 6
    with path.open("a") as file:
        file.write('{"number": 3, "bla')  # the kill came while a line was written
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=300)
    assert f"{len(before)} of them played before" in done.stdout
    after = rows(tmp_path)
    assert after[: len(before)] == before
    assert sorted(row["number"] for row in after) == [1, 2, 3, 4, 5, 6]
    again = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=300)
    assert rows(tmp_path) == after
    figures = again.stdout.splitlines()[1:]  # behind the line that says how many games there are
    assert done.stdout.splitlines()[-len(figures) :] == figures
    for row in after:
        root = sgf.parse((tmp_path / f"t/games/{row['number']:04}.sgf").read_bytes())
        loaded = record.read(root)
        assert loaded.result == row["result"] and len(loaded.moves) == row["moves"]
        assert (loaded.black, loaded.white) == (players[row["black"]], players[row["white"]])
        assert record.replay(loaded).size == 9
    other = subprocess.run([*argv, "--komi", "5"], capture_output=True, text=True, timeout=300)
    assert other.returncode == 2 and "another komi" in other.stderr and "Traceback" not in other.stderr


def test_voids_are_reported_and_too_many_end_it(fake, tmp_path):
    argv = command(tmp_path, fake("low"), fake("high", "crash"), games=20)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2 and "games in a row are void" in done.stderr
    assert all(row["void"] and row["result"] == "Void" for row in rows(tmp_path))
    settings = program.TournamentCommand((fake("low"), fake("high", "crash")), games=20).settings()
    found = program.summary(settings, {row["number"]: row for row in rows(tmp_path)})
    assert found["pairs"][0]["void"] == len(rows(tmp_path)) and found["pairs"][0]["games"] == 0
    assert "no more" in program.table(found)


@pytest.mark.slow
def test_no_process_is_left_behind(fake, tmp_path):
    argv = command(tmp_path, fake("low", "hang"), fake("high"), games=2, move_seconds=0.5)
    subprocess.run(argv, capture_output=True, timeout=300)
    commands = [p.read_bytes() for p in Path("/proc").glob("[0-9]*/cmdline") if os.access(p, os.R_OK)]
    path = fake().split()[1].encode()
    assert not [c for c in commands if path in c]


@pytest.mark.parametrize(
    ("options", "words"),
    [({"games": 3}, "even"), ({"openings": "mine"}, "one of"), ({"size": 1}, "2 to 19"), ({"parallel": 0}, "at least")],
)
def test_wrong_options(options, words):
    with pytest.raises(ValueError, match=words):
        program.TournamentCommand(("a", "b"), **options)
    with pytest.raises(ValueError, match="two players"):
        program.TournamentCommand(("a",))


def test_folder_refuses_what_it_cannot_read(tmp_path):
    (tmp_path / "tournament.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        TournamentFolder(tmp_path, TournamentSettings(("a", "b"), 2, 9, 7.5, "test", 1, 10.0))


def test_wilson_by_its_definition():
    """The ends of the interval are where the score test just rejects."""
    for points, games in ((0, 10), (7, 10), (110.5, 200), (200, 200)):
        for end in ratings.wilson(points, games):
            assert abs(points / games - end) == pytest.approx(1.959964 * np.sqrt(end * (1 - end) / games), abs=1e-6)
    assert all(np.isnan(ratings.wilson(0, 0)))


def test_ratings_of_two_players_are_the_logistic_of_their_score():
    games = [ratings.RatedGame(i % 2, 1 - i % 2, float((i < 60) == (i % 2 == 0)), i // 2) for i in range(100)]
    rating = ratings.bradley_terry(2, games, prior=0.0)  # player 0 has 60 of 100
    assert rating[0] == 0 and rating[1] == pytest.approx(-400 * np.log10(60 / 40), abs=0.01)


def test_ratings_satisfy_the_likelihood_equations():
    """At the maximum every player's expected points equal those that were made."""
    rng = np.random.default_rng(1)
    games = [ratings.RatedGame(*rng.choice(4, 2, replace=False), rng.choice([0.0, 0.5, 1.0]), i) for i in range(300)]
    rating = ratings.bradley_terry(4, games, prior=0.0)
    for player in range(4):
        made = expected = 0.0
        for game in games:
            if player in (game.first, game.second):
                other = game.second if game.first == player else game.first
                made += game.points if game.first == player else 1 - game.points
                expected += 1 / (1 + 10 ** ((rating[other] - rating[player]) / 400))
        assert made == pytest.approx(expected, abs=1e-3)


def test_intervals_cover_the_truth_and_a_clean_sheet_is_finite():
    rng, inside = np.random.default_rng(2), 0
    true = 100.0
    chance = 1 / (1 + 10 ** (true / 400))
    for trial in range(20):
        games = [ratings.RatedGame(0, 1, float(rng.random() < chance), i // 2) for i in range(200)]
        found = ratings.elo(2, games, resamples=100, seed=trial)
        inside += found.low[1] <= true <= found.high[1]
    assert inside >= 16
    clean = ratings.elo(3, [ratings.RatedGame(0, 1, 1.0, i) for i in range(10)], resamples=20)
    assert np.isfinite(clean.rating[1]) and clean.rating[1] < -300 and np.isnan(clean.rating[2])
