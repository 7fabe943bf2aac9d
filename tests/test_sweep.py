"""experiments.sweep: its space, trials that are never lost, early ends, and the best configuration as a recipe."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image
from runfolders import make

from experiments import child, cli, sweep, train
from experiments.sweeping import space, trials

ROOT = Path(__file__).resolve().parents[1]
GAME = "gym:CartPole-v1"
KNOWN = {"lr": float, "rollout": int, "encoder": str, "double": bool, "low": float}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("lr=1e-5..1e-3", space.Range("lr", 1e-5, 1e-3, True, False)),  # a factor of 100
        ("lr=0.9..0.99", space.Range("lr", 0.9, 0.99, False, False)),
        ("lr=-1..1", space.Range("lr", -1, 1, False, False)),
        ("rollout=8..128:log", space.Range("rollout", 8, 128, True, True)),
        ("rollout=8,16", space.Choice("rollout", (8, 16))),
        ("encoder=nature,small", space.Choice("encoder", ("nature", "small"))),
        ("double=True,False", space.Choice("double", (True, False))),
    ],
)
def test_words_of_a_space(word: str, expected: Any) -> None:
    assert space.parse([word], KNOWN) == [expected]
    assert space.parse([expected.text()], KNOWN) == [expected]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lr"], "must be FIELD=LOW..HIGH or FIELD=A,B,C"),
        (["lrr=1..2"], "did you mean lr"),
        (["lr=2..1"], "the first number must be below the second"),
        (["lr=1..inf"], "the first number must be below the second"),
        (["lr=a..b"], "is not LOW..HIGH in numbers"),
        (["lr=0..1:log"], "must be above 0"),
        (["lr=1..2:ln"], "a range is of numbers"),
        (["encoder=a..b"], "a range is of numbers"),
        (["rollout=8,x"], "rollout is of type int"),
        (["double=maybe,no"], "double is of type bool"),
        (["rollout=8,8"], "fewer than two different values"),
        (["lr=1..2", "lr=1..3"], "is named twice"),
    ],
)
def test_words_that_are_refused(words: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        space.parse(words, KNOWN)


def test_the_usual_fields_of_every_agent_exist() -> None:
    from agents import AGENTS, BASELINES

    for agent in (*AGENTS, *BASELINES):
        if agent not in ("random", "clone", "dagger", "alphazero"):
            made, _ = sweep.plan(sweep.SweepCommand(GAME, agent=agent), [])
            assert len(made.search) >= 2 and made.agent == agent


def made(folder: Path, search: list[str], **changed: Any) -> trials.Plan:
    base = dict(
        game=GAME, agent="ppo", minutes=0.1, eval_episodes=3, seed=0, search=search, num_envs=8, init=None,
        checkpoint_every=1000, agent_config={"lr": 1e-3, "gamma": 0.99, "epochs": 1}, env={}, device="cpu",
    )  # fmt: skip
    return trials.Plan(**{**base, **changed})


TRAINER = """
import json, sys, time
from pathlib import Path
words = {a: b for a, b in zip(sys.argv[2:], sys.argv[3:]) if a[:2] == "--"}
config = json.loads(Path(words["--config"]).read_text())
lr, path = config["agent_config"]["lr"], Path(words["--runs"]) / "g" / "ppo" / (config["name"] + "-s0")
path.mkdir(parents=True)
if lr > 0.5:
    sys.exit("joypad: training stopped: loss is not finite")
content = {"format": 1, "protocol": "p", "seed": 0, "steps": 100, **config}
(path / "config.json").write_text(json.dumps(content))
score, lines = -abs(lr - 0.3), []
for part in range(1, 21):
    lines.append(json.dumps({"steps": 5 * part, "clock/seconds": 0.3 * part, "train/return": score * 10}))
    (path / "metrics.jsonl").write_text("\\n".join(lines) + "\\n")
    time.sleep(float(PAUSE) if score < -0.1 else 0)
