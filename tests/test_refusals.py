"""What cannot be is refused in one sentence before anything heavy is loaded, compiled or built."""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
from pathlib import Path

import pytest
from programs import program
from runfolders import make

from agents.core import manifest
from experiments import arguments, cli, evaluate, train, watch
from experiments.__main__ import PROGRAMS
from experiments.go import play as go_play
from experiments.training import options

# Options where a number outside the usual is a value like any other.
ANY = {
    ("compare", "--threshold"): "1e-300 1e300 -1 0", ("train", "--stop-at"): "1e-300 1e300 -1 0",
    ("gtp", "--komi"): "1e-300 -1 0", ("tournament", "--komi"): "1e-300 -1 0", ("play go", "--komi"): "1e-300 -1 0",
    ("record", "--noise"): "1e-300 0", ("gtp", "--resign"): "1e-300 0",  # shares, from 0
    ("watch", "--speed"): "0",  # as fast as it goes
    ("train", "--opponents"): "0",  # none
}  # fmt: skip
NEEDED = {
    "game": "kart", "what": ("kart",), "run": "x", "resume": "x", "player": "rave", "players": ("rave", "rave"),
    "family": "atari", "out": Path("x"), "words": ("x",), "tags": ("x",), "data": (Path("x"),), "file": Path("x.tar"),
}  # fmt: skip


def kinds() -> list[tuple[str, type]]:
    """Every dataclass that a program reads its options into."""
    found = [("play go", go_play.PlayGoCommand), ("train", options.TrainCommand), ("train", options.Resume)]
    for name in PROGRAMS:
        module = importlib.import_module(f"experiments.{name}")
        own = (v for v in vars(module).values() if isinstance(v, type) and v.__module__ == module.__name__)
        found += [(name, v) for v in own if dataclasses.is_dataclass(v) and [*arguments.options(v)]]
    return found


