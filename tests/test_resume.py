"""A run that was killed and resumed equals one that was not: weights, ring, priorities, counters, to the bit."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import shutil
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lengths
import numpy as np
import pytest
from harness import Kill, Lab, Result

from agents import AGENTS
from agents.core import checkpoint, manifest
from experiments import building

SEED = int(os.environ.get("JOYPAD_KILL_SEED", secrets.randbelow(2**31)))  # of the moments; shown where a test fails
KILLS = lengths.repeats(8, 20)  # of each slow test below; the moments differ from call to call
QUIET = ("--eval-episodes", 0, "--no-video")
SMALL = dict(  # fields of any agent's configuration: a ring that wraps around, windows that overlap barriers
    rollout=6, minibatch=12, hidden=8, replay=150, warmup=30, batch=8, n_step=3, prioritized=True, atoms=5,
    target_period=40, precision="fp32", ratio=2.0, rows_per_round=30, updates_per_round=20,
)  # fmt: skip
WORLD = ("worlds", "--world", "grid", "--steps", 150, "--num-envs", 3, "--checkpoint-every", 40)  # saved exactly
GYM = ("gym:CartPole-v1", "--steps", 150, "--num-envs", 3, "--checkpoint-every", 40)  # reset at each barrier
BOARD = (  # saved exactly, with the searches' random numbers
    "go", "--recipe", "none", "--size", 3, "--komi", 0.5, "--komi-spread", 2, "--settle", "--steps", 150,
    "--num-envs", 3, "--checkpoint-every", 40, "--visits", 6, "--visits-start", 3, "--blocks", 1, "--channels", 8,
    "--parts", 1, "--eval-visits", 2,
)  # fmt: skip
ATARI = ("breakout", "--steps", 96, "--num-envs", 2, "--checkpoint-every", 30, "--env-threads", 1)


def options(agent: str) -> list[Any]:
    """Those of SMALL that the agent has, where they are of the same type there."""
    code = building.module(agent)
    usual = dataclasses.asdict(code.Config(**code.PRESETS[agent]))
    known = {k: v for k, v in SMALL.items() if type(usual.get(k)) is type(v)}
    if "encoder" in usual:
        known["encoder"] = "auto"  # small worlds show vectors and small pictures
        known |= {
            k: v for k, v in dict(encoder_width=1, pool=False, spectral=False).items() if k in usual
        }  # those of impala
    return ["--agent", agent, *(x for k, v in known.items() for x in (f"--{k.replace('_', '-')}", v))]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    started = Lab(tmp_path_factory.mktemp("lab"))
    yield started
    started.close()


def folder(runs: Lab, result: Result) -> Path:
    """Where the run lies that printed `result`."""
    return runs.where / next(line.split()[1].rstrip(",") for line in result.out.splitlines() if line.startswith("run:"))


def resume(runs: Lab, run: Path, *argv: object, **how: Any) -> Result:
    return runs.train("--resume", run, *QUIET, *argv, **how)


def good(result: Result) -> Result:
    assert result.code == 0, result.err
    return result


def moments(random: np.random.Generator, most: Result) -> Kill:
    """A moment before a step or, as often, inside the writing of a checkpoint."""
    if random.random() < 0.5:
        return Kill(step=int(random.integers(1, most.steps + 1)))
    return Kill(file=int(random.integers(1, most.files + 1)), torn=bool(random.random() < 0.5))


def content(run: Path) -> list[dict[str, Any]]:
    """Of the newest two checkpoints: checksums of all tensors, the ring among them, and every other value."""
    found = []
    for step in checkpoint.steps(run / "checkpoints")[-2:]:  # a kill may leave one more, that was to be deleted
        written = manifest.read(run / "checkpoints", step)
        del written["values"]["clock"]["seconds"]  # of the wall clock
        del written["meta"]["config"]["command"], written["meta"]["config"]["name"]
        found.append(written)
    return found


def logged(run: Path) -> list[tuple[int, float]]:
    """(steps, updates) of each line of metrics.jsonl."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [(line["steps"], line["clock/updates"]) for line in lines]


