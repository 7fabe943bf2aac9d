"""The window on a real (virtual) X display: pictures with panels, keys, taking over, closing."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from programs import tool

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.slow

SCRIPT = """
import json, sys
import numpy as np
import pygame
from experiments.watching.player import Player, drive
from experiments.watching.source import Source
from experiments.watching.window import PlayerWindow

player = Player([Source("flappy")], seed=3)
window = PlayerWindow("flappy", player.fps)
told, shows, real = {"driver": None, "seen": []}, 0, window.show

def key(name, down=True):
    kind = pygame.KEYDOWN if down else pygame.KEYUP
    pygame.event.post(pygame.event.Event(kind, key=pygame.key.key_code(name)))

def show(player, frame):
    global shows
    real(player, frame)
    shows += 1
    seat = player.focus
    if shows == 1:
        told["driver"], told["size"] = pygame.display.get_driver(), window.screen.get_size()
        told["resizable"] = bool(window.screen.get_flags() & pygame.RESIZABLE)
        told["bar"] = len(np.unique(pygame.surfarray.array3d(window.screen)[:, 512:]))
        shown = pygame.surfarray.array3d(window.screen).swapaxes(0, 1)
        told["same"] = bool((shown[:512, :288] == frame.picture).all())
        told["panels"] = len(np.unique(shown[:512, 288:].reshape(-1, 3), axis=0))
        key("t")
    if shows == 3:
        told["human"] = seat.human is not None
        key("space")
    if shows == 5:
        told["held"] = sorted(seat.human.held)
        key("space", False); key("t"); key("v")
    if shows == 8:
        told["handed"], told["narrow"] = seat.human is None, window.screen.get_size()
        key("+")
        window.screen = pygame.display.set_mode((900, 700), pygame.RESIZABLE)  # as a person drags its corner
    if shows == 12:
        told["large"] = window.screen.get_size()
        pygame.event.post(pygame.event.Event(pygame.MOUSEBUTTONDOWN, button=1, pos=(window.corner[0] + 100, 50)))
        told["click"] = [round(x) for name, x in [window.commands(player)[-1]] for x in x]
        told["scale"] = window.scale
        key("p")
    if shows > 12 and player.paused:
        told["paused"], told["speed"] = True, player.speed
        key("c"); key("escape")

window.show = show
drive(player, window)
window.close()
told["ended"] = player.ended
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def display():
    """The name of a virtual display of its own."""
    reading, writing = os.pipe()
    xvfb = subprocess.Popen(
        [tool("Xvfb"), "-displayfd", str(writing), "-screen", "0", "1280x1024x24", "-nolisten", "tcp"],
        pass_fds=[writing], stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(writing)
    with os.fdopen(reading) as file:
        number = file.readline().strip()
    yield f":{number}"
    xvfb.terminate()
    xvfb.wait(30)


def surroundings(display):
    hidden = ("SDL_VIDEODRIVER", "WAYLAND_DISPLAY")
    rest = {k: v for k, v in os.environ.items() if k not in hidden}
    return {**rest, "DISPLAY": display, "SDL_AUDIODRIVER": "dummy", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def test_a_window_shows_plays_and_obeys(display, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, env=surroundings(display), capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["driver"] == "x11" and told["size"][0] == 288 + 320 and told["same"] and told["panels"] > 5
    assert told["human"] and told["held"] == ["space"] and told["handed"] and told["narrow"][0] == 288
    assert told["size"][1] > 512 + 20 and told["resizable"] and told["bar"] > 5  # the keys stand below
    assert told["large"] == [900, 700] and told["click"] == [round(100 / told["scale"]), round(50 / told["scale"])]
    assert told["paused"] and told["speed"] == 2.0 and told["ended"]
    assert (tmp_path / "clips" / "flappy-1.mp4").stat().st_size > 1000


def test_the_program_plays_in_its_own_time_and_ends(display, tmp_path):
    argv = ["flappy", "--seconds", "3", "--runs", str(tmp_path)]
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "experiments.watch", *argv], cwd=ROOT, env=surroundings(display), capture_output=True,
        text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0 and "scores:" in done.stdout and "open http" not in done.stdout, done.stderr
    assert time.monotonic() - began >= 3


def test_play_ends_with_the_table(display, tmp_path):
    argv = ["flappy", "--episodes", "1", "--runs", str(tmp_path), "--record", str(tmp_path / "data"), "--speed", "8"]
    done = subprocess.run(
        [sys.executable, "-m", "experiments.play", *argv], cwd=ROOT, env=surroundings(display), capture_output=True,
        text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0 and "your score: 0" in done.stdout and "you, best game" in done.stdout, done.stderr
    assert "keys: space" in done.stdout and "recorded: " in done.stdout  # nobody pressed anything: the bird falls
    manifest = json.loads((tmp_path / "data" / "manifest.json").read_text())
    assert manifest["games"] == 1 and manifest["files"][0]["rows"] > 10


@pytest.mark.parametrize("argv", [["watch", "flappy"], ["play", "flappy"], ["play", "go", "--size", "5"]])
def test_without_a_display_there_is_a_page(argv, tmp_path):
    here = {k: v for k, v in surroundings("").items() if k != "DISPLAY"}
    runs = [] if "go" in argv else ["--runs", str(tmp_path)]
    command = [sys.executable, "-m", f"experiments.{argv[0]}", *argv[1:], *runs]
    process = subprocess.Popen(
        command, cwd=ROOT, env=here, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )  # fmt: skip
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("open http"):
                break
        text = "".join(lines)
        assert "open http" in text and "Traceback" not in text, text
    finally:
        process.kill()
        process.wait(30)
