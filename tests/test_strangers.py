"""Other people's environments: each trains, or ends in one sentence and exit code 2 before anything is lost."""

import json
import threading
import time

import numpy as np
import pytest
import strangers
import torch
from programs import program

import envs
from agents.core import checkpoint
from agents.core.clock import Clock
from agents.core.log import Log
from agents.core.run import Run
from agents.core.stream import Stream
from envs import gym, gym_check
from experiments import building, configuration, evaluate, lab, train

TINY = ["--recipe", "none", "--rollout", "8", "--minibatch", "16", "--epochs", "1", "--hidden", "8", "--num-envs", "2"]
TINY += ["--no-milestones", "--steps", "64"]


def trained(name, tmp_path, capsys, *more, video=False, episodes=1):
    """Trains a little: exit code, standard output, standard error."""
    argv = [
        f"gym:strangers:{name}-v0",
        "--agent",
        "ppo",
        *TINY,
        "--runs",
        str(tmp_path),
        "--video" if video else "--no-video",
    ]
    return program(train.main, [*argv, "--eval-episodes", str(episodes), *more], capsys)


def the_run(tmp_path):
    (config,) = tmp_path.rglob("config.json")
    return Run.open(config.parent)


def scores(run):
    return [json.loads(line)["mean"] for line in (run.path / "evaluations.jsonl").read_text().splitlines()]


def sentence(err):
    """The one line that a person is told."""
    lines = [line for line in err.splitlines() if line.startswith("joypad:")]
    assert len(lines) == 1 and "Traceback" not in err, err
    return lines[0]


