"""RAVE search: counts and scores against a literal implementation, and play in solved games."""

import time

import numpy as np
import pytest
from search_games import after, legal_actions, nim, solver

from agents.search import evaluators
from agents.search.rave import Rave
from agents.search.search import Search
from envs.go.small_games import connect_four_rules, tictactoe_rules

MASK64 = (1 << 64) - 1


def draw_below(rng, n):
    """splitmix64 and multiply-shift in Python's integers."""
    rng[0] = (rng[0] + 0x9E3779B97F4A7C15) & MASK64
    z = rng[0]
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK64
    return (((z ^ (z >> 31)) >> 32) * n) >> 32


class Node:
    def __init__(self, rules, state):
        self.side, self.legal = rules.to_move(state), legal_actions(rules, state)
        self.n, self.w, self.m, self.u = (dict.fromkeys(self.legal, 0.0) for _ in range(4))
        self.children = {}

    def select(self, k):
        def score(a):
            mean = self.w[a] / self.n[a] if self.n[a] else 0.0
            if not self.m[a]:
                return mean
            beta = self.m[a] / (self.m[a] + self.n[a] + self.n[a] * self.m[a] / k)
            return beta * self.u[a] / self.m[a] + (1 - beta) * mean

        return max(self.legal, key=score)


def literal_rave(rules, start, seed, visits, k, expand_after):
    """Root visits and AMAF counts of the search written down from its definition."""
    rng = [int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])]

    def playout(state, played):
        while np.isnan(rules.outcome(state)):
            actions = legal_actions(rules, state)
            action = actions[draw_below(rng, len(actions))]
            played.setdefault(action, rules.to_move(state))
            state = after(rules, state, action)
        return rules.outcome(state), rules.to_move(state)

    def learn(node, played, value, side):
        for action, mover in played.items():
            if mover == node.side and action in node.m:
                node.m[action] += 1
                node.u[action] += value if node.side == side else -value

    root, played = Node(rules, start), {}
    learn(root, played, *playout(start, played))
    for _ in range(visits):
        node, state, path, played = root, start, [], {}
        while True:
            action = node.select(k)
            path.append((node, action))
            played.setdefault(action, node.side)
            state = after(rules, state, action)
            if action not in node.children:
                break
            node = node.children[action]
        leaf, (parent, action) = None, path[-1]
        if np.isnan(rules.outcome(state)):
            if parent.n[action] + 1 >= expand_after:
                leaf = parent.children[action] = Node(rules, state)
            value, side = playout(state, played)
        else:
            value, side = rules.outcome(state), rules.to_move(state)
        for node, action in path:
            node.n[action] += 1
            node.w[action] += value if node.side == side else -value
        for node in [n for n, _ in path] + ([leaf] if leaf else []):
            learn(node, played, value, side)
    return root


@pytest.mark.parametrize("rules", [tictactoe_rules(), connect_four_rules(), nim(1)], ids=lambda rules: rules.name)
@pytest.mark.parametrize("expand_after", [1, 3])
def test_equals_the_literal_implementation(rules, expand_after):
    for seed in range(3):
        state, rng = rules.new_state(), np.random.default_rng(seed)
        for _ in range(seed):
            rules.play(state, rng.choice(legal_actions(rules, state)))
        config = Rave(equivalence=300.0, expand_after=expand_after, prove=False)
        search = Search(rules, evaluators.rollouts(), config, seed=[seed])
        search.reset(state=state)
        found = search.run(visits=150)
        root = literal_rave(rules, state, seed, 150, 300.0, expand_after)
        for a in root.legal:
            assert found.visits[0, a] == root.n[a]
            assert search._tree.amaf_visits[0, 0, a] == root.m[a]
            assert search._tree.amaf_value[0, 0, a] == pytest.approx(root.u[a])


@pytest.mark.parametrize("extra", [0, 1])
def test_proof_on_nim(extra):
    rules = nim(extra)
    solve, action_value = solver(rules)
    for stones in range(1, 14):
        state = np.array([stones, 1, extra, 0])
        search = Search(rules, evaluators.rollouts(), Rave())
        search.reset(state=state)
        found = search.run(visits=20_000)
        assert found.solved[0] and found.value[0] == solve(state)
        assert action_value(state, found.action[0]) == solve(state)


@pytest.mark.parametrize("side", [0, 1])
def test_tictactoe_is_never_lost(side):
    rules, decided = tictactoe_rules(), {}
    search = Search(rules, evaluators.rollouts(), Rave(exploration=0.3), seed=1)
    pending = [rules.new_state()]
    while pending:
        state = pending.pop()
        outcome = rules.outcome(state)
        if not np.isnan(outcome):
            assert (outcome if rules.to_move(state) == side else -outcome) >= 0
            continue
        actions = legal_actions(rules, state)
        if rules.to_move(state) == side:
            if state.tobytes() not in decided:
                search.reset(state=state)
                decided[state.tobytes()] = search.run(visits=5000).action[0]
            actions = [decided[state.tobytes()]]
        pending.extend(after(rules, state, a) for a in actions)


