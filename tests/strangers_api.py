"""Environments as strangers write them, each odd in one way: info, rewards, flags, reset, constructors, spaces.

The others are in `strangers.py`, where all are registered as ``gym:strangers:NAME-v0``.

Twelve steps to an episode, action 1 pays 1, so that a score lies in 0..12. `SOUND` train. `REFUSED` are told in one
sentence before a run is made, `FAILING` in the midst of one.
"""

from __future__ import annotations

import fractions

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


@refused("reset() raised KeyError: 'level'", "strangers_api.py:")
class ResetRaises(Stranger):
    def reset(self, *, seed=None, options=None):
        raise KeyError("level")


@refused("cannot be made: RuntimeError: no licence", "strangers_api.py:")
class ConstructorRaises(Stranger):
    def __init__(self, render_mode=None):
        raise RuntimeError("no licence")


@refused("cannot be made: TypeError: 3 is no map", "strangers_api.py:")
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
