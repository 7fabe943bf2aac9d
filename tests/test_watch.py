"""The player behind window, page and video: what it shows, what it obeys, and that watching only reads."""

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from programs import program
from watched import take

import envs
from agents.core import checkpoint
from agents.core.run import Run
from envs.kart.line import TOP_SPEED
from envs.kart.physics import MAX_STEER, WHEEL, speed_of
from experiments import players, watch
from experiments.watching import panels
from experiments.watching.commands import COMMANDS, KEYS, SPEEDS
from experiments.watching.follower import Follower
from experiments.watching.human import Human, axes_of, choose, keys_of
from experiments.watching.player import Player
from experiments.watching.seat import Seat
from experiments.watching.source import Source, find

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.usefixtures("dummy_display")


def test_what_is_found_as_what(runs, tmp_path):
    run = runs / "flappy" / "ppo" / "default-s0"
    assert find("flappy", runs).run.path == run
    assert find(str(run), tmp_path).run.path == run
    step = checkpoint.steps(run / "checkpoints")[0]
    assert find(str(run / "checkpoints" / f"{step:012d}"), tmp_path).step == step
    stage = find(str(next((run / "stages" / "010").glob("[0-9]*"))), tmp_path)
    assert stage.stage == 10 and stage.run.path == run
    random = find("pong", tmp_path)
    assert random.run is None and "the random agent plays" in random.note
    with pytest.raises(envs.UnknownGame, match="did you mean pong"):
        find("pongg", tmp_path)
    (tmp_path / "reference" / "pong").mkdir(parents=True)
    content = run / "config.json"
    target = tmp_path / "reference" / "flappy" / "best"
    target.mkdir(parents=True)
    (target / "config.json").write_text(content.read_text())
    (target / "checkpoints").symlink_to(run / "checkpoints")
    reference = find("flappy", tmp_path)
    assert reference.run.path == target and "the reference run" in reference.note


def test_stages_are_the_weights_of_their_steps_alone(runs):
    run = Run.open(runs / "gym-CartPole-v1" / "dqn" / "dqn-s0")
    assert players.milestones(run) == [0, 1, 10, 100]
    found = {}
    for percent in players.milestones(run):
        parts, meta = checkpoint.load(players.milestone_folder(run, percent))
        assert set(parts) == {"agent"} and set(parts["agent"]) == {"network"}
        assert meta["step"] >= percent / 100 * 400 and meta["step"] <= percent / 100 * 400 + 4
        found[percent] = parts["agent"]["network"]
    newest, _ = checkpoint.load(run.checkpoints, None, {"agent"})
    for name, tensor in newest["agent"]["network"].items():
        assert torch.equal(found[100][name], tensor)
    assert any(not torch.equal(found[0][n], found[100][n]) for n in found[0])


# What it shows


@pytest.mark.parametrize("game", ["breakout", "gym:CartPole-v1", "gym:FrozenLake-v1", "gym:Pendulum-v1", *envs.GAMES])
def test_every_kind_of_game_has_pictures_facts_and_panels(game):
    player = Player([Source(game)], seed=3)
    frames = take(player, 9)
    shapes = {frame.picture.shape for frame in frames}
    assert len(shapes) == 1 and frames[0].picture.dtype == np.uint8 and frames[0].picture.ndim == 3
    assert any((frames[0].picture != frame.picture).any() for frame in frames[1:])
    status = json.loads(json.dumps(player.status()))
    (seat,) = status["seats"]
    assert status["game"] == game and seat["label"] == "random" and seat["bars"] is None
    spec = player.focus.spec
    assert len(seat["actions"]) == (spec.num_actions or spec.action_dim)
    assert (player.focus.seen() is None) == (len(spec.obs_shape) == 1) and bool(seat["numbers"]) == (
        len(spec.obs_shape) == 1
    )
    both = panels.beside(frames[0].picture, player)
    assert both.shape[1] == panels.enlarge(frames[0].picture).shape[1] + panels.WIDTH
    player.close()


def test_the_score_is_the_games_own_while_it_plays():
    """Flappy's rewards are not its score: nothing for staying alive, nothing off for the crash."""
    player = Player([Source("flappy")], seed=2, episodes=1)
    shown = [player.focus.facts()["score"] for _ in player.frames()]
    assert shown[0] == 0 and shown[-1] == player.scores[0] and min(shown) >= 0 and len(shown) > 20
    assert all(float(score).is_integer() for score in shown)
    player.close()


