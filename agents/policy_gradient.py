"""Policy gradients: PPO; A2C, IMPALA and REINFORCE are presets of the same few lines.

PPO: Schulman et al. (2017). A2C: Mnih et al. (2016), synchronous. IMPALA: Espeholt et al. (2018), whose V-trace
corrects for rows that an older policy collected, such as those of actors elsewhere. REINFORCE: Williams (1992), with a
learned baseline; its returns are Monte Carlo within the window, bootstrapped by the baseline at the window's edge.

A rollout of T transitions is learned from while the next one is collected by a copy of the weights taken when it
began: the data is exactly one policy behind, and the ratio of PPO or IMPALA accounts for that. Without a ratio (A2C,
REINFORCE) collecting waits for learning.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from agents import boards, critics, losses, optimizers, rollouts
from agents.configs.policy_gradient import PRESETS as PRESETS
from agents.configs.policy_gradient import Config as Config
from agents.configs.policy_gradient import PolicyGradientConfig
from agents.core import device as devices
from agents.core import parallel
from agents.core.graphs import Graphed
from agents.core.returns import lambda_returns, vtrace
from agents.core.rows import Act, Batch, Context, Learned, Spec, TimeStep
from agents.heads import Categorical, Choices, Gaussian, Value
from agents.perception import encoders
from agents.recurrent import Memory, shuffled, windows
from agents.rewards import Shaping
from agents.rollouts import ActingCopy, planned

FIGURES = ("loss", "policy_loss", "value_loss", "entropy", "grad_norm", "kl", "value")  # metrics of an optimizer step


class Minibatch(NamedTuple):
    """M transitions of a rollout; with a memory they are whole windows, one after the other."""

    obs: Tensor  # [M, stack, ...]
    legal: Tensor | None  # bool [M, A]
    action: Tensor  # int64 [M] or float32 [M, D]
    old_logp: Tensor  # [M] log probability of the action when it was chosen
    old_value: Tensor  # [M] value when the action was chosen
    advantage: Tensor  # [M]
    target: Tensor  # [M] lambda return
    weight: Tensor  # [M] weight, 0 where there is no transition
    privileged: Tensor | None  # [M, K] simulator state, for a critic that sees it
    memory: Tensor | None  # [W, 2, units] memory before each of the W windows
    first: Tensor | None  # bool [W, M / W]


class ActorCritic(nn.Module):
    """An encoder with a policy head and a value head; a memory between them, or an encoder for the value, where one is
    asked for."""

    def __init__(self, config: PolicyGradientConfig, spec: Spec):
        super().__init__()
        self.encoder = encoders.build(spec.obs_shape, spec.stack, config.encoder, config.hidden, dtype=spec.obs_dtype)
        self.memory = Memory(self.encoder.features, config.recurrent) if config.recurrent else None
        features = config.recurrent or self.encoder.features
        self.policy = (
            Gaussian(features, spec.action_dim) if spec.action_dim else Categorical(features, spec.num_actions)
        )
        self.kind = critics.kind(config)
        self.critic = self.kind.encoder(config, spec)
        self.value = Value(features if self.critic is None else self.critic.features)
        if config.initial_noop_probability and isinstance(self.policy, Categorical):
            others = (1 - config.initial_noop_probability) / max(1, spec.num_actions - 1)
            with torch.no_grad():
                self.policy.logits.bias.copy_(
                    torch.tensor([config.initial_noop_probability] + [others] * (spec.num_actions - 1)).log()
                )

    def features(
        self, obs: Tensor, memory: Tensor | None, first: Tensor | None, privileged: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """What the policy head reads [M, F], what the value head reads [M, F] (None: not known), the memory after it.

        obs: [M, stack, ...]; the other arguments as in `Minibatch`, where they are told.
        """
        features = self.encoder(obs)
        if self.memory is not None:
            features, memory = self.memory(features.unflatten(0, (-1, first.shape[1])), memory, first)
            features = features.flatten(0, 1)
        return features, self.kind.features(self.critic, features, obs, privileged), memory

    def forward(
        self, obs: Tensor, legal: Tensor | None, memory: Tensor | None, first: Tensor, privileged: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """N environments at one moment -> (parameters of the policy [N, ...], value [N], the memory after it).

        first: bool [N]. privileged: [N, K] simulator state; a critic that sees it says nothing without.
        """
        window = first[:, None] if self.memory is not None else None
        features, seen, memory = self.features(obs, memory, window, privileged)
        return self.policy(features, legal), None if seen is None else self.value(seen), memory

    def computes_in(self, dtype: torch.dtype) -> None:
        """Sets the precision of everything but the heads."""
        self.encoder.to(dtype)
        if self.kind.same_observations:
            self.critic.to(dtype)

    def parts(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """The weights of the policy and those of a value with an encoder of its own: their gradients never meet."""
        apart = [] if self.critic is None else [*self.critic.parameters(), *self.value.parameters()]
        known = set(apart)
        return [p for p in self.parameters() if p not in known], apart


class BoardActorCritic(boards.BoardNetwork):
    """The network of board games, called like `ActorCritic`."""

    memory = critic = None
    kind = critics.Shared()

    def features(
        self, obs: Tensor, memory: Tensor | None, first: Tensor | None, privileged: Tensor | None
    ) -> tuple[Tensor, Tensor, None]:
        """See `ActorCritic.features`: here they are planes [M, 2, head, H, W]."""
        features = self.encoder(obs)
        return features, features, None

    def forward(
        self, obs: Tensor, legal: Tensor | None, memory: Tensor | None, first: Tensor, privileged: Tensor | None = None
    ) -> tuple[Tensor, Tensor, None]:
        """See `ActorCritic.forward`."""
        features = self.encoder(obs)
        return self.policy(features, legal), self.value(features), None

    def parts(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """All weights, and none apart."""
        return list(self.parameters()), []


def network(config: PolicyGradientConfig, spec: Spec) -> ActorCritic | BoardActorCritic:
    """The network of a configuration, untrained: a tower where a board is seen and nothing else is asked for."""
    if boards.is_board(spec) and config.encoder == "auto":
        if config.recurrent or config.critic != "shared":
            raise ValueError("--recurrent, --critic: the network of board games has neither; leave them out")
        return BoardActorCritic(config, spec)
    return ActorCritic(config, spec)


class PolicyGradient:
    """See the module. Columns of the ring: logp and value of the acting policy, and its memory before the row."""

    def __init__(self, config: PolicyGradientConfig, spec: Spec, context: Context):
        clock, device, seed, num_envs = context
        self.config, self.clock, self.device = config, clock, device
        self.evaluation = config.evaluation
        self.dtype = devices.compute_dtype(device, config.precision)
        with devices.seeded(seed):
            self.network = network(config, spec).to(device)
        self._set_deviation()
        self.actor = ActingCopy(self.network)
        self.actor.network.computes_in(self.dtype)
        self.act_generator = devices.generator(device, seed, 1, *parallel.key())
        self.learn_generator = devices.generator(device, seed, 2)
        groups = zip(self.network.parts(), (config.policy_lr_scale, 1.0), strict=True)
        self.optimizer = optimizers.build(config.optimizer, groups, config.lr, eps=1e-5)
        overlap, info = config.overlap and (config.importance_ratio or config.vtrace), self.network.kind.info
        self.minibatch, self.needs = planned(config, spec, num_envs, info=info, overlap=overlap)
        graphs = config.graphs and not config.recurrent and parallel.size() == 1
        self._chosen = Graphed(self._choose, device, generators=[self.act_generator], enabled=graphs)
        self._learned = Graphed(self._update, device, enabled=graphs)

    @property
    def acting(self) -> nn.Module:
        """What acts: `encoder`, `policy`, and `memory` or None."""
        return self.actor.network

    @torch.no_grad()
    def act(self, step: TimeStep, memory: Any = None, *, explore: bool = True) -> Act:
        actor = self.actor.network
        if memory is None and actor.memory is not None:
            memory = actor.memory.initial(len(step.first))
        if not explore:
            params, _, after = actor(step.obs, step.legal, memory, step.first)
            return Act(actor.policy.mode(params), memory=after)
        known = {name: step.info[name] for name in self.needs.info if name in step.info}
        action, logp, value, after = self._chosen(step.obs, step.legal, memory, step.first, known.get("numbers"))
        before = {} if memory is None else {"memory": memory}
        valued = {} if value is None else {"value": value}  # no privileged state outside training: no value either
        return Act(action, {"logp": logp, **valued, **before, **known}, after)

    def _choose(
        self, obs: Tensor, legal: Tensor | None, memory: Tensor | None, first: Tensor, privileged: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """Actions [N, ...], their log probabilities [N], the values [N], the memory after them."""
        params, value, after = self.actor.network(obs, legal, memory, first, privileged)
        return *self.actor.network.policy.sample(params, self.act_generator), value, after

    def explain(self, step: TimeStep, memory: Any = None) -> dict[str, Tensor]:
        """Probabilities [N, A], or means and deviations [N, D], and the value [N]; see docs/add-an-agent.md."""
        params, value, _ = self.actor.network(step.obs, step.legal, memory, step.first, step.info.get("numbers"))
        valued = {} if value is None else {"value": value}
        if isinstance(self.actor.network.policy, Choices):
            return {"probabilities": params.exp(), **valued}
        return {"mean": params[..., 0], "deviation": params[..., 1].exp(), **valued}

    def learn(self, batch: Batch) -> Iterator[Learned]:
        """Learns from one rollout: windows of T+1 rows, one per environment."""
        self.actor.take()  # no delay: the next rollout is collected by the weights that it begins with
        return self._epochs(batch)

    def _epochs(self, batch: Batch) -> Iterator[Learned]:
        """Epochs of minibatches, one optimizer step each."""
        c = self.config
        reward = Shaping(c.reward_clip, c.reward_scale)(batch.reward)
        value, old_logp = batch.extras["value"], batch.extras["logp"][:, :-1]  # [B, T+1], [B, T]
        if c.vtrace:
            value, logp = self._now(batch)
            bounds = (c.rho_bar, c.c_bar)
            traced = vtrace(reward, batch.discount, batch.last, value, logp - old_logp, c.gamma, c.lam, bounds)
            target, advantage = traced
        else:
            target = lambda_returns(reward, batch.discount, batch.last, value, c.gamma, c.lam)  # [B, T]
            advantage = target - value[:, :-1]
        envs, length = target.shape
        old_value, old_logp = value[:, :-1].reshape(-1), old_logp.reshape(-1)
        target, advantage, weight = target.reshape(-1), advantage.reshape(-1), batch.weight.reshape(-1)  # [B*T]
        action = batch.action[:, :-1].flatten(0, 1)
        privileged = [batch.extras[name] for name in self.needs.info]
        for _ in range(c.epochs):
            for rows in shuffled(envs, length, self.minibatch, bool(c.recurrent), self.learn_generator):
                at = (rows // length, rows % length)
                legal = None if batch.legal is None else batch.legal[at]
                yield self._step(Minibatch(
                    batch.observations(*at), legal, action[rows], old_logp[rows], old_value[rows], advantage[rows],
                    target[rows], weight[rows], privileged[0][at] if privileged else None,
                    *((None, None) if batch.memory is None else windows(batch, rows, length)),
                ))  # fmt: skip
        if not self.needs.overlap:
            self.actor.take()

    @torch.no_grad()
    def _now(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What the network that learns says of a rollout: values [B, T+1], log probabilities of its actions [B, T]."""
        envs, rows = batch.reward.shape
        values, logps = [], []
        for at in torch.arange(envs * rows, device=self.device).split(max(self.minibatch, 256)):
            row = (at // rows, at % rows)
            legal = None if batch.legal is None else batch.legal[row]
            privileged = [batch.extras[name][row] for name in self.needs.info]
            with devices.mixed(self.device, self.dtype):
                features, seen, _ = self.network.features(
                    batch.observations(*row), None, None, privileged[0] if privileged else None
                )
            params = self.network.policy(features, legal)
            values.append(self.network.value(seen))
            logps.append(self.network.policy.logp(params, batch.action[row]))
        return torch.cat(values).view(envs, rows), torch.cat(logps).view(envs, rows)[:, :-1]

    def _step(self, minibatch: Minibatch) -> Learned:
        """One optimizer step."""
        c, left = self.config, 1 - self.clock.progress
        optimizers.set_rate(self.optimizer, c.lr * (c.lr_end + (1 - c.lr_end) * left))
        bonus = c.entropy_coef * (c.entropy_end + (1 - c.entropy_end) * left)
        figures = self._learned(*minibatch, bonus, self.clock.progress < c.critic_warmup)
        return Learned(dict(zip(FIGURES, figures, strict=True)))

    def _update(self, *args: Any) -> tuple[Tensor, ...]:
        """The fields of a Minibatch, the weight of the entropy bonus, whether only the value learns -> FIGURES."""
        *fields, bonus, only_value = args
        b = Minibatch(*fields)
        with devices.mixed(self.device, self.dtype):
            features, seen, _ = self.network.features(b.obs, b.memory, b.first, b.privileged)
        params = self.network.policy(features, b.legal)
        value = self.network.value(seen.detach() if only_value and self.network.critic is None else seen)
        logp = self.network.policy.logp(params, b.action)
        policy_loss, value_loss = self._policy_loss(b, logp), self._value_loss(b, value)
        entropy = losses.mean(self.network.policy.entropy(params), b.weight)
        loss = self.config.value_coef * value_loss
        if not only_value:
            loss = policy_loss + loss - bonus * entropy
        self.optimizer.zero_grad()
        loss.backward()
        norms = [optimizers.clip(part, self.config.max_grad_norm) for part in self.network.parts() if part]
        norm = torch.stack(norms).square().sum().sqrt()
        self.optimizer.step()
        with torch.no_grad():
            log_ratio = logp - b.old_logp
            kl = losses.mean(log_ratio.exp() - 1 - log_ratio, b.weight)
            figures = (loss, policy_loss, value_loss, entropy, kl, losses.mean(value, b.weight))
        *summed, kl, value = parallel.whole(torch.stack([x.detach() for x in figures])).unbind()
        return *summed, norm, kl, value

    def _policy_loss(self, b: Minibatch, logp: Tensor) -> Tensor:
        """PPO's clipped surrogate (Schulman et al. 2017, eq. 7), or the plain policy gradient. logp: [M] now."""
        c, advantage = self.config, b.advantage
        if c.normalize_advantages:
            centre = parallel.whole(losses.mean(advantage, b.weight))
            spread = parallel.whole(losses.mean((advantage - centre).square(), b.weight)).sqrt()
            advantage = (advantage - centre) / (spread + 1e-8)
        if c.importance_ratio:
            return losses.mean(losses.clipped_surrogate(logp, b.old_logp, advantage, c.clip), b.weight)
        return losses.mean(losses.policy_gradient(logp, advantage), b.weight)

    def _value_loss(self, b: Minibatch, value: Tensor) -> Tensor:
        """Half the squared error; with `value_clip` the larger one of it and that of a bounded move. value: [M] now."""
        loss = 0.5 * (value - b.target).square()
        if bound := self.config.value_clip:
            near = b.old_value + (value - b.old_value).clamp(-bound, bound)
            loss = torch.maximum(loss, 0.5 * (near - b.target).square())
        return losses.mean(loss, b.weight)

    def state_dict(self) -> dict[str, Any]:
        return rollouts.state_of(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        rollouts.restore(self, state)
        self._learned.forget()

    def load_weights(self, state: dict[str, Any]) -> None:
        """Another run's weights only: optimizer, schedules and generators start anew.

        It may be the run of another agent with an encoder and a policy of this shape, and no value; see
        `critics.transferred`. Of one that averages its weights the averaged ones are taken: they play.
        """
        given = state.get("average", state["network"])
        self.network.load_state_dict(critics.transferred(given, self.network, self.network.kind))
        self._set_deviation()
        self.actor.take()

    def _set_deviation(self) -> None:
        """Where the configuration names a deviation of continuous actions, it holds at the start."""
        if self.config.initial_std and isinstance(self.network.policy, Gaussian):
            nn.init.constant_(self.network.policy.log_std, math.log(self.config.initial_std))


build = PolicyGradient
