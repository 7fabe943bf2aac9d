"""Runs against runs, in any game of the lab whose two sides take turns: `evaluate RUN --against` and `tournament`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import envs
from agents.core import progress
from agents.core.run import PLAYED, Run, RunError
from experiments import cli, finding

if TYPE_CHECKING:  # imports of torch stand where they are used
    from agents.core.match import PlayedGame
    from agents.core.stream import Stream

RANDOM = "random"  # opponent that plays any legal action
MAX_ENVS = 32  # games side by side


class MatchPlayer(NamedTuple):
    """Whoever plays a match: a run, or chance where `run` is None."""

    name: str
    run: Run | None


class Tally(NamedTuple):
    """Games of one player from one point of view."""

    won: int
    drawn: int
    lost: int

    @classmethod
    def of(cls, points: Sequence[float]) -> Tally:
        """From points per game: 1, 0.5 or 0."""
        return cls(points.count(1.0), points.count(0.5), points.count(0.0))

    @property
    def games(self) -> int:
        """Returns the number of games that were counted."""
        return sum(self)

    @property
    def score(self) -> float:
        """Points per game."""
        return (self.won + self.drawn / 2) / self.games

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's interval of the score, of 95 %."""
        from experiments.comparing import ratings  # loads scipy

        return ratings.wilson(self.won + self.drawn / 2, self.games)

    def figures(self) -> dict[str, Any]:
        """For a JSON file."""
        return {**self._asdict(), "score": self.score, "interval": list(self.interval)}

    def sentence(self) -> str:
        """For people."""
        low, high = self.interval
        return (
            f"{self.won} won, {self.drawn} drawn, {self.lost} lost: {self.score:.1%} of the points"
            f" (95 % interval {100 * low:.1f} to {100 * high:.1f})"
        )


def named(words: Sequence[str], runs: Path) -> list[MatchPlayer] | None:
    """The players that are called by these words; None where one of them is neither a run nor `random`."""
    found = []
    for word in words:
        try:
            found.append(MatchPlayer(word, None if word == RANDOM else Run.find(runs, word)))
        except RunError:
            return None
    if not any(player.run for player in found):
        return None
    for player in found:
        if player.run is not None:
            player.run.require(PLAYED)
    return found


def opponent(word: str, run: Run, runs: Path) -> MatchPlayer:
    """The opponent of `run` that a person names. Raises UserError."""
    if word == RANDOM:
        return MatchPlayer(RANDOM, None)
    try:
        other = finding.find_run(runs, word)
    except RunError as fault:
        raise cli.UserError(f"--against {word}: {fault}") from None
    return MatchPlayer(word, other)


class MatchTable:
    """The games of a match: made once, for all players of a game. Raises ValueError where the runs do not fit."""

    def __init__(self, everyone: Sequence[MatchPlayer], pairs: int, device: str):
        from agents.core.stream import Stream
        from experiments import building

        first = next(player.run for player in everyone if player.run is not None)
        for player in everyone:
            if player.run is not None and player.run.config["game"] != first.config["game"]:
                raise ValueError(
                    f"{player.run.path} is a run of {player.run.config['game']}, {first.path} of {first.config['game']}"
                )
        env = envs.scored(first.config["game"], first.config["env"])
        if envs.describe(first.config["game"], **env).two_players is False:
            raise ValueError(f"{first.config['game']} has one player: there is nobody to play against")
        self.game, self.device = first.config["game"], building.device_for(first.config["agent"], device)
        self.stream: Stream = Stream(envs.make_vec(self.game, min(pairs, MAX_ENVS), **env), self.device)

    def side(self, player: MatchPlayer, seed: int) -> tuple[Any, int]:
        """The policy of a player, as its scores are made; and the step of its checkpoint."""
        from agents.core.evaluate import Policy
        from agents.core.match import Chance
        from experiments import players

        if player.run is None:
            return Chance(self.stream.spec, seed), 0
        agent, step = players.load_player(player.run, self.stream.spec, self.device)
        return Policy(agent, agent.evaluation, self.stream.spec, seed), step

    def play(
        self, sides: tuple[Any, Any], pairs: int, seed: int, random_moves: int, follow: Callable[[int, int], None]
    ) -> list[PlayedGame]:
        """The games of a match."""
        from agents.core.match import match

        return match(sides, self.stream, pairs, seed, random_moves=random_moves, on_step=follow)


