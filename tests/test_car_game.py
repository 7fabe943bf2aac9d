"""The toy car as a game: its motor, its camera, the signs beside the road, and the simulated car behind the drivers."""

from __future__ import annotations

import numpy as np
import pytest
from programs import program

import envs
from agents.core.run import Run
from agents.perception import preprocess
from envs.car.simulator import SPEEDS, SimulatedCar
from envs.car_game import signs
from envs.car_game.options import CAMERA
from envs.kart import columns as c
from envs.kart.camera import CAMERAS, aim, mount, project
from envs.kart.columns import FREE_SPEED
from envs.kart.physics import MOTOR_TIME
from envs.kart.track import make_track
from envs.recordings.tub import IMAGE, Tub, TubWriter
from experiments import imitation, train


def test_the_agent_sees_the_camera_picture_reduced_by_the_one_function():
    games = envs.make_vec("car", 2, tracks="test:2", random_looks=0.5)
    obs, _ = games.reset(seed=3)
    full = games.batch.camera()
    assert full.shape == (2, *CAMERA, 3) and obs.shape == (2, 60, 80, 3) and obs.dtype == np.uint8
    for seen, picture in zip(obs, full, strict=True):
        np.testing.assert_array_equal(seen, preprocess.band(picture, 60, 80))
        blocks = picture.reshape(60, 2, 80, 2, 3).astype(float).mean((1, 3))  # what an area mean is
        assert np.abs(seen - blocks).max() <= 0.5 + 1e-6
    games.close()


def test_a_motor_comes_to_its_speed_and_brakes_by_itself():
    car = SimulatedCar("oval", signs=False)
    reached = []
    for _ in range(80):
        steer, _ = car.expert()
        car.apply(steer, 0.15)
        assert car.advance(0.05) == 1
        reached.append(car.speed)
    assert 0.85 * 0.15 * FREE_SPEED < reached[-1] < 0.15 * FREE_SPEED  # air and rolling take a little
    car.apply(car.expert()[0], 0.0)
    before, start = car.speed, car.progress
    car.advance(MOTOR_TIME)
    assert car.speed < 0.45 * before  # 1 / e without any other resistance
    for _ in range(100):
        car.apply(car.expert()[0], 0.0)
        car.advance(0.05)
    assert car.speed < 0.05 and (car.progress - start) * car.length < 4.0
    assert car.rescues == 0  # who stands because nobody drives is not stuck
    car.apply(0.0, -0.2)
    car.advance(1.0)
    assert car.speed < -1.0
    with pytest.raises(ValueError, match="must lie in -1 to 1"):
        car.apply(float("nan"), 0.0)
    with pytest.raises(ValueError, match="must lie in -1 to 1"):
        car.apply(0.0, 99.0)


def test_time_that_is_no_whole_step_is_owed():
    car = SimulatedCar("oval")
    assert [car.advance(0.02) for _ in range(5)] == [0, 0, 1, 0, 1]
    assert sum(car.advance(0.05) for _ in range(40)) == 40 and car.number == 42


def test_the_same_seed_is_the_same_drive():
    first, second, other = (SimulatedCar("test#1", seed, 0.6) for seed in (4, 4, 5))
    for car in (first, second, other):
        car.apply(0.1, 0.2)
        car.advance(1.0)
    np.testing.assert_array_equal(first.picture(), second.picture())
    assert first.progress == second.progress and (first.picture() != other.picture()).any()
    with pytest.raises(ValueError, match="tracks"):
        SimulatedCar("nowhere")


def test_the_expert_drives_every_kind_of_track_without_help():
    for track in ("test#0", "test#3", "serpent"):
        car = SimulatedCar(track, signs=False)
        for _ in range(700):
            steer, target = car.expert()
            car.apply(steer, min(np.interp(target, *zip(*SPEEDS, strict=True)), 0.25))
            car.advance(0.05)
            assert not car.off_road
        assert car.progress * car.length > 200 and car.rescues == 0


