"""The loop: pacing to the update, one policy behind, barriers, divergence, hooks; with an agent that takes notes."""

import numpy as np
import pytest
import torch
from scripted_env import Scripted

from agents.core import checkpoint, training
from agents.core.clock import Clock
from agents.core.loop import Diverged, Loop
from agents.core.pace import Every, Ratio
from agents.core.replay import ReplayBuffer
from agents.core.rows import Act, Learned, Needs, Priority
from agents.core.samplers import Prioritized, Recent, Uniform
from agents.core.stream import Stream

SCRIPT = ["..D", "L.T.-B", ".......", "...T"]


class Probe:
    """Acts at random, stores which weights acted, and counts its updates. `weights`: number of updates in them."""

    evaluation = "greedy"

    def __init__(self, pace, window=2, sampler=None, batch=4, overlap=True, updates=1, metrics=None, together=8):
        self.needs = Needs(window, sampler or Uniform(), pace, 0, batch, together, overlap=overlap)
        self.updates, self.metrics = updates, metrics or (lambda update: {"loss": torch.tensor(1.0)})
        self.weights, self.acting = 0, 0
        self.generator = torch.Generator().manual_seed(7)
        self.batches, self.clock = [], None
        self.moments = []  # steps at which each update was made

    def act(self, step, memory=None, *, explore=True):
        n = len(step.first)
        action = torch.rand((n, 3), generator=self.generator).argmax(1)
        return Act(action, {"weights": torch.full((n,), self.acting)})

    def learn(self, batch):
        self.acting = self.weights  # the copy that collects the next rollout
        self.batches.append((self.weights, batch.extras["weights"]))
        self.newest = batch
        return self._learn(batch)

    def _learn(self, batch):
        draws = len(batch.index) // self.needs.batch if isinstance(self.needs.pace, Ratio) else 1
        for i in range(self.updates * draws):
            self.weights += 1
            self.moments.append(self.clock.steps)
            priority = Priority(batch.index[i::draws], batch.reward[i::draws, 1].abs())
            yield Learned(self.metrics(self.weights), priority if isinstance(self.needs.sampler, Prioritized) else None)
        if not self.needs.overlap:
            self.acting = self.weights

    def state_dict(self):
        return {"weights": self.weights, "acting": self.acting, "generator": self.generator.get_state()}

    def load_state_dict(self, state):
        self.weights, self.acting = state["weights"], state["acting"]
        self.generator.set_state(state["generator"])


def every(updates):
    """Rollouts of 8 rows of four columns; the row that ends one is acted on again, as the policy gradients do."""
    return Every(8, updates, 4, rewrites_boundary=True)


class Lab:
    """A probe on scripted environments."""

    def __init__(self, probe, budget, *, length=60, script=SCRIPT, saved=True, num_envs=4):
        self.clock = Clock(budget, 4)
        self.env = Scripted(script[:num_envs], saved=saved)
        self.stream = Stream(self.env)
        self.agent = probe
        probe.clock = self.clock
        needs = probe.needs
        self.replay = ReplayBuffer(length, num_envs, self.stream.spec, needs.sampler, window=needs.window, seed=1)
        self.loop = Loop(probe, self.stream, self.replay, self.clock, seed=5)

    def parts(self):
        return {k: getattr(self, k).state_dict() for k in ("agent", "stream", "replay", "clock", "loop")}

    def restore(self, parts):
        for name, state in parts.items():
            getattr(self, name).load_state_dict(state)


