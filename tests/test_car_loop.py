"""The loop of `drive` and its recorder in this process: what is recorded, what teaches, and what is refused."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import carmodels
import numpy as np
import pytest
from tubs import written

import envs
from agents.core.rows import Spec
from envs.car import CarError
from envs.car.calibration import Calibration, load
from envs.car.camera import Picture
from envs.car.messages import CarCommand
from envs.car.model import CarAnswer, CarModel
from envs.recordings import driving
from envs.recordings.tub import IMAGE, Tub, TubWriter
from experiments.car import recorder, remote, workshop
from experiments.car.eye import CarEye, Sight
from experiments.car.loop import DriveLoop
from experiments.car.modes import CarHands
from experiments.car.page import CarPage
from experiments.car.pilot import LocalPilot, PilotAnswer
from experiments.driving.page import DataPage
from experiments.web.server import Server


class Link:
    """A guardian that lets everything through, as long as a test says so."""

    def __init__(self) -> None:
        self.status = dict(
            state="armed", cause="", told="", refused=False, steer=0.0, throttle=0.0, stops=0, causes={}, seq=0,
            hands=0, cap=0.25, driver="sim",
        )  # fmt: skip
        self.calibration, self.refusals, self.seq = Calibration(), [], 0
        self.faults: list[str] = []
        self.ended = 0

    def send(self, command: CarCommand) -> None:
        if self.status["state"] == "armed":
            self.status |= dict(steer=command.steer, throttle=command.throttle)

    def hear(self) -> dict[str, Any]:
        return self.status

    def fault(self, cause: str) -> None:
        self.faults.append(cause)
        self.status |= dict(state="latched", cause=cause, stops=self.status["stops"] + 1, throttle=0.0)

    def calibrate(self, calibration: Calibration) -> None:
        self.calibration = calibration

    def end(self) -> None:
        self.ended += 1


class Browser:
    """A page that somebody has open."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)


class Toy:
    """A loop with a camera, hands and a network that a test holds."""

    def __init__(self, folder: Path):
        self.server = Server()
        shelf = SimpleNamespace(page=DataPage(None, server=self.server))
        self.page = CarPage(self.server, shelf, threading.Event(), dict)
        self.link, self.number = Link(), 0
        self.eye = SimpleNamespace(newest=None, fault="", rate=20.0)
        self.pilot = SimpleNamespace(title="toy", fault="", newest=None, take=lambda value: None, predict=None)
        self.recorder = recorder.DriveRecorder(folder / "tubs", {"game": "car", "rate": 20.0})
        self.client = Browser()
        self.loop = DriveLoop(
            self.eye, self.pilot, self.link, self.page, self.recorder, threading.Event(), folder / "car.json"
        )
        self.loop.operator = self.client
        self.page.is_there = lambda client: True
        self.page.forget_the_gone = lambda: None

    def step(self, steer: float = 0.0, throttle: float = 0.0, network: float = 0.5, picture: bool = True) -> None:
        """One picture more (or none), with these hands and this steering of the network."""
        now, self.number = time.monotonic(), self.number + picture
        rgb = np.full((120, 160, 3), self.number % 250, np.uint8)
        self.eye.newest = Sight(Picture(rgb, now, self.number), self.number)
        self.page.hands[self.client] = CarHands(self.number, steer, throttle, now)
        answer = CarAnswer(network, 0.2, "throttle")
        self.pilot.newest = PilotAnswer(answer, self.number, now, 1.0)
        self.loop.step()

    def ask(self, name: str, value: Any = None) -> None:
        self.page._heard(self.client, {"type": "command", "name": name, "value": value})
        self.loop._obey()


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return Toy(tmp_path)


