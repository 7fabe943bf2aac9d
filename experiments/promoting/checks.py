"""What a reference says of itself, held against its files and against games that are played anew."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from agents.core import files, manifest
from agents.core.run import Run, RunError
from experiments import references
from experiments.comparing.evaluations import is_number
from experiments.promoting.promote import FEWEST, FORMAT, sha256

CHANCE = 0.001  # share of honest references that a check may call wrong
SHUFFLES = 20_000  # random divisions of the games that an interval is made of


class ReferenceFault(ValueError):
    """A reference that is not what it says; the message says which file or figure."""


def read(path: Path) -> dict[str, Any]:
    """The content of reference.json, after every file was compared with its checksum. Raises ReferenceFault."""
    about = _about(path)
    there = {p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()} - {references.ABOUT}
    if (link := files.first_link(path)) is not None:
        raise ReferenceFault(f"{link.relative_to(path)} is a link or no regular file")
    if extra := sorted(there - about["files"].keys()):
        raise ReferenceFault(f"{extra[0]} is not among its files")
    for name, checksum in sorted(about["files"].items()):
        if name not in there:
            raise ReferenceFault(f"{name} is missing")
        try:
            same = sha256(path / name) == checksum
        except OSError as fault:
            raise ReferenceFault(f"{name} cannot be read: {fault.strerror}") from None
        if not same:
            raise ReferenceFault(f"{name} does not match its checksum")
    return about


def _about(path: Path) -> dict[str, Any]:
    try:
        sealed = files.read_json(path / references.ABOUT)
    except (OSError, ValueError) as fault:
        raise ReferenceFault(
            f"{references.ABOUT} cannot be read: {getattr(fault, 'strerror', None) or fault}"
        ) from None
    content = sealed.get("reference") if isinstance(sealed, dict) else None
    if not isinstance(content, dict) or not isinstance(content.get("files"), dict):
        raise ReferenceFault(f"{references.ABOUT} does not say which files it has")
    if manifest.seal(content) != sealed.get("sha256"):
        raise ReferenceFault(f"{references.ABOUT} does not match its checksum")
    if content.get("format") != FORMAT:
        raise ReferenceFault(f"{references.ABOUT} has format {content.get('format')!r}, not {FORMAT}")
    return content


def stated(path: Path, about: Mapping[str, Any], run: Run) -> dict[str, Any]:
    """The stated evaluation, after it was compared with the run. Raises ReferenceFault where it does not fit.

    about: content of reference.json. Whoever wants to deceive seals anew, so that nothing here is believed unseen.
    """
    try:
        score = files.read_json(path / references.SCORE)
    except (OSError, ValueError) as fault:
        raise ReferenceFault(f"{references.SCORE} cannot be read: {fault}") from None
    scores = score.get("scores") if isinstance(score, dict) else None
    if not isinstance(scores, list) or not scores or not all(map(is_number, scores)):
        raise ReferenceFault(f"{references.SCORE} holds no scores")
    newest = manifest.newest(run.checkpoints)
    if newest is None:
        raise ReferenceFault("it holds no weights that can be read")
    meta = newest[1]["meta"]
    for what, game in (("weights", meta.get("game")), (references.SCORE, score.get("game"))):
        if game != run.config["game"]:
            raise ReferenceFault(f"its {what} are of {game}, its configuration is of {run.config['game']}")
    if about.get("game") != run.config["game"]:
        raise ReferenceFault(
            f"{references.ABOUT} is of {about.get('game')}, its configuration is of {run.config['game']}"
        )
    if score.get("step") != newest[0]:
        raise ReferenceFault(f"{references.SCORE} is of step {score.get('step')}, the weights are of {newest[0]}")
    mean = score.get("mean")
    close = is_number(mean) and math.isclose(float(np.mean(scores)), mean, rel_tol=1e-9, abs_tol=1e-9)
    if score.get("episodes") != len(scores) or not close:
        raise ReferenceFault(f"{references.SCORE} states a mean of {mean}, its {len(scores)} scores have another")
    if len(scores) < FEWEST:
        raise ReferenceFault(f"{references.SCORE} holds {len(scores)} scores; {FEWEST} at least make a reference")
    return score


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A stated score beside games that were played anew."""

    stated: float  # stated mean
    mean: float  # mean of the new games
    low: float  # lower end of what the stated mean may be
    high: float
    games: tuple[int, int]  # games behind the stated mean, and new games

    @property
    def holds(self) -> bool:
        """Does the stated mean lie within the interval?"""
        return self.low <= self.stated <= self.high

    @property
    def sentence(self) -> str:
        """The verdict in a line."""
        verb = "lies within" if self.holds else "lies outside"
        return (
            f"stated {self.stated:.4g} over {self.games[0]} games {verb} {self.low:.4g} to {self.high:.4g}:"
            f" {self.games[1]} new games have {self.mean:.4g}"
        )


def compare(old: np.ndarray, new: np.ndarray, *, chance: float = CHANCE, seed: int = 0) -> Verdict:
    """Can both samples of scores, float [n] and [m], be of one agent? By permutation, whatever their distribution.

    The games are dealt out at random into groups of n and m; how far apart the means of such groups are is how far
    those of one agent may be. The interval is the new mean, and to both sides the distance that all but a share of
    `chance` of the deals keep. With n and m games no distance is refused where 1 / (n + m over m) is above `chance`:
    see `fewest`.
    """
    whole, m = np.concatenate([old, new]), len(new)
    rng = np.random.default_rng(seed)
    drawn = rng.permuted(np.tile(whole, (SHUFFLES, 1)), axis=1)
    apart = np.abs(drawn[:, :m].mean(1) - drawn[:, m:].mean(1))
    reach = float(np.quantile(apart, 1 - chance, method="higher")) + 1e-9 * max(1.0, float(np.abs(whole).max()))
    mean = float(new.mean())
    return Verdict(float(old.mean()), mean, mean - reach, mean + reach, (len(old), m))


def fewest(stated: int) -> int:
    """How many new games it takes beside so many stated ones until a wrong mean can be refused.

    With fewer there are so few ways to deal them out that even the worst one is likelier than CHANCE.
    """
    return next(new for new in itertools.count(1) if CHANCE * math.comb(stated + new, new) >= 2)


def fresh_seed(run: Run, score: Mapping[str, Any]) -> int:
    """A seed of games that neither the training nor the stated score has seen."""
    used = {run.config["seed"], run.config["seed"] + 1, score.get("seed")}
    return next(seed for seed in range(1001, 1001 + len(used) + 1) if seed not in used)


def opened(path: Path) -> tuple[Run, dict[str, Any]]:
    """A reference as a run and its stated evaluation, after everything that needs no game. Raises ReferenceFault."""
    about = read(path)
    try:
        run = Run.open(path)
    except RunError as fault:
        raise ReferenceFault(str(fault)) from None
    return run, stated(path, about, run)
