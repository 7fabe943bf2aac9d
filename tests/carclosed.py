"""The whole car in a closed loop without hardware: how far does it come, and does it stop at every stop sign?

    python tests/carclosed.py MODEL --tracks test:5 --laps 10 --json FILE

Every part is the real one, in its own process: simulated camera -> onnxruntime -> guardian -> gpiozero, whose mocked
pins tell their duty -> what stands in LOG is decoded -> the simulated car drives. A person's page sends its heartbeats
every 40 ms over a link that loses 5 % of them and delays each by 0 to 80 ms. Time is real. Autonomy is PilotNet's:
an intervention is a second off the road, a rescue, or a stop that a person has to end; it counts for 6 s.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import carwires

sys.path.insert(0, str(carwires.ROOT))
import cardrive  # noqa: E402

LOSS, DELAY = 0.05, 0.08  # share of heartbeats that are lost, and the longest delay of the others, s
COST = 6.0  # time that an intervention costs, s
BEFORE, BEYOND, STANDING = 9.0, 2.0, 0.3  # stretch in which a car must halt at a sign, m and m; and its speed then, m/s
PINS = ("--servo-pin", "--forward-pin", "--backward-pin")
PATIENCE = 1800.0  # time of one track at most, s


def program(log: Path, argv: list[str]) -> None:
    """`drive` in this process: its simulated camera's car obeys the wires, and notes where it is."""
    from envs.car import camera, link
    from experiments import cli, drive

    pins = [f"GPIO{argv[argv.index(name) + 1]}" for name in PINS]
    place = open(log.with_suffix(".track"), "w", buffering=1)  # noqa: SIM115  (as long as the process)

    class Wired(camera.SimCamera):
        steer = throttle = forward = backward = 0.0
        wires: Any = None

        def _listen(self) -> None:
            if self.wires is None:
                log.touch()
                self.wires = open(log)  # noqa: SIM115
            for line in iter(self.wires.readline, ""):
                _, wire, value = json.loads(line)
                if wire == pins[0]:  # pulses of 1900 us turn left, 1100 right, 50 a second
                    self.steer = (value * 20_000 - 1500) / -400
                elif wire in pins:
                    setattr(self, "forward" if wire == pins[1] else "backward", value)
            hold = max(-1.0, min(1.0, self.steer)), max(-1.0, min(1.0, self.forward - self.backward))
            self.car.apply(*hold)

        def read(self, timeout: float) -> Any:
            picture = super().read(timeout)
            if picture is not None:
                car = self.car
                kind, _ = car.sign
                row = dict(time=picture.time, progress=car.progress, along=car.along, speed=car.speed, laps=car.laps,
                           off=car.off_road, rescues=car.rescues, sign=kind, length=car.length,
                           signs=car.stop_signs.tolist() if picture.number == 0 else None)  # fmt: skip
                place.write(json.dumps(row) + "\n")
            return picture

    camera.OPENERS["sim"] = Wired
    link.open_driver = carwires.opened(carwires.Log(log))
    with cli.edge([]):
        drive.run(argv, (*carwires.PROGRAM, str(log)))


class Lossy(cardrive.Person):
    """A person's page behind a bad radio."""

    chance = random.Random(1)

    async def _say(self, name: str, value: Any) -> None:
        if name == "hands":
            if self.chance.random() < LOSS:
                return
            asyncio.ensure_future(self._late(name, value, self.chance.uniform(0.0, DELAY)))
            return
        await super()._say(name, value)

    async def _late(self, name: str, value: Any, delay: float) -> None:
        await asyncio.sleep(delay)
        await super()._say(name, value)


