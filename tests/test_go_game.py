"""The game as protocols handle it: vertices, handicap, setup, undo, komi, moves out of turn; playouts,
symmetries.
"""

import numpy as np
import pytest

from envs.go.board import LIST, SIZE, TURN, point_of
from envs.go.features import PLANES
from envs.go.game import GoGame, IllegalMove, fixed_handicap, free_handicap, from_vertex, set_up, to_vertex
from envs.go.playout import is_eye, ownership, playout
from envs.go.rules import go_rules
from envs.go.symmetry import inverse, symmetries


def test_vertices():
    assert [to_vertex(action, 19) for action in (0, 8, 18, 342, 361)] == ["A19", "J19", "T19", "A1", "pass"]
    for size in (2, 9, 19):
        for action in range(size * size + 1):
            assert from_vertex(to_vertex(action, size), size) == action
    assert from_vertex("d4", 9) == from_vertex("D4", 9)
    for wrong in ("", "I5", "K1", "A0", "A10", "A", "5", "A1x", "A-1", "A１", "AA1"):
        with pytest.raises(ValueError, match="no vertex of a 9x9 board"):
            from_vertex(wrong, 9)


def test_fixed_handicap_follows_the_table_of_gtp():
    def table(stones, size):
        return " ".join(to_vertex(action, size) for action in fixed_handicap(stones, size))

    assert table(2, 19) == "D4 Q16"
    assert table(5, 19) == "D4 Q16 D16 Q4 K10"
    assert table(6, 19) == "D4 Q16 D16 Q4 D10 Q10"
    assert table(7, 19) == "D4 Q16 D16 Q4 D10 Q10 K10"
    assert table(8, 19) == "D4 Q16 D16 Q4 D10 Q10 K4 K16"
    assert table(9, 9) == "C3 G7 C7 G3 C5 G5 E3 E7 E5"
    assert table(4, 13) == "D4 K10 D10 K4"
    assert table(4, 7) == "C3 E5 C5 E3"
    for stones, size in ((5, 7), (5, 8), (5, 10), (2, 6), (1, 19), (10, 19)):
        with pytest.raises(ValueError, match="fixed table allows"):
            fixed_handicap(stones, size)


def test_free_handicap_places_different_points_on_every_board():
    for size in (2, 3, 5, 6, 9, 10, 19):
        for stones in {2, 3, min(12, size * size - 1), size * size - 1}:
            if 2 <= stones < size * size:
                points = free_handicap(stones, size)
                assert len(set(points)) == stones and all(0 <= point < size * size for point in points)
    assert free_handicap(4, 9) == fixed_handicap(4, 9)
    with pytest.raises(ValueError, match="2 to 24"):
        free_handicap(25, 5)


def test_undo_returns_to_every_earlier_state():
    rng, game, mask = np.random.default_rng(2), GoGame(5, 0.5), np.zeros(26, bool)
    game.place_handicap([6, 18])
    states = [game.state.copy()]
    for _ in range(60):
        game.rules.legal(game.state, mask)
        game.play(int(rng.choice(np.flatnonzero(mask))))
        states.append(game.state.copy())
    for back in (1, 2, 7, 50):
        game.undo(back)
        states = states[: len(states) - back]
        assert (game.state == states[-1]).all()
    assert not game.moves and game.handicap == 2
    with pytest.raises(ValueError, match="cannot undo 1 of 0 moves"):
        game.undo()


def test_illegal_moves_change_nothing():
    game = GoGame(5)
    game.play(12)
    before = game.state.copy()
    for action, colour in ((12, None), (12, 0), (-1, None), (26, 1)):
        with pytest.raises(IllegalMove):
            game.play(action, colour)
        assert (game.state == before).all() and len(game.moves) == 1


def test_moves_out_of_turn_and_after_the_end():
    game = GoGame(5)
    game.play(0, 0)
    game.play(1, 0)
    assert game.at(1) == 1 and game.turn == 1
    game.play(25)
    assert not game.over
    game.play(25)
    assert game.over
    game.play(12, 1)
    assert game.at(12) == 2


def test_a_game_reaches_its_limit():
    game = GoGame(5, max_moves=2)
    game.play(0)
    game.play(1)
    assert game.over
    with pytest.raises(IllegalMove, match="limit of 2 moves"):
        game.play(2)


