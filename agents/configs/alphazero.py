"""What can be set of AlphaZero: read by `train --help`, so that nothing heavy is imported."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from agents import ranges

MOST_REUSE = 8.0  # largest number of times that any row may be trained, in expectation: above, values are memorised


@dataclasses.dataclass(frozen=True)
class AlphaZeroConfig:
    """AlphaZero with Gumbel search, the targets of KataGo, and two kinds of search: full ones are learned from."""

    blocks: int = 4  # residual blocks of the network
    channels: int = 32  # channels of the network
    visits: int = 64  # positions that a full search looks at, at the end of the budget
    visits_start: int = 16  # positions that a full search looks at in the beginning; they grow with the budget
    cheap_visits: float = 0.25  # visits of a cheap search, as a share of a full one's
    full_share: float = 0.25  # share of the moves that are searched fully; the others are not learned from
    eval_visits: int = 100  # positions that a search looks at in scores and when it is watched
    considered: int = 16  # moves that are tried at the root
    c_scale: float = 0.1  # weight of the search's values against the network's policy
    least_spread: float = 0.2  # difference of values (-1 to 1) below which they count for less than c_scale says
    openings: float = 0.3  # share of the games that begin with a few moves drawn from the policy and at random
    opening_moves: int = 4  # most moves drawn so
    replay: int = 500_000  # rows of the replay buffer, those of cheap searches among them
    warmup: int = 20_000  # rows before learning starts
    batch: int = 256  # rows per update
    ratio: float = 4.0  # trained rows per new row of a full search
    newest: float = 0.75  # share of all rows so far, the newest, that are drawn; with `ratio` no row above 8 times
    lr: float = 2e-3  # learning rate
    lr_end: float = 0.05  # share of the learning rate that is left at the end of the budget
    max_grad_norm: float = 2.0  # largest norm of the gradients, 0: no bound
    search_share: float = 0.25  # share of the search's value in the value target; the rest is the game's outcome
    reply_coef: float = 0.15  # weight of the opponent's reply in the loss
    score_coef: float = 0.25  # weight of the lead in the loss, where the game has points
    ownership_coef: float = 1.0  # weight of the owners of the board in the loss, where the game has them
    average: float = 0.998  # decay per update of the averaged weights that play
    holdout: int = 32  # one game in so many is never learned from: values are checked on it
    parts: int = 0  # parts of the games that are searched side by side; 0: as many as torch has threads
    precision: str = "auto"  # bf16 where the machine has it, or fp32

    def __post_init__(self) -> None:
        ranges.at_least(
            self, 1, "blocks", "channels", "visits", "visits_start", "eval_visits", "considered", "opening_moves",
            "batch", "holdout",
        )  # fmt: skip
        ranges.at_least(self, 2, "replay", "holdout")
        ranges.at_least(
            self, 0, "warmup", "max_grad_norm", "reply_coef", "score_coef", "ownership_coef", "parts", "least_spread",
        )  # fmt: skip
        ranges.above(self, 0, "cheap_visits", "full_share", "ratio", "newest", "lr", "c_scale")
        ranges.share(
            self, "lr_end", "openings", "search_share", "average", "cheap_visits", "full_share",
        )  # fmt: skip
        if not self.newest < 1:
            raise ValueError(f"--newest {self.newest}: must be below 1")
        most = self.ratio * math.log(1 / (1 - self.newest)) / self.newest  # see `agents.core.samplers.Newest`
        if most > MOST_REUSE:
            told = f"--ratio {self.ratio:g} with --newest {self.newest:g}: the first rows would be trained {most:.1f}"
            raise ValueError(f"{told} times, and {MOST_REUSE:g} is the limit; a lower one of either keeps it")
        if self.warmup > self.replay:
            raise ValueError(f"--warmup {self.warmup} is more than --replay {self.replay}: learning would never start")


Config = AlphaZeroConfig  # name under which every agent's module offers its own

PRESETS: dict[str, dict[str, Any]] = {"alphazero": {}}
