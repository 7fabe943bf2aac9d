"""Search held against a solved game: Connect Four positions with few empty cells, solved here by alpha-beta."""

import json
from pathlib import Path

import numpy as np
import pytest
from numba import njit

from agents.search import evaluators
from agents.search.gumbel import Gumbel
from agents.search.puct import Puct
from agents.search.search import Search
from envs.go.small_games import connect_four_rules


@njit
def won(board, row, column):
    """Whether the stone at this cell of a board [6, 7] (0 empty, 1, 2) stands in a line of four."""
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        length = 1
        for way in (1, -1):
            r, c = row + way * down, column + way * right
            while 0 <= r < 6 and 0 <= c < 7 and board[r, c] == board[row, column]:
                length, r, c = length + 1, r + way * down, c + way * right
        if length >= 4:
            return True
    return False


@njit
def alpha_beta(board, heights, side, alpha, beta, depth):
    """The value of the position for `side`, who is to move: 1 win, 0 draw, -1 loss. No move has won yet. What lies
    beyond `depth` moves counts as a draw."""
    if depth == 0:
        return 0
    best = -2
    for i in range(7):
        column = 3 + (i + 1) // 2 * (1 if i % 2 else -1)  # from the middle outwards
        if heights[column] == 6:
            continue
        board[heights[column], column] = side
        heights[column] += 1
        if won(board, heights[column] - 1, column):
            value = 1
        else:
            value = -alpha_beta(board, heights, 3 - side, -beta, -alpha, depth - 1)
        heights[column] -= 1
        board[heights[column], column] = 0
        best = max(best, value)
        alpha = max(alpha, value)
        if alpha >= beta:
            break
    return 0 if best == -2 else best


@njit
def action_values(board, heights, side, depth):
    """The exact value of every column for `side`; -9 for a full one."""
    values = np.full(7, -9)
    for column in range(7):
        if heights[column] < 6:
            board[heights[column], column] = side
            heights[column] += 1
            if won(board, heights[column] - 1, column):
                values[column] = 1
            else:
                values[column] = -alpha_beta(board, heights, 3 - side, -1, 1, depth - 1)
            heights[column] -= 1
            board[heights[column], column] = 0
    return values


def solved_positions(count, fewest, most, seed, unseen=0):
    """Positions of random play with so many empty cells, in which some legal move is worse than another, and which
    nobody sees who looks only `unseen` moves ahead."""
    rules, rng, found = connect_four_rules(), np.random.default_rng(seed), []
    while len(found) < count:
        board, heights, moves, state = np.zeros((6, 7), np.int64), np.zeros(7, np.int64), [], rules.new_state()
        target = 42 - int(rng.integers(fewest, most + 1))
        for _ in range(target):
            column = int(rng.choice(np.flatnonzero(heights < 6)))
            side = 1 + len(moves) % 2
            board[heights[column], column] = side
            heights[column] += 1
            moves.append(column)
            rules.play(state, column)
            if won(board, heights[column] - 1, column):
                break
        else:
            values = action_values(board, heights, 1 + target % 2, 42)
            shallow = action_values(board, heights, 1 + target % 2, unseen)
            best = values == values.max()
            if (~best & (values > -9)).any() and (not unseen or shallow[best].max() <= shallow[~best].max()):
                found.append((state, values))
    return found


@pytest.fixture(scope="module")
def positions():
    return solved_positions(100, 4, 14, seed=0)


FIXTURE = Path(__file__).parent / "fixtures/search/connect_four.json"
TACTICS = json.loads(FIXTURE.read_text())["tactics"]
CONFIGS = {"puct": Puct(), "graph": Puct(transpositions=True), "gumbel": Gumbel(noise_scale=0, prove=True)}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_best_move_in_100_solved_positions(positions, name):
    search = Search(connect_four_rules(), evaluators.rollouts(), CONFIGS[name], seed=1)
    for state, values in positions:
        search.reset(state=state)
        found = search.run(visits=20_000)
        assert values[found.action[0]] == values.max()
        if found.solved[0]:
            assert found.value[0] == values.max()


def test_values_without_proofs_have_the_right_sign(positions):
    """Plain averaging, too, finds who wins: no proof is needed for the sign."""
    search, right = Search(connect_four_rules(), evaluators.rollouts(), Puct(prove=False), seed=1), 0
    for state, values in positions:
        search.reset(state=state)
        value = search.run(visits=5000).value[0]
        right += value * values.max() > 0 or (values.max() == 0 and abs(value) < 0.6)
    assert right >= 95


def test_more_visits_never_lower_the_score():
    """Seeded: best moves found at 100, 400 and 1,600 visits in a fixed set that needs more than five moves' look."""
    for config in (Puct(prove=False), Puct()):
        scores = []
        for visits in (100, 400, 1600):
            score = 0
            for seed in range(3):
                search = Search(connect_four_rules(), evaluators.rollouts(), config, seed=seed)
                for state, values in TACTICS:
                    search.reset(state=np.array(state))
                    score += values[search.run(visits=visits).action[0]] == max(values)
            scores.append(score)
        assert scores == sorted(scores) and scores[-1] > scores[0] + 15, scores


def test_the_centre_from_the_empty_board():
    for seed in range(3):
        search = Search(connect_four_rules(), evaluators.rollouts(), seed=seed, capacity=100_000)
        assert search.run(visits=30_000).action[0] == 3


if __name__ == "__main__":  # writes the tactics
    tactics = [(state.tolist(), values.tolist()) for state, values in solved_positions(40, 12, 16, seed=1, unseen=5)]
    command = "PYTHONPATH=. python tests/test_search_connect_four.py > tests/fixtures/search/connect_four.json"
    print(json.dumps({"command": command, "meaning": "[state, value of each column, -9 full]", "tactics": tactics}))
