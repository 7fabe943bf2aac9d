"""A pool of earlier selves: who plays which row, what is learned from, what a resume needs."""

import numpy as np
import pytest
import torch

import envs
from agents.core import checkpoint
from agents.core.pool import Pool
from agents.core.rows import Act
from agents.core.stream import Stream
from experiments import lab
from tests.toys import tictactoe


class Fixed:
    """Always plays the lowest legal field, or the highest; its only weight says which."""

    needs, evaluation = None, "greedy"

    def __init__(self, highest=False):
        self.highest = torch.tensor([float(highest)])

    def act(self, step, memory=None, *, explore=True):
        legal = step.legal.float() * torch.arange(1, 10)
        lowest = torch.where(step.legal, -torch.arange(9.0), -100.0)
        action = legal.argmax(1) if self.highest else lowest.argmax(1)
        return Act(action, {"logp": torch.zeros(len(action))})

    def state_dict(self):
        return {"network": {"highest": self.highest}}

    def load_weights(self, state):
        self.highest = state["network"]["highest"].clone()

    load_state_dict = load_weights


def played(pool, columns, steps):
    """(observation, action, legal, skip, side that is to move) of every row, by column."""
    stream, rows = Stream(tictactoe.make_vec(columns)), [[] for _ in range(columns)]
    step, side = stream.reset(0, 0), np.zeros(columns, int)
    for _ in range(steps):
        side = np.where(step.first, 0, np.where(step.discount < 0, 1 - side, side))
        act = pool.act(step)
        for i in range(columns):
            row = (step.legal[i].numpy(), int(act.action[i]), bool(act.extras["skip"][i]), int(side[i]))
            rows[i].append((*row, bool(step.first[i]), bool(step.last[i])))
        stream.send(act)
        step = stream.receive()
    return rows


def test_rows_that_the_agent_itself_skips_stay_skipped():
    class Choosy(Fixed):
        def act(self, step, memory=None, *, explore=True):
            act = super().act(step, memory, explore=explore)
            return act._replace(extras={**act.extras, "skip": torch.arange(len(act.action)) == 1})

    pool = Pool(Choosy(), lambda: Fixed(), tictactoe_spec(), share=0.75, size=3, every=10**6, seed=1)
    pool.training = True
    rows = played(pool, 4, 60)
    assert all(skip for _, _, skip, *_ in rows[1])
    assert not any(skip for _, _, skip, *_ in rows[3])
    for column in (0, 2):
        assert {skip for _, _, skip, *_ in rows[column]} == {True, False}


def test_earlier_selves_play_with_the_averaged_weights_of_an_agent_that_has_some():
    class Averaged(Fixed):
        def state_dict(self):
            return {"network": {}, "average": {"highest": self.highest}, "optimizer": {}}

        def load_weights(self, state):
            self.highest = state["average"]["highest"].clone()

    pool = Pool(Averaged(highest=True), Averaged, tictactoe_spec(), share=1.0, size=3, every=10**6, seed=1)
    pool.training = True
    played(pool, 2, 3)
    assert pool._opponent.highest and pool._snapshots[0].keys() == {"network", "average"}


@pytest.mark.parametrize("share, columns", [(0.0, 4), (0.5, 4), (1.0, 3)])
def test_the_opponent_plays_one_side_of_its_columns_and_its_rows_are_skipped(share, columns):
    agent = Fixed(highest=False)
    pool = Pool(agent, lambda: Fixed(), tictactoe_spec(), share=share, size=3, every=10**6, seed=1)
    pool.training = True
    pool.act(Stream(tictactoe.make_vec(columns)).reset(0, 0))  # the snapshot: the lowest field
    agent.highest[:] = 1  # the agent has changed since
    sides = set()
    for i, column in enumerate(played(pool, columns, 60)):
        skipped = {side for *_, skip, side, first, last in column if skip}
        game = []
        for legal, action, skip, side, first, _ in column:
            fields = np.flatnonzero(legal)
            assert action == (fields.min() if skip else fields.max())
            game = [] if first else game
            game.append((skip, side))
            theirs = {s for k, s in game if k}
            assert len(theirs) <= 1 and all(k == (s in theirs) for k, s in game) or len(game) < 2
        assert bool(skipped) == (i < round(share * columns))
        sides |= skipped
    assert sides == ({0, 1} if share else set())


def tictactoe_spec():
    return Stream(tictactoe.make_vec(1)).spec


def test_the_pool_drops_the_oldest_and_an_evaluation_plays_alone():
    agent = Fixed()
    pool = Pool(agent, lambda: Fixed(), tictactoe_spec(), share=1.0, size=2, every=20, seed=0)
    pool.training = True
    played(pool, 4, 26)  # 104 rows: snapshots at 0, 20, .. 100
    assert len(pool.state_dict()["pool"]["snapshots"]) == 2 and pool.state_dict()["pool"]["taken"] == 6
    pool.training = False
    act = pool.act(Stream(tictactoe.make_vec(4)).reset(0, 0))
    assert "skip" not in act.extras


@pytest.mark.parametrize("agent", ["ppo", "dqn"])
def test_a_resume_goes_on_to_the_bit_and_skipped_rows_have_no_weight(agent, tmp_path, monkeypatch):
    monkeypatch.setitem(envs.GAMES, "tictactoe", "tests.toys.tictactoe")
    settings = {"ppo": {"rollout": 16}, "dqn": {"replay": 2000, "warmup": 64}}[agent]
    config = {
        "game": "tictactoe", "agent": agent, "seed": 3, "steps": 2000, "num_envs": 8, "env": {},
        "agent_config": settings, "opponents": 0.5, "opponent_pool": 3, "opponent_every": 200,
    }  # fmt: skip

    def trained(parts, steps):
        while parts.clock.steps < steps:
            parts.loop.advance()

    one = lab.assemble(config, torch.device("cpu"))
    one.stream.reset(3, 0)
    trained(one, 800)
    one.loop.barrier()
    checkpoint.save(tmp_path, 800, one.state(), {})
    two = lab.assemble(config, torch.device("cpu"))
    two.restore(checkpoint.load(tmp_path)[0])
    for parts in (one, two):
        trained(parts, 1600)
        parts.loop.barrier()
    first, second = (parts.agent.state_dict()["network"] for parts in (one, two))
    assert all(torch.equal(first[name], second[name]) for name in first)

    seen = one.replay.data["skip"][:, :4].any(), one.replay.data["skip"][:, 4:].any()
    assert seen == (True, False)
    batch = one.replay.sample(one.agent.needs.batch)
    skipped = batch.extras["skip"][:, : batch.weight.shape[1]]
    assert skipped.any() and not batch.weight[skipped].any() and batch.weight[~skipped].any()
