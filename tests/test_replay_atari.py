"""Frames stored once give back what storing whole stacks would: on real games, to the bit."""

import dataclasses

import numpy as np
import pytest
import torch

import envs
from agents.core.device import seed_array
from agents.core.replay import ReplayBuffer
from agents.core.rows import Act
from agents.core.samplers import Prioritized, Uniform
from agents.core.stream import Stream
from envs import atari

N = 4


@pytest.fixture
def short(monkeypatch):
    """A protocol whose games are cut by the clock after 600 frames, so that time limits come as well as deaths."""
    baselines = atari.PROTOCOLS["baselines"]
    monkeypatch.setitem(atari.PROTOCOLS, "short", dataclasses.replace(baselines, max_frames=600))


def played(game, steps, **options):
    """Rows, acts and Stream of a game played at random; rows as they were handed out."""
    stream = Stream(envs.make_vec(game, N, **options))
    generator = torch.Generator().manual_seed(1)
    step, rows = stream.reset(3), []
    for _ in range(steps):
        draw = torch.rand((N, stream.spec.num_actions), generator=generator)
        act = Act(torch.where(step.legal, draw, -1.0).argmax(1) if step.legal is not None else draw.argmax(1))
        rows.append((step, act))
        stream.send(act)
        step = stream.receive()
    episodes = stream.take_episodes()
    stream.close()
    return rows, episodes, stream.spec


@pytest.mark.parametrize(
    "game, protocol, steps",
    [
        ("breakout", "short", 350),
        pytest.param("pong", "short", 200, marks=pytest.mark.slow),
        pytest.param("breakout", "machado", 3000, marks=pytest.mark.slow),
        pytest.param("space-invaders", "baselines", 3000, marks=pytest.mark.slow),
        pytest.param("pong", "nature", 3000, marks=pytest.mark.slow),
    ],
)
def test_stacks_are_those_of_the_emulators_own_stacking(game, protocol, steps, short):
    """AtariVectorEnv with stack_num=4, the same seeds and actions; nothing else differs."""
    rows, episodes, _ = played(game, steps, protocol=protocol)
    arguments = {**atari.arguments(atari.PROTOCOLS[protocol]), "stack_num": 4}
    other = atari.emulators(game.replace("-", "_"), N, 2, **arguments)
    obs, _ = other.reset(seed=seed_array(N, 3))
    terminated = truncated = np.zeros(N, bool)
    reward = np.zeros(N)
    for k, (step, act) in enumerate(rows):
        np.testing.assert_array_equal(step.obs.numpy(), obs, err_msg=f"row {k}")
        assert step.reward.tolist() == reward.tolist()
        assert step.last.tolist() == (terminated | truncated).tolist()
        obs, reward, terminated, truncated, _ = other.step(act.action.numpy())
    assert len(episodes) >= N
    assert sum(int(step.first.sum()) for step, _ in rows) >= 2 * N  # each game was begun again in their midst


@pytest.mark.parametrize("sampler", [Uniform, Prioritized])
def test_a_ring_of_frames_equals_a_ring_of_stacks(sampler, short):
    """A naive ring keeps every row with its whole stack; wrapped several times, with seals and lost lives."""
    length, window = 60, 4
    rows, _, spec = played("breakout", 260, protocol="short")
    ring = ReplayBuffer(length, N, spec, sampler(), window=window, seed=1)
    naive: list[dict] = []  # one entry per time slot ever added
    compared = lives = 0
    for k, (step, act) in enumerate(rows):
        ring.add(step, act)
        naive.append({"obs": step.obs, "action": act.action, **step._asdict()})
        lives += int(((step.discount == 0) & ~step.last).sum())
        if k % 20 == 19:
            batch = ring.sample(64)
            for b, index in enumerate(batch.index.tolist()):
                slot, column = divmod(index, N)
                start = max(t for t in range(k + 1) if t % length == slot)
                for j in range(window):
                    row = naive[start + j]
                    assert torch.equal(batch.obs[b, j], row["obs"][column])
                    for name in ("action", "reward", "discount", "first", "last"):
                        assert getattr(batch, name)[b, j] == row[name][column]
                    assert torch.equal(batch.legal[b, j], row["legal"][column])
                    compared += 1
    assert compared == 13 * 64 * window and lives > 4
    first = torch.stack([row["first"] for row in naive])
    assert first[1:].sum() >= N and len(ring) == length * N
