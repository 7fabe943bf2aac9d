"""Runs that commit 77fd9dc made, whose options had other names: listed, watched, scored and resumed as they were then.

How they were made stands in tests/fixtures/runs77fd9dc/make.py. The same actions and weights to the bit can be expected
only of the machine that made them; another one rounds in another order.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from programs import program

import envs
from agents import AGENTS, BASELINES, settings
from agents.core import checkpoint, renamed
from agents.core.run import FIELDS, FORMAT, Run
from experiments import configuration, evaluate, runs, train, watch
from experiments.training import options
from experiments.watching import source
from experiments.watching.seat import Seat

FIXTURE = Path(__file__).parent / "fixtures" / "runs77fd9dc"
EXPECTED = json.loads((FIXTURE / "expected.json").read_text())


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy of the old run folders, for tests that write into them."""
    return shutil.copytree(FIXTURE, tmp_path / "runs", ignore=shutil.ignore_patterns("*.py", "expected.json"))


def of(old: Path, name: str) -> Path:
    return old / EXPECTED[name]["folder"]


def weights(folder: Path) -> list[float]:
    """The mean magnitude of each tensor of the newest checkpoint's networks, whatever their layers are called."""
    from safetensors import safe_open

    newest = max(folder.glob("checkpoints/*/agent.safetensors"))
    with safe_open(newest, "np") as state:
        names = [name for name in state.keys() if "network" in name]  # noqa: SIM118  it is no dict
        return [float(abs(state.get_tensor(name).astype("f8")).mean()) for name in names]


def test_they_are_listed(old: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = program(runs.main, ["list", "--runs", str(old)], capsys, monkeypatch)
    assert code == 0 and not err
    for name in EXPECTED:
        assert f"{name}-s3" in out


@pytest.mark.parametrize("name", EXPECTED)
def test_watched_they_act_as_they_did(name: str) -> None:
    seat = Seat(source.find(str(of(FIXTURE, name)), FIXTURE), seed=1, policy="greedy")
    try:
        for expected in EXPECTED[name]["actions"]:
            seat.decide_once()
            assert seat.act.action.reshape(-1).tolist() == pytest.approx(expected, abs=1e-3)
            seat.advance()
    finally:
        seat.close()


@pytest.mark.parametrize("name", EXPECTED)
def test_they_score_as_they_did(name: str, old: Path, capsys, monkeypatch) -> None:
    words = [str(of(old, name)), "--episodes", "4", "--json"]
    code, out, _ = program(evaluate.main, words, capsys, monkeypatch)
    assert code == 0
    assert json.loads(out)["scores"] == pytest.approx(EXPECTED[name]["scores"], rel=1e-3)


@pytest.mark.parametrize("name", EXPECTED)
def test_resumed_they_learn_what_they_learned_then(name: str, old: Path, capsys: pytest.CaptureFixture) -> None:
    folder = of(old, name)
    words = ["--resume", str(folder), "--steps", "1200", "--eval-episodes", "0", "--no-video"]
    code, _, err = program(train.main, words, capsys)
    assert code == 0, err
    found = weights(folder)
    for tensor, expected in EXPECTED[name]["resumed"].items():
        assert any(value == pytest.approx(expected, rel=1e-4, abs=1e-9) for value in found), tensor
    assert json.loads((folder / "config.json").read_text())["format"] == FORMAT
    assert Run.open(folder).remarks == ()


def test_the_copy_in_a_checkpoint_is_read_under_the_names_of_today(tmp_path: Path) -> None:
    """Versions after 77fd9dc kept a copy of the configuration in each checkpoint, with the old names at first."""
    was = json.loads((of(FIXTURE, "kart") / "config.json").read_text())
    checkpoint.save(tmp_path / "checkpoints", 10, {"agent": {}}, {"config": was})
    from_copy = Run.open(tmp_path)
    assert "config.json is gone" in from_copy.remarks[0]
    (tmp_path / "config.json").write_text(json.dumps(was))
    both = Run.open(tmp_path)
    assert both.config == from_copy.config == Run.open(of(FIXTURE, "kart")).config and not both.remarks
    assert both.config["format"] == FORMAT and both.config["milestones"] is False


def test_a_configuration_of_today_stays_as_it_is() -> None:
    for name in EXPECTED:
        config = Run.open(of(FIXTURE, name)).config
        assert renamed.config(config) == config


def test_every_new_name_is_a_field_and_no_old_one_is() -> None:
    kinds = [(settings(agent).Config, renamed.of_agent(agent)) for agent in AGENTS | BASELINES]
    kinds += [(type(envs.options(game)), names) for game, names in renamed.GAMES.items()]
    kinds += [(options.TrainCommand, renamed.PROGRAMS["train"]), (watch.WatchCommand, renamed.PROGRAMS["watch"]),
              (evaluate.EvaluateCommand, renamed.PROGRAMS["evaluate"])]  # fmt: skip
    for kind, names in kinds:
        fields = configuration.fields(kind)
        assert set(names.fields.values()) | set(names.values) <= fields, kind
        assert not names.fields.keys() & fields, kind
    assert set(renamed.RUN.fields.values()) <= FIELDS.keys() and not renamed.RUN.fields.keys() & FIELDS.keys()
