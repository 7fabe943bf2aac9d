"""Damaged SGF files end in a game or in a sentence, and a game is what the file says.

The long form: MUTATIONS=500 python -m pytest -n 0 tests/test_mutations_sgf.py
"""

from __future__ import annotations

import random

import numpy as np
import pytest
from mutations import cases, limited, mutate, surroundings, unchanged

from envs.go import dataset, record
from envs.go.game import GoGame
from envs.go.sgf import SGFError, dump, iterate, parse


def played(size: int, moves: int, seed: int) -> bytes:
    """A game of random moves with names, comments and variations, as we write it."""
    rng, game = np.random.default_rng(seed), GoGame(size, 6.5)
    while len(game.moves) < moves:
        legal = [action for action in rng.permutation(size * size) if game.is_legal(int(action))]
        game.play(int(legal[0]) if legal else size * size)
    made = record.of_game(game, black="柯洁", white="Müller", result="W+R", rules="Chinese")
    for step in made.steps[1::4]:
        step.comment = "a [bracket], a \\ and\nanother line; (all in order)"
    root = record.write(made)
    root.children[0].children[0].add_child().set("W", "aa")
    return dump(root)


FILES = {
    "ours": played(9, 40, 1),
    "server": b"(;GM[1]FF[4]\nSZ[19]\nGN[]\nPB[a]\nPW[b]\nBR[2d]\nKM[375]HA[0]RU[Chinese]AP[GNU Go:3.8]RE[W+R]TM[300]"
    b"AP[foxwq]\n;B[pd];W[dp];B[pp];W[dd]TR[dd];B[fq]C[ok];W[])",
    "japanese": (
        "(;SZ[19]EV[第10期十段戦]PB[山田表]PW[佐藤能]KM[6目半]RE[白番中押し勝ち]"
        ";B[pd]C[表とソ];W[dp];B[pp])"
    ).encode("cp932"),
    "chinese": (
        "(;GM[1]CA[GB2312]SZ[13]PB[李乗明]PW[王]HA[2]AB[dd][jj]PL[W]RE[黑胜1又1/4子]"
        ";W[jd];B[dj](;W[gg])(;W[gc];B[cc]))"
    ).encode("gbk"),
    "problem": b"header\n(;FF[3]GaMe[1]SiZe[9]AB[aa:bc][dd]AW[ee]AE[bb]PL[1]C[Black to play]"
    b";B[ab];AW[ff];W[tt](;B[gg])(;B[hh]))",
    "several": b"(;CA[UTF-8]SZ[5]RE[B+3.5];B[cc];W[bb];B[bc])\n\n(;SZ[7]KM[0.5];B[dd];W[cc])(;SZ[5];W[aa];B[bb])",
}  # fmt: skip


def replayed(game: record.GameRecord) -> list[tuple[int, int]] | None:
    """The moves of a record that can be played out, checked on the way; None where one is illegal, by name."""
    assert game.komi is None or abs(game.komi) <= 1000
    assert 0 <= game.handicap < game.size**2 and all(remark.isprintable() for remark in game.remarks)
    try:
        end = record.replay(game)
    except SGFError as error:
        assert str(error).startswith(("move ", "node ")), error
        return None
    assert end.moves == game.moves[-len(end.moves) :] or not end.moves  # stones set up later begin a new history
    return game.moves


def outcome(data: bytes) -> tuple[record.GameRecord | None, list[tuple[int, int]] | None]:
    """What loading a file gives: a record and its moves, or a sentence with a place."""
    try:
        game = record.load(data)
    except SGFError as error:
        assert str(error).split(" ")[0].rstrip(",:") in ("line", "node", "the") or "[" in str(error), error
        assert "\n" not in str(error) and len(str(error)) < 300
        return None, None
    return game, replayed(game)


