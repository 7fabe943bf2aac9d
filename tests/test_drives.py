"""Closed loop on fixed tracks: what counts as an intervention, autonomy, lap times; who has learned nothing fails."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agents.core.run import Run
from envs.kart.splits import SPLITS, parse_tracks
from experiments import configuration, evaluate, players, train
from experiments.comparing import evaluations
from experiments.conditions import Conditions
from experiments.driving import closed_loop, scoring

TEST = closed_loop.ClosedLoopTest("kart", {"obs": "state"}, "test:20", 60.0)


def drove(run: Run, **asked: Any) -> dict[str, Any]:
    return scoring.drive(run, scoring.Asked(**asked))


def literal(off_road: list[bool], rescues: list[int]) -> int:
    """Interventions of one kart, spell by spell: a second off the road, or a rescue from anything else."""
    count, spell = 0, 0
    for t, off in enumerate(off_road):
        rescued = rescues[t] > (rescues[t - 1] if t else 0)
        if rescued and spell < 20:
            count += 1
        spell = spell + 1 if off else 0
        if spell == 20:
            count += 1
    return count


@pytest.mark.parametrize("seed", range(20))
def test_interventions_are_counted_as_a_person_would(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 60, 40)
    off = np.concatenate([np.full(n, k % 2 == 0) for k, n in enumerate(lengths)])
    rescues = np.cumsum(rng.random(len(off)) < 0.02)
    watch = closed_loop.Watch(2, 20)
    for t in range(len(off)):
        watch(np.array([off[t], False]), np.array([rescues[t], 0]))
    assert watch.count[0] == literal(off.tolist(), rescues.tolist()) and watch.count[1] == 0


def test_autonomy_is_pilotnets_formula_and_never_below_zero() -> None:
    zeros = np.zeros(3)
    drive = closed_loop.Drive(zeros, np.array([0, 1, 50]), zeros, zeros, zeros, zeros, zeros, np.full(3, 120.0))
    np.testing.assert_allclose(drive.autonomy, [1.0, 0.95, 0.0])


def test_the_ranges_of_tracks_are_apart() -> None:
    ranges = [*SPLITS.values()]
    for i, a in enumerate(ranges):
        for b in ranges[i + 1 :]:
            assert not set(a[:1]) & set(b) and not (a.start < b.stop and b.start < a.stop)
    assert list(parse_tracks("test:20")) == list(range(2_000_000, 2_000_020))


def test_the_constant_predictor_fails_where_the_expert_passes() -> None:
    """Done-when 2 asks for 99 %: going straight on must be nowhere near it on the same tracks."""
    teacher = closed_loop.drive(TEST, closed_loop.expert, 1)
    told = closed_loop.figures(teacher, teacher)
    assert told["autonomy"] == 1.0 and told["interventions"] == 0 and told["lap_time_ratio"] == 1.0
    assert told["laps"] > 1.2 and told["off_road_share"] < 0.01 and len(told["tracks"]) == 20
    assert [row["track"] for row in told["tracks"]] == list(range(2_000_000, 2_000_020))
    straight = closed_loop.figures(closed_loop.drive(TEST, TEST.straight, 1), teacher)
    assert straight["autonomy"] < 0.4 and straight["interventions"] > 80 and straight["laps"] < 1.0
    assert straight["autonomy_interval"][1] < 0.6


def test_the_same_seed_drives_the_same_race() -> None:
    options = {"obs": "state", "steer_noise": 0.2, "theme": "all", "random_looks": 1.0}
    hard = closed_loop.ClosedLoopTest("kart", options, "test:3", 20.0)
    one, two = (closed_loop.drive(hard, closed_loop.expert, 5) for _ in range(2))
    other = closed_loop.drive(hard, closed_loop.expert, 6)
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, two, strict=True))
    assert not np.array_equal(one.laps, other.laps)


def test_conditions_are_read_by_name_and_type() -> None:
    assert configuration.read_options("kart", "theme=night,snow,latency=2,random-looks=0.5,weather_grip=true") == {
        "theme": "night,snow", "latency": 2, "random_looks": 0.5, "weather_grip": True,
    }  # fmt: skip
    assert configuration.read_options("kart", "") == {}
    for text, told in (
        ("night", "write option=value"),
        ("fog=1", "no option 'fog'"),
        ("latency=2.5", "must be int"),
        ("weather_grip=perhaps", "must be bool"),
    ):
        with pytest.raises(ValueError, match=told):
            configuration.read_options("kart", text)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory):
    """A run of kart that has learned nothing."""
    root = tmp_path_factory.mktemp("runs")
    argv = ["kart", "--agent", "ppo", "--steps", "64", "--num-envs", "4", "--rollout", "8", "--hidden", "16"]
    with pytest.raises(SystemExit) as end:
        train.main([*argv, "--eval-episodes", "0", "--no-video", "--runs", str(root)])
    assert not end.value.code
    return players.find_run(root, "kart")


def test_drives_on_kart_tracks_are_told_for_each_driver_and_condition(driver) -> None:
    """`evaluate RUN --tracks`: the constant predictor and the expert on two tracks, beside the run's own agent."""
    told = {
        name: drove(driver, tracks="test:2", seconds=30.0, policy=name, quiet=True)
        for name in (None, "straight", "expert")
    }
    assert told["expert"]["autonomy"] == 1.0 and told["expert"]["lap_time_ratio"] in (None, 1.0)
    assert 0 <= told["straight"]["autonomy"] < 0.5 and told["straight"]["interventions"] >= 5
    assert told[None]["policy"] == "greedy" and 0 <= told[None]["autonomy"] <= 1
    under = "theme=night,latency=2"
    told["night"] = drove(driver, tracks="test:2", seconds=30.0, under=under, policy="straight", quiet=True)
    for result in told.values():
        evaluate.keep(driver, result)
    kept = evaluations.every(driver.path)  # none takes another's place, and none stands for the run's games
    assert [k["protocol"] for k in kept] == [t["protocol"] for t in told.values()] and "night" in kept[-1]["protocol"]
    assert list(evaluations.own(kept, None, "")) == []
    sentence = closed_loop.sentence(told["expert"])
    assert "tracks' mean" not in sentence and " on 2 tracks\n" in sentence  # two tracks have no interval
    assert [row["track"] for row in told["expert"]["tracks"]] == [2_000_000, 2_000_001]
    assert {t["driven"] for t in told.values()} == {"test:2"}
    for under in ("action_repeat=4", "privileged_info=true"):
        told = f"--options {under.split('=')[0]}=...: only trainings have it"
        with pytest.raises(ValueError, match=told):
            evaluate.evaluate(driver, asked=Conditions(under=under), quiet=True, episodes=1)
        with pytest.raises(ValueError, match=told):
            drove(driver, tracks="test:2", under=under, quiet=True)
    for under in ("karts=4", "tracks=oval", "laps=3", "time_limit=5"):
        with pytest.raises(ValueError, match=f"--options {under.split('=')[0]}=...: --tracks drives alone"):
            drove(driver, tracks="test:2", under=under, quiet=True)


