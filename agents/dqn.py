"""The DQN family: every member is a few fields of one configuration, and each field works alone.

DQN (Mnih et al. 2015), Double (van Hasselt et al. 2016), Dueling (Wang et al. 2016), prioritized replay (Schaul et al.
2016), n-step returns (Sutton 1988), noisy layers (Fortunato et al. 2018), C51 (Bellemare et al. 2017), QR-DQN (Dabney
et al. 2018a), IQN (Dabney et al. 2018b), Rainbow (Hessel et al. 2018), Munchausen (Vieillard et al. 2020), BTR (Clark
et al. 2024). A head gives M numbers per action: the value itself, or atoms or quantiles of the return.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from agents import losses, optimizers
from agents.configs.dqn import IMPALA, DQNConfig
from agents.configs.dqn import PRESETS as PRESETS
from agents.configs.dqn import Config as Config
from agents.core import device as devices
from agents.core.graphs import Graphed
from agents.core.pace import Ratio
from agents.core.returns import n_step
from agents.core.rows import Act, Batch, Context, Learned, Needs, Priority, Spec, TimeStep
from agents.core.samplers import Prioritized, Uniform
from agents.exploration import epsilon_greedy, epsilon_now
from agents.heads import ActionValues, Cosine, masked
from agents.perception import encoders
from agents.rewards import Shaping

TOGETHER = 8  # draws per read of the ring: fewer, larger reads; more than 8 no longer fit in the processor's cache


class Transitions(NamedTuple):
    """B of them, from row 0 of a window to the row that is bootstrapped from."""

    obs: Tensor  # [B, stack, ...]
    action: Tensor  # int64 [B]
    reward: Tensor  # [B, 1] discounted sum up to the later row
    discount: Tensor  # [B, 1] discount of the later row's value
    later: Tensor  # [B, stack, ...]
    legal: Tensor | None  # bool [B, A] at the later row
    weight: Tensor  # [B]
    index: Tensor  # int64 [B]
    allowed: Tensor | None = None  # bool [B, A] at row 0, where the action was chosen
    z_t: Tensor | None = None  # [B, A, M] output of the target network for `later`
    now: Tensor | None = None  # [B, A] the target network's values of `obs`


class QNetwork(nn.Module):
    """Encoder and action values."""

    def __init__(self, config: DQNConfig, spec: Spec):
        super().__init__()
        c = config
        impala = {name: getattr(c, name) for name in IMPALA} if c.encoder == "impala" else {}
        self.encoder = encoders.build(spec.obs_shape, spec.stack, c.encoder, 0, impala=impala, dtype=spec.obs_dtype)
        features = self.encoder.features
        self.cosine = Cosine(features) if c.head == "implicit" else None
        atoms = c.atoms if c.head in ("categorical", "quantile") else 1
        self.head = ActionValues(features, c.hidden, spec.num_actions, atoms, c.dueling, c.noisy)
        levels = (torch.arange(c.atoms) + 0.5) / c.atoms
        self.register_buffer("levels", levels[None])  # [1, M] midpoints of the quantiles
        self.register_buffer("support", torch.linspace(c.v_min, c.v_max, c.atoms))

    def forward(self, obs: Tensor, tau: Tensor | None = None) -> Tensor:
        """[B, stack, ...] -> [B, A, M] float32: values, logits of atoms, or quantiles (implicit: at levels [B, M])."""
        x = self.encoder(obs)
        if self.cosine is None:
            return self.head(x)
        tau = self.levels.expand(x.shape[0], -1) if tau is None else tau
        return self.head(self.cosine(x, tau)).squeeze(-1).transpose(1, 2)  # [B, M, A] -> [B, A, M]

    def mean(self, z: Tensor, categorical: bool) -> Tensor:
        """[B, A, M] -> action values [B, A]."""
        return (torch.softmax(z, -1) * self.support).sum(-1) if categorical else z.mean(-1)

    def noise(self, generator: torch.Generator | None) -> None:
        """New noise in the noisy layers, or none at all."""
        for layer in self.modules():
            if isinstance(layer, encoders.NoisyLinear):
                layer.silence() if generator is None else layer.redraw(generator)


class DQN:
    """See the module. Illegal actions are neither explored, nor chosen, nor bootstrapped from."""

    def __init__(self, config: DQNConfig, spec: Spec, context: Context):
        clock, device, seed, num_envs = context
        if not spec.num_actions:
            raise ValueError("the DQN family needs discrete actions; for continuous ones take ppo, a2c or reinforce")
        self.config, self.clock, self.device, self.num_actions = config, clock, device, spec.num_actions
        self.evaluation = config.evaluation
        self.categorical = config.head == "categorical"
        self.dtype = devices.compute_dtype(device, config.precision)
        with devices.seeded(seed):
            self.online = QNetwork(config, spec).to(device)
        self.target = devices.rounded(copy.deepcopy(self.online).requires_grad_(False), self.dtype)
        self.copied = 0  # step of the last copy to the target
        self.generator = devices.generator(device, seed, 1)
        self.optimizer = optimizers.build(config.optimizer, self.online.parameters(), config.lr, config.eps)
        self.needs = Needs(
            window=config.n_step + 1,
            sampler=Prioritized(config.alpha, config.beta) if config.prioritized else Uniform(),
            capacity=config.replay,
            batch=config.batch,
            together=TOGETHER,
            pace=Ratio(config.ratio, config.batch, max(config.warmup, (config.n_step + 1 + spec.stack) * num_envs)),
        )
        self.steady = any(nn.utils.parametrize.is_parametrized(m) for m in self.online.modules())  # spectral norm
        self.target.eval()
        self._chosen = Graphed(self._choose, device, generators=[self.generator], enabled=config.graphs)
        self._learned = Graphed(self._update, device, generators=[self.generator], enabled=config.graphs)

    @property
    def network(self) -> nn.Module:
        """What learns."""
        return self.online

    @property
    def epsilon(self) -> float:
        """Share of random actions now."""
        # The fall begins after the warm-up, as in the papers' code.
        return epsilon_now(self.config, self.clock, start=self.config.warmup)

    @torch.no_grad()
    def act(self, step: TimeStep, memory: Any = None, *, explore: bool = True) -> Act:
        if explore:
            return Act(*self._chosen(step.obs, step.legal, self.epsilon))
        return Act(masked(self._values(step.obs), step.legal).argmax(1))

    def _choose(self, obs: Tensor, legal: Tensor | None, epsilon: float | Tensor) -> tuple[Tensor]:
        """What is done while learning, [N]."""
        action = masked(self._values(obs, self.generator), legal).argmax(1)
        if self.config.noisy:
            return (action,)
        return (epsilon_greedy(action, legal, self.num_actions, epsilon, self.generator),)

    def _values(self, obs: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Action values [N, A]; without a generator there is no noise in noisy layers."""
        if self.config.noisy:
            self.online.noise(generator)
        if self.steady:  # only learning moves the vectors of its power iteration
            self.online.eval()
        with devices.mixed(self.device, self.dtype):
            values = self.online.mean(self.online(obs), self.categorical)
        if self.steady:
            self.online.train()
        return values

    def explain(self, step: TimeStep, memory: Any = None) -> dict[str, Tensor]:
        """Action values [N, A] without noise, and the best of them [N]; see docs/add-an-agent.md."""
        q = self._values(step.obs)
        return {"values": q, "value": masked(q, step.legal).amax(1)}

    def learn(self, batch: Batch) -> Iterator[Learned]:
        """One optimizer step per `batch` windows drawn. Several draws come at once, as the loop owes them: the target
        network rests meanwhile, so that one pass of it serves them all (unless its noise must be new every time)."""
        c = self.config
        if self.clock.steps - self.copied >= c.target_period:
            self.target.load_state_dict(self.online.state_dict())
            self.copied = self.clock.steps
        draws = max(1, len(batch.index) // c.batch)
        drawn = self._transitions(batch)
        if not c.noisy:
            drawn = self._look_ahead(drawn)
        for i in range(draws):  # every draw has rows of all strata of the prioritized sampler
            yield self._step(Transitions(*(None if x is None else x[i::draws] for x in drawn)))

    def _transitions(self, batch: Batch) -> Transitions:
        c = self.config
        ahead = n_step(Shaping(c.reward_clip)(batch.reward), batch.discount, batch.last, c.gamma)
        rows = torch.arange(len(batch.index), device=self.device)
        legal = None if batch.legal is None else batch.legal[rows, ahead.boot]
        return Transitions(
            obs=batch.obs[:, 0], action=batch.action[:, 0], reward=ahead.reward[:, None],
            discount=ahead.discount[:, None], later=batch.obs[rows, ahead.boot], legal=legal,
            weight=batch.weight[:, 0], index=batch.index, allowed=None if batch.legal is None else batch.legal[:, 0],
        )  # fmt: skip

    @torch.no_grad()
    def _look_ahead(self, drawn: Transitions) -> Transitions:
        """What the target network says of the later rows and, for Munchausen, of the rows themselves."""
        if self.config.noisy:
            self.target.noise(self.generator)
        with devices.mixed(self.device, self.dtype):
            z_t = self.target(drawn.later, self._levels(len(drawn.index)))
            now = self.target.mean(self.target(drawn.obs), self.categorical) if self.config.munchausen else None
        return drawn._replace(z_t=z_t, now=now)

    def _step(self, drawn: Transitions) -> Learned:
        """One optimizer step on [B] transitions, and their new priorities."""
        c, progress = self.config, self.clock.progress
        optimizers.set_rate(self.optimizer, c.lr * (1 - (1 - c.lr_end) * progress))
        loss, q, norm, error = self._learned(*drawn)
        beta = c.beta + (1 - c.beta) * progress
        priority = None if error is None else Priority(drawn.index, error, beta)
        return Learned({"loss": loss, "q": q, "grad_norm": norm}, priority)

    def _update(self, *fields: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Transitions, field by field -> loss, mean value of the actions done, norm of the gradient, |error| [B]."""
        c, drawn = self.config, Transitions(*fields)
        if c.noisy:
            self.online.noise(self.generator)
            drawn = self._look_ahead(drawn)
        rows = torch.arange(len(drawn.index), device=self.device)
        target = self._target(drawn, rows)  # [B, M]
        tau = self._levels(len(rows))
        with devices.mixed(self.device, self.dtype):
            z = self.online(drawn.obs, tau)[rows, drawn.action]  # [B, M]
        if self.categorical:
            row = losses.cross_entropy(z, target)
        elif c.head == "values":
            row = losses.huber(target[:, 0] - z[:, 0], c.huber)
        else:
            row = losses.quantile_regression(z, self.online.levels if tau is None else tau, target, c.huber)
        loss = losses.mean(row, drawn.weight)
        self.optimizer.zero_grad()
        loss.backward()
        norm = optimizers.clip(self.online.parameters(), c.max_grad_norm)
        self.optimizer.step()
        with torch.no_grad():
            value = (torch.softmax(z, -1) * self.online.support).sum(-1) if self.categorical else z.mean(-1)
            error = None
            if c.prioritized:
                # C51: the loss. Hessel et al. (2018) name the divergence, which is without the entropy of the target.
                error = row if self.categorical else target.mean(1) - value
                error = error.abs() * (drawn.weight > 0)  # a `last` row is the start of no transition
        return loss.detach(), value.mean(), norm, None if error is None else error.detach()

    @torch.no_grad()
    def _target(self, drawn: Transitions, rows: Tensor) -> Tensor:
        """What row 0 should have learned: values or samples of the return [B, M], for C51 probabilities of atoms."""
        c, z_t = self.config, drawn.z_t
        q_t = self.target.mean(z_t, self.categorical)  # [B, A]
        if c.munchausen:
            bonus = losses.munchausen_bonus(
                drawn.now, drawn.action, c.munchausen, c.temperature, c.munchausen_clip, drawn.allowed
            )
            policy, logp = losses.soft_policy(q_t, c.temperature, drawn.legal)
            soft = (policy[..., None] * (z_t - c.temperature * logp[..., None])).sum(1)  # [B, M]
            return drawn.reward + bonus[:, None] + drawn.discount * soft
        if c.double:
            with devices.mixed(self.device, self.dtype):
                q_t = self.online.mean(self.online(drawn.later), self.categorical)
        z_t = z_t[rows, masked(q_t, drawn.legal).argmax(1)]  # [B, M]
        if self.categorical:
            support = self.target.support
            shifted = drawn.reward + drawn.discount * support
            return losses.categorical_projection(shifted, torch.softmax(z_t, -1), support)
        return drawn.reward + drawn.discount * z_t

    def _levels(self, size: int) -> Tensor | None:
        """Quantile levels for IQN, drawn uniformly; None for the other heads."""
        if self.config.head != "implicit":
            return None
        return torch.rand((size, self.config.atoms), generator=self.generator, device=self.device)

    def state_dict(self) -> dict[str, Any]:
        return {
            "network": self.online.state_dict(),
            "target": self.target.state_dict(),
            "copied": self.copied,
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.online.load_state_dict(state["network"])
        self.target.load_state_dict(state["target"])
        self.copied = state["copied"]
        optimizers.load(self.optimizer, state["optimizer"])
        self._learned.forget()
        self.generator.set_state(state["generator"])

    def load_weights(self, state: dict[str, Any]) -> None:
        """Another run's weights only: optimizer, schedules and generators start anew."""
        self.online.load_state_dict(state["network"])
        self.target.load_state_dict(state["network"])


build = DQN
