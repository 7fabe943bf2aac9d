"""Programs of the lab on the nodes of a cluster, for `sweep --cluster` and `suite --cluster`.

One way, plain tasks of Ray's: who draws the trials and keeps the table stays here, with its own study, locks and run
folders, and starts each training as `experiments.child` starts one here, on whichever node has processors left. The
folder must be one that every node sees (a network file system): runs are written where they are looked for, a trial
whose node died is gone on with from its checkpoint, and nothing is copied. (Ray Tune would bring a second study, a
second folder layout and a checkpoint format of its own.)
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from experiments import child, cli
from experiments.cluster import engine

PERIOD = 0.5  # seconds between two questions whether a program has ended


class ProgramActor:
    """Starts a program of the lab where it is and watches it: what runs in an actor of Ray's."""

    def __init__(self) -> None:
        self.process: Any = None

    def start(self, program: str, argv: list[str], log: str) -> str:
        """Begins it; its threads are planned by OMP_NUM_THREADS, which Ray sets. Returns the machine's name."""
        self.process = child.start(program, argv, Path(log), ready=child.end_with_parent)
        return os.uname().nodename

    def ended(self, seconds: float) -> int | None:
        """Its exit code, None while it runs; waits for it so long."""
        with contextlib.suppress(child.subprocess.TimeoutExpired):
            return self.process.wait(seconds)
        return None

    def send(self, number: int) -> None:
        """A signal."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def sees(self, path: str) -> bool:
        """Is this file there, for this node?"""
        return os.path.exists(path)


class RemoteProgram:
    """A program on some node: what `subprocess.Popen` offers of it, as far as `sweep` and `suite` ask."""

    def __init__(self, ray: Any, actor: Any):
        self.ray, self.actor = ray, actor
        self.returncode: int | None = None
        self.lost = False  # True where its node or the process that watched it died: its run can be gone on with

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        return self._ask(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it has ended. Raises TimeoutExpired."""
        end = None if timeout is None else time.monotonic() + timeout
        while (code := self._ask(PERIOD)) is None:
            if end is not None and time.monotonic() >= end:
                raise child.subprocess.TimeoutExpired("the program", timeout)
        return code

    def send_signal(self, number: int) -> None:
        """As to a process of this machine."""
        if self.returncode is None:
            with contextlib.suppress(self.ray.exceptions.RayActorError):
                self.ray.get(self.actor.send.remote(int(number)))

    def kill(self) -> None:
        """At once."""
        self.send_signal(signal.SIGKILL)

    def _ask(self, seconds: float) -> int | None:
        if self.returncode is None:
            try:
                self.returncode = self.ray.get(self.actor.ended.remote(seconds))
            except self.ray.exceptions.RayActorError:
                self.lost, self.returncode = True, -int(signal.SIGTERM)
            if self.returncode is not None:
                self.ray.kill(self.actor)  # its processors are free for the next one
        return self.returncode


class ClusterPrograms:
    """Starts programs on the nodes of a cluster, `processors` for each. Raises UserError for what cannot work.

    folder: where they write, which every node must see.
    """

    def __init__(self, where: str, folder: Path, processors: int = 1):
        self.ray, self.processors = engine.load(), processors
        nodes = engine.connect(where)
        engine.require_processors(nodes, processors, where)
        engine.check_versions(nodes)
        self.kind = self.ray.remote(max_restarts=0)(ProgramActor)
        self.count = sum(int(node.processors // processors) for node in nodes)  # programs side by side
        self._require_seen(nodes, folder)

    def _require_seen(self, nodes: list[engine.ClusterNode], folder: Path) -> None:
        """Raises UserError for a node that does not see the folder."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

        folder.mkdir(parents=True, exist_ok=True)
        probe = folder.resolve() / f".seen-{secrets.token_hex(8)}"
        probe.touch()
        try:
            for node in nodes:
                one = self.kind.options(num_cpus=0, scheduling_strategy=On(node.id, soft=False)).remote()
                if not self.ray.get(one.sees.remote(str(probe)), timeout=engine.ANSWER):
                    raise cli.UserError(
                        f"node {node.name} does not see {folder.resolve()}: with --cluster it must lie on a file system"
                        " that all nodes share"
                    )
                self.ray.kill(one)
        finally:
            probe.unlink()

    def start(
        self, program: str, argv: Sequence[object], log: Path, *, cores: Collection[int] = (),
        keep: Collection[int] = (),
    ) -> RemoteProgram:  # fmt: skip
        """As `child.start`, on some node: waits until one has processors left. The locks stay with this process."""
        words = [str(word.resolve()) if isinstance(word, Path) else str(word) for word in argv]
        actor = self.kind.options(num_cpus=self.processors, scheduling_strategy="SPREAD").remote()
        job = RemoteProgram(self.ray, actor)
        try:
            self.ray.get(actor.start.remote(program, words, str(log.resolve())))
        except self.ray.exceptions.RayActorError:
            job.lost, job.returncode = True, -int(signal.SIGTERM)
        return job