(path / "eval.json").write_text(json.dumps({"mean": score, "protocol": "p", "episodes": 3, "step": 100}))
"""


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch):
    """Trials that only pretend to train: -|lr - 0.3| is the score, above 0.5 they fail, bad ones are slow."""

    def with_pause(pause: float) -> None:
        def start(program: str, argv: Any, log: Path, *, cores: Any = (), keep: Any = ()) -> subprocess.Popen:
            log.parent.mkdir(exist_ok=True)
            words = [sys.executable, "-c", TRAINER.replace("PAUSE", str(pause)), *map(str, argv)]
            return subprocess.Popen(words, pass_fds=list(keep), stderr=open(log, "ab"), stdout=subprocess.DEVNULL)

        monkeypatch.setattr(trials, "child", SimpleNamespace(**{**vars(child), "start": start}))
        monkeypatch.setattr(trials, "PERIOD", 0.02)

    return with_pause


def test_a_sweep_finds_the_best_and_tells_everything(tmp_path: Path, quick: Any) -> None:
    quick(0.0)
    one = trials.Sweep(tmp_path, made(tmp_path, ["lr=0.001..0.6"]), prune=False)
    assert sweep.work(one, 2, 10)
    states = [t.state.name for t in one.trials()]
    assert len(states) == 10 == one.done() and set(states) <= {"COMPLETE", "FAIL"}
    assert one.trials()[0].params == {"lr": 1e-3}  # the recipe comes first
    for t in one.trials():
        if t.params["lr"] > 0.5:
            assert t.state.name == "FAIL" and t.user_attrs["reason"] == "training stopped: loss is not finite"
        else:
            assert t.value == pytest.approx(-abs(t.params["lr"] - 0.3))
    text = one.report()
    best = json.loads((tmp_path / "best.json").read_text())
    assert best["agent_config"]["lr"] == one.study.best_params["lr"] and best["steps"] == 100
    assert best["agent_config"]["gamma"] == 0.99 and f"--config {tmp_path / 'best.json'}" in text
    assert "importance: lr 100 %" in text and "| trial | score" in (tmp_path / "sweep.md").read_text()
    assert Image.open(tmp_path / "importance.png").size[0] > 400
    assert not sweep.work(one, 1, 10) or one.done() == 10  # nothing is left to do


def test_what_follows_goes_to_every_train(tmp_path: Path, quick: Any) -> None:
    rest = ["--normalize-obs", "--no-milestones", "--stop-at", "30", "--hidden", "16"]
    plan, _ = sweep.plan(sweep.SweepCommand(GAME, agent="ppo", search=("lr=0.1..0.4",)), rest)
    assert plan.configuration({})["normalize"] == "obs" and plan.agent_config["hidden"] == 16
    assert plan.further == ["--no-milestones", "--stop-at", "30.0"]
    quick(0.0)
    start, seen = trials.child.start, []

    def noted(program: str, argv: Any, log: Path, **more: Any) -> subprocess.Popen:
        seen.append(list(map(str, argv)))
        return start(program, argv, log, **more)

    one = trials.Sweep(tmp_path, plan, prune=False, start=noted)
    assert sweep.work(one, 1, 1) and one.done() == 1
    at = seen[0].index("--no-milestones")
    assert seen[0][at : at + 3] == plan.further and json.loads((tmp_path / "trials/0000.json").read_text())["normalize"]
    assert " --no-milestones --stop-at 30.0" in one.report()


def test_a_run_to_start_from_is_found_before_the_trials_have_their_own(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    start = make(tmp_path / "runs", 0, 1.0, game=GAME)
    (start / "checkpoints" / "000000010000").mkdir(parents=True)
    (start / "checkpoints" / "000000010000" / "manifest.json").write_text("{}")
    plan, _ = sweep.plan(sweep.SweepCommand(GAME, agent="ppo"), ["--init", "gym-CartPole-v1/ppo"])
    assert plan.init == str(start)
    with pytest.raises(cli.UserError, match="--init nowhere: "):
        sweep.plan(sweep.SweepCommand(GAME, agent="ppo"), ["--init", "nowhere"])


def test_fields_are_searched_as_they_are_declared(tmp_path: Path) -> None:
    """epsilon_decay is a share or a number of steps: its usual value is a whole number."""
    words = ("epsilon_decay=0.05..0.5", "lr=1e-5..1.2345678e-3")
    plan, _ = sweep.plan(sweep.SweepCommand(GAME, agent="dqn", search=words), [])
    found = trials.Sweep(tmp_path, plan).dimensions
    assert found == [space.Range("epsilon_decay", 0.05, 0.5, False, False),
                     space.Range("lr", 1e-5, 1.2345678e-3, True, False)]  # fmt: skip


def test_a_trial_whose_owner_died_before_its_first_draw_is_gone_on_with(tmp_path: Path, quick: Any) -> None:
    quick(0.0)
    one = trials.Sweep(tmp_path, made(tmp_path, ["lr=0.001..0.4"]), prune=False)
    one._open().ask()  # by another process: neither drawn nor locked
    assert [t.state.name for t in one.trials()] == ["RUNNING"]
    assert sweep.work(one, 2, 3)
    assert [t.state.name for t in one.trials()] == ["COMPLETE"] * 3 and all("lr" in t.params for t in one.trials())


def test_a_trial_that_is_stopped_before_it_has_a_folder_has_not_failed(tmp_path: Path, quick: Any) -> None:
    quick(0.0)

    def start(program: str, argv: Any, log: Path, **more: Any) -> subprocess.Popen:
        one.stopping.set()
        return subprocess.Popen(["sleep", "60"])

    one = trials.Sweep(tmp_path, made(tmp_path, ["lr=0.001..0.4"]), prune=False, start=start)
    one.work(3, set())
    assert [t.state.name for t in one.trials()] == ["RUNNING"]
    again = trials.Sweep(tmp_path, made(tmp_path, ["lr=0.001..0.4"]), prune=False)
    again.work(1, set())
    assert [t.state.name for t in again.trials()] == ["COMPLETE"]


def test_trials_that_lag_behind_end_early(tmp_path: Path, quick: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    quick(0.05)
    monkeypatch.setattr(trials, "WARM", 2)
    one = trials.Sweep(tmp_path, made(tmp_path, ["lr=0.05,0.29,0.3"], agent_config={"lr": 0.3}))
    for lr in (0.29, 0.05):
        one.study.enqueue_trial({"lr": lr})
    assert sweep.work(one, 1, 3)
    found = {t.params["lr"]: t for t in one.trials()}
    assert {lr: t.state.name for lr, t in found.items()} == {0.3: "COMPLETE", 0.29: "COMPLETE", 0.05: "PRUNED"}
    assert trials.EARLIEST <= max(found[0.05].intermediate_values) < trials.PARTS
    assert "ended early" in one.report()


def test_another_plan_in_the_same_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    sweep.settle(tmp_path, made(tmp_path, ["lr=0.1..0.2"]))
    sweep.settle(tmp_path, made(tmp_path, ["lr=0.1..0.2"], device="cuda"))
    with pytest.raises(Exception, match="was begun otherwise .search .'lr=0.1..0.2'., now .'lr=0.1..0.3'"):
        sweep.settle(tmp_path, made(tmp_path, ["lr=0.1..0.3"]))


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "game"),
        (["breakot"], "did you mean breakout"),
        ([GAME, "--trials", "0"], "--trials 0"),
        ([GAME, "--minutes", "nan"], "--minutes nan"),
        ([GAME, "--jobs", "999"], "--jobs 999"),
        ([GAME, "--search", "lrr=1..2"], "no field lrr"),
        ([GAME, "--agent", "random"], "nothing to search"),
        ([GAME, "--agent", "sb3-ppo", "--device", "cuda"], "--device cuda: sb3-ppo runs on the processor"),
        ([GAME, "--", "--seed", "3"], "stand before it"),
        ([GAME, "--", "--seed=3"], "--seed: after -- stand"),
        ([GAME, "--", "--device", "cpu"], "--device: after -- stand"),
        ([GAME, "--jobs", "-1", "--cluster", "local"], "--jobs -1: must be at least 1"),
        ([GAME, "--", "--hiden", "3"], "--hidden"),
    ],
)
def test_mistakes_get_one_sentence(argv: list[str], said: str, capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as left:
        sweep.main([*argv[:1], "--out", str(tmp_path / "s"), *argv[1:]] if argv else [])
    assert left.value.code == 2 and said in capsys.readouterr().err and not (tmp_path / "s").exists()


def begin(folder: Path, total: int) -> subprocess.Popen:
    """The program in a process of its own."""
    words = [sys.executable, "-m", "experiments.sweep", GAME, "--trials", total, "--minutes", 0.05, "--jobs", 1]
    words += ["--search", "lr=1e-4..1e-2", "--eval-episodes", 2, "--out", folder, "--", "--rollout", 16, "--hidden", 16]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(list(map(str, words)), env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def study(folder: Path) -> list[Any]:
    import optuna

    storage = f"sqlite:///{folder / 'study.db'}"
    return optuna.load_study(study_name="sweep", storage=storage).get_trials()


def wait_for(what: Any, seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.1)


@pytest.mark.slow
def test_killed_in_the_middle_it_goes_on_and_two_processes_lose_no_trial(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    first = begin(folder, 4)
    wait_for(lambda: (folder / "trials" / "0001.json").exists() and (folder / "runs").exists())
    first.kill()  # and what it trained with it, as when a machine loses power
    first.wait()
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        if str(folder / "runs").encode() in _content(entry):
            os.kill(int(entry.parent.name), signal.SIGKILL)
    before = study(folder)
    assert [t.state.name for t in before] == ["COMPLETE", "RUNNING"]
    two = [begin(folder, 4), begin(folder, 4)]
    said = [p.communicate(timeout=400)[0] for p in two]
    assert [p.returncode for p in two] == [0, 0], said
    after = study(folder)
    assert [t.state.name for t in after] == ["COMPLETE"] * 4 and len({str(t.params) for t in after}) == 4
    assert [t.params for t in after[:2]] == [t.params for t in before] and after[0].value == before[0].value
    told = "".join(said)
    assert sorted(n for n in range(4) if f"trial {n}: " in told) == [1, 2, 3]  # each carried out once more
    assert [told.count(f"trial {n}: ") for n in (1, 2, 3)] == [1, 1, 1]
    assert len(list(folder.glob("runs/*/ppo/trial-*"))) == 4
    best = max(after, key=lambda t: t.value)
    with pytest.raises(SystemExit) as left:
        train.main([GAME, "--config", str(folder / "best.json"), "--steps", "300", "--seed", "1", "--runs",
                    str(tmp_path / "runs"), "--eval-episodes", "0", "--no-video"])  # fmt: skip
    assert not left.value.code
    config = json.loads((tmp_path / "runs/gym-CartPole-v1/ppo/best-s1/config.json").read_text())
    assert config["agent_config"]["lr"] == best.params["lr"] and config["agent_config"]["hidden"] == 16


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has just ended
        return b""
