"""The parts of the DQN family against literal arithmetic, each written out slowly."""

import copy
import math

import pytest
import torch

from agents import dqn, losses, optimizers
from agents.core import device as devices
from agents.core.clock import Clock
from agents.core.rows import Batch, Context, Spec, TimeStep
from agents.heads import ActionValues, Cosine
from agents.perception.encoders import NoisyLinear, build

SPEC = Spec((3,), "float32", 1, num_actions=3)


def small(name: str, **changed) -> dqn.DQN:
    tiny = {"hidden": 8, "warmup": 10, "replay": 100, "precision": "fp32"}
    config = dqn.DQNConfig(**{**dqn.PRESETS[name], **tiny, **changed})
    return dqn.build(config, SPEC, Context(Clock(100), torch.device("cpu"), 0, 2))


def batch_of(n: int, length: int, generator: torch.Generator) -> Batch:
    last = torch.rand((n, length), generator=generator) < 0.2
    return Batch(
        obs=torch.randn((n, length, 1, 3), generator=generator),
        action=torch.randint(3, (n, length), generator=generator),
        reward=torch.randn((n, length), generator=generator),
        discount=(torch.rand((n, length), generator=generator) < 0.8).float(),
        first=torch.zeros(n, length, dtype=torch.bool),
        last=last,
        legal=None,
        extras={},
        memory=None,
        weight=(~last[:, :-1]).float(),
        index=torch.arange(n),
    )


def test_projection_is_bellemares_algorithm():
    generator = torch.Generator().manual_seed(0)
    support = torch.linspace(-2, 3, 11)
    p = torch.softmax(torch.randn((20, 11), generator=generator), 1)
    reward = torch.randn(20, generator=generator) * 2
    discount = torch.rand(20, generator=generator)
    z = reward[:, None] + discount[:, None] * support
    wanted = torch.zeros(20, 11)
    for i in range(20):  # algorithm 1 of the paper, word by word
        for j in range(11):
            value = min(max(reward[i].item() + discount[i].item() * support[j].item(), -2.0), 3.0)
            b = (value + 2) / 0.5
            low, high = math.floor(b), math.ceil(b)
            if low == high:
                wanted[i, low] += p[i, j]
            else:
                wanted[i, low] += p[i, j] * (high - b)
                wanted[i, high] += p[i, j] * (b - low)
    got = losses.categorical_projection(z, p, support)
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(got.sum(1), torch.ones(20))


def test_projection_by_hand():
    support = torch.tensor([0.0, 1.0, 2.0])
    got = losses.categorical_projection(torch.tensor([[0.25, 1.5, 9.0]]), torch.tensor([[0.4, 0.4, 0.2]]), support)
    torch.testing.assert_close(got, torch.tensor([[0.3, 0.1 + 0.2, 0.2 + 0.2]]))


def test_quantile_loss_is_its_double_sum():
    generator = torch.Generator().manual_seed(1)
    theta, target = torch.randn((6, 5), generator=generator), torch.randn((6, 7), generator=generator)
    tau = torch.rand((6, 5), generator=generator)
    for bound in (1.0, 0.3, 0.0):
        wanted = []
        for b in range(6):
            total = 0.0
            for i in range(5):
                for j in range(7):
                    u = (target[b, j] - theta[b, i]).item()
                    tilt = abs(tau[b, i].item() - (u < 0))
                    if bound == 0:
                        total += tilt * 0.5 * u * u / 7
                    elif abs(u) <= bound:
                        total += tilt * 0.5 * u * u / bound / 7
                    else:
                        total += tilt * (abs(u) - 0.5 * bound) / 7
            wanted.append(total)
        torch.testing.assert_close(losses.quantile_regression(theta, tau, target, bound), torch.tensor(wanted))


