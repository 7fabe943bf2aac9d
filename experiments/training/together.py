"""A run that several processes train: which has what, and where they must agree.

    torchrun --nproc-per-node 2 -m experiments.train GAME --agent ppo --num-envs 16 --steps 1000000
    python -m experiments.train GAME --cluster auto --actors 16 --gpus-per-learner 2

The first process keeps the run folder as a single one does, and says everything. The others keep their own rows and
random numbers in its folder ``ranks``. Signals, budgets and saves are agreed upon every PERIOD vector steps.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from agents import BASELINES, settings
from agents.core import checkpoint, parallel, training
from agents.core.remote import RemoteLoop
from agents.core.run import Run
from agents.core.training import Moment
from experiments import building, cli
from experiments.training import hooks

PERIOD = 32  # vector steps between two agreements
FOLDER = "ranks"  # folder in the run's, with what each process but the first keeps


def begin(config: dict[str, Any], device: torch.device) -> torch.device:
    """Joins the other processes. Returns this one's device. Raises UserError for what they cannot learn together."""
    count = parallel.asked()
    if count == 1:
        if config.get("processes", 1) > 1:
            raise cli.UserError(f"it is a run of {config['processes']} processes: {command(config['processes'])}")
        return device
    refuse(config, count)
    if device.type == "cuda" and device.index is None:
        if parallel.place() >= torch.cuda.device_count():
            raise cli.UserError(f"torchrun started more processes than the {torch.cuda.device_count()} GPUs here")
        device = torch.device("cuda", parallel.place())
        torch.cuda.set_device(device)
    parallel.begin(device)
    return device


def command(count: int) -> str:
    """How a run of so many processes is started."""
    return f"torchrun --nproc-per-node {count} -m experiments.train ..."


def refuse(config: dict[str, Any], count: int) -> None:
    """Raises UserError for a run that several processes cannot learn."""
    agent, known, gpus = config["agent"], config.get("processes"), config.get("gpus_per_learner", 0)
    asker = f"--gpus-per-learner {gpus}" if gpus else "torchrun"
    if gpus and gpus != count:
        raise cli.UserError(f"{asker}: torchrun started {count} processes; name one of the two")
    if known is not None and known != count:
        raise cli.UserError(f"it is a run of {known} processes, and torchrun started {count}: {command(known)}")
    if known is None and "machine" in config:  # the run has begun
        raise cli.UserError("it is a run of one process; --init starts another from its weights")
    taught = getattr(settings(agent), "NEEDS_TEACHER", False)
    rollouts = "rollout" in config["agent_config"]
    if agent in BASELINES or not (taught or rollouts):
        raise cli.UserError(f"{asker}: {agent} learns in one process; rollouts and clone --data in several")
    if taught and (not config.get("data") or config["agent_config"].get("dagger")):
        raise cli.UserError(f"{asker}: {agent} with a teacher learns in one process; clone --data FOLDER does not")
    for name, option in (("opponents", "--opponents"), ("normalize", "--normalize-...")):
        if config.get(name):
            raise cli.UserError(f"{option}: of runs of one process; leave it out with {asker}")
    if not taught and config["num_envs"] % count:
        raise cli.UserError(f"--num-envs {config['num_envs']}: {count} processes have equal shares of the games")
    if config.get("cluster") is not None and config["actors"] % count:
        raise cli.UserError(f"--actors {config['actors']}: {count} processes have equal shares of the actors")


@contextlib.contextmanager
def alike(device: torch.device) -> Iterator[None]:
    """Within: what one process refuses ends all of them. That one says why; the others end without a word."""
    fault = None
    try:
        yield
    except cli.UserError as found:
        fault = found
    if not parallel.agreed(fault is None, device):
        raise fault or SystemExit(2)


class Agreement:
    """A hook, the last one: all processes have the same budget, and stop and save at the same step."""

    def __init__(self, parts: building.Lab, stop: Callable[[], bool], wanted: Callable[[], bool]):
        self.clock, self.device = parts.clock, parts.stream.device
        self._stop, self._wanted = stop, wanted
        self.period = 1 if isinstance(parts.loop, RemoteLoop) else PERIOD  # a step with actors elsewhere is a rollout
        self.budget, self.calls = parts.clock.budget, 0
        self.stopped = self.saves = False

    def __call__(self, moment: Moment) -> None:
        self.calls += 1
        named, self.clock.budget = self.clock.budget, self.budget  # a hook's budget counts when all know it
        if self.calls % self.period:
            return
        first = not parallel.rank()
        budget = -1.0 if named is None else float(named)
        said = [self._stop(), self._wanted(), budget if first else 0.0]
        stopped, wanted, budget = parallel.total(said, self.device)
        self.stopped, self.saves = stopped > 0, wanted > 0
        # A budget that was spent meanwhile ends with the next agreement at the latest.
        self.budget = self.clock.budget = None if budget < 0 else max(int(budget), 0)

    def stop(self) -> bool:
        """Has a signal asked any of them to stop?"""
        return self.stopped

    def wanted(self) -> bool:
        """Is a save wanted? Once."""
        wanted, self.saves = self.saves, False
        return wanted


def follow(run: Run, parts: building.Lab, fresh: bool) -> bool:
    """The training of a process that is not the first. Was it complete?"""
    clock, stop = parts.clock, hooks.Stop(saving=True)
    agreement = Agreement(parts, stop, stop.wants_save)
    try:
        done = not fresh and clock.budget is not None and clock.steps >= clock.budget
        done = done or training.train(
            parts.loop, hooks=[agreement], barrier=run.config["checkpoint_every"], save=lambda: keep(run, parts),
            stop=agreement.stop, wanted=agreement.wanted,
        )  # fmt: skip
        leave(parts)
        return done
    except RuntimeError as fault:
        if parallel.is_lost(fault):  # the first process tells it
            raise SystemExit(2) from None
        raise
    finally:
        stop.release()


def leave(parts: building.Lab) -> None:
    """After the training: processes that follow leave a cluster before the first one, with which it may end."""
    if parallel.size() > 1 and isinstance(parts.loop, RemoteLoop):
        if parallel.rank():
            parts.stream.close()
        parallel.meet(parts.stream.device)


def keep(run: Run, parts: building.Lab) -> None:
    """What this process alone has, where it is not the first; then it waits for the others' saves."""
    if rank := parallel.rank():
        state = parts.state(True)
        checkpoint.save(run.path / FOLDER / str(rank), parts.clock.steps, state, {"step": parts.clock.steps})
    parallel.meet(parts.stream.device)


def restore(run: Run, parts: building.Lab, step: int) -> None:
    """The state of this process, where it is not the first, at the step that the first one goes on from."""
    step = int(parallel.told(str(step), parts.stream.device))
    if rank := parallel.rank():
        folder = run.path / FOLDER / str(rank)
        saved, _ = checkpoint.load(folder, step, required=("agent", "stream", "clock", "loop", "replay"))
        parts.restore(saved)
        checkpoint.discard_after(folder, step)


def open_run(root: Path, config: dict[str, Any], device: torch.device) -> Run:
    """The run's folder, which the first process makes."""
    if parallel.size() == 1:
        return Run.create(root, config)
    config = {**config, "processes": parallel.size()}
    made = "" if parallel.rank() else str(Run.create(root, config).path)
    return Run(Path(parallel.told(made, device)), config)
