"""How a training ends early, what is kept beside its newest checkpoint, and how other people's games are made."""

import json

import pytest
import strangers  # noqa: F401  its environments
import torch
from programs import program

from agents.core import checkpoint
from agents.core.run import Run
from envs.gym import read_kwargs
from experiments import evaluate, train
from experiments.watching import source
from experiments.watching.player import Player

TINY = ["--agent", "ppo", "--recipe", "none", "--rollout", "8", "--minibatch", "16", "--epochs", "1", "--hidden", "8"]
TINY += ["--num-envs", "2", "--no-milestones", "--no-video"]


def trained(name, tmp_path, capsys, *more):
    """Code, output and the run."""
    code, out, err = program(
        train.main, [f"gym:strangers:{name}-v0", *TINY, "--runs", str(tmp_path), "--eval-episodes", "1", *more], capsys
    )
    found = list(tmp_path.rglob("config.json"))
    return code, out, err, Run.open(found[0].parent) if found else None


# -- --stop-at -------------------------------------------------------------------------------------------------------


def test_the_mean_of_the_last_100_games_ends_the_run_as_finished(tmp_path, capsys):
    code, out, err, run = trained("WithArguments", tmp_path, capsys, "--steps", "6000", "--stop-at", "2.5",
                                  "--env-kwargs", "length=3")  # fmt: skip
    assert code == 0 and "the mean of the last 100 training games is 3 (--stop-at 2.5)" in out, err
    assert 390 <= run.config["steps"] <= 420 and checkpoint.steps(run.checkpoints)[-1] == run.config["steps"]
    assert "score: mean 3.0" in out and f"--steps {2 * run.config['steps']}" in out
    code, out, err, run = trained("WithArguments", tmp_path / "never", capsys, "--steps", "500", "--stop-at", "3.5",
                                  "--env-kwargs", "length=3")  # fmt: skip
    assert code == 0 and "stopped at" not in out and run.config["steps"] == 500


def test_with_evaluations_along_the_way_one_of_these_decides(tmp_path, capsys):
    code, out, err, run = trained("WithArguments", tmp_path, capsys, "--steps", "6000", "--stop-at", "2.5",
                                  "--env-kwargs", "length=3", "--eval-every", "100")  # fmt: skip
    assert code == 0 and "an evaluation is 3 (--stop-at 2.5)" in out and run.config["steps"] == 100, err
    code, _, err, _ = trained("Wide", tmp_path / "x", capsys, "--stop-at", "inf")
    assert code == 2 and "--stop-at inf" in err


# -- the best checkpoint ---------------------------------------------------------------------------------------------


def test_the_best_weights_by_evaluation_are_kept_and_can_be_named(tmp_path, capsys, monkeypatch):
    means = iter([3.0, 9.0, 5.0, 4.0])
    score = evaluate.score
    monkeypatch.setattr(evaluate, "score", lambda *a, **k: {**score(*a, **k), "mean": next(means)})
    code, _, err, run = trained("Wide", tmp_path, capsys, "--steps", "200", "--eval-every", "50")
    assert code == 0, err
    assert checkpoint.steps(run.path / "best") == [50, 100]  # the best, and the one before in case it is damaged
    assert checkpoint.load(run.path / "best")[1]["mean"] == 9.0
    monkeypatch.setattr(evaluate, "score", score)
    told = program(evaluate.main, [str(run.path), "--checkpoint", "best", "--episodes", "1", "--json"], capsys,
                   monkeypatch)  # fmt: skip
    assert told[0] == 0 and json.loads(told[1])["step"] == 100
    weights = checkpoint.load(run.path / "best")[0]["agent"]["network"]
    newest = checkpoint.load(run.checkpoints)[0]["agent"]["network"]
    assert not all(torch.equal(weights[k], newest[k]) for k in weights)
    seen = source.find(str(run.path), tmp_path, step="best")
    player = Player([seen], episodes=1, panels=False)
    assert player.focus.at == 100
    player.close()


def test_a_run_without_a_best_checkpoint_says_how_to_get_one(tmp_path, capsys, monkeypatch):
    _, _, _, run = trained("Wide", tmp_path, capsys, "--steps", "64")
    for argv, words in (("best", "has kept no best checkpoint (train --eval-every N keeps it)"), ("new", "or best")):
        code, _, err = program(evaluate.main, [str(run.path), "--checkpoint", argv], capsys, monkeypatch)
        assert code == 2 and words in err


# -- how a game is made ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values"),
    [("", {}), ("length=4", {"length": 4}), ("a=1.5,b=true,c=False,d=none,e=word", {"a": 1.5, "b": True, "c": False,
     "d": None, "e": "word"}), ("a=-1e-3", {"a": -1e-3}), ('t={"a": [1, 2]},n=x', {"t": {"a": [1, 2]}, "n": "x"}),
     ("s=(3, 4),k='a,b'", {"s": (3, 4), "k": "a,b"}), ("a=4x4, b = 2 ", {"a": "4x4", "b": 2}), ("p=a=b", {"p": "a=b"})],
)  # fmt: skip
def test_arguments_are_read_by_their_literals(text, values):
    assert read_kwargs(text) == values


def test_arguments_reach_the_constructor_and_stay_with_the_run(tmp_path, capsys):
    argv = ["--steps", "64", "--env-kwargs", 'length=5,name=x,table={"a": [1, 2]}', "--env-kwargs", "pay=0.5"]
    code, out, err, run = trained("WithArguments", tmp_path, capsys, *argv)
    assert code == 0 and "score: mean 2.5" in out, err
    assert run.config["env"]["env_kwargs"] == 'length=5,name=x,table={"a": [1, 2]},pay=0.5'
    for bad, words in (
        ("length", "write name=value"), ("length=[1", "is not whole"), ("size=3", "unexpected keyword argument 'size'"),
        ("length=x", "cannot be made: TypeError: 'x'"),
    ):  # fmt: skip
        code, _, err, _ = trained("WithArguments", tmp_path / "bad", capsys, "--env-kwargs", bad)
        assert code == 2 and words in err and "Traceback" not in err, err


def test_wrappers_lie_around_the_game_the_first_innermost(tmp_path, capsys):
    argv = ["--steps", "64", "--env-kwargs", "length=8", "--wrapper", "strangers:Halved", "--wrapper",
            "gymnasium.wrappers:FlattenObservation"]  # fmt: skip
    code, out, err, run = trained("WithArguments", tmp_path, capsys, *argv)
    assert code == 0 and "score: mean 4.0" in out, err
    assert run.config["env"]["wrapper"] == "strangers:Halved,gymnasium.wrappers:FlattenObservation"
    assert f"--trust gym:strangers:WithArguments-v0,{run.config['env']['wrapper']}\n" in out
    for bad, words in (
        ("strangers", "must be MODULE:CLASS"), ("nowhere:X", "No module named 'nowhere'"),
        ("strangers:Nothing", "has no attribute 'Nothing'"), ("builtins:list", "TypeError"),
        ("builtins:id", "not an environment"), ("strangers:Breaking", "in strangers:Breaking: step() must give five"),
    ):  # fmt: skip
        code, _, err, _ = trained("Wide", tmp_path / "bad", capsys, "--wrapper", bad)
        assert code == 2 and words in err and "Traceback" not in err, err
    code, out, err, _ = trained("DictObservation", tmp_path / "bad", capsys)
    assert code == 2 and "FlattenObservation" in err
