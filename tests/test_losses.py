"""Losses and heads against literal arrays, naive loops and torch.distributions."""

import math

import numpy as np
import pytest
import torch
from torch import distributions

from agents import losses
from agents.heads import ActionValues, Categorical, Gaussian, Value, masked


def test_mean_is_over_the_rows_that_count():
    loss, weight = torch.tensor([[1.0, 2.0], [3.0, 1e30]]), torch.tensor([[1.0, 0.5], [0.25, 0.0]])
    assert losses.mean(loss, weight).item() == pytest.approx((1 + 1 + 0.75) / 3)
    assert losses.mean(loss, torch.zeros(2, 2)).item() == 0  # nothing counts: no gradient, no NaN
    loss.requires_grad_()
    losses.mean(loss, weight).backward()
    np.testing.assert_allclose(loss.grad, [[1 / 3, 1 / 6], [1 / 12, 0]], rtol=1e-6)
    with pytest.raises(AssertionError):
        losses.mean(torch.ones(3), torch.ones(3, 1))  # would broadcast to 3x3


@pytest.mark.parametrize("bound", [0.5, 1.0, 2.0, 0.0])
def test_huber(bound):
    error = torch.tensor([-5.0, -2.0, -1.0, -0.3, 0.0, 0.4, 0.5, 1.0, 7.0], requires_grad=True)
    expected, slope = [], []
    for e in error.tolist():
        inside = bound == 0 or abs(e) <= bound
        expected.append(0.5 * e * e if inside else bound * (abs(e) - 0.5 * bound))
        slope.append(e if inside else math.copysign(bound, e))
    loss = losses.huber(error, bound)
    np.testing.assert_allclose(loss.detach(), expected, rtol=1e-6)
    loss.sum().backward()
    np.testing.assert_allclose(error.grad, slope, rtol=1e-6)


def test_clipped_surrogate():
    random = np.random.default_rng(0)
    logp, old = random.normal(size=(2, 200)).astype(np.float32)
    advantage, clip = random.normal(size=200).astype(np.float32), 0.2
    new = torch.tensor(logp, requires_grad=True)
    loss = losses.clipped_surrogate(new, torch.tensor(old), torch.tensor(advantage), clip)
    loss.sum().backward()
    for i in range(200):
        ratio = math.exp(logp[i] - old[i])
        bounded = min(max(ratio, 1 - clip), 1 + clip)
        assert loss[i].item() == pytest.approx(-min(ratio * advantage[i], bounded * advantage[i]), rel=1e-5)
        frozen = (advantage[i] > 0 and ratio > 1 + clip) or (advantage[i] < 0 and ratio < 1 - clip)
        assert new.grad[i].item() == pytest.approx(0 if frozen else -ratio * advantage[i], rel=1e-5)
    with pytest.raises(AssertionError):
        losses.clipped_surrogate(new[:, None], torch.tensor(old)[:, None], torch.tensor(advantage)[:, None], clip)


def test_policy_gradient():
    logp = torch.tensor([-1.0, -2.0], requires_grad=True)
    advantage = torch.tensor([3.0, -4.0], requires_grad=True)
    loss = losses.policy_gradient(logp, advantage)
    assert loss.tolist() == [3.0, -8.0]
    loss.sum().backward()
    assert logp.grad.tolist() == [-3.0, 4.0] and advantage.grad is None


# -- heads ------------------------------------------------------------------------------------------------------------


def some_legal(size, actions, seed=0):
    """Every kind of row: all legal, some, one."""
    legal = torch.rand(size, actions, generator=torch.Generator().manual_seed(seed)) < 0.4
    legal[torch.arange(size), torch.arange(size) % actions] = True
    legal[0] = True
    return legal


@pytest.mark.parametrize("constrained", [False, True])
def test_categorical(constrained):
    torch.manual_seed(0)
    head, x = Categorical(6, 5), torch.randn(40, 6)
    with torch.no_grad():
        head.logits.weight.normal_()
    legal = some_legal(40, 5) if constrained else None
    logp = head(x, legal)
    logits = torch.nn.functional.linear(x, head.logits.weight, head.logits.bias)
    if constrained:
        logits = logits.masked_fill(~legal, -math.inf)
        assert (logp.exp()[~legal] == 0).all()
    reference = distributions.Categorical(logits=logits)
    torch.testing.assert_close(logp.exp(), reference.probs)
    torch.testing.assert_close(head.entropy(logp), reference.entropy())
    action = reference.sample()
    torch.testing.assert_close(head.logp(logp, action), reference.log_prob(action))
    assert torch.equal(head.mode(logp), reference.probs.argmax(-1))
    if constrained:
        assert legal.gather(1, head.mode(logp)[:, None]).all()
    (head.entropy(logp).sum() + head.logp(logp, action).sum()).backward()
    assert torch.isfinite(head.logits.weight.grad).all()


