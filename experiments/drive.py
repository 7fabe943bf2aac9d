"""Drive a toy car on its own computer, or the simulated one: ``python -m experiments.drive --camera picamera2``.

    python -m experiments.drive                                   the simulated car, on a page that its address opens
    python -m experiments.drive --camera picamera2 --driver gpio --calibrate    the first time: wheels off the ground
    python -m experiments.drive --camera picamera2 --driver gpio --model DIR --lan    on the Pi, driven from your phone
    python -m experiments.drive --camera tub:DATA --driver sim --model DIR      a recording in place of a camera
    python -m experiments.drive --remote ADDRESS --model DIR      the network runs here, the car is elsewhere
    python -m experiments.drive --stop                            emergency stop of every car of this computer
    python -m experiments.drive --bench --model DIR               how long a picture takes, by part

A guardian process owns the wheels: it stops them when pictures, commands or the page that drives are late or gone, and
only a person arms them again. docs/car.md has parts, wiring, the first drive and what was never tested on hardware.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from experiments import arguments, cli
from experiments.arguments import Shown
from experiments.web import address

PORT = 8890
FIRST = 5.0  # time for the camera's first picture, s; one that gives none is told on the page
KEPT = "pins of this computer stay on when programs die: write dtparam=strict_gpiod into config.txt (docs/car.md)"
PINS = ("servo_pin", "forward_pin", "backward_pin", "enable_pin", "stop_pin")  # GPIO numbers


@dataclasses.dataclass(frozen=True)
class DriveCommand:
    """What sees, what turns the wheels, and who may drive."""

    camera: Annotated[str, Shown("CAMERA")] = "sim"  # picamera2, v4l2, v4l2:/dev/videoN, tub:PATH or sim
    driver: Literal["gpio", "pca9685", "sim"] = "sim"  # gpio: servo and H-bridge on pins; pca9685: a board on I2C
    model: Annotated[Path | None, Shown("FOLDER")] = None  # network, as `export RUN --target car` wrote it
    networks: Annotated[Path, Shown("FOLDER")] = Path("models")  # those that the PC sends; the last drives
    calibration: Path = Path("car.json")  # file of the car's own steering and motor
    calibrate: bool = False  # start without that file, to make it on the page: wheels off the ground
    cap: float = 0.25  # highest throttle, as a share of full throttle; the page may lower it
    recordings: Annotated[Path, Shown("FOLDER")] = Path("data/car")  # folder of recordings, a dataset for each day
    lan: bool = False  # let other machines open the page; whoever has its address, with the token, drives the car
    port: int = PORT  # port of the page; 0 takes a free one
    name: str = "car"  # name of this car among those of this computer
    size: Annotated[str, Shown("WxH")] = "160x120"  # pixels of the camera's pictures
    rate: float = 20.0  # pictures per second
    track: str = "test#0"  # simulated camera: track that is driven on
    seed: int = 0  # simulated camera: seed of what the track looks like
    servo_pin: int = 18  # gpio: pin of the steering servo, as Broadcom counts
    forward_pin: int = 23  # gpio: pin of the H-bridge for forwards
    backward_pin: int = 24  # gpio: pin of the H-bridge for backwards
    i2c: str = "/dev/i2c-1"  # pca9685: device file of the bus
    i2c_address: str = "0x40"  # pca9685: address of the board
    steer_channel: int = 1  # pca9685: output of the steering servo
    throttle_channel: int = 0  # pca9685: output of the speed controller
    enable_pin: int | None = None  # pca9685: pin at the board's output enable; without a guardian there are no pulses
    stop_pin: int | None = None  # pin of an emergency stop button that closes to ground
    remote: Annotated[str | None, Shown("ADDRESS")] = None  # run the network here, for the car whose page this is
    stop: bool = False  # emergency stop of every car of this computer
    bench: bool = False  # measure how long a picture takes here, by part, and what rate that allows
    seconds: float = 10.0  # length of the measurement of --bench

    def __post_init__(self) -> None:
        arguments.within(self, 0.01, 1.0, "cap")
        arguments.within(self, 0.5, 600.0, "seconds")
        arguments.within(self, 1.0, 100.0, "rate")
        arguments.at_least(self, 0, "seed")
        arguments.within(self, 2, 27, *PINS)
        arguments.within(self, 0, 15, "steer_channel", "throttle_channel")
        address.check("127.0.0.1", self.port)
        if self.remote and self.model is None:
            raise ValueError("--remote: which network? name its folder by --model")
        _size(self.size)


def _size(text: str) -> tuple[int, int]:
    """(width, height) of WxH. Raises ValueError."""
    width, x, height = text.lower().partition("x")
    if not (x and width.isascii() and width.isdecimal() and height.isascii() and height.isdecimal()):
        raise ValueError(f"--size {text}: must be width x height, such as 160x120")
    return int(width), int(height)


def _address(text: str) -> int:
    """An address as people write it: 0x40, or 64. Raises ValueError."""
    try:
        return int(text, 0)
    except ValueError:
        raise ValueError(f"--i2c-address {text}: must be a number such as 0x40") from None


def settings(command: DriveCommand) -> tuple[Any, Any]:
    """What the options say of camera and driver. Raises CarError."""
    from envs.car.camera import CameraSettings
    from envs.car.driver import DriverSettings

    width, height = _size(command.size)
    camera = CameraSettings(command.camera, width, height, command.rate, command.track, command.seed)
    shared = [f.name for f in dataclasses.fields(DriverSettings) if hasattr(command, f.name)]
    wires = {name: getattr(command, name) for name in shared}
    return camera, DriverSettings(command.driver, address=_address(command.i2c_address), **wires)


def calibration_of(command: DriveCommand) -> Any:
    """The car's own; the simulated car needs none. Raises CarError where there is none."""
    from envs.car import calibration

    if command.calibration.exists() or (command.driver != "sim" and not command.calibrate):
        return calibration.load(command.calibration)
    return calibration.SIMULATED if command.driver == "sim" else calibration.Calibration()


