"""How far a long job has come: when a line is printed, and the time left in it."""

import io

from agents.core.progress import Live, TimeLeft, of_games


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


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_is_written_over_on_a_terminal_and_ends_where_something_else_begins() -> None:
    now, out = [0.0], Terminal()
    with Live(10.0, stream=out, now=lambda: now[0]) as live:
        for told in ("one", "two", "two", "three"):
            now[0] += 0.3
            live(told)
    assert out.getvalue() == "\r\x1b[Ktwo\r\x1b[Kthree\n"  # half a second apart, and no words twice
    now, out = [0.0], Terminal()
    live = Live(10.0, wait=0.0, lines=True, stream=out, now=lambda: now[0])
    live("at once")
    now[0] = 9.0
    live("too soon")
    live.close()
    assert out.getvalue() == "at once\n"  # others print on this terminal, too


def test_a_quiet_one_says_nothing_and_a_finished_job_ends_its_line() -> None:
    now, out = [0.0], Terminal()
    with Live(quiet=True, wait=0.0, stream=out) as live:
        live("nothing")
    assert not out.getvalue() and not live.due
    progress = TimeLeft(2, "records", out, lambda: now[0])
    progress(0)
    for done in (1, 2):
        now[0] += 6.0
        progress(done)
    assert out.getvalue().endswith("2 of 2 records, 0:00:00 left\n") and out.getvalue().count("\n") == 1
