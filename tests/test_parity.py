"""docs/parity.md names programs, options and tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import envs
from experiments.__main__ import PROGRAMS

ROOT = Path(__file__).resolve().parents[1]
ROWS = [
    [cell.strip() for cell in line.strip("|\n ").split(" | ")]
    for line in (ROOT / "docs" / "parity.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith(("| feature", "|---"))
]


def source() -> str:
    """Everything that an option may be a field of."""
    files = (*(ROOT / "experiments").rglob("*.py"), *(ROOT / "agents" / "configs").rglob("*.py"))
    return "\n".join(path.read_text() for path in files)


SOURCE = source()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_a_row_of_the_table_of_parity_is_true(row: list[str]) -> None:
    command = row[1]
    if command.startswith("None"):
        return
    words = re.fullmatch(r"`(.+)`", command)[1].split()
    assert words[0] in PROGRAMS
    for option in (word[2:].replace("-", "_") for word in words if word.startswith("--")):
        assert re.search(rf"^    {option}: ", SOURCE, re.MULTILINE), option
    subject = words[1] if len(words) > 1 else ""
    if words[0] in ("train", "play", "watch", "record") and subject and not subject.startswith("--"):
        envs.find(subject)
    file, _, name = re.fullmatch(r"`(.+)`", row[2])[1].partition("::")
    assert (ROOT / file).is_file(), file
    assert not name or f"def {name}(" in (ROOT / file).read_text(), name


def test_every_seed_project_is_there() -> None:
    assert len(ROWS) >= 25
    titles = re.findall(r"^## (.+)$", (ROOT / "docs" / "parity.md").read_text(), re.MULTILINE)
    assert len(titles) == 5
