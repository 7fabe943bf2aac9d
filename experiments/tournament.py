"""Matches between players of a game of two sides, with openings in pairs and Elo.

    python -m experiments.tournament rave:seconds=1 gnugo:level=10 --games 200 --openings test
    python -m experiments.tournament runs/GAME/ppo/default-s0 runs/GAME/dqn/default-s0 random

Runs and `random` alone play in the lab's own environment, whatever the game. With a Go program among them it is Go,
with a referee of our own; --size, --komi, --openings, --parallel and --move-seconds are options of that.

Players: `rave` and runs of ours with options after a colon (`rave:seconds=1`, `RUN:visits=400`), `gnugo:level=10`,
`katago:visits=8,model=FILE`, and any GTP program as `gtp:COMMAND`. Everyone meets everyone. The same command again goes
on where it was stopped. With --judge katago:visits=32 the games are looked at afterwards, and the table tells how many
points a player loses per move.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import time
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from agents.core import files, progress
from envs import kernels
from experiments import arguments, cli, matches
from experiments.arguments import Positional
from experiments.go.openings import SETS
from experiments.go.programs import Failed, Program, ProgramRefused, command_line

if TYPE_CHECKING:  # compiles Go, which `--help` has no use for
    from experiments.go import tournament


@dataclasses.dataclass(frozen=True)
class TournamentCommand:
    """Who plays whom, and how much."""

    players: Positional[tuple[str, ...]]  # two or more
    games: int = 100  # games of each pair of players, half of them with each colour
    random_moves: int = 2  # runs alone: moves drawn at random at the beginning of each pair of games
    runs: Path = Path("runs")  # folder of the run folders
    size: int = 9  # lines of the board
    komi: float = 7.5  # points
    openings: str = "tuning"  # tuning for trying things out; test for a result that is to be published
    parallel: int = 1  # games at once; where seconds count, no more than processors that are free
    seed: int = 1  # seed of the programs' random numbers
    move_seconds: float = 120.0  # a program that is silent for longer voids the game
    judge: str | None = None  # program that says afterwards how many points each move has lost, e.g. katago:visits=32
    out: Path | None = None  # folder; without it runs/tournaments/ and a name made of the settings

    def __post_init__(self) -> None:
        if len(self.players) < 2:
            raise ValueError("a tournament needs two players or more, for example: rave:seconds=1 gnugo:level=10")
        if self.games < 2 or self.games % 2:
            raise ValueError(f"--games {self.games}: must be even, since every opening is played with both colours")
        if not 2 <= self.size <= 19:
            raise ValueError(f"--size {self.size}: must be 2 to 19")
        if not abs(self.komi) <= 1000:
            raise ValueError(f"--komi {self.komi}: must be -1000 to 1000")
        if self.openings not in SETS:
            raise ValueError(f"--openings {self.openings}: must be one of {', '.join(SETS)}")
        arguments.at_least(self, 1, "parallel")
        arguments.within(self, 0.1, 1e6, "move_seconds")
        arguments.within(self, 0, 1000, "random_moves")
        if not 0 <= self.seed < 2000:
            raise ValueError(f"--seed {self.seed}: must be 0 to 1999")

    def settings(self) -> tournament.TournamentSettings:
        """Returns these options as the settings of the tournament."""
        from experiments.go import tournament

        names = [field.name for field in dataclasses.fields(tournament.TournamentSettings)]
        return tournament.TournamentSettings(**{name: getattr(self, name) for name in names})

    def folder(self) -> Path:
        """Returns the tournament's folder: the user's, or one named after players, board, komi, openings and seed."""
        if self.out is not None:
            return self.out
        name = "-".join([*self.players, f"{self.size}x{self.size}", f"{self.komi:g}", self.openings, f"s{self.seed}"])
        return Path("runs/tournaments") / re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:150]


def span(low: float, high: float, scale: float = 1.0, digits: int = 1) -> str:
    """Formats an interval, each end times `scale`, with so many decimal places."""
    return f"[{low * scale:.{digits}f}, {high * scale:.{digits}f}]"


def summary(settings: tournament.TournamentSettings, rows: dict[int, dict]) -> dict:
    """All figures of the finished games."""
    from experiments.comparing import ratings

    counted = [row for row in rows.values() if not row["void"]]
    pairs = []
    for i, j in combinations(range(len(settings.players)), 2):
        mine = [row for row in counted if {row["black"], row["white"]} == {i, j}]
        points = [row["points"] if row["black"] == i else 1 - row["points"] for row in mine]
        low, high = ratings.wilson(sum(points), len(points))
        void = [row for row in rows.values() if row["void"] and {row["black"], row["white"]} == {i, j}]
        pairs.append({
            "players": [settings.players[i], settings.players[j]], "games": len(mine),
            "won": points.count(1.0), "lost": points.count(0.0), "drawn": points.count(0.5), "void": len(void),
            "as_black": sum(p for p, row in zip(points, mine, strict=True) if row["black"] == i),
            "score": sum(points) / len(points) if points else None, "wilson": [low, high],
            "different_games": len({row["digest"] for row in mine}),
            "illegal_moves": [row["note"] for row in mine if row["result"].endswith("+F")],
            "void_reasons": [row["void"] for row in void],
        })  # fmt: skip
    games = [ratings.RatedGame(row["black"], row["white"], row["points"], row["opening"]) for row in counted]
    elo = ratings.elo(len(settings.players), games)
    players = []
    for i, name in enumerate(settings.players):
        sides = [(row, c) for row in counted for c, who in enumerate((row["black"], row["white"])) if who == i]
        moves = sum(row["thought"][c] for row, c in sides)
        cpu = [row["cpu"][c] for row, c in sides]
        players.append({
            "player": name, "elo": elo.rating[i], "elo_interval": [elo.low[i], elo.high[i]],
            "seconds_per_move": sum(row["seconds"][c] for row, c in sides) / moves if moves else None,
            "cpu_seconds_per_move": sum(cpu) / moves if moves and None not in cpu else None,
        })  # fmt: skip
    return {"settings": dataclasses.asdict(settings), "players": players, "pairs": pairs}


def table(found: dict) -> str:
    """The figures for people."""
    lines = []
    for pair in found["pairs"]:
        first, second = pair["players"]
        lines.append(f"{first} against {second}: {pair['won']} won, {pair['lost']} lost, {pair['drawn']} drawn"
                     + (f", {pair['void']} void" if pair["void"] else ""))  # fmt: skip
        if pair["games"]:
            lines.append(
                f"  score {pair['score']:.1%}, 95 % interval (Wilson) {span(*pair['wilson'], 100)} %; "
                f"{pair['as_black']:g} points with Black; {pair['different_games']} different games of {pair['games']}"
            )
        lines += [f"  illegal move: {note}" for note in pair["illegal_moves"][:5]]
        lines += [f"  void: {reason}" for reason in pair["void_reasons"][:5]]
    return "\n".join(lines + rating_lines(found["players"]))


def rating_lines(players: list[dict]) -> list[str]:
    """The ratings for people, one player a line."""
    lines = [f"Elo (Bradley-Terry, {players[0]['player']} = 0; 95 % bootstrap over opening pairs):"]
    for player in players:
        took = player.get("seconds_per_move")
        second = "" if took is None else f"   {took:.3f} s/move"
        if player.get("cpu_seconds_per_move") is not None:
            second += f" ({player['cpu_seconds_per_move']:.3f} s of a processor)"
        lines.append(f"  {player['elo']:7.0f}  {span(*player['elo_interval'], 1, 0):>16}  {player['player']}{second}")
    return lines


def check(settings: tournament.TournamentSettings, judge: str | None = None) -> None:
    """Starts every player, and the judge, once, so that a wrong name or option is told at once."""
    from experiments.go import points

    if judge is not None:
        points.start(judge, settings.size).close()
    for player in settings.players:
        command_line(player, settings.size)
    for player in dict.fromkeys(settings.players):
        try:
            program = Program(player, settings.size)
            program.ask(f"boardsize {settings.size}")
            program.close()
        except (Failed, ProgramRefused, OSError) as fault:
            raise cli.UserError(f"{fault}") from fault


def _judge(
    command: TournamentCommand,
    settings: tournament.TournamentSettings,
    folder: tournament.TournamentFolder,
    found: dict,
) -> None:
    """Adds to the figures how many points every player has lost per move, as the judge sees it."""
    from experiments.go import points

    counted = sum(not row["void"] for row in folder.rows.values())
    left = progress.TimeLeft(counted, "games judged")
    judged = points.judged(command.judge, settings, folder, command.parallel, left)
    found["judge"], found["judged"] = command.judge, len(judged)
    for number, player in enumerate(found["players"]):
        player["points_lost"] = points.figures(number, folder.rows, judged, settings.size)


def _among_runs(command: TournamentCommand, everyone: list[matches.MatchPlayer]) -> None:
    """Plays a tournament of runs and stores its figures."""
    with cli.refusing():
        found = matches.round_robin(everyone, games=command.games, seed=command.seed, random_moves=command.random_moves)
    print("\n".join(rating_lines(found["players"])))
    folder = command.folder()
    folder.mkdir(parents=True, exist_ok=True)
    files.write_json(folder / "summary.json", found)
    print(f"figures: {folder / 'summary.json'}")


def main() -> None:
    with cli.edge():
        command = arguments.read(TournamentCommand, None, __doc__, "tournament")
        if everyone := matches.named(command.players, command.runs):
            if command.judge is not None:
                raise cli.UserError("--judge looks at games of Go programs: runs alone play in the lab's environment")
            _among_runs(command, everyone)
            return
        cli.starting(kernels=True)
        with cli.refusing():
            settings = command.settings()
        from experiments.go import points, tournament

        if not kernels.stored("agents/search"):  # the players, programs of their own, would all be silent meanwhile
            print("joypad: compiling the tree search once, about half a minute ...", file=sys.stderr, flush=True)
        check(settings, command.judge)
        folder = tournament.TournamentFolder(command.folder(), settings)
        total = len(tournament.plan(settings))
        before, started = len(folder.rows), time.monotonic()
        print(f"{folder.path}: {total} games" + (f", {before} of them played before" if before else ""), flush=True)

        def report(task: tournament.GameTask, row: dict) -> None:
            done, names = len(folder.rows), settings.players
            left = (time.monotonic() - started) / max(done - before, 1) * (total - done)
            mine = [r for r in folder.rows.values() if not r["void"] and 0 in (r["black"], r["white"])]
            points = sum(r["points"] if r["black"] == 0 else 1 - r["points"] for r in mine)
            print(
                f"{done:4}/{total}  game {task.number}: {names[task.black]} - {names[task.white]}  {row['result']}  "
                f"{row['moves']} moves   {names[0]} {points:g}/{len(mine)}   {left / 60:.0f} min left"
                + (f"   {row['void']}" if row["void"] else ""),
                flush=True,
            )

        tournament.run(settings, folder, command.parallel, report)
        found = summary(settings, folder.rows)
        if command.judge is not None:
            _judge(command, settings, folder, found)
        (folder.path / "summary.json").write_text(json.dumps(found, indent=1) + "\n")
        print(table(found))
        if command.judge is not None:
            print("\n".join(points.table(command.judge, found["judged"], found["players"])))
        print(f"games: {folder.path / 'games'}; more of them: the same command with a larger --games")


if __name__ == "__main__":
    main()
