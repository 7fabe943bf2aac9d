"""Puts the parts of a run together from its configuration: the same for training, evaluation, watching and tests."""

from __future__ import annotations

from typing import Any

import torch

import envs
from agents import AGENTS, BASELINES, settings
from agents.core.loop import Loop
from experiments import building, teachers
from experiments.building import Lab as Lab


def assemble(config: dict[str, Any], device: torch.device) -> Lab:
    """Builds what `config` (the content of a run's config.json) describes. Raises ValueError for what cannot be."""
    env = building.prepare(config, device)
    if _needs_teacher(config):
        from experiments import imitation  # with the readers of recordings, which nobody else needs

        return imitation.assemble(config, env, device)
    mine, block = building.share(config)
    stream, clock, agent = building.actors(mine, building.games(mine, env), device, block)
    needs = agent.needs
    shapes = building.info_shapes(stream) if needs.info else {}
    if "numbers" in needs.info and shapes.get("numbers") != needs.info["numbers"].shape:
        raise ValueError(
            f"--critic privileged: {config['game']} tells {shapes.get('numbers', 'none')} with these options, not"
            f" {needs.info['numbers'].shape} (--privileged-size)"
            + teachers.asking(envs.describe(config["game"], **env), "numbers", "; {} asks for them")
        )
    option = building.ring_option(config)
    replay = building.ring(needs.capacity, stream.num_envs, stream.spec, needs, device, config["seed"], option)
    return Lab(agent, stream, replay, clock, Loop(agent, stream, replay, clock, seed=config["seed"]))


def _needs_teacher(config: dict[str, Any]) -> bool:
    """Whether the agent learns from somebody else, or is told to."""
    learner = config["agent"] in AGENTS | BASELINES and getattr(settings(config["agent"]), "NEEDS_TEACHER", False)
    return bool(learner or config.get("data") or config.get("teacher_run"))
