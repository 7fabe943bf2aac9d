"""Benson's life against its definition, played out; territory, dead stones and bounds by hand."""

import numpy as np
import pytest

from envs.go.board import point_of
from envs.go.game import GoGame, from_vertex, set_up
from envs.go.playout import dead_stones, is_eye
from envs.go.rules import go_rules
from envs.go.scoring import area_score, bounds, pass_alive, territory_score


def neighbours(size):
    inside = range(size)
    return [
        [r * size + c for r, c in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)) if r in inside and c in inside]
        for y in inside
        for x in inside
    ]


def group(board, near, start):
    stones, queue = {start}, [start]
    while queue:
        for point in near[queue.pop()]:
            if board[point] == board[start] and point not in stones:
                stones.add(point)
                queue.append(point)
    return stones, any(board[point] == 0 for stone in stones for point in near[stone])


def attack(board, near, point, colour, suicide):
    """The board after a move of `colour`, or None if it is suicide and that is forbidden."""
    after = list(board)
    after[point] = colour
    for start in [*near[point], point]:
        mine = start == point
        if after[start] and (mine or after[start] != colour):
            stones, breathes = group(after, near, start)
            if not breathes:
                if mine and not suicide:
                    return None
                for stone in stones:
                    after[stone] = 0
    return tuple(after)


def unconditionally_alive(board, size, colour, suicide, limit):
    """The stones of `colour` that no sequence of the opponent's moves alone takes; None beyond `limit`
    boards.
    """
    near = neighbours(size)
    alive = {i for i, there in enumerate(board) if there == colour}
    known, queue = {board}, [board]
    while queue:
        now = queue.pop()
        for point in range(size * size):
            if now[point] == 0:
                after = attack(now, near, point, 3 - colour, suicide)
                if after is not None and after not in known:
                    alive -= {i for i in alive if after[i] != colour}
                    known.add(after)
                    queue.append(after)
                    if len(known) > limit:
                        return None
    return alive


def settled_positions(rng, size, suicide):
    """Positions late in random games that fill no eyes of one point: groups with two eyes are common."""
    rules = go_rules(size, suicide=suicide, max_moves=200)
    mask = np.zeros(rules.num_actions, bool)
    while True:
        state = rules.new_state()
        for move in range(6 * size * size):
            rules.legal(state, mask)
            colour = rules.to_move(state) + 1
            options = [a for a in np.flatnonzero(mask[:-1]) if not is_eye(state, point_of(state, a), colour)]
            rules.play(state, int(rng.choice(options)) if options else size * size)
            if move > size * size and rng.random() < 0.1:
                yield state.copy()


def compare_with_definition(size, suicide, count, limit, seed):
    """Number of positions with some living chain, of `count` compared."""
    lively = compared = 0
    owner = np.zeros(size * size, np.int8)
    for state in settled_positions(np.random.default_rng(seed), size, suicide):
        board = tuple(int(state[point_of(state, action)]) for action in range(size * size))
        pass_alive(state, owner)
        for colour, sign in ((1, 1), (2, -1)):
            exact = unconditionally_alive(board, size, colour, suicide, limit)
            if exact is None:
                continue
            claimed = {i for i in range(size * size) if board[i] == colour and owner[i] == sign}
            assert claimed == exact if not suicide else claimed <= exact
            compared += 1
            lively += bool(claimed)
        if compared >= count:
            return lively


def test_pass_alive_equals_its_definition():
    assert compare_with_definition(4, False, 60, 3000, 3) > 5


def test_pass_alive_is_safe_under_suicide():
    assert compare_with_definition(4, True, 60, 1500, 4) > 5


@pytest.mark.slow
@pytest.mark.parametrize("suicide", [False, True])
def test_pass_alive_at_length(suicide):
    assert compare_with_definition(4, suicide, 120, 4000, 5) > 12
    assert compare_with_definition(5, suicide, 30, 4000, 6) > 1


def state_of(rows, turn=0, komi=0.0):
    symbols = sum((row.split() for row in rows), [])
    state = go_rules(len(rows), komi).new_state()
    set_up(state, *([i for i, s in enumerate(symbols) if s == colour] for colour in "XO"), turn)
    return state


WALLS = [". X . O .", "X X . O O", "X X . O .", "O X . O X", ". X . O ."]


def test_area_and_territory_with_dead_stones():
    state = state_of(WALLS, komi=0.5)
    vertex = {name: from_vertex(name, 5) for name in ("A2", "E2", "B1", "A5")}
    # Stones 7 and 1 of Black, 6 and 1 of White. Empty: A5 is Black's, E5 White's; C1-C5 touch both; A1
    # touches A2 (White) and B1; E1 and E3 touch E2 (Black) and White.
    assert area_score(state) == (8 + 1) - (7 + 1) - 0.5
    # Without A2 and E2: Black owns columns A and B, White D and E.
    both = [vertex["A2"], vertex["E2"]]
    assert area_score(state, both) == 10 - 10 - 0.5
    # Territory: A5, A2, A1 against E5, E3, E2, E1; one prisoner each.
    assert territory_score(state, both) == 3 - 4 + 1 - 1 - 0.5
    with pytest.raises(ValueError, match="no stone"):
        area_score(state, [vertex["A5"]])
    with pytest.raises(ValueError, match="no living stone"):
        territory_score(state, both, [vertex["A2"]])


def test_prisoners_count_as_territory_only():
    game = GoGame(5, 0.0)
    for vertex in ("A1", "E5", "B2", "A2", "C3", "B1", "A3"):  # B1 is filled by White: A1 is taken
        game.play(from_vertex(vertex, 5))
    assert game.captured() == (0, 1)
    assert game.score("territory") == -1 - 1  # A1 is White's, and White has one prisoner
    assert game.score("area") == 3 - 4


def test_random_continuations_find_dead_stones():
    state = state_of(WALLS)
    stones = {from_vertex("A2", 5), from_vertex("E2", 5)}
    assert set(dead_stones(state, np.array([1], np.uint64))) == stones


def test_bounds_follow_from_pass_alive_points():
    rules = go_rules(5, 2.5)
    assert bounds(rules.new_state()) == (-27.5, 22.5)
    state = state_of([". X . X X", "X X X X X", ". . . . .", ". . . . .", ". . . . ."], komi=2.5)
    assert bounds(state) == (2 * 10 - 25 - 2.5, 22.5)
