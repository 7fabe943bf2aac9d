"""Gumbel search against a literal, slow implementation of the paper and against stored answers of DeepMind's mctx."""

import json
import math
import zlib
from pathlib import Path

import numpy as np
import pytest
from numba import njit
from search_games import nim

from agents.search import search as search_module
from agents.search.evaluators import network
from agents.search.gumbel import Gumbel, considered_visits
from agents.search.search import Search
from envs.go.small_games import connect_four_rules, tictactoe_rules
from envs.rules import FEATURES, KEY, LEGAL, OUTCOME, PLAY, RESET, TO_MOVE, Rules

GOLDENS = json.loads((Path(__file__).parent / "fixtures/search/gumbel.json").read_text())
ROWS, ACTIONS = GOLDENS["rows"], GOLDENS["actions"]


def made_up_network(actions: int):
    """Logits and values that depend on the position only, through a hash of its features."""

    def answer(features):
        logits, values = np.empty((len(features), actions), np.float32), np.empty(len(features))
        for i, planes in enumerate(features):
            rng = np.random.default_rng(zlib.crc32(planes.tobytes()))
            logits[i], values[i] = rng.normal(size=actions), rng.uniform(-1, 1)
        return logits, values

    return answer


class Node:
    """One node of the literal search: visits and mean values of its actions, in the view of the side to move."""

    def __init__(self, rules, answer, state):
        self.rules, self.state, self.side = rules, state, rules.to_move(state)
        self.outcome = rules.outcome(state)
        self.children, self.count, self.total = {}, np.zeros(rules.num_actions, int), np.zeros(rules.num_actions)
        if np.isnan(self.outcome):
            planes, legal = np.zeros(np.prod(rules.planes), np.float32), np.zeros(rules.num_actions, bool)
            rules.features(state, planes)
            rules.legal(state, legal)
            logits, values = answer(planes.reshape(1, *rules.planes))
            self.logits = np.where(legal, logits[0].astype(float), -np.inf)
            self.logits = self.logits - np.log(np.exp(self.logits).sum())
            self.raw = float(values[0])

    def value(self):
        return self.outcome if not np.isnan(self.outcome) else (self.raw + self.total.sum()) / (1 + self.count.sum())

    def sigma_q(self, c_visit=50.0, c_scale=0.1):
        q = np.divide(self.total, self.count, out=np.zeros(len(self.total)), where=self.count > 0)
        tried, prior = self.count > 0, np.exp(self.logits)
        mixed = self.raw
        if tried.any():  # appendix D: v_mix = (v + N / sum_tried(pi) * sum_tried(pi q)) / (1 + N)
            n = self.count.sum()
            mixed = (self.raw + n * (prior[tried] * q[tried]).sum() / prior[tried].sum()) / (1 + n)
        completed = np.where(tried, q, mixed)
        spread = max(completed.max() - completed.min(), 1e-8)
        return (c_visit + self.count.max()) * c_scale * (completed - completed.min()) / spread

    def improved(self):
        x = self.logits + self.sigma_q()
        return np.exp(x - x.max()) / np.exp(x - x.max()).sum()

    def simulate(self, answer, action=None):
        """One simulation through this node; its value for the side to move here."""
        if not np.isnan(self.outcome):
            return self.outcome
        if action is None:
            score = np.where(np.isfinite(self.logits), self.improved() - self.count / (1 + self.count.sum()), -np.inf)
            action = int(np.argmax(score))
        if action not in self.children:
            state = self.state.copy()
            self.rules.play(state, action)
            child = self.children[action] = Node(self.rules, answer, state)
            value = child.value()
        else:
            child = self.children[action]
            value = child.simulate(answer)
        value = value if child.side == self.side else -value
        self.count[action] += 1
        self.total[action] += value
        return value


