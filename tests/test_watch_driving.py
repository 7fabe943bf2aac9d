"""A person beside a network in a kart: holding a key takes over, overrides are recorded, both wheels are drawn."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from envs.recordings.tub import Tub
from experiments import overlay, play, train, watch
from experiments.watching.driving import HOLD, Laps
from experiments.watching.player import Player
from experiments.watching.source import Source, find


@pytest.fixture(scope="module", autouse=True)
def dummy_display():
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network for kart."""
    root = tmp_path_factory.mktemp("runs")
    with pytest.raises(SystemExit) as stop:
        train.main([
            "kart", "--agent", "ppo", "--steps", "32", "--num-envs", "2", "--rollout", "8", "--encoder", "nature",
            "--hidden", "16", "--eval-episodes", "0", "--no-video", "--runs", str(root),
        ])  # fmt: skip
    assert not stop.value.code
    return root


def test_holding_a_key_takes_over_and_is_recorded_as_an_override(runs: Path, tmp_path: Path) -> None:
    player = Player([find("kart", runs)], seed=3, panels=False)
    laps = Laps(tmp_path / "d", player.focus)
    player.focus.listeners.append(laps)
    assert player.focus.known_keys() == [HOLD]
    frames = player.frames()
    shown = []
    for k in range(31):
        if k == 11:
            player.command("held", [HOLD, "left", "up"])
            assert "left" in player.focus.known_keys()
        if k == 21:
            player.command("held", [])
        shown.append(next(frames).picture.copy())
    player.close()
    laps.close()
    tub = Tub(tmp_path / "d")
    r = tub.records
    assert len(tub) == 30 and laps.overrides == 10 and not tub.damaged
    assert r["override"].tolist() == [10 <= k < 20 for k in range(30)]
    assert r["user/mode"].tolist() == ["user" if 10 <= k < 20 else "local" for k in range(30)]
    assert tub.labelled.tolist() == r["override"].tolist()
    assert r["user/angle"][19] == -1.0 and not np.isnan(r["pilot/angle"]).any()
    alone = ~r["override"]
    assert np.array_equal(r["user/angle"][alone], r["pilot/angle"][alone])
    assert np.array_equal(r["game/steer"], r["user/angle"])
    assert not np.array_equal(r["user/angle"][10:20], r["pilot/angle"][10:20])

    def has(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
        return bool((picture[-100:] == colour).all(2).any())

    assert has(shown[15], overlay.USER) and has(shown[15], overlay.PILOT)  # both wheels while a person drives
    assert not has(shown[5], overlay.USER) and not has(shown[25], overlay.PILOT)


def test_shadow_draws_the_networks_wheel_while_a_person_drives(runs: Path, tmp_path: Path) -> None:
    command = watch.WatchCommand(what=("kart",), shadow=True, record=tmp_path / "d", runs=runs)
    player = Player([find("kart", runs)], seed=3, panels=False)
    laps = watch.to_drive(player, command)
    with pytest.raises(ValueError, match="--overlay: overlay 'policy': choose off, gradient"):
        watch.choose_overlay(player, "policy")
    watch.choose_overlay(player, "gradient")
    assert player.focus.overlay == "gradient"
    watch.choose_overlay(player, "off")
    assert player.focus.human is not None and laps.shadow
    assert "left" in player.focus.known_keys() and HOLD not in player.focus.known_keys()
    for _, frame in zip(range(11), player.frames(), strict=False):
        shown = frame.picture
    laps.close()
    player.close()
    tub = Tub(tmp_path / "d")
    assert len(tub) == 10 and tub.labelled.all() and not np.isnan(tub.records["pilot/angle"]).any()
    assert not tub.records["override"].any() and laps.overrides == 0  # nothing was taken over
    assert (shown[-100:] == overlay.USER).all(2).any() and (shown[-100:] == overlay.PILOT).all(2).any()


def recorded(root: Path, folder: Path, frames: int, commands: Mapping[int, str] | None = None) -> Tub:
    """What a player of kart records in so many frames. commands: those that are given after a frame, by its number."""
    player = Player([find("kart", root)], seed=3, panels=False)
    laps = Laps(folder, player.focus)
    player.focus.listeners.append(laps)
    for number, _ in zip(range(frames), player.frames(), strict=False):
        if number in (commands or {}):
            player.command(commands[number])
    player.close()
    laps.close()
    return Tub(folder)


def test_a_race_that_is_begun_anew_is_another_race(runs: Path, tmp_path: Path) -> None:
    tub = recorded(runs, tmp_path / "d", 30, {10: "new", 20: "again"})
    r = tub.records
    assert np.array_equal(np.diff(r["game/race"]) == 1, np.diff(r["game/time"]) < 0) and r["game/race"][-1] == 2
    assert r["game/race"][0] == 0 and len(set(tub.laps.tolist())) == 3


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (dict(what=("gym:CartPole-v1",), shadow=True), "is not driven"),
        (dict(what=("kart",), shadow=True), "no run yet"),
        (dict(what=("kart", "kart"), record=Path("x")), "one agent in one game"),
        (dict(what=("kart",), shadow=True, video=Path("v.mp4")), "--video has nobody at the wheel"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, options: dict, told: str) -> None:
    with pytest.raises(Exception, match=told) as fault:
        watch.watch(watch.WatchCommand(runs=tmp_path, seconds=0.2, **options))
    assert type(fault.value).__name__ in ("UserError", "ValueError")


def test_playing_alone_records_labels_without_a_pilot(tmp_path: Path) -> None:
    player = Player([Source("kart", env={"tracks": "oval"})], seed=1, panels=False)
    player.command("take", True)
    recorder = play.recorder_of(tmp_path / "d", "kart", {}, player)
    player.command("held", ["up"])
    frames = player.frames()
    for _ in range(11):
        next(frames)
    recorder.close()
    player.close()
    tub = Tub(tmp_path / "d")
    assert len(tub) == 10 and tub.labelled.all() and not tub.records["override"].any()
    assert "pilot/angle" not in tub.records and tub.records["user/throttle"].max() > 0.5


def test_the_wheels_stand_in_a_corner_and_the_road_is_seen_through_them() -> None:
    from experiments.watching.driving import with_wheels

    player = Player([Source("kart", env={"tracks": "oval"})], seed=1, panels=False)
    player.command("take", True)
    for high, wide in ((240, 320), (480, 640), (90, 120)):
        picture = np.random.default_rng(1).integers(60, 200, (high, wide, 3), np.uint8)
        shown = with_wheels(picture, player.focus)
        rows, columns = np.nonzero((shown != picture).any(2))
        assert rows.min() >= high * 0.6 and columns.max() < wide * 0.4  # the kart itself is in the middle
        part = shown[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].astype(int)
        before = picture[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert (abs(part - before * 0.6) <= 1).all(2).mean() > 0.4  # darker, and there
    player.close()


def test_saliency_of_a_driver_stands_in_a_corner_of_the_chase_view(runs: Path) -> None:
    player = Player([find("kart", runs)], seed=1)
    seat = player.focus
    frames = player.frames()
    next(frames)
    plain = seat.decorate(seat.envs[0].render())
    player.command("overlay", "gradient")
    for _ in range(3):
        next(frames)
    picture = seat.envs[0].render()
    changed = (seat.decorate(picture) != picture).any(2)
    rows, columns = np.nonzero(changed)
    assert seat.heat is not None and plain.shape == picture.shape
    assert rows.min() > picture.shape[0] / 2 and columns.max() < picture.shape[1] * 0.4 and changed.sum() > 2_000
    player.close()


def test_what_the_games_expert_drives_is_a_label_and_named_as_its_own(tmp_path: Path) -> None:
    tub = recorded(tmp_path, tmp_path / "d", 6)
    assert tub.metadata["driver"] == "expert" and tub.labelled.all() and not tub.records["override"].any()
