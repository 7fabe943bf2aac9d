"""Gymnasium VectorEnv -> rows: the only place that knows autoreset, scores and what `info` may hold.

The environments reset themselves on the step after the last (Gymnasium's NEXT_STEP), so that the last observation of
an episode is a row of its own. Where a game of the lab says `metadata["lab_info"] = True`, its `info` may hold arrays
that decide more than Gymnasium can say: `discount` [N], `legal` [N, A], `state`, what an agent asks for by name (such
as `expert`), and at the last row `score` [N]. Without them discount is 0 where terminated, else 1, and the score is the
sum of the raw rewards from `first` to `last`. Where `_score` [N] (Gymnasium's mask) is False the episode has none and
is not counted: it was practice. What other games put into `info` is their own affair.

No row holds a number that is not finite, or a mask without a legal action: `RowFault` says where it came from.
"""

from __future__ import annotations

import math
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from torch import Tensor

from agents.core.actor import ColumnState
from agents.core.device import require_memory, seed_array
from agents.core.rows import Act, Spec, TimeStep

LARGEST = float(np.finfo(np.float32).max)


class RowFault(ValueError):
    """A game gave what no row may hold; the message is one sentence with its environment."""


class Episode(NamedTuple):
    """A finished episode: ended by the rules or by a time limit, never by a barrier."""

    column: int
    score: float  # score that the environment reports, else the raw undiscounted return
    length: int  # agent decisions
    info: dict[str, float]  # further figures that the environment reports at the end, by name


def spec_of(envs: VectorEnv) -> Spec:
    """What a learner must know of the environments. Raises ValueError, naming a space that is not supported."""
    obs, action = envs.single_observation_space, envs.single_action_space
    if not isinstance(obs, spaces.Box) or obs.dtype not in (np.uint8, np.float32):
        raise ValueError(f"observations must be a Box of uint8 or float32, not {obs}")
    stack = int(envs.metadata.get("frame_stack", 1))
    rules = getattr(envs, "rules", None) if envs.metadata.get("lab_info") else None
    if isinstance(action, spaces.Discrete):
        if action.start != 0:
            raise ValueError(f"discrete actions must start at 0, not {action.start}")
        return Spec(obs.shape, str(obs.dtype), stack, num_actions=int(action.n), rules=rules)
    if isinstance(action, spaces.Box) and len(action.shape) == 1 and np.isfinite([action.low, action.high]).all():
        return Spec(obs.shape, str(obs.dtype), stack, action_dim=action.shape[0], rules=rules)
    raise ValueError(f"actions must be Discrete or a bounded Box with one axis, not {action}")


