"""Whoever acts for N columns: their frame stacks, what the policy remembers, and where episodes begin.

The one owner of what must be kept between two decisions, for training, scoring, watching and driving. Arrays are torch
tensors on a device, or numpy arrays where no device is named: then nothing here needs torch, so that an actor fits on a
machine that has none.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from agents.core.rows import Act, Array, Spec, TimeStep


class Weights(NamedTuple):
    """What a learner sends to the actors that are not in its process."""

    version: int  # counter that rises with every change of the learner's weights
    state: dict[str, Any]  # weights of the agent, for its `load_weights`


class ActingPolicy(Protocol):
    """What decides: an agent that trains, or `agents.core.evaluate.Policy` around one that is scored.

    It may have ``begin(columns)``, see `agents.core.rows.Agent`, and ``load_weights(state)``.
    """

    def act(self, step: TimeStep, memory: Any = None) -> Act:
        """What to do at each of the N rows; memory: what `Act.memory` of the rows before was, None at first."""
        ...


class ColumnState:
    """What N environments have shown, as rows: frames are stacked, and the row after a `last` one is `first`."""

    def __init__(self, spec: Spec, num: int, device: Any = None):
        self.spec, self.num = spec, num
        self.arrays: Any = _Numpy() if device is None else _Torch(device)
        self.step: TimeStep | None = None  # the newest row
        self.restart()

    def restart(self) -> None:
        """Every column begins an episode with its next row."""
        self._begins = np.ones(self.num, bool)  # columns whose next row is `first`  [N]
        shape = (self.num, self.spec.stack, *self.spec.obs_shape)
        self._next: Array | None = self.arrays.zeros(shape, self.spec.obs_dtype)  # stack of the coming row (`prepare`)

    def cut(self) -> None:
        """The next row of every column is `first`, although its game goes on: what lies between was not seen."""
        self._begins = np.ones(self.num, bool)

    def prepare(self) -> None:
        """Makes the stack of the row to come, all but its newest frame. The environments may step meanwhile."""
        newest = self.step.obs
        stack = self.arrays.empty_like(newest)  # a new one: rows handed out earlier stay as they are
        stack[:, :-1] = newest[:, 1:]
        if self._begins.any():
            stack[self.arrays.of(self._begins), :-1] = 0
        self._next = stack

    def observe(
        self, obs: Any, reward: Any = None, discount: Any = None, last: Any = None, *, legal: Any = None,
        state: Any = None, info: dict[str, Array] | None = None,
    ) -> TimeStep:  # fmt: skip
        """The next row of every column. obs: the newest frames [N, *obs_shape]; for the others see `TimeStep`.

        Left out, they are what a game gives that goes on and pays nothing. They are copied: environments may reuse
        their arrays.
        """
        if self._next is None:
            self.prepare()
        stack, self._next = self._next, None
        stack[:, -1] = self.arrays.of(np.asarray(obs))
        begins, self._begins = self._begins, np.zeros(self.num, bool) if last is None else np.array(last, bool)
        copied, of = self.arrays.copied, self.arrays.of
        self.step = TimeStep(
            obs=stack,
            reward=copied(np.zeros(self.num) if reward is None else reward, np.float32),
            discount=copied(np.ones(self.num) if discount is None else discount, np.float32),
            first=of(begins),
            last=of(self._begins),
            legal=None if legal is None else copied(legal, np.bool_),
            state=state,
            info=info or {},
        )
        return self.step

    def resume(self, step: TimeStep) -> None:
        """Goes on from a row that was saved."""
        self.step, self._next, self._begins = step, None, np.array(self.arrays.host(step.last), bool)


class Actor:
    """A policy in N columns. columns: how many, or those that a stream fills; then `observe` is the stream's affair."""

    def __init__(self, policy: ActingPolicy, spec: Spec, columns: int | ColumnState, device: Any = None):
        self.policy = policy
        self.columns = columns if isinstance(columns, ColumnState) else ColumnState(spec, columns, device)
        self.version = 0  # version of the weights that act
        self._row: TimeStep | None = None  # newest row that was acted on
        self.begin()

    def begin(self) -> None:
        """Nothing is remembered: the next row is the first of an episode in every column."""
        self.memory: Any = None  # memory of the policy after the row that it acted on last
        self.before: Any = None  # memory of the policy before the row that it acted on last
        begin = getattr(self.policy, "begin", None)
        if begin is not None:
            begin(self.columns.num)

    def restart(self) -> None:
        """The same, and the frames are forgotten, too."""
        self.columns.restart()
        self.begin()

    def observe(self, obs: Any, *fields: Any, **more: Any) -> TimeStep:
        """See `ColumnState.observe`."""
        return self.columns.observe(obs, *fields, **more)

    def act(self) -> Act:
        """What the policy does at the newest row. Asked again, with other weights perhaps, it remembers no more."""
        step = self.columns.step
        if step is self._row:
            self.memory = self.before
        self.before, self._row = self.memory, step
        act = self.policy.act(step, self.memory)
        self.memory = act.memory
        return act

    def load(self, weights: Weights) -> None:
        """Acts with newer weights from now on; `version` goes back to the learner with the rows."""
        self.policy.load_weights(weights.state)
        self.version = weights.version


class _Numpy:
    """Arrays of a machine without torch."""

    empty_like = staticmethod(np.empty_like)
    copied = staticmethod(np.array)

    def zeros(self, shape: tuple[int, ...], dtype: str) -> Array:
        return np.zeros(shape, dtype)

    def of(self, array: np.ndarray) -> Array:
        return array

    host = of


class _Torch:
    """Tensors on a device."""

    def __init__(self, device: Any):
        import torch

        self.torch, self.device = torch, torch.device(device)
        self.empty_like = torch.empty_like
        if self.device.type == "cpu":  # the short way: this runs at every vector step
            self.of = torch.from_numpy

    def zeros(self, shape: tuple[int, ...], dtype: str) -> Array:
        return self.torch.zeros(shape, dtype=getattr(self.torch, dtype), device=self.device)

    def of(self, array: np.ndarray) -> Array:
        return self.torch.as_tensor(array, device=self.device)

    def copied(self, array: Any, dtype: Any) -> Array:
        return self.of(np.array(array, dtype))

    def host(self, array: Array) -> np.ndarray:
        return array.cpu().numpy()