def test_reuse_keeps_the_counts_of_the_played_move():
    rules = connect_four_rules()
    search = Search(rules, evaluators.rollouts(), Rave(prove=False), seed=3)
    for _ in range(10):
        found = search.run(visits=400)
        move, tree = found.action[0], search._tree
        child = tree.children[0, 0, move]
        expected = {name: getattr(tree, name)[0, child].copy() for name in ("amaf_visits", "amaf_value", "edge_visits")}
        search.advance(move)
        for name, value in expected.items():
            np.testing.assert_array_equal(getattr(tree, name)[0, 0], value)
        if found.action[0] < 0 or search._tree.status[0, 0] == 3:
            break


def test_lockstep_equals_alone_and_state_goes_on():
    rules = connect_four_rules()
    together = Search(rules, evaluators.rollouts(), Rave(), games=3, seed=[1, 2, 3])
    found = together.run(visits=300)
    for b in range(3):
        alone = Search(rules, evaluators.rollouts(), Rave(), seed=[1 + b])
        np.testing.assert_array_equal(alone.run(visits=300).visits[0], found.visits[b])
    saved = together.state_dict()
    expected = together.run(visits=600)
    other = Search(rules, evaluators.rollouts(), Rave(), games=3, seed=9)
    other.load_state_dict(saved)
    np.testing.assert_array_equal(other.run(visits=600).visits, expected.visits)


def test_wrong_uses_are_refused():
    rules = tictactoe_rules()
    for judge in (evaluators.uniform(), evaluators.rollouts(2), evaluators.network(None)):
        with pytest.raises(ValueError, match="Rave needs one traced playout"):
            Search(rules, judge, Rave())
    for options, message in (({"equivalence": 0}, "equivalence is 0"), ({"expand_after": 0}, "expand_after is 0")):
        with pytest.raises(ValueError, match=message):
            Rave(**options)


def test_a_search_settles_when_nobody_can_catch_up():
    """Halfway through, as many visits are to come as were made: a larger lead than that is final."""
    rules = connect_four_rules()
    search = Search(rules, evaluators.rollouts(), Rave(), games=2, seed=1)
    search.run(visits=50)
    tree, before = search._tree, search._tree.visits[:, 0].copy()
    tree.visits[:, 0] += 1000
    for leads, halfway, settled in (
        ((1100, 1100), 0.5, True), ((900, 900), 0.5, False), ((1100, 900), 0.5, False), ((120, 120), 0.9, True),
        ((90, 120), 0.9, False), ((50_000, 50_000), 0.04, False),
    ):  # fmt: skip
        tree.edge_visits[:, 0] = 20
        tree.edge_visits[:, 0, 3] += leads
        assert search._settled(before, 100.0 * halfway, 100.0) == settled
    tree.edge_visits[:, 0] = 20
    for values, share, settled in (((0.98, -0.99), 0.3, True), ((0.98, 0.9), 0.3, False), ((0.98, -0.99), 0.2, False)):
        tree.value_sum[:, 0] = tree.visits[:, 0] * np.array(values)
        assert search._settled(before, 100.0 * share, 100.0) == settled


def test_an_obvious_move_takes_less_time():
    rules = connect_four_rules()
    state = rules.new_state()
    for action in (3, 0, 3, 0, 3, 0):  # three in a column: the fourth wins
        rules.play(state, action)
    spent = []
    for settle in (True, False):
        search = Search(rules, evaluators.rollouts(), Rave(prove=False), seed=1)
        search.reset(state=state)
        search.run(visits=10)
        started = time.perf_counter()
        assert search.run(seconds=0.6, settle=settle).action[0] == 3
        spent.append(time.perf_counter() - started)
    assert spent[0] < 0.55 <= spent[1]
    with pytest.raises(ValueError, match="a search needs an end"):
        search.run(settle=True)


def test_another_clock_counts_the_seconds():
    """A clock that goes on by a second at each look: a search of ten seconds ends after as many looks."""
    search, looks = Search(connect_four_rules(), evaluators.rollouts(), Rave(), seed=1), []

    def clock():
        looks.append(len(looks))
        return float(looks[-1])

    search.run(visits=10)
    search.run(seconds=10, clock=clock)
    assert 8 <= len(looks) <= 12
    looks.clear()
    search.run(seconds=10, clock=clock, settle=True)
    assert 2 <= len(looks) <= 12
    began = time.process_time()
    search.run(seconds=0.3, clock=time.process_time)
    assert 0.29 < time.process_time() - began < 0.6
