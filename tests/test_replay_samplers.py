"""What the samplers draw, and how often: against the definition, with the distribution measured."""

import numpy as np
import pytest
import torch
from rowlog import RowLog
from scipy import stats

from agents.core.replay import ReplayBuffer
from agents.core.rows import Spec
from agents.core.samplers import Newest, PrefixSums, Prioritized, Uniform

SPEC = Spec((2,), "float32", stack=2, num_actions=3)


def filled(sampler, length=20, num_envs=3, window=3, rows=47, seed=0):
    ring = ReplayBuffer(length, num_envs, SPEC, sampler, window=window, seed=seed)
    log = RowLog(num_envs, SPEC, seed=5)
    for _ in range(rows):
        log.add_to(ring)
    return ring, log


def p_value(drawn, expected):
    """Of the hypothesis that the slots `drawn` come with the probabilities `expected` (slot -> probability)."""
    slots = sorted(expected)
    counts = np.array([np.count_nonzero(drawn == s) for s in slots])
    assert counts.sum() == len(drawn)  # nothing else was drawn
    shares = np.array([expected[s] for s in slots])
    return stats.chisquare(counts, shares / shares.sum() * len(drawn)).pvalue


def draws(ring, size=100, times=300):
    return np.concatenate([ring.sample(size).index.numpy() for _ in range(times)])


class NaiveSumTree:
    """A binary tree whose inner nodes hold the sums of their children: a list, walked one step at a time."""

    def __init__(self, size):
        self.first = 1
        while self.first < size:
            self.first *= 2
        self.nodes = [0.0] * (2 * self.first)

    def set(self, index, value):
        node = self.first + index
        self.nodes[node] = value
        while node > 1:
            node //= 2
            self.nodes[node] = self.nodes[2 * node] + self.nodes[2 * node + 1]

    def find(self, target):
        node = 1
        while node < self.first:
            node *= 2
            if target >= self.nodes[node]:
                target -= self.nodes[node]
                node += 1
        return node - self.first


