"""The GTP program: what its commands do to the game, thinking times, analysis, files; the whole by the conformance
checks of `experiments.go.conformance`, which GNU Go passes as well but for what is listed here.

The same for any program: python -m experiments.go.conformance 'gtp:COMMAND'
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from dataclasses import fields

import pytest
from programs import program, tool

from experiments.go import conformance, players
from experiments.go.clock import LEAST, GoClock
from experiments.go.commands import Engine
from experiments.go.engine import COMMANDS, RULES, Habits, integer, number
from experiments.go.protocol import LONGEST, GTPError, Input, Output, answer, parse, serve

STANDARD = """protocol_version name version known_command list_commands quit boardsize clear_board komi fixed_handicap
place_free_handicap set_free_handicap play genmove undo time_settings time_left final_score final_status_list loadsgf
reg_genmove showboard"""


class Talk:
    """An engine in this process; calling it with lines returns the answers."""

    def __init__(self, **options):
        self.stream = io.BytesIO()
        player = players.rave(seed=1)
        habits = {name: options.pop(name) for name in [f.name for f in fields(Habits)] if name in options}
        self.engine = Engine(
            player, Output(self.stream), **{"size": 9} | options, habits=Habits(**{"visits": 20} | habits)
        )

    def raw(self, data: bytes) -> str:
        lines = Input(io.BytesIO(data))
        self.engine.waiting, self.engine.wait = lines.waiting, lines.wait
        self.stream.seek(0)
        self.stream.truncate()
        serve(lines, self.engine.output, self.engine)
        return self.stream.getvalue().decode()

    def __call__(self, *lines: str) -> list[str]:
        text = self.raw("".join(f"{line}\n" for line in lines).encode())
        assert not text or text.endswith("\n\n")
        return [part.rstrip() for part in text.split("\n\n")[:-1]]


@pytest.fixture
def talk() -> Talk:
    return Talk()


def test_every_standard_command_is_there(talk):
    assert set(STANDARD.split()) <= set(COMMANDS)
    assert set(talk("list_commands")[0][2:].split("\n")) == set(COMMANDS)


def test_lines_as_the_specification_reads_them():
    assert parse("  12\tplay  b C3 # here") == ("12", "play", ["b", "C3"], "b C3")
    assert parse("12") == ("12", "", [], "")
    assert parse("12x a").name == "12x"
    assert all(parse(line) is None for line in ("", "  \t", "# 1 play", "\x07\x00"))
    assert answer("3", "a\n\n\nb\n") == "=3 a\nb\n\n"
    assert answer("", "", failed=True) == "?\n\n"


def test_long_lines_and_bytes_that_are_no_text_get_one_answer_each(talk):
    text = talk.raw(b"1 name\n" + b"x" * (3 * LONGEST) + b"\n2 name\n\xff\xfe\x80 b\n3 name")
    assert [part[:2] for part in text.split("\n\n")] == ["=1", "? ", "=2", "? ", "=3", ""]


def test_clear_board_keeps_size_and_komi(talk):
    talk("boardsize 7", "komi 3.5", "play b d4", "clear_board")
    assert talk("query_boardsize", "get_komi", "list_stones b") == ["= 7", "= 3.5", "="]


def test_the_search_is_told_the_komi_and_what_handicap_stones_give():
    talk = Talk(size=5)
    for komi, best in (("-100.5", 1.0), ("100.5", 0.0)):
        talk("clear_board", f"komi {komi}")
        assert talk.engine.think(0)[1] == pytest.approx(best, abs=0.02)
    talk("boardsize 9", "komi 0.5", "fixed_handicap 4")
    assert talk.engine.position()[0].header != talk.engine.game.rules.header
    talk("kata-set-rules tromp-taylor")
    assert talk.engine.position()[0].header == talk.engine.game.rules.header


def test_a_fault_of_ours_is_an_answer_and_not_the_end(talk, monkeypatch, capsys):
    monkeypatch.setitem(COMMANDS, "name", lambda engine, given: 1 / 0)
    assert talk("4 name", "5 get_komi") == ["?4 internal fault: division by zero", "=5 7.5"]
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_undo_load_and_save_reach_every_position(talk, tmp_path):
    path = tmp_path / "a game.sgf"
    talk("komi 5.5", "fixed_handicap 2", "play w e5", "play b d4", "play w pass", "play w c7")
    board = talk("showboard")
    assert talk(f"savesgf {path}", "clear_board", "komi 0", f"loadsgf {path}")[0::3] == ["=", "="]
    assert talk("showboard") == board and talk.engine.game.handicap == 2
    talk("undo")
    before = talk("showboard")
    assert talk(f"loadsgf {path} 4") == ["="]
    assert talk("showboard") == before
    assert talk(f"loadsgf {path} 1", "undo") == ["=", "? cannot undo"]
    assert talk.engine.game.board().sum() == 2
    path.write_bytes(path.read_bytes().replace(b"KM[5.5]", b""))
    talk("komi 9", f"loadsgf {path}")
    assert talk("get_komi") == ["= 9"]


def test_a_file_that_cannot_be_loaded_leaves_the_game_alone(talk, tmp_path):
    talk("play b e5")
    bad = tmp_path / "bad.sgf"
    for data in (b"", b"hello", b"(;SZ[40])", b"(;SZ[9];B[ee];W[ee])", b"(;GM[2])"):
        bad.write_bytes(data)
        assert talk(f"loadsgf {bad}") == ["? cannot load file"]
    for name in (str(tmp_path), "/dev/zero", str(tmp_path / "none"), "\udcff"):
        assert talk.raw(f"loadsgf {name}\n".encode("utf-8", "surrogateescape")) == "? cannot load file\n\n"
    assert talk("list_stones b") == ["= E5"]
    assert talk(f"printsgf {tmp_path}") == ["? cannot save file"]


def test_a_record_by_other_rules_is_loaded_by_them(talk, tmp_path):
    suicide = tmp_path / "suicide.sgf"
    suicide.write_bytes(b"(;SZ[3]KM[0];B[ba];W[];B[bb];W[];B[ac];W[ab];B[bc];W[aa])")
    assert talk(f"loadsgf {suicide}", "list_stones w", "last_move") == ["=", "=", "= white A3"]


def test_thinking_time_follows_clock_and_limits():
    clock = GoClock()
    assert clock.allowed(0, 0, 81) is None
    clock.set(60, 0, 0)
    early, late = clock.allowed(0, 0, 81), clock.allowed(0, 70, 81)
    assert 0.5 < early < late < 30
    clock.left(0, 4, 0)
    assert clock.allowed(0, 0, 81) < early / 5 and clock.allowed(1, 0, 81) == early
    clock.left(0, 50, 10)
    assert clock.allowed(0, 0, 81) == pytest.approx(4.8)
    clock.left(1, 0, 0)
    assert clock.allowed(1, 0, 81) == LEAST
    clock.set(0, 30, 10)  # byo-yomi from the first move
    assert clock.allowed(0, 0, 81) == pytest.approx(2.8)
    for _ in range(9):
        clock.spent(0, 2.0)
    assert clock.allowed(0, 0, 81) == pytest.approx(11.8)
    clock.spent(0, 2.0)
    assert clock.allowed(0, 0, 81) == pytest.approx(2.8)
    clock.set(10, 30, 5)
    clock.spent(1, 11.0)  # main time is over, the first second of the period as well
    assert clock.allowed(1, 0, 81) == pytest.approx(29 / 5 - 0.2)
    clock.set(0, 30, 0)
    assert clock.allowed(0, 0, 81) is None


def test_whole_games_stay_within_their_time():
    """However the estimate of the moves left errs, main time is never overstepped."""
    for points, length in ((25, 60), (81, 130), (361, 400)):
        clock = GoClock()
        clock.set(30, 0, 0)
        spent = 0.0
        for move in range(0, length, 2):
            seconds = clock.allowed(0, move, points)
            clock.spent(0, seconds + 0.01)
            spent += seconds + 0.01
        assert 10 < spent < 30


def test_time_left_makes_moves_shorter(monkeypatch):
    talk, given = Talk(visits=None, seconds=0.3), []
    think = talk.engine.player.think
    monkeypatch.setattr(talk.engine.player, "think", lambda *a, **k: given.append(a[3]) or think(*a[:2], 10, **k))
    talk("genmove b", "time_left w 1000 0", "genmove w", "time_left b 1 0", "genmove b")
    assert given[:2] == [0.3, 0.3] and given[2] < 0.05
    talk("time_settings 0 5 10", "genmove w")
    assert given[3] == pytest.approx(0.3)
    talk("time_settings 0 2 10", "genmove w")  # 0.2 s a move, less what the way there takes
    assert given[4] <= 0.2


def test_kgs_time_settings(talk):
    assert talk("kgs-time_settings byoyomi 0 20 3", "kgs-time_settings canadian 0 30 10") == ["=", "="]
    assert talk.engine.clock.allowed(0, 0, 81) == pytest.approx(2.8)
    assert talk("kgs-time_settings none", "kgs-time_settings hourglass 5", "kgs-time_settings absolute") == [
        "=", "? syntax error", "? syntax error"
    ]  # fmt: skip
    assert talk.engine.clock.allowed(0, 0, 81) is None


def test_dead_stones_and_scores_by_each_rule_set(talk):
    """Black has the columns A to E, White F to J; a white stone at B2 cannot live, nor a black one at H8."""
    talk("komi 6.5", *(f"play {c} {x}{row}" for row in range(1, 10) for c, x in (("b", "e"), ("w", "f"))))
    talk("play w b2", "play b h8")
    assert talk("final_status_list dead") == ["= H8\nB2"]
    scores = {}
    for rules in RULES:
        assert talk(f"kata-set-rules {rules}") == ["="]
        scores[rules] = talk("final_score")[0][2:]
    # Area: 45 to 36. Territory: 36 to 27, a prisoner each. Tromp-Taylor sees both stones alive: 9 + 1 to 9 + 1.
    assert scores == {
        "chinese": "B+2.5", "aga": "B+2.5", "new-zealand": "B+2.5", "japanese": "B+2.5", "tromp-taylor": "W+6.5"
    }  # fmt: skip
    assert json.loads(talk("kata-get-rules")[0][2:])["ko"] == "SIMPLE"  # the last one's, Japanese
    assert talk("kata-set-rules checkers")[0].startswith("? unknown rules")


def test_rules_that_the_game_has_broken_are_refused(talk):
    talk("kata-set-rules tromp-taylor", "boardsize 3", "play b b3", "play w pass", "play b b2", "play w pass")
    talk("play b a1", "play w a2", "play b b1", "play w a3")
    assert talk("list_stones w") == ["="]  # suicide took them
    assert talk("kata-set-rules chinese") == ["? the game so far breaks these rules"]
    assert talk("kata-get-rules")[0].find('"suicide": true') > 0


def test_resigns_when_it_has_been_losing():
    talk = Talk(size=5, komi=200.5, resign=0.05)
    assert [a == "= resign" for a in talk("genmove b", "play w a1", "genmove b", "play w a2", "genmove b")[0::2]] == [
        False, False, True
    ]  # fmt: skip
    assert "= resign" not in Talk(size=5, komi=200.5)(*["genmove b"] * 5)


def test_the_same_seed_plays_the_same_game(talk):
    games = []
    for seed in (5, 5, 6):
        games.append(talk("clear_board", f"set_random_seed {seed}", *["genmove b", "genmove w"] * 4))
    assert games[0] == games[1] != games[2]


def test_the_tree_follows_the_game(talk):
    talk("genmove b")
    kept = int(talk.engine.player.result().visits.sum())
    action = talk.engine.player.variation()
    assert kept >= 19 and action
    for lines in (["play w a1"], ["undo", "undo"], ["play b e5", "play b d5"], ["komi 3", "boardsize 5"]):
        talk(*lines)
        talk("genmove w")
        state = talk.engine.player._search.state()
        talk("undo")
        rules, wanted = talk.engine.position(1)
        assert (state == wanted).all()


INFO = re.compile(
    r"info move (\S+) visits (\d+) .*?winrate (\S+) .*?prior (\S+) lcb (\S+) .*?order (\d+) pv ([^i]+?)"
    r"(?= info| rootInfo| own|$)"
)


@pytest.mark.parametrize("dialect", ["lz", "kata"])
def test_analysis_goes_on_until_the_next_line(dialect):
    talk = Talk()
    text = talk.raw(f"7 {dialect}-analyze b 1\n8 name\n".encode())
    head, reports = text.split("\n\n")[0].split("\n")[0], text.split("\n\n")[0].split("\n")[1:]
    assert head == "=7" and text.split("\n\n")[1] == "=8 joypad rave"
    assert len(reports) >= 1
    found = INFO.findall(reports[-1])
    assert [int(line[5]) for line in found] == list(range(len(found)))
    visits = [int(line[1]) for line in found]
    assert visits == sorted(visits, reverse=True)
    scale = 10_000 if dialect == "lz" else 1
    for move, _, winrate, prior, lcb, _, pv in found:
        assert 0 <= float(lcb) <= float(winrate) <= scale and 0 <= float(prior) <= scale
        assert pv.split()[0] == move


def test_analysis_options():
    talk = Talk(size=5)
    text = talk.raw(
        b"kata-analyze w 1 maxmoves 2 ownership true avoid w c3,b2 1\nkata-analyze 5 foo bar\nlz-analyze b avoid w\n"
    )
    report, *rest = text.split("\n\n")
    last = report.split("\n")[-1]
    assert len(INFO.findall(last)) == 2 and "rootInfo" not in last and not re.search("move (C3|B2)", last)
    assert len(last.partition("ownership ")[2].split()) == 25
    assert rest == ["? syntax error", "? syntax error", ""]
    text = talk.raw(b"lz-analyze b 1 allow b a1 1\n")
    assert {line[0] for line in INFO.findall(text.replace("\n", " "))} <= {"A1"}


def test_analysis_of_a_solved_position_waits_and_ends_with_the_input():
    talk = Talk(size=2, komi=0.5)
    assert talk.raw(b"kata-analyze 1").endswith("\n\n")
    talk("play b a1", "play w pass", "play b pass")
    assert talk.raw(b"lz-analyze 1\nname\n").endswith("= joypad rave\n\n")


@pytest.mark.parametrize("dialect", ["lz", "kata"])
def test_genmove_that_reports(dialect):
    talk = Talk(visits=None, seconds=0.2)
    lines = talk.raw(f"3 {dialect}-genmove_analyze w 5\n".encode()).rstrip("\n").split("\n")
    assert lines[0] == "=3" and lines[-1].startswith("play ") and all(line.startswith("info") for line in lines[1:-1])
    assert talk("last_move") == [f"= white {lines[-1][5:]}"]


def test_pictures_for_gogui(talk):
    for line in talk("gogui-analyze_commands")[0][2:].split("\n"):
        kind, _, name = line.split("/")
        rows = talk(name)[0][2:].split("\n")
        assert kind == "dboard" and [len(row.split()) for row in rows] == [9] * 9


def test_pondering_ends_with_the_next_command():
    talk = Talk(ponder=True)
    moves = talk("genmove b", "play w a1", "genmove b", "undo", "genmove b", "boardsize 5", "genmove b", "quit")
    assert all(a.startswith("=") for a in moves)


def test_a_network_plays_without_torch(tmp_path):
    """A run folder with an exported network of 7x7; on another board it says so."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from envs.go.rules import go_rules
    from experiments.benchmarks.search import residual_network

    (tmp_path / "network.onnx").write_bytes(residual_network(go_rules(7)))
    lines = b"genmove b\nlz-genmove_analyze w 5\nboardsize 9\ngenmove b\nboardsize 7\ngenmove w\nname\n"
    argv = [sys.executable, "-X", "importtime", "-m", "experiments.gtp", "--player", str(tmp_path)]
    done = subprocess.run(
        [*argv, "--size", "7", "--visits", "30"], input=lines, capture_output=True, check=True, timeout=300
    )
    answers = done.stdout.decode().split("\n\n")
    assert re.fullmatch("= [A-HJ][1-9]|= pass", answers[0]) and "play " in answers[1]
    assert answers[3].startswith("? the network was made for planes") and answers[5].startswith("= ")
    assert answers[6] == f"= joypad {tmp_path.name}" and b"| torch\n" not in done.stderr


