"""The whole of `drive` as a process, with wires that can be read, and a person's page that speaks its protocol.

    python tests/cardrive.py LOG OPTIONS...    the real program; its camera and network obey files beside LOG

LOG.camera holds nothing, `dead` (the device has gone), `silent` (no pictures come) or `frozen` (always the same one);
LOG.network holds nothing, `slow`, `nan` or `99`. The moment of the last good picture before a fault is LOG.good.
SIGUSR1 keeps the program busy for two seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import carwires

PROGRAM = (sys.executable, str(Path(__file__).resolve()))
BEAT = 0.04  # s


def told(log: Path, what: str) -> str:
    """What a file beside the log says; nothing where there is none."""
    with contextlib.suppress(OSError):
        return log.with_suffix(f".{what}").read_text().strip()
    return ""


def tell(log: Path, what: str, text: str) -> None:
    """Says it to the program, at once and whole."""
    other = log.with_suffix(f".{what}.new")
    other.write_text(text)
    os.replace(other, log.with_suffix(f".{what}"))


def main(log: Path, argv: list[str]) -> None:
    """The program, in this process."""
    from envs.car import CarError, camera, link, model
    from experiments import cli, drive

    class Obedient(camera.TubCamera):
        good = None  # last picture before a fault
        before = ""

        def read(self, timeout: float) -> Any:
            picture, word = super().read(timeout), told(log, "camera")
            if word and not self.before and self.good:
                tell(log, "good", repr(self.good.time))
            self.before = word
            if word == "dead":
                raise CarError("the camera has gone: it was unplugged")
            if picture is None or word == "silent":
                return None
            self.good = (self.good if word == "frozen" else None) or picture
            return picture._replace(rgb=self.good.rgb)

    camera.OPENERS["tub"] = Obedient
    look = model.CarModel.look

    def looked(self: model.CarModel, rgb: Any) -> Any:
        word, answer = told(log, "network"), look(self, rgb)
        if word == "slow":
            time.sleep(0.4)
        return answer._replace(steer=float(word)) if word in ("nan", "99") else answer

    def busy(*_: object) -> None:
        end = time.monotonic() + 2.0
        while time.monotonic() < end:
            pass

    model.CarModel.look = looked
    link.open_driver = carwires.opened(carwires.Log(log))  # which steps in where the guardian dies
    signal.signal(signal.SIGUSR1, busy)
    with cli.edge([]):
        drive.run(argv, (*carwires.PROGRAM, str(log)))


class Stand:
    """`drive` as a process on mocked wires, until it is closed."""

    def __init__(self, folder: Path, kind: str, *options: str, tub: Path | None, name: str = "car"):
        self.log, self.kind = folder / f"{name}-wires", kind
        argv = [
            "--camera",
            f"tub:{tub}" if tub else "sim",
            "--driver",
            kind,
            "--port",
            "0",
            "--recordings",
            str(folder / "tubs"),
        ]
        argv += ["--calibration", str(folder / "car.json"), "--calibrate", "--stop-pin", "21", "--name", name]
        argv += ["--networks", str(folder / "networks")]
        env = {**os.environ, "JOYPAD_RUNTIME": str(folder), "PYTHONPATH": str(carwires.ROOT)}
        self.errors = folder / f"{name}-errors"
        with open(self.errors, "w") as errors:
            self.process = subprocess.Popen(
                [*PROGRAM, str(self.log), *argv, *options], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=errors, text=True, start_new_session=True,
            )  # fmt: skip
        self.address = ""
        for line in self.process.stdout:
            if found := re.search(r"open (http://\S+)", line):
                self.address = found[1]
                break
        assert self.address, self.said()

    @property
    def port(self) -> int:
        return int(re.search(r":(\d+)/", self.address)[1])

    def said(self) -> str:
        """What stands on standard error."""
        return self.errors.read_text()

    def close(self) -> str:
        """Ends it by Ctrl-C; returns the rest of what it printed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGINT)
        try:
            out, _ = self.process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, _ = self.process.communicate()
        return out