def test_quantile_regression_finds_the_quantiles_of_a_sample():
    sample = torch.linspace(0, 10, 101)[None]  # uniform on 0..10
    levels = torch.tensor([[0.1, 0.5, 0.9]])
    theta = torch.zeros(1, 3, requires_grad=True)
    optimizer = torch.optim.Adam([theta], lr=0.05)
    for _ in range(1500):
        optimizer.zero_grad()
        losses.quantile_regression(theta, levels, sample, 0.01).sum().backward()
        optimizer.step()
    torch.testing.assert_close(theta.detach(), torch.tensor([[1.0, 5.0, 9.0]]), atol=0.15, rtol=0)


def test_munchausen_bonus_by_hand():
    q = torch.tensor([[1.0, 1.03, 0.5]])
    logits = [x / 0.03 for x in (1.0, 1.03, 0.5)]
    norm = math.log(sum(math.exp(x - max(logits)) for x in logits)) + max(logits)
    for a in range(3):
        wanted = 0.9 * max(0.03 * (logits[a] - norm), -0.2)
        got = losses.munchausen_bonus(q, torch.tensor([a]), 0.9, 0.03, -0.2)
        assert got.item() == pytest.approx(wanted, rel=1e-4, abs=1e-6)


def test_soft_policy_gives_illegal_actions_nothing():
    policy, logp = losses.soft_policy(torch.tensor([[0.0, 5.0, 1.0]]), 0.03, torch.tensor([[True, False, True]]))
    assert policy[0, 1] == 0 and policy.sum() == pytest.approx(1)
    assert torch.isfinite(policy * logp).all()


def test_centred_rmsprop_is_the_papers_formula():
    p = torch.nn.Parameter(torch.tensor([1.0]))
    optimizer = optimizers.CentredRMSProp([p], lr=0.1, decay=0.95, eps=0.01)
    x, mean, square = 1.0, 0.0, 0.0
    for g in (0.5, -2.0, 3.0, 0.01):
        p.grad = torch.tensor([g])
        optimizer.step()
        mean, square = 0.95 * mean + 0.05 * g, 0.95 * square + 0.05 * g * g
        x -= 0.1 * g / math.sqrt(square - mean * mean + 0.01)
        assert p.item() == pytest.approx(x, rel=1e-5)


def test_centred_rmsprop_stands_gradients_that_stay_the_same():
    """Their variance is 0, which rounding turns into less than that."""
    p = torch.nn.Parameter(torch.ones(50))
    optimizer = optimizers.CentredRMSProp([p], lr=1e-9, eps=1e-8)
    for _ in range(300):
        p.grad = torch.linspace(0.1, 30.0, 50)
        optimizer.step()
    assert torch.isfinite(p).all()


def test_radam_is_torchs_own_in_fewer_passes():
    """Before and after the step from which the second moment counts, with a rate that changes, and after a reload."""
    draw = torch.Generator().manual_seed(1)
    mine, theirs = ([torch.nn.Parameter(x.clone()) for x in (torch.ones(4, 3), torch.zeros(5))] for _ in range(2))
    ours, known = optimizers.build("radam", mine, 0.1, 1e-5), torch.optim.RAdam(theirs, lr=0.1, eps=1e-5)
    assert type(ours) is not type(known)
    for t in range(60):
        for p, q in zip(mine, theirs, strict=True):
            p.grad = torch.randn(p.shape, generator=draw)
            q.grad = p.grad.clone()
        for optimizer in (ours, known):
            optimizers.set_rate(optimizer, 0.1 / (1 + t))
            optimizer.step()
        torch.testing.assert_close(mine, theirs, rtol=2e-6, atol=2e-6)
        if t == 30:
            again = optimizers.build("radam", mine, 0.1, 1e-5)
            optimizers.load(again, ours.state_dict())
            ours = again


