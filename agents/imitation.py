"""Paces of learning from a teacher: from a dataset alone, and in DAgger's rounds."""

from __future__ import annotations

from typing import Any


class Offline:
    """No environments: one draw per step, from a replay buffer that a dataset was read into."""

    spread = 0.0
    rewrites_boundary = False

    def restart(self) -> None:
        """The dataset has been read again."""

    def learns_offline(self) -> bool:
        """Always."""
        return True

    def draws_due(self, rows: int) -> int:
        """None: rows come from the dataset alone."""
        return 0

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class DaggerRounds:
    """DAgger's pace: `first` draws from a dataset, then in turn `rows` new rows and `draws` draws.

    A draw is a step of its own, without the environments: the policy that collects a round does not move in it.
    """

    spread = 0.0
    rewrites_boundary = False

    def __init__(self, first: int, rows: int, draws: int):
        self.first, self.rows, self.draws = first, rows, draws
        self.round = 0  # number of the round; 0 before the first round's rows are complete
        self.seen = 0  # rows of all rounds
        self.owed = 0  # draws before the environments go on
        self.recorded = 0  # rows of the dataset
        self.counted = 0  # rows given to the replay buffer up to the last look, the dataset's included

    def begin(self, recorded: int) -> None:
        """A dataset of `recorded` rows is in the replay buffer: the first draws come from it."""
        self.owed = self.first
        self.recorded = self.counted = recorded

    def restart(self) -> None:
        """A dataset has been read again, the rows of the rounds are gone, and no draws from them are left."""
        self.owed = self.owed if self.round == 0 else 0  # nothing but the dataset was there before the first round
        self.counted = self.recorded

    def learns_offline(self) -> bool:
        """While draws are owed. Counts one of them."""
        if not self.owed:
            return False
        self.owed -= 1
        return True

    def draws_due(self, rows: int) -> int:
        """None while a round is collected; its rows are counted, and after the last of them the draws are owed."""
        self.seen += rows - self.counted
        self.counted = rows
        if self.seen >= (self.round + 1) * self.rows:
            self.round, self.owed = self.round + 1, self.draws
        return 0

    def left(self, steps: int) -> int:
        """How many of the next `steps` steps are draws."""
        draws = min(self.owed, steps)
        steps -= draws + (self.round + 1) * self.rows - self.seen
        if steps <= 0:
            return draws
        whole, rest = divmod(steps, self.draws + self.rows)
        return draws + whole * self.draws + min(rest, self.draws)

    def state_dict(self) -> dict[str, Any]:
        return {"round": self.round, "seen": self.seen, "owed": self.owed, "counted": self.counted}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.round, self.seen, self.owed = state["round"], state["seen"], state["owed"]
        self.counted = state.get("counted", self.recorded + self.seen)  # older checkpoints do not tell it
