"""Go by the Go Text Protocol, for Sabaki, GoGui, Lizzie and matches; with --analysis by KataGo's, for KaTrain.

    python -m experiments.gtp --player rave --size 9 --seconds 1

reads commands from standard input and answers on standard output until `quit`. `--player RUN` plays with the network
of a run. In a program with a board enter the same line as the engine's command.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import time

from experiments import arguments, cli

CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


@dataclasses.dataclass(frozen=True)
class EngineCommand:
    """Who plays, and how long it may think. Without --visits and --seconds: one second per move."""

    player: str = "rave"  # rave, or a run folder
    size: int = 19  # lines of the board until the first `boardsize`
    komi: float = 7.5  # points, until the first `komi`
    rules: str = "chinese"  # chinese, tromp-taylor, aga, new-zealand, japanese, and KataGo's other names for these
    visits: int | None = None  # most per move
    seconds: float | None = None  # most per move; the controller's time settings can make it less
    resign: float = 0.0  # resigns after three moves with less than this chance of winning, 0..1; 0: never
    play_on: bool = False  # capture what is dead, where a pass would win: for a referee who counts stones as they stand
    ponder: bool = False  # think in the opponent's time
    seed: int | None = None  # seed of the player's random numbers; without it every start plays differently
    analysis: bool = False  # speak the protocol of KataGo's analysis engine instead (JSON lines)
    clock: str = "wall"  # clock of --seconds: wall, or processor (its own processor time, for a busy machine)
    set: tuple[str, ...] = ()  # NAME=VALUE of the player's settings: equivalence=1000, lambda=0.5 (share of playouts)

    def __post_init__(self) -> None:
        if not 2 <= self.size <= 19:
            raise ValueError(f"--size {self.size}: must be 2 to 19")
        if not abs(self.komi) <= 1000:
            raise ValueError(f"--komi {self.komi}: must be -1000 to 1000")
        if self.visits is not None and not 1 <= self.visits < 2**31:
            raise ValueError(f"--visits {self.visits}: must be at least 1")
        arguments.within(self, 0.001, 1e6, "seconds")
        if not 0 <= self.resign < 1:
            raise ValueError(f"--resign {self.resign}: must be at least 0 and below 1")
        if self.seed is not None and not 0 <= self.seed < 2**63:
            raise ValueError(f"--seed {self.seed}: must be 0 or more")
        if self.clock not in CLOCKS:
            raise ValueError(f"--clock {self.clock}: must be wall or processor")
        if self.clock == "processor" and self.ponder:
            raise ValueError("--clock processor counts pondering as thinking; leave out one of --clock and --ponder")

    def settings(self) -> dict[str, float]:
        """`set` as numbers."""
        found = {}
        for item in self.set:
            name, equals, value = item.partition("=")
            try:
                found[name] = float(value)
            except ValueError:
                raise ValueError(f"--set {item}: must be NAME=NUMBER") from None
        return found


def main() -> None:
    with cli.edge():
        command = arguments.read(EngineCommand, None, __doc__, "gtp")
        with cli.refusing():
            settings = command.settings()
        from envs import kernels
        from experiments.go import naming
        from experiments.go.protocol import Input, Output, serve
        from experiments.go.rulesets import RULES, UnknownRules, named

        try:
            rules = named(command.rules)[0]
        except UnknownRules:
            raise cli.UserError(f"--rules {command.rules}: must be one of {', '.join(RULES)}") from None
        naming.model(command.player)
        cli.starting(kernels=True)
        with kernels.alone("agents/search"):
            from experiments.go import players
            from experiments.go.commands import Engine
            from experiments.go.engine import Habits
        seed = int.from_bytes(os.urandom(6), "big") if command.seed is None else command.seed
        player = players.load(command.player, settings, seed)
        output = Output(sys.stdout.buffer)
        if command.analysis:
            from experiments.go import katago

            lines = Input(sys.stdin.buffer.raw, katago.LONGEST)
            katago.Analyst(player, lines, output, command.visits or 1000).serve()
            return
        lines = Input(sys.stdin.buffer.raw)
        habits = Habits(command.visits, command.seconds, command.resign, command.ponder, command.play_on)
        engine = Engine(
            player, output, size=command.size, komi=command.komi, rules=rules, habits=habits,
            clock=CLOCKS[command.clock],
        )  # fmt: skip
        engine.waiting, engine.wait = lines.waiting, lines.wait
        serve(lines, output, engine)


if __name__ == "__main__":
    main()
