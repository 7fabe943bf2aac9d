"""The toy car's parts: the network's folder, calibration, modes, halts, and what its programs refuse."""

from __future__ import annotations

import json
import os
import struct
import sys
from pathlib import Path
from typing import Any

import carmodels
import numpy as np
import pytest
from programs import program
from tubs import written

from agents.perception import preprocess
from envs.car import CarError, calibration, pca9685, places
from envs.car.calibration import Calibration
from envs.car.driver import DriverSettings
from envs.car.halting import SignHalt
from envs.car.model import CarModel
from experiments import drive
from experiments.car.modes import CarHands, wish


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnx", reason="onnx is not installed")
    return carmodels.written(tmp_path_factory.mktemp("model"), signs=True, drive=0.25, kind="target_speed")


def changed(folder: Path, tmp_path: Path, **about: Any) -> Path:
    """A copy of the folder whose model.json says other things."""
    copy = tmp_path / "changed"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    told = json.loads((copy / "model.json").read_text())
    (copy / "model.json").write_text(json.dumps({**told, **about}))
    return copy


def test_the_network_sees_the_band_and_answers(folder: Path) -> None:
    model = CarModel(folder)
    picture = np.random.default_rng(1).integers(0, 256, (120, 160, 3), np.uint8)
    seen = preprocess.band(picture, carmodels.HEIGHT, carmodels.WIDTH)
    features = seen.astype(np.float64).mean((0, 2))
    wanted = np.clip(features @ (np.linspace(-1, 1, carmodels.WIDTH) / 1000), -1, 1)
    answer = model.look(picture)
    assert answer.steer == pytest.approx(wanted, abs=1e-4) and answer.kind == "target_speed"
    assert answer.drive == pytest.approx(0.25 * 8.0)
    logits = np.array([0.0, features[:8].sum() - 1000, -5.0])
    shares = np.exp(logits - logits.max())
    assert answer.sign == ["none", "stop", "other"][logits.argmax()]
    assert answer.certain == pytest.approx(shares.max() / shares.sum(), abs=1e-4)


PREPARED = {"function": "band", "height": 60, "width": 80, "top": 0.0, "bottom": 0.0}


@pytest.mark.parametrize(
    ("about", "words"),
    [({"format": 2}, "is of format 2, this version drives with 1"),
     ({"preprocess": {**PREPARED, "function": "grey"}}, "prepared by grey, which this version does not know"),
     ({"preprocess": {**PREPARED, "blur": 1}}, "prepared by band, which"),
     ({"preprocess": {**PREPARED, "height": 10**9}}, "none that a camera gives"),
     ({"preprocess": {**PREPARED, "top": 0.6, "bottom": 0.5}}, "cannot be cut off"),
     ({"preprocess": {**PREPARED, "top": float("nan")}}, "cannot be cut off"),
     ({"preprocess": {**PREPARED, "top": -(10**400)}}, "cannot be cut off"),
     ({"preprocess": {**PREPARED, "height": 59}}, "do not fit together"),
     ({"preprocess": None}, "prepared by None"),
     ({"drive": {"kind": "rockets", "low": 0, "high": 1}}, "what it says of speed"),
     ({"drive": {"kind": "throttle", "low": 0, "high": 2}}, "what it says of speed"),
     ({"drive": []}, "what it says of speed"), ({"signs": None}, "names no list of signs"),
     ({"signs": ["none", "stop"]}, "other shapes"), ({"files": {}}, "its checksum differs"),
     ({"files": 3}, "its checksum differs")],
)  # fmt: skip
def test_a_network_of_another_kind_is_refused(folder: Path, tmp_path: Path, about: dict, words: str) -> None:
    with pytest.raises(CarError, match="^[^\n]*$") as fault:
        CarModel(changed(folder, tmp_path, **about))
    assert words in str(fault.value)


def test_a_damaged_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    copy = changed(folder, tmp_path)
    with pytest.raises(CarError, match="no such folder"):
        CarModel(tmp_path / "nothing")
    whole = (copy / "head.onnx").read_bytes()
    (copy / "head.onnx").write_bytes(whole[:-7])
    with pytest.raises(CarError, match="is damaged, or not the file"):
        CarModel(copy)
    (copy / "head.onnx").unlink()
    (copy / "head.onnx").symlink_to(folder / "head.onnx")
    with pytest.raises(CarError, match="has no file head.onnx"):
        CarModel(copy)
    for text in ("{", "[]", "null", '{"format": 1}', "[" * 10**5):
        (copy / "model.json").write_text(text)
        with pytest.raises(CarError, match="^[^\n]*$"):
            CarModel(copy)


