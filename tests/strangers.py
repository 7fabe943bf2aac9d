"""Environments as strangers write them, each odd in one way: ``gym:strangers:NAME-v0``.

Twelve steps to an episode, action 1 pays 1, so that a score lies in 0..12. `SOUND` train. `REFUSED` are told in one
sentence before a run is made, `FAILING` in the midst of one.
"""

from __future__ import annotations

import fractions
import time

import gymnasium
import numpy as np
from gymnasium import spaces

LENGTH = 12
NUMBERS = spaces.Box(-1, 1, (3,), np.float32)


class Stranger(gymnasium.Env):
    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}
    observation_space: spaces.Space = NUMBERS
    action_space: spaces.Space = spaces.Discrete(2)
    length = LENGTH

    def __init__(self, render_mode=None):
        self.render_mode, self.t = render_mode, 0

    def look(self):
        return np.full(3, self.t / LENGTH, np.float32)

    def info(self):
        return {}

    def pay(self, action):
        return float(action == 1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.look(), self.info()

    def step(self, action):
        self.t += 1
        return self.look(), self.pay(action), self.t >= self.length, False, self.info()

    def render(self):
        return np.full((20, 30, 3), 20 * (self.t % 12), np.uint8)


SOUND: dict[str, type] = {}
REFUSED: dict[str, str] = {}  # name -> words of the sentence
FAILING: dict[str, str] = {}


def sound(kind):
    SOUND[kind.__name__] = kind
    return kind


def refused(*words):
    return lambda kind: REFUSED.setdefault(kind.__name__, words) and kind


def failing(*words):
    return lambda kind: FAILING.setdefault(kind.__name__, words) and kind


# -- words of info that mean something in the lab ------------------------------------------------------------------


@sound
class EpisodeNumber(Stranger):
    def info(self):
        return {"episode": 3, "step": self.t}


@sound
class ScoreInInfo(Stranger):
    def info(self):
        return {"score": 1000 - self.t, "_score": False}


@sound
class DiscountInInfo(Stranger):
    def info(self):
        return {"discount": 25.0}


@sound
class AnythingInInfo(Stranger):
    """Of another type in every step."""

    def info(self):
        odd = [None, "text", 1.5, np.zeros(self.t), {"deep": {1, 2}}, object]
        return {"legal": odd[self.t % 6], "state": odd[(self.t + 1) % 6], "expert": odd[(self.t + 2) % 6], 7: "seven"}


@sound
class OddMetadata(Stranger):
    metadata = {"render_modes": ["rgb_array"], "render_fps": "fast", "frame_stack": 9, "lab_info": True,
                "releases_gil": True, "max_steps": 1, "name": 5, "turn_based": True}  # fmt: skip

    def info(self):
        return {"score": -1.0}


@sound
class OddAttributes(Stranger):
    """Its attributes have the names of what games of the lab say to people who play them."""

    keys = axes = action_names = board_box = seen_box = 3

    def get_action_meanings(self):
        raise NotImplementedError


# -- rewards, flags ------------------------------------------------------------------------------------------------


@sound
class RewardOfOneAxis(Stranger):
    def pay(self, action):
        return np.array([float(action == 1)], np.float32)


@sound
class RewardFraction(Stranger):
    def pay(self, action):
        return [fractions.Fraction(2, 2), np.int8(1), np.float64(1), 1][self.t % 4] if action == 1 else np.bool_(0) + 0


@refused("must give one number as reward", "gave None")
class RewardNone(Stranger):
    def pay(self, action):
        return None


@refused("must give one number as reward", "the text '1'")
class RewardText(Stranger):
    def pay(self, action):
        return "1"


@refused("must give one number as reward", "gave True")
class RewardTrue(Stranger):
    def pay(self, action):
        return True


@refused("must give one number as reward", "shape (2,)")
class RewardOfTwo(Stranger):
    def pay(self, action):
        return np.ones(2)


@refused("True or False as terminated", "gave 0")
class DoneIsNumber(Stranger):
    def step(self, action):
        obs, reward, over, cut, info = super().step(action)
        return obs, reward, int(over), cut, info


@refused("must give a dict as info", "gave None")
class NoInfo(Stranger):
    def step(self, action):
        return (*super().step(action)[:4], None)


@refused("must give five values", "gave 4 values", "as before Gymnasium")
class FourValues(Stranger):
    def step(self, action):
        obs, reward, over, _, info = super().step(action)
        return obs, reward, over, info


# -- reset, constructor, spaces ------------------------------------------------------------------------------------


@sound
class ResetWithoutOptions(Stranger):
    def reset(self, seed=None):
        return super().reset(seed=seed)


@sound
class NoRenderMode(Stranger):
    def __init__(self):
        super().__init__()


@refused("reset() must be reset(self, *, seed=None, options=None)", "it is reset(self)")
class OldReset(Stranger):
    def reset(self):
        return super().reset()[0]


@refused("reset() must give (observation, info)", "an array of float32")
class ResetGivesObservation(Stranger):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0]


@refused("reset() raised KeyError: 'level'", "strangers.py:")
class ResetRaises(Stranger):
    def reset(self, *, seed=None, options=None):
        raise KeyError("level")


@refused("cannot be made: RuntimeError: no licence", "strangers.py:")
class ConstructorRaises(Stranger):
    def __init__(self, render_mode=None):
        raise RuntimeError("no licence")


@refused("cannot be made: TypeError: 3 is no map", "strangers.py:")
class ConstructorHasTypes(Stranger):
    def __init__(self, render_mode=None):
        raise TypeError("3 is no map")


@refused("cannot be made: SystemExit")
class ConstructorExits(Stranger):
    def __init__(self, render_mode=None):
        raise SystemExit(0)


@refused("action_space must be a space", "is None")
class NoActionSpace(Stranger):
    action_space = None


@refused("observes Dict", "--wrapper gymnasium.wrappers:FlattenObservation")
class DictObservation(Stranger):
    observation_space = spaces.Dict({"a": NUMBERS})


@refused("acts in MultiDiscrete", "supported are Discrete and bounded Box")
class ManyActions(Stranger):
    action_space = spaces.MultiDiscrete([2, 3])


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
    if isinstance(_kind, type) and issubclass(_kind, Stranger) and f"{_name}-v0" not in gymnasium.registry:
        gymnasium.register(f"{_name}-v0", entry_point=f"{__name__}:{_name}")
