"""The whole car in closed loop, without hardware: simulated camera -> network -> guardian -> pulses -> simulator.

    python tests/car_laps.py MODEL --tracks test:0,test:1,... --laps 10 --driver gpio

The person's page only holds the link: a heartbeat every 40 ms, of which 5 % are lost and the others delayed by 0 to
80 ms. Autonomy is 100 (1 - 6 s * interventions / elapsed); an intervention is a rescue by the simulator, or a stop that
a person had to end by arming again. A stop sign is obeyed where the car stood still within 20 m before it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from cardrive import Person, Stand

BEFORE = 20.0  # m
STANDS = 0.1  # m/s
LOSS, DELAY = 0.05, 0.08


class Laps(NamedTuple):
    """One track."""

    track: str
    laps: float
    seconds: float
    rescues: int
    armed_again: int
    late: int  # times that the guardian was late and recovered by itself
    signs: int  # stop signs that were passed
    obeyed: int

    @property
    def autonomy(self) -> float:
        """As PilotNet counts it, in percent."""
        return 100.0 * max(0.0, 1.0 - 6.0 * (self.rescues + self.armed_again) / self.seconds)


def drive(folder: Path, model: Path, track: str, laps: float, kind: str, options: list[str], patience: float) -> Laps:
    """Until so many laps are driven, or `patience` seconds have passed."""
    stand = Stand(folder, kind, "--model", str(model), "--track", track, *options, tub=None, name=f"car{track[-1]}")
    told = stand.log.with_suffix(".drive")
    try:
        person, armed_again, began = Person(stand.address, loss=LOSS, delay=DELAY), -1, None
        person.command("mode", "autonomous")
        end = time.monotonic() + patience
        first = None
        while time.monotonic() < end:
            time.sleep(0.2)
            if person.state.get("state") in ("disarmed", "latched"):
                person.command("arm")
                time.sleep(0.3)
                if person.state.get("state") == "armed":
                    armed_again += 1
                    began = began or time.monotonic()
            row = last_row(told)
            if row is None:
                continue
            first = first or row
            if row["progress"] - max(first["progress"], 0.0) >= laps:
                break
        causes = dict(person.state["causes"])
    finally:
        stand.close()
    rows = [json.loads(line) for line in told.read_text().splitlines()]
    rows = [row for row in rows if began is None or row["time"] >= began]
    late = sum(causes.values()) - max(armed_again, 0)
    signs, obeyed = obeyed_signs(rows, json.loads(told.read_text().splitlines()[0])["signs"])
    seconds = rows[-1]["time"] - rows[0]["time"]
    return Laps(track, rows[-1]["progress"] - rows[0]["progress"], seconds, rows[-1]["rescues"], max(armed_again, 0),
                late, signs, obeyed)  # fmt: skip


def last_row(path: Path) -> dict[str, Any] | None:
    """The newest line that is whole."""
    if not path.exists():
        return None
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - 4000))
        lines = file.read().split(b"\n")[:-1]
    return json.loads(lines[-1]) if lines and lines[-1].startswith(b"{") else None


def obeyed_signs(rows: list[dict[str, Any]], signs: list[float]) -> tuple[int, int]:
    """(stop signs that were passed, of these with a halt before it)."""
    passed = obeyed = 0
    stood = float("-inf")  # distance, m, at which the car stood last
    before = rows[0]["progress"] * rows[0]["length"]
    for row in rows:
        length = row["length"]
        now = row["progress"] * length
        if row["speed"] < STANDS:
            stood = now
        if now - before < 5.0:  # no leap of a rescue
            for sign in signs:
                if (before - sign) // length < (now - sign) // length:
                    passed += 1
                    obeyed += now - stood <= BEFORE
        before = now
    return passed, obeyed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--tracks", nargs="*", default=[f"test#{k}" for k in range(5)])
    parser.add_argument("--laps", type=float, default=10.0)
    parser.add_argument("--driver", default="gpio")
    parser.add_argument("--patience", type=float, default=900.0)
    parser.add_argument("options", nargs=argparse.REMAINDER, help="options of drive, behind --")
    options = parser.parse_args()
    more = [word for word in options.options if word != "--"]
    found = []
    for track in options.tracks:
        with tempfile.TemporaryDirectory() as folder:
            found.append(
                drive(Path(folder), options.model, track, options.laps, options.driver, more, options.patience)
            )
        print(json.dumps({**found[-1]._asdict(), "autonomy": round(found[-1].autonomy, 2)}), flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    main()