@pytest.mark.parametrize("name", FILES)
def test_damage_ends_in_a_game_or_a_sentence(name, tmp_path):
    folder = surroundings(tmp_path / "around")
    folder.mkdir()
    ends = {"game": 0, "illegal": 0, "sentence": 0}
    for case in cases(FILES[name], f"sgf {name}"):
        with case.told(), unchanged(tmp_path / "around", but=folder):
            game, moves = outcome(case.data)
            ends["sentence" if game is None else "illegal" if moves is None else "game"] += 1
            if game is not None:
                again = record.load(dump(record.write(game)))
                assert (again.moves, again.size, again.komi) == (game.moves, game.size, game.komi)
            (folder / "a.sgf").write_bytes(case.data)
            skipped: list[str] = []
            for read in dataset.records([folder], skipped):
                assert read.damage is None
            assert game is None or game.damage is None or skipped
    assert ends["game"] and ends["sentence"], ends


@pytest.mark.parametrize("name", FILES)
def test_what_changes_nothing_in_the_moves_gives_the_same_moves(name):
    """White space between the parts, other names and comments, unknown properties: the game stays the same."""
    rng, whole = random.Random(f"{name}"), record.load(FILES[name])
    for _ in range(20):
        root = parse(FILES[name], remarks=[])
        for node in root.main_line():
            if rng.random() < 0.5:
                text = mutate(b"a [b\\] c; (d) \xc3\xa9", rng)[1].decode("utf-8", "replace")
                node.set(rng.choice(("C", "N", "GC", "XX")), text)
        data = dump(root)
        for sign in (b";", b"("):
            data = data.replace(b"]" + sign, b"]" + rng.choice((b"", b"\n", b"\r\n", b" \t\n", b"\0")) + sign)
        again = record.load(data)
        assert (again.moves, again.size, again.komi) == (whole.moves, whole.size, whole.komi)


@pytest.mark.parametrize("name", FILES)
def test_a_cut_file_is_never_taken_for_a_whole_one(name):
    """Cut anywhere: what is loaded begins like the whole, and if a move is missing, that is said."""
    data, whole = FILES[name], record.load(FILES[name])
    first = data.index(b"(;")
    last = 1 + (data.index(b")") if name == "several" else data.rindex(b")"))
    for end in range(len(data)):
        with limited():
            game, _ = outcome(data[:end])
        if game is None:
            assert end <= first + 1
        else:
            assert whole.moves[: len(game.moves)] == game.moves
            assert (game.moves == whole.moves and end >= last) or game.damage is not None


def moves_of(nodes) -> list[dict]:
    return [{name: values for name, values in node.items() if name in ("B", "W", "AB", "AW", "AE")} for node in nodes]


def test_what_another_reader_takes_for_a_game_is_the_same_here():
    """sgfmill, which repairs nothing, reads bytes; where no letters beyond ASCII are in its way, both agree."""
    sgfmill = pytest.importorskip("sgfmill.sgf")
    agreed = 0
    for name in ("ours", "server", "problem", "several"):
        plain = FILES[name].decode().encode("ascii", "replace")
        for case in cases(plain, f"sgfmill {name}"):
            if not case.data.isascii():
                continue
            with case.told():
                try:
                    theirs = sgfmill.Sgf_game.from_bytes(case.data)
                except ValueError:
                    continue
                remarks: list[str] = []
                try:
                    mine = parse(case.data, remarks=remarks)
                except SGFError as error:  # where sgfmill takes a variation for the game
                    assert "the beginning of the game is missing" in str(error)
                    continue
                nodes = [{key: [raw.decode() for raw in node.get_raw_list(key)] for key in node.properties()}
                         for node in theirs.get_main_sequence()]  # fmt: skip
                assert moves_of(node.properties for node in mine.main_line()) == moves_of(nodes) or remarks
                agreed += not remarks
    assert agreed >= 20


def test_a_strict_reading_gives_the_same_or_an_error():
    """Without a list of remarks nothing is repaired, and what is no fault reads alike."""
    for name, data in FILES.items():
        for case in cases(data, f"strict {name}"):
            with case.told():
                try:
                    strict = [node.properties for node in next(iterate(case.data)).main_line()]
                except SGFError as error:
                    assert str(error).startswith(("line ", "the file has"))
                    continue
                remarks: list[str] = []
                lenient = [node.properties for node in next(iterate(case.data, remarks=remarks)).main_line()]
                assert lenient == strict or remarks
