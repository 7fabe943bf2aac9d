"""What runs in an actor of the cluster: games and an agent, built from the run's configuration."""

from __future__ import annotations

import json
import os
import platform
import sys
from typing import Any

import numpy as np

from agents.core.transport import Message


def place() -> str:
    """The name and the address of this machine, as the cluster knows it."""
    address = "" if "ray" not in sys.modules else f" ({sys.modules['ray'].util.get_node_ip_address()})"
    return f"{platform.node()}{address}"


def node_id() -> str:
    """The cluster's name for this machine."""
    return sys.modules["ray"].get_runtime_context().get_node_id() if "ray" in sys.modules else ""


class GameActor:
    """A block of columns of a run. columns: (first, how many) of them; actor: its number."""

    def __init__(self, config: dict[str, Any], actor: int, columns: tuple[int, int]):
        self.config, self.actor, self.columns = config, actor, columns
        self.work: Any = None

    def begun(self) -> str:
        """Answers as soon as its process is there. Returns the id of its node."""
        return node_id()

    def open(self) -> dict[str, Any]:
        """Builds games and agent. Returns where it is, and the sentence of what was missing, if anything was."""
        about = {"node": place(), "id": node_id(), "pid": os.getpid(), "fault": ""}
        try:
            if self.work is None:
                self.work = self._collector()
        except self._known() as fault:
            about["fault"] = " ".join(str(fault).split())
        return about

    def collect(self, words: bytes, weights: tuple[bytes, dict[str, np.ndarray]]) -> tuple[bytes, dict[str, Any]]:
        """Carries out an order; see `agents.core.collector`. A fault of the game is told in the words."""
        if told := self.open()["fault"]:
            return json.dumps({"fault": told}).encode(), {}
        try:
            return tuple(self.work(words, Message(*weights)))
        except self._known() as fault:
            return json.dumps({"fault": f"{place()}: {' '.join(str(fault).split())}"}).encode(), {}

    @staticmethod
    def _known() -> tuple[type[Exception], ...]:
        """Faults of games and of this machine, which are one sentence; all others are ours, with their traceback."""
        from agents.core.stream import RowFault
        from envs import UnknownGame
        from envs.gym_check import GameFault

        return RowFault, GameFault, UnknownGame, ImportError, MemoryError, ValueError

    def _collector(self) -> Any:
        import torch

        from agents.core.collector import Collector
        from agents.core.stream import Stream
        from experiments import building

        first, count = self.columns
        cpu, mine = torch.device("cpu"), {**self.config, "num_envs": count}
        env = building.prepare(mine, cpu)
        if env.get("env_threads"):
            env["env_threads"] = 1
        torch.set_num_threads(1)
        stream = Stream(building.games(mine, env), cpu, block=(first, self.config["num_envs"]))

        def make(seed: int, clock: Any) -> Any:
            agent = building.build_agent({**mine, "seed": seed}, stream.spec, clock, cpu)
            stream.info_wanted = tuple(agent.needs.info)
            return agent

        return Collector(stream, make, self.actor)
