"""Trainings that cannot go on: a loss that is not finite, too little memory, a full disk. Told in one sentence, and
what was saved is kept."""

import os
import shutil

import pytest
import torch
from programs import program

from agents import AGENTS
from agents.core import checkpoint
from agents.core import device as devices
from experiments import building, configuration, train

NOT_THERE = ("random", "clone", "dagger", "alphazero")  # learn nothing, or need what CartPole has not: teacher, rules
DIVERGING = [("gym:CartPole-v1", a) for a in AGENTS if a not in NOT_THERE]
DIVERGING += [("gym:Pendulum-v1", a) for a in ("ppo", "a2c", "reinforce", "sac")]  # continuous actions


@pytest.mark.parametrize(("game", "agent"), DIVERGING)
def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(game, agent, tmp_path, capsys):
    argv = [game, "--agent", agent, "--steps", "3000", "--num-envs", "4", "--checkpoint-every", "100"]
    argv += ["--lr", "1e30", "--max-grad-norm", "1e30", "--runs", str(tmp_path), "--no-video"]
    small = {"hidden": 8, "rollout": 8, "warmup": 150, "replay": 600, "lr_end": 1}
    known = configuration.fields(building.module(agent).Config)
    argv += [x for k, v in small.items() if k in known for x in (f"--{k.replace('_', '-')}", str(v))]
    code, _, err = program(train.main, argv, capsys)
    assert code == 2 and "is not finite at update" in err and "loss" in err and "Traceback" not in err
    run = next(tmp_path.rglob("config.json")).parent
    kept = checkpoint.steps(run / "checkpoints")
    assert f"the checkpoint of step {kept[-1]} is kept" in err if kept else "there was no checkpoint yet" in err
    if kept:  # whatever was saved is finite
        parts, _ = checkpoint.load(run / "checkpoints")
        assert all(v.isfinite().all() for v in parts["agent"]["network"].values())


SHORTAGE = (  # what torch says
    "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 8.00 GiB of which 1.00 GiB is free. "
    "See documentation for Memory Management  (https://docs.pytorch.org/docs/stable/notes/cuda.html)"
)


@pytest.mark.parametrize(
    ("agent", "named"), [("ppo", ("hidden", "minibatch", "rollout")), ("dqn", ("hidden", "batch", "replay"))]
)
def test_too_little_memory_is_one_sentence_that_names_what_needs_less(agent, named, tmp_path, capsys, monkeypatch):
    """In the midst of training; what was saved before is whole, and the run goes on from it."""
    kind = building.module(agent).build
    learn = kind.learn

    def starved(self, batch):
        if self.clock.steps > 250:
            raise torch.OutOfMemoryError(SHORTAGE)
        return learn(self, batch)

    argv = ["gym:CartPole-v1", "--agent", agent, "--steps", "400", "--num-envs", "4", "--checkpoint-every", "100"]
    argv += ["--hidden", "8", "--runs", str(tmp_path), *(["--warmup", "50"] if agent == "dqn" else ["--rollout", "8"])]
    with monkeypatch.context() as patched:
        patched.setattr(kind, "learn", starved)
        code, _, err = program(train.main, argv, capsys)
    wanted = "training stopped: CUDA out of memory. Tried to allocate 2.50 GiB; the checkpoint of step 200 is kept;"
    wanted += f" a run with fewer --num-envs or a smaller --{' or a smaller --'.join(named)} needs less"
    assert code == 2 and err.splitlines()[-1] == f"joypad: {wanted}" and "Traceback" not in err
    (config,) = tmp_path.rglob("config.json")
    argv = ["--resume", str(config.parent), "--eval-episodes", "0", "--no-video"]
    code, out, err = program(train.main, argv, capsys)
    assert code == 0 and "from step 200" in out, err


def test_too_little_memory_before_training_is_one_sentence(trained, tmp_path, capsys, monkeypatch):
    def starved(*_):
        raise torch.OutOfMemoryError(SHORTAGE)

    copy = shutil.copytree(trained, tmp_path / "copy")
    for where, argv in (("assemble", ["gym:CartPole-v1", "--steps", "10"]), ("Lab.restore", ["--resume", str(copy)])):
        with monkeypatch.context() as patched:
            patched.setattr(f"experiments.lab.{where}", starved)
            code, _, err = program(train.main, [*argv, "--runs", str(tmp_path)], capsys)
        wanted = "joypad: not enough memory: CUDA out of memory. Tried to allocate 2.50 GiB; "
        wanted += "a run with fewer --num-envs or a smaller --hidden or a smaller --minibatch or a smaller --rollout"
        wanted += " needs less\n"
        assert code == 2 and err == wanted


def test_a_full_disk_is_one_sentence(trained, tmp_path, capsys, monkeypatch):
    import errno

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "checkpoint")

    monkeypatch.setattr(checkpoint, "save_file", full)
    argv = ["gym:CartPole-v1", "--steps", "300", "--num-envs", "4", "--runs", str(tmp_path), "--no-video"]
    code, _, err = program(train.main, argv, capsys)
    assert code == 2 and "No space left" in err and "Traceback" not in err


def test_too_little_disk_is_refused_at_the_start_with_both_sizes(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    code, _, err = program(train.main, ["gym:CartPole-v1", "--runs", str(tmp_path), "--steps", "10"], capsys)
    assert code == 2 and "KiB and" in err and "has 1000 B free" in err and not list(tmp_path.rglob("config.json"))


def test_a_ring_is_counted_once_for_each_checkpoint_that_is_kept_or_written(tmp_path, capsys, monkeypatch):
    """200,000 rows of 4 numbers, all of them new at every barrier: three times about 8 MB."""
    argv = ["gym:CartPole-v1", "--agent", "dqn", "--runs", str(tmp_path), "--steps", "10", "--replay", "200000"]
    argv += ["--hidden", "1", "--checkpoint-every", "200000", "--num-envs", "4"]
    for free, fits in ((15e6, False), (10**9, True)):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: shutil._ntuple_diskusage(0, 0, free))
        monkeypatch.setattr(train, "_train", lambda *_, **__: 0)
        assert program(train.main, argv, capsys)[0] == (0 if fits else 2)


def test_a_ring_larger_than_the_memory_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(devices.os, "sysconf", lambda name: {"SC_PHYS_PAGES": 100, "SC_PAGE_SIZE": 4096}[name])
    monkeypatch.setattr(building, "ReplayBuffer", None)  # nothing is taken before it is refused
    argv = ["gym:CartPole-v1", "--agent", "dqn", "--runs", str(tmp_path), "--steps", "10", "--replay", "200000"]
    code, _, err = program(train.main, argv, capsys)
    assert code == 2 and "needs 0.0 GiB and cpu has 0.0 GiB of memory; the largest that fits has 9," in err
    assert not list(tmp_path.rglob("config.json"))
