"""PQN: Q-learning without replay or target network, on rollouts of many environments (Gallici et al. 2025).

Layer norm keeps the network stable, Q(lambda) gives the targets, and each rollout is learned from a few times. The
next rollout is collected meanwhile by a copy of the weights taken when it began, so the data is exactly one policy
behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from agents import losses, optimizers, rollouts
from agents.configs.pqn import PRESETS as PRESETS
from agents.configs.pqn import Config as Config
from agents.configs.pqn import PQNConfig
from agents.core import device as devices
from agents.core import parallel
from agents.core.graphs import Graphed
from agents.core.returns import lambda_returns
from agents.core.rows import Act, Batch, Context, Learned, Spec, TimeStep
from agents.exploration import epsilon_greedy, epsilon_now
from agents.heads import masked
from agents.perception import encoders
from agents.recurrent import Memory, shuffled, windows
from agents.rewards import Shaping
from agents.rollouts import ActingCopy, planned


class NormedQNetwork(nn.Module):
    """A layer-normed encoder and action values; a memory between them where one is asked for."""

    def __init__(self, config: PQNConfig, spec: Spec):
        super().__init__()
        self.encoder = encoders.build(
            spec.obs_shape, spec.stack, config.encoder, config.hidden, norm=True, dtype=spec.obs_dtype
        )
        self.memory = Memory(self.encoder.features, config.recurrent) if config.recurrent else None
        features = config.recurrent or self.encoder.features
        self.q = encoders.orthogonal(nn.Linear(features, spec.num_actions), 1.0)

    def forward(
        self, obs: Tensor, memory: Tensor | None = None, first: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """[M, stack, ...] -> ([M, A] float32, the memory after them).

        With a memory the M rows are windows, one after the other: memory before them [B, 2, units], first [B, M / B].
        """
        features = self.encoder(obs).float()
        with torch.autocast(features.device.type, enabled=False):
            if self.memory is not None:
                features, memory = self.memory(features.unflatten(0, (-1, first.shape[1])), memory, first)
                features = features.flatten(0, 1)
            return self.q(features), memory


class PQN:
    """See the module. Columns of the ring: value, the largest action value that the acting copy saw, and its memory
    before the row."""

    def __init__(self, config: PQNConfig, spec: Spec, context: Context):
        clock, device, seed, num_envs = context
        if not spec.num_actions:
            raise ValueError("pqn needs discrete actions; for continuous ones take ppo, a2c or reinforce")
        self.config, self.clock, self.device, self.num_actions = config, clock, device, spec.num_actions
        self.evaluation = config.evaluation
        self.dtype = devices.compute_dtype(device, config.precision)
        with devices.seeded(seed):
            self.network = NormedQNetwork(config, spec).to(device)
        self.actor = ActingCopy(self.network)
        self.act_generator = devices.generator(device, seed, 1, *parallel.key())
        self.learn_generator = devices.generator(device, seed, 2)
        self.optimizer = optimizers.build(config.optimizer, self.network.parameters(), config.lr, eps=1e-5)
        self.minibatch, self.needs = planned(config, spec, num_envs)
        graphs = config.graphs and not config.recurrent and parallel.size() == 1
        self._chosen = Graphed(self._choose, device, generators=[self.act_generator], enabled=graphs)
        self._learned = Graphed(self._step, device, enabled=graphs)

    @property
    def epsilon(self) -> float:
        """Share of random actions now."""
        return epsilon_now(self.config, self.clock)

    @torch.no_grad()
    def act(self, step: TimeStep, memory: Any = None, *, explore: bool = True) -> Act:
        if memory is None and self.actor.network.memory is not None:
            memory = self.actor.network.memory.initial(len(step.first))
        if explore:
            action, value, after = self._chosen(step.obs, step.legal, self.epsilon, memory, step.first)
            return Act(action, {"value": value} if memory is None else {"value": value, "memory": memory}, after)
        action, _, after = self._best(step.obs, step.legal, memory, step.first)
        return Act(action, memory=after)

    def _best(
        self, obs: Tensor, legal: Tensor | None, memory: Tensor | None, first: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """The best actions [N], their values [N], the memory after them."""
        with devices.mixed(self.device, self.dtype):
            q, after = self.actor.network(obs, memory, first[:, None])
        value, action = masked(q, legal).max(1)
        return action, value, after

    def _choose(
        self, obs: Tensor, legal: Tensor | None, epsilon: float | Tensor, memory: Tensor | None, first: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """What is done [N], the best values [N], the memory after them."""
        action, value, after = self._best(obs, legal, memory, first)
        return epsilon_greedy(action, legal, self.num_actions, epsilon, self.act_generator), value, after

    def explain(self, step: TimeStep, memory: Any = None) -> dict[str, Tensor]:
        """Action values [N, A] and the best of them [N]; see docs/add-an-agent.md."""
        with devices.mixed(self.device, self.dtype):
            q, _ = self.actor.network(step.obs, memory, step.first[:, None])
        return {"values": q, "value": masked(q, step.legal).amax(1)}

    def learn(self, batch: Batch) -> Iterator[Learned]:
        """Learns from one rollout: windows of T+1 rows, one per environment."""
        self.actor.take()  # no delay: the next rollout is collected by the weights that it begins with
        return self._epochs(batch)

    def _epochs(self, batch: Batch) -> Iterator[Learned]:
        """Epochs of minibatches, one optimizer step each."""
        c = self.config
        reward = Shaping(c.reward_clip)(batch.reward)
        target = lambda_returns(reward, batch.discount, batch.last, batch.extras["value"], c.gamma, c.lam)  # [B, T]
        envs, length = target.shape
        target, weight, action = target.reshape(-1), batch.weight.reshape(-1), batch.action[:, :-1].reshape(-1)
        for _ in range(c.epochs):
            for rows in shuffled(envs, length, self.minibatch, bool(c.recurrent), self.learn_generator):
                obs = batch.observations(rows // length, rows % length)
                past = (None, None) if batch.memory is None else windows(batch, rows, length)
                yield self._update(obs, action[rows], target[rows], weight[rows], past)

    def _update(
        self, obs: Tensor, action: Tensor, target: Tensor, weight: Tensor, past: tuple[Tensor | None, Tensor | None]
    ) -> Learned:
        """One optimizer step on M transitions; every argument is [M, ...]. past: see `windows`."""
        c = self.config
        optimizers.set_rate(self.optimizer, c.lr * (c.lr_end + (1 - c.lr_end) * (1 - self.clock.progress)))
        figures = self._learned(obs, action, target, weight, *past)
        return Learned(dict(zip(("loss", "q", "grad_norm"), figures, strict=True)))

    def _step(
        self, obs: Tensor, action: Tensor, target: Tensor, weight: Tensor, memory: Tensor | None, first: Tensor | None
    ) -> tuple[Tensor, ...]:
        """Loss, mean value of the actions done, norm of the gradient."""
        with devices.mixed(self.device, self.dtype):
            q, _ = self.network(obs, memory, first)
        chosen = q.gather(1, action[:, None]).squeeze(1)
        loss = losses.mean(losses.huber(target - chosen, 0), weight)
        self.optimizer.zero_grad()
        loss.backward()
        norm = optimizers.clip(self.network.parameters(), self.config.max_grad_norm)
        self.optimizer.step()
        value = losses.mean(chosen.detach(), torch.ones_like(chosen))
        loss, value = parallel.whole(torch.stack([loss.detach(), value])).unbind()
        return loss, value, norm

    def state_dict(self) -> dict[str, Any]:
        return rollouts.state_of(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        rollouts.restore(self, state)
        self._learned.forget()

    def load_weights(self, state: dict[str, Any]) -> None:
        """Another run's weights only: optimizer, schedules and generators start anew."""
        self.network.load_state_dict(state["network"])
        self.actor.take()


build = PQN