@pytest.mark.parametrize(("control", "agent"), [("discrete", "dqn"), ("raw", "ppo")])
def test_drivers_with_other_controls_drive_too(control, agent, tmp_path) -> None:
    argv = ["kart", "--agent", agent, "--control", control, "--steps", "64", "--num-envs", "4", "--hidden", "16"]
    argv += ["--encoder", "nature", "--eval-episodes", "0", "--no-video", "--runs", str(tmp_path)]
    with pytest.raises(SystemExit) as end:
        train.main([*argv, *(["--rollout", "8"] if agent == "ppo" else ["--warmup", "40", "--replay", "200"])])
    assert not end.value.code
    run = players.find_run(tmp_path, "kart")
    told = {name: drove(run, tracks="test:2", seconds=30.0, policy=name, quiet=True) for name in (None, "expert")}
    assert 0 <= told[None]["autonomy"] <= 1 and told[None]["steering_change"] >= 0
    assert told["expert"]["autonomy"] == 1.0 and 0 < told["expert"]["steering_change"] < 1
    with pytest.raises(ValueError, match=f"--policy straight: .* control={control}, not speed"):
        drove(run, tracks="test:2", policy="straight", quiet=True)


def test_what_a_run_had_in_training_alone_is_gone_where_it_drives(driver, monkeypatch) -> None:
    """An action that was held for four steps while training is asked for at every step of a scored drive."""
    plain = drove(driver, tracks="test:2", seconds=10.0, policy="straight", quiet=True)
    monkeypatch.setitem(driver.config, "env", {**driver.config["env"], "action_repeat": 4, "privileged_info": True})
    assert drove(driver, tracks="test:2", seconds=10.0, policy="straight", quiet=True) == plain


def test_races_of_kart_tell_how_many_were_won(driver) -> None:
    result = evaluate.evaluate(
        driver,
        episodes=2,
        quiet=True,
        asked=Conditions(under="tracks=test:2,karts=4,rival_speed=1.0,laps=1,time_limit=10"),
    )
    assert result["won"] == 0.0 and result["place"] > 1 and "karts=4" in result["protocol"]
