"""Play a game yourself: ``python -m experiments.play flappy``.

The keys are printed at the start; a gamepad works too. With a display a window opens, without one (or with --web) a
page. At the end your scores stand beside those of the agents that were evaluated on it. --record keeps what you saw and
did as a dataset. Escape, or Ctrl-C, ends; t lets the random agent play, and gives the game back to you.
"""

from __future__ import annotations

import dataclasses
import importlib
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import envs
from agents.core.run import safe
from experiments import arguments, cli, configuration, references
from experiments.arguments import Positional, Repeated
from experiments.comparing import evaluations
from experiments.web import address

if TYPE_CHECKING:  # imports of torch stand where they are used: `--help` answers at once
    from experiments.watching.player import Player


@dataclasses.dataclass(frozen=True)
class PlayCommand:
    """What to play."""

    game: Positional[str]  # breakout, any other ALE game, flappy, kart, go, or gym:ID
    episodes: int | None = None  # stop after so many games
    speed: float = 1.0  # 1: as fast as the game is meant to be
    seed: int | None = None  # seed of the first game; without it each game is another
    web: bool = False  # a page instead of a window
    record: Path | None = None  # a folder for a dataset of your play; one that is there goes on
    port: int = 0  # port of the page; 0 takes a free one
    host: str = "127.0.0.1"  # address of the page; another one of this machine lets others in who know the token
    env: Repeated = ()  # an option of the game, as NAME=VALUE; may be repeated
    runs: Path = Path("runs")  # folder of the agents' run folders, for the table

    def __post_init__(self) -> None:
        arguments.within(self, 0.01, 1000, "speed")
        arguments.at_least(self, 1, "episodes")
        arguments.within(self, *arguments.SEEDS, "seed")
        address.check(self.host, self.port)


def play(command: PlayCommand) -> tuple[list[float], str]:
    """Opens the window or the page and plays; returns the scores, and the protocol that they are under."""
    from experiments.watch import interactive, screen_for
    from experiments.watching.player import Player
    from experiments.watching.source import Source

    game = envs.canonical(command.game)
    seed = secrets.randbelow(2**31 - 1) if command.seed is None else command.seed
    with cli.refusing():
        env = configuration.read_options(game, ",".join(command.env))
        player = Player([Source(game, env=env)], seed=seed, episodes=command.episodes, panels=False)
        player.speed, protocol = command.speed, player.focus.protocol
        player.command("take", True)
        if player.focus.human is None:
            raise ValueError(player.messages[-1])
        recorder = None if command.record is None else recorder_of(command.record, game, env, player)
    print(f"keys: {', '.join(player.focus.human.known)}; Escape in the window, or Ctrl-C here, ends")
    try:
        interactive(player, screen_for(player, command, game))
    finally:
        if recorder is not None:
            recorder.close()
            print(f"recorded: {recorder.count:,} rows in {command.record}")
    return player.scores, protocol


def recorder_of(folder: Path, game: str, env: dict[str, Any], player: Player) -> Any:
    """Hears every decision of the player's first game from now on. Kart races become a dataset of driving."""
    from experiments.watching.driving import Laps, drives
    from experiments.watching.rows import RowRecorder

    seat = player.focus
    rows = Laps(folder, seat) if drives(seat) else RowRecorder(folder, game, env, seat.spec)
    seat.listeners.append(rows)
    return rows


def table(root: Path, game: str, scores: list[float], protocol: str = "") -> str:
    """Your best game beside the evaluated agents, best first; scores of another protocol are marked and stand below."""
    rows = [("you, best game", max(scores), "")] if scores else []
    rows += [("you, mean", sum(scores) / len(scores), "")] if scores else []
    for start in (root, *references.folders(root)):
        files = [file for kind in evaluations.FILES for file in (start / safe(game)).rglob(kind)]
        for path in dict.fromkeys(file.parent for file in files):
            remarks: list[str] = []
            steps = [int(p.name) for p in (path / "checkpoints").glob("[0-9]*") if p.name.isdecimal()]
            found = evaluations.read(path, remarks)
            for evaluation in evaluations.own(found, max(steps, default=None), protocol):
                other = str(evaluation.get("protocol", protocol))
                if evaluations.is_number(evaluation.get("mean")):
                    who, games = str(path.relative_to(start)), evaluation.get("episodes")
                    who = who if start == root else f"{references.WORD}/{who}"
                    who += f", {games} games" if evaluations.is_number(games) else ""
                    rows.append((who, float(evaluation["mean"]), "" if other == protocol else other))
            for remark in remarks:
                cli.tell(f"{path}: {remark}")
    rows.sort(key=lambda row: (bool(row[2]), -row[1]))
    return "\n".join(f"  {score:10,.1f}  {who}" + (f"  (under {other})" if other else "") for who, score, other in rows)


def _join(server: Any) -> Any:
    """The front page beside a game's own."""
    from experiments.front import house

    return house.join(server, Path("runs"))


def main() -> None:
    words = sys.argv[1:]
    game = cli.named_game(words)
    if game in envs.GAMES and (room := envs.entry(game).room):  # a page or window of its own
        words.remove(game)
        importlib.import_module(f"{room}.play").main(words, _join)
        return
    with cli.edge(), cli.ended_by_signals():
        command = arguments.read(PlayCommand, None, __doc__, "play")
        cli.starting(torch=True)
        envs.canonical(command.game)  # a wrong name is told at once
        import torch

        torch.set_num_threads(1)
        scores, protocol = play(command)
        for score in scores:
            print(f"your score: {score:.10g}")
        print(table(command.runs, envs.canonical(command.game), scores, protocol))


if __name__ == "__main__":
    main()
