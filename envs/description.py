"""What a game is, told without opening it: programs ask for a trait instead of a name.

A game's module says it with one function, ``describe(options, ...) -> Description``; `envs.describe` is how everybody
else asks. A game without that function is one of which nothing is known beforehand.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from gymnasium import Space

    from envs.driving import Driving


REAL_TIME = ("real_time", "step_seconds")  # facts that a description and a batch's metadata must tell alike


class MissingPackage(ValueError):
    """A game needs a package that is not installed here; the message says how to get it."""


class ScoringProtocol(NamedTuple):
    """A named way to score a game, where it has more than its options to choose between."""

    trains: bool = True  # True where agents may be trained under this protocol; else it is for scores alone
    scores: tuple[str, ...] = ()  # other protocols that may score what was trained under this one
    epsilon: float = 0.0  # share of random actions in scores of agents that do not sample theirs


class Published(NamedTuple):
    """Scores of a game from the literature."""

    random: float
    human: float
    dqn: float
    dqn_sd: float

    def normalised(self, score: Any) -> Any:
        """A score, or an array of them, between random play (0) and the human tester (1)."""
        return (score - self.random) / (self.human - self.random)


class GameSuite(NamedTuple):
    """Games of one family that are trained one after the other and scored beside the literature."""

    title: str  # name of the family, for people
    sets: Mapping[str, tuple[str, ...]]  # named sets of games; the first one is the usual choice
    protocol: str  # protocol of the scores
    trained: str  # protocol of the trainings
    agent: str  # agent whose scores the literature has
    source: str  # publication of the scores


class Board(NamedTuple):
    """The points of a board game, and the action that plays at each of them."""

    rows: int
    columns: int
    actions: tuple[int, ...] | None = None  # action at each point, row by row; None: row * columns + column

    @classmethod
    def of_columns(cls, rows: int, columns: int) -> Board:
        """A board that stones fall into, as in Connect Four: action `column` plays at every point of that column."""
        return cls(rows, columns, tuple(range(columns)) * rows)

    def action_at(self, row: int, column: int) -> int | None:
        """The action that plays at a point, None beside the board."""
        if not (0 <= row < self.rows and 0 <= column < self.columns):
            return None
        return self.table[row][column]

    @property
    def table(self) -> list[list[int]]:
        """The action at each point, [rows][columns]."""
        flat = self.actions or range(self.rows * self.columns)
        return [list(flat[r * self.columns : (r + 1) * self.columns]) for r in range(self.rows)]


def _none() -> Any:
    return dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Description:
    """A game with its options. A fact that cannot be known without opening the game is None."""

    # Facts. None: unknown beforehand.
    observation: Space | None = None  # space of one frame
    actions: Space | None = None  # space of one game's actions
    frame_stack: int | None = None  # newest frames that an agent should see
    frame_skip: int | None = None  # emulated frames per step
    protocol: str | None = None  # label of the scores: everything that changes them
    chance: bool | None = None  # True where another seed may make another game of the same actions
    saves: bool | None = None  # True where the game's state can be saved and loaded
    two_players: bool | None = None  # True where two sides move in turn
    # Traits. None, or empty: the game has none.
    real_time: bool = False  # True where the game goes on while nobody acts
    step_seconds: float = 0.0  # time from one row to the next in such a game, s; 0: unknown
    window: bool = False  # True where people play in the game's own window: their keys are read there, and recorded
    most: int = 0  # games that can be played side by side at most; 0: as many as memory holds
    foreign: bool = False  # True for a stranger's game: the words of its info and its methods have no meaning here
    every_frame: bool = False  # True where pictures can be had frame by frame (render mode rgb_array_list)
    driving: Driving | None = None  # hands, recordings and scored tracks of a game that is driven
    board: Board | None = None  # points that people can choose by a click
    published: Published | None = None  # scores in the literature under this protocol
    protocols: Mapping[str, ScoringProtocol] = _none()  # named protocols, by the values of the game's option `protocol`
    info: Mapping[str, str] = _none()  # arrays of `info` that teach -> the option that asks for them
    scripted: str = ""  # player where nobody was trained: expert (`info["expert"]` holds its actions) or rave
    score_command: str | None = None  # program and options that score its agents best; {run}: the run's folder
    memory: int = 0  # bytes of one game without its frames, measured
    # Sentences for the game's page (docs/games).
    controls: str = ""  # meaning of the actions
    reward: str = ""  # reward of a step
    score: str = ""  # score of a game
    # What `envs.describe` adds.
    name: str = ""  # canonical name of the game
    about: str = ""  # the game in a line
    options: Any = None  # the module's Options

    @property
    def metadata(self) -> dict[str, Any]:
        """The entries of a vector environment's metadata that are facts here."""
        return {name: getattr(self, name) for name in ("frame_stack", "frame_skip", "protocol", *REAL_TIME)}

    def tells(self, name: str) -> bool | None:
        """Whether `info` holds the array `name` with these options; None where nothing is known of the game."""
        if name in self.info:
            return bool(getattr(self.options, self.info[name]))
        return None if self.observation is None and not self.foreign else False