def literal_search(rules, answer, state, noise, simulations, max_considered):
    """Algorithm 2 of the paper with explicit sets of survivors. Scores are read anew before every simulation, so a
    phase finds its survivors one by one in its first round (the paper leaves this open, mctx does it so)."""
    root = Node(rules, answer, state)
    score = lambda a: noise[a] + root.logits[a] + root.sigma_q()[a]  # noqa: E731
    candidates = list(np.flatnonzero(np.isfinite(root.logits)))
    size = min(max_considered, len(candidates))
    phases, left = max(1, math.ceil(math.log2(size))), simulations
    while left:
        survivors = []
        for turn in range(max(1, simulations // (phases * size))):
            waiting = list(candidates if turn == 0 else survivors)
            for _ in range(min(size, left)):
                action = max(waiting, key=score)
                waiting.remove(action)
                if turn == 0:
                    survivors.append(action)
                root.simulate(answer, action)
                left -= 1
        candidates, size = survivors, 1 if size == 1 else max(2, size // 2)
    best = [a for a in np.flatnonzero(np.isfinite(root.logits)) if root.count[a] == root.count.max()]
    return root, max(best, key=score)


@pytest.mark.parametrize("rules", [tictactoe_rules(), connect_four_rules(), nim(1)], ids=lambda rules: rules.name)
@pytest.mark.parametrize(
    ("simulations", "considered"), [(1, 16), (5, 4), (16, 16), (33, 3), (64, 16), (120, 4), (20, 1)]
)
def test_equals_the_literal_implementation(rules, simulations, considered):
    answer = made_up_network(rules.num_actions)
    rng = np.random.default_rng(simulations)
    for seed in range(4):
        state = rules.new_state()
        for _ in range(seed):
            rules.play(state, rng.choice(_legal(rules, state)))
        search = Search(rules, network(answer), Gumbel(max_considered=considered), seed=seed)
        search.reset(state=state)
        found = search.run(visits=simulations)
        root, action = literal_search(rules, answer, state, search._leaves.noise[0], simulations, considered)
        assert found.visits[0].tolist() == root.count.tolist()
        assert found.visits.sum() == simulations
        assert found.action[0] == action
        np.testing.assert_allclose(found.policy[0], root.improved(), atol=2e-6)
        np.testing.assert_allclose(found.value[0], root.value(), atol=1e-9)


def _legal(rules, state):
    mask = np.zeros(rules.num_actions, bool)
    rules.legal(state, mask)
    return np.flatnonzero(mask)


# The game of the stored answers: state = [row, mover, depth, bits of the root's legal actions, outcome codes by row].


@njit(RESET)
def table_reset(state):
    state[:3] = 0


@njit(LEGAL)
def table_legal(state, mask):
    for a in range(len(mask)):
        mask[a] = state[2] > 0 or (state[3] >> a) & 1


@njit(PLAY)
def table_play(state, action):
    state[0] = (31 * state[0] + 7 * action + 1) % (len(state) - 4)
    state[1] = 1 - state[1]
    state[2] += 1


@njit(OUTCOME)
def table_outcome(state):
    code = state[4 + state[0]]
    return np.nan if code == 9 or state[2] == 0 else np.float64(code)


@njit(TO_MOVE)
def table_to_move(state):
    return state[1]


@njit(FEATURES)
def table_features(state, planes):
    planes[0] = state[0]


@njit(KEY)
def table_key(state):
    return state[0]


@pytest.mark.parametrize("case", GOLDENS["cases"], ids=lambda c: f"n{c['simulations']}-k{c['max_considered']}")
def test_equals_mctx(case, monkeypatch):
    legal_bits = sum(1 << a for a in range(ACTIONS) if a not in case["illegal"])
    codes = [9 if x is None else int(x) for x in case["outcome"]]
    rules = Rules(
        "table", ACTIONS, 4 + ROWS, (1, 1, 1), table_reset, table_legal, table_play, table_outcome, table_to_move,
        table_features, table_key, 1000, (0, 0, 0, legal_bits, *codes),
    )  # fmt: skip
    logits, values = np.array(case["logits"], np.float32), np.array(case["values"])

    def answer(features):
        rows = features.reshape(-1).astype(int)
        return logits[rows], values[rows]

    search = Search(rules, network(answer), Gumbel(max_considered=case["max_considered"]))
    begin = search_module.begin

    def begin_with_stored_noise(tree, work):
        begin(tree, work)
        search._leaves.noise[0] = case["noise"]

    monkeypatch.setattr(search_module, "begin", begin_with_stored_noise)
    found = search.run(visits=case["simulations"])
    assert found.visits[0].tolist() == case["visits"]
    assert found.action[0] == case["action"]
    np.testing.assert_allclose(found.policy[0], case["policy"], atol=2e-5)
    np.testing.assert_allclose(found.value[0], case["value"], atol=2e-6)
    tried = found.visits[0] > 0
    np.testing.assert_allclose(found.q[0][tried], np.array(case["q"])[tried], atol=2e-6)


def test_halving_visits_by_hand():
    assert considered_visits(4, 8) == [0, 0, 0, 0, 1, 1, 2, 2]
    assert considered_visits(1, 3) == [0, 1, 2]
    assert considered_visits(3, 7) == [0, 0, 0, 1, 1, 2, 2]
    assert considered_visits(16, 5) == [0] * 5  # fewer simulations than actions: the best five get one each


def test_unequal_budgets_in_one_batch_are_the_same_as_alone():
    rules, budgets = connect_four_rules(), [4, 40, 16]
    together = Search(rules, network(made_up_network(7)), Gumbel(), games=3, seed=[5, 6, 7]).run(visits=budgets)
    for i, budget in enumerate(budgets):
        alone = Search(rules, network(made_up_network(7)), Gumbel(), seed=[5 + i]).run(visits=budget)
        assert alone.visits[0].tolist() == together.visits[i].tolist()
        np.testing.assert_array_equal(alone.policy[0], together.policy[i])


def test_noise_explores_and_none_is_the_best_move():
    rules, answer = connect_four_rules(), network(made_up_network(7))
    moves = {Search(rules, answer, Gumbel(), seed=s).run(visits=8).action[0] for s in range(20)}
    assert len(moves) > 1
    quiet = {Search(rules, answer, Gumbel(noise_scale=0), seed=s).run(visits=8).action[0] for s in range(5)}
    assert len(quiet) == 1


def test_gumbel_asks_for_visits():
    search = Search(connect_four_rules(), network(made_up_network(7)), Gumbel())
    with pytest.raises(ValueError, match="needs visits"):
        search.run(seconds=0.1)
    with pytest.raises(ValueError, match="cannot ponder"):
        search.ponder()