def test_noisy_layer_is_its_definition_and_can_be_silent():
    layer = NoisyLinear(4, 3)
    x = torch.randn(5, 4)
    layer.redraw(torch.Generator().manual_seed(0))
    weight = layer.weight + layer.weight_sigma * torch.outer(layer.noise_out, layer.noise_in)
    torch.testing.assert_close(layer(x), x @ weight.T + layer.bias + layer.bias_sigma * layer.noise_out)
    noisy = layer(x)
    layer.silence()
    torch.testing.assert_close(layer(x), x @ layer.weight.T + layer.bias)
    assert not torch.equal(noisy, layer(x))


def test_dueling_streams_recombine():
    head = ActionValues(4, 6, 3, atoms=2, dueling=True)
    x = torch.randn(5, 4)
    a = head.advantage(torch.relu(head.hidden(x))).view(5, 3, 2)
    v = head.value(torch.relu(head.value_hidden(x))).view(5, 1, 2)
    torch.testing.assert_close(head(x), v + a - a.mean(1, keepdim=True))
    torch.testing.assert_close(head(x).mean(1), v[:, 0])


def test_cosine_embedding_is_its_definition():
    cosine = Cosine(4, cosines=5)
    x, tau = torch.randn(2, 4), torch.tensor([[0.1, 0.7, 1.0], [0.0, 0.5, 0.3]])
    for b in range(2):
        for k in range(3):
            basis = torch.tensor([math.cos(math.pi * i * tau[b, k].item()) for i in range(5)])
            torch.testing.assert_close(cosine(x, tau)[b, k], x[b] * torch.relu(cosine.linear(basis)))


def targets(agent, batch):
    """What row 0 of every window should have learned, [B]."""
    drawn = agent._look_ahead(agent._transitions(batch))
    return agent._target(drawn, torch.arange(len(batch.index)))[:, 0]


def test_n_step_double_target_is_the_textbook_sum():
    agent = small("dqn", double=True, n_step=3, reward_clip=0.0, gamma=0.9)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for p in agent.target.parameters():
            p.add_(torch.randn(p.shape, generator=generator) * 0.3)
    batch = batch_of(40, 4, generator)
    got = targets(agent, batch)
    for b in range(40):
        total, factor, t = 0.0, 1.0, 0
        while t < 3:
            total += factor * batch.reward[b, t + 1].item()
            factor *= 0.9 * batch.discount[b, t + 1].item()
            t += 1
            if batch.last[b, t]:
                break
        with torch.no_grad():
            best = agent.online(batch.obs[b : b + 1, t])[0, :, 0].argmax()
            total += factor * agent.target(batch.obs[b : b + 1, t])[0, best, 0].item()
        assert got[b].item() == pytest.approx(total, abs=1e-4)


def test_an_action_without_an_alternative_gets_no_munchausen_bonus():
    """A lost life forces FIRE: the policy had nothing to choose there, log pi is 0."""
    agent = small("dqn", munchausen=0.9, reward_clip=0.0, gamma=0.9)
    batch = batch_of(10, 2, torch.Generator().manual_seed(3))
    legal = torch.zeros(*batch.action.shape, 3, dtype=torch.bool).scatter(2, batch.action[..., None], True)
    with torch.no_grad():
        later = agent.target(batch.obs[:, 1])[..., 0].gather(1, batch.action[:, 1:2]).squeeze(1)
    wanted = batch.reward[:, 1] + 0.9 * batch.discount[:, 1] * later  # the later row has one action as well
    got = targets(agent, batch._replace(legal=legal))
    torch.testing.assert_close(torch.as_tensor(got), wanted, atol=1e-4, rtol=0)
    legal[:, 0] = True
    punished = torch.as_tensor(targets(agent, batch._replace(legal=legal)))
    assert (punished <= wanted + 1e-4).all() and (punished < wanted - 0.01).any()