def test_corrections_of_a_person_are_what_a_recording_teaches(toy: Toy, tmp_path: Path) -> None:
    """DAgger by a person: where the network drove is no label, where a person took over is one, in every mode."""
    toy.ask("record", True)
    wanted: list[tuple[bool, float]] = []  # (is it a label?, the steering of it)
    for mode in ("manual", "shadow", "assisted", "autonomous"):
        toy.loop.mode = mode
        for steer in (0.0, -0.4, 0.0, 0.3):
            toy.step(steer, 0.1 if mode != "autonomous" or steer else 0.0)
            person = mode in ("manual", "shadow") or steer != 0.0
            wanted.append((person, steer if person else 0.5))
    toy.recorder.close()
    (path,) = (tmp_path / "tubs").iterdir()
    tub = Tub(path)
    assert tub.labelled.tolist() == [label for label, _ in wanted]
    assert tub.records["override"].tolist() == [label and k >= 8 for k, (label, _) in enumerate(wanted)]
    np.testing.assert_allclose(tub.records["user/angle"], [steer for _, steer in wanted])
    np.testing.assert_allclose(tub.records["pilot/angle"], 0.5)
    game = envs.describe("car", control="throttle")
    rows = driving.rows(path, Spec((60, 80, 3), "uint8", 1, action_dim=2), game.driving, print)
    np.testing.assert_allclose(rows.action[:, 0], [steer for label, steer in wanted if label])
    np.testing.assert_allclose(rows.action[:, 1], 2 * 0.1 / 0.25 - 1)
    assert len(rows.first) == 12 and rows.first[9:].all()  # a correction follows nothing that is left out


def test_every_stop_is_recorded_also_where_no_picture_comes_any_more(toy: Toy, tmp_path: Path) -> None:
    toy.ask("record", True)
    for _ in range(3):
        toy.step(0.1, 0.2)
    toy.eye.fault = "it was unplugged"
    for _ in range(5):
        toy.step(0.1, 0.2, picture=False)
    toy.recorder.close()
    tub = Tub(next((tmp_path / "tubs").iterdir()))
    assert tub.records["safety/cause"].tolist() == ["", "", "", "camera"]  # once
    assert tub.labelled.tolist() == [True] * 3 + [False]


def test_a_network_elsewhere_that_sends_no_number_stops_the_car_it_drives(toy: Toy) -> None:
    other = Browser()

    def says_nan() -> None:
        value = dict(number=1, steer=float("nan"), drive=0.1, kind="throttle", sign="none", certain=0.0, ms=1.0)
        with pytest.raises(ValueError, match="steer must be a number"):
            toy.page._heard(other, {"type": "command", "name": "pilot", "value": value})
        toy.loop._obey()

    says_nan()
    assert not toy.link.faults  # it drives nothing
    toy.loop.mode = "autonomous"
    says_nan()
    assert toy.link.faults == ["value"]


def test_a_calibration_that_is_refused_is_not_saved(toy: Toy, tmp_path: Path) -> None:
    good = {name: value for name, value in Calibration(left=1800.0).plain().items() if name != "format"}
    toy.ask("save", good)
    assert load(tmp_path / "car.json").left == 1800.0 and toy.client.sent[-1]["type"] == "saved"
    toy.ask("save", {**good, "centre": 1850.0})
    assert toy.client.sent[-1] == {
        "type": "error", "message": "calibration: centre must lie between left and right"
    }  # fmt: skip
    assert load(tmp_path / "car.json").centre == 1500.0


def test_while_somebody_drives_no_recording_is_opened_or_edited(toy: Toy, tmp_path: Path) -> None:
    opened: list[str] = []
    toy.page.shelf.open = opened.append
    recordings = toy.page.shelf.page
    recordings.open(written(tmp_path / "day", 5))

    def deleted() -> dict[str, Any]:
        recordings._free.acquire()
        recordings._edit(toy.client, {"type": "delete", "first": 0, "last": 1})
        return toy.client.sent[-1] if toy.client.sent else {}

    assert deleted() == {"type": "refused", "text": "somebody drives the car: first disarm it"}
    toy.ask("open", "day")
    assert toy.client.sent[-1]["message"] == "somebody drives the car: first disarm it" and not opened
    toy.link.status["state"] = "disarmed"
    toy.ask("open", "day")
    end = time.monotonic() + 20
    while toy.client.sent[-1]["type"] != "opened" and time.monotonic() < end:
        time.sleep(0.01)
    assert opened == ["day"]
    deleted()
    assert Tub(tmp_path / "day").deleted == 2


