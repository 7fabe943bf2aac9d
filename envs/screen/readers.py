"""What stands on a game's window, as numbers: digits, icons, bars, and the window's title.

Digits are compared with patterns that a profile holds as text, one row in each line: `#` marks the digit.
Nothing is learned and nothing is guessed: what fits no pattern is not read.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.perception import preprocess

KINDS = ("digits", "blobs", "share", "title")
MISMATCH = 0.16  # largest share of a pattern's pixels that may differ in a digit that is read


@dataclasses.dataclass(frozen=True)
class ScreenReader:
    """One number on the window. Raises ValueError for what makes no reader."""

    kind: str  # digits, blobs (how many spots), share (of a colour), or title
    box: tuple[int, int, int, int] = (0, 0, 0, 0)  # px of the profile's size: left, top, right, bottom
    colour: tuple[int, int, int] | None = None  # colour of what is read; None: what is brighter than `threshold`
    tolerance: int = 40  # largest difference from `colour` in any channel
    threshold: int = 128  # brightness from which a pixel counts, where no colour is named
    dark: bool = False  # True where what is read is darker than `threshold`
    grey: int = 0  # largest difference between the channels of what is read; 0: it may have any colour
    pitch: int = 0  # digits: width of a character, px, where they touch or lean; 0: empty columns lie between them
    lean: float = 0.0  # digits: px by which a row stands further right than the one below it, in italics
    shrink: int = 1  # digits: pixels of the window, along each side, that one sign of a pattern stands for
    which: int = -1  # digits: number of the one that is meant, from 0, among words; -1: nothing else may stand there
    scale: float = 1.0  # factor of what is read, such as 0.1 where no point is written
    smallest: int = 1  # blobs: pixels of a spot at least; digits: columns of a digit at least
    pattern: str = ""  # title: regular expression whose first group is the number
    glyphs: Mapping[str, str] = dataclasses.field(default_factory=dict)  # digits: character and its looks -> rows

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind {self.kind!r}: choose {', '.join(KINDS)}")
        if self.kind == "title":
            if re.compile(self.pattern).groups < 1:
                raise ValueError(f"pattern {self.pattern!r}: the number must be in parentheses")
            return
        left, top, right, bottom = self.box
        if not (0 <= left < right and 0 <= top < bottom):
            raise ValueError(f"box {list(self.box)}: must be left, top, right, bottom in pixels")
        if self.kind == "digits" and not self.glyphs:
            raise ValueError("digits need glyphs: a pattern for each character")
        object.__setattr__(self, "_patterns", {sign: pattern_of(text) for sign, text in self.glyphs.items()})

    def read(self, picture: np.ndarray, title: str = "") -> float | None:
        """The number in the window's picture, uint8 [H, W, 3]; None where there is none to be read."""
        if self.kind == "title":
            found = re.search(self.pattern, title)
            return number(found[1]) if found else None
        ink = self.ink(picture)
        if self.kind == "share":
            return float(ink.mean())
        if self.kind == "blobs":
            return float(sum(spot.sum() >= self.smallest for spot in spots(ink)))
        ink = upright(ink, self.lean) if self.lean else ink
        parts = cells(ink, self.pitch) if self.pitch else spots(ink)
        value = chosen("".join(self._sign(p) for p in parts if p.shape[1] >= self.smallest), self.which)
        return None if value is None else self.scale * value

    def ink(self, picture: np.ndarray) -> np.ndarray:
        """bool [h, w]: the pixels of the box that belong to what is read."""
        left, top, right, bottom = self.box
        part = picture[top:bottom, left:right]
        if self.grey:
            spread = part.max(2) - part.min(2)
            return (spread <= self.grey) & (part.max(2) >= self.threshold)
        if self.colour is not None:
            return (np.abs(part.astype(np.int16) - np.array(self.colour, np.int16)) <= self.tolerance).all(2)
        brightness = preprocess.grey(part)
        return brightness <= self.threshold if self.dark else brightness >= self.threshold

    def _sign(self, spot: np.ndarray) -> str:
        """The character that a spot is; ? where it is none."""
        spot = shrunk(spot, self.shrink) if self.shrink > 1 else spot
        best, least = "?", MISMATCH
        for sign, known in self._patterns.items():
            if abs(known.shape[0] - spot.shape[0]) > 1 or abs(known.shape[1] - spot.shape[1]) > 1:
                continue
            height, width = max(known.shape[0], spot.shape[0]), max(known.shape[1], spot.shape[1])
            differing = (_padded(known, height, width) != _padded(spot, height, width)).mean()
            if differing < least:
                best, least = sign, float(differing)
        return best[:1]


