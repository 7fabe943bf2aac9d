"""The network of a run as ONNX, `network.onnx` in its folder, for players that need no torch (`experiments.gtp`).

The model takes planes [n, C, H, W] float32 and answers `logits` [n, A] and `value` [n], and `score` [n] and `ownership`
[n, H * W] where the game has them, all in the view of the side to move.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.core.run import Run

if TYPE_CHECKING:
    from agents.core.rows import Agent

NAME = "network.onnx"  # the file, in the run's folder
OPSET = 17  # version of ONNX's operators


def playing(agent: Any) -> Callable[[], tuple[Any, Any, tuple[str, ...]]] | None:
    """What returns the network that plays (module, input of one row, names of its outputs); None without a board."""
    for part in (agent, getattr(agent, "acting", None)):
        if hasattr(part, "exported"):
            return part.exported
    return None


def keep(run: Run, agent: Agent) -> Path | None:
    """Writes the network that plays into the run's folder. None where the agent's has no use elsewhere."""
    if playing(agent) is None:
        return None
    path = run.inside(NAME)
    write(agent, path)
    return path


def write(agent: Any, path: Path) -> None:
    """Writes the network that plays as ONNX, whole or not at all."""
    import torch

    module, planes, names = playing(agent)()
    axes = {name: {0: "n"} for name in ("planes", *names)}
    before = path.with_name(f".{path.name}.part")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls this exporter, which needs no further package, old
        torch.onnx.export(
            module, (planes,), str(before), input_names=["planes"], output_names=list(names), dynamic_axes=axes,
            opset_version=OPSET, dynamo=False,
        )  # fmt: skip
    os.replace(before, path)