def test_a_network_that_does_not_fit_says_so_and_answers_again(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    eye = SimpleNamespace(newest=None, listeners=[])
    made = LocalPilot(CarModel(carmodels.written(tmp_path / "model")), eye, threading.Event())

    def look(height: int, until: Any) -> None:
        eye.newest = Sight(Picture(np.zeros((height, 160, 3), np.uint8), time.monotonic(), height), height)
        eye.listeners[0](eye.newest)
        end = time.monotonic() + 20
        while not until() and time.monotonic() < end:
            time.sleep(0.005)

    look(60, lambda: made.fault)
    assert "pictures of 160x60 do not fit a network that sees 80x60" in made.fault and made.newest is None
    look(120, lambda: made.newest)
    assert made.fault == "" and made.newest.number == 120
    made.close()


def test_a_drive_ends_neutral_before_anything_is_closed(toy: Toy) -> None:
    toy.loop._ended.set()
    toy.loop.run()
    assert toy.link.ended == 1
    toy.loop._ended.clear()
    toy.loop.step = lambda: 1 / 0
    with pytest.raises(ZeroDivisionError):
        toy.loop.run()
    assert toy.link.ended == 2


def test_a_slow_disk_delays_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening a long dataset, and closing it, take longer than the guardian has patience."""
    free = threading.Event()

    class Slow(TubWriter):
        def __init__(self, *args: Any, **more: Any):
            assert free.wait(20)
            super().__init__(*args, **more)

    monkeypatch.setattr(recorder, "TubWriter", Slow)
    made, began = recorder.DriveRecorder(tmp_path, {}), time.monotonic()
    record = {IMAGE: np.zeros((12, 16, 3), np.uint8), "user/angle": 0.0, "user/throttle": 0.0, "user/mode": "user"}
    for _ in range(2):  # pressed twice: a second session, which waits for the first one's writer
        made.start()
        for _ in range(recorder.WAITING + 3):
            made.put(dict(record))
        made.stop()
        assert not made.on and made.busy
    assert time.monotonic() - began < 10 and made.lost == 6 and made.count == 0
    free.set()
    made.close()
    tub = Tub(made.path)
    assert not made.busy and not made.fault and made.count == len(tub) == 80 and len(tub.sessions) == 2


def test_a_recording_that_cannot_be_is_told_and_delays_nobody(tmp_path: Path) -> None:
    made = recorder.DriveRecorder(tmp_path / "file", {})
    (tmp_path / "file").write_text("x")
    made.start()
    made.close()
    assert not made.on and "exists" in made.fault.lower()
    own = recorder.DriveRecorder(tmp_path, {})
    own.start()
    for k in range(3):  # a picture of another size ends it
        own.put({IMAGE: np.zeros((12 + k, 16, 3), np.uint8), "user/angle": 0.0, "user/mode": "user"})
    own.close()
    assert own.count == 1 and "holds pictures of" in own.fault and not own.busy


def test_a_camera_that_was_opened_is_closed_also_where_nobody_looked() -> None:
    closed: list[int] = []
    camera = SimpleNamespace(rate=20.0, open=lambda: None, read=lambda wait: None, close=lambda: closed.append(1))
    CarEye(camera).close()
    assert closed == [1]
    eye = CarEye(camera)
    eye.start()
    eye.close()
    assert closed == [1, 1]


def test_what_answers_a_network_elsewhere_may_be_no_car(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    model = carmodels.written(tmp_path / "model")
    with Server() as server:
        page = server.add_page("drive", tmp_path, title="x", on_open=lambda client: client.send({"type": "state"}))
        with pytest.raises(CarError, match="^--remote 127.0.0.1:[0-9]+: what answers there is no car: [^\n]+$"):
            remote.run(server.start(page), model)


@pytest.mark.parametrize("told", [[], {"function": "band", "height": 10**9, "width": 80, "top": 0, "bottom": 0}, 3])
def test_a_preview_of_a_strangers_network_is_one_sentence(tmp_path: Path, told: Any) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    written(tmp_path / "data" / "day", 3)
    carmodels.written(tmp_path / "models" / "net", preprocess=told)
    place = workshop.Workshop(None, None, tmp_path / "data", tmp_path / "models")
    with pytest.raises(CarError, match="^--model [^\n]*$"):
        place.crop({"recording": "day", "model": "net"})
