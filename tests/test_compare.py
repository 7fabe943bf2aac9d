"""experiments.compare on made-up runs: grouping, honesty, faults, and what it writes."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from runfolders import BUDGET, make

from experiments import compare, references
from experiments.comparing import groups, plots, records, report

GOOD, BAD = [100.0, 110.0, 120.0, 130.0], [10.0, 20.0, 30.0, 40.0]


def against(root: Path, *words: str, **options: object) -> groups.Comparison:
    return groups.compare(root, words or [str(root)], resamples=200, **options)


def program(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["compare", *map(str, arguments), "--resamples", "100"])
    compare.main()


def test_groups_by_configuration_over_seeds(tmp_path: Path) -> None:
    for seed, score in enumerate(GOOD):
        make(tmp_path, seed, score, commit=f"c{seed // 2}", machine=f"m{seed // 2}")
    for seed, score in enumerate(BAD[:3]):
        make(tmp_path, seed, score, name="slow", lr=1e-4)
    made = against(tmp_path)
    found = [(g.label, g.scores.tolist()) for g in made.groups]
    assert found == [("ppo, lr 0.0003", GOOD), ("ppo, lr 0.0001", BAD[:3])]
    table = report.differences(made)
    assert table.rows == [["agent_config.lr", "0.0003", "0.0001"]]
    told = "\n".join(made.notes)
    assert "ppo, lr 0.0003: its runs differ in machine (m0, m1)" in told and "differ in commit (c0, c1)" in told
    assert "too few" not in told


def test_the_summary_is_right_by_hand(tmp_path: Path) -> None:
    for seed, score in enumerate([100.0, 110.0, 120.0, 170.0]):
        make(tmp_path, seed, score)
    made = against(tmp_path, threshold=105.0)
    row = report.summary(made, made.groups[0])
    assert [row.estimates[k].point for k in report.AGGREGATES] == [125, 115, 115]
    # to 105: never with 100, 10,000 of 110, 9,000 of 120, 7,000 of 170; never counts as latest
    assert row.reached == 3 and row.steps == 9_500
    assert row.minutes == pytest.approx(9_500 / 100 / 60) and row.rate == pytest.approx(100)
    low, high = row.estimates["mean"].low, row.estimates["mean"].high
    assert 100 <= low < 125 < high <= 170


def test_a_run_without_a_clock_is_not_one_that_never_came(tmp_path: Path) -> None:
    for seed, score in enumerate([170.0, 120.0, 120.0]):
        path = make(tmp_path, seed, score)
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    lines = [{k: v for k, v in line.items() if k != "clock/seconds"} for line in lines]
    (path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    made = against(tmp_path, threshold=105.0)
    row = report.summary(made, made.groups[0])
    assert row.reached == 3 and row.minutes == pytest.approx(8_000 / 100 / 60)  # the median of 7,000 and 9,000 steps


def test_seeds_that_stop_at_a_score_are_one_group(tmp_path: Path) -> None:
    """Each says in its configuration how far it came."""
    for seed in range(3):
        make(tmp_path, seed, GOOD[seed], budget=BUDGET - seed, stop_at=90.0)
        make(tmp_path, seed, BAD[seed], budget=BUDGET - seed, name="whole")
    assert sorted(len(g.entries) for g in against(tmp_path).groups) == [1, 1, 1, 3]


def test_seeds_that_begin_from_other_seeds_of_one_run_are_one_group(tmp_path: Path) -> None:
    """`train kart --recipe numbers --init kart/clone`, each seed from the clone of its own seed."""
    for seed in range(3):
        make(tmp_path, seed, GOOD[seed], init=f"runs/kart/clone/numbers-s{seed}" + "-2" * (seed == 1))
        make(tmp_path, seed, BAD[seed], name="pixels", init=f"runs/kart/clone/pixels-s{seed}")
    made = against(tmp_path)
    assert [len(g.entries) for g in made.groups] == [3, 3]
    assert report.differences(made).rows == [["init", "runs/kart/clone/numbers", "runs/kart/clone/pixels"]]


def test_numbers_beyond_all_floats_are_left_out(tmp_path: Path) -> None:
    path, large = make(tmp_path, 0, 10.0), "1" + "0" * 400
    with open(path / "metrics.jsonl", "a") as file:
        file.write(f'{{"steps": {large}}}\n{{"steps": {BUDGET}, "train/return": {large}}}\n')
    (path / "evaluations.jsonl").write_text(f'{{"mean": {large}, "protocol": "baselines", "step": {large}}}\n')
    made = against(tmp_path)
    assert made.groups[0].scores.tolist() == [10.0] and len(made.groups[0].records[0].curve("train/return").values)
    (path / references.SCORE).write_text(f'{{"mean": {large}}}')
    assert references.score(path) == -np.inf


def test_the_threshold_is_half_of_the_best(tmp_path: Path) -> None:
    make(tmp_path, 0, 60.0)
    make(tmp_path, 1, 100.0)
    make(tmp_path, 0, 10.0, agent="dqn")
    assert against(tmp_path).thresholds == {"breakout": 40.0}
    path = make(tmp_path / "signed", 0, 20.0, game="pong")
    lines = [{"steps": 1, "train/return": -21}, {"steps": 2, "train/return": 11}, {"steps": 2, "eval/return": 20}]
    (path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert against(tmp_path / "signed").thresholds == {"pong": -5.0}


def test_protocols_are_never_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    make(tmp_path, 0, 5.0)
    make(tmp_path, 0, 400.0, agent="dqn", protocol="machado")
    with pytest.raises(SystemExit) as left:
        program(monkeypatch, tmp_path, "--out", tmp_path / "out")
    told = capsys.readouterr().err
    assert left.value.code == 2 and told.count("\n") == 1
    assert "baselines" in told and "machado" in told and "dqn" in told
    assert not (tmp_path / "out").exists()
    made = against(tmp_path, protocol="machado")
    assert [g.label for g in made.groups] == ["dqn"]
    assert [(x.what, x.reason) for x in made.left] == [
        (str(tmp_path / "breakout/ppo/default-s0"), "it was scored under baselines, not under machado")
    ]
    with pytest.raises(ValueError, match="different protocols"):  # a training score has one as well
        against(tmp_path, metric="train/return")


def test_a_score_under_another_protocol_is_that_protocols(tmp_path: Path) -> None:
    """Trained under baselines and evaluated under nature: both scores are known, by their labels."""
    path = make(tmp_path, 0, 50.0, evaluated="nature")
    lines = (path / "metrics.jsonl").read_text().replace('"eval/return": 50.0', '"eval/return": 61.0')
    (path / "metrics.jsonl").write_text(lines)
    make(tmp_path, 1, 70.0)
    with pytest.raises(ValueError, match="different protocols"):
        against(tmp_path)
    assert against(tmp_path, protocol="baselines").groups[0].scores.tolist() == [61.0, 70.0]
    assert against(tmp_path, protocol="nature").groups[0].scores.tolist() == [50.0]


@pytest.mark.parametrize(("seeds", "said"), [(1, "1 seed is too few to tell"), (2, "2 seeds are too few to tell")])
def test_too_few_seeds_are_said(tmp_path: Path, seeds: int, said: str) -> None:
    for seed in range(seeds):
        make(tmp_path, seed, GOOD[seed])
        make(tmp_path, seed, BAD[seed], agent="dqn")
    made = against(tmp_path)
    assert sum(said in note for note in made.notes) == 2
    (pair,) = report.pairs(made, made.labels)
    assert pair.improvement.point == 1 and np.isnan([pair.p, pair.improvement.low]).all()
    assert pair.verdict.startswith("cannot be told")
    assert report.headline(made) == "Which is better cannot be told from these seeds."
    assert "[" not in report.markdown(report.scores(made, "breakout", [report.summary(made, g) for g in made.groups]))


def test_the_verdict_needs_evidence(tmp_path: Path) -> None:
    """Three seeds that all win cannot tell (p = 0.1), four can (p = 0.029)."""
    for seed in range(3):
        make(tmp_path, seed, GOOD[seed])
        make(tmp_path, seed, BAD[seed], agent="dqn")
    (pair,) = report.pairs(against(tmp_path), ["dqn", "ppo"])
    assert (pair.first, pair.second) == ("ppo", "dqn") and pair.p == pytest.approx(0.1, abs=0.01)
    assert pair.verdict == "cannot be told from 3 seeds"
    make(tmp_path, 3, GOOD[3])
    make(tmp_path, 3, BAD[3], agent="dqn")
    made = against(tmp_path)
    (pair,) = report.pairs(made, made.labels)
    assert pair.p == pytest.approx(2 / 70, abs=0.01) and pair.verdict == "ppo is better"
    assert report.headline(made) == "ppo is better than dqn."


def test_the_same_seed_twice_is_one_piece_of_evidence(tmp_path: Path) -> None:
    make(tmp_path, 0, 9.0, steps=BUDGET // 2)
    make(tmp_path, 0, 10.0, folder="default-s0-2")
    make(tmp_path, 1, 11.0)
    made = against(tmp_path)
    assert made.groups[0].scores.tolist() == [10.0, 11.0]
    assert made.left[0].what.endswith("default-s0") and "repeats seed 0 of" in made.left[0].reason


def test_a_score_under_nature_stands_beside_the_runs_own(tmp_path: Path) -> None:
    path = make(tmp_path, 0, 50.0)
    told = json.loads((path / "eval.json").read_text())
    (path / "eval-nature.json").write_text(json.dumps({**told, "mean": 40.0, "protocol": "nature"}))
    scores = records.read(path).scores("eval/return")
    assert {k: v.value for k, v in scores.items()} == {"baselines": 50.0, "nature": 40.0}
    assert next(iter(scores)) == "baselines"  # what is shown where no protocol is named


def test_faults_are_listed_and_the_rest_works(tmp_path: Path) -> None:
    whole = make(tmp_path, 0, 10.0)
    torn = make(tmp_path, 1, 12.0)
    with open(torn / "metrics.jsonl", "ab") as file:
        file.write(b'\xff\xfe\n[1, 2]\n{"steps": "many"}\n{"steps": 10000, "train/return": NaN}\n{"steps": 99')
    (torn / "eval.json").write_text('{"mean": ')
    short = make(tmp_path, 2, 8.0, steps=BUDGET // 2)
    make(tmp_path, 3, None, steps=BUDGET // 2)
    (make(tmp_path, 4, 1.0) / "config.json").write_text('{"format": 1, "game": "bre')
    (make(tmp_path, 5, 1.0) / "config.json").write_text('{"format": 0}')
    (make(tmp_path, 6, 1.0) / "config.json").write_text('{"format": 1, "game": "breakout"}')
    (make(tmp_path, 7, 1.0) / "config.json").unlink()
    unlogged = make(tmp_path, 8, 20.0)
    (unlogged / "metrics.jsonl").unlink()
    empty = make(tmp_path, 9, None)
    (empty / "metrics.jsonl").write_text("")
    made = against(tmp_path, str(tmp_path), "nowhere")
    assert [r.path for r in made.groups[0].records] == [whole, torn, short, unlogged]
    assert made.groups[0].scores.tolist() == [10, 12, 8, 20]
    reasons = {Path(x.what).name: x.reason for x in made.left}
    assert reasons.keys() == {"nowhere", *(f"default-s{i}" for i in (3, 4, 5, 6, 7, 9))}
    assert "at step 5,000 of 10,000" in reasons["default-s3"] and "experiments.evaluate" in reasons["default-s3"]
    assert reasons["default-s4"].startswith("config.json cannot be read")
    assert "another format than 1" in reasons["default-s5"]
    assert reasons["default-s6"] == "config.json lacks agent, protocol, seed: it is damaged or of an older version"
    assert "holds no config.json" in reasons["default-s7"]
    assert "neither a run nor a folder with runs" in reasons["nowhere"]
    told = "\n".join(made.notes)
    assert f"{torn}: 4 damaged lines of metrics.jsonl left out" in told and f"{torn}: eval.json is damaged" in told
    assert f"{short}: unfinished, at step 5,000 of 10,000" in told and f"{unlogged}: it has no metrics.jsonl" in told
    row = report.summary(made, made.groups[0])
    assert row.rate == pytest.approx(100)  # of those that have a clock


def test_a_resume_behind_the_log_and_a_run_without_a_clock(tmp_path: Path) -> None:
    path = make(tmp_path, 0, None)
    lines = [{"steps": s, "train/return": float(s)} for s in (10, 20, 30, 20, 25)]
    (path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    record = records.read(path)
    curve = record.curve("train/return")
    assert curve.steps.tolist() == [10, 20, 25] and np.isnan(curve.minutes).all() and np.isnan(record.rate)
    assert "a resume went back behind" in record.remarks[0]
    made = against(tmp_path, metric="train/return")
    assert made.groups[0].scores.tolist() == [25.0]
    assert plots.curves(made, tmp_path / "c.png").stat().st_size > 10_000


def test_what_a_run_may_be_called(tmp_path: Path) -> None:
    one = make(tmp_path, 0, 1.0, game="gym:CartPole-v1", protocol="CartPole-v1")
    two = make(tmp_path, 0, 1.0, agent="dqn")
    make(tmp_path / ".trash", 0, 1.0)
    for word in ("gym:CartPole-v1", "gym:CartPole-v1/ppo", "gym-CartPole-v1", str(one), str(one.parent)):
        assert records.locate(tmp_path, word) == [one]
    assert records.locate(tmp_path, "breakout/dqn") == records.locate(tmp_path, "breakout") == [two]
    assert records.locate(tmp_path, str(tmp_path)) == [two, one]
    found, left = records.collect(tmp_path, ["breakout", str(two), "breakout/dqn"])
    assert [r.path for r in found] == [two] and not left
    with pytest.raises(ValueError, match="nothing to compare.*'zork' is neither"):
        against(tmp_path, "zork")


def test_a_suite_is_averaged_over_the_games_that_all_have_played(tmp_path: Path) -> None:
    for seed in range(4):
        for game, factor in (("breakout", 1.0), ("pong", 0.1)):
            make(tmp_path, seed, GOOD[seed] * factor, game=game)
            make(tmp_path, seed, BAD[seed] * factor, game=game, agent="dqn")
        make(tmp_path, seed, 5.0, game="gym:CartPole-v1", protocol="CartPole-v1")
    made = against(tmp_path)
    assert made.labels == ["ppo", "dqn"] and made.suite == ["breakout", "pong"]
    assert any(note.startswith("dqn has no run of gym:CartPole-v1") for note in made.notes)
    rows = {row[0]: row for row in report.suite(made).rows}
    human = [(115 - 1.7) / (31.8 - 1.7), (11.5 + 20.7) / (9.3 + 20.7)]  # Mnih et al. (2015)
    assert rows["ppo"][1:3] == ["2", "4"] and rows["ppo"][3].startswith(f"{50 * sum(human):.0f} % [")
    (pair,) = report.pairs(made, made.labels)
    assert list(pair.games) == ["breakout", "pong"] and pair.p < 0.01
    assert Image.open(plots.profiles(made, tmp_path / "profile.png")).size[0] > 1000


def test_games_under_different_protocols_are_not_averaged(tmp_path: Path) -> None:
    for seed in range(3):
        make(tmp_path, seed, GOOD[seed])
        make(tmp_path, seed, GOOD[seed], game="pong", protocol="machado")
    made = against(tmp_path)
    assert made.games == ["breakout", "pong"] and made.suite == []
    assert "games under different protocols (baselines, machado) are not averaged" in made.notes


def test_on_a_terminal_the_tables_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    make(tmp_path, 0, 7.0, name="[bold]")
    make(tmp_path, 0, 8.0, name="[bold]", agent_config={}, folder="other")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    made = against(tmp_path)
    report.show(made, list(report.tables(made, [report.summary(made, g) for g in made.groups])))
    drawn = capsys.readouterr().out
    assert "breakout (protocol baselines)" in drawn and "ppo, gamma 0.99, lr 0.0003" in drawn and "─" in drawn


def test_labels_tell_groups_apart(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for i in range(2):  # four fields differ: too many for a label, so the name; twice the same name, so a number
            fields = {"gamma": 0.9 + i / 100, "lr": i + 1, "x": i, "y": i + (name == "b")}
            make(tmp_path, 0, 10.0 * i + (name == "b"), name=name, folder=f"{name}{i}", agent_config=fields)
    made = against(tmp_path)
    assert [g.label for g in made.groups] == ["ppo b #1", "ppo a #1", "ppo b #2", "ppo a #2"]


def test_the_program_writes_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for seed in range(3):
        make(tmp_path / "runs", seed, GOOD[seed], steps=BUDGET - 2000 * seed, name="a|b")
        make(tmp_path / "runs", seed, BAD[seed], agent="dqn")
    out = tmp_path / "out"
    program(monkeypatch, "breakout", "--runs", tmp_path / "runs", "--out", out)
    printed = capsys.readouterr().out
    text = (out / "comparison.md").read_text()
    assert "## breakout (protocol baselines)" in printed and "![curves](curves.png)" in text
    for line in (x for x in text.splitlines() if x.startswith("|")):
        assert line.endswith("|")
    with open(out / "groups.csv") as file:
        rows = list(csv.DictReader(file))
    assert [(r["agent"], float(r["mean"]), r["seeds"], r["protocol"]) for r in rows] == [
        ("ppo", 110.0, "3", "baselines"), ("dqn", 20.0, "3", "baselines")
    ]  # fmt: skip
    assert float(rows[0]["mean_low"]) <= 110 <= float(rows[0]["mean_high"])
    with open(out / "runs.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 and {r["config.agent"] for r in rows} == {"ppo", "dqn"}
    assert [r["steps"] for r in rows[:3]] == ["10000", "8000", "6000"]
    picture = np.asarray(Image.open(out / "curves.png").convert("RGB"))
    for color in plots.COLORS[:2]:  # both groups are drawn, on white
        rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])
        assert (np.abs(picture - rgb.astype(int)).max(-1) < 8).sum() > 500
    assert (picture == 255).all(-1).mean() > 0.7


def test_a_file_in_the_place_of_the_folder_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    make(tmp_path / "runs", 0, 1.0)
    (tmp_path / "out").write_text("mine")
    with pytest.raises(SystemExit) as left:
        program(monkeypatch, "breakout", "--runs", tmp_path / "runs", "--out", tmp_path / "out")
    assert left.value.code == 2 and f"File exists: {tmp_path / 'out'}" in capsys.readouterr().err
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "'nowhere' is neither a run"),
        (["."], "nothing to compare: ."),
        ([".", "--threshold", "nan"], "--threshold nan"),
        ([], "which runs?"),
    ],
)
def test_mistakes_get_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        program(monkeypatch, *arguments)
    told = capsys.readouterr().err
    assert left.value.code == 2 and said in told and "Traceback" not in told
