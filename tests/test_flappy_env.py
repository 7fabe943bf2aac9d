"""Flappy Bird: the contract of the vector and of the single game, options, seeds, saved states and the window."""

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from envs.batches import environment_seeds
from envs.flappy import art
from envs.flappy.env import FlappyOptions, FlappyVectorEnv, make, make_vec

LOOKS = {"light": "random", "random_colours": True, "random_background": True}
RANDOM = {**LOOKS, "speed_spread": 0.2, "frame_skip": 2}


def play_all(env, actions):
    """Copies of everything that a run of actions [T, N] returns."""
    rows = []
    for action in actions:
        frames, rewards, terminated, truncated, info = env.step(action)
        rows.append((frames, rewards, terminated, truncated, info["score"]))
    return [np.array(column) for column in zip(*rows, strict=True)]


def actions_for(steps, number, seed=0):
    return (np.random.default_rng(seed).random((steps, number)) < 0.09).astype(np.int64)


@pytest.mark.parametrize("obs", ["pixels", "rgb", "state", "seed"])
def test_same_seeds_same_games_and_vector_equals_single(obs):
    choice = {"obs": obs, **RANDOM}
    actions = actions_for(60, 4)
    seeds = environment_seeds(11, 4)
    first, again, alone = make_vec(4, **choice), make_vec(4, **choice), make_vec(1, **choice)
    start, _ = first.reset(seed=11)
    assert np.array_equal(start, again.reset(seed=seeds)[0])
    wanted, got = play_all(first, actions), play_all(again, actions)
    assert all(np.array_equal(a, b) for a, b in zip(wanted, got, strict=True))
    assert alone.reset(seed=[seeds[2]])[0].tobytes() == start[2].tobytes()
    one = play_all(alone, actions[:, 2:3])
    assert all(np.array_equal(a[:, 2], b[:, 0]) for a, b in zip(wanted, one, strict=True))

    single = make(**choice)
    frame, _ = single.reset(seed=seeds[2])
    assert np.array_equal(frame, start[2])
    ended = False
    for t in range(60):
        if ended:
            frame, info = single.reset()
            reward, ended, cut = 0.0, False, False
        else:
            frame, reward, ended, cut, info = single.step(actions[t, 2])
        result = (frame, reward, ended, cut, info["score"])
        assert all(np.array_equal(a[t, 2], b) for a, b in zip(wanted, result, strict=True))
        ended = ended or cut
    assert wanted[2][:, 2].any()


def test_seeds_share_no_streams_and_looks_change_no_pipes():
    streams = [tuple(make_seeded(seed, 50).ravel()) for seed in (0, 1, 2, 3)]
    assert len(set(sum(streams, ()))) == 4 * 50 * 2
    plain, coloured = make_vec(8, obs="state"), make_vec(8, obs="state", **LOOKS)
    plain.reset(seed=6), coloured.reset(seed=6)
    actions = actions_for(200, 8)
    for a, b in zip(play_all(plain, actions), play_all(coloured, actions), strict=True):
        assert np.array_equal(a, b)


def make_seeded(seed, number):
    env = make_vec(number, obs="state")
    env.reset(seed=seed)
    before = env.state_dict()["streams"]
    env.reset()  # goes on with the generators
    assert (env.state_dict()["streams"][:, 0] != before[:, 0]).all()
    return before


@pytest.mark.parametrize("obs", ["pixels", "rgb", "state", "seed"])
def test_state_dict_round_trip(obs):
    choice = {"obs": obs, **RANDOM, "ramp": 5}
    env = make_vec(5, **choice)
    env.reset(seed=1)
    play_all(env, actions_for(37, 5))
    saved, seen = env.state_dict(), env.observe()
    wanted = play_all(env, actions_for(60, 5, seed=1))
    other = make_vec(5, **choice)
    for fresh in (env, other):
        fresh.load_state_dict(saved)
        assert np.array_equal(fresh.observe(), seen)
        got = play_all(fresh, actions_for(60, 5, seed=1))
        assert all(np.array_equal(a, b) for a, b in zip(wanted, got, strict=True))
    with pytest.raises(ValueError, match="y must have shape"):
        make_vec(4, **choice).load_state_dict(saved)


