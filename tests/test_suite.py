"""experiments.suite: the table beside published scores, and going on; the 49 games, and learning in some of them."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import envs
from agents.core import training
from agents.core.evaluate import Policy, play
from agents.core.stream import Stream
from envs import atari
from envs.atari_scores import ATARI5, NATURE
from experiments import building, child, cli, evaluate, lab, suite
from experiments.windows import suite as windows


def test_sets_of_games() -> None:
    assert len(suite.games("atari", "nature49")) == 49 == len({envs.canonical(n) for n in NATURE})
    assert suite.games("atari", None) == suite.games("atari", "atari5") == [n.replace("_", "-") for n in ATARI5]
    assert suite.games("atari", "pong, space_invaders,pong") == ["pong", "space-invaders"]
    for words in ("", ",", "gym:CartPole-v1", "flappy"):
        with pytest.raises(ValueError):
            suite.games("atari", words)
    with pytest.raises(envs.UnknownGame, match="did you mean breakout"):
        suite.games("atari", "pong,breakot")


def test_human_normalised_by_hand() -> None:
    pong, invaders = (envs.describe(game).published for game in ("pong", "space-invaders"))
    assert pong.normalised(9.3) == pytest.approx(1) and pong.normalised(-20.7) == pytest.approx(0)
    assert invaders.normalised(np.array([148.0, 900.0])).tolist() == pytest.approx([0, 0.5])
    assert envs.describe("phoenix").published is None and envs.describe("gym:CartPole-v1").published is None


def pretend_to_train(words: list[str], mended: bool) -> str:
    """Leaves what `train` would leave; returns its complaint."""
    if words[0] == "--resume":
        path = Path(words[1])
    else:
        options = {a: b for a, b in zip(words[1:], words[2:], strict=False) if a.startswith("--")}
        if words[0] == "boxing" and not mended:
            return "joypad: training stopped: loss is not finite"
        path = Path(options["--runs"]) / words[0] / options["--agent"] / f"{options['--name']}-s{options['--seed']}"
        path.mkdir(parents=True)
        command = shlex.join(["python", "-m", "experiments.train", *words])
        content = {"format": 1, "game": words[0], "agent": "ppo", "protocol": "baselines", "seed": 0, "steps": 100}
        (path / "config.json").write_text(json.dumps({**content, "command": command}))
    checkpoint = path / "checkpoints" / "000000000100"
    checkpoint.mkdir(parents=True)
    (checkpoint / "manifest.json").write_text("{}")
    return ""


def pretend_to_evaluate(words: list[str], mended: bool) -> str:
    path = Path(words[0])
    score = {"pong": -20.7 + 15 * int(path.name[-1]), "boxing": 4.3, "phoenix": 50.0}[path.parts[-3]]
    content = {"mean": score, "protocol": "nature", "episodes": 30, "step": 100}
    (path / "eval.json").write_text(json.dumps(content))
    return ""


@pytest.fixture
def pretended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """`train` and `evaluate` that only write what they would; the words they were called with."""
    called: list[list[str]] = []

    def start(program: str, argv: Any, log: Path, keep: Any) -> SimpleNamespace:
        words = list(map(str, argv))
        called.append([program, *words])
        pretend = {"train": pretend_to_train, "evaluate": pretend_to_evaluate}[program]
        told = pretend(words, (tmp_path / "mended").exists())
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(told + "\n")
        return SimpleNamespace(returncode=2 if told else 0, poll=lambda: 0)

    monkeypatch.setattr(suite, "child", SimpleNamespace(**{**vars(child), "start": start}))
    monkeypatch.setattr(suite, "PERIOD", 0.01)
    return called


def made(tmp_path: Path, seeds: int = 3, games: str = "pong,boxing,phoenix", **changed: Any) -> suite.SuiteRuns:
    command = suite.SuiteCommand("atari", games, runs=tmp_path / "runs", out=tmp_path / "out", seeds=seeds, **changed)
    return suite.SuiteRuns(command, [])


def test_goes_on_where_it_was_and_a_failed_game_stops_nothing(
    tmp_path: Path, pretended: list[list[str]], capsys: pytest.CaptureFixture
) -> None:
    one = made(tmp_path, seeds=1)
    assert one.work(lambda: False)
    assert [(t.game, r) for t, r in one.failed.items()] == [
        ("boxing", "train failed: training stopped: loss is not finite")
    ]
    assert [words[0] for words in pretended] == ["train", "evaluate", "train", "train", "evaluate"]
    assert {g: s.tolist() for g, s in one.scores().items()} == {"pong": [-20.7], "phoenix": [50.0]}
    assert "boxing, seed 0: train failed" in (tmp_path / "out/suite.md").read_text()
    (tmp_path / "mended").touch()
    (tmp_path / "runs/pong/ppo/suite-30m-s0/eval.json").unlink()  # scored anew, not trained anew
    phoenix = tmp_path / "runs/phoenix/ppo/suite-30m-s0"
    for path in sorted((phoenix / "checkpoints").rglob("*"), reverse=True):  # unfinished: resumed
        path.unlink() if path.is_file() else path.rmdir()
    pretended.clear()
    again = made(tmp_path, seeds=1)
    assert again.work(lambda: False) and not again.failed and len(again.scores()) == 3
    assert [words[:3] for words in pretended] == [
        ["evaluate", str(tmp_path / "runs/pong/ppo/suite-30m-s0"), "--episodes"],
        ["train", "boxing", "--agent"],
        ["evaluate", str(tmp_path / "runs/boxing/ppo/suite-30m-s0"), "--episodes"],
        ["train", "--resume", str(phoenix)],
        ["evaluate", str(phoenix), "--episodes"],
    ]
    pretended.clear()
    assert made(tmp_path, seeds=1).work(lambda: False) and not pretended  # nothing is left to do


def test_a_baseline_that_was_stopped_begins_anew_and_what_there_was_is_kept(tmp_path: Path, pretended: list) -> None:
    assert made(tmp_path, seeds=1, games="pong", agent="sb3-ppo").work(lambda: False)
    run = tmp_path / "runs/pong/sb3-ppo/suite-30m-s0"
    for path in sorted((run / "checkpoints").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    pretended.clear()
    again = made(tmp_path, seeds=1, games="pong", agent="sb3-ppo")
    assert again.work(lambda: False) and not again.failed
    assert [words[:4] for words in pretended] == [
        ["train", "pong", "--agent", "sb3-ppo"],
        ["evaluate", str(run), "--episodes", "30"],
    ]
    assert (run.with_name("suite-30m-s0-unfinished-1") / "config.json").exists()


def test_a_folder_that_holds_no_run_is_put_aside(tmp_path: Path, pretended: list, capsys) -> None:
    """As a training leaves it that was killed between two calls: a new one would get another name, and no score."""
    run = tmp_path / "runs/pong/ppo/suite-30m-s0"
    run.mkdir(parents=True)
    one = made(tmp_path, seeds=1, games="pong")
    assert one.work(lambda: False) and set(one.scores()) == {"pong"}
    assert (run / "config.json").exists() and run.with_name("suite-30m-s0-unfinished-1").is_dir()
    assert "no run can be read there" in capsys.readouterr().out


def test_a_run_whose_folder_is_still_empty_has_no_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, ended, told = made(tmp_path, seeds=1, games="pong"), iter([None, None, 0]), []
    one.tasks[0].path.mkdir(parents=True)
    one.start = lambda *_, **__: SimpleNamespace(returncode=0, poll=lambda: next(ended))

    class AlwaysDue(contextlib.AbstractContextManager):
        due = True

        def __call__(self, text: str) -> None:
            told.append(text)

        def __exit__(self, *fault: object) -> None:
            pass

    monkeypatch.setattr(suite, "PERIOD", 0.0)
    monkeypatch.setattr(suite, "Live", lambda *_, **__: AlwaysDue())
    one._run("train", [], one.tasks[0], lambda: False, 0)
    assert told == [] and not one.failed


def test_the_nodes_of_a_cluster_are_told_the_whole_path_of_the_runs() -> None:
    command = suite.SuiteCommand("atari", "pong", cluster="local", runs=Path("runs"))
    words = suite.SuiteRuns(command, []).training(suite.TrainingTask("pong", 0, command.runs))
    assert words[words.index("--runs") + 1] == str(Path("runs").resolve())


def test_how_many_games_lie_above_what_is_published() -> None:
    found = {"pong": np.array([20.0, 18.0]), "boxing": np.array([4.0]), "phoenix": np.array([9.0])}  # DQN: 18.9, 71.8
    remark = suite.together(found, suite.SuiteCommand("atari")).remark
    assert "The mean of ppo is above that of Nature DQN in 1, above the human's in 1 of them." in remark


def test_a_window_training_saves_and_stops_where_its_suite_is_left(tmp_path: Path, monkeypatch) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    process, stopped, begun = SimpleNamespace(wait=interrupted), [], []
    start = lambda program, words, log: begun.append(words) or process  # noqa: E731
    monkeypatch.setattr(windows, "child", SimpleNamespace(start=start, stop=stopped.append))
    one = windows.WindowSuite("screen", ("x",), 1.0, "dqn", 1, "n", tmp_path, tmp_path / "out", device="cpu")
    with pytest.raises(KeyboardInterrupt):
        windows._train(one, "x")
    assert stopped == [process] and begun[0][-2:] == ["--device", "cpu"]


def test_only_trainings_under_baselines_have_published_scores_beside_them(tmp_path: Path) -> None:
    command = suite.SuiteCommand("atari", "pong", runs=tmp_path / "runs", out=tmp_path / "out")
    with pytest.raises(cli.UserError, match="--protocol machado: the suite scores under nature"):
        suite.SuiteRuns(command, ["--protocol", "machado"]).check()


def test_a_game_that_another_process_is_at_is_left_for_later(
    tmp_path: Path, pretended: list[list[str]], capsys: pytest.CaptureFixture
) -> None:
    one = made(tmp_path, seeds=1, games="pong,phoenix")
    held = child.lock(tmp_path / "out" / "locks" / "pong-s0")
    assert held.__enter__() is not None
    looks = iter(range(10**6))

    def stopping() -> bool:
        if next(looks) == 12:  # while it waits for pong
            held.__exit__(None, None, None)
        return False

    assert one.work(stopping) and set(one.scores()) == {"pong", "phoenix"}
    assert [words[1] for words in pretended if words[0] == "train"] == ["phoenix", "pong"]
    assert "another process is at it: left for later" in capsys.readouterr().out


def test_the_table(tmp_path: Path, pretended: list[list[str]]) -> None:
    (tmp_path / "mended").touch()
    one = made(tmp_path)
    assert one.work(lambda: False)
    games, whole = one.tables()
    rows = {row[0]: row[1:] for row in games.rows}
    assert rows["pong"] == ["-20.7", "9.30", "18.9", "-5.70", "3", "132 %", "50 %"]
    assert rows["boxing"] == ["0.10", "4.30", "71.8", "4.30", "3", "1707 %", "100 %"]
    assert rows["phoenix"] == ["-", "-", "-", "50.0", "3", "-", "-"]
    dqn, ours = whole.rows
    middle = [0.5, 1, 1, 1]  # of pong 0, 50, 100 % and three times 100 %, without one at each end
    assert ours[3].startswith(f"{100 * sum(middle) / 4:.0f} % [") and ours[1].startswith("75 % [")
    assert dqn[0] == "Nature DQN (published)" and dqn[1] == f"{50 * (39.6 / 30 + 71.7 / 4.2):.0f} %"
    assert "2 of 3 games" in whole.remark
    with open(tmp_path / "out/suite.csv") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 9 and {line["protocol"] for line in lines} == {"nature"}
    assert [line["human_normalised"] for line in lines if line["game"] == "phoenix"] == [""] * 3
    assert {line["games"] for line in lines} == {"30"}  # how many stand behind each score
    assert Image.open(one.write()[-1]).size[0] > 600
    few = made(tmp_path, seeds=1)
    assert "[" not in few.tables()[1].rows[1][3] and "No interval from fewer than 3 seeds" in few.tables()[1].remark


def test_runs_of_that_name_that_were_begun_otherwise_are_refused(tmp_path: Path, pretended: list[list[str]]) -> None:
    one = made(tmp_path, seeds=1, games="pong")
    one.check()
    assert one.work(lambda: False)
    one.check()
    path = tmp_path / "runs/pong/ppo/suite-30m-s0/config.json"
    content = json.loads(path.read_text())
    assert shlex.split(content["command"])[3] == "pong"
    path.write_text(json.dumps({**content, "command": content["command"] + " --lr 1"}))
    with pytest.raises(Exception, match="was begun with other options .*--name names another run"):
        one.check()


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["chess"], "chess: choose atari"),
        (["atari", "--games", "breakot"], "did you mean breakout"),
        (["atari", "--games", "flappy"], "is no Atari game"),
        (["atari", "--agent", "pp"], "--agent pp"),
        (["atari", "--agent", "sb3-ppo", "--device", "cuda"], "--device cuda: sb3-ppo runs on the processor"),
        (["atari", "--seeds", "0"], "--seeds 0"),
        (["screen", "--seeds", "3"], "--seeds 3: games in windows are trained here"),
        (["screen", "--cluster", "local"], "--cluster local: games in windows"),
        (["atari", "--minutes-per-game", "-1"], "--minutes-per-game -1"),
        (["nintendo"], "nintendo"),
        (["atari", "--", "--hiden", "3"], "--hidden"),
    ],
)
def test_mistakes_get_one_sentence(argv: list[str], said: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as left:
        suite.main(argv)
    assert left.value.code == 2 and said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("agent", "protocol", "policy"),
    [
        ("dqn", "nature", "epsilon 0.05"),
        ("dqn", None, "epsilon 0.001"),
        ("pqn", "nature", "epsilon 0.05"),
        ("ppo", "nature", "sampled"),
        ("a2c", "nature", "sampled"),
        ("ppo", None, "sampled"),
        ("ppo", "baselines", "sampled"),
    ],
)
def test_chance_is_put_into_policies_that_have_none(agent: str, protocol: str | None, policy: str) -> None:
    settings = building.module(agent).Config(**building.module(agent).PRESETS[agent])
    assert evaluate.usual_policy(SimpleNamespace(evaluation=settings.evaluation), "pong", protocol) == policy


ACTIONS = {
    "pong": 6, "freeway": 3, "breakout": 4, "assault": 7, "gopher": 8, "asterix": 9, "amidar": 10, "kung-fu-master": 14,
    "boxing": 18,
}  # fmt: skip  # one game of the 49 for each number of actions that there is


@pytest.mark.slow
@pytest.mark.parametrize("game", NATURE)
def test_every_game_of_the_49_constructs_steps_and_has_a_share_of_a_persons_score(game: str) -> None:
    games = envs.make_vec(envs.canonical(game), 1, protocol="nature", env_threads=1)
    assert games.single_action_space.n in ACTIONS.values()  # a new number needs a game in ACTIONS
    _, info = games.reset(seed=[1])
    for _ in range(10):
        action = 1 if info.get("legal") is None else np.flatnonzero(info["legal"][0])[-1]
        obs, reward, *_, info = games.step(np.array([action]))
    assert np.isfinite(reward).all() and np.ptp(obs) > 0  # something is seen
    games.close()
    assert np.isfinite(envs.describe(game).published.normalised(float(reward[0])))


@pytest.mark.parametrize("game", ["pong", *(pytest.param(g, marks=pytest.mark.slow) for g in ACTIONS if g != "pong")])
def test_a_game_for_each_number_of_actions_learns_and_is_scored(game: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Games are cut short here: of the protocol `nature` everything holds but its length."""
    monkeypatch.setitem(atari.PROTOCOLS, "nature", dataclasses.replace(atari.PROTOCOLS["nature"], max_frames=800))
    config: dict[str, Any] = {
        "game": envs.canonical(game), "agent": "dqn", "seed": 1, "steps": 48, "num_envs": 2, "env": {"env_threads": 1},
        "agent_config": dict(replay=200, warmup=16, batch=8, ratio=2.0, encoder="small", hidden=16),
    }  # fmt: skip
    parts = lab.assemble(config, torch.device("cpu"))
    assert parts.stream.spec.num_actions == ACTIONS[game]
    before = {k: v.clone() for k, v in parts.agent.online.state_dict().items()}
    assert training.train(parts.loop) and parts.clock.updates >= 1
    assert any(not torch.equal(v, before[k]) for k, v in parts.agent.online.state_dict().items())
    parts.stream.close()
    scored = Stream(envs.make_vec(config["game"], 1, protocol="nature", env_threads=1), "cpu")
    (episode,) = play(Policy(parts.agent, "epsilon 0.05", scored.spec, 1), scored, 1, seed=1)
    scored.close()
    assert 1 <= episode.length <= 210 and np.isfinite(episode.score)
    assert np.isfinite(envs.describe(game).published.normalised(episode.score))


@pytest.mark.parametrize(("stopped", "failed"), [(True, 0), (False, 1)])
def test_what_a_person_stopped_has_not_failed(tmp_path: Path, monkeypatch, stopped: bool, failed: int) -> None:
    one = made(tmp_path, seeds=1, games="pong")
    ended = SimpleNamespace(returncode=2, poll=lambda: 2)
    monkeypatch.setattr(suite, "child", SimpleNamespace(**{**vars(child), "start": lambda *_, **__: ended}))
    one._run("train", [], one.tasks[0], lambda: stopped, 0)
    assert len(one.failed) == failed
