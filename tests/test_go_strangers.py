"""SGF files as other people's programs write them: odd values, broken trees; and one reader for all. (Character sets:
test_go_charsets.py.)

The kinds are those of public bug reports on Sabaki, KaTrain, Lizzie, OGS, KataGo and others; the files are made here.
"""

from __future__ import annotations

import base64
import io
import os

import pytest
from mutations import limited

from envs.go import dataset, gameinfo, record
from envs.go.game import fixed_handicap
from envs.go.sgf import LIMIT, MAX_BYTES, REMARKS, Node, SGFError, dump, iterate, parse, read_file


def told(data: bytes) -> record.GameRecord:
    """A game with its remarks; all are single lines that no terminal obeys."""
    loaded = record.load(data)
    assert len(loaded.remarks) <= 2 * REMARKS and all(remark.isprintable() for remark in loaded.remarks)
    return loaded


FOX = "(;GM[1]SZ[19]GN[]PB[a]PW[b]KM[{}]HA[{}]RU[{}]AP[GNU Go:3.8]RE[W+R]TM[300]TC[3]AP[foxwq]RL[0];B[pd];W[dp])"


@pytest.mark.parametrize(
    ("komi", "rules", "expected"),
    [
        ("375", "Chinese", 7.5), ("325", "Japanese", 6.5), ("650", "Japanese", 6.5), ("750", "Chinese", 7.5),
        ("275", "Chinese", 5.5), ("550", "Korean", 5.5), ("350", "Chinese", 7.0), ("700", "Chinese", 7.0),
        ("50", "Japanese", 0.5), ("0", "Chinese", 0.0), ("6.5", "Japanese", 6.5), ("7.5", "Chinese", 7.5),
    ],
)  # fmt: skip
def test_komi_of_the_fox_server(komi, rules, expected):
    loaded = told(FOX.format(komi, 0, rules).encode())
    assert loaded.komi == expected and len(loaded.remarks) == (float(komi) != expected)


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        ("KM[6.5]", 6.5), ("KM[6,5]", 6.5), ("KM[ 5 ]", 5), ("KM[-0.5]", -0.5), ("KM[0]", 0), ("KM[６．５]", 6.5),
        ("KM[6目半]", 6.5), ("KM[黑贴3又3/4子]", 7.5), ("KM[3.75子]", 7.5), ("KM[5 1/2]", 5.5), ("KM[6½]", 6.5),
        ("KM[7 and a half]", 7.5), ("KM[half]", 0.5), ("KO[黒6目半]", 6.5), ("KM[]KO[6目半]", 6.5),
        ("KM[3.75]RU[Chinese]", 7.5), ("KM[375]", 7.5), ("KM[650]AP[SGFC:2.0]", 6.5), ("KM[50]", 50), ("KM[+7.5]", 7.5),
        ("KM[]", None), ("", None), ("KM[ ]", None), ("KM[six]", None), ("KM[nan]", None), ("KM[inf]", None),
        ("KM[1e400]", None), ("KM[" + "9" * 5000 + "]", None), ("KM[0x10]", None), ("KM[二十三目]", None),
        ("KM[[]", None),
    ],
)  # fmt: skip
def test_komi_as_people_write_it(root, expected):
    loaded = told(f"(;SZ[9]{root}PB[a];B[aa];W[bb])".encode())
    assert loaded.komi == expected and len(loaded.moves) == 2
    spoken = "KM[]" not in root and "KM[ ]" not in root and root
    assert len(loaded.remarks) >= (expected is None and bool(spoken))


def test_without_a_komi_the_one_that_is_set_stays():
    for root in ("", "KM[]", "KM[six]"):
        loaded = record.load(f"(;SZ[5]{root};B[aa])".encode())
        assert record.replay(loaded, komi=3.5).komi == 3.5 and record.replay(loaded).komi == record.KOMI
        assert parse(dump(record.write(loaded))).get("KM") is None
        bright = dataset.rows(loaded, komi=20.0)["obs"] != dataset.rows(loaded, komi=0.0)["obs"]
        assert bright.any()  # the komi is one of the planes
    assert record.replay(record.load(b"(;SZ[5]KM[0];B[aa])"), komi=3.5).komi == 0


@pytest.mark.parametrize(
    ("value", "expected", "remarks"),
    [
        ("2", 2, 0), ("0", 0, 0), ("", 0, 0), ("2.0", 2, 0), ("让2子", 2, 0), ("让二子", 2, 0), ("十二子", 0, 1),
        ("２", 2, 0), ("对子", 0, 1),
        ("吴受先", 0, 1),
        ("none", 0, 1), ("-3", 0, 1), ("999", 0, 1), ("2-3", 0, 1), ("1e9", 0, 1), ("9" * 5000, 0, 1), ("1.5", 0, 1),
    ],
)  # fmt: skip
def test_handicaps_in_words(value, expected, remarks):
    loaded = told(f"(;SZ[9]AB[cc][gg]HA[{value}];W[ee])".encode())
    assert (loaded.handicap, len(loaded.remarks), loaded.moves) == (expected, remarks, [(1, 40)])
    assert record.replay(loaded).handicap == expected


