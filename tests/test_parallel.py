"""Data-parallel learning: several processes learn what one learns from the same rows, on a cluster as well."""

from __future__ import annotations

import contextlib
import os
import signal
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
from experiments import cli, train
from experiments.training import ranks, together

ROOT = Path(__file__).resolve().parents[1]
CLOSE = 1e-6  # largest difference of two weights
CARTPOLE = ("gym:CartPole-v1", "--recipe", "none", "--agent", "ppo", "--encoder", "auto", "--hidden", "32", "--rollout",
            "32", "--minibatch", "64", "--num-envs", "8", "--eval-episodes", "0", "--no-video")  # fmt: skip


def environment(rank: int, count: int, port: int) -> dict[str, str]:
    """As torchrun makes it."""
    named = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    more = {"TORCHELASTIC_RUN_ID": "test", "OMP_NUM_THREADS": "1", "PYTHONPATH": os.fspath(ROOT)}
    return {**os.environ, **{k: str(v) for k, v in named.items()}, **more}


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, torch.Tensor], list[dict[str, torch.Tensor]]]:
    """What a single process has learned, and each of two."""
    folder, port = tmp_path_factory.mktemp("shares"), hosts.free_port()
    words = [sys.executable, os.fspath(ROOT / "tests" / "shares.py"), os.fspath(folder)]
    both = [subprocess.Popen(words, env=environment(rank, 2, port)) for rank in (0, 1)]
    shares.main(folder)
    assert [process.wait(300) for process in both] == [0, 0]
    return load_file(folder / "0-of-1.safetensors"), [load_file(folder / f"{r}-of-2.safetensors") for r in (0, 1)]


@pytest.mark.parametrize("name", [*shares.ROLLOUTS, "clone", "ppo on a cluster", "impala on a cluster"])
def test_two_processes_learn_the_weights_of_one_from_the_same_rows(name: str, learned: Any) -> None:
    single, both = learned
    rows = {k: v for k, v in single.items() if k.startswith(f"{name}/")}
    assert len(rows) > 3
    for key, value in rows.items():
        ours = [each[key] for each in both]
        assert torch.equal(*ours), f"{key} differs between the processes"
        bound = CLOSE if not key.endswith(("figures", "examined")) else 1e-4
        assert (ours[0] - value).abs().max() <= bound, key


