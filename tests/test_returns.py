"""Returns against slow literal definitions, on windows with ends of every kind."""

import numpy as np
import pytest
import torch

from agents.core.returns import lambda_returns, n_step, outcome

HUGE = 1e30  # in rows that must not count: anything that leaks is seen at once


class Windows:
    """B windows of L rows as plain lists, cut from a stream with every kind of end."""

    def __init__(self, seed, size=40, length=7, discounts=(1, 1, 1, 0, -1), end=0.25):
        random = np.random.default_rng(seed)
        self.reward = random.normal(size=(size, length)).astype(np.float32)
        self.value = random.normal(size=(size, length)).astype(np.float32)
        self.discount = random.choice(discounts, (size, length)).astype(np.float32)
        self.last = random.random((size, length)) < end

    def tensors(self, *names):
        return [torch.as_tensor(getattr(self, name)) for name in names]

    def rows(self, b):
        return range(self.reward.shape[1]), self.reward[b], self.discount[b], self.last[b], self.value[b]


def close(actual, expected):
    np.testing.assert_allclose(np.asarray(actual, np.float64), expected, rtol=2e-5, atol=2e-5)


def n_step_return(reward, discount, last, value, gamma, t, n):
    """Rewards of n transitions from row t and the value after them; stops at the row that ends the episode."""
    total, factor = 0.0, 1.0
    for k in range(t + 1, t + n + 1):
        total += factor * float(reward[k])
        factor *= gamma * float(discount[k])
        if last[k]:
            break
    return total + factor * float(value[k])


def lambda_return(reward, discount, last, value, gamma, lam, t):
    """(1 - lam) sum of lam^(n-1) n-step returns, the rest of the weight on the longest (Sutton & Barto, eq. 12.3)."""
    end = next((k for k in range(t + 1, len(reward)) if last[k]), len(reward) - 1)
    longest = end - t
    total = 0.0
    for n in range(1, longest + 1):
        weight = (1 - lam) * lam ** (n - 1) if n < longest else lam ** (longest - 1)
        total += weight * n_step_return(reward, discount, last, value, gamma, t, n)
    return total


@pytest.mark.parametrize("gamma", [1.0, 0.9, 0.0])
@pytest.mark.parametrize("lam", [1.0, 0.7, 0.0])
def test_lambda_returns_are_mixtures_of_n_step_returns(gamma, lam):
    for seed in range(3):
        w = Windows(seed, length=2 + 4 * seed)
        result = lambda_returns(*w.tensors("reward", "discount", "last", "value"), gamma, lam)
        for b in range(len(w.reward)):
            rows, reward, discount, last, value = w.rows(b)
            expected = [lambda_return(reward, discount, last, value, gamma, lam, t) for t in rows[:-1]]
            alive = ~last[:-1]  # where row t is last there is no transition
            close(result[b].numpy()[alive], np.array(expected)[alive])


def test_lambda_one_is_monte_carlo():
    """The discounted rewards up to the end, no value but that of the final row or of a time limit."""
    w = Windows(5, discounts=(1, 1, 0, -1))
    result = lambda_returns(*w.tensors("reward", "discount", "last", "value"), 0.95, 1.0)
    for b in range(len(w.reward)):
        rows, reward, discount, last, value = w.rows(b)
        for t in rows[:-1]:
            if not last[t]:
                end = next((k for k in rows[t + 1 :] if last[k]), rows[-1])
                product = [np.prod([0.95 * discount[j] for j in range(t + 1, k)]) for k in range(t + 1, end + 2)]
                rewards = sum(p * reward[t + 1 + i] for i, p in enumerate(product[:-1]))
                close(result[b, t], rewards + product[-1] * value[end])


def test_lambda_zero_is_one_step_td():
    w = Windows(6)
    result = lambda_returns(*w.tensors("reward", "discount", "last", "value"), 0.95, 0.0)
    close(result, w.reward[:, 1:] + 0.95 * w.discount[:, 1:] * w.value[:, 1:])


def test_gae_is_the_return_minus_the_value():
    """A_t = sum of (gamma lam)^k delta_{t+k}, cut where the episode ends (Schulman et al. 2016, eq. 16)."""
    w = Windows(7, discounts=(1, 1, 0))
    gamma, lam = 0.97, 0.9
    result = lambda_returns(*w.tensors("reward", "discount", "last", "value"), gamma, lam).numpy() - w.value[:, :-1]
    for b in range(len(w.reward)):
        rows, reward, discount, last, value = w.rows(b)
        for t in rows[:-1]:
            if last[t]:
                continue
            advantage, factor = 0.0, 1.0
            for k in rows[t:-1]:
                advantage += factor * (reward[k + 1] + gamma * discount[k + 1] * value[k + 1] - value[k])
                factor *= gamma * lam * discount[k + 1]
                if last[k + 1]:
                    break
            close(result[b, t], advantage)


@pytest.mark.parametrize("length", [2, 3, 4, 8])
@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_n_step_is_the_literal_sum(length, gamma):
    w = Windows(length, size=200, length=length)
    result = n_step(*w.tensors("reward", "discount", "last"), gamma)
    assert result.boot.dtype == torch.int64
    boots = set()
    for b in range(200):
        _, reward, discount, last, value = w.rows(b)
        boot = next((k for k in range(1, length) if last[k]), length - 1)
        boots.add(boot)
        assert int(result.boot[b]) == boot
        target = float(result.reward[b]) + float(result.discount[b]) * float(value[boot])
        close(target, n_step_return(reward, discount, last, value, gamma, 0, length - 1))
    assert boots == set(range(1, length))


