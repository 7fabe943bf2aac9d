"""The ring against a log of the stream that the test keeps in plain lists."""

import numpy as np
import pytest
import torch
from rowlog import RowLog

from agents.core import checkpoint, gather
from agents.core.replay import ReplayBuffer
from agents.core.returns import outcome
from agents.core.rows import Act, Spec
from agents.core.samplers import Prioritized, Recent, Uniform

IMAGES = Spec((3, 2), "uint8", stack=4, num_actions=5)
# length, environments, stack, window; the shortest ring that is allowed is window + stack
SHAPES = [(2, 1, 1, 1), (9, 3, 1, 2), (7, 2, 4, 3), (16, 2, 4, 4), (11, 3, 3, 1), (23, 1, 2, 6), (10, 4, 2, 8)]
SAMPLERS = {"uniform": Uniform, "prioritized": Prioritized, "recent": Recent}


def assert_ring(ring, log, kind, finished_only=False):
    """Holds every window that the ring can yield against the log, and what the sampler draws against all of them."""
    slots = log.slots(ring.length, ring.window, finished_only)
    if not slots or (kind == "recent" and len({column for column, _ in slots.values()}) < ring.num_envs):
        assert ring.sample(4) is None
        return 0
    everything = ring.windows(torch.tensor(sorted(slots)))
    log.assert_windows(everything, slots)
    weights = [log.weights(*slots[i], ring.window) for i in sorted(slots)]
    assert everything.weight.tolist() == weights
    batch = ring.sample(24 * len(slots))
    if kind == "recent":
        newest = [max(t for c, t in slots.values() if c == column) for column in range(ring.num_envs)]
        assert batch.index.tolist() == [t % ring.length * ring.num_envs + c for c, t in enumerate(newest)]
        assert batch.weight.tolist() == [log.weights(c, t, ring.window) for c, t in enumerate(newest)]
    else:  # every drawable start is drawn, and no other
        assert set(batch.index.tolist()) == set(slots)
    window, row = torch.randint(len(batch.index), (9,)), torch.randint(ring.window, (9,))
    assert torch.equal(batch.observations(window, row), batch.obs[window, row])
    log.assert_windows(batch._replace(**{k: v[:16] for k, v in batch._asdict().items() if k in BATCH}), slots)
    return len(slots)


BATCH = ("obs", "action", "reward", "discount", "first", "last", "index")


