"""Go games of a player against itself, as SGF to learn from: ``python -m experiments.selfplay go --out data/rave9``.

OUT/000001.sgf      one file for each game, its seed and settings in the first comment
OUT/selfplay.json   the settings; only the same ones may continue it

A game begins with a few moves drawn at random, and a few drawn by how often the search has looked at them, so that no
two are alike. It is scored by area when both sides have passed, which they do at once where every point is settled.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from agents.core import files, progress
from experiments import arguments, cli
from experiments.go import naming

if TYPE_CHECKING:  # compiles Go, which `--help` has no use for
    from envs.go.game import GoGame

SETTINGS = "selfplay.json"


@dataclasses.dataclass(frozen=True)
class SelfplayGoCommand:
    """Who plays, and how many games of what kind."""

    player: str = "rave"  # rave, or a run folder
    games: int = 100  # games in all, those of earlier sittings among them
    size: int = 9  # lines of the board
    komi: float = 7.5  # points
    visits: int = 400  # visits of the search for each move; with 1 a run's policy plays without search
    random_moves: int = 4  # most moves at the beginning that are drawn at random; how many is drawn, too
    sampled_moves: int = 8  # moves after these that are drawn by their visits, or by the policy where there are none
    seed: int = 1  # seed of all games
    parallel: int = 0  # games at once; 0: one for each processor
    out: Path | None = None  # folder for the games; without it data/ and a name made of the settings

    def __post_init__(self) -> None:
        if not 2 <= self.size <= 19:
            raise ValueError(f"--size {self.size}: must be 2 to 19")
        if not abs(self.komi) <= 1000:
            raise ValueError(f"--komi {self.komi}: must be -1000 to 1000")
        arguments.within(self, 1, 10**6, "games")
        arguments.within(self, 1, 10**8, "visits")
        arguments.within(self, 0, 1000, "random_moves", "sampled_moves", "parallel")
        if not 0 <= self.seed < 2**31:
            raise ValueError(f"--seed {self.seed}: must be 0 to 2147483647")

    @property
    def folder(self) -> Path:
        """Where the games are kept."""
        name = Path(self.player).name.removesuffix(".onnx")
        return self.out or Path("data") / f"{name}-{self.size}x{self.size}-v{self.visits}-s{self.seed}"

    @property
    def decisive(self) -> dict:
        """What the games depend on, as JSON takes it."""
        names = ("player", "size", "komi", "visits", "random_moves", "sampled_moves", "seed")
        return {name: getattr(self, name) for name in names}


class Desk:
    """A player at work on one game after the other."""

    def __init__(self, command: SelfplayGoCommand):
        from experiments.go import players

        self.command, self.player = command, players.load(command.player)

    def do(self, number: int) -> GoGame:
        """Plays a game to its end; it depends on the settings and its number alone."""
        import numpy as np

        from envs.go.game import GoGame

        command, nothing = self.command, self.command.size**2
        rng = np.random.default_rng((command.seed, number))
        self.player.seed(int(rng.integers(2**31)))
        game = GoGame(command.size, command.komi)
        opening = int(rng.integers(command.random_moves + 1))
        while not game.over:
            ply = len(game.moves)
            if ply < opening:
                legal = [action for action in range(nothing) if game.is_legal(action)]
                game.play(int(rng.choice(legal)) if legal else nothing)
                continue
            if is_settled(game):
                game.play(nothing)
                continue
            found = self.player.think(game.rules, game.state, command.visits)
            action, looked = int(found.action[0]), found.visits[0]
            if command.visits == 1:  # the policy plays alone
                looked = found.prior[0].clip(0).astype(np.float64)
            if ply < opening + command.sampled_moves and looked.sum() and not found.solved[0]:
                action = int(rng.choice(len(looked), p=looked / looked.sum()))
            game.play(nothing if action < 0 else action)
        return game

    def close(self) -> None:
        self.player.stop()


def is_settled(game: GoGame) -> bool:
    """Whether Benson's theorem gives every point to a side, and the count as it stands does, too: none is dead.

    Then nothing is left to play for.
    """
    import numpy as np

    from envs.go.scoring import area, pass_alive

    sure, counted = np.empty((2, game.size**2), np.int8)
    pass_alive(game.state, sure)
    area(game.state, counted)
    return bool(sure.all() and (sure == counted).all())


def written(game: GoGame, command: SelfplayGoCommand, number: int) -> str:
    """The game as SGF."""
    from envs.go import record, sgf

    lead = game.score()
    result = "0" if lead == 0 else f"{'B' if lead > 0 else 'W'}+{abs(lead):g}"
    name = Path(command.player).name
    kept = record.of_game(game, black=name, white=name, result=result, rules="Chinese")
    told = ", ".join(f"{key} {value}" for key, value in command.decisive.items())
    kept.steps[0].comment = f"self-play, game {number}: {told}"
    return sgf.dump(record.write(kept)).decode()


def prepare(command: SelfplayGoCommand) -> list[int]:
    """The folder with its settings; the numbers of the games that are missing. Raises UserError."""
    folder, wanted = command.folder, command.decisive | {"networks": naming.networks([command.player])}
    told = folder / SETTINGS
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise cli.UserError(f"--out {folder}: {fault.strerror}") from None
    if told.exists():
        try:
            there = files.read_json(told)
        except (OSError, ValueError) as fault:
            raise cli.UserError(f"{told} cannot be read ({fault}); give another --out") from None
        if different := naming.differences(there, wanted):
            raise cli.UserError(f"{folder} holds games with another {', '.join(different)}; give another --out")
    elif next(folder.glob("*.sgf"), None) is not None:
        raise cli.UserError(f"{folder} holds other games; give another --out")
    files.write_json(told, json.loads(json.dumps(wanted)))
    return [number for number in range(1, command.games + 1) if not path_of(folder, number).exists()]


def path_of(folder: Path, number: int) -> Path:
    """The file of a game."""
    return folder / f"{number:06}.sgf"


def main(argv: list[str]) -> None:
    """Called by `experiments.selfplay` with what stands behind `go`."""
    with cli.edge():
        command = arguments.read(SelfplayGoCommand, argv, __doc__, "selfplay go")
        naming.model(command.player)
        missing = prepare(command)
        folder, before = command.folder, command.games - len(missing)
        print(f"{folder}: {command.games} games" + (f", {before} of them played before" if before else ""), flush=True)
        if missing:
            _play(command, missing)
        print(f"  look:     {cli.line('data', folder)}")
        print(f"  learn:    {cli.line('train', 'go', '--agent', 'clone', '--size', command.size, '--data', folder)}")


def _play(command: SelfplayGoCommand, missing: list[int]) -> None:
    """Plays the missing games and keeps each as soon as it is over."""
    cli.starting(kernels=True)
    from envs import kernels

    with kernels.alone("agents/search"):
        from experiments.go import players  # noqa: F401 (compiled here, before the threads need it)
    from experiments.go.spreading import spread

    left, count = progress.TimeLeft(len(missing), "games", sys.stdout), 0

    def done(number: int, game: GoGame) -> None:
        nonlocal count
        count += 1
        files.write_text(path_of(command.folder, number), written(game, command, number))
        left(count)

    spread(missing, command.parallel or os.cpu_count() or 1, lambda: Desk(command), done)
