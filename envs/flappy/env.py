"""Flappy Bird as Gymnasium environments: a compiled batch, and a single game for people and other libraries.

Actions: 0 nothing, 1 flap. Observations (option `obs`): `pixels` uint8 [84, 84] grey; `rgb` uint8 [512, 288,
3]; `state` float32 [9] (see `draw.write_numbers`); `seed` uint8 [80, 80], the black and white view of the
seed project. `info["score"]` is the number of pipes passed, whatever the reward.
"""

import gymnasium
import numpy as np

from envs.batches import SingleEnv, batch_seeds, check_batch, environment_seeds, present, read_options
from envs.flappy import batch, drill, picture
from envs.flappy.art import BLOCK_X, BLOCK_Y, COLOURS, VARIANTS, VIEW_X, build_look
from envs.flappy.facts import FPS, GREY_SIZE, HEIGHT, WIDTH, FlappyOptions, describe
from envs.flappy.rules import game_type

VIEWS = dict(pixels=batch.PIXELS, rgb=batch.RGB, state=batch.NUMBERS, seed=batch.SEED)  # kinds of frames


class FlappyVectorEnv(gymnasium.vector.VectorEnv):
    """N games in one compiled step on one core without the GIL; autoreset NEXT_STEP; returned arrays are fresh.

    `info["score"]`: float64 [N], pipes passed so far in the episode (`_score`, Gymnasium's mask of it: not in a drill).
    `reset(seed=...)` takes an integer, from which `environment_seeds` derives one seed per environment, or
    N of them; without a seed the generators go on.
    """

    def __init__(self, num_envs: int, options: FlappyOptions, render_mode: str | None = None):
        check_batch(num_envs, render_mode)
        self.options, self.render_mode = options, render_mode
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": FPS / options.frame_skip}
        present(self, describe(options), num_envs)
        self._view, self._shape = VIEWS[options.obs], self.single_observation_space.shape
        self._rules = options.rules
        self._look = build_look(VARIANTS if options.random_background else 1)
        self._games = np.zeros(num_envs, game_type(len(COLOURS)))
        self._notes, self._moments = drill.room(self._games, options.restart_before_crash)
        self._scenes = batch.new_scenes(num_envs, self._view)
        self._unused = np.empty((0, 0), np.uint8 if options.obs == "state" else np.float32)
        self._seed(environment_seeds(None, num_envs))
        self.reset()

    def _seed(self, seeds) -> None:
        for i, seed in enumerate(seeds):
            self._games["streams"][i] = np.random.SeedSequence(int(seed)).generate_state(2, np.uint64)

    def _new_frames(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(observations, images, numbers): kernels write one of the last two, which is the observations."""
        if self._view == batch.NUMBERS:
            numbers = np.empty((self.num_envs, *self._shape), np.float32)
            return numbers, self._unused, numbers
        images = np.empty((self.num_envs, *self._shape), np.uint8)
        return images, images.reshape(self.num_envs, -1), self._unused

    def observe(self) -> np.ndarray:
        """The games as they stand, [N, *frame]: what `reset` or `step` returned last."""
        frames, images, numbers = self._new_frames()
        batch.observe_all(self._games, self._rules, self._look, self._scenes, self._view, images, numbers)
        return frames

    def reset(self, *, seed=None, options=None):
        """Begins an episode everywhere; `seed`: int, N ints, or None to go on with the generators."""
        if seed is not None:
            self._seed(batch_seeds(seed, self.num_envs))
            self._notes[:] = 0  # crashes of before belong to another seed
        batch.begin_all(self._games, self._rules, self._notes, self._moments)
        return self.observe(), self._info()

    def step(self, actions):
        """One action per game, int [N] of 0 and 1; anything else is a ValueError, and nothing has moved."""
        actions = np.asarray(actions)
        n = self.num_envs
        if actions.shape != (n,) or actions.dtype.kind not in "iu":
            raise ValueError(f"actions must be {n} integers, not {actions.dtype} of shape {actions.shape}")
        frames, images, numbers = self._new_frames()
        rewards, terminated, truncated = np.empty(n), np.empty(n, np.bool_), np.empty(n, np.bool_)
        wrong = batch.step_all(
            self._games, self._rules, self._notes, self._moments, self._look, self._scenes, self._view,
            actions.astype(np.int64), images, numbers, rewards, terminated, truncated,
        )  # fmt: skip
        if wrong >= 0:
            raise ValueError(f"action {actions[wrong]} of game {wrong} must be 0 (nothing) or 1 (flap)")
        return frames, rewards, terminated, truncated, self._info()

    def _info(self) -> dict:
        counts = self._notes["drilling"] == 0 if len(self._notes) else np.ones(self.num_envs, np.bool_)
        return {"score": self._games["score"].astype(np.float64), "_score": counts}

    @property
    def over(self) -> np.ndarray:
        """bool [N], games that the next step begins anew."""
        return self._games["over"] == 1

    def render(self) -> tuple[np.ndarray, ...]:
        """A picture with the score for each game, RGB uint8 [512, 288, 3], whatever is observed."""
        return tuple(picture.with_score(game, self._look) for game in self._games)

    def state_dict(self) -> dict:
        """Every number that decides the future; the observation options may differ where it is loaded."""
        return {name: array.copy() for name, array in self._state().items()}

    def _state(self) -> dict[str, np.ndarray]:
        """Every number that decides the future, by name."""
        own = {name: self._games[name] for name in self._games.dtype.names}
        if len(self._notes):
            own |= {f"drill.{name}": self._notes[name] for name in self._notes.dtype.names}
            own |= {f"moments.{name}": self._moments[name] for name in self._moments.dtype.names}
        return own

    def load_state_dict(self, state: dict) -> None:
        """Continues exactly where `state_dict` was taken; `observe()` gives that moment's observation."""
        own = self._state()
        for name, array in own.items():
            if name not in state or np.shape(state[name]) != array.shape:
                got = np.shape(state[name]) if name in state else "nothing"
                raise ValueError(f"state: {name} must have shape {array.shape}, not {got}")
        if np.max(state["backdrop"]) >= len(self._look.backdrop):
            raise ValueError("state comes from games with random_background=True, which these do not have")
        for name, array in own.items():
            array[...] = state[name]
        self.observe()


class FlappyEnv(SingleEnv):
    """One game with the batch's kernels; with the same seed it equals `FlappyVectorEnv` reset with `[seed]`.

    `render_mode` rgb_array gives pictures of 512x288 with the score; human shows them in a window, 30 a
    second.
    """

    metadata = {"render_modes": ["human", "rgb_array"], "render_fps": FPS}
    title = "joypad: Flappy"

    def __init__(self, options: FlappyOptions, render_mode: str | None = None):
        super().__init__(FlappyVectorEnv(1, options), render_mode)

    def keys(self) -> dict[frozenset[str], int]:
        """Keys of a keyboard -> action."""
        return {frozenset(): 0, frozenset(["space"]): 1}

    def seen_box(self) -> tuple[float, float, float, float]:
        """Which part of the picture the pixels of an observation show: px from the left, from the top, wide, high."""
        if self.options.obs == "pixels":
            return VIEW_X, 0, GREY_SIZE * BLOCK_X, GREY_SIZE * BLOCK_Y
        return 0, 0, WIDTH, HEIGHT


def make_vec(num_envs: int, **options) -> FlappyVectorEnv:
    """A batch of games; `options` are the fields of `FlappyOptions`."""
    return FlappyVectorEnv(num_envs, read_options(FlappyOptions, options, "flappy"), render_mode="rgb_array")


def make(render_mode: str | None = None, **options) -> FlappyEnv:
    """One game; `options` are the fields of `FlappyOptions`."""
    return FlappyEnv(read_options(FlappyOptions, options, "flappy"), render_mode)
