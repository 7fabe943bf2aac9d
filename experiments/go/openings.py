"""Beginnings of games, without end, from a named set: "tuning" for trying things out, "test" for results.

"empty" has no moves, "centre" has Black's first in the middle: for boards whose value from there is known.
An opening is two to four moves on the third line or above (boards of less than seven lines: on the second), no two of
them touching. It belongs to one of the sets by a checksum that is the same for its eight symmetric forms, so the sets
have no opening in common, whichever and however many are used. Number i of a set is the same on every machine.
"""

from __future__ import annotations

import hashlib
import random
from itertools import islice

DRAWN = ("tuning", "test")
SETS = (*DRAWN, "empty", "centre")


def forms(moves: tuple[int, ...], size: int) -> list[tuple[int, ...]]:
    """The eight symmetric forms of a list of actions."""
    found = []
    for turns in range(4):
        for mirrored in (False, True):
            form = []
            for action in moves:
                row, column = divmod(action, size)
                if mirrored:
                    column = size - 1 - column
                for _ in range(turns):
                    row, column = column, size - 1 - row
                form.append(row * size + column)
            found.append(tuple(form))
    return found


def canonical(moves: tuple[int, ...], size: int) -> tuple[int, ...]:
    """The smallest form; stones of one colour count as a set, whatever their order."""
    return min(tuple(sorted(form[0::2])) + (size * size,) + tuple(sorted(form[1::2])) for form in forms(moves, size))


def set_of(moves: tuple[int, ...], size: int) -> str:
    """Which set an opening belongs to."""
    digest = hashlib.sha256(f"{size}:{canonical(moves, size)}".encode()).digest()
    return DRAWN[digest[0] % 2]


def stream(name: str, size: int):
    """The openings of a set one after the other, each once; ends after long search without a new one."""
    edge = 2 if size >= 7 else 1 if size >= 4 else 0
    inner = [r * size + c for r in range(edge, size - edge) for c in range(edge, size - edge)]
    draw, known, idle = random.Random(f"{name} {size}"), set(), 0
    while idle < 2000:
        length = min(draw.randrange(2, 5), max(1, len(inner) // 4))
        moves: list[int] = []
        while len(moves) < length:
            action = inner[draw.randrange(len(inner))]
            row, column = divmod(action, size)
            if all(abs(row - m // size) + abs(column - m % size) > 1 for m in moves):
                moves.append(action)
        idle += 1
        form = canonical(tuple(moves), size)
        if form not in known and set_of(tuple(moves), size) == name:
            known.add(form)
            idle = 0
            yield tuple(moves)


def openings(name: str, size: int, count: int) -> list[tuple[int, ...]]:
    """The first `count` openings of a set, as lists of actions with Black beginning; they repeat if there are fewer."""
    if name not in SETS:
        raise ValueError(f"--openings {name}: must be one of {', '.join(SETS)}")
    if name not in DRAWN:
        return [(size * size // 2,) if name == "centre" else ()] * count
    found = list(islice(stream(name, size), count))
    return [found[i % len(found)] for i in range(count)] if found else [()] * count