def test_munchausen_target_is_the_papers_equation():
    agent = small("dqn", munchausen=0.9, reward_clip=0.0, gamma=0.9)
    generator = torch.Generator().manual_seed(3)
    batch = batch_of(10, 2, generator)
    got = targets(agent, batch)
    with torch.no_grad():
        now, later = agent.target(batch.obs[:, 0])[..., 0], agent.target(batch.obs[:, 1])[..., 0]
    for b in range(10):
        log_now, log_later = torch.log_softmax(now[b] / 0.03, 0), torch.log_softmax(later[b] / 0.03, 0)
        bonus = 0.9 * max(min(0.03 * log_now[batch.action[b, 0]].item(), 0.0), -1.0)
        soft = sum(math.exp(log_later[a]) * (later[b, a] - 0.03 * log_later[a]).item() for a in range(3))
        wanted = batch.reward[b, 1].item() + bonus + 0.9 * batch.discount[b, 1].item() * soft
        assert got[b].item() == pytest.approx(wanted, abs=1e-4)


def test_the_priority_of_c51_is_its_loss():
    """The cross entropy of prediction and target, as the sum over atoms says it."""
    agent = small("c51", prioritized=True)
    batch = batch_of(12, 2, torch.Generator().manual_seed(7))
    rows = torch.arange(12)
    target = agent._target(agent._look_ahead(agent._transitions(batch)), rows)
    with torch.no_grad():
        told = torch.log_softmax(agent.online(batch.obs[:, 0])[rows, batch.action[:, 0]], 1)
    wanted = [-sum(t * q for t, q in zip(*pair, strict=True))
              for pair in zip(target.tolist(), told.tolist(), strict=True)]  # fmt: skip
    (learned,) = agent.learn(batch)
    torch.testing.assert_close(learned.priority.value, torch.tensor(wanted) * batch.weight[:, 0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", list(dqn.PRESETS))
def test_every_preset_acts_learns_and_resumes(name):
    agent = small(name)
    generator = torch.Generator().manual_seed(4)
    step = TimeStep(torch.randn(2, 1, 3), torch.zeros(2), torch.ones(2), torch.zeros(2).bool(), torch.zeros(2).bool(),
                    torch.tensor([[False, True, False], [True, True, True]]))  # fmt: skip
    for _ in range(20):
        assert agent.act(step).action[0] == 1  # the only legal action, exploration included
    batch = batch_of(8, agent.needs.window, generator)
    before = [p.clone() for p in agent.online.parameters()]
    (learned,) = agent.learn(batch)
    assert all(torch.isfinite(v).all() for v in learned.metrics.values())
    assert any(not torch.equal(a, b) for a, b in zip(before, agent.online.parameters(), strict=True))
    assert (learned.priority is not None) == agent.config.prioritized
    other = small(name)
    other.load_state_dict(agent.state_dict())
    for mine, theirs in zip(agent.learn(batch), other.learn(batch), strict=True):
        assert torch.equal(mine.metrics["loss"], theirs.metrics["loss"])


def test_target_network_differs_between_copies_and_equals_right_after():
    agent = small("dqn", target_period=50)
    batch = batch_of(8, 2, torch.Generator().manual_seed(5))
    list(agent.learn(batch))
    pairs = list(zip(agent.online.parameters(), agent.target.parameters(), strict=True))
    assert any(not torch.equal(a, b) for a, b in pairs)
    agent.clock.steps = 50
    kept = [p.clone() for p in agent.online.parameters()]
    list(agent.learn(batch))
    assert all(torch.equal(a, b) for a, b in zip(kept, agent.target.parameters(), strict=True))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (dict(noisy=True), "--noisy and --epsilon"),
        (dict(munchausen=0.9, head="categorical"), "--munchausen has no form"),
        (dict(munchausen=0.9, double=True), "no action for --double to choose"),
        (dict(spectral=True), "--spectral: of --encoder impala; name --no-spectral with auto"),
        (
            dict(encoder="btr", encoder_width=3, pool=True),
            "--encoder-width and --pool: of .* name --encoder-width 1 --no-pool with btr",
        ),
        (dict(head="quantil"), "--head quantil: choose"),
        (dict(head="categorical", v_min=1.0, v_max=1.0), "--v-min"),
        (dict(optimizer="sgd"), "--optimizer sgd"),
        (dict(ratio=0.0), "--ratio"),
        (dict(replay=10**400), "--replay 1000"),
        (dict(epsilon_decay=0.0), "--epsilon-decay"),
        (dict(warmup=10, replay=5), "--warmup 10"),
    ],
)
def test_contradictions_are_refused_by_name(wrong, message):
    with pytest.raises(ValueError, match=message):
        dqn.DQNConfig(**wrong)


