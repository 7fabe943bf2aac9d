"""The front door in real Chromium: every tab; a training started, watched, stopped, resumed and compared from the page.

PAGES=FOLDER in the environment keeps pictures, to be looked at.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from cardrive import Person, Stand
from chrome import Chrome
from programs import tool
from runfolders import make

from envs.recordings.tub import TubWriter
from experiments import references
from experiments.front import house
from experiments.web.server import Server

pytestmark = pytest.mark.slow
CARTPOLE = "gym:CartPole-v1"
KEPT = os.environ.get("PAGES")


@pytest.fixture(scope="module")
def chrome(tmp_path_factory):
    browser = Chrome(tmp_path_factory.mktemp("chrome"))
    yield browser
    browser.close()


class Place:
    """A front door that can go and come back at the same address."""

    def __init__(self, folder: Path):
        self.root, self.data, self.token, self.port = folder / "runs", folder / "data", "t" * 22, 0
        self.open()

    def open(self) -> None:
        self.server = Server(port=self.port, token=self.token)
        self.house = house.join(self.server, self.root, self.data, self.root.parent / "models")
        self.address = self.server.start(self.house.page)
        self.port = self.server.port

    def close(self) -> None:
        self.house.close()
        self.server.stop()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(references.VARIABLE, str(references.HOME))
    for seed, score in enumerate((50.0, 60.0, 55.0)):
        make(tmp_path / "runs", seed, score)
        make(tmp_path / "runs", seed, score / 2, agent="dqn")
    made = Place(tmp_path)
    yield made
    made.close()


def enter(chrome: Chrome, place: Place, tab: str = "games") -> None:
    chrome.open("about:blank")
    chrome.faults.clear()
    chrome.look(1280, 860)
    chrome.open(place.address)
    chrome.eval(f"location.hash = '{tab}'")
    chrome.wait("window.joypad && joypad.listing().runs.length > 5")


def press(chrome: Chrome, selector: str) -> None:
    chrome.wait(f"(e => e && e.offsetParent && !e.disabled)(document.querySelector({json.dumps(selector)}))")
    chrome.eval(f"document.querySelector({json.dumps(selector)}).click()")


def picture(chrome: Chrome, name: str) -> None:
    if KEPT:
        chrome.screenshot(Path(KEPT) / f"{name}.png")


def test_a_training_is_started_watched_stopped_resumed_and_compared(chrome: Chrome, place: Place) -> None:
    enter(chrome, place, "train")
    chrome.wait("document.querySelectorAll('#t-recipe option').length > 1")
    fill = "for (const [id, value] of Object.entries(%s)) { document.getElementById(id).value = value;"
    fill += " document.getElementById(id).dispatchEvent(new Event('change')); }"
    chrome.eval(fill % json.dumps({"t-game": CARTPOLE, "t-amount": 10**7, "t-unit": "steps", "t-seed": 5}))
    press(chrome, "#train-form button[type=submit]")
    chrome.wait("joypad.listing().jobs.some(j => j.running && j.name)", 120)
    name = chrome.eval("joypad.listing().jobs[0].name")
    chrome.wait("/of 10,000,000 steps.*steps\\/s/.test(document.querySelector('.job pre').textContent)", 120)
    picture(chrome, "training")
    press(chrome, ".job [data-do=live]")
    chrome.wait("location.pathname.startsWith('/watch') && window.joypad?.state?.()?.seats[0].live", 120)
    chrome.wait("joypad.link.figures.drawn > 3")
    assert chrome.eval("document.getElementById('home').getAttribute('href')") == "/home/"
    press(chrome, "#home")
    chrome.wait("location.pathname === '/home/' && window.joypad?.listing?.().jobs.length")
    chrome.eval("location.hash = 'train'")
    press(chrome, ".job [data-do=stop]")
    chrome.wait("joypad.listing().jobs.every(j => !j.running)", 120)
    chrome.wait("document.querySelector('.job .state').textContent === 'stopped'")
    steps = chrome.eval(f"joypad.listing().runs.find(r => r.name === '{name}').steps")
    assert steps > 0
    press(chrome, ".job [data-do=resume]")
    further = f"joypad.listing().runs.find(r => r.name === '{name}').steps > {steps}"
    chrome.wait(f"joypad.listing().jobs.some(j => j.running) && {further}", 120)
    press(chrome, ".job [data-do=stop]")
    chrome.wait("joypad.listing().jobs.every(j => !j.running)", 120)
    chrome.eval("location.hash = 'runs'")
    for game in ("gym", "breakout"):
        chrome.eval("document.querySelector('#comparison').hidden = true")
        boxes = f"[...document.querySelectorAll('.run')].filter(r => r.dataset.run.startsWith('{game}'))"
        chrome.eval(f"{boxes}.forEach(r => r.querySelector('input').click())")
        if game == "breakout":
            press(chrome, "#do-compare")
            chrome.wait("!document.querySelector('#comparison').hidden", 120)
            chrome.wait("document.querySelector('#comparison img').naturalWidth > 100")
            table = chrome.eval("document.querySelector('#comparison table').innerText")
            assert "ppo" in table and "dqn" in table
            picture(chrome, "comparison")
        chrome.eval(f"{boxes}.forEach(r => r.querySelector('input').click())")
    assert not chrome.faults


def test_a_car_is_fetched_from_learned_from_and_driven_by_what_was_learned(chrome: Chrome, place: Place) -> None:
    """The PC's half of the car: a drive with wires that can be read, a training, its export, and the car drives it."""
    pytest.importorskip("gpiozero", reason="gpiozero is not installed")
    folder = place.root.parent
    rng = np.random.default_rng(1)
    with TubWriter(folder / "tubs" / "2026-01-01") as writer:
        for k in range(120):
            rgb = rng.integers(0, 256, (120, 160, 3), np.uint8)
            writer.write({"cam/image_array": rgb, "user/angle": k / 120, "user/throttle": 0.1, "user/mode": "user"})
    car = Stand(folder, "sim", tub=folder / "tubs" / "2026-01-01")
    try:
        enter(chrome, place, "car")
        chrome.wait("document.querySelectorAll('#c-recipe option').length > 1")
        chrome.eval(f"document.getElementById('c-address').value = {json.dumps(car.address[:-1])}")
        press(chrome, "#car-form button[type=submit]")
        chrome.wait("/refuses this token/.test(document.getElementById('told').textContent)")
        chrome.eval(f"document.getElementById('c-address').value = {json.dumps(car.address)}")
        press(chrome, "#car-form button[type=submit]")
        chrome.wait("/disarmed/.test(document.getElementById('c-state').textContent)")
        item = "[data-name='car/2026-01-01']"
        press(chrome, f"{item} [data-do=fetch]")
        chrome.wait("joypadCar().fetches.some(one => !one.running && one.done === 123)")
        press(chrome, f"{item} [data-do=crop]")
        chrome.wait("document.getElementById('crop-seen').naturalWidth === 240")
        slider = "document.getElementById('crop-row')"
        chrome.eval(f"{slider}.value = 60; {slider}.dispatchEvent(new Event('input'))")
        chrome.wait("/steering 0.5$/.test(document.getElementById('crop-told').textContent)")
        chrome.eval("document.querySelector('#c-data option').selected = true")
        chrome.eval("document.getElementById('c-steps').value = 100000")
        press(chrome, "#car-train button[type=submit]")
        run = "joypad.listing().runs.find(r => r.game === 'car' && !r.reference)"
        chrome.wait(f"{run}?.live?.['learn/loss'] !== undefined", 240)
        name = chrome.eval(f"{run}.name")
        mine = f"#c-runs [data-name='{name}']"
        chrome.wait(f"/loss [\\d.]+/.test(document.querySelector(\"{mine}\").textContent)")
        picture_of = f"document.querySelector(\"{mine} canvas\")"
        chrome.wait(f"!{picture_of}.hidden && /loss of/.test({picture_of}.getAttribute('aria-label'))", 120)
        picture(chrome, "car")
        press(chrome, f"{mine} [data-do=stop]")
        chrome.wait(f"{run}.state === 'unfinished'", 120)
        steps = chrome.eval(f"{run}.steps")
        press(chrome, f"{mine} [data-do=resume]")
        chrome.wait(f"{run}.state === 'training' && {run}.steps > {steps}", 240)
        press(chrome, f"{mine} [data-do=stop]")
        chrome.wait(f"{run}.state === 'unfinished'", 120)
        press(chrome, f"{mine} [data-do=export]")
        chrome.wait("joypadCar().models.length === 1", 240)
        press(chrome, "#c-models [data-do=deploy]")
        chrome.wait("/drives the car/.test(document.getElementById('c-models').textContent)", 60)
        assert (folder / "networks" / "active.json").is_file() and (folder / "networks" / "clone-default-s0").is_dir()
        person = Person(car.address)
        person.wait(lambda s: s["pilot"] is not None and "clone-default-s0" in s["network"])
        person.leave()
        assert not chrome.faults
    finally:
        for job in place.house.jobs.listed():
            if job["running"]:
                place.house.jobs.stop(job["job"])
        car.close()


