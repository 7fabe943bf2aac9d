"""What `watch` finds and shows, the run that it follows, and that watching only reads."""

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from programs import program
from screen_trial import trial
from watched import take

import envs
from agents.core import checkpoint
from agents.core.run import Run, RunError
from agents.core.stream import Stream
from envs.gym_check import GameFault
from experiments import overlay, players, watch
from experiments.watching import panels
from experiments.watching.follower import Follower
from experiments.watching.opening import rendered
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
    player = Player([Source(game, env=trial(game))], seed=3)
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


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["flappy", "--copies", "0"], "--copies 0"),
        (["flappy", "--copies", "2", "--milestones"], "--milestones shows one run"),
        (["flappy", "--web", "--video", "x.mp4"], "--web and --video"),
        (["flappy", "--live", "--video", "x.mp4"], "--live follows"),
        (["flappy", "--live"], "there is no run of it"),
        (["flappy", "--live", "--env", "gap=200"], "there is no run of it with gap=200"),
        (["flapy", "--env", "gap=200"], "did you mean flappy"),
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


def test_a_live_run_has_the_options_that_are_asked_for_and_a_checkpoint_is_not_live(runs):
    run = Run.open(runs / "flappy" / "ppo" / "default-s0")
    options = run.config["env"]
    assert find("flappy", runs, live=True, env={"gap": options["gap"]}).run.path == run.path
    with pytest.raises(RunError, match="with gap=7"):
        find("flappy", runs, live=True, env={"gap": 7})
    path = str(run.checkpoints / f"{checkpoint.steps(run.checkpoints)[0]:012d}")
    for more in (dict(live=True), dict(step=5)):
        with pytest.raises(RunError, match="is a checkpoint itself"):
            find(path, runs, **more)


def test_the_shortest_play_has_one_picture():
    """A game of few pictures a second does not go on for ever where less than one of them is asked for."""
    player = Player([Source("gym:FrozenLake-v1")], seed=1, seconds=0.05, panels=False)
    assert player.fps < 10 and sum(1 for _, _ in zip(player.frames(), range(9), strict=False)) == 1
    player.close()


def test_pictures_of_two_sizes_stand_side_by_side():
    shown = overlay.tile([np.full((4, 6, 3), 9, np.uint8), np.full((5, 2, 3), 8, np.uint8)], 2, gap=1, ground=0)
    assert shown.shape == (5, 13, 3) and (shown[:4, :6] == 9).all() and (shown[:5, 7:9] == 8).all()
    assert shown.sum() == 3 * (9 * 24 + 8 * 10)


def test_a_game_that_shows_nothing_new_goes_on_and_one_without_any_picture_is_told(monkeypatch):
    player = Player([Source("flappy")], seed=1, panels=False)
    frames = player.frames()
    first = next(frames).picture
    monkeypatch.setattr(player.focus, "pictures", lambda: [[]])
    assert all((next(frames).picture == first).all() for _ in range(3))
    assert player.focus.moves == 3 and player.focus._decided_for is player.focus.step
    player.close()
    with pytest.raises(GameFault, match="x: render.. gave no picture"):
        rendered(SimpleNamespace(render=list, shape=None, name="x"))


def test_a_seat_that_cannot_be_filled_leaves_no_game_open(monkeypatch):
    closed = []
    real = Stream.close
    monkeypatch.setattr(Stream, "close", lambda stream: [closed.append(stream), real(stream)])
    monkeypatch.setattr(Seat, "load", lambda seat, source: 1 / 0 if source.note else load(seat, source))
    with pytest.raises(ZeroDivisionError):
        Player([Source("flappy"), Source("flappy", note="broken")])
    assert len(closed) == 2


load = Seat.load