def test_what_is_no_onnx_is_refused(folder: Path, tmp_path: Path) -> None:
    import hashlib

    copy = changed(folder, tmp_path)
    (copy / "trunk.onnx").write_bytes(b"nonsense")
    told = json.loads((copy / "model.json").read_text())
    told["files"]["trunk.onnx"] = {"sha256": hashlib.sha256(b"nonsense").hexdigest()}
    (copy / "model.json").write_text(json.dumps(told))
    with pytest.raises(CarError, match=r"trunk.onnx cannot be run by onnxruntime [\d.]+: [^\n]*$"):
        CarModel(copy)


def test_a_picture_of_another_shape_is_one_sentence(folder: Path) -> None:
    with pytest.raises(CarError, match="do not fit a network that sees 80x60"):
        CarModel(folder).look(np.zeros((60, 300, 3), np.uint8))


def test_pulses_lie_between_their_ends() -> None:
    """Against the straight line through three points, and with a servo that is mounted the other way."""
    for own in (Calibration(), Calibration(left=1000, centre=1450, right=2000, forward=1100, backward=1900)):
        for value in np.linspace(-1, 1, 21):
            pulse = np.interp(value, [-1, 0, 1], [own.left, own.centre, own.right])
            assert own.steering(value) == pytest.approx(pulse)
            pulse = np.interp(value, [-1, 0, 1], [own.backward, own.stopped, own.forward])
            assert own.motor(value) == pytest.approx(pulse)
    dull = Calibration(least=0.2)
    assert dull.effort(0.0) == 0.0 and dull.effort(1e-9) == pytest.approx(0.2) and dull.effort(-1.0) == -1.0
    assert dull.motor(0.0) == 1500.0 and dull.motor(0.5) == pytest.approx(1500 + 0.6 * 500)


def test_a_speed_becomes_the_throttle_of_the_table() -> None:
    table = ((0.0, 0.0), (1.0, 0.1), (3.0, 0.4))
    own = Calibration(speeds=table)
    for speed in np.linspace(-1, 5, 61):
        wanted = np.interp(speed, [x for x, _ in table], [y for _, y in table])
        assert own.throttle(speed) == pytest.approx(wanted), speed


@pytest.mark.parametrize(
    ("values", "words"),
    [({"left": 400.0}, "left must be a pulse"), ({"centre": float("nan")}, "centre must be a pulse"),
     ({"centre": 10**400}, "centre must be a pulse"),
     ({"centre": 1950.0}, "centre must lie between left and right"), ({"stopped": 900.0}, "stopped must lie between"),
     ({"least": 0.6}, "least must"), ({"speeds": [[0, 0]]}, "2 to 32 pairs"), ({"speeds": [[1, 0], [0, 1]]}, "rise"),
     ({"speeds": [[0, 0], [1, 2]]}, "rise"), ({"speeds": 3}, "pairs of numbers"), ({"speeds": [[0, "x"]]}, "pairs"),
     ({"left": True}, "left must be"), ({"left": "1900"}, "left must be"), ({"wings": 2}, "there is no value 'wings'"),
     ({"format": 7}, "format 7 is not 1")],
)  # fmt: skip
def test_a_calibration_that_no_car_has_is_refused(values: dict, words: str, tmp_path: Path) -> None:
    path = tmp_path / "car.json"
    path.write_text(json.dumps({**Calibration().plain(), **values}))
    with pytest.raises(CarError, match="^[^\n]*$") as fault:
        calibration.load(path)
    assert words in str(fault.value) and str(path) in str(fault.value)


def test_a_calibration_is_kept(tmp_path: Path) -> None:
    own = Calibration(left=1000.0, right=2000.0, speeds=((0.0, 0.0), (2.0, 0.3)))
    calibration.save(tmp_path / "car.json", own)
    assert calibration.load(tmp_path / "car.json") == own
    for text in ("", "[]", "{", "[" * 10**5, " " * 10**6):
        (tmp_path / "car.json").write_text(text)
        with pytest.raises(CarError, match="is damaged"):
            calibration.load(tmp_path / "car.json")
    with pytest.raises(CarError, match="drive with --calibrate"):
        calibration.load(tmp_path / "none.json")


