"""Tree search over small games: signs, exact values, bookkeeping."""

import numpy as np
import pytest
from search_games import CONFIGS, LABELS, after, legal_actions, nim, solver

from agents.search import evaluators
from agents.search.gumbel import Gumbel
from agents.search.puct import Puct
from agents.search.search import Search
from agents.search.tree import OPEN
from envs.go.small_games import connect_four_rules, tictactoe_rules


@pytest.mark.parametrize("config", CONFIGS, ids=LABELS)
@pytest.mark.parametrize("extra", [0, 1])
def test_sign_on_nim(config, extra):
    rules = nim(extra)
    solve, action_value = solver(rules)
    for stones in range(1, 14 if config.prove else 10):
        state = np.array([stones, 1, extra, 0])
        search = Search(rules, evaluators.uniform(), config)
        search.reset(state=state)
        found = search.run(visits=2500)
        assert action_value(state, found.action[0]) == solve(state)
        if config.prove and isinstance(config, Puct):
            assert found.solved[0] and found.value[0] == solve(state)
        if not config.prove:
            assert found.q[0, found.action[0]] * solve(state) > 0.3
            for action in np.flatnonzero(found.visits[0] > 200):
                assert found.q[0, action] * action_value(state, action) > 0.3


def test_proof_is_the_exact_value_of_every_tictactoe_position():
    rules = tictactoe_rules()
    solve, action_value = solver(rules)
    rng = np.random.default_rng(0)
    for i in range(60):
        state = rules.new_state()
        for _ in range(rng.integers(0, 7)):
            if np.isnan(rules.outcome(state)):
                rules.play(state, rng.choice(legal_actions(rules, state)))
        search = Search(rules, evaluators.rollouts(), Puct(transpositions=i % 2 == 1), seed=i, capacity=100_000)
        search.reset(state=state)
        found = search.run(visits=100_000)
        assert found.solved[0] and found.value[0] == solve(state)
        if np.isnan(rules.outcome(state)):
            assert action_value(state, found.action[0]) == solve(state)
        else:
            assert found.action[0] == -1 and found.visits.sum() == 0


@pytest.mark.parametrize(
    ("config", "judge"),
    [
        (Puct(), evaluators.rollouts()), (Puct(prove=False), evaluators.uniform()),
        (Gumbel(noise_scale=0, prove=True), evaluators.rollouts()),
    ],
    ids=["prove", "puct", "gumbel"],
)  # fmt: skip
@pytest.mark.parametrize("side", [0, 1])
def test_tictactoe_is_never_lost(config, judge, side):
    """Against every line that an opponent could play."""
    rules, decided = tictactoe_rules(), {}
    search = Search(rules, judge, config, seed=3)
    pending, ends = [rules.new_state()], 0
    while pending:
        state = pending.pop()
        outcome = rules.outcome(state)
        if not np.isnan(outcome):
            assert (outcome if rules.to_move(state) == side else -outcome) >= 0
            ends += 1
            continue
        actions = legal_actions(rules, state)
        if rules.to_move(state) == side:
            if state.tobytes() not in decided:
                search.reset(state=state)
                decided[state.tobytes()] = search.run(visits=3000).action[0]
            actions = [decided[state.tobytes()]]
        pending.extend(after(rules, state, a) for a in actions)
    assert ends > (40 if side == 0 else 200)


@pytest.mark.parametrize("evaluator", [evaluators.uniform(), evaluators.rollouts(3)], ids=["uniform", "rollouts"])
@pytest.mark.parametrize("config", CONFIGS, ids=LABELS)
def test_tree_is_consistent(config, evaluator):
    """Every stored number follows from the others; one value range; illegal actions are never taken."""
    rules = connect_four_rules()
    search = Search(rules, evaluator, config, seed=1)
    state = rules.new_state()
    for action in (3, 3, 3, 3, 3, 3, 2):  # column 3 is full
        rules.play(state, action)
    search.reset(state=state)
    search.run(visits=3000)
    tree, inner = search._tree, 0
    pending, seen = [(0, state)], set()
    while pending:
        node, state = pending.pop()
        if node in seen:
            continue
        seen.add(node)
        assert tree.to_move[0, node] == rules.to_move(state)
        low, high, mean = tree.lower[0, node], tree.upper[0, node], tree.value_sum[0, node] / tree.visits[0, node]
        assert -1 <= low <= high <= 1 and -1 - 1e-9 <= mean <= 1 + 1e-9 and abs(tree.raw_value[0, node]) <= 1
        if tree.status[0, node] != OPEN:
            assert mean == pytest.approx(rules.outcome(state))
            continue
        legal = legal_actions(rules, state)
        illegal = np.setdiff1d(np.arange(7), legal)
        assert (tree.edge_visits[0, node, illegal] == 0).all() and (tree.children[0, node, illegal] == -1).all()
        assert (tree.prior[0, node, illegal] == -1).all() and np.isneginf(tree.logits[0, node, illegal]).all()
        assert tree.prior[0, node, legal].sum() == pytest.approx(1, abs=1e-5)
        visits, children = tree.edge_visits[0, node], tree.children[0, node]
        if low < high and not config.transpositions:
            assert tree.visits[0, node] == 1 + visits.sum()
            total = tree.raw_value[0, node] + tree.edge_value[0, node].sum()
            assert tree.value_sum[0, node] == pytest.approx(total)
        for a in np.flatnonzero(visits):
            assert children[a] >= 0 and abs(tree.edge_value[0, node, a]) <= visits[a] + 1e-9
            if not config.transpositions:  # the sides alternate here: the same sum with the other sign
                assert visits[a] == tree.visits[0, children[a]]
                assert tree.edge_value[0, node, a] == pytest.approx(-tree.value_sum[0, children[a]])
            pending.append((children[a], after(rules, state, a)))
            inner += 1
    assert len(seen) == tree.size[0] and inner > 100


def test_illegal_moves_are_never_visited_whatever_the_network_says():
    rules = connect_four_rules()

    def stubborn(features):  # wants column 3 above all
        return np.tile(np.array([0, 0, 0, 60, 0, 0, 0], np.float32), (len(features), 1)), np.zeros(len(features))

    for config in (Puct(), Gumbel(), Puct(noise_fraction=0.5)):
        search = Search(rules, evaluators.network(stubborn), config)
        for _ in range(6):
            search.advance(3)
        found = search.run(visits=50)
        assert found.visits[0, 3] == 0 and found.policy[0, 3] == 0 and found.prior[0, 3] == 0 and found.action[0] != 3
        with pytest.raises(ValueError, match="action 3 is illegal in game 0"):
            search.advance(3)


def test_transpositions_share_nodes():
    rules = tictactoe_rules()
    sizes = {}
    for shared in (False, True):
        search = Search(rules, evaluators.uniform(), Puct(prove=False, transpositions=shared), capacity=300_000)
        search.run(visits=20_000)
        sizes[shared] = search._tree.size[0]
    assert sizes[True] <= 5478 < sizes[False]  # tic-tac-toe has 5478 positions
