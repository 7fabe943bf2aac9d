"""What Go is as an environment, told without its kernels: the limits of its rules, its options, its description."""

import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium.spaces import Box, Discrete

from envs.description import Board, Description

if TYPE_CHECKING:
    from envs.rules import Rules

MAX_SIZE = 19  # lines of the largest board
SUPERKOS = ("simple", "positional", "situational")  # kinds of positions that may not come again
PLANES = 17  # planes of an observation, see `envs.go.features`
MAX_PLANE = 50.0  # the largest value in an observation: komi / 20


def check(size: int, komi: float, superko: str, max_moves: int) -> None:
    """Raises ValueError for what no game can be played with."""
    if not 2 <= size <= MAX_SIZE:
        raise ValueError(f"size is {size}, but a board has 2 to {MAX_SIZE} lines")
    if not math.isfinite(komi) or abs(komi) > 1000:
        raise ValueError(f"komi is {komi}, but it must be a number from -1000 to 1000")
    if superko not in SUPERKOS:
        raise ValueError(f"superko is {superko!r}, but it must be one of {', '.join(SUPERKOS)}")
    if not 1 <= max_moves <= 100_000:
        raise ValueError(f"max_moves is {max_moves}, but it must be from 1 to 100000")


def usual_limit(size: int) -> int:
    """Actions, passes included, after which a game is scored as it stands, where nobody says more."""
    return max(40, 3 * size * size)


def _training(default: Any) -> Any:
    """A field that scores leave out."""
    return field(default=default, metadata={"training": True})


@dataclass(frozen=True)
class GoOptions:
    """The rules of the games. A bad value is refused by name with a ValueError."""

    size: int = 9  # lines of the board, 2 to 19
    komi: float = 7.5  # points added to White's
    suicide: bool = False  # suicide is legal: a move may take off its own group
    superko: str = "positional"  # positional, situational or simple
    max_moves: int = 0  # actions after which the game is scored as it stands; 0: 3 * size * size, at least 40
    restarts: float = _training(0.0)  # share of the games that begin from a position of an earlier one
    komi_spread: float = _training(0.0)  # half of the games: deviation of the komi around Black's mean lead, in points
    settle: bool = _training(False)  # end as soon as Benson's theorem gives every point to a living group

    def __post_init__(self):
        for option in fields(self):
            value, wanted = getattr(self, option.name), (int, float) if option.type is float else option.type
            if not isinstance(value, wanted) or (isinstance(value, bool) and option.type is not bool):
                raise ValueError(f"{option.name} must be {option.type.__name__}, not {value!r}")
        if not 0 <= self.restarts <= 1:
            raise ValueError(f"restarts is {self.restarts}, but it must be a share from 0 to 1")
        if not 0 <= self.komi_spread <= 1000:
            raise ValueError(f"komi_spread is {self.komi_spread}, but it must be a number from 0 to 1000")
        check(self.size, self.komi, self.superko, self.move_limit)

    @property
    def move_limit(self) -> int:
        """Actions after which a game is scored as it stands."""
        return self.max_moves or usual_limit(self.size)

    @property
    def rules(self) -> "Rules":
        """The compiled rules."""
        from envs.go.rules import go_rules

        return go_rules(
            self.size, self.komi, suicide=self.suicide, superko=self.superko, max_moves=self.move_limit,
            settle=self.settle,
        )  # fmt: skip

    @property
    def protocol(self) -> str:
        """Label of scores: everything that changes them."""
        suicide = "suicide" if self.suicide else "no-suicide"
        return f"go{self.size} komi={self.komi:g} area {self.superko} {suicide} max_moves={self.move_limit}"


Options = GoOptions  # name under which every game's module offers its own


def describe(options: GoOptions) -> Description:
    """The game with these options."""
    size = options.size
    return Description(
        observation=Box(-MAX_PLANE, MAX_PLANE, (PLANES, size, size), np.float32),
        actions=Discrete(size * size + 1),
        frame_stack=1,
        frame_skip=1,
        protocol=options.protocol,
        chance=options.komi_spread > 0 or options.restarts > 0,
        saves=True,
        two_players=True,
        board=Board(size, size),
        scripted="rave",
        controls="row * size + column, row 0 at the top; size * size passes",
        reward="+1, 0 or -1 at the end, for the side that has just moved",
        score="Black's area less White's and the komi, at the end",
    )
