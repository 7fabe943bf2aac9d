"""The car's tab without a browser: recordings come, trainings learn from them, networks go."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import carmodels
import numpy as np
import pytest
from carstub import CarStub, same
from PIL import Image
from runfolders import make
from test_home import asked, served
from tubs import written

from agents.perception import preprocess
from envs.recordings.tub import Tub, TubWriter
from experiments.front import house
from experiments.web.server import Server

pytest.importorskip("onnx", reason="onnx is not installed")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[house.House]:
    make(tmp_path / "runs", 0, None, game="car", agent="clone")
    made = house.join(Server(), tmp_path / "runs", tmp_path / "data", tmp_path / "models")
    made.started = []
    monkeypatch.setattr(made.jobs, "start", lambda program, argv: made.started.append((program, argv)) or "job")
    yield made
    made.close()


@pytest.fixture
def car(tmp_path: Path) -> Iterator[CarStub]:
    made = CarStub(tmp_path / "car")
    yield made
    made.server.stop()


def until(condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + 30
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def coming(place: house.House) -> dict[str, Any]:
    """The one fetch, once it has ended."""
    return until(lambda: next((one for one in served(place, "car")["fetches"] if not one["running"]), None))


def test_without_a_car_everything_else_is_there(place: house.House) -> None:
    carmodels.written(place.workshop.models / "mine")
    (place.workshop.models / "broken").mkdir()
    (place.workshop.models / "broken" / "model.json").write_text("{")
    found = served(place, "car")
    assert found["car"] is None and found["where"] is None and found["fault"] == ""
    listed = {one["name"]: one for one in found["models"]}
    assert listed["mine"]["run"] == "test" and "damaged" in listed["broken"]["fault"]
    for name, value in (("fetch", "day"), ("deploy", "mine"), ("choose", "mine")):
        answer = asked(place, name, value)
        assert answer["type"] == "refused" and answer["text"] == "connect with a car first"


def test_a_recording_comes_and_is_learned_from(place: house.House, car: CarStub) -> None:
    there = written(car.folder / "tubs" / "2026-01-01", 40)
    assert asked(place, "connect", car.address)["type"] == "done"
    state = served(place, "car")
    assert state["car"]["name"] == "red" and state["car"]["recordings"] == [{"name": "2026-01-01", "records": 40}]
    assert asked(place, "fetch", "2026-01-01")["type"] == "done"
    told = coming(place)
    assert told["done"] == told["of"] == 43 and not told["bad"] and "came" in told["text"]
    assert same(there, place.data / "car" / "2026-01-01")
    names = {one["name"]: one["kind"] for one in served(place, "recordings")}
    assert names == {"car": "several", "car/2026-01-01": "tub"}
    value = {"game": "car", "recipe": "default", "steps": 100, "data": ["car/2026-01-01"]}
    assert asked(place, "train", value)["type"] == "done"
    program, argv = place.started.pop()
    assert program == "train" and argv[0] == "car" and f"--data={place.data / 'car' / '2026-01-01'}" in argv
    assert asked(place, "recording", "car/2026-01-01")["open"].startswith("/tub-")
    for wrong in ("../car", "nothing", "car/../car/2026-01-01"):
        assert asked(place, "train", {**value, "data": [wrong]})["type"] == "refused"
    assert place.started == []


def test_a_network_is_exported_deployed_and_chosen(place: house.House, car: CarStub) -> None:
    answer = asked(place, "export", {"run": "car/clone/default-s0", "name": "clone-default-s0"})
    assert answer == {"type": "done", "of": "export", "job": "job", "ask": 7}
    (program, argv) = place.started.pop()
    assert program == "export" and argv[1:] == ["--target=car", f"--out={place.workshop.models / 'clone-default-s0'}"]
    made = carmodels.written(place.workshop.models / "clone-default-s0")
    asked(place, "connect", f" {car.address} ")
    answer = asked(place, "deploy", "clone-default-s0")
    assert answer["text"] == "red drives with clone-default-s0 now"
    assert same(made, car.garage.folder / "clone-default-s0")
    state = served(place, "car")["car"]
    assert state["active"] == "clone-default-s0" and state["network"] == "clone-default-s0, of test"
    car.driven = True
    answer = asked(place, "choose", None)
    assert answer["type"] == "refused" and "somebody drives the car: first disarm it" in answer["text"]
    car.driven = False
    assert asked(place, "choose", None)["text"] == "red drives with no network now"
    assert asked(place, "disconnect", None)["type"] == "done" and served(place, "car")["where"] is None


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [("connect", "car:8890", "the whole one that the car's drive printed"),
     ("connect", "127.0.0.1:9/?token=x", "127.0.0.1:9 does not answer"), ("fetch", "../day", "is none of a car's"),
     ("export", {"run": "car/clone/default-s0", "name": "../x"}, "cannot be called ../x"),
     ("export", {"run": "nothing", "name": "x"}, "there is no run"), ("deploy", "../x", "cannot be called"),
     ("deploy", "nothing", "there is no such folder")],
)  # fmt: skip
def test_what_the_car_tab_refuses_is_one_sentence(
    place: house.House, car: CarStub, name: str, value: Any, told: str
) -> None:  # fmt: skip
    asked(place, "connect", car.address)
    answer = asked(place, name, value)
    assert answer["type"] == "refused" and told in answer["text"] and place.started == []


def test_a_car_that_has_gone_is_told_and_forgotten_without_a_trace(
    place: house.House, car: CarStub, tmp_path: Path
) -> None:  # fmt: skip
    asked(place, "connect", car.address)
    car.server.stop()
    state = served(place, "car")
    assert "does not answer" in state["fault"] and state["car"] is None and state["where"]
    written(car.folder / "tubs" / "day", 2)
    asked(place, "fetch", "day")
    told = coming(place)
    assert told["bad"] and "does not answer" in told["text"]
    texts = [p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()]
    assert not any(car.server.token.encode() in text for text in texts)  # the token is in no file


def test_the_preview_shows_what_training_and_driving_see(place: house.House) -> None:
    path = place.data / "car" / "day"
    rng = np.random.default_rng(1)
    with TubWriter(path) as writer:
        for k in range(3):
            picture = rng.integers(0, 256, (120, 160, 3), np.uint8)
            writer.write({"cam/image_array": picture, "user/angle": k / 4, "user/throttle": 0.1, "user/mode": "user"})
    found = served(place, "crop", recording="car/day", row="2")
    assert (found["rows"], found["row"], found["steer"], found["size"], found["sees"]) == (
        3,
        2,
        0.5,
        [160, 120],
        [80, 60],
    )
    seen = np.asarray(Image.open(io.BytesIO(base64.b64decode(found["seen"].partition(",")[2]))))
    assert (seen[1::3, 1::3] == preprocess.band(Tub(path).image(2), 60, 80)).all()
    band = {"function": "band", "height": 30, "width": 80, "top": 0.3, "bottom": 0.2}
    carmodels.written(place.workshop.models / "cut", preprocess=band)
    found = served(place, "crop", recording="car/day", row="99", model="cut")
    assert (found["row"], found["sees"], found["top"], found["bottom"]) == (2, [80, 30], 0.3, 0.2)
    carmodels.written(place.workshop.models / "wide", preprocess={**band, "top": 0.0})
    found = served(place, "crop", recording="car/day", model="wide")
    assert found["seen"] is None and "do not fit a network that sees 80x30" in found["fault"]
    for wrong in ("../data/car/day", "car", "", "/etc"):
        with pytest.raises(ValueError, match="there is no recording"):
            place._get("crop", {"recording": wrong})
    with pytest.raises(ValueError, match="row must be the number"):
        place._get("crop", {"recording": "car/day", "row": "x"})
