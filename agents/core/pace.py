"""Pace: how many minibatches are due after so many rows. Rows are counted over all columns, however they came.

A pace counts rows and not calls, so that actors may add blocks of columns of any width, at any rate.
"""

from __future__ import annotations

from typing import Any, Protocol


class Pace(Protocol):
    """When an agent learns. Its state is part of a checkpoint."""

    # Optimizer steps per vector step that a running `learn` makes; 0: all of them at once, when the draw is due.
    spread: float
    # Does the row that ends a rollout also begin the next one, with an action of the weights that collect that one?
    # Then the agent acts on it a second time, and only the second action is executed and kept. The window that is
    # learned from has the first one in its final row: `action` and what came with it there were never executed.
    rewrites_boundary: bool

    def draws_due(self, rows: int) -> int:
        """How many draws have become due, with `rows` rows added so far. The same number twice owes nothing more."""
        ...

    def learns_offline(self) -> bool:
        """Is the next step a draw without the environments? It is asked once a step, and counts the step."""
        ...

    def restart(self) -> None:
        """The replay buffer was lost: rows are counted anew, from those that a dataset has filled in again."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Returns what a checkpoint must hold of it."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from what `state_dict` returned."""
        ...


class Ratio:
    """Off-policy pace: `samples` trained rows per new row, in batches, once `start` rows have been seen.

    What is owed is counted in whole samples and is part of the state: a resume never bursts.
    """

    spread = 0.0
    rewrites_boundary = False

    def __init__(self, samples: float, batch: int, start: int):
        self.samples, self.batch, self.start = samples, batch, start
        self.seen, self.credit = 0, 0.0

    def restart(self) -> None:
        """Nothing is learned until `start` rows have come again."""
        self.seen, self.credit = 0, 0.0

    def learns_offline(self) -> bool:
        """Never: it learns while the environments step."""
        return False

    def draws_due(self, rows: int) -> int:
        """Whole batches of the samples that the new rows owe; the rest is owed later."""
        self.credit += self.samples * max(0, rows - max(self.seen, self.start))
        self.seen = max(self.seen, rows)
        draws = int(self.credit // self.batch)
        self.credit -= draws * self.batch
        return draws

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen, "credit": self.credit}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen, self.credit = state["seen"], state["credit"]


class Every:
    """On-policy pace: one draw per rollout, `slots` rows of each of `columns`, in `updates` optimizer steps.

    The updates are spread over the vector steps of the next rollout. Blocks of columns that come at different times are
    counted by their mean. rewrites_boundary: see `Pace`; without it the row that ends a rollout is acted on once, by
    the weights that collected the rollout, and every row of a window holds what was executed.
    """

    def __init__(self, slots: int, updates: int, columns: int, *, rewrites_boundary: bool = False):
        self.slots, self.updates, self.columns = slots, updates, columns
        self.spread = updates / slots
        self.rewrites_boundary = rewrites_boundary
        self.mark = 1  # rows per column when the rollout began; a window of T transitions has T + 1 rows

    def restart(self) -> None:
        """The next rollout begins with the next row."""
        self.mark = 1

    def learns_offline(self) -> bool:
        """Never: it learns while the environments step."""
        return False

    def draws_due(self, rows: int) -> int:
        """One when a rollout has become whole. Rollouts that came at once are one draw: the newest windows."""
        whole = (rows // self.columns - self.mark) // self.slots
        if whole < 1:
            return 0
        self.mark += whole * self.slots
        return 1

    def state_dict(self) -> dict[str, Any]:
        return {"mark": self.mark}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.mark = state["mark"]
