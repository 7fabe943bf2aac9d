"""The rules of Go against a slow literal referee: legal moves, positions, ends, area scores."""

import numpy as np
import pytest

from envs.go.board import MOVES, TAKEN, point_of
from envs.go.rules import go_rules
from envs.go.scoring import score


class Referee:
    """Go from the text of the rules: a board is a tuple of 0, 1, 2; nothing is incremental."""

    def __init__(self, size, suicide, superko):
        self.size, self.suicide, self.superko = size, suicide, superko
        self.board, self.turn, self.passes, self.taken = (0,) * size**2, 1, 0, [0, 0]
        self.history = [(self.board, self.turn)]
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
            return board not in [earlier for earlier, _ in self.history]
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
