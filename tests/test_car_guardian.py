"""The guardian as a process: real sockets, signals and files, judged from what the wires did."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import carwires
import pytest
from carwires import history, moving, stopped_after, wait

from envs.car import CarError, driver, messages, places
from envs.car.calibration import Calibration
from envs.car.driver import DriverSettings
from envs.car.guardian import Guardian, GuardianSettings
from envs.car.link import GuardianDied, GuardianLink
from envs.car.messages import CarCommand
from envs.car.rules import WheelOutput

pytest.importorskip("gpiozero", reason="gpiozero is not installed")
KINDS = ("gpio", "pca9685", "sim")


def kinds(fast: str) -> pytest.MarkDecorator:
    """All drivers; all but one are for the slow tests."""
    marked = [kind if kind == fast else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS]
    return pytest.mark.parametrize("kind", marked)


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOYPAD_RUNTIME", str(tmp_path))


class Program:
    """A program that sends good commands every 20 ms from a thread, until it is told otherwise."""

    def __init__(self, log: Path, kind: str = "sim", **settings: object):
        self.log, self.kind = log, kind
        rescue = carwires.opened(carwires.Log(log))
        self.link = GuardianLink(
            DriverSettings(kind, **settings), Calibration(), program=(*carwires.PROGRAM, str(log)), rescue=rescue
        )
        self.values = dict(
            seq=0, time=0.0, steer=0.0, throttle=0.0, presses=0, armed=True, frame_age=0.01, hands_age=0.01, frame=0,
            content=0, hands=0, missed=0, cap=1.0,
        )  # fmt: skip
        self.silent, self.died, self._ended = False, "", threading.Event()
        self.thread = threading.Thread(target=self._send, daemon=True)
        self.thread.start()

    def _send(self) -> None:
        try:
            while not self._ended.wait(0.02):
                for name in ("frame", "content", "hands"):
                    self.values[name] += 1
                if not self.silent:
                    self.link.send(CarCommand(**self.values))
                self.link.hear()
        except GuardianDied as fault:
            self.died = str(fault)

    def state(self, *names: str) -> bool:
        return self.link.status["state"] in names

    def drive(self) -> Program:
        wait(lambda: self.state("disarmed"))
        time.sleep(0.35)
        self.values["presses"] += 1
        wait(lambda: self.state("armed"))
        self.values |= dict(throttle=0.2, steer=0.5)
        wait(lambda: history(self.log, self.kind)[-1].throttle > 0.15)
        return self

    def close(self) -> None:
        self._ended.set()
        self.thread.join()
        if not self.died:
            self.link.close()


@pytest.fixture
def start(tmp_path: Path):
    started: list[Program] = []

    def begin(kind: str = "sim", **settings: object) -> Program:
        started.append(Program(tmp_path / f"wires{len(started)}", kind, **settings))
        return started[-1]

    yield begin
    for program in started:
        program.close()


@kinds("gpio")
def test_a_whole_drive_on_the_wires(kind: str, start) -> None:
    """Neutral in the first second, never above the cap, neutral and straight at the end."""
    program = start(kind).drive()
    time.sleep(0.3)
    program.close()
    told = history(program.log, kind)
    first = next(w for w in told if abs(w.throttle) > carwires.MOVES)
    assert first.time - told[0].time > 1.0 and max(abs(w.steer) for w in told if w.time < told[0].time + 1.0) < 0.01
    assert 0.17 < max(w.throttle for w in told) < 0.21  # a board's ticks are coarse
    assert 0.4 < max(w.steer for w in told) < 0.51
    assert abs(told[-1].throttle) < 0.005 and abs(told[-1].steer) < 0.01


def test_a_terminal_reaches_the_program_alone(start) -> None:
    """Ctrl-Z stops all processes of a terminal's group: with the guardian among them the wheels would turn on."""
    program = start()
    assert os.getsid(program.link.process.pid) == program.link.process.pid != os.getsid(0)


