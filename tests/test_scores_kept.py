"""No score is lost or silently replaced: every evaluation is kept, and tables take the one that says most."""

from __future__ import annotations

import json
import resource
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from programs import program
from runfolders import BUDGET, make

from agents.core.clock import Clock
from experiments import evaluate, runs, train
from experiments.comparing import evaluations, groups, records, report


def told(mean: float, games: int, **changed: Any) -> dict[str, Any]:
    own = {"own_policy": True, "own_protocol": True, "under": None, "protocol": "baselines", "policy": "sampled"}
    return {"mean": mean, "median": mean, "episodes": games, "step": BUDGET, **own, **changed}


def score(path: Path) -> tuple[float, int]:
    first = next(iter(records.read(path).scores("eval/return").values()))
    return first.value, first.games


def checkpoint(path: Path, step: int = BUDGET) -> Path:
    folder = path / "checkpoints" / f"{step:012d}"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    return path


OTHERS = [  # what takes the place of 30 games in no table
    told(99.0, 1),
    told(99.0, 29),
    told(99.0, 500, own_policy=False, policy="greedy"),
    told(99.0, 500, step=BUDGET // 2),
    told(99.0, 500, under="theme=night"),
    told(99.0, 500, tracks="test:20"),
    told(99.0, 500, protocol="nature", own_protocol=False),
]


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("older", [True, False])  # the 30 games stand in the eval.json of an older version
def test_tables_take_most_games_of_the_own_policy_protocol_and_newest_checkpoint(
    tmp_path: Path, other: dict[str, Any], first: bool, older: bool
) -> None:
    path = checkpoint(make(tmp_path, 0, 13.0 if older else None))
    kept = [told(13.0, 30)] * (not older)
    for one in [other, *kept] if first else [*kept, other]:
        evaluations.keep(path, one)
    assert score(path) == (13.0, 30)
    assert "13 (baselines, 30 games)" in runs.listing(runs.List(runs=tmp_path))
    made = groups.compare(tmp_path, [str(path)])
    (row,) = report.scores(made, "breakout", [report.summary(made, g) for g in made.groups]).rows
    assert row[2] == "30" and row[3].startswith("13")
    assert len(evaluations.every(path)) == 2


def test_more_games_or_a_newer_checkpoint_do_take_its_place(tmp_path: Path) -> None:
    path = checkpoint(make(tmp_path, 0, 13.0))
    evaluations.keep(path, told(14.0, 100))
    assert score(path) == (14.0, 100)
    checkpoint(path, 2 * BUDGET)
    evaluations.keep(path, told(20.0, 5, step=2 * BUDGET))
    assert score(path) == (20.0, 5)
    evaluations.keep(path, told(21.0, 5, step=2 * BUDGET, seed=7))
    assert score(path) == (21.0, 5)  # among equals the newest


def test_a_policy_that_is_not_the_runs_own_is_told(tmp_path: Path) -> None:
    path = make(tmp_path, 0, None)
    evaluations.keep(path, told(9.0, 3, own_policy=False, policy="greedy"))
    evaluations.keep(make(tmp_path, 1, None), told(9.0, 30))
    made = groups.compare(tmp_path, [str(tmp_path)])
    notes = "\n".join(made.notes)
    assert "scored with policy greedy, which is not its own" in notes
    assert "breakout: its scores are means of 3 to 30 games" in notes
    assert report.games_each(made.groups[0]) == "3 to 30"


def test_half_a_line_costs_nothing_but_itself(tmp_path: Path) -> None:
    """A process that was killed while it wrote; then another evaluation."""
    path = make(tmp_path, 0, None)
    evaluations.keep(path, told(1.0, 10))
    with open(path / evaluations.FILE, "ab") as file:
        file.write(b'{"mean": 5.0, "epis')
    evaluations.keep(path, told(2.0, 20))
    assert [one["mean"] for one in evaluations.every(path)] == [1.0, 2.0]
    assert any("1 damaged line of evaluations.jsonl" in remark for remark in records.read(path).remarks)


@pytest.mark.parametrize("content", ["[1, 2]", "5", "null", '"x"', "[" * 100_000, "\0", '{"mean": "x"}', "{}", "\n"])
def test_damaged_evaluations_are_left_out(tmp_path: Path, content: str) -> None:
    path = make(tmp_path, 0, 13.0)
    (path / evaluations.FILE).write_text(content + "\n")
    assert score(path) == (13.0, 30)


def test_two_at_one_moment_are_both_kept(tmp_path: Path) -> None:
    path = make(tmp_path, 0, None)
    many = [threading.Thread(target=evaluations.keep, args=(path, told(float(i), i + 1))) for i in range(20)]
    for thread in many:
        thread.start()
    for thread in many:
        thread.join()
    assert sorted(one["mean"] for one in evaluations.every(path)) == [float(i) for i in range(20)]


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = make(tmp_path, 0, None)
    evaluations.keep(path, told(1.0, 10))
    before = (path / evaluations.FILE).read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, limits[1]))
    try:
        with pytest.raises(OSError):
            evaluations.keep(path, told(2.0, 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (path / evaluations.FILE).read_bytes() == before


def test_no_link_is_followed(tmp_path: Path) -> None:
    path, victim = make(tmp_path / "runs", 0, None), tmp_path / "victim"
    victim.write_text("mine\n")
    (path / evaluations.FILE).symlink_to(victim)
    with pytest.raises(OSError):
        evaluations.keep(path, told(2.0, 20))
    assert victim.read_text() == "mine\n" and evaluations.every(path) == ()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    argv = ["gym:CartPole-v1", "--steps", "64", "--num-envs", "4", "--rollout", "8", "--hidden", "16"]
    with pytest.raises(SystemExit) as ended:
        train.main([*argv, "--eval-episodes", "4", "--no-video", "--runs", str(root)])
    assert not ended.value.code
    return next(root.rglob("config.json")).parent


def test_one_game_after_thirty_changes_no_table(trained: Path, capsys: pytest.CaptureFixture, monkeypatch) -> None:
    before = score(trained)
    assert before[1] == 4
    cut = ["--episodes", "9", "--max-steps", "3"]  # games that end sooner than those of the training
    for words in (["--episodes", "1"], ["--episodes", "6", "--policy", "epsilon 0.5"], cut):
        assert program(evaluate.main, [str(trained), *words], capsys, monkeypatch)[0] == 0
        assert score(trained) == before
    assert [one["episodes"] for one in evaluations.every(trained)] == [4, 1, 6, 9]
    assert [one["under"] for one in evaluations.every(trained)] == [None, None, None, "max_steps=3"]
    assert program(evaluate.main, [str(trained), "--episodes", "5"], capsys, monkeypatch)[0] == 0
    assert score(trained)[1] == 5


def test_games_that_choose_weights_are_not_those_that_score_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """The best of many evaluations in the same games would have the luck of those games in its score."""
    seeds: list[int] = []
    told_of = {"mean": 1.0, "median": 1.0}
    monkeypatch.setattr(evaluate, "score", lambda *_, seed, **__: seeds.append(seed) or told_of)
    along = object.__new__(evaluate.Along)
    along.run, along.clock, along.every, along.scored = SimpleNamespace(config={"seed": 0}), Clock(1000), 50, 0
    along.player = SimpleNamespace(load_weights=lambda state: None, evaluation="greedy")
    along.stream, along.episodes, along.write, along.listener = None, 2, seeds.count, seeds.count
    along.clock.steps = 100
    along(SimpleNamespace(agent=SimpleNamespace(state_dict=dict)))
    (seed,) = seeds
    assert seed not in {evaluate.EvaluateCommand.seed, 0 + 1}  # seeds of `evaluate` and of the end of a training


@pytest.mark.parametrize("json_", [True, False])
def test_a_score_is_told_before_it_is_stored(
    trained: Path, json_: bool, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the run's folder cannot be written to: here something else has the file's name."""
    kept = (trained / evaluations.FILE).rename(trained / "aside")
    (trained / evaluations.FILE).mkdir()
    try:
        argv = [str(trained), "--episodes", "1", *(["--json"] if json_ else [])]
        code, out, err = program(evaluate.main, argv, capsys, monkeypatch)
    finally:
        (trained / evaluations.FILE).rmdir()
        kept.rename(trained / evaluations.FILE)
    assert code == 2 and err.strip().endswith(f"joypad: the score could not be stored in {trained}: Is a directory")
    assert json.loads(out)["episodes"] == 1 if json_ else out.startswith("score: mean ")
