"""What a policy-gradient agent is before it has learned anything."""

import itertools

import pytest
import torch

from agents import clone, policy_gradient
from agents.core.clock import Clock
from agents.core.rows import Batch, Context, Spec, TimeStep
from experiments import lab


@pytest.mark.parametrize("idle, expected", [(0.0, 1 / 3), (0.9, 0.9)])
def test_idle_is_the_first_share_of_action_0(idle, expected):
    config = policy_gradient.PolicyGradientConfig(initial_noop_probability=idle, hidden=8, rollout=4)
    spec = Spec((3,), "float32", 1, 3)
    agent = policy_gradient.build(config, spec, Context(Clock(100), torch.device("cpu"), 0, 2))
    obs = torch.randn((4000, 1, 3), generator=torch.Generator().manual_seed(1))
    action = agent.act(TimeStep(obs, None, None, None, None)).action
    shares = torch.bincount(action, minlength=3) / len(action)
    assert shares[0] == pytest.approx(expected, abs=0.03)
    assert shares[1] == pytest.approx(shares[2].item(), abs=0.03)


def test_idle_leaves_continuous_policies_alone():
    config = policy_gradient.PolicyGradientConfig(initial_noop_probability=0.9, hidden=8, rollout=4)
    spec = Spec((3,), "float32", 1, 0, 2)
    agent = policy_gradient.build(config, spec, Context(Clock(100), torch.device("cpu"), 0, 2))
    assert agent.network.policy.mean.bias.abs().max() == 0


def rollout(agent, num_envs=2):
    """A whole batch of `agent`'s own actions in a world that rewards nothing but chance."""
    length, rows = agent.config.rollout + 1, torch.Generator().manual_seed(3)
    obs = torch.randn((num_envs, length, 1, 3), generator=rows)
    told = {k: torch.randn((num_envs, length, *v.shape), generator=rows) for k, v in agent.needs.info.items()}
    acts = [
        agent.act(TimeStep(obs[:, t], None, None, None, None, info={k: v[:, t] for k, v in told.items()}))
        for t in range(length)
    ]
    ones = torch.ones(num_envs, length)
    extras = {k: torch.stack([a.extras[k] for a in acts], 1) for k in acts[0].extras}
    return Batch(
        obs=obs, action=torch.stack([a.action for a in acts], 1), reward=torch.randn(ones.shape, generator=rows),
        discount=ones, first=ones < 0, last=ones < 0, legal=None, memory=None, weight=ones[:, :-1],
        index=torch.arange(num_envs), extras=extras,
    )  # fmt: skip


DISCRETE = Spec((3,), "float32", 1, 3)


def learner(spec=DISCRETE, **changed):
    config = policy_gradient.PolicyGradientConfig(
        hidden=8, rollout=8, epochs=1, minibatch=0, precision="fp32", **changed
    )
    return policy_gradient.build(config, spec, Context(Clock(1000), torch.device("cpu"), 0, 2))


def moved(agent, before):
    """The parts of the network of which some weight is another than `before`."""
    after = agent.network.state_dict()
    return {k.split(".")[0] for k in after if not torch.equal(after[k], before[k])}


@pytest.mark.parametrize("critic", ["own", "privileged"])
def test_a_critic_apart_and_the_policy_never_move_each_other(critic):
    """Only the value is learned: the policy stays as it is; without a value loss the critic does."""
    for changed, parts in (
        (dict(critic_warmup=1.0), {"critic", "value"}),
        (dict(value_coef=0.0), {"encoder", "policy"}),
        ({}, {"encoder", "policy", "critic", "value"}),
    ):
        agent = learner(critic=critic, **changed)
        before = {k: v.clone() for k, v in agent.network.state_dict().items()}
        list(agent.learn(rollout(agent)))
        assert moved(agent, before) == parts
    shared = learner(value_coef=0.0)
    before = {k: v.clone() for k, v in shared.network.state_dict().items()}
    list(shared.learn(rollout(shared)))
    assert moved(shared, before) == {"encoder", "policy"}


