"""What installing the lab brings with it: one pygame, no file that two packages own, and a name that is ours."""

import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it where Python has none

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def needed(lines: Iterable[str], requires: Callable[[str], Iterable[str] | None]) -> set[str]:
    """Names of all packages that the requirements lead to. `requires` tells a package's own, None if it is absent."""
    found: set[tuple[str, str]] = set()
    left = [(line, "") for line in lines]
    while left:
        line, extra = left.pop()
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        for asked in {"", *requirement.extras}:
            if (name, asked) not in found:
                found.add((name, asked))
                left += [(inner, asked) for inner in requires(name) or ()]
    return {name for name, _ in found}


def installed(name: str) -> list[str] | None:
    try:
        return metadata.requires(name)
    except metadata.PackageNotFoundError:
        return None  # of an extra that is not installed here


@pytest.fixture(scope="module")
def everything() -> set[str]:
    extras = PROJECT["optional-dependencies"].values()
    return needed([*PROJECT["dependencies"], *(line for extra in extras for line in extra)], installed)


def test_the_walk_goes_through_extras_and_markers():
    tree = {
        "game": ['engine; extra == "fast"', "maths>=1", 'old; python_version < "3"'], "engine": ["Pygame>=2"],
        "maths": None,
    }  # fmt: skip
    assert needed(["game"], tree.get) == {"game", "maths"}
    assert needed(["game[fast]"], tree.get) == {"game", "maths", "engine", "pygame"}


def test_only_one_of_two_packages_with_the_same_files(everything):
    """pygame and pygame-ce, for one: the later one wins, and removing either breaks both."""
    assert "pygame-ce" in everything and "pygame" not in everything
    owners = defaultdict(set)
    for distribution in metadata.distributions():
        if (name := canonicalize_name(distribution.name)) in everything:
            for file in distribution.files or ():
                if file.suffix in (".py", ".so", ".pyd"):
                    owners[str(file)].add(name)
    assert len(owners) > 1000  # otherwise nothing was looked at
    assert {file: names for file, names in owners.items() if len(names) > 1} == {}


def test_the_name_is_joypad_lab():
    """`joypad` on PyPI is somebody else's program: nothing here may ask for it."""
    assert PROJECT["name"] == "joypad-lab" and PROJECT["scripts"] == {"joypad": "experiments.__main__:main"}
    asked = r"""\b(version|distribution|requires|files|metadata)\(\s*["']joypad["']"""
    asks = re.compile(asked + r"|pip3? install [^\n`]*\bjoypad\b(?!-lab)")
    assert asks.search('metadata.version("joypad")') and asks.search('pip install "joypad[oracle]"')
    folders = [ROOT / name for name in ("agents", "envs", "experiments", "docs", ".ci")]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    texts = [ROOT / "README.md", *(path for path in files if path.suffix in (".py", ".md", ""))]
    assert len(texts) > 100
    assert [str(path) for path in texts if asks.search(path.read_text())] == []


def test_the_pages_name_programs_files_and_headings_that_exist():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        text = page.read_text()
        for program in re.findall(r"python -m experiments\.([a-z_.]+[a-z])", text):
            path = ROOT / "experiments" / Path(*program.split("."))
            assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), f"{page.name}: {program}"
        for target, heading in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)", text):
            path = page.parent / target if target else page
            assert path.exists(), f"{page.name}: {target}"
            titles = re.findall(r"^#+ (.+)$", path.read_text(), flags=re.M) if heading else []
            anchors = [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]
            assert not heading or heading in anchors, f"{page.name}: {target}#{heading}"
