"""Training on a Ray cluster of two nodes: network namespaces where they are allowed, else two nodes of this machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hosts
import pytest
import torch
from programs import program
from safetensors.torch import load_file

from agents.core import manifest
from agents.core.transport import InProcess, Message, TransportFault
from experiments import cli, train
from experiments.cluster import assembling, engine
from experiments.cluster.engine import ClusterNode
from experiments.cluster.worker import GameActor

ROOT = Path(__file__).resolve().parents[1]
QUIET = ("--eval-episodes", 0, "--no-video")
CARTPOLE = ("gym:CartPole-v1", "--recipe", "none", "--agent", "ppo", "--encoder", "auto", "--hidden", 32, "--rollout",
            32, "--minibatch", 64, "--num-envs", 8, "--actors", 2, *QUIET)  # fmt: skip
SLOW_MACHINE = 300.0  # seconds


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_without_ray_one_sentence_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, err = program(train.main, [*map(str, CARTPOLE), "--cluster", "local", "--steps", "64"], capsys)
    assert code == 2 and err.splitlines()[-1] == 'joypad: --cluster needs Ray: pip install -e ".[cluster]"'


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("127.0.0.1:1", "--cluster 127.0.0.1:1: no cluster answers there (Connection refused)"),
        ("ray://127.0.0.1:1", "name local, auto, or the head's HOST:PORT"),
        ("here", "name local, auto, or the head's HOST:PORT"),
    ],
)
def test_an_address_without_a_cluster_is_told_at_once(
    address: str, sentence: str, capsys: Any, tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    argv = [*map(str, CARTPOLE), "--cluster", address, "--steps", "64", "--runs", str(tmp_path / "runs")]
    code, _, err = program(train.main, argv, capsys)
    assert code == 2 and sentence in err.splitlines()[-1] and not (tmp_path / "runs").exists()


def test_options_of_a_cluster_are_refused_without_one(capsys: Any) -> None:
    code, _, err = program(train.main, [*map(str, CARTPOLE), "--in-order"], capsys)
    assert code == 2 and "--in-order: of runs with --cluster" in err


def test_a_node_with_another_version_is_refused_by_name() -> None:
    here = {"joypad": "0.1.0 (abc)", "torch": "2.13.0", "Python": "3.11.7"}
    engine.require_same(here, {"a (10.0.0.1)": dict(here)})
    for name, other in (("joypad", "0.1.0 (abd)"), ("torch", "2.12.0"), ("Python", "3.12.1")):
        with pytest.raises(cli.UserError, match=rf"node b \(10.0.0.2\) has {name} ") as told:
            engine.require_same(here, {"a (10.0.0.1)": here, "b (10.0.0.2)": {**here, name: other}})
        assert other in str(told.value) and here[name] in str(told.value)
    with pytest.raises(cli.UserError, match="node c cannot run the lab: experiments is not installed there"):
        engine.require_same(here, {"c": engine._why(ImportError("No module named 'experiments'"))})


def test_versions_tell_the_files_of_the_lab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = engine.versions()
    for package in engine.PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(engine, "ROOT", tmp_path)
    assert engine.versions() == before
    with open(tmp_path / "agents" / "losses.py", "a") as file:
        file.write("# changed\n")
    assert engine.versions()["joypad"] != before["joypad"]


def test_too_few_processors_are_told_with_how_many_there_are() -> None:
    nodes = [ClusterNode("1", "a", 2.0, 1e9), ClusterNode("2", "b", 1.0, 1e9)]
    engine.require_processors(nodes, 3, "auto")
    with pytest.raises(cli.UserError, match="--actors 4: each needs .*, and the cluster auto has 3 on 2 nodes"):
        engine.require_processors(nodes, 4, "auto")


def test_a_game_that_is_missing_on_a_node_is_told_by_the_actor() -> None:
    config = {"game": "gym:nowhere_at_all:Game-v0", "agent": "ppo", "seed": 1, "num_envs": 2, "env": {}}
    assert "nowhere_at_all" in GameActor(config, 0, (0, 2)).open()["fault"]


def test_what_was_learned_is_saved_where_nothing_comes_through_any_more(
    monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path
) -> None:
    """Both actors in this process; the store is full from some version of the weights on, until the run is resumed."""
    room = [20]

    class Filled(InProcess):
        def publish(self, weights: Message) -> None:
            if json.loads(weights.words)["version"] > room[0]:
                raise TransportFault("the object store of the cluster has been full for 60 s")
            super().publish(weights)

    def connect(config: dict[str, Any], needs: Any, ring: Any) -> InProcess:
        return Filled(lambda actor: GameActor(config, actor, (4 * actor, 4))._collector())

    monkeypatch.setattr(assembling, "on_ray", connect)
    run = tmp_path / "gym-CartPole-v1" / "ppo" / "none-s0"
    words = [*map(str, CARTPOLE), "--cluster", "local", "--steps", "2048", "--runs", str(tmp_path)]
    code, _, err = program(train.main, words, capsys)
    at = manifest.steps(run / "checkpoints")[-1]
    told = f"training stopped at step {at:,}: the object store of the cluster has been full for 60 s; the checkpoint of"
    assert code == 2 and told in err.splitlines()[-1] and f"--resume {run}" in err.splitlines()[-1]
    _, values = manifest.newest(run / "checkpoints")
    assert 0 < at < 2048 and values["values"]["clock"]["updates"] > room[0]
    room[0] = 10**9
    code, out, err = program(train.main, ["--resume", str(run), *map(str, QUIET)], capsys)
    assert code == 0 and f"from step {at:,}" in out and manifest.steps(run / "checkpoints")[-1] >= 2048, err


# -- two nodes ---------------------------------------------------------------------------------------------------------


GAME = """import gymnasium

