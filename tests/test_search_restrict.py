"""Actions that a search may not look at: `Search.restrict`."""

import numpy as np
import pytest

from agents.search import evaluators
from agents.search.gumbel import Gumbel
from agents.search.puct import Puct
from agents.search.rave import Rave
from agents.search.search import Search
from envs.go import heavy, heuristic
from envs.go.game import GoGame, from_vertex
from envs.go.rules import go_rules
from envs.go.small_games import connect_four_rules, tictactoe_rules


def paths(search, until):
    """Every (depth, side, action) that the tree of game 0 has visits for, down to so many plies."""
    tree, found, waiting = search._tree, [], [(0, 0)]
    while waiting:
        node, depth = waiting.pop()
        for action in np.flatnonzero(tree.edge_visits[0, node]):
            found.append((depth, int(tree.to_move[0, node]), int(action)))
            child = tree.children[0, node, action]
            if child >= 0 and depth + 1 < until:
                waiting.append((child, depth + 1))
    return found


@pytest.mark.parametrize("config", [Puct(), Rave(prove=False), Gumbel(noise_scale=0.0)])
def test_barred_actions_are_not_searched_above_their_depth(config):
    rules = connect_four_rules()
    search = Search(rules, evaluators.rollouts(), config, seed=1)
    barred = np.zeros((2, 7), np.int32)
    barred[0, 3], barred[1, 2], barred[0, 6] = 1, 4, 3
    search.restrict(barred)
    found = search.run(visits=400)
    seen = paths(search, 6)
    assert seen and not [(d, s, a) for d, s, a in seen if barred[s, a] > d]
    assert (2, 0, 3) in seen  # two plies down it is free again
    assert found.visits[0, 3] == 0 == found.prior[0, 3] and found.action[0] not in (3, 6)
    search.restrict()
    free = search.run(visits=400)
    assert free.visits[0, 3] > 0


def test_a_restriction_drops_the_tree_only_when_it_changes():
    search = Search(connect_four_rules(), evaluators.rollouts(), Rave(prove=False), seed=1)
    search.run(visits=200)
    search.restrict(None)
    assert search.result().visits.sum() >= 199
    barred = np.zeros((2, 7), np.int32)
    barred[:, 0] = 2
    search.restrict(barred)
    assert search.result().visits.sum() == 0
    search.run(visits=200)
    search.restrict(barred.copy())
    assert search.result().visits.sum() >= 199
    search.advance(3)  # the depths are counted from the root: what lies below was searched with others
    assert search.result().visits.sum() == 0
    search.run(visits=50)
    assert search.result().visits[0, 0] == 0
    with pytest.raises(ValueError, match="barred has shape"):
        search.restrict(np.zeros((2, 3)))


def test_a_side_that_has_nothing_else_may_play_what_is_barred():
    """Also an own eye in Go, which the heuristic would leave out."""
    search = Search(tictactoe_rules(), evaluators.rollouts(), Rave(), seed=1)
    search.restrict(np.full((2, 9), 9))
    assert search.run(visits=100).action[0] in range(9)
    game = GoGame(5, 0.5)
    game.set_up([from_vertex(v, 5) for v in ("A2", "B1", "B2")], [], 0)
    rules, eye = go_rules(5, 0.5), from_vertex("A1", 5)
    judge = evaluators.classical(heavy.heavy_playout, heuristic.heuristic)
    search = Search(rules, judge, Rave(), seed=1)
    search.reset(state=game.state)
    barred = np.ones((2, 26), np.int32)
    barred[0, eye] = 0
    search.restrict(barred)
    found = search.run(visits=50)
    assert found.action[0] == eye and found.visits[0].sum() == found.visits[0, eye] > 0
