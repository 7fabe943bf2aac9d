"""Alive, dead or in seki: known positions, killing shapes against their list, one judgement for all answers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from envs.go import settle
from envs.go.board import point_of
from envs.go.game import GoGame, set_up, to_vertex
from envs.go.rules import go_rules
from experiments.go import judging
from experiments.go.judging import Judge


def game_of(text: str, komi: float = 7.0) -> GoGame:
    """X black, O white, the top row first; Black to move."""
    rows = text.split()
    stones, game = "".join(rows), GoGame(len(rows), komi)
    game.set_up(*([i for i, there in enumerate(stones) if there == colour] for colour in "XO"), 0)
    return game


def judged(text: str) -> tuple[GoGame, dict[str, set[str]]]:
    """The game, and the vertices of the stones by status."""
    game = game_of(text)
    status = Judge()(game.state).status
    return game, {name: {to_vertex(a, game.size) for chain in chains for a in chain} for name, chains in status.items()}


SEKI = "..XOO.XXX ..XXO.XXO XX.XOOOOO OXXOOXOXX OOOXXXXX. ..OOOOOX. ..OXXXX.. O.OXXX.X. ..OOOOX.."


def test_a_seki_of_a_real_game_is_not_dead():
    game, found = judged(SEKI)
    assert found["dead"] == set()
    corner = {"G9", "H9", "J9", "G8", "H8"}
    assert found["seki"] == corner | {"D9", "E9", "E8", "J8", "E7", "F7", "G7", "H7", "J7", "D6", "E6", "G6"}
    assert game.score("area", []) == 2


POSITIONS = {
    # Black's five and White's group round them have two liberties in common, and no eye: who plays there is taken.
    "two shared liberties": (
        "XXXX.OX.. OOOX.OX.. OOOOOOX.. XXXXXXX.. ......... ......... OOOOOOOOO ......... .........",
        {"seki": "A9 B9 C9 D9 D8 A8 B8 C8 A7 B7 C7 D7 E7 F7 F8 F9", "dead": ""},
    ),
    # The same, but White has two liberties more outside.
    "liberties outside": (
        "XXXX.O.X. OOOX.O.X. OOOOOOXX. XXXXXXX.. ......... ......... OOOOOOOOO ......... .........",
        {"dead": "A9 B9 C9 D9 D8", "seki": ""},
    ),
    # A square inside becomes a bulky five, which White cannot make two eyes of: White is dead, not in seki.
    "a square that grows": (
        "XX.OX.... XX.OX.... OOOOX.... XXXXX.... ......... ......... OOOOOOOOO ......... .........",
        {"dead": "D9 D8 A7 B7 C7 D7", "alive": "A9 B9 A8 B8", "seki": ""},
    ),
    # An eye for White alone: the one who has none is taken.
    "an eye against none": (
        ".XO.OX... XXO.OX... .XOOOX... XXXXXX... OOOOOO... ......... ......... ......... .........",
        {"dead": "C9 E9 C8 E8 C7 D7 E7", "seki": ""},
    ),
    # Three in a row with White on the vital point: one eye.
    "three in a row": (
        ".O.XO.... XXXXO.... OOOOO.... ......... ......... ......... ......... ......... .........",
        {"dead": "D9 A8 B8 C8 D8"},
    ),
    # Four in a row lives, whoever moves.
    "four in a row": (
        "....XO... XXXXXO... OOOOOO... ......... ......... ......... ......... XXXXXXXXX .........",
        {"alive": "E9 A8 B8 C8 D8 E8", "dead": ""},
    ),
    # A seki at the end of a game, where every move but a pass gives something away; eyes on neither side.
    "only a pass is left": (
        "X.XOOO.X. XXXXXOOOX .X.OXXO.X XXXX.XOOO .X.XX.XOO XXX..XXOO X.XXX.XXO .X.X.XX.X XXX.X.XXX",
        {"seki": "H9 D9 G8 J3", "dead": "D7"},
    ),
    # The same with an eye for both sides: nobody can fill F6.
    "an eye for both": (
        ".XXXOOOO. XXXOOOXOO XXXXOXXOO .XXXO.XOX XXXOOXXXX OXOOOOX.X OXXXXOXXX OOO.XOXOO .OXXXOOOO",
        {"seki": "G8 F7 G6 J6", "dead": "A4 A3 A2 B2 C2 B1"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", POSITIONS)
def test_known_positions(name):
    text, wanted = POSITIONS[name]
    found = judged(text)[1]
    for status, vertices in wanted.items():
        if vertices:
            assert set(vertices.split()) <= found[status], (name, found)
        else:
            assert not found[status], (name, found)


def test_who_can_only_pass_in_a_seki_is_not_dead():
    """KataGo counts 42 in the first, GNU Go 15 in the second."""
    for name, dead, lead in (
        ("only a pass is left", {"D7"}, 42),
        ("an eye for both", {"A4", "A3", "A2", "B2", "C2", "B1"}, 15),
    ):
        game, found = judged(POSITIONS[name][0])
        assert found["dead"] == dead
        stones = Judge()(game.state).stones("dead")
        assert game.score("area", stones) == lead, name


def test_killing_shapes_are_those_of_the_books():
    """Every shape of up to six stones, in the middle of a board, whichever of its stones comes last."""
    known = {
        4: {"square": "## ##", "pyramid": "### .#."}, 5: {"bulky": "##. ###", "crossed": ".#. ### .#."},
        6: {"rabbity": ".#. ### ##."},
    }  # fmt: skip

    def turned(cells: frozenset) -> frozenset:
        """The same shape for all its eight orientations."""
        best = []
        for flip, turns in itertools.product((1, -1), range(4)):
            here = [(r * flip, c) for r, c in cells]
            for _ in range(turns):
                here = [(c, -r) for r, c in here]
            top, left = min(r for r, _ in here), min(c for _, c in here)
            best.append(tuple(sorted((r - top, c - left) for r, c in here)))
        return min(best)

    books = {
        turned(frozenset((r, c) for r, row in enumerate(text.split()) for c, x in enumerate(row) if x == "#"))
        for texts in known.values() for text in texts.values()
    }  # fmt: skip
    shapes, rules = {frozenset([(4, 4)])}, go_rules(9)
    for size in range(1, 7):
        for shape in shapes:
            for last in shape:
                state = rules.new_state()
                rest = [r * 9 + c for r, c in shape - {last}]
                set_up(state, rest, [], 0)
                killing = settle.is_killing_shape(state, point_of(state, last[0] * 9 + last[1]), 1)
                assert killing == (size <= 3 or turned(shape) in books), sorted(shape)
        grown = {}
        for shape in shapes:
            for r, c in shape:
                for cell in ((r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)):
                    if cell not in shape and 0 <= cell[0] < 9 and 0 <= cell[1] < 9:
                        grown.setdefault(turned(shape | {cell}), shape | {cell})
        shapes = set(grown.values())


def test_every_stone_has_one_status_and_points_follow_from_it():
    """Positions late in random games, the same once more with another judge; and with the colours exchanged."""
    rng, rules = np.random.default_rng(1), go_rules(5, 0.5)
    mask = np.zeros(26, bool)
    for _ in range(8):
        state = rules.new_state()
        for _ in range(int(rng.integers(5, 40))):
            rules.legal(state, mask)
            rules.play(state, int(rng.choice(np.flatnonzero(mask))))
        found = Judge()(state)
        chains = sorted(chain for status in found.status.values() for chain in status)
        assert chains == judging.chains(state)
        assert sorted(a for chain in chains for a in chain) == [a for a in range(25) if state[point_of(state, a)]]
        again = Judge()(state)
        assert again.status == found.status and np.array_equal(again.owner, found.owner)
        for action in range(25):
            stone = int(state[point_of(state, action)])
            if stone and found.of(action) != "dead":
                assert found.points[action] == 3 - 2 * stone
            assert found.of(action) in (("alive", "seki", "dead") if stone else ("",))


def test_a_position_is_judged_once(monkeypatch):
    asked, endings = [], settle.endings
    monkeypatch.setattr(settle, "endings", lambda *given: asked.append(1) or endings(*given))
    judge, game = Judge(), game_of(SEKI)
    first = judge(game.state)
    assert judge(game.state) is first and judge(game.with_turn(1)) is first and len(asked) == 1
    game.play(0)
    assert judge(game.state) is not first and len(asked) == 2


def test_open_points_are_doubted():
    """Nothing is settled on an empty board, nor with a gap in the wall; a closed one is."""
    judge, board = Judge(), GoGame(9, 7.0)
    assert not judge(board.state).settled and judge(board.state).doubt(0) >= 81
    walls = ["...XO...."] * 9
    closed, gap = game_of(" ".join(walls)), game_of(" ".join([*walls[:4], "...X.....", *walls[5:]]))
    assert judge(closed.state).doubt(0) == 0 and judge(closed.state).doubt(1) == 0
    assert judge(gap.state).doubt(0) > 10