@pytest.fixture
def inside() -> Iterator[tuple[Guardian, socket.socket]]:
    """A guardian in this process, and the socket of its program."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    made = Guardian(GuardianSettings(theirs.detach(), os.getpid()))
    yield made, ours
    for each in (ours, made.program, made.stops):
        each.close()
    while places.LOCKS:
        os.close(places.LOCKS.pop())


def test_a_program_that_floods_the_guardian_does_not_hold_the_wheels(inside) -> None:
    guardian, _ = inside
    count = [0]

    class Flood:
        def recv(self, size: int) -> bytes:
            count[0] += 1
            assert count[0] < 10_000, "it never looks at the rules"
            return CarCommand(*[0] * 13).packed()

    guardian.program.close()
    guardian.program = Flood()
    assert guardian._hear()
    guardian.program = ours = socket.socket()
    ours.close()


def test_messages_that_make_no_sense_end_no_guardian(inside) -> None:
    guardian, program = inside
    for text in ('{"type": "fault", "value": []}', '{"type": "calibration", "value": {}}', '{"type": {}}', "[" * 999):
        program.send(text.encode())
    assert guardian._hear()
    told = messages.message_of(program.recv(messages.LARGEST))
    assert told["type"] == "refused" and "format None is not 1" in told["told"]
    assert guardian.rules.cause == "value"  # of what was no message
    guardian.rules.output = WheelOutput(0.0, 0.1)
    program.send(messages.packed({"type": "calibration", "value": Calibration(left=1800.0).plain()}))
    assert guardian._hear() and guardian.driver.calibration == Calibration()
    assert "it changes while the motor stands" in messages.message_of(program.recv(messages.LARGEST))["told"]


def test_a_place_that_cannot_be_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    monkeypatch.setenv("JOYPAD_RUNTIME", str(tmp_path / ("x" * 120)))
    with pytest.raises(CarError, match="path too long"):
        GuardianLink(DriverSettings(), Calibration())
    assert capfd.readouterr().err == ""


def test_pins_that_obey_no_more_are_a_fault_of_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    broken, closed = [], []

    class Pin:
        closed, number = False, 0.0

        def __init__(self, pin: int, **_: object):
            pass

        def __setattr__(self, name: str, value: object) -> None:
            if broken:
                raise RuntimeError("lgpio: unknown handle")

        def close(self) -> None:
            closed.append(1)

    monkeypatch.setattr(driver, "gpiozero_module", lambda: SimpleNamespace(PWMOutputDevice=Pin))
    wheels = driver.GpioDriver(DriverSettings("gpio"), Calibration())
    wheels.write(0.5, 0.1)
    broken.append(1)
    with pytest.raises(CarError, match="the pins cannot be used: lgpio: unknown handle"):
        wheels.write(0.5, 0.1)
    wheels.close()
    assert len(closed) == 3


def test_kernels_that_keep_pins_are_known(tmp_path: Path) -> None:
    assert not driver.kept_pins(tmp_path)
    for name, text in (("pinctrl_other", None), ("pinctrl_bcm2835", "N\n"), ("pinctrl_rp1", "Y\n")):
        place = tmp_path / name / "parameters"
        place.mkdir(parents=True)
        if text is not None:
            (place / "persist_gpio_outputs").write_text(text)
        assert driver.kept_pins(tmp_path) == (name == "pinctrl_rp1")


@kinds("pca9685")
def test_silence_is_neutral_and_stays_so(kind: str, start) -> None:
    program = start(kind).drive()
    program.silent, since = True, time.monotonic()
    time.sleep(1.4)
    program.silent = False
    time.sleep(0.5)
    assert stopped_after(program.log, kind, since) < 0.25
    assert program.link.status["cause"] == "command" and program.state("latched")


@kinds("none")
def test_a_button_on_the_car_stops_it(kind: str, start) -> None:
    program = start(kind, stop_pin=21).drive()
    since = time.monotonic()
    program.log.with_suffix(".button").touch()
    wait(lambda: program.state("latched"))
    assert program.link.status["cause"] == "emergency button"
    program.values["throttle"] = 0.0
    time.sleep(0.4)
    program.values["presses"] += 1
    wait(lambda: program.link.status["refused"])
    assert "still pressed" in program.link.status["told"]
    program.log.with_suffix(".button").unlink()
    time.sleep(0.2)
    assert program.state("latched") and stopped_after(program.log, kind, since) < 0.25


def test_an_emergency_stop_from_the_command_line(start) -> None:
    program = start().drive()
    since = time.monotonic()
    assert places.stop_all() == ["car"]
    assert stopped_after(program.log, "sim", since) < 0.25
    wait(lambda: program.link.status["cause"] == "emergency command line")


def test_whoever_stops_cars_is_answered_outside_all_folders() -> None:
    """The guardian of another person has no way into the folder of whoever asks."""
    senders = []

    def answer() -> None:
        _, sender = car.recvfrom(64)
        senders.append(sender)
        car.sendto(b"stopped", sender)

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as car:
        car.bind(str(places.folder() / "red.stop"))
        thread = threading.Thread(target=answer)
        thread.start()
        assert places.stop_all() == ["red"]
        thread.join()
    assert senders[0].startswith(b"\0") and [p.name for p in places.folder().iterdir()] == ["red.stop"]


def test_nobody_to_stop(tmp_path: Path) -> None:
    assert places.stop_all(0.1) == []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as left:  # of a guardian that was killed
        left.bind(str(places.folder() / "old.stop"))
    assert places.stop_all(0.1) == []


@pytest.mark.slow
def test_one_car_on_one_set_of_wires(start) -> None:
    program = start("pca9685")
    with pytest.raises(CarError, match="another program drives by these wires already"):
        Program(program.log.with_name("other"), "pca9685")
    with pytest.raises(CarError, match="a car named 'car' drives on this computer already"):
        Program(program.log.with_name("other"), "sim")


@kinds("sim")
def test_a_guardian_that_dies_leaves_neutral_wheels(kind: str, start) -> None:
    program = start(kind).drive()
    since = time.monotonic()
    program.link.process.send_signal(signal.SIGKILL)
    wait(lambda: program.died)
    assert "the wheels are neutral" in program.died and stopped_after(program.log, kind, since) < 0.25


@pytest.mark.slow
def test_a_guardian_that_hangs_is_ended(start) -> None:
    program = start().drive()
    program.link.process.send_signal(signal.SIGSTOP)
    since = time.monotonic()
    wait(lambda: program.died)
    assert stopped_after(program.log, "sim", since) < 1.5


@pytest.mark.slow
def test_a_guardian_that_is_asked_to_end_is_neutral_first(start) -> None:
    program = start().drive()
    since = time.monotonic()
    program.link.process.send_signal(signal.SIGTERM)
    wait(lambda: program.died)
    assert stopped_after(program.log, "sim", since) < 0.25


@pytest.mark.slow
def test_a_device_that_is_unplugged_latches(start) -> None:
    program = start("pca9685").drive()
    program.log.with_suffix(".unplugged").touch()
    wait(lambda: program.state("latched"))
    assert program.link.status["cause"] == "driver"
    program.log.with_suffix(".unplugged").unlink()
    time.sleep(0.3)
    assert abs(history(program.log, "pca9685")[-1].throttle) < 0.005 and program.state("latched")


@pytest.mark.slow
def test_a_calibration_is_taken_while_the_car_stands(start) -> None:
    program = start("gpio")
    program.link.calibrate(Calibration(left=1800.0, centre=1400.0, right=1000.0))
    wait(lambda: abs(history(program.log, "gpio")[-1].steer - 0.25) < 0.01)  # 1400 us, read by the default


DRIVER = """
import sys, time
sys.path[:0] = [{root!r}, {tests!r}]
from pathlib import Path
from test_car_guardian import Program
program = Program(Path({log!r}), {kind!r}).drive()
print("drives", flush=True)
{then}
"""
THENS = {
    "killed": "time.sleep(60)", "stopped": "time.sleep(60)", "suspended": "time.sleep(60)",
    "busy": "[x for x in range(10**9) if x % 2 == 3]",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", THENS)
def test_a_program_that_dies_stops_or_hangs(kind: str, fault: str, tmp_path: Path) -> None:
    log = tmp_path / "wires"
    then = THENS[fault] if fault != "busy" else "sys.setswitchinterval(1000)\n" + THENS[fault]
    code = DRIVER.format(
        root=str(carwires.ROOT), tests=str(carwires.ROOT / "tests"), log=str(log), kind=kind, then=then
    )
    program = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert program.stdout.readline() == "drives\n"
        since = time.monotonic()
        if fault == "suspended":  # as Ctrl-Z does it, to the whole group
            os.killpg(program.pid, signal.SIGSTOP)
        elif fault != "busy":
            os.kill(program.pid, signal.SIGKILL if fault == "killed" else signal.SIGSTOP)
        time.sleep(1.4)
        if fault in ("stopped", "suspended"):
            os.killpg(program.pid, signal.SIGCONT)
            time.sleep(0.5)
        assert stopped_after(log, kind, since) < 0.25 + 0.25 * (fault == "busy")  # it prints before it is busy
        assert not moving(log, kind, since + 0.5)
    finally:
        program.kill()
        program.wait()
