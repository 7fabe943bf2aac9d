"""Data-parallel learning: processes that torchrun starts learn what one learns from the same rows."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import hosts
import pytest
import shares
import torch
from programs import program
from safetensors.torch import load_file

from agents.core import manifest, parallel
from experiments import train
from experiments.training import together

ROOT = Path(__file__).resolve().parents[1]
CLOSE = 1e-6  # largest difference of two weights
CARTPOLE = ("gym:CartPole-v1", "--recipe", "none", "--agent", "ppo", "--encoder", "auto", "--hidden", "32", "--rollout",
            "32", "--minibatch", "64", "--num-envs", "8", "--eval-episodes", "0", "--no-video")  # fmt: skip


def environment(rank: int, count: int, port: int) -> dict[str, str]:
    """As torchrun makes it."""
    named = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    more = {"TORCHELASTIC_RUN_ID": "test", "OMP_NUM_THREADS": "1", "PYTHONPATH": os.fspath(ROOT)}
    return {**os.environ, **{k: str(v) for k, v in named.items()}, **more}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, torch.Tensor], list[dict[str, torch.Tensor]]]:
    """What a single process has learned, and each of two."""
    folder, port = tmp_path_factory.mktemp("shares"), free_port()
    words = [sys.executable, os.fspath(ROOT / "tests" / "shares.py"), os.fspath(folder)]
    both = [subprocess.Popen(words, env=environment(rank, 2, port)) for rank in (0, 1)]
    shares.main(folder)
    assert [process.wait(300) for process in both] == [0, 0]
    return load_file(folder / "0-of-1.safetensors"), [load_file(folder / f"{r}-of-2.safetensors") for r in (0, 1)]


@pytest.mark.parametrize("name", [*shares.ROLLOUTS, "clone"])
def test_two_processes_learn_the_weights_of_one_from_the_same_rows(name: str, learned: Any) -> None:
    single, both = learned
    rows = {k: v for k, v in single.items() if k.startswith(f"{name}/")}
    assert len(rows) > 3
    for key, value in rows.items():
        ours = [each[key] for each in both]
        assert torch.equal(*ours), f"{key} differs between the processes"
        bound = CLOSE if not key.endswith(("figures", "examined")) else 1e-4
        assert (ours[0] - value).abs().max() <= bound, key


def test_shares_cover_all_rows_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "size", lambda: 3)
    rows, seen = torch.randperm(24), []
    for rank in range(3):
        monkeypatch.setattr(parallel, "rank", lambda rank=rank: rank)
        seen += [(rank * 8 + parallel.own(rows, 8)).tolist()]
        assert parallel.share(10) == slice(rank * 10 // 3, (rank + 1) * 10 // 3)
    assert sorted(sum(seen, [])) == list(range(24))
    assert all(part == [r for r in rows.tolist() if r // 8 == rank] for rank, part in enumerate(seen))


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["gym:CartPole-v1", "--agent", "dqn"], "torchrun: dqn learns in one process"),
        (["gym:CartPole-v1", "--agent", "ppo", "--num-envs", "9"], "--num-envs 9: 2 processes have equal shares"),
        (["gym:CartPole-v1", "--agent", "ppo", "--normalize-obs"], "--normalize-...: of runs of one process"),
        (["gym:CartPole-v1", "--agent", "ppo", "--cluster", "local"], "--cluster: of runs of one process"),
    ],
)
def test_what_several_processes_cannot_learn_is_refused(
    argv: list[str], sentence: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(0, 2, free_port()).items():
        monkeypatch.setenv(name, value)
    code, _, err = program(train.main, [*argv, "--steps", "64"], capsys)
    assert code == 2 and sentence in err.splitlines()[-1]


def torchrun(folder: Path, *argv: object) -> subprocess.Popen:
    words = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(free_port())]
    env = {**os.environ, "PYTHONPATH": os.fspath(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*words, "-m", "experiments.train", *map(str, argv)], cwd=folder, env=env, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)  # fmt: skip


def newest(run: Path) -> dict[str, torch.Tensor]:
    step = manifest.steps(run / "checkpoints")[-1]
    return load_file(run / "checkpoints" / f"{step:012d}" / "agent.safetensors")


@pytest.mark.slow
@pytest.mark.timeout(2_000)
def test_torchrun_trains_one_run_and_a_killed_one_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    words = [*CARTPOLE, "--steps", 4_096, "--checkpoint-every", 1_024, "--runs", tmp_path]
    runs = {name: tmp_path / "gym-CartPole-v1" / "ppo" / f"{name}-s0" for name in ("one", "other")}
    process = torchrun(tmp_path, *words, "--name", "one")
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, err
    assert out.count("run: ") == 1 and sorted(p.name for p in runs["one"].parent.iterdir()) == ["one-s0"]
    process = torchrun(tmp_path, *words, "--name", "other")
    end = time.monotonic() + 900
    while len(manifest.steps(runs["other"] / "checkpoints")) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    for pid in hosts.descendants(process.pid):  # torchrun and both trainings, which have sessions of their own
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate()
    at = manifest.steps(runs["other"] / "checkpoints")[-1]
    assert at < 4_096
    process = torchrun(tmp_path, "--resume", runs["other"], "--eval-episodes", 0, "--no-video")
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0 and f"from step {at:,}" in out, err
    one, other = newest(runs["one"]), newest(runs["other"])
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert (runs["one"] / together.FOLDER / "1").is_dir()