def test_games_show_a_living_picture_and_lead_to_watching_and_racing(chrome: Chrome, place: Place) -> None:
    enter(chrome, place)
    card = f".game[data-game='{CARTPOLE}']"
    chrome.wait(f"!!document.querySelector(\"{card} .thumb:not(.waits)\")", 240)
    shot = f"document.querySelector(\"{card} canvas\").toDataURL()"
    first = chrome.eval(shot)
    chrome.wait(f"{shot} !== {json.dumps(first)}")
    assert "joypad" in chrome.eval(f"document.querySelector(\"{card} .scale\").innerText")
    picture(chrome, "games")
    press(chrome, f"{card} [data-do=race]")
    chrome.wait("location.pathname.startsWith('/watch') && window.joypad?.state?.()", 120)
    seats = chrome.wait("joypad.state().seats.length === 2 && joypad.state().seats")
    assert seats[0]["human"] and not seats[1]["human"] and seats[1]["trained"]
    press(chrome, "#home")
    chrome.wait("!!document.querySelector('#cards .game')")
    chrome.eval("location.hash = 'games'")
    press(chrome, f"{card} [data-do=watch]")
    chrome.wait("location.pathname.startsWith('/watch') && window.joypad?.state?.()?.seats[0].trained", 120)
    assert not chrome.faults