def test_processes_agree_where_rows_are_taken_as_they_come(learned: Any) -> None:
    """Their actors run ahead by different rollouts: steps, updates and weights are the same in both nevertheless."""
    _, both = learned
    rows = [{k: v for k, v in each.items() if k.startswith("any order/")} for each in both]
    assert len(rows[0]) > 3 and all(torch.equal(v, rows[1][k]) for k, v in rows[0].items())
    steps, updates = rows[0]["any order/counted"].tolist()
    assert steps >= 512 and updates >= 2 * 8 * 8 // 16 * 7


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
        (["gym:CartPole-v1", "--agent", "dqn", "--cluster", "local"], "torchrun: dqn learns in one process"),
        ([*CARTPOLE, "--cluster", "local", "--actors", "3"], "--actors 3: 2 processes have equal shares of the actors"),
        (
            [*CARTPOLE, "--cluster", "local", "--gpus-per-learner", "3", "--device", "cpu"],
            "--gpus-per-learner 3: torchrun started 2 processes; name one of the two",
        ),
    ],
)
def test_what_several_processes_cannot_learn_is_refused(
    argv: list[str], sentence: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(0, 2, hosts.free_port()).items():
        monkeypatch.setenv(name, value)
    code, _, err = program(train.main, [*argv, "--steps", "64"], capsys)
    assert code == 2 and sentence in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (CARTPOLE, "--gpus-per-learner: of runs with --cluster"),
        ([*CARTPOLE, "--cluster", "local"], "--gpus-per-learner 2: there is 1 GPU here; --device cpu"),
        ([*CARTPOLE, "--cluster", "local", "--device", "cuda:0"], "--device cuda:0: --gpus-per-learner 2 takes the"),
        (
            ["gym:CartPole-v1", "--agent", "dqn", "--cluster", "local", "--device", "cpu"],
            "--gpus-per-learner 2: dqn learns in one process",
        ),
        (
            [*CARTPOLE, "--cluster", "local", "--device", "cpu", "--actors", "9"],
            "--actors 9: 2 processes have equal shares of the actors",
        ),
    ],
)
def test_what_several_gpus_cannot_learn_is_refused_before_anything_begins(
    argv: list[str], sentence: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(ranks, "run", lambda argv, count: pytest.fail("it began"))
    code, _, err = program(train.main, [*argv, "--gpus-per-learner", "2", "--steps", "64"], capsys)
    assert code == 2 and sentence in err.splitlines()[-1]


def test_without_a_gpu_none_can_learn(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    words = [*CARTPOLE, "--cluster", "local", "--gpus-per-learner", "1", "--steps", "64"]
    code, _, err = program(train.main, words, capsys)
    assert code == 2 and "--gpus-per-learner 1: there is no GPU here" in err.splitlines()[-1]


def scripted(monkeypatch: pytest.MonkeyPatch, *scripts: str) -> list[subprocess.Popen]:
    """In place of trainings: each process runs its script, in the environment that it would have."""
    started, popen = [], subprocess.Popen

    def instead(words: list[str], env: dict[str, str], **more: Any) -> subprocess.Popen:
        started.append(popen([sys.executable, "-c", scripts[int(env["RANK"])]], env=env, **more))
        return started[-1]

    monkeypatch.setattr(ranks.subprocess, "Popen", instead)
    return started


def test_processes_of_one_machine_meet_and_the_first_is_told_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """They sum over loopback; a signal to who started them reaches the first one."""
    meets = (
        "import atexit, os, signal, torch\nfrom agents.core import parallel\nasked = []\n"
        # Called last of all: has the group been left? One that is still there can abort the process as it ends.
        "atexit.register(lambda: os._exit(9) if torch.distributed.is_initialized() else None)\n"
        "signal.signal(signal.SIGUSR1, lambda *_: asked.append(1))\nparallel.begin(torch.device('cpu'))\n"
        "assert parallel.total([parallel.rank() + 1.0], torch.device('cpu')) == [3.0]\n"
        "import time\n"
        "if parallel.rank() == 0: os.kill(os.getppid(), signal.SIGUSR1)\n"
        "end = time.monotonic() + 60\n"
        "while not asked and parallel.rank() == 0 and time.monotonic() < end: time.sleep(0.01)\n"
        "assert parallel.total([len(asked)], torch.device('cpu')) == [1.0]\n"
        f"import sys; sys.path.insert(0, {os.fspath(ROOT / 'tests')!r}); import hosts\n"
        "heard = hosts.listening([os.getpid()])\n"
        "assert heard and all(address.startswith('127.') for address in heard), heard\n"
        "parallel.total([0.0], torch.device('cpu'))\n"
    )
    started = scripted(monkeypatch, meets, meets)
    assert ranks.run(["ignored"], 2) == 0
    assert [process.returncode for process in started] == [0, 0]


def test_a_process_that_is_killed_ends_the_others_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "GRACE", 0.5)
    sleeps, dies = "import time; time.sleep(600)", "import os; os.kill(os.getpid(), 9)"
    started = scripted(monkeypatch, sleeps, dies)
    with pytest.raises(cli.UserError, match="process 1 of the 2 .* was ended by SIGKILL; train --resume RUN"):
        ranks.run(["ignored"], 2)
    assert started[0].returncode == -signal.SIGKILL


def test_a_process_that_refuses_ends_all_with_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "GRACE", 0.5)
    started = scripted(monkeypatch, "import time; time.sleep(600)", "raise SystemExit(2)")
    assert ranks.run(["ignored"], 2) == 2 and started[0].returncode == -signal.SIGKILL


def test_a_sum_without_the_other_process_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """What torch raises there is a plain RuntimeError: of one that lives on while the other one has ended."""
    alone = (
        "import time, torch\nfrom agents.core import parallel\nparallel.begin(torch.device('cpu'))\n"
        "parallel.total([1.0], torch.device('cpu'))\nif parallel.rank(): raise SystemExit(0)\n"
        "try:\n    for _ in range(1000): parallel.total([1.0], torch.device('cpu'))\n"
        "except RuntimeError as fault:\n    raise SystemExit(0 if parallel.is_lost(fault) else str(fault))\n"
        "raise SystemExit('nothing was raised')\n"
    )
    scripted(monkeypatch, alone, alone)
    assert ranks.run(["ignored"], 2) == 0


def test_no_thread_of_the_group_has_a_tensor_of_a_sum_that_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that drops it while Python ends aborts the process. Without the wait about a fourth are still held."""
    sums = (
        "import sys, torch\nfrom agents.core import parallel\nparallel.begin(torch.device('cpu'))\n"
        "alone = sys.getrefcount(torch.zeros(1)) + 1  # and the name\n"
        "for _ in range(1000):\n    summed = parallel.whole(torch.ones(10_000))\n"
        "    if sys.getrefcount(summed) > alone: raise SystemExit(1)\n"
    )
    scripted(monkeypatch, sums, sums)
    assert ranks.run(["ignored"], 2) == 0


def torchrun(folder: Path, *argv: object) -> subprocess.Popen:
    port = str(hosts.free_port())
    words = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", port]
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
