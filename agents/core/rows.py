"""The contracts of the lab: a row, and what flows between environments, memory, loop and agents.

A *row* is what the agent saw at one moment and what it did there:
``(obs, reward, discount, first, last, action, extras)``. Reward and discount arrive *with* the observation they
led to. The last observation of an episode is a row of its own; the action on it is ignored and the next row is
``first``. So transition t -> t+1 exists if and only if row t is not ``last``.

``discount`` is 0 where the rules ended the game, +1 where it goes on, -1 where it goes on and the other side moves.
A time limit is ``last`` with a discount that is not 0. A lost life is discount 0 with neither ``first`` nor ``last``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:  # an actor on a small machine has numpy alone
    import torch

    from agents.core.clock import Clock
    from agents.core.pace import Pace
    from agents.core.samplers import Sampler

Array = Any  # a torch tensor on the learner's device, or a numpy array where an actor has no torch


class Spec(NamedTuple):
    """What a learner must know of an environment."""

    obs_shape: tuple[int, ...]  # shape of ONE frame: a picture (H, W) or (H, W, C), a vector (D,), planes (C, H, W)
    obs_dtype: str  # "uint8" for pictures, "float32" for vectors and planes
    stack: int = 1  # frames that an observation holds
    num_actions: int = 0  # discrete actions, 0..num_actions-1; 0 where actions are continuous
    action_dim: int = 0  # continuous actions, each in [-1, 1]; 0 where actions are discrete
    rules: Any = None  # a game's compiled rules, for search

    @property
    def action_shape(self) -> tuple[int, ...]:
        """Returns the shape of one action: (action_dim,) if continuous, () if discrete."""
        return (self.action_dim,) if self.action_dim else ()

    @property
    def action_dtype(self) -> str:
        """Returns the dtype of an action: float32 if continuous, int64 if discrete."""
        return "float32" if self.action_dim else "int64"


class TimeStep(NamedTuple):
    """N environments at one moment; every array is [N, ...] on the learner's device."""

    obs: Array  # [N, stack, *obs_shape], zeros before `first`; the ring stores the newest frame only
    reward: Array  # float32 [N], reward in the view of the side that moved at the row before
    discount: Array  # float32 [N]
    first: Array  # bool [N]
    last: Array  # bool [N]
    legal: Array | None = None  # bool [N, A]; at least one True in every row, `last` rows included
    state: Any = None  # opaque handle for search; never stored
    info: dict[str, Array] = {}  # noqa: RUF012  of the game's `info`: the arrays [N, ...] that `needs.info` names


class Act(NamedTuple):
    """What an agent did at one moment."""

    action: Array  # int64 [N] or float32 [N, action_dim]
    # Columns stored with the row, [N, ...], by names of the agent's own, e.g. logp, value; those of a row are taken.
    # Two names mean something: `memory` (the state before the row) and `skip` (bool: no transition begins here).
    extras: dict[str, Array] = {}  # noqa: RUF012
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
    index: Array  # int64 [B]: place of row 0 in the ring, for update_priorities

    def observations(self, window: Array, row: Array) -> Array:
        """``obs[window, row]``, int64 [M] each -> [M, stack, *obs_shape].

        Where rows share frames torch would read number by number: this copies frame by frame, 18 times as fast.
        """
        import torch

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
    beta: float | None = None  # exponent of the importance weights from now on; None: as it was


class Learned(NamedTuple):
    """The outcome of one optimizer step. Tensors stay on the device until a report is due."""

    metrics: dict[str, Array]  # scalars
    priority: Priority | None = None


class Needs(NamedTuple):
    """What an agent asks of replay buffer and loop."""

    window: int  # L, rows in a window
    sampler: Sampler
    pace: Pace  # schedule of the updates
    capacity: int  # rows that the replay buffer must hold, over all columns
    batch: int  # windows per draw (with Recent: one of every column, whatever is asked)
    together: int = 1  # draws that `learn` takes at once, at most: their windows stand interleaved, x[i::draws]
    # Arrays of the game's `info` to store with every row -> the value where a source, such as a recording, has none.
    # By convention `expert` is the action that a teacher would take in this state.
    info: Mapping[str, Any] = {}  # noqa: RUF012
    # Called with the rows of each game that the rules have ended, a dict of [L, ...] tensors. What it returns is stored
    # with them, and only rows of such games are ever drawn.
    on_episode_end: Callable[[dict[str, Array]], dict[str, Array]] | None = None
    overlap: bool = True  # learning may go on while the next rows are collected; else it ends before the next action


class Context(NamedTuple):
    """Where an agent is built, beside its configuration and the environments."""

    clock: Clock  # clock of the run, read only: for schedules
    device: torch.device
    seed: int
    num_envs: int  # columns that the agent acts for in training


class Stateful(Protocol):
    """A part whose whole state is a dict of tensors, arrays, numbers and strings that can be printed."""

    def state_dict(self) -> dict[str, Any]:
        """Returns all that a checkpoint must hold so that the part goes on exactly."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from what `state_dict` returned. Raises ValueError, KeyError or RuntimeError for another's state."""
        ...


class Agent(Stateful, Protocol):
    """Built by ``build(config, spec, context)`` of its module.

    Two methods are optional. ``begin(columns)`` says that it will act for so many columns from now on, all of them at
    the beginning of an episode: for agents that keep something per column beside `memory`, such as search trees.
    ``explain(step, memory) -> dict[str, Array]`` says why it would act so, for `watch` (docs/add-an-agent.md).
    """

    needs: Needs
    evaluation: str  # the policy that scores are made with: "sampled", "greedy" or "epsilon 0.001"

    def act(self, step: TimeStep, memory: Any = None, *, explore: bool = True) -> Act:
        """What it does at each of the N rows of `step`, and what is to be stored with them.

        memory: what `Act.memory` of the row before was, None at first. explore: True in training; False acts by
        `evaluation`. Illegal actions (`step.legal`) are never chosen.
        """
        ...

    def learn(self, batch: Batch) -> Iterator[Learned]:
        """Learns from windows, and yields after each optimizer step.

        One step per `needs.batch` windows, or as many as the pace spreads. What an on-policy agent does for acting on
        (a copy of its weights) must happen when `learn` is called, not when the first item is asked for: that may be
        some vector steps later.
        """
        ...

    def load_weights(self, state: dict[str, Any]) -> None:
        """Takes another run's weights alone, from its `state_dict`: optimizer, schedules and generators stay."""
        ...
