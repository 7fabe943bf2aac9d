"""Tic-tac-toe and Connect Four: legal moves, ends and counts of positions against literal boards."""

from functools import cache

import numpy as np
import pytest

from envs.go.small_games import connect_four_rules, tictactoe_rules

LINES = [(0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6)]


def legal(rules, state):
    mask = np.zeros(rules.num_actions, bool)
    rules.legal(state, mask)
    return [int(action) for action in np.flatnonzero(mask)]


def test_the_whole_of_tic_tac_toe():
    rules = tictactoe_rules()
    boards, ends, queue = {}, [], [(rules.new_state(), "." * 9)]
    while queue:
        state, board = queue.pop()
        key = rules.key(state)
        if key in boards:
            assert boards[key] == board
            continue
        boards[key] = board
        won = any(board[a] != "." and board[a] == board[b] == board[c] for a, b, c in LINES)
        outcome = rules.outcome(state)
        if won or "." not in board:
            assert outcome == (-1.0 if won else 0.0)
            assert legal(rules, state) == list(range(9))
            ends.append((outcome, rules.to_move(state)))
            continue
        assert np.isnan(outcome)
        assert legal(rules, state) == [i for i in range(9) if board[i] == "."]
        for action in legal(rules, state):
            child = state.copy()
            rules.play(child, action)
            queue.append((child, board[:action] + "XO"[rules.to_move(state)] + board[action + 1 :]))
    assert len(boards) == len(set(boards.values())) == 5478  # known: reachable positions,
    assert [ends.count(end) for end in ((-1.0, 1), (-1.0, 0), (0.0, 1))] == [626, 316, 16]  # ended ones


def test_tic_tac_toe_is_a_draw():
    rules = tictactoe_rules()

    @cache
    def value(state):
        array = np.array(state)
        outcome = rules.outcome(array)
        if not np.isnan(outcome):
            return outcome
        values = []
        for action in legal(rules, array):
            child = array.copy()
            rules.play(child, action)
            values.append(-value(tuple(child)))
        return max(values)

    assert value(tuple(rules.new_state())) == 0.0


def four_in_a_row(board, stone):
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        for y in range(6):
            for x in range(7):
                line = [(y + i * dy, x + i * dx) for i in range(4)]
                if all(0 <= r < 6 and 0 <= c < 7 and board[r, c] == stone for r, c in line):
                    return True
    return False


def test_connect_four_against_a_literal_board():
    rules, rng, ends = connect_four_rules(), np.random.default_rng(1), []
    planes = np.zeros(rules.planes, np.float32)
    keys = {}
    for _ in range(100):
        state, board = rules.new_state(), np.zeros((6, 7), int)
        while True:
            turn = rules.to_move(state)
            rules.features(state, planes.reshape(-1))
            assert (planes == [board == turn + 1, board == 2 - turn]).all()
            assert keys.setdefault(rules.key(state), board.tobytes()) == board.tobytes()
            won = four_in_a_row(board, 2 - turn)
            outcome = rules.outcome(state)
            if won or board.all():
                assert outcome == (-1.0 if won else 0.0) and len(legal(rules, state)) == 7
                ends.append(outcome)
                break
            assert np.isnan(outcome)
            assert legal(rules, state) == [column for column in range(7) if not board[0, column]]
            column = int(rng.choice(legal(rules, state)))
            board[max(row for row in range(6) if not board[row, column]), column] = turn + 1
            rules.play(state, column)
    assert -1.0 in ends


@pytest.mark.parametrize("depth", [5])
def test_connect_four_has_the_known_number_of_positions(depth):
    rules, states = connect_four_rules(), {0: [connect_four_rules().new_state()]}
    counts = []
    for ply in range(depth + 1):
        counts.append(len(states[ply]))
        following = {}
        for state in states[ply]:
            for column in legal(rules, state) if np.isnan(rules.outcome(state)) else []:
                child = state.copy()
                rules.play(child, column)
                following[rules.key(child)] = child
        states[ply + 1] = list(following.values())
    assert counts == [1, 7, 49, 238, 1120, 4263]  # OEIS A212693