def test_signs_stand_apart_beside_the_road_where_one_sees_them_come():
    counted = 0
    for number in range(2_000_000, 2_000_030):
        track = make_track(number)
        found = signs.stand(track)
        np.testing.assert_array_equal(found, signs.stand(track))
        at = np.sort(found[:, 0])
        assert (np.diff(at) >= signs.APART).all() and (at >= signs.FIRST).all()
        assert set(found[:, 1]) <= {signs.STOP, signs.OTHER}
        for along in at:
            i = round(along / track.length * len(track.line))
            before = np.take(track.line[:, c.BEND], range(i - 13, i + 1), mode="wrap")
            assert np.abs(before).max() < signs.CALM
        counted += len(found)
    assert counted > 60


def test_a_picture_shows_the_sign_that_the_label_names():
    """The label against the same drive without signs: what differs between the pictures is the sign."""
    with_signs, without = (envs.make_vec("car", 1, tracks="test#1", signs=s, sign_info=True) for s in (True, False))
    told, changed, away = [], [], []
    for games in (with_signs, without):
        games.reset(seed=[7])
    for _ in range(500):
        action = with_signs.batch.expert()
        info = with_signs.step(action)[-1]
        without.step(action)
        told.append(int(info["sign"][0]))
        away.append(with_signs.batch.signs()[1][0])
        differs = np.abs(with_signs.batch.camera()[0].astype(int) - without.batch.camera()[0]).max(2) > 60
        changed.append(int(differs.sum()))
    told, changed, away = np.array(told), np.array(changed), np.array(away)
    assert {signs.STOP, signs.OTHER} <= set(told) and (told == 0).mean() > 0.4
    assert changed[told > 0].min() > 10  # pixels of the sign
    assert np.isnan(away[told == 0]).all() and away[told > 0].min() > signs.NEAR and np.nanmax(away) < signs.FAR
    steady = np.flatnonzero((told[1:] > 0) & (told[1:] == told[:-1]))
    assert (np.diff(away)[steady] < 0).mean() > 0.95  # it comes nearer
    with_signs.close(), without.close()


def test_the_sign_of_a_record_and_its_kind_are_those_of_the_track():
    car = SimulatedCar("test#1")
    kinds = {along: int(kind) for along, kind in signs.stand(make_track(2_000_001))}
    stops = sorted(along for along, kind in kinds.items() if kind == signs.STOP)
    np.testing.assert_allclose(car.stop_signs, stops)
    view = aim(mount(CAMERAS["picam"]), car._batch.eyes.lens)
    seen = 0
    for _ in range(600):
        steer, target = car.expert()
        car.apply(steer, 0.2)
        car.advance(0.05)
        kind, away = car.sign
        if kind:
            nearest = min(kinds, key=lambda at: (at - car.along) % car.length)
            assert kinds[nearest] == kind and abs((nearest - car.along) % car.length - away) < 6.0
            column, row, depth = project(away, 0.0, 1.4, view)
            assert depth > 0 and 0 <= row < CAMERA[0]
            seen += 1
    assert seen > 30


@pytest.mark.parametrize("control", ["speed", "throttle"])
def test_the_expert_is_as_good_with_either_control(control):
    games = envs.make_vec("car", 2, tracks="test:2", order="cycle", control=control, expert_info=True)
    _, info = games.reset(seed=1)
    for _ in range(400):
        _, _, _, _, info = games.step(info["expert"])
        assert not info["off_road"].any()
    assert (info["progress"] * games.batch.scene.count * games.batch.scene.step > 100).all()
    games.close()


