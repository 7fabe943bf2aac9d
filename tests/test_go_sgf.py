"""SGF: trees and encodings, records of Go, sgfmill as the oracle, and mutated input."""

import random
import string

import pytest

from envs.go import record as go_record
from envs.go.game import GoGame, from_vertex
from envs.go.sgf import LIMIT, Node, SGFError, decode, dump, escape, iterate, parse, unescape

GAME = rb"""Mail header (ignored)
(;FF[4]CA[UTF-8]GM[1]SZ[9]KM[6.5]HA[2]AB[gc][cg]PB[A \] bracket]PW[back\\slash]RE[W+3.5]RU[Chinese]
;W[ee]C[A comment: with (parentheses); semicolons
and two lines\
, softly joined]LB[ee:1][gc:a\:b]
(;B[ge](;W[])(;W[tt]N[pass too]))
(;B[ec]
  ;W[gg]KO[]))
"""


def shape(node):
    """A tree as nested lists, for comparison (shallow trees only)."""
    return [node.properties, [shape(child) for child in node.children]]


def test_a_tree_with_variations_and_escapes():
    root = parse(GAME)
    assert (root.get("PB"), root.get("PW")) == ("A ] bracket", "back\\slash")
    assert root.properties["AB"] == ["gc", "cg"]
    comment = root.children[0]
    assert comment.text() == "A comment: with (parentheses); semicolons\nand two lines, softly joined"
    assert [child.get("B") for child in comment.children] == ["ge", "ec"]
    assert [child.properties for child in comment.children[0].children] == [
        {"W": [""]},
        {"W": ["tt"], "N": ["pass too"]},
    ]
    assert [node.get("W", node.get("B")) for node in root.main_line()] == [None, "ee", "ge", ""]
    again = parse(dump(root))
    assert shape(again) == shape(root)
    assert dump(again) == dump(root)


def test_what_the_properties_of_a_game_mean():
    game = go_record.read(parse(GAME))
    assert (game.size, game.komi, game.handicap, game.winner, game.margin) == (9, 6.5, 2, -1, 3.5)
    assert game.steps[0].black == [24, 56]
    assert game.moves == [(1, 40), (0, 42), (1, 81)]
    played = go_record.replay(game)
    assert played.turn == 0 and played.handicap == 2
    assert played.board().sum() == 3 * 1 + 2
    assert len(go_record.replay(game, upto=2).moves) == 2
    root = parse(GAME)
    other = [root, root.children[0], root.children[0].children[1], *root.children[0].children[1].children]
    assert go_record.read(other).moves == [(1, 40), (0, 22), (1, 60)]


def test_a_played_game_survives_writing_and_reading():
    game = GoGame(9, 5.5)
    game.place_handicap([24, 56, 20])
    for vertex in ("E5", "pass", "C4", "G2"):
        game.play(from_vertex(vertex, 9))
    game.play(from_vertex("A1", 9), game.turn ^ 1)  # out of turn
    data = dump(go_record.write(go_record.of_game(game, black="é]\\", white="名前", result="B+R")))
    again = go_record.read(parse(data))
    assert (again.black, again.white, again.winner, again.margin) == ("é]\\", "名前", 1, None)
    replayed = go_record.replay(again)
    assert (replayed.board() == game.board()).all()
    assert (replayed.moves, replayed.handicap, replayed.komi) == (game.moves, 3, 5.5)


def test_setup_in_the_middle_and_rectangles_of_points():
    game = go_record.read(parse(b"(;SZ[5]AB[aa:bb];W[ce];AE[aa:ab]AW[ea]PL[B];B[ab])"))
    assert game.steps[0].black == [0, 1, 5, 6]
    assert go_record.replay(game).board().tolist() == [
        [0, 1, 0, 0, 2],
        [1, 1, 0, 0, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 2, 0, 0],
    ]


