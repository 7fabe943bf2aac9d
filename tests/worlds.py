"""Small worlds with known answers, as an environment module: ``make_vec(num_envs, world="corridor")``.

A world is five functions of a short state vector. The vector environment keeps N states with a generator each, so that
everything can be saved and restored. Tests register the module as the game `worlds`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

Random = np.random.Generator


class World(NamedTuple):
    """The rules; a state is float64 [K], its first number counts the decisions of the episode."""

    observation: spaces.Box
    action: spaces.Space
    begin: Callable[[Random], np.ndarray]
    move: Callable[[np.ndarray, Any, Random], tuple[np.ndarray, float, bool]]  # -> state, reward, ended by the rules
    look: Callable[[np.ndarray], np.ndarray]
    limit: int = 0  # decisions after which the clock cuts the episode, 0: never
    legal: Callable[[np.ndarray], np.ndarray] | None = None  # -> bool [A]
    stack: int = 1
    expert: Callable[[np.ndarray], Any] | None = None  # what a teacher does


@dataclasses.dataclass(frozen=True)
class Options:
    """Which world, and what it looks like."""

    world: str = "bandit"  # a name in WORLDS
    shape: str = "3"  # of what `noise` shows, "3" or "84x84" or "8x8x3"
    actions: int = 4  # of `noise`, discrete
    axes: int = 0  # of `noise`, continuous: so many instead

    def __post_init__(self) -> None:
        if self.world not in WORLDS:
            raise ValueError(f"--world {self.world}: choose {', '.join(WORLDS)}")


def one_hot(i: float, n: int) -> np.ndarray:
    return (np.arange(n) == i).astype(np.float32)


def vector(n: int) -> spaces.Box:
    return spaces.Box(-1, 1, (n,), np.float32)


def bandit(options: Options) -> World:
    """Four contexts, shown as a vector; the action of the same number pays 1. Eight decisions."""

    def move(state: np.ndarray, action: Any, random: Random) -> tuple[np.ndarray, float, bool]:
        return np.array([state[0] + 1, random.integers(4)]), float(action == state[1]), state[0] == 7

    def begin(random: Random) -> np.ndarray:
        return np.array([0.0, random.integers(4)])

    look, expert = (lambda state: one_hot(state[1], 4)), (lambda state: int(state[1]))
    return World(vector(4), spaces.Discrete(4), begin, move, look, expert=expert)


def picture(options: Options) -> World:
    """The bandit, its context shown as the bright quarter of a 10x10 picture. A stack of two."""

    def look(state: np.ndarray) -> np.ndarray:
        image = np.zeros((10, 10), np.uint8)
        row, column = divmod(int(state[1]), 2)
        image[5 * row : 5 * row + 5, 5 * column : 5 * column + 5] = 255
        return image

    return bandit(options)._replace(observation=spaces.Box(0, 255, (10, 10), np.uint8), look=look, stack=2)


def corridor(options: Options) -> World:
    """Six cells, left and right; the right end pays 1 and ends it. A clock of 30."""

    def move(state: np.ndarray, action: Any, random: Random) -> tuple[np.ndarray, float, bool]:
        cell = min(max(state[1] + (1 if action else -1), 0), 5)
        return np.array([state[0] + 1, cell]), float(cell == 5), cell == 5

    return World(
        vector(6), spaces.Discrete(2), lambda random: np.zeros(2), move, lambda state: one_hot(state[1], 6), limit=30,
        expert=lambda state: 1,
    )  # fmt: skip


def target(options: Options) -> World:
    """Two numbers are shown; an action that repeats them pays 1, others less by their squared distance."""

    def begin(random: Random) -> np.ndarray:
        return np.array([0.0, *random.uniform(-0.8, 0.8, 2)])

    def move(state: np.ndarray, action: Any, random: Random) -> tuple[np.ndarray, float, bool]:
        reward = 1 - float(np.square(action - state[1:]).sum())
        return np.array([state[0] + 1, *random.uniform(-0.8, 0.8, 2)]), reward, state[0] == 7

    look = lambda state: state[1:].astype(np.float32)  # noqa: E731
    return World(vector(2), vector(2), begin, move, look, expert=look)


def grid(options: Options) -> World:
    """4x4 cells as a picture of two channels: where one is, and the goal, which pays 1 and ends it. A clock of 20."""
    moves = np.array([(-1, 0), (1, 0), (0, -1), (0, 1)])

    def begin(random: Random) -> np.ndarray:
        me, goal = random.choice(16, 2, replace=False)
        return np.array([0.0, *divmod(me, 4), *divmod(goal, 4)])

    def move(state: np.ndarray, action: Any, random: Random) -> tuple[np.ndarray, float, bool]:
        me = np.clip(state[1:3] + moves[action], 0, 3)
        there = bool((me == state[3:]).all())
        return np.array([state[0] + 1, *me, *state[3:]]), float(there), there

    def look(state: np.ndarray) -> np.ndarray:
        image = np.zeros((4, 4, 2), np.uint8)
        image[int(state[1]), int(state[2]), 0] = image[int(state[3]), int(state[4]), 1] = 255
        return image

    def expert(state: np.ndarray) -> int:
        down, right = state[3:] - state[1:3]
        return (1 if down > 0 else 0) if down else (3 if right > 0 else 2)

    observation = spaces.Box(0, 255, (4, 4, 2), np.uint8)
    return World(observation, spaces.Discrete(4), begin, move, look, limit=20, expert=expert)


def forever(options: Options) -> World:
    """Pays 1 whatever is done and never ends; only a clock of 8 cuts it. Always looks the same."""

    def move(state: np.ndarray, action: Any, random: Random) -> tuple[np.ndarray, float, bool]:
        return state + 1, 1.0, False

    return World(
        vector(2), spaces.Discrete(2), lambda random: np.zeros(1), move, lambda state: np.ones(2, np.float32), limit=8
    )


def ending(options: Options) -> World:
    """Pays 1 whatever is done and ends by its rules at the third decision; shows how many there were."""

    def move(state: np.ndarray, action: Any, random: Random) -> tuple[np.ndarray, float, bool]:
        return state + 1, 1.0, state[0] == 2

    return World(vector(4), spaces.Discrete(2), lambda random: np.zeros(1), move, lambda state: one_hot(state[0], 4))


def forced(options: Options) -> World:
    """Some of four actions are legal, at times only one; another raises ValueError. Shows the action before."""

    def begin(random: Random) -> np.ndarray:
        return np.array([0.0, random.integers(1, 16), -1])

    def move(state: np.ndarray, action: Any, random: Random) -> tuple[np.ndarray, float, bool]:
        if not legal(state)[action]:
            raise ValueError(f"action {action} is not legal: {legal(state)}")
        mask = 2 ** random.integers(4) if random.random() < 0.3 else random.integers(1, 16)
        return np.array([state[0] + 1, mask, action]), float(action), state[0] == 9

    def legal(state: np.ndarray) -> np.ndarray:
        return (int(state[1]) >> np.arange(4)) % 2 == 1

    def expert(state: np.ndarray) -> int:
        return int(np.flatnonzero(legal(state))[-1])

    look = lambda state: one_hot(state[2], 4)  # noqa: E731
    return World(vector(4), spaces.Discrete(4), begin, move, look, legal=legal, expert=expert)


def recall(options: Options) -> World:
    """One of two lamps is lit at the first of five decisions; the last one pays 1 for its number."""

    def begin(random: Random) -> np.ndarray:
        return np.array([0.0, random.integers(2)])

    def move(state: np.ndarray, action: Any, random: Random) -> tuple[np.ndarray, float, bool]:
        over = state[0] == 4
        return np.array([state[0] + 1, state[1]]), float(over and action == state[1]), over

    def look(state: np.ndarray) -> np.ndarray:
        lamps = one_hot(state[1], 2) if state[0] == 0 else np.zeros(2)
        return np.array([*lamps, state[0] == 4], np.float32)

    return World(vector(3), spaces.Discrete(2), begin, move, look)


def noise(options: Options) -> World:
    """Shows random numbers of any shape; actions of any kind; the reward is the action's first number."""
    shape = tuple(int(n) for n in options.shape.split("x"))
    image = len(shape) > 1
    observation = spaces.Box(0, 255, shape, np.uint8) if image else vector(shape[0])

    def begin(random: Random) -> np.ndarray:
        return np.array([0.0, random.integers(2**31)])

    def move(state: np.ndarray, action: Any, random: Random) -> tuple[np.ndarray, float, bool]:
        return np.array([state[0] + 1, random.integers(2**31)]), float(np.ravel(action)[0]), random.random() < 0.1

    def look(state: np.ndarray) -> np.ndarray:
        random = np.random.default_rng(int(state[1]))
        return random.integers(256, size=shape, dtype=np.uint8) if image else random.uniform(-1, 1, shape).astype("f4")

    action = vector(options.axes) if options.axes else spaces.Discrete(options.actions)
    return World(observation, action, begin, move, look, limit=25, stack=4 if image and len(shape) == 2 else 1)


