"""The loop of a learner whose actors are elsewhere, over a transport in this process."""

from __future__ import annotations

import copy
import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import selfplays
import torch

import envs
from agents.core import training
from agents.core.clock import Clock
from agents.core.collector import ACTING
from agents.core.pace import Ratio
from agents.core.replay import ReplayBuffer
from agents.core.rows import Act, Spec, TimeStep
from agents.core.samplers import Prioritized, Recent, Uniform
from agents.core.stream import RowFault
from agents.core.transport import InProcess, Message, packed, unpacked
from experiments import building, cli, lab
from experiments.cluster import assembling
from experiments.cluster.worker import GameActor

CPU = torch.device("cpu")
SETTINGS: dict[str, dict[str, Any]] = {
    "ppo": dict(rollout=8, minibatch=16, epochs=2, lr=3e-3),
    "a2c": dict(rollout=5, lr=3e-3),
    "impala": dict(rollout=8, lr=2e-3),
    "pqn": dict(rollout=8, minibatch=16, epochs=2, lr=3e-3),
    "dqn": dict(lr=2e-3, batch=32, ratio=2.0, replay=2_000, warmup=100, target_period=50, epsilon_decay=0.5),
}


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(envs.GAMES, "worlds", envs.GameEntry("worlds"))


def config_of(agent: str, steps: int, actors: int = 2, world: str = "picture", **changed: Any) -> dict[str, Any]:
    known = building.module(agent)
    usual = dataclasses.asdict(known.Config(**known.PRESETS[agent]))
    small = dict(hidden=32, precision="fp32", reward_clip=0.0, gamma=0.9, encoder="auto", lr_end=1.0, entropy_end=1.0)
    small |= SETTINGS[agent] | changed
    columns, in_order = small.pop("num_envs", 4), small.pop("in_order", True)
    return {
        "game": "worlds", "agent": agent, "seed": 3, "steps": steps, "num_envs": columns, "env": {"world": world},
        "agent_config": {k: v for k, v in {**usual, **small}.items() if k in usual}, "cluster": "here",
        "actors": actors, "in_order": in_order,
    }  # fmt: skip


def assembled(config: dict[str, Any], chosen: Any = None) -> lab.Lab:
    """With all its actors in this process."""

    def connect(config: dict[str, Any], needs: Any, ring: ReplayBuffer) -> InProcess:
        blocks = np.array_split(np.arange(ring.num_envs), config["actors"])
        places = [(int(block[0]), len(block)) for block in blocks]
        return InProcess(lambda actor: GameActor(config, actor, places[actor])._collector(), chosen)

    return assembling.assemble(config, CPU, connect)


def weights(parts: lab.Lab) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in parts.agent.network.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(v, other[k]) for k, v in one.items())


@pytest.mark.parametrize("agent", ["ppo", "a2c", "pqn"])
def test_one_actor_elsewhere_is_the_loop_of_one_process_to_the_bit(agent: str) -> None:
    config = config_of(agent, 640, actors=1)
    if agent == "pqn":
        config["agent_config"] |= {"epsilon_end": 1.0}  # the share of random actions is the same at every step
    here = {k: v for k, v in config.items() if k not in ("cluster", "actors", "in_order")}
    here = lab.assemble({**here, "steps": 644}, CPU)  # the step on which a rollout's last row is acted again
    there = assembled(config)
    assert training.train(here.loop) and training.train(there.loop)
    assert here.clock.updates == there.clock.updates > 9 and there.clock.steps == 640
    assert same(weights(here), weights(there))


@pytest.mark.parametrize("agent", ["ppo", "impala", "dqn"])
def test_in_order_the_moments_of_arrival_change_nothing(agent: str) -> None:
    config, draws = config_of(agent, 960, actors=3, num_envs=5), np.random.default_rng(7)
    one, other = assembled(config), assembled(config, lambda actors: actors[int(draws.integers(len(actors)))])
    assert training.train(one.loop, barrier=300) and training.train(other.loop, barrier=300)
    assert one.clock.updates == other.clock.updates > 10 and same(weights(one), weights(other))
    assert all(torch.equal(v, other.replay.data[k]) for k, v in one.replay.data.items())
    free = assembled({**config, "in_order": False}, lambda actors: actors[-1])
    assert training.train(free.loop)
    assert not same(weights(one), weights(free)), "the order of arrival counts where nobody fixes it"