def test_autoreset_on_the_next_step_and_terminal_frame_shows_the_crash():
    env = make_vec(2, obs="rgb")
    assert env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    env.reset(seed=2)
    for step in range(1, 20):
        frames, rewards, terminated, truncated, info = env.step(np.array([0, 1]))
        assert terminated[0] == (step == 19) and not terminated[1] and not truncated.any()
    body = np.array(art.COLOURS["body"][0])
    red = (np.abs(frames[0].astype(int) - body) < 12).all(2)
    assert rewards[0] == -1 and red[380:404].any() and not red[:380].any()  # on the ground, not in the air
    before = env.state_dict()["streams"][0, 0]
    frames, rewards, terminated, truncated, info = env.step(np.array([1, 1]))  # the flap of game 0 is ignored
    assert rewards[0] == 0 and not terminated[0] and info["score"][0] == 0
    state = env.state_dict()
    assert state["y"][0] == 244 and state["velocity"][0] == 0 and state["streams"][0, 0] != before
    assert state["frames"][0] == 0 and np.array_equal(frames[0], env.observe()[0])
    assert state["frames"][1] == 20  # the other game ran on


def test_actions_outside_the_space_move_nothing():
    env = make_vec(3, obs="state")
    env.reset(seed=0)
    before = env.state_dict()
    for wrong in ([0, 2, 0], [0, -1, 1], [0.0, 1.0, 0.0], [0, 1], [[0], [1], [0]], [True, False, True]):
        with pytest.raises(ValueError, match="action"):
            env.step(np.array(wrong))
    assert all(np.array_equal(before[name], value) for name, value in env.state_dict().items())
    single = make(obs="state")
    single.reset(seed=0)
    with pytest.raises(ValueError, match="must be 0"):
        single.step(2)


@pytest.mark.parametrize(
    "name, value",
    [
        ("obs", "lidar"), ("gap", 600), ("gap", 10), ("gap", 100.5), ("gap", True), ("speed", -4.0), ("speed", 0.0),
        ("speed", float("nan")), ("speed", "fast"), ("speed_spread", 0.9), ("spacing", 20), ("spacing", -1),
        ("flap", -9.0), ("gravity", 0.0), ("ramp", -1), ("light", "dusk"), ("random_colours", 1),
        ("random_background", "yes"), ("reward", "shaped"), ("cap", -1), ("frame_skip", 0), ("frame_skip", 99),
        ("narrow_gap", 0.6), ("narrow_gap", -0.1), ("restart_before_crash", 1.0), ("restart_before_crash", -0.1),
    ],
)  # fmt: skip
def test_bad_options_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=rf"^{name} must be"):
        FlappyOptions(**{name: value})


def test_other_mistakes_are_refused_by_name():
    with pytest.raises(ValueError, match="speed 8.0 with speed_spread 0.5"):
        FlappyOptions(speed=8.0, speed_spread=0.5)
    with pytest.raises(ValueError, match="gap 60 with narrow_gap 0.2 reaches 48"):
        FlappyOptions(gap=60, narrow_gap=0.2)
    with pytest.raises(ValueError, match="no option 'gaps'"):
        make_vec(2, gaps=3)
    with pytest.raises(ValueError, match="num_envs"):
        make_vec(0)
    with pytest.raises(ValueError, match="render_mode"):
        make(render_mode="ansi")
    with pytest.raises(ValueError, match="seed must be one integer or 2"):
        make_vec(2).reset(seed=[1, 2, 3])
    with pytest.raises(ValueError, match="random_background"):
        env = make_vec(50, obs="state", random_background=True)
        make_vec(50, obs="state").load_state_dict(env.state_dict())


