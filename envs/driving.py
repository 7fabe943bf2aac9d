"""Driving as an ability that a game declares (`Description.driving`): programs that drive, record and score ask it.

A game, and later a car or a game on a screen, implements `Driving` once; then people drive it with their hands, its
drives are recorded and learned from, corrections are taken over, and where it has tracks, drivers are scored on them.
`games` is everywhere the single environment that `envs.make` gives, without wrappers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

SLACK = 0.01  # distance outside the bounds, in shares of the highest, up to which a recorded control is a rounded one


class Wheel(NamedTuple):
    """What hands hold in one control step, whatever a game makes of it."""

    steer: float  # steering, -1 (left) to 1
    pedal: float  # throttle 0 to 1, brake 0 to -1
    target: float = 0.0  # wanted speed, m/s
    hand: bool = False  # True while the hand brake is pulled


class Frame(NamedTuple):
    """The part of a recorded picture that an observation shows, and its size."""

    height: int
    width: int
    top: float = 0.0  # fractions of the picture that are cut off
    bottom: float = 0.0


class Course(ABC):
    """Tracks that score a driver: each is driven once, alone, for the same time.

    Its batch tells in `info`, [N]: `track`, `lap` (completed), `lap_time` (s, of the last), `progress` (laps with
    fraction), `off_road`, `rescues` and `contacts` (so far), and `expert`, what the scripted driver would do.
    """

    fixed: frozenset[str]  # options that scoring decides itself
    example: str  # options that are scored in races instead, for the sentence that refuses them

    @abstractmethod
    def count(self, tracks: str) -> int:
        """How many tracks a text names. Raises ValueError."""

    @abstractmethod
    def options(self, values: Mapping[str, Any], tracks: str, seconds: float) -> dict[str, Any]:
        """Options of a batch whose game i drives track i; `values`: the other ones."""

    @abstractmethod
    def steering(self, actions: np.ndarray) -> np.ndarray:
        """The steering, [N], in the actions of a batch."""

    @abstractmethod
    def straight(self, count: int) -> np.ndarray:
        """Actions of the constant predictor, who goes straight on. Raises ValueError where no one action does that."""


class Driving(ABC):
    """How one game with its options is driven. Columns and labels are those of a recording (`envs.recordings`)."""

    rate: float  # control steps per second, each of which makes one record
    top_speed: float  # highest target speed, m/s
    columns: Mapping[str, str]  # game/... columns of a record -> their types
    bounds: Mapping[str, tuple[float, float]]  # columns of an action, in its order -> values of its -1 and 1
    labels: Mapping[str, tuple[int, ...]]  # labels of a record in addition to the controls: game/NAME -> shape
    refusal: str | None = None  # sentence: why drives with these options cannot be recorded; None: they can
    several_cameras: bool = False  # True if recordings of other cameras than the options' may be learned from, too
    course: Course | None = None  # tracks that score drivers, where the game has them
    start: Mapping[str, Any]  # options that a recording starts with, where they are not the game's own defaults
    unused: frozenset[str]  # options that change nothing in a recording, or that it refuses
    option_helps: Mapping[str, str]  # help of options that differs in a recording

    @abstractmethod
    def hands(self, wheel: Wheel) -> np.ndarray:
        """The action of a person's hands: float32 [D], each in [-1, 1]."""

    @abstractmethod
    def held(self, games: Any) -> Wheel:
        """How the wheel stands and how fast the car is: where a person's hands take over."""

    @abstractmethod
    def speed(self, games: Any) -> float:
        """m/s."""

    @abstractmethod
    def expert(self, games: Any) -> np.ndarray:
        """What the scripted driver does in this state, float32 [D]."""

    @abstractmethod
    def controls(self, games: Any, action: np.ndarray, who: str = "user") -> dict[str, Any]:
        """An action as the columns user/... (or pilot/...) of a record."""

    @abstractmethod
    def figures(self, games: Any, race: int) -> dict[str, Any]:
        """The columns game/... of the present state; race: its number in the recording."""

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """What a dataset says of the drives in it."""

    @abstractmethod
    def frame(self) -> Frame:
        """The pictures of the recording, as an agent of this game sees them."""

    @abstractmethod
    def view(self, games: Any) -> np.ndarray:
        """A picture for who drives, uint8 [H, W, 3], through the camera that records."""

    def actions(self, records: Mapping[str, np.ndarray]) -> np.ndarray:
        """The actions, float32 [T, D], of recorded columns: the way back of `controls`; nan where there is none.

        Raises KeyError for a column that they lack.
        """
        found = []
        for name, (low, high) in self.bounds.items():
            values = records[name]
            if (low, high) != (-1.0, 1.0):
                values = np.clip(2.0 * (values - low) / (high - low) - 1.0, -1.0, 1.0)  # rounding alone lies outside
            found.append(values)
        return np.stack(found, 1).astype(np.float32)

    def fitting(self, columns: Collection[str]) -> Mapping[str, Any]:
        """Options of the game that must differ for a recording with these columns; {}: it fits as it is."""
        return {}

    def fault(self, record: Mapping[str, Any]) -> str | None:
        """What keeps the controls of one record from being an action; None: nothing."""
        for name, (low, high) in self.bounds.items():
            value = record.get(name)
            if value is None or np.isnan(value):
                return f"there is no {name}"
            if not low - SLACK <= value <= high + SLACK * max(1.0, high):
                unit = " m/s" if name.endswith("_speed") else ""
                return f"{name} is {value:g}{unit}, outside {low:g} to {high:g}"
        return None


def pack(mask: np.ndarray) -> str:
    """A mask of zeros and ones as hexadecimal digits: how a column holds it."""
    return np.packbits(mask.astype(bool).ravel()).tobytes().hex()


def unpack(text: str, shape: tuple[int, ...]) -> np.ndarray:
    """The mask of `pack`, uint8 of that shape. Raises ValueError where the text is something else."""
    bits, count = np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8)), int(np.prod(shape))
    if len(bits) != 8 * -(-count // 8):
        raise ValueError(f"a drivable area has {count} bits, not {len(bits)}")
    return bits[:count].reshape(shape)
