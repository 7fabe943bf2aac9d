"""`agents.core.transport.Transport` by Ray: an actor of Ray's for each actor, blocks and weights in its object store.

Weights are put into the store once per version, from where each node fetches them once for all its actors. An actor
that dies is started anew on whichever node has a processor left; where none has, it shares one of the learner's. There,
beside the learner of a cluster of several machines, a spare process waits with everything loaded.

A store that others have filled is waited for: an actor keeps its newest block until that has found room.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import envs
from agents.core.transport import Arrival, Message, TransportFault
from experiments import cli
from experiments.cluster import engine
from experiments.cluster.worker import GameActor

OPENING = 300.0  # seconds in which an actor must have built its games
FULL = 60.0  # seconds that a full object store is waited for
PAUSE = 0.5  # seconds between two tries to store something
FETCHING = 20.0  # seconds after which a block that is there and does not come finds no room in this node's store


class RayTransport:
    """See the module. columns: those of each actor, as one run of numbers; config: the run's configuration.

    first: number of the first actor, where other processes of the run have others.
    """

    def __init__(
        self, config: dict[str, Any], columns: Sequence[np.ndarray], tell: Callable[[str], None], first: int = 0
    ):
        self.ray, self.config, self.tell, self.first = engine.load(), config, tell, first
        self.columns = [(int(block[0]), len(block)) for block in columns]
        self.kind = self.ray.remote(max_restarts=0, max_task_retries=0)(GameActor)
        self.weights: Any = None  # reference to the weights in the object store
        self.answers: dict[Any, int] = {}  # reference to an answer that is awaited -> actor
        self.actors: list[Any] = [None] * len(columns)
        self.full: float | None = None  # time since which the object store has had no room
        self.told = float("-inf")  # time at which that was told last
        self.stuck: float | None = None  # time since which a block that is there has not come
        self.places: dict[int, str] = {}  # actor -> id of its node
        self.here = self.ray.get_runtime_context().get_node_id()
        self.spare: Any = None  # actor without columns, which takes the place of another
        for actor in range(len(columns)):
            self._start(actor)

    def _start(self, actor: int, node: str = "") -> None:
        """Starts an actor; with `node` one that takes another's place there.

        That one asks Ray for no processor: Ray counts those of a node that died for ten seconds more, and who asks for
        one may wait as long. The lab counts those of its actors itself.
        """
        options = self._on(node) if node else {"num_cpus": 1, "scheduling_strategy": "SPREAD"}
        self.actors[actor] = self._new(actor, options)

    def _new(self, actor: int, options: dict[str, Any]) -> Any:
        number = self.first + actor
        return self.kind.options(**options).remote(self.config, number, self.columns[actor], sorted(envs.named()))

    @staticmethod
    def _on(node: str) -> dict[str, Any]:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return {"num_cpus": 0, "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=True)}

    def _prepare(self) -> None:
        """Has a spare actor loaded beside the learner, where there are other machines, which may die."""
        if len(engine.nodes()) > 1:
            self.spare = self._new(0, self._on(self.here))
            self.spare.load.remote()

    def _replace(self, actor: int) -> None:
        """Starts an actor anew on a node that answers: on a processor of its own where one is left, else it shares."""
        self.ray.kill(self.actors[actor])
        self.places.pop(actor, None)
        nodes = [node for node in engine.nodes() if node.answers()]
        taken = list(self.places.values())
        free = {node.id: node.processors - taken.count(node.id) for node in nodes}
        if (best := max(free, key=free.get, default="")) and free[best] >= 1:
            self.places[actor] = best
            self._start(actor, best)
            return
        self.tell(f"no processor is left for actor {self.first + actor}: it shares one")
        self.places[actor] = self.here
        if self.spare is None:
            self._start(actor, self.here)
            return
        self.actors[actor] = self.spare
        self.spare.stand_in.remote(self.first + actor, self.columns[actor])
        self._prepare()

    def ready(self) -> list[str]:
        """Waits until every actor has built its games. Returns the node of each. Raises UserError."""
        nodes = []
        for actor, answer in enumerate([one.open.remote() for one in self.actors]):
            try:
                about = self.ray.get(answer, timeout=OPENING)
            except self.ray.exceptions.GetTimeoutError:
                raise cli.UserError(f"actor {self.first + actor} has not begun after {OPENING:.0f} s") from None
            except self.ray.exceptions.RayActorError as fault:
                raise cli.UserError(f"actor {self.first + actor} could not begin: {_reason(fault)}") from None
            if about["fault"]:
                raise cli.UserError(f"node {about['node']}: {about['fault']}")
            nodes.append(about["node"])
            self.places[actor] = about["id"]
        self._prepare()
        return nodes

    def publish(self, weights: Message) -> None:
        """See `Transport`. Raises TransportFault where there is no room for them."""
        while True:
            try:
                self.weights = self.ray.put(tuple(weights))
            except engine.full():
                self._wait_for_room()
            else:
                self.full = None
                return

    def order(self, actor: int, words: bytes) -> None:
        """See `Transport`."""
        self.answers[self.actors[actor].collect.remote(words, self.weights)] = actor

    def receive(self, seconds: float) -> Arrival | None:
        """See `Transport`. Raises TransportFault where blocks have found no room for long."""
        if not self.answers:
            time.sleep(seconds)
            return None
        ready, _ = self.ray.wait(list(self.answers), num_returns=1, timeout=seconds)
        if not ready:
            self._look_for_room()
            return None
        actor, exceptions, self.stuck = self.answers.pop(ready[0]), self.ray.exceptions, None
        try:
            message = Message(*self.ray.get(ready[0]))
        except engine.full():
            self._wait_for_room()
            self.answers[self.actors[actor].again.remote()] = actor
            return None
        except (exceptions.RayActorError, exceptions.ObjectLostError, exceptions.WorkerCrashedError) as fault:
            self._replace(actor)
            return Arrival(actor, None, _reason(fault))
        self.full = None
        return Arrival(actor, message)

    def _look_for_room(self) -> None:
        """Nothing has come: does a block lie on another node, for which there is no room on this one?"""
        if not self.ray.wait(list(self.answers), timeout=0, fetch_local=False)[0]:
            self.stuck = None
            return
        self.stuck = self.stuck or time.monotonic()
        if time.monotonic() - self.stuck > FETCHING:
            self._wait_for_room()

    def _wait_for_room(self) -> None:
        """The object store is full: waits for a moment. Raises TransportFault where it has been full for long."""
        now = time.monotonic()
        if self.full is None:
            self.full = now
        if now - self.told > FULL:
            self.told = now
            self.tell(f"the object store of the cluster is full: it is waited for, up to {FULL:.0f} s")
        if now - self.full > FULL:
            raise TransportFault(
                f"the object store of the cluster has been full for {FULL:.0f} s: fewer --num-envs or a shorter"
                " --rollout needs less, and `ray start --object-store-memory` gives more"
            )
        time.sleep(PAUSE)

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
