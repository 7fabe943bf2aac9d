"""Paces count rows, over all columns, however they come."""

import numpy as np
import pytest
from rowlog import RowLog

from agents.core.pace import Every, Ratio
from agents.core.replay import ReplayBuffer
from agents.core.rows import Spec
from agents.core.samplers import Uniform
from agents.imitation import DaggerRounds, Offline

NUMBERS = Spec((2,), "float32", 1, 3)


def paces():
    return [Ratio(2.0, 4, 10), Every(5, 2, 6), DaggerRounds(3, 12, 4), Offline()]


@pytest.mark.parametrize("kind", range(4))
@pytest.mark.parametrize("blocks", [[6], [2, 4], [1, 2, 3], [1]])
def test_the_width_of_the_blocks_decides_nothing(kind, blocks):
    """So many rows owe so many draws, in blocks of any width; asking again owes nothing more."""
    one, other, rows, draws = paces()[kind], paces()[kind], 0, 0
    while rows < 240:
        for width in blocks:
            rows += width
            draws += other.draws_due(rows)
            assert other.draws_due(rows) == 0
    assert draws == sum(one.draws_due(n) for n in range(1, rows + 1))
    assert one.state_dict() == other.state_dict()
    assert draws == {0: 2 * (240 - 10) // 4, 1: (240 // 6 - 1) // 5, 2: 0, 3: 0}[kind]


def test_rollouts_that_come_at_once_are_one_draw():
    pace = Every(5, 1, 2)
    assert [pace.draws_due(rows) for rows in (10, 12, 40, 41, 42, 44)] == [0, 1, 1, 0, 1, 0]


def filled(calls, columns):
    ring, log = ReplayBuffer(20, 4, NUMBERS, Uniform()), RowLog(4, NUMBERS, seed=1)
    for _ in range(calls):
        log.add_to(ring, np.asarray(columns))
    return ring


@pytest.mark.parametrize("columns", [[0, 1, 2, 3], [1, 3], [2]])
def test_the_ring_counts_rows(columns):
    assert filled(7, columns).added == 7 * len(columns)


@pytest.mark.parametrize("calls", [7, 25])
def test_a_ring_of_an_older_checkpoint_which_counted_calls(calls):
    ring = filled(calls, [0, 1, 2, 3])
    state = ring.state_dict()
    del state["rows_added"]
    state["added"] = calls
    ring.added = 0
    state["rows"] = Whole(state["rows"], ring)
    ring.load_state_dict(state)
    assert ring.added == 4 * calls


class Whole:
    """The rows of a checkpoint, without a folder."""

    def __init__(self, rows, ring):
        self.length, self.versions, self.filling, self.ring = ring.segment, ring.versions, ring.filling, ring

    def columns(self):
        return {k: (v.shape, v.dtype) for k, v in self.ring.data.items()}

    def copy_to(self, data):
        pass


def test_a_run_of_rounds_whose_checkpoint_does_not_tell_what_was_counted():
    pace = DaggerRounds(0, 10, 2)
    pace.begin(recorded=30)
    pace.load_state_dict({"round": 1, "seen": 14, "owed": 0})
    pace.draws_due(30 + 14 + 5)
    assert pace.seen == 19 and not pace.learns_offline()
    pace.draws_due(30 + 14 + 6)
    assert pace.round == 2 and pace.learns_offline()