@pytest.mark.parametrize("charset", ["UTF-8", "ISO-8859-1", "GB2312", "Shift_JIS", "EUC-KR", "Big5", "windows-1252"])
def test_encodings(charset):
    # 表 and ソ end in the byte of a backslash in Shift_JIS, 功 in Big5.
    names = {"GB2312": "围棋", "Shift_JIS": "表ソ碁", "EUC-KR": "바둑", "Big5": "功圍棋", "UTF-8": "ż名"}
    name = names.get(charset, "Çé")
    data = f"(;GM[1]CA[{charset}]PB[{name}]C[x];B[aa])".encode(charset)
    root = parse(data)
    assert root.get("PB") == name and root.get("C") == "x"
    assert parse(dump(root)).get("PB") == name
    assert parse(dump(root)).get("CA") == "UTF-8"


def test_files_that_do_not_name_their_encoding():
    assert parse("(;PB[Ünï])".encode("latin-1")).get("PB") == "Ünï"
    assert parse("(;PB[Ünï])".encode()).get("PB") == "Ünï"
    assert parse(b"\xef\xbb\xbf" + "(;PB[Ünï])".encode()).get("PB") == "Ünï"
    assert "�" in decode(b"(;CA[UTF-8]PB[\xff])")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "line 1, column 1: no game tree"), (b"()", "no game tree"), (b"(;B[aa]", "ends inside"),
        (b"(;B[aa", "value of B never ends"), (b"(;B[aa]\n\n  (W[bb]))", "line 3, column 4: .*must begin with a node"),
        (b"(;B)", "column 4: the property B has no value"), (b"(;b[aa])", "no capital letters"),
        (b"(;B[aa](;W[bb]);W[cc])", "after the variations"), (b"(;B[aa]])", "unexpected ']'"),
        (b"(;B[aa]5)", "unexpected '5'"), (b"(;C[x\\])", "never ends"), (b"(;B[aa];C)", "no value"),
    ],
)  # fmt: skip
def test_malformed_input_says_where(data, message):
    with pytest.raises(SGFError, match=message):
        parse(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"(;GM[2])", "not of Go"), (b"(;SZ[20])", "SZ"), (b"(;SZ[9:13])", "SZ"), (b"(;SZ[x])", "SZ"),
        (b"(;SZ[9];B[jj])", "node 2, after 0 moves: 'jj' is no point of a 9x9"), (b"(;SZ[9];B[a])", "no point"),
        (b"(;SZ[9]AB[tt])", "no point"), (b"(;B[aa]W[bb])", "both sides"),
        (b"(;SZ[9]AB" + b"[aa:ii]" * 9 + b")", "several times"),
    ],
)  # fmt: skip
def test_what_makes_no_position_is_refused(data, message):
    with pytest.raises(SGFError, match=message):
        go_record.read(parse(data))


def test_records_that_cannot_be_played():
    for data, message in (
        (b"(;SZ[5];B[aa];W[aa])", "move 2: W A5 is illegal"),
        (b"(;SZ[5]AB[ba][ab]AW[aa])", "node 1: .*without liberties"),
    ):
        with pytest.raises(SGFError, match=message):
            go_record.replay(go_record.read(parse(data)))


def test_several_games_in_one_file():
    data = b"noise (;SZ[9];B[aa]) more noise (;SZ[5];B[bb])"
    assert [root.get("SZ") for root in iterate(data)] == ["9", "5"]
    roots = list(iterate(data))
    assert [shape(root) for root in iterate(dump(roots))] == [shape(root) for root in roots]


def test_deep_and_wide_trees_need_no_recursion():
    deep = b"(" + b";B[aa]" * 50_000 + b")"
    assert len(parse(deep).main_line()) == 50_000
    assert len(parse(dump(parse(deep))).main_line()) == 50_000
    nested = b"(;" * 20_000 + b")" * 20_000
    assert dump(parse(nested)).count(b";") == 20_000
    wide = parse(b"(;" + b"(;W[aa])" * 20_000 + b")")
    assert len(wide.children) == 20_000


def test_memory_is_bounded():
    assert LIMIT <= 1_000_000
    for data in (b"(" + b";" * 50 + b")", b"(;C" + b"[]" * 50 + b")", b"(" + b";(" * 50, b"(;" + b"A[]" * 50 + b")"):
        with pytest.raises(SGFError, match="too many nodes"):
            parse(data, limit=20)


def test_escaping_is_undone():
    rng = random.Random(4)
    for _ in range(300):
        text = "".join(rng.choice("\\]:[ab \n") for _ in range(rng.randrange(12)))
        assert unescape(escape(text)) == text
        node = Node()
        node.set("C", text)
        assert parse(dump(node)).text() == text