def test_the_policys_share_of_the_learning_rate():
    """Adam's first step is the learning rate, for every weight with a gradient."""
    agent = learner(critic="own", policy_lr_scale=0.1, lr=1e-2)
    before = {k: v.clone() for k, v in agent.network.state_dict().items()}
    list(agent.learn(rollout(agent)))
    after = agent.network.state_dict()
    largest = {k: (after[k] - before[k]).abs().max().item() for k in ("policy.logits.bias", "value.value.bias")}
    assert largest["policy.logits.bias"] == pytest.approx(1e-3, rel=0.05)
    assert largest["value.value.bias"] == pytest.approx(1e-2, rel=0.05)


def test_a_critic_of_ones_own_begins_with_the_eyes_of_a_clone():
    spec = Spec((3,), "float32", 1, 0, 2)
    teacher = clone.build(clone.CloneConfig(hidden=8), spec, Context(Clock(10), torch.device("cpu"), 4, 1))
    for kind in ("own", "shared"):
        agent = learner(spec, critic=kind)
        agent.load_weights(teacher.state_dict())
        found = agent.network.state_dict()
        for name, weights in teacher.driver.encoder.state_dict().items():
            assert torch.equal(found[f"encoder.{name}"], weights)
            assert kind == "shared" or torch.equal(found[f"critic.{name}"], weights)
    own, shared, knowing = (learner(spec, critic=kind) for kind in ("own", "shared", "privileged"))
    for one, other in itertools.permutations((own, shared, knowing), 2):
        one.load_weights(other.state_dict())  # from one kind to the other
        assert torch.equal(one.network.policy.mean.weight, other.network.policy.mean.weight)


def test_what_a_critic_is_told_is_learned_from_and_not_needed_to_play():
    """The value follows the numbers, whatever is seen; a player that is told nothing acts, and has no value to show."""
    agent = learner(critic="privileged", privileged_size=2)
    obs, told = torch.zeros(2, 1, 3), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    step = TimeStep(obs, None, None, None, None)
    value = agent.act(step._replace(info={"numbers": told})).extras["value"]
    assert value[0] != value[1] and torch.equal(agent.explain(step._replace(info={"numbers": told}))["value"], value)
    assert agent.act(step, explore=False).action.shape == (2,) and "value" not in agent.explain(step)
    told_nothing = agent.act(step)  # `evaluate --policy sampled`
    assert told_nothing.action.shape == (2,) and set(told_nothing.extras) == {"logp"}


def test_numbers_that_a_game_does_not_tell_are_refused_by_name():
    config = {"agent": "ppo", "agent_config": dict(critic="privileged", hidden=8, rollout=4), "num_envs": 2, "seed": 0}
    for game, env in (("flappy", {}), ("kart", {"obs": "state"})):
        with pytest.raises(ValueError, match="--critic privileged"):
            lab.assemble({**config, "game": game, "env": env, "steps": 10}, torch.device("cpu"))
    told = {"obs": "state", "privileged_info": True}
    lab.assemble({**config, "game": "kart", "env": told, "steps": 10}, torch.device("cpu")).stream.close()


@pytest.mark.parametrize("wrong", [dict(critic="both"), dict(critic="own", recurrent=8), dict(policy_lr_scale=0.5)])
def test_critics_that_cannot_be_are_refused_by_name(wrong):
    with pytest.raises(ValueError, match="--critic"):
        policy_gradient.PolicyGradientConfig(**wrong)


def test_spectral_norm_moves_by_learning_alone():
    """Acting and explaining leave the vectors of its power iteration as they are, and the actor takes the learner's."""
    spec = Spec((24, 24), "uint8", 2, 3)
    config = policy_gradient.PolicyGradientConfig(encoder="btr", hidden=8, rollout=4, precision="fp32")
    agent = policy_gradient.build(config, spec, Context(Clock(1000), torch.device("cpu"), 0, 2))
    obs = torch.randint(0, 256, (2, 2, 24, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    step = TimeStep(obs, None, None, None, None)
    first = agent.explain(step)
    for _ in range(3):
        agent.act(step)
    assert all(torch.equal(v, first[k]) for k, v in agent.explain(step).items())
    for _ in range(5):
        agent.network(obs, None, None, torch.zeros(2, dtype=torch.bool))  # as learning does: it moves them
    other = policy_gradient.build(config, spec, Context(Clock(1000), torch.device("cpu"), 1, 2))
    other.load_weights(agent.state_dict())
    agent.network.eval()
    value = agent.network(obs, None, None, torch.zeros(2, dtype=torch.bool))[1]
    torch.testing.assert_close(other.explain(step)["value"], value)