def test_equal_seeds_are_equal_games_and_commands_are_obeyed(runs):
    def pictures(*commands):
        player = Player([find("flappy", runs)], seed=7)
        frames = player.frames()
        for name, value in commands:
            player.command(name, value)
        shown = [next(frames).picture for _ in range(40)]
        player.close()
        return np.stack(shown)

    assert (pictures() == pictures()).all()
    first = pictures(("seed", 8))
    assert (first[1:] == pictures(("new", None))[1:]).all() and (first != pictures()).any()


def test_commands(runs):
    player = Player([find("flappy", runs)], seed=1)
    frames = player.frames()
    next(frames)
    player.command("pause")
    assert player.paused and not player.may_go_on()
    player.command("step")
    assert player.may_go_on()
    next(frames)
    player.went_on()
    assert not player.may_go_on()
    player.command("pause", False)
    assert player.may_go_on()
    for _ in SPEEDS:
        player.command("faster")
    assert player.speed == 0
    for _ in SPEEDS:
        player.command("slower")
    assert player.speed == 0.25
    assert player.focus.policy_name == "sampled"
    player.command("policy")
    assert player.focus.policy_name == "greedy"
    for name, value, told in (
        ("seed", -1, "whole number"), ("seed", "x", "whole number"), ("speed", "nan", "number"),
        ("policy", "best", "policy"), ("policy", 5, "policy"), ("policy", "epsilon 2", "policy"),
        ("speed", None, "number"), ("dance", None, "there is no command"), ("held", 5, "list"), ("held", [5], "text"),
        ("sticks", ["a"], "number"), ("click", [1], "list of 2"), ("seed", 1e400, "whole number"),
        ("overlay", {}, "text"), ("overlay", "heat", "choose"), ("clip", None, "the last 30 seconds"),
    ):  # fmt: skip
        player.messages.clear()
        player.command(name, value)
        assert player.messages and told in player.messages[-1], (name, player.messages)
    assert player.speed == 0.25 and player.key == (1,)
    player.close()


def test_a_person_takes_over_and_hands_back():
    player = Player([Source("flappy")], seed=1)
    seat, frames = player.focus, player.frames()
    chosen = []
    seat.listeners.append(type("L", (), {"add": lambda s, step, a, p: chosen.append((int(a[0]), p)), "ended": print})())
    next(frames)
    player.command("take")
    for held in ([], ["space"], [], ["space", "x"]):
        player.command("held", held)
        next(frames)
    player.command("sticks", [0, 0, 1])
    player.command("held", [])
    next(frames)
    assert chosen == [(0, True), (1, True), (0, True), (1, True), (1, True)]
    player.command("take")
    next(frames)
    assert chosen[-1][1] is False and seat.human is None
    player.close()


def test_a_board_waits_for_its_person_and_answers_in_turn():
    player = Player([Source("go", env={"size": 5})], seed=1)
    seat, frames = player.focus, player.frames()
    moves = []
    seat.listeners.append(type("L", (), {"add": lambda s, step, a, p: moves.append((int(a[0]), p)), "ended": print})())
    next(frames)
    player.command("take")
    assert player.waits and not player.may_go_on()
    left, top, gap = seat.facts()["box"]
    player.command("click", [left + 2 * gap + 3, top + 1 * gap - 3])
    assert player.may_go_on()
    next(frames)
    assert moves == [(7, True)] and player.may_go_on()  # now the agent's turn
    next(frames)
    assert moves[1][1] is False and player.waits
    player.command("click", [left + 2 * gap, top + 1 * gap])  # taken: not legal
    assert player.waits
    player.command("held", ["return"])
    next(frames)
    assert moves[2] == (25, True)  # the pass
    player.close()


def test_a_forced_action_is_carried_out_whatever_is_pressed():
    legal = np.array([False, True, False, False])
    env = envs.make("breakout")
    human = Human("breakout", env)
    human.held = {"left"}
    assert human.action() == 3 and human.action(legal) == 1
    env.close()


