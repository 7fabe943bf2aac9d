"""Imitation: datasets in the ring, laps apart, small networks, rounds that aggregate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import worlds
from harness import Kill
from harness import Lab as Harness

import envs
from agents.core import dataset, training
from agents.core.replay import ReplayBuffer
from agents.core.rows import Context, Spec
from agents.core.samplers import Uniform
from agents.driving import UNKNOWN, Road
from agents.imitation import DaggerRounds
from agents.perception import encoders, preprocess
from envs.recordings.rows import Rows, split
from experiments import building, lab

CPU = torch.device("cpu")
LINEAR = np.array([[0.5, -0.3, 0.2], [-0.2, 0.4, 0.3]], np.float32)  # the teacher of the linear world: action = W obs


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(envs.GAMES, "worlds", "worlds")


def linear(path: Path, rows: int = 600, laps: int = 6) -> Path:
    """A dataset of the linear world as a file of arrays."""
    obs = np.random.default_rng(1).uniform(-1, 1, (rows, 3)).astype(np.float32)
    np.savez(path, obs=obs, action=obs @ LINEAR.T, lap=np.arange(rows) * laps // rows)
    return path


def config(agent: str, data: Path | None, steps: int, **changed: Any) -> dict[str, Any]:
    settings = dict(building.module(agent).PRESETS[agent], precision="fp32", lr=3e-3, batch=32, **changed)
    return {
        "game": "worlds", "agent": agent, "seed": 1, "steps": steps, "num_envs": 1, "agent_config": settings,
        "env": {"world": "noise", "axes": 2}, **({"data": str(data)} if data else {}),
    }  # fmt: skip


# -- learning -------------------------------------------------------------------------------------------------------


def test_a_clone_fits_a_linear_world_and_is_measured_on_laps_it_has_not_learned(tmp_path: Path) -> None:
    parts = lab.assemble(config("clone", linear(tmp_path / "a.npz"), 800, validation=0.3), CPU)
    assert training.train(parts.loop) and parts.clock.steps == parts.clock.updates == 800
    assert len(parts.replay) == 400 and len(parts.validation) == 200  # two of six laps are kept back
    figures = parts.agent.examine(parts.validation.windows(torch.arange(200)))
    actions = parts.validation.data["action"]
    constant = (actions - actions.mean(0)).abs().mean()
    assert figures["error_0"] < 0.04 and figures["error_1"] < 0.04 and constant > 0.15


def test_a_dataset_is_learned_from_without_a_step_of_the_game(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = lab.assemble(config("clone", linear(tmp_path / "a.npz"), 20), CPU)
    monkeypatch.setattr(worlds.Worlds, "step", lambda *_: pytest.fail("the game was stepped"))
    before = {k: v.clone() for k, v in parts.replay.data.items()}
    assert training.train(parts.loop)
    assert all(torch.equal(before[k], v) for k, v in parts.replay.data.items())


def test_dagger_drives_itself_and_keeps_everything(tmp_path: Path) -> None:
    """Rows of the dataset stay, each round adds its own; the label is the teacher's, the action often is not."""
    data = np.random.default_rng(2).uniform(-0.8, 0.8, (60, 2)).astype(np.float32)
    np.savez(tmp_path / "t.npz", obs=data, action=data, lap=np.arange(60) // 10)
    settings = config(
        "dagger",
        tmp_path / "t.npz",
        30 + 3 * (40 + 20),
        pretrain_updates=30,
        rows_per_round=40,
        updates_per_round=20,
        teacher_share=0.0,
    )
    settings |= {"env": {"world": "target"}, "num_envs": 4}
    settings["agent_config"] |= {"replay": 200, "validation": 0.0}
    parts = lab.assemble(settings, CPU)
    ring = parts.replay
    assert len(ring) == 60
    assert training.train(parts.loop)
    assert parts.loop.learner.pace.round == 3 and parts.clock.updates == 30 + 3 * 20 and len(ring) == 60 + 3 * 40
    told = torch.cat([ring.data["obs"][:45, c] for c in range(4)])
    label = torch.cat([ring.data["expert"][:45, c] for c in range(4)])
    done = torch.cat([ring.data["action"][:45, c] for c in range(4)])
    torch.testing.assert_close(label, told)  # in this world the teacher repeats what is shown
    recorded = torch.cat([torch.arange(45) < 15 for _ in range(4)])
    assert torch.equal(done[recorded], label[recorded]) and (done != label)[~recorded].any(1).all()


def test_rounds_alternate_and_their_state_is_kept() -> None:
    pace, log, steps, rows = DaggerRounds(2, 6, 3), "", 0, 7
    pace.begin(recorded=7)
    forecast = []  # (steps so far, how many of those up to the 48th are draws)
    for t in range(30):
        forecast.append((steps, pace.left(48 - steps)))
        if pace.learns_offline():
            steps += 1
            log += "d"
        else:
            log += "r"
            steps, rows = steps + 3, rows + 3
            assert pace.draws_due(rows) == 0 == pace.draws_due(rows)
        other = DaggerRounds(2, 6, 3)
        other.load_state_dict(pace.state_dict())
        assert other.state_dict() == pace.state_dict(), t
    assert log.startswith("ddrrdddrrdddrrddd")
    assert steps > 48
    kinds = "".join(kind if kind == "d" else 3 * kind for kind in log)  # one letter a step
    assert all(draws == kinds[at:48].count("d") for at, draws in forecast if at <= 48)


def test_without_its_ring_a_run_goes_on_learning_from_the_dataset_and_leaves_a_round_that_is_gone() -> None:
    for steps, left in ((2, 3), (5, 0), (9, 0)):  # draws of the dataset: 5; then a round of 4 rows and 3 draws
        pace = DaggerRounds(5, 4, 3)
        pace.begin(recorded=7)
        rows = 7
        for _ in range(steps):
            if not pace.learns_offline():
                rows += 1
                pace.draws_due(rows)
        pace.restart()
        assert pace.owed == left
    pace = DaggerRounds(0, 4, 3)
    pace.begin(recorded=7)
    assert [pace.learns_offline() or pace.draws_due(8 + t) for t in range(5)] == [0, 0, 0, 0, True] and pace.round == 1
    pace.restart()
    assert pace.owed == 0


def test_the_learning_rate_falls_with_the_updates_and_not_while_a_round_is_collected(tmp_path, monkeypatch) -> None:
    data = np.zeros((60, 2), np.float32)
    np.savez(tmp_path / "t.npz", obs=data, action=data, lap=np.arange(60) // 10)
    settings = config(
        "dagger",
        tmp_path / "t.npz",
        30 + 3 * (400 + 20),
        pretrain_updates=30,
        rows_per_round=400,
        updates_per_round=20,
        lr_end=0.1,
    )
    settings |= {"env": {"world": "target"}, "num_envs": 4}
    settings["agent_config"] |= {"replay": 2_000, "validation": 0.0}
    rates = []
    monkeypatch.setattr("agents.optimizers.set_rate", lambda optimizer, rate: rates.append(rate))
    assert training.train(lab.assemble(settings, CPU).loop)
    np.testing.assert_allclose(rates, 3e-3 * (1 - 0.9 * np.arange(90) / 90), rtol=1e-6)


def test_without_a_teacher_and_without_a_recording_there_is_nothing_to_imitate() -> None:
    for agent in ("clone", "dagger"):
        with pytest.raises(ValueError, match="learns from a teacher and worlds has none"):
            lab.assemble(config(agent, None, 10), CPU)
    wrong = config("clone", None, 10) | {"agent": "ppo", "agent_config": {}, "data": "x"}
    with pytest.raises(ValueError, match="ppo learns by playing; it takes no dataset"):
        lab.assemble(wrong, CPU)


# -- the dataset ----------------------------------------------------------------------------------------------------


def rows_of(laps: list[int]) -> Rows:
    lap = np.repeat(np.arange(len(laps)), laps)
    obs = np.arange(len(lap), dtype=np.float32)[:, None]
    return Rows(obs, np.zeros((len(lap), 1), np.float32), lap, {"lateral": obs[:, 0]})


@pytest.mark.parametrize("seed", range(5))
def test_no_lap_is_on_both_sides(seed: int) -> None:
    rows = rows_of([7, 20, 3, 11, 30, 9])
    training, kept = split(rows, 0.2, seed)
    assert not set(training.group) & set(kept.group) and len(training.group) + len(kept.group) == 80
    assert 16 <= len(kept.group) < 80 and len(training.group)
    assert sorted([*training.obs[:, 0], *kept.obs[:, 0]]) == list(range(80))
    assert not len(split(rows_of([12]), 0.5, seed)[1].group)  # a single lap is learned from


@pytest.mark.parametrize("columns", [1, 3, 4])
def test_every_row_is_in_the_ring_once_with_what_is_known_of_it(columns: int) -> None:
    rows = rows_of([5, 4, 2])
    spec = Spec((1,), "float32", 1, action_dim=1)
    ring = ReplayBuffer(-(-11 // columns) + 2, columns, spec, Uniform())
    dataset.fill(ring, rows, {"expert": np.zeros(1, np.float32), **UNKNOWN})
    assert len(ring) == 11
    held = ring.data["obs"].flatten(0, 1)[:, 0]
    filled = (torch.arange(ring.length)[:, None] < torch.as_tensor(ring.count)).flatten()
    assert sorted(held[filled].tolist()) == list(range(11))
    assert torch.equal(ring.data["lateral"].flatten()[filled], held[filled])
    assert ring.data["heading"].flatten()[filled].isnan().all()
    assert (ring.data["drivable"].flatten(0, 1)[filled] == 255).all()
    first = ring.data["first"].flatten()[filled]
    begins = {0.0, 5.0, 9.0} | {float(c * -(-11 // columns)) for c in range(columns)}
    assert set(held[filled][first].tolist()) == {b for b in begins if b < 11}


# -- networks -------------------------------------------------------------------------------------------------------


def test_the_networks_of_the_car_are_small() -> None:
    trunk = encoders.build((60, 80, 3), 1, "auto", 64)
    whole = sum(p.numel() for m in (trunk, Road(64), torch.nn.Linear(64, 2)) for p in m.parameters())
    assert trunk.features == 64 and whole <= 100_000
    pilot = encoders.build((66, 200, 3), 1, "auto", 64)
    shapes = [tuple(m.weight.shape) for m in pilot.modules() if hasattr(m, "weight")]
    assert shapes == [
        (24, 3, 5, 5),
        (36, 24, 5, 5),
        (48, 36, 5, 5),
        (64, 48, 3, 3),
        (64, 64, 3, 3),
        (100, 1152),
        (50, 100),
    ]
    obs = torch.randint(0, 256, (2, 1, 60, 80, 3), dtype=torch.uint8)
    first = trunk.convolutions[0]
    scaled = obs[:, 0].permute(0, 3, 1, 2).float() / 127.5 - 1
    literal = torch.nn.functional.conv2d(scaled, first.weight, first.bias, first.stride)
    torch.testing.assert_close(first(obs[:, 0].permute(0, 3, 1, 2).float()), literal, atol=1e-4, rtol=1e-4)


def test_reinforcement_starts_where_the_clone_is() -> None:
    """Same encoder, same head: before it has learned anything PPO drives exactly as the clone does."""
    from agents import clone, policy_gradient
    from agents.core.clock import Clock
    from agents.core.rows import TimeStep

    spec = Spec((60, 80, 3), "uint8", 1, action_dim=2)
    settings = dict(hidden=64, precision="fp32")
    driver = clone.build(clone.CloneConfig(**settings, road=0.3), spec, Context(Clock(9), CPU, 1, 1))
    race = policy_gradient.build(
        policy_gradient.PolicyGradientConfig(**settings, initial_std=0.1), spec, Context(Clock(9), CPU, 2, 1)
    )
    obs = torch.randint(0, 256, (4, 1, 60, 80, 3), dtype=torch.uint8)
    no, ones = torch.zeros(4, dtype=torch.bool), torch.ones(4)
    step = TimeStep(obs, ones, ones, no, no)
    wanted = driver.act(step, explore=False).action
    assert not torch.allclose(race.act(step, explore=False).action, wanted)
    race.load_weights(driver.state_dict())
    torch.testing.assert_close(race.act(step, explore=False).action, wanted)
    torch.testing.assert_close(race.network.policy.log_std, torch.full((2,), 0.1).log())
    assert {k.split(".")[0] for k in driver.state_dict()["network"]} == {"encoder", "policy"}  # a plain policy
    with pytest.raises(RuntimeError, match="encoder"):
        race.load_weights({"network": {k: v for k, v in driver.state_dict()["network"].items() if "encoder" not in k}})


def test_a_checkpoint_that_held_the_road_in_the_network_is_read() -> None:
    """As older ones did: "network" and "learner" with weights named road.*, nothing beside them."""
    from agents import clone
    from agents.core.clock import Clock

    spec = Spec((60, 80, 3), "uint8", 1, action_dim=2)
    settings = clone.CloneConfig(hidden=64, precision="fp32", road=0.3)
    one, other, third = (clone.build(settings, spec, Context(Clock(9), CPU, seed, 1)) for seed in (1, 2, 3))
    with torch.no_grad():
        one.learner.extra.place.bias += 1
    state = one.state_dict()

    def old(weights: dict[str, Any]) -> dict[str, Any]:
        return {k.replace("extra.", "road."): v for k, v in weights.items()}

    before = {k: v for k, v in state.items() if k != "extra"}
    before["network"], before["learner"] = old({**state["network"], **state["extra"]}), old(state["learner"])
    assert "road.place.bias" in before["network"] and "road.place.bias" in before["learner"]
    plain = clone.upgraded(before)
    assert plain["network"].keys() == state["network"].keys()  # what another agent starts from
    other.load_state_dict(before)
    third.load_weights({"network": before["network"]})
    for name, weights in one.driver.state_dict().items():
        assert torch.equal(other.driver.state_dict()[name], weights), name
        assert torch.equal(third.driver.state_dict()[name], weights), name
        assert torch.equal(third.learner.state_dict()[name], weights), name
    assert torch.equal(other.learner.extra.place.bias, one.learner.extra.place.bias)
    assert not torch.equal(other.driver.extra.place.bias, other.learner.extra.place.bias)
    fresh = third.driver.extra.place.bias.clone()
    other = clone.build(clone.CloneConfig(hidden=64), spec, Context(Clock(9), CPU, 5, 1))
    third.load_weights({"network": other.state_dict()["network"]})
    assert torch.equal(third.driver.extra.place.bias, fresh)  # a run without the head: this one stays as it is


def test_a_clone_of_no_driver_knows_nothing_of_roads() -> None:
    from agents import clone
    from agents.core.clock import Clock

    agent = clone.build(clone.CloneConfig(hidden=8), Spec((3,), "float32", num_actions=2), Context(Clock(9), CPU, 1, 1))
    assert agent.part is None and set(agent.needs.info) == {"expert"}
    balanced = clone.build(
        clone.CloneConfig(hidden=8, steering_weight=1.0),
        Spec((3,), "float32", action_dim=1),
        Context(Clock(9), CPU, 1, 1),
    )
    assert balanced.part.emphasis(torch.tensor([[0.0], [-0.5], [1.0]])).tolist() == [1, 1.5, 2]
    assert not balanced.part.info and balanced.learner.extra is None


def test_one_band_for_training_and_for_driving() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    assert np.array_equal(preprocess.band(picture, 60, 80), preprocess.resize(picture, 60, 80))
    assert preprocess.band(picture, 120, 160) is picture
    cut = preprocess.band(np.repeat(np.repeat(picture, 2, 0), 2, 1), 66, 200, 0.36, 0.2)
    assert cut.shape == (66, 200, 3)
    with pytest.raises(ValueError, match="pictures of 160x120 do not fit a network that sees 200x66"):
        preprocess.band(picture, 66, 200)


# -- a run ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_from_a_dataset_goes_on_to_the_bit_and_refuses_a_changed_one(tmp_path: Path) -> None:
    from test_resume import content, folder, good, logged, resume

    runs = Harness(tmp_path)
    try:
        data = linear(tmp_path / "a.npz")
        argv = ["worlds", "--world", "noise", "--axes", 2, "--agent", "clone", "--data", data, "--steps", 120,
                "--checkpoint-every", 40, "--num-envs", 1, "--hidden", 8, "--batch", 8, "--precision", "fp32",
                "--eval-episodes", 0, "--no-video"]  # fmt: skip
        straight = good(runs.train(*argv, "--name", "straight", period=0))
        for kill in (Kill(step=61), Kill(file=5, torn=True)):
            killed = runs.train(*argv, "--name", "killed", kill=kill, period=0)
            assert killed.code < 0
            good(resume(runs, folder(runs, killed), period=0))
            assert content(folder(runs, killed)) == content(folder(runs, straight))
            assert logged(folder(runs, killed)) == logged(folder(runs, straight))
        killed = runs.train(*argv, "--name", "changed", kill=Kill(step=61), period=0)
        linear(data, rows=599)
        refused = resume(runs, folder(runs, killed))
        assert refused.code == 2 and "has changed since the run began" in refused.err and "Traceback" not in refused.err
        missing = runs.train(*argv, "--data", tmp_path / "none")
        assert missing.code == 2 and "there is no such dataset" in missing.err
    finally:
        runs.close()
