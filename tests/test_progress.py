"""How far a long job has come: when a line is printed, and the time left in it."""

import io

from experiments.progress import TimeLeft, of_games


def test_a_line_every_five_seconds_with_the_time_left_since_the_first_step() -> None:
    now, out = [0.0], io.StringIO()
    progress = TimeLeft(100, "records", out, lambda: now[0])
    now[0] = 4.0  # the first step compiles
    progress(1)
    for done in range(2, 11):
        now[0] += 1.0
        progress(done)
    assert out.getvalue().splitlines() == ["2 of 100 records, 0:01:38 left", "7 of 100 records, 0:01:33 left"]


def test_a_short_job_prints_nothing_and_shares_are_per_cent() -> None:
    now, out = [0.0], io.StringIO()
    progress = TimeLeft(1.0, "driven", out, lambda: now[0])
    progress(0.1)
    assert not out.getvalue()
    now[0] = 6.0
    progress(0.25)
    assert out.getvalue() == "25% driven, 0:00:30 left\n"


def test_games_tell_of_their_limit_until_the_first_has_ended() -> None:
    told: list[str] = []
    follow = of_games(told.append, "evaluating", 4, 18_000)
    follow(0, 900)
    follow(2, 1_800)
    of_games(told.append, "a - b", 4)(0, 7)
    assert told[0] == "evaluating: 0 of 4 games, 900 steps, a game ends after 18,000 steps at most"
    assert told[1].startswith("evaluating: 2 of 4 games, 1,800 steps, 0:00:0") and told[1].endswith(" left")
    assert told[2] == "a - b: 0 of 4 games, 7 steps, no game has ended yet"
