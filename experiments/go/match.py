"""One game between two GTP programs under a referee of our own, who replays every move and counts the end."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field

from envs.go import record, sgf
from envs.go.game import GoGame, from_vertex, to_vertex
from experiments.go.programs import Failed, Program, ProgramRefused


@dataclass
class GameOutcome:
    """What became of one game. A void one has no result and counts for nobody."""

    result: str = ""  # result as in SGF: "B+3.5", "W+R" resigned, "W+F" after an illegal move, "0" a draw, "Void"
    void: str = ""  # reason why the game is void
    moves: list[tuple[int, int]] = field(default_factory=list)  # moves as (colour, action), the opening's first
    seconds: list[float] = field(default_factory=lambda: [0.0, 0.0])  # time spent on moves, by colour, in s
    cpu: list[float | None] = field(default_factory=lambda: [None, None])  # processor time by colour, in s
    thought: list[int] = field(default_factory=lambda: [0, 0])  # number of moves that each side chose itself
    note: str = ""

    @property
    def points(self) -> float:
        """Black's: 1, 0.5 or 0."""
        return {"B": 1.0, "W": 0.0}.get(self.result[:1], 0.5)

    def row(self) -> dict:
        """For the table of games, without the moves."""
        row = asdict(self)
        row["moves"] = len(self.moves)
        return row


def play(
    black: Program, white: Program, *, size: int, komi: float, opening: tuple[int, ...], seed: int,
    move_seconds: float, superko: str = "positional",
) -> GameOutcome:  # fmt: skip
    """Plays the game out. A program that crashes, is silent for `move_seconds` or refuses a legal move voids it.

    Rules: area of the position as it stands after two passes (Tromp-Taylor), superko, no suicide.
    """
    game, played, sides = GoGame(size, komi, superko=superko), GameOutcome(), (black, white)
    try:
        for program in sides:
            for command in (f"boardsize {size}", "clear_board", f"komi {komi:g}"):
                program.ask(command)
            if "set_random_seed" in program.commands:
                program.ask(f"set_random_seed {seed}")
        before = [program.cpu() for program in sides]
        for action in opening:
            colour = game.turn
            game.play(action)
            for program in sides:
                program.ask(f"play {'BW'[colour]} {to_vertex(action, size)}")
        while not game.over:
            colour = game.turn
            started = time.monotonic()
            text = sides[colour].ask(f"genmove {'BW'[colour]}", move_seconds).strip().lower()
            played.seconds[colour] += time.monotonic() - started
            played.thought[colour] += 1
            winner = "BW"[1 - colour]
            if text == "resign":
                played.result = f"{winner}+R"
                break
            try:
                game.play(from_vertex(text, size))
            except ValueError as fault:
                played.result, played.note = f"{winner}+F", f"{sides[colour].player}: {fault}"
                break
            sides[1 - colour].ask(f"play {'BW'[colour]} {text}")
        after = [program.cpu() for program in sides]
        played.cpu = [None if None in pair else pair[1] - pair[0] for pair in zip(before, after, strict=True)]
        passed = [a == size * size for a in game.moves[-2:]] == [True, True]
        if not played.result and not passed and len(game.moves) >= game.rules.max_moves:
            played.void = f"no end after {len(game.moves)} moves"
        elif not played.result:
            lead = game.score()
            played.result = "0" if lead == 0 else f"{'B' if lead > 0 else 'W'}+{abs(lead):g}"
    except (Failed, ProgramRefused) as fault:
        played.void = str(fault)
    if played.void:
        played.result = "Void"
    played.moves = game.moves
    return played


def write_sgf(path, played: GameOutcome, black: str, white: str, size: int, komi: float) -> None:
    """The game as a file."""
    steps = [record.Step()] + [record.Step(move=move) for move in played.moves]
    steps[-1].comment = played.void or played.note
    root = record.write(
        record.GameRecord(size, komi, black=black, white=white, result=played.result, rules="Chinese", steps=steps)
    )
    path.write_bytes(sgf.dump(root))
