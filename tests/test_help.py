"""`--help` of every program answers at once: nothing heavy is loaded for it, in a fresh interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import envs
from agents import AGENTS, BASELINES
from experiments.__main__ import PROGRAMS

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"torch", "matplotlib", "tensorboard", "stable_baselines3", "scipy", "numba", "pygame", "ale_py", "aiohttp"}
ASKED = [
    *([name, "--help"] for name in PROGRAMS), ["runs", "list", "--help"], ["play", "go", "--help"],
    ["selfplay", "go", "--help"],
    ["train", "breakout", "--agent", "rainbow", "--help"], ["train", "--resume", "x", "--help"], ["train", "pogn"],
    ["train", "gym:CartPole-v1", "--agent", "sb3-dqn", "--help"], ["list", "agents"], ["list", "recipes"],
    ["train", "pong", "--agent", "pp0"], ["train", "pong", "--minuts", "1"], ["evaluate", "pong", "--episodes", "-3"],
]  # fmt: skip
GAMES = [*envs.GAMES, "breakout", "gym:CartPole-v1"]
CHOSEN = [["train", game, "--agent", agent, "--help"] for game in GAMES for agent in AGENTS | BASELINES]
CHOSEN += [["record", game, "--help"] for game in envs.GAMES if envs.describe(game).driving]
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


@pytest.mark.parametrize("words", ASKED, ids=" ".join)
def test_help_and_refusals_load_nothing_heavy(words: list[str]) -> None:
    assert not loaded(words) & HEAVY


def test_the_options_of_every_game_and_agent_are_told_without_anything_heavy() -> None:
    """One interpreter for all: a module that one of them loads is named with the words that did."""
    each = f"{CODE.splitlines()[1]}\nfor words in json.loads(sys.argv[1]):\n    sys.argv, code = words, 0\n"
    each += textwrap.indent("\n".join(CODE.splitlines()[3:]), "    ")
    done = subprocess.run([sys.executable, "-c", each, json.dumps(CHOSEN)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and len(told := done.stdout.splitlines()) == len(CHOSEN), done.stderr
    for words, line in zip(CHOSEN, told, strict=True):
        code, names = json.loads(line)
        assert code == 0 and not {*names} & HEAVY, words


def test_the_list_of_programs_imports_none_of_them() -> None:
    code = "import sys; sys.argv = ['joypad', '--help']; from experiments.__main__ import main; main()"
    code += "; print(len(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert all(f"  {name:12} " in done.stdout for name in PROGRAMS)
    assert "numpy" not in done.stdout and int(done.stdout.split()[-1]) < 150  # of them Python's own


def test_the_list_of_programs_is_whole() -> None:
    """Every file with a `main` is a program, and the other way round."""
    files = (p for p in (ROOT / "experiments").glob("*.py") if not p.stem.startswith("__"))
    assert {p.stem for p in files if "\ndef main(" in p.read_text()} == set(PROGRAMS)
