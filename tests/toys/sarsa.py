"""SARSA(lambda) with linear features in one file, as somebody else would add it (docs/add-an-agent.md).

Sutton & Barto (2018), section 12.7, accumulating traces. It learns after every row from the action that was executed
there: its pace does not act on a rollout's last row once more, so both rows of a window hold what was done.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from agents.core import device as devices
from agents.core.pace import Every
from agents.core.rows import Act, Learned, Needs
from agents.core.samplers import Recent
from agents.heads import masked


@dataclass(frozen=True)
class Config:
    """The settings."""

    lr: float = 0.05  # step size, divided by the number of columns
    gamma: float = 0.95  # discount factor
    lam: float = 0.8  # decay of the traces
    epsilon: float = 0.1  # share of random actions


PRESETS = {"sarsa": {}}


class Sarsa:
    """Action values are linear in the observation and a one."""

    evaluation = "greedy"

    def __init__(self, config, spec, context):
        if not spec.num_actions or spec.obs_dtype != "float32":
            raise ValueError("sarsa needs discrete actions and vectors")
        self.config, self.num_actions, self.device = config, spec.num_actions, context.device
        size = spec.stack * spec.obs_shape[0] + 1
        self.weights = torch.zeros(spec.num_actions, size, device=context.device)
        self.trace = torch.zeros(context.num_envs, spec.num_actions, size, device=context.device)
        self.generator = devices.generator(context.device, context.seed, 1)
        self.needs = Needs(
            window=2, sampler=Recent(), pace=Every(1, 1, context.num_envs), capacity=4 * context.num_envs,
            batch=context.num_envs, overlap=False,
        )  # fmt: skip

    def features(self, obs):
        flat = obs.flatten(1).float()
        return torch.cat([flat, torch.ones_like(flat[:, :1])], 1)

    @torch.no_grad()
    def act(self, step, memory=None, *, explore=True):
        best = masked(self.features(step.obs) @ self.weights.T, step.legal).argmax(1)
        if not explore:
            return Act(best)
        draw = torch.rand((2, len(best), self.num_actions), generator=self.generator, device=self.device)
        anything = masked(draw[0], step.legal).argmax(1)
        return Act(torch.where(draw[1, :, 0] < self.config.epsilon, anything, best))

    def learn(self, batch):
        yield self._update(batch)

    @torch.no_grad()
    def _update(self, batch):
        c, rows = self.config, torch.arange(len(batch.reward))
        x, after = self.features(batch.obs[:, 0]), self.features(batch.obs[:, 1])
        taken, next_taken = batch.action[:, 0].long(), batch.action[:, 1].long()
        q = (x * self.weights[taken]).sum(1)
        q_next = (after * self.weights[next_taken]).sum(1)
        error = batch.reward[:, 1] + c.gamma * batch.discount[:, 1] * q_next - q
        decay = c.gamma * c.lam * batch.discount[:, 0] * ~batch.first[:, 0]
        self.trace = decay[:, None, None] * self.trace
        self.trace[rows, taken] += x
        error = error * batch.weight[:, 0]
        change = (error[:, None, None] * self.trace).mean(0)
        self.weights += c.lr * change
        return Learned({"loss": error.square().mean(), "grad_norm": change.norm()})

    def state_dict(self):
        return {"weights": self.weights, "trace": self.trace, "generator": self.generator.get_state()}

    def load_state_dict(self, state):
        self.load_weights(state)
        self.trace = state["trace"].to(self.device).clone()
        self.generator.set_state(state["generator"].cpu())

    def load_weights(self, state):
        self.weights = state["weights"].to(self.device).clone()


build = Sarsa
