"""The one training loop: act -> send -> remember and learn -> receive. It knows no algorithm and no game.

The environments step while the learner works, in one Python thread, so runs stay deterministic.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch

from agents.core.clock import Clock
from agents.core.pace import Pace
from agents.core.replay import ReplayBuffer
from agents.core.rows import Act, Agent, Learned
from agents.core.stream import Episode, Stream


class Moment(NamedTuple):
    """What hooks are told after each vector step, and after a barrier that had to learn."""

    clock: Clock
    episodes: list[Episode]  # finished in this step
    learned: list[Learned]  # optimizer steps since the last moment
    agent: Agent


class Diverged(Exception):
    """A loss is not finite; the message says which tensor, at which update."""


class Loop:
    """Agent, environments and memory, and what is under way between them."""

    def __init__(self, agent: Agent, stream: Stream, replay: ReplayBuffer, clock: Clock, *, seed: int):
        self.agent, self.stream, self.replay, self.clock, self.seed = agent, stream, replay, clock, seed
        self.pace: Pace = agent.needs.pace
        self.memory: Any = None  # recurrent state of the actor
        self._learning: Iterator[Learned] | None = None  # a `learn` that is spread over vector steps
        self._quota = 0.0  # optimizer steps that it owes by now
        self._learned: list[Learned] = []  # since the last vector step
        self._unchecked: list[tuple[int, Learned]] = []
        self._newest = "fresh"  # row: of a reset; then "open", "stored" once it was acted on, or "sealed"

    def train(
        self,
        *,
        hooks: Sequence[Callable[[Moment], None]] = (),
        barrier: int = 0,
        save: Callable[[], None] = lambda: None,
        stop: Callable[[], bool] = lambda: False,
        wanted: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Trains until the budget is spent (True) or `stop` says so (False). Both end in a barrier and a `save`.

        barrier: steps between barriers, 0 for none but the last. wanted: asks for one more, now.
        """
        clock, stream = self.clock, self.stream
        if stream.step is None:
            stream.reset(self.seed, clock.steps)
        started, before = time.perf_counter(), clock.seconds
        away = clock.away
        while clock.budget is None or clock.steps < clock.budget:
            passed = clock.steps
            self.advance()
            clock.seconds = before + time.perf_counter() - started - (clock.away - away)
            self._tell(hooks)
            if stop():
                self._halt(hooks, save)
                return False
            due = (barrier and clock.steps // barrier > passed // barrier) or wanted()
            if due and (clock.budget is None or clock.steps < clock.budget):
                self._halt(hooks, save)
        self._halt(hooks, save)
        return True

    def _halt(self, hooks: Sequence[Callable[[Moment], None]], save: Callable[[], None]) -> None:
        self.barrier()
        if self._learned:
            self._tell(hooks)
        save()

    def _tell(self, hooks: Sequence[Callable[[Moment], None]]) -> None:
        moment = Moment(self.clock, self.stream.take_episodes(), self._learned, self.agent)
        self._learned = []
        for hook in hooks:
            hook(moment)

    def advance(self) -> None:
        """One vector step: act, send, remember and learn beside it, receive. Or one draw without the environments."""
        self.clock.lap()
        if self.pace.learns_offline():
            self.clock.steps += 1
            self._begin()
            self._drain()
            self._check(patience=0 if self.replay.device.type == "cpu" else 256)
            return
        act, draws = self._act()
        self.clock.lap("act")
        self.stream.send(act)
        self.clock.lap("env")
        self.clock.steps += self.stream.num_envs
        self._remember(act, draws)
        self._newest = "stored"
        if self._learning is not None:
            self._quota += self.pace.spread
            while self._quota >= 1 and self._learning is not None:
                self._quota -= 1
                self._absorb(next(self._learning, None))
        self._check(patience=0 if self.replay.device.type == "cpu" else 256)
        self.clock.lap("learn")
        self.stream.receive()
        self._newest = "open"
        self.clock.lap("env")

    def barrier(self) -> None:
        """Drains a running `learn`; resets environments that cannot be saved, and seals their columns.

        It happens in every run, so that a killed and resumed run equals one that was not.
        """
        self.clock.lap()
        self._drain()
        if not self.stream.exact:
            self._seal()
            self.stream.reset(self.seed, self.clock.steps)
            self._newest = "fresh"
        self._check(patience=0)

    def abandon(self) -> bool:
        """After a fault of the environments: ends as a barrier does, without them. Is there anything to save?

        Environments that are saved themselves are not what they were at any row: then there is not.
        """
        if self.stream.exact or self.stream.step is None:
            return False
        if self._newest == "stored":  # the step that it was to lead to has not come
            self.clock.steps -= self.stream.num_envs
        self._seal()
        self._check(patience=0)
        return True

    def _seal(self) -> None:
        """Stores the newest row, as the last one of a time limit; one that a reset has brought leads nowhere yet."""
        if self._newest == "fresh":
            return
        if self._newest == "open":
            self._remember(*self._act())
        self._drain()
        if self._newest != "sealed":
            self.replay.seal()
        self._newest, self.memory = "sealed", None

    def _act(self) -> tuple[Act, int | None]:
        """Acts on the newest row. Also the draws that it makes due, None if it is stored and learned from already.

        The row that ends a rollout is: it also begins the next one, and the weights that are to collect that one are
        chosen by `learn` when it is called. Every other row is stored while the environments step.
        """
        step = self.stream.step
        act = self.agent.act(step, self.memory)
        draws: int | None = self.pace.draws_due(self.replay.added + self.stream.num_envs)
        if draws and self.pace.rewrites_boundary:
            self.clock.lap("act")
            self.replay.add(step, act)
            self._drain()
            self._begin()
            draws = None
            if not self.agent.needs.overlap:  # learn before acting on
                self._drain()
            act = self.agent.act(step, self.memory)
            self.replay.amend(act)
        self.memory = act.memory
        return act, draws

    def _remember(self, act: Act, draws: int | None) -> None:
        """Stores the newest row; then learns from as many draws, of which the agent may take some together."""
        if draws is None:
            return
        self.replay.add(self.stream.step, act)
        while draws:
            some = min(draws, self.agent.needs.together)
            self._begin(some)
            self._drain()
            draws -= some

    def _begin(self, draws: int = 1) -> None:
        batch = self.replay.sample(draws * self.agent.needs.batch)
        self.clock.lap("sample")
        if batch is not None:  # what was due while nothing could be drawn is not owed later
            self._learning, self._quota = self.agent.learn(batch), 0.0

    def _drain(self) -> None:
        while self._learning is not None:
            self._absorb(next(self._learning, None))
        self.clock.lap("learn")

    def _absorb(self, learned: Learned | None) -> None:
        """Counts one optimizer step and hands its priorities to the memory; None: `learn` has come to its end."""
        if learned is None:
            self._learning = None
            return
        self.clock.updates += 1
        if learned.priority is not None:
            self.replay.update_priorities(*learned.priority)
        self._learned.append(learned)
        self._unchecked.append((self.clock.updates, learned))

    def _check(self, patience: int) -> None:
        """Raises Diverged where a metric is not finite. On a GPU it waits for `patience` updates, to sync rarely."""
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

    def refill(self) -> None:
        """After a resume without the ring. Games do not go on in their midst: the frames of their stacks are lost."""
        self.replay.filling = self.clock.steps
        self.pace.restart()
        self.stream.reset(self.seed, self.clock.steps)
        self.memory, self._newest = None, "fresh"

    def state_dict(self) -> dict[str, Any]:
        """At a barrier only: no `learn` is under way."""
        return {"pace": self.pace.state_dict(), "memory": self.memory}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.pace.load_state_dict(state["pace"])
        memory = state["memory"]
        self.memory = memory.to(self.replay.device) if isinstance(memory, torch.Tensor) else memory
