"""One actor and one learner in lock-step: act -> send -> store and learn -> receive. No algorithm and no game is known.

The environments step while the learner works, in one Python thread, so runs stay deterministic.
"""

from __future__ import annotations

from typing import Any

import torch

from agents.core.actor import Actor
from agents.core.clock import Clock
from agents.core.learner import Diverged as Diverged
from agents.core.learner import Learner
from agents.core.replay import ReplayBuffer
from agents.core.rows import Act, Agent
from agents.core.stream import Stream


class Loop:
    """Agent, environments and replay buffer, and what is under way between them."""

    def __init__(self, agent: Agent, stream: Stream, replay: ReplayBuffer, clock: Clock, *, seed: int):
        self.agent, self.stream, self.replay, self.clock, self.seed = agent, stream, replay, clock, seed
        self.actor = Actor(agent, stream.spec, stream.columns)
        self.learner = Learner(agent, replay, agent.needs.pace, clock)
        # The newest row: "fresh" from a reset, "open" from a step, "stored" once it was acted on, "sealed" as a cut.
        self._newest = "fresh"

    def advance(self) -> None:
        """One vector step: act, send, store and learn meanwhile, receive. Or one draw without the environments."""
        clock, stream, learner = self.clock, self.stream, self.learner
        clock.lap()
        if learner.study():
            clock.steps += 1
            learner.check()
            return
        act = self._act()
        clock.lap("act")
        stream.send(act)
        clock.lap("env")
        clock.steps += stream.block[1]
        self._store(act)
        self._newest = "stored"
        learner.learn(stream.deadline)
        learner.check()
        clock.lap("learn")
        stream.receive()
        self._newest = "open"
        clock.lap("env")

    def _act(self) -> Act:
        """Acts on the newest row; on one that ends a rollout twice, where the pace says so (`rewrites_boundary`).

        That row also begins the next rollout, and the weights that are to collect that one are chosen when the agent
        begins to learn. Every other row is stored while the environments step.
        """
        act, learner = self.actor.act(), self.learner
        if self._newest != "sealed" and learner.pace.rewrites_boundary and learner.is_due(self.stream.num_envs):
            self.clock.lap("act")
            self._store(act)
            learner.begin()
            act = self.actor.act()
            self.replay.amend(act)
        return act

    def _store(self, act: Act) -> None:
        """Stores the newest row, once."""
        if self._newest in ("fresh", "open"):
            self.learner.absorb(self.stream.step, act)
            self._newest = "stored"

    def barrier(self) -> None:
        """Brings all learning to its end, and cuts the games that cannot be saved: a time limit, nothing else.

        Those begin anew; a game in real time cannot, so it goes on and the agent sees another episode begin. It happens
        in every run, so that a killed and resumed run equals one that was not.
        """
        self.clock.lap()
        self.learner.drain()
        if not self.stream.exact:
            self._seal()
            if not self.stream.real_time:
                self.stream.reset(self.seed, self.clock.steps)
                self._newest = "fresh"
            elif self._newest == "sealed":
                self.stream.cut()
        self.learner.check(patience=0)

    def abandon(self) -> bool:
        """After a fault of the environments: ends as a barrier does, without them. Is there anything to save?

        Environments that are saved themselves are not what they were at any row: then there is not.
        """
        if self.stream.exact or self.stream.step is None:
            return False
        if self._newest == "stored":  # the step that it was to lead to has not come
            self.clock.steps -= self.stream.block[1]
        self._seal()
        self.learner.check(patience=0)
        return True

    def _seal(self) -> None:
        """Stores the newest row, as the last one of a time limit; one that a reset has brought leads nowhere yet."""
        if self._newest == "fresh":
            return
        if self._newest == "open":
            self._store(self._act())
        if self._newest != "sealed":
            self.replay.seal()  # the seal comes before the learning: what is done there is never executed
        self.learner.drain()
        self._newest = "sealed"
        self.actor.begin()

    def refill(self) -> None:
        """After a resume without the ring. Episodes are restarted: without it their frame stacks cannot be rebuilt."""
        self.replay.filling = self.clock.steps
        self.learner.pace.restart()
        self.stream.reset(self.seed, self.clock.steps)
        self._newest = "fresh"
        self.actor.begin()

    def state_dict(self) -> dict[str, Any]:
        """At a barrier only: no `learn` is under way."""
        return {**self.learner.state_dict(), "memory": self.actor.memory}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.learner.load_state_dict(state)
        memory = state["memory"]
        self.actor.memory = memory.to(self.replay.device) if isinstance(memory, torch.Tensor) else memory
