"""Every agent learns: small worlds with known answers, in seconds, with thresholds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import worlds

import envs
from agents import AGENTS, BASELINES
from agents.core import training
from agents.core.evaluate import Policy, play
from agents.core.rows import TimeStep
from agents.core.stream import Stream
from experiments import building, configuration, lab

CPU = torch.device("cpu")
COMMON = dict(hidden=64, precision="fp32", reward_clip=0.0, gamma=0.9)


def critic(agent: Any, step: TimeStep) -> torch.Tensor:
    """V of each row, as a policy gradient keeps it."""
    return agent.act(step).extras["value"]


def soft_value(agent: Any, step: TimeStep) -> torch.Tensor:
    """V of each row: the lowest critic under SAC's policy; the temperature's share is small at the end."""
    features = agent.network.encoder(step.obs)
    with torch.no_grad():
        return agent.kind.soft_value(
            agent.network.critics, features, agent.network.policy(features)[0], step.legal, agent.generator
        )[0]


def best_action(agent: Any, step: TimeStep) -> torch.Tensor:
    """V of each row, as the value of its best action."""
    agent.online.noise(None)
    with torch.no_grad():
        return agent.online.mean(agent.online(step.obs), agent.categorical).max(1).values


class Row(NamedTuple):
    """How an agent is set up for the small worlds."""

    config: dict[str, Any]
    value: Callable[[Any, TimeStep], torch.Tensor] | None
    continuous: bool = False  # does it take continuous actions?
    effort: float = 1.0  # how many times the usual steps it is given


PG = dict(**COMMON, lr=3e-3)
DQN = dict(
    **COMMON, lr=2e-3, batch=32, ratio=8.0, replay=4_000, warmup=200, target_period=50, epsilon_end=0.05,
    epsilon_decay=0.5,
)  # fmt: skip
NOISY = {**DQN, "epsilon_decay": 1.0, "epsilon_end": 0.0}
LEARNERS = {
    "ppo": Row(dict(**PG, rollout=16, epochs=4, minibatch=64, clip=0.2, lr_end=0.1), critic, continuous=True, effort=3),
    "a2c": Row(dict(**PG, optimizer="adam", lr_end=1.0), critic, continuous=True, effort=4),
    "impala": Row(dict(**PG, optimizer="adam", lr_end=1.0, rollout=5), critic, continuous=True, effort=4),
    "reinforce": Row({**PG, "lr": 1e-2, "lr_end": 1.0, "rollout": 16}, critic, continuous=True, effort=4),
    "pqn": Row({**PG, "rollout": 16, "minibatch": 32, "epsilon_decay": 0.5, "epsilon_end": 0.05}, critic, effort=4),
    "dqn": Row(DQN, best_action),
    "c51": Row({**DQN, "v_max": 12.0, "v_min": 0.0}, best_action),
    "qrdqn": Row({**DQN, "atoms": 16}, best_action),
    "iqn": Row({**DQN, "atoms": 8}, best_action),
    "rainbow": Row({**NOISY, "v_max": 12.0, "v_min": 0.0}, best_action, effort=2),
    "sac": Row(
        dict(
            **COMMON, lr=3e-3, batch=64, ratio=16.0, replay=4_000, warmup=200, tau=0.05, temperature=0.1,
            entropy_share=0.02, entropy_per_axis=-3.0,
        ),
        soft_value,
        continuous=True,
        effort=2,
    ),
    # With a teacher in the world. Cloning sees the corridor only as the teacher does, and that is enough.
    "clone": Row(dict(hidden=64, precision="fp32", lr=3e-3, warmup=100, batch=32, replay=4_000), None, continuous=True),
    "dagger": Row(
        dict(hidden=64, precision="fp32", lr=3e-3, batch=32, replay=4_000, rows_per_round=200, updates_per_round=100),
        None,
        continuous=True,
    ),
    # Noisy layers of this size give up exploring before every context of the bandit is known (rainbow's first values
    # are optimistic: the middle of its atoms), so btr explores as DQN does.
    "btr": Row(
        {
            **DQN,
            "noisy": False,
            "epsilon": 1.0,
            "encoder": "auto",
            "encoder_width": 1,
            "pool": False,
            "spectral": False,
        },
        best_action,
    ),
}
OF_SB3 = {  # algorithms of stable-baselines3, in their own loop
    "sb3-ppo": dict(n_steps=16, batch_size=64, clip_range=0.2, ent_coef=0.0, learning_rate=3e-3),
    "sb3-dqn": dict(
        learning_starts=200, buffer_size=4_000, target_update_interval=50, exploration_fraction=0.5,
        exploration_final_eps=0.05, learning_rate=2e-3,
    ),
}  # fmt: skip
VALUED = [agent for agent, row in LEARNERS.items() if row.value]
OTHERS = {
    "random": "has nothing to learn",
    "alphazero": "needs a game with compiled rules: tests/test_alphazero.py",
    "sb3-a2c": "sb3-ppo's adapter, with SB3's own settings",
    "sb3-qrdqn": "sb3-dqn's adapter, with sb3-contrib's own settings",
}  # registered agents that this file does not train, and why
FAST = ("ppo", "dqn")  # are trained on every world in the fast run; the rest there in a slow one
HEAVY = ("rainbow", "btr", "iqn")  # are slow in every world: theirs are the networks with the most arithmetic


def config_of(agent: str, world: str, steps: int, num_envs: int = 8, seed: int = 3, **changed: Any) -> dict[str, Any]:
    """What `lab.assemble` needs. `changed`: fields of the agent's configuration."""
    known = building.module(agent).PRESETS[agent]
    settings = LEARNERS[agent].config if agent in LEARNERS else {}
    return {
        "game": "worlds", "agent": agent, "seed": seed, "steps": steps, "num_envs": num_envs,
        "agent_config": {**known, **settings, **changed}, "env": {"world": world},
    }  # fmt: skip


