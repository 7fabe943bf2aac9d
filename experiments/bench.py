"""Measure speed beside the peers, alternately in one run: ``python -m experiments.bench atari``.

    python -m experiments.bench atari          emulators, our loop, PPO and DQN beside SB3 and SBX: speed, share of
                                               what torch's products allow, memory
    python -m experiments.bench atari --game pong            the same in another game
    python -m experiments.bench atari --race   wall clock to a score of 30 on Breakout: our recipe, the others' PPO
    python -m experiments.bench agents         the speed of every agent, those of stable-baselines3 beside theirs
    python -m experiments.bench throughput     PPO, PQN and DQN as they are trained on this device
    python -m experiments.bench replay         memory and sampling of a ring of one million Atari transitions

Figures are medians over rounds; ratios compare figures of the same run. A quiet machine is wanted.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import pkgutil
import time
from pathlib import Path
from typing import Any

from experiments import arguments, benchmarks, cli
from experiments.arguments import Positional


@dataclasses.dataclass(frozen=True)
class BenchCommand:
    """What to measure."""

    what: Positional[str]  # atari, agents, throughput, replay, or a game with a benchmark of its own
    device: str = "auto"  # auto, cpu, cuda, cuda:N or mps
    seconds: float = 15.0  # seconds per contender and round
    rounds: int = 3  # each contender is measured so often, in turn
    game: str | None = None  # atari: game that is measured; Breakout where none is named
    race: bool = False  # atari: also train to a score of 30 against SB3's PPO (up to an hour)
    json: Path | None = None  # file of the figures; without it runs/bench/WHAT-TIME.json
    markdown: bool = False  # print the figures as a table of Markdown's, as docs/ has them

    def __post_init__(self) -> None:
        arguments.within(self, 0.01, 1e5, "seconds")
        arguments.within(self, 1, 1e6, "rounds")


def table(rows: dict[str, Any], markdown: bool = False) -> str:
    """Figures as aligned lines, or as a table of Markdown's."""
    if markdown:
        return "\n".join(["| | figure |", "|---|---|", *(f"| {name} | {_shown(v)} |" for name, v in rows.items())])
    width = max(map(len, rows))
    return "\n".join(f"{name:{width}}  {_shown(value)}" for name, value in rows.items())


def _shown(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) and abs(value) < 100 else (
        f"{value:,.0f}" if isinstance(value, float) else str(value)
    )  # fmt: skip


def main() -> None:
    with cli.edge():
        known = sorted(m.name for m in pkgutil.iter_modules(benchmarks.__path__) if not m.ispkg)
        command = arguments.read(BenchCommand, None, __doc__, "bench")
        cli.starting(torch=True, kernels=True)
        with cli.refusing():
            if command.what not in known:
                raise ValueError(f"there is no benchmark {command.what!r}; choose {', '.join(known)}")
            import torch

            from agents.core import device as devices
            from experiments import provenance
            from experiments.benchmarks.contenders import apart

            device = devices.choose(command.device)
        code = importlib.import_module(f"experiments.benchmarks.{command.what}")
        if command.race and not hasattr(code, "race_to"):
            raise cli.UserError(f"--race: bench {command.what} has no race")
        chosen = {} if command.game is None else {"game": command.game}
        if not chosen.keys() <= inspect.signature(code.run).parameters.keys():
            raise cli.UserError(f"--game {command.game}: bench {command.what} has no choice of games")
        try:
            rows = code.run(device, command.seconds, command.rounds, command.race, **chosen)
        except apart.DeadContender as fault:
            raise cli.UserError(str(fault)) from None
        print(table(rows, command.markdown))
        result = {"figures": rows, "what": command.what, "rounds": command.rounds, "seconds": command.seconds}
        result |= provenance.surroundings(device) | {"torch_threads": torch.get_num_threads()}
        file = command.json or Path("runs", "bench", f"{command.what}-{time.strftime('%Y%m%d-%H%M%S')}.json")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(result, indent=2) + "\n")
        print(f"  written:  {file}")


if __name__ == "__main__":
    main()