class Corridor(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0.0, 1.0, (4,))
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), float(action), bool(self.np_random.random() < 0.1), False, {}

gymnasium.register("Corridor-v0", Corridor)
"""


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[hosts.Hosts]:
    """Two nodes. Where they can be told apart the second one lacks a package that the head has: `corridors`."""
    pytest.importorskip("ray")
    packages, nothing = tmp_path_factory.mktemp("packages"), tmp_path_factory.mktemp("nothing")
    (packages / "corridors").mkdir()
    (packages / "corridors" / "__init__.py").write_text(GAME)
    with hosts.Hosts(other=(nothing, packages) if hosts.allowed() else None, path=packages) as started:
        yield started


def finished(process: subprocess.Popen, seconds: float = SLOW_MACHINE) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def started(two: hosts.Hosts, *argv: object) -> subprocess.Popen:
    return two.run("experiments.train", *argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def newest(run: Path) -> dict[str, torch.Tensor]:
    step = manifest.steps(run / "checkpoints")[-1]
    return load_file(run / "checkpoints" / f"{step:012d}" / "agent.safetensors")


def lines(run: Path) -> list[dict[str, float]]:
    path = run / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def until(process: subprocess.Popen, true: Any, log: Path | None = None) -> None:
    end = time.monotonic() + SLOW_MACHINE
    while not true():
        assert process.poll() is None, log.read_text() if log else process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_in_order_two_runs_are_equal_to_the_bit_and_so_is_one_that_was_killed(two: hosts.Hosts, tmp_path: Path) -> None:
    words = (*CARTPOLE, "--cluster", two.address, "--in-order", "--steps", 6_000, "--checkpoint-every", 1_000,
             "--runs", tmp_path)  # fmt: skip
    runs = {name: tmp_path / "gym-CartPole-v1" / "ppo" / f"{name}-s0" for name in ("one", "other")}
    code, out, err = finished(started(two, *words, "--name", "one"))
    assert code == 0, err
    assert "cluster" in out and "not repeatable" not in out
    process = started(two, *words, "--name", "other")
    until(process, lambda: len(manifest.steps(runs["other"] / "checkpoints")) >= 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    at = manifest.steps(runs["other"] / "checkpoints")[-1]
    assert at < 6_000
    code, out, err = finished(started(two, "--resume", runs["other"], *QUIET))
    assert code == 0 and f"from step {at:,}" in out, err
    one, other = newest(runs["one"]), newest(runs["other"])
    assert one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())
    told = lines(runs["one"])[-1]
    assert told["cluster/actors_alive"] == 2 and told["cluster/policy_lag_max"] == 16
    assert 0 < told["cluster/bytes_per_row"] < 64


@pytest.mark.slow
def test_mistakes_at_a_cluster_are_one_sentence(two: hosts.Hosts, tmp_path: Path) -> None:
    where = ("--cluster", two.address, "--steps", 64, "--runs", tmp_path / "runs")
    code, _, err = finished(started(two, *CARTPOLE, *where, "--actors", 3))
    assert code == 2 and "--actors 3: each needs a processor, and the cluster" in err and "has 2 on 2 nodes" in err
    big = ("breakout", "--num-envs", 32, "--rollout", 512, "--actors", 2, *QUIET)
    code, _, err = finished(started(two, *big, *where))
    assert code == 2 and "the object store of this node holds" in err.splitlines()[-1]
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_sweep_and_a_suite_train_on_the_nodes(two: hosts.Hosts, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    words = ("--cluster", two.address, "--trials", 2, "--minutes", 0.05, "--eval-episodes", 1)
    words = (*words, "--out", tmp_path / "sweep")
    code, out, err = finished(two.run("experiments.sweep", "gym:CartPole-v1", *words, **pipes))
    assert code == 0, err
    assert "2 side by side" in out and out.count("trial ") >= 2 and (tmp_path / "sweep" / "best.json").is_file()
    runs = sorted((tmp_path / "sweep" / "runs").glob("*/*/trial-*"))
    assert len(runs) == 2 and all(manifest.steps(run / "checkpoints") for run in runs)
    words = ("--games", "breakout", "--seeds", 2, "--minutes-per-game", 0.05, "--eval-episodes", 1)
    more = ("--cluster", two.address, "--runs", tmp_path / "runs", "--out", tmp_path / "suite")
    more = (*more, "--", "--num-envs", 2, "--rollout", 16)
    code, out, err = finished(two.run("experiments.suite", "atari", *words, *more, **pipes))
    assert code == 0, err + out
    rows = (tmp_path / "suite" / "suite.csv").read_text().splitlines()
    assert len(rows) == 3 and [row.split(",")[:2] for row in rows[1:]] == [["breakout", "0"], ["breakout", "1"]]


@pytest.mark.slow
def test_a_node_that_dies_costs_its_window_and_learning_goes_on(tmp_path: Path) -> None:
    """The second node is killed without a word; its actor begins anew on the head, beside the other one."""
    pytest.importorskip("ray")
    with hosts.Hosts() as two:
        words = (*CARTPOLE, "--cluster", two.address, "--steps", 1_000_000, "--runs", tmp_path)
        process = started(two, *words)
        run = tmp_path / "gym-CartPole-v1" / "ppo" / "none-s0"
        until(process, lambda: any(line.get("clock/updates", 0) > 50 for line in lines(run)))
        two.kill(1)
        until(process, lambda: any(line.get("cluster/actors_alive") == 1 for line in lines(run)))
        until(process, lambda: goes_on(lines(run)[-1]))
        process.send_signal(signal.SIGTERM)
        code, out, err = finished(process)
        assert code == 0, err
        for words in (" is lost (its ", "no processor is left for actor", "plays again, after "):
            assert words in err
        assert "saved at step" in out and "not repeatable" in out


def goes_on(line: dict[str, float]) -> bool:
    """Both actors play again, and the agent has learned: by chance a game of CartPole lasts 22 steps."""
    return line.get("cluster/actors_alive") == 2 and line.get("train/return", 0.0) >= 60


@pytest.mark.slow
def test_a_node_with_other_files_of_the_lab_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    file = ROOT / "agents" / "losses.py"
    other = tmp_path / "losses.py"
    other.write_text(file.read_text() + "# another version\n")
    with hosts.Hosts(other=(other, file)) as two:
        code, _, err = finished(started(two, *CARTPOLE, "--cluster", two.address, "--steps", 64, "--runs", tmp_path))
        assert code == 2 and "has joypad" in err.splitlines()[-1] and two.ip(1) in err.splitlines()[-1]


@pytest.mark.slow
def test_a_game_that_is_not_installed_on_a_node_is_refused_with_both_names(two: hosts.Hosts, tmp_path: Path) -> None:
    if not two.separate:
        pytest.skip("network namespaces are not permitted here: both nodes see the same packages")
    words = ("gym:corridors:Corridor-v0", *CARTPOLE[1:], "--cluster", two.address, "--steps", 64)
    code, _, err = finished(started(two, *words, "--runs", tmp_path / "runs"))
    told = err.splitlines()[-1]
    assert code == 2 and told.startswith("joypad: node ") and two.ip(1) in told and "corridors" in told, err
    assert "Traceback" not in err and not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.timeout(2_000)
def test_several_processes_learn_with_actors_of_a_cluster_and_go_on_later(two: hosts.Hosts, tmp_path: Path) -> None:
    """`--gpus-per-learner 2` with processors in place of GPUs: a signal saves for both, a resume starts both."""
    words = (*CARTPOLE, "--cluster", two.address, "--steps", 1_000_000, "--runs", tmp_path, "--device", "cpu")
    process = started(two, *words, "--gpus-per-learner", 2)
    run = tmp_path / "gym-CartPole-v1" / "ppo" / "none-s0"
    until(process, lambda: any(line.get("clock/updates", 0) > 20 for line in lines(run)))
    process.send_signal(signal.SIGTERM)
    code, out, err = finished(process)
    assert code == 0 and "saved at step" in out and "1 for each of 2 processes that learn" in out, err
    assert out.count("run: ") == 1 and out.count("recipe ") == 1 and "Traceback" not in err
    at = manifest.steps(run / "checkpoints")[-1]
    assert manifest.steps(run / "ranks" / "1")[-1] == at and lines(run)[-1]["cluster/actors_alive"] == 2
    more = ("--resume", run, "--steps", at + 512, "--device", "cpu", "--eval-episodes", 0, "--no-video")
    code, out, err = finished(started(two, *more))
    assert code == 0 and f"from step {at:,}" in out and "Traceback" not in err, err
    assert manifest.steps(run / "checkpoints")[-1] >= at + 512


FILLER = """import sys, threading, time, numpy, ray
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
while True:
    held, size, freed = [], 2**22, threading.Event()
    threading.Thread(target=lambda: (input(), freed.set()), daemon=True).start()
    while not freed.is_set():  # whatever the training gives back is taken at once
        try:
            held.append(ray.put(numpy.ones(size, numpy.uint8)))
        except ray.exceptions.OutOfDiskError:
            size = max(size // 2, 2**17)
            time.sleep(0.02)
    held.clear()
    input()
"""
TRAIN = "from experiments.cluster import transport; transport.FULL = 20.0; from experiments import train; train.main()"


@pytest.mark.slow
@pytest.mark.timeout(2_000)
def test_a_store_that_others_fill_is_waited_for_and_then_the_run_is_saved(tmp_path: Path) -> None:
    """Both nodes are of this machine, as where network namespaces are not permitted, and may spill nothing to disk."""
    pytest.importorskip("ray")
    with hosts.Hosts(separate=False, more={"RAY_local_fs_capacity_threshold": "0.0001"}) as two:
        log, run = tmp_path / "log", tmp_path / "runs" / "breakout" / "ppo" / "none-s0"
        words = ("breakout", *CARTPOLE[1:5], "--rollout", 32, "--minibatch", 64, "--num-envs", 8, *QUIET)
        words = (*words, "--cluster", two.address, "--steps", 1_000_000, "--runs", tmp_path / "runs")
        with open(log, "w") as file:
            train = subprocess.Popen(
                [sys.executable, "-c", TRAIN, *map(str, words)], stdout=file, stderr=file, env=two.env
            )
        words, filler = [sys.executable, "-c", FILLER, two.address], None
        try:
            until(train, lambda: any(line.get("clock/updates", 0) > 4 for line in lines(run)), log)
            filler = subprocess.Popen(words, stdin=subprocess.PIPE, text=True, env=two.env)
            until(train, lambda: "it is waited for" in log.read_text(), log)
            filler.stdin.write("\n")
            filler.stdin.flush()
            known = len(lines(run))
            until(train, lambda: len(lines(run)) > known + 1, log)
            filler.stdin.write("\n")
            filler.stdin.flush()
            assert train.wait(SLOW_MACHINE) == 2
        finally:
            for process in (train, filler):
                if process is not None:
                    process.kill()
        told = log.read_text().splitlines()[-1]
        assert "the object store of the cluster has been full for 20 s" in told and "Traceback" not in log.read_text()
        assert f"the checkpoint of step {manifest.steps(run / 'checkpoints')[-1]:,} is kept; go on with" in told


@pytest.mark.slow
def test_a_cluster_of_this_machine_alone_listens_on_loopback_and_ends_with_the_run(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    words = [sys.executable, "-m", "experiments.train", *map(str, CARTPOLE), "--actors", "1", "--cluster", "local"]
    words += ["--steps", "1000000", "--runs", str(tmp_path)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until(process, lambda: lines(tmp_path / "gym-CartPole-v1" / "ppo" / "none-s0"))
        every = hosts.descendants(process.pid)
        heard = hosts.listening(every)
        assert len(heard) >= 3 and all(address.startswith("127.") for address in heard), heard
        process.send_signal(signal.SIGTERM)
        code, out, err = finished(process)
        assert code == 0 and "saved at step" in out, err
        end = time.monotonic() + 60
        while any(Path(f"/proc/{pid}").exists() for pid in every) and time.monotonic() < end:
            time.sleep(0.2)
        assert not any(Path(f"/proc/{pid}").exists() for pid in every)
    finally:
        process.kill()
