"""The rules of Go against a slow literal referee: legal moves, positions, ends, area scores."""

import os
import subprocess
import sys

import lengths
import numpy as np
import pytest

from envs.go.board import KO, MOVES, TAKEN, point_of
from envs.go.rules import go_rules
from envs.go.scoring import score


class Referee:
    """Go from the text of the rules: a board is a tuple of 0, 1, 2; nothing is incremental."""

    def __init__(self, size, suicide, superko):
        self.size, self.suicide, self.superko = size, suicide, superko
        self.board, self.turn, self.passes, self.taken = (0,) * size**2, 1, 0, [0, 0]
        self.history = [(self.board, self.turn)]
        self.boards = {self.board}
        inside = range(size)
        self.around = []
        for y in inside:
            for x in inside:
                near = ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
                self.around.append([r * size + c for r, c in near if r in inside and c in inside])

    def region(self, board, start):
        """The connected points of one colour and the colours that they touch."""
        group, edge, queue = {start}, set(), [start]
        while queue:
            for point in self.around[queue.pop()]:
                if board[point] != board[start]:
                    edge.add(board[point])
                elif point not in group:
                    group.add(point)
                    queue.append(point)
        return group, edge

    def after(self, point):
        """The board after a stone of the side to move, and the stones taken from (that side, the other)."""
        board, other, taken = list(self.board), 3 - self.turn, [0, 0]
        board[point] = self.turn
        for colour, starts in ((other, self.around[point]), (self.turn, [point])):
            for start in starts:
                if board[start] == colour:
                    group, edge = self.region(board, start)
                    if 0 not in edge:
                        taken[colour == other] += len(group)
                        for stone in group:
                            board[stone] = 0
        return tuple(board), taken

    def legal(self, point):
        if self.board[point]:
            return False
        board, taken = self.after(point)
        if taken[0] and not self.suicide:
            return False
        if self.superko == "positional":
            return board not in self.boards
        if self.superko == "situational":
            return (board, 3 - self.turn) not in self.history
        # Simple ko: not back to before the opponent's move (unless that was a pass), and some change at all.
        recaptured = len(self.history) > 1 and not self.passes and board == self.history[-2][0]
        return board != self.board and not recaptured

    def play(self, action):
        if action == self.size**2:
            self.passes += 1
        else:
            self.board, taken = self.after(action)
            self.taken[self.turn - 1] += taken[1]
            self.taken[2 - self.turn] += taken[0]
            self.passes = 0
        self.turn = 3 - self.turn
        self.history.append((self.board, self.turn))
        self.boards.add(self.board)

    def area(self):
        """Black's points less White's."""
        total = 0
        for point, colour in enumerate(self.board):
            owners = {colour} if colour else self.region(self.board, point)[1]
            total += (owners == {1}) - (owners == {2})
        return total


def board_of(state, size):
    return tuple(int(state[point_of(state, action)]) for action in range(size * size))


def play_and_compare(size, suicide, superko, rng, moves, pass_rate=0.05):
    """One random game, with a taste for captures; every position is compared. Returns the last state."""
    rules = go_rules(size, 0.5, suicide=suicide, superko=superko, max_moves=moves)
    state, referee = rules.new_state(), Referee(size, suicide, superko)
    mask = np.zeros(rules.num_actions, bool)
    while np.isnan(rules.outcome(state)):
        rules.legal(state, mask)
        expected = [referee.legal(point) for point in range(size**2)] + [True]
        assert mask.tolist() == expected, (referee.history, referee.turn)
        options = [action for action in range(size**2) if mask[action]]
        capturing = [action for action in options if sum(referee.after(action)[1])]
        if not options or rng.random() < pass_rate:
            action = size**2
        elif capturing and rng.random() < 0.5:
            action = int(rng.choice(capturing))
        else:
            action = int(rng.choice(options))
        rules.play(state, action)
        referee.play(action)
        assert board_of(state, size) == referee.board
        assert rules.to_move(state) == referee.turn - 1
        assert state[TAKEN : TAKEN + 2].tolist() == referee.taken
    assert referee.passes == 2 or state[MOVES] == moves
    assert score(state) == referee.area() - 0.5
    assert rules.outcome(state) == np.sign(referee.area() - 0.5) * (1 if referee.turn == 1 else -1)
    return state


@pytest.mark.parametrize("suicide", [False, True])
@pytest.mark.parametrize("superko", ["simple", "positional", "situational"])
def test_small_boards_equal_the_referee(suicide, superko):
    rng = np.random.default_rng(7)
    for size in (2, 2, 3, 3, 4, 4, 5):
        play_and_compare(size, suicide, superko, rng, 60)


