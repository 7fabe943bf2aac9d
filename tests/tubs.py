"""Small datasets of driving for tests, how to damage them, and files that are no files."""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import envs
from agents.core.rows import Spec
from envs.recordings import reader
from envs.recordings.rows import Rows
from envs.recordings.tub import IMAGE, TubWriter
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
    with TubWriter(path, KINDS) as writer:
        for k in range(n):
            writer.write(values(k, **more), timestamp_ms=BEGAN + 50 * writer.index)
    return path


def read(path: Path, spec: Spec, **options: object) -> Rows:
    """The rows of a recording, where it is of driving for a kart that sees pictures of the spec's size."""
    size = {"height": spec.obs_shape[0], "width": spec.obs_shape[1]} if len(spec.obs_shape) == 3 else {}
    driving = envs.describe("kart", obs="frame", **size, **options).driving
    return reader.read([path], reader.WantedRows(spec, driving=driving), cli.tell)


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
    """What a command says to a mistake: our sentence, raised or printed."""
    with pytest.raises((cli.UserError, SystemExit)) as fault:
        function(*arguments)
    if fault.type is cli.UserError:
        return str(fault.value)
    assert fault.value.code == 2
    return " ".join(capsys.readouterr().err.replace("│", " ").split())


def said(*arguments: object) -> str:
    """What `experiments.data` prints, or its one sentence."""
    from experiments import data  # takes a while, and a killed writer needs none of it

    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            data.run([str(a) for a in arguments])
        except cli.UserError as fault:
            assert "\n" not in str(fault)
            print(fault)
    return out.getvalue()


def declare(path: Path, **kinds: str) -> None:
    """Declares columns as another program would, whatever their types."""
    manifest = path / "manifest.json"
    names, types, *rest = (json.loads(line) for line in manifest.read_bytes().splitlines())
    kinds = {name if name.startswith("_") else name.replace("_", "/", 1): kind for name, kind in kinds.items()}
    found = dict(zip(names, types, strict=True)) | kinds
    found = {name: kind for name, kind in found.items() if kind}
    lines = [list(found), list(found.values()), *rest]
    manifest.write_bytes(b"\n".join(json.dumps(line).encode() for line in lines) + b"\n")


def bomb(path: Path, side: int = 30_000) -> None:
    """A PNG of some bytes that claims 30,000 x 30,000 pixels."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    chunks = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 2**40)


def bound(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the names of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


ODD: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "is no regular file"),
    "socket": (bound, "is no regular file"),
    "folder": (Path.mkdir, "is no regular file"),
    "device": (lambda p: p.symlink_to("/dev/zero"), "is a link out of the folder"),
    "link out": (lambda p: p.symlink_to("../../neighbour/file.txt"), "is a link out of the folder"),
    "link to nothing": (lambda p: p.symlink_to("nowhere"), ""),
    "link to itself": (lambda p: p.symlink_to(p.name), ""),
    "terabyte": (sparse, "is larger than"),
}
