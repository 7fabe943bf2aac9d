"""SAC: soft actor-critic with a learned temperature, for continuous and for discrete actions.

Continuous: Haarnoja et al. (2018a, 2018b), a normal distribution squashed by tanh. Discrete: Christodoulou (2019):
expectations over actions are sums, and nothing has to be sampled. Twin critics: Fujimoto et al. (2018). For pictures
one encoder serves all; the critics alone train it and the policy reads its features (Yarats et al. 2021).

One optimizer step moves critics, policy and temperature together: the policy's gradient goes through the critics
without reaching their weights.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents import losses, optimizers
from agents.configs.sac import PRESETS as PRESETS
from agents.configs.sac import Config as Config
from agents.core import device as devices
from agents.core.graphs import Graphed
from agents.core.pace import Ratio
from agents.core.returns import n_step
from agents.core.rows import Act, Batch, Context, Learned, Needs, Spec, TimeStep
from agents.core.samplers import Uniform
from agents.exploration import epsilon_greedy
from agents.heads import masked
from agents.perception import encoders
from agents.rewards import Shaping

LOG_STD = (-5.0, 2.0)  # bounds of the log deviation before the tanh
FIGURES = ("loss", "policy_loss", "value_loss", "entropy", "temperature", "q", "grad_norm")


class SoftTransitions(NamedTuple):
    """B transitions, from row 0 of a window to the row that is bootstrapped from."""

    obs: Tensor  # [B, stack, ...]
    action: Tensor  # int64 [B] or float32 [B, D]
    reward: Tensor  # [B] discounted sum up to the later row
    discount: Tensor  # [B] discount of the later row's value
    later: Tensor  # [B, stack, ...]
    legal: Tensor | None  # bool [B, A] at row 0
    legal_later: Tensor | None  # bool [B, A] at the later row
    weight: Tensor  # [B]


class Ensemble(nn.Module):
    """K networks of dense layers with ReLU between, computed in one product each layer: [B, inputs] -> [K, B, outputs].

    forward(fixed=True): gradients reach the inputs and no weight.
    """

    def __init__(self, k: int, sizes: list[int]):
        super().__init__()
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for inputs, outputs in zip(sizes, sizes[1:], strict=False):
            bound = 1 / math.sqrt(inputs)
            self.weights.append(torch.empty(k, inputs, outputs).uniform_(-bound, bound))
            self.biases.append(torch.empty(k, 1, outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor, fixed: bool = False) -> Tensor:
        x = x.expand(len(self.weights[0]), *x.shape)
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            weight, bias = (weight.detach(), bias.detach()) if fixed else (weight, bias)
            x = torch.baddbmm(bias, F.relu(x) if i else x, weight)
        return x


class SquashedGaussian:
    """Continuous actions: tanh of independent normals, whose means and deviations depend on the state."""

    def __init__(self, config: Config, spec: Spec):
        self.dim = spec.action_dim
        self.parameters = 2 * self.dim  # numbers that the policy gives: means and log deviations
        self.inputs, self.outputs = self.dim, 1  # numbers of an action that critics see; values that they give
        self.target_entropy = config.entropy_per_axis * self.dim

    def sample(self, out: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Parameters [B, 2D] -> an action [B, D] that gradients pass through, and its log density [B]."""
        mean, log_std = self.split(out)
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        raw = mean + log_std.exp() * noise
        normal = (-0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)).sum(1)
        squashed = 2 * (math.log(2) - raw - F.softplus(-2 * raw)).sum(1)  # sum of log(1 - tanh(raw)^2)
        return raw.tanh(), normal - squashed

    def split(self, out: Tensor) -> tuple[Tensor, Tensor]:
        """Parameters [B, 2D] -> means and log deviations before the tanh, [B, D] each."""
        mean, log_std = out.chunk(2, 1)
        low, high = LOG_STD
        return mean, low + 0.5 * (high - low) * (log_std.tanh() + 1)

    def choose(self, out: Tensor, legal: Tensor | None, share: Tensor | float, generator: torch.Generator) -> Tensor:
        """What is done while learning [B, D]; with probability `share` anything, uniformly."""
        action = self.sample(out, generator)[0].nan_to_num()
        draw = torch.rand((len(out), self.dim + 1), generator=generator, device=out.device)
        return torch.where(draw[:, :1] < share, 2 * draw[:, 1:] - 1, action)

    def mode(self, out: Tensor, legal: Tensor | None) -> Tensor:
        """Returns the tanh of the means [B, D]."""
        return self.split(out)[0].tanh()

    def values(self, critics: Ensemble, features: Tensor, action: Tensor) -> Tensor:
        """Values [K, B] of the actions done [B, D]."""
        return critics(torch.cat([features, action], 1))[..., 0]

    def soft_value(
        self, critics: Ensemble, features: Tensor, out: Tensor, legal: Tensor | None, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Lowest value [B] under the policy, and the policy's entropy [B], both as one sample says."""
        action, logp = self.sample(out, generator)
        return critics(torch.cat([features, action], 1), fixed=True)[..., 0].amin(0), -logp

    def explain(self, out: Tensor, legal: Tensor | None) -> dict[str, Tensor]:
        """For panels: mean and deviation [B, D], the latter to first order."""
        mean, log_std = self.split(out)
        return {"mean": mean.tanh(), "deviation": log_std.exp() * (1 - mean.tanh().square())}


class SoftCategorical:
    """Discrete actions: expectations are sums over the legal ones."""

    def __init__(self, config: Config, spec: Spec):
        self.parameters = self.outputs = spec.num_actions
        self.inputs, self.target_entropy = 0, config.entropy_share * math.log(max(2, spec.num_actions))

    def choose(self, out: Tensor, legal: Tensor | None, share: Tensor | float, generator: torch.Generator) -> Tensor:
        """What is done while learning, int64 [B]; with probability `share` anything legal, uniformly."""
        weight = masked(out, legal).softmax(1).nan_to_num(nan=1.0)
        action = (weight / torch.empty_like(weight).exponential_(generator=generator)).argmax(1)
        return epsilon_greedy(action, legal, self.parameters, share, generator)

    def mode(self, out: Tensor, legal: Tensor | None) -> Tensor:
        """Returns the most probable action, int64 [B]."""
        return masked(out, legal).argmax(1)

    def values(self, critics: Ensemble, features: Tensor, action: Tensor) -> Tensor:
        """Values [K, B] of the actions done, int64 [B]."""
        q = critics(features)  # [K, B, A]
        return q.gather(2, action[None, :, None].expand(len(q), -1, 1))[..., 0]

    def soft_value(
        self, critics: Ensemble, features: Tensor, out: Tensor, legal: Tensor | None, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Expected lowest value [B] under the policy, and the policy's entropy [B]."""
        logp = masked(out, legal).log_softmax(1)
        p = logp.exp()  # 0 where an action is illegal
        entropy = -(p * logp.clamp_min(-50)).sum(1)
        return (p * critics(features, fixed=True).amin(0)).sum(1), entropy

    def explain(self, out: Tensor, legal: Tensor | None) -> dict[str, Tensor]:
        """For panels: probabilities [B, A]."""
        return {"probabilities": masked(out, legal).softmax(1)}


class SoftNetwork(nn.Module):
    """An encoder (none for vectors), a policy, critics and the log of the entropy's weight."""

    def __init__(self, config: Config, spec: Spec, kind: SquashedGaussian | SoftCategorical):
        super().__init__()
        c = config
        if len(spec.obs_shape) == 1:
            self.encoder: nn.Module = nn.Flatten()
            features = spec.obs_shape[0] * spec.stack
        else:
            self.encoder = encoders.build(spec.obs_shape, spec.stack, c.encoder, c.hidden, dtype=spec.obs_dtype)
            features = self.encoder.features
        middle = [c.hidden] * c.layers
        self.policy = Ensemble(1, [features, *middle, kind.parameters])
        self.critics = Ensemble(c.critics, [features + kind.inputs, *middle, kind.outputs])
        self.log_temperature = nn.Parameter(torch.tensor(math.log(c.temperature)))
        with torch.no_grad():  # the first policy is nearly the same everywhere, and broad
            self.policy.weights[-1].mul_(0.01)
            self.policy.biases[-1].zero_()


class SAC:
    """See the module. Illegal actions are neither explored, nor chosen, nor counted in an expectation."""

    def __init__(self, config: Config, spec: Spec, context: Context):
        clock, device, seed, num_envs = context
        self.config, self.clock, self.device = config, clock, device
        self.evaluation = config.evaluation
        self.kind = (SquashedGaussian if spec.action_dim else SoftCategorical)(config, spec)
        # Products of vectors are small: threads would wait for each other, and values need more than three digits.
        pictures = len(spec.obs_shape) > 1
        self.torch_threads = 0 if pictures else 1
        self.dtype = devices.compute_dtype(device, config.precision if pictures else "fp32")
        with devices.seeded(seed):
            self.network = SoftNetwork(config, spec, self.kind).to(device)
        self.target = copy.deepcopy(self.network).requires_grad_(False)
        self.pairs = [list(m.encoder.parameters()) + list(m.critics.parameters()) for m in (self.target, self.network)]
        self.generator = devices.generator(device, seed, 1)
        self.optimizer = optimizers.build(config.optimizer, self.network.parameters(), config.lr, config.eps)
        self.needs = Needs(
            window=config.n_step + 1,
            sampler=Uniform(),
            capacity=config.replay,
            batch=config.batch,
            pace=Ratio(config.ratio, config.batch, max(config.warmup, (config.n_step + 1 + spec.stack) * num_envs)),
        )
        generators = dict(generators=[self.generator], enabled=config.graphs)
        self._chosen = Graphed(self._choose, device, **generators)
        self._learned = Graphed(self._update, device, **generators)

    @torch.no_grad()
    def act(self, step: TimeStep, memory: Any = None, *, explore: bool = True) -> Act:
        if explore:
            return Act(*self._chosen(step.obs, step.legal, float(self.clock.steps < self.config.warmup)))
        return Act(self.kind.mode(self._policy(step.obs), step.legal))

    def _choose(self, obs: Tensor, legal: Tensor | None, share: Tensor | float) -> tuple[Tensor]:
        """What is done while learning; before the end of the warm-up anything (share 1)."""
        return (self.kind.choose(self._policy(obs), legal, share, self.generator),)

    def _features(self, network: SoftNetwork, obs: Tensor) -> Tensor:
        """Features [B, F] in float32."""
        with devices.mixed(self.device, self.dtype):
            return network.encoder(obs).float()

    def _policy(self, obs: Tensor) -> Tensor:
        """Parameters of the policy, [B, P]."""
        return self.network.policy(self._features(self.network, obs))[0]

    def learn(self, batch: Batch) -> Iterator[Learned]:
        """One optimizer step on the drawn windows."""
        c = self.config
        reward = Shaping(c.reward_clip, c.reward_scale)(batch.reward)
        ahead = n_step(reward, batch.discount, batch.last, c.gamma)
        rows = torch.arange(len(batch.index), device=self.device)
        action = batch.action[:, 0]
        drawn = SoftTransitions(
            obs=batch.obs[:, 0], action=action if action.is_floating_point() else action.long(), reward=ahead.reward,
            discount=ahead.discount, later=batch.obs[rows, ahead.boot],
            legal=None if batch.legal is None else batch.legal[:, 0],
            legal_later=None if batch.legal is None else batch.legal[rows, ahead.boot], weight=batch.weight[:, 0],
        )  # fmt: skip
        yield Learned(dict(zip(FIGURES, self._learned(*drawn), strict=True)))

    def _update(self, *fields: Tensor | None) -> tuple[Tensor, ...]:
        """Transitions, field by field -> FIGURES of one optimizer step."""
        net, kind, drawn = self.network, self.kind, SoftTransitions(*fields)
        temperature = net.log_temperature.exp().detach()
        target = self._target(drawn, temperature)  # [B]
        features = self._features(net, drawn.obs)
        q = kind.values(net.critics, features, drawn.action)  # [K, B]
        value_loss = losses.mean(0.5 * (q - target).square().sum(0), drawn.weight)
        seen = features.detach()
        best, entropy = kind.soft_value(net.critics, seen, net.policy(seen)[0], drawn.legal, self.generator)
        policy_loss = losses.mean(-best - temperature * entropy, drawn.weight)
        mean_entropy = losses.mean(entropy.detach(), drawn.weight)
        temperature_loss = net.log_temperature * (mean_entropy - kind.target_entropy)
        loss = value_loss + policy_loss + temperature_loss
        self.optimizer.zero_grad()
        loss.backward()
        norm = optimizers.clip(net.parameters(), self.config.max_grad_norm)
        self.optimizer.step()
        with torch.no_grad():  # a target that kept track of gradients would remember every step that it has made
            torch._foreach_lerp_(*self.pairs, self.config.tau)
        figures = (loss, policy_loss, value_loss, mean_entropy, temperature, q.mean(), norm)
        return tuple(x.detach() for x in figures)

    @torch.no_grad()
    def _target(self, drawn: SoftTransitions, temperature: Tensor) -> Tensor:
        """What the critics should have said of row 0: reward and the discounted soft value of the later row, [B]."""
        seen = self._features(self.network, drawn.later)
        theirs = self._features(self.target, drawn.later)
        out = self.network.policy(seen)[0]
        best, entropy = self.kind.soft_value(self.target.critics, theirs, out, drawn.legal_later, self.generator)
        return drawn.reward + drawn.discount * (best + temperature * entropy)

    def explain(self, step: TimeStep, memory: Any = None) -> dict[str, Tensor]:
        """For panels: the policy, and the value of the state [N] (discrete: expected under the policy)."""
        features = self._features(self.network, step.obs)
        out, critics = self.network.policy(features)[0], self.network.critics
        if isinstance(self.kind, SoftCategorical):
            value = self.kind.soft_value(critics, features, out, step.legal, self.generator)[0]
        else:
            value = self.kind.values(critics, features, self.kind.mode(out, step.legal)).amin(0)
        return {**self.kind.explain(out, step.legal), "value": value}

    def state_dict(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "target": self.target.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.target.load_state_dict(state["target"])
        optimizers.load(self.optimizer, state["optimizer"])
        self._learned.forget()
        self.generator.set_state(state["generator"].cpu())

    def load_weights(self, state: dict[str, Any]) -> None:
        """Another run's weights only: optimizer, temperature and generators start anew."""
        kept = {"log_temperature": self.network.log_temperature.detach().clone()}
        self.network.load_state_dict({**state["network"], **kept})
        self.target.load_state_dict({**state["network"], **kept})


build = SAC
