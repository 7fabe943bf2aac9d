"""Names that people give: kept as far as a folder can be called so, and quoted wherever a command is told."""

from __future__ import annotations

import ast
import re
import shlex
from collections import defaultdict
from pathlib import Path

import pytest

from agents.core.run import safe
from experiments import cli

KEPT = ["mein-Lauf-ü-日本", "東京", "日本", "größe.2", "Ωmega_1", "पहला", "עברית", "naïve", "default", "a.b_c-9"]


@pytest.mark.parametrize("name", KEPT)
def test_letters_of_every_script_are_kept(name: str) -> None:
    assert safe(name) == name


@pytest.mark.parametrize("text", ["../x", "a/b", "..", ".", "", "...a", "a\0b", "a\nb", "\x1b[31m", "C:\\x", "a b", "~",
                                  "a:b", "‮abc", "a\u200bb", "\ud800", "／etc", "a*?b", "CON ",
                                  "💥", "𝒜/𝒷"])  # fmt: skip
def test_no_name_leaves_its_folder(text: str, tmp_path: Path) -> None:
    name = safe(text)
    assert name and not name.startswith(".") and not {*"/\\\0\n\x1b :*?"} & {*name} and name.isprintable()
    path = tmp_path / name
    path.mkdir()
    assert path.resolve().parent == tmp_path.resolve()


def test_old_names_stay_what_they_were() -> None:
    """ASCII, as every version before made it."""
    for text in ("gym:CartPole-v1", "../so me/name", "a+b=c", "x" * 180, "..hidden", "ALE/Pong-v5", "lr=3e-4,seed"):
        assert safe(text) == (re.sub(r"[^A-Za-z0-9._-]", "-", text).lstrip(".") or "-")


def test_the_same_letters_are_the_same_name_and_others_are_not() -> None:
    assert safe("u\u0308") == safe("ü") == "ü"
    assert safe("日本") != safe("東京")
    long = {safe("長" * 100 + end) for end in "abc"}
    assert len(long) == 3 and all(len(name.encode()) <= 200 for name in long)


@pytest.mark.parametrize(
    "path", ["runs/a b", "rüns mit Leerzeichen/x", "it's", 'a"b', "a;b", "$(x)", "plain/path", "a\nb"]
)
def test_a_printed_command_can_be_copied(path: str) -> None:
    told = cli.line("train", "--resume", Path(path))
    assert shlex.split(told) == ["python", "-m", "experiments.train", "--resume", path]


def test_no_command_is_printed_with_an_unquoted_value() -> None:
    """Every command with a value in it is made by `cli.line`, or its value is quoted or joined by shlex."""
    root = Path(__file__).resolve().parents[1]
    told = re.compile(r"python -m experiments\.[a-z]+[^\"`]*\{(?!shlex\.)")
    wrong = []
    for path in [*root.glob("experiments/**/*.py"), *root.glob("envs/*.py"), *root.glob("agents/**/*.py")]:
        lines = path.read_text().splitlines()
        wrong += [f"{path.name}: {line.strip()}" for line in lines if told.search(line) and "def " not in line]
    assert not wrong, "\n".join(wrong)


def test_no_two_classes_have_one_name() -> None:
    """Whoever reads the name of a class, in a message or a search, knows which one is meant."""
    root, found = Path(__file__).resolve().parents[1], defaultdict(list)
    for path in (p for room in ("agents", "envs", "experiments") for p in sorted((root / room).rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(f"{path.relative_to(root)}:{node.lineno}")
    assert len(found) > 250 and not {name: places for name, places in found.items() if len(places) > 1}


NO_NOUN = {
    "of", "what", "how", "where", "which", "whether", "that", "it", "its", "they", "their", "without", "beside", "who",
    "whose", "when", "with", "up", "per", "on", "at", "and", "in", "after", "until", "this", "these", "as", "for", "is",
    "are", "does", "do", "has", "from", "to", "so",
}  # fmt: skip


def test_the_comment_of_a_field_begins_with_its_noun() -> None:
    """It is read beside the field's name alone: a relative clause or a pronoun would need the sentence before it."""
    root, wrong, seen = Path(__file__).resolve().parents[1], [], 0
    for path in (p for room in ("agents", "envs", "experiments") for p in sorted((root / room).rglob("*.py"))):
        text = path.read_text()
        lines = text.splitlines()
        kinds = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)]
        for field in (f for kind in kinds for f in kind.body if isinstance(f, ast.AnnAssign)):
            comment = lines[field.end_lineno - 1].partition("  # ")[2]
            seen += bool(comment)
            if comment and comment.split()[0].rstrip(":,;?").lower() in NO_NOUN:
                wrong.append(f"{path.relative_to(root)}:{field.lineno}: {comment}")
    assert seen > 1000 and not wrong, "\n".join(wrong)
