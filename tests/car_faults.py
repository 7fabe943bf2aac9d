"""What the toy car does when something breaks: every fault is made from outside, and judged from the wires.

    python tests/car_faults.py --repeats 100                    the whole table, as Markdown
    python tests/car_faults.py --repeats 3 --drivers gpio --faults page-closed camera-dead

Outside means: a signal, a socket, a browser, a file. A real `drive` runs with the real guardian on mocked wires; a
fault passes where the throttle is neutral within 250 ms (of pictures: within 200 ms of the last good one), stays so
after the fault is over, and the car is not armed. Wishes of somebody else pass where the wheels never move.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import carmodels
import numpy as np
from cardrive import Person, Stand, tell
from carwires import moving, stopped_after

KINDS = ("gpio", "pca9685", "sim")
LIMIT = 0.25  # s
SEEN = 0.20  # time after the last good picture, s
LASTS = 1.5  # length of a fault that passes, s: beyond the second in which lateness may end by itself
LOOK = 2.0  # time for which the wheels are watched after a fault, s


class Verdict(NamedTuple):
    """One fault, once."""

    fault: str
    kind: str
    seconds: float  # time until the throttle was neutral; 0 for wishes that never moved it
    passed: bool
    why: str = ""


class Bench:
    """A car that drives, again and again; what a fault has ended is started anew."""

    def __init__(self, folder: Path, kind: str):
        self.folder, self.kind, self.count = folder, kind, 0
        self.tub = folder / "pictures"
        if not self.tub.exists():
            pictures(self.tub)
        self.model = carmodels.written(folder / "model", drive=0.2)
        self.stand: Stand | None = None
        self.person: Person | None = None
        self.chrome: Any = None

    def ready(self, mode: str = "manual", throttle: float = 0.2) -> None:
        """A car that is armed, and drives steadily unless the throttle is 0.

        A machine that is busy with other things stops the car by itself now and then; then it is armed again.
        """
        for _ in range(20):
            self._ready(mode, throttle)
            if self.person.state["state"] == "armed":
                return
        raise TimeoutError(f"the car does not drive: {self.person.state}")

    def _ready(self, mode: str, throttle: float) -> None:
        if self.stand is None or self.stand.process.poll() is not None:
            self.renew()
        if self.person is None or self.person.fault or self.person._socket.closed:
            self.person = Person(self.stand.address)
        self.person.wait(lambda s: True)
        for what in ("camera", "network"):
            tell(self.stand.log, what, "")
        if self.person.state.get("camera"):  # it has gone for good
            self.renew()
        person = self.person
        person.silent = False
        person.wait(lambda s: s["age"] is not None and s["age"] < 100)
        person.command("mode", "manual")
        person.drive(0.2)
        if mode != "manual":
            person.command("mode", mode)
            person.wait(lambda s: s["mode"] == mode)
            person.steer = person.throttle = 0.0
        elif throttle == 0.0:
            person.throttle = 0.0
        time.sleep(0.5)

    def renew(self) -> None:
        """Another program, another log."""
        self.close()
        self.count += 1
        name = f"{self.kind}{self.count}"
        self.stand = Stand(self.folder, self.kind, "--model", str(self.model), tub=self.tub, name=name)
        self.person = Person(self.stand.address)

    def browser(self) -> Any:
        """The page in Chromium, which then drives by a key that is held down."""
        from chrome import Chrome

        if self.chrome is None:
            self.chrome = Chrome(Path(tempfile.mkdtemp(dir=self.folder)))
        self.person.steer = self.person.throttle = 0.0
        self.person.command("disarm")
        self.chrome.open(self.stand.address)
        self.chrome.wait("document.querySelectorAll('#modes button').length === 4")
        time.sleep(0.5)
        return self.chrome

    def close(self) -> None:
        if self.person is not None:
            self.person.leave()
        if self.stand is not None:
            self.stand.close()
        self.stand = self.person = None

    def end(self) -> None:
        self.close()
        if self.chrome is not None:
            self.chrome.close()


def pictures(path: Path) -> None:
    """A recording in which no two neighbours look alike."""
    from envs.recordings.tub import TubWriter

    with TubWriter(path) as writer:
        for k in range(40):
            picture = np.full((120, 160, 3), 90, np.uint8)
            picture[:, 3 * k : 3 * k + 40] = 220
            writer.write({"cam/image_array": picture, "user/angle": 0.0, "user/throttle": 0.2, "user/mode": "user"})


Fault = Callable[[Bench], float]  # makes the fault; returns the moment at which it was there


def page_closed(bench: Bench) -> float:
    since = time.monotonic()
    bench.person.leave()
    return since


def heartbeat_gap(bench: Bench) -> float:
    bench.person.silent, since = True, time.monotonic()
    time.sleep(LASTS)
    bench.person.silent = False
    return since


def _file(what: str, text: str) -> Fault:
    def fault(bench: Bench) -> float:
        since = time.monotonic()
        tell(bench.stand.log, what, text)
        time.sleep(LASTS)
        tell(bench.stand.log, what, "")
        return since

    return fault


def page_sends_99(bench: Bench) -> float:
    since = time.monotonic()
    bench.person.command("hands", {"n": 10**6, "steer": 0.0, "throttle": 99.0})
    return since


def _signal(number: signal.Signals, then: signal.Signals | None = None, send: Callable = os.kill) -> Fault:
    def fault(bench: Bench) -> float:
        since = time.monotonic()
        send(bench.stand.process.pid, number)
        if then is not None:
            time.sleep(LASTS)
            send(bench.stand.process.pid, then)
        return since

    return fault


def guardian_killed(bench: Bench) -> float:
    """The process of the guardian is the one child of the program."""
    pid = bench.stand.process.pid
    child = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
    since = time.monotonic()
    os.kill(child, signal.SIGKILL)
    return since


def stop_by_page(bench: Bench) -> float:
    since = time.monotonic()
    bench.person.command("stop", "page")
    return since


def stop_by_key(bench: Bench) -> float:
    chrome = bench.browser()
    _drive_by_key(chrome)
    since = time.monotonic()
    chrome.key(" ")
    time.sleep(0.3)
    chrome.key("ArrowUp", down=False)
    return since


def stop_by_button(bench: Bench) -> float:
    since = time.monotonic()
    bench.stand.log.with_suffix(".button").touch()
    time.sleep(0.5)
    bench.stand.log.with_suffix(".button").unlink()
    return since


def stop_by_command_line(bench: Bench) -> float:
    """What `drive --stop` does, without the half second that Python takes to start."""
    from envs.car import places

    os.environ["JOYPAD_RUNTIME"] = str(bench.folder)
    since = time.monotonic()
    assert f"{bench.kind}{bench.count}" in places.stop_all()
    return since


def _drive_by_key(chrome: Any) -> None:
    chrome.key("Enter")
    chrome.wait("document.getElementById('state').dataset.state === 'armed'")
    chrome.key("ArrowUp", up=False)
    chrome.wait("document.getElementById('figures').textContent.includes('25 %')")


def tab_hidden(bench: Bench) -> float:
    """Another tab comes to the front while a key is held down."""
    chrome = bench.browser()
    _drive_by_key(chrome)
    other = chrome.call("Target.createTarget", url="about:blank")["targetId"]
    since = time.monotonic()
    chrome.call("Target.activateTarget", targetId=other)
    time.sleep(1.0)
    chrome.call("Target.closeTarget", targetId=other)
    time.sleep(0.3)
    chrome.key("ArrowUp", down=False)
    return since


PAD = """(() => {
  const buttons = Array.from({ length: 16 }, () => ({ value: 0, pressed: false }));
  const pad = { index: 0, connected: true, axes: [0.2, 0], buttons };
  navigator.getGamepads = () => (window.unplugged ? [null] : [pad]);
  window.pad = pad;
})()"""


def gamepad_gone(bench: Bench) -> float:
    chrome = bench.browser()
    chrome.eval(PAD)
    chrome.key("Enter")
    chrome.wait("document.getElementById('state').dataset.state === 'armed'")
    chrome.eval("window.pad.buttons[7].value = 1")
    chrome.wait("document.getElementById('figures').textContent.includes('25 %')")
    since = time.monotonic()
    chrome.eval("window.unplugged = true")
    time.sleep(0.5)
    chrome.eval("window.unplugged = false")
    return since


def second_driver(bench: Bench) -> float:
    other, since = Person(bench.stand.address), time.monotonic()
    other.throttle = 1.0
    for name in ("arm", "mode", "cap"):
        other.command(name, {"arm": None, "mode": "autonomous", "cap": 1.0}[name])
    time.sleep(0.7)
    other.throttle = 0.0
    other.leave()
    return since


def foreign_origin(bench: Bench) -> float:
    since = time.monotonic()
    other = Person(bench.stand.address, origin="http://elsewhere.example")
    assert "403" in other.fault, other.fault
    return since


def missing_token(bench: Bench) -> float:
    since = time.monotonic()
    other = Person(bench.stand.address.partition("?")[0])
    assert "403" in other.fault, other.fault
    return since


FAULTS: dict[str, tuple[Fault, str]] = {  # name -> (how it is made, who drives meanwhile)
    "page-closed": (page_closed, "manual"),
    "tab-hidden": (tab_hidden, "browser"),
    "heartbeat-gap": (heartbeat_gap, "manual"),
    "gamepad-gone": (gamepad_gone, "browser"),
    "camera-dead": (_file("camera", "dead"), "manual"),
    "camera-silent": (_file("camera", "silent"), "manual"),
    "frozen-frame": (_file("camera", "frozen"), "manual"),
    "slow-inference": (_file("network", "slow"), "autonomous"),
    "network-nan": (_file("network", "nan"), "autonomous"),
    "network-99": (_file("network", "99"), "autonomous"),
    "page-99": (page_sends_99, "manual"),
    "program-killed": (_signal(signal.SIGKILL), "manual"),
    "program-stopped": (_signal(signal.SIGSTOP, signal.SIGCONT), "manual"),
    # As Ctrl-Z in a terminal: every process of the program's group.
    "program-suspended": (_signal(signal.SIGSTOP, signal.SIGCONT, os.killpg), "manual"),
    "program-busy": (_signal(signal.SIGUSR1), "manual"),
    "guardian-killed": (guardian_killed, "manual"),
    "stop-page": (stop_by_page, "manual"),
    "stop-key": (stop_by_key, "browser"),
    "stop-button": (stop_by_button, "manual"),
    "stop-command-line": (stop_by_command_line, "manual"),
    "second-driver": (second_driver, "armed"),
    "foreign-origin": (foreign_origin, "armed"),
    "missing-token": (missing_token, "armed"),
}
BROWSER = tuple(name for name, (_, mode) in FAULTS.items() if mode == "browser")
GOOD = {"camera-dead", "camera-silent", "frozen-frame"}  # judged from the last good picture, too


STOOD = "the car did not drive before the fault"


def judge(bench: Bench, name: str) -> Verdict:
    """Makes one fault, once; again where a busy machine had stopped the car just before it."""
    for _ in range(5):
        verdict = _judge(bench, name)
        if verdict.why != STOOD:
            break
    return verdict


def _judge(bench: Bench, name: str) -> Verdict:
    fault, mode = FAULTS[name]
    bench.ready("manual" if mode in ("browser", "armed") else mode, 0.0 if mode == "armed" else 0.2)
    log, kind = bench.stand.log, bench.kind
    began = time.monotonic()
    try:
        since = fault(bench)
    except TimeoutError:  # of a browser that could not begin to drive
        return Verdict(name, kind, float("inf"), False, STOOD)
    time.sleep(max(0.0, since + LOOK - time.monotonic()))
    until = time.monotonic()
    if mode == "armed":
        moved = moving(log, kind, began, until)
        return Verdict(name, kind, 0.0, not moved, f"the throttle was {moved[0].throttle:.2f}" if moved else "")
    if not moving(log, kind, since - 0.1, since + 0.02):
        return Verdict(name, kind, float("inf"), False, STOOD)
    seconds = stopped_after(log, kind, since, until)
    why = "" if seconds <= LIMIT else f"neutral after {seconds * 1000:.0f} ms"
    if name in GOOD and not why:
        late = since + seconds - float(log.with_suffix(".good").read_text())
        why = "" if late <= SEEN else f"neutral {late * 1000:.0f} ms after the last good picture"
    if not why and moving(log, kind, since + LIMIT, time.monotonic()):
        why = "it drove again"
    if bench.stand.process.poll() is None and not why:
        person = bench.person if not bench.person._socket.closed else Person(bench.stand.address)
        bench.person = person
        try:  # a program that was busy for two seconds tells nothing meanwhile
            person.wait(lambda s: s["state"] in ("latched", "disarmed"), 3.0)
        except TimeoutError:
            if bench.stand.process.poll() is None:  # else it has ended, as it does without a guardian
                why = f"afterwards the car was {person.state.get('state')}"
    return Verdict(name, kind, seconds, not why, why)


def table(verdicts: Sequence[Verdict]) -> str:
    """Markdown: worst time of each fault on each driver, in ms."""
    kinds = [kind for kind in KINDS if any(v.kind == kind for v in verdicts)]
    lines = ["| fault | " + " | ".join(kinds) + " |", "|---|" + "---:|" * len(kinds)]
    for name in FAULTS:
        cells = []
        for kind in kinds:
            mine = [v for v in verdicts if (v.fault, v.kind) == (name, kind)]
            if not mine:
                cells.append("")
                continue
            times = np.array([v.seconds for v in mine]) * 1000
            passed = sum(v.passed for v in mine)
            told = f"{np.median(times):.0f} / {times.max():.0f} ms" if FAULTS[name][1] != "armed" else "never moved"
            cells.append(f"{passed}/{len(mine)}, {told}")
        if any(cells):
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--drivers", nargs="*", default=KINDS, choices=KINDS)
    parser.add_argument("--faults", nargs="*", default=list(FAULTS), choices=list(FAULTS))
    parser.add_argument("--log", type=Path, help="a file that gets each verdict at once, as a line of JSON")
    parser.add_argument(
        "--read", type=Path, nargs="*", default=[], help="logs of other calls: the table of all of them"
    )
    options = parser.parse_args()
    if options.read:
        lines = [line for path in options.read for line in path.read_text().splitlines()]
        print(table([Verdict(**json.loads(line)) for line in lines]))
        return
    verdicts: list[Verdict] = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.drivers:
            bench = Bench(Path(folder), kind)
            try:
                for _ in range(options.repeats):
                    for name in options.faults:
                        verdicts.append(judge(bench, name))
                        if options.log:
                            with open(options.log, "a") as file:
                                file.write(json.dumps(verdicts[-1]._asdict()) + "\n")
                        if not verdicts[-1].passed:
                            print(f"{kind} {name}: {verdicts[-1].why}", file=sys.stderr, flush=True)
            finally:
                bench.end()
    print(table(verdicts))
    print(f"\n{sum(v.passed for v in verdicts)} of {len(verdicts)} passed")
    sys.exit(0 if all(v.passed for v in verdicts) else 1)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    main()
