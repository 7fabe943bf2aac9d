"""Soft actor-critic for discrete actions in one file, as somebody else would add it (docs/add-an-agent.md).

Haarnoja et al. (2018); Christodoulou (2019), Soft actor-critic for discrete action settings: expectations over actions
are sums, so that nothing is reparametrised.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import nn

from agents import losses, optimizers
from agents.core import device as devices
from agents.core.pace import Ratio
from agents.core.rows import Act, Learned, Needs
from agents.core.samplers import Uniform
from agents.heads import masked
from agents.perception import encoders


@dataclass(frozen=True)
class Config:
    """The settings."""

    lr: float = 1e-3  # learning rate
    gamma: float = 0.98  # discount factor
    batch: int = 64  # transitions per optimizer step
    ratio: float = 16.0  # trained transitions per new row
    warmup: int = 500  # rows before the first update
    replay: int = 20_000  # rows that the replay buffer holds
    tau: float = 0.01  # share of the way that target weights go to the learned ones per step
    entropy: float = 0.3  # target entropy, share of the largest one
    hidden: int = 64  # units


PRESETS = {"soft": {}}


class Network(nn.Module):
    """Logits of a policy and two critics' action values, each of an encoder of its own."""

    def __init__(self, config, spec):
        super().__init__()

        def branch():
            encoder = encoders.build(spec.obs_shape, spec.stack, "auto", config.hidden, dtype=spec.obs_dtype)
            return nn.Sequential(encoder, nn.Linear(encoder.features, spec.num_actions))

        self.policy, self.first, self.second = branch(), branch(), branch()
        self.temperature = nn.Parameter(torch.tensor(-2.0))  # log of the entropy's weight

    def critics(self, obs):
        return torch.stack([self.first(obs), self.second(obs)]).float()  # [2, B, A]


class SAC:
    """See the module."""

    evaluation = "sampled"

    def __init__(self, config, spec, context):
        if not spec.num_actions:
            raise ValueError("soft needs discrete actions")
        self.config, self.device, self.num_actions = config, context.device, spec.num_actions
        with devices.seeded(context.seed):
            self.network = Network(config, spec).to(context.device)
        self.target = copy.deepcopy(self.network).requires_grad_(False)
        self.optimizer = optimizers.build("adam", self.network.parameters(), config.lr, eps=1e-8)
        self.generator = devices.generator(context.device, context.seed, 1)
        self.needs = Needs(
            window=2, sampler=Uniform(), pace=Ratio(config.ratio, config.batch, config.warmup),
            capacity=config.replay, batch=config.batch,
        )  # fmt: skip

    @torch.no_grad()
    def act(self, step, memory=None, *, explore=True):
        logits = masked(self.network.policy(step.obs).float(), step.legal)
        if not explore:
            return Act(logits.argmax(1))
        return Act(torch.multinomial(logits.softmax(1), 1, generator=self.generator)[:, 0])

    def learn(self, batch):
        yield self._update(batch)

    def _update(self, batch):
        c, net, alpha = self.config, self.network, self.network.temperature.exp().detach()
        legal = [None, None] if batch.legal is None else [batch.legal[:, 0], batch.legal[:, 1]]
        weight = batch.weight[:, 0]
        with torch.no_grad():
            after = masked(net.policy(batch.obs[:, 1]).float(), legal[1])
            p, logp = after.softmax(1), after.log_softmax(1).clamp_min(-30)
            value = (p * (self.target.critics(batch.obs[:, 1]).amin(0) - alpha * logp)).sum(1)
            goal = batch.reward[:, 1] + c.gamma * batch.discount[:, 1] * value
        q = net.critics(batch.obs[:, 0])
        taken = q.gather(2, batch.action[:, 0].long()[None, :, None].expand(2, -1, 1))[..., 0]
        q_loss = losses.mean((taken - goal).square().sum(0), weight)
        logits = masked(net.policy(batch.obs[:, 0]).float(), legal[0])
        p, logp = logits.softmax(1), logits.log_softmax(1).clamp_min(-30)
        policy_loss = losses.mean((p * (alpha * logp - q.detach().amin(0))).sum(1), weight)
        entropy = losses.mean(-(p * logp).sum(1), weight)
        largest = torch.log(torch.tensor(float(self.num_actions)))
        alpha_loss = net.temperature.exp() * (entropy - c.entropy * largest).detach()
        loss = q_loss + policy_loss + alpha_loss
        self.optimizer.zero_grad()
        loss.backward()
        norm = optimizers.clip(net.parameters(), 10.0)
        self.optimizer.step()
        with torch.no_grad():
            for mine, theirs in zip(self.target.parameters(), net.parameters(), strict=True):
                mine.lerp_(theirs, c.tau)
        return Learned({"loss": loss.detach(), "grad_norm": norm, "entropy": entropy.detach()})

    def state_dict(self):
        return {
            "network": self.network.state_dict(), "target": self.target.state_dict(),
            "optimizer": self.optimizer.state_dict(), "generator": self.generator.get_state(),
        }  # fmt: skip

    def load_state_dict(self, state):
        self.load_weights(state)
        self.target.load_state_dict(state["target"])
        optimizers.load(self.optimizer, state["optimizer"])
        self.generator.set_state(state["generator"].cpu())

    def load_weights(self, state):
        self.network.load_state_dict(state["network"])
        self.target.load_state_dict(state["network"])


build = SAC
