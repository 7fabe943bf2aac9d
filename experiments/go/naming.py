"""What a player's name means, told before anything is compiled for it."""

from __future__ import annotations

from pathlib import Path

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
