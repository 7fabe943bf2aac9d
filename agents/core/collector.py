"""An actor elsewhere: environments of its own and an agent that acts for them, block after block of rows.

It is handed an order and the newest weights and answers with a message (`agents.core.transport`). Each row holds the
newest frame alone; stacks are made again where rows are read, so that a frame travels once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from agents.core.actor import Actor, Weights
from agents.core.clock import Clock
from agents.core.device import seed_array
from agents.core.replay import OWN
from agents.core.rows import Act, Agent
from agents.core.stream import Stream
from agents.core.transport import Message, unpacked

# Parts of an agent's state that decide how it acts: what `load_weights` of some agent reads.
ACTING = ("network", "average", "extra", "normalizer")
DONE = "done."  # prefix of the names of what was done at the row before the block


class Order(NamedTuple):
    """What a learner asks of an actor."""

    rows: int  # rows of each column
    boundary: bool  # True where the last row ends a rollout: it is acted on again, by the weights of the next order
    begin: tuple[int, ...]  # key of seeds with which games and agent begin anew before the first row; (): they go on
    steps: int  # the learner's clock
    updates: int
    budget: int | None

    def words(self) -> bytes:
        """As it travels."""
        return json.dumps(self._asdict()).encode()

    @classmethod
    def read(cls, words: bytes) -> Order:
        """An order that has travelled."""
        fields = json.loads(words)
        return cls(**{**fields, "begin": tuple(fields["begin"])})


class Collector:
    """What an actor elsewhere does. make(seed, clock): an untrained agent for the columns of `stream`.

    place: number of the actor; each draws random numbers of its own.
    """

    def __init__(self, stream: Stream, make: Callable[[int, Clock], Agent], place: int):
        self.stream, self.make, self.place = stream, make, place
        self.clock = Clock()
        self._open = False  # True where the newest row was sent, but what is done there is not decided yet
        self._version = -1  # version of the weights that were loaded

    def __call__(self, words: bytes, weights: Message) -> Message:
        """Carries out an order."""
        began, order = time.perf_counter(), Order.read(words)
        if order.begin:
            self._begin(order.begin)
        self.clock.steps, self.clock.updates, self.clock.budget = order.steps, order.updates, order.budget
        self._load(weights)
        rows, done, sent = self._collect(order)
        episodes = [[e.column, e.score, e.length, e.info] for e in self.stream.take_episodes()]
        about = {"version": self.actor.version, "anew": bool(order.begin), "sent": sent, "episodes": episodes}
        about["seconds"] = time.perf_counter() - began
        return Message(json.dumps(about).encode(), {**rows, **done})

    def _begin(self, key: tuple[int, ...]) -> None:
        """Everything anew, from the key alone: what is collected then depends on it, the orders and the weights."""
        self.actor = Actor(self.make(seed_of(key, self.place), self.clock), self.stream.spec, self.stream.columns)
        self.stream.reset(*key)
        self.stream.take_episodes()
        self._open, self._version = False, -1

    def _load(self, weights: Message) -> None:
        version = json.loads(weights.words)["version"]
        if version != self._version:
            state = unpacked(weights, lambda array: torch.from_numpy(np.array(array)))
            self.actor.load(Weights(version, state))
            self._version = version

    def _collect(self, order: Order) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], int]:
        """(rows [L, n, ...], what is done at the row before them [n, ...], vector steps made)."""
        actor, stream, kept, done, sent = self.actor, self.stream, [], {}, 0
        if self._open:
            act = actor.act()
            done = {f"{DONE}{name}": _host(value) for name, value in _done(act).items()}
            stream.send(act)
            stream.receive()
            self._open, sent = False, 1
        while True:
            step, act = stream.step, actor.act()
            row = {"obs": step.obs[:, -1], "reward": step.reward, "discount": step.discount, "first": step.first}
            row |= {"last": step.last} | ({} if step.legal is None else {"legal": step.legal}) | _done(act)
            kept.append({name: _host(value) for name, value in row.items()})
            if order.boundary and len(kept) == order.rows:
                self._open = True
                break
            stream.send(act)
            stream.receive()
            sent += 1
            if len(kept) == order.rows:
                break
        return {name: np.stack([row[name] for row in kept]) for name in kept[0]}, done, sent


def seed_of(key: tuple[int, ...], place: int) -> int:
    """The seed of the agent that acts at `place` after it began with `key`; the first one's is the run's own."""
    seed, *later = key
    return seed if not place and not any(later) else int(seed_array(1, seed, *later, place + 1)[0])


def _done(act: Act) -> dict[str, Any]:
    if not OWN.isdisjoint(act.extras):
        raise ValueError(f"the extra columns {', '.join(sorted(OWN & act.extras.keys()))} have names of a row's own")
    return {"action": act.action, **act.extras}


def _host(value: Any) -> np.ndarray:
    return value.detach().cpu().numpy()
