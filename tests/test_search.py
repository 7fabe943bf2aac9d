"""Tree search over small games: signs, exactness, bookkeeping, batches, reuse, limits."""

import functools
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from numba import njit

from agents.search import evaluators
from agents.search.gumbel import Gumbel
from agents.search.puct import Puct
from agents.search.search import Search
from agents.search.tree import OPEN
from envs.go.small_games import connect_four_rules, tictactoe_rules
from envs.rules import FEATURES, KEY, LEGAL, OUTCOME, PLAY, RESET, TO_MOVE, Rules

# Nim with one heap, state [stones, side, extra]: take 1..3, who takes the last stone wins. With extra = 1 whoever takes
# exactly 2 moves again, so the side to move is not the parity of the ply.


@njit(RESET)
def nim_reset(state):
    state[0], state[1] = 9, 0


@njit(LEGAL)
def nim_legal(state, mask):
    for a in range(3):
        mask[a] = a < state[0] or state[0] == 0


@njit(PLAY)
def nim_play(state, action):
    state[0] -= action + 1
    if not (state[2] and action == 1):
        state[1] = 1 - state[1]


@njit(OUTCOME)
def nim_outcome(state):
    if state[0] > 0:
        return np.nan
    # Nobody moves twice after the last stone has gone, unless it went with a take of 2 that keeps the turn.
    return -1.0 if not state[2] or state[3] != state[1] else 1.0


@njit(PLAY)
def nim_play_noting_who(state, action):
    state[3] = state[1]
    nim_play(state, action)


@njit(TO_MOVE)
def nim_to_move(state):
    return state[1]


@njit(FEATURES)
def nim_features(state, planes):
    planes[0] = state[0]


@njit(KEY)
def nim_key(state):
    return state[0] * 8 + state[1] * 4 + state[2] * 2 + state[3]


def nim(extra: int) -> Rules:
    return Rules(
        "nim", 3, 4, (1, 1, 1), nim_reset, nim_legal, nim_play_noting_who, nim_outcome, nim_to_move, nim_features,
        nim_key, 13, (0, 0, extra),
    )  # fmt: skip


def legal_actions(rules, state):
    mask = np.zeros(rules.num_actions, bool)
    rules.legal(state, mask)
    return np.flatnonzero(mask)


def after(rules, state, action):
    state = state.copy()
    rules.play(state, action)
    return state


def solver(rules):
    """The literal value of a state for its side to move."""

    @functools.cache
    def solve(data: bytes) -> float:
        state = np.frombuffer(data, np.int64).copy()
        outcome = rules.outcome(state)
        return outcome if not np.isnan(outcome) else max(action_value(state, a) for a in legal_actions(rules, state))

    def action_value(state, action) -> float:
        child = after(rules, state, action)
        value = solve(child.tobytes())
        return value if rules.to_move(child) == rules.to_move(state) else -value

    return lambda state: solve(state.tobytes()), action_value


CONFIGS = [
    Puct(prove=False), Puct(), Puct(transpositions=True), Puct(prove=False, transpositions=True), Gumbel(noise_scale=0),
    Gumbel(noise_scale=0, prove=True),
]  # fmt: skip
LABELS = ["puct", "puct-prove", "puct-prove-graph", "puct-graph", "gumbel", "gumbel-prove"]


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


def hashed_network(actions):
    """A deterministic stand-in for a network, the same for a row in any batch."""
    weights = np.random.default_rng(0).normal(size=(1000, actions + 1))

    def answer(features):
        flat = features.reshape(len(features), -1)
        out = np.stack([np.sin(7 * row @ weights[: len(row)]) for row in flat])
        return 2 * out[:, 1:], out[:, 0]

    return answer


@pytest.mark.parametrize(
    "config", [*CONFIGS, Puct(noise_fraction=0.25), Gumbel()], ids=[*LABELS, "noisy", "gumbel-noisy"]
)
@pytest.mark.parametrize("kind", ["rollouts", "network", "mix"])
def test_lockstep_equals_each_game_alone(config, kind):
    rules, net = connect_four_rules(), hashed_network(7)
    judges = {"rollouts": evaluators.rollouts(2), "network": evaluators.network(net), "mix": evaluators.mix(net, 0.3)}
    judge = judges[kind]
    games, seeds = 4, [11, 12, 13, 14]
    together = Search(rules, judge, config, games=games, seed=seeds)
    alone = [Search(rules, judge, config, seed=[s]) for s in seeds]
    for b in range(1, games):  # different positions
        for search, game in ((together, b), (alone[b], 0)):
            search.reset(game, after(rules, rules.new_state(), b))
    for _ in range(4):
        found = together.run(visits=60)
        for b in range(games):
            single = alone[b].run(visits=60)
            np.testing.assert_array_equal(single.visits[0], found.visits[b])
            np.testing.assert_array_equal(single.policy[0], found.policy[b])
            assert single.value[0] == found.value[b] and single.action[0] == found.action[b]
            alone[b].advance(single.action[0])
        together.advance(found.action)


def test_int_seed_gives_game_i_the_same_stream_in_any_number_of_games():
    rules = connect_four_rules()
    few = Search(rules, evaluators.rollouts(), games=2, seed=5).run(visits=100)
    many = Search(rules, evaluators.rollouts(), games=6, seed=5).run(visits=100)
    np.testing.assert_array_equal(few.visits, many.visits[:2])
    assert len({tuple(v) for v in many.visits.tolist()}) == 6  # and the games differ


