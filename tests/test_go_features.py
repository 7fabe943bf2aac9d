"""The input planes against a literal reading of their description."""

import numpy as np
from test_go_scoring import neighbours

from envs.go.board import TURN, point_of
from envs.go.features import PLANES
from envs.go.game import GoGame, from_vertex
from envs.go.ladders import ladder_capture, ladder_escape
from envs.go.rules import go_rules
from envs.go.scoring import pass_alive


def literal_planes(game):
    """Planes [C, N] from boards, moves and the public functions."""
    size, near, own = game.size, neighbours(game.size), game.turn + 1
    board = game.board().ravel()
    planes = np.zeros((PLANES, size * size), np.float32)
    planes[0], planes[1], planes[12] = board == own, board == 3 - own, 1
    for point in range(size * size):
        if not board[point]:
            planes[5, point] = not game.is_legal(point)
            continue
        group, queue = {point}, [point]
        while queue:
            for other in near[queue.pop()]:
                if board[other] == board[point] and other not in group:
                    group.add(other)
                    queue.append(other)
        liberties = len({other for stone in group for other in near[stone] if not board[other]})
        if liberties <= 3:
            planes[1 + liberties, point] = 1
        if liberties == 1:
            planes[14, point] = ladder_escape(game.state, point) < 0
        elif liberties == 2:
            planes[14, point] = ladder_capture(game.state, point) >= 0
    for age, (_, move) in enumerate(reversed(game.moves[-5:])):
        if move < size * size:
            planes[6 + age, move] = 1
    if game.moves and game.moves[-1][1] == size * size:
        planes[11] = 1
    planes[13] = (game.komi if own == 2 else -game.komi) / 20
    owner = np.zeros(size * size, np.int8)
    pass_alive(game.state, owner)
    planes[15], planes[16] = owner == (1 if own == 1 else -1), owner == (-1 if own == 1 else 1)
    return planes


def test_planes_of_random_games():
    rng, used = np.random.default_rng(3), np.zeros(PLANES)
    for size, komi in ((5, 24.5), (5, 0.0), (7, 9.0)):
        for _ in range(4):
            game, mask = GoGame(size, komi), np.zeros(size * size + 1, bool)
            planes = np.full((PLANES, size * size), np.nan, np.float32)
            while not game.over and len(game.moves) < 3 * size * size - 1:
                game.rules.features(game.state, planes.reshape(-1))
                np.testing.assert_array_equal(planes, literal_planes(game))
                used += np.abs(planes).sum(1)
                game.rules.legal(game.state, mask)
                options = np.flatnonzero(mask[:-1])
                passes = rng.random() < 0.05 or not len(options)
                game.play(size * size if passes else int(rng.choice(options)))
    assert (used[:15] > 0).all()


def test_pass_alive_planes_are_in_the_view_of_the_side_to_move():
    game = GoGame(5, 0.5)
    black = [from_vertex(vertex, 5) for vertex in ("B5", "D5", "A4", "B4", "C4", "D4")]
    game.set_up(black, [], 0)
    planes = np.zeros((PLANES, 25), np.float32)
    game.rules.features(game.state, planes.reshape(-1))
    assert planes[15].sum() == 8 and planes[16].sum() == 0 and planes[13, 0] == np.float32(-0.025)
    game.set_turn(1)
    game.rules.features(game.state, planes.reshape(-1))
    assert planes[16].sum() == 8 and planes[15].sum() == 0 and planes[13, 0] == np.float32(0.025)


def test_planes_fit_their_board_from_2_to_19():
    for size in (2, 3, 19):
        rules = go_rules(size)
        assert rules.planes == (PLANES, size, size)
        state, planes = rules.new_state(), np.full(PLANES * size * size + 1, 7.0, np.float32)
        rules.play(state, 0)
        rules.features(state, planes[:-1])
        assert planes[-1] == 7.0 and planes[size * size] == 1.0  # the opponent's stone; nothing behind the end
        assert state[TURN] == 1 and state[point_of(state, 0)] == 1