def test_komi_and_compensation_change_the_score():
    game = GoGame(5, 7.5)
    game.place_handicap([6, 8, 12])
    assert game.score() == 25 - 7.5
    game.set_komi(0.5)
    assert game.score() == 25 - 0.5
    assert game.score(compensation="full") == 25 - 3.5
    assert game.score(compensation="less_one") == 25 - 2.5
    assert game.score("territory") == 22 - 0.5
    game.play(25)
    game.undo()
    assert game.score() == 25 - 0.5  # the new komi survives
    with pytest.raises(ValueError, match="compensation"):
        game.score(compensation="half")
    with pytest.raises(ValueError, match="method"):
        game.score("stones")


def test_impossible_setups_are_refused_and_the_game_stays():
    game = GoGame(3)
    game.play(4)
    for black, white in (([1, 3], [0]), ([0], [0]), ([9], []), (range(9), [])):
        with pytest.raises(ValueError, match="setup"):
            game.set_up(black, white, 0)
    assert game.moves == [(0, 4)] and game.at(4) == 1
    game.set_up([1, 3], [2], 1)
    assert (game.turn, game.moves) == (1, []) and game.board().tolist() == [[0, 1, 2], [1, 0, 0], [0, 0, 0]]


def random_state(size, moves, seed):
    rng, rules = np.random.default_rng(seed), go_rules(size)
    state, mask = rules.new_state(), np.zeros(rules.num_actions, bool)
    for _ in range(moves):
        rules.legal(state, mask)
        rules.play(state, int(rng.choice(np.flatnonzero(mask[:-1]))))
    return state


def test_playouts_vary_with_the_seed_and_repeat_with_it():
    state = random_state(9, 30, 1)
    results = []
    for seed in (1, 2, 1):
        rng, games = np.array([seed], np.uint64), []
        for _ in range(64):
            work = state.copy()
            games.append((playout(work, rng), work[: work[LIST]].tolist()))
        results.append(games)
    assert results[0] == results[2] != results[1]
    assert {value for value, _ in results[0]} == {-1.0, 1.0}


def test_a_playout_ends_without_moves_but_eyes_and_speaks_for_the_side_to_move():
    rng = np.array([5], np.uint64)
    for seed in range(20):
        state = random_state(7, 20, seed)
        work = state.copy()
        playout(work, rng)
        stones = [work[point_of(work, action)] for action in range(49)]
        for action in np.flatnonzero(np.array(stones) == 0):
            point = point_of(work, action)
            # Left empty are eyes and what a suicide or a ko forbids: never a point where both sides could
            # play.
            sides = [int(is_eye(work, point, colour)) for colour in (1, 2)]
            assert sum(sides) <= 1
    for turn, value in ((0, 1.0), (1, -1.0)):
        state = go_rules(5, -100.0).new_state()  # Black has won before the game begins
        state[TURN] = turn
        assert playout(state, rng) == value


def test_ownership_of_settled_points():
    state = go_rules(5).new_state()
    set_up(state, [1, 5, 6, 7, 2, 3, 8, 9], [15, 16, 17, 18, 19, 21], 0)
    owner = np.empty(25)
    ownership(state, 200, np.array([1], np.uint64), owner)
    assert (owner[:10] > 0.9).all() and (np.abs(owner) <= 1).all()


def test_symmetries_form_the_group_of_the_square():
    table, back = symmetries(4), inverse(4)
    assert (table[:, -1] == 16).all() and (table[0] == np.arange(17)).all()
    rows = {tuple(row) for row in table}
    assert len(rows) == 8
    assert {tuple(a[b]) for a in table for b in table} == rows
    for row, inverted in zip(table, back, strict=True):
        assert (row[inverted] == np.arange(17)).all()
    board = np.arange(16).reshape(4, 4)
    assert (board.ravel()[table[1, :-1]].reshape(4, 4) == np.rot90(board)).all()
    assert (board.ravel()[table[4, :-1]].reshape(4, 4) == board[:, ::-1]).all()


def test_planes_legal_moves_and_ownership_turn_with_the_board():
    """Playing the turned moves gives turned planes: rules and features prefer no direction."""
    rng, rules = np.random.default_rng(8), go_rules(6)
    table, back = symmetries(6), inverse(6)
    mask = np.zeros(37, bool)
    states = [rules.new_state() for _ in range(8)]
    planes = np.zeros((8, PLANES, 36), np.float32)
    for _ in range(60):
        for state, picture in zip(states, planes, strict=True):
            rules.features(state, picture.reshape(-1))
        for g in range(8):
            assert (planes[g] == planes[0][:, table[g, :-1]]).all()
        rules.legal(states[0], mask)
        action = int(rng.choice(np.flatnonzero(mask)))
        for g in range(8):
            rules.play(states[g], int(back[g, action]))
    assert states[0][SIZE] == 6 and planes[0][:2].sum() > 5