@pytest.mark.parametrize("size, block", [(1, 4), (7, 4), (64, 8), (1000, 512), (1030, 32)])
def test_prefix_sums_find_what_a_sum_tree_finds(size, block):
    """Integer weights are exact in every order of summation, so the slots must be the same, edges included."""
    random = np.random.default_rng(size)
    sums, tree = PrefixSums(size, "cpu", block), NaiveSumTree(size)
    for _ in range(5):
        index = random.integers(0, size, 1 + size // 2)
        value = random.integers(0, 9, len(index)) * (random.random(len(index)) < 0.7)
        index, at = np.unique(index, return_index=True)
        value = value[at]
        value[0] = 3
        sums.set(torch.as_tensor(index), torch.as_tensor(value).float())
        for i, v in zip(index, value, strict=True):
            tree.set(int(i), float(v))
        total = tree.nodes[1]
        assert float(sums.total) == total
        target = np.concatenate([np.arange(int(total)), random.random(200) * total])  # every edge between two slots
        found = sums.find(torch.as_tensor(target, dtype=torch.float64)).tolist()
        assert found == [tree.find(t) for t in target]


@pytest.mark.parametrize("exact", [torch.float64, torch.float32])  # float32: a Metal device has nothing wider
def test_a_slot_of_weight_zero_is_never_found_whatever_the_rounding(exact):
    random = np.random.default_rng(1)
    weights = random.random(4096).astype(np.float32) ** 8 * (random.random(4096) < 0.1)
    weights[-700:] = 0  # whole empty blocks at the end
    sums = PrefixSums(4096, "cpu", block=64)
    sums.exact, sums.sums = exact, sums.sums.to(exact)
    sums.set(torch.arange(4096), torch.as_tensor(weights))
    edges = weights.astype(np.float64).cumsum()
    near = np.concatenate([edges * (1 + e) for e in (0, 1e-15, -1e-15, 1e-9, -1e-9)] + [[0.0, edges[-1] * 2]])
    found = sums.find(torch.as_tensor(near).to(exact))
    assert (sums.get(found) > 0).all()
    assert found[-1] == np.flatnonzero(weights)[-1] and found[-2] == np.flatnonzero(weights)[0]


def test_draws_are_stratified():
    """k draws put one into each k-th of the mass (Schaul et al. 2016, appendix B.2.1)."""
    sums = PrefixSums(64, "cpu", block=8)
    sums.set(torch.arange(64), 1.0)
    for seed in range(20):
        drawn = sums.draw(16, torch.Generator().manual_seed(seed))
        assert (drawn // 4).tolist() == list(range(16))
    assert len({tuple(sums.draw(16, torch.Generator().manual_seed(s)).tolist()) for s in range(20)}) > 15


@pytest.mark.parametrize("sampler", [Uniform, Prioritized])
@pytest.mark.parametrize("ragged", [False, True])
def test_equal_priorities_are_uniform(sampler, ragged):
    """Uniform, and PER before any update: every drawable start equally often, with weight 1."""
    ring, log = filled(sampler())
    if ragged:
        for _ in range(7):
            log.add_to(ring, [2])
    slots = log.slots(20, 3)
    assert p_value(draws(ring), dict.fromkeys(slots, 1.0)) > 1e-3
    batch = ring.sample(64)
    expected = [log.weights(*slots[i], 3) for i in batch.index.tolist()]
    assert batch.weight.tolist() == expected


@pytest.mark.parametrize("alpha", [0.6, 1.0])
def test_prioritized_draws_in_proportion(alpha):
    ring, log = filled(Prioritized(alpha=alpha, beta=0.5, epsilon=0.01), length=14, num_envs=2)
    slots = log.slots(14, 3)
    random = np.random.default_rng(3)
    errors = {s: float(random.normal()) * 3 for s in slots}
    ring.update_priorities(torch.tensor(list(errors)), torch.tensor(list(errors.values())))
    power = {s: (abs(e) + 0.01) ** alpha for s, e in errors.items()}
    assert p_value(draws(ring), power) > 1e-3
    batch = ring.sample(40)
    total = sum(power.values())
    importance = np.array([(len(slots) * power[i] / total) ** -0.5 for i in batch.index.tolist()])
    importance /= importance.max()
    exists = np.array([log.weights(*slots[i], 3) for i in batch.index.tolist()])
    np.testing.assert_allclose(batch.weight.numpy(), importance[:, None] * exists, rtol=1e-4)
    assert 0 < importance.min() < 0.6


def test_alpha_zero_is_uniform():
    ring, log = filled(Prioritized(alpha=0.0), length=14, num_envs=2)
    slots = log.slots(14, 3)
    ring.update_priorities(torch.tensor(list(slots)), torch.rand(len(slots)) * 100)
    assert p_value(draws(ring), dict.fromkeys(slots, 1.0)) > 1e-3


def test_new_rows_enter_with_the_largest_priority_ever():
    sampler = Prioritized(alpha=0.5, epsilon=0.0)
    ring, log = filled(sampler, length=14, num_envs=2)
    first = next(iter(log.slots(14, 3)))
    ring.update_priorities(torch.tensor([first]), torch.tensor([25.0]))
    ring.update_priorities(torch.tensor([first]), torch.tensor([4.0]))  # the largest is ever, not now
    before = set(log.slots(14, 3))
    log.add_to(ring)
    new = sorted(set(log.slots(14, 3)) - before)
    assert len(new) == 2
    assert sampler.tree.get(torch.tensor(new)).tolist() == [5.0, 5.0]
    assert sampler.state_dict()["largest"] == 5.0
    other, _ = filled(Prioritized(alpha=0.5, epsilon=0.0), length=14, num_envs=2)
    other.load_state_dict(ring.state_dict())
    for _ in range(14):  # a whole lap: every row that had that priority is gone
        log.add_to(other)
    assert set(other.sampler.tree.get(torch.tensor(list(log.slots(14, 3)))).tolist()) == {5.0}


def test_updates_that_come_late_do_not_open_what_was_closed():
    """A batch is drawn, its rows are overwritten, then its priorities arrive."""
    ring, log = filled(Prioritized(), length=14, num_envs=2)
    batch = ring.sample(200)
    for _ in range(4):
        log.add_to(ring)
    ring.update_priorities(batch.index, torch.full((200,), 1e6))
    drawable = set(log.slots(14, 3))
    assert set(batch.index.tolist()) - drawable
    weight = ring.sampler.tree.leaves.view(-1)[: 14 * 2]
    assert set(torch.nonzero(weight).flatten().tolist()) == drawable
    assert set(draws(ring, times=20).tolist()) <= drawable


def test_prefix_sums_match_their_leaves_after_a_long_stream():
    """Sums are recomputed, never incremented: no drift after many updates with values of every size."""
    ring, log = filled(Prioritized(), length=400, num_envs=2, rows=10)
    random = np.random.default_rng(2)
    for _ in range(600):
        log.add_to(ring)
        batch = ring.sample(16)
        ring.update_priorities(batch.index, torch.as_tensor(10.0 ** random.uniform(-6, 6, 16)))
    tree = ring.sampler.tree
    assert torch.equal(tree.sums, tree.leaves.sum(1, dtype=torch.float64))
    assert set(torch.nonzero(tree.leaves.view(-1)).flatten().tolist()) == set(log.slots(400, 3))


def games_of(ring, log, sampler, share):
    """Adds rows; after each holds what may be drawn against a list of all starts ever opened."""
    opened = []  # flat slots in the order in which they were opened
    opens, closes = sampler.opened, sampler.closed

    def seen(index):
        opened.extend(index.tolist())
        opens(index)

    def gone(index):
        for slot in index.tolist():
            opened[:] = [None if one == slot else one for one in opened]
        closes(index)

    sampler.opened, sampler.closed = seen, gone
    for _ in range(120):
        log.add_to(ring)
        expected = {slot for slot in opened[int(len(opened) * (1 - share)) :] if slot is not None}
        assert set((sampler.drawable.leaves.view(-1) > 0).nonzero().view(-1).tolist()) == expected
        yield expected


@pytest.mark.parametrize("share", [0.3, 0.75])
def test_the_newest_share_of_all_starts_is_drawn_evenly(share):
    sampler = Newest(share)
    ring = ReplayBuffer(40, 3, SPEC, sampler, window=2, seed=2)
    log = RowLog(3, SPEC, seed=5)
    for i, expected in enumerate(games_of(ring, log, sampler, share)):
        if i in (25, 119):  # before the ring is full, and long after
            assert p_value(draws(ring), {slot: 1.0 for slot in expected}) > 1e-3
    copy = ReplayBuffer(40, 3, SPEC, Newest(share), window=2, seed=9)
    copy.load_state_dict(ring.state_dict())
    for one in (ring, copy):
        log_of = RowLog(3, SPEC, seed=8)
        for _ in range(30):
            log_of.add_to(one)
    assert torch.equal(ring.sampler.drawable.leaves, copy.sampler.drawable.leaves)
    assert torch.equal(ring.sample(64).index, copy.sample(64).index)


def test_no_row_is_drawn_more_often_than_the_newest_share_allows():
    """Four draws for each new row from the 40th on: the bound of the docstring, and more without it."""
    most = {}
    for sampler in (Newest(0.75), Uniform()):
        ring = ReplayBuffer(4_000, 1, Spec((1,), "float32", 1, num_actions=2), sampler, window=1, seed=1)
        log, drawn = RowLog(1, ring.spec, seed=1), np.zeros(4_000)
        for row in range(2_400):
            log.add_to(ring)
            if row >= 40:
                np.add.at(drawn, ring.sample(4).index.numpy(), 1)
        early = drawn[:400].reshape(-1, 20).mean(1)  # expectations, of twenty rows each
        most[type(sampler)] = early.max()
    assert most[Newest] < 4 * np.log(4) / 0.75 * 1.2 and most[Uniform] > 14


def test_a_checkpoint_of_uniform_draws_goes_on_with_the_newest_share():
    """As training of before is resumed: all that could be drawn still may be, but for the oldest."""
    finished = Uniform()
    finished.bind(60, torch.device("cpu"), True)
    finished.opened(torch.arange(10, 30))
    sampler = Newest(0.75)
    sampler.bind(60, torch.device("cpu"), True)
    sampler.load_state_dict(finished.state_dict())
    assert (sampler.drawable.leaves.view(-1) > 0).nonzero().view(-1).tolist() == list(range(15, 30))
    sampler.opened(torch.tensor([3]))
    assert sampler.total == 21 and sampler.drawable.get(torch.tensor([3, 15])).tolist() == [1, 1]