WORLDS = {f.__name__: f for f in (bandit, picture, corridor, target, grid, forever, ending, forced, recall, noise)}


class Worlds(VectorEnv):
    """N copies of one world, autoreset NEXT_STEP; the whole of it can be saved."""

    def __init__(self, num_envs: int, options: Options):
        self.world = WORLDS[options.world](options)
        self.num_envs = num_envs
        self.metadata = {
            "autoreset_mode": AutoresetMode.NEXT_STEP,
            "frame_stack": self.world.stack,
            "frame_skip": 1,
            "protocol": options.world,
            "lab_info": True,
        }
        self.single_observation_space, self.single_action_space = self.world.observation, self.world.action
        self.observation_space = gymnasium.vector.utils.batch_space(self.world.observation, num_envs)
        self.action_space = gymnasium.vector.utils.batch_space(self.world.action, num_envs)
        self.randoms = [np.random.default_rng() for _ in range(num_envs)]
        self.states = [self.world.begin(random) for random in self.randoms]
        self.over = np.zeros(num_envs, bool)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        if isinstance(seed, int):
            seed = np.random.SeedSequence(seed).generate_state(self.num_envs)
        if seed is not None:
            self.randoms = [np.random.default_rng(int(s)) for s in seed]
        self.states = [self.world.begin(random) for random in self.randoms]
        self.over[:] = False
        return self._seen(), self._info()

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        for action in actions:
            if not self.world.action.contains(action):
                raise ValueError(f"{action} is not in {self.world.action}")
        reward, ended = np.zeros(self.num_envs), np.zeros(self.num_envs, bool)
        cut = np.zeros(self.num_envs, bool)
        for i, random in enumerate(self.randoms):
            if self.over[i]:
                self.states[i] = self.world.begin(random)
                continue
            self.states[i], reward[i], ended[i] = self.world.move(self.states[i], actions[i], random)
            cut[i] = not ended[i] and self.states[i][0] == self.world.limit > 0
        self.over = ended | cut
        return self._seen(), reward, ended, cut, self._info()

    def _seen(self) -> np.ndarray:
        return np.stack([self.world.look(state) for state in self.states])

    def _info(self) -> dict[str, Any]:
        told = {"legal": self.world.legal, "expert": self.world.expert}
        return {name: np.stack([tell(state) for state in self.states]) for name, tell in told.items() if tell}

    def state_dict(self) -> dict[str, Any]:
        randoms = json.dumps([random.bit_generator.state for random in self.randoms])
        return {"states": np.stack(self.states), "over": self.over.copy(), "randoms": randoms}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.states, self.over = list(state["states"].copy()), state["over"].copy()
        for random, saved in zip(self.randoms, json.loads(state["randoms"]), strict=True):
            random.bit_generator.state = saved


class One(gymnasium.Env):
    """A vector of one, as a single environment with a picture that shows the state as grey columns."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, options: Options, render_mode: str | None):
        self.vector, self.render_mode = Worlds(1, options), render_mode
        self.observation_space = self.vector.single_observation_space
        self.action_space = self.vector.single_action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        obs, info = self.vector.reset(seed=None if seed is None else [seed])
        return obs[0], {k: v[0] for k, v in info.items()}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        obs, reward, ended, cut, info = self.vector.step(np.asarray(action)[None])
        return obs[0], float(reward[0]), bool(ended[0]), bool(cut[0]), {k: v[0] for k, v in info.items()}

    def render(self) -> np.ndarray:
        state = self.vector.states[0]
        grey = (np.arange(40) * len(state) // 40 * 40 + 10 * int(state[0])) % 256
        return np.broadcast_to(grey.astype(np.uint8)[None, :, None], (30, 40, 3)).copy()


def make_vec(num_envs: int, **options: Any) -> Worlds:
    return Worlds(num_envs, Options(**options))


def make(render_mode: str | None = None, **options: Any) -> One:
    return One(Options(**options), render_mode)
