"""What agents share that learn from rollouts: how much of them, and a copy of the network that acts meanwhile."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from agents import optimizers
from agents.core import parallel
from agents.core.pace import Every
from agents.core.rows import Needs, Spec
from agents.core.samplers import Recent
from agents.recurrent import columns

GENERATORS = ("act_generator", "learn_generator")  # random numbers of acting and of learning


def planned(config: Any, spec: Spec, num_envs: int, **more: Any) -> tuple[int, Needs]:
    """(transitions per update, what the agent asks of the loop).

    `config` names rollout (steps per environment), epochs, minibatch (transitions; 0: the whole rollout) and recurrent;
    with a memory a minibatch is whole rollouts. The ring holds two rollouts: one is learned from while the next is
    written. num_envs: those of this process; a minibatch is of all that learn together. `more` are further fields of
    `Needs`.
    """
    rows = config.rollout * num_envs * parallel.size()
    minibatch = min(config.minibatch or rows, rows)
    if config.recurrent:
        minibatch = columns(minibatch, config.rollout) * config.rollout
    return minibatch, Needs(
        window=config.rollout + 1,
        sampler=Recent(),
        capacity=(2 * config.rollout + 1 + spec.stack) * num_envs,
        batch=num_envs,
        pace=Every(config.rollout, config.epochs * -(-rows // minibatch), num_envs, rewrites_boundary=True),
        **more,
    )


class ActingCopy:
    """A copy of a network that acts with the weights of the moment when a rollout began, while the network learns.

    The data of a rollout is then exactly one policy behind. The copy may compute in another precision.
    """

    def __init__(self, network: nn.Module):
        self.source = network
        self.network = copy.deepcopy(network).requires_grad_(False).eval()

    @torch.no_grad()
    def take(self) -> None:
        """Takes the weights that the network has learned by now."""
        for mine, theirs in zip(self.network.parameters(), self.source.parameters(), strict=True):
            mine.copy_(theirs)
        for mine, theirs in zip(self.network.buffers(), self.source.buffers(), strict=True):
            mine.copy_(theirs)  # spectral norm's vectors, which only learning moves

    def state_dict(self) -> dict[str, Any]:
        """Both networks."""
        return {"network": self.source.state_dict(), "actor": self.network.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.source.load_state_dict(state["network"])
        self.network.load_state_dict(state["actor"])


def state_of(agent: Any) -> dict[str, Any]:
    """What an agent that learns from rollouts keeps: both networks, its optimizer, its random numbers."""
    generators = {name: getattr(agent, name).get_state() for name in GENERATORS}
    return {**agent.actor.state_dict(), "optimizer": agent.optimizer.state_dict(), **generators}


def restore(agent: Any, state: dict[str, Any]) -> None:
    """Takes over what `state_of` has told of another such agent."""
    agent.actor.load_state_dict(state)
    optimizers.load(agent.optimizer, state["optimizer"])
    for name in GENERATORS:
        getattr(agent, name).set_state(state[name])
