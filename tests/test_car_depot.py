"""What goes between a car and the PC: recordings out, networks in, and everything that is refused on the way."""

from __future__ import annotations

import http.client
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import carmodels
import numpy as np
import pytest
from carstub import CarStub, same
from tubs import written

from envs.car import CarError
from envs.recordings import tub_edits
from envs.recordings.tub import Tub, TubWriter
from experiments.car import client, garage
from experiments.car.client import CarClient
from experiments.web.server import Server

pytest.importorskip("onnx", reason="onnx is not installed")


@pytest.fixture
def car(tmp_path: Path) -> Iterator[CarStub]:
    made = CarStub(tmp_path / "car")
    yield made
    made.server.stop()


@pytest.fixture
def pc(car: CarStub) -> Iterator[CarClient]:
    made = CarClient(car.address)
    yield made
    made.close()


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return carmodels.written(tmp_path_factory.mktemp("made") / "net")


def test_a_recording_is_fetched_and_then_only_what_is_new(
    car: CarStub, pc: CarClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    came, asked = [], CarClient._asked

    def spied(self: CarClient, *args: Any, **query: str) -> bytes:
        came.append(query.get("part", ""))
        return asked(self, *args, **query)

    monkeypatch.setattr(CarClient, "_asked", spied)

    def pictures() -> int:
        found = sum(part.startswith("images/") for part in came)
        came.clear()
        return found

    there = written(car.folder / "tubs" / "2026-01-01", 30)
    here, told = tmp_path / "pc" / "day", []
    pc.fetch("2026-01-01", here, lambda done, of: told.append((done, of)))
    assert same(there, here) and pictures() == 30 and told[-1][0] == told[-1][1] == 30 + 3
    assert len(Tub(here)) == 30 and not Tub(here).damaged
    pc.fetch("2026-01-01", here)
    assert pictures() == 0
    with TubWriter(there) as writer:
        for _ in range(5):
            writer.write({"cam/image_array": np.zeros((12, 16, 3), np.uint8), "user/angle": 0.5, "user/throttle": 0.1,
                          "user/mode": "user"})  # fmt: skip
    tub_edits.delete(there, [0, 1])
    pc.fetch("2026-01-01", here)
    assert same(there, here) and len(Tub(here)) == 33 and pictures() == 5


@pytest.mark.parametrize("stops", [0, 1, 7, 12, 13, 14, 15])  # transfers: 12 pictures and 4 files
def test_a_fetch_that_breaks_off_goes_on(
    car: CarStub, pc: CarClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stops: int
) -> None:  # fmt: skip
    there, here = written(car.folder / "tubs" / "day", 12), tmp_path / "pc" / "day"
    tub_edits.delete(there, [3])
    pc.fetch("day", tmp_path / "pc" / "before")
    count, replace = [0], client.tub_files.replace

    def failing(path: Path, data: bytes) -> None:
        count[0] += 1
        if count[0] > stops:
            raise OSError(28, "No space left on device", str(path))
        replace(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(client.tub_files, "replace", failing)
        with pytest.raises(OSError, match="No space left"):
            pc.fetch("day", here)
    assert len(list((here / "images").glob("*.jpg"))) == min(stops, 12)
    tub_edits.delete(there, [4])  # and the car's own copy has changed meanwhile
    pc.fetch("day", here)
    assert same(there, here) and len(Tub(here)) == 10


def test_what_was_edited_here_is_not_written_over(car: CarStub, pc: CarClient, tmp_path: Path) -> None:
    written(car.folder / "tubs" / "day", 10)
    here = tmp_path / "pc" / "day"
    pc.fetch("day", here)
    tub_edits.delete(here, [4])
    before = (here / "manifest.json").read_bytes()
    with pytest.raises(CarError, match="was edited here, or recorded here: move it away"):
        pc.fetch("day", here)
    assert (here / "manifest.json").read_bytes() == before and len(Tub(here)) == 9
    own = written(tmp_path / "pc" / "own", 3)
    with pytest.raises(CarError, match="was not fetched from a car"):
        pc.fetch("day", own)
    assert len(Tub(own)) == 3


@pytest.mark.parametrize("name", ["../tubs", "..", "", "nothing", "/etc", "x" * 400])
def test_no_other_folder_is_reached(car: CarStub, pc: CarClient, name: str) -> None:
    written(car.folder / "tubs" / "day", 2)
    with pytest.raises(CarError, match="there is no recording"):
        pc.parts(name)


def test_a_file_is_fetched_without_a_look_at_all_recordings(
    car: CarStub, pc: CarClient, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """A recording has thousands of files, and counting all records of all recordings for each takes an hour."""
    written(car.folder / "tubs" / "day", 1)
    assert pc.about()["recordings"] == [{"name": "day", "records": 1}]
    with TubWriter(car.folder / "tubs" / "day") as writer:
        writer.write({"cam/image_array": np.zeros((12, 16, 3), np.uint8), "user/angle": 0.5, "user/mode": "user"})
    assert pc.about()["recordings"] == [{"name": "day", "records": 2}]
    monkeypatch.setattr(tub_edits, "count", lambda path: pytest.fail("counts"))
    assert pc.about()["recordings"] == [{"name": "day", "records": 2}]  # the page of the PC asks all the time
    assert ("manifest.json", (car.folder / "tubs/day/manifest.json").stat().st_size) in pc.parts("day")


@pytest.mark.parametrize(
    "part", ["../../secret", "images/../../secret", "lock", "images/x.py", "images/.x.jpg", "/etc/passwd"]
)
def test_no_other_file_is_reached(car: CarStub, pc: CarClient, part: str, tmp_path: Path) -> None:
    path = written(car.folder / "tubs" / "day", 2)
    (car.folder / "secret").write_text("secret")
    with pytest.raises(CarError, match="a recording has no part"):
        pc._asked("GET", "part", name="day", part=part)
    (path / "images" / "link.jpg").symlink_to(car.folder / "secret")
    with pytest.raises(CarError, match="is a link out of the folder"):
        pc._asked("GET", "part", name="day", part="images/link.jpg")
    assert "images/link.jpg" not in [name for name, _ in pc.parts("day")]


@pytest.mark.parametrize(
    "told", ['[{"part": "../x", "bytes": 1}]', '{"a": 1}', "nonsense", '[{"part": "images/1.jpg"}]']
)
def test_a_car_that_lies_reaches_nothing_here(
    pc: CarClient, tmp_path: Path, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(CarClient, "_asked", lambda *args, **query: told.encode())
    with pytest.raises(CarError, match="which no recording has|is none"):
        pc.fetch("day", tmp_path / "deep" / "pc" / "day")
    assert [*tmp_path.rglob("x")] == []


def test_a_network_is_checked_kept_and_drives(car: CarStub, pc: CarClient, network: Path) -> None:
    told = pc.send("first", garage.packed(network))
    assert told["active"] == "first" and car.pilot.model.look(np.zeros((120, 160, 3), np.uint8)).steer == 0.0
    assert same(network, car.garage.folder / "first") and told["networks"][0]["run"] == "test"
    assert told["network"] == "first, of test"
    pc.send("first", garage.packed(network))  # the same once more is not kept twice
    assert [one["name"] for one in car.garage.listed()] == ["first"] and len(car.closed) == 1
    other = carmodels.written(car.folder / "other", drive=0.1)
    assert pc.send("first", garage.packed(other))["active"] == "first-2"  # another of that name does not replace it
    assert same(network, car.garage.folder / "first")
    assert pc.choose("first")["active"] == "first" and car.pilot.model.folder.name == "first"
    assert garage.Garage(car.garage.folder).opened(car.garage.active).title == "first, of test"  # the next start
    assert pc.choose(None)["active"] is None and car.pilot.title == "elsewhere"
    with pytest.raises(CarError, match="there is no network nothing on the car"):
        pc.choose("nothing")


def test_while_somebody_drives_nothing_comes_or_goes(
    car: CarStub, pc: CarClient, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    written(car.folder / "tubs" / "day", 2)
    pc.send("first", garage.packed(network))
    before = car.pilot
    other = carmodels.written(car.folder / "other", drive=0.1)
    car.driven = True
    put, came = car.page.page.on_put, []
    monkeypatch.setattr(car.page.page, "on_put", lambda path, *rest: came.append(path) or put(path, *rest))
    packed = garage.packed(other)
    with pytest.raises(CarError, match="somebody drives"):
        pc.send("second", packed)
    assert not came  # nothing large is on its way to a car that is driven
    for ask in (lambda: pc._asked("PUT", "network", packed, name="second"), lambda: pc.choose(None),
                lambda: pc.parts("day")):  # fmt: skip
        with pytest.raises(CarError, match="somebody drives the car: first disarm it"):
            ask()
    about = pc.about()
    assert about["driven"] and about["recordings"] is None and car.pilot is before and about["active"] == "first"
    car.driven, car.recorder.busy = False, True
    with pytest.raises(CarError, match="the car is recording"):
        pc.parts("day")


def test_a_loop_that_refuses_at_the_last_moment_keeps_its_network(
    car: CarStub, pc: CarClient, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    def refused(pilot: Any) -> None:
        raise CarError("somebody drives the car: first disarm it")

    monkeypatch.setattr(car, "exchange", refused)
    with pytest.raises(CarError, match="somebody drives"):
        pc.send("first", garage.packed(network))
    assert car.pilot is None and len(car.closed) == 1 and car.garage.active is None


def changed(network: Path, **about: Any) -> bytes:
    """The network as a zip file, with another model.json."""
    told = {**json.loads((network / "model.json").read_text()), **about}
    return zipped({**{p.name: p.read_bytes() for p in network.iterdir()}, "model.json": json.dumps(told).encode()})


def zipped(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


BAND = {"function": "band", "height": 60, "width": 80, "top": 0.0, "bottom": 0.0}


@pytest.mark.parametrize(
    ("case", "words"),
    [("version", "is of format 2, this version drives with 1"), ("checksum", "its checksum differs"),
     ("preprocessing", "prepared by blur"), ("camera", "do not fit a network that sees"),
     ("no zip", "no whole zip file"), ("torn", "no whole zip file"),
     ("stranger", "has no file evil.py"), ("way out", "has no file ../evil"),
     ("huge", "larger than 64 MiB"), ("nothing", "has no file model.json"), ("name", "cannot be called ../x")],
)  # fmt: skip
def test_a_network_that_is_none_leaves_nothing_behind(
    car: CarStub, pc: CarClient, network: Path, case: str, words: str
) -> None:  # fmt: skip
    whole = {p.name: p.read_bytes() for p in network.iterdir()}
    data = {
        "version": lambda: changed(network, format=2),
        "checksum": lambda: zipped({**whole, "head.onnx": whole["head.onnx"] + b"x"}),
        "preprocessing": lambda: changed(network, preprocess={**BAND, "function": "blur"}),
        "camera": lambda: changed(network, preprocess={**BAND, "top": 0.4}),
        "no zip": lambda: b"nonsense",
        "torn": lambda: garage.packed(network)[:-200],
        "stranger": lambda: zipped({**whole, "evil.py": b"x"}),
        "way out": lambda: zipped({**whole, "../evil": b"x"}),
        "huge": lambda: zipped({**whole, "sign.onnx": bytes(65 * 2**20)}),
        "nothing": lambda: zipped({}),
        "name": lambda: garage.packed(network),
    }[case]()
    with pytest.raises(CarError, match="^[^\n]*$") as fault:
        pc.send("../x" if case == "name" else "first", data)
    assert words in str(fault.value) and car.pilot is None and car.garage.active is None
    assert [p for p in car.folder.rglob("*") if p.is_file()] == []


def asked(car: CarStub, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, str]:
    link = http.client.HTTPConnection("127.0.0.1", car.server.port, timeout=20)
    link.request(method, path, body=body, headers=headers)
    reply = link.getresponse()
    return reply.status, reply.read().decode(errors="replace")


def test_who_has_no_token_or_comes_from_elsewhere_is_refused(car: CarStub, network: Path) -> None:
    bearer, data = f"Bearer {car.server.token}", garage.packed(network)
    for path in ("/drive/data/network?name=x", "/drive/data/active?name="):
        assert asked(car, "PUT", path, data)[0] == 403
        assert asked(car, "PUT", path, data, Authorization=bearer + "x")[0] == 403
        assert asked(car, "PUT", path, data, Authorization=car.server.token)[0] == 403
        assert asked(car, "PUT", path, data, Authorization=bearer, Origin="http://evil.example")[0] == 403
        assert asked(car, "PUT", path, data, Authorization=bearer, Host="evil.example")[0] == 403
    for path in ("car", "parts?name=day", "part?name=day&part=manifest.json"):
        assert asked(car, "GET", f"/drive/data/{path}")[0] == 403
    assert car.pilot is None and not car.garage.folder.exists()
    assert asked(car, "PUT", "/drive/data/network?name=x", data, Authorization=bearer)[0] == 200
    assert asked(car, "PUT", "/drive/data/elsewhere", data, Authorization=bearer)[0] == 404
    assert asked(car, "PUT", "/tub/data/network?name=x", data, Authorization=bearer)[0] == 404  # a page takes none
    with pytest.raises(CarError, match="refuses this token"):
        CarClient(car.address[:-3] + "xyz").about()


def test_a_body_that_is_too_large_or_never_ends_is_cut(car: CarStub) -> None:
    car.page.page.longest_body, car.server.patience = 1000, 0.3
    bearer = f"Bearer {car.server.token}"
    assert asked(car, "PUT", "/drive/data/network?name=x", bytes(1001), Authorization=bearer)[0] == 413
    link = http.client.HTTPConnection("127.0.0.1", car.server.port, timeout=20)
    link.putrequest("PUT", "/drive/data/network?name=x")
    for name, value in (("Authorization", bearer), ("Content-Length", "500")):
        link.putheader(name, value)
    link.endheaders()
    link.send(b"half")
    assert link.getresponse().status == 408


@pytest.mark.parametrize("text", ["{", "[]x", '{"name": "../x"}', '{"name": 3}'])
def test_a_damaged_choice_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "active.json").write_text(text)
    with pytest.raises(CarError, match="^[^\n]*active.json (is damaged|names no network)[^\n]*$"):
        _ = garage.Garage(tmp_path).active
    assert garage.Garage(tmp_path / "none").active is None


def test_a_choice_that_was_deleted_says_how_to_go_on(tmp_path: Path, network: Path) -> None:
    place = garage.Garage(tmp_path)
    assert place.chosen() is None
    place.choose(place.received("whole", garage.packed(network)).folder.name)
    assert place.chosen().folder.name == "whole"
    (tmp_path / "whole").rename(tmp_path / "away")
    with pytest.raises(CarError, match="whole, which drove the car last, is no longer in .*: delete .*active.json, or"):
        place.chosen()


def test_what_a_computer_without_power_left_is_cleared_away(tmp_path: Path, network: Path) -> None:
    unfinished = tmp_path / f"{garage.COMING}0000"
    unfinished.mkdir()
    (unfinished / "trunk.onnx").write_bytes(b"half")
    place = garage.Garage(tmp_path)
    assert place.listed() == []
    place.received("whole", garage.packed(network))
    place.tidy()
    assert [one["name"] for one in place.listed()] == ["whole"] and not unfinished.exists()


@pytest.mark.parametrize(
    "place", ["car:8890", "http://car:99999/?token=x", "https://car/?token=x", "", "http:///?token=x"]
)
def test_an_address_without_a_token_is_one_sentence(place: str) -> None:
    with pytest.raises(CarError, match="the whole one that the car's drive printed"):
        CarClient(place)
    assert client.parsed(place) is None


def test_nobody_at_the_address_is_one_sentence() -> None:
    with pytest.raises(CarError, match="^127.0.0.1:9 does not answer: [^\n]+$"):
        CarClient("127.0.0.1:9/drive/?token=x").about()


def test_another_program_at_the_address_is_one_sentence(tmp_path: Path) -> None:
    with Server() as server:
        page = server.add_page("drive", tmp_path, title="x", on_get=lambda path, query: (b'{"format": 7}', "a/b"))
        with pytest.raises(CarError, match="this is no car, or one with another version"):
            CarClient(server.start(page)).about()
