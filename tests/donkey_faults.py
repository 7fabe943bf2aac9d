"""The faults of `car_faults` made to DonkeyCar, for the table beside ours: its own template, on wires that can be read.

    python -m venv DONKEY && DONKEY/bin/pip install 'donkeycar==5.3.0' 'numpy<2'       (Python 3.11)
    python tests/donkey_faults.py --python DONKEY/bin/python --repeats 10

What runs is donkeycar.templates.complete as `manage.py drive` runs it, in a process of its own, with its own web
server, loop and PWMThrottle; only camera and the chip behind the throttle are stand-ins. Faults, limits and verdicts
are those of `car_faults`. Faults of a network are left out, since its pilots need TensorFlow; so are emergency stops,
since it has none but to let go, and those that need a browser.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HZ = 20  # pictures a second
THROTTLE = 0.2


def car(log: Path, port: int) -> None:
    """The car, in this process; LOG.camera says what the camera does, as in `cardrive`."""
    import numpy as np
    from donkeycar import load_config
    from donkeycar.parts.actuator import PWMThrottle
    from donkeycar.parts.camera import BaseCamera
    from donkeycar.templates import cfg_complete, complete

    def told() -> str:
        with contextlib.suppress(OSError):
            return log.with_suffix(".camera").read_text().strip()
        return ""

    class Camera(BaseCamera):
        frame, on = np.zeros((120, 160, 3), np.uint8), True

        def update(self) -> None:
            number = 0
            while self.on:
                time.sleep(1 / HZ)
                word = told()
                if word == "dead":
                    raise RuntimeError("the camera has gone")
                if not word:
                    number += 1
                    self.frame = np.full((120, 160, 3), number % 250, np.uint8)

        def shutdown(self) -> None:
            self.on = False

    class Chip:
        """Stands in for the PCA9685's output: it holds its last pulse, and the log has every change of it."""

        pulse = None

        def set_pulse(self, pulse: float) -> None:
            if pulse != self.pulse:
                self.pulse = pulse
                share = (pulse - cfg["THROTTLE_STOPPED_PWM"]) / (
                    cfg["THROTTLE_FORWARD_PWM"] - cfg["THROTTLE_STOPPED_PWM"]
                )
                with open(log, "a") as file:
                    file.write(json.dumps([time.monotonic(), "sim", [0.0, share]]) + "\n")
            time.sleep(0.0005)  # time that the bus takes

    def drivetrain(vehicle: Any, settings: Any) -> None:
        forward, back, stopped = (cfg[f"THROTTLE_{name}_PWM"] for name in ("FORWARD", "REVERSE", "STOPPED"))
        vehicle.add(PWMThrottle(Chip(), forward, back, stopped), inputs=["throttle"], threaded=True)

    def busy(*_: object) -> None:
        end = time.monotonic() + 2.0
        while time.monotonic() < end:
            pass

    settings = load_config(cfg_complete.__file__)
    cfg = settings.PWM_STEERING_THROTTLE
    settings.USE_JOYSTICK_AS_DEFAULT = False  # the page drives
    settings.WEB_CONTROL_PORT, settings.DATA_PATH = port, str(log.parent / "data")
    settings.CAMERA_FRAMERATE = settings.DRIVE_LOOP_HZ = HZ
    complete.get_camera, complete.add_drivetrain = (lambda _: Camera()), drivetrain
    signal.signal(signal.SIGUSR1, busy)
    complete.drive(settings)


class Page:
    """A page that drives: a message every 40 ms, as a held control sends them."""

    def __init__(self, port: int, throttle: float, origin: str | None = None):
        self.port, self.throttle, self.origin, self.silent = port, throttle, origin, False
        self._loop, self._open = asyncio.new_event_loop(), threading.Event()
        self.closing = threading.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._talk()), daemon=True)
        self._thread.start()
        assert self._open.wait(20)

    async def _talk(self) -> None:
        import aiohttp

        headers = {"Origin": self.origin} if self.origin else {}
        with contextlib.suppress(aiohttp.ClientError, ConnectionError):
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(f"ws://127.0.0.1:{self.port}/wsDrive", headers=headers) as link,
            ):
                self._open.set()
                while not self.closing.is_set():
                    if not self.silent:
                        value = {"angle": 0.0, "throttle": self.throttle, "drive_mode": "user", "recording": False}
                        await link.send_str(json.dumps(value))
                    await asyncio.sleep(0.04)

    def leave(self) -> None:
        self.closing.set()
        self._thread.join(10)


class DonkeyBench:
    """A DonkeyCar that drives, started anew for each fault."""

    def __init__(self, folder: Path, python: str):
        self.folder, self.python, self.count = folder, python, 0
        self.process: subprocess.Popen | None = None
        self.page: Page | None = None

    def ready(self, throttle: float) -> None:
        self.end()
        self.count += 1
        self.log = self.folder / f"donkey{self.count}-wires"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        words = [self.python, str(Path(__file__).resolve()), "--car", str(self.log), str(self.port)]
        with open(self.folder / f"donkey{self.count}-output", "w") as output:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        end = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                break
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError((self.folder / f"donkey{self.count}-output").read_text()[-2000:])
            time.sleep(0.1)
        self.page = Page(self.port, throttle)
        time.sleep(1.5)

    def end(self) -> None:
        if self.page is not None:
            self.page.leave()
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.page = self.process = None


