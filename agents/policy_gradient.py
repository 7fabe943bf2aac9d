"""Policy gradients: PPO; A2C and REINFORCE are presets of the same few lines.

PPO: Schulman et al. (2017). A2C: Mnih et al. (2016), synchronous. REINFORCE: Williams (1992), with a learned
baseline; its returns are Monte Carlo within the window, bootstrapped by the baseline at the window's edge.

A rollout of T transitions is learned from while the next one is collected by a copy of the weights taken when it
began: the data is exactly one policy behind, and PPO's ratio accounts for that. Without the ratio (A2C, REINFORCE)
collecting waits for learning.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agents import losses, optimizers
from agents.configs.policy_gradient import PRESETS as PRESETS
from agents.configs.policy_gradient import Config
from agents.core import device as devices
from agents.core.graphs import Graphed
from agents.core.returns import lambda_returns
from agents.core.rows import Act, Batch, Context, Learned, Spec, TimeStep
from agents.heads import Categorical, Gaussian, Value
from agents.perception import encoders
from agents.recurrent import Memory, shuffled, windows
from agents.rewards import Shaping
from agents.rollouts import TwoCopies, planned

KNOWING = 128  # units of a critic that learns from numbers
FIGURES = ("loss", "policy_loss", "value_loss", "entropy", "grad_norm", "kl", "value")  # of an optimizer step


class Network(nn.Module):
    """An encoder with a policy head and a value head; a memory between them, or an encoder for the value, where one is
    asked for."""

    def __init__(self, config: Config, spec: Spec):
        super().__init__()
        self.encoder = encoders.build(spec.obs_shape, spec.stack, config.encoder, config.hidden)
        self.memory = Memory(self.encoder.features, config.recurrent) if config.recurrent else None
        features = config.recurrent or self.encoder.features
        self.policy = (
            Gaussian(features, spec.action_dim) if spec.action_dim else Categorical(features, spec.num_actions)
        )
        self.critic, self.knows = None, config.critic == "numbers"
        if config.critic == "own":
            self.critic = encoders.build(spec.obs_shape, spec.stack, config.encoder, config.hidden)
        if self.knows:
            self.critic = encoders.build((config.numbers,), 1, "auto", KNOWING)
        self.value = Value(self.critic.features if self.critic is not None else features)
        if config.idle and isinstance(self.policy, Categorical):
            others = (1 - config.idle) / max(1, spec.num_actions - 1)
            with torch.no_grad():
                self.policy.logits.bias.copy_(torch.tensor([config.idle] + [others] * (spec.num_actions - 1)).log())

    def forward(
        self, obs: Tensor, legal: Tensor | None, memory: Tensor | None, first: Tensor, numbers: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """N environments at one moment -> (parameters of the policy [N, ...], value [N], the memory after it).

        numbers: [N, K] of what the game knows, for a critic that learns from them; without them it says nothing.
        """
        x = self.encoder(obs)
        if self.memory is not None:
            x, memory = self.memory(x.unsqueeze(1), memory, first.unsqueeze(1))
            x = x.squeeze(1)
        seen = numbers if self.knows else obs
        value = None if seen is None else self.value(x if self.critic is None else self.critic(seen))
        return self.policy(x, legal), value, memory

    def parts(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """The weights of the policy and those of a value with an encoder of its own: their gradients never meet."""
        apart = [] if self.critic is None else [*self.critic.parameters(), *self.value.parameters()]
        known = set(apart)
        return [p for p in self.parameters() if p not in known], apart


class PolicyGradient(TwoCopies):
    """See the module. Columns of the ring: logp and value of the acting policy, and its memory before the row."""

    def __init__(self, config: Config, spec: Spec, context: Context):
        clock, device, seed, num_envs = context
        self.config, self.clock, self.device = config, clock, device
        self.evaluation = config.evaluation
        self.dtype = devices.compute_dtype(device, config.precision)
        with devices.seeded(seed):
            self.network = Network(config, spec).to(device)
        self._set_deviation()
        self.actor = copy.deepcopy(self.network).requires_grad_(False).eval()
        self.actor.encoder.to(self.dtype)
        if config.critic == "own":
            self.actor.critic.to(self.dtype)
        self.act_generator = devices.generator(device, seed, 1)
        self.learn_generator = devices.generator(device, seed, 2)
        groups = zip(self.network.parts(), (config.policy_share, 1.0), strict=True)
        self.optimizer = optimizers.build(config.optimizer, groups, config.lr, eps=1e-5)
        numbers = {"numbers": np.zeros(config.numbers, np.float32)} if config.critic == "numbers" else {}
        self.minibatch, self.needs = planned(
            config, spec, num_envs, info=numbers, overlap=config.overlap and config.ratio
        )
        graphs = config.graphs and not config.recurrent
        self._chosen = Graphed(self._choose, device, generators=[self.act_generator], enabled=graphs)
        self._learned = Graphed(self._step, device, enabled=graphs)

    @torch.no_grad()
    def act(self, step: TimeStep, memory: Any = None, *, explore: bool = True) -> Act:
        if memory is None and self.actor.memory is not None:
            memory = self.actor.memory.initial(len(step.first))
        if not explore:
            params, _, after = self.actor(step.obs, step.legal, memory, step.first)
            return Act(self.actor.policy.mode(params), memory=after)
        known = {name: step.info[name] for name in self.needs.info if name in step.info}
        action, logp, value, after = self._chosen(step.obs, step.legal, memory, step.first, known.get("numbers"))
        before = {} if memory is None else {"memory": memory}
        valued = {} if value is None else {"value": value}  # without numbers: where it is scored, and nothing is stored
        return Act(action, {"logp": logp, **valued, **before, **known}, after)

    def _choose(
        self, obs: Tensor, legal: Tensor | None, memory: Tensor | None, first: Tensor, numbers: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """Actions [N, ...], their log probabilities [N], the values [N], the memory after them."""
        params, value, after = self.actor(obs, legal, memory, first, numbers)
        return *self.actor.policy.sample(params, self.act_generator), value, after

    def explain(self, step: TimeStep, memory: Any = None) -> dict[str, Tensor]:
        """Probabilities [N, A], or means and deviations [N, D], and the value [N]; see docs/add-an-agent.md."""
        params, value, _ = self.actor(step.obs, step.legal, memory, step.first, step.info.get("numbers"))
        valued = {} if value is None else {"value": value}
        if isinstance(self.actor.policy, Categorical):
            return {"probabilities": params.exp(), **valued}
        return {"mean": params[..., 0], "deviation": params[..., 1].exp(), **valued}

    def learn(self, batch: Batch) -> Iterator[Learned]:
        """Learns from one rollout: windows of T+1 rows, one per environment."""
        self._sync()  # at once: the next rollout is collected by the weights that it begins with
        return self._epochs(batch)

    def _epochs(self, batch: Batch) -> Iterator[Learned]:
        """Epochs of minibatches, one optimizer step each."""
        c = self.config
        reward = Shaping(c.reward_clip, c.reward_scale)(batch.reward)
        value = batch.extras["value"]  # [B, T+1]
        target = lambda_returns(reward, batch.discount, batch.last, value, c.gamma, c.lam)  # [B, T]
        envs, length = target.shape
        old_value, old_logp = value[:, :-1].reshape(-1), batch.extras["logp"][:, :-1].reshape(-1)
        target, weight = target.reshape(-1), batch.weight.reshape(-1)  # [B*T]
        advantage = target - old_value
        action = batch.action[:, :-1].flatten(0, 1)
        numbers = batch.extras["numbers"] if self.network.knows else None
        for _ in range(c.epochs):
            for rows in shuffled(envs, length, self.minibatch, bool(c.recurrent), self.learn_generator):
                at = (rows // length, rows % length)
                legal = None if batch.legal is None else batch.legal[at]
                yield self._update(
                    batch.observations(*at), legal, action[rows], old_logp[rows], old_value[rows], advantage[rows],
                    target[rows], weight[rows], None if numbers is None else numbers[at],
                    None if batch.memory is None else windows(batch, rows, length),
                )  # fmt: skip
        if not self.needs.overlap:
            self._sync()

    def _update(
        self, obs: Tensor, legal: Tensor | None, action: Tensor, old_logp: Tensor, old_value: Tensor,
        advantage: Tensor, target: Tensor, weight: Tensor, numbers: Tensor | None, past: tuple[Tensor, Tensor] | None,
    ) -> Learned:  # fmt: skip
        """One optimizer step on M transitions; every argument is [M, ...]. past: see `windows`."""
        c, left = self.config, 1 - self.clock.progress
        optimizers.set_rate(self.optimizer, c.lr * (c.lr_end + (1 - c.lr_end) * left))
        bonus = c.entropy_coef * (c.entropy_end + (1 - c.entropy_end) * left)
        figures = self._learned(
            obs, legal, action, old_logp, old_value, advantage, target, weight, numbers, *(past or (None, None)), bonus,
            self.clock.progress < c.value_first,
        )  # fmt: skip
        return Learned(dict(zip(FIGURES, figures, strict=True)))

    def _step(
        self, obs: Tensor, legal: Tensor | None, action: Tensor, old_logp: Tensor, old_value: Tensor,
        advantage: Tensor, target: Tensor, weight: Tensor, numbers: Tensor | None, memory: Tensor | None,
        first: Tensor | None, bonus: float | Tensor, only_value: bool,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        """bonus: weight of the entropy. Returns FIGURES."""
        c = self.config
        with devices.mixed(self.device, self.dtype):
            features = self.network.encoder(obs)
            seen = self.network.critic(obs) if c.critic == "own" else features
        if numbers is not None:
            seen = self.network.critic(numbers)
        if memory is not None:
            seen = features = self.network.memory(features.unflatten(0, first.shape), memory, first)[0].flatten(0, 1)
        params = self.network.policy(features, legal)
        value = self.network.value(seen.detach() if only_value and self.network.critic is None else seen)
        logp = self.network.policy.logp(params, action)
        if c.normalize:
            centre = losses.mean(advantage, weight)
            spread = losses.mean((advantage - centre).square(), weight).sqrt()
            advantage = (advantage - centre) / (spread + 1e-8)
        if c.ratio:
            policy_loss = losses.mean(losses.clipped_surrogate(logp, old_logp, advantage, c.clip), weight)
        else:
            policy_loss = losses.mean(losses.policy_gradient(logp, advantage), weight)
        value_loss = 0.5 * (value - target).square()
        if c.value_clip:
            near = old_value + (value - old_value).clamp(-c.value_clip, c.value_clip)
            value_loss = torch.maximum(value_loss, 0.5 * (near - target).square())
        value_loss = losses.mean(value_loss, weight)
        entropy = losses.mean(self.network.policy.entropy(params), weight)
        loss = c.value_coef * value_loss
        if not only_value:
            loss = policy_loss + loss - bonus * entropy
        self.optimizer.zero_grad()
        loss.backward()
        norms = [optimizers.clip(part, c.max_grad_norm) for part in self.network.parts() if part]
        norm = torch.stack(norms).square().sum().sqrt()
        self.optimizer.step()
        with torch.no_grad():
            log_ratio = logp - old_logp
            kl = losses.mean(log_ratio.exp() - 1 - log_ratio, weight)
            figures = (loss, policy_loss, value_loss, entropy, norm, kl, losses.mean(value, weight))
        return tuple(x.detach() for x in figures)

    def load_weights(self, state: dict[str, Any]) -> None:
        """Another run's weights only: optimizer, schedules and generators start anew.

        A clone's network sees the road, which is not needed here, and has no value head: that one starts as it is. The
        same holds for a critic of another kind; an encoder of the value's own begins as the policy's.
        """
        mine = self.network.state_dict()
        given = {k: v for k, v in state["network"].items() if not k.startswith("road.")}

        def critic(weights: dict[str, Tensor]) -> dict[str, Tensor]:
            return {k: v for k, v in weights.items() if k.startswith(("critic.", "value."))}

        learned, begin = critic(given), critic(mine)
        if self.config.critic == "own" and not any(k.startswith("critic.") for k in learned):
            begin |= {k.replace("encoder.", "critic.", 1): v for k, v in given.items() if k.startswith("encoder.")}
        same = {k: v.shape for k, v in learned.items()} == {k: v.shape for k, v in begin.items()}
        given = {k: v for k, v in given.items() if k not in learned} | (learned if same else begin)
        self.network.load_state_dict(given)
        self._set_deviation()
        self._sync()

    def _set_deviation(self) -> None:
        """Where the configuration names a deviation of continuous actions, it holds at the start."""
        if self.config.deviation and isinstance(self.network.policy, Gaussian):
            nn.init.constant_(self.network.policy.log_std, math.log(self.config.deviation))


build = PolicyGradient