def test_n_step_of_one_is_one_step():
    w = Windows(8, length=2)
    result = n_step(*w.tensors("reward", "discount", "last"), 0.9)
    close(result.reward, w.reward[:, 1])
    close(result.discount, 0.9 * w.discount[:, 1])
    assert (result.boot == 1).all()


def test_n_step_equals_lambda_one_on_the_first_row():
    w = Windows(9, length=5)
    whole = lambda_returns(*w.tensors("reward", "discount", "last", "value"), 0.9, 1.0)[:, 0]
    result = n_step(*w.tensors("reward", "discount", "last"), 0.9)
    value = torch.as_tensor(w.value)[torch.arange(len(w.value)), result.boot]
    close(result.reward + result.discount * value, whole)


def test_nothing_leaks_across_the_edge_of_an_episode():
    """Whatever stands in the rows of the next episode, and in the row that ends one, changes nothing that counts."""
    w, poisoned = Windows(10, length=8), Windows(10, length=8)
    for b in range(len(w.reward)):
        ends = np.flatnonzero(w.last[b])
        poisoned.reward[b, 0] = HUGE  # arrives before the window's first row
        poisoned.discount[b, 0] = HUGE
        for end in ends:
            if w.discount[b, end] == 0:
                poisoned.value[b, end] = HUGE  # of a row that the rules ended
        if len(ends):
            after = slice(ends[-1] + 1, None)
            poisoned.reward[b, after], poisoned.value[b, after], poisoned.discount[b, after] = HUGE, -HUGE, -1
    for lam in (0.0, 0.8, 1.0):
        clean = lambda_returns(*w.tensors("reward", "discount", "last", "value"), 0.9, lam)
        dirty = lambda_returns(*poisoned.tensors("reward", "discount", "last", "value"), 0.9, lam)
        for b in range(len(w.reward)):
            ends = np.flatnonzero(w.last[b])
            before = ends[-1] if len(ends) else 7
            alive = np.flatnonzero(~w.last[b, :before])
            assert torch.equal(clean[b, alive], dirty[b, alive])
    clean, dirty = (n_step(*x.tensors("reward", "discount", "last"), 0.9) for x in (w, poisoned))
    cut = w.last[:, 1:].any(1) & ~w.last[:, 0]
    assert cut.sum() > 20
    for one, other in zip(clean, dirty, strict=True):
        assert torch.equal(one[~w.last[:, 0]], other[~w.last[:, 0]])


def test_a_lost_life_stops_returns_and_nothing_else():
    """Discount 0 with neither first nor last: no reward after it counts, and the window goes on."""
    reward = torch.tensor([[0.0, 1.0, 2.0, HUGE]])
    discount, last = torch.tensor([[1.0, 1.0, 0.0, 1.0]]), torch.zeros(1, 4, dtype=torch.bool)
    value = torch.tensor([[0.0, 5.0, HUGE, HUGE]])
    close(lambda_returns(reward, discount, last, value, 0.5, 1.0)[:, :2], [[1 + 0.5 * 2, 2]])
    result = n_step(reward, discount, last, 0.5)
    assert (result.reward.item(), result.discount.item(), result.boot.item()) == (2.0, 0.0, 3)


def test_a_time_limit_bootstraps_and_a_death_does_not():
    """A world that pays 1 for ever, gamma 0.9: V = 10 is the fixed point if and only if the clock is no death."""
    reward = torch.ones(1, 5)
    last = torch.tensor([[False, False, True, False, False]])
    value = torch.full((1, 5), 10.0)
    for discount, expected in ((1.0, 10.0), (0.0, 1.9)):
        d = torch.tensor([[1.0, 1.0, discount, 1.0, 1.0]])
        close(lambda_returns(reward, d, last, value, 0.9, 1.0)[0, 0], expected)
        ahead = n_step(reward, d, last, 0.9)
        close(ahead.reward + ahead.discount * 10, [expected])
        assert ahead.boot.item() == 2


def test_the_other_side_sees_the_negative():
    """Two sides in turn: a win of the side to move at the last row but one is a loss for the side before."""
    reward = torch.tensor([[0.0, 0.0, 0.0, 1.0]])
    discount = torch.tensor([[-1.0, -1.0, -1.0, 0.0]])
    last = torch.tensor([[False, False, False, True]])
    value = torch.full((1, 4), HUGE)
    close(lambda_returns(reward, discount, last, value, 1.0, 1.0), [[1, -1, 1]])
    close(outcome(reward[0], discount[0]), [1, -1, 1, 0])
    td = lambda_returns(reward, discount, last, torch.tensor([[0.0, 0.25, 0.5, HUGE]]), 1.0, 0.0)
    close(td, [[-0.25, -0.5, 1]])


def test_outcome_is_the_literal_sum():
    random = np.random.default_rng(3)
    for length in (1, 2, 9, 30):
        reward = random.normal(size=length).astype(np.float32)
        discount = random.choice([1.0, -1.0], length).astype(np.float32)
        discount[-1] = 0
        expected = [sum(reward[k] * np.prod(discount[t + 1 : k]) for k in range(t + 1, length)) for t in range(length)]
        close(outcome(torch.as_tensor(reward), torch.as_tensor(discount)), expected)
