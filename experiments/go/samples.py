"""Games of a training as records (SGF)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from envs.go.facts import GoOptions
from envs.go.game import GoGame
from experiments.go.match import GameOutcome, write_sgf


def keep(path: Path, env: Mapping[str, Any], actions: Sequence[int], sides: Sequence[str]) -> None:
    """Writes a game of these actions. env: the game's options. sides: the names of Black and White."""
    options = GoOptions(**env)
    game = GoGame(
        options.size, options.komi, suicide=options.suicide, superko=options.superko, max_moves=options.move_limit
    )
    for action in actions:
        game.play(int(action))
    lead = game.score()
    result = "0" if lead == 0 else f"{'B' if lead > 0 else 'W'}+{abs(lead):g}"
    write_sgf(path, GameOutcome(result=result, moves=game.moves), *sides, options.size, options.komi)
