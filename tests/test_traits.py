"""Programs ask a game's traits: a toy car and a toy board are driven, recorded and clicked on as the lab's own are."""

from __future__ import annotations

import sys
from pathlib import Path

import declared
import numpy as np
import pytest

import envs
from agents.core.stream import Stream
from envs.description import Board, Description
from envs.driving import Driving
from envs.recordings.tub import Tub
from experiments import record, watch
from experiments.driving.hands import Hands
from experiments.watching.human import Human
from experiments.watching.player import Player
from experiments.watching.seat import square
from experiments.watching.source import Source, require_driven


def test_driving_is_implemented_whole_or_not_at_all():
    class Headless(declared.CarDriving):
        view = Driving.view

    declared.CarDriving()
    with pytest.raises(TypeError, match="view"):
        Headless()


def recorded(path: Path, game: str, *more: str) -> Tub:
    record.by_expert(*record.parse([game, "--out", str(path), "--driver", "expert", *more]))
    return Tub(path)


# Driving


@pytest.mark.parametrize(("game", "options"), [("kart", {"tracks": "oval"}), ("car-racing", {"obs": "rgb"})])
def test_recorded_controls_are_the_actions_again(game, options):
    driving, games = envs.describe(game, **options).driving, envs.make(game, **options)
    games.reset(seed=1)
    rng = np.random.default_rng(0)
    done = rng.uniform(-1, 1, (20, 2)).astype(np.float32)
    rows = [driving.controls(games.unwrapped, action) for action in done]
    columns = {name: np.array([row[name] for row in rows]) for name in driving.bounds}
    np.testing.assert_allclose(driving.actions(columns), done, atol=1e-6)
    assert driving.fault(rows[0]) is None
    (*_, last) = driving.bounds
    assert driving.fault({**rows[0], last: float("nan")}) == f"there is no {last}"
    assert f"{last} is 99" in driving.fault({**rows[0], last: 99.0})
    figures = driving.figures(games.unwrapped, 3)
    assert figures.keys() == driving.columns.keys() and figures["game/race"] == 3
    assert {f"game/{name}" for name in driving.labels} <= figures.keys()
    games.close()


def test_car_racing_is_recorded_by_its_expert(tmp_path):
    tub = recorded(tmp_path / "d", "car-racing", "--minutes", "0.06", "--noise", "0")
    assert len(tub) == 45 and tub.shape == (96, 96)  # 12.5 records a second
    assert set(np.diff(tub.records["_timestamp_ms"])) == {80}
    assert tub.metadata["game"] == "car-racing" and tub.metadata["driver"] == "expert"
    speed, lateral = tub.records["game/speed"], tub.records["game/lateral"]
    assert speed[0] == 0 and speed.max() > 20 and np.abs(lateral).max() < 40 / 6
    driving, games = envs.describe("car-racing", obs="rgb").driving, envs.make("car-racing", obs="rgb")
    frame, _ = games.reset(seed=0)
    for row in range(len(tub)):  # drives it once more with what the columns say
        assert np.abs(tub.image(row).astype(int) - frame).mean() < 8
        assert lateral[row] == pytest.approx(driving.figures(games, 0)["game/lateral"], abs=1e-3)
        action = driving.actions({name: tub.records[name][row : row + 1] for name in driving.bounds})[0]
        frame = games.step(action)[0]
    games.close()


@pytest.mark.parametrize(
    ("words", "more"),
    [("kart", ""), ("kart --camera picam", " --camera picam"), ("car-racing", " --obs rgb"),
     ("kart --obs pilotnet --tracks oval", " --obs pilotnet")],
)  # fmt: skip
def test_the_command_that_learns_from_a_recording_sees_what_it_holds(words, more):
    told = record.training(*record.parse([*words.split(), "--out", "d"]))
    assert told == f"python -m experiments.train {words.split()[0]} --agent clone --data d{more}"


@pytest.mark.parametrize("game", ["car-racing", "buggy"])
def test_a_drive_that_is_watched_is_recorded(game, tmp_path, monkeypatch):
    declared.car(monkeypatch)
    env = {"obs": "rgb"} if game == "car-racing" else {}
    command = watch.WatchCommand((game,), record=tmp_path / "d", episodes=1)
    player = Player([Source(game, env=env)], seed=2)
    laps = watch.to_drive(player, command)
    player.command("take", True)
    player.focus.human.held = {"up", "right"}
    for _, _ in zip(player.frames(), range(12), strict=False):
        pass
    player.command("take", False)
    laps.close()
    player.close()
    tub = Tub(tmp_path / "d")
    assert len(tub) >= 10 and tub.metadata["game"] == game
    driven = tub.records["user/mode"] == "user"
    assert driven.sum() >= 9 and (np.diff(tub.records["user/angle"][driven]) >= 0).all()
    assert tub.records["user/angle"][driven][-1] > 0.9


def test_what_cannot_be_recorded_is_refused_by_the_game_itself():
    for source, told in (
        (Source("car-racing"), "--obs grey has no colour picture"),
        (Source("kart", env={"control": "raw"}), "--control raw: recordings hold a target speed"),
        (Source("flappy"), "flappy is not driven; python -m experiments.play flappy --record DATA"),
    ):
        with pytest.raises(ValueError, match=told):
            require_driven(source)
    require_driven(Source("car-racing", env={"obs": "rgb"}))


