"""Which of these runs is better? ``python -m experiments.compare RUN... [--metric eval/return]``

    python -m experiments.compare breakout                     every run of a game
    python -m experiments.compare breakout/ppo breakout/dqn    two agents
    python -m experiments.compare runs                         all of it: with several games, as a suite
    python -m experiments.compare breakout --tensorboard       their curves, hyperparameters and clips in a browser

Runs are grouped by their configuration over seeds. Prints the tables and writes them, as Markdown, CSV and pictures, to
--out. Scores of different protocols are never compared.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from pathlib import Path

from experiments import arguments, cli
from experiments.arguments import Positional
from experiments.comparing.statistics import RESAMPLES


@dataclasses.dataclass(frozen=True)
class CompareCommand:
    """What to compare."""

    run: Positional[tuple[str, ...]]  # runs, folders with runs, games, game/agent; --tensorboard: or all
    metric: str = "eval/return"  # the score: eval/... as evaluated, else the last value logged under this name
    protocol: str | None = None  # protocol of the scores, where runs were evaluated under more than one
    threshold: float | None = None  # score that steps and minutes are counted to; without it half of the best
    out: Path = Path("comparison")  # folder for the tables and pictures
    resamples: int = RESAMPLES  # resamples of the bootstrap
    tensorboard: bool = False  # open TensorBoard on these runs instead, and stay until Ctrl-C
    port: int | None = None  # port of TensorBoard; without it the first free one from 6006 on
    runs: Path = Path("runs")  # folder of the run folders

    def __post_init__(self) -> None:
        if not self.run and not self.tensorboard:
            raise ValueError("which runs? try: python -m experiments.compare breakout")
        arguments.at_least(self, 100, "resamples")
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise ValueError(f"--threshold {self.threshold}: must be a number")
        arguments.within(self, 1, 65535, "port")


def main() -> None:
    with cli.edge():
        command = arguments.read(CompareCommand, None, __doc__, "compare")
        from experiments.comparing import groups, report

        with cli.refusing():
            if command.tensorboard:
                from experiments.comparing import board

                board.serve(command.runs, command.run or (str(command.runs),), command.port)
                return
            made = groups.compare(
                command.runs,
                command.run,
                metric=command.metric,
                protocol=command.protocol,
                threshold=command.threshold,
                resamples=command.resamples,
            )
        summaries = [report.summary(made, g) for g in made.groups]
        tables = list(report.tables(made, summaries))
        report.show(made, tables)
        if (command.out / "comparison.md").exists():
            print(f"{command.out} held a comparison, which is replaced; --out names another folder", file=sys.stderr)
        print("written: " + ", ".join(map(str, report.write(made, summaries, tables, command.out))))


if __name__ == "__main__":
    main()