def against(
    run: Run, other: MatchPlayer, *, games: int, seed: int, random_moves: int, device: str, quiet: bool = False
) -> dict[str, Any]:
    """The figures of `games` games (even) of a run against an opponent, by side."""
    table = MatchTable([MatchPlayer(str(run.path), run), other], games // 2, device)
    me, step = table.side(MatchPlayer(str(run.path), run), seed)
    sides = (me, table.side(other, seed + 1)[0])
    with progress.Live(quiet=quiet) as live:
        follow = progress.of_games(live, f"against {other.name}", games)
        played = table.play(sides, games // 2, seed, random_moves, follow)
    table.stream.close()
    points = [game.points for game in played]
    by_side = {
        name: Tally.of([game.points for game in played if game.first == number]).figures()
        for number, name in enumerate(("first", "second"))
    }
    metadata = table.stream.envs.metadata
    protocol = f"{metadata.get('protocol', table.game)} against {other.name} random_moves={random_moves}"
    whole = Tally.of(points).figures()
    return {
        "protocol": protocol, "policy": me.agent.evaluation, "episodes": games, "mean": whole["score"],
        "median": sorted(points)[games // 2], "sem": None, "scores": points, "human_normalised": None,
        "frames": sum(game.length for game in played), "game": table.game, "run": str(run.path), "step": step,
        "seed": seed, "own_policy": True, "own_protocol": False, "against": other.name, "all": whole, **by_side,
    }  # fmt: skip


def sentence(result: dict[str, Any]) -> str:
    """The figures of a match in three lines."""
    tallies = {name: Tally(*(result[name][k] for k in Tally._fields)) for name in ("all", "first", "second")}
    return "\n".join([
        f"against {result['against']}: {tallies['all'].sentence()}",
        f"  as first side:  {tallies['first'].sentence()}",
        f"  as second side: {tallies['second'].sentence()}",
    ])  # fmt: skip


def round_robin(
    everyone: Sequence[MatchPlayer], *, games: int, seed: int, random_moves: int, device: str = "auto"
) -> dict[str, Any]:
    """Everyone meets everyone: scores with intervals, and Elo by the Bradley-Terry model, the first player at 0."""
    from experiments.comparing import ratings

    table = MatchTable(everyone, games // 2, device)
    sides = [table.side(player, seed + number)[0] for number, player in enumerate(everyone)]
    pairs, counted = [], []
    for i, j in combinations(range(len(everyone)), 2):
        names = f"{everyone[i].name} against {everyone[j].name}"
        with progress.Live() as live:
            follow = progress.of_games(live, names, games)
            played = table.play((sides[i], sides[j]), games // 2, seed, random_moves, follow)
        tally = Tally.of([game.points for game in played])
        print(f"{names}: {tally.sentence()}", flush=True)
        pairs.append({"players": [everyone[i].name, everyone[j].name], **tally.figures()})
        opening = len(pairs) * games  # openings of different pairs of players are drawn apart
        counted += [ratings.RatedGame(i, j, game.points, opening + game.pair) for game in played]
    table.stream.close()
    elo = ratings.elo(len(everyone), counted)
    rated = [
        {"player": player.name, "elo": elo.rating[k], "elo_interval": [elo.low[k], elo.high[k]]}
        for k, player in enumerate(everyone)
    ]
    settings = {"game": table.game, "games": games, "seed": seed, "random_moves": random_moves}
    return {"settings": settings, "pairs": pairs, "players": rated}