@pytest.mark.parametrize("name", strangers.SOUND)
def test_what_keeps_the_api_trains_and_is_scored_by_its_rewards(name, tmp_path, capsys):
    code, out, err = trained(name, tmp_path, capsys)
    assert code == 0 and "score: mean" in out and "Traceback" not in err, err
    assert f"experiments.watch {the_run(tmp_path).path} --trust gym:strangers:{name}-v0\n" in out
    (score,) = scores(the_run(tmp_path))
    assert 0 <= score <= strangers.LENGTH
    for line in (the_run(tmp_path).path / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


@pytest.mark.parametrize("name", strangers.REFUSED)
def test_what_breaks_the_api_is_one_sentence_before_a_run_is_made(name, tmp_path, capsys):
    code, _, err = trained(name, tmp_path, capsys)
    told = sentence(err)
    assert code == 2 and f"gym:strangers:{name}-v0" in told and all(w in told for w in strangers.REFUSED[name]), told
    assert not list(tmp_path.rglob("config.json"))


@pytest.mark.parametrize("name", strangers.FAILING)
def test_what_fails_in_the_midst_is_one_sentence_and_what_was_learned_is_kept(name, tmp_path, capsys, monkeypatch):
    code, _, err = trained(name, tmp_path, capsys, "--steps", "200", "--checkpoint-every", "40")
    told = sentence(err)
    words = strangers.FAILING[name]
    assert code == 2 and f"gym:strangers:{name}-v0" in told and all(w in told for w in words), told
    assert "--lr" not in told and "training stopped at step 5" in told or "training stopped at step 6" in told
    run = the_run(tmp_path)
    assert told.endswith(f"--resume {run.path} --trust gym:strangers:{name}-v0")
    kept = checkpoint.steps(run.checkpoints)
    assert f"the checkpoint of step {kept[-1]} is kept" in told and kept[-1] > 40  # the steps since the barrier, too
    parts, _ = checkpoint.load(run.checkpoints)
    assert all(v.isfinite().all() for v in parts["agent"]["network"].values())
    loaded = lab.assemble(run.config, torch.device("cpu"))
    loaded.restore(parts)
    held = loaded.replay.data
    assert len(loaded.replay) and held["obs"].isfinite().all() and held["reward"].isfinite().all()
    loaded.stream.close()
    if "fault.txt" in words:
        assert "strangers.py" in (run.path / "fault.txt").read_text()
    monkeypatch.setattr(strangers.Later, "spoilt", False)  # mended: the run goes on from there
    code, out, err = program(train.main, ["--resume", str(run.path), "--eval-episodes", "1", "--no-video"], capsys)
    assert code == 0 and f"from step {kept[-1]}" in out and "score: mean" in out, err


def test_a_game_that_fails_after_its_training_leaves_a_complete_run_without_a_score(tmp_path, capsys, monkeypatch):
    conclude = train._conclude

    def spoilt(*parts):
        monkeypatch.setattr(strangers.Later, "now", property(lambda self: self.t == 5))
        conclude(*parts)

    monkeypatch.setattr(strangers.Later, "spoilt", False)
    monkeypatch.setattr(train, "_conclude", spoilt)
    code, out, err = trained("RaisesLater", tmp_path, capsys)
    told = sentence(err)
    assert code == 0 and "there is no score: gym:strangers:RaisesLater-v0" in told and "fault.txt" in told
    assert "resume:" in out and not (the_run(tmp_path).path / "evaluations.jsonl").exists()


# -- pictures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "good"), [(k, good) for k, (_, good) in strangers.PICTURES.items()])
def test_odd_pictures_make_a_video_or_a_sentence_and_never_spoil_the_run(name, good, tmp_path, capsys):
    code, out, err = trained(name, tmp_path, capsys, video=True)
    run = the_run(tmp_path)
    assert code == 0 and "score: mean" in out and "resume:" in out and "Traceback" not in err, err
    if good:
        assert (run.path / "videos" / "final.mp4").stat().st_size > 0 and "joypad:" not in err
    else:
        told = sentence(err)
        assert "there is no video" in told and f"gym:strangers:{name}-v0" in told and "render()" in told


def test_text_for_people_is_no_video_and_a_close_that_raises_ends_nothing(tmp_path, capsys):
    code, out, err = trained("OnlyText", tmp_path, capsys, video=True)
    assert code == 0 and "has no picture to show (its render_modes: ansi)" in sentence(err) and "resume:" in out
    code, out, err = trained("CloseRaises", tmp_path, capsys)
    assert code == 0 and "resume:" in out and "close() raised RuntimeError: closed twice" in err


@pytest.mark.parametrize("name", ["OddAttributes", "OddMetadata", "NoRenderMode", "ScoreInInfo"])
def test_attributes_metadata_and_info_of_a_stranger_mean_nothing_to_those_who_watch(name):
    from experiments.watching.seat import Seat
    from experiments.watching.source import Source

    seat = Seat(Source(f"gym:strangers:{name}-v0"))
    for _ in range(15):
        seat.decide_once()
        seat.advance()
    assert seat.actions == ["0", "1"] and seat.fps == 10 if name != "OddMetadata" else seat.fps == 30
    assert 0 <= seat.score <= strangers.LENGTH and all(0 <= s <= strangers.LENGTH for s in seat.scores)
    assert seat.pictures()[0][0].shape == (20, 30, 3) and not seat.waits and seat.facts()["box"] is None
    seat.close()


# -- observations ----------------------------------------------------------------------------------------------------


def first_frames(name, steps=5):
    made = envs.make_vec(f"gym:strangers:{name}-v0", 1)
    frames = [made.reset(seed=1)[0][0]] + [made.step(np.zeros(1, np.int64))[0][0] for _ in range(steps)]
    stack = made.metadata["frame_stack"]
    made.close()
    return frames, stack


def test_channels_come_last_and_the_note_says_so(capsys):
    gym._say.cache_clear()
    frames, stack = first_frames("ChannelsFirst")
    assert frames[0].shape == (84, 84) and stack == 4  # grey, as any large picture in colour
    assert frames[5].max() == frames[5].min() == 5
    assert "(3, 84, 96) come first" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("shape", "first"),
    [((3, 84, 84), True), ((1, 28, 28), True), ((4, 84, 84), True), ((2, 5, 5), True), ((84, 84, 3), False),
     ((10, 10, 4), False), ((10, 10, 7), False), ((10, 10, 10), False), ((7, 7, 3), False), ((3, 7, 3), False),
     ((84, 84), False)],
)  # fmt: skip
def test_the_axis_of_channels(shape, first):
    from envs.gym_observation import channels_first

    assert channels_first(shape) == first


