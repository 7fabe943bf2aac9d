"""The programs from outside: mistakes get one sentence and exit code 2, and nothing is lost or left behind."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from programs import program
from runfolders import rewrite
from screen_trial import trial

import envs
from agents.core import checkpoint
from experiments import child, cli, configuration, evaluate, players, train, watch
from experiments.comparing import evaluations, records
from experiments.training import options

ROOT = Path(__file__).resolve().parent.parent


MISTAKES = [
    (["breakot"], "did you mean breakout"),
    (["combat"], "there is no game 'combat'"),  # a ROM for two players: the emulator would end the process
    (["gym:CartPole-v99"], "CartPole"),
    (["gym:NoSuchThing-v1"], "NoSuchThing"),
    ([], "which game"),
    (["breakout", "--agent", "pp"], "did you mean ppo"),
    (["breakout", "--recipe", "nature2016"], "nature2015"),
    (["gym:CartPole-v1", "--stps", "10"], "--steps"),
    (["gym:CartPole-v1", "--steps", "0"], "--steps 0: must be above 0"),
    (["gym:CartPole-v1", "--steps", "-5"], "--steps -5: must be above 0"),
    (["gym:CartPole-v1", "--steps", "ten"], "--steps"),
    (["gym:CartPole-v1", "--minutes", "nan"], "--minutes nan"),
    (["gym:CartPole-v1", "--minutes", "1", "--steps", "5"], "name one budget"),
    (["gym:CartPole-v1", "--num-envs", "0"], "--num-envs 0"),
    (["gym:CartPole-v1", "--device", "tpu"], "--device tpu"),
    (["gym:CartPole-v1", "--device", "cuda:99"], "--device cuda"),
    (["gym:CartPole-v1", "--data", "tub"], "--data"),
    (["gym:CartPole-v1", "--gamma", "1.5"], "--gamma"),
    (["gym:CartPole-v1", "--encoder", "resnet", "--agent", "ppo"], "--encoder resnet: choose"),
    (["gym:CartPole-v1", "--encoder", "nature", "--agent", "ppo"], None),  # vectors have no such choice: ignored
    (["breakout", "--agent", "dqn", "--pool"], "--pool: of --encoder impala; name --no-pool with auto"),
    (["gym:CartPole-v1", "--agent", "btr", "--double"], "there is no action for --double to choose"),
    (["breakout", "--agent", "ppo", "--rollout", "1000000"], "rows (--rollout, --num-envs)"),
    (["breakout", "--agent", "sb3-dqn", "--buffer-size", "10000000"], "rows (--buffer-size)"),
    (["gym:CartPole-v1", "--agent", "sb3-ppo", "--device", "cuda"], "--device cuda: sb3-ppo runs on the processor"),
    (["gym:Pendulum-v1", "--agent", "dqn"], "needs discrete actions"),
    (["gym:Pendulum-v1", "--agent", "sb3-dqn"], "sb3-dqn needs discrete actions; for continuous ones take sb3-ppo or"),
    (["gym:Pendulum-v1", "--agent", "sb3-qrdqn"], "sb3-qrdqn needs discrete actions"),
    (["gym:Blackjack-v1"], "supported are"),
    (["breakout", "--protocol", "v5"], "--protocol v5: choose baselines"),
    (["breakout", "--protocol", "nature"], "--protocol nature is for scores: train under baselines"),
    (["breakout", "--encoder", "resnet", "--num-envs", "1"], "--encoder resnet: choose"),
    (["gym:CartPole-v1", "--config", "missing.json"], "there is no such file"),
    (["gym:CartPole-v1", "--init", "nowhere"], "neither a run nor a game"),
    (["--resume", "nowhere"], "neither a run nor a game"),
    (["gym:CartPole-v1", "--agent", "dqn", "--noisy"], "--noisy and --epsilon"),
    (["--hidden", "8", "breakot"], "did you mean breakout"),
    (["--steps", "8"], "which game"),
    (["gym:"], "Malformed"),
    (["gym:no_such_package:Thing-v0"], "No module named 'no_such_package'"),
    (["gym:CartPole-v1", "--minutes", "inf"], "--minutes inf"),
    (["gym:CartPole-v1", "--seed", "-1"], "--seed -1"),
    (["gym:CartPole-v1", "--lr", "nan"], "--lr nan: must be above 0"),
    (["gym:CartPole-v1", "--evaluation", "best"], "--evaluation best: choose sampled, greedy"),
    (["gym:CartPole-v1", "--agent", "dqn", "--evaluation", "epsilon 2"], "--evaluation epsilon 2: choose greedy"),
    (["gym:CartPole-v1", "--initial-noop-probability", "1"], "--initial-noop-probability 1"),
    (["gym:CartPole-v1", "--hidden", "0"], "--hidden 0: must be at least 1"),
    (["gym:CartPole-v1", "--frame-stack", "-1"], "--frame-stack -1"),
    (["gym:CartPole-v1", "--precision", "fp16"], "--precision fp16: choose"),
    (["gym:CartPole-v1", "--agent"], "--agent: a value is missing"),
    (["gym:CartPole-v1", "--agent", "dqn", "--replay", "1000000000000"], "of memory; the largest that fits"),
    (["gym:CartPole-v1", "--steps", "8", "--runs", "/dev/null/runs"], "--runs /dev/null/runs"),
]


@pytest.mark.parametrize(("argv", "message"), MISTAKES, ids=lambda x: " ".join(x) if isinstance(x, list) else "")
def test_a_mistake_gets_one_sentence_and_leaves_nothing_behind(argv, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if message is None:
        argv = [*argv, "--steps", "64", "--eval-episodes", "0", "--no-video"]
    code, out, err = program(train.main, argv, capsys)
    if message is None:
        assert code == 0
        return
    assert code == 2 and message in err + out and "Traceback" not in err + out
    assert not list(tmp_path.rglob("config.json"))


def test_help_shows_every_field_with_its_default(capsys):
    code, out, _ = program(train.main, ["breakout", "--agent", "dqn", "--help"], capsys)
    assert code == 0
    from agents import dqn

    of_train = configuration.fields(options.TrainCommand) - {"game"}
    for field in configuration.fields(dqn.DQNConfig) | of_train | {"protocol"}:
        assert f"--{field.replace('_', '-')}" in out
    words = " ".join(out.replace("│", " ").split())
    assert "size of the replay buffer in transitions (default: 200000)" in words  # the recipe's
    assert "protocol NAME baselines, machado or nature" in words


def test_a_finished_run_is_complete(trained):
    config = json.loads((trained / "config.json").read_text())
    assert config["protocol"] == "CartPole-v1" and config["steps"] == 1500 and config["seed"] == 0
    assert {"command", "machine", "versions", "commit"} <= set(config)
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["steps"] == 1500 and "eval/return" in rows[-1]
    assert len(checkpoint.steps(trained / "checkpoints")) == 2
    assert list(trained.glob("events.out.tfevents.*"))


def test_evaluate_prints_one_object_with_the_promised_keys(trained, capsys, monkeypatch):
    code, out, _ = program(evaluate.main, [str(trained), "--episodes", "5", "--json"], capsys, monkeypatch)
    result = json.loads(out)
    assert code == 0 and out.count("\n") == 1
    promised = {"protocol", "episodes", "mean", "median", "sem", "scores", "frames", "human_normalised"}
    assert promised <= set(result) and len(result["scores"]) == result["episodes"] == 5
    assert result["human_normalised"] is None
    again = json.loads(program(evaluate.main, [str(trained), "--episodes", "5", "--json"], capsys, monkeypatch)[1])
    assert again == result


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["nothing-here"], "neither a run nor a game"),
        (["RUN", "--episodes", "0"], "--episodes 0"),
        (["RUN", "--policy", "epsilon 2"], "epsilon E' with E in 0..1"),
        (["RUN", "--policy", "best"], "choose greedy, sampled"),
        (["RUN", "--protocol", "machado"], "never mixed"),
        (["RUN", "--checkpoint", "7"], "has no such checkpoint; it has 1200, 1500"),
    ],
)
def test_mistakes_in_evaluate(trained, argv, message, capsys, monkeypatch):
    argv = [str(trained) if a == "RUN" else a for a in argv]
    code, out, err = program(evaluate.main, argv, capsys, monkeypatch)
    assert code == 2 and message in err + out and "Traceback" not in err + out


def test_watch_writes_as_many_frames_as_asked_for(trained, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    path = tmp_path / "out.mp4"
    code, out, _ = program(watch.main, [str(trained), "--video", str(path), "--seconds", "1.5"], capsys, monkeypatch)
    assert code == 0 and str(path) in out
    import imageio_ffmpeg

    frames, seconds = imageio_ffmpeg.count_frames_and_secs(str(path))
    assert frames == 75 and seconds == pytest.approx(1.5, abs=0.05)  # CartPole draws 50 pictures per second


def test_watch_without_a_run_says_that_the_random_agent_plays(tmp_path, capsys, monkeypatch):
    path = tmp_path / "out.gif"
    argv = ["gym:CartPole-v1", "--video", str(path), "--seconds", "0.5", "--runs", str(tmp_path)]
    code, out, _ = program(watch.main, argv, capsys, monkeypatch)
    assert code == 0 and "the random agent plays" in out and path.stat().st_size > 1000
    code, out, err = program(watch.main, ["gym:CartPole-v1", "--video", "x.avi"], capsys, monkeypatch)
    assert code == 2 and "must end in .mp4 or .gif" in err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["breakot"], "did you mean breakout"),
        (["gym:CartPole-v1", "--seconds", "nan"], "--seconds nan"),
        (["gym:CartPole-v1", "--seconds", "inf"], "--seconds inf"),
        (["gym:CartPole-v1", "--episodes", "0"], "--episodes 0"),
        (["gym:CartPole-v1", "--speed", "nan", "--seconds", "0.1"], "--speed nan"),
        (["gym:CartPole-v1", "--seed", "-1", "--seconds", "0.1"], "--seed -1"),
        (["gym:CartPole-v1", "--policy", "best", "--seconds", "0.1"], "must be greedy, sampled"),
        (["gym:CartPole-v1", "--video", "/dev/null/x.mp4", "--seconds", "0.1"], "--video /dev/null/x.mp4"),
    ],
)
def test_mistakes_in_watch(argv, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    argv = [*argv, "--video", "x.mp4"] if "--video" not in argv else argv
    code, out, err = program(watch.main, argv, capsys, monkeypatch)
    assert code == 2 and message in err and "Traceback" not in err


def test_an_atari_video_has_every_emulated_frame(tmp_path, capsys, monkeypatch):
    import imageio_ffmpeg

    path = tmp_path / "deeper" / "out.mp4"
    argv = ["breakout", "--video", str(path), "--seconds", "1.25", "--runs", str(tmp_path)]
    assert program(watch.main, argv, capsys, monkeypatch)[0] == 0
    frames, seconds = imageio_ffmpeg.count_frames_and_secs(str(path))
    assert frames == 75 and seconds == pytest.approx(1.25, abs=0.02)  # 60 per second, as the console


def test_the_newest_run_of_a_game_is_found_by_any_name(trained, capsys, monkeypatch):
    for name in ("gym:CartPole-v1", "gym-CartPole-v1", "gym-CartPole-v1/ppo", str(trained)):
        argv = [name, "--episodes", "1", "--json", "--runs", str(trained.parents[2])]
        code, out, err = program(evaluate.main, argv, capsys, monkeypatch)
        assert code == 0 and json.loads(out)["run"] == str(trained), err


def test_a_damaged_checkpoint_is_told_of_beside_the_json(trained, tmp_path, capsys, monkeypatch):
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    older, newer = checkpoint.steps(copy / "checkpoints")
    file = copy / "checkpoints" / f"{newer:012d}" / "agent.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    code, out, err = program(evaluate.main, [str(copy), "--episodes", "1", "--json"], capsys, monkeypatch)
    assert code == 0 and json.loads(out)["step"] == older and out.count("\n") == 1
    assert f"checkpoint {newer} is damaged" in err


def test_missing_memory_is_not_told_as_another_version(trained, capsys, monkeypatch):
    class Full:
        def load_weights(self, state):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 5 bytes.")

    monkeypatch.setattr("experiments.building.build_agent", lambda *arguments: Full())
    code, _, err = program(evaluate.main, [str(trained)], capsys, monkeypatch)
    assert code == 2 and "not enough memory" in err and "another version" not in err, err


def test_a_run_folder_whose_parts_do_not_belong_together_is_refused(trained, tmp_path, capsys, monkeypatch):
    """Checkpoints of another game, of another network, a configuration of another version: told apart, not mixed.

    Checkpoints as older versions wrote them, without a copy of the configuration.
    """
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    for step in checkpoint.steps(copy / "checkpoints"):
        rewrite(copy / "checkpoints", step, lambda content: content["meta"].pop("config"))
    config = json.loads((copy / "config.json").read_text())
    other = {"game": "gym:Acrobot-v1", "env": config["env"]}
    bigger = {"agent_config": {**config["agent_config"], "hidden": 32}}
    renamed = {"agent_config": {**config["agent_config"], "layers": 3}}
    odd = {"agent_config": {**config["agent_config"], "lr": "fast"}}
    for change, message in (
        (other, "its checkpoint is of gym:CartPole-v1"),
        (bigger, "was made by another version of the lab"),
        (renamed, "layers: no such field"),
        (odd, "lr of agents.configs.policy_gradient.PolicyGradientConfig must be float, not 'fast'"),
    ):
        (copy / "config.json").write_text(json.dumps({**config, **change}))
        for main, argv in ((train.main, ["--resume", str(copy)]), (evaluate.main, [str(copy)])):
            patch = None if main is train.main else monkeypatch
            code, _, err = program(main, argv, capsys, patch)
            assert code == 2 and message in err and "Traceback" not in err, err
        assert len(checkpoint.steps(copy / "checkpoints")) == 2


def test_resume_of_another_game_or_format_is_refused(trained, tmp_path, capsys):
    code, _, err = program(train.main, ["gym:Acrobot-v1", "--resume", str(trained)], capsys)
    assert code == 2 and "is a run of gym:CartPole-v1" in err
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "format": 99}))
    code, _, err = program(train.main, ["--resume", str(copy)], capsys)
    assert code == 2 and "another format" in err
    for step in checkpoint.steps(copy / "checkpoints"):  # as older versions wrote them
        rewrite(copy / "checkpoints", step, lambda content: content["meta"].pop("config"))
    (copy / "config.json").write_text("{")
    code, _, err = program(train.main, ["--resume", str(copy)], capsys)
    assert code == 2 and "cannot be read" in err
    assert len(checkpoint.steps(copy / "checkpoints")) == 2


def test_weights_of_another_run_start_a_new_one_if_they_fit(trained, tmp_path, capsys):
    rest = ["--steps", "200", "--num-envs", "4", "--rollout", "16", "--eval-episodes", "0", "--no-video"]
    rest += ["--runs", str(tmp_path), "--init", str(trained)]
    assert program(train.main, ["gym:CartPole-v1", "--hidden", "16", *rest], capsys)[0] == 0
    code, _, err = program(train.main, ["gym:CartPole-v1", "--hidden", "32", *rest], capsys)
    assert code == 2 and "does not fit" in err
    (first,) = (json.loads(p.read_text()) for p in tmp_path.rglob("config.json"))
    assert first["init"] == str(trained)
    rest[-1] = "gym:CartPole-v1"  # the newest run of the game: the one that was just trained; its path is kept
    assert program(train.main, ["gym:CartPole-v1", "--hidden", "16", "--name", "again", *rest], capsys)[0] == 0
    (again,) = (c for p in tmp_path.rglob("config.json") if (c := json.loads(p.read_text()))["name"] == "again")
    assert Path(again["init"]).name == "default-s0" and Path(again["init"]).is_relative_to(tmp_path)


def test_a_run_that_is_being_trained_is_not_resumed_beside(trained, tmp_path, capsys):
    copy = shutil.copytree(trained, tmp_path / "copy")
    with child.lock(copy / ".lock") as held:
        assert held is not None
        code, _, err = program(train.main, ["--resume", str(copy), "--steps", "9000"], capsys)
    assert code == 2 and "is being trained by another process" in err


def test_scores_under_sticky_actions_are_no_share_of_a_persons(tmp_path, capsys):
    argv = ["pong", "--agent", "random", "--protocol", "machado", "--steps", "32", "--num-envs", "2", "--no-video"]
    assert program(train.main, [*argv, "--eval-episodes", "0", "--runs", str(tmp_path)], capsys)[0] == 0
    run = players.find_run(tmp_path, "pong")
    stream = evaluate.games(run, 1, torch.device("cpu"))
    agent, at = players.load_player(run, stream.spec, torch.device("cpu"))

    result = evaluate.score(run, stream, agent, at, episodes=1, seed=1, policy="sampled")
    assert result["protocol"] == "machado" and result["human_normalised"] is None
    stream.close()


@pytest.mark.slow
def test_a_score_under_nature_takes_no_other_scores_place(tmp_path, capsys, monkeypatch):
    argv = ["pong", "--agent", "random", "--steps", "32", "--num-envs", "2", "--no-video", "--eval-episodes", "1"]
    assert program(train.main, [*argv, "--runs", str(tmp_path)], capsys)[0] == 0
    run = players.find_run(tmp_path, "pong")
    before = evaluations.every(run.path)
    words = [str(run.path), "--episodes", "1", "--protocol", "nature", "--json"]
    code, out, _ = program(evaluate.main, words, capsys, monkeypatch)
    assert code == 0 and json.loads(out)["protocol"] == "nature" and evaluations.every(run.path)[:-1] == before
    assert {k: v for k, v in evaluations.every(run.path)[-1].items() if k != "time"} == json.loads(out)
    assert [s.protocol for s in records.read(run.path).scores("eval/return").values()] == ["baselines", "nature"]


def test_a_taken_name_gets_a_number(trained, tmp_path, capsys):
    argv = ["gym:CartPole-v1", "--steps", "64", "--num-envs", "4", "--eval-episodes", "0", "--no-video"]
    argv += ["--runs", str(tmp_path), "--name", "../so me/name"]
    for _ in range(2):
        assert program(train.main, argv, capsys)[0] == 0
    names = sorted(p.name for p in (tmp_path / "gym-CartPole-v1" / "ppo").iterdir())
    assert names == ["-so-me-name-s0", "-so-me-name-s0-2"]


def test_a_run_trains_from_its_own_configuration_file(trained, tmp_path, capsys):
    argv = ["gym:CartPole-v1", "--config", str(trained / "config.json"), "--steps", "64", "--runs", str(tmp_path)]
    assert program(train.main, [*argv, "--eval-episodes", "0", "--no-video"], capsys)[0] == 0
    config = json.loads(next(tmp_path.rglob("config.json")).read_text())
    assert config["agent_config"]["hidden"] == 16 and config["num_envs"] == 4
    damaged = tmp_path / "damaged.json"
    damaged.write_text('{"agent_config": ')
    code, _, err = program(train.main, ["gym:CartPole-v1", "--config", str(damaged)], capsys)
    assert code == 2 and "damaged.json" in err
    damaged.write_text('{"agent_config": {"lerning_rate": 1}}')
    code, _, err = program(train.main, ["gym:CartPole-v1", "--config", str(damaged)], capsys)
    assert code == 2 and "lerning_rate: no such field" in err
    for content, message in (
        ("[]", "must hold one JSON object"),
        ('{"agent_config": 5}', "agent_config must be of type dict, not 5"),
        ('{"agent_config": {"lr": "fast"}}', "must be float, not 'fast'"),
        ('{"agent_config": {"lr": -1}}', "--lr -1"),
        ('{"agent": 3}', "agent must be of type str"),
        ('{"agent": "pp"}', "did you mean ppo"),
        ('{"steps": "many"}', "steps must be of type int, not 'many'"),
        ('{"steps": -4}', "--steps -4: must be above 0"),
        ('{"num_envs": -4}', "--num-envs -4: must be above 0"),
        ('{"game": "pong"}', "is of the game pong"),
        ('{"env": {"size": true}}', "must be int, not True"),
        ("\x00\xff", "damaged.json"),
    ):
        damaged.write_text(content, encoding="latin-1")
        code, _, err = program(train.main, ["gym:CartPole-v1", "--config", str(damaged)], capsys)
        assert code == 2 and message in err and "Traceback" not in err, (content, err)
    assert len(list(tmp_path.rglob("config.json"))) == 1


def test_edge_lets_our_own_faults_through():
    with pytest.raises(ZeroDivisionError), cli.edge():
        raise ZeroDivisionError
    with pytest.raises(OSError), cli.edge():
        raise OSError(5, "Input/output error")


@pytest.mark.slow
def test_the_console_script_and_the_module_are_the_same_program(tmp_path):
    script = Path(sys.executable).with_name("joypad")
    for command in ([str(script)], [sys.executable, "-m", "experiments"]):
        shown = subprocess.run([*command, "--help"], capture_output=True, text=True, cwd=ROOT, check=True).stdout
        assert all(name in shown for name in ("train", "watch", "evaluate", "bench", "play"))
        wrong = subprocess.run([*command, "trian"], capture_output=True, text=True, cwd=ROOT)
        assert wrong.returncode == 2 and "did you mean train" in wrong.stderr


@pytest.mark.parametrize("game", sorted(envs.GAMES))
def test_each_of_our_games_trains_and_is_scored(game, tmp_path, capsys):
    argv = [game, "--agent", "ppo", "--steps", "64", "--num-envs", "4", "--rollout", "8", "--encoder", "small"]
    argv += ["--hidden", "16", "--eval-episodes", "0", "--no-video", "--runs", str(tmp_path)]
    argv = [a for a in argv if game != "go" or a not in ("--encoder", "small")]
    for name, value in trial(game).items():
        argv += [f"--env.{name}", str(value)]
    assert program(train.main, argv, capsys)[0] == 0
