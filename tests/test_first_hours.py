"""What a new user meets in the first hours: proposals instead of riddles, refusals before anything is built."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from programs import program
from runfolders import make

import envs
from experiments import building, compare, evaluate, runs, train
from experiments.comparing import groups, report


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["joust"], "there is no game 'joust' for one: it needs two players"),
        (["CartPole-v1"], "a Gymnasium environment is called gym:CartPole-v1 here"),
        (["ALE/Pong-v5"], "a Gymnasium environment is called gym:ALE/Pong-v5 here"),
        (["breakout", "--agent", "clone"], "clone learns from a teacher and breakout has none"),
        (["gym:CartPole-v1", "--agent", "dagger"], "dagger learns from a teacher"),
        (["kart", "--agent", "clone", "--recipe", "none"], "--expert-info"),
        (["gym:CartPole-v1", "--init", "nothing", "--steps", "10"], "--init nothing: 'nothing' is neither a run"),
        (["--resume", "x", "--gamma", "0.9"], "--gamma"),
        (["--resume", "x", "--steps", "5", "--minutes", "1"], "name one budget"),
    ],
)
def test_refusals_come_before_anything_is_built(
    argv: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(envs, "make_vec", None)
    monkeypatch.chdir(tmp_path)
    code, _, err = program(train.main, argv, capsys)
    assert code == 2 and told in err and not list(tmp_path.iterdir())


def test_more_games_than_fit_are_refused_before_any_is_built(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(envs, "make_vec", None)
    monkeypatch.setattr(building.devices, "memory", lambda device: 8 * 2**30)
    argv = ["breakout", "--num-envs", "20000", "--steps", "100", "--runs", str(tmp_path)]
    code, _, err = program(train.main, argv, capsys)
    assert code == 2 and "a batch of 20,000 games needs 29.3 GiB and cpu has 8.0 GiB" in err and "--num-envs" in err


def test_a_wrong_game_is_told_with_the_nearest(tmp_path: Path, capsys, monkeypatch) -> None:
    for what, told in (
        ("braekout", "did you mean breakout"),
        ("pong", "train one first: python -m experiments.train pong"),
    ):
        code, _, err = program(evaluate.main, [what, "--runs", str(tmp_path)], capsys, monkeypatch)
        assert code == 2 and told in err


def test_a_run_without_checkpoints_is_remarked(tmp_path: Path) -> None:
    make(tmp_path, 0, 10.0)
    assert "breakout/ppo/default-s0: it has no checkpoint: it can be compared" in runs.listing(runs.List(runs=tmp_path))


def test_what_a_video_or_a_policy_cannot_be_is_told_at_once(tmp_path: Path, capsys, monkeypatch) -> None:
    from experiments import watch

    code, _, err = program(watch.main, ["breakout", "--video", "x.avi"], capsys, monkeypatch)
    assert code == 2 and "--video x.avi: must end in .mp4 or .gif" in err
    for wrong in ("greed", "epsilon", "epsilon 2", "epsilon nan", "straight", "greedy 1"):
        code, _, err = program(evaluate.main, ["breakout", "--policy", wrong], capsys, monkeypatch)
        assert code == 2 and f"--policy {wrong}: choose greedy, sampled or 'epsilon E'" in err
    evaluate.EvaluateCommand("kart", policy="straight", tracks="test:2")
    evaluate.EvaluateCommand("breakout", policy="epsilon 0.05")


def test_one_seed_is_no_probability_and_no_threshold_has_no_column(tmp_path: Path) -> None:
    for agent, score in (("ppo", 10.0), ("dqn", 20.0)):
        path = make(tmp_path, 0, score, agent=agent)
        (path / "metrics.jsonl").write_text("")
    made = groups.compare(tmp_path, [str(tmp_path)])
    scores, better, *_ = report.tables(made, [report.summary(made, g) for g in made.groups])
    assert not [name for name in scores.header if " to " in name] and "To -" not in scores.remark
    assert better.rows[0][2:4] == ["-", "-"]


def test_compare_tells_a_metrics_typo_and_what_it_replaces(tmp_path: Path, capsys, monkeypatch) -> None:
    make(tmp_path / "runs", 0, 10.0)
    words = ["breakout", "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]
    code, _, err = program(compare.main, [*words, "--metric", "eval/retrun"], capsys, monkeypatch)
    assert code == 2 and "did you mean --metric eval/return?" in err
    assert "replaced" not in program(compare.main, words, capsys, monkeypatch)[2]
    assert (
        "held a comparison, which is replaced; --out names another"
        in program(compare.main, words, capsys, monkeypatch)[2]
    )


def test_an_older_version_of_an_environment_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        envs.make("gym:CartPole-v0").close()
