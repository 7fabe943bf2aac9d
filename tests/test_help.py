"""`--help` of every program answers at once: nothing heavy is loaded for it, in a fresh interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.__main__ import PROGRAMS

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"torch", "matplotlib", "tensorboard", "stable_baselines3", "scipy", "numba", "pygame", "ale_py", "aiohttp"}
ASKED = [
    *([name, "--help"] for name in PROGRAMS), ["runs", "list", "--help"], ["play", "go", "--help"],
    ["train", "breakout", "--agent", "rainbow", "--help"], ["train", "--resume", "x", "--help"], ["train", "pogn"],
    ["train", "gym:CartPole-v1", "--agent", "sb3-dqn", "--help"], ["list", "agents"], ["list", "recipes"],
    ["train", "pong", "--agent", "pp0"], ["train", "pong", "--minuts", "1"], ["evaluate", "pong", "--episodes", "-3"],
]  # fmt: skip
OWN_GAME = [["record", "--help"], ["train", "kart", "--agent", "clone", "--help"], ["train", "flappy", "--help"]]
CODE = """
import importlib, io, contextlib, json, sys
sys.argv, code = json.loads(sys.argv[1]), 0
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    try:
        importlib.import_module(f"experiments.{sys.argv[0]}").main()
    except SystemExit as end:
        code = end.code or 0
print(json.dumps([code, sorted(name for name in sys.modules if "." not in name)]))
"""


def loaded(words: list[str]) -> set[str]:
    told = [sys.executable, "-c", CODE, json.dumps(words)]
    done = subprocess.run(told, cwd=ROOT, capture_output=True, text=True, check=True)
    code, names = json.loads(done.stdout.splitlines()[-1])
    assert code == (0 if "--help" in words or words[0] == "list" else 2), words
    return set(names)


@pytest.mark.parametrize("words", [w for w in ASKED if w not in OWN_GAME], ids=" ".join)
def test_help_and_refusals_load_nothing_heavy(words: list[str]) -> None:
    assert not loaded(words) & HEAVY


@pytest.mark.parametrize("words", OWN_GAME, ids=" ".join)
def test_the_options_of_a_compiled_game_are_read_without_torch(words: list[str]) -> None:
    assert not loaded(words) & (HEAVY - {"numba", "scipy"})


def test_the_list_of_programs_imports_none_of_them() -> None:
    code = "import sys; sys.argv = ['joypad']; from experiments.__main__ import main; main(); print(len(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert all(f"  {name:12} " in done.stdout for name in PROGRAMS)
    assert "numpy" not in done.stdout and int(done.stdout.split()[-1]) < 150  # of them Python's own


def test_the_list_of_programs_is_whole() -> None:
    """Every file with a `main` is a program, and the other way round."""
    files = (p for p in (ROOT / "experiments").glob("*.py") if not p.stem.startswith("__"))
    assert {p.stem for p in files if "\ndef main(" in p.read_text()} == set(PROGRAMS)