def trained(agent: str, world: str, steps: int, **changed: Any) -> lab.Lab:
    changed = {k: v for k, v in changed.items() if k in configuration.fields(building.module(agent).Config)}
    parts = lab.assemble(config_of(agent, world, steps, **changed), CPU)
    assert training.train(parts.loop)
    assert parts.clock.steps >= steps and parts.clock.updates > 10
    return parts


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(envs.GAMES, "worlds", "worlds")


def test_every_registered_agent_has_a_row_here() -> None:
    told = "a new agent needs a row in LEARNERS or OF_SB3 (or a reason in OTHERS)"
    assert {*LEARNERS, *OF_SB3, *OTHERS} == {*AGENTS, *BASELINES}, told


def others_are_slow(agents: Iterable[str]) -> list[Any]:
    return [pytest.param(a, marks=() if a in FAST else pytest.mark.slow) for a in agents]


def every(world: str) -> list[Any]:
    """The agents that can play `world`; those that are not in FAST are slow there."""
    return others_are_slow(a for a, row in LEARNERS.items() if row.continuous or world != "target")


def heavy_are_slow(agents: Iterable[str]) -> list[Any]:
    return [pytest.param(a, marks=pytest.mark.slow if a in HEAVY else ()) for a in agents]


def games(parts: lab.Lab, world: str, policy: str | None = None) -> tuple[float, float]:
    """Mean score and mean length of 40 games."""
    stream = Stream(worlds.make_vec(8, world=world))
    played = play(Policy(parts.agent, policy or parts.agent.evaluation, stream.spec, 5), stream, 40, 5)
    return float(np.mean([e.score for e in played])), float(np.mean([e.length for e in played]))


def test_worlds_are_not_won_by_chance() -> None:
    """The thresholds below are out of reach of a player who has learned nothing."""
    score, length = {}, {}
    for world in ("bandit", "picture", "corridor", "grid", "target"):
        score[world], length[world] = games(lab.assemble(config_of("random", world, 1), CPU), world)
    assert score["bandit"] < 3 and score["picture"] < 3 and score["target"] < 4
    assert length["corridor"] > 12 and length["grid"] > 9


@pytest.mark.parametrize("agent", heavy_are_slow(LEARNERS))
def test_contexts_in_a_vector(agent: str) -> None:
    parts = trained(agent, "bandit", int(1_500 * LEARNERS[agent].effort))
    assert games(parts, "bandit")[0] > 7  # of 8; by chance 2


@pytest.mark.parametrize("agent", every("picture"))
def test_contexts_in_a_picture(agent: str) -> None:
    parts = trained(agent, "picture", int(1_500 * LEARNERS[agent].effort))
    assert games(parts, "picture")[0] > 7


@pytest.mark.parametrize("agent", every("corridor"))
def test_a_delayed_reward(agent: str) -> None:
    parts = trained(agent, "corridor", int(2_500 * LEARNERS[agent].effort))
    score, length = games(parts, "corridor")
    assert score == 1 and length < 6.5  # 5 decisions at best