def test_handicap_stones_that_a_server_leaves_out():
    loaded = told(b"(;SZ[19]HA[3]KM[0];W[nc];B[qf];W[pp])")
    assert loaded.steps[0].black == fixed_handicap(3, 19) and "HA[3]" in loaded.remarks[0]
    assert record.replay(loaded).board().sum() == 3 + 1 + 2 * 2
    for other in (b"(;SZ[19]HA[2];B[pd];B[dp];W[pp])", b"(;SZ[19]HA[2];AB[dd][pp];W[pd])", b"(;SZ[19]HA[2];W[dp])"):
        assert told(other).remarks == []  # Black places them, they are there, or White moves where one would be
        assert not told(other).steps[0].black


@pytest.mark.parametrize(
    ("value", "turn"),
    [
        ("B", 0), ("W", 1), ("b", 0), ("w ", 1), ("Black", 0), ("WHITE", 1), ("1", 0), ("2", 1), ("黑", 0), ("白", 1),
        ("", None), ("x", None), ("3", None), ("both", None),
    ],
)  # fmt: skip
def test_who_moves_first(value, turn):
    loaded = told(f"(;SZ[5]AB[aa]AW[bb]PL[{value}])".encode())
    assert loaded.steps[0].turn == turn and len(loaded.remarks) == (turn is None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("B+3.5", (1, 3.5)), ("W+R", (-1, None)), ("b+1/2", (1, 0.5)), ("W + 2", (-1, 2)), ("0", (0, 0)),
        ("0.0", (0, 0)),
        ("Jigo", (0, 0)), ("和棋", (0, 0)), ("黑中盘胜", (1, None)), ("白胜43.5目", (-1, 43.5)),
        ("白番中押し勝ち", (-1, None)),
        ("黑胜1又1/4子", (1, 2.5)), ("黒一目半勝ち", (1, 1.5)), ("257手完, 黒中押し勝ち", (1, None)),
        ("白半目勝", (-1, 0.5)),
        ("흑 불계승", (1, None)), ("백 3집반승", (-1, 3.5)), ("黑负", (-1, None)), ("白胜 黑负", (-1, None)),
        ("Black wins by 3.5 points", (1, 3.5)), ("White won by resignation", (-1, None)),
        ("Black lost on time", (-1, None)),
        ("黑二十三目胜", (1, None)), ("Void", (None, None)), ("?", (None, None)), ("", (None, None)),
        ("B", (None, None)),
        ("B+99999", (1, None)),
    ],
)  # fmt: skip
def test_results_in_words(text, expected):
    assert gameinfo.result(text) == expected


@pytest.mark.parametrize(
    ("root", "size"),
    [("SZ[19]", 19), ("SZ[9:9]", 9), ("SZ[13x13]", 13), ("SZ[9.0]", 9), ("SZ[]", 19), ("SZ[ 9 ]", 9), ("SZ[９]", 9)],
)
def test_sizes_as_people_write_them(root, size):
    assert told(f"(;GM[1]{root};B[aa])".encode()).size == size


def test_what_is_said_behind_an_empty_root_counts():
    loaded = told(b"(;;GM[1]SZ[9]KM[5.5]PB[x];AB[cc][gg]HA[2];W[ee]KM[0])")
    assert (loaded.size, loaded.komi, loaded.black, loaded.handicap, len(loaded.moves)) == (9, 5.5, "x", 2, 1)


def test_every_other_odd_value_is_passed_over():
    odd = "GM[Go]FF[x]ST[?]DT[yesterday]TM[ten]OT[5x30 byo-yomi]RU[]RE[]BR[30k?]WR[]PC[]US[]ON[]RO[]TT[x]RL[]AB[]AW[]"
    loaded = told(f"(;{odd}SZ[9]KM[5.5];B[aa];W[])".encode())
    assert (loaded.komi, loaded.moves) == (5.5, [(0, 0), (1, 81)]) and loaded.remarks == ["GM[Go] is taken as Go"]
    with pytest.raises(SGFError, match="not of Go"):
        record.load(b"(;GM[2]SZ[9];B[aa])")


