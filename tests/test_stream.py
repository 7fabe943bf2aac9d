"""Rows from environments that play a script, and from real Atari games."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from scripted_env import Scripted, Split

import envs
from agents.core import checkpoint
from agents.core.rows import Act
from agents.core.stream import Stream, spec_of

SCRIPT = ["..D", "L.T.-B", "....."]
# What the script means, step by step from the reset on, per column: (first, last, discount, reward).
F, T = False, True
ROWS = [
    [(T, F, 1, 0), (F, F, 1, 1), (F, F, 1, 2), (F, T, 0, 3), (T, F, 1, 0), (F, F, 1, 4), (F, F, 1, 5), (F, T, 0, 6)],
    [(T, F, 1, 0), (F, F, 0, 1), (F, F, 1, 2), (F, T, 1, 3), (T, F, 1, 0), (F, F, 1, 4), (F, F, -1, 5), (F, T, 0, 6)],
    [(T, F, 1, 0), (F, F, 1, 1), (F, F, 1, 2), (F, F, 1, 3), (F, F, 1, 4), (F, F, 1, 5), (F, F, 1, 6), (F, F, 1, 7)],
]


def act(n, value=0):
    return Act(torch.full((n,), value))


def played(stream, steps):
    rows = [stream.reset(0)]
    for _ in range(steps):
        stream.send(act(stream.num_envs))
        rows.append(stream.receive())
    return rows


@pytest.mark.parametrize("kind", [Scripted, Split])
@pytest.mark.parametrize("threaded", [False, True])
def test_rows_follow_the_script(kind, threaded):
    """Every row is compared after the last step: rows that were handed out stay as they are."""
    env = kind(SCRIPT, tell=("discount", "legal"))
    env.metadata["releases_gil"] = threaded
    stream = Stream(env)
    rows = played(stream, 7)
    for k, row in enumerate(rows):
        for column in range(3):
            first, last, discount, reward = ROWS[column][k]
            assert (bool(row.first[column]), bool(row.last[column])) == (first, last)
            assert (row.discount[column].item(), row.reward[column].item()) == (discount, reward)
        assert row.reward.dtype == row.discount.dtype == torch.float32
        assert row.obs.shape == (3, 1, 2, 2) and (row.obs == k + 2).all()
        assert row.legal.dtype == torch.bool and row.legal[0].tolist() == [(k + 1 + a) % 3 > 0 for a in range(3)]
    assert stream.step is rows[-1]
    stream.close()


def test_without_a_told_discount_only_death_is_zero():
    rows = played(Stream(Scripted(SCRIPT, tell=())), 7)
    for k, row in enumerate(rows):
        expected = [0.0 if ROWS[c][k][1] and ROWS[c][k][2] == 0 else 1.0 for c in range(3)]
        assert row.discount.tolist() == expected and row.legal is None


def test_stacks_are_zero_before_the_first_frame():
    stream = Stream(Scripted(SCRIPT, stack=3))
    rows = played(stream, 7)
    for k, row in enumerate(rows):
        for column in range(3):
            begun = max(j for j in range(k + 1) if ROWS[column][j][0])
            expected = [j + 2 if j >= begun else 0 for j in range(k - 2, k + 1)]
            assert row.obs[column, :, 0, 0].tolist() == expected


def test_scores_and_lengths_run_from_first_to_last():
    """A lost life ends nothing; a time limit ends an episode as a death does."""
    stream = Stream(Scripted(SCRIPT))
    played(stream, 3)
    ended = stream.take_episodes()
    assert [(e.column, e.score, e.length, e.info) for e in ended] == [(0, 6, 3, {}), (1, 6, 3, {})]
    assert stream.take_episodes() == []
    assert stream.running_score.tolist() == [6, 6, 6]
    for _ in range(4):
        stream.send(act(3))
        stream.receive()
    assert [(e.column, e.score, e.length) for e in stream.take_episodes()] == [(0, 15, 3), (1, 15, 3)]
    assert stream.running_score[2] == sum(range(8))


def test_the_environments_own_score_and_figures():
    stream = Stream(Scripted(SCRIPT, tell=("score", "episode")))
    played(stream, 3)
    ended = stream.take_episodes()
    assert [(e.score, e.info) for e in ended] == [(60, {"coins": 4}), (60, {"coins": 4})]


def test_a_barrier_cuts_without_a_report():
    env = Scripted(["..D", "...."])
    stream = Stream(env)
    played(stream, 2)
    row = stream.reset(0, 2)
    assert row.first.all() and not row.last.any() and row.discount.tolist() == [1, 1] and row.reward.tolist() == [0, 0]
    assert stream.running_score.tolist() == [0, 0] and stream.take_episodes() == []
    assert (row.obs[:, 0] != 0).all()
    for _ in range(3):
        stream.send(act(2))
        stream.receive()
    (episode,) = stream.take_episodes()
    assert (episode.score, episode.length) == (6, 3)  # counted from the new start


def test_a_barrier_on_a_last_row_does_not_make_the_next_row_first_twice():
    stream = Stream(Scripted(["D..."], stack=2))
    assert played(stream, 1)[-1].last.all()
    assert stream.reset(0, 1).first.all()
    stream.send(act(1))
    assert not stream.receive().first.any()


def test_seeds_come_from_the_key():
    env = Scripted(SCRIPT)
    stream = Stream(env)
    for key in [(1, 0), (1, 512), (2, 0), (1, 0)]:
        stream.reset(*key)
    one, barrier, other, again = env.seeds
    assert one == again and len(one) == 3 and all(type(s) is int and 0 <= s < 2**31 for s in one)
    assert len({*one, *barrier, *other}) == 9  # no stream is shared, between columns or keys


# -- actions ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "action",
    [
        torch.tensor([0, 3, 0]), torch.tensor([0, -1, 0]), torch.tensor([0, 1]), torch.tensor([[0], [1], [2]]),
        torch.tensor([0.0, 1.0, 2.0]), torch.tensor([0.0, float("nan"), 1.0]), torch.tensor([True, False, True]),
    ],
)  # fmt: skip
def test_an_action_outside_the_space_is_refused_before_it_arrives(action):
    for kind in (Scripted, Split):
        env = kind(SCRIPT)
        stream = Stream(env)
        stream.reset(0)
        with pytest.raises(ValueError, match=r"3 integers in 0\.\.2"):
            stream.send(Act(action))
        assert env.actions == [] and not hasattr(env, "sent")
        with pytest.raises(RuntimeError, match="before send"):
            stream.receive()
        stream.send(act(3, 2))
        stream.receive()
        assert env.actions[0].tolist() == [2, 2, 2]


def test_continuous_actions_are_scaled_to_the_box():
    low, high = np.array([-0.1, 0.0, -3.0], np.float32), np.array([0.3, 1.7, -1.0], np.float32)
    env = Scripted(SCRIPT, action_space=spaces.Box(low, high))
    stream = Stream(env)
    assert stream.spec.action_dim == 3 and stream.spec.num_actions == 0
    stream.reset(0)
    given = torch.tensor([[-1.0, 0.0, 1.0], [1.0, 1.0, -1.0], [5.0, -7.0, 0.5]])
    stream.send(Act(given))
    stream.receive()
    expected = [[-0.1, 0.85, -1.0], [0.3, 1.7, -3.0], [0.3, 0.0, -1.5]]  # beyond +-1 is clipped
    np.testing.assert_allclose(env.actions[0], expected, atol=1e-6)
    assert env.actions[0].dtype == np.float32
    for bad in (given * float("nan"), given / 0, given[:2], given[:, :2]):
        with pytest.raises(ValueError, match="finite"):
            stream.send(Act(bad))
    assert len(env.actions) == 1


def test_scaled_actions_lie_inside_the_box_to_the_bit():
    random = np.random.default_rng(0)
    low = random.normal(size=300).astype(np.float32)
    space = spaces.Box(low, low + random.random(300).astype(np.float32))
    env = Scripted(["."] * 2, action_space=space)
    stream = Stream(env)
    stream.reset(0)
    stream.send(Act(torch.stack([torch.ones(300), -torch.ones(300)])))
    stream.receive()
    assert all(space.contains(a) for a in env.actions[0])
    np.testing.assert_allclose(env.actions[0], [space.high, space.low], atol=1e-6)


def test_spaces_that_are_not_supported_are_named():
    class Env:
        metadata: dict = {}
        single_observation_space = spaces.Box(0, 1, (3,), np.float32)
        single_action_space = spaces.Discrete(2)

    assert spec_of(Env()).obs_shape == (3,)
    refused = {
        "single_observation_space": [spaces.Dict({}), spaces.Discrete(3), spaces.Box(0, 1, (3,), np.float64)],
        "single_action_space": [
            spaces.MultiDiscrete([2, 2]), spaces.Discrete(3, start=1), spaces.Box(-np.inf, np.inf, (2,)),
            spaces.Box(-1, 1, (2, 2)),
        ],
    }  # fmt: skip
    for name, chosen in refused.items():
        for space in chosen:
            env = Env()
            setattr(env, name, space)
            with pytest.raises(ValueError) as caught:
                spec_of(env)
            named = (
                "start at 0, not 1" if isinstance(space, spaces.Discrete) and name.endswith("action_space") else space
            )
            assert str(named) in str(caught.value)
    env = Scripted(SCRIPT)
    env.metadata["autoreset_mode"] = AutoresetMode.SAME_STEP
    with pytest.raises(ValueError, match="NEXT_STEP"):
        Stream(env)


# -- state ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", range(9))
def test_a_saved_stream_goes_on_as_if_nothing_had_happened(moment, tmp_path):
    def build():
        return Stream(Scripted(SCRIPT, stack=3, tell=("discount", "legal")))

    def follow(stream):
        rows = []
        for _ in range(9):
            stream.send(act(3))
            row = stream.receive()
            rows += tensors(row)
        return rows, stream.take_episodes()

    def tensors(row):
        return [x for x in row if isinstance(x, torch.Tensor)]

    stream, copy = build(), build()
    assert stream.exact
    played(stream, moment)
    stream.take_episodes()
    checkpoint.save(tmp_path, 1, {"stream": stream.state_dict()}, {})
    copy.load_state_dict(checkpoint.load(tmp_path)[0]["stream"])
    for a, b in zip(tensors(stream.step), tensors(copy.step), strict=True):
        assert torch.equal(a, b)
    (rows, episodes), (rows_of_copy, episodes_of_copy) = follow(stream), follow(copy)
    assert all(torch.equal(a, b) for a, b in zip(rows, rows_of_copy, strict=True))
    assert episodes == episodes_of_copy and len(episodes) > 3


def test_a_stream_of_an_older_checkpoint_which_called_the_arrays_of_info_labels():
    stream = Stream(Scripted(SCRIPT, tell=("discount", "legal", "score")))
    stream.info_wanted = ("score",)
    played(stream, 3)
    state = stream.state_dict()
    state["row"]["labels"] = state["row"].pop("info")
    copy = Stream(Scripted(SCRIPT, tell=("discount", "legal", "score")))
    copy.load_state_dict(state)
    assert copy.step.info.keys() == {"score"} and torch.equal(copy.step.info["score"], stream.step.info["score"])


def test_environments_that_cannot_be_saved_have_no_state():
    stream = Stream(Scripted(SCRIPT, saved=False))
    played(stream, 3)
    assert not stream.exact and stream.state_dict() == {}


# -- real games -------------------------------------------------------------------------------------------------------


def test_an_action_that_would_hang_the_emulators_is_refused():
    """In a process of its own, under a watchdog: inside, an unknown action blocks for ever."""
    code = """
