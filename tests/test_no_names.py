"""Shared programs know games by their traits alone: no code of theirs holds a game's name.

Looked at are names, attributes, imports and strings. Docstrings are for people, as is a command that a message names
as an example (``python -m experiments.train breakout``).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import envs

ROOT = Path(__file__).resolve().parents[1]
OWN = {"recipes", "benchmarks", "go", "windows"}  # rooms of experiments that belong to games
GO = {"gtp.py", "tournament.py"}  # programs of Go, as the protocol that they speak is
EXAMPLE = re.compile(r"(python -m experiments\.|joypad )\w+( --?[\w-]+)* [\w:-]+")
ENGLISH = {"adventure", "et", "hero", "pitfall", "surround", "venture", "boxing", "go", "pong", "car"}
ENGLISH |= {"screen"}  # words, too


def names() -> set[str]:
    """Everything that a game or a family is called."""
    found = {name for game in envs.games() for name in (game, game.replace("-", "_"))}
    return found | {*envs.FAMILIES, "cartpole", "pendulum", "frozenlake", "lunarlander", "carracing"}


NAMES = names()
WORDS = re.compile(rf"(?<![a-z])({'|'.join(sorted(NAMES - ENGLISH, key=len, reverse=True))})(?![a-z])", re.IGNORECASE)


def shared() -> list[Path]:
    inside = [p for p in (ROOT / "experiments").rglob("*.py") if p.relative_to(ROOT).parts[1] not in OWN | GO]
    agents = [p for p in (ROOT / "agents").rglob("*.py") if p.name != "renamed.py"]  # names that older runs have
    return sorted([*inside, *agents])


def words(source: str) -> Iterator[tuple[int, str, bool]]:
    """(line, text, is it an identifier?) of names, imports and strings in code, without docstrings."""
    tree = ast.parse(source)
    docs = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                docs.add(id(first.value))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.lineno, EXAMPLE.sub("", node.value), False
        elif isinstance(node, ast.Name):
            yield node.lineno, node.id, True
        elif isinstance(node, ast.Attribute | ast.arg | ast.FunctionDef | ast.ClassDef):
            yield node.lineno, getattr(node, "attr", None) or getattr(node, "arg", None) or node.name, True
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}", True) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, True) for alias in node.names)


def named(source: str) -> list[str]:
    """What in a source names a game."""
    found = []
    for line, text, code in words(source):
        whole = text.split(".") if code else [text]  # "go" is a word, unless nothing stands beside it
        if WORDS.search(text) or "go" in whole:
            found.append(f"line {line}: {text.strip()[:80]}")
    return found


@pytest.mark.parametrize("path", shared(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_shared_program_names_no_game(path: Path) -> None:
    assert named(path.read_text()) == []


def test_the_programs_are_looked_at() -> None:
    looked = {str(path.relative_to(ROOT)) for path in shared()}
    assert {"experiments/evaluate.py", "experiments/watching/seat.py", "agents/core/loop.py"} <= looked
    assert len(looked) > 100 and len(NAMES) > 100


@pytest.mark.parametrize(
    "source",
    ['if game == "kart": pass', "from envs.kart import env", "import envs.go.env", 'x = "only for kart with y"',
     'x = f"{y} flappy"', "kart = 1", "x.flappy", 'x == "go"', 'find(g)[0] == "envs.atari"', "def kart_speed(): pass",
     'KEYS = {"CartPole": 0}', 'x = "montezuma-revenge"', 'y = "space_invaders"'],
)  # fmt: skip
def test_a_name_is_found(source: str) -> None:
    assert named(source)


@pytest.mark.parametrize(
    "source",
    ['"""python -m experiments.watch kart"""', 'x = "try: python -m experiments.train breakout"',
     'x = "go on with it"', "# kart\nx = 1", "category = 1", "unboxing = boxing", "request.pong()", "x.go_on()",
     'x = "a hero of ours"', 'def f():\n    """Of kart."""'],
)  # fmt: skip
def test_what_is_no_name_is_left_alone(source: str) -> None:
    assert not named(source)