def test_a_damaged_network_and_one_of_something_else_are_a_sentence(tmp_path, capsys, monkeypatch):
    pytest.importorskip("onnxruntime")
    helper = pytest.importorskip("onnx").helper
    from experiments import gtp

    def refused(data: bytes) -> str:
        (tmp_path / "network.onnx").write_bytes(data)
        code, _, err = program(gtp.main, ["--player", str(tmp_path)], capsys, monkeypatch)
        told = [line for line in err.splitlines() if not line.endswith("...")]  # what is being loaded
        assert code == 2 and len(told) == 1 and "Traceback" not in err
        return told[0]

    values = [helper.make_tensor_value_info(name, 1, ["n", 3]) for name in ("obs", "steering")]
    graph = helper.make_graph([helper.make_node("Tanh", ["obs"], ["steering"])], "car", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()
    assert "network.onnx cannot be read as a network" in refused(model[: len(model) // 2])
    assert refused(model).endswith("is no network of a board game: it tells no logits and no value")


OURS = [sys.executable, "-m", "experiments.gtp", "--size", "9", "--visits", "20"]


def test_conformance():
    assert len(conformance.CHECKS) >= 60
    session = conformance.Session(OURS)
    try:
        wrong = {check.title: fault for check in conformance.CHECKS if (fault := conformance.examine(session, check))}
    finally:
        session.close()
    assert not wrong


@pytest.mark.slow
def test_conformance_of_endings():
    assert not {title: wrong for title, wrong in conformance.endings(OURS).items() if wrong}


WORDED = "its message is another than the specification's"
CACHED = "it keeps the score of a position whatever becomes of the komi"
GNUGO = {  # where GNU Go 3.8 departs from the specification or does what the specification leaves open
    "komi changes the score": CACHED, "a negative komi": CACHED, "a drawn game": CACHED,
    "a komi that is no number": WORDED, "no komi": WORDED, "too many fixed stones": WORDED,
    "one fixed stone": WORDED, "one free stone": WORDED, "a point given twice": WORDED, "a handicap pass": WORDED,
    "time settings that are no numbers": WORDED, "too few time settings": WORDED, "a file that is not there": WORDED,
}  # fmt: skip


@pytest.mark.slow
def test_the_reference_passes_the_same_checks():
    found = conformance.conformance([tool("gnugo"), "--mode", "gtp", "--chinese-rules"])
    assert {title for title, wrong in found.items() if wrong} == set(GNUGO)


def test_the_second_start_is_quick_and_without_torch():
    """Processor time, so that a busy machine does not fail it; on an idle one it is the wall clock."""
    lines = b"genmove b\ncputime\n"
    took = []
    for _ in range(2):
        done = subprocess.run(OURS, input=lines, capture_output=True, check=True, timeout=300).stdout.decode()
        took.append(float(done.split("\n\n")[1][2:]))
        if took[-1] <= 3.0:
            break
    assert took[-1] <= 3.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--size", "20"], "2 to 19"), (["--visits", "0"], "at least 1"), (["--seconds", "0"], "must lie in 0.001"),
        (["--player", "nobody"], "there is no player 'nobody'"), (["--rules", "mine"], "must be one of"),
        (["--set", "equivalence"], "NAME=NUMBER"), (["--set", "depth=3"], "settings are"),
        (["--resign", "2"], "below 1"), (["--komi", "nan"], "-1000 to 1000"),
        (["--set", "equivalence=-1"], "more than 0"),
    ],
)  # fmt: skip
def test_wrong_options_are_told(options, words, capsys, monkeypatch):
    from experiments import gtp

    monkeypatch.setattr(sys, "argv", ["gtp", *options])
    with pytest.raises(SystemExit) as ended:
        gtp.main()
    said = capsys.readouterr()
    assert ended.value.code == 2 and words in " ".join(said.err.split()) and not said.out


@pytest.mark.parametrize("text", ["--5", "-", "+5", "1_0", "5.0", "", "99999999999", "٥"])
def test_what_is_no_whole_number_of_gtp(text):
    with pytest.raises(GTPError, match="syntax error"):
        integer(text)


def test_what_is_no_number_of_gtp():
    assert number("7.5") == 7.5 and number("-0.5e1") == -5
    for text in ("1_0", "nan", "inf", "", "seven"):
        with pytest.raises(GTPError, match="syntax error"):
            number(text)


def test_time_that_only_the_controller_has_told_is_forgotten_with_the_game():
    clock = GoClock()
    clock.left(0, 30.0, 0)
    assert clock.allowed(0, 10, 81) > LEAST
    clock.restart()
    assert clock.allowed(0, 0, 81) is None
    clock.set(60.0, 0.0, 0)
    clock.restart()
    assert clock.allowed(0, 0, 81) > LEAST