@pytest.mark.parametrize("agent", ["ppo", "dqn"])
def test_a_resumed_run_equals_one_that_was_not_stopped(agent: str) -> None:
    config, saved = config_of(agent, 960, actors=2), []
    whole = assembled(config)
    assert training.train(
        whole.loop, barrier=400, save=lambda: saved.append(copy.deepcopy(whole.state()))
    )
    assert len(saved) == 3
    later = assembled(config)
    later.restore(saved[0])
    assert training.train(later.loop, barrier=400)
    assert later.clock.updates == whole.clock.updates and same(weights(whole), weights(later))


def test_rows_of_a_column_follow_one_another_and_hold_what_was_executed() -> None:
    """The ring of two actors holds, column for column, what a literal player of the same games sees."""
    parts = assembled(config_of("ppo", 64, world="bandit", lr=1e-9))
    assert training.train(parts.loop)
    ring = parts.replay
    for column in range(4):
        count = int(ring.count[column])
        rows = {k: v[:count, column] for k, v in ring.data.items()}
        assert torch.equal(rows["first"][1:], rows["last"][:-1]) and rows["first"][0]
        context = rows["obs"].argmax(1)
        paid = rows["reward"][1:][~rows["first"][1:]]
        assert torch.equal(paid, (rows["action"] == context).float()[:-1][~rows["first"][1:]])
    assert parts.clock.steps == 64 and ring.added == 4 * (64 // 4 + 1)


def test_an_actor_that_dies_costs_its_unfinished_window_and_nothing_else() -> None:
    told: list[str] = []
    config = config_of("ppo", 3_200, num_envs=6, actors=3, world="bandit")
    parts = assembled(config)
    parts.loop.tell = told.append
    kill = iter([1, 1, 0])
    calls = 0

    def hook(moment: Any) -> None:
        nonlocal calls
        calls += 1
        if calls in (5, 6, 20):
            parts.loop.transport.kill(next(kill))

    assert training.train(parts.loop, hooks=[hook])
    assert len(told) == 6 and "actor 1 is lost" in told[0] and "8 rows is dropped" in told[0]
    assert sorted(text[:19] for text in told if "plays again" in text) == [f"actor {a} plays again" for a in (0, 1, 1)]
    assert "not repeatable from here on" in told[0]
    assert 3_200 <= parts.clock.steps < 3_200 + 6 * 8
    ring = parts.replay
    assert len(set(ring.count.tolist())) == 1
    for column in range(6):
        count = int(ring.count[column])
        order = (int(ring.cursor[column]) - count + np.arange(count)) % ring.length
        first, last = ring.data["first"][order, column], ring.data["last"][order, column]
        assert torch.equal(first[1:], last[:-1])
    state = torch.eye(4)[:, None]
    step = TimeStep(state, torch.zeros(4), torch.ones(4), torch.zeros(4).bool(), torch.zeros(4).bool())
    assert parts.agent.act(step, explore=False).action.tolist() == [0, 1, 2, 3]


def test_whole_games_of_self_play_come_from_actors() -> None:
    """Go on 3x3: what is learned of each row is the search's policy and how its game ended."""
    settings = dataclasses.asdict(building.module("alphazero").Config(**selfplays.TINY))
    config = {"game": "go", "agent": "alphazero", "seed": 3, "steps": 700, "num_envs": 4, "env": selfplays.GO,
              "agent_config": settings, "cluster": "here", "actors": 2, "in_order": True}  # fmt: skip
    parts = assembled(config)
    assert training.train(parts.loop)
    assert parts.clock.updates > 20 and parts.agent.games > 10
    games = [game for column in range(4) for game in selfplays.games_of(selfplays.rows_of(parts, column))]
    ended = [game for game in games if game["discount"][-1] == 0]
    assert len(ended) == parts.agent.games
    for game in ended:
        assert game["first"][0] and not game["first"][1:].any()
        assert np.allclose(game["policy"].sum(1)[:-1], 1.0, atol=1e-4)
        view = np.where(game["discount"][1:-1] < 0, -1, 1).cumprod()
        assert np.array_equal(game["outcome"][1:-1], game["outcome"][0] * view)


def test_frames_travel_once_and_never_as_stacks() -> None:
    config = config_of("ppo", 256, world="noise")
    config["env"] |= {"shape": "84x84"}
    config["agent_config"] |= {"encoder": "auto"}
    parts = assembled(config)
    assert training.train(parts.loop)
    transport = parts.loop.transport
    per_row = transport.sent / (parts.replay.added)
    assert 84 * 84 < per_row < 84 * 84 + 150


@pytest.mark.parametrize(("in_order", "most"), [(True, 1), (False, 3)])
def test_the_lag_of_the_policy_is_bounded_and_told(in_order: bool, most: int) -> None:
    """In rollouts of 4 updates: one behind, as in one process; actors that run ahead are two further at most."""
    draws = np.random.default_rng(5)
    config = config_of("ppo", 1_920, actors=3, num_envs=6, in_order=in_order, minibatch=24, epochs=2)
    parts = assembled(config, lambda actors: actors[int(draws.integers(len(actors)))])
    lags: list[float] = []

    def hook(moment: Any) -> None:
        figures = parts.loop.figures.take()
        if "cluster/policy_lag_max" in figures:
            lags.append(figures["cluster/policy_lag_max"])
        assert figures["cluster/actors_alive"] == 3

    assert training.train(parts.loop, hooks=[hook])
    updates = 2 * 6 * 8 // 24
    assert lags[0] == 0 and max(lags[2:]) <= most * updates
    if in_order:
        assert set(lags[1:]) == {updates}
    else:
        assert max(lags) > updates


def test_the_replay_ratio_holds_over_all_actors() -> None:
    parts = assembled(config_of("dqn", 1_500, actors=3, num_envs=6, in_order=False))
    assert training.train(parts.loop)
    pace: Ratio = parts.agent.needs.pace
    assert parts.clock.updates == int(2.0 * (parts.replay.added - pace.start) / 32)


@pytest.mark.parametrize("sampler", [Recent, Uniform, Prioritized])
def test_blocks_are_stored_as_row_by_row(sampler: Any) -> None:
    spec, draws = Spec((3, 2), "uint8", 2, num_actions=4), np.random.default_rng(1)
    one, other = (ReplayBuffer(11, 3, spec, sampler(), window=2) for _ in range(2))
    for block in range(6):
        columns, length = np.array([[0, 2], [1], [0, 1, 2]][block % 3]), int(draws.integers(1, 9))
        shape = (length, len(columns))
        rows = {"obs": draws.integers(0, 255, (*shape, 3, 2)).astype(np.uint8), "action": draws.integers(0, 4, shape)}
        rows |= {k: draws.normal(size=shape).astype(np.float32) for k in ("reward", "discount", "logp")}
        rows |= {k: draws.random(shape) < 0.2 for k in ("first", "last")}
        for array in rows.values():
            array.flags.writeable = False
        one.extend(rows, columns)
        for at in range(length):
            row = {k: torch.from_numpy(np.array(v[at])) for k, v in rows.items()}
            obs, action, logp = row.pop("obs")[:, None], row.pop("action"), row.pop("logp")
            other.add(TimeStep(obs, **row), Act(action, {"logp": logp}), columns)
    assert one.added == other.added and one.count.tolist() == other.count.tolist()
    assert all(torch.equal(v, other.data[k]) for k, v in one.data.items())
    windows = [ring.sample(8) for ring in (one, other)]
    assert torch.equal(windows[0].obs, windows[1].obs) and torch.equal(windows[0].index, windows[1].index)


def test_messages_hold_nested_states_and_nothing_that_is_executed() -> None:
    state = {"network": {"a.b": torch.arange(3.0), "c/d": torch.ones(2, 2)}, "normalizer": {"count": 4, "mean": None}}
    message = packed(state, version=7)
    found = unpacked(message, lambda array: torch.from_numpy(np.array(array)))
    assert json.loads(message.words)["version"] == 7 and isinstance(message, Message)
    assert torch.equal(found["network"]["c/d"], torch.ones(2, 2)) and found["normalizer"] == {"count": 4, "mean": None}
    parts = assembled(config_of("dqn", 100))
    clock = Clock(100)
    other = building.build_agent({**config_of("dqn", 100), "seed": 9}, parts.stream.spec, clock, CPU)
    sent = packed({k: v for k, v in parts.agent.state_dict().items() if k in ACTING}, version=1)
    other.load_weights(unpacked(sent, lambda array: torch.from_numpy(np.array(array))))
    assert same(weights(parts), {k: v for k, v in other.network.state_dict().items()})


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"actors": 5}, "--actors 5: each plays a game at least"),
        ({"agent": "clone"}, "clone learns from somebody else"),
        ({"agent": "sb3-ppo"}, "sb3-ppo trains in a loop of its own"),
        ({"opponents": 0.5}, "--opponents"),
        ({"normalize": "obs"}, "--normalize-obs"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(cli.UserError, match=sentence):
        assembling.refuse({**config_of("ppo", 100), **changed})


def test_a_fault_of_a_game_elsewhere_is_a_sentence_with_its_actor() -> None:
    parts = assembled(config_of("ppo", 100))
    parts.loop.transport.make = lambda actor: lambda words, weights: Message(b'{"fault": "no luck"}', {})
    with pytest.raises(RowFault, match="actor 0: no luck"):
        training.train(parts.loop)
