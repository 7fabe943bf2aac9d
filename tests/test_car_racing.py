"""CarRacing: equal to Gymnasium's to the pixel, whatever is left out to be fast."""

import sys

import numpy as np
import pytest
import torch
from gymnasium.envs.box2d import car_racing as original

import envs
from agents.core.rows import Act
from agents.core.stream import Stream
from envs import car_racing


def drive(rng, steps):
    """Actions that last ten frames each: mostly gas, so that it also leaves the road."""
    for i in range(steps):
        if i % 10 == 0:
            action = np.array([rng.uniform(-0.5, 0.5), rng.uniform(0, 1), rng.uniform(0, 0.3) * (i % 30 == 0)])
        yield action.astype(np.float32)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_every_picture_equals_gymnasiums(seed):
    slow, fast, bare = original.CarRacing(), car_racing._game()(), car_racing._game()()
    bare.bare = True
    expected = slow.reset(seed=seed)[0]
    assert np.array_equal(fast.reset(seed=seed)[0], expected)
    assert np.array_equal(bare.reset(seed=seed)[0][:84], expected[:84])
    left = False
    for i, action in enumerate(drive(np.random.default_rng(seed), 160)):
        if i in (80, 150):  # near the edge of the field, where the background ends, and beyond it
            for game in (slow, fast, bare):
                game.car.hull.position = (original.PLAYFIELD + (i - 140) / 5, 3.0)
        expected, *told = slow.step(action)
        picture, *same = fast.step(action)
        assert np.array_equal(picture, expected) and same == told, i
        assert np.array_equal(bare.step(action)[0][:84], expected[:84]), i
        left |= told[1]
    assert left  # the field was left


@pytest.mark.parametrize("obs", ["grey", "rgb"])
def test_an_action_lasts_and_only_the_last_frame_is_drawn(obs):
    slow, env = original.CarRacing(), car_racing.make(obs=obs, control="raw", frame_skip=4)
    slow.reset(seed=3)
    env.reset(seed=3)
    for action in drive(np.random.default_rng(3), 40):
        total = 0.0
        for _ in range(4):
            picture, reward, *_ = slow.step(action)
            total += float(reward)
        seen, told, terminated, truncated, _ = env.step(action)
        expected = env._seen(picture)
        assert np.array_equal(seen, expected) and told == pytest.approx(total)
        assert not terminated and not truncated
    assert seen.shape == {"grey": (84, 84), "rgb": (96, 96, 3)}[obs]


def test_one_pedal_is_gas_or_brake():
    one, raw = car_racing.make(), car_racing.make(control="raw")
    one.reset(seed=5)
    raw.reset(seed=5)
    for steer, pedal in ((0.1, 0.8), (-0.3, 0.5), (0.0, -0.6), (0.2, 0.0)):
        a, *told = one.step(np.array([steer, pedal], np.float32))
        b, *same = raw.step(np.array([steer, max(pedal, 0), max(-pedal, 0)], np.float32))
        assert np.array_equal(a, b) and told == same


def test_a_game_has_1000_frames_and_the_limit_is_not_the_end():
    env = car_racing.make(frame_skip=7)
    env.reset(seed=1)
    steps = 0
    while True:
        steps += 1
        _, _, terminated, truncated, _ = env.step(np.array([0, -1], np.float32))
        if terminated or truncated:
            break
    assert (terminated, truncated, steps, env.frames) == (False, True, 143, 1000)


def test_a_limit_shortens_games_of_training_alone():
    env = car_racing.make(limit=50)
    env.reset(seed=1)
    ends = [env.step(np.array([0, 1], np.float32))[2:4] for _ in range(13)]
    assert ends == [(False, False)] * 12 + [(False, True)] and env.frames == 50
    assert envs.scored("car-racing", {"limit": 50, "frame_skip": 4}) == {"frame_skip": 4}


def test_noise_on_the_wheel_has_the_deviation_asked_for_and_lasts():
    env = car_racing.make(steer_noise=0.2)
    env.game.step = lambda action: (done.append(action), (np.zeros((96, 96, 3), np.uint8), 0.0, False, False, {}))[1]
    done = []
    env.reset(seed=3)
    del done[:]
    for _ in range(3000):
        env.step(np.array([0.1, 0.5], np.float32))
    wheel, gas, brake = np.array(done[::4]).T  # four frames an action, all alike
    assert np.array_equal(done[0::4], done[3::4]) and (gas == 0.5).all() and (brake == 0).all()
    assert wheel.mean() == pytest.approx(0.1, abs=0.03) and wheel.std() == pytest.approx(0.2, rel=0.1)
    assert np.corrcoef(wheel[1:], wheel[:-1])[0, 1] == pytest.approx(0.8, abs=0.05)
    first = list(done[:8])
    env.reset(seed=3)
    del done[:]
    for _ in range(2):
        env.step(np.array([0.1, 0.5], np.float32))
    assert np.array_equal(first, done)  # the seed's
    assert envs.scored("car-racing", {"steer_noise": 0.2, "frame_skip": 4}) == {"frame_skip": 4}


