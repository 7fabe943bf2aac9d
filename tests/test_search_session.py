"""One search over time: roots that follow the game, limits, pondering, saved state, the start from the cache."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
from search_games import after, hashed_network, legal_actions

from agents.search import evaluators
from agents.search.gumbel import Gumbel
from agents.search.puct import Puct
from agents.search.search import Search
from agents.search.tree import OPEN
from envs.go.small_games import connect_four_rules, tictactoe_rules


@pytest.mark.parametrize("config", [Puct(), Puct(transpositions=True), Gumbel(reuse=True), Gumbel()])
def test_root_is_the_game_position_after_every_ply(config):
    rules, rng = connect_four_rules(), np.random.default_rng(0)
    search, state, kept = Search(rules, evaluators.rollouts(), config, seed=2), rules.new_state(), 0
    while np.isnan(rules.outcome(state)):
        before = search.run(visits=150)
        # Every second move is an opponent's that need not be the one expected.
        action = before.action[0] if rules.to_move(state) == 0 else rng.choice(legal_actions(rules, state))
        visits = before.visits[0, action]
        rules.play(state, action)
        search.advance(action)
        tree = search._tree
        np.testing.assert_array_equal(search.state(), state)
        assert tree.to_move[0, 0] == rules.to_move(state)
        assert tree.ply[0, 0] == state[2]
        if not config.reuse:
            assert tree.size[0] == 1
        elif np.isnan(rules.outcome(state)):
            if not config.transpositions and not search.result().solved[0]:
                assert tree.visits[0, 0] == max(1, visits)
            if not config.transpositions and not search.result().solved[0] and visits:
                assert search.result().value[0] == pytest.approx(-before.q[0, action])
            kept += visits > 1
        _check_nodes_hold_their_states(rules, search, state)
    assert search.run(visits=10).action[0] == -1
    assert kept > 5 or not config.reuse
    with pytest.raises(ValueError, match="game 0 is over"):
        search.advance(0)


def _check_nodes_hold_their_states(rules, search, state):
    """Walks the kept tree beside the game: side and end of the game agree at every node."""
    pending = [(0, state)]
    while pending:
        node, state = pending.pop()
        tree = search._tree
        assert node < tree.size[0] and tree.to_move[0, node] == rules.to_move(state)
        assert (tree.lower[0, node] == tree.upper[0, node]) or np.isnan(rules.outcome(state))
        if tree.status[0, node] == OPEN:
            pending += [(c, after(rules, state, a)) for a, c in enumerate(tree.children[0, node]) if c >= 0]


def test_a_full_tree_goes_on_without_growing():
    rules = connect_four_rules()
    for config in (Puct(), Gumbel(), Puct(transpositions=True)):
        for judge in (evaluators.rollouts(), evaluators.network(hashed_network(7))):
            search = Search(rules, judge, config, capacity=40)
            found = search.run(visits=500)
            assert search._tree.size[0] == 40 and found.visits.sum() == 500
            assert np.nanmax(np.abs(found.q)) <= 1 + 1e-9
            search.advance(found.action[0])
            assert search.run(visits=300).action[0] >= 0
    roomy = Search(rules, evaluators.rollouts(), Puct(), capacity=4000, seed=4).run(visits=2000)
    full = Search(rules, evaluators.rollouts(), Puct(), capacity=300, seed=4).run(visits=2000)
    assert abs(roomy.value[0] - full.value[0]) < 0.2


def test_limits_on_visits_time_and_stop():
    search = Search(connect_four_rules(), evaluators.rollouts(), Puct(prove=False), capacity=1_000_000)
    assert search.run(visits=123).visits.sum() == 123
    assert search.run(visits=200).visits.sum() == 200  # what is there already counts
    assert search.run(visits=50).visits.sum() == 200
    began = time.perf_counter()
    found = search.run(seconds=0.2)
    assert 0.19 < time.perf_counter() - began < 1.0 and found.visits.sum() > 1000
    calls = []
    search.run(stop=lambda: calls.append(1) or len(calls) == 3)
    assert len(calls) == 3
    search.reset()
    assert search.run(visits=100, seconds=60).visits.sum() == 100
    wrongs = (({}, "give visits, seconds or stop"), ({"visits": 0}, "visits is 0"), ({"seconds": -1}, "is -1"))
    for wrong, message in wrongs:
        with pytest.raises(ValueError, match=message):
            search.run(**wrong)


def test_pondering_grows_the_tree_until_a_move():
    search = Search(connect_four_rules(), evaluators.rollouts(), Puct(prove=False), capacity=1_000_000)
    search.run(visits=10)
    search.ponder()
    time.sleep(0.3)
    search.stop()
    pondered = search.result().visits[0]
    assert pondered.sum() > 1000
    assert (search.result().visits[0] == pondered).all()  # it stands still now
    search.ponder()
    search.advance(3)  # stops by itself
    assert search._tree.visits[0, 0] >= pondered[3] and search._thread is None
    small = Search(connect_four_rules(), evaluators.rollouts(), Puct(), capacity=100)
    small.ponder()
    small._thread.join(timeout=20)
    assert not small._thread.is_alive()  # a full tree ends it


def test_options_are_refused_by_name():
    for make, message in (
        (lambda: Puct(c_init=-1), "c_init is -1"), (lambda: Puct(noise_fraction=2), "noise_fraction is 2"),
        (lambda: Gumbel(max_considered=0), "max_considered is 0"), (lambda: evaluators.rollouts(0), "count is 0"),
        (lambda: evaluators.mix(None, 2.0), "weight is 2"),
        (lambda: Search(tictactoe_rules(), evaluators.uniform(), capacity=0), "capacity is 0"),
        (lambda: Search(tictactoe_rules(), evaluators.uniform(), games=2, seed=[1]), "seed has 1 entries"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            make()


@pytest.mark.parametrize("config", [Puct(noise_fraction=0.25), Gumbel(reuse=True), Puct(transpositions=True)])
def test_state_goes_on_exactly(config):
    rules = connect_four_rules()
    search = Search(rules, evaluators.rollouts(), config, games=2, seed=9)
    search.advance(search.run(visits=100).action)
    saved = search.state_dict()
    expected = search.run(visits=300)
    other = Search(rules, evaluators.rollouts(), config, games=2, seed=77)
    other.load_state_dict(saved)
    found = other.run(visits=300)
    np.testing.assert_array_equal(found.visits, expected.visits)
    np.testing.assert_array_equal(found.value, expected.value)
    with pytest.raises(ValueError, match="this search needs"):
        Search(rules, evaluators.rollouts(), config, games=3).load_state_dict(saved)


def test_variation_starts_with_the_best_move():
    search = Search(connect_four_rules(), evaluators.rollouts(), seed=1)
    found = search.run(visits=2000)
    line = search.variation()
    assert line[0] == found.visits[0].argmax() and len(line) > 2
    assert search.variation(0)[0] == 0
    state = search.state()
    for action in line:
        assert action in legal_actions(search.rules, state)
        search.rules.play(state, action)


START = """
import time
from agents.search.search import Search, collect
from agents.search import evaluators
from agents.search.rave import Rave
from envs.go.heavy import heavy_playout
from envs.go.heuristic import heuristic
from envs.go.rules import go_rules
from envs.go.small_games import connect_four_rules
Search(connect_four_rules(), evaluators.rollouts()).run(visits=100)
Search(go_rules(9), evaluators.classical(heavy_playout, heuristic), Rave()).run(visits=100)
print(time.process_time(), sum(collect.stats.cache_misses.values()))
"""


def test_a_second_process_starts_from_the_cache():
    """Compiled search and rules come from the disk: first-class functions keep numba's cache valid. Processor time, so
    that a busy machine does not fail it; on an idle one it is the wall clock."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    environment = dict(os.environ, PYTHONPATH=root)
    command = [sys.executable, "-c", START]
    subprocess.run(command, env=environment, check=True, capture_output=True)  # the first start may compile
    second = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    took, compiled = map(float, second.split())
    assert compiled == 0 and took <= 3.0