def test_keys_and_axes():
    for name, dims in (("gym:Pendulum-v1", 1), ("kart", 2)):
        env = envs.make(name)
        assert len(axes_of(env)) == dims
        human = Human(name, env, envs.describe(name).driving)
        human.held = {"left"}
        for _ in range(30):
            action = human.action()
        assert action.shape == (dims,) and action[0] == pytest.approx(-1, abs=0.01)
        human.held, human.sticks = set(), [0.5, -0.25]
        assert human.action()[0] == pytest.approx(0.5 if name != "kart" else (0.5 - 0.06) / 0.94)  # hands rest so far
        env.close()
    env = envs.make("kart", control="discrete")
    keys = keys_of("kart", env)
    assert choose({"up", "left"}, keys) == 3 and choose(set(), keys) == 7 and choose({"space"}, keys) == 7
    env.close()


def test_a_person_takes_over_the_wheel_where_it_is_and_the_speed_that_the_kart_has():
    env = envs.make("kart", tracks="named", expert_info=True)
    _, info = env.reset(seed=3)
    wheels = []
    for _ in range(120):
        _, _, _, _, info = env.step(info["expert"])
        kart = env.unwrapped.batch.karts[0, 0]
        human = Human("kart", env, envs.describe("kart", control="speed").driving)
        wheels.append(float(kart[WHEEL]) / MAX_STEER)
        assert human.hands.steer == pytest.approx(wheels[-1], abs=1e-6)
        human.held = {"up"}
        target = (human.action()[1] + 1) / 2 * TOP_SPEED
        assert target >= speed_of(kart) > 0 or speed_of(kart) < 0.1  # gas is never a brake
    assert max(map(abs, wheels)) > 0.1 and speed_of(kart) > 5
    human.held, human.sticks = set(), [0.03, -1.0, 0.0]  # forward is gas, and the stick's middle steers straight on
    before = human.hands.target
    human.action()
    assert human.hands.target > before - 1e-6
    human.sticks = [0.0, 1.0, 0.0]
    assert (human.action()[1] + 1) / 2 * TOP_SPEED < speed_of(kart)
    env.close()


def test_two_agents_side_by_side_play_games_of_equal_seeds(runs):
    """The same agent twice must show the same picture twice, over several games."""
    source = find("flappy", runs)
    player = Player([source, source], seed=5, policy="greedy", episodes=3)
    for frame in player.frames():
        left, right = frame.picture[:, :288], frame.picture[:, -288:]
        assert (left == right).all()
    assert player.seats[0].scores == player.seats[1].scores and len(player.seats[0].scores) == 3
    player.close()
    other = Player([source, Source("flappy")], seed=5, episodes=2)
    assert sum(1 for _ in other.frames()) > 40 and [len(s.scores) for s in other.seats] == [2, 2]
    other.close()
    with pytest.raises(ValueError, match="side by side must be one game"):
        Player([source, Source("kart")])


def test_a_grid_of_copies():
    player = Player([Source("flappy")], copies=5, seed=1)
    frame = take(player, 3)[-1]
    assert frame.picture.shape == (2 * 512 + 4, 3 * 288 + 8, 3)
    assert (frame.picture[516:, -288:] == 24).all()  # the sixth place is empty
    player.close()


# A run that is training


