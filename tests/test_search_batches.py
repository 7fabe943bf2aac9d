"""Many games in lock-step, leaves in flight, networks: their mixtures, symmetries, memory and mistakes."""

import numpy as np
import pytest
from search_games import CONFIGS, LABELS, after, hashed_network

from agents.search import evaluators
from agents.search.gumbel import Gumbel
from agents.search.puct import Puct
from agents.search.search import Search
from agents.search.tree import OPEN
from envs.go.small_games import connect_four_rules


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