def compare(runs: Lab, argv: Sequence[object], kills: int, seed: int) -> None:
    """Kills runs so many times and holds each that came to its end against one that was left alone."""
    print(f"JOYPAD_KILL_SEED={SEED}")
    random = np.random.default_rng([SEED, seed])
    straight = good(runs.train(*argv, *QUIET, "--name", "straight", period=0))
    expected = folder(runs, straight)
    assert straight.steps >= 48 and straight.files >= 15
    assert len(checkpoint.steps(expected / "checkpoints")) == 2
    done = 0
    while done < kills:
        plan = [moments(random, straight)]
        result = runs.train(*argv, *QUIET, "--name", "killed", kill=plan[0], period=0)
        assert result.code == -signal.SIGKILL, (plan, result.err)
        run = folder(runs, result)
        while result.code:
            done += 1
            plan += [moments(random, straight) if done < kills else Kill()]
            result = resume(runs, run, kill=plan[-1], period=0)
            assert result.code in (0, -signal.SIGKILL), (plan, result.err)
        assert content(run) == content(expected), plan
        assert logged(run) == logged(expected), plan


@pytest.mark.parametrize("agent", ["dqn", pytest.param("clone", marks=pytest.mark.slow)])  # all of them in the next
def test_killed_in_a_world_that_is_saved(runs: Lab, agent: str) -> None:
    compare(runs, [*WORLD, *options(agent)], 2, 1)


def test_killed_in_the_middle_of_self_play(runs: Lab) -> None:
    compare(runs, [*BOARD, *options("alphazero")], 2, 6)


def test_killed_where_barriers_reset_the_games(runs: Lab) -> None:
    compare(runs, [*GYM, *options("ppo")], 3, 2)


@pytest.mark.slow
def test_killed_in_a_real_atari_game(runs: Lab) -> None:
    compare(runs, [*ATARI, *options("dqn"), "--encoder", "nips"], 2, 3)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("agent", AGENTS)
def test_killed_again_and_again_in_a_world_that_is_saved(runs: Lab, agent: str) -> None:
    compare(runs, [*(BOARD if agent == "alphazero" else WORLD), *options(agent)], KILLS, 4)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("agent", ["dqn", "pqn", "iqn", "rainbow", "sac"])  # each keeps something else; all above
def test_killed_again_and_again_where_barriers_reset_the_games(runs: Lab, agent: str) -> None:
    compare(runs, [*GYM, *options(agent)], KILLS, 4)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("agent", ["ppo", "dqn"])
def test_killed_again_and_again_in_a_real_atari_game(runs: Lab, agent: str) -> None:
    compare(runs, [*ATARI, *options(agent), "--encoder", "nips"], KILLS, 5)