@pytest.mark.parametrize(
    ("name", "values"),
    [("PlanesOfBytes", [0, 255, 0, 255, 0, 255]), ("PlanesOfFlags", [0, 255, 255, 255, 255, 255]),
     ("FloatPicture", [int(t / 12 * 255 + 0.5) for t in range(6)])],
)  # fmt: skip
def test_planes_and_float_pictures_fill_the_range_of_a_byte(name, values):
    frames, _ = first_frames(name)
    assert [(int(f.min()), int(f.max())) for f in frames] == [(v, v) for v in values] and frames[0].dtype == np.uint8


def test_tables_are_one_vector_and_doubles_are_floats():
    frames, _ = first_frames("Table")
    assert frames[2].shape == (25,) and frames[2].dtype == np.float32 and (frames[2] == 2).all()
    frames, _ = first_frames("Doubles")
    assert frames[3].dtype == np.float32 and frames[3][0] == 0.25


def test_a_float_picture_with_a_number_that_is_not_finite_is_refused(monkeypatch):
    monkeypatch.setattr(strangers.FloatPicture, "look", lambda self: np.full((12, 12, 3), np.nan, np.float32))
    with pytest.raises(ValueError, match="not finite"):
        envs.make_vec("gym:strangers:FloatPicture-v0", 1)


# -- masks, limits, watchdog -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("agent", ["ppo", "dqn", "random"])
def test_a_mask_is_obeyed_where_it_is_asked_for(agent, tmp_path, capsys):
    argv = ["gym:strangers:Masked-v0", "--agent", agent, "--steps", "200", "--num-envs", "2", "--recipe", "none"]
    argv += ["--runs", str(tmp_path), "--no-video", "--eval-episodes", "2", "--action-mask", "action_mask"]
    small = {"hidden": 8, "rollout": 8, "warmup": 20, "replay": 300}
    known = configuration.fields(building.module(agent).Config)
    argv += [x for k, v in small.items() if k in known for x in (f"--{k}", str(v))]
    code, out, err = program(train.main, argv, capsys)
    assert code == 0 and "score: mean" in out, err  # it raises where an illegal action is played


def test_a_mask_without_a_legal_action_or_of_odd_numbers_is_told(tmp_path, capsys):
    code, _, err = trained("Hopeless", tmp_path, capsys, "--action-mask", "action_mask")
    told = sentence(err)
    assert code == 2 and "no action is legal in environment 0" in told and "at step 14" in told
    code, _, err = trained("NumbersForAMask", tmp_path, capsys, "--action-mask", "action_mask")
    assert code == 2 and "5 values of 0 or 1 as info['action_mask']" in sentence(err)
    code, _, err = trained("Masked", tmp_path, capsys, "--action-mask", "mask")
    assert code == 2 and "5 values of 0 or 1 as info['mask']; it gave None" in sentence(err)


def test_the_evaluation_of_a_game_without_an_end_stops_and_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(gym, "ENDLESS", 150)
    code, out, err = trained("Endless", tmp_path, capsys, episodes=3)
    assert code == 0 and "over 3 games" in out and "; 3 of them cut after 150 steps" in out, err
    run = the_run(tmp_path)
    (told,) = [json.loads(line) for line in (run.path / "evaluations.jsonl").read_text().splitlines()]
    assert told["cut"] == 3 and told["max_steps"] == 150 and told["frames"] == 450
    assert not run.config["env"]["max_steps"]  # training has no limit
    code, out, _ = trained("Endless", tmp_path / "own", capsys, "--max-steps", "20")
    assert code == 0 and "1 of them cut after 20 steps" in out  # its own limit holds in training, too
    lines = (the_run(tmp_path / "own").path / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-2])["train/length"] == 20


def test_games_with_an_end_of_their_own_are_not_cut():
    assert envs.scored("gym:CartPole-v1", envs.defaults("gym:CartPole-v1"))["max_steps"] == 0  # 500, Gymnasium's own
    assert envs.scored("gym:strangers:Endless-v0", {"max_steps": 7}) == {"max_steps": 7}
    assert envs.scored("gym:strangers:Endless-v0", {})["max_steps"] == gym.ENDLESS == 100_000


