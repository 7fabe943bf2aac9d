"""The front page without a browser: what it serves, what it refuses, and jobs that outlive it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from runfolders import make

from agents.core.run import Run
from experiments import child, home, references
from experiments.comparing import evaluations
from experiments.front import games, house, jobs, ledger, thumbnails, visits
from experiments.watching import player
from experiments.web.server import Server

CARTPOLE = "gym:CartPole-v1"


@pytest.fixture
def place(tmp_path: Path):
    """A house on a server that does not listen, with runs of made-up figures."""
    root = tmp_path / "runs"
    make(root, 0, 50.0)
    make(root, 1, 60.0)
    make(root, 2, None, steps=5000)
    made = house.join(Server(), root, tmp_path / "data")
    yield made
    made.close()


def asked(place: house.House, name: str, value: object) -> dict:
    """The answer to one command of a page."""
    heard: list[dict] = []
    place._heard(SimpleNamespace(send=heard.append), {"type": "command", "name": name, "value": value, "ask": 7})
    end = time.monotonic() + 60
    while not heard:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert heard[0]["ask"] == 7
    return heard[0]


def served(place: house.House, path: str, **query: str) -> object:
    content, media = place._get(path, query)
    assert media == "application/json"
    return json.loads(content)


def test_the_list_is_that_of_runs_and_follows_changes(place: house.House) -> None:
    found = served(place, "runs")
    rows = {row["name"]: row for row in found["runs"]}
    assert set(rows) == {f"breakout/ppo/default-s{seed}" for seed in range(3)} and found["jobs"] == []
    one = rows["breakout/ppo/default-s1"]
    assert one["score"] == {"value": 60.0, "protocol": "baselines", "games": 30} and one["state"] == "finished"
    assert rows["breakout/ppo/default-s2"]["state"] == "unfinished" and len(one["spark"]) == 10
    path = place.root / "breakout/ppo/default-s2"
    with child.lock(path / child.LOCK):
        assert {r["name"]: r["state"] for r in served(place, "runs")["runs"]}["breakout/ppo/default-s2"] == "training"
    with open(path / "metrics.jsonl", "a") as file:
        file.write('{"steps": 10000, "train/return": 7.5, "clock/seconds": 99.0}\n')
    row = next(r for r in served(place, "runs")["runs"] if r["name"] == "breakout/ppo/default-s2")
    assert row["steps"] == 10000 and row["live"]["train/return"] == 7.5 and row["state"] == "finished"
    detail = served(place, "run", name="breakout/ppo/default-s0")
    assert detail["curves"]["train/return"][-1] == [10000.0, pytest.approx(1.667, abs=1e-3), 50.0]


def test_an_unchanged_run_is_read_once(place: house.House, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    look = ledger.look
    monkeypatch.setattr(ledger, "look", lambda root, path: (read.append(path), look(root, path))[1])
    place.ledger.runs()
    place.ledger.runs()
    assert len(read) == 3
    os.utime(place.root / "breakout/ppo/default-s0/metrics.jsonl")
    place.ledger.runs()
    assert len(read) == 4


@pytest.mark.parametrize("name", ["../../etc", "/etc", "breakout", "breakout/ppo/../ppo/default-s0", "", "x" * 300])
def test_only_listed_runs_are_touched(place: house.House, name: str) -> None:
    for command, value in (("delete", [name]), ("evaluate", {"run": name, "episodes": 1}), ("resume", {"run": name}),
                           ("tag", {"run": name, "tag": "x", "remove": False}), ("compare", [name])):  # fmt: skip
        answer = asked(place, command, value)
        assert answer["type"] == "refused" and "there is no run" in answer["text"]
    with pytest.raises(ValueError, match="there is no run"):
        place._get("run", {"name": name})
    with pytest.raises(ValueError, match="there is no run"):
        place._get("video", {"run": name, "file": "config.json"})


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("train", {"game": "--help"}, "there is no game"),
        ("train", {"game": "braekout"}, "did you mean breakout"),
        ("train", {"game": "gym:os:Thing-v0"}, "imports a module of somebody else"),
        ("train", {"game": "breakout", "minutes": 1, "steps": 5}, "name one budget"),
        ("train", {"game": "breakout", "init": "nothing"}, "there is no run"),
        ("visit", {"mode": "watch", "what": ["gym:os:Thing-v0"]}, "imports a module"),
        ("board", "breakout", "has no board"),
        ("recording", "../runs", "there is no recording"),
        ("stop", {"job": "../x"}, "does not run any more"),
        ("stop", {"run": "breakout/ppo/default-s0"}, "nobody trains it"),
        ("tag", {"run": "breakout/ppo/default-s0", "tag": "--all", "remove": False}, "a tag is a word"),
        ("tag", {"run": "breakout/ppo/default-s0", "tag": " --remove", "remove": False}, "a tag is a word"),
        ("restore", None, "the trash is empty"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_one_sentence(place: house.House, name: str, value: object, told: str) -> None:
    answer = asked(place, name, value)
    assert answer["type"] == "refused" and told in answer["text"] and place.jobs.listed() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("train", {"game": "breakout", "runs": "/tmp"}), ("train", {"game": "breakout", "minutes": float("inf")}),
     ("train", {"game": 3}), ("erase", []), ("visit", {"mode": "run", "what": ["x"]}), ("delete", [])],
)  # fmt: skip
def test_what_is_no_command_is_refused_at_the_door(place: house.House, name: str, value: object) -> None:
    with pytest.raises(ValueError):
        place._heard(SimpleNamespace(send=print), {"type": "command", "name": name, "value": value})


def test_deleted_to_the_trash_tagged_restored_and_compared(place: house.House) -> None:
    names = ["breakout/ppo/default-s0", "breakout/ppo/default-s1"]
    assert asked(place, "tag", {"run": names[0], "tag": "good", "remove": False})["type"] == "done"
    assert next(r for r in served(place, "runs")["runs"] if r["name"] == names[0])["tags"] == ["good"]
    made = asked(place, "compare", [*names, "breakout/ppo/default-s2"])
    assert made["tables"][0]["rows"][0][0] == "ppo" and any("default-s2" in x for x in made["lists"][-1]["lines"])
    content, media = place._get(made["picture"].removeprefix("data/"), {})
    assert media == "image/png" and content.startswith(b"\x89PNG")
    assert asked(place, "delete", names)["type"] == "done"
    found = served(place, "runs")
    assert [row["name"] for row in found["runs"]] == ["breakout/ppo/default-s2"] and found["trash"] == 2
    assert asked(place, "restore", None)["type"] == "done"
    assert len(served(place, "runs")["runs"]) == 3


def until(wanted, seconds: float = 120.0):
    end = time.monotonic() + seconds
    while not (found := wanted()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return found


def test_a_training_outlives_the_page_is_stopped_by_another_and_resumed(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    first = house.join(Server(), root, tmp_path)
    value = {"game": CARTPOLE, "steps": 10**7, "seed": 3, "name": "--mine of me"}
    answer = asked(first, "train", value)
    assert answer["type"] == "done", answer
    until(lambda: first.listing()["jobs"][0]["name"])
    first.close()
    second = house.join(Server(), root, tmp_path)
    (job,) = until(lambda: [j for j in second.listing()["jobs"] if j["running"] and j["name"]])
    row = until(lambda: next((r for r in second.listing()["runs"] if r["state"] == "training" and r["steps"]), None))
    assert row["game"] == CARTPOLE and row["seed"] == 3
    assert int((Path(row["path"]) / child.LOCK).read_text()) > 0
    assert asked(second, "stop", {"run": row["name"]})["type"] == "done"
    until(lambda: not second.listing()["jobs"][0]["running"])
    assert "saved at step" in second.jobs.output(job["job"])
    row = next(r for r in second.listing()["runs"])
    assert row["state"] == "unfinished" and row["resumable"]
    steps = row["steps"]
    assert asked(second, "resume", {"run": row["name"], "steps": steps + 4000})["type"] == "done"
    until(lambda: next(r for r in second.listing()["runs"])["state"] == "finished")
    assert Run.open(Path(row["path"])).config["steps"] == steps + 4000
    until(lambda: not any(j["running"] for j in second.listing()["jobs"]))


def test_a_number_of_a_process_that_is_used_again_is_left_alone(tmp_path: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        kept = jobs.Jobs(tmp_path)
        kept.folder.mkdir()
        about = {"program": "train", "argv": ["breakout"], "pid": other.pid, "started": 1.0}
        (kept.folder / "one.json").write_text(json.dumps(about))
        (kept.folder / "torn.json").write_text("{")
        (kept.folder / "odd.json").write_text('{"program": 3}')
        (job,) = kept.listed()
        assert not job["running"]
        with pytest.raises(ValueError, match="does not run"):
            kept.stop("one")
        path = make(tmp_path, 0, None, steps=100)
        with child.lock(path / child.LOCK) as held:
            os.write(held, str(other.pid).encode())
            with pytest.raises(ValueError, match="stop it where it was started"):
                jobs.stop_training(path)
        assert other.poll() is None
    finally:
        other.kill()


@pytest.mark.parametrize("how", [["joypad", "train", "pong"], ["experiments", "train", "pong"]])
def test_a_training_of_a_terminal_is_stopped_however_it_was_called(tmp_path: Path, how: list[str]) -> None:
    """`joypad train` and `python -m experiments train` have other command lines than `python -m experiments.train`."""
    (tmp_path / how[0]).write_text("import time\ntime.sleep(60)\n")
    process = subprocess.Popen([sys.executable, str(tmp_path / how[0]), *how[1:]])
    try:
        path = make(tmp_path, 0, None, steps=100)
        with child.lock(path / child.LOCK) as held:
            os.write(held, str(process.pid).encode())
            until(lambda: b"train" in Path(f"/proc/{process.pid}/cmdline").read_bytes())
            jobs.stop_training(path)
        assert process.wait(60) == -signal.SIGTERM
    finally:
        process.kill()


def test_another_run_of_the_same_program_is_not_the_job(tmp_path: Path) -> None:
    code = "import time; time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", code, "experiments.train", "pong", "--seed=1"])
    try:
        kept = jobs.Jobs(tmp_path)
        kept.folder.mkdir()
        for name, argv in (("mine", ["pong", "--seed=1"]), ("older", ["pong", "--seed=2"])):
            about = {"program": "train", "argv": argv, "pid": other.pid, "started": 1.0}
            (kept.folder / f"{name}.json").write_text(json.dumps(about))
        until(lambda: b"pong" in Path(f"/proc/{other.pid}/cmdline").read_bytes())
        assert {job["job"]: job["running"] for job in kept.listed()} == {"mine": True, "older": False}
    finally:
        other.kill()


class Toy:
    """A play that lasts until it is told to end."""

    fps = 30.0

    def __init__(self) -> None:
        self.ended, self.closed = False, False

    def close(self) -> None:
        self.closed = True


def test_plays_of_one_game_end_apart_and_are_counted(place: house.House, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Toy] = []
    monkeypatch.setattr(visits, "_player", lambda *_: made.append(Toy()) or made[-1])
    monkeypatch.setattr(player, "drive", lambda toy, screen: until(lambda: toy.ended))
    assert place.visits.play("play", ["flappy"]) != place.visits.play("play", ["flappy"])
    assert place.visits.play("watch", ["flappy"]) == place.visits.play("watch", ["flappy"])
    place.visits.play("race", ["flappy"])
    with pytest.raises(ValueError, match="4 games are open already"):
        place.visits.play("play", ["flappy"])
    made[0].ended = True
    until(lambda: made[0].closed and len(place.server.pages) == 4)
    assert not made[1].closed and place.visits.play("play", ["kart"])
    place.close()
    assert all(toy.closed for toy in made) and list(place.server.pages) == ["home"]
    place.server.stop()


def test_what_nobody_foresaw_is_answered_and_holds_no_place(place: house.House, monkeypatch, caplog) -> None:
    monkeypatch.setattr(visits, "_player", lambda *_: {}["a fault of ours"])
    for _ in range(visits.MOST + 1):
        answer = asked(place, "visit", {"mode": "watch", "what": ["flappy"]})
        assert answer["type"] == "refused" and "its terminal says why" in answer["text"]
    assert "visit could not be done: KeyError: 'a fault of ours'" in caplog.text
    assert place.visits._players == {} and place.visits._watched == {}


def test_numbers_that_json_has_not_reach_no_page(place: house.House) -> None:
    path = place.root / "breakout/ppo/default-s0"
    path.joinpath(evaluations.FILE).write_text('{"mean": NaN, "median": -Infinity, "protocol": "baselines"}\n')
    content, _ = place._get("run", {"name": "breakout/ppo/default-s0"})
    told = json.loads(content, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert told["evaluations"][-1]["mean"] is None and told["evaluations"][0]["mean"] == 50.0


def test_a_run_that_goes_at_this_moment_or_is_the_folder_itself_spoils_no_list(place: house.House, monkeypatch) -> None:
    look = ledger.look

    def gone(root: Path, path: Path) -> object:
        if path.name == "default-s1":
            raise FileNotFoundError(path)
        return look(root, path)

    monkeypatch.setattr(ledger, "look", gone)
    assert {row["name"][-2:] for row in served(place, "runs")["runs"]} == {"s0", "s2"}
    (row,) = ledger.Ledger(place.root / "breakout/ppo/default-s0").runs()
    assert row["game"] == "breakout"


def test_references_alone_are_compared_in_a_folder_that_is_not_there_yet(place: house.House, tmp_path: Path) -> None:
    paths = [place.ledger.path_of(f"breakout/ppo/default-s{seed}") for seed in (0, 1)]
    elsewhere = house.join(Server(), tmp_path / "none" / "yet")
    elsewhere.ledger.path_of = dict(zip(("one", "two"), paths, strict=True)).__getitem__
    assert asked(elsewhere, "compare", ["one", "two"])["type"] == "done"


def test_one_tensorboard_shows_the_same_runs_and_ends_with_the_house(place: house.House, monkeypatch) -> None:
    started: list[subprocess.Popen] = []

    def start(program: str, argv: list[object], log: Path) -> subprocess.Popen:
        code = f"import time; print('  http://127.0.0.1:{6006 + len(started)}/scores', flush=True); time.sleep(60)"
        log.parent.mkdir(exist_ok=True)
        with open(log, "ab") as file:
            started.append(subprocess.Popen([sys.executable, "-c", code], stdout=file))
        return started[-1]

    monkeypatch.setattr(child, "start", start)
    names = [f"breakout/ppo/default-s{seed}" for seed in range(3)]
    first = asked(place, "tensorboard", names[:2])
    assert first["outside"] == "http://127.0.0.1:6006/scores"
    assert asked(place, "tensorboard", names[1::-1])["outside"] == first["outside"] and len(started) == 1
    for name in names:  # more than there may be at once: the oldest gives way
        assert asked(place, "tensorboard", [name])["type"] == "done"
    assert started[0].wait(30) and len(started) == 4 and len(list(place.jobs.folder.glob("*.log"))) == house.BOARDS
    place.close()
    assert all(process.wait(30) for process in started) and not list(place.jobs.folder.glob("*.log"))


def test_figures_of_the_literature_say_their_protocol(place: house.House) -> None:
    path = str(place.root / "breakout/ppo/default-s0")
    found = games.others(place.root, "breakout", {"path": path, "score": {"value": 50.0, "protocol": "baselines"}})
    assert {one["who"]: one["protocol"] for one in found} == dict.fromkeys(("random", "human", "Nature DQN"), "nature")


def test_cards_tell_the_best_agent_and_others_under_its_protocol(trained: Path, monkeypatch) -> None:
    root = trained.parents[2]
    rows = ledger.Ledger(root).runs()
    assert {"flappy", "kart", "go", "breakout", CARTPOLE, "gym:LunarLander-v3"} <= set(games.names(root, rows))
    card = games.card(root, CARTPOLE, rows)
    assert card["best"]["name"] == "gym-CartPole-v1/ppo/default-s0" and not card["best"]["reference"]
    assert {"who": "solved from", "score": 475, "source": "Gymnasium"} in card["others"]
    monkeypatch.setenv(references.VARIABLE, str(references.HOME))
    rows = ledger.Ledger(Path("/nowhere")).runs()
    card = games.card(Path("/nowhere"), CARTPOLE, rows)
    assert card["best"]["reference"] and card["best"]["score"]["value"] == 500
    assert next(one["score"] for one in card["others"] if one["who"] == "random") < 60
    assert games.card(root, "breakout", [])["best"] is None and games.card(root, "go", [])["room"]
    assert "module" in games.card(root, "gym:no_such_package:Thing-v0", [])["missing"]


def test_a_thumbnail_is_made_once_for_each_agent(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = trained.parents[2]
    found = thumbnails.thumbnail(root, CARTPOLE)
    assert found["frames"] >= thumbnails.LEAST and found["width"] == thumbnails.WIDTH and "ppo" in found["who"]
    assert found["image"].startswith("data:image/jpeg;base64,")
    monkeypatch.setattr(thumbnails, "_made", lambda source: pytest.fail("made again"))
    assert thumbnails.thumbnail(root, CARTPOLE) == found
    monkeypatch.setattr(thumbnails, "_key", lambda source: "of a newer checkpoint")
    monkeypatch.setattr(thumbnails, "_made", lambda source, ended: {"frames": 1})
    assert thumbnails.thumbnail(root, CARTPOLE) == {"frames": 1}
    assert len(list((root / thumbnails.FOLDER).iterdir())) == 1  # it takes the place of the older one


def test_looking_at_the_page_opens_no_window_and_ends_with_the_program(tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(ValueError, match="the program ends"):
        thumbnails.thumbnail(tmp_path, CARTPOLE, lambda: True)
    monkeypatch.setattr(thumbnails, "_made", lambda *_: pytest.fail("a program was started on the display"))
    with pytest.raises(ValueError, match="a window of its own"):
        thumbnails.thumbnail(tmp_path, "screen")
    assert games.card(tmp_path, "screen", [])["missing"] or games.card(tmp_path, "screen", [])["window"]


def test_joypad_alone_opens_it_and_says_where(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "experiments", "--port", "0", "--no-browser", "--runs", str(tmp_path / "runs")]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=home.Path(home.__file__).parents[1])
    try:
        assert process.stdout.readline().startswith("open http://127.0.0.1:")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()


def test_the_token_stands_on_no_command_line(tmp_path: Path, monkeypatch, capsys) -> None:
    opened: list[str] = []
    monkeypatch.setattr(home, "has_display", lambda: True)
    monkeypatch.setattr(home.webbrowser, "open", opened.append)
    monkeypatch.setattr(home.cli, "ending", threading.Event)
    monkeypatch.setattr(home.cli, "until", lambda ended: None)
    home.serve(home.HomeCommand(runs=tmp_path))
    token = capsys.readouterr().out.split("token=")[1].split()[0]
    assert len(opened) == 1 and "/home/?token=" in opened[0] and token not in opened[0]


def test_plays_have_ended_once_the_house_is_closed(place: house.House) -> None:
    """A thread that is in the midst of a network while Python ends aborts the process."""
    opened = place.visits.play("watch", ["gym:CartPole-v1"])
    (thread,) = (thread for thread in threading.enumerate() if thread.name == opened.strip("/"))
    assert thread.is_alive()
    place.close()
    assert not thread.is_alive()
