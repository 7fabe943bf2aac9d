"""SAC against its definition: densities, targets, and which loss moves which weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from agents.configs.sac import Config
from agents.core.clock import Clock
from agents.core.device import generator
from agents.core.rows import Batch, Context, Spec
from agents.sac import SAC, Ensemble, SoftCategorical, SoftTransitions, SquashedGaussian

CPU = torch.device("cpu")
CONTINUOUS = Spec((3,), "float32", 1, 0, 2)
DISCRETE = Spec((3,), "float32", 1, 4, 0)


def agent(spec: Spec, **changed: object) -> SAC:
    settings = dict(hidden=8, batch=16, replay=100, warmup=20, temperature=0.3, tau=0.1, lr=1e-3)
    return SAC(Config(**{**settings, **changed}), spec, Context(Clock(1000), CPU, 3, 2))


def transitions(spec: Spec, n: int = 16, masks: bool = False) -> SoftTransitions:
    g = torch.Generator().manual_seed(5)
    obs, later = torch.randn((2, n, 1, 3), generator=g)
    action = torch.rand((n, 2), generator=g) * 2 - 1 if spec.action_dim else torch.randint(4, (n,), generator=g)
    legal = torch.rand((2, n, 4), generator=g) < 0.6
    legal[..., 0] = True
    weight = (torch.rand(n, generator=g) < 0.8).float()
    return SoftTransitions(
        obs, action, torch.randn(n, generator=g), torch.full((n,), 0.9), later, legal[0] if masks else None,
        legal[1] if masks else None, weight,
    )  # fmt: skip


def test_an_ensemble_is_so_many_networks() -> None:
    ensemble = Ensemble(3, [4, 5, 2])
    x = torch.randn(7, 4)
    for k, out in enumerate(ensemble(x)):
        layers = [nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)]
        for i, layer in enumerate(layers[::2]):
            layer.weight.data, layer.bias.data = ensemble.weights[i][k].T, ensemble.biases[i][k, 0]
        torch.testing.assert_close(out, nn.Sequential(*layers)(x))
    x.requires_grad_()
    ensemble(x, fixed=True).sum().backward()
    assert x.grad.abs().sum() > 0 and all(p.grad is None for p in ensemble.parameters())


def test_the_density_of_a_squashed_action_is_torchs() -> None:
    kind = SquashedGaussian(Config(), CONTINUOUS)
    out = torch.randn(500, 4) * 2
    action, logp = kind.sample(out, generator(CPU, 1))
    mean, log_std = kind.split(out)
    assert (log_std > -5).all() and (log_std < 2).all() and action.abs().max() <= 1
    inside = action.abs().amax(1) < 0.999  # beyond, the inverse of tanh is lost in float32
    assert inside.sum() > 200
    base = torch.distributions.Normal(mean[inside].double(), log_std[inside].double().exp())
    squashed = torch.distributions.TransformedDistribution(base, [torch.distributions.transforms.TanhTransform()])
    expected = squashed.log_prob(action[inside].double()).sum(1)
    torch.testing.assert_close(logp[inside].double(), expected, rtol=1e-2, atol=5e-2)


def test_the_entropy_of_the_samples_is_that_of_the_density() -> None:
    """A uniform density on [-1, 1]^2 is the broadest there is: no entropy lies above log 4."""
    kind = SquashedGaussian(Config(), CONTINUOUS)
    out = torch.zeros(20_000, 4)
    action, logp = kind.sample(out, generator(CPU, 2))
    counted, _, _ = np.histogram2d(*action.numpy().T, bins=20, range=[[-1, 1]] * 2)
    p = counted.ravel() / counted.sum()
    entropy = -(p[p > 0] * np.log(p[p > 0] / 0.01)).sum()  # bins of 0.1 x 0.1
    assert entropy == pytest.approx(float(-logp.mean()), abs=0.05) and entropy < math.log(4)


def test_targets_of_discrete_actions_are_sums() -> None:
    a, drawn = agent(DISCRETE), transitions(DISCRETE, masks=True)
    a.target.critics.weights[0].data.add_(0.1)  # the target is not the network
    out = a.network.policy(drawn.later.flatten(1))[0].detach()
    q = a.target.critics(drawn.later.flatten(1))
    expected = []
    for i in range(len(out)):
        legal = [k for k in range(4) if drawn.legal_later[i, k]]
        p = torch.softmax(out[i, legal], 0)
        soft = sum(float(p[j]) * (float(q[:, i, k].min()) - 0.3 * math.log(float(p[j]))) for j, k in enumerate(legal))
        expected.append(float(drawn.reward[i]) + 0.9 * soft)
    found = a._target(drawn, torch.tensor(0.3))
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-4, atol=1e-5)


def test_targets_of_continuous_actions_are_a_sample() -> None:
    a, drawn = agent(CONTINUOUS), transitions(CONTINUOUS)
    a.target.critics.weights[0].data.add_(0.1)
    state = a.generator.get_state()
    found = a._target(drawn, torch.tensor(0.3))
    later = drawn.later.flatten(1)
    again = torch.Generator()
    again.set_state(state)
    action, logp = a.kind.sample(a.network.policy(later)[0], again)
    one, two = a.target.critics(torch.cat([later, action], 1))[..., 0]
    torch.testing.assert_close(found, drawn.reward + 0.9 * (torch.minimum(one, two) - 0.3 * logp))


@pytest.mark.parametrize("spec", [CONTINUOUS, DISCRETE])
def test_each_loss_moves_its_own_weights(spec: Spec) -> None:
    """The gradients of one step are those of three separate losses; an absent transition adds nothing to any."""
    a, drawn = agent(spec, lr=1e-12), transitions(spec, masks=bool(spec.num_actions))
    state = a.generator.get_state()
    figures = dict(zip(("loss", "policy", "value"), a._update(*drawn)[:3], strict=True))
    grads = {name: p.grad.clone() for name, p in a.network.named_parameters()}
    weight = drawn.weight / drawn.weight.sum()

    b = agent(spec, lr=1e-12)
    b.generator.set_state(state)
    target = b._target(drawn, torch.tensor(0.3))
    seen = drawn.obs.flatten(1)
    q = b.kind.values(b.network.critics, seen, drawn.action)
    value_loss = (0.5 * (q - target).square().sum(0) * weight).sum()
    value_loss.backward()
    critics = {n: p.grad.clone() for n, p in b.network.named_parameters() if n.startswith("critics.")}
    b.network.zero_grad()
    best, entropy = b.kind.soft_value(b.network.critics, seen, b.network.policy(seen)[0], drawn.legal, b.generator)
    ((-best - 0.3 * entropy) * weight).sum().backward()
    policy = {n: p.grad for n, p in b.network.named_parameters() if n.startswith("policy.")}
    assert all(p.grad is None for n, p in b.network.named_parameters() if n.startswith("critics."))
    for name, grad in {**critics, **policy}.items():
        torch.testing.assert_close(grads[name], grad, msg=name)
    excess = (entropy * weight).sum() - b.kind.target_entropy  # above the target the temperature falls
    torch.testing.assert_close(grads["log_temperature"], excess.detach())
    torch.testing.assert_close(figures["value"], value_loss.detach())


@pytest.mark.parametrize("spec", [CONTINUOUS, DISCRETE])
def test_the_target_follows_slowly(spec: Spec) -> None:
    a, drawn = agent(spec), transitions(spec)
    before = [p.clone() for p in a.target.critics.parameters()]
    a._update(*drawn)
    for old, new, learned in zip(before, a.target.critics.parameters(), a.network.critics.parameters(), strict=True):
        torch.testing.assert_close(new.data, old + 0.1 * (learned.data - old))


def test_a_target_remembers_nothing_of_its_steps() -> None:
    """What it follows has gradients: a chain of every step since the beginning would stay in memory."""
    a, drawn = agent(CONTINUOUS), transitions(CONTINUOUS)
    for _ in range(2):
        a._update(*drawn)
    assert all(p.grad_fn is None and not p.requires_grad for p in a.target.parameters())


def test_planes_of_a_board_are_seen_as_planes() -> None:
    a = agent(Spec((5, 9, 9), "float32", 1, num_actions=82))
    first = a.network.encoder.convolutions[0]
    assert type(first) is nn.Conv2d and first.in_channels == 5  # numbers as they are, not pixels of 0 to 255


def test_the_temperature_seeks_the_target_entropy() -> None:
    """An entropy that is too low raises the temperature, one that is too high lowers it."""
    for share, rises in ((0.0, False), (1.0, True)):
        a = agent(DISCRETE, entropy_share=share, lr=1e-2)
        a.network.policy.biases[-1].data[..., 0] = 1.0  # in between
        before = float(a.network.log_temperature.detach())
        a._update(*transitions(DISCRETE))
        assert (float(a.network.log_temperature.detach()) > before) == rises


def test_windows_of_several_steps_end_where_the_game_does() -> None:
    """n = 3: the later row of a game that ends after one step is its last row."""
    a = agent(CONTINUOUS, n_step=3)
    seen = []
    a._learned = lambda *fields: seen.append(SoftTransitions(*fields)) or [torch.zeros(())] * 7
    obs = torch.arange(8.0).reshape(2, 4, 1, 1).expand(2, 4, 1, 3)
    last = torch.tensor([[False, True, False, False], [False, False, False, False]])
    discount = torch.ones(2, 4)
    discount[0, 1] = 0
    reward = torch.tensor([[0.0, 5, 7, 7], [0.0, 1, 1, 1]])
    batch = Batch(
        obs, torch.zeros(2, 4, 2), reward, discount, torch.zeros_like(last), last, None, {}, None, torch.ones(2, 3),
        torch.arange(2),
    )  # fmt: skip
    list(a.learn(batch))
    drawn = seen[0]
    torch.testing.assert_close(drawn.reward, torch.tensor([5.0, 1 + 0.99 + 0.99**2]))
    torch.testing.assert_close(drawn.discount, torch.tensor([0.0, 0.99**3]))
    assert drawn.later[0, 0, 0] == 1 and drawn.later[1, 0, 0] == 7


def test_only_legal_actions_count() -> None:
    kind = SoftCategorical(Config(), DISCRETE)
    legal = torch.tensor([[False, True, False, True]]).expand(400, 4)
    out = torch.tensor([[9.0, 0, 9, 0]]).expand(400, 4)
    for share in (0.0, 1.0):
        done = kind.choose(out, legal, share, generator(CPU, 1))
        assert set(done.tolist()) == {1, 3}
    critics = Ensemble(2, [3, 4])
    value, entropy = kind.soft_value(critics, torch.randn(400, 3), out, legal, generator(CPU, 1))
    torch.testing.assert_close(entropy, torch.full((400,), math.log(2)))
    assert torch.isfinite(value).all()
