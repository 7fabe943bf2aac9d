"""The price of a machine that dies: of two nodes of a cluster on this one, one is killed while an agent learns."""

from __future__ import annotations

import threading
import time
from typing import Any

import torch

from experiments.benchmarks.contenders.apart import Meter

STORE = 2**28  # bytes of the object store of each node


def killed(config: dict[str, Any]) -> Meter:
    """A meter that trains for so many seconds, kills a node without a word, and counts the seconds until the actor that
    was there plays again: (1, seconds). config: of a run with two actors."""
    from experiments.cluster import assembling, engine

    engine.load(here=True)
    from ray.cluster_utils import Cluster

    head = {"include_dashboard": False, "object_store_memory": STORE}
    both = engine.patiently(lambda: Cluster(initialize_head=True, head_node_args=head))
    other = engine.patiently(lambda: both.add_node(object_store_memory=STORE))
    parts = assembling.assemble({**config, "cluster": both.address}, torch.device("cpu"))
    told: list[str] = []
    parts.loop.tell = told.append

    def advance() -> None:
        parts.loop.advance()
        parts.stream.take_episodes()
        parts.loop.learner.take_learned()

    def measure(seconds: float) -> tuple[int, float]:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            advance()
        began = time.perf_counter()
        threading.Thread(target=both.remove_node, args=(other, False)).start()
        while not any("plays again" in text for text in told):
            advance()
        taken = time.perf_counter() - began
        engine.close()
        both.shutdown()  # Ray keeps the address of its newest cluster, which --cluster auto would look for
        return 1, taken

    return measure
