"""Recording kart: what is stored, by the expert and by a person, and the person's hands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
from tubs import refusal

import envs
from envs.driving import unpack
from envs.kart.columns import STEPS
from envs.kart.env import KartVectorEnv
from envs.recordings.tub import Tub
from experiments import overlay, play, record
from experiments.driving.hands import Hands, Pad, guessed
from experiments.watching.human import Human
from experiments.watching.player import Beat, Player
from experiments.watching.source import Source

ROOT = Path(__file__).resolve().parents[1]


def recorded(path: Path, *more: str, minutes: float = 0.1) -> Tub:
    arguments = ["kart", "--out", str(path), "--driver", "expert", "--minutes", str(minutes), *more]
    record.by_expert(*record.parse(arguments))
    return Tub(path)


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> Tub:
    """A minute with strong pushes."""
    return recorded(tmp_path_factory.mktemp("tub") / "d", "--noise", "0.6", "--tracks", "oval", minutes=1.0)


def test_labels_are_what_the_expert_wants_not_the_push(pushed: Tub) -> None:
    """Drives the race again with what was sent; at every step picture and expert must be those of the record."""
    _, options = record.parse(["kart", "--out", "x", "--tracks", "oval"])
    env = KartVectorEnv(1, options)
    frame = env.reset(seed=[0])[0][0]
    r = pushed.records
    different = 0
    for row in range(300):
        expert = env.batch.expert()[0]
        assert r["user/angle"][row] == pytest.approx(float(expert[0]), abs=1e-6)
        assert r["user/target_speed"][row] == pytest.approx((float(expert[1]) + 1) * 8, abs=1e-5)
        assert np.abs(pushed.image(row).astype(int) - frame).mean() < 6
        assert r["game/lateral"][row] == pytest.approx(env.batch.karts[0, 0, 11])
        assert env.batch.race[0, STEPS] == row
        different += r["game/steer"][row] != r["user/angle"][row]
        sent = np.array([[r["game/steer"][row], r["user/target_speed"][row] / 8 - 1]], np.float32)
        frame = env.step(sent)[0][0]
    assert different > 30


def test_pushes_lead_away_and_the_labels_back(pushed: Tub, tmp_path: Path) -> None:
    calm = recorded(tmp_path / "calm", "--noise", "0", "--tracks", "oval", minutes=0.5)
    assert (calm.records["game/steer"] == calm.records["user/angle"]).all()
    assert pushed.records["game/heading"].std() > 1.5 * calm.records["game/heading"].std()
    # Far out of line with the track, the label turns back to it.
    heading, steer = pushed.records["game/heading"], pushed.records["user/angle"]
    askew = np.abs(heading) > 0.5
    assert askew.sum() > 20 and (heading[askew] * steer[askew] < 0).mean() > 0.8
    assert pushed.records["game/off_road"].mean() < 0.2


def test_a_recording_has_its_races_laps_and_time(pushed: Tub) -> None:
    r = pushed.records
    assert len(pushed) == 1200 and not pushed.damaged
    assert set(np.diff(r["_timestamp_ms"])) == {50}  # simulated time
    assert (np.diff(r["game/race"]) >= 0).all() and r["game/race"].max() >= 1
    begins = np.flatnonzero(np.diff(r["game/race"])) + 1
    assert (r["game/time"][begins] == 0).all() and pushed.starts[begins].all()
    assert (np.diff(r["game/time"])[np.diff(r["game/race"]) == 0] > 0).all()
    assert pushed.metadata["driver"] == "expert" and "tracks=oval" in pushed.metadata["protocol"]
    mask = unpack(str(r["game/drivable"][100]), (15, 20))
    assert mask.shape == (15, 20) and mask[-1].sum() > 10 and mask[0].sum() == 0


def test_the_expert_never_drives_the_same_twice_unless_it_is_told_to(tmp_path: Path) -> None:
    """Copies of a drive would fall on both sides of the split into training and validation."""
    for _ in range(2):
        tub = recorded(tmp_path / "twice", minutes=0.05)
    steer, half = tub.records["user/angle"], len(tub) // 2
    assert len(tub.sessions) == 2 and not np.array_equal(steer[:half], steer[half:])
    again = recorded(tmp_path / "again", "--seed", "1", minutes=0.05)
    assert np.array_equal(again.records["user/angle"], steer[half:])  # the second session's seed is 1


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        (("--obs", "pilotnet"), (66, 200)),
        (("--obs", "frame", "--width", "50", "--height", "34"), (34, 50)),
        (("--camera", "picam", "--theme", "rain"), (60, 80)),
    ],
)
def test_any_size_of_picture(tmp_path: Path, options: tuple[str, ...], shape: tuple[int, int]) -> None:
    tub = recorded(tmp_path / "d", *options, minutes=0.01)
    assert tub.shape == shape and tub.image(3).shape == (*shape, 3)


def test_another_size_does_not_go_into_a_dataset(tmp_path: Path) -> None:
    recorded(tmp_path / "d", minutes=0.01)
    with pytest.raises(ValueError, match="holds pictures of 80x60, --obs pilotnet makes 200x66"):
        recorded(tmp_path / "d", "--obs", "pilotnet", minutes=0.01)
    with pytest.raises(ValueError, match="holds pictures of the camera kart, not picam"):
        recorded(tmp_path / "d", "--camera", "picam", minutes=0.01)
    tub = recorded(tmp_path / "d", minutes=0.01)
    assert len(tub.sessions) == 2 and tub.metadata["camera"] == "kart"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["pong", "--out", "d"], "pong is not driven; python -m experiments.play pong --record DATA records what"),
        (["--out", "d", "go"], "go is not driven"),
        (["--out", "d"], "GAME is missing"),
        (["cart", "--out", "d"], "did you mean car or kart"),
        (["car-racing", "--out", "d", "--obs", "grey"], "--obs grey has no colour picture; use rgb"),
        (["car-racing", "--out", "d", "--control", "raw"], "--control raw: recordings hold one pedal"),
        (["kart", "--out", "d", "--driver", "expert"], "name --minutes"),
        (["kart", "--out", "d", "--minutes", "0"], "--minutes 0: must lie in 0.001..1440"),
        (["kart", "--out", "d", "--video", "x.avi"], "--video x.avi: must end in .mp4 or .gif"),
        (["kart", "--out", "d", "--profile", "x.toml"], "--profile: describes the window of another program"),
        (["kart", "--out", "d", "--noise", "2"], "--noise 2: must lie in 0..1"),
        (["kart", "--out", "d", "--tracks", "moon"], "'moon' is unknown"),
        (["kart", "--out", "d", "--obs", "state"], "--obs state has no colour picture"),
        (["kart", "--out", "d", "--obs", "grey"], "--obs grey has no colour picture"),
        (["kart", "--out", "d", "--control", "raw"], "--control raw"),
        (["kart", "--out", "d", "--action-repeat", "4"], "--action-repeat 4: recordings have 20 records a second"),
        (["kart", "--out", "d", "--width", "3"], "width must be from 16"),
    ],
)
def test_mistakes_are_told_in_a_sentence(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert told in refusal(capsys, record.parse, arguments)


def test_the_command_refuses_with_one_sentence(tmp_path: Path) -> None:
    environ = {"PATH": "/usr/bin:/bin"}
    (tmp_path / "file").write_text("x")
    for arguments, told in (
        (["kart", "--out", str(tmp_path / "d")], "there is no display here"),
        (["kart", "--out", str(tmp_path / "d e")], f"experiments.play kart --web --record '{tmp_path / 'd e'}'"),
        (["kart", "--out", str(tmp_path / "file"), "--driver", "expert", "--minutes", "1"], "is a file"),
    ):
        command = [sys.executable, "-m", "experiments.record", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)
        assert done.returncode == 2 and told in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_a_display_that_is_named_and_not_there_is_told_in_a_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "experiments.record", "kart", "--out", str(tmp_path / "d")]
    environ = {"PATH": "/usr/bin:/bin", "DISPLAY": ":1793", "SDL_VIDEODRIVER": "x11"}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)
    assert done.returncode == 2 and "no window can be opened to drive in" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and "--web --record" in done.stderr and not (tmp_path / "d").exists()


def test_help_offers_nothing_that_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        record.parse(["kart", "--help"])
    told = capsys.readouterr().out
    assert "--tracks" in told and "--steer-noise" in told and "pilotnet 66x200" in told
    for refused in ("--control", "--action-repeat", "state 21", "grey", "--reward", "--expert-info"):
        assert refused not in told, refused


def test_the_graph_has_a_scale() -> None:
    """Names of both ends, the middle and the time at the edges, and a line at the very value that they name."""
    plot = overlay.Plot(20)
    bare = plot.picture(600, 130)
    for _ in range(plot.length):
        plot.add(-1.0, 1.0)
    shown = plot.picture(600, 130)
    grid = [int(y) for y in np.flatnonzero((bare[:, 290] == overlay.GRID).all(1))]
    lines = [np.flatnonzero((shown[:, 290] == ink).all(1)) for ink in (overlay.USER, overlay.INK)]
    assert len(grid) == 7 and all(
        np.abs(rows - top).max() <= 1 for rows, top in zip(lines, (grid[0], grid[4]), strict=True)
    )
    words = bare.max(2) > max(overlay.GRID) + 20
    for y, x in ((slice(0, 20), slice(540, 600)), (slice(45, 65), slice(540, 600)), (slice(115, 130), slice(0, 60))):
        assert words[y, x].any()


# A person


class Script:
    """Stands in for the window: plays keys, one step a picture, and keeps what was shown."""

    def __init__(self, steps: list[tuple[set[str], list[tuple[str, Any]]]]):
        self.steps, self.shown, self.closed = [(set(), [("speed", 1000.0)]), *steps], [], False

    def looks(self) -> bool:
        return True

    def commands(self, player: Any) -> list[tuple[str, Any]]:
        if not self.steps:
            return [("quit", None)]
        held, asked = self.steps.pop(0)
        return [*asked, ("held", sorted(held))]

    def show(self, player: Any, frame: Any) -> None:
        self.shown.append(frame.picture)

    def close(self) -> None:
        self.closed = True


def by_person(path: Path, steps: list, monkeypatch: pytest.MonkeyPatch, *more: str) -> Any:
    monkeypatch.setattr("experiments.watching.player.SHOWN", 1e9)  # every picture, however fast
    screen = Script(steps)
    laps = record.by_person(*record.parse(["kart", "--out", str(path), *more]), screen)
    assert screen.closed
    return laps, screen


def test_a_person_drives_and_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [({"up"}, [])] * 30 + [({"up", "right"}, [])] * 10
    laps, screen = by_person(tmp_path / "d", steps, monkeypatch, "--tracks", "oval", "--video", str(tmp_path / "v.mp4"))
    tub = Tub(tmp_path / "d")
    assert len(tub) == laps.steps == 40 and tub.metadata["driver"] == "person" and tub.labelled.all()
    r = tub.records
    assert (r["user/angle"][:31] == 0).all() or r["user/angle"][30] > 0
    assert r["user/angle"][39] == 1.0 and (np.diff(r["user/angle"][29:]) >= 0).all()
    assert r["game/speed"][39] > 3.0 and r["user/throttle"][:20].min() > 0
    assert (r["user/target_speed"] >= r["game/speed"] - 1e-6).all()
    assert len(screen.shown) == 41 and screen.shown[0].dtype == np.uint8  # one before the first step
    assert not np.array_equal(screen.shown[20], screen.shown[40])
    assert len({picture.shape for picture in screen.shown}) == 1
    assert imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "v.mp4"))[0] == 40


def test_a_person_pauses_and_throws_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go, pause, away = ({"up"}, []), ({"up"}, [("record", None)]), ({"up"}, [("discard", None)])
    steps = [*[go] * 10, pause, *[go] * 9, pause, *[go] * 69, away]
    laps, screen = by_person(tmp_path / "d", steps, monkeypatch)
    assert laps.steps == 81 and laps.discarded == 1
    tub = Tub(tmp_path / "d")
    assert tub.deleted == 60 and tub.index.tolist() == [*range(20), 80]
    times = tub.records["game/time"]
    assert times[9] == pytest.approx(0.45) and times[10] == pytest.approx(1.0)  # half a second was not recorded
    warned = [bool((picture == overlay.WARN).all(2).any()) for picture in screen.shown]
    assert warned == [10 < k <= 20 for k in range(len(warned))]  # and the picture says so


def test_only_this_session_can_be_thrown_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go, away = (set(), []), (set(), [("discard", None)])
    by_person(tmp_path / "d", [go] * 5, monkeypatch)
    laps, _ = by_person(tmp_path / "d", [go] * 3 + [away] * 2, monkeypatch)
    tub = Tub(tmp_path / "d")
    assert laps.discarded == 2 and tub.index.tolist() == [*range(5), 9] and len(tub.sessions) == 2


def test_minutes_end_a_persons_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    laps, _ = by_person(tmp_path / "d", [(set(), [])] * 50, monkeypatch, "--minutes", "0.02")
    assert laps.steps == 24


def test_hands_rest_when_a_race_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [({"up", "left"}, [])] * 60
    by_person(tmp_path / "d", steps, monkeypatch, "--time-limit", "1.5")
    r = Tub(tmp_path / "d").records
    (begins,) = np.flatnonzero(np.diff(r["game/race"]))
    assert r["user/angle"][begins] == -1.0 and r["user/angle"][begins + 1] > -0.5


def test_the_recording_is_paused_and_cut_in_play_and_watch_too(tmp_path: Path) -> None:
    player = Player([Source("kart", env={"tracks": "oval"})], seed=1, panels=False)
    player.command("record")
    assert player.messages[-1] == "no drive is being recorded here"
    player.command("take", True)
    laps = play.recorder_of(tmp_path / "d", "kart", {}, player)
    frames = player.frames()
    for k in range(151):
        if k in (11, 21):
            player.command("record", k == 21)
        next(frames)
    for _ in range(2):  # the second time the three seconds before
        player.command("discard")
        assert player.messages[-1] == "60 records deleted"
    laps.close()
    player.close()
    assert Tub(tmp_path / "d").index.tolist() == [*range(20)] and laps.count == 140


def test_keys_steer_smoothly_and_come_back() -> None:
    hands = Hands(envs.describe("kart").driving)
    steer = [float(hands.act({"left"}, None, 5.0)[0]) for _ in range(10)]
    assert steer[0] == pytest.approx(-0.175) and steer[-1] == -1.0 and (np.diff(steer) <= 0).all()
    back = [float(hands.act(set(), None, 5.0)[0]) for _ in range(6)]
    assert (np.diff([steer[-1], *back]) >= 0).all() and back[-1] == 0.0
    assert hands.act({"left", "right"}, None, 5.0)[0] == 0.0


def test_the_wanted_speed_follows_the_pedals_and_the_kart() -> None:
    hands = Hands(envs.describe("kart").driving)
    for _ in range(40):
        action = hands.act({"w"}, None, 0.0)
    assert (action[1] + 1) * 8 == pytest.approx(3.0)  # a kart that does not move: no more than LEAD above it
    for _ in range(100):
        action = hands.act({"w"}, None, 14.0)
    assert (action[1] + 1) * 8 == pytest.approx(16.0)
    assert (hands.act({"s"}, None, 14.0)[1] + 1) * 8 <= 13.0 + 1e-5
    for _ in range(40):
        action = hands.act({"s"}, None, 0.0)
    assert action[1] == -1.0
    assert all(np.abs(hands.act({"w"}, None, speed)).max() <= 1 for speed in (-3.0, 0.0, 40.0))


def test_raw_control_has_pedals_and_the_hand_brake() -> None:
    hands = Hands(envs.describe("kart", control="raw").driving)
    assert hands.act({"up", "space"}).tolist() == [0.0, 1.0, 1.0]
    assert hands.act({"down"}).tolist() == [0.0, -1.0, -1.0]
    assert np.allclose(hands.act(set(), Pad(0.53, 0.25, 0.0)), [0.5, 0.25, -1.0])


def test_an_unknown_gamepad_rests_until_it_is_touched() -> None:
    class Stick:
        def __init__(self, *axes: float):
            self.axes = axes

        def get_numaxes(self) -> int:
            return len(self.axes)

        def get_axis(self, k: int) -> float:
            return self.axes[k]

        def get_numbuttons(self) -> int:
            return 0

    assert guessed(Stick(0, 0, 0, 0, 0, 0)) == Pad(0, 0.0, 0.0)  # SDL's zeros before the first event: not half throttle
    assert guessed(Stick(-1, 0, -1, 0, 0, 1)) == Pad(-1, 1.0, 0.0)
    assert guessed(Stick(0.5)) == Pad(0.5, 0.0, 0.0)
    assert guessed(Stick(0.5, -1)) == Pad(0.5, 0.0, 0.0, down=-1)


def test_a_persons_play_keeps_20_hz_and_does_not_hurry_after_a_hold_up() -> None:
    def play_of(hurries: bool) -> tuple[Beat, np.ndarray]:
        beat, now, times = Beat(), 0.0, []
        for work in [0.01] * 10 + [0.7] + [0.01] * 10:
            now = max(now, beat.due)
            beat.strike(now, 0.05, hurries)
            times.append(now)
            now += work
        return beat, np.diff(times)

    beat, gaps = play_of(hurries=False)
    assert np.allclose(np.delete(gaps, 10), 0.05) and gaps[10] == pytest.approx(0.7) and beat.late == 1
    assert beat.rate == pytest.approx(20 / (20 * 0.05 + 0.65))
    _, gaps = play_of(hurries=True)  # whoever only watches sees what was missed, faster
    assert gaps[11] == pytest.approx(0.01) and gaps[-1] == pytest.approx(0.05) and gaps[10] == pytest.approx(0.7)


def test_a_gamepads_triggers_are_pedals_beside_its_stick() -> None:
    games = envs.make("kart")
    games.reset(seed=1)
    human = Human("kart", games, envs.describe("kart").driving)
    assert human._pad() is None
    for sticks, pedals in (
        ([0.0, -1.0, 0.0], (1.0, 0.0)), ([0.0, 1.0, 0.0], (0.0, 1.0)), ([0.0, 0.0, 0.0, 0.75, 0.0], (0.75, 0.0)),
        ([0.0, -0.5, 0.0, 0.25, 1.0], (0.5, 1.0)), ([0.0, 0.0], (0.0, 0.0)),
    ):  # fmt: skip
        human.sticks = sticks
        assert human._pad()[1:3] == pedals, sticks
    games.close()


def test_a_game_in_a_window_is_recorded_where_there_is_a_display_without_x(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from experiments.windows import recording

    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    previews, result = [], recording.WindowRecording(1, 0, 1, [0.0], 0)
    monkeypatch.setattr(recording, "WindowRecorder", lambda *a, **k: SimpleNamespace(rate=20.0))
    monkeypatch.setattr(recording, "record", lambda recorder, **k: [previews.append(k["preview"]), result][1])
    command = record.RecordCommand("screen", Path("x"))
    assert record.in_window(command, envs.options("screen", game="xracer")) is result and previews == [None]
