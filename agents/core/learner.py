"""Whoever learns: rows come in from one actor or from many, in blocks of columns; the pace says when they are drawn.

It knows neither environments nor actors. In one process `agents.core.loop` feeds it after every vector step; actors
elsewhere send blocks of rows, and load `weights()` now and then.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from agents.core.actor import Weights
from agents.core.clock import Clock
from agents.core.pace import Pace
from agents.core.replay import ReplayBuffer
from agents.core.rows import Act, Agent, Learned, TimeStep

BACKLOG = 100  # draws that may stay owed where the next row comes of itself: a barrier works them off at once


class Diverged(Exception):
    """A loss is not finite; the message says which tensor, at which update."""


class Learner:
    """An agent, the replay buffer that it learns from, and its pace."""

    def __init__(self, agent: Agent, replay: ReplayBuffer, pace: Pace, clock: Clock | None = None):
        self.agent, self.replay, self.pace, self.clock = agent, replay, pace, clock or Clock()
        self.owed = 0  # draws that are due
        self.version = 0  # version of the weights: increases with every optimizer step and every load
        self.learned: list[Learned] = []  # optimizer steps that nobody has taken yet
        self._running: Iterator[Learned] | None = None  # running `learn` of the agent
        self._quota = 0.0  # optimizer steps that `_running` owes by now, where the pace spreads them
        self._unchecked: list[tuple[int, Learned]] = []

    # -- rows --------------------------------------------------------------------------------------------------------

    def absorb(self, step: TimeStep, act: Act, columns: np.ndarray | None = None) -> None:
        """Stores a row of each of `columns` (all of them where None), and counts the draws that they make due."""
        self.replay.add(step, act, columns)
        self.is_due()

    def is_due(self, coming: int = 0) -> bool:
        """Are draws due, with `coming` rows more than there are? They are owed from now on."""
        self.owed += self.pace.draws_due(self.replay.added + coming)
        return self.owed > 0

    # -- learning ----------------------------------------------------------------------------------------------------

    def learn(self, until: float | None = None) -> None:
        """Makes the optimizer steps that are due: all that are owed, or a vector step's share of a spread `learn`.

        until: when to stop (`time.perf_counter`), between two optimizer steps; the rest stays owed, up to BACKLOG
        draws. What is more is dropped and counted: who learns too slowly for a game in real time never works it off.
        """
        if not self.pace.spread:
            self._work_off(until)
        else:
            if self.owed:
                self.begin()
            self._quota += self.pace.spread
            while self._quota >= 1 and self._running is not None and _in_time(until):
                self._quota -= 1
                self._one_step()
        if until is not None and self.owed > BACKLOG:
            self.clock.dropped += self.owed - BACKLOG
            self.owed = BACKLOG
        self.clock.lap("learn")

    def begin(self) -> None:
        """Begins a draw that is owed; the one before is brought to its end. Without overlap this one is, too."""
        self._finish()
        self._draw()
        if not self.agent.needs.overlap:
            self._finish()

    def study(self) -> bool:
        """Learns from one draw, where the pace wants the next step to be that and nothing else. Was it?"""
        if not self.pace.learns_offline():
            return False
        self.owed += 1
        self.drain()
        return True

    def push(self) -> bool:
        """One optimizer step of what is under way or owed, or the draw before it; False where there is none."""
        if self._running is None and not self.owed:
            return False
        self._draw() if self._running is None else self._one_step()
        return True

    def drain(self) -> None:
        """Brings everything that is under way or owed to its end."""
        self._work_off(None)
        self.clock.lap("learn")

    def _work_off(self, until: float | None) -> None:
        while _in_time(until) and self.push():
            pass

    def _draw(self) -> None:
        """Begins to learn from draws that are owed. While nothing can be drawn they are due for nothing."""
        draws = min(self.owed, self.agent.needs.together)
        self.owed -= draws
        batch = self.replay.sample(draws * self.agent.needs.batch)
        self.clock.lap("sample")
        if batch is not None:
            self._running, self._quota = self.agent.learn(batch), 0.0

    def _finish(self) -> None:
        while self._running is not None:
            self._one_step()
        self.clock.lap("learn")

    def _one_step(self) -> None:
        """One optimizer step of the running `learn`: counts it, and hands its priorities to the replay buffer."""
        learned = next(self._running, None)
        if learned is None:
            self._running = None
            return
        self.clock.updates += 1
        self.version += 1
        if learned.priority is not None:
            self.replay.update_priorities(*learned.priority)
        self.learned.append(learned)
        self._unchecked.append((self.clock.updates, learned))

    def take_learned(self) -> list[Learned]:
        """The optimizer steps since the last call."""
        taken, self.learned = self.learned, []
        return taken

    def check(self, patience: int | None = None) -> None:
        """Raises Diverged where a metric is not finite.

        patience: updates that may wait for it; by default 0, and many on a GPU, which is to be asked rarely.
        """
        if patience is None:
            patience = 0 if self.replay.device.type == "cpu" else 256
        if len(self._unchecked) <= patience:
            return
        for update, learned in self._unchecked:
            names = list(learned.metrics)
            values = [learned.metrics[k].detach().float() for k in names]
            finite = torch.isfinite(torch.stack(values)) if values else torch.ones(0, dtype=torch.bool)
            if not finite.all():
                bad = ", ".join(k for k, good in zip(names, finite.tolist(), strict=True) if not good)
                raise Diverged(f"{bad} is not finite at update {update} (step {self.clock.steps})")
        self._unchecked.clear()

    # -- weights and state -------------------------------------------------------------------------------------------

    def weights(self) -> Weights:
        """For actors elsewhere."""
        return Weights(self.version, self.agent.state_dict())

    def load_weights(self, state: dict[str, Any]) -> None:
        """Another run's weights."""
        self.agent.load_weights(state)
        self.version += 1

    def state_dict(self) -> dict[str, Any]:
        """While no `learn` is running."""
        return {"pace": self.pace.state_dict(), "owed": self.owed, "version": self.version}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.pace.load_state_dict(state["pace"])
        self.owed = state.get("owed", 0)
        self.version = state.get("version", self.clock.updates)  # older checkpoints have none


def _in_time(until: float | None) -> bool:
    return until is None or time.perf_counter() < until