def drive_track(model: Path, track: str, laps: int, folder: Path, job: int = 0) -> dict[str, Any]:
    """Drives one track, on pins of its own; returns its figures."""
    from envs.car import calibration

    log = folder / "wires"
    calibration.save(folder / "car.json", calibration.SIMULATED)
    argv = ["--camera", "sim", "--driver", "gpio", "--model", str(model), "--track", track, "--port", "0",
            "--recordings", str(folder / "tubs"), "--calibration", str(folder / "car.json")]  # fmt: skip
    argv += [word for k, name in enumerate(PINS) for word in (name, str(4 + 3 * job + k))] + ["--name", f"car{job}"]
    env = {**os.environ, "JOYPAD_RUNTIME": str(folder), "PYTHONPATH": str(carwires.ROOT), "OMP_NUM_THREADS": "1"}
    with open(folder / "errors", "w") as errors:
        process = subprocess.Popen(
            [sys.executable, __file__, "--program", str(log), *argv], env=env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
    address = next((line.split("open ")[1].split()[0] for line in process.stdout if "open http" in line), "")
    assert address, (folder / "errors").read_text()
    person, rearmed, began = Lossy(address), 0, time.monotonic()
    person.wait(lambda s: s.get("state"))
    path, told, armed = log.with_suffix(".track"), os.environ.get("CARCLOSED_TOLD"), False
    while time.monotonic() - began < PATIENCE:
        time.sleep(0.3)
        state = person.state.get("state")
        if state in ("latched", "disarmed"):
            rearmed += armed and state == "latched"
            armed = False
            person.command("disarm")
            time.sleep(0.3)
            person.command("arm")
        armed = armed or state == "armed"
        if armed and person.state.get("mode") != "autonomous":
            person.command("mode", "autonomous")
        if told:
            names = ("state", "cause", "refused", "mode", "throttle", "causes")
            print({name: person.state.get(name) for name in names}, person.messages[-1:], file=sys.stderr, flush=True)
        rows = path.read_text().splitlines()
        if rows and json.loads(rows[-1])["laps"] >= laps:
            break
    state = dict(person.state)
    person.leave()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    return figures([json.loads(row) for row in path.read_text().splitlines()], track, rearmed, state)


def figures(rows: list[dict[str, Any]], track: str, rearmed: int, state: dict[str, Any]) -> dict[str, Any]:
    """What a drive was worth, from where the car was at each picture."""
    signs, length = rows[0]["signs"], rows[0]["length"]
    first = next(k for k, row in enumerate(rows) if row["speed"] > 0.5)
    rows = rows[first:]
    seconds = rows[-1]["time"] - rows[0]["time"]
    spell, spells = 0.0, 0
    for a, b in zip(rows, rows[1:], strict=False):
        before, spell = spell, (spell + b["time"] - a["time"]) if b["off"] else 0.0
        spells += before < 1.0 <= spell
    passed = halted = 0
    for sign in signs:
        for lap in range(-1, int(rows[-1]["progress"]) + 1):
            at = lap * length + sign  # metres since the start line
            near = [r for r in rows if at - BEFORE <= r["progress"] * length <= at + BEYOND]
            if near and rows[-1]["progress"] * length > at + BEYOND and rows[0]["progress"] * length < at - BEFORE:
                passed += 1
                halted += min(abs(r["speed"]) for r in near) < STANDING
    steps = [b["time"] - a["time"] for a, b in zip(rows, rows[1:], strict=False)]
    interventions = spells + rows[-1]["rescues"] + rearmed
    return {
        "track": track, "laps": rows[-1]["laps"], "seconds": seconds, "interventions": interventions,
        "autonomy": max(0.0, 1.0 - COST * interventions / seconds), "off_road": spells, "rescues": rows[-1]["rescues"],
        "rearmed": rearmed, "stop_signs": passed, "halted": halted, "rate": len(steps) / seconds,
        "late_pictures": sum(step > 0.1 for step in steps), "stops": state.get("stops"), "causes": state.get("causes"),
        "speed": (rows[-1]["progress"] - rows[0]["progress"]) * length / seconds,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--tracks", default="test#0,test#1,test#2,test#3,test#4")
    parser.add_argument("--laps", type=int, default=10)
    parser.add_argument("--together", type=int, default=1, help="tracks that are driven at the same time")
    parser.add_argument("--job", type=int, default=0, help="number of the first set of pins: other runs take others")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found: list[dict[str, Any]] = []

    def work(tracks: list[str], job: int) -> None:
        for track in tracks:
            with tempfile.TemporaryDirectory() as folder:
                found.append(drive_track(given.model.resolve(), track, given.laps, Path(folder), job))
            print(json.dumps(found[-1]), flush=True)
            if given.json:
                given.json.write_text(json.dumps(found, indent=1) + "\n")

    names = given.tracks.split(",")
    parts = [(names[k :: given.together], given.job + k) for k in range(given.together)]
    threads = [threading.Thread(target=work, args=part) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds, total = sum(f["seconds"] for f in found), sum(f["interventions"] for f in found)
    signs, halts = sum(f["stop_signs"] for f in found), sum(f["halted"] for f in found)
    laps = sum(f["laps"] for f in found)
    print(
        f"autonomy {100 * max(0.0, 1 - COST * total / seconds):.1f} %, {total} interventions in {seconds / 60:.1f} min,"
        f" {laps} laps on {len(found)} tracks, halted at {halts} of {signs} stop signs"
    )


if __name__ == "__main__":
    if sys.argv[1] == "--program":
        program(Path(sys.argv[2]), sys.argv[3:])
    else:
        main()
