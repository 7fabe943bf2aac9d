"""The page of `drive` in a real browser: drive, record, stop, calibrate, browse, on a desk and on a phone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import car_faults
import carmodels
import pytest
from cardrive import Stand
from carwires import Wires, history, moving, stopped_after, wait
from chrome import Chrome

from envs.recordings.tub import Tub

pytestmark = pytest.mark.slow
pytest.importorskip("gpiozero", reason="gpiozero is not installed")
STATE = "document.getElementById('state').dataset.state"


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    car_faults.pictures(tmp_path / "pictures")
    model = carmodels.written(tmp_path / "model", drive=0.2)
    started = Stand(tmp_path, "gpio", "--model", str(model), tub=tmp_path / "pictures")
    yield started
    started.close()


@pytest.fixture
def chrome(stand: Stand, tmp_path: Path) -> Iterator[Chrome]:
    browser = Chrome(tmp_path / "chrome")
    browser.open(stand.address)
    browser.wait("document.querySelectorAll('#modes button').length === 4 && window.car.figures.drawn > 3")
    yield browser
    browser.close()


def arm(chrome: Chrome) -> None:
    """As a person does: again, until it holds."""
    for _ in range(20):
        time.sleep(0.5)
        if chrome.eval(STATE) != "armed":
            chrome.eval("document.getElementById('arm').click()")
        try:
            chrome.wait(f"{STATE} === 'armed'", 2)
            return
        except TimeoutError:
            continue
    raise TimeoutError(chrome.eval("document.body.innerText"))


def go(
    stand: Stand, chrome: Chrome, press: Callable[[], None], release: Callable[[], None],
    until: Callable[[Wires], bool] = lambda wires: wires.throttle > 0.2,
) -> None:  # fmt: skip
    """Arms and holds a control until the wheels obey; again where a busy machine has stopped the car meanwhile."""
    for _ in range(10):
        arm(chrome)
        press()
        try:
            wait(lambda: until(history(stand.log, "gpio")[-1]), 3.0)
            return
        except TimeoutError:
            release()
    raise TimeoutError(chrome.eval("document.body.innerText"))


def middle(chrome: Chrome, name: str) -> tuple[float, float]:
    box = chrome.eval(f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])"
                      f"(document.getElementById('{name}').getBoundingClientRect())")  # fmt: skip
    return tuple(box)


def test_a_person_drives_records_and_stops(stand: Stand, chrome: Chrome, tmp_path: Path) -> None:
    chrome.look(1280, 900)
    chrome.key("r")
    chrome.wait("document.getElementById('record').getAttribute('aria-pressed') === 'true'")

    def hold(down: bool) -> None:
        for name in ("ArrowUp", "ArrowLeft"):
            chrome.key(name, down=down, up=not down)

    go(stand, chrome, lambda: hold(True), lambda: hold(False), lambda w: w.throttle > 0.2 and w.steer < -0.8)
    records = "Number(document.getElementById('figures').textContent.match(/records([\\d,]+)/)?.[1] ?? 0)"
    chrome.wait(f"{records} > {chrome.eval(records) + 4}")  # the wheel is held until a record has it
    chrome.key("ArrowLeft", down=False)
    chrome.wait(f"{records} > 20")
    since = time.monotonic()
    chrome.key(" ")
    chrome.wait(f"{STATE} === 'latched'")
    assert stopped_after(stand.log, "gpio", since) < 0.25
    assert chrome.eval("document.getElementById('told').textContent") == "emergency stop by key"
    time.sleep(1.0)  # the key is still held down
    assert not moving(stand.log, "gpio", since + 0.25)
    chrome.key("ArrowUp", down=False)
    chrome.key("r")
    chrome.wait("document.getElementById('record').getAttribute('aria-pressed') === 'false'")
    assert "1 × emergency key" in chrome.eval("document.getElementById('causes').textContent")
    assert not chrome.faults
    stand.close()
    (path,) = (tmp_path / "tubs").iterdir()
    tub = Tub(path)
    assert not tub.damaged and tub.records["safety/cause"][-1] == "emergency key"
    assert tub.records["safety/stops"][-1] >= 1 and not tub.labelled[-1]
    assert (tub.labelled == (tub.records["safety/state"] == "armed")).all() and tub.labelled.sum() > 15
    assert tub.records["user/angle"].min() < -0.8 and 0.2 < tub.records["user/throttle"].max() <= 0.25


def test_whatever_is_let_go_of_is_neutral(stand: Stand, chrome: Chrome) -> None:
    """Keys and the loss of the window; the pads, by a finger."""
    x, y = middle(chrome, "throttle")

    def mouse(kind: str, up: float) -> None:
        held = int(kind == "mouseMoved")
        chrome.call("Input.dispatchMouseEvent", type=kind, x=x, y=y - up, button="left", buttons=held, clickCount=1)

    def drag() -> None:
        mouse("mousePressed", 0)
        mouse("mouseMoved", 44)

    def key_up() -> None:
        chrome.key("w", down=False)

    for let_go in ("key", "blur", "pad"):
        press, release = (lambda: chrome.key("w", up=False)), key_up
        if let_go == "pad":
            press, release = drag, (lambda: mouse("mouseReleased", 44))
        elif let_go == "blur":
            release = lambda: chrome.eval("dispatchEvent(new Event('blur'))")  # noqa: E731
        go(stand, chrome, press, release)
        since = time.monotonic()
        release()
        time.sleep(0.5)
        assert stopped_after(stand.log, "gpio", since) < 0.3, let_go
        key_up()
    assert not chrome.faults


def test_the_network_drives_and_a_hand_takes_over(stand: Stand, chrome: Chrome) -> None:
    chrome.eval("document.querySelector('[data-mode=autonomous]').click()")
    chrome.wait("document.querySelector('[data-mode=autonomous]').getAttribute('aria-pressed') === 'true'")
    go(stand, chrome, lambda: None, lambda: None, lambda w: w.throttle > 0.15)
    go(
        stand,
        chrome,
        lambda: chrome.key("s", up=False),
        lambda: chrome.key("s", down=False),
        lambda w: w.throttle < -0.15,
    )
    chrome.key("s", down=False)
    chrome.eval("document.getElementById('stop').click()")
    chrome.wait(f"{STATE} === 'latched'")
    assert "network" in chrome.eval("document.getElementById('figures').textContent")


def test_the_cap_is_lowered_on_the_page(stand: Stand, chrome: Chrome) -> None:
    chrome.eval("""const cap = document.getElementById('cap');
        cap.value = '0.1'; cap.dispatchEvent(new Event('input'));""")
    chrome.wait("document.getElementById('capped').textContent === '10 %'")
    press, release = (lambda: chrome.key("w", up=False)), (lambda: chrome.key("w", down=False))
    go(stand, chrome, press, release, lambda w: w.throttle > 0.09)
    time.sleep(0.5)
    assert max(w.throttle for w in history(stand.log, "gpio")) == pytest.approx(0.1, abs=0.001)
    chrome.eval("document.getElementById('cap').focus()")
    chrome.key(" ")  # stops, whatever has the focus
    chrome.wait(f"{STATE} === 'latched'")
    release()
    time.sleep(0.5)
    chrome.eval("document.querySelector('#calibration summary').focus()")
    chrome.key("Enter")  # opens, and arms nothing
    chrome.wait("document.getElementById('calibration').open")
    time.sleep(0.5)
    assert chrome.eval(STATE) == "latched"


def test_a_calibration_is_made_on_the_page(stand: Stand, chrome: Chrome, tmp_path: Path) -> None:
    chrome.eval("document.getElementById('calibration').open = true")
    chrome.wait("document.querySelector('#numbers input').value === '1900'")
    assert chrome.eval("document.querySelector('#numbers input').disabled")
    chrome.eval("document.getElementById('lifted').click()")
    chrome.eval("""const centre = document.querySelectorAll('#numbers input')[1];
        centre.value = '1400'; centre.dispatchEvent(new Event('change'));""")
    wait(lambda: abs(history(stand.log, "gpio")[-1].steer - 0.25) < 0.01)  # 1400 us, as the default reads it
    chrome.eval("document.getElementById('save').click()")
    chrome.wait("document.getElementById('said').textContent.startsWith('saved')")
    assert json.loads((tmp_path / "car.json").read_text())["centre"] == 1400
    chrome.eval("""const left = document.querySelectorAll('#numbers input')[0];
        left.value = '1300'; left.dispatchEvent(new Event('change'));""")
    refused = "document.getElementById('said').textContent === 'calibration: centre must lie between left and right'"
    chrome.wait(refused)
    chrome.eval("document.getElementById('said').textContent = ''; document.getElementById('save').click()")
    chrome.wait(refused)
    assert json.loads((tmp_path / "car.json").read_text())["left"] == 1900  # what is refused is not saved
    assert not chrome.faults


def test_recordings_are_browsed_beside_what_the_network_wants(stand: Stand, chrome: Chrome, tmp_path: Path) -> None:
    car_faults.pictures(tmp_path / "tubs" / "2026-01-01")
    chrome.eval("document.getElementById('library').open = true")
    chrome.wait("document.querySelector('#recordings button')?.textContent === '2026-01-01'")
    chrome.eval("document.querySelector('#recordings button').click()")
    chrome.wait("location.pathname === '/tub/' && document.getElementById('frame')?.dataset.row === '0'")
    chrome.wait("document.getElementById('facts').textContent.includes('network')")
    chrome.key("[")
    for _ in range(4):
        chrome.key("ArrowRight")
    chrome.key("]")
    chrome.key("Delete")
    chrome.wait("document.getElementById('said').textContent === '5 records deleted'")
    assert Tub(tmp_path / "tubs" / "2026-01-01").deleted == 5 and not chrome.faults


@pytest.mark.parametrize(("width", "height", "mobile"), [(1280, 900, False), (390, 844, True)])
def test_everything_is_there_on_desk_and_phone(
    chrome: Chrome, width: int, height: int, mobile: bool, tmp_path: Path
) -> None:  # fmt: skip
    for dark in (False, True):
        chrome.look(width, height, mobile=mobile, dark=dark)
        time.sleep(0.3)
        assert chrome.eval("document.documentElement.scrollWidth <= innerWidth")
        nameless = """[...document.querySelectorAll("canvas, button, input, section, textarea")].filter((e) =>
            !(e.getAttribute("aria-label") || e.labels?.length || e.textContent.trim())).map((e) => e.outerHTML)"""
        assert chrome.eval(nameless) == []
        box = chrome.eval("(({top, bottom, height}) => [top, bottom, height])"
                          "(document.getElementById('stop').getBoundingClientRect())")  # fmt: skip
        assert box[0] >= 0 and box[1] <= height and box[2] >= 60  # the stop is on the first screen, and large
        chrome.screenshot(tmp_path / f"{width}-{dark}.png")
    assert not chrome.faults


def test_a_server_that_is_gone_is_told(stand: Stand, chrome: Chrome) -> None:
    go(stand, chrome, lambda: chrome.key("w", up=False), lambda: chrome.key("w", down=False))
    since = time.monotonic()
    stand.process.kill()
    chrome.wait("document.getElementById('lost')?.hidden === false")
    assert chrome.eval("document.getElementById('state').textContent") == "no link"
    assert stopped_after(stand.log, "gpio", since) < 0.25


def test_the_way_from_hand_to_wheels_is_short_and_no_picture_comes_twice(stand: Stand, chrome: Chrome) -> None:
    arm(chrome)
    chrome.wait("window.car.trips.length > 200", 60)
    trips = sorted(chrome.eval("window.car.trips"))
    assert trips[len(trips) // 2] < 50, trips[-10:]
