"""What the lab's compiled games share: a batch is written once, and a single game is a batch of one.

A game of your own needs none of it (`make_vec` may return any Gymnasium vector environment); with it, it needs
little more than its rules and its picture: see `envs.flappy.env`.
"""

from dataclasses import fields
from typing import Any, TypeVar

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from envs.description import Description
from envs.window import PygameWindow

Options = TypeVar("Options")


def read_options(kind: type[Options], values: dict[str, Any], game: str) -> Options:
    """The options dataclass `kind` from keywords. Raises ValueError for an unknown name."""
    names = [field.name for field in fields(kind)]
    for name in values:
        if name not in names:
            raise ValueError(f"{game} has no option {name!r}; it has {', '.join(names)}")
    return kind(**values)


def check_batch(num_envs: int, render_mode: str | None) -> None:
    """Raises ValueError for a number of games that is none, or for a `render_mode` that a batch does not have."""
    if not isinstance(num_envs, int) or num_envs < 1:
        raise ValueError(f"num_envs must be a whole number from 1, not {num_envs!r}")
    if render_mode not in (None, "rgb_array"):
        raise ValueError(f"render_mode of a vector must be None or rgb_array, not {render_mode!r}")


def present(games: gymnasium.vector.VectorEnv, about: Description, num_envs: int) -> None:
    """Gives a batch the spaces of its description, and of its metadata what is said there."""
    games.num_envs = num_envs
    games.single_observation_space, games.single_action_space = about.observation, about.actions
    games.observation_space = batch_space(about.observation, num_envs)
    games.action_space = batch_space(about.actions, num_envs)
    games.metadata = {
        **games.metadata, "autoreset_mode": AutoresetMode.NEXT_STEP, **about.metadata, "lab_info": not about.foreign,
    }  # fmt: skip


def environment_seeds(seed: int | None, num_envs: int) -> list[int]:
    """Seeds of the environments of a batch reset with one integer; different integers share none."""
    return [int(s) for s in np.random.SeedSequence(seed).generate_state(num_envs, np.uint64)]


def batch_seeds(seed: Any, num_envs: int) -> list[int]:
    """N seeds from what `reset(seed=...)` takes: an integer (`environment_seeds`) or N of them, each from 0."""
    seeds = [seed] if np.ndim(seed) == 0 else list(seed)
    if np.ndim(seed) and len(seeds) != num_envs:
        raise ValueError(f"seed must be one integer or {num_envs} of them, not {len(seeds)}")
    if not all(isinstance(s, int | np.integer) and s >= 0 for s in seeds):
        raise ValueError(f"seed must consist of whole numbers from 0, not {seed!r}")
    return [int(s) for s in seeds] if np.ndim(seed) else environment_seeds(seed, num_envs)


class SingleEnv(gymnasium.Env):
    """One game of a batch of one; with the same seed it equals the batch's `reset` with `[seed]`.

    `games` has `options`, `over` (bool [N], games that the next step begins anew), `state_dict` and `load_state_dict`
    beside Gymnasium's; its `info` holds arrays [N], of which this one gives plain numbers. A subclass names its
    `metadata`, the `title` of its window, and how many times larger than the picture that opens (`enlarged`).
    """

    metadata: dict[str, Any] = {"render_modes": ["human", "rgb_array"]}
    title, enlarged = "joypad", 1

    def __init__(self, games: gymnasium.vector.VectorEnv, render_mode: str | None = None):
        *modes, last = self.metadata["render_modes"]
        if render_mode not in (None, *modes, last):
            raise ValueError(f"render_mode must be None, {', '.join(modes)} or {last}, not {render_mode!r}")
        self.games, self.options, self.render_mode = games, games.options, render_mode
        kept = ("render_fps", "frame_stack", "frame_skip", "protocol")
        self.metadata = {**type(self).metadata, **{name: games.metadata[name] for name in kept}}
        self.observation_space, self.action_space = games.single_observation_space, games.single_action_space
        self._window: PygameWindow | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Begins an episode; without a seed the random numbers go on."""
        super().reset(seed=seed)
        observations, info = self.games.reset(seed=None if seed is None else [seed])
        self._show()
        return observations[0], of_one(info)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        """One action; after an episode's end only `reset` goes on."""
        if self.games.over[0]:
            raise gymnasium.error.ResetNeeded("the episode is over: call reset before step")
        observations, reward, terminated, truncated, info = self.games.step(np.asarray(action)[None])
        self._show()
        return observations[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), of_one(info)

    def _show(self) -> None:
        if self.render_mode == "human":
            self._window = self._window or PygameWindow(self.title, self.enlarged)
            # Where people take turns, nobody waits for a clock.
            self._window.draw(
                self.games.render()[0], 0 if self.metadata.get("turn_based") else self.metadata["render_fps"]
            )

    def render(self) -> Any:
        """RGB uint8 [H, W, 3] in mode rgb_array; else None (the window shows each step by itself)."""
        return self.games.render()[0] if self.render_mode == "rgb_array" else None

    def state_dict(self) -> dict[str, Any]:
        """As the batch's, of one game."""
        return self.games.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As the batch's, of one game."""
        self.games.load_state_dict(state)

    def close(self) -> None:
        """Closes the window, if there is one, and the batch; again does nothing."""
        if self._window is not None:
            self._window.close()
            self._window = None
        self.games.close()


def of_one(info: dict[str, Any]) -> dict[str, Any]:
    """The info of the only game: numbers instead of arrays [1], and without Gymnasium's masks (`_name`)."""
    return {
        key: of_one(value) if isinstance(value, dict) else (value[0] if value.ndim > 1 else value[0].item())
        for key, value in info.items()
        if not key.startswith("_")
    }
