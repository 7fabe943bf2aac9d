"""The classical Go player: heavy playouts, heuristic knowledge, tactics; and network search on a Go board."""

from pathlib import Path

import numpy as np
import pytest

from agents.search import evaluators
from agents.search.gumbel import Gumbel
from agents.search.puct import Puct
from agents.search.rave import Rave
from agents.search.search import Search
from envs.go import heavy
from envs.go.board import ACTION, BLACK, BORDER, EMPTY, KO, TURN, WHITE, is_suicide, point_of
from envs.go.game import GoGame, from_vertex, to_vertex
from envs.go.heuristic import EVEN, LADDER, PASS_VALUE, SELF_ATARI, TAKE_MANY, TAKE_ONE, heuristic
from envs.go.playout import is_eye, playout
from envs.go.rules import go_rules

CLASSICAL = evaluators.classical(heavy.heavy_playout, heuristic)


def position(text: str, turn: str = "X", komi: float = 0.5) -> GoGame:
    """A game from rows of `.`, X (Black) and O (White)."""
    cells = text.split()
    size = int(len(cells) ** 0.5)
    game = GoGame(size, komi)
    stones = [[i for i, c in enumerate(cells) if c == colour] for colour in "XO"]
    game.set_up(*stones, "XO".index(turn))
    return game


def tactics() -> list[tuple[str, GoGame, list[int]]]:
    """The problems of the fixture: name, position, best actions."""
    found = []
    for block in (Path(__file__).parent / "fixtures/search/go_tactics.txt").read_text().split("\n\n")[1:]:
        head, board = block.strip().split("\n", 1)
        name, size, komi, side, best = (part.strip() for part in head.split(";"))
        game = position(board, side, float(komi))
        assert game.size == int(size)
        found.append((name, game, [from_vertex(vertex, game.size) for vertex in best.split()]))
    return found


def test_shapes_by_hand():
    """The table against the drawings read literally, for random neighbourhoods in every orientation."""
    rng = np.random.default_rng(0)
    cells = [(0, 1), (1, 2), (2, 1), (1, 0), (0, 2), (2, 2), (2, 0), (0, 0)]

    def fits(shape, around, own):
        stands = {"X": own, "O": 3 - own, ".": EMPTY, "#": BORDER}
        for cell in cells:
            drawn, there = shape[cell], around[cell]
            if drawn in stands and there != stands[drawn]:
                return False
            if (drawn == "x" and there == own) or (drawn == "o" and there == 3 - own):
                return False
        return True

    def wanted(around, mover):
        for text in heavy.SHAPES + heavy.SHAPES_OF_X:
            shape = np.array([list(row) for row in text.split()])
            owners = (mover,) if text in heavy.SHAPES_OF_X else (BLACK, WHITE)
            for flipped in (shape, shape[::-1]):
                for turns in range(4):
                    if any(fits(np.rot90(flipped, turns), around, own) for own in owners):
                        return True
        return False

    matches = 0
    for _ in range(500):
        around = rng.integers(0, 3, (3, 3))
        if rng.random() < 0.4:
            around[2] = BORDER
            around = np.rot90(around, rng.integers(4))
        code = sum(int(around[cell]) << 2 * i for i, cell in enumerate(cells))
        for mover in (BLACK, WHITE):
            expected = wanted(around, mover)
            matches += expected
            assert bool(heavy.PATTERNS[code] & mover) == expected
    assert matches > 60


def test_neighbourhood_reads_the_board_in_the_tables_order():
    game = position(". X O . X . . O .  " * 9)
    board = np.full((11, 11), BORDER)
    board[1:-1, 1:-1] = game.board()
    for row in range(9):
        for column in range(9):
            cells = [(0, 1), (1, 2), (2, 1), (1, 0), (0, 2), (2, 2), (2, 0), (0, 0)]
            expected = sum(int(board[row + r, column + c]) << 2 * i for i, (r, c) in enumerate(cells))
            assert heavy.neighbourhood(game.state, point_of(game.state, 9 * row + column)) == expected


def liberties_of(board, cell):
    """Flood fill: the liberties of the group at a cell."""
    group, free, pending = {cell}, set(), [cell]
    while pending:
        r, c = pending.pop()
        for n in ((r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)):
            if 0 <= n[0] < len(board) and 0 <= n[1] < len(board) and n not in group:
                if board[n] == board[cell]:
                    group.add(n)
                    pending.append(n)
                elif board[n] == EMPTY:
                    free.add(n)
    return free


def random_positions(size, count, seed):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        game = GoGame(size, 5.5)
        for _ in range(rng.integers(5, 2 * size * size)):
            legal = [a for a in range(size * size) if game.is_legal(a)]
            if not legal or game.over:
                break
            game.play(int(rng.choice(legal)))
        if not game.over:
            yield game