@pytest.mark.parametrize("kind", SAMPLERS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_window_equals_the_log(shape, kind):
    length, num_envs, stack, window = shape
    spec = IMAGES._replace(stack=stack)
    ring = ReplayBuffer(length, num_envs, spec, SAMPLERS[kind](), window=window, seed=3)
    log = RowLog(num_envs, spec, seed=length)
    seen = 0
    for added in range(3 * length + 5):
        log.add_to(ring)
        if added % 11 == 7:
            log.seal(ring)
        if added < 2 * window or added % 4 == 0:
            seen += assert_ring(ring, log, kind)
    assert seen > 3 * length
    assert len(ring) == length * num_envs


@pytest.mark.parametrize("kind", SAMPLERS)
def test_blocks_of_columns_with_cursors_of_their_own(kind):
    """Three actors write their columns at their own speed; the newest window of each is its own."""
    blocks, speeds = [[0, 3], [1], [2, 4]], [1.0, 0.4, 0.7]
    spec = IMAGES._replace(stack=3)
    ring = ReplayBuffer(13, 5, spec, SAMPLERS[kind](), window=3, seed=1)
    log = RowLog(5, spec, seed=2, legal=True, extras=True)
    for turn in range(70):
        for block, speed in zip(blocks, speeds, strict=True):
            if log.random.random() < speed:
                log.add_to(ring, block)
        if turn % 9 == 4:
            log.seal(ring, blocks[turn % 3])
        assert ring.starts().count.tolist() == [len(log.starts(c, 13, 3)) for c in range(5)]
        if turn < 8 or turn % 5 == 0:
            assert_ring(ring, log, kind)
    assert len({len(rows) for rows in log.columns}) == 3


@pytest.mark.parametrize("spec", [IMAGES, Spec((5,), "float32", stack=2, action_dim=3), Spec((2, 2, 3), "uint8", 2, 4)])
@pytest.mark.parametrize("window", [1, 4])
def test_columns_of_every_kind(spec, window):
    """Continuous actions, legal actions, extras, `skip`, colour: each comes back as it went in."""
    ring = ReplayBuffer(12, 2, spec, Uniform(), window=window)
    log = RowLog(2, spec, seed=4, legal=bool(spec.num_actions), extras=True)
    for added in range(40):
        log.add_to(ring)
        if added % 5 == 0:
            assert_ring(ring, log, "uniform")
    batch = ring.sample(50)
    assert batch.action.dtype == (torch.float32 if spec.action_dim else torch.int64)
    assert batch.obs.dtype == getattr(torch, spec.obs_dtype)
    assert batch.legal is None or batch.legal.dtype == torch.bool
    assert batch.weight.shape == (50, max(1, window - 1))


def test_amend_replaces_the_newest_rows_and_nothing_else(tmp_path):
    ring = ReplayBuffer(12, 2, IMAGES, Uniform(), window=2)
    log = RowLog(2, IMAGES, seed=5, extras=True)
    for _ in range(17):
        log.add_to(ring)
        checkpoint.save(tmp_path, 1, {"replay": ring.state_dict()}, {})
        action, logp = log.random.integers(0, 5, 2), log.random.random(2).astype(np.float32)
        for column in range(2):
            log.columns[column][-1] |= {"action": int(action[column]), "logp": logp[column]}
        ring.amend(Act(torch.as_tensor(action), {"logp": torch.as_tensor(logp)}))
    assert_ring(ring, log, "uniform")
    checkpoint.save(tmp_path, 2, {"replay": ring.state_dict()}, {})  # the amended segment counts as changed
    copy = ReplayBuffer(12, 2, IMAGES, Uniform(), window=2)
    copy.load_state_dict(checkpoint.load(tmp_path)[0]["replay"])
    assert_ring(copy, log, "uniform")


# -- games: only what the rules have ended is drawn -------------------------------------------------------------------


def literal_outcome(rows):
    """The sum of the rewards to come, each in the view of the side to move at the row: walked forward from each."""
    values = []
    for t in range(len(rows)):
        view, total = 1.0, 0.0
        for row in rows[t + 1 :]:
            total += view * row["reward"]
            view *= row["discount"]
        values.append(total)
    return values


@pytest.mark.parametrize("kind", ["uniform", "prioritized"])
@pytest.mark.parametrize("shape", [(7, 2, 1, 1), (7, 2, 2, 1), (14, 3, 2, 2), (15, 2, 1, 4), (30, 2, 3, 2)], ids=str)
def test_rows_of_unfinished_and_cut_games_are_never_drawn(shape, kind):
    length, num_envs, stack, window = shape
    spec = IMAGES._replace(stack=stack)
    told = []

    def at_the_end(rows):
        told.append({k: v.clone() for k, v in rows.items()})
        return {"outcome": outcome(rows["reward"], rows["discount"])}

    ring = ReplayBuffer(length, num_envs, spec, SAMPLERS[kind](), window=window, on_episode_end=at_the_end)
    log = RowLog(num_envs, spec, seed=6, discounts=(-1, -1, 0, 0), end=0.3)
    drawn = 0
    for added in range(90):
        before = [len(f) for f in log.finished]
        log.add_to(ring)
        ended = [c for c in range(num_envs) if len(log.finished[c]) > before[c]]
        assert len(told) == len(ended)
        for column, rows in zip(ended, told, strict=True):
            game = [r for r in log.columns[column] if r["episode"] == log.columns[column][-1]["episode"]]
            game = game[-(length - stack + 1) :]  # of a long game, what the ring still holds with its stacks
            assert rows["reward"].tolist() == [r["reward"] for r in game]
            assert rows["action"].tolist() == [r["action"] for r in game]
            for row, value in zip(game, literal_outcome(game), strict=True):
                row["outcome"] = value
        told.clear()
        if added % 13 == 6:
            log.seal(ring)
        drawn += (count := assert_ring(ring, log, kind, finished_only=True))
        if count and added % 3 == 0:
            batch = ring.sample(30)
            slots = log.slots(length, window, finished_only=True)
            for b, (column, t) in enumerate(slots[i] for i in batch.index.tolist()):
                expected = [r["outcome"] for r in log.columns[column][t : t + window]]
                np.testing.assert_allclose(batch.extras["outcome"][b], expected, atol=1e-5)
    assert drawn > 60


def test_a_game_longer_than_the_ring():
    """Its last rows are drawable, and nothing of the game before is left."""
    spec = IMAGES._replace(stack=2)
    ring = ReplayBuffer(8, 1, spec, Uniform(), window=2, on_episode_end=lambda rows: {})
    log = RowLog(1, spec, seed=7, discounts=(1,), end=0.0)
    for turn in range(60):
        log.end = 1.0 if turn in (3, 30, 44) else 0.0
        log.discounts = (0,) if turn in (3, 30, 44) else (1,)
        log.add_to(ring)
        assert_ring(ring, log, "uniform", finished_only=True)


# -- state ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("through_disk", [False, True])
@pytest.mark.parametrize(
    "kind, finished_only",
    [("uniform", False), ("uniform", True), ("prioritized", False), ("prioritized", True), ("recent", False)],
)
def test_sampling_goes_on_to_the_bit_after_a_restore(kind, finished_only, through_disk, tmp_path):
    def build(seed):
        at_the_end = (lambda rows: {"outcome": outcome(rows["reward"], rows["discount"])}) if finished_only else None
        return ReplayBuffer(17, 3, IMAGES, SAMPLERS[kind](), window=2, on_episode_end=at_the_end, seed=seed)

    def follow(ring):
        """A fixed continuation; returns everything that was drawn."""
        log, drawn = RowLog(3, IMAGES, seed=9, legal=True, extras=True, discounts=(1, 0)), []
        for turn in range(40):
            log.add_to(ring, [0, 1, 2] if turn % 3 else [1])
            batch = ring.sample(8)
            if kind == "prioritized":
                ring.update_priorities(batch.index, batch.reward[:, 1] * 3)
            extras = [batch.extras[k] for k in sorted(batch.extras)]
            drawn.append([x.clone() for x in (*batch[:7], *extras, batch.weight, batch.index)])
        return drawn

    ring = build(seed=1)
    log = RowLog(3, IMAGES, seed=8, legal=True, extras=True, discounts=(1, 0))
    for _ in range(50):
        log.add_to(ring)
        if kind == "prioritized" and any(log.finished):
            ring.update_priorities(ring.sample(5).index, torch.rand(5) * 4)
    log.seal(ring)
    copy = build(seed=2)
    state = ring.state_dict()
    if through_disk:
        checkpoint.save(tmp_path, 1, {"replay": state}, {})
        state = checkpoint.load(tmp_path)[0]["replay"]
    copy.load_state_dict(state)
    assert copy.data.keys() == ring.data.keys()
    for one, other in zip(follow(ring), follow(copy), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_ring_of_another_shape_is_refused():
    ring, other = (ReplayBuffer(12, n, IMAGES, Uniform()) for n in (2, 3))
    with pytest.raises(ValueError, match=r"\(12, 2, 3, 2\)"):
        other.load_state_dict(ring.state_dict())


def test_segments_have_at_most_their_size_with_every_column(monkeypatch, tmp_path):
    """The limit holds with the columns that the first row brings, and only segments that changed get a version."""
    monkeypatch.setattr("agents.core.replay.SEGMENT_BYTES", 2000)
    ring, log = ReplayBuffer(100, 4, IMAGES, Uniform()), RowLog(4, IMAGES, seed=1, legal=True, extras=True)
    for _ in range(30):
        log.add_to(ring)
    rows = ring.state_dict()["rows"]
    parts = [rows.part(i) for i in range(len(rows.versions))]
    assert max(sum(v.numel() * v.element_size() for v in part.values()) for part in parts) <= 2000
    assert sum(len(part["obs"]) for part in parts) == 100
    assert [v > 0 for v in rows.versions] == [i * rows.length < 30 for i in range(len(parts))]
    before = rows.versions
    log.add_to(ring)
    assert np.flatnonzero(ring.state_dict()["rows"].versions != before).tolist() == [30 // rows.length]


def test_a_ring_too_short_is_refused():
    with pytest.raises(ValueError, match="too short for windows of 3 and stacks of 4"):
        ReplayBuffer(6, 1, IMAGES, Uniform(), window=3)


def test_an_empty_ring_has_nothing_to_draw():
    for sampler in SAMPLERS.values():
        assert ReplayBuffer(9, 2, IMAGES, sampler(), window=2).sample(1) is None


def test_one_million_atari_transitions_fit():
    """A ring of a hundredth, times a hundred: memory is linear in the length, and nothing is touched here."""
    spec = Spec((84, 84), "uint8", stack=4, num_actions=4)
    ring = ReplayBuffer(1250, 8, spec, Prioritized(), window=4)
    legal = torch.ones(8, 4, dtype=torch.bool)
    step, _ = RowLog(8, spec, seed=1).add_to(ring)
    ring.add(step._replace(legal=legal), Act(torch.zeros(8, dtype=torch.int64)))
    size = ring.nbytes + ring.sampler.tree.leaves.nbytes + ring.sampler.tree.sums.nbytes
    assert ring.data["obs"].shape == (1250, 8, 84, 84) and ring.data["legal"].shape == (1250, 8, 4)
    assert 7.056e9 < 100 * size <= 7.3e9


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_what_the_processor_compiles_equals_the_tensor_operations_of_other_devices(shape):
    length, num_envs, stack, window = shape
    random = np.random.default_rng(length)
    columns = [random.random(length * num_envs) < share for share in (0.2, 0.2)]
    columns += [random.random(length * num_envs).astype(np.float32) for _ in range(2)]
    index = torch.arange(length * num_envs)
    layout = (num_envs, length, window, stack)
    for begins in (columns[0], np.zeros_like(columns[0])):  # with and without an episode's first row
        held = gather.RingColumns(begins, *columns[1:])
        fast = gather.compiled(index, *layout, held)
        slow = gather.by_tensors(index, *layout, gather.RingColumns(*map(torch.from_numpy, held)))
        assert fast.inside == slow.inside
        for name in gather.Windows._fields[:-1]:
            mine, theirs = getattr(fast, name), getattr(slow, name)
            assert mine.dtype == theirs.dtype, name
            assert torch.equal(mine, theirs), name
