"""Reference runs: made of runs, found where there is no run, checked by their files and by games."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from programs import program
from runfolders import make, rewrite

import envs
from agents.core import checkpoint, files
from agents.core.run import Run
from envs.description import MissingPackage
from experiments import evaluate, finding, references, runs, train, verify
from experiments.cli import UserError
from experiments.comparing import records
from experiments.promoting import checks, promote, thinning
from experiments.watching.source import find


@pytest.fixture(scope="module")
def home(trained: Path, tmp_path_factory) -> Path:
    """A runs folder with nothing but a reference of a tiny CartPole run."""
    root = tmp_path_factory.mktemp("home")
    argv = ["runs", "promote", str(trained), "--runs", str(root), "--episodes", "8", "--before", "echo hello"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", argv)
        runs.main()
    return root


@pytest.fixture
def copied(home: Path, tmp_path: Path) -> Path:
    """A copy of that folder, to be damaged."""
    shutil.copytree(home, tmp_path / "runs")
    return tmp_path / "runs"


def only(root: Path) -> Path:
    (path,) = references.every(root)
    return path


def resealed(path: Path) -> None:
    """As whoever wants to deceive would do it."""
    about = json.loads((path / references.ABOUT).read_text())["reference"]
    promote.seal(path, about)


def test_a_reference_is_small_and_says_how_it_came_about(home: Path, trained: Path) -> None:
    path = only(home)
    assert path == home / "reference" / "gym-CartPole-v1" / "ppo-s0"
    names = {p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()}
    step = checkpoint.steps(path / "checkpoints")[0]
    assert names == {
        "config.json", "eval.json", "metrics.jsonl", "reference.json", thinning.EVENTS, "checkpoints/newest.json",
        f"checkpoints/{step:012d}/manifest.json", f"checkpoints/{step:012d}/agent.safetensors",
    }  # fmt: skip
    about = json.loads((path / "reference.json").read_text())["reference"]
    assert about["commands"][0] == "echo hello" and about["commands"][1].startswith("python -m experiments.train")
    assert about["steps"] == 1500 and about["seconds"] > 0 and about["machine"] and 8 < about["random"]["mean"] < 60
    parts, meta = checkpoint.load(path / "checkpoints")
    whole, _ = checkpoint.load(trained / "checkpoints", None, {"agent"})
    assert set(parts) == {"agent"} and set(parts["agent"]) == {"network"}
    for name, tensor in parts["agent"]["network"].items():
        assert tensor.dtype == torch.float16
        torch.testing.assert_close(tensor.float(), whole["agent"]["network"][name], rtol=1e-3, atol=1e-6)
    told = json.loads((path / "eval.json").read_text())
    assert told["episodes"] == len(told["scores"]) == 8 and told["seed"] == 501 and told["step"] == step
    assert str(trained.parent) not in "".join(p.read_text(errors="replace") for p in path.rglob("*") if p.is_file())


def test_the_stored_weights_are_what_was_scored(home: Path) -> None:
    run = Run.open(only(home))
    again = evaluate.evaluate(run, episodes=8, seed=501)
    assert again["scores"] == json.loads((run.path / "eval.json").read_text())["scores"]
    before = {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()}
    evaluate.keep(run, again)
    assert before == {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()}


def test_the_curve_is_kept_where_tensorboard_and_compare_look(home: Path, trained: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    path = only(home)
    record, before = records.read(path), records.read(trained)
    whole, thin = before.curve("train/return"), record.curve("train/return")
    assert len(thin.values) >= 2 and set(thin.steps) <= set(whole.steps) and record.steps == before.steps
    shown = EventAccumulator(str(path), size_guidance={"scalars": 0})
    shown.Reload()
    scalars = {e.step: e.value for e in shown.Scalars("train/return")}
    assert scalars == pytest.approx(dict(zip(thin.steps, thin.values, strict=True)))
    assert records.torn(path / thinning.EVENTS) == "" and shown.Scalars("eval/return")


def test_thinning_keeps_both_ends_and_every_evaluation() -> None:
    lines = [{"steps": float(s), "train/return": s / 3} for s in range(0, 100_000, 10)]
    lines[1234]["eval/return"] = 1 / 3
    thin = thinning.thinned(lines, 50)
    assert 50 <= len(thin) <= 52 and thin[0]["steps"] == 0 and thin[-1]["steps"] == 99_990
    assert [x["eval/return"] for x in thin if "eval/return" in x] == [0.33333]
    gaps = np.diff([x["steps"] for x in thin])
    assert gaps.min() > 0 and gaps.max() <= 2100
    assert thinning.thinned([]) == [] and len(thinning.thinned(lines[:1])) == 1


def test_what_cannot_be_a_reference_is_refused(tmp_path: Path, trained: Path, home: Path, capsys, monkeypatch) -> None:
    def call(*words: object) -> tuple[int, str, str]:
        return program(runs.main, ["promote", *map(str, words)], capsys, monkeypatch)

    code, _, err = call(trained, "--runs", home, "--episodes", "5")
    assert code == 2 and "is there already" in err
    code, _, err = call(trained, "--runs", tmp_path, "--seed", "1")
    assert code == 2 and "the training has seen its games" in err
    half = make(tmp_path, 3, None, steps=5000)
    code, _, err = call(half, "--runs", tmp_path)
    assert code == 2 and "is unfinished, at step 5,000 of 10,000" in err

    def missing(*_: object, **__: object) -> None:
        raise MissingPackage("car-racing needs Box2D: pip install box2d")

    with monkeypatch.context() as patch:
        patch.setattr(envs, "make_vec", missing)
        code, _, err = call(trained, "--runs", tmp_path)
    assert code == 2 and "car-racing needs Box2D" in err and err.count("joypad:") == 1
    assert not (tmp_path / "reference").exists() or not list((tmp_path / "reference").rglob("*.json"))
    for value in (1e6, float("nan")):
        with pytest.raises(UserError, match="half precision"):
            promote.half(torch.tensor([1.0, value]), "x")
    assert promote.half(torch.tensor([3]), "x").dtype == torch.int64


def test_paths_of_the_machine_stay_there() -> None:
    command = "python -m experiments.train kart --data '/home/me/kart-data' --init runs/kart/clone/a-s1"
    config = {"data": "/home/me/kart-data", "init": "runs/kart/clone/a-s1", "seal": "x", "command": command}
    made = promote._portable(config)
    assert made["data"] == "data/kart-data" and made["init"] == "runs/kart/clone/a-s1" and "seal" not in made
    assert made["command"] == "python -m experiments.train kart --data data/kart-data --init runs/kart/clone/a-s1"
    made = promote._portable({"command": "python -m experiments.train kart --data=/home/me/kart-data --seed=3"})
    assert made["command"] == "python -m experiments.train kart --data=data/kart-data --seed=3"


GAME = "gym:CartPole-v1"


def test_a_reference_plays_where_there_is_no_run(home: Path, trained, tmp_path, capsys, monkeypatch) -> None:
    path = only(home)
    source = find(GAME, home)
    assert source.run.path == path and "no run of yours: the reference run" in source.note
    assert find("reference/gym:CartPole-v1", home).run.path == find("reference/gym-CartPole-v1/ppo-s0", home).run.path
    code, out, err = program(evaluate.main, [GAME, "--episodes", "2", "--runs", str(home)], capsys, monkeypatch)
    assert code == 0 and "score: mean" in out and "the reference run" in err
    compared, left = records.collect(home, [GAME])
    assert [r.path for r in compared] == [path] and not left and "is taken" in capsys.readouterr().err
    mine = make(home, 9, 30.0, game=GAME)
    try:
        compared, _ = records.collect(home, [GAME])
        assert [r.path for r in compared] == [mine] and not capsys.readouterr().err
    finally:
        shutil.rmtree(mine.parents[1])
    monkeypatch.setenv(references.VARIABLE, str(home / "reference"))  # as beside the package
    assert find(GAME, tmp_path).run.path == path
    with pytest.raises(finding.RunError, match="is no reference run"):
        finding.find_run(tmp_path, "reference/pong")
    with pytest.raises(finding.RunError, match="is no reference run"):
        finding.find_run(tmp_path, "reference")
    elsewhere = find(GAME, trained.parents[2])
    assert elsewhere.run.path == trained and not elsewhere.note


def test_the_best_reference_goes_first(tmp_path: Path) -> None:
    for name, mean in (("a", 3.0), ("b", 9.5), ("c", None), ("d", -1.0)):
        folder = tmp_path / "reference" / "pong" / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        if mean is not None:
            (folder / "eval.json").write_text(json.dumps({"mean": mean}))
    assert [p.name for p in references.of_game(tmp_path, "pong")] == ["b", "a", "d", "c"]
    assert references.best(tmp_path, "pong").name == "b" and references.best(tmp_path, "tennis") is None
    assert references.named(tmp_path, "reference/../x") == [] and references.named(tmp_path, "pong") == []


def test_of_one_name_the_first_is_meant_and_what_is_being_made_is_none(tmp_path: Path, monkeypatch) -> None:
    for name in ("mine/reference/pong/a", "mine/reference/pong/.b.0123456789abcdef.tmp", "lab/pong/a", "lab/pong/c"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").write_text("{}")
    (tmp_path / "lab/pong/c/eval.json").write_text(json.dumps({"mean": 10**400}))  # more than a float holds
    monkeypatch.setenv(references.VARIABLE, str(tmp_path / "lab"))
    wanted = [tmp_path / "mine/reference/pong/a", tmp_path / "lab/pong/c"]
    assert set(references.every(tmp_path / "mine")) == set(references.of_game(tmp_path / "mine", "pong")) == {*wanted}
    for word in ("reference/pong/.b.0123456789abcdef.tmp", f"reference/{tmp_path}/lab/pong/a"):
        assert references.named(tmp_path / "mine", word) == []


def test_a_reference_that_is_named_is_checked_whatever_else_its_game_has(tmp_path: Path) -> None:
    for name, mean in (("a", 3.0), ("b", 9.5), ("c", 5.0)):
        folder = tmp_path / "reference" / "pong" / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        (folder / "eval.json").write_text(json.dumps({"mean": mean}))

    def chosen(*words: str) -> list[str]:
        return [path.name for path in verify.chosen(verify.VerifyCommand(words, max_games=1, runs=tmp_path))]

    assert chosen() == chosen("pong") == ["b"] and chosen("reference/pong/a") == ["a"]
    assert chosen("reference/pong/a", "reference/pong/c", "reference/pong/a") == ["c"]


def test_a_new_reference_takes_the_place_of_one_that_is_whole_until_then(tmp_path: Path, monkeypatch) -> None:
    goal, place = tmp_path / "goal", tmp_path / ".goal.0123456789abcdef.tmp"
    for folder, word in ((goal, "old"), (place, "new")):
        folder.mkdir()
        (folder / "config.json").write_text(word)
    rename = Path.rename

    def full(path: Path, target: Path) -> Path:
        if path == place:
            raise OSError(28, "No space left on device")
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", full)
        with pytest.raises(OSError):
            promote._take_place(place, goal)
    assert (goal / "config.json").read_text() == "old"
    with monkeypatch.context() as patch:  # killed before the old one is deleted
        patch.setattr(
            shutil, "rmtree", lambda path: pytest.fail("before the new one is there") if place.exists() else 0
        )
        promote._take_place(place, goal)
    assert (goal / "config.json").read_text() == "new"
    assert sorted(p.read_text() for p in tmp_path.glob("*/config.json")) == ["new", "old"]


def test_a_damaged_run_of_ones_own_is_told_where_a_reference_plays(copied: Path) -> None:
    path = make(copied, 9, None, game=GAME)
    (path / "checkpoints" / "000000000100").mkdir(parents=True)
    (path / "checkpoints" / "000000000100" / "manifest.json").write_text("{")
    (path / "config.json").write_text("{")
    source = find(GAME, copied)
    assert source.run.path == only(copied) and "has no run of yours" not in source.note
    assert f"{path}/config.json cannot be read" in source.note and "is taken" in source.note


def test_it_is_a_start_and_nothing_to_go_on_with(home: Path, capsys) -> None:
    code, _, err = program(train.main, ["--resume", str(only(home)), "--runs", str(home)], capsys)
    assert code == 2 and "holds weights alone and cannot be resumed" in err and "--init" in err
    code, _, err = program(train.main, ["--resume", GAME, "--runs", str(home)], capsys)
    assert code == 2 and "train one first" in err
    argv = [GAME, "--steps", "64", "--rollout", "16", "--num-envs", "4", "--hidden", "16", "--eval-episodes", "0"]
    argv += ["--no-video", "--init", "reference", "--runs", str(home)]
    code, _, err = program(train.main, argv, capsys)
    assert code == 0, err
    mine = home / "gym-CartPole-v1" / "ppo" / "default-s0"
    try:
        begun, _ = checkpoint.load(mine / "stages" / "000")
        stored, _ = checkpoint.load(only(home) / "checkpoints")
        for name, tensor in stored["agent"]["network"].items():
            assert torch.equal(begun["agent"]["network"][name], tensor.float())
        assert Run.open(mine).config["init"] == str(only(home))
    finally:
        shutil.rmtree(mine.parents[1])
    code, _, err = program(train.main, ["pong", "--init", "reference", "--runs", str(home)], capsys)
    assert code == 2 and "--init reference" in err


def test_lists_leave_references_apart_and_nobody_deletes_them(home: Path, capsys, monkeypatch) -> None:
    def call(*words: str) -> tuple[int, str, str]:
        return program(runs.main, [*words, "--runs", str(home)], capsys, monkeypatch)

    assert "no runs under" in call("list")[1]
    assert "ppo-s0" in call("list", "--where", "reference")[1]
    for action in ("delete", "archive", "tag"):
        code, _, err = call(action, "reference/gym-CartPole-v1/ppo-s0", *(["x"] if action == "tag" else []))
        assert code == 2 and "is a reference run" in err
    only(home)


def test_an_exported_reference_is_a_run_of_ones_own(home: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    file = tmp_path / "one.tar.gz"
    argv = ["export", "reference/gym-CartPole-v1/ppo-s0", str(file), "--runs", str(home)]
    assert program(runs.main, argv, capsys, monkeypatch)[0] == 0
    assert program(runs.main, ["import", str(file), "--runs", str(tmp_path)], capsys, monkeypatch)[0] == 0
    path = tmp_path / "gym-CartPole-v1" / "ppo" / "ppo-s0"
    assert not references.is_reference(path) and find(GAME, tmp_path).run.path == path


def checked(root: Path, *words: str) -> dict:
    (found,) = (verify.check(p, verify.VerifyCommand(words, episodes=6)) for p in references.every(root))
    return found


def test_an_honest_reference_holds(home: Path, capsys, monkeypatch) -> None:
    code, out, _ = program(verify.main, ["--episodes", "6", "--runs", str(home)], capsys, monkeypatch)
    assert code == 0 and "holds  reference/gym-CartPole-v1/ppo-s0: stated" in out and "1 of 1 reference" in out
    code, out, _ = program(verify.main, [GAME, "--episodes", "6", "--json", "--runs", str(home)], capsys, monkeypatch)
    told = json.loads(out)
    assert code == 0 and told["seed"] not in (0, 1, 501) and len(told["scores"]) == 6
    code, _, err = program(verify.main, ["pong", "--runs", str(home)], capsys, monkeypatch)
    assert code == 2 and "pong has no reference run; there are references of gym-CartPole-v1" in err


@pytest.mark.parametrize(
    "name", ["checkpoints/*/agent.safetensors", "checkpoints/*/manifest.json", "eval.json", "metrics.jsonl",
             "config.json", thinning.EVENTS, "reference.json"],
)  # fmt: skip
def test_one_flipped_byte_is_named(copied: Path, name: str) -> None:
    (file,) = only(copied).glob(name)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    found = checked(copied)
    assert not found["holds"] and file.name in found["told"] and "stated" not in found["told"].split(":")[0]


def test_an_altered_score_is_found_though_everything_is_sealed_anew(copied: Path, capsys, monkeypatch) -> None:
    path = only(copied)
    told = json.loads((path / "eval.json").read_text())
    files.write_json(path / "eval.json", {**told, "mean": told["mean"] + 5})
    assert "eval.json does not match its checksum" in checked(copied)["told"]
    resealed(path)
    assert "states a mean of" in checked(copied)["told"]
    for mean in (str(told["mean"]), None, [told["mean"]], 10**400):
        files.write_json(path / "eval.json", {**told, "mean": mean})
        resealed(path)
        assert "states a mean of" in checked(copied)["told"]
    files.write_json(path / "eval.json", {**told, "scores": [9.0], "mean": 9.0, "episodes": 1})
    resealed(path)
    assert "holds 1 scores; 5 at least" in checked(copied)["told"]
    raised = [score + 400 for score in told["scores"]]
    files.write_json(path / "eval.json", {**told, "scores": raised, "mean": float(np.mean(raised))})
    resealed(path)
    code, out, _ = program(verify.main, ["--episodes", "6", "--runs", str(copied)], capsys, monkeypatch)
    assert code == 1 and "WRONG  reference/gym-CartPole-v1/ppo-s0: stated" in out and "lies outside" in out


def test_a_game_whose_package_is_missing_is_not_called_wrong(copied: Path, capsys, monkeypatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise MissingPackage("car-racing needs Box2D: pip install box2d")

    monkeypatch.setattr(envs, "make_vec", missing)
    code, out, _ = program(verify.main, ["--episodes", "4", "--runs", str(copied)], capsys, monkeypatch)
    assert code == 0 and "not played  reference/gym-CartPole-v1/ppo-s0: car-racing needs Box2D" in out
    assert "0 of 1 reference runs hold; 1 could not be played here" in out


def test_the_weights_of_another_game_are_found(copied: Path) -> None:
    path = only(copied)
    step = checkpoint.steps(path / "checkpoints")[0]
    rewrite(path / "checkpoints", step, lambda content: content["meta"].update(game="pong"))
    resealed(path)
    assert "its weights are of pong, its configuration is of gym:CartPole-v1" in checked(copied)["told"]
    rewrite(path / "checkpoints", step, lambda content: content["meta"].update(game=GAME, spec={"obs_shape": [3]}))
    resealed(path)
    assert "was trained on other observations" in checked(copied)["told"]


def test_other_weights_and_foreign_files_are_found(copied: Path) -> None:
    path = only(copied)
    (path / "more.txt").write_text("x")
    assert "more.txt is not among its files" in checked(copied)["told"]
    (path / "more.txt").unlink()
    (path / "metrics.jsonl").unlink()
    assert "metrics.jsonl is missing" in checked(copied)["told"]
    (path / "metrics.jsonl").symlink_to("/etc/hostname")
    assert "is a link" in checked(copied)["told"]


def test_the_interval_is_that_of_a_permutation_test() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for trial in range(200):  # honest and skewed, as scores of games are
        old, new = rng.exponential(100, 30), rng.exponential(100, 8)
        held += checks.compare(old, new, chance=0.05, seed=trial).holds
    assert 0.88 <= held / 200 <= 0.995
    steady = checks.compare(np.full(30, 500.0), np.full(4, 500.0))
    assert steady.holds and steady.low == pytest.approx(500)
    assert not checks.compare(np.full(30, 500.0), np.full(4, 350.0)).holds
    assert not checks.compare(rng.normal(400, 50, 30), rng.normal(100, 50, 4)).holds
    told = checks.compare(np.full(30, 500.0), np.full(4, 350.0)).sentence
    assert told.startswith("stated 500 over 30 games lies outside") and "4 new games have 350" in told


@pytest.mark.parametrize("stated", [5, 8, 30])
def test_so_many_games_are_played_that_a_wrong_score_can_be_refused(stated: int) -> None:
    new = checks.fewest(stated)
    assert not checks.compare(np.full(stated, 9.0), np.full(new, 1.0)).holds
    assert checks.compare(np.full(stated, 9.0), np.full(1, 1.0)).holds and new <= 9


def test_a_file_that_cannot_be_read_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(checks, "sha256", refused)
    found = checked(home)
    assert found["holds"] is False and "cannot be read: Permission denied" in found["told"]


def test_few_games_become_enough(home: Path) -> None:
    found = verify.check(only(home), verify.VerifyCommand((), episodes=2))
    assert found["games"] == (8, checks.fewest(8)) and found["holds"]


def committed() -> list[Path]:
    return sorted(file.parent for file in references.HOME.glob("*/*/reference.json"))


@pytest.mark.parametrize("path", committed(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_committed_reference_is_whole_and_small(path: Path) -> None:
    run, told = checks.opened(path)
    about = checks.read(path)
    assert told["episodes"] >= 20 and told["mean"] > about["random"]["mean"]
    assert all(line.startswith("python -m experiments.") for line in about["commands"]) and about["commit"]
    assert run.path.parent.name == references.safe(run.config["game"])
    assert sum(p.stat().st_size for p in path.rglob("*.safetensors")) <= promote.LARGEST
    for file in path.rglob("*.json*"):
        assert "/tmp/" not in file.read_text() and "/home/" not in file.read_text()


def test_the_references_together_are_small() -> None:
    weights = [p.stat().st_size for p in references.HOME.rglob("*.safetensors")]
    assert weights and sum(weights) <= 24 * 2**20
    assert sum(p.stat().st_size for p in references.HOME.rglob("*") if p.is_file()) <= 30 * 2**20
