"""How often finished games are counted as GNU Go counts them.

    python -m experiments.go.counting --games 600

plays games on 9x9 as people do: who has nothing left to do passes, and what is dead stays on the
board. `rave` with few playouts plays itself; when to pass GNU Go says, so that our own judgement has no say in which
positions are judged. GNU Go at level 10 then counts by area, and so do we. With `--mixed` two games of three are
against GNU Go at a low level, whose passes leave fights open: there the two counts are opinions.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from pathlib import Path

from agents.core.progress import Live, TimeEstimate
from envs.go import record, sgf
from envs.go.game import GoGame, from_vertex, to_vertex
from envs.go.rules import go_rules
from experiments import arguments, cli
from experiments.go import players
from experiments.go.judging import Judge
from experiments.go.programs import Failed, Program, ProgramRefused

KOMI = 7.0
LONGEST = 4  # moves per point of the board; a game that is not over by then is left out
VISITS = (80, 240)  # visits of rave, range: about as strong as GNU Go at these levels, so that the games are games
LEVELS = (0, 1)  # levels of GNU Go as a player
PATIENCE = 300.0  # time limit of GNU Go's count, in s
EARLY = 0.4  # moves per point of the board before which nobody thinks of passing


@dataclasses.dataclass(frozen=True)
class CountCommand:
    """How many games, and which."""

    games: int = 600
    seed: int = 1  # seed of the openings and of every player
    mixed: bool = False  # some games are against GNU Go, which may pass before they are finished
    out: Path | None = None  # folder for the games that are counted differently, as SGF

    def __post_init__(self) -> None:
        arguments.at_least(self, 1, "games")


@dataclasses.dataclass(frozen=True)
class Counted:
    """One finished game and both counts."""

    game: GoGame
    ours: str
    theirs: str


def result(lead: float) -> str:
    """As GTP writes it."""
    return "0" if lead == 0 else f"{'B' if lead > 0 else 'W'}+{abs(lead):.1f}"


def gnugo(level: int, seed: int) -> Program:
    """Starts GNU Go for a 9x9 board under Chinese rules, at this level and with this seed."""
    return Program(f"gtp:gnugo --mode gtp --chinese-rules --never-resign --level {level} --seed {seed}", 9)


class Hall:
    """Where the games are played: the programs stay alive from game to game."""

    def __init__(self, seed: int, mixed: bool):
        self.rng = random.Random(seed)
        self.rave, self.judge = players.rave(seed=seed), Judge()
        self.adviser, self.counter = gnugo(0, seed), gnugo(10, seed)
        self.opponents = [gnugo(level, seed + level) for level in LEVELS] if mixed else []

    def close(self) -> None:
        for program in (self.adviser, self.counter, *self.opponents):
            program.close()

    def play(self, size: int) -> GoGame | None:
        """A game to two passes; None if it does not come to an end."""
        game = GoGame(size, KOMI, superko="simple", max_moves=LONGEST * size * size + 10)
        rules, visits = go_rules(size, KOMI, **game.options), self.rng.choice(VISITS)
        opponent = self.rng.choice([None, *self.opponents])  # None: rave on both sides
        programs = [self.adviser, self.counter] + ([opponent] if opponent else [])
        for program in programs:
            for line in (f"boardsize {size}", "clear_board", f"komi {KOMI:g}"):
                program.ask(line)
        gnu_side, opening = self.rng.randrange(2), self.rng.choice((2, 4, 6))
        while len(game.moves) < LONGEST * size * size:
            colour = game.turn
            mover = "BW"[colour]
            if len(game.moves) < opening:
                legal = [action for action in range(size * size) if game.is_legal(action)]
                action = self.rng.choice(legal)
            elif opponent and colour == gnu_side:
                action = from_vertex(opponent.ask(f"genmove {mover}"), size)
                opponent.ask("undo")
            elif len(game.moves) > EARLY * size * size and self._finished(mover):
                action = size * size
            else:
                action = int(self.rave.think(rules, game.state, visits).action[0])
            game.play(action)
            for program in programs:
                program.ask(f"play {mover} {to_vertex(action, size)}")
            if [a for _, a in game.moves[-2:]] == [size * size] * 2:
                return game
        return None

    def _finished(self, mover: str) -> bool:
        """Whether GNU Go would pass for this side: a quick one, and then one that looks closely."""
        asked = f"reg_genmove {mover}"
        return all(program.ask(asked, PATIENCE).lower() == "pass" for program in (self.adviser, self.counter))

    def count(self, game: GoGame) -> Counted:
        """Counts a finished game twice: with the lab's judgement and with GNU Go's `final_score`."""
        ours = game.score("area", self.judge(game.state).stones("dead"))
        return Counted(game, result(ours), self.counter.ask("final_score", PATIENCE))


def games(count: int, seed: int, mixed: bool = False) -> Iterator[Counted]:
    """So many finished games, counted twice. Raises UserError where GNU Go is missing."""
    hall, number, tried = Hall(seed, mixed), 0, 0
    try:
        while number < count:
            tried += 1
            counted = None
            try:
                game = hall.play(9)
                counted = None if game is None else hall.count(game)
            except (ProgramRefused, ValueError):  # another rule of ko: the game counts for nothing
                pass
            except Failed:  # GNU Go may read for ever; but one that never answers is another fault
                if tried > 3 * (number + 1):
                    raise
                hall.close()
                hall = Hall(seed + 1000 * tried, mixed)
            if counted is not None:
                number += 1
                yield counted
    finally:
        hall.close()


def main() -> None:
    with cli.edge():
        command = arguments.read(CountCommand, None, __doc__, "go.counting")
        alike, number, left, live = 0, 0, TimeEstimate(command.games), Live()
        try:
            for number, counted in enumerate(games(command.games, command.seed, command.mixed), 1):
                alike += counted.ours == counted.theirs
                live(f"{alike} of {number} counted alike, {left(number)} left")
                if counted.ours != counted.theirs:
                    live.close()
                    print(f"game {number}: {counted.ours}, GNU Go {counted.theirs}", flush=True)
                    if command.out is not None:
                        command.out.mkdir(parents=True, exist_ok=True)
                        root = record.write(record.of_game(counted.game, result=counted.ours))
                        (command.out / f"{command.seed}-{number:04}.sgf").write_bytes(sgf.dump(root))
        except Failed as fault:
            raise cli.UserError(str(fault)) from fault
        live.close()
        print(f"{alike} of {number} games counted alike ({alike / number:.1%})")


if __name__ == "__main__":
    main()
