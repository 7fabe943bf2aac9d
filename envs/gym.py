"""Any other Gymnasium id, as ``gym:ID``: images, vectors, Discrete and Box actions.

Images become uint8 (booleans 0 and 255), large colour pictures 84x84 grey with a stack of four; vectors become
float32, discrete observations one-hot.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from agents.perception import preprocess


@dataclasses.dataclass(frozen=True)
class Options:
    """How a Gymnasium environment is presented to an agent."""

    size: int = 84  # pictures larger than this are resized to size x size
    grey: bool = True  # large pictures become grey
    frame_stack: int = 0  # frames that an observation holds, 0: four for large pictures, else one

    def __post_init__(self) -> None:
        if self.size < 8:
            raise ValueError(f"--size {self.size}: must be at least 8 pixels")
        if self.frame_stack < 0:
            raise ValueError(f"--frame-stack {self.frame_stack}: must be at least 0")


class Presented(gymnasium.ObservationWrapper):
    """One environment with observations that the lab can store: uint8 pictures or float32 vectors."""

    def __init__(self, env: gymnasium.Env, name: str, options: Options):
        super().__init__(env)
        space = env.observation_space
        self.frame_stack = options.frame_stack or 1
        if isinstance(space, spaces.Discrete):
            self._convert = functools.partial(_one_hot, start=int(space.start), n=int(space.n))
            self.observation_space = spaces.Box(0, 1, (int(space.n),), np.float32)
        elif isinstance(space, spaces.Box) and len(space.shape) == 1:
            self._convert = _vector
            self.observation_space = spaces.Box(-np.inf, np.inf, space.shape, np.float32)
        elif isinstance(space, spaces.Box) and len(space.shape) in (2, 3) and space.dtype in (np.uint8, np.bool_):
            large = min(space.shape[:2]) >= options.size
            if large and options.frame_stack == 0:
                self.frame_stack = 4
            self._convert = functools.partial(_picture, large=large, options=options)
            shape = self._convert(np.zeros(space.shape, space.dtype)).shape
            self.observation_space = spaces.Box(0, 255, shape, np.uint8)
        else:
            raise ValueError(
                f"{name} observes {space}; supported are Box pictures of uint8 or bool, Box vectors and Discrete"
            )
        action = env.action_space
        boxed = isinstance(action, spaces.Box) and len(action.shape) == 1
        if not isinstance(action, spaces.Discrete) and not (boxed and np.isfinite([action.low, action.high]).all()):
            raise ValueError(f"{name} acts in {action}; supported are Discrete and bounded Box with one axis")
        self._start = int(action.start) if isinstance(action, spaces.Discrete) else 0
        if self._start:
            self.action_space = spaces.Discrete(int(action.n))

    def observation(self, observation: Any) -> np.ndarray:
        return self._convert(observation)

    def step(self, action: Any) -> Any:
        return super().step(action + self._start if self._start else action)


def _one_hot(value: Any, start: int, n: int) -> np.ndarray:
    row = np.zeros(n, np.float32)
    row[int(value) - start] = 1
    return row


def _vector(value: Any) -> np.ndarray:
    return np.asarray(value, np.float32)


def _picture(value: Any, large: bool, options: Options) -> np.ndarray:
    picture = np.asarray(value)
    if picture.dtype == np.bool_:
        picture = picture.astype(np.uint8) * 255
    if large and options.grey and picture.ndim == 3 and picture.shape[2] == 3:
        picture = preprocess.grey(picture)
    return preprocess.resize(picture, options.size, options.size) if large else picture


def _one(id: str, options: Options, render_mode: str | None = None) -> Presented:
    try:
        try:
            env = gymnasium.make(id, render_mode=render_mode)
        except gymnasium.error.NamespaceNotFound:  # of a package that waits to be asked, such as MinAtar
            _ask_packages()
            env = gymnasium.make(id, render_mode=render_mode)
    except (gymnasium.error.Error, ImportError) as fault:
        raise ValueError(f"gym:{id}: {fault}") from fault
    return Presented(env, f"gym:{id}", options)


@functools.cache
def _ask_packages() -> None:
    """Lets every installed package register its environments: entry points that Gymnasium itself no longer loads."""
    for point in importlib.metadata.entry_points(group="gymnasium.envs"):
        point.load()()


def make_vec(num_envs: int, id: str, **options: Any) -> SyncVectorEnv:
    """The environments in this process, one after the other."""
    chosen = Options(**options)
    first = _one(id, chosen)  # says what is wrong, if anything, before N are made
    stack = first.frame_stack
    first.close()
    envs = SyncVectorEnv([functools.partial(_one, id, chosen)] * num_envs, autoreset_mode=AutoresetMode.NEXT_STEP)
    envs.metadata = {**envs.metadata, "frame_stack": stack, "frame_skip": 1, "protocol": id}
    return envs


def make(render_mode: str | None, id: str, **options: Any) -> Presented:
    return _one(id, Options(**options), render_mode)