def numbers() -> list[tuple[str, type, arguments.Option]]:
    return [
        (name, kind, option) for name, kind in kinds() for option in arguments.options(kind)
        if option.kind in (int, float) and not option.many
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "kind", "option"), numbers(), ids=lambda x: str(getattr(x, "flag", x)))
def test_numbers_that_mean_nothing_are_refused_by_name(name: str, kind: type, option: arguments.Option) -> None:
    needed = {o.field: NEEDED[o.field] for o in arguments.options(kind) if not o.optional and o.field in NEEDED}
    allowed = {float(x) for x in ANY.get((name, option.flag), "").split()}
    for text in ("1e-300", "1e300", "nan", "inf", "-inf", "-1", "0"):
        if float(text) in allowed or (option.kind is int and text == "0"):
            continue
        with pytest.raises((ValueError, cli.UserError)) as fault:
            kind(**{**needed, option.field: arguments._one(option, text)})
        assert option.flag in str(fault.value), (text, fault.value)
    assert all(math.isfinite(x) for x in allowed)


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that would load torch next fails."""

    def starting(torch: bool = False, kernels: bool = False) -> None:
        assert not torch and not kernels, "what cannot be should have been refused before"

    monkeypatch.setattr(cli, "starting", starting)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Run folders with checkpoints that hold nothing but their manifests: of pictures, of numbers, of a baseline."""
    for game, agent in (("breakout", "ppo"), ("gym:CartPole-v1", "ppo"), ("pong", "sb3-ppo"), ("kart", "ppo")):
        path = make(tmp_path, 0, 1.0, game=game, agent=agent)
        config = json.loads((path / "config.json").read_text())
        config |= {"env": {}, "agent_config": {}, "num_envs": 1, "checkpoint_every": 9, "checkpoint_ring": "no"}
        (path / "config.json").write_text(json.dumps(config))
        meta = {"spec": {"obs_dtype": "float32" if game.startswith("gym") else "uint8"}}
        for step in (704, 1408):
            content = {"format": manifest.FORMAT, "step": step, "meta": meta, "files": {}, "values": {}}
            folder = path / "checkpoints" / f"{step:012d}"
            folder.mkdir(parents=True)
            sealed = {"manifest": content, "sha256": manifest.seal(content)}
            (folder / "manifest.json").write_text(json.dumps(sealed))
    return tmp_path


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["breakout", "--overlay", "heat"], "--overlay heat: choose off, gradient, occlusion, policy, visits, own"),
        (["breakout", "--overlay", "ownership"], "--overlay ownership: is of board games"),
        (["gym:CartPole-v1", "--overlay", "gradient"], "sees numbers, and no picture"),
        (["pong", "--overlay", "gradient"], "shows why a network of the lab acts, and sb3-ppo"),
        (["flappy", "--overlay", "gradient"], "shows why a network of the lab acts, and random plays flappy"),
        (["breakout", "--checkpoint", "5"], "--checkpoint 5: ROOT/breakout/ppo/default-s0 has no such checkpoint;"),
        (["breakout", "--checkpoint", "best"], "has kept no best checkpoint"),
        (["breakout", "--checkpoint", "last"], "--checkpoint last: must be the step of a checkpoint, or best"),
        (["flappy", "--checkpoint", "5"], "--checkpoint 5: 'flappy' is neither a run nor a game with one"),
        (["breakout", "--milestones"], "has kept no milestones of its training"),
        (["breakout", "pong"], "side by side must be one game, not breakout and pong"),
        (["breakout", "--shadow"], "is not driven"),
        (["breakout", "--policy", "best"], "--policy best: must be greedy, sampled or 'epsilon E'"),
        (["breakout", "--speed", "0.001"], "--speed 0.001: must be 0 (as fast as it goes) or from 0.01 to 1000"),
        (["breakout", "--speed=-1"], "--speed -1.0: must be a number from 0 to 1000"),
    ],
)  # fmt: skip
def test_watch(argv: list[str], told: str, root: Path, light: None, capsys, monkeypatch) -> None:
    code, out, err = program(watch.main, [*argv, "--runs", str(root)], capsys, monkeypatch)
    assert code == 2 and told.replace("ROOT", str(root)) in err and err.count("\n") == 1, err


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["breakout", "--checkpoint", "5"], "it has 704, 1408"),
        (["breakout", "--protocol", "machado"], "scores of different protocols are never mixed"),
        (["breakout", "--options", "x=1"], "breakout is scored under a protocol"),
        (["breakout", "--tracks", "test:2"], "which has no tracks to drive on"),
        (["breakout", "--max-steps", "9"], "--max-steps 9: only for gym:ID"),
        (["kart", "--tracks", "test:2", "--options", "karts=4"], "--tracks drives alone"),
        (["kart", "--tracks", "test:2", "--protocol", "nature"], "--protocol and --max-steps: not with --tracks"),
        (["kart", "--tracks", "tset:2"], "'tset:2' is unknown"),
        (["kart", "--options", "theme=nigt"], "theme: 'nigt' is unknown"),
    ],
)
def test_evaluate(argv: list[str], told: str, root: Path, light: None, capsys, monkeypatch) -> None:
    code, out, err = program(evaluate.main, [*argv, "--runs", str(root)], capsys, monkeypatch)
    assert code == 2 and told in err and err.count("\n") == 1, err


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["breakout", "--data", "x"], "--data: ppo learns by playing; it takes no dataset"),
        (["kart", "--teacher-run", "x"], "--teacher-run: ppo learns by playing; it takes no teacher"),
        (["kart", "--agent", "clone", "--data", "nowhere"], "--data nowhere: there is no such dataset"),
        (["kart", "--agent", "dagger", "--teacher-run", "breakout"], "--teacher-run breakout: is a run of breakout"),
        (["kart", "--agent", "clone", "--normalize-obs"], "--normalize-obs: clone does not take it"),
        (["breakout", "--agent", "sb3-dqn", "--normalize-reward"], "--normalize-reward: sb3-dqn does not take it"),
        (["breakout", "--agent", "sb3-dqn", "--device", "cuda"], "--device cuda: sb3-dqn runs on the processor"),
        (["breakout", "--critic", "privileged"], "--critic privileged: breakout tells none"),
        (["breakout", "--init", "flappy"], "--init flappy: 'flappy' is neither a run"),
        (["--resume", "breakout", "--steps", "100"], "--steps 100: the run has 1,408 steps already"),
        (["--resume", "pong"], "stable-baselines3 does not save its loop"),
        (["pong", "--resume", "breakout"], "is a run of breakout, not of pong"),
        (["breakout", "--minutes", "1e-300"], "--minutes 1e-300: must lie in 0.001..1e+06"),
    ],
)
def test_train(argv: list[str], told: str, root: Path, light: None, capsys) -> None:
    code, out, err = program(train.main, [*argv, "--runs", str(root)], capsys)
    assert code == 2 and told in err and err.count("\n") == 1, err
