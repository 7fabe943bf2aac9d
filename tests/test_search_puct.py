"""PUCT against a literal, slow implementation; Dirichlet noise; transpositions under superko."""

import math

import numpy as np
import pytest
from search_games import after, legal_actions, nim
from test_search_gumbel import made_up_network

from agents.search import evaluators
from agents.search.puct import Puct
from agents.search.search import Search
from agents.search.tree import OPEN
from envs.go.playout import playout
from envs.go.rules import go_rules
from envs.go.small_games import connect_four_rules, tictactoe_rules


class Node:
    """One node of the literal search; n, w by action in the view of the side to move."""

    def __init__(self, rules, answer, state):
        self.rules, self.state, self.side, self.outcome = rules, state, rules.to_move(state), rules.outcome(state)
        self.children = {}
        if np.isnan(self.outcome):
            planes = np.zeros(np.prod(rules.planes), np.float32)
            rules.features(state, planes)
            logits, values = answer(planes.reshape(1, *rules.planes))
            self.actions, self.raw = legal_actions(rules, state), float(values[0])
            weights = {a: math.exp(logits[0][a]) for a in self.actions}
            self.prior = {a: w / sum(weights.values()) for a, w in weights.items()}
            self.n, self.w = dict.fromkeys(self.actions, 0), dict.fromkeys(self.actions, 0.0)

    def score(self, a, config):
        total = sum(self.n.values())
        c = config.c_init + math.log((total + config.c_base + 1) / config.c_base)
        tried = sum(self.prior[b] for b in self.actions if self.n[b])
        mean = (self.raw + sum(self.w.values())) / (1 + total)
        q = self.w[a] / self.n[a] if self.n[a] else max(-1.0, mean - config.fpu_reduction * math.sqrt(tried))
        return q + c * self.prior[a] * math.sqrt(max(total, 1)) / (1 + self.n[a])

    def simulate(self, answer, config):
        if not np.isnan(self.outcome):
            return self.outcome
        action = max(self.actions, key=lambda a: self.score(a, config))
        if action in self.children:
            child = self.children[action]
            value = child.simulate(answer, config)
        else:
            child = self.children[action] = Node(self.rules, answer, after(self.rules, self.state, action))
            value = child.raw if np.isnan(child.outcome) else child.outcome
        value = value if child.side == self.side else -value
        self.n[action] += 1
        self.w[action] += value
        return value


@pytest.mark.parametrize("limit", [dict(seconds=0.0), dict(visits=1)], ids=["no visit", "one visit"])
def test_a_root_that_is_searched_no_further_plays_its_policy(limit):
    def rising(planes):
        return np.tile(np.arange(9, dtype=np.float32), (len(planes), 1)), np.zeros(len(planes))

    search = Search(tictactoe_rules(), evaluators.network(rising), Puct())
    assert search.run(**limit).action[0] == 8


@pytest.mark.parametrize("rules", [tictactoe_rules(), connect_four_rules(), nim(1)], ids=lambda rules: rules.name)
@pytest.mark.parametrize("config", [Puct(prove=False), Puct(c_init=3, c_base=50, fpu_reduction=0.5, prove=False)])
def test_equals_the_literal_implementation(rules, config):
    answer, rng = made_up_network(rules.num_actions), np.random.default_rng(0)
    for plies in range(4):
        state = rules.new_state()
        for _ in range(plies):
            rules.play(state, rng.choice(legal_actions(rules, state)))
        search = Search(rules, evaluators.network(answer), config)
        search.reset(state=state)
        found = search.run(visits=120)
        root = Node(rules, answer, state)
        for _ in range(120):
            root.simulate(answer, config)
        for a in root.actions:
            assert found.visits[0, a] == root.n[a]
            assert root.n[a] == 0 or found.q[0, a] == pytest.approx(root.w[a] / root.n[a], abs=1e-9)
        assert found.value[0] == pytest.approx((root.raw + sum(root.w.values())) / 121, abs=1e-9)
        np.testing.assert_allclose(found.policy[0], found.visits[0] / 120)


def test_dirichlet_noise_at_the_root_only():
    rules, answer = connect_four_rules(), made_up_network(7)
    start = rules.new_state()
    for _ in range(6):
        rules.play(start, 3)  # column 3 is full
    mixed = []
    for seed in range(400):
        search = Search(rules, evaluators.network(answer), Puct(noise_fraction=0.25, noise_alpha=0.8), seed=seed)
        search.reset(state=start)
        found = search.run(visits=8)
        prior, noisy = found.prior[0], search._leaves.root_prior[0]
        noise = (noisy - 0.75 * prior) / 0.25
        assert noisy[3] == -1 and noise[prior > 0].min() >= -1e-6
        assert noisy[prior > 0].sum() == pytest.approx(1, abs=1e-5)
        np.testing.assert_array_equal(np.maximum(search._tree.prior[0, 0], 0), prior)  # the tree keeps the network's
        mixed.append(noise[prior > 0])
    # Dirichlet(0.8, six actions): mean 1/6, variance (1/6)(5/6) / (6 * 0.8 + 1).
    np.testing.assert_allclose(np.mean(mixed, axis=0), 1 / 6, atol=0.03)
    np.testing.assert_allclose(np.var(mixed, axis=0), 5 / 36 / 5.8, rtol=0.25)


def test_noise_of_small_alpha_stays_finite():
    search = Search(connect_four_rules(), evaluators.uniform(), Puct(noise_fraction=1.0, noise_alpha=1e-3), seed=1)
    for _ in range(50):
        search.reset()
        search.run(visits=2)
        noisy = search._leaves.root_prior[0]
        assert np.isfinite(noisy).all() and noisy.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("superko", ["simple", "situational", "positional"])
def test_transpositions_keep_the_legal_moves_of_every_path(superko):
    """On 3x3 boards full of captures: by whichever way a shared node is reached, its actions are the rules'.

    Exact under simple ko, where the key tells the whole future. Under superko the rules' key leaves out how the
    stones came up before the first capture, so that a ban is missed or kept now and then.
    """
    rules = go_rules(3, 0.5, superko=superko)
    search = Search(rules, evaluators.rollouts(1, playout), Puct(transpositions=True, prove=False), capacity=20_000)
    search.run(visits=6000)
    rng, tree, reached, checked, different = np.random.default_rng(0), search._tree, {}, 0, 0
    for _ in range(3000):
        node, state, path = 0, rules.new_state(), []
        while tree.status[0, node] == OPEN:
            same = np.array_equal(np.flatnonzero(tree.prior[0, node] >= 0), legal_actions(rules, state))
            checked, different = checked + 1, different + (not same)
            options = np.flatnonzero(tree.children[0, node] >= 0)
            if len(options) == 0 or not same:
                break
            visits = tree.edge_visits[0, node, options]
            action = rng.choice(options, p=visits / visits.sum())
            path.append(int(action))
            node, state = tree.children[0, node, action], after(rules, state, action)
            assert tree.to_move[0, node] == rules.to_move(state)
            assert (tree.status[0, node] == OPEN) == np.isnan(rules.outcome(state))
        reached.setdefault(int(node), set()).add(tuple(path))
    assert sum(len(paths) > 1 for paths in reached.values()) > 50  # nodes were reached in several ways
    assert different <= (0 if superko == "simple" else 0.005 * checked)