REPAIRED = [  # text, moves in sgf's letters, whether training must do without the game
    ("(;SZ[9];B[aa];W[bb]", "aa bb", True), ("(;SZ[9];B[aa];W[bb];B[c", "aa bb", True),
    ("(;SZ[9];B[aa];W[bb]C[good", "aa bb", True),
    ("(;SZ[9];B[aa](;W[bb];B[cc])(;W[dd]", "aa bb cc", True), ("(SZ[9];B[aa];W[bb])", "aa bb", False),
    ("(\r\nSZ[9]\r\nPB[x]\r\n;B[aa](;W[bb])(;W[cc]))", "aa bb", False), ("(;SZ[9];B[aa]W[bb]B[cc])", "aa bb cc", False),
    ("(;SZ[9]B[aa]W[bb];B[cc])", "aa bb cc", False), ("(;SZ[9];B[aa]];W[bb])", "aa bb", True),
    ("(;SZ[9];B[aa]%;W[bb])", "aa bb", True),
    ("(;SZ[9];B[aa]C[a [b] c];W[bb])", "aa bb", True), ("(;sz[9];b[aa];w[bb])", "aa bb", False),
    ("(;GaMe[1]SiZe[9]PlayerBlack[x];Black[aa];White[bb])", "aa bb", False),
    ("(;S Z[9]A\nB[cc]P B[x];B[aa];W[bb])", "aa bb", True),
    ("(;SZ[9];B[aa];LB W[bb])", "aa bb", True), ("(;SZ[9];\0B[aa]\0;W[bb]\0)\0\0", "aa bb", False),
    ("(;SZ[9]( ;B[aa] ;W [bb] ) )", "aa bb", False),
    ("From: a (friend)\nSubject: (Go)\n\n(;SZ[9];B[aa];W[bb])\n-- \nbye (:", "aa bb", False),
    ("(;SZ[9];B[aa][cc];W[bb])", "aa bb", True),
    ("\ufeff(;SZ[9];B[aa];W[bb])", "aa bb", False), ("(;SZ[9];B[aa];W[bb]))", "aa bb", False),
    ("(;SZ[9];B[aa];W[tt];B[])", "aa tt tt", False),
    ("(;SZ[9];B[aa];B[bb];W[cc];W[dd])", "aa bb cc dd", False), ("(;SZ[9];B[aa]);W[bb])", "aa", True),
    ("(;SZ[9];;B[aa];W[bb];;)", "aa bb", False),
    ("(;SZ[9]C[no end;B[aa];W[bb];B[cc])", "bb cc", True), ("(;SZ[9]PC[C:\\]PB[x];B[aa];W[bb])", "aa bb", True),
    ("(;SZ[9];B[aa()];W[bb])", None, None), ("(;SZ[9];B[a];W[bb])", None, None), ("(;SZ[9](;B[aa]);W[bb])", None, None),
    ("];B[dd];W[bb](;B[cc])(;B[ee]))", None, None), ("(;SZ[9]AB[aa][bb:", "", True),
]  # fmt: skip


@pytest.mark.parametrize(("text", "moves", "lost"), REPAIRED)
def test_broken_trees_are_repaired_and_told_or_refused(text, moves, lost):
    data = text.encode()
    if moves is None:
        with pytest.raises(SGFError, match="line|node"):
            record.load(data)
        return
    loaded = told(data)
    assert " ".join(record.point_text(action, 9) or "tt" for _, action in loaded.moves) == moves
    assert loaded.size == 9 and (loaded.damage is not None) == lost
    tidy = record.load(dump(record.write(loaded)))
    assert (tidy.moves, tidy.black, tidy.komi) == (loaded.moves, loaded.black, loaded.komi)
    assert tidy.remarks == [] or "seems to lack" in tidy.remarks[0]  # the odd value is still there


def test_training_does_without_games_that_lack_moves(tmp_path):
    for number, (text, _, _) in enumerate(REPAIRED):
        (tmp_path / f"{number:02}.sgf").write_bytes(text.encode())
    skipped: list[str] = []
    read = list(dataset.records([tmp_path], skipped))
    assert len(read) == sum(lost is False for _, _, lost in REPAIRED)
    assert all(
        any(reason.startswith(str(tmp_path / f"{n:02}.sgf")) for reason in skipped)
        for n, c in enumerate(REPAIRED)
        if c[2]
    )


def test_several_games_in_a_file(tmp_path):
    data = b"(;SZ[9]PB[x];B[aa])\n(;SZ[9]PB[y];B[bb])(;SZ[9:7];B[aa])(;SZ[9];B[dd]"
    assert told(data).black == "x" and told(data).remarks == ["the file holds several games; this is the first"]
    (tmp_path / "a.sgf").write_bytes(data)
    skipped: list[str] = []
    assert [game.black for game in dataset.records([tmp_path], skipped)] == ["x", "y"]
    assert ["game 3" in skipped[0], "game 4" in skipped[1]] == [True, True]