# -- pace -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples, batch, start", [(8, 32, 100), (0.25, 4, 60), (1, 1, 0), (8, 4, 103), (0.3, 2, 50)])
def test_ratio_trains_so_many_samples_per_row(samples, batch, start):
    probe = Probe(Ratio(samples, batch, max(start, 8)), batch=batch)
    lab = Lab(probe, 1000)
    most = -(-samples * 4 // batch)  # updates per vector step
    before = 0
    owed = samples * (1000 - max(start, 8)) / batch

    def hook(moment):
        nonlocal before
        assert moment.clock.updates - before <= most
        assert moment.clock.updates == 0 or lab.replay.added > start
        before = moment.clock.updates

    assert training.train(lab.loop, hooks=[hook])
    assert lab.clock.steps == 1000 and lab.clock.frames == 4000
    assert probe.weights == lab.clock.updates
    assert lab.clock.updates == int(owed + 1e-6)


def test_ratio_does_not_drift():
    """Ten million rows at a ratio that binary numbers cannot hold."""
    pace, draws = Ratio(0.1, 3, 1000), 0
    for slots in range(1, 1_250_001):
        draws += pace.draws_due(8 * slots)
    assert abs(draws - 0.1 * (10_000_000 - 1000) / 3) <= 1


@pytest.mark.parametrize("with_ring", [True, False])
def test_no_burst_after_a_resume(with_ring, tmp_path):
    """With the ring the pace goes on; without it nothing is learned until `start` rows have come again."""

    def build(budget):
        return Lab(Probe(Ratio(2, 4, 80)), budget)

    lab = build(400)
    training.train(lab.loop)
    assert lab.clock.updates == 2 * (400 - 80) // 4
    parts = lab.parts()
    if not with_ring:
        del parts["replay"]
    checkpoint.save(tmp_path, 400, parts, {})
    copy = build(600)
    copy.restore(checkpoint.load(tmp_path)[0])
    if not with_ring:
        copy.loop.refill()
    seen = []
    training.train(copy.loop, hooks=[lambda moment: seen.append(moment.clock.updates)])
    gained = np.diff([160, *seen])
    if with_ring:
        assert (gained == 2).all() and len(gained) == 50
    else:
        assert (gained[:20] == 0).all() and (gained[20:] == 2).all()


def test_a_ring_that_was_lost_fills_with_whole_games(tmp_path):
    """Saved environments begin anew then: a stack must not reach back to frames that the ring never saw."""
    lab = Lab(Probe(Ratio(1, 4, 8)), 100)
    training.train(lab.loop)
    checkpoint.save(tmp_path, 1, {k: v for k, v in lab.parts().items() if k != "replay"}, {})
    copy = Lab(Probe(Ratio(1, 4, 8)), 200)
    copy.restore(checkpoint.load(tmp_path)[0])
    copy.loop.refill()
    copy.loop.advance()
    assert copy.replay.data["first"][0].all() and copy.loop.actor.memory is None


@pytest.mark.parametrize("chunks", [1, 3, 4, 12])
@pytest.mark.parametrize("overlap", [True, False])
def test_every_rollout_is_one_policy_behind(overlap, chunks):
    """Rollout k is collected, all of it, by the weights that had learned from the rollouts before k - 1.

    Without overlap it is collected by those that have learned from k - 1 too.
    """
    probe = Probe(every(chunks), window=9, sampler=Recent(), overlap=overlap, updates=chunks)
    lab = Lab(probe, 4 * 100, length=20)
    training.train(lab.loop)
    assert len(probe.batches) == (100 - 1) // 8 and lab.clock.updates == len(probe.batches) * chunks
    for k, (weights, acted) in enumerate(probe.batches):
        behind = max(0, k - 1) if overlap else k
        assert weights == k * chunks
        assert acted.shape == (4, 9)
        assert (acted[:, :-1] == behind * chunks).all()  # the last row of a window begins the next rollout


def test_learning_is_spread_beside_the_next_rollout():
    for chunks in (1, 3, 4, 8, 12):
        probe = Probe(every(chunks), window=9, sampler=Recent(), updates=chunks)
        lab = Lab(probe, 4 * 33, length=20)
        training.train(lab.loop)
        steps = np.array(probe.moments[:chunks]) // 4 - 8  # vector steps since the rollout was whole
        assert steps.tolist() == [-(-8 * (i + 1) // chunks) for i in range(chunks)]


def test_learning_that_takes_longer_is_brought_to_its_end_before_the_next():
    """The pace promised three updates, the agent makes five."""
    probe = Probe(every(3), window=9, sampler=Recent(), updates=5)
    training.train(Lab(probe, 4 * 100, length=20).loop)
    assert [weights for weights, _ in probe.batches] == [5 * k for k in range(12)]


@pytest.mark.parametrize("saved", [True, False])
def test_one_policy_behind_across_barriers(saved):
    probe = Probe(every(4), window=9, sampler=Recent(), updates=4)
    lab = Lab(probe, 4 * 100, length=20, saved=saved)
    training.train(lab.loop, barrier=4 * 11)
    rows = 100 if saved else 100 + 10  # a barrier that resets records the row that it cuts at
    assert len(probe.batches) == (rows - 1) // 8
    for k, (_, acted) in enumerate(probe.batches):
        assert (acted[:, :-1] == max(0, k - 1) * 4).all()


def test_priorities_reach_the_memory():
    probe = Probe(Ratio(1, 4, 40), sampler=Prioritized(alpha=1.0, epsilon=0.0))
    lab = Lab(probe, 200)
    training.train(lab.loop)
    assert lab.replay.sampler.largest > 1
    batch = probe.newest
    assert torch.equal(lab.replay.sampler.tree.get(batch.index), batch.reward[:, 1].abs())


# -- barriers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_envs, every, expected", [(4, 40, [40, 80, 120]), (3, 10, [12, 21, 30, 42, 51, 60])])
def test_barriers_fall_on_multiples_of_steps(num_envs, every, expected):
    """On the first vector step that reaches each; the last one ends the run, once."""
    saved = []
    lab = Lab(Probe(Ratio(1, 4, 20)), expected[-1], num_envs=num_envs, saved=False)
    assert training.train(lab.loop, barrier=every, save=lambda: saved.append(lab.clock.steps))
    assert saved == expected
    assert lab.env.seeds[0] != lab.env.seeds[1] and len(lab.env.seeds) == 1 + len(expected)


def test_a_barrier_seals_resets_and_drains():
    probe = Probe(every(12), window=9, sampler=Recent(), updates=12)
    lab = Lab(probe, 4 * 40, length=50, saved=False)
    states = []

    def save():
        row = lab.replay.cursor[0] - 1
        states.append((row, lab.replay.data["last"][row].clone(), lab.clock.updates))
        assert lab.stream.step.first.all() and lab.loop.actor.memory is None

    training.train(lab.loop, barrier=4 * 13, save=save)
    assert [s[0] for s in states] == [13, 27, 41, 43]  # 13 steps and the row where they ended
    for row, last, updates in states:
        assert last.all()
        assert updates == 12 * (row // 8)  # no learning is under way
    first = lab.replay.data["first"]
    assert first[[0, 14, 28, 42]].all() and not first[[13, 27, 41]].any()
    discount, cut = lab.replay.data["discount"], lab.replay.data["last"]
    assert cut[13].all() and discount[13, 2] == 1  # cut in mid-game: a time limit, nothing else


def test_environments_that_can_be_saved_are_not_cut():
    lab = Lab(Probe(Ratio(1, 4, 20)), 400, length=120)
    training.train(lab.loop, barrier=40)
    whole = Lab(Probe(Ratio(1, 4, 20)), 400, length=120)
    training.train(whole.loop)
    assert len(lab.env.seeds) == 1
    for name, column in whole.replay.data.items():
        assert torch.equal(column, lab.replay.data[name])


@pytest.mark.parametrize("saved", [True, False])
@pytest.mark.parametrize("kind", ["ratio", "prioritized", "rollouts"])
def test_a_resumed_run_equals_one_that_went_on(kind, saved, tmp_path):
    def build():
        if kind == "rollouts":
            return Lab(Probe(every(3), window=9, sampler=Recent(), updates=3), 600, saved=saved)
        return Lab(Probe(Ratio(3, 4, 50), sampler=Prioritized() if kind == "prioritized" else None), 600, saved=saved)

    straight = build()
    training.train(straight.loop, barrier=100, save=lambda: None)
    killed = build()

    def save():
        checkpoint.save(tmp_path, killed.clock.steps, killed.parts(), {})
        if killed.clock.steps == 300:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.train(killed.loop, barrier=100, save=save)
    resumed = build()
    resumed.restore(checkpoint.load(tmp_path)[0])
    training.train(resumed.loop, barrier=100)
    assert resumed.clock.updates == straight.clock.updates == resumed.agent.weights
    for name, column in straight.replay.data.items():
        assert torch.equal(column, resumed.replay.data[name]), name
    for (_, one), (_, other) in zip(straight.agent.batches[::-1], resumed.agent.batches[::-1], strict=False):
        assert torch.equal(one, other)
    if kind == "prioritized":
        assert torch.equal(straight.replay.sampler.tree.leaves, resumed.replay.sampler.tree.leaves)


def test_stop_saves_once_at_a_barrier():
    lab, saved = Lab(Probe(Ratio(1, 4, 20)), 400), []
    finished = training.train(
        lab.loop,
        barrier=40, save=lambda: saved.append(lab.clock.steps), stop=lambda: lab.clock.steps >= 80
    )
    assert not finished and saved == [40, 80]


# -- divergence and hooks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("pace", ["ratio", "rollouts", "at a barrier"])
def test_a_loss_that_is_not_finite_is_named(bad, pace):
    """It says which tensor at which update, and nothing is saved after it."""

    def metrics(update):
        return {"value_loss": torch.tensor(bad if update == 7 else 1.0), "fine": torch.tensor(2)}

    if pace == "ratio":
        probe = Probe(Ratio(1, 4, 20), metrics=metrics)
    else:
        probe = Probe(every(4), window=9, sampler=Recent(), updates=4, metrics=metrics)
    lab, saved = Lab(probe, 400, length=20), []
    barrier = 4 * 17 if pace == "at a barrier" else 0
    with pytest.raises(Diverged, match=r"^value_loss is not finite at update 7 \(step \d+\)$"):
        training.train(lab.loop, barrier=barrier, save=lambda: saved.append(lab.clock.updates))
    assert saved == []


def test_an_agent_without_metrics():
    lab = Lab(Probe(Ratio(1, 4, 20), metrics=lambda update: {}), 100)
    assert training.train(lab.loop) and lab.clock.updates == 20


@pytest.mark.parametrize("saved", [True, False])
def test_hooks_see_every_episode_and_every_update_once(saved):
    episodes, learned, moments = [], [], []

    def hook(moment):
        moments.append(moment.clock.steps)
        assert moment.agent is probe
        episodes.extend((moment.clock.steps, e.column, e.score, e.length) for e in moment.episodes)
        learned.extend(int(x.metrics["update"]) for x in moment.learned)

    probe = Probe(Ratio(1, 4, 20), metrics=lambda update: {"update": torch.tensor(update)})
    lab = Lab(probe, 4 * 60, saved=saved)
    training.train(lab.loop, hooks=[hook], barrier=4 * 20)
    assert sorted(set(moments)) == list(range(4, 4 * 60 + 1, 4)) and moments == sorted(moments)
    assert learned == list(range(1, lab.clock.updates + 1))
    expected = []
    for column, script in enumerate(SCRIPT):
        place, score, length, over = 0, 0, 0, False
        for step in range(1, 61):
            if over:
                score, length, over = 0, 0, False
            else:
                place += 1
                score, length = score + place, length + 1
                over = script[(place - 1) % len(script)] in "DTB"
                if over:
                    expected.append((4 * step, column, score, length))
            if not saved and step % 20 == 0:
                place, score, length, over = 0, 0, 0, False  # the cut game is not reported
    assert sorted(episodes) == sorted(expected) and len(expected) > 30


# -- schedules --------------------------------------------------------------------------------------------------------


def test_clock():
    clock = Clock(1000, frame_skip=4)
    assert (clock.progress, clock.frames) == (0.0, 0)
    clock.steps = 250
    assert (clock.progress, clock.frames) == (0.25, 1000)
    clock.steps = 1200
    assert clock.progress == 1.0
    assert Clock().progress == 0.0  # no budget yet
    longer, unknown = Clock(5000), Clock()
    longer.load_state_dict(clock.state_dict())
    unknown.load_state_dict(clock.state_dict())
    assert (longer.steps, longer.budget, unknown.budget) == (1200, 5000, 1000)