def test_categorical_samples_in_proportion_and_never_what_is_illegal():
    from scipy import stats

    head = Categorical(3, 4)
    legal = torch.tensor([[True, False, True, True], [False, True, False, False]])
    logp = torch.log_softmax(masked(torch.tensor([[0.0, 9.0, 1.0, -1.0], [-50.0, -80.0, 0.0, 3.0]]), legal), -1)
    generator = torch.Generator().manual_seed(1)
    drawn = [head.sample(logp, generator) for _ in range(6000)]
    actions, logps = torch.stack([a for a, _ in drawn]), torch.stack([p for _, p in drawn])
    assert (actions[:, 1] == 1).all() and (logps[:, 1] == 0).all()
    counts = torch.bincount(actions[:, 0], minlength=4).numpy()
    assert counts[1] == 0
    share = np.exp([0.0, 1.0, -1.0])
    assert stats.chisquare(counts[[0, 2, 3]], share / share.sum() * 6000).pvalue > 1e-3
    assert torch.equal(logps, torch.stack([head.logp(logp, a) for a in actions]))


def test_gaussian():
    torch.manual_seed(0)
    head, x = Gaussian(6, 3), torch.randn(50, 6)
    with torch.no_grad():
        head.mean.weight.normal_()
        head.log_std.copy_(torch.tensor([-1.0, 0.0, 0.7]))
    params = head(x)
    mean = torch.nn.functional.linear(x, head.mean.weight, head.mean.bias)
    reference = distributions.Independent(distributions.Normal(mean, head.log_std.exp().expand(50, 3)), 1)
    action = reference.sample()
    torch.testing.assert_close(head.logp(params, action), reference.log_prob(action))
    torch.testing.assert_close(head.entropy(params), reference.entropy())
    assert torch.equal(head.mode(params), params[..., 0])
    generator = torch.Generator().manual_seed(2)
    drawn = [head.sample(params, generator) for _ in range(2000)]
    actions = torch.stack([a for a, _ in drawn]).detach()
    torch.testing.assert_close(drawn[0][1], reference.log_prob(actions[0]))
    noise = (actions - mean.detach()) / head.log_std.detach().exp()
    assert noise.mean((0, 1)).abs().max() < 0.02 and (noise.std((0, 1)) - 1).abs().max() < 0.02


def test_masked_greedy_is_legal_even_where_every_value_is_low():
    legal = some_legal(60, 7)
    values = torch.randn(60, 7) * 1e6 - 5e6
    best = masked(values, legal).argmax(1)
    for b in range(60):
        allowed = [a for a in range(7) if legal[b, a]]
        assert best[b].item() == max(allowed, key=lambda a: values[b, a].item())
    assert torch.equal(masked(values, None), values)


@pytest.mark.parametrize("atoms", [1, 7])
def test_dueling_identity(atoms):
    """Q = V + A - mean A: the mean over the actions is V, and differences are those of A (Wang et al. 2016, eq. 9)."""
    torch.manual_seed(0)
    head, x = ActionValues(8, 16, 5, atoms, dueling=True), torch.randn(30, 8)
    q = head(x)
    assert q.shape == (30, 5, atoms)
    torch.testing.assert_close(q.mean(1), head.value(torch.relu(head.value_hidden(x))))
    advantage = head.advantage(torch.relu(head.hidden(x))).view(30, 5, atoms)
    torch.testing.assert_close(q - q[:, :1], advantage - advantage[:, :1])
    plain = ActionValues(8, 16, 5, atoms)
    torch.testing.assert_close(plain(x), plain.advantage(torch.relu(plain.hidden(x))).view(30, 5, atoms))


@pytest.mark.parametrize("dueling", [False, True])
def test_action_values_keep_float32_under_autocast(dueling):
    """bfloat16 cannot tell 30.0 from 30.1: values that are near each other must not become equal."""
    torch.manual_seed(0)
    head, x = ActionValues(64, 32, 4, dueling=dueling), torch.randn(200, 64)
    with torch.no_grad():
        head.advantage.bias.copy_(30 + torch.arange(4) / 100)
        with torch.autocast("cpu", torch.bfloat16):
            q = head(x)
            hidden = torch.relu(head.hidden(x))
        assert hidden.dtype == torch.bfloat16 and q.dtype == torch.float32
        exact = torch.nn.functional.linear(hidden.float(), head.advantage.weight, head.advantage.bias)
    torch.testing.assert_close(q[:, 1:, 0] - q[:, :1, 0], exact[:, 1:] - exact[:, :1], rtol=1e-4, atol=1e-5)


def test_state_values_keep_float32_under_autocast():
    torch.manual_seed(0)
    head, x = Value(64), torch.randn(200, 64)
    with torch.autocast("cpu", torch.bfloat16):
        mixed, coarse = head(x), head(x.bfloat16())
    assert mixed.dtype == torch.float32 and torch.equal(mixed, head(x))
    assert torch.equal(coarse, head(x.bfloat16().float()))


def test_policies_keep_float32_under_autocast():
    torch.manual_seed(0)
    x = torch.randn(200, 64)
    for head in (Categorical(64, 4), Gaussian(64, 2)):
        with torch.autocast("cpu", torch.bfloat16):
            params = head(x.bfloat16(), None)
        assert torch.equal(params, head(x.bfloat16().float(), None))
