"""`list games|agents|recipes`, what goes on with `--resume --minutes`, and standard output that stays one object."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from programs import program

import envs
from agents import AGENTS, BASELINES
from agents.core.run import Run
from experiments import evaluate, train
from experiments import list as listing
from experiments.recipes import GYM, recipes


def test_games_are_listed(capsys: pytest.CaptureFixture) -> None:
    code, out, _ = program(listing.main, ["games"], capsys)
    lines = [line.split(maxsplit=1) for line in out.splitlines() if line.startswith("  ")]
    assert code == 0 and {"flappy", "kart", "go", "car-racing"} <= {words[0] for words in lines}
    named = out.replace("\n ", " ")
    assert f"Atari, {len(envs.atari_games())} games:" in out and "gym:ID" in out
    assert all(f" {name.replace('_', '-')}" in named for name in envs.atari_games())


def test_agents_are_listed(capsys: pytest.CaptureFixture) -> None:
    code, out, _ = program(listing.main, ["agents"], capsys)
    assert code == 0
    assert [line.split()[0] for line in out.splitlines() if line.startswith("  ")] == [*AGENTS, *BASELINES]


def test_recipes_are_listed(capsys: pytest.CaptureFixture) -> None:
    code, out, _ = program(listing.main, ["recipes"], capsys)
    assert code == 0
    for game in ("flappy", "kart", "car-racing", "gym:CartPole-v1", "gym:LunarLander-v3"):
        whole = out.split(f"{game}:\n")[1].split("\n\n")[0]
        own = recipes(game, envs.find(game)[0], own=True)
        for name, recipe in own.items():
            assert any(line.split()[:2] == [name, recipe.agent] and recipe.note in line for line in whole.splitlines())
    assert "every Atari game:" in out and "every gym:ID:" in out and "breakout:" in out
    code, out, _ = program(listing.main, ["recipes", "kart"], capsys)
    assert code == 0 and out.splitlines()[0] == "kart:" and "flappy" not in out
    code, _, err = program(listing.main, ["agents", "kart"], capsys)
    assert code == 2 and "agents are not listed by game; recipes are" in err


def test_every_gym_game_with_a_file_of_recipes_is_listed() -> None:
    files = Path(listing.__file__).with_name("recipes").glob("gym_*.py")
    assert {f.stem for f in files} == {"gym_" + id.replace("-", "_") for id in GYM}


def test_a_run_trains_so_many_minutes_more(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    few = ["--eval-episodes", "0", "--no-video", "--runs", str(tmp_path)]
    argv = ["gym:CartPole-v1", "--recipe", "none", "--rollout", "16", "--hidden", "16", "--steps", "256", *few]
    assert program(train.main, argv, capsys)[0] == 0
    (path,) = (tmp_path / "gym-CartPole-v1" / "ppo").iterdir()

    def spent() -> float:
        lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
        return max(line.get("clock/seconds", 0.0) for line in lines)

    before = spent()
    code, out, err = program(train.main, ["--resume", str(path), "--minutes", "0.05", *few], capsys)
    assert code == 0 and "from step 256" in out, err
    run = Run.open(path)
    assert run.config["steps"] > 256 and run.config["minutes"] == pytest.approx(before / 60 + 0.05, abs=0.02)
    assert spent() - before > 1.5  # of three seconds; how far it overshoots depends on the machine


def test_what_an_environment_prints_does_not_spoil_the_json(trained: Path, capsys, monkeypatch) -> None:
    from gymnasium.envs.classic_control.cartpole import CartPoleEnv

    step = CartPoleEnv.step

    def chatty(self, action):
        print("the pole stands at", self.state)
        return step(self, action)

    monkeypatch.setattr(CartPoleEnv, "step", chatty)
    code, out, err = program(evaluate.main, [str(trained), "--episodes", "1", "--json"], capsys, monkeypatch)
    assert code == 0 and json.loads(out)["episodes"] == 1 and "the pole stands at" in err
