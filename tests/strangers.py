"""Environments as strangers write them, each odd in one way: ``gym:strangers:NAME-v0``. Those that are odd in what they
observe and show, that fail late, never end or tell which actions are legal; `strangers_api.py` has the others.
"""

from __future__ import annotations

import time

import gymnasium
import numpy as np
from gymnasium import spaces
from strangers_api import *  # noqa: F403  every class is registered below
from strangers_api import FAILING, LENGTH, REFUSED, SOUND, Stranger, failing, refused, sound  # noqa: F401

import envs

# -- observations --------------------------------------------------------------------------------------------------


class Picture(Stranger):
    def look(self):
        return np.full(self.observation_space.shape, self.t, self.observation_space.dtype)


@sound
class ChannelsFirst(Picture):
    observation_space = spaces.Box(0, 255, (3, 84, 96), np.uint8)


@sound
class PlanesOfBytes(Picture):
    """Bytes that are 0 or 1."""

    observation_space = spaces.Box(0, 1, (6, 6, 2), np.uint8)

    def look(self):
        return super().look() % 2


@sound
class PlanesOfFlags(Picture):
    observation_space = spaces.Box(0, 1, (6, 6, 2), np.bool_)


@sound
class FloatPicture(Picture):
    observation_space = spaces.Box(0, 1, (12, 12, 3), np.float32)

    def look(self):
        return super().look() / LENGTH


@sound
class Table(Picture):
    """Five vehicles, five numbers of each, as in highway-env."""

    observation_space = spaces.Box(-np.inf, np.inf, (5, 5), np.float32)


@sound
class Doubles(Stranger):
    def look(self):
        return [float(x) for x in super().look()]


@sound
class NumbersFromFive(Stranger):
    observation_space = spaces.Discrete(20, start=5)
    action_space = spaces.Discrete(2, start=7)

    def look(self):
        return np.int64(5 + self.t)

    def pay(self, action):
        if action not in (7, 8):
            raise ValueError(f"no action {action}")
        return float(action == 8)


@sound
class Lamps(Stranger):
    observation_space = spaces.MultiBinary(4)

    def look(self):
        return np.arange(4) < self.t % 5


@refused("an observation of int8, shape (4,)", "shape (3,)")
class LampsMissing(Lamps):
    def look(self):
        return np.zeros(3, np.int8)


@refused("an observation of float32, shape (3,)", "shape (4,)")
class WrongShape(Stranger):
    def look(self):
        return np.zeros(4, np.float32)


@refused("an observation of float32, shape (3,)", "the text 'a wall'")
class TextForNumbers(Stranger):
    def look(self):
        return "a wall"


@refused("an observation of uint8, shape (8, 8)", "an array of float64")
class FloatsForBytes(Picture):
    observation_space = spaces.Box(0, 255, (8, 8), np.uint8)

    def look(self):
        return np.zeros((8, 8))


@refused("must give an observation of uint8", "numbers from 300 to 300")
class LargeNumbersForBytes(Picture):
    observation_space = spaces.Box(0, 255, (8, 8), np.uint8)

    def look(self):
        return np.full((8, 8), 300)


@refused("a whole number from 0 to 3", "gave 4")
class OutOfRange(Stranger):
    observation_space = spaces.Discrete(4)

    def look(self):
        return 4


@refused("gave an observation that is not finite: nan at [1]")
class NotANumberAtOnce(Stranger):
    def look(self):
        return np.array([0, np.nan, 0], np.float32)


@refused("which is neither a picture nor a vector", "--wrapper")
class FourAxes(Picture):
    observation_space = spaces.Box(0, 255, (4, 8, 8, 3), np.uint8)


# -- faults in the midst of an episode: at step 5 of the third one, while `spoilt` ---------------------------------


class Later(Stranger):
    spoilt = True

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.episodes = 0

    def reset(self, **kwargs):
        self.episodes += 1
        return super().reset(**kwargs)

    @property
    def now(self):
        return self.spoilt and self.episodes >= 3 and self.t == 5


@failing("the reward of environment", "is not finite (nan)")
class RewardNotANumber(Later):
    def pay(self, action):
        return float("nan") if self.now else super().pay(action)


@failing("the reward of environment", "is not finite (inf)")
class RewardTooLarge(Later):
    """For the float32 of a row."""

    def pay(self, action):
        return 1e300 if self.now else super().pay(action)


@failing("the observation of environment", "is not finite (-inf at [2])")
class ObservationInfinite(Later):
    def look(self):
        return np.array([0, 0, -np.inf if self.now else 0], np.float32)


@failing("environment 0: the observation is a picture with a number that is not finite: nan at [0, 0, 0]")
class PictureNotANumber(Later):
    observation_space = FloatPicture.observation_space

    def look(self):
        return np.full((12, 12, 3), np.nan if self.now else 0.5, np.float32)