def test_patience_ends_games_of_training_alone():
    env = car_racing.make(patience=40)
    env.reset(seed=1)
    ends = [env.step(np.array([0, 0], np.float32))[2] for _ in range(12)]
    # The tile under the car counts as visited in the first step; ten more without one are 40 frames.
    assert ends.index(True) in (9, 10)
    assert envs.scored("car-racing", {"patience": 40, "frame_skip": 4}) == {"frame_skip": 4}


def test_the_scripted_driver_drives_and_its_answers_are_labels():
    """Whole games by its answers alone; 1,000 would be a lap in no time."""
    env, scores = car_racing.make(expert_info=True), []
    for seed in (101, 102, 103):
        info, over, score = env.reset(seed=seed)[1], False, 0.0
        while not over:
            assert info["expert"].shape == (2,) and np.abs(info["expert"]).max() <= 1
            _, reward, terminated, truncated, info = env.step(info["expert"])
            over, score = terminated or truncated, score + reward
        scores.append(score)
    assert min(scores) > 850, scores


def test_an_agent_with_three_pedals_is_told_what_to_press():
    """Agents say every dimension from -1 to 1: no pedal is -1, not 0."""
    scores = []
    for control in ("pedal", "raw"):
        stream = Stream(envs.make_vec("car-racing", 1, control=control, expert_info=True), torch.device("cpu"))
        stream.info_wanted = ("expert",)
        step, total = stream.reset(5, 0), 0.0
        for _ in range(60):
            stream.send(Act(step.info["expert"].float()))
            step = stream.receive()
            total += float(step.reward[0])
        stream.close()
        scores.append(total)
    assert scores[0] > 150 and scores[1] == pytest.approx(scores[0], rel=0.02)


def test_the_scripted_driver_turns_back_to_the_road():
    """Put down beside the road, or the wrong way round, it still knows what to do."""
    env = car_racing.make(expert_info=True)
    for aside, turned in ((15.0, 0.0), (-15.0, 0.0), (0.0, 2.5)):
        env.reset(seed=104)
        hull = env.game.car.hull
        parts = (hull, *env.game.car.wheels)
        for part in parts:  # the car begins at the first point, in driving direction
            part.position = (
                part.position[0] + aside * np.cos(hull.angle),
                part.position[1] + aside * np.sin(hull.angle),
            )
        answer = env.driver.act()
        if aside:
            assert np.sign(answer[0]) == -np.sign(aside)
        else:
            for part in parts:
                part.angle += turned
            assert abs(env.driver.act()[0]) > 0.9
    raw, one = (car_racing.make(expert_info=True, control=control) for control in ("raw", "pedal"))
    (steer, gas, brake), (same, pedal) = (e.reset(seed=7)[1]["expert"] for e in (raw, one))
    assert (steer, gas - brake) == (same, pedal) and pedal > 0


@pytest.mark.slow
def test_the_scripted_driver_bears_noise_on_the_wheel():
    """A pupil is not as exact as its teacher: one that needs to be is no good teacher."""
    env, scores = car_racing.make(expert_info=True, steer_noise=0.1), []
    for seed in (108, 109, 110):
        info, over, score = env.reset(seed=seed)[1], False, 0.0
        while not over:
            _, reward, terminated, truncated, info = env.step(info["expert"])
            over, score = terminated or truncated, score + reward
        scores.append(score)
    assert np.mean(scores) > 700, scores


@pytest.mark.parametrize("seed", [105, 106, 107])
def test_the_scripted_driver_comes_back_from_a_spin(seed):
    """Full lock and full gas for 80 frames: far off, sliding and turning. 7 s later it has found new road."""
    env = car_racing.make(expert_info=True)
    info = env.reset(seed=seed)[1]
    for step in range(125):
        wild = 25 <= step < 45
        info = env.step(np.array([1.0 if seed % 2 else -1.0, 1.0], np.float32) if wild else info["expert"])[4]
        if step == 44:
            spun = env.game.tile_visited_count
    assert env.game.tile_visited_count > spun


def test_many_games_tell_the_drivers_answers():
    many, one = car_racing.make_vec(2, expert_info=True), car_racing.make(expert_info=True)
    info = many.reset(seed=[8, 9])[1]
    assert np.array_equal(info["expert"][0], one.reset(seed=8)[1]["expert"]) and info["expert"].shape == (2, 2)
    info = many.step(np.zeros((2, 2), np.float32))[4]
    assert np.array_equal(info["expert"][0], one.step(np.zeros(2, np.float32))[4]["expert"])
    many.close()


@pytest.mark.parametrize(
    "wrong", [{"obs": "red"}, {"control": "wheel"}, {"frame_skip": 0}, {"patience": -1}, {"limit": -1}]
)
def test_bad_options_are_refused_by_name(wrong):
    with pytest.raises(ValueError, match=f"--{next(iter(wrong)).replace('_', '-')}"):
        car_racing.make(**wrong)


def test_without_box2d_it_says_what_to_install(monkeypatch):
    car_racing._game.cache_clear()
    monkeypatch.setitem(sys.modules, "gymnasium.envs.box2d", None)
    with pytest.raises(ValueError, match="car-racing needs Box2D: pip install"):
        car_racing.make()
