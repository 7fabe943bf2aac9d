"""The whole of `drive` as a process: its page's protocol, a network elsewhere, the watchdog, several people."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import car_faults
import carmodels
import carwires
import numpy as np
import pytest
from cardrive import Person, Stand, tell
from carwires import history, stopped_after, wait

from envs.car import CarError
from envs.recordings.tub import Tub
from experiments.car import garage
from experiments.car.client import CarClient

pytest.importorskip("gpiozero", reason="gpiozero is not installed")
pytest.importorskip("onnx", reason="onnx is not installed")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "d"
    car_faults.pictures(path)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return carmodels.written(tmp_path / "model", drive=0.2)


@pytest.fixture
def stand(tmp_path: Path, pictures: Path, model: Path) -> Iterator[Stand]:
    started = Stand(tmp_path, "sim", "--model", str(model), tub=pictures)
    yield started
    started.close()


def test_hand_to_wheels_and_back_and_no_picture_twice(stand: Stand) -> None:
    """A slow client delays nobody. The limit of 50 ms is that of p99 on a quiet machine; here it is the median's."""
    slow = Person(stand.address)
    slow.slow = 1.0
    person = Person(stand.address).drive()
    person.trips.clear()
    person.pictures.clear()
    time.sleep(6.0)
    trips = np.array(person.trips) * 1000
    print(f"round trip of {len(trips)} commands: p50 {np.median(trips):.1f} ms, p99 {np.percentile(trips, 99):.1f} ms")
    assert len(trips) > 80 and np.median(trips) < 50
    assert len(person.pictures) > 60 and len(set(person.pictures)) == len(person.pictures)
    assert np.diff(person.pictures).min() > 0
    assert 3 <= len(set(slow.pictures)) < 20  # one a second or so, each the newest
    assert slow.pictures[-1] > person.pictures[-1] - 60


def test_somebody_else_may_watch_and_stop_and_no_more(stand: Stand) -> None:
    first, second = Person(stand.address).drive(), Person(stand.address)
    second.wait(lambda s: s["state"] == "armed")
    for name, value in (("arm", None), ("mode", "autonomous"), ("cap", 0.01)):
        second.command(name, value)
        wait(lambda: "somebody else drives" in second.messages[-1].get("message", ""))
        second.messages.append({"type": "seen"})
    assert first.state["state"] == "armed" and first.state["mode"] == "manual"
    since = time.monotonic()
    second.command("stop", "page")
    first.wait(lambda s: s["state"] == "latched")
    assert stopped_after(stand.log, "sim", since) < 0.25
    first.leave()
    second.drive()  # a seat that is free


def test_a_car_is_driven_recorded_and_every_stop_is_in_the_recording(stand: Stand, tmp_path: Path) -> None:
    person = Person(stand.address).drive()
    person.command("record", True)
    person.wait(lambda s: s["records"] > 10)
    for cause in ("page", "key"):
        person.command("stop", cause)
        person.wait(lambda s, cause=cause: s["cause"] == f"emergency {cause}")
        time.sleep(0.2)
        person.drive()
    person.command("mode", "assisted")
    person.steer = 0.0
    person.wait(lambda s: s["mode"] == "assisted")
    time.sleep(0.5)
    person.command("record", False)
    person.wait(lambda s: not s["recording"])
    out = stand.close()
    assert "emergency key" in out and "emergency page" in out
    tub = Tub(next((tmp_path / "tubs").iterdir()))
    causes = tub.records["safety/cause"].tolist()
    assert not tub.damaged and not tub.notes and {"emergency page", "emergency key"} <= set(causes)
    mode = tub.records["user/mode"]
    assert {"user", "local", "stopped"} <= set(mode.tolist()) and (tub.labelled == (mode == "user")).all()
    assert np.isfinite(tub.records["pilot/angle"]).all() and tub.records["safety/stops"].max() >= 2
    by_network = tub.records["user/angle"][mode == "local"]
    assert np.allclose(by_network, tub.records["pilot/angle"][mode == "local"], atol=0.35)