@contextlib.contextmanager
def driving(command: DriveCommand, guardian: Sequence[str] | None = None) -> Iterator[Any]:
    """Everything of a drive, opened in order and closed in the other one: yields the loop, and the page's address.

    guardian: the command line of a guardian of its own (tests). Raises CarError, TubError or ValueError.
    """
    from envs.car.camera import make_camera
    from envs.car.link import PROGRAM, GuardianLink
    from envs.car.model import CarModel
    from envs.car.rules import SafetyLimits
    from experiments.car.depot import Depot
    from experiments.car.eye import CarEye
    from experiments.car.garage import Garage
    from experiments.car.library import Shelf
    from experiments.car.loop import DriveLoop
    from experiments.car.page import CarPage
    from experiments.car.pilot import LocalPilot, RemotePilot
    from experiments.car.recorder import DriveRecorder
    from experiments.web.server import Server

    about, wires = settings(command)
    calibration, wake = calibration_of(command), threading.Event()
    garage = Garage(command.networks)
    model = CarModel(command.model) if command.model else garage.chosen()
    with contextlib.ExitStack() as opened:
        camera = make_camera(about)
        eye = opened.enter_context(contextlib.closing(CarEye(camera)))
        wires = dataclasses.replace(wires, socket=getattr(camera, "socket", None))
        limits = SafetyLimits(cap=command.cap)
        link = opened.enter_context(
            GuardianLink(wires, calibration, limits, name=command.name, program=guardian or PROGRAM)
        )
        eye.listeners.append(lambda _: wake.set())
        garage.shape = lambda: eye.newest.picture.rgb.shape[:2] if eye.newest else None
        server = opened.enter_context(Server("0.0.0.0" if command.lan else "127.0.0.1", command.port))
        page = CarPage(server, Shelf(command.recordings, server), wake, lambda: link.calibration.plain())

        def make_pilot(model: CarModel | None) -> LocalPilot | RemotePilot:
            return LocalPilot(model, eye, wake) if model else RemotePilot(eye, wake)

        recorder = DriveRecorder(command.recordings, dict(game="car", driver="person", rate=command.rate))
        opened.callback(recorder.close)
        invitation = server.invitation(page.page)
        eye.start()
        if model is not None and eye.wait(FIRST):
            model.prepared(eye.newest.picture.rgb)  # a network that does not fit the camera is told now
        loop = DriveLoop(eye, make_pilot(model), link, page, recorder, wake, command.calibration)
        opened.callback(lambda: loop.pilot.close())
        page.depot = Depot(command.name, loop, page.shelf, garage, make_pilot)
        yield loop, invitation


def drive(command: DriveCommand, guardian: Sequence[str] | None = None) -> None:
    """Until Ctrl-C. Raises CarError, TubError or ValueError."""
    from envs.car.driver import kept_pins
    from experiments.car.loop import stopped_by

    if command.camera == "sim":
        cli.starting()  # the simulator is compiled
    with driving(command, guardian) as (loop, invitation):
        print(invitation, flush=True)
        if command.driver == "gpio" and kept_pins():
            print(f"joypad: {KEPT}", file=sys.stderr, flush=True)
        if sys.stdin is not None and sys.stdin.isatty():
            print("Enter: emergency stop", flush=True)
            threading.Thread(target=_listen_to_keys, args=(loop,), daemon=True).start()
        with stopped_by(loop):
            loop.run()
        loop.recorder.close()
        causes = loop.link.status["causes"]
        told = ", ".join(f"{count} {cause}" for cause, count in sorted(causes.items())) or "none"
        print(f"\nstops: {told}; records: {loop.recorder.count:,}")


def _listen_to_keys(loop: Any) -> None:
    from envs.car import CarError

    for _ in sys.stdin:
        with contextlib.suppress(CarError):  # the guardian has died: the loop finds it out, too, and tells it
            loop.stop_by_key()


def stop() -> None:
    """--stop. Raises CarError where no car answers."""
    from envs.car import CarError, places

    stopped = places.stop_all()
    if not stopped:
        raise CarError("--stop: no car drives on this computer")
    print(f"stopped: {', '.join(stopped)}")


def run(argv: Sequence[str], guardian: Sequence[str] | None = None) -> None:
    """Does what `argv` says. guardian: the command line of another guardian process, for tests."""
    command = arguments.read(DriveCommand, argv, __doc__, "drive")
    # Threads of a matrix product wait for each other: beside a busy program that takes a hundred times as long.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with cli.refusing():
        if command.stop:
            stop()
        elif command.bench:
            from experiments.car import bench

            print(bench.report(*settings(command), command.model, command.seconds))
        elif command.remote:
            from experiments.car import remote

            remote.run(command.remote, command.model)
        else:
            drive(command, guardian)


def main() -> None:
    with cli.edge():
        run(sys.argv[1:])


if __name__ == "__main__":
    main()