class Person:
    """A person's page: heartbeats every 40 ms from a thread, and the newest state."""

    def __init__(self, address: str, *, origin: str | None = None):
        self.address, self.origin = address, origin
        self.steer = self.throttle = 0.0
        self.state: dict[str, Any] = {}
        self.messages: list[dict[str, Any]] = []
        self.trips: list[float] = []
        self.pictures: list[int] = []  # numbers of the pictures that came
        self.silent, self.slow, self.beats, self.fault = False, 0.0, 0, ""
        self._sent: dict[int, float] = {}
        self._loop = asyncio.new_event_loop()
        self._socket: Any = None
        self._there = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()
        assert self._there.wait(20)

    def _live(self) -> None:
        try:
            self._loop.run_until_complete(self._talk())
        except Exception as fault:  # told to whoever asks
            self.fault = repr(fault)
        finally:
            self._there.set()

    async def _talk(self) -> None:
        import aiohttp

        base, _, token = self.address.partition("?")
        headers = {"Origin": self.origin} if self.origin else {}
        async with aiohttp.ClientSession() as session:
            address = base.replace("http", "ws", 1) + "ws" + (f"?{token}" if token else "")
            async with session.ws_connect(address, headers=headers, max_msg_size=2**24) as self._socket:
                self._there.set()
                beating = asyncio.ensure_future(self._beat())
                async for frame in self._socket:
                    self._hear(frame.data)
                    if isinstance(frame.data, str) and '"end"' in frame.data:
                        await asyncio.sleep(self.slow)
                        await self._socket.send_json({"type": "ready"})
                beating.cancel()

    async def _beat(self) -> None:
        while True:
            if not self.silent:
                self.beats += 1
                self._sent[self.beats] = time.monotonic()
                await self._say("hands", {"n": self.beats, "steer": self.steer, "throttle": self.throttle})
            await asyncio.sleep(BEAT)

    async def _say(self, name: str, value: Any) -> None:
        with contextlib.suppress(ConnectionError):
            await self._socket.send_str(json.dumps({"type": "command", "name": name, "value": value}))

    def _hear(self, data: str | bytes) -> None:
        if isinstance(data, bytes):
            self.pictures.append(self.state.get("picture", -1))
            return
        message = json.loads(data)
        if message["type"] == "state":
            self.state = message["state"]
        elif message["type"] == "felt" and message["n"] in self._sent:
            self.trips.append(time.monotonic() - self._sent[message["n"]])
        else:
            self.messages.append(message)

    def command(self, name: str, value: Any = None) -> None:
        asyncio.run_coroutine_threadsafe(self._say(name, value), self._loop).result(10)

    def wait(self, condition: Any, patience: float = 20.0) -> Any:
        """Until the state fulfils a condition."""
        return carwires.wait(lambda: self.state and condition(self.state), patience)

    def drive(self, throttle: float = 0.2, steer: float = 0.3) -> Person:
        """Arms, from neutral, and drives."""
        self.steer = self.throttle = 0.0
        self.command("disarm")
        self.wait(lambda s: s["state"] in ("disarmed", "latched"))
        for _ in range(20):
            time.sleep(0.4)
            self.command("arm")
            with contextlib.suppress(TimeoutError):
                self.wait(lambda s: s["state"] == "armed", 1.0)
                break
        else:
            raise TimeoutError(f"the car is not armed: {self.state}")
        self.steer, self.throttle = steer, throttle
        self.wait(lambda s: s["throttle"] > 0.15)
        return self

    def leave(self) -> None:
        """Closes the page; it may be closed already."""
        if self._thread.is_alive() and not self._socket.closed:
            asyncio.run_coroutine_threadsafe(self._socket.close(), self._loop).result(10)
        self._thread.join(10)


if __name__ == "__main__":
    sys.path.insert(0, str(carwires.ROOT))
    main(Path(sys.argv[1]), sys.argv[2:])