def test_a_network_elsewhere_drives_the_same_car(tmp_path: Path, pictures: Path, model: Path) -> None:
    stand = Stand(tmp_path, "sim", tub=pictures)
    words = [sys.executable, "-m", "experiments.drive", "--remote", stand.address, "--model", str(model)]
    env = {**os.environ, "PYTHONPATH": str(carwires.ROOT)}
    far = subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        person = Person(stand.address)
        person.wait(lambda s: s["pilot"] is not None, 30)
        for _ in range(5):
            person.drive()
            person.command("mode", "autonomous")
            person.steer = person.throttle = 0.0
            person.wait(lambda s: s["mode"] == "autonomous")
            time.sleep(0.8)
            if history(stand.log, "sim")[-1].throttle > 0.15:
                break
        assert history(stand.log, "sim")[-1].throttle == pytest.approx(0.2, abs=0.01)
        since = time.monotonic()
        far.send_signal(signal.SIGSTOP)  # the network, not the car
        time.sleep(1.5)
        far.send_signal(signal.SIGCONT)
        time.sleep(0.5)
        assert stopped_after(stand.log, "sim", since) < 0.25 and person.state["state"] == "latched"
    finally:
        far.kill()
        _, errors = far.communicate()
        stand.close()
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("address", "words"),
    [("http://127.0.0.1:9/drive/", "must be the whole address"), ("127.0.0.1:9/drive/?token=x", "Cannot connect"),
     ("ftp://x/?token=y", "must be the whole address")],
)  # fmt: skip
def test_an_address_of_no_car_is_one_sentence(address: str, words: str, model: Path) -> None:
    argv = [sys.executable, "-m", "experiments.drive", "--remote", address, "--model", str(model)]
    done = subprocess.run(argv, cwd=carwires.ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and words in done.stderr, done.stderr


def test_a_wrong_token_is_one_sentence(stand: Stand, model: Path) -> None:
    argv = [sys.executable, "-m", "experiments.drive", "--remote", stand.address + "x", "--model", str(model)]
    done = subprocess.run(argv, cwd=carwires.ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "it refuses this token" in done.stderr and done.stderr.count("\n") == 1


def test_a_network_comes_while_nobody_drives_and_is_there_at_the_next_start(tmp_path: Path, pictures: Path) -> None:
    """The whole program: refused while somebody drives, who feels nothing of it; then it drives."""
    left = garage.packed(carmodels.written(tmp_path / "left", drive=0.1))
    stand = Stand(tmp_path, "sim", "--model", str(carmodels.written(tmp_path / "right", drive=0.2)), tub=pictures)
    try:
        pc, person = CarClient(stand.address), Person(stand.address).drive()
        for ask in (lambda: pc.send("new", left), lambda: pc.choose(None), lambda: pc.parts("day")):
            with pytest.raises(CarError, match="somebody drives the car: first disarm it"):
                ask()
        assert person.state["network"] == "right, of test" and person.state["stops"] == 0
        person.steer = person.throttle = 0.0
        person.command("disarm")
        person.wait(lambda s: s["state"] == "disarmed")
        assert pc.send("new", left)["active"] == "new"
        person.wait(lambda s: s["network"] == "new, of test" and s["pilot"] and abs(s["pilot"]["drive"] - 0.1) < 1e-3)
        person.command("mode", "autonomous")
        for _ in range(5):
            person.command("arm")
            time.sleep(1.0)
            if history(stand.log, "sim")[-1].throttle > 0.05:
                break
        assert history(stand.log, "sim")[-1].throttle == pytest.approx(0.1, abs=0.01)
        person.command("stop", "page")
        person.wait(lambda s: s["state"] == "latched")
        pc.choose(None)
        person.wait(lambda s: s["network"] == "a network on another computer")
        assert pc.choose("new")["network"] == "new, of test"
    finally:
        stand.close()
    again = Stand(tmp_path, "sim", tub=pictures)  # a start without --model
    try:
        assert CarClient(again.address).about()["network"] == "new, of test"
    finally:
        again.close()


def test_two_cars_on_one_address_and_one_name(tmp_path: Path, pictures: Path, stand: Stand) -> None:
    def refused(*options: str) -> str:
        argv = [sys.executable, "-m", "experiments.drive", "--camera", f"tub:{pictures}", "--driver", "sim", *options]
        env = {**os.environ, "JOYPAD_RUNTIME": str(tmp_path), "PYTHONPATH": str(carwires.ROOT)}
        done = subprocess.run(argv, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
        return done.stderr

    assert "another program uses it" in refused("--port", str(stand.port), "--name", "other")
    assert "a car named 'car' drives on this computer already" in refused("--port", "0")


def test_emergency_stop_from_another_terminal(stand: Stand, tmp_path: Path) -> None:
    Person(stand.address).drive()
    env = {**os.environ, "JOYPAD_RUNTIME": str(tmp_path), "PYTHONPATH": str(carwires.ROOT)}
    argv = [sys.executable, "-m", "experiments.drive", "--stop"]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "stopped: car\n")
    assert stopped_after(stand.log, "sim", time.monotonic()) == 0.0


def test_the_watchdog_is_fed_by_the_guardian_alone(tmp_path: Path, pictures: Path, monkeypatch) -> None:
    """systemd's protocol: READY once the wheels are neutral, then a word in each period, and none from the dead."""
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.bind(str(tmp_path / "notify"))
    heard.settimeout(5)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    stand = Stand(tmp_path, "pca9685", tub=pictures)
    try:
        assert heard.recv(64) == b"READY=1"
        times = []
        for _ in range(8):
            assert heard.recv(64) == b"WATCHDOG=1"
            times.append(time.monotonic())
        assert max(np.diff(times)) < 1.0 and len(times) == 8
        tell(stand.log, "unplugged", "x")  # a driver that does not answer is no healthy car
        time.sleep(0.5)
        heard.setblocking(False)
        while True:
            try:
                heard.recv(64)
            except BlockingIOError:
                break
        time.sleep(1.0)
        with pytest.raises(BlockingIOError):
            heard.recv(64)
    finally:
        stand.log.with_suffix(".unplugged").unlink()
        stand.close()


def test_a_drive_ends_neutral_and_straight(stand: Stand) -> None:
    Person(stand.address).drive(0.2, 0.9)
    out = stand.close()
    told = history(stand.log, "sim")
    assert "stops:" in out and abs(told[-1].steer) < 1e-6 and told[-1].throttle == 0.0 and stand.said() == ""
    assert max(abs(w.steer) for w in told) > 0.5