def test_btr_is_its_papers_table():
    """Table D6 of Clark et al. (2024): a step of 64 environments, one update of 256, the target after 500 updates."""
    c = dqn.DQNConfig(**dqn.PRESETS["btr"])
    assert c.ratio * 64 == c.batch == 256 and c.target_period * c.ratio / c.batch == 500
    assert (c.replay, c.warmup, c.n_step, c.atoms, c.hidden) == (2**20, 200_000, 3, 8, 512)
    assert (c.lr, c.lr_end, c.gamma, c.alpha, c.huber, c.max_grad_norm) == (1e-4, 1.0, 0.997, 0.2, 1.0, 10.0)
    assert (c.munchausen, c.temperature, c.munchausen_clip) == (0.9, 0.03, -1.0) and c.eps == pytest.approx(
        1.95e-5, rel=2e-3
    )
    assert (c.encoder, c.encoder_width, c.pool, c.spectral) == ("impala", 2, True, True)
    assert c.noisy and c.dueling and c.prioritized and c.head == "implicit" and c.optimizer == "adam" and not c.double


@pytest.mark.parametrize("bound", [0.0, 0.5, 100.0])
def test_clip_is_torchs_clip(bound):
    generator = torch.Generator().manual_seed(4)
    ours = [torch.nn.Parameter(torch.zeros(shape)) for shape in ((3, 4), (5,))]
    theirs = [torch.nn.Parameter(torch.zeros_like(p)) for p in ours]
    for p, q in zip(ours, theirs, strict=True):
        p.grad = torch.randn(p.shape, generator=generator)
        q.grad = p.grad.clone()
    norm = optimizers.clip(ours, bound)
    torch.testing.assert_close(norm, torch.nn.utils.clip_grad_norm_(theirs, bound or float("inf")))
    for p, q in zip(ours, theirs, strict=True):
        torch.testing.assert_close(p.grad, q.grad)


@pytest.mark.parametrize("changed", [{}, {"dueling": True}, {"noisy": True, "epsilon": 0.0, "epsilon_end": 0.0}])
def test_a_target_rounded_once_gives_the_same_bits(changed):
    config = dqn.DQNConfig(hidden=8, warmup=10, replay=100, **changed)
    network = dqn.QNetwork(config, Spec((84, 84), "uint8", 4, 3))
    target = devices.rounded(copy.deepcopy(network), torch.bfloat16)
    assert target.encoder.convolutions[2].weight.dtype == torch.bfloat16
    obs = torch.randint(0, 256, (3, 4, 84, 84), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))
    with torch.no_grad(), devices.mixed(torch.device("cpu"), torch.bfloat16):
        assert torch.equal(network(obs), target(obs))


