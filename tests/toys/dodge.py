"""Dodge: a game with pictures of its own, in one file, as somebody else would add it (docs/add-a-game.md).

Stones fall on a floor of 20 places; the player stands on the floor and moves left or right. A stone that lands beside
it is a point, a stone that hits it ends the game.
"""

from dataclasses import dataclass

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from gymnasium.vector import AutoresetMode, VectorEnv

from envs.batches import SingleEnv, batch_seeds, read_options
from envs.description import Description

SIZE = 20  # places on the floor, and rows that a stone falls through


@dataclass(frozen=True)
class Options:
    """What can be set."""

    stones: float = 0.3  # probability of a new stone per step
    limit: int = 500  # steps after which a game is cut

    def __post_init__(self):
        if not 0 <= self.stones <= 1:
            raise ValueError(f"stones must lie in 0..1, not {self.stones!r}")
        if not (isinstance(self.limit, int) and self.limit > 0):
            raise ValueError(f"limit must be a whole number above 0, not {self.limit!r}")


class DodgeVector(VectorEnv):
    """N games, uint8 [40, 40] pictures, two of them stacked; actions: stay, left, right."""

    def __init__(self, num_envs: int, options: Options):
        self.num_envs, self.options = num_envs, options
        self.metadata = {
            "autoreset_mode": AutoresetMode.NEXT_STEP, "render_modes": ["rgb_array"], "render_fps": 15,
            "frame_stack": 2, "frame_skip": 1, "protocol": f"dodge stones={options.stones:g} limit={options.limit}",
        }  # fmt: skip
        shape = (2 * SIZE, 2 * SIZE)
        self.single_observation_space, self.single_action_space = Box(0, 255, shape, np.uint8), Discrete(3)
        self.observation_space = Box(0, 255, (num_envs, *shape), np.uint8)
        self.action_space = MultiDiscrete([3] * num_envs)
        self.stones = np.zeros((num_envs, SIZE, SIZE), bool)
        self.place, self.steps = np.zeros(num_envs, np.int64), np.zeros(num_envs, np.int64)
        self.over = np.zeros(num_envs, bool)
        self.chance = [np.random.default_rng(i) for i in range(num_envs)]

    def _begin(self, which) -> None:
        self.stones[which], self.place[which], self.steps[which], self.over[which] = False, SIZE // 2, 0, False

    def _pictures(self) -> np.ndarray:
        fields = np.where(self.stones, 150, 0).astype(np.uint8)
        fields[np.arange(self.num_envs), -1, self.place] = 255
        return fields.repeat(2, axis=1).repeat(2, axis=2)

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.chance = [np.random.default_rng(s) for s in batch_seeds(seed, self.num_envs)]
        self._begin(slice(None))
        return self._pictures(), {}

    def step(self, actions):
        fresh = self.over.copy()
        self.place = np.clip(self.place + np.array([0, -1, 1])[actions], 0, SIZE - 1)
        landed = self.stones[:, -1].copy()
        self.stones[:, 1:], self.stones[:, 0] = self.stones[:, :-1].copy(), False
        for i, chance in enumerate(self.chance):
            self.stones[i, 0, chance.integers(SIZE)] = chance.random() < self.options.stones
        self.steps += 1
        hit = self.stones[np.arange(self.num_envs), -1, self.place] & ~fresh
        cut = (self.steps >= self.options.limit) & ~hit & ~fresh
        reward = np.where(fresh, 0.0, landed.sum(1)).astype(np.float32)
        self.over = hit | cut
        self._begin(np.flatnonzero(fresh))
        return self._pictures(), reward, hit, cut, {}

    def render(self):
        return tuple(np.stack([picture] * 3, axis=2).repeat(4, 0).repeat(4, 1) for picture in self._pictures())

    def state_dict(self):
        arrays = {k: getattr(self, k).copy() for k in ("stones", "place", "steps", "over")}
        return arrays | {"chance": [str(c.bit_generator.state) for c in self.chance]}

    def load_state_dict(self, state):
        import ast

        for name in ("stones", "place", "steps", "over"):
            setattr(self, name, state[name].copy())
        for chance, told in zip(self.chance, state["chance"], strict=True):
            chance.bit_generator.state = ast.literal_eval(told)


class Dodge(SingleEnv):
    """One game."""

    def keys(self):
        return {frozenset(["left"]): 1, frozenset(["right"]): 2}

    def action_names(self):
        return ["stay", "left", "right"]


def make_vec(num_envs: int, **options) -> DodgeVector:
    return DodgeVector(num_envs, read_options(Options, options, "dodge"))


def make(render_mode=None, **options) -> Dodge:
    return Dodge(make_vec(1, **options), render_mode)


def describe(options: Options) -> Description:
    return Description(
        observation=Box(0, 255, (2 * SIZE, 2 * SIZE), np.uint8), actions=Discrete(3), frame_stack=2, frame_skip=1,
        protocol=f"dodge stones={options.stones:g} limit={options.limit}", chance=True, saves=True, two_players=False,
    )  # fmt: skip