class Bus:
    """What a PCA9685 was told, as its registers would be."""

    def __init__(self) -> None:
        self.registers, self.log = bytearray(256), []

    def write(self, register: int, *data: int) -> None:
        self.log.append((register, *data))
        for k, byte in enumerate(data):
            self.registers[register + k] = byte

    def close(self) -> None:
        self.log.append(())

    def pulse(self, channel: int) -> float:
        """Length in us, of a board whose oscillator has 25 MHz: data sheet, equation 1."""
        on, off = struct.unpack_from("<HH", self.registers, 6 + 4 * channel)
        period = (self.registers[0xFE] + 1) * 4096 / 25e6
        return (off - on) / 4096 * period * 1e6


def test_the_board_is_neutral_before_and_after_everything() -> None:
    bus = Bus()
    driver = pca9685.Pca9685Driver(DriverSettings("pca9685"), Calibration(), bus)
    first = [entry[0] for entry in bus.log[:3]]
    assert first == [0x00, 0x06, 0x0A]  # awake, throttle, steering: before the divider is touched
    period = (bus.registers[0xFE] + 1) * 4096 / 25e6
    assert 0.0195 < period < 0.0205 and bus.registers[0x00] == 0x20
    driver.write(-1.0, 0.5)
    assert bus.pulse(1) == pytest.approx(1900, abs=3) and bus.pulse(0) == pytest.approx(1750, abs=3)
    driver.close()
    driver.close()
    assert bus.pulse(1) == pytest.approx(1500, abs=3) and bus.pulse(0) == pytest.approx(1500, abs=3)
    assert bus.log.count(()) == 1


def test_a_board_that_does_not_answer_is_one_sentence() -> None:
    class Dead(Bus):
        def write(self, register: int, *data: int) -> None:
            raise OSError(121, "Remote I/O error")

    with pytest.raises(CarError, match="no PCA9685 answers at 0x40 on /dev/i2c-1"):
        pca9685.Pca9685Driver(DriverSettings("pca9685"), Calibration(), Dead())


@pytest.mark.parametrize(
    ("values", "words"),
    [(dict(kind="gpio", servo_pin=40), "--servo-pin 40: pins are GPIO 2 to 27"),
     (dict(kind="gpio", servo_pin=23), "--forward-pin 23: is --servo-pin already"),
     (dict(kind="sim", stop_pin=1), "--stop-pin 1: pins are"), (dict(kind="pca9685", address=3), "--i2c-address 0x3"),
     (dict(kind="pca9685", steer_channel=16), "--steer-channel 16: must lie in 0..15"),
     (dict(kind="pca9685", throttle_channel=1), "is --steer-channel already"), (dict(kind="rocket"), "must be one of")],
)  # fmt: skip
def test_wires_that_cannot_be_are_refused(values: dict, words: str) -> None:
    with pytest.raises(CarError) as fault:
        DriverSettings(**values)
    assert words in str(fault.value)


HELD, FREE = CarHands(1, -0.4, 0.3, 0.0), CarHands(1, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("mode", "hands", "pilot", "wanted"),
    [("manual", HELD, (0.9, 0.8), (-0.4, 0.3, True, False)), ("shadow", HELD, (0.9, 0.8), (-0.4, 0.3, True, False)),
     ("manual", None, None, (0.0, 0.0, True, False)), ("assisted", FREE, (0.9, 0.8), (0.9, 0.0, False, False)),
     ("assisted", HELD, (0.9, 0.8), (-0.4, 0.3, True, True)), ("assisted", FREE, None, (0.0, 0.0, True, False)),
     ("autonomous", FREE, (0.9, 0.8), (0.9, 0.8, False, False)),
     ("autonomous", HELD, (0.9, 0.8), (-0.4, 0.3, True, True)),
     ("autonomous", None, None, (0.0, 0.0, False, False))],
)  # fmt: skip
def test_who_drives(mode: str, hands: CarHands | None, pilot: tuple | None, wanted: tuple) -> None:
    assert tuple(wish(mode, hands, pilot)) == wanted


def test_a_car_halts_at_a_sign_and_drives_on() -> None:
    halt, stood = SignHalt(), []
    for k in range(400):  # 20 s: a sign from 1 s to 5 s, a shadow at 8 s, another sign from 10 s to 11 s
        now = k / 20
        there = 1 <= now < 5 or now == 8.0 or 10 <= now < 11
        halt.saw("stop" if there else "none", 0.9, now)
        stood.append(halt.halted(now))
    times = np.flatnonzero(np.diff(np.array(stood, int)))
    assert halt.halts == 2 and np.allclose((times + 1) / 20, [1.05, 3.05, 10.05, 12.05])
    unsure = SignHalt()
    for k in range(40):
        unsure.saw("stop", 0.4, k / 20)
        unsure.saw("other", 0.9, k / 20)
    assert unsure.halts == 0


