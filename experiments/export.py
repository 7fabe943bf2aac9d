"""The network of a run as ONNX, for players that need no torch: ``python -m experiments.export RUN``.

    python -m experiments.export runs/go/alphazero/default-s0
    python -m experiments.gtp --player runs/go/alphazero/default-s0 --size 9

The model takes planes [n, C, H, W] float32 and answers `logits` [n, A] and `value` [n], and `score` [n] and `ownership`
[n, H * W] where the game has them, all in the view of the side to move. It goes into the run's folder.
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import envs
from agents.core.run import Run
from experiments import arguments, cli, finding
from experiments.arguments import Positional

if TYPE_CHECKING:  # what needs torch is imported where it is used: `--help` answers at once
    from agents.core.rows import Agent

NAME = "network.onnx"  # the file, in the run's folder
OPSET = 17  # version of ONNX's operators


@dataclasses.dataclass(frozen=True)
class ExportCommand:
    """Which network."""

    run: Positional[str]  # a run's folder, or a game: its newest run
    checkpoint: str | None = None  # step of the checkpoint, or best: of the evaluations along the way; else the newest
    out: Path | None = None  # file to write; without it network.onnx in the run's folder
    trust: str | None = None  # gym:MODULE:ID or MODULE:CLASS of the run, whose code you allow to be imported
    runs: Path = Path("runs")  # folder of the run folders

    def __post_init__(self) -> None:
        cli.checkpoint(self.checkpoint)


def export(run: Run, agent: Agent, path: Path) -> None:
    """Writes the network that plays as ONNX, whole or not at all. Raises ValueError for an agent that has none."""
    import torch

    if not hasattr(agent, "exported"):
        raise ValueError(f"{run.path}: {run.config['agent']} has no network that plays elsewhere; alphazero has")
    module, planes, names = agent.exported()
    axes: dict[str, Any] = {name: {0: "n"} for name in ("planes", *names)}
    before = path.with_name(f".{path.name}.part")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that needs no further package is told to be the older one
        torch.onnx.export(
            module, (planes,), str(before), input_names=["planes"], output_names=list(names), dynamic_axes=axes,
            opset_version=OPSET, dynamo=False,
        )  # fmt: skip
    os.replace(before, path)


def main() -> None:
    with cli.edge():
        command = arguments.read(ExportCommand, None, __doc__, "export")
        run = finding.find_run(command.runs, command.run)
        step = cli.checkpoint(command.checkpoint)
        finding.require_checkpoint(run, step)
        cli.starting(torch=True)
        import torch

        from agents.core.stream import spec_of
        from experiments import players

        with cli.refusing():
            games = envs.make_vec(run.config["game"], 1, **run.config["env"])
            agent, at = players.load_player(run, spec_of(games), torch.device("cpu"), step)
            path = command.out or run.inside(NAME)
            export(run, agent, path)
        print(f"{command.out or run.path / NAME}: the network of step {at:,}, {path.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