def test_runs_are_filtered_opened_tagged_and_deleted(chrome: Chrome, place: Place) -> None:
    enter(chrome, place, "runs")
    visible = "[...document.querySelectorAll('.run')].filter(r => r.offsetParent).map(r => r.dataset.run)"
    type_in = "(e => { e.value = 'dqn'; e.dispatchEvent(new Event('input')); })"
    chrome.eval(f"{type_in}(document.querySelector('#run-filter'))")
    assert chrome.eval(f"{visible}.length") == 3 and all("dqn" in name for name in chrome.eval(visible))
    press(chrome, ".run[data-run='breakout/dqn/default-s0'] .name")
    chrome.wait("document.querySelector('.run .detail canvas')?.width > 100")
    picture(chrome, "run")
    chrome.eval("window.prompt = () => 'good'")
    press(chrome, ".run[data-run='breakout/dqn/default-s0'] [data-do=tag]")
    chrome.wait("document.querySelector(\".run[data-run='breakout/dqn/default-s0'] .tags\").textContent === 'good'")
    chrome.eval("document.querySelector(\".run[data-run='breakout/dqn/default-s1'] input\").click()")
    press(chrome, "#do-delete")
    press(chrome, "#sure button[value=yes]")
    chrome.wait("joypad.listing().trash === 1")
    assert not (place.root / "breakout/dqn/default-s1").exists()
    press(chrome, "#do-restore")
    chrome.wait("joypad.listing().trash === 0")
    assert (place.root / "breakout/dqn/default-s1/config.json").is_file() and not chrome.faults


def test_a_refusal_frees_the_button_and_an_address_elsewhere_is_a_link(chrome: Chrome, place: Place) -> None:
    enter(chrome, place, "train")
    chrome.wait("document.querySelectorAll('#t-recipe option').length > 1")
    chrome.eval("document.getElementById('t-amount').value = 1e13; document.getElementById('t-unit').value = 'steps'")
    button = "#train-form button[type=submit]"
    press(chrome, button)
    chrome.wait("/steps must be a whole number/.test(document.getElementById('told').textContent)")
    chrome.wait(f"!document.querySelector('{button}').disabled")
    assert place.house.jobs.listed() == []
    place.house._tensorboard = lambda names: {"outside": "http://127.0.0.1:6006/scores"}
    chrome.eval("window.open = () => null; joypad.shared.ask('tensorboard', ['breakout/ppo/default-s0'])")
    chrome.wait("document.querySelector('#told a')?.href === 'http://127.0.0.1:6006/scores'")
    assert not chrome.faults