def test_a_car_of_ones_own_is_recorded_and_driven_by_hands(tmp_path, monkeypatch):
    declared.car(monkeypatch)
    tub = recorded(tmp_path / "d", "buggy", "--minutes", "0.2", "--noise", "0.5", "--wind", "0.02")
    assert len(tub) == 120 and set(np.diff(tub.records["_timestamp_ms"])) == {100}
    assert tub.records["game/race"].max() == 2 and tub.records["user/target_speed"][5] == pytest.approx(3.0)
    assert (tub.records["game/steer"] != tub.records["user/angle"]).sum() > 10
    driving = envs.describe("buggy").driving
    hands = Hands(driving)
    for _ in range(60):  # a car at its top speed wants no more, and one that brakes wants to stand
        action = hands.act({"up"}, None, driving.top_speed)
    assert action[1] == 1.0
    for _ in range(60):
        action = hands.act({"down"}, None, 0.0)
    assert action[1] == -1.0
    games = envs.make("buggy")
    games.reset(seed=1)
    games.step(np.array([0.4, 0.0], np.float32))
    human = Human("buggy", games, driving)
    assert human.hands.steer == pytest.approx(0.4) and human.hands.target == pytest.approx(2.0)


def test_a_game_with_keys_alone_is_played_without_hands():
    games = envs.make("kart", control="discrete", tracks="oval")
    human = Human("kart", games, envs.describe("kart", control="discrete").driving)
    assert human.hands is None and human.action() == 7
    games.close()


# Boards


@pytest.fixture
def board(monkeypatch):
    declared.noughts(monkeypatch)
    player = Player([Source("noughts")], seed=1)
    player.command("take", True)
    next(player.frames())
    yield player
    player.close()


def test_a_click_on_a_board_is_the_point_that_the_description_names(board):
    """Flat observations and two rows of three: neither the observation's shape nor a root tells that."""
    seat = board.focus
    for row in range(2):
        for column in range(3):
            seat.human.wanted = None
            board.command("click", [5.0 + 10 * column, 5.0 + 10 * row])
            assert seat.human.wanted == 3 * row + column
    seat.human.wanted = None
    for outside in ([35.0, 5.0], [5.0, 25.0], [-9.0, 5.0]):
        board.command("click", outside)
    assert seat.human.wanted is None and board.messages == ["you play; keys: 0, 1, 2, 3, 4, 5"]


def test_what_is_laid_over_a_board_has_its_rows_and_columns(board):
    seat = board.focus
    seat.reasons, seat.overlay = {"policy": np.arange(6) / 15}, "policy"
    picture = np.full((20, 30, 3), 120, np.uint8)
    assert (seat.decorate(picture) != picture).any()
    assert seat.overlays() == ["off"]  # the random agent explains nothing


def test_on_a_board_that_stones_fall_into_a_click_means_the_column(monkeypatch):
    """As in Connect Four: any point of a column plays there, until it is full; two people play to the end."""
    declared.drops(monkeypatch)
    player = Player([Source("drops")], seed=1)
    try:
        player.command("take", True)
        frames, seat = player.frames(), player.focus
        next(frames)
        for row in range(2):
            for column in range(3):
                seat.human.wanted = None
                player.command("click", [5.0 + 10 * column, 5.0 + 10 * row])
                assert seat.human.wanted == column
        seat.human.wanted = None
        player.command("click", [35.0, 5.0])
        assert seat.human.wanted is None
        seat.reasons, seat.overlay = {"policy": np.array([0.0, 0.0, 1.0])}, "policy"
        picture = np.full((20, 30, 3), 120, np.uint8)
        shown = seat.decorate(picture).astype(int) - picture
        assert shown[:10, 20:].any() and shown[10:, 20:].any() and not shown[:, :10].any()  # both points of one column
    finally:
        player.close()


def test_boards_name_the_action_of_each_point():
    square, falling, odd = Board(2, 3), Board.of_columns(2, 3), Board(1, 2, (5, 4))
    assert [[square.action_at(r, c) for c in range(3)] for r in range(2)] == square.table == [[0, 1, 2], [3, 4, 5]]
    assert falling.table == [[0, 1, 2], [0, 1, 2]] and odd.table == [[5, 4]]
    assert square.action_at(2, 0) is square.action_at(0, 3) is square.action_at(-1, 0) is None


def test_real_time_is_declared_once(monkeypatch):
    """What the description says stands in the metadata of the batch; a batch that says otherwise is refused."""
    declared.noughts(monkeypatch, describe=lambda options: Description(real_time=True, step_seconds=0.05))
    games = envs.make_vec("noughts", 1)
    assert games.metadata["real_time"] is True and games.metadata["step_seconds"] == 0.05
    stream = Stream(games)
    assert stream.real_time and stream._step_seconds == 0.05
    stream.close()
    plain = envs.make_vec("flappy", 1)
    assert plain.metadata["real_time"] is False and not Stream(plain).real_time

    def other(num_envs: int):
        return declared.vector(declared.Noughts, num_envs, protocol="noughts", real_time=False)

    monkeypatch.setattr(sys.modules[envs.find("noughts")[0]], "make_vec", other)
    with pytest.raises(ValueError, match="its description says real_time=True, the metadata of its games False"):
        envs.make_vec("noughts", 1)


def test_a_fault_of_the_program_is_no_message_to_the_person(board, monkeypatch):
    def broken(x, y):
        raise ValueError("not enough values to unpack (expected 2, got 1)")

    board.messages.clear()
    monkeypatch.setattr(board.focus, "click", broken)
    with pytest.raises(ValueError, match="not enough values"):
        board.command("click", [5.0, 5.0])
    board.command("click", ["here"])
    board.command("overlay", "moon")
    board.command("jump")
    assert len(board.messages) == 3 and "jump" in board.messages[-1]


def test_a_game_that_does_not_describe_its_board_is_taken_for_a_square_one():
    assert square(9) == square(10) == Board(3, 3) and square(82) == Board(9, 9)
    assert square(6) is square(2) is square(1) is square(0) is None
