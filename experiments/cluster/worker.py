"""What runs in an actor of the cluster: games and an agent, built from the run's configuration."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

import envs
from agents.core.transport import Message


def place() -> str:
    """The name and the address of this machine, as the cluster knows it."""
    address = f" ({sys.modules['ray'].util.get_node_ip_address()})" if _is_connected() else ""
    return f"{platform.node()}{address}"


def node_id() -> str:
    """The cluster's name for this machine."""
    return sys.modules["ray"].get_runtime_context().get_node_id() if _is_connected() else ""


def _is_connected() -> bool:
    """Is this a process of a cluster? Ray would look for one by itself where it is asked for anything else first."""
    return "ray" in sys.modules and sys.modules["ray"].is_initialized()


class GameActor:
    """A block of columns of a run. columns: (first, how many) of them; actor: its number.

    named: the words that the person at the learner wrote, whose modules may be imported here, too.
    """

    def __init__(self, config: dict[str, Any], actor: int, columns: tuple[int, int], named: Iterable[str] = ()):
        envs.trust(named)
        self.config, self.actor, self.columns = config, actor, columns
        self.work: Any = None
        self.answer: tuple[bytes, dict[str, Any]] = (b"", {})

    def load(self) -> None:
        """Imports and compiles what games and agent of this run need: a spare actor has that behind it."""
        import torch

        from agents.core import collector  # noqa: F401
        from experiments import building

        building.module(self.config["agent"])
        one = {**self.config, "num_envs": 1}
        building.games(one, building.prepare(one, torch.device("cpu"))).close()

    def stand_in(self, actor: int, columns: tuple[int, int]) -> None:
        """A spare actor becomes the one with this number."""
        self.actor, self.columns, self.work = actor, columns, None

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
        self.answer = self._collect(words, weights)
        return self.answer

    def again(self) -> tuple[bytes, dict[str, Any]]:
        """The newest answer once more: it found no room in the object store."""
        return self.answer

    def _collect(self, words: bytes, weights: tuple[bytes, dict[str, np.ndarray]]) -> tuple[bytes, dict[str, Any]]:
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