@pytest.mark.parametrize("changed", [{}, {"double": True, "n_step": 3}, {"munchausen": 0.9}])
def test_draws_that_come_together_are_learned_as_one_after_the_other(changed):
    """The target rests between them, so the weights are those of two separate draws."""
    whole = batch_of(16, 1 + changed.get("n_step", 1), torch.Generator().manual_seed(6))
    together, apart = small("dqn", batch=8, **changed), small("dqn", batch=8, **changed)
    assert len(list(together.learn(whole))) == 2
    for i in range(2):
        part = [x[i::2] if isinstance(x, torch.Tensor) else x for x in whole]
        assert len(list(apart.learn(Batch(*part)))) == 1
    for a, b in zip(together.online.parameters(), apart.online.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_only_learning_moves_the_vectors_of_spectral_norm():
    """What an agent does must not depend on how often it was asked before."""
    spec = Spec((84, 84), "uint8", 4, num_actions=4)
    config = dqn.DQNConfig(**{**dqn.PRESETS["btr"], "hidden": 16, "warmup": 10, "replay": 100, "precision": "fp32"})
    agent = dqn.build(config, spec, Context(Clock(100), torch.device("cpu"), 0, 2))
    pictures = torch.randint(0, 256, (2, 4, 84, 84), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    zeros = torch.zeros(2)
    step = TimeStep(pictures, zeros, zeros + 1, zeros.bool(), zeros.bool())
    before = {k: v.clone() for k, v in agent.online.state_dict().items() if "parametrizations" in k}
    assert before
    first, second = agent.explain(step)["values"], agent.explain(step)["values"]
    agent.act(step, explore=False)
    assert torch.equal(first, second)
    assert all(torch.equal(v, agent.online.state_dict()[k]) for k, v in before.items())
    agent.online(pictures)  # as learning does
    assert agent.online.training
    assert not all(torch.equal(v, agent.online.state_dict()[k]) for k, v in before.items())


@pytest.mark.parametrize("field, value", [("encoder_width", 2), ("pool", True), ("spectral", True)])
def test_each_part_of_the_residual_network_works_alone(field, value):
    spec = Spec((84, 84), "uint8", 4, num_actions=4)
    obs = torch.randint(0, 256, (3, 4, 84, 84), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    torch.manual_seed(0)
    plain = build((84, 84), 4, "impala", 0)
    config = dqn.DQNConfig(encoder="impala", replay=100, warmup=10, hidden=16, precision="fp32", **{field: value})
    agent = dqn.build(config, spec, Context(Clock(100), torch.device("cpu"), 0, 2))
    encoder = agent.online.encoder
    assert plain(obs).shape == (3, 32 * 11 * 11)
    wanted = {"encoder_width": 64 * 11 * 11, "pool": 32 * 6 * 6, "spectral": 32 * 11 * 11}[field]
    assert encoder.features == wanted and encoder(obs).shape == (3, wanted)
    residual = [m for name, m in encoder.named_modules() if name.endswith((".first", ".second"))]
    assert len(residual) == 12
    largest = [torch.linalg.matrix_norm(m.weight.flatten(1), 2).item() for m in residual]
    for _ in range(50):
        encoder(obs)
    settled = [torch.linalg.matrix_norm(m.weight.flatten(1), 2).item() for m in residual]
    if field == "spectral":  # the largest singular value of each of their weights comes to 1
        assert settled == pytest.approx([1.0] * 12, rel=0.02)
    else:
        assert settled == largest


def test_epsilon_falls_as_in_the_papers_code():
    """eps = end + max(0, (start - end) * (decay - max(0, step - learn_start)) / decay), of the code of Nature 2015."""
    agent = small("dqn", epsilon=1.0, epsilon_end=0.1, epsilon_decay=200.0, warmup=50)
    for step in (0, 30, 50, 51, 150, 249, 250, 260, 1000):
        agent.clock.steps = step
        assert agent.epsilon == pytest.approx(0.1 + max(0.0, 0.9 * (200 - max(0, step - 50)) / 200))
    agent = small("dqn", epsilon=1.0, epsilon_end=0.1, epsilon_decay=0.5, warmup=50)  # a share of the budget of 100
    assert [(setattr(agent.clock, "steps", s), agent.epsilon)[1] for s in (0, 25, 50, 90)] == pytest.approx(
        [1.0, 0.55, 0.1, 0.1]
    )