@pytest.mark.parametrize("agent", OF_SB3)
@pytest.mark.parametrize(
    ("world", "steps"), [("bandit", 4_000), pytest.param("corridor", 5_000, marks=pytest.mark.slow)]
)
def test_stable_baselines3_learns_from_our_rows(agent: str, world: str, steps: int) -> None:
    """Contexts, and a delayed reward, as a run of it is trained."""
    config = config_of(agent, world, steps, **OF_SB3[agent], gamma=0.9, reward_clip=0.0)
    parts = lab.assemble(config, building.device_for(agent, "auto"))
    parts.stream.reset(3, 0)
    assert parts.agent.train_alone(parts.stream, [], lambda: False, lambda: 0.0)
    assert steps <= parts.clock.steps < 1.1 * steps and parts.clock.updates > 100
    score, length = games(parts, world)
    assert score > 7 if world == "bandit" else score == 1 and length < 6.5  # 8 of 8; 5 decisions


@pytest.mark.slow
@pytest.mark.parametrize("agent", LEARNERS)
def test_a_goal_in_a_grid(agent: str) -> None:
    parts = trained(agent, "grid", int(15_000 * LEARNERS[agent].effort))
    score, length = games(parts, "grid")
    assert score > 0.95 and length < 4.5  # 2.7 decisions at best


@pytest.mark.parametrize("agent", every("target"))
def test_continuous_actions(agent: str) -> None:
    parts = trained(agent, "target", int(5_000 * LEARNERS[agent].effort), gamma=0.0)
    assert games(parts, "target", "greedy")[0] > 7.5  # of 8


@pytest.mark.slow
def test_continuous_actions_with_a_critic_of_its_own() -> None:
    parts = trained("ppo", "target", 15_000, gamma=0.0, critic="own", policy_lr_scale=0.5)
    assert games(parts, "target", "greedy")[0] > 7.5  # of 8


@pytest.mark.parametrize("agent", others_are_slow(VALUED))
def test_a_time_limit_is_not_the_end(agent: str) -> None:
    """A world that pays 1 for ever and is cut by a clock is worth 1 / (1 - gamma); learned as death it would be 5.7."""
    parts = trained(agent, "forever", int(2_500 * LEARNERS[agent].effort))
    value = LEARNERS[agent].value(parts.agent, parts.stream.step)
    torch.testing.assert_close(value, torch.full((8,), 10.0), rtol=0.05, atol=0)


@pytest.mark.parametrize("agent", others_are_slow(VALUED))
def test_the_end_by_the_rules_is_the_end(agent: str) -> None:
    parts = trained(agent, "ending", int(1_500 * LEARNERS[agent].effort))
    obs = torch.eye(4)[:3, None]  # [3, stack 1, 4]: after 0, 1 and 2 decisions
    no, yes = torch.zeros(3, dtype=torch.bool), torch.ones(3)
    value = LEARNERS[agent].value(parts.agent, TimeStep(obs, yes, yes, no, no))
    torch.testing.assert_close(value, torch.tensor([1 + 0.9 + 0.81, 1 + 0.9, 1.0]), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("agent", heavy_are_slow(a for a in AGENTS if a != "alphazero"))
def test_only_legal_actions_are_done_and_what_is_done_is_stored(agent: str) -> None:
    """`forced` raises at an illegal action, exploration included, and shows the action that it executed."""
    parts = lab.assemble(config_of(agent, "forced", 1_600), CPU)
    assert training.train(parts.loop)
    ring = parts.replay
    rows = int(ring.count.min())
    order = (ring.cursor[0] - rows + np.arange(rows)) % ring.length
    seen, action = ring.data["obs"][order], ring.data["action"][order]  # [T, N, 4], [T, N]
    legal, last = ring.data["legal"][order], ring.data["last"][order]
    inside = ~last[:-1]
    assert inside.sum() >= 60 and (legal[:-1].sum(2) == 1)[inside].sum() >= 15  # forced ones among them
    executed = seen[1:].argmax(-1)
    assert (executed == action[:-1])[inside].all()
    assert legal[:-1].gather(2, action[:-1, :, None].long()).squeeze(2)[inside].all()
    assert len(torch.unique(action[:-1][inside])) == 4


@pytest.mark.parametrize("agent", heavy_are_slow(a for a in AGENTS if a != "alphazero"))
def test_scores_are_made_with_legal_actions_too(agent: str) -> None:
    parts = lab.assemble(config_of(agent, "forced", 100), CPU)
    for policy in ("greedy", "sampled", "epsilon 0.5"):
        games(parts, "forced", policy)
