"""Self-play against earlier selves: in a share of the columns an opponent from a pool plays one side.

An agent that only ever meets its newest self may run in circles: it learns to beat that one and forgets those before
(Bansal et al. 2018, Emergent complexity via multi-agent competition; Silver et al. 2016, policy-gradient stage).
The pool holds snapshots of the agent's weights; at each snapshot the opponent is drawn from it anew. The opponent's
rows are stored like all others, with the column ``skip``: they carry the game on and are never learned from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from agents.core.evaluate import Policy
from agents.core.rows import Act, Agent, Batch, Learned, Spec, TimeStep

WEIGHTS = ("network", "average", "normalizer")  # parts of an agent's state that decide how it plays


class Pool:
    """`agent`, which meets its earlier selves while it trains; scored and watched it plays alone.

    make: builds an agent of the same configuration, for the opponent. share: of the columns, 0..1. size: snapshots that
    are kept, the oldest is dropped. every: rows (over all columns) between snapshots. The first one is taken at once.
    """

    def __init__(
        self, agent: Agent, make: Callable[[], Agent], spec: Spec, *, share: float, size: int, every: int, seed: int
    ):
        self.agent, self.share, self.size, self.every = agent, share, size, every
        self.needs, self.evaluation = agent.needs, agent.evaluation
        self.training = False  # True while opponents play; set by whoever trains
        self._opponent = make()
        self._policy = Policy(self._opponent, self._opponent.evaluation, spec, seed)
        self._generator = torch.Generator().manual_seed(seed)
        self._snapshots: list[dict[str, Any]] = []  # snapshots of the agent, oldest first
        self._taken = 0  # snapshots ever taken
        self._rows = 0  # rows acted on, over all columns
        self._side = torch.zeros(0, dtype=torch.int64)  # side to move, 0 the side that began  [N]
        self._opposed = torch.zeros(0, dtype=torch.int64)  # the side that the opponent plays, -1 none  [N]
        self._seen: TimeStep | None = None  # newest row that was counted: the loop may act twice on a row

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["agent"], name)

    def act(self, step: TimeStep, memory: Any = None, *, explore: bool = True) -> Act:
        act = self.agent.act(step, memory, explore=explore)
        if not self.training:
            return act
        if step is not self._seen:
            self._follow(step)
        theirs = (self._side == self._opposed).to(step.first.device)
        action = act.action
        if theirs.any():
            answer = self._policy.act(_rows(step, theirs)).action
            action = action.masked_scatter(theirs, answer.to(action.dtype))
        own = act.extras.get("skip")  # rows that the agent itself would not learn from
        skip = theirs if own is None else theirs | own
        return act._replace(action=action, extras={**act.extras, "skip": skip})

    def _follow(self, step: TimeStep) -> None:
        """Whose turn it is at this row; who plays the games that begin with it; and a snapshot where one is due."""
        self._seen = step
        first, flips = step.first.cpu(), (step.discount < 0).cpu()
        n = len(first)
        if len(self._side) != n:
            self._side = torch.zeros(n, dtype=torch.int64)
            self._opposed = torch.full((n,), -1)
        if self._rows >= self._taken * self.every:
            self._snapshot()
        self._rows += n
        self._side = torch.where(first, 0, torch.where(flips, 1 - self._side, self._side))
        drawn = torch.randint(2, (n,), generator=self._generator)
        pooled = torch.arange(n) < round(self.share * n)
        self._opposed = torch.where(first, torch.where(pooled, drawn, -1), self._opposed)

    def _snapshot(self) -> None:
        """Puts the agent's weights into the pool, and draws the opponent's from it."""
        state = self.agent.state_dict()
        self._snapshots.append(_copied({name: state[name] for name in WEIGHTS if name in state}))
        self._snapshots = self._snapshots[-self.size :]
        self._taken += 1
        drawn = int(torch.randint(len(self._snapshots), (1,), generator=self._generator))
        self._opponent.load_weights(self._snapshots[drawn])

    def learn(self, batch: Batch) -> Iterator[Learned]:
        return self.agent.learn(batch)

    def state_dict(self) -> dict[str, Any]:
        pool = {"taken": self._taken, "rows": self._rows, "side": self._side, "opposed": self._opposed}
        pool |= {"generator": self._generator.get_state(), "opponent": self._opponent.state_dict()}
        pool["snapshots"] = {str(place): weights for place, weights in enumerate(self._snapshots)}
        return {**self.agent.state_dict(), "pool": pool}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pool = state["pool"]
        self.agent.load_state_dict({k: v for k, v in state.items() if k != "pool"})
        self._taken, self._rows = pool["taken"], pool["rows"]
        self._side, self._opposed = pool["side"].cpu(), pool["opposed"].cpu()
        self._generator.set_state(pool["generator"].cpu())
        self._opponent.load_state_dict(pool["opponent"])
        self._snapshots = [pool["snapshots"][str(place)] for place in range(len(pool["snapshots"]))]

    def load_weights(self, state: dict[str, Any]) -> None:
        """Another run's weights; the pool begins anew with them."""
        self.agent.load_weights({k: v for k, v in state.items() if k != "pool"})


def _rows(step: TimeStep, chosen: Tensor) -> TimeStep:
    """The rows of some columns."""
    return step._replace(
        **{k: getattr(step, k)[chosen] for k in ("obs", "reward", "discount", "first", "last")},
        legal=None if step.legal is None else step.legal[chosen],
        state=None if step.state is None else step.state[chosen.cpu().numpy()],
    )


def _copied(state: Any) -> Any:
    """A state whose tensors are its own, on the processor."""
    if isinstance(state, dict):
        return {name: _copied(value) for name, value in state.items()}
    return state.detach().cpu().clone() if isinstance(state, Tensor) else state
