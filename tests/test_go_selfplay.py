"""Records of self-play: a seed gives the same games, a kill loses what is under way, and all are learned from."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from programs import program

from envs.go import dataset, record, sgf
from experiments import data, selfplay
from experiments.cli import UserError
from experiments.go.selfplay import SelfplayGoCommand, is_settled, prepare
from experiments.go.tournament import TournamentFolder, TournamentSettings

ARGV = ["go", "--size", "5", "--komi", "3.5", "--visits", "30"]


def play(out: Path, capsys, monkeypatch, *more: str) -> tuple[int, str, str]:
    return program(selfplay.main, [*ARGV, "--out", str(out), *more], capsys, monkeypatch)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.sgf")}


@pytest.fixture(scope="module")
def played(tmp_path_factory) -> Path:
    """Six games, one after the other."""
    folder = tmp_path_factory.mktemp("games") / "a"
    before, sys.argv = sys.argv, ["selfplay", *ARGV, "--games", "6", "--parallel", "1", "--out", str(folder)]
    try:
        selfplay.main()
    finally:
        sys.argv = before
    return folder


def test_every_game_follows_the_rules_and_its_result_is_the_count(played):
    for name, content in files(played).items():
        game = record.load(content)
        replayed = record.replay(game, superko="positional", suicide=False)
        assert (game.size, game.komi, game.rules, replayed.over) == (5, 3.5, "Chinese", True)
        assert game.winner * game.margin == pytest.approx(replayed.score()) and len(game.moves) > 8
        number = int(name.removesuffix(".sgf"))
        assert f"game {number}:" in game.steps[0].comment and "seed 1" in game.steps[0].comment
    assert len({content.split(b";B[", 1)[1] for content in files(played).values()}) == 6  # no two are alike
    rows, skipped = dataset.load([played], 5)
    assert not skipped and rows["first"].sum() == 6 and np.isfinite(rows["outcome"]).all()


def test_two_at_once_and_in_two_sittings_give_the_same_games(played, tmp_path, capsys, monkeypatch):
    code, out, _ = play(tmp_path, capsys, monkeypatch, "--games", "3", "--parallel", "2")
    assert code == 0 and "3 games" in out and "before" not in out
    (tmp_path / "000002.sgf").unlink()  # as if it had been under way when a kill came, and its file half written
    (tmp_path / ".000002.sgf.0123456789abcdef.tmp").write_text("(;GM[1]")
    code, out, _ = play(tmp_path, capsys, monkeypatch, "--games", "6", "--parallel", "2")
    assert code == 0 and "2 of them played before" in out and files(tmp_path) == files(played)
    assert "experiments.train go --agent clone --size 5 --data" in out
    code, out, _ = play(tmp_path / "other", capsys, monkeypatch, "--games", "2", "--seed", "2")
    assert code == 0 and files(tmp_path / "other")["000001.sgf"] != files(played)["000001.sgf"]


def test_data_shows_them(played, capsys, monkeypatch):
    code, out, _ = program(data.main, [str(played)], capsys, monkeypatch)
    assert code == 0 and "6 games of Go" in out and "6 on 5x5" in out


def test_a_settled_board_is_passed_on():
    """Two eyes in every corner: Benson's theorem gives Black the board, and a stone less leaves it open."""
    from envs.go.game import GoGame

    game = GoGame(3, 0.5)
    game.set_up([1, 3, 4, 5, 7], [], 1)
    assert is_settled(game)
    game.set_up([1, 3, 4], [], 1)
    assert not is_settled(game)
    game = GoGame(5, 0.5)
    wall = [1, 6, 11, 16, 21, 3, 8, 13, 18, 23, 7, 12, 17]
    game.set_up(wall, [4], 1)  # White's stone in the corner is dead, and would be counted: it is to be taken first
    assert not is_settled(game)
    game.set_up(wall, [], 1)
    assert is_settled(game)


def test_other_settings_and_other_games_are_refused_and_nothing_is_lost(played, tmp_path, capsys, monkeypatch):
    before = files(played)
    code, _, err = play(played, capsys, monkeypatch, "--komi", "4.5", "--games", "9")
    assert code == 2 and "holds games with another komi" in err and files(played) == before
    (tmp_path / "mine.sgf").write_text("(;GM[1])")
    code, _, err = play(tmp_path, capsys, monkeypatch)
    assert code == 2 and "holds other games" in err
    (played / "selfplay.json").rename(tmp_path / "kept")
    (played / "selfplay.json").write_text("{")
    code, _, err = play(played, capsys, monkeypatch)
    assert code == 2 and "cannot be read" in err
    (tmp_path / "kept").replace(played / "selfplay.json")
    (tmp_path / "file").write_text("")
    code, _, err = play(tmp_path / "file" / "inside", capsys, monkeypatch)
    assert code == 2 and err.startswith("joypad: --out")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["flappy"], "flappy writes no records of self-play; these games do: go"), (["goo"], "there is no game"),
        (["go", "--player", "nobody"], "there is no player 'nobody'"), (["go", "--games", "0"], "--games"),
        (["go", "--size", "1"], "2 to 19"), (["go", "--visits", "0"], "--visits"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_a_sentence(words, told, capsys, monkeypatch):
    code, _, err = program(selfplay.main, words, capsys, monkeypatch)
    assert code == 2 and told in err and err.count("\n") == 1


def test_settings_that_change_games_are_all_kept(played):
    """A new option must decide whether it changes games: how many, where and how many at once do not."""
    kept = json.loads((played / "selfplay.json").read_text())
    names = {field.name for field in dataclasses.fields(SelfplayGoCommand)}
    assert set(kept) == (names - {"games", "parallel", "out"}) | {"networks"} and kept["networks"] == {}


def test_games_of_another_network_of_the_same_run_are_not_mixed(tmp_path, capsys, monkeypatch):
    """Neither in records nor in a tournament; a folder of an earlier version, which did not note it, goes on."""
    run, out = tmp_path / "run", tmp_path / "records"
    run.mkdir()
    (run / "network.onnx").write_bytes(b"one")
    command = SelfplayGoCommand(player=str(run), out=out, games=2)
    settings = TournamentSettings((f"{run}:visits=4", "rave"), 2, 5, 7.5, "test", 1, 10.0)
    for _ in range(2):
        assert prepare(command) == [1, 2]
        TournamentFolder(tmp_path / "t", settings)
    TournamentFolder(tmp_path / "t", dataclasses.replace(settings, games=4))  # more games of the same
    (run / "network.onnx").write_bytes(b"two")
    with pytest.raises(UserError, match="holds games with another network of"):
        prepare(command)
    with pytest.raises(UserError, match="holds a tournament with another network of"):
        TournamentFolder(tmp_path / "t", settings)
    for file in (out / "selfplay.json", tmp_path / "t" / "tournament.json"):
        kept = json.loads(file.read_text())
        del kept["networks"]
        file.write_text(json.dumps(kept))
    assert prepare(command) == [1, 2]
    TournamentFolder(tmp_path / "t", settings)


@pytest.mark.slow
def test_a_kill_loses_the_games_under_way_alone(played, tmp_path):
    argv = [sys.executable, "-m", "experiments.selfplay", *ARGV, "--games", "60", "--out", str(tmp_path)]
    running = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and len(files(tmp_path)) < 8:
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    kept = files(tmp_path)
    assert 8 <= len(kept) < 60
    for content in kept.values():
        assert sgf.parse(content) is not None and record.load(content).result
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=True)
    assert f"{len(kept)} of them played before" in done.stdout
    after = files(tmp_path).items()
    assert len(after) == 60 and after >= kept.items() and after >= files(played).items()