def test_same_seed_same_search_and_rollouts_vary_with_the_seed():
    rules = connect_four_rules()
    runs = [Search(rules, evaluators.rollouts(), seed=s).run(visits=200) for s in (1, 1, 2, 3)]
    np.testing.assert_array_equal(runs[0].visits, runs[1].visits)
    assert runs[0].value[0] == runs[1].value[0]
    assert len({run.value[0] for run in runs}) == 3
    search = Search(rules, evaluators.rollouts(), seed=1)
    values = set()
    for _ in range(20):
        search.reset()
        values.add(search.run(visits=1).raw_value[0])
    assert values >= {-1.0, 1.0}  # one playout each: they differ within a seed, too


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


@pytest.mark.parametrize("config", [Puct(), Puct(transpositions=True), Gumbel()])
def test_leaves_in_flight(config):
    """Several leaves per call: visits add up, virtual losses are all taken back, the batch is used."""
    rules, sizes, net = connect_four_rules(), [], hashed_network(7)

    def counting(features):
        sizes.append(len(features))
        return net(features)

    search = Search(rules, evaluators.network(counting), config, leaves=8)
    found = search.run(visits=400)
    assert found.visits.sum() == 400 and max(sizes) == 8 and len(sizes) < 200
    tree = search._tree
    for node in range(tree.size[0]):
        if tree.status[0, node] == OPEN:
            assert tree.visits[0, node] >= 1 + tree.edge_visits[0, node].sum()
            total = tree.raw_value[0, node] + tree.edge_value[0, node].sum()
            if tree.lower[0, node] < tree.upper[0, node]:
                assert tree.value_sum[0, node] == pytest.approx(total, abs=1e-6)
        assert abs(tree.value_sum[0, node]) <= tree.visits[0, node] + 1e-6


def test_transpositions_share_nodes():
    rules = tictactoe_rules()
    sizes = {}
    for shared in (False, True):
        search = Search(rules, evaluators.uniform(), Puct(prove=False, transpositions=shared), capacity=300_000)
        search.run(visits=20_000)
        sizes[shared] = search._tree.size[0]
    assert sizes[True] <= 5478 < sizes[False]  # tic-tac-toe has 5478 positions


def test_mix_weighs_network_and_playouts():
    rules = connect_four_rules()
    one = lambda features: (np.zeros((len(features), 7)), np.full(len(features), 0.5))  # noqa: E731
    for weight in (0.0, 0.25, 1.0):
        raw = Search(rules, evaluators.mix(one, weight, count=1), seed=3).run(visits=1).raw_value[0]
        assert any(raw == pytest.approx((1 - weight) * 0.5 + weight * z) for z in (-1, 0, 1))


def test_symmetry_average_is_the_same_in_every_orientation():
    points = np.array([np.arange(42), np.arange(42).reshape(6, 7)[:, ::-1].ravel()])  # as is, left to right
    actions = np.array([np.arange(7), np.arange(7)[::-1]])
    averaged = evaluators.symmetric(hashed_network(7), points, actions)
    features = np.random.default_rng(1).random((5, 2, 6, 7)).astype(np.float32)
    logits, values = averaged(features)
    flipped_logits, flipped_values = averaged(features[..., ::-1])
    np.testing.assert_allclose(flipped_logits, logits[:, ::-1], rtol=1e-5)
    np.testing.assert_allclose(flipped_values, values, rtol=1e-5)
    plain, mirrored = hashed_network(7)(features), hashed_network(7)(np.ascontiguousarray(features[..., ::-1]))
    np.testing.assert_allclose(logits, (plain[0] + mirrored[0][:, ::-1]) / 2, rtol=1e-4, atol=1e-5)


def test_bad_answers_of_a_network_are_refused():
    rules = connect_four_rules()
    for logits, values, message in (
        (np.full((1, 7), np.nan), np.zeros(1), "not finite"),
        (np.zeros((1, 7)), np.full(1, np.nan), "not finite"),
        (np.zeros((1, 7)), np.full(1, 1.5), "value 1.5"),
        (np.zeros((1, 6)), np.zeros(1), "must be"),
    ):
        search = Search(rules, evaluators.network(lambda features, answer=(logits, values): answer))
        with pytest.raises(ValueError, match=message):
            search.run(visits=5)


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


def test_a_memory_asks_once_and_forgets_the_oldest():
    asked = []

    def network(planes):
        asked.extend(int(p.sum()) for p in planes)
        return planes.reshape(len(planes), -1)[:, :3].copy(), planes.reshape(len(planes), -1)[:, 0] / 10

    def ask(*numbers):
        planes = np.zeros((len(numbers), 2, 2, 2), np.float32)
        planes[:, 0, 0, 0] = numbers
        logits, values = memory(planes)
        np.testing.assert_array_equal(logits, [[n, 0, 0] for n in numbers])
        np.testing.assert_allclose(values, np.array(numbers) / 10)

    memory = evaluators.Cached(network, size=3)
    ask(1, 2)
    ask(2, 3, 3)  # 3 twice in one batch is asked once
    assert asked == [1, 2, 3] and (memory.hits, memory.misses) == (2, 3)
    ask(4)  # 1 is forgotten
    ask(2, 3, 4)
    assert asked == [1, 2, 3, 4]
    ask(1)
    memory.clear()
    ask(4)
    assert asked == [1, 2, 3, 4, 1, 4]
    with pytest.raises(ValueError, match="size is 0"):
        evaluators.Cached(network, 0)