def test_self_atari_against_flood_fill():
    seen = set()
    for game in random_positions(5, 60, 1):
        for action in range(25):
            if game.at(action) == EMPTY and game.is_legal(action):
                before, after = game.board(), GoGame(5, 5.5)
                after.state = game.state.copy()
                game.rules.play(after.state, action)
                board = after.board()
                captured = (before != EMPTY).sum() + 1 > (board != EMPTY).sum()
                alone = len(liberties_of(board, (action // 5, action % 5))) == 1
                point = point_of(game.state, action)
                assert heavy.is_self_atari(game.state, point, game.turn + 1) == (alone and not captured)
                assert (heavy.liberties_after(game.state, point, game.turn + 1) == -1) == captured
                seen.add((bool(alone), bool(captured)))
    assert len(seen) == 4


def test_playouts_end_in_finished_positions():
    """Every group has a liberty, nobody has a sensible move left, the result is the score, the trace is the game's."""
    rng, actions = np.array([5], np.uint64), set()
    for game in random_positions(7, 40, 2):
        state, first = game.state.copy(), np.zeros(50, np.int8)
        value = heavy.heavy_playout(state, rng, first)
        end = GoGame(7, 5.5)
        end.state = state
        board = end.board()
        assert value == np.sign(end.score()) * (1 if game.turn == 0 else -1)
        for cell in zip(*np.nonzero(board), strict=True):
            assert liberties_of(board, cell)
        for colour in (BLACK, WHITE):
            for action in range(49):
                point = point_of(state, action)
                if state[point] == EMPTY:
                    quiet = is_eye(state, point, colour) or is_suicide(state, point, colour)
                    # One point may be held back by ko, others because they give stones away.
                    assert quiet or heavy.is_self_atari(state, point, colour) or (board == 0).sum() < 25
        assert set(np.unique(first)) <= {0, 1, 2}
        changed = np.flatnonzero((board != game.board()).ravel() & (board != 0).ravel())
        assert (first[changed] > 0).all()  # a stone that was not there before was played at some time
        actions.add(tuple(first))
    assert len(actions) > 30


def test_playouts_vary_with_the_seed_and_repeat_with_it():
    state = go_rules(9, 7.5).new_state()

    def results(seed):
        rng, found = np.array([seed], np.uint64), []
        for _ in range(20):
            first = np.zeros(82, np.int8)
            found.append((heavy.heavy_playout(state.copy(), rng, first), first.tobytes()))
        return found

    assert results(1) == results(1) and results(1) != results(2)
    assert len({trace for _, trace in results(1)}) == 20


def test_the_trace_keeps_earlier_marks():
    state, first = go_rules(5, 0.5).new_state(), np.full(26, 2, np.int8)
    heavy.heavy_playout(state, np.array([1], np.uint64), first)
    assert (first == 2).all()


def replies(game, vertex):
    """How often each move answers this one in 200 playouts."""
    game.play(from_vertex(vertex, game.size))
    rng, counted = np.array([7], np.uint64), {}
    last = point_of(game.state, game.moves[-1][1])
    for _ in range(200):
        state = game.state.copy()
        move = heavy.choose(state, rng, last, 0, game.state[KO], game.turn + 1)
        reply = to_vertex(int(state[move + ACTION]), game.size)
        counted[reply] = counted.get(reply, 0) + 1
    return counted


def test_playouts_answer_an_atari():
    """Black puts three stones into atari: White gets them out, mostly."""
    game = position(""". . . . . . .
                       . X X X . . .
                       X O O O . . .
                       . X X . . . .
                       . . . . . . .
                       . . . . . . .
                       . . . . . . .""")
    assert replies(game, "D4")["E5"] >= 160


def test_playouts_capture_what_has_just_run_into_atari():
    game = position(""". . . . . . .
                       . X X X . . .
                       X O O . . . .
                       . X X X . . .
                       . . . . . . .
                       . . . . . . .
                       . . . . . . .""", "O")  # fmt: skip
    assert replies(game, "D5")["E5"] >= 160


def test_playouts_play_the_vital_point():
    """White has just made an eye space of three: Black takes its middle."""
    game = position(""". . . . X . .
                       O O O O X . .
                       X X X X X . .
                       . . . . . . .
                       . . . . . . .
                       . . . . . . .
                       . . . . . . .""", "O")  # fmt: skip
    assert replies(game, "D7")["B7"] >= 180


def opinions(game):
    visits, value = np.zeros(game.size**2 + 1, np.float32), np.zeros(game.size**2 + 1, np.float32)
    heuristic(game.state, visits, value)
    looked = visits >= 0
    assert (value[~looked] == 0).all()
    assert (np.abs(value) <= visits)[looked].all() and (visits >= EVEN)[looked].all() and (visits[~looked] == -1).all()
    return lambda vertex: (visits[from_vertex(vertex, game.size)], value[from_vertex(vertex, game.size)])


@pytest.mark.parametrize("size", [5, 9])
def test_opinions_lie_within_their_visits_wherever_games_lead(size):
    """Among them: to fill an own eye saves stones by joining them to others."""
    rng = np.random.default_rng(8)
    for _ in range(15):
        game = GoGame(size)
        while not game.over and len(game.moves) < 2 * size * size:
            legal = [action for action in range(size * size) if game.is_legal(action)]
            game.play(int(rng.choice(legal)) if legal else size * size)
            opinions(game)


def test_heuristic_knowledge():
    game = position(""". . . . . . . . .
                       . . . . . . . . .
                       . . . . . . . . .
                       . . . . . . X . .
                       . . . . . X O X .
                       . . . . . . . . .
                       . . . . . . . . .
                       . . . . . . . . .
                       . O . . . . . . .""")
    told = opinions(game)
    assert told("pass") == (EVEN, PASS_VALUE)
    assert told("G4")[1] >= TAKE_ONE  # takes one stone
    assert told("A1") == (EVEN + SELF_ATARI, -SELF_ATARI)
    game = position("""O . X . . . . . .
                       O O X . . . . . .
                       X X . . . . . . .
                       . . . . . . . . .
                       . . . . . . . . .
                       . . . . . . . . .
                       . . . . . . . . .
                       . . . . . . . . .
                       . . . . . . . . .""")
    assert opinions(game)("B9")[1] >= TAKE_MANY
    game.set_turn(1)
    assert opinions(game)("B9")[1] < 0  # nothing to save: it stays in atari
    name, game, best = next(problem for problem in tactics() if problem[0] == "drive the ladder")
    told = opinions(game)
    assert told(to_vertex(best[0], 9))[1] >= LADDER
    assert told("F4")[1] < LADDER
    eyes = position("X X X X X . X . X . X X X X X O O O O O . O . O .")
    assert opinions(eyes)("C4") == (-1, 0) and opinions(eyes)("pass") == (EVEN, PASS_VALUE)


@pytest.mark.parametrize("name", [name for name, _, _ in tactics()])
def test_the_classical_player_solves(name):
    _, game, best = next(problem for problem in tactics() if problem[0] == name)
    search = Search(game.rules, CLASSICAL, Rave(), seed=1)
    search.reset(state=game.state)
    found = search.run(visits=4000)
    assert found.action[0] in best
    assert found.value[0] > 0


def test_more_visits_never_lower_the_score():
    """Seeded: problems solved at 100, 400 and 1,600 visits, by the classical player and by light playouts."""
    for judge, config in ((CLASSICAL, Rave()), (evaluators.rollouts(1, playout), Puct())):
        scores = []
        for visits in (100, 400, 1600):
            score = 0
            for seed in range(3):
                for _, game, best in tactics():
                    search = Search(game.rules, judge, config, seed=seed, capacity=2000)
                    search.reset(state=game.state)
                    score += search.run(visits=visits).action[0] in best
            scores.append(score)
        assert scores == sorted(scores) and scores[0] < scores[-1], scores


def test_reading_stays_with_the_game_through_passes_and_captures():
    """Root and game agree after each move of a whole game; the end is the rules' end."""
    game = GoGame(5, 0.5)
    search = Search(game.rules, CLASSICAL, Rave(), seed=1)
    while not game.over:
        move = int(search.run(visits=200).action[0])
        assert game.is_legal(move)
        game.play(move)
        search.advance(move)
        np.testing.assert_array_equal(search.state(), game.state)
        assert search._tree.to_move[0, 0] == game.state[TURN]
    assert search.run(visits=10).action[0] == -1
    assert search.result().value[0] == np.sign(game.score()) * (1 if game.turn == 0 else -1)


def test_superko_holds_inside_the_tree():
    """A search of a position with a forbidden recapture never descends into it."""
    game = position(""". X O . .
                       X . X O .
                       . X O . .
                       . . . . .
                       . . . . .""", "O", komi=0.5)  # fmt: skip
    game.play(from_vertex("B4", 5))  # takes the ko stone
    banned = from_vertex("C4", 5)
    assert game.at(banned) == EMPTY and not game.is_legal(banned)
    light = evaluators.rollouts(1, playout)
    for judge, config in ((CLASSICAL, Rave()), (light, Puct()), (evaluators.uniform(), Gumbel())):
        search = Search(game.rules, judge, config)
        search.reset(state=game.state)
        found = search.run(visits=300)
        assert found.visits[0, banned] == 0 and found.prior[0, banned] == 0


def test_a_passed_game_is_scored_exactly():
    """The opponent has passed: who leads passes and has proof of the win, who is behind knows that a pass loses."""
    for komi, wins in ((10.5, True), (0.5, False)):
        game = position("X X X X X . X . X . X X X X X O O O O O . O . O .", komi=komi)
        game.play(25)  # White's turn
        search = Search(game.rules, evaluators.uniform(), Puct(), seed=1)
        search.reset(state=game.state)
        found = search.run(visits=100)
        assert found.q[0, 25] == (1.0 if wins else -1.0)
        assert not wins or (found.action[0] == 25 and found.solved[0] and found.value[0] == 1.0)
