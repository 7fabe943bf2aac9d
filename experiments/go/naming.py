"""What a player's name means, told before anything is compiled for it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from experiments.cli import UserError


def model(name: str) -> Path | None:
    """The exported network of a player's name; None for `rave`, which needs none. Raises UserError."""
    if name == "rave":
        return None
    run = Path(name)
    found = run if run.suffix == ".onnx" else run / "network.onnx"
    if not found.is_file():
        raise UserError(f"there is no player {name!r}: name 'rave', or a run folder with a network.onnx")
    return found


def networks(players: Iterable[str]) -> dict[str, str]:
    """A checksum of the network of each player that has one, such as RUN or RUN:visits=64: a run that goes on learning
    is another player under the same name."""
    found = {}
    for name in players:
        try:
            file = model(name.partition(":")[0])
        except UserError:  # a program of others, which knows itself what it plays with
            continue
        if file is not None:
            found[name] = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    return found


def differences(there: Any, wanted: Mapping[str, Any]) -> list[str]:
    """What is not `wanted` among settings that were kept, in words. Those of earlier versions hold no `networks`."""
    kept = dict(there) if isinstance(there, dict) else {}
    kept.setdefault("networks", wanted["networks"])
    names = [name for name in wanted if name != "networks" and kept.get(name) != wanted[name]]
    marks = kept["networks"] if isinstance(kept["networks"], dict) else {}
    return names + [f"network of {name}" for name, mark in wanted["networks"].items() if marks.get(name) != mark]
