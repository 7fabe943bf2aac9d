"""Small datasets of driving for tests, and how to damage them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from envs.tub import IMAGE, Writer
from experiments import cli

KINDS = {"override": "boolean", "pilot/angle": "float", "game/lap": "int", "game/race": "int", "game/note": "str"}
BEGAN = 1_700_000_000_000  # ms, of the first record


def picture(k: int, height: int = 12, width: int = 16) -> np.ndarray:
    """A smooth picture that no other k has, which JPEG keeps within a few levels."""
    y, x = np.mgrid[:height, :width]
    return np.stack([(7 * k) % 200 + y, (13 * k) % 180 + x, np.full_like(x, (29 * k) % 251)], -1).astype(np.uint8)


def values(k: int, **more: object) -> dict[str, object]:
    row = {IMAGE: picture(k), "user/angle": (k % 21 - 10) / 10, "user/throttle": 0.5, "user/mode": "user"}
    return {**row, **{name.replace("_", "/", 1): value for name, value in more.items()}}


def written(path: Path, n: int, **more: object) -> Path:
    """A dataset of n records, 50 ms apart whatever else the machine does: a gap begins something new."""
    with Writer(path, KINDS) as writer:
        for k in range(n):
            writer.write(values(k, **more), timestamp_ms=BEGAN + 50 * writer.index)
    return path


def damage(path: Path, line: int, **change: object) -> None:
    """Changes values of a record where it is stored."""
    catalog = path / "catalog_0.catalog"
    lines = catalog.read_bytes().splitlines()
    row = json.loads(lines[line])
    for name, value in change.items():
        name = {"picture": IMAGE}.get(name, name if name.startswith("_") else name.replace("_", "/", 1))
        if value is KeyError:
            del row[name]
        else:
            row[name] = value
    lines[line] = json.dumps(row).encode()
    catalog.write_bytes(b"\n".join(lines) + b"\n")


def refusal(capsys: pytest.CaptureFixture[str], function: Callable, *arguments: object) -> str:
    """What a command says to a mistake: our sentence, or what tyro prints about an option's value."""
    with pytest.raises((cli.UserError, SystemExit)) as fault:
        function(*arguments)
    if fault.type is cli.UserError:
        return str(fault.value)
    assert fault.value.code == 2
    return " ".join(capsys.readouterr().err.replace("│", " ").split())
