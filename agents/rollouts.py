"""What agents share that learn from rollouts: how much of them, and a copy of the network that acts meanwhile."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from agents import optimizers
from agents.core.graphs import Graphed
from agents.core.pace import Every
from agents.core.rows import Needs, Spec
from agents.core.samplers import Recent
from agents.recurrent import columns


def planned(config: Any, spec: Spec, num_envs: int, **more: Any) -> tuple[int, Needs]:
    """(transitions per update, what the agent asks of the loop).

    `config` names rollout (steps per environment), epochs, minibatch (transitions; 0: the whole rollout) and recurrent;
    with a memory a minibatch is whole rollouts. The ring holds two rollouts: one is learned from while the next is
    written. `more` are further fields of `Needs`.
    """
    rows = config.rollout * num_envs
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


class TwoCopies:
    """A `network` that learns and an `actor` that acts, of the same weights when a rollout begins."""

    network: nn.Module
    actor: nn.Module
    optimizer: torch.optim.Optimizer
    act_generator: torch.Generator
    learn_generator: torch.Generator
    _learned: Graphed  # the compiled update: it forgets its optimizer's state when another is loaded

    def _sync(self) -> None:
        """The actor takes the learner's weights."""
        with torch.no_grad():
            for mine, theirs in zip(self.actor.parameters(), self.network.parameters(), strict=True):
                mine.copy_(theirs)
            for mine, theirs in zip(self.actor.buffers(), self.network.buffers(), strict=True):
                mine.copy_(theirs)  # spectral norm's vectors, which only learning moves

    def state_dict(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "actor": self.actor.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "act_generator": self.act_generator.get_state(),
            "learn_generator": self.learn_generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.actor.load_state_dict(state["actor"])
        optimizers.load(self.optimizer, state["optimizer"])
        self._learned.forget()
        self.act_generator.set_state(state["act_generator"])
        self.learn_generator.set_state(state["learn_generator"])

    def load_weights(self, state: dict[str, Any]) -> None:
        """Another run's weights only: optimizer, schedules and generators start anew."""
        self.network.load_state_dict(state["network"])
        self._sync()