def random_tree(rng):
    """A random Go tree with properties of all kinds."""
    root = Node({"FF": ["4"], "CA": ["UTF-8"], "GM": ["1"], "SZ": ["9"]})
    nodes = [root]
    for _ in range(rng.randrange(1, 30)):
        node = rng.choice(nodes[-4:]).add_child()
        node.set(rng.choice("BW"), rng.choice(["", *("".join(rng.choices("abcdefghi", k=2)) for _ in range(4))]))
        if rng.random() < 0.4:
            node.set("C", "".join(rng.choice(string.printable[:95] + "\n\\]éß名") for _ in range(rng.randrange(30))))
        if rng.random() < 0.2:
            node.set(rng.choice(["TR", "SQ", "MA"]), *rng.sample(["aa", "bb", "cc", "dd"], rng.randrange(1, 4)))
        nodes.append(node)
    return root


def sgfmill_shape(node):
    """The same of a tree of sgfmill, from its raw values."""
    properties = {}
    for name in node.properties():
        properties[name] = [value.decode("utf-8") for value in node.get_raw_list(name)]
    return [properties, [sgfmill_shape(child) for child in node]]


def test_random_trees_survive_and_sgfmill_reads_the_same():
    rng = random.Random(1)
    sgfmill = pytest.importorskip("sgfmill.sgf")
    for _ in range(60):
        root = random_tree(rng)
        data = dump(root)
        assert shape(parse(data)) == shape(root)
        assert sgfmill_shape(sgfmill.Sgf_game.from_bytes(data).get_root()) == shape(root)
        for mine, theirs in zip(root.main_line(), sgfmill.Sgf_game.from_bytes(data).get_main_sequence(), strict=True):
            assert (not theirs.has_property("C")) or theirs.get("C") == mine.text()


def mutate(rng, data):
    """Some bytes deleted, doubled, swapped, replaced or cut off."""
    data = bytearray(data)
    for _ in range(rng.randrange(1, 6)):
        kind, at = rng.randrange(5), rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.randrange(1, 12))
        if kind == 0:
            del data[at:end]
        elif kind == 1:
            data[at:at] = data[at:end]
        elif kind == 2:
            data[at:end] = bytes(rng.choice(b"()[];:\\abBW09 \n\xff\x00") for _ in range(end - at))
        elif kind == 3:
            other = rng.randrange(len(data) + 1)
            data[at:at] = data[other : other + 20]
        elif rng.random() < 0.3:
            del data[at:]
        data = data or bytearray(b"(")
    return bytes(data)


def fuzz(count, seed):
    """Mutated files end in SGFError or in a tree that survives writing; returns how often each."""
    rng, refused, read = random.Random(seed), 0, 0
    for i in range(count):
        data = mutate(rng, GAME if i % 3 == 0 else dump(random_tree(rng)))
        try:
            root = parse(data)
        except SGFError as error:
            assert str(error).startswith("line ")
            refused += 1
            continue
        assert shape(parse(dump(root))) == shape(root)
        read += 1
        try:
            go_record.replay(go_record.read(root))
        except SGFError:
            continue
    return refused, read


def test_mutated_files_end_in_a_clear_error_or_a_tree():
    refused, read = fuzz(400, 1)
    assert min(refused, read) > 50


@pytest.mark.slow
def test_mutated_files_at_length():
    refused, read = fuzz(10_000, 2)
    assert min(refused, read) > 1000


@pytest.mark.parametrize(
    "stones",
    [
        "[dd][pp][pd][dp][dj][pj]",  # six, in two columns at the left and right
        "[dd][pp][pd][dp][jd][jp]",  # six, in two rows at the top and bottom
        "[dd][pp][pd][dp][jd][jp][jj]",
    ],
)
def test_handicap_stones_are_taken_as_they_stand(stones):
    points = {(ord(at[1]) - 97) * 19 + ord(at[0]) - 97 for at in stones[1:-1].split("][")}
    loaded = go_record.load(f"(;SZ[19]HA[{len(points)}]AB{stones};W[cn])".encode())
    game = go_record.replay(loaded)
    assert {action for action in range(361) if game.at(action) == 1} == points and game.handicap == len(points)