@pytest.mark.parametrize("size", [7, 9, 13, 19])
def test_larger_boards_equal_the_referee(size):
    play_and_compare(size, True, "positional", np.random.default_rng(size), 60, pass_rate=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("superko", ["simple", "positional", "situational"])
def test_small_boards_with_suicide_equal_the_referee_at_length(superko):
    rng, positions = np.random.default_rng(11), 0
    while positions < 100_000:
        state = play_and_compare(int(rng.integers(2, 5)), True, superko, rng, 150, pass_rate=0.02)
        positions += int(state[MOVES])


@pytest.mark.slow
def test_scores_of_finished_games_equal_the_referee():
    rng, finished = np.random.default_rng(13), 0
    while finished < lengths.repeats(2_000, 10_000):
        size = int(rng.choice([3, 4, 5, 6, 7]))
        state = play_and_compare(size, bool(rng.integers(2)), "positional", rng, 400, pass_rate=0.1)
        finished += state[MOVES] < 400


def test_two_passes_and_the_move_limit_end_the_game_and_nothing_else():
    rules = go_rules(3, 0.0, max_moves=5)
    state, mask = rules.new_state(), np.zeros(10, bool)
    for action, over in ((9, False), (4, False), (9, False), (9, True)):
        rules.play(state, action)
        assert np.isnan(rules.outcome(state)) != over
    rules.legal(state, mask)
    assert mask[9]  # also at the end a row has a legal action
    state = rules.new_state()
    for action in (0, 8, 1, 7):
        rules.play(state, action)
        assert np.isnan(rules.outcome(state))
    rules.play(state, 3)
    assert rules.outcome(state) == -1.0  # Black has three stones of five and White is to move


def test_komi_changes_the_outcome_and_draws_exist():
    results = []
    for komi in (8.0, 9.0, 10.0):
        rules = go_rules(3, komi)
        state = rules.new_state()
        for action in (4, 9, 9):
            rules.play(state, action)
        results.append(rules.outcome(state))
    assert results == [-1.0, 0.0, 1.0]  # White is to move; Black owns all nine points


def test_states_with_equal_keys_are_alike():
    rng, known, met = np.random.default_rng(5), {}, 0
    rules = go_rules(3, max_moves=30)
    mask = np.zeros(10, bool)
    for _ in range(400):
        state = rules.new_state()
        while np.isnan(rules.outcome(state)):
            rules.legal(state, mask)
            now = (board_of(state, 3), int(state[KO]), int(state[MOVES]), rules.to_move(state), mask.tolist())
            met += known.setdefault(rules.key(state), now) is not now
            assert known[rules.key(state)] == now
            rules.play(state, int(rng.choice(np.flatnonzero(mask))))
    assert met > 500  # transpositions were found


def test_the_key_knows_the_turn_the_passes_and_the_ko():
    rules = go_rules(4)
    first = rules.new_state()
    passed = first.copy()
    rules.play(passed, 16)
    assert rules.key(first) != rules.key(passed)
    orders = []
    for actions in ((0, 5, 2), (2, 5, 0)):
        state = rules.new_state()
        for action in actions:
            rules.play(state, action)
        orders.append(rules.key(state))
    assert orders[0] == orders[1]


def test_one_compilation_serves_every_board_and_rule_set():
    for function in go_rules(5)[4:11]:
        assert len(function.signatures) == 1
    assert go_rules(5).play is go_rules(19, 0.5, suicide=True, superko="simple").play


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"size": 1}, "size"), ({"size": 20}, "size"), ({"komi": float("nan")}, "komi"), ({"komi": 1e9}, "komi"),
        ({"superko": "natural"}, "superko"), ({"max_moves": 0}, "max_moves"),
    ],
)  # fmt: skip
def test_bad_options_are_refused_by_name(options, word):
    with pytest.raises(ValueError, match=word):
        go_rules(**options)


CACHE_PROBE = """
from envs.go.rules import go_rules
rules = go_rules(9)
print(sum(sum(f.stats.cache_misses.values()) for f in rules[4:11]), sum(sum(f.stats.cache_hits.values()) for f in rules[4:11]))
"""  # noqa: E501


@pytest.mark.slow
def test_a_second_process_compiles_nothing(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    answers = [
        subprocess.run([sys.executable, "-c", CACHE_PROBE], env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert [answer.stdout.split() for answer in answers] == [["7", "0"], ["0", "7"]]