def _padded(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.pad(mask, ((0, height - mask.shape[0]), (0, width - mask.shape[1])))


def spots(ink: np.ndarray) -> list[np.ndarray]:
    """Groups of columns that touch, from the left, each cut to its rows: bool [h, w]."""
    columns = np.flatnonzero(ink.any(0))
    if not len(columns):
        return []
    parts = np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1)
    found = []
    for part in parts:
        spot = ink[:, part[0] : part[-1] + 1]
        rows = np.flatnonzero(spot.any(1))
        found.append(spot[rows[0] : rows[-1] + 1])
    return found


def cells(ink: np.ndarray, pitch: int) -> list[np.ndarray]:
    """Characters of one width, from the left, without those where nothing stands."""
    parts = [ink[:, left : left + pitch] for left in range(0, ink.shape[1] - pitch + 1, pitch)]
    return [part for part in parts if part.mean() > 0.02]


def upright(ink: np.ndarray, lean: float) -> np.ndarray:
    """Italics set upright: each row is moved to the right by so much as it stands too far left."""
    high, wide = ink.shape
    most = int(np.ceil(lean * high))
    out = np.zeros((high, wide + most), bool)
    for y in range(high):
        shift = round(lean * y)
        out[y, shift : shift + wide] = ink[y]
    return out


def shrunk(mask: np.ndarray, factor: int) -> np.ndarray:
    """A mask in which a pixel stands for factor x factor: set where a third of them are."""
    high, wide = -(-mask.shape[0] // factor) * factor, -(-mask.shape[1] // factor) * factor
    blocks = _padded(mask, high, wide).reshape(high // factor, factor, wide // factor, factor)
    return blocks.mean((1, 3)) >= 1 / 3


def chosen(text: str, which: int) -> float | None:
    """The number that is meant in what was read, in which ? stands for what is no digit."""
    if which < 0:
        return number(text)
    found = re.findall(r"[\d.:]+", text)
    return number(found[which]) if which < len(found) else None


def pattern_of(text: str) -> np.ndarray:
    """A pattern written as rows of # and . -> bool [h, w]. Raises ValueError where it is none."""
    rows = text.split()
    if not rows or len({len(row) for row in rows}) > 1 or set("".join(rows)) - set("#."):
        raise ValueError(f"a glyph must be rows of # and . of one length, not {text!r}")
    return np.array([[sign == "#" for sign in row] for row in rows])


def text_of(mask: np.ndarray) -> str:
    """A mask as `pattern_of` reads it."""
    return "\n".join("".join("#" if on else "." for on in row) for row in mask)


def number(text: str) -> float | None:
    """``12`` -> 12, ``1:02.5`` -> 62.5 (minutes and seconds); None for anything else."""
    if not re.fullmatch(r"-?(\d+:)*\d+(\.\d*)?", text.strip()):
        return None
    total = 0.0
    for part in text.strip().lstrip("-").split(":"):
        total = 60.0 * total + float(part)
    return -total if text.strip().startswith("-") else total


def reader_of(values: Mapping[str, Any]) -> ScreenReader:
    """A reader from a profile's table. Raises ValueError."""
    names = {field.name for field in dataclasses.fields(ScreenReader)}
    if unknown := sorted(values.keys() - names):
        raise ValueError(f"a reader has no {unknown[0]!r}; it has {', '.join(sorted(names))}")
    return ScreenReader(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