@pytest.mark.parametrize("komi", [0.0, -7.5, 3.75, 275.0, 375.0, 650.0, 0.25, 999.5])
def test_our_own_files_say_what_they_mean(komi):
    given = record.GameRecord(size=9, komi=komi, black="é]\\", steps=[record.Step(move=(0, 3))])
    again = record.load(dump(record.write(given)))
    assert (again.komi, again.remarks, again.black, again.moves) == (komi, [], "é]\\", [(0, 3)])


def test_files_that_are_none(tmp_path):
    with pytest.raises(SGFError, match="regular"):
        read_file("/dev/zero" if os.path.exists("/dev/zero") else tmp_path)
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises((SGFError, OSError)):
            read_file(path)
    with (tmp_path / "big.sgf").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(SGFError, match="bytes"):
        read_file(tmp_path / "big.sgf")
    (tmp_path / "dead.sgf").symlink_to(tmp_path / "none")
    skipped: list[str] = []
    assert list(dataset.records([tmp_path], skipped)) == [] and len(skipped) == 2


HOSTILE = (
    b"(;", b"(", b";", b"]", b"[", b"\\", b"(;C[", b"a ", b"A", b"B[aa]", b"CA[ ", b"\xff", b"(;CA[x]\xe4)", b"\0",
    b" ", b"( ", b"(;CA[a])(;CA[b])", b"(;PB[x(;CA[x]", b"\xc0\xee[PB[", b";B[aa]", b"x;B[aa] )", b"A[\\]", b"(A[",
    b"(;)", b"()", b"(;])\n",
)  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_the_work_grows_with_the_size_of_the_input(piece):
    """In proportion: what needs the square would take minutes here."""
    for data in (piece * (100_000 // len(piece)), b"(;SZ[9]" + piece * (100_000 // len(piece))):
        with limited(60):
            for game in record.games(data):
                assert isinstance(game, SGFError) or len(game.remarks) < 2 * REMARKS


def test_a_tree_of_too_many_parts_is_refused():
    for piece in (b"B[aa]", b";", b"x ", b"]A"):
        remarks: list[str] = []
        with pytest.raises(SGFError, match="too many"):
            list(iterate(b"(;" + piece * 1000 + b")", limit=400, remarks=remarks))
        assert len(remarks) <= REMARKS
    assert LIMIT <= 1_000_000


class Seat:
    """A player that is not asked."""

    name = "nobody"


def test_one_reader_for_gtp_the_board_the_page_and_training(tmp_path, capsys):
    from experiments.go.browser import TablePage
    from experiments.go.commands import Engine
    from experiments.go.files import loadsgf
    from experiments.go.protocol import GTPCommand, Output
    from experiments.go.table import GoTable

    class Page(TablePage):
        def __init__(self, table):
            self.table = table

    files = {
        "sjis": "(;SZ[9]PB[山田表]PW[佐藤能]RE[W+R];B[cc];W[gg])".encode("cp932"),
        "gbk": "(;CA[GB2312]SZ[9]PB[李乗明]KM[]HA[对子];B[cc];W[gg])".encode("gbk"),
        "fox": FOX.format(375, 0, "Chinese").encode(),
        "bom": b"\xef\xbb\xbf(;SZ[9]PB[x];B[cc];W[gg])",
        "cut": b"(;SZ[9]PL[1];B[cc];W[g",
    }  # fmt: skip
    for name, data in files.items():
        path = tmp_path / f"{name}.sgf"
        path.write_bytes(data)
        expected = record.load(data)
        komi = 5.5 if expected.komi is None else expected.komi
        engine = Engine(Seat(), Output(io.BytesIO()), size=9, komi=5.5)
        capsys.readouterr()
        loadsgf(engine, GTPCommand("", "loadsgf", [str(path)], str(path)))
        assert (engine.game.moves, engine.komi) == (expected.moves, komi)
        assert capsys.readouterr().err.count("joypad: ") == len(expected.remarks)

        table = GoTable(Seat(), size=9, komi=5.5)
        sent = base64.b64encode(data).decode()  # as go.js sends it
        Page(table)._heard(None, {"type": "command", "name": "load", "value": sent})
        table._apply(*table._queue.get_nowait())
        assert (table.game.moves, table.game.komi) == (expected.moves, komi)
        assert expected.black in table.message and all(remark in table.message for remark in expected.remarks[:3])

        if expected.damage is None:
            expected.where = f"{path}, game 1"
            assert list(dataset.records([path])) == [expected]


def test_a_node_without_values_survives():
    root = Node({"GM": ["1"], "X": [""]})
    assert record.load(dump(root)).moves == []
