"""The player behind window, page and video: what it shows, what it obeys, and that watching only reads."""

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from test_cli import program

import envs
from agents import AGENTS, BASELINES
from agents.core import checkpoint
from agents.core.loop import Clock
from agents.core.run import Run
from agents.perception import preprocess
from experiments import lab, train, watch
from experiments.watching import panels
from experiments.watching.human import Human, axes_of, choose, keys_of
from experiments.watching.overlay import blend
from experiments.watching.player import COMMANDS, SPEEDS, Player, drive
from experiments.watching.rows import Rows, read, read_manifest
from experiments.watching.source import Follower, Source, find

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module", autouse=True)
def dummy_display():
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A tiny PPO on Breakout-like pictures and a tiny DQN on vectors, with all their stages."""
    root = tmp_path_factory.mktemp("runs")
    common = ["--eval-episodes", "0", "--video", "no", "--runs", str(root)]
    for argv in (
        ["flappy", "--agent", "ppo", "--steps", "400", "--num-envs", "4", "--rollout", "8", "--hidden", "16",
         "--checkpoint-every", "200", "--frame-skip", "1", "--reward", "seed", "--evaluation", "sampled"],
        ["gym:CartPole-v1", "--agent", "dqn", "--steps", "400", "--num-envs", "4", "--hidden", "16", "--warmup", "50",
         "--checkpoint-every", "200"],
    ):  # fmt: skip
        with pytest.raises(SystemExit) as stop:
            train.main([*argv, *common])
        assert not stop.value.code
    return root


def take(player, count):
    """The next pictures of a player."""
    frames = player.frames()
    return [next(frames) for _ in range(count)]


# What is watched


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
    assert lab.stages(run) == [0, 1, 10, 100]
    found = {}
    for percent in lab.stages(run):
        parts, meta = checkpoint.load(lab.stage_folder(run, percent))
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


def small(agent):
    """A small configuration of any agent."""
    code = lab.module(agent)
    wanted = dict(hidden=16, encoder="small", rollout=4, replay=200, warmup=50, precision="fp32", atoms=11)
    known = lab.fields(code.Config)
    return {**code.PRESETS.get(agent, {}), **{k: v for k, v in wanted.items() if k in known}}


FAMILIES = [a for a in AGENTS if a in ("ppo", "a2c", "dqn", "c51", "qrdqn", "iqn", "rainbow", "pqn")]


@pytest.mark.parametrize("agent", [*FAMILIES, "sb3-ppo", "sb3-a2c", "sb3-dqn"])
def test_the_explanation_is_what_the_agent_acts_by(agent):
    """Greedy actions are the best of the explained ones, illegal ones apart; nothing is drawn from generators."""
    from agents.core.rows import Spec, TimeStep

    spec, n = Spec((84, 84), "uint8", 4, num_actions=5), 6
    config = {"agent": agent, "agent_config": small(agent), "seed": 1, "num_envs": n}
    player = lab.build_agent(config, spec, Clock(1000), torch.device("cpu"))
    generator = torch.Generator().manual_seed(2)
    obs = torch.randint(0, 256, (n, 4, 84, 84), dtype=torch.uint8, generator=generator)
    legal = torch.rand((n, 5), generator=generator) < 0.6
    legal[:, 0] = True
    if agent in BASELINES:  # they choose without looking at `legal`; the adapter replaces illegal choices
        legal[:] = True
    zero, no = torch.zeros(n), torch.zeros(n, dtype=torch.bool)
    step = TimeStep(obs, zero, zero + 1, no, no, legal)
    before = {k: v.clone() for k, v in player.state_dict().items() if isinstance(v, torch.Tensor)}
    with torch.no_grad():
        told = player.explain(step)
        again = player.explain(step)
    for name, tensor in before.items():
        assert torch.equal(player.state_dict()[name], tensor), name
    key = "values" if "values" in told else "probabilities"
    assert torch.equal(told[key], again[key]) and told[key].shape == (n, 5) and told["value"].shape == (n,)
    best = torch.where(legal, told[key], torch.tensor(-1e9)).argmax(1)
    assert torch.equal(best, player.act(step, explore=False).action)
    if key == "probabilities":
        np.testing.assert_allclose(told[key].sum(1), 1, rtol=1e-4)
        assert not (told[key] * ~legal).max() > 1e-6
    floating = step._replace(obs=obs.float().requires_grad_(True))
    (slope,) = torch.autograd.grad(player.explain(floating)["value"].sum(), floating.obs)
    assert torch.isfinite(slope).all() and float(slope.abs().max()) > 0


def test_a_continuous_policy_tells_its_means(tmp_path):
    from agents.core.rows import Spec, TimeStep

    config = {"agent": "ppo", "agent_config": small("ppo") | {"encoder": "auto"}, "seed": 1, "num_envs": 2}
    agent = lab.build_agent(config, Spec((3,), "float32", 1, action_dim=2), Clock(1), torch.device("cpu"))
    step = TimeStep(torch.randn(2, 1, 3), *torch.zeros(2, 2), *torch.zeros(2, 2, dtype=torch.bool))
    with torch.no_grad():
        told = agent.explain(step)
    assert torch.equal(told["mean"], agent.act(step, explore=False).action) and (told["deviation"] > 0).all()


def test_overlays_lie_over_the_picture(runs):
    player = Player([find("flappy", runs)], seed=1)
    frames = player.frames()
    for _ in range(5):
        plain = next(frames)
    for name in ("gradient", "occlusion"):
        player.command("overlay", name)
        assert not player.messages
        over = player.redrawn().picture
        assert (over != plain.picture).any() and over.shape == plain.picture.shape
        next(frames)
    player.command("overlay", "off")
    player.command("overlay", "nonsense")
    assert "choose off, gradient, occlusion" in player.messages[-1]
    player.close()


def test_the_heat_lies_where_the_observation_was_taken_from():
    """A mark in the observation and the heat of that very place meet in the picture."""
    env = envs.make("flappy", "rgb_array")
    frame, _ = env.reset(seed=1)
    for _ in range(10):
        frame, *_ = env.step(0)
    left, top, width, height = env.unwrapped.seen_box()
    part = preprocess.grey(env.render())[top : top + height, left : left + width]
    assert np.abs(preprocess.resize(part, 84, 84).astype(int) - frame).mean() < 6  # else the box is another
    heat = np.zeros((84, 84), np.float32)
    heat[40:44, 10:14] = 1
    changed = (blend(env.render(), heat, (left, top, width, height)) != env.render()).any(2)
    rows, columns = np.nonzero(changed)
    assert abs(rows.mean() - (top + 42 * height / 84)) < 2 and abs(columns.mean() - (left + 12 * width / 84)) < 2
    env.close()
    for view, box in (("chase", None), ("kart", (0, 0.36 * 360, 480, (1 - 0.36 - 0.2) * 360))):
        env = envs.make("kart", view=view, camera="kart", obs="pilotnet")
        assert env.unwrapped.seen_box() == (box if box is None else pytest.approx(box))
        env.close()


def test_a_board_gets_its_policy(runs):
    player = Player([Source("go", env={"size": 5})], seed=1)
    seat = player.focus

    class Told:
        evaluation = "sampled"
        act = seat.agent.act

        def explain(self, step, memory=None):
            return {"policy": torch.rand(1, 26), "ownership": torch.ones(1, 25), "value": torch.ones(1),
                    "winrate": torch.tensor([0.7])}  # fmt: skip

    seat.agent = Told()
    take(player, 4)
    assert seat.overlays() == ["off", "policy", "ownership"] and seat.facts()["winrate"] == pytest.approx(0.7)
    plain = player.redrawn().picture
    for name in ("policy", "ownership"):
        player.command("overlay", name)
        assert (player.redrawn().picture != plain).any()
    assert list(seat.values) == [None, 1.0, -1.0, 1.0][: len(seat.values)] or seat.values[-1] in (1.0, -1.0)
    player.close()


# What it obeys


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
        ("seed", -1, "seed"), ("seed", "x", "invalid literal"), ("speed", "nan", "speed"), ("policy", "best", "policy"),
        ("speed", None, "float"), ("dance", None, "there is no command"), ("held", 5, "not iterable"),
        ("sticks", ["a"], "could not convert"), ("click", [1], "not enough values"), ("seed", 1e400, "infinity"),
        ("overlay", {}, "choose"),
    ):  # fmt: skip
        if name in ("held", "sticks", "click") and player.focus.human is None:
            player.command("take", True)
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
        human = Human(name, env)
        human.held = {"left"}
        for _ in range(30):
            action = human.action()
        assert action.shape == (dims,) and action[0] == pytest.approx(-1, abs=0.01)
        human.held, human.sticks = set(), [0.5, -0.25]
        assert human.action()[0] == pytest.approx(0.5)
        env.close()
    env = envs.make("kart", control="discrete")
    keys = keys_of("kart", env)
    assert choose({"up", "left"}, keys) == 3 and choose(set(), keys) == 7 and choose({"space"}, keys) == 7
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
    argv = ["flappy", "--video", str(tmp_path / "a.mp4"), "--seconds", "0.5", "--panels", "yes", "--runs", str(runs)]
    assert program(watch.main, argv, capsys, monkeypatch)[0] == 0
    player = Player([find("flappy", runs, live=True)], seed=1)
    take(player, 30)
    player.close()
    assert digest(runs) == before


def test_a_follower_takes_each_newer_checkpoint_once(runs, monkeypatch):
    monkeypatch.setattr("experiments.watching.source.PERIOD", 0.0)
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
    argv = ["flappy", "--video", str(path), "--seconds", "2", "--panels", "yes", "--overlay", "gradient"]
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


def test_stages_are_joined(runs, tmp_path, capsys, monkeypatch):
    import imageio_ffmpeg

    path = tmp_path / "stages.mp4"
    argv = ["gym:CartPole-v1", "--stages", "--seconds", "0.2", "--video", str(path), "--runs", str(runs)]
    assert program(watch.main, argv, capsys, monkeypatch)[0] == 0
    assert imageio_ffmpeg.count_frames_and_secs(str(path))[0] == 4 * 10
    code, _, err = program(
        watch.main, ["pong", "--stages", "--video", str(path), "--runs", str(runs)], capsys, monkeypatch
    )
    assert code == 2 and "has kept no stages" in err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["flappy", "--copies", "0"], "--copies 0"),
        (["flappy", "--copies", "2", "--stages"], "--stages shows one run"),
        (["flappy", "--web", "--video", "x.mp4"], "--web and --video"),
        (["flappy", "--live", "--video", "x.mp4"], "--live follows"),
        (["flappy", "--live"], "there is no run of it"),
        (["flappy", "pong", "--video", "x.mp4"], "must be one game"),
        (["flappy", "flappy", "--copies", "2", "--video", "x.mp4"], "--copies"),
        (["flappy", "--overlay", "gradient", "--video", "x.mp4"], "--overlay"),
        (["flappy", "--web", "--host", "203.0.113.1"], "cannot listen on 203.0.113.1"),
        (["flappy", "--port", "-1", "--web"], "--port -1"),
        ([], "name one game"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else "",
)
def test_mistakes(argv, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = program(watch.main, [*argv, "--runs", str(tmp_path / "none")], capsys, monkeypatch)
    assert code == 2 and message in err and "Traceback" not in err, err


# Recordings


def test_recorded_rows_are_those_of_the_game(tmp_path):
    player = Player([Source("flappy")], seed=4, episodes=2)
    rows = Rows(tmp_path / "data", "flappy", {}, player.focus.spec)
    seen = []

    class Witness:
        def add(self, step, action, person):
            seen.append((step.obs[0, -1].numpy().copy(), int(action[0]), float(step.reward[0]), bool(step.last[0])))

        def ended(self, score):
            self.score = score

    player.focus.listeners += [rows, Witness()]
    for _ in player.frames():
        if rows.count % 30 == 29:
            rows.flush()
    rows.close()
    player.close()
    columns = list(read(tmp_path / "data"))
    assert len(columns) > 1 and read_manifest(tmp_path / "data")["games"] == 2
    whole = {k: np.concatenate([c[k] for c in columns]) for k in columns[0]}
    assert len(whole["obs"]) == len(seen) == rows.count
    for name, place in (("obs", 0), ("action", 1), ("reward", 2), ("last", 3)):
        np.testing.assert_array_equal(whole[name], np.array([row[place] for row in seen]).astype(whole[name].dtype))
    with pytest.raises(ValueError, match="another game"):
        Rows(tmp_path / "data", "pong", {}, player.focus.spec)
    again = Rows(tmp_path / "data", "flappy", {}, player.focus.spec)
    assert again.count == len(seen)
    path = tmp_path / "data" / "000001.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ValueError, match="is damaged"):
        list(read(tmp_path / "data"))
    (tmp_path / "data" / "manifest.json").write_text("[]")
    with pytest.raises(ValueError, match="no recording"):
        read_manifest(tmp_path / "data")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("x")
    with pytest.raises(ValueError, match="name another folder"):
        Rows(tmp_path / "other", "flappy", {}, player.focus.spec)


def test_races_of_the_kart_become_a_dataset_of_driving(tmp_path):
    from envs.tub import Tub
    from experiments.watching.driving import Laps

    player = Player([Source("kart", env={"obs": "trunk", "control": "speed"})], seed=1, seconds=1.5)
    laps, seen = Laps(tmp_path / "tub", player.focus), []
    player.focus.listeners += [laps, type("L", (), {"add": lambda s, t, a, p: seen.append((t, a)), "ended": print})()]
    player.command("take", True)
    player.command("held", ["up", "left"])
    for _ in player.frames():
        pass
    laps.close()
    player.close()
    tub = Tub(tmp_path / "tub")
    assert not tub.damaged and len(tub.records["user/angle"]) == len(seen) == laps.count == 29
    np.testing.assert_allclose(tub.records["user/angle"], [float(a[0, 0]) for _, a in seen], atol=1e-6)
    assert tub.records["user/angle"][-1] < -0.9 and set(tub.records["user/mode"]) == {"user"}
    assert np.abs(tub.image(3).astype(float) - seen[3][0].obs[0, -1].numpy()).mean() < 4  # JPEG


def test_driving_limits_the_pace_and_asks_the_screen():
    """Half a second of a 30 fps game at twice its speed takes a quarter of a second; nobody looks: it stands."""

    class Counter:
        def __init__(self):
            self.frames, self.eyes, self.queue = 0, True, []

        def show(self, player, frame):
            self.frames += 1

        def commands(self, player):
            taken, self.queue = self.queue, []
            return taken

        def looks(self):
            return self.eyes

    player, screen = Player([Source("flappy")], seed=1, seconds=1.0), Counter()
    player.speed = 2.0
    began = time.monotonic()
    drive(player, screen)
    assert screen.frames == 30 and 0.4 < time.monotonic() - began < 5
    player.close()
    player, screen = Player([Source("flappy")], seed=1, seconds=1.0), Counter()
    screen.eyes, asked = False, []
    screen.commands = lambda player: asked.append(1) or ([("quit", None)] if len(asked) > 20 else [])
    drive(player, screen)
    assert screen.frames == 0 and player.ended
    player.close()


def test_every_command_has_a_key_of_its_own():
    keys = [key for key, _ in COMMANDS.values()]
    assert len(set(keys)) == len(keys)


def test_play_has_a_table_and_refuses_mistakes(runs, tmp_path, capsys, monkeypatch):
    from experiments import play

    folder = tmp_path / "flappy" / "ppo" / "x-s0"
    folder.mkdir(parents=True)
    (folder / "eval.json").write_text('{"mean": 12.5}')
    (folder.parent / "y-s0").mkdir()
    (folder.parent / "y-s0" / "eval.json").write_text("{")
    lines = play.table(tmp_path, "flappy", [3.0, 20.0]).splitlines()
    assert [line.split()[0] for line in lines] == ["20.0", "12.5", "11.5"]
    for argv, message in (
        (["flappy", "--speed", "0"], "--speed 0"), (["flapy"], "did you mean flappy"),
        (["flappy", "--env", "gap=7"], "gap must be from"), (["flappy", "--env", "wind=7"], "wind: no such field"),
        (["flappy", "--seed", "-1"], "--seed -1"), (["gym:NoSuch-v1"], "NoSuch"),
    ):  # fmt: skip
        code, _, err = program(play.main, argv, capsys, monkeypatch)
        assert code == 2 and message in err and "Traceback" not in err, err


@pytest.mark.slow
def test_no_page_or_window_is_loaded_for_a_video():
    code = "import sys, experiments.watch; print(sorted({'aiohttp', 'pygame'} & set(sys.modules)))"
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=300
    )
    assert shown.stdout.strip() == "[]"
    assert set(BASELINES)
