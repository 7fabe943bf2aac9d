"""Runs as players: loaded from a checkpoint, and what a run keeps of its weights. finding.py finds them."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch

from agents.core import checkpoint
from agents.core.clock import Clock
from agents.core.rows import Agent, Spec
from agents.core.run import PLAYED, SEAL, Run, RunError
from experiments import building, cli, provenance
from experiments.building import Lab
from experiments.finding import MILESTONES as MILESTONES
from experiments.finding import best_folder, milestone_folder
from experiments.finding import find_run as find_run
from experiments.finding import milestones as milestones


def load_player(
    run: Run, spec: Spec, device: torch.device, step: int | str | None = None, folder: Path | None = None
) -> tuple[Agent, int]:
    """The agent of a run with the weights of a checkpoint (the newest), and that checkpoint's step.

    step: of the checkpoint, or "best". folder: where the checkpoint lies, if not among the run's newest: a milestone's.
    """
    run.require(PLAYED)
    if step == "best":
        folder, step = best_folder(run), None
        if not checkpoint.steps(folder):
            raise RunError(f"{run.path} has kept no best checkpoint (train --eval-every N keeps it)")
    parts, meta = read_checkpoint(run, folder or run.checkpoints, step, {"agent"})
    check_same_run(run, meta, spec)
    clock = Clock(run.config["steps"] or None)
    clock.steps = meta["step"]  # an agent that is asked to explore does it as it did then
    agent = building.build_agent(run.config, spec, clock, device)
    try:
        agent.load_weights(full_precision(parts["agent"]))
    except MISFIT as fault:
        if cli.is_short_of_memory(fault):
            raise
        raise RunError(f"{run.path} was made by another version of the lab: {fault}") from None
    return agent, meta["step"]


def weights_of(run: Run) -> dict[str, Any]:
    """The newest weights of a run, as its agent says them today, for an agent of any kind to start from."""
    parts, _ = checkpoint.load(run.checkpoints, None, {"agent"})
    code = None if building.has_own_loop(run.config["agent"]) else building.module(run.config["agent"])
    return full_precision(getattr(code, "upgraded", lambda state: state)(parts["agent"]))


def full_precision(state: Any) -> Any:
    """A state whose tensors of half precision (references store them so) are float32, all else as it is."""
    if isinstance(state, dict):
        return {k: full_precision(v) for k, v in state.items()}
    return state.float() if isinstance(state, torch.Tensor) and state.dtype in HALVES else state


HALVES = (torch.float16, torch.bfloat16)


def read_checkpoint(run: Run, folder: Path, *which: Any, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """`checkpoint.load`; what it warns of, and what is wrong with the run's configuration, is told to the person."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loaded = checkpoint.load(folder, *which, **options)
    for remark in (*run.remarks, *(warning.message for warning in caught)):
        cli.tell(str(remark))  # standard error, since standard output may be one JSON object
    return loaded


# What loading a state raises that another version wrote, or another program.
MISFIT = (KeyError, RuntimeError, TypeError, ValueError, AttributeError, IndexError)


def check_same_run(run: Run, meta: dict[str, Any], spec: Spec) -> None:
    """Raises RunError where a checkpoint is not of the run that it lies in, or of a game that has changed since."""
    step = meta.get("step")
    if not isinstance(step, int) or not isinstance(meta.get("spec"), dict) or not {"game", "agent"} <= meta.keys():
        raise RunError(f"{run.path} has a checkpoint that does not say what it is of")
    for name in ("game", "agent"):
        if meta[name] != run.config[name]:
            raise RunError(f"{run.path} is a run of {run.config[name]}, but its checkpoint is of {meta[name]}")
    if meta["spec"] != json.loads(json.dumps(_plain(spec))):
        raise RunError(f"{run.path} was trained on other observations or actions than this game has")


def save(run: Run, lab: Lab, with_ring: bool) -> Path:
    """Writes a checkpoint of the whole run."""
    return checkpoint.save(run.checkpoints, lab.clock.steps, lab.state(with_ring), _meta(run, lab, with_ring))


def _meta(run: Run, lab: Lab, with_ring: bool) -> dict[str, Any]:
    """What a checkpoint says of itself. The configuration is sealed in it: it decides what is learned."""
    config = {k: v for k, v in run.config.items() if k != SEAL}
    return {
        "game": config["game"], "agent": config["agent"], "spec": _plain(lab.stream.spec), "step": lab.clock.steps,
        "ring": with_ring, "config": config, "made_with": provenance.surroundings(lab.stream.device),
    }  # fmt: skip


def save_milestone(run: Run, lab: Lab, percent: int) -> None:
    """Keeps the agent's weights alone, of a share of the budget."""
    save_weights(run, lab, milestone_folder(run, percent))


def save_weights(run: Run, lab: Lab, folder: Path, **more: Any) -> None:
    """Keeps the agent's weights alone, neither optimizer nor ring, in a folder of their own. more: of its meta."""
    state = lab.agent.state_dict()
    state = {k: state[k] for k in ("network", "normalizer") if k in state} if "network" in state else state
    step = lab.clock.steps
    checkpoint.save(folder, step, {"agent": state}, {**_meta(run, lab, False), **more})
    checkpoint.discard_after(folder, step)


def _plain(spec: Spec) -> dict[str, Any]:
    return {k: v for k, v in spec._asdict().items() if k != "rules"}