def test_by_keyboard_alone(chrome: Chrome, place: Place) -> None:
    enter(chrome, place)
    chrome.eval("document.querySelector('#tab-games').focus()")
    for tab in ("runs", "train", "car", "more", "games"):
        chrome.key("ArrowRight")
        chrome.wait(f"joypad.tab() === '{tab}' && document.activeElement.id === 'tab-{tab}'")
    chrome.key("ArrowRight")
    focus = "document.activeElement"
    for _ in range(12):  # from the tabs to the first run
        chrome.key("Tab")
        if chrome.eval(f"{focus}.classList.contains('name')"):
            break
    outline = chrome.eval(f"getComputedStyle({focus}).outlineStyle")
    assert chrome.eval(f"{focus}.classList.contains('name')") and outline == "solid"
    chrome.key("Enter")
    chrome.wait(f"{focus}.getAttribute('aria-expanded') === 'true'")
    assert not chrome.faults


def test_reload_two_pages_and_a_server_that_goes_and_comes_back(chrome: Chrome, place: Place) -> None:
    enter(chrome, place, "runs")
    assert "token" not in chrome.eval("location.href")
    chrome.call("Page.reload")
    chrome.wait("window.joypad?.listing?.().runs.length > 5 && joypad.tab() === 'runs'")
    other = Chrome(place.root.parent / "other")
    try:
        other.open(place.address)
        other.wait("window.joypad?.listing?.().runs.length > 5")
        other.eval("joypad.shared.ask('tag', {run: 'breakout/ppo/default-s0', tag: 'seen', remove: false})")
        chrome.eval("document.dispatchEvent(new Event('visibilitychange'))")
        chrome.wait("joypad.listing().runs.some(r => r.tags.includes('seen'))")
    finally:
        other.close()
    place.close()
    chrome.wait("!document.querySelector('#lost').hidden")
    assert chrome.eval("document.body.classList.contains('lost')")
    make(place.root, 9, 99.0, agent="iqn")
    place.open()
    chrome.wait("document.querySelector('#lost').hidden && joypad.listing().runs.some(r => r.agent === 'iqn')", 60)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("tab", ["games", "runs", "train", "car", "more"])
def test_nothing_is_cut_on_a_desk_or_a_phone(chrome: Chrome, place: Place, tab: str, dark: bool) -> None:
    (place.data / "drive").mkdir(parents=True)
    enter(chrome, place, tab)
    for width, height, mobile in ((1280, 860, False), (390, 844, True)):
        chrome.look(width, height, mobile=mobile, dark=dark)
        chrome.wait(f"joypad.tab() === '{tab}'")
        if tab == "games":
            chrome.wait("document.querySelectorAll('#cards .game').length > 3")
        if tab == "more":
            chrome.wait("document.querySelectorAll('#boards li').length")
        chrome.wait("new Promise(done => setTimeout(() => done(true), 400))")
        picture(chrome, f"home-{tab}-{'phone' if mobile else 'desk'}-{'dark' if dark else 'light'}")
        assert chrome.eval("document.documentElement.scrollWidth") <= width
        cut = "[...document.querySelectorAll('button, select, h1, h3')].filter(e => e.offsetParent"
        cut += " && (e.scrollWidth > e.clientWidth + 1 || e.getBoundingClientRect().right > innerWidth + 1))"
        assert chrome.eval(f"{cut}.map(e => e.textContent.trim().slice(0, 40))") == []
    assert not chrome.faults


@pytest.fixture(scope="module")
def axe(tmp_path_factory) -> str:
    """The source of axe-core, from npm."""
    folder = tmp_path_factory.mktemp("axe")
    done = subprocess.run([tool("npm"), "pack", "axe-core@4"], cwd=folder, capture_output=True, text=True, timeout=300)
    if done.returncode:
        pytest.skip(f"axe-core is not installed: {done.stderr[-200:]}")
    shutil.unpack_archive(next(folder.glob("*.tgz")), folder)
    return (folder / "package" / "axe.min.js").read_text()


@pytest.mark.parametrize("tab", ["games", "runs", "train", "car", "more"])
def test_no_serious_fault_of_accessibility(chrome: Chrome, place: Place, axe: str, tab: str) -> None:
    enter(chrome, place, tab)
    if tab == "games":
        chrome.wait("document.querySelectorAll('#cards .game').length > 3")
    if tab == "runs":
        press(chrome, ".run .name")
        chrome.wait("!!document.querySelector('.run .detail .actions')")
    time.sleep(0.5)
    chrome.eval(f"{axe}; true")
    found = chrome.eval("axe.run().then(r => r.violations.filter(v => ['serious', 'critical'].includes(v.impact))"
                        ".map(v => [v.id, v.nodes.slice(0, 3).map(n => n.html.slice(0, 160))]))")  # fmt: skip
    assert found == []