@pytest.mark.parametrize("torn", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_killed_before_the_first_checkpoint_and_after_the_last(runs: Lab, torn: bool) -> None:
    """Both ends: nothing is saved yet, so it begins anew; everything is saved, so nothing is done twice."""
    argv = [*GYM, *options("ppo")]
    straight = good(runs.train(*argv, *QUIET, "--name", "ends", period=0))
    first = Kill(file=1, torn=True) if torn else Kill(step=1)
    for kill in (first, Kill(file=straight.files)):
        result = runs.train(*argv, *QUIET, "--name", "ends-killed", kill=kill, period=0)
        assert result.code == -signal.SIGKILL
        run = folder(runs, result)
        good(resume(runs, run, period=0))
        assert content(run) == content(folder(runs, straight))
        assert logged(run) == logged(folder(runs, straight))


def test_a_finished_run_stays_as_it_is_and_goes_on_with_a_new_budget(runs: Lab) -> None:
    run = folder(runs, good(runs.train(*GYM, *options("dqn"), *QUIET, "--name", "more")))
    before = content(run)
    again = good(resume(runs, run))
    assert again.steps == 0 and content(run) == before
    refused = resume(runs, run, "--steps", 100)
    assert refused.code == 2 and "--steps 100: the run has 150 steps already" in refused.err
    further = good(resume(runs, run, "--steps", 210))
    assert further.steps == 20 and checkpoint.steps(run / "checkpoints")[-1] == 210


@pytest.mark.parametrize(
    ("argv", "number"),
    [(WORLD, signal.SIGTERM), (GYM, signal.SIGINT), (WORLD, signal.SIGHUP)],
    ids=["saved", "reset", "closed terminal"],
)
def test_a_polite_signal_saves_and_the_run_goes_on(runs: Lab, argv: Sequence[object], number: int) -> None:
    stopped = good(runs.train(*argv, *options("ppo"), *QUIET, kill=Kill(step=31, number=number), period=0))
    run = folder(runs, stopped)
    assert "saved at step 93" in stopped.out and "--resume" in stopped.out and stopped.steps == 31
    assert checkpoint.steps(run / "checkpoints")[-1] == 93
    resumed = good(resume(runs, run, period=0))
    assert "from step 93" in resumed.out and resumed.steps == 19
    steps, updates = np.array(logged(run)).T
    assert list(np.unique(steps)) == list(range(3, 151, 3)) and (np.diff(steps) >= 0).all()
    assert (np.diff(updates) >= 0).all()


@pytest.mark.parametrize("argv", [WORLD, GYM], ids=["saved", "reset"])
def test_a_batch_systems_warning_saves_and_the_run_goes_on_by_itself(runs: Lab, argv: Sequence[object]) -> None:
    """SIGUSR1: a checkpoint in between, from which a killed run goes on as the one that was not killed."""
    rare = ["--checkpoint-every", 1000]
    warned = Kill(step=31, number=signal.SIGUSR1)
    whole = good(runs.train(*argv[:-2], *rare, *options("ppo"), *QUIET, kill=warned, period=0))
    run = folder(runs, whole)
    assert whole.steps == 50 and checkpoint.steps(run / "checkpoints") == [93, 150]
    killed = run.with_name("killed")
    shutil.copytree(run, killed)
    manifest.discard_after(killed / "checkpoints", 93)
    assert good(resume(runs, killed, period=0)).steps == 19
    assert content(killed) == content(run)


def test_a_second_interrupt_leaves_at_once_and_loses_nothing_older(runs: Lab) -> None:
    left = runs.train(*WORLD, *options("ppo"), *QUIET, kill=Kill(step=31, file=1, number=signal.SIGINT), period=0)
    assert left.code == 130 and "Traceback" not in left.err
    run = folder(runs, left)
    assert checkpoint.steps(run / "checkpoints") == [42, 81]
    good(resume(runs, run, period=0))


def test_a_disk_that_fills_up_is_one_sentence_and_costs_nothing_older(runs: Lab) -> None:
    argv = [*WORLD, *options("dqn")]
    straight = folder(runs, good(runs.train(*argv, *QUIET, "--name", "space")))
    killed = runs.train(*argv, *QUIET, "--name", "no-space", kill=Kill(step=45))
    run = folder(runs, killed)
    kept, lines = checkpoint.steps(run / "checkpoints"), logged(run)
    full = resume(runs, run, largest=8_000)
    assert full.code == 2 and "Traceback" not in full.err, full.err
    assert any(line.startswith("joypad: ") and "File too large" in line for line in full.err.splitlines()), full.err
    assert checkpoint.steps(run / "checkpoints") == kept and logged(run)[: len(lines)] == lines
    good(resume(runs, run))
    assert content(run) == content(straight) and logged(run) == logged(straight)


def test_a_run_without_its_ring_says_so_and_goes_on(runs: Lab) -> None:
    argv = [*GYM, *options("dqn"), "--no-checkpoint-ring"]
    killed = runs.train(*argv, *QUIET, kill=Kill(step=45))
    run = folder(runs, killed)
    assert not list((run / "checkpoints").glob("ring/*"))
    resumed = good(resume(runs, run))
    assert "no replay ring" in resumed.out and checkpoint.steps(run / "checkpoints")[-1] == 150
