"""Where the reference runs are: trained agents that come with the repository, one folder each. Without torch.

runs/reference/<game>/<name>/     config, weights in half precision, learning curve, score (docs/comparing.md)

They play where a person has no run of a game. Those in RUNS/reference come first, then those beside this package; the
variable JOYPAD_REFERENCE names another folder instead of the latter.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path

from agents.core import files
from agents.core.run import safe

HOME = Path(__file__).resolve().parents[1] / "runs" / "reference"  # folder of the committed reference runs
VARIABLE = "JOYPAD_REFERENCE"  # environment variable with another folder; an empty value means none
WORD = "reference"  # name of the folder in a runs folder, and the word for the best reference of a game
ABOUT = "reference.json"  # file that makes a run folder a reference
SCORE = "eval.json"  # file with the score of the stored weights


def folders(root: Path) -> list[Path]:
    """The folders of reference runs that are there. root: folder of the person's runs."""
    named = os.environ.get(VARIABLE)
    shared = [HOME] if named is None else [Path(named)] if named else []
    found: dict[Path, Path] = {}
    for path in (root / WORD, *shared):
        if path.is_dir():
            found.setdefault(path.resolve(), path)
    return [*found.values()]


def of_game(root: Path, game: str) -> list[Path]:
    """The reference runs of a game, best first."""
    places = [folder / safe(game) for folder in folders(root)]
    found = _distinct(file.parent for place in places for file in place.glob("*/config.json"))
    return sorted(found, key=lambda path: (-score(path), path.name))


def every(root: Path) -> list[Path]:
    """All reference runs, by their names."""
    return sorted(_distinct(file.parent for folder in folders(root) for file in folder.glob("*/*/config.json")))


def _distinct(paths: Iterable[Path]) -> list[Path]:
    """Of those with one name GAME/NAME the first; none that is still being made, whose name begins with a dot."""
    found: dict[tuple[str, ...], Path] = {}
    for path in paths:
        name = path.parts[-2:]
        if not any(part.startswith(".") for part in name):
            found.setdefault(name, path)
    return [*found.values()]


def best(root: Path, game: str) -> Path | None:
    """The reference run that plays a game where a person has none; None without any."""
    return next(iter(of_game(root, game)), None)


def score(path: Path) -> float:
    """The mean that a reference states of itself; -inf where it states none."""
    try:
        mean = files.read_json(path / SCORE)["mean"]
        value = float(mean) if isinstance(mean, int | float) else math.nan
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return -math.inf
    return value if math.isfinite(value) else -math.inf


def named(root: Path, word: str) -> list[Path]:
    """The runs of ``reference/GAME`` (best first), of ``reference/GAME/NAME`` or of ``reference`` itself; else none."""
    head, _, rest = word.rstrip("/").partition("/")
    if head != WORD or Path(rest).is_absolute() or any(part.startswith(".") for part in Path(rest).parts):
        return []
    if not rest:
        return every(root)
    one = [folder / rest for folder in folders(root) if (folder / rest / "config.json").is_file()]
    return one[:1] or of_game(root, rest)


def is_reference(path: Path) -> bool:
    """Is a run folder a reference, which nobody writes to?"""
    return (path / ABOUT).is_file()


def note(game: str, path: Path, damaged: str = "") -> str:
    """What a person is told where a reference stands in for a run. damaged: why a run of theirs cannot be played."""
    return f"{damaged or f'{game} has no run of yours'}: the reference run {shown(path)} is taken"


def note_of(game: str, paths: list[Path]) -> str:
    """The same of several."""
    names = ", ".join(shown(path) for path in paths)
    return f"{game} has no run of yours: the reference runs {names} are taken"


def shown(path: Path) -> str:
    """The path of a reference as a person types it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