def digest(folder):
    """Everything of a folder: names, contents and times of writing."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return [(str(p), hashlib.sha256(p.read_bytes()).hexdigest(), p.stat().st_mtime_ns) for p in files]


def test_watching_a_run_only_reads(runs, tmp_path, capsys, monkeypatch):
    before = digest(runs)
    argv = ["flappy", "--video", str(tmp_path / "a.mp4"), "--seconds", "0.5", "--panels", "--runs", str(runs)]
    assert program(watch.main, argv, capsys, monkeypatch)[0] == 0
    player = Player([find("flappy", runs, live=True)], seed=1)
    take(player, 30)
    player.close()
    assert digest(runs) == before


def test_a_follower_takes_each_newer_checkpoint_once(runs, monkeypatch):
    monkeypatch.setattr("experiments.watching.follower.PERIOD", 0.0)
    run = Run.open(runs / "flappy" / "ppo" / "default-s0")
    newest = checkpoint.steps(run.checkpoints)[-1]
    follower = Follower(run, 0)
    end = time.monotonic() + 60
    while (found := follower.newer()) is None and time.monotonic() < end:
        time.sleep(0.01)
    assert found[1] == newest and "network" in found[0]
    for _ in range(10):
        assert follower.newer() is None
        time.sleep(0.005)
    follower.close()


def test_live_begins_before_the_first_checkpoint(tmp_path, runs):
    source = runs / "flappy" / "ppo" / "default-s0"
    young = tmp_path / "flappy" / "ppo" / "young-s0"
    young.mkdir(parents=True)
    (young / "config.json").write_text((source / "config.json").read_text())
    player = Player([find("flappy", tmp_path, live=True)], seed=1)
    assert player.focus.at == -1 and player.focus.facts()["step"] == -1
    frames = player.frames()
    next(frames)
    (young / "checkpoints").symlink_to(source / "checkpoints")
    newest, end = checkpoint.steps(source / "checkpoints")[-1], time.monotonic() + 60
    while player.focus.at < newest and time.monotonic() < end:
        next(frames)
        time.sleep(0.005)
    assert player.focus.at == newest
    player.close()


# Videos


@pytest.mark.parametrize("suffix", ["mp4", pytest.param("gif", marks=pytest.mark.slow)])
def test_a_video_with_panels_has_the_exact_frames_and_length(runs, tmp_path, capsys, monkeypatch, suffix):
    path = tmp_path / f"out.{suffix}"
    argv = ["flappy", "--video", str(path), "--seconds", "2", "--panels", "--overlay", "gradient"]
    assert program(watch.main, [*argv, "--runs", str(runs)], capsys, monkeypatch)[0] == 0
    if suffix == "mp4":
        import imageio_ffmpeg

        frames, seconds = imageio_ffmpeg.count_frames_and_secs(str(path))
        assert frames == 60 and seconds == pytest.approx(2, abs=0.02)  # the game has 30 pictures per second
        return
    from PIL import Image

    with Image.open(path) as image:
        assert image.size == (288 + panels.WIDTH, 512)
        lengths = []
        for i in range(image.n_frames):
            image.seek(i)
            lengths.append(image.info["duration"])
    assert sum(lengths) == pytest.approx(2000, abs=10)  # ms; equal pictures are stored once, with their whole time


def test_a_small_gif_is_enlarged_by_a_whole_factor(tmp_path):
    from PIL import Image

    from experiments.video import Video, size_of

    picture = np.arange(210 * 160 * 3, dtype=np.uint32).reshape(210, 160, 3) // 400 % 256
    for high, wide, expected in (
        (210, 160, (320, 420)),
        (400, 600, (600, 400)),
        (84, 84, (420, 420)),
        (7, 5, (300, 420)),
    ):
        with Video(tmp_path / "x.gif", 20) as video:
            video.write(np.resize(picture.astype(np.uint8), (high, wide, 3)))
        assert size_of(tmp_path / "x.gif") == expected
    with Video(tmp_path / "y.gif", 20) as video:
        video.write(np.repeat(np.repeat(np.uint8([[[0, 0, 0], [255, 255, 255]]]), 105, 0), 80, 1))
    shown = np.asarray(Image.open(tmp_path / "y.gif").convert("L"))
    assert (shown[:, :320] < 9).all() and (shown[:, 320:] > 246).all()  # no blur


@pytest.mark.parametrize(
    ("game", "env", "keys", "names"),
    [
        ("gym:CartPole-v1", {}, {"left": 0, "right": 1}, ["left", "right"]),
        ("gym:CartPole-v0", {}, {"left": 0, "right": 1}, ["left", "right"]),
        ("gym:MountainCar-v0", {}, {"left": 0, "": 1, "right": 2}, ["left", "nothing", "right"]),
        ("gym:Acrobot-v1", {}, {"left": 0, "": 1, "right": 2}, ["left", "nothing", "right"]),
        ("gym:FrozenLake-v1", {}, {"left": 0, "down": 1, "right": 2, "up": 3}, ["left", "down", "right", "up"]),
        ("gym:LunarLander-v3", {}, {"": 0, "left": 1, "up": 2, "right": 3},
         ["nothing", "left engine", "main engine", "right engine"]),
    ],
)  # fmt: skip
def test_gymnasiums_own_games_have_arrow_keys(game, env, keys, names):
    from experiments.watching.human import Human, action_names

    made = envs.make(game, None, **env)
    human = Human(game, made)
    assert {" ".join(k): action for k, action in human.keys.items()} == keys
    assert action_names(game, made) == names
    for held, action in keys.items():
        human.held = {held} if held else set()
        if held:
            assert human.action() == action
    made.close()


def test_arrow_keys_of_a_lander_with_continuous_engines():
    from experiments.watching.human import Human

    made = envs.make("gym:LunarLanderContinuous-v3", None)
    human = Human("gym:LunarLanderContinuous-v3", made)
    assert human.known == ["down", "left", "right", "up"]
    human.held = {"up", "right"}
    for _ in range(12):
        action = human.action()
    assert action == pytest.approx([1, 1], abs=0.05)
    human.held = set()
    for _ in range(12):
        action = human.action()
    assert action == pytest.approx([-1, 0], abs=0.05)  # both engines off
    made.close()


def test_stages_are_joined(runs, tmp_path, capsys, monkeypatch):
    import imageio_ffmpeg

    path = tmp_path / "stages.mp4"
    argv = ["gym:CartPole-v1", "--milestones", "--seconds", "0.2", "--video", str(path), "--runs", str(runs)]
    assert program(watch.main, argv, capsys, monkeypatch)[0] == 0
    assert imageio_ffmpeg.count_frames_and_secs(str(path))[0] == 4 * 10
    code, _, err = program(
        watch.main, ["pong", "--milestones", "--video", str(path), "--runs", str(runs)], capsys, monkeypatch
    )
    assert code == 2 and "has kept no milestones" in err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["flappy", "--copies", "0"], "--copies 0"),
        (["flappy", "--copies", "2", "--milestones"], "--milestones shows one run"),
        (["flappy", "--web", "--video", "x.mp4"], "--web and --video"),
        (["flappy", "--live", "--video", "x.mp4"], "--live follows"),
        (["flappy", "--live"], "there is no run of it"),
        (["flappy", "pong", "--video", "x.mp4"], "must be one game"),
        (["flappy", "flappy", "--copies", "2", "--video", "x.mp4"], "--copies"),
        (["flappy", "--overlay", "gradient", "--video", "x.mp4"], "--overlay"),
        (["flappy", "--web", "--host", "203.0.113.1"], "is not an address of this machine"),
        (["flappy", "--web", "--host", ""], "--host '': must be an address"),
        (["flappy", "--web", "--host", "http://0.0.0.0"], "must be an address"),
        (["flappy", "--port", "-1", "--web"], "--port -1"),
        (["flappy", "--port", "99999", "--web"], "--port 99999"),
        ([], "name one game"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else "",
)
def test_mistakes(argv, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = program(watch.main, [*argv, "--runs", str(tmp_path / "none")], capsys, monkeypatch)
    assert code == 2 and message in err and "Traceback" not in err, err


# Recordings


def test_every_command_has_a_key_of_its_own():
    keys = [command.key for command in COMMANDS.values() if command.key]
    assert len(set(keys)) == len(keys) == len(KEYS)


@pytest.mark.slow
def test_no_page_or_window_is_loaded_for_a_video():
    code = "import sys, experiments.watch; print(sorted({'aiohttp', 'pygame'} & set(sys.modules)))"
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=300
    )
    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize("game", ["flappy", "kart", "breakout", "gym:CartPole-v1"])
def test_a_game_that_describes_itself_is_opened_once(game: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A screen or a car cannot be opened just to read what it is."""
    opened: list[str] = []
    for name in ("make", "make_vec"):
        real = getattr(envs, name)
        monkeypatch.setattr(envs, name, lambda *a, real=real, name=name, **k: [opened.append(name), real(*a, **k)][1])
    seat = Seat(Source(game, env=envs.defaults(game)))
    try:
        assert seat.protocol and seat.spec.stack >= 1
        declared = envs.describe(game).frame_stack is not None
        assert declared == (game != "gym:CartPole-v1")
        assert opened == ["make"] if declared else len(opened) > 1
    finally:
        seat.close()
