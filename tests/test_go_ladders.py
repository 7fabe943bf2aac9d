"""Ladder reading against a literal recursive one on random positions."""

import numpy as np
import pytest
from test_go_scoring import attack, group, neighbours

from envs.go.board import GROUP, liberties, point_of
from envs.go.game import GoGame
from envs.go.ladders import in_ladder, ladder_capture, ladder_escape
from envs.go.rules import go_rules


def group_liberties(board, near, start):
    stones, _ = group(board, near, start)
    return {point for stone in stones for point in near[stone] if board[point] == 0}, stones


def caught(board, before, near, target, attackers_turn):
    """Whether the group at `target` is caught; `before` is the board that simple ko forbids."""
    colour = board[target]
    free, stones = group_liberties(board, near, target)
    if len(free) > 2 or (len(free) == 2 and not attackers_turn):
        return False

    def moves(points, player):
        for point in points:
            after = attack(board, near, point, player, False)
            if after is not None and after != before:
                yield after

    if attackers_turn:
        if len(free) == 1:
            return any(True for _ in moves(free, 3 - colour))
        return any(caught(after, board, near, target, False) for after in moves(sorted(free), 3 - colour))
    points = set(free)
    for enemy in {point for stone in stones for point in near[stone] if board[point] == 3 - colour}:
        last, _ = group_liberties(board, near, enemy)
        if len(last) == 1:
            points |= last
    return all(caught(after, board, near, target, True) for after in moves(points, colour))


def random_positions(size, count, seed):
    """(state, board, the board before the last move)."""
    rules, rng, before = go_rules(size), np.random.default_rng(seed), None
    mask = np.zeros(rules.num_actions, bool)
    state, moves = rules.new_state(), 0
    for _ in range(count):
        for _ in range(3):
            before = tuple(int(state[point_of(state, action)]) for action in range(size * size))
            rules.legal(state, mask)
            options = np.flatnonzero(mask[:-1])
            if moves > size * size or not len(options):
                state, moves, options = rules.new_state(), 0, [size * size // 2]
                before = None
            rules.play(state, int(rng.choice(options)))
            moves += 1
        yield state, tuple(int(state[point_of(state, action)]) for action in range(size * size)), before


def compare(size, count, seed):
    """Compares all groups with one or two liberties; returns how many are in a ladder and how many are
    not.
    """
    near, answers = neighbours(size), [0, 0]
    free = np.empty(3, np.int64)
    for state, board, before in random_positions(size, count, seed):
        for action in range(size * size):
            point = point_of(state, action)
            if board[action] == 0 or state[point + GROUP] != point:
                continue
            number = liberties(state, point, free)
            if number > 2:
                continue
            attackers_turn = number == 2
            expected = caught(board, before, near, action, attackers_turn)
            assert in_ladder(state, point) == expected, (board, action)
            answers[expected] += 1
            if attackers_turn:
                move = ladder_capture(state, action)
                assert (move >= 0) == expected
                if expected:
                    after = attack(board, near, move, 3 - board[action], False)
                    assert caught(after, board, near, action, False)
            else:
                move = ladder_escape(state, action)
                assert (move >= 0) == (not expected)
                if not expected:
                    assert not caught(attack(board, near, move, board[action], False), board, near, action, True)
    return answers


def test_ladders_equal_the_literal_reading():
    free, lost = compare(6, 150, 1)
    assert min(free, lost) > 100


def test_ko_binds_the_side_to_move_only():
    game = GoGame(5, superko="simple")
    game.set_up([1, 5, 11], [2, 3, 6, 8, 12], 0)  # Black takes the white stone 6 from 7
    game.play(7)
    assert ladder_capture(game.state, 7) == -1  # White may not retake at once
    assert ladder_escape(game.state, 7) == 6  # but Black may fill the ko
    game.play(24)
    game.play(20)
    assert ladder_capture(game.state, 7) == 6


@pytest.mark.slow
def test_ladders_equal_the_literal_reading_at_length():
    for seed in range(10):
        compare(7, 500, 100 + seed)
        compare(5, 500, 200 + seed)


def test_a_point_without_a_stone_is_refused():
    state = go_rules(5).new_state()
    for read in (ladder_capture, ladder_escape):
        with pytest.raises(ValueError, match="no stone at 3"):
            read(state, 3)
        with pytest.raises(ValueError, match="no stone at 25"):
            read(state, 25)
