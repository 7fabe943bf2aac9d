"""`agents.core.transport.Transport` by Ray: an actor of Ray's for each actor, blocks and weights in its object store.

Weights are put into the store once per version, from where each node fetches them once for all its actors. An actor
that dies is started anew on whichever node has a processor left; where none has, it shares one of the learner's.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from agents.core.transport import Arrival, Message
from experiments import cli
from experiments.cluster import engine
from experiments.cluster.worker import GameActor

ALONE = 6.0  # seconds after which an actor that has found no processor of its own shares one
OPENING = 300.0  # seconds in which an actor must have built its games


class RayTransport:
    """See the module. columns: those of each actor, as one run of numbers; config: the run's configuration."""

    def __init__(self, config: dict[str, Any], columns: Sequence[np.ndarray], tell: Callable[[str], None]):
        self.ray, self.config, self.tell = engine.load(), config, tell
        self.columns = [(int(block[0]), len(block)) for block in columns]
        self.kind = self.ray.remote(max_restarts=0, max_task_retries=0)(GameActor)
        self.weights: Any = None  # reference to the weights in the object store
        self.answers: dict[Any, int] = {}  # reference to an answer that is awaited -> actor
        self.orders: list[tuple[bytes, Any] | None] = [None] * len(columns)  # the order that each has, and its weights
        self.actors: list[Any] = [None] * len(columns)
        self.opening: dict[int, tuple[Any, float]] = {}  # actor -> (what says that its process began, since when)
        self.places: dict[int, str] = {}  # actor -> id of its node
        for actor in range(len(columns)):
            self._start(actor)

    def _start(self, actor: int, processors: float = 1.0, node: str = "") -> None:
        chosen = self.kind.options(num_cpus=processors, scheduling_strategy=self._on(node) if node else "SPREAD")
        self.actors[actor] = chosen.remote(self.config, actor, self.columns[actor])
        self.opening[actor] = (self.actors[actor].begun.remote(), time.monotonic())

    @staticmethod
    def _on(node: str) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return NodeAffinitySchedulingStrategy(node, soft=True)

    def _replace(self, actor: int) -> None:
        """Starts an actor anew on a node that answers: with a processor of its own where one is left, else shared."""
        self.ray.kill(self.actors[actor])
        self.places.pop(actor, None)
        nodes = [node for node in engine.nodes() if node.answers()]
        taken = list(self.places.values())
        free = {node.id: node.processors - taken.count(node.id) for node in nodes}
        if (best := max(free, key=free.get, default="")) and free[best] >= 1:
            self._start(actor, 1.0, best)
            return
        self.tell(f"no processor is left for actor {actor}: it shares one")
        self._start(actor, 0.0, self.ray.get_runtime_context().get_node_id())

    def ready(self) -> list[str]:
        """Waits until every actor has built its games. Returns the node of each. Raises UserError."""
        nodes = []
        for actor, answer in enumerate([one.open.remote() for one in self.actors]):
            try:
                about = self.ray.get(answer, timeout=OPENING)
            except self.ray.exceptions.GetTimeoutError:
                raise cli.UserError(f"actor {actor} has not begun after {OPENING:.0f} s") from None
            except self.ray.exceptions.RayActorError as fault:
                raise cli.UserError(f"actor {actor} could not begin: {_reason(fault)}") from None
            if about["fault"]:
                raise cli.UserError(f"node {about['node']}: {about['fault']}")
            nodes.append(about["node"])
            self.places[actor] = about["id"]
        self.opening.clear()
        return nodes

    def publish(self, weights: Message) -> None:
        """See `Transport`."""
        with engine.storing():
            self.weights = self.ray.put(tuple(weights))

    def order(self, actor: int, words: bytes) -> None:
        """See `Transport`."""
        self.orders[actor] = (words, self.weights)
        self.answers[self.actors[actor].collect.remote(words, self.weights)] = actor

    def receive(self, seconds: float) -> Arrival | None:
        """See `Transport`."""
        self._share()
        if not self.answers:
            time.sleep(seconds)
            return None
        ready, _ = self.ray.wait(list(self.answers), num_returns=1, timeout=seconds)
        if not ready:
            return None
        actor, exceptions = self.answers.pop(ready[0]), self.ray.exceptions
        try:
            with engine.storing():
                return Arrival(actor, Message(*self.ray.get(ready[0])))
        except (exceptions.RayActorError, exceptions.ObjectLostError, exceptions.WorkerCrashedError) as fault:
            self._replace(actor)
            return Arrival(actor, None, _reason(fault))

    def _share(self) -> None:
        """An actor that found no processor of its own in time is started beside others, with the order that it has."""
        for actor, (answer, since) in list(self.opening.items()):
            if self.ray.wait([answer], timeout=0)[0]:
                del self.opening[actor]
                with contextlib.suppress(self.ray.exceptions.RayActorError):  # told where its answer is awaited
                    self.places[actor] = self.ray.get(answer)
            elif time.monotonic() - since > ALONE and self.ray.available_resources().get("CPU", 0.0) < 1:
                self.tell(f"no processor is left for actor {actor}: it shares one")
                self.answers = {answer: one for answer, one in self.answers.items() if one != actor}
                self.ray.kill(self.actors[actor])
                self._start(actor, 0.0)
                if self.orders[actor] is not None:
                    words, weights = self.orders[actor]
                    self.answers[self.actors[actor].collect.remote(words, weights)] = actor

    def close(self) -> None:
        """See `Transport`. A cluster of this machine alone ends, too."""
        self.answers.clear()
        engine.close()


def _reason(fault: Exception) -> str:
    text = str(fault)
    if "node" in text and ("died" in text or "dead" in text or "failed" in text):
        return "its node died"
    if "out of memory" in text.lower() or "OOM" in text:
        return "its node was short of memory"
    return "its process ended"