import torch, envs
from agents.core.rows import Act
from agents.core.stream import Stream
stream = Stream(envs.make_vec("breakout", 2))
stream.reset(0)
for action in ([0, 4], [-1, 0], [0, 1, 2], [0.0, 1.0]):
    try:
        stream.send(Act(torch.tensor(action)))
    except ValueError as fault:
        print("refused", fault)
stream.send(Act(torch.tensor([3, 1])))
print("stepped", stream.receive().obs.shape)
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, env=environment)
    assert done.stdout.count("refused actions must be 2 integers in 0..3") == 4, done.stderr
    assert done.stdout.endswith("stepped torch.Size([2, 4, 84, 84])\n")


def test_gymnasium_environments_become_rows():
    stream = Stream(envs.make_vec("gym:CartPole-v1", 3))
    assert stream.spec.obs_shape == (4,) and stream.spec.num_actions == 2
    rows = [stream.reset(5)]
    for k in range(60):
        stream.send(act(3, k // 5 % 2))
        rows.append(stream.receive())
    ended = stream.take_episodes()
    lasts = torch.stack([r.last for r in rows])
    assert len(ended) == lasts.sum() >= 3
    for before, after in zip(rows, rows[1:], strict=False):
        assert torch.equal(after.first, before.last)
        assert (after.discount[after.last] == 0).all() and (after.reward[after.first] == 0).all()
    for episode in ended[:3]:  # each pays 1 a step
        assert episode.score == episode.length
    stream.close()