def test_recorded_controls_are_the_actions_again_and_what_is_above_the_cap_is_cut_off():
    for control, column, low, high in (("speed", "user/target_speed", 0, 8), ("throttle", "user/throttle", 0, 0.25)):
        driving, games = envs.describe("car", control=control).driving, envs.make("car", control=control)
        games.reset(seed=1)
        done = np.random.default_rng(0).uniform(-1, 1, (20, 2)).astype(np.float32)
        rows = [driving.controls(games.unwrapped, action) for action in done]
        columns = {name: np.array([row[name] for row in rows]) for name in driving.bounds}
        np.testing.assert_allclose(driving.actions(columns), done, atol=1e-6)
        assert driving.bounds[column] == (low, high) and driving.fault(rows[0]) is None
        figures = driving.figures(games.unwrapped, 0)
        assert figures.keys() == driving.columns.keys()
        fast = {**columns, column: np.full(20, 1.5 * high)}
        assert (driving.actions(fast)[:, 1] == 1.0).all() and driving.fault({**rows[0], column: 1.5 * high}) is None
        assert f"{column} is 99" in driving.fault({**rows[0], column: 99.0})
        assert driving.fault({**rows[0], column: float("nan")}) == f"there is no {column}"
        games.close()


def test_options_that_mean_nothing_here_are_refused():
    for wrong in (dict(karts=3), dict(control="raw"), dict(obs="state"), dict(throttle_cap=2.0), dict(stack=9)):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            envs.make_vec("car", 1, **wrong)


def test_a_recording_without_a_speed_teaches_the_throttle(tmp_path, capsys):
    """A real car's tub: pictures, steering and throttle, some of it above the cap."""
    with TubWriter(tmp_path / "tub") as writer:
        picture = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
        for k in range(60):
            values = {"user/angle": np.sin(k / 9), "user/throttle": 0.1 + 0.5 * (k % 3 == 0), "user/mode": "user"}
            writer.write({IMAGE: picture, **values})
    argv = ["car", "--data", str(tmp_path / "tub"), "--steps", "5", "--eval-episodes", "0", "--no-video", "--runs"]
    code, _, err = program(train.main, [*argv, str(tmp_path / "runs")], capsys)
    assert code == 0 and "holds no user/target_speed; what it holds is learned: control=throttle" in err
    run = Run.find(tmp_path / "runs", "car")
    assert run.config["env"]["control"] == "throttle"
    driving = envs.describe("car", **run.config["env"]).driving
    actions = driving.actions(Tub(tmp_path / "tub").records)
    np.testing.assert_allclose(actions[:3, 1], [1.0, -0.2, -0.2], atol=1e-6)  # 0.6 is cut to 0.25, 0.1 is 40 % of it


@pytest.mark.slow
def test_a_driver_is_corrected_by_a_recording_in_which_a_person_took_over(tmp_path, capsys, monkeypatch):
    """DAgger by a person: both recordings are learned from, beginning with the network that was corrected."""
    picture, learned = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8), []
    for name, taken in (("first", 60), ("second", 20)):
        with TubWriter(tmp_path / name, {"override": "boolean"}) as writer:
            for k in range(60):
                person = k < taken
                values = {"user/angle": 0.5, "user/throttle": 0.1, "user/mode": "user" if person else "local"}
                writer.write({IMAGE: picture, **values, "override": person and name == "second"})
    fill = imitation.dataset.fill
    monkeypatch.setattr(imitation.dataset, "fill", lambda ring, rows, *a: learned.append(rows) or fill(ring, rows, *a))
    common = ["--steps", "3", "--eval-episodes", "0", "--no-video", "--runs", str(tmp_path / "runs")]
    code, _, err = program(train.main, ["car", "--data", str(tmp_path / "first"), *common], capsys)
    assert code == 0 and sum(len(rows.action) for rows in learned) == 60, err
    learned.clear()
    both = [str(tmp_path / name) for name in ("first", "second")]
    argv = ["car", "--recipe", "corrections", "--data", *both, "--init", "car/clone", *common]
    code, _, err = program(train.main, argv, capsys)
    assert code == 0 and sum(len(rows.action) for rows in learned) == 80, err
    run = Run.find(tmp_path / "runs", "car/clone/corrections-s0")
    assert run.config["data"] == both and run.config["env"]["control"] == "throttle"
    assert not run.config["env"].get("expert_info")  # no expert of the simulator's beside a real car's recording