class Stream:
    """N environments as a stream of rows on the learner's device: ``reset``, then ``send`` and ``receive`` in turn."""

    def __init__(self, envs: VectorEnv, device: torch.device | str = "cpu", block: tuple[int, int] | None = None):
        """block: (first, all) where these are the columns from `first` on of a run that has `all`, for their seeds."""
        if envs.metadata.get("autoreset_mode") != AutoresetMode.NEXT_STEP:
            raise ValueError("the environments must reset themselves in mode NEXT_STEP")
        self.envs, self.device, self.num_envs = envs, torch.device(device), envs.num_envs
        self.spec = spec_of(envs)
        self.block = block or (0, self.num_envs)
        self.lab_info = bool(envs.metadata.get("lab_info"))  # True where `info` speaks the lab's words
        self.name = str(envs.metadata.get("name", "the game"))
        self.episodes: list[Episode] = []  # episodes finished since they were last taken
        self.exact = hasattr(envs, "state_dict")  # True where the environments can be saved
        self.split = hasattr(envs, "send") and hasattr(envs, "recv")
        self._pool = ThreadPoolExecutor(1) if envs.metadata.get("releases_gil") and not self.split else None
        self._sent: Future | np.ndarray | None = None
        self._box = None
        if self.spec.action_dim:
            space = envs.single_action_space
            self._box = (space.low, space.high)
        row = self.spec.stack * math.prod(self.spec.obs_shape) * np.dtype(self.spec.obs_dtype).itemsize
        require_memory("the frame stack", 2 * self.num_envs, row, self.device, "--num-envs, --frame-stack")
        self.columns = ColumnState(self.spec, self.num_envs, self.device)
        self.real_time = bool(envs.metadata.get("real_time"))  # True where the game goes on while nobody acts
        self._step_seconds = float(envs.metadata.get("step_seconds", 0.0)) if self.real_time else 0.0
        self.deadline: float | None = None  # time at which the next row comes of itself (`time.perf_counter`)
        self._over = np.zeros(self.num_envs, bool)  # columns whose newest row ended a game
        self._score = np.zeros(self.num_envs)
        self._length = np.zeros(self.num_envs, np.int64)
        self.info_wanted: tuple[str, ...] = ()  # arrays of `info` that the agent wants with each row

    @property
    def step(self) -> TimeStep | None:
        """The newest row of every environment."""
        return self.columns.step

    @step.setter
    def step(self, step: TimeStep | None) -> None:
        self.columns.step = step

    def reset(self, *key: int) -> TimeStep:
        """Starts every environment anew, with seeds from `key` (the run's seed and the barrier's number)."""
        first, every = self.block
        obs, info = self.envs.reset(seed=[int(s) for s in seed_array(every, *key)[first : first + self.num_envs]])
        self._score[:], self._length[:] = 0, 0
        zeros = np.zeros(self.num_envs, np.float32)
        info = info if self.lab_info else {}
        self._check(obs, zeros, info)
        self.columns.restart()
        return self._row(obs, zeros, zeros + 1, np.zeros(self.num_envs, bool), info)

    def cut(self) -> None:
        """The next row of every environment is `first`, although its game goes on."""
        self.columns.cut()

    def send(self, act: Act) -> None:
        """Hands over the actions; the environments may step while the caller goes on."""
        action = self._checked(act.action)
        if self.split:
            self.envs.send(action)
            self._sent = action
        else:
            self._sent = self._pool.submit(self.envs.step, action) if self._pool else action
        if self._step_seconds:
            self.deadline = time.perf_counter() + self._step_seconds
        self.columns.prepare()

    def receive(self) -> TimeStep:
        """The next row of every environment."""
        if self._sent is None:
            raise RuntimeError("receive() before send()")
        if self.split:
            result = self.envs.recv()
        else:
            result = self._sent.result() if isinstance(self._sent, Future) else self.envs.step(self._sent)
        self._sent = None
        obs, reward, terminated, truncated, info = result
        info = info if self.lab_info else {}
        self._check(obs, reward, info)
        first, last = self._over, terminated | truncated
        discount = info.get("discount")
        if discount is None:
            discount = 1.0 - terminated
        self._score = np.where(first, 0.0, self._score + reward)
        self._length = np.where(first, 0, self._length + 1)
        if last.any():
            scores = info.get("score", self._score)
            counts = info.get("_score", last)  # Gymnasium's mask: an episode without a score is not one that counts
            figures = info.get("episode", {})
            for i in np.flatnonzero(last & counts):
                more = {k: float(v[i]) for k, v in figures.items()}
                self.episodes.append(Episode(int(i), float(scores[i]), int(self._length[i]), more))
        return self._row(obs, reward, discount, last, info)

    def take_episodes(self) -> list[Episode]:
        """The episodes that finished since the last call."""
        taken, self.episodes = self.episodes, []
        return taken

    @property
    def running_score(self) -> np.ndarray:
        """The raw return so far, [N]."""
        return self._score

    def close(self) -> None:
        if self._pool:
            self._pool.shutdown()
        self.envs.close()

    def _check(self, obs: Any, reward: Any, info: dict[str, Any]) -> None:
        """Raises RowFault for numbers that are not finite, as rows hold them, and for a mask without a legal action."""
        if not _small(reward):
            with np.errstate(over="ignore"):
                reward = np.asarray(reward, np.float32)
            if not np.isfinite(reward).all():
                i = int(np.flatnonzero(~np.isfinite(reward))[0])
                raise RowFault(f"{self.name}: the reward of environment {i} is not finite ({reward[i]})")
        obs = np.asarray(obs)
        if obs.dtype.kind == "f" and not _small(obs) and not np.isfinite(obs).all():
            i, *at = (int(k) for k in np.argwhere(~np.isfinite(obs))[0])
            raise RowFault(
                f"{self.name}: the observation of environment {i} is not finite ({obs[(i, *at)]} at {list(at)})"
            )
        legal = info.get("legal")
        if legal is not None and not np.asarray(legal).any(1).all():
            i = int(np.flatnonzero(~np.asarray(legal).any(1))[0])
            raise RowFault(f"{self.name}: no action is legal in environment {i}: its mask is all False")

    def _row(self, obs: Any, reward: Any, discount: Any, last: Any, info: dict[str, Any]) -> TimeStep:
        self._over = np.array(last, bool)
        wanted = {k: self._wanted(k, info[k]) for k in self.info_wanted if k in info}
        return self.columns.observe(
            obs, reward, discount, last, legal=info.get("legal"), state=info.get("state"), info=wanted
        )

    def _wanted(self, name: str, array: Any) -> Tensor:
        """Numbers as float32, whole ones and flags as they are; what a teacher does as agents say it, from -1 to 1."""
        array = np.asarray(array)
        if name == "expert" and self._box is not None:
            low, high = self._box
            array = (array - (high + low) / 2) / ((high - low) / 2)
        return self.columns.arrays.copied(array, np.float32 if array.dtype.kind == "f" else array.dtype)

    def _checked(self, action: Tensor) -> np.ndarray:
        """Actions for the environments. Refuses one outside the space: some environments would hang on it for ever."""
        array = action.detach().cpu().numpy()
        if self._box is None:
            whole = array.dtype.kind in "iu" and array.shape == (self.num_envs,)
            if not whole or array.min() < 0 or array.max() >= self.spec.num_actions:
                raise ValueError(f"actions must be {self.num_envs} integers in 0..{self.spec.num_actions - 1}: {array}")
            return array
        if array.shape != (self.num_envs, self.spec.action_dim) or not np.isfinite(array).all():
            raise ValueError(f"actions must be finite, of shape {(self.num_envs, self.spec.action_dim)}: {array}")
        low, high = self._box
        scaled = (high + low) / 2 + (high - low) / 2 * np.clip(array, -1, 1)
        return np.clip(scaled, low, high).astype(self.envs.single_action_space.dtype)  # rounding may step outside

    def state_dict(self) -> dict[str, Any]:
        """Everything where the environments can be saved (`exact`); otherwise nothing, the barrier resets them."""
        if not self.exact:
            return {}
        row = {k: v for k, v in self.step._asdict().items() if k not in ("state", "info") and v is not None}
        row |= {"info": dict(self.step.info)} if self.step.info else {}
        if isinstance(self.step.state, np.ndarray):
            row["state"] = self.step.state.copy()
        mine = {"score": self._score.copy(), "length": self._length.copy(), "row": row}
        return {**mine, "envs": self.envs.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if not self.exact:
            return
        self.envs.load_state_dict(state["envs"])
        self._score, self._length = state["score"].copy(), state["length"].copy()
        row = dict(state["row"])
        info = {**row.pop("labels", {}), **row.pop("info", {})}  # older checkpoints call it labels
        info = {k: v.to(self.device) for k, v in info.items()}
        handle = row.pop("state", None)
        self.columns.resume(TimeStep(**{k: v.to(self.device) for k, v in row.items()}, state=handle, info=info))
        self._over = self.step.last.cpu().numpy().copy()


def _small(array: np.ndarray) -> bool:
    """Is the sum of squares below float32's largest number? Then every number is finite, and one product tells it."""
    return bool(np.vdot(array, array) < LARGEST)
