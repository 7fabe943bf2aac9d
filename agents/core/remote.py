"""The loop of a learner whose actors are elsewhere: blocks of rows come in, orders and weights go out.

It is to `agents.core.training` what `agents.core.loop.Loop` is, and knows neither algorithm nor game nor what carries
the messages (`agents.core.transport`). Each actor fills columns of its own of the one ring.

An agent that learns from rollouts is given one of every actor at a time, its k-th. They are collected while it learns
from the ones before, with the weights of the moment when that began, as in one process; where the order of arrival may
count (not `in_order`) an actor goes on with the newest weights as soon as its rollout has come, one rollout ahead of
the slowest at most. Other agents learn after each block, as much as it makes due; an actor waits while that is done.

In order, everything that is learned is a function of the seed and the configuration: blocks are taken in turn, each
collected with weights that are fixed by its number. At a barrier every actor begins anew from the run's seed and the
step alone, so that nothing of it has to be saved.

Where several processes learn together (`agents.core.parallel`) each has such a loop, with a share of the actors and of
their columns. They wait for one another at each rollout, and count steps and rows of all.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from agents.core import parallel
from agents.core.clock import Clock
from agents.core.collector import ACTING, DONE, Order
from agents.core.learner import Learner
from agents.core.replay import ReplayBuffer
from agents.core.rows import Act, Agent, Spec, TimeStep
from agents.core.stream import Episode, RowFault
from agents.core.transport import Arrival, Message, Transport, packed

BLOCK = 32  # rows of each column in a block, for agents that do not learn from rollouts
PATIENCE = 1.0  # seconds of one wait for an answer
REMINDER = 30.0  # seconds between two words of waiting
SHOWN = 4  # columns of which the newest rows are shown


class RemoteStream:
    """What a run knows of environments that are elsewhere. envs: one of them here, for what it says of itself."""

    exact = real_time = False  # games begin anew at a barrier
    deadline = None

    def __init__(self, envs: Any, spec: Spec, num_envs: int, device: torch.device):
        self.envs, self.spec, self.num_envs, self.device = envs, spec, num_envs, device
        self.episodes: list[Episode] = []
        self.newest: Callable[[], TimeStep | None] = lambda: None
        self.ended: Callable[[], None] = lambda: None

    @property
    def step(self) -> TimeStep | None:
        """The newest rows of some columns, as the network sees them."""
        return self.newest()

    def reset(self, *key: int) -> None:
        """Actors begin with their first order."""

    def take_episodes(self) -> list[Episode]:
        """The episodes that finished since the last call."""
        taken, self.episodes = self.episodes, []
        return taken

    def close(self) -> None:
        """Ends the actors."""
        self.ended()

    def state_dict(self) -> dict[str, Any]:
        """Nothing: see the module."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing: see the module."""


class StoredBlock(NamedTuple):
    """What came with a block that was stored."""

    steps: int  # vector steps, over its columns
    rows: int  # rows, over its columns
    size: int  # bytes
    lag: int  # optimizer steps between acting and storing


class Figures:
    """What is told of actors elsewhere, since the last time: of those of all processes that learn together."""

    def __init__(self, actors: int):
        self.actors = actors
        self._begin()

    def _begin(self) -> None:
        self._since, self._rows, self._bytes, self._lags = time.perf_counter(), 0.0, 0.0, 0.0
        self._most, self._alive = 0.0, float(self.actors)

    def add(self, rows: float, size: float, lags: float, most: float, alive: float) -> None:
        """Blocks that have come. lags: their lag, summed over rows; most: the largest; alive: actors that play."""
        self._rows, self._bytes, self._lags = self._rows + rows, self._bytes + size, self._lags + lags
        self._most, self._alive = max(self._most, most), min(self._alive, alive)

    def take(self) -> dict[str, float]:
        """Scalars by the names that they have in TensorBoard."""
        elapsed = max(time.perf_counter() - self._since, 1e-9)
        told = {"cluster/actors_alive": self._alive}
        if self._rows:
            told["cluster/rows_per_second_per_actor"] = self._rows / elapsed / self.actors
            told["cluster/bytes_per_row"] = self._bytes / self._rows
            told["cluster/policy_lag"] = self._lags / self._rows
            told["cluster/policy_lag_max"] = self._most
        self._begin()
        return told