@failing("step() must give one number as reward", "gave None")
class RewardNoneLater(Later):
    def pay(self, action):
        return None if self.now else super().pay(action)


@failing("step() must give an observation of float32, shape (3,)", "shape (2,)")
class ShapeLater(Later):
    def look(self):
        return super().look()[: 2 if self.now else 3]


@failing("step() raised ZeroDivisionError: division by zero", "strangers.py:", "fault.txt")
class RaisesLater(Later):
    def pay(self, action):
        return 1 / (0 if self.now else 1)


@failing("step() raised SystemExit: 0", "fault.txt")
class ExitsLater(Later):
    def pay(self, action):
        if self.now:
            raise SystemExit(0)
        return super().pay(action)


@failing("reset() must give (observation, info)", "gave None")
class ResetLater(Later):
    def reset(self, **kwargs):
        return None if self.spoilt and self.episodes >= 3 else super().reset(**kwargs)


# -- others --------------------------------------------------------------------------------------------------------


class Masked(Stranger):
    """Tells which actions are legal, and raises where another is played."""

    action_space = spaces.Discrete(5)
    hopeless = False

    def info(self):
        mask = np.array([self.t % 2 == 0, 0, self.t % 3 == 0, 1, 0], np.int8)
        return {"action_mask": mask * (0 if self.hopeless and self.t == 7 else 1)}

    def step(self, action):
        if not self.info()["action_mask"][action]:
            raise ValueError(f"action {action} is not legal")
        return super().step(action)


class Hopeless(Masked):
    hopeless = True


class NumbersForAMask(Masked):
    def info(self):
        return {"action_mask": np.array([0.5, 1, 1, 1, 1])}


class Huge(Stranger):
    def pay(self, action):
        return 1e30


class Endless(Stranger):
    length = 10**9


class Slow(Stranger):
    def step(self, action):
        time.sleep(0.3 if self.t == 3 else 0)
        return super().step(action)


class Shown(Stranger):
    """What `shown` makes of the number of the step is its picture."""

    shown = staticmethod(lambda t: None)

    def render(self):
        return self.shown(self.t)


def _raising(t):
    raise OSError("no GPU")


PICTURES = {  # name -> (what render gives at step t, is it a picture?)
    "Grey": (lambda t: np.full((20, 30), t, np.uint8), True),
    "GreyOfOneChannel": (lambda t: np.full((20, 30, 1), t, np.uint8), True),
    "Floats": (lambda t: np.full((20, 30, 3), t / 20), True),
    "Transparent": (lambda t: np.full((20, 30, 4), t, np.uint8), True),
    "ChannelsFirstShown": (lambda t: np.full((3, 20, 30), t, np.uint8), True),
    "Growing": (lambda t: np.full((20 + t, 30 + t, 3), t, np.uint8), True),
    "Flags": (lambda t: np.full((20, 30), t % 2 == 0), True),
    "NoneShown": (lambda t: None, False),
    "TextShown": (lambda t: "a board\n", False),
    "Points": (lambda t: np.zeros(5, np.uint8), False),
    "Empty": (lambda t: np.zeros((0, 0, 3), np.uint8), False),
    "RaisesShown": (_raising, False),
}
for _name, (_shown, _) in PICTURES.items():
    globals()[_name] = type(_name, (Shown,), {"shown": staticmethod(_shown), "__module__": __name__})


class OnlyText(Stranger):
    metadata = {"render_modes": ["ansi"]}


class CloseRaises(Stranger):
    def close(self):
        raise RuntimeError("closed twice")


class WithArguments(Stranger):
    """Its length and pay are arguments."""

    def __init__(self, render_mode=None, length=LENGTH, pay=1.0, name="", table=None):
        super().__init__(render_mode)
        if not isinstance(length, int) or not isinstance(name, str) or (name and table != {"a": [1, 2]}):
            raise TypeError(f"{length!r}, {name!r}, {table!r}")
        self.length, self.worth = length, pay

    def pay(self, action):
        return self.worth


class Wide(Stranger):
    """Numbers of very different size, and rewards in thousands."""

    def look(self):
        return np.array([self.t, 1000 + 50 * self.t, 1e-4 * self.t], np.float32)

    def pay(self, action):
        return 1000.0 * (action == 1)

    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)


class Halved(gymnasium.RewardWrapper):
    def reward(self, reward):
        return reward / 2


class Breaking(gymnasium.Wrapper):
    def step(self, action):
        return self.env.step(action)[:4]


for _name, _kind in list(globals().items()):
    envs.trust([f"gym:{__name__}:{_name}-v0"])  # as if it had been written on a command line
    if isinstance(_kind, type) and issubclass(_kind, Stranger) and f"{_name}-v0" not in gymnasium.registry:
        gymnasium.register(f"{_name}-v0", entry_point=f"{__name__}:{_name}")