@pytest.mark.parametrize(
    ("argv", "words"),
    [(["--camera", "eye"], "--camera eye: must be picamera2, v4l2"), (["--camera", "tub:"], "must be picamera2"),
     (["--size", "big"], "--size big: must be width x height"), (["--size", "0x0"], "must lie in 16x16"),
     (["--rate", "0"], "--rate 0: must lie in 1..100"), (["--cap", "2"], "--cap 2: must lie in 0.01..1"),
     (["--port", "99999"], "must lie in 0..65535"), (["--driver", "rocket"], "--driver rocket"),
     (["--driver", "pca9685", "--i2c-address", "x"], "--i2c-address x: must be a number"),
     (["--driver", "gpio", "--servo-pin", "77"], "--servo-pin 77: must lie in 2..27"),
     (["--remote", "x"], "name its folder by --model"),
     (["--camera", "tub:/nowhere", "--driver", "sim"], "there is no folder /nowhere"),
     (["--camera", "v4l2:/nowhere"], "is the camera plugged in"), (["--model", "/nowhere"], "there is no such folder"),
     (["--driver", "gpio"], "there is no calibration car.json"), (["--stop"], "no car drives on this computer")],
)  # fmt: skip
def test_what_drive_refuses_is_one_sentence(
    argv: list, words: str, capsys: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JOYPAD_RUNTIME", str(tmp_path))
    code, out, err = program(drive.main, argv, capsys, monkeypatch)
    assert code == 2 and err.startswith("joypad: ") and err.count("\n") == 1 and words in err and not out


def test_a_network_that_does_not_fit_the_camera_is_one_sentence(
    folder: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JOYPAD_RUNTIME", str(tmp_path))
    tub = written(tmp_path / "d", 3)  # of 16x12 pixels
    argv = ["--camera", f"tub:{tub}", "--model", str(folder), "--port", "0"]
    code, out, err = program(drive.main, argv, capsys, monkeypatch)
    assert code == 2 and err.count("\n") == 1 and "too small for a network that sees 80x60" in err and not out
    assert places.stop_all(0.1) == []  # the guardian has gone


def test_the_folder_of_sockets_is_ours_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOYPAD_RUNTIME", str(tmp_path))
    path = places.folder()
    assert path.stat().st_mode & 0o777 == 0o700
    path.chmod(0o777)
    with pytest.raises(CarError, match="can be written to by others"):
        places.folder()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JOYPAD_RUNTIME", str(tmp_path / "file"))
    with pytest.raises(CarError, match="file: File exists; a folder for the emergency stop is needed there"):
        places.folder()


def test_the_driver_runs_where_little_is_installed(tmp_path: Path) -> None:
    """What the Pi has not got is not imported: neither by the guardian nor by the program, from camera to page."""
    import subprocess

    heavy = ("torch", "numba", "gymnasium", "cv2", "scipy", "matplotlib", "pygame")
    code = f"""
import sys

class Missing:
    def find_spec(self, name, *_):
        if name.split(".")[0] in {heavy!r}:
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Missing())
import envs.car.guardian, envs.car.link
assert "numpy" not in sys.modules, "the guardian needs the standard library alone"
from experiments import drive
from experiments.car import bench, library, loop, page, pilot, remote
from envs.car import camera, model, pca9685, v4l2
print(sorted(name for name in sys.modules if name.startswith("envs.kart")))
"""
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "[]\n", done.stderr


def test_a_computer_without_pins_says_so_in_one_sentence(tmp_path: Path) -> None:
    """A real guardian on this computer: its sentence comes through, and nothing stands beside it."""
    import subprocess

    pytest.importorskip("gpiozero", reason="gpiozero is not installed")
    if Path("/dev/gpiochip0").exists():
        pytest.skip("this computer has pins")
    argv = ["--driver", "gpio", "--camera", f"tub:{written(tmp_path / 'd', 3)}", "--calibrate", "--port", "0"]
    path = os.pathsep.join([str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "JOYPAD_RUNTIME": str(tmp_path), "PYTHONPATH": path}
    env.pop("GPIOZERO_PIN_FACTORY", None)
    done = subprocess.run([sys.executable, "-m", "experiments.drive", *argv], env=env, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "the pins cannot be used: gpiozero finds no library for them" in done.stderr
