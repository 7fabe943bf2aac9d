"""The kart environments: contract, determinism, saved states, options, and bad input."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import envs
from envs.kart import columns as c
from envs.kart.env import make, make_vec
from envs.kart.options import DISCRETE, KartOptions
from envs.kart.splits import SPLITS

EVERYTHING = dict(
    karts=3, theme="all", random_looks=0.7, random_camera=0.5, random_dynamics=0.5, random_latency=3, steer_noise=0.1,
    start="random", time_limit=2.0, camera="picam",
)  # fmt: skip


def play(env, steps, seed=11):
    rng = np.random.default_rng(seed)
    log = []
    for _ in range(steps):
        log.append(env.step(rng.uniform(-1, 1, env.action_space.shape).astype(np.float32)))
    return log


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind == "f")


def test_same_seeds_same_games_and_vector_equals_single():
    many, again = make_vec(3, **EVERYTHING), make_vec(3, **EVERYTHING, threads=2)
    first, second = many.reset(seed=[4, 5, 6]), again.reset(seed=[4, 5, 6])
    assert same(first, second)
    log = play(many, 50)
    assert same(tuple(log), tuple(play(again, 50)))
    assert any(entry[3].any() for entry in log)  # a reset is part of it
    again.close()
    with make(**EVERYTHING) as one:
        obs, _ = one.reset(seed=5)
        assert np.array_equal(obs, first[0][1])
        rng = np.random.default_rng(11)
        for entry in log:
            action = rng.uniform(-1, 1, (3, 2)).astype(np.float32)[1]
            if one.batch.over[0]:
                obs, info = one.reset()
            else:
                obs, reward, terminated, truncated, info = one.step(action)
                assert (reward, terminated, truncated) == (entry[1][1], entry[2][1], entry[3][1])
            assert np.array_equal(obs, entry[0][1]) and info["speed"] == entry[4]["speed"][1]


def test_seeds_share_nothing():
    env = make_vec(4, tracks="train", obs="state")
    tracks = [tuple(env.reset(seed=seed)[1]["track"]) for seed in (1, 2, 1)]
    assert tracks[0] == tracks[2] and not set(tracks[0]) & set(tracks[1])
    env.reset(seed=3)
    assert set(env.reset()[1]["track"]) != set(env.reset()[1]["track"])


def test_a_saved_state_goes_on_exactly():
    env = make_vec(2, **EVERYTHING)
    env.reset(seed=9)
    play(env, 25, seed=1)
    state, now = env.state_dict(), env.observe()
    assert np.array_equal(now, env.observe())
    expected = play(env, 60, seed=2)
    other = make_vec(2, **EVERYTHING)
    other.load_state_dict(state)
    assert np.array_equal(other.observe(), now)
    assert same(tuple(play(other, 60, seed=2)), tuple(expected))
    assert all(isinstance(value, np.ndarray | str) for value in state.values())
    with pytest.raises(ValueError, match="state: it comes from KartOptions"):
        make_vec(2).load_state_dict(state)
    state.pop("karts")
    with pytest.raises(ValueError, match="state: karts must have shape"):
        other.load_state_dict(state)


def test_next_step_autoreset():
    env = make_vec(2, tracks="oval", obs="state", time_limit=1.0)
    _, begin = env.reset(seed=0)
    log = play(env, 21)
    assert log[18][3].tolist() == [False, False] and log[19][3].tolist() == [True, True]
    _, reward, terminated, truncated, info = log[20]
    assert not reward.any() and not terminated.any() and not truncated.any()
    assert np.array_equal(info["progress"], begin["progress"]) and not info["episode"]["seconds"].any()


@pytest.mark.parametrize("control", ["speed", "raw", "discrete"])
@pytest.mark.parametrize("obs", ["trunk", "grey", "state"])
def test_gymnasium_checker(control, obs):
    env = make(control=control, obs=obs, expert_info=True, tracks="named")
    check_env(env, skip_render_check=True)
    env.close()
    env.close()


@pytest.mark.parametrize(
    "control, bad",
    [("speed", [[0, 1.1]]), ("speed", [[np.nan, 0]]), ("speed", [0, 0]), ("raw", [[0, 0]]), ("discrete", [15]),
     ("discrete", [-1]), ("discrete", [0.5])],
)  # fmt: skip
def test_an_action_outside_the_space_moves_nothing(control, bad):
    env = make_vec(1, control=control, obs="state")
    env.reset(seed=0)
    before = env.state_dict()
    with pytest.raises(ValueError, match="actions must be"):
        env.step(np.array(bad))
    assert same(env.state_dict(), before)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(obs="rgb"), "obs must be one of trunk, pilotnet, grey, frame, state"),
        (dict(theme="dusk"), "theme: 'dusk' is unknown"),
        (dict(tracks="monza"), "tracks: 'monza' is unknown"),
        (dict(camera="fisheye"), "camera must be one of kart, picam, wide, chase"),
        (dict(karts=9), "karts must be from 1 to 8, not 9"),
        (dict(karts=2.5), "karts must be int, not 2.5"),
        (dict(time_limit=float("nan")), "time_limit must be from 1.0 to 3600.0, not nan"),
        (dict(latency=6, random_latency=6), "latency . random_latency must be at most 10, not 12"),
        (dict(obs="state", drivable_info=True), "drivable_info needs an observation with a picture"),
        (dict(speed=3), "kart has no option 'speed'; it has tracks, "),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        make_vec(1, **options)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="num_envs must be a whole number from 1, not 0"):
        make_vec(0)
    with pytest.raises(ValueError, match="render_mode must be None, human or rgb_array, not 'ansi'"):
        make("ansi")
    env = make_vec(2, obs="state")
    with pytest.raises(ValueError, match="seed must be one integer or 2 of them, not 3"):
        env.reset(seed=[1, 2, 3])
    with pytest.raises(ValueError, match="seed must consist of whole numbers from 0"):
        env.reset(seed=[1, -2])
    one = make(obs="state", time_limit=1.0)
    one.reset(seed=0)
    for _ in range(20):
        one.step(np.float32([0, 0]))
    with pytest.raises(gymnasium.error.ResetNeeded):
        one.step(np.float32([0, 0]))


def test_latency_delays_the_wheels():
    moved = []
    for latency in (0, 4):
        env = make_vec(1, tracks="oval", obs="state", latency=latency)
        env.reset(seed=0)
        wheels = []
        for _ in range(8):
            env.step(np.float32([[1.0, 0.5]]))
            wheels.append(env.batch.karts[0, 0, c.WHEEL])
        moved.append(int(np.flatnonzero(wheels)[0]))
    assert moved == [0, 4]


def test_discrete_actions_are_raw_actions():
    one, other = make_vec(1, tracks="oval", obs="state", control="discrete"), None
    other = make_vec(1, tracks="oval", obs="state", control="raw")
    one.reset(seed=0), other.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(60):
        action = int(rng.integers(len(DISCRETE)))
        a, b = one.step(np.array([action])), other.step(DISCRETE[action][None])
        assert np.array_equal(a[0], b[0])


def test_options_change_what_they_say():
    slow = make_vec(4, theme="snow", weather_grip=True, tracks="oval")
    assert slow.batch.dynamics[:, c.GRIP] == pytest.approx([0.65] * 4)
    varied = make_vec(8, random_dynamics=1.0, obs="state")
    assert len(set(varied.batch.dynamics[:, c.GRIP])) == 8
    cycle = make_vec(3, tracks="validation:5", order="cycle", obs="state")
    first = cycle.reset(seed=0)[1]["track"] - SPLITS["validation"][0]
    assert first.tolist() == [0, 1, 2]
    assert (cycle.reset()[1]["track"] - SPLITS["validation"][0]).tolist() == [3, 4, 0]
    assert KartOptions().protocol == "kart tracks=train laps=2 time_limit=120.0"
    assert "karts=3" in KartOptions(karts=3).protocol and KartOptions(obs="grey").protocol == KartOptions().protocol


def test_an_action_may_be_held_for_several_steps_while_training():
    """Four held actions are sixteen steps of the same game; a race that ends meanwhile stands still."""
    common = dict(tracks="validation:3", order="cycle", obs="state", laps=0, time_limit=1.05)
    one, held = make_vec(3, **common), make_vec(3, **common, action_repeat=4)
    assert held.metadata["frame_skip"] == 4
    one.reset(seed=1), held.reset(seed=1)
    rng = np.random.default_rng(0)
    for _ in range(6):
        action = rng.uniform(-1, 1, (3, 2)).astype(np.float32)
        rewards, over = np.zeros(3), np.zeros(3, bool)
        for _ in range(4):
            if not over.any():  # all end together, at the time limit after 21 steps
                obs, reward, terminated, truncated, _ = one.step(action)
                rewards, over = rewards + reward, terminated | truncated
        obs4, reward4, terminated4, truncated4, _ = held.step(action)
        assert np.array_equal(obs, obs4) and np.allclose(rewards, reward4)
        assert np.array_equal(over, terminated4 | truncated4)
    assert over.all()


def test_what_a_critic_may_know_is_told_beside_the_picture_and_gone_in_scored_games():
    seen, told = make_vec(2, obs="state"), make_vec(2, obs="trunk", privileged_info=True)
    numbers, (_, info) = seen.reset(seed=3)[0], told.reset(seed=3)
    assert np.array_equal(info["numbers"], numbers)
    action = np.zeros((2, 2), np.float32)
    assert np.array_equal(told.step(action)[4]["numbers"], seen.step(action)[0])
    assert envs.scored("kart", {"privileged_info": True, "action_repeat": 4, "latency": 1}) == {"latency": 1}