def test_protocol_names_what_changes_scores():
    assert FlappyOptions().protocol == FlappyOptions(obs="seed", reward="score").protocol
    labels = [FlappyOptions(**c).protocol for c in ({}, {"gap": 90}, {"speed": 4.8}, {"frame_skip": 2}, {"cap": 5})]
    labels += [FlappyOptions(**c).protocol for c in ({"random_colours": True}, {"gravity": 0.9}, {"light": "night"})]
    assert len(set(labels)) == len(labels)
    assert make_vec(1).metadata["protocol"] == make().metadata["protocol"] == FlappyOptions().protocol


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("obs", ["pixels", "rgb", "state", "seed"])
def test_gymnasium_checker_accepts_the_single_game(obs):
    gymnasium.register("JoypadTestFlappy-v0", entry_point=make)
    try:
        env = gymnasium.make("JoypadTestFlappy-v0", obs=obs, render_mode="rgb_array")
        check_env(env.unwrapped, skip_render_check=True)
        env.reset(seed=0)
        env.step(1)
        assert env.render().shape == (512, 288, 3)
        env.close()
        env.close()
    finally:
        del gymnasium.registry["JoypadTestFlappy-v0"]


@pytest.mark.parametrize("obs", ["pixels", "rgb", "state", "seed"])
def test_vector_keeps_gymnasiums_contract(obs):
    env = FlappyVectorEnv(3, FlappyOptions(obs=obs))
    assert isinstance(env, gymnasium.vector.VectorEnv)
    wrapped = gymnasium.wrappers.vector.RecordEpisodeStatistics(env)
    wrapped = gymnasium.wrappers.vector.DictInfoToList(wrapped)
    wrapped.action_space.seed(0)
    frames, infos = wrapped.reset(seed=1)
    assert frames in env.observation_space and frames[0] in env.single_observation_space
    kept, copies, episodes = [], [], 0
    for _ in range(120):
        frames, rewards, terminated, truncated, infos = wrapped.step(wrapped.action_space.sample())
        assert frames in env.observation_space
        assert rewards.shape == terminated.shape == truncated.shape == (3,)
        assert (rewards.dtype, terminated.dtype, truncated.dtype) == (np.float64, np.bool_, np.bool_)
        kept.append(frames), copies.append(frames.copy())
        episodes += sum("episode" in info for info in infos)
        for info, done in zip(infos, terminated, strict=True):
            assert info["score"] == 0 and (not done or info["episode"]["r"] == pytest.approx(3.9, abs=0.01))
    assert episodes >= 6
    assert all(np.array_equal(a, b) for a, b in zip(kept, copies, strict=True))  # arrays are fresh
    wrapped.close()
    env.close()


def test_step_after_the_end_asks_for_reset():
    env = make(obs="state")
    env.reset(seed=0)
    for _ in range(19):
        env.step(0)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(0)
    env.reset()
    env.step(0)


def test_human_mode_opens_a_window_and_keeps_the_pace(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    import pygame

    env = make(render_mode="human", frame_skip=2)
    assert not pygame.display.get_init()  # opened by the first picture
    env.reset(seed=0)
    start = pygame.time.get_ticks()
    for action in (0, 1, 0, 0):
        env.step(action)
    assert pygame.time.get_ticks() - start >= 3 * 60  # two frames of 1/30 s each, within the clock's rounding
    shown = pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)
    copy = make(render_mode="rgb_array", frame_skip=2)
    copy.load_state_dict(env.state_dict())
    assert np.array_equal(shown, copy.render())
    env.close()
    env.close()
    assert not pygame.display.get_init()


def test_core_needs_no_display_and_no_torch():
    code = "import sys; from envs.flappy.env import make_vec; make_vec(1).reset(seed=0); "
    code += "print([m for m in ('pygame', 'torch', 'cv2') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.slow
def test_stable_baselines3_takes_the_single_game():
    from stable_baselines3 import DQN
    from stable_baselines3.common.env_checker import check_env as sb3_check

    env = make(obs="state")
    sb3_check(env)
    model = DQN("MlpPolicy", env, learning_starts=100, device="cpu").learn(300)
    assert model.num_timesteps == 300
