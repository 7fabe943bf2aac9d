"""A run that sees the numbers of the game teaches one that sees pictures: ``--teacher-run RUN``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import envs
from agents.core import checkpoint
from agents.core.rows import Act, Spec, TimeStep
from agents.core.run import Run
from envs.kart.columns import NUMBERS
from experiments import building, imitation, lab, players, train

CPU = torch.device("cpu")
SHORT = ("--eval-episodes", "0", "--no-video", "--num-envs", "4", "--no-milestones")


def go(runs: Path, *argv: object) -> None:
    with pytest.raises(SystemExit) as done:
        train.main(["kart", "--runs", str(runs), *SHORT, *map(str, argv)])
    assert not done.value.code


@pytest.fixture(scope="module")
def knowing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A driver that sees 21 numbers, trained for a moment."""
    runs = tmp_path_factory.mktemp("runs")
    go(runs, "--agent", "ppo", "--obs", "state", "--steps", 128, "--rollout", 16, "--minibatch", 32)
    return next((runs / "kart" / "ppo").iterdir())


def test_the_labels_are_what_the_other_run_does_with_the_numbers(knowing: Path) -> None:
    runs = knowing.parents[2]
    go(
        runs,
        "--agent",
        "dagger",
        "--teacher-run",
        knowing,
        "--rows-per-round",
        24,
        "--updates-per-round",
        4,
        "--steps",
        56,
        "--replay",
        400,
    )
    run = Run.open(next((runs / "kart" / "dagger").iterdir()))
    parts = lab.assemble(run.config, CPU)
    step = parts.stream.reset(3, 0)
    expert, _ = players.load_player(Run.open(knowing), Spec((NUMBERS,), "float32", 1, action_dim=2), CPU)
    for _ in range(5):
        numbers = torch.as_tensor(parts.stream.envs.batch.numbers()).unsqueeze(1)
        no, ones = torch.zeros(4, dtype=torch.bool), torch.ones(4)
        wanted = expert.act(TimeStep(numbers, ones, ones, no, no), explore=False).action.clamp(-1, 1)
        torch.testing.assert_close(step.info["expert"], wanted)
        own = torch.as_tensor(parts.stream.envs.batch.expert())
        assert not torch.allclose(step.info["expert"], own, atol=0.05)  # the scripted expert would do otherwise
        parts.stream.send(parts.agent.act(step))
        step = parts.stream.receive()
    assert "numbers" not in step.info and run.config["env"]["privileged_info"] is False
    parts.stream.close()


class Halves:
    """Two games whose step is cut in two, as the emulators' are: `send`, then `recv`."""

    num_envs = 2

    def reset(self, **kwargs):
        return np.zeros((2, 1)), {"numbers": np.full((2, 3), 1.0, np.float32)}

    def step(self, actions):
        self.send(actions)
        return self.recv()

    def send(self, actions):
        self.sent = actions

    def recv(self):
        return self.sent, np.zeros(2), np.zeros(2, bool), np.zeros(2, bool), {"numbers": np.full((2, 3), 2, np.float32)}


class Quarter:
    """A teacher whose action is a quarter of the first number."""

    def act(self, step, memory=None, *, explore=True):
        return Act(step.obs[:, 0, :1] / 4)


def test_a_teacher_is_asked_where_a_step_is_cut_in_two() -> None:
    taught = imitation.TeacherGames(Halves(), Quarter(), CPU)
    assert taught.reset()[1]["expert"].tolist() == [[0.25], [0.25]]
    taught.send(np.ones(2))
    obs, *_, info = taught.recv()
    assert obs.tolist() == [1, 1] and info["expert"].tolist() == [[0.5], [0.5]]
    assert taught.step(np.ones(2))[-1]["expert"].tolist() == [[0.5], [0.5]] and taught.num_envs == 2
    assert not hasattr(imitation.TeacherGames(object(), Quarter(), CPU), "recv")
    assert not hasattr(taught, "state_dict")  # games that cannot be saved are not saved


def test_who_cannot_teach_is_told(knowing: Path, tmp_path: Path) -> None:
    config = {
        "game": "kart", "agent": "dagger", "seed": 1, "steps": 9, "num_envs": 2, "env": envs.defaults("kart"),
        "agent_config": dict(building.module("dagger").PRESETS["dagger"], replay=400), "teacher_run": str(knowing),
    }  # fmt: skip
    with pytest.raises(ValueError, match="ppo learns by playing; it takes no teacher"):
        lab.assemble(config | {"agent": "ppo", "agent_config": {}}, CPU)
    with pytest.raises(ValueError, match="it holds no config.json; an expert is a run of kart with --obs"):
        lab.assemble(config | {"teacher_run": str(tmp_path)}, CPU)
    with pytest.raises(ValueError, match="breakout does not tell an expert the numbers of its state"):
        lab.assemble(config | {"game": "breakout", "env": {}}, CPU)
    np.savez(tmp_path / "d.npz", obs=np.zeros((4, 60, 80, 3), np.uint8), action=np.zeros((4, 2)), lap=np.arange(4))
    clone = config | {"agent": "clone", "data": str(tmp_path / "d.npz")}
    clone["agent_config"] = building.module("clone").PRESETS["clone"]
    with pytest.raises(ValueError, match="--data and --teacher-run: clone has one teacher; name one"):
        lab.assemble(clone, CPU)
    seeing = tmp_path / "runs"
    go(seeing, "--agent", "ppo", "--steps", 64, "--rollout", 16, "--minibatch", 32)
    with pytest.raises(ValueError, match="other observations or actions .*; an expert is a run of kart with"):
        lab.assemble(config | {"teacher_run": str(next((seeing / "kart" / "ppo").iterdir()))}, CPU)


def test_a_run_that_was_taught_goes_on_to_the_bit(knowing: Path, tmp_path: Path) -> None:
    """Straight through and in two halves: the same weights, where the learning rate does not know of the budget."""
    argv = [
        "--agent",
        "dagger",
        "--teacher-run",
        knowing,
        "--rows-per-round",
        16,
        "--updates-per-round",
        4,
        "--replay",
        400,
        "--lr-end",
        1,
    ]
    argv += ["--checkpoint-every", 20]
    go(tmp_path / "whole", *argv, "--steps", 40)
    go(tmp_path / "half", *argv, "--steps", 20)
    half = next((tmp_path / "half" / "kart" / "dagger").iterdir())
    with pytest.raises(SystemExit) as done:
        train.main(["--resume", str(half), "--steps", "40", "--eval-episodes", "0", "--no-video"])
    assert not done.value.code
    whole = next((tmp_path / "whole" / "kart" / "dagger").iterdir())
    weights = [checkpoint.load(path / "checkpoints", None, {"agent"})[0]["agent"]["network"] for path in (whole, half)]
    assert weights[0].keys() == weights[1].keys()
    assert all(np.array_equal(weights[0][k], weights[1][k]) for k in weights[0])
