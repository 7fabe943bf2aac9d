"""The contracts of the lab: a row, and what flows between environments, memory, loop and agents.

A *row* is what the agent saw at one moment and what it did there:
``(obs, reward, discount, first, last, action, extras)``. Reward and discount arrive *with* the observation they
led to. The last observation of an episode is a row of its own; the action on it is ignored and the next row is
``first``. So transition t -> t+1 exists if and only if row t is not ``last``.

``discount`` is 0 where the rules ended the game, +1 where it goes on, -1 where it goes on and the other side moves.
A time limit is ``last`` with a discount that is not 0. A lost life is discount 0 with neither ``first`` nor ``last``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import torch

Array = Any  # a torch tensor on the learner's device; shapes stand beside each field


class Spec(NamedTuple):
    """What a learner must know of an environment."""

    obs_shape: tuple[int, ...]  # of ONE frame as stored: (H, W), (H, W, C) for images, (D,) for vectors
    obs_dtype: str  # "uint8" for images, "float32" for vectors
    stack: int = 1  # how many frames an observation holds
    num_actions: int = 0  # discrete 0..num_actions-1, or ...
    action_dim: int = 0  # ... continuous, each in [-1, 1]
    rules: Any = None  # a game's compiled rules, for search

    @property
    def action_shape(self) -> tuple[int, ...]:
        return (self.action_dim,) if self.action_dim else ()

    @property
    def action_dtype(self) -> str:
        return "float32" if self.action_dim else "int64"


class TimeStep(NamedTuple):
    """N environments at one moment; every array is [N, ...] on the learner's device."""

    obs: Array  # [N, stack, *obs_shape], zeros before `first`; the ring stores the newest frame only
    reward: Array  # float32 [N], in the view of the side that moved at the row before
    discount: Array  # float32 [N]
    first: Array  # bool [N]
    last: Array  # bool [N]
    legal: Array | None = None  # bool [N, A]; at least one True in every row, `last` rows included
    state: Any = None  # opaque handle for search; never stored
    labels: dict[str, Array] = {}  # noqa: RUF012  what the agent's `needs.labels` names and the game tells  [N, ...]


class Act(NamedTuple):
    """What an agent did at one moment."""

    action: Array  # int64 [N] or float32 [N, action_dim]
    extras: dict[str, Array] = {}  # noqa: RUF012  columns stored with the row, e.g. logp, value  [N, ...]
    memory: Any = None  # recurrent state after this moment


class Batch(NamedTuple):
    """B windows of L rows, [B, L, ...]. Read only: rows of `obs` may share memory."""

    obs: Array  # [B, L, stack, *obs_shape]
    action: Array  # [B, L] or [B, L, action_dim]
    reward: Array  # [B, L]
    discount: Array  # [B, L]
    first: Array  # [B, L]
    last: Array  # [B, L]
    legal: Array | None  # [B, L, A]
    extras: dict[str, Array]  # [B, L, ...]
    memory: Any  # the actor's recurrent state at row 0 of the window
    weight: Array  # [B, L-1] ([B, 1] where L = 1): importance weight; 0 where row t is `last` or is to be skipped
    index: Array  # int64 [B]: where row 0 lies in the ring, for update_priorities

    def observations(self, window: Array, row: Array) -> Array:
        """``obs[window, row]``, int64 [M] each -> [M, stack, *obs_shape].

        Where rows share frames torch would read number by number: this copies frame by frame, 18 times as fast.
        """
        size, length, stack = self.obs.shape[:3]
        if stack == 1 or self.obs.stride(1) != self.obs.stride(2):  # every row has frames of its own
            return self.obs.flatten(0, 1).index_select(0, window * length + row)
        strides = (self.obs.stride(0), *self.obs.stride()[2:])
        frames = self.obs.as_strided((size, length + stack - 1, *self.obs.shape[3:]), strides)
        oldest = window * frames.shape[1] + row
        at = oldest[:, None] + torch.arange(stack, device=oldest.device)
        return frames.flatten(0, 1).index_select(0, at.flatten()).view(len(row), *self.obs.shape[2:])


class Priority(NamedTuple):
    """New priorities of windows: their `Batch.index` and, for instance, |TD error|."""

    index: Array  # int64 [B]
    value: Array  # float32 [B]


class Learned(NamedTuple):
    """The outcome of one optimizer step. Tensors stay on the device until a report is due."""

    metrics: dict[str, Array]  # scalars
    priority: Priority | None = None


class Needs(NamedTuple):
    """What an agent asks of ring and loop."""

    window: int  # L, rows in a window
    sampler: Any  # Uniform, Prioritized or Recent (agents.core.samplers)
    length: int  # rows that the ring must hold, over all environments
    batch: int  # windows per draw; `learn` gets a few draws at once (Recent: every column, whatever is asked)
    pace: Any  # Ratio or Every (agents.core.loop): when to learn
    extras: tuple[str, ...] = ()  # columns that `act` returns and `learn` reads
    overlap: bool = True  # learn beside the environments' stepping
    # Arrays of `info` that teach -> one row of them where nothing is known; "expert": what a teacher would do now.
    labels: Mapping[str, Array] = {}  # noqa: RUF012


class Stateful(Protocol):
    """A part whose whole state is a dict of tensors, arrays, numbers and strings that can be printed."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Agent(Stateful, Protocol):
    """Built by ``build(config, spec, clock, device, seed, num_envs)`` of its module; `clock` is read-only."""

    needs: Needs
    evaluation: str  # the policy that scores are made with: "sampled", "greedy" or "epsilon 0.001"
    # Optional: explain(step, memory) -> dict[str, Array], why it would act so (docs/add-an-agent.md), for `watch`.

    def act(self, step: TimeStep, memory: Any = None, *, explore: bool = True) -> Act: ...

    # Yields after each optimizer step. What an on-policy agent does for acting on (a copy of its weights) must happen
    # when `learn` is called, not when the first item is asked for: that may be some vector steps later.
    def learn(self, batch: Batch) -> Iterator[Learned]: ...