class RemoteLoop:
    """See the module. actors: the number of this process's, at most that of columns. `tell` says a sentence."""

    def __init__(
        self, agent: Agent, stream: RemoteStream, replay: ReplayBuffer, clock: Clock, transport: Transport, *,
        seed: int, actors: int, in_order: bool,
    ):  # fmt: skip
        self.agent, self.stream, self.replay, self.clock, self.seed = agent, stream, replay, clock, seed
        self.transport, self.in_order = transport, in_order
        self.tell: Callable[[str], None] = lambda text: None
        self.learner = Learner(agent, replay, agent.needs.pace, clock)
        self.columns = np.array_split(np.arange(replay.num_envs), actors)  # columns of each actor
        self.first = parallel.rank() * actors  # number of its first actor, of those of all processes
        self.rollouts = agent.needs.pace.rewrites_boundary
        # Without overlap rows are to come from the newest weights: then nobody runs ahead.
        self.together = self.rollouts and (in_order or not agent.needs.overlap)
        self.lives = [0] * actors  # actors that each place has lost
        self.lost: dict[int, float] = {}  # actor that is being replaced -> time when the one before was found dead
        self.fewest = actors  # fewest actors that were alive at a time, since blocks were counted
        self.figures = Figures(actors * parallel.size())
        stream.newest, stream.ended = self._newest, transport.close
        self._restart()

    def _restart(self) -> None:
        """Every actor begins anew with its next order."""
        actors = len(self.columns)
        self.arrived: list[deque[Message]] = [deque() for _ in range(actors)]  # blocks that are not stored yet
        self.asked: list[Order | None] = [None] * actors  # the order that each actor has
        self.begins = [(self.seed, self.clock.steps)] * actors  # key with which each begins anew at its next order
        self.begun = [False] * actors  # actors that were given an order since
        self.turn = 0  # the actor whose block is next, in order
        self.published = -1  # version of the weights that were published last
        self.since = 0  # blocks stored since then

    # -- one step of a training ---------------------------------------------------------------------------------------

    def advance(self) -> None:
        """One rollout of every actor, or one block; and what it makes due."""
        self.clock.lap()
        self._order_all()
        if self.rollouts:
            self._rollout()
        else:
            self._block()
        self.learner.check()

    def _rollout(self) -> None:
        while not all(self.arrived):
            self._receive()
        self.clock.lap("env")
        self._count([self._store(actor) for actor in range(len(self.columns))])
        if self.learner.is_due():
            self.learner.begin()
        self._order_all()  # actors act with the present weights
        while self.learner.push():
            if not self.together:
                self._receive(wait=False)
        self.clock.lap("learn")

    def _block(self) -> None:
        while not (self.arrived[self.turn] if self.in_order else any(self.arrived)):
            self._receive()
        self.clock.lap("env")
        if not self.in_order:
            self.turn = next(actor for actor, blocks in enumerate(self.arrived) if blocks)
        self._count([self._store(self.turn)])
        self.learner.is_due()
        self._order(self.turn)
        self.turn = (self.turn + 1) % len(self.columns)
        self.learner.drain()

    # -- messages -----------------------------------------------------------------------------------------------------

    def _order_all(self) -> None:
        for actor in range(len(self.columns)):
            self._order(actor)

    def _order(self, actor: int) -> None:
        """Asks an actor for its next block, unless it has an order, is ahead of the others, or the budget is spent."""
        clock, ahead = self.clock, 0 if self.together or not self.rollouts else 1
        if self.asked[actor] is not None or len(self.arrived[actor]) > ahead:
            return
        if clock.budget is not None and clock.steps >= clock.budget:
            return
        rows = BLOCK
        if self.rollouts:  # the first window of a column begins with a row that ended no other
            first = not self.begun[actor] and not self.replay.count[self.columns[actor]].any()
            rows = self.agent.needs.window - (not first)
        self._publish()
        order = Order(rows, self.rollouts, self.begins[actor], clock.steps, clock.updates, clock.budget)
        self.asked[actor], self.begins[actor], self.begun[actor] = order, (), True
        self.transport.order(actor, order.words())

    def _publish(self) -> None:
        """Sends the weights where they have changed; not after each block of an agent that learns after each."""
        fresh = self.published >= 0 and not self.rollouts and self.since < len(self.columns)
        if fresh or self.published == self.learner.version:
            return
        state = self.learner.weights().state
        chosen = {name: state[name] for name in ACTING if name in state}
        self.transport.publish(packed(chosen, version=self.learner.version))
        self.published, self.since = self.learner.version, 0

    def _receive(self, wait: bool = True, more: bool = True) -> None:
        """Takes the next answer. wait: also one that has not come yet. more: an actor may run ahead with an order."""
        began, told = time.perf_counter(), 0.0
        while (arrival := self.transport.receive(PATIENCE if wait else 0.0)) is None:
            if not wait:
                return
            passed = time.perf_counter() - began
            if passed - told >= REMINDER:
                told = passed
                late = ", ".join(str(self.first + a) for a, order in enumerate(self.asked) if order is not None)
                self.tell(f"no rows for {passed:.0f} s; actors that were asked: {late}")
        if arrival.message is None:
            self._lose(arrival)
            return
        self.asked[arrival.actor] = None
        self.arrived[arrival.actor].append(arrival.message)
        if (since := self.lost.pop(arrival.actor, None)) is not None:
            self.tell(f"actor {self.first + arrival.actor} plays again, after {time.perf_counter() - since:.1f} s")
        if more and self.rollouts and not self.together:
            self._order(arrival.actor)

    def _lose(self, arrival: Arrival) -> None:
        """An actor died: the rows that it had not sent are dropped, and the one in its place begins anew."""
        actor, order = arrival.actor, self.asked[arrival.actor]
        self.lives[actor] += 1
        self.lost[actor] = time.perf_counter()
        self.fewest = min(self.fewest, len(self.columns) - len(self.lost))
        exact = ", and the run is not repeatable from here on" if self.in_order else ""
        self.tell(
            f"actor {self.first + actor} is lost ({arrival.reason}): its unfinished window of {order.rows} rows is"
            f" dropped and another actor takes its place{exact}"
        )
        self._publish()
        key = (self.seed, self.clock.steps, self.lives[actor])
        again = order._replace(begin=key, steps=self.clock.steps, updates=self.clock.updates)
        self.asked[actor] = again
        self.transport.order(actor, again.words())

    def _store(self, actor: int) -> StoredBlock:
        """Stores the oldest block that has come from an actor. Raises RowFault for one that tells a fault."""
        message = self.arrived[actor].popleft()
        about, columns = json.loads(message.words), self.columns[actor]
        if "fault" in about:
            raise RowFault(f"actor {self.first + actor}: {about['fault']}")
        rows = {name: array for name, array in message.arrays.items() if not name.startswith(DONE)}
        done = {
            name.removeprefix(DONE): torch.from_numpy(np.array(array)).to(self.replay.device)
            for name, array in message.arrays.items()
            if name.startswith(DONE)
        }
        if about["anew"]:
            self.replay.seal(columns)  # rows before these belong to a game that was cut
        elif done:
            self.replay.amend(Act(done.pop("action"), done), columns)
        self.replay.extend(rows, columns)
        self.stream.episodes += [Episode(int(columns[c]), *more) for c, *more in about["episodes"]]
        self.since += 1
        self.clock.lap()
        lag = self.learner.version - about["version"]
        return StoredBlock(about["sent"] * len(columns), len(rows["action"]) * len(columns), message.nbytes, lag)

    def _count(self, blocks: Sequence[StoredBlock]) -> None:
        """Counts blocks that were stored, and those that the other processes have stored at the same time."""
        own = [sum(b.steps for b in blocks), sum(b.rows for b in blocks), sum(b.size for b in blocks)]
        own += [sum(b.rows * b.lag for b in blocks), self.fewest]
        most = [0] * parallel.size()
        most[parallel.rank()] = max(b.lag for b in blocks)
        steps, rows, size, lags, alive, *every = parallel.total([*own, *most], self.replay.device)
        self.clock.steps += int(steps)
        self.figures.add(rows, size, lags, max(every), alive)
        self.fewest = len(self.columns) - len(self.lost)

    # -- barriers and state -------------------------------------------------------------------------------------------

    def barrier(self) -> None:
        """Takes what is under way, brings all learning to its end, and cuts the games: a time limit, nothing else.

        Afterwards every actor begins anew. A rollout that some actors have begun ahead of others is dropped, and so is
        what comes after a budget that was spent.
        """
        self.clock.lap()
        spent = self.clock.budget is not None and self.clock.steps >= self.clock.budget
        while any(order is not None for order in self.asked):
            self._receive(more=False)
        enough = all if self.rollouts else any
        while not spent and parallel.agreed(enough(self.arrived), self.replay.device):
            self.learner.drain()  # each rollout is learned from before the next one takes its place
            ready = [actor for actor in np.roll(np.arange(len(self.columns)), -self.turn) if self.arrived[actor]]
            self._count([self._store(actor) for actor in ready])
            self.learner.is_due()
        self._cut()
        self._restart()
        self.learner.check(patience=0)

    def abandon(self) -> bool:
        """After a fault of the environments: ends as a barrier does, without them. Is there anything to save?"""
        self._cut()
        self.learner.check(patience=0)
        return True

    def _cut(self) -> None:
        self.replay.seal()
        self.learner.drain()

    def refill(self) -> None:
        """After a resume without the ring."""
        self.replay.filling = self.clock.steps
        self.learner.pace.restart()
        self._restart()

    def _newest(self) -> TimeStep:
        """The newest rows of up to SHOWN columns; black ones before there are any."""
        ring, window = self.replay, self.replay.window
        held = np.flatnonzero(ring.count >= window + self.stream.spec.stack)[:SHOWN]
        if not len(held):
            shape = (1, self.stream.spec.stack, *self.stream.spec.obs_shape)
            nothing = torch.zeros(1)
            obs = torch.zeros(shape, dtype=getattr(torch, self.stream.spec.obs_dtype))
            return TimeStep(obs, nothing, nothing + 1, nothing.bool(), nothing.bool())
        starts = (ring.cursor[held] - window) % ring.length * ring.num_envs + held
        found = ring.windows(torch.from_numpy(starts).to(ring.device))
        own = (x[:, -1] for x in (found.obs, found.reward, found.discount, found.first, found.last))
        return TimeStep(*own)

    def state_dict(self) -> dict[str, Any]:
        """At a barrier only."""
        return {**self.learner.state_dict(), "memory": None}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.learner.load_state_dict(state)
        self._restart()
