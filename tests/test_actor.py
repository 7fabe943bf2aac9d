"""The actor: frame stacks, memory and `first` flags of N columns, in numpy as in torch, and without torch at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from rowlog import RowLog
from scripted_env import Scripted

from agents.core.actor import Actor, ColumnState, Weights
from agents.core.rows import Act, Spec
from agents.core.stream import Stream

SPECS = [
    Spec((3, 2), "uint8", stack=4, num_actions=5),
    Spec((3,), "float32", stack=1, action_dim=2),
    Spec((2, 2, 3), "uint8", stack=2, num_actions=5),
]


class Counter:
    """Its memory counts the rows since each column's episode began; it does what it counts."""

    def __init__(self):
        self.begun, self.asked, self.bias = [], 0, 0

    def begin(self, columns):
        self.begun.append(columns)

    def load_weights(self, state):
        self.bias = state["bias"]

    def act(self, step, memory=None):
        self.asked += 1
        count = (0 if memory is None else memory + 1) * (1 - np.asarray(step.first, np.int64))
        return Act(count + self.bias, {}, memory=count)


@pytest.mark.parametrize("device", [None, "cpu"])
@pytest.mark.parametrize("spec", SPECS)
def test_stacks_and_flags_equal_a_log_in_plain_lists(spec, device):
    """Episodes end anywhere, and the log says slowly what every row looks like."""
    log, columns = RowLog(3, spec, seed=5, legal=bool(spec.num_actions)), ColumnState(spec, 3, device)
    earlier = []
    for _ in range(40):
        rows = [log.row(c) for c in range(3)]
        array = {k: np.array([row[k] for row in rows]) for k in ("frame", "reward", "discount", "last")}
        legal = np.array([row["legal"] for row in rows]) if spec.num_actions else None
        step = columns.observe(array["frame"], array["reward"], array["discount"], array["last"], legal=legal)
        kind = np.ndarray if device is None else torch.Tensor
        assert isinstance(step.obs, kind) and isinstance(step.first, kind)
        stacks = np.stack([log.stack(c, len(log.columns[c]) - 1) for c in range(3)])
        np.testing.assert_array_equal(np.asarray(step.obs), stacks)
        np.testing.assert_array_equal(np.asarray(step.first), [row["first"] for row in rows])
        for name in ("reward", "discount", "last"):
            np.testing.assert_allclose(np.asarray(getattr(step, name)), array[name])
            array[name][:] = 7  # the environment's array may be another one afterwards
            assert (np.asarray(getattr(step, name)) != 7).all()
        if legal is not None:
            np.testing.assert_array_equal(np.asarray(step.legal), legal)
        earlier.append((step, stacks))
    for step, stacks in earlier:  # rows that were handed out stay as they are
        np.testing.assert_array_equal(np.asarray(step.obs), stacks)


def test_what_a_policy_remembers_belongs_to_the_row_before():
    policy = Counter()
    actor = Actor(policy, SPECS[1], 2)
    assert policy.begun == [2] and actor.memory is None
    done = []
    for last in ([0, 0], [0, 1], [0, 0], [1, 0], [0, 0]):
        actor.observe(np.zeros((2, 3), np.float32), last=np.array(last, bool))
        done.append(actor.act().action.tolist())
    assert done == [[0, 0], [1, 1], [2, 0], [3, 1], [0, 2]]
    assert actor.before.tolist() == [3, 1]
    actor.load(Weights(9, {"bias": 10}))
    assert actor.version == 9
    assert actor.act().action.tolist() == [10, 12]  # the same row again: it counts once
    assert actor.memory.tolist() == [0, 2]
    actor.restart()
    assert policy.begun == [2, 2] and actor.memory is None
    assert np.asarray(actor.observe(np.ones((2, 3), np.float32)).first).all()
    assert actor.act().action.tolist() == [10, 10]


def test_a_cut_begins_an_episode_and_forgets_the_frames():
    columns = ColumnState(SPECS[0], 1)
    for k in (1, 2):
        columns.observe(np.full((1, 3, 2), k, np.uint8))
    columns.cut()
    step = columns.observe(np.full((1, 3, 2), 3, np.uint8))
    assert step.first.all() and step.obs[0, :, 0, 0].tolist() == [0, 0, 0, 3]
    assert columns.observe(np.full((1, 3, 2), 4, np.uint8)).obs[0, :, 0, 0].tolist() == [0, 0, 3, 4]


def test_an_actor_of_a_stream_sees_the_rows_of_the_stream():
    stream = Stream(Scripted(["..D", "L.T"], stack=2))
    actor = Actor(Counter(), stream.spec, stream.columns)
    step = stream.reset(1)
    assert actor.columns.step is step
    stream.send(Act(torch.zeros(2, dtype=torch.int64)))
    assert stream.receive() is actor.columns.step is stream.step


def test_it_works_where_there_is_no_torch():
    """A worker, or the computer of a car: the frames of a camera, a policy in numpy."""
    program = """
import sys
sys.modules["torch"] = None  # importing it fails
import numpy as np
from agents.core.actor import Actor
from agents.core.rows import Act, Spec
class Policy:
    def act(self, step, memory=None):
        return Act(step.obs.reshape(len(step.obs), -1).sum(1))
actor = Actor(Policy(), Spec((2,), "uint8", stack=3, num_actions=9), 2)
for k in range(5):
    actor.observe(np.full((2, 2), k, np.uint8), last=[k == 1, False])
    print(actor.act().action.tolist())
"""
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[0, 0]", "[2, 2]", "[4, 6]", "[10, 12]", "[18, 18]"]