def test_a_call_that_does_not_come_back_is_told(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(gym_check, "PATIENCE", 0.1)
    told = []
    monkeypatch.setattr(gym_check, "print", lambda text, **_: told.append(text), raising=False)
    looking = threading.Thread(target=gym_check._look, daemon=True)
    looking.start()
    made = envs.make_vec("gym:strangers:Slow-v0", 2)
    made.reset(seed=1)
    deadline = time.monotonic() + 60
    while not told and time.monotonic() < deadline:
        made.step(np.zeros(2, np.int64))
    made.close()
    assert "gym:strangers:Slow-v0, environment" in told[0] and "step() has not come back since" in told[0]
    assert "Ctrl-C" in told[0]


def test_the_stream_reads_info_of_the_labs_own_games_alone():
    told = []
    for own in (True, False):
        made = envs.make_vec("gym:strangers:ScoreInInfo-v0", 2)
        made.metadata["lab_info"] = own
        step = made.step

        def scored(actions, step=step):
            *rest, _ = step(actions)
            return *rest, {"score": np.array([7.0, 7.0]), "legal": np.ones((2, 2), bool)}

        made.step = scored
        stream = Stream(made)
        stream.reset(1)
        from agents.core.rows import Act

        for _ in range(strangers.LENGTH):
            stream.send(Act(stream.step.first.long() * 0 + 1))
            stream.receive()
        told.append([e.score for e in stream.take_episodes()])
        assert (stream.step.legal is not None) == own
        stream.close()
    assert told == [[7, 7], [12, 12]]


def test_evaluate_tells_a_stranger_that_fails_in_one_sentence(tmp_path, capsys, monkeypatch):
    assert trained("RaisesLater", tmp_path, capsys, "--steps", "32")[0] == 0
    monkeypatch.setattr(strangers.Later, "now", property(lambda self: self.t == 3))
    run = str(the_run(tmp_path).path)
    code, _, err = program(evaluate.main, [run, "--episodes", "2"], capsys, monkeypatch)
    told = sentence(err)
    assert code == 2 and "step() raised ZeroDivisionError" in told and told.endswith("fault.txt")


@pytest.mark.parametrize("agent", ["dqn", "sb3-ppo"])
@pytest.mark.parametrize("name", ["RewardNotANumber", "RaisesLater"])
def test_other_agents_keep_what_they_learned_too(agent, name, tmp_path, capsys):
    argv = [f"gym:strangers:{name}-v0", "--agent", agent, "--steps", "200", "--num-envs", "2", "--recipe", "none"]
    argv += ["--runs", str(tmp_path), "--no-video", "--eval-episodes", "0", "--no-milestones"]
    argv += ["--n-steps", "8"] if agent == "sb3-ppo" else ["--hidden", "8", "--warmup", "20", "--replay", "300"]
    code, _, err = program(train.main, argv, capsys)
    told = sentence(err)
    assert code == 2 and all(w in told for w in strangers.FAILING[name]) and "--lr" not in told
    parts, meta = checkpoint.load(the_run(tmp_path).checkpoints)
    assert f"the checkpoint of step {meta['step']} is kept" in told and meta["step"] > 40
    assert ("--resume" in told) == (agent == "dqn")
    if agent == "dqn":
        loaded = lab.assemble(the_run(tmp_path).config, torch.device("cpu"))
        loaded.restore(parts)
        assert len(loaded.replay) > 40 and loaded.replay.data["reward"].isfinite().all()
        loaded.stream.close()


def test_rewards_that_spoil_the_loss_are_named_instead_of_the_learning_rate(tmp_path, capsys):
    code, _, err = trained("Huge", tmp_path, capsys, "--reward-clip", "0")
    told = sentence(err)
    assert code == 2 and "its rewards reach 1e+30: try --normalize-reward" in told and "--lr" not in told


def test_lines_of_figures_are_json_whatever_is_logged(tmp_path):
    config = {"game": "gym:CartPole-v1", "agent": "ppo", "name": "x", "seed": 0, "protocol": "x"}
    log = Log(Run.create(tmp_path, config), Clock(10))
    log.write({"learn/loss": float("nan"), "learn/value": float("inf"), "train/return": 1.5})
    log.close()
    assert json.loads(log.lines.read_text()) == {"steps": 0, "train/return": 1.5}
