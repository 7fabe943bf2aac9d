"""Practice from before earlier crashes, against a log that the test keeps of every game."""

import numpy as np
import pytest
import torch

import envs
from agents.core.rows import Act
from agents.core.stream import Stream
from envs.flappy.drill import BANK, PIPES
from envs.flappy.env import make_vec

PHYSICS = ("y", "velocity", "speed", "gap", "pipe_x", "gap_top", "gap_bottom", "pipes", "passed")
NUM = 3


def clumsy(state, random) -> np.ndarray:
    """Flaps when low in the gap, and forgets it at times: a crash every few pipes."""
    ahead = np.minimum(state["passed"], state["pipes"] - 1)
    bottom = state["gap_bottom"][np.arange(NUM), ahead]
    wanted = state["y"] + 24 + 2 * state["velocity"] > bottom - 12
    return (wanted & (random.random(NUM) < 0.93)).astype(np.int64)


def moment(state, i: int) -> bytes:
    return b"".join(state[name][i].tobytes() for name in PHYSICS)


def test_half_of_the_frames_begin_two_pipes_before_one_of_the_newest_crashes():
    env, random = (
        make_vec(NUM, obs="state", restart_before_crash=0.5, frame_skip=2, narrow_gap=0.15),
        np.random.default_rng(0),
    )
    env.reset(seed=1)
    state = env.state_dict()
    passed = [[moment(state, i)] * 2 for i in range(NUM)]  # the newest last
    crashes: list[list[bytes]] = [[] for _ in range(NUM)]
    drilling, over, begun, ended = np.zeros(NUM, bool), np.zeros(NUM, bool), 0, {"crash": 0, "pipes": 0}
    frames, drilled = np.zeros(NUM), np.zeros(NUM)
    for _ in range(6_000):
        before = state
        _, rewards, terminated, truncated, info = env.step(clumsy(state, random))
        state = env.state_dict()
        for i in range(NUM):
            if over[i]:
                drilling[i] = bool(crashes[i]) and drilled[i] < 0.5 * frames[i]
                assert info["_score"][i] == (not drilling[i])
                assert state["score"][i] == 0 and rewards[i] == 0
                if drilling[i]:
                    assert moment(state, i) in crashes[i][-BANK:]
                    begun += 1
                passed[i] = [moment(state, i)] * 2
            else:
                frames[i] += 2
                drilled[i] += 2 * drilling[i]
                if drilling[i]:
                    assert truncated[i] == (not terminated[i] and state["score"][i] == PIPES)
                    ended["crash"] += terminated[i]
                    ended["pipes"] += truncated[i]
                else:
                    assert not truncated[i]
                    if terminated[i]:
                        crashes[i].append(passed[i][0])
                    elif state["score"][i] > before["score"][i]:
                        passed[i] = [passed[i][1], moment(state, i)]
        over = terminated | truncated
    assert begun > 100 and ended["crash"] > 20 and ended["pipes"] > 20
    assert min(map(len, crashes)) > BANK
    assert (np.abs(drilled / frames - 0.5) < 0.03).all()


def test_the_same_moment_has_another_future():
    env, random = make_vec(NUM, obs="state", restart_before_crash=0.9), np.random.default_rng(3)
    env.reset(seed=2)
    state, futures = env.state_dict(), set()
    for _ in range(4_000):
        env.step(clumsy(state, random))
        state = env.state_dict()
        if state["drill.drilling"][0] and state["score"][0] == PIPES - 1:
            futures.add(state["gap_top"][0].tobytes())
    assert len(futures) > 10


def test_a_seed_decides_everything_whatever_was_played_before():
    def played(env):
        random = np.random.default_rng(8)
        frames = [env.reset(seed=9)[0]]
        for _ in range(600):
            frames.append(env.step(clumsy(env.state_dict(), random))[0])
        assert env.state_dict()["drill.drilled"].all()
        return np.array(frames)

    env = make_vec(NUM, obs="state", restart_before_crash=0.5, frame_skip=2)
    assert np.array_equal(played(env), played(env))


def test_it_goes_on_to_the_bit_after_a_restore():
    first, random = make_vec(NUM, restart_before_crash=0.5), np.random.default_rng(5)
    first.reset(seed=4)
    for _ in range(900):
        first.step(clumsy(first.state_dict(), random))
    second = make_vec(NUM, restart_before_crash=0.5)
    second.load_state_dict(first.state_dict())
    for _ in range(900):
        action = clumsy(first.state_dict(), random)
        for mine, theirs in zip(first.step(action)[:4], second.step(action)[:4], strict=True):
            assert np.array_equal(mine, theirs)
    with pytest.raises(ValueError, match=r"drill\.frames must have shape"):
        second.load_state_dict(make_vec(NUM).state_dict())


def test_only_whole_games_of_a_training_are_counted_and_none_is_scored_like_that():
    stream, random = (
        Stream(make_vec(NUM, obs="state", restart_before_crash=0.5, frame_skip=2)),
        np.random.default_rng(6),
    )
    stream.reset(7)
    counted = whole = ends = 0
    for _ in range(2_000):
        state = stream.envs.state_dict()
        stream.send(Act(torch.from_numpy(clumsy(state, random))))
        step = stream.receive()
        counted += len(stream.take_episodes())
        last = np.asarray(step.last)
        ends += last.sum()
        whole += (last & (stream.envs.state_dict()["drill.drilling"] == 0)).sum()
    assert counted == whole and 20 < whole < ends - 20
    assert envs.scored("flappy", {"restart_before_crash": 0.5, "gap": 120}) == {"gap": 120}
    assert make_vec(1, restart_before_crash=0.5).metadata["protocol"] == make_vec(1).metadata["protocol"]
    with pytest.raises(ValueError, match="restart_before_crash must be from 0"):
        make_vec(1, restart_before_crash=0.95)