Fault = Callable[[DonkeyBench], float]


def let_go(bench: DonkeyBench) -> float:
    """No fault: that the harness sees a stop where there is one."""
    bench.page.throttle, since = 0.0, time.monotonic()
    return since


def page_closed(bench: DonkeyBench) -> float:
    since = time.monotonic()
    bench.page.leave()
    return since


def heartbeat_gap(bench: DonkeyBench) -> float:
    bench.page.silent, since = True, time.monotonic()
    time.sleep(LASTS)
    bench.page.silent = False
    return since


def camera(word: str) -> Fault:
    def fault(bench: DonkeyBench) -> float:
        since = time.monotonic()
        bench.log.with_suffix(".camera").write_text(word)
        time.sleep(LASTS)
        bench.log.with_suffix(".camera").write_text("")
        return since

    return fault


def page_sends_99(bench: DonkeyBench) -> float:
    bench.page.throttle, since = 99.0, time.monotonic()
    return since


def signalled(number: signal.Signals, then: signal.Signals | None = None) -> Fault:
    def fault(bench: DonkeyBench) -> float:
        since = time.monotonic()
        os.kill(bench.process.pid, number)
        if then is not None:
            time.sleep(LASTS)
            os.kill(bench.process.pid, then)
        return since

    return fault


def another(origin: str | None) -> Fault:
    """Somebody else asks for half of full throttle, while the first page holds none."""

    def fault(bench: DonkeyBench) -> float:
        since = time.monotonic()
        other = Page(bench.port, 0.5, origin)
        time.sleep(0.7)
        other.leave()
        return since

    return fault


LASTS = 1.5  # length of a fault that passes, s, as in `car_faults`
FAULTS: dict[str, tuple[Fault, float]] = {  # name -> (how it is made, throttle that the first page holds)
    "let-go": (let_go, THROTTLE),
    "page-closed": (page_closed, THROTTLE),
    "heartbeat-gap": (heartbeat_gap, THROTTLE),
    "camera-dead": (camera("dead"), THROTTLE),
    "camera-silent": (camera("silent"), THROTTLE),
    "frozen-frame": (camera("frozen"), THROTTLE),
    "page-99": (page_sends_99, THROTTLE),
    "program-killed": (signalled(signal.SIGKILL), THROTTLE),
    "program-stopped": (signalled(signal.SIGSTOP, signal.SIGCONT), THROTTLE),
    "program-busy": (signalled(signal.SIGUSR1), THROTTLE),
    "second-driver": (another(None), 0.0),
    "foreign-origin": (another("http://elsewhere.example"), 0.0),
    "missing-token": (another(None), 0.0),
}


def judge(bench: DonkeyBench, name: str) -> Any:
    """One fault, once, by the rules of `car_faults.judge`."""
    from car_faults import LIMIT, LOOK, Verdict
    from carwires import moving, stopped_after

    fault, throttle = FAULTS[name]
    bench.ready(throttle)
    since = fault(bench)
    time.sleep(max(0.0, since + LOOK - time.monotonic()))
    until = time.monotonic()
    if throttle == 0.0:
        moved = moving(bench.log, "sim", since, until)
        return Verdict(name, "sim", 0.0, not moved, f"throttle {max(w.throttle for w in moved):.2f}" if moved else "")
    assert moving(bench.log, "sim", since - 0.1, since), "it did not drive before the fault"
    seconds = stopped_after(bench.log, "sim", since, until)
    most = max((w.throttle for w in moving(bench.log, "sim", since + LIMIT, until)), default=0.0)
    return Verdict(name, "sim", seconds, seconds <= LIMIT, "" if seconds <= LIMIT else f"throttle {most:.2f} after 2 s")


def table(verdicts: list[Any]) -> str:
    """Markdown: how often each fault passed, and what the wheels did otherwise."""
    lines = ["| fault | DonkeyCar 5.3.0 | otherwise |", "|---|---:|---|"]
    for name in FAULTS:
        mine = [v for v in verdicts if v.fault == name]
        if mine:
            why = sorted({v.why for v in mine if v.why})
            lines.append(f"| {name} | {sum(v.passed for v in mine)}/{len(mine)} | {'; '.join(why)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=os.environ.get("DONKEY_PYTHON"), help="the interpreter that has donkeycar")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--faults", nargs="*", default=list(FAULTS), choices=list(FAULTS))
    parser.add_argument("--car", nargs=2, metavar=("LOG", "PORT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.car:
        car(Path(options.car[0]), int(options.car[1]))
        return
    if not options.python:
        parser.error("--python: which interpreter has donkeycar?")
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    verdicts = []
    with tempfile.TemporaryDirectory() as folder:
        bench = DonkeyBench(Path(folder), options.python)
        try:
            for _ in range(options.repeats):
                for name in options.faults:
                    verdicts.append(judge(bench, name))
                    print(verdicts[-1], file=sys.stderr, flush=True)
        finally:
            bench.end()
    print(table(verdicts))


if __name__ == "__main__":
    main()
