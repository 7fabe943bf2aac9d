"""DQN and its options, each a field that works alone: Double, Dueling, n-step, prioritized replay.

Mnih et al. (2015); van Hasselt et al. (2016); Wang et al. (2016); Sutton (1988); Schaul et al. (2016).
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from agents import losses
from agents.core import device as devices
from agents.core.loop import Ratio
from agents.core.returns import n_step
from agents.core.rows import Act, Batch, Learned, Needs, Priority, Spec, TimeStep
from agents.core.samplers import Prioritized, Uniform
from agents.heads import ActionValues, masked
from agents.perception import encoders


@dataclasses.dataclass(frozen=True)
class Config:
    """DQN of Nature 2015, with Adam."""

    replay: int = 1_000_000  # transitions that the ring holds
    warmup: int = 50_000  # transitions before learning starts
    batch: int = 32  # transitions per update
    ratio: float = 8.0  # transitions trained per new one (Nature: batch 32 every 4 steps = 8)
    lr: float = 1e-4  # learning rate
    lr_end: float = 1.0  # share of the learning rate that is left at the end of the budget
    adam_eps: float = 1e-8  # Adam's epsilon
    gamma: float = 0.99  # discount per step
    n_step: int = 1  # steps until the bootstrap
    double: bool = False  # the online network chooses the action that the target network values
    dueling: bool = False  # separate streams for value and advantages
    prioritized: bool = False  # draw by TD error
    alpha: float = 0.5  # exponent of the priorities
    beta: float = 0.4  # exponent of the importance weights, at the start; 1 at the end of the budget
    target_period: int = 10_000  # steps between copies to the target network
    epsilon: float = 1.0  # share of random actions at the start
    epsilon_end: float = 0.1  # and after its fall
    epsilon_decay: float = 1_000_000  # steps of its fall; up to 1: a share of the budget
    huber: float = 1.0  # TD errors count linearly beyond this, 0: never
    max_grad_norm: float = 10.0  # gradients are scaled down to this norm, 0: never
    reward_clip: float = 1.0  # learns from rewards cut to +-this, 0: as they are
    encoder: str = "auto"  # nature, nips, small, tiny or auto (by the size of the picture)
    hidden: int = 512  # features
    precision: str = "auto"  # bf16 where the machine has it, or fp32

    def __post_init__(self) -> None:
        if self.n_step < 1 or self.batch < 1 or self.replay < 2:
            raise ValueError("--n-step and --batch must be at least 1, --replay at least 2")
        if self.ratio <= 0:
            raise ValueError(f"--ratio {self.ratio}: must be above 0")
        if not 0 <= self.gamma <= 1:
            raise ValueError(f"--gamma {self.gamma}: must lie in 0..1")
        if self.warmup > self.replay:
            raise ValueError(f"--warmup {self.warmup} is more than --replay {self.replay}: learning would never start")


PRESETS: dict[str, dict[str, Any]] = {"dqn": {}}


class Network(nn.Module):
    """Encoder and action values."""

    def __init__(self, config: Config, spec: Spec):
        super().__init__()
        self.encoder = encoders.build(spec.obs_shape, spec.stack, config.encoder, config.hidden)
        self.head = ActionValues(self.encoder.features, spec.num_actions, config.dueling)

    def forward(self, obs: Tensor) -> Tensor:
        """[B, stack, ...] -> [B, A] float32."""
        return self.head(self.encoder(obs))


class DQN:
    """See the module. Illegal actions are neither explored, nor chosen, nor bootstrapped from."""

    evaluation = "epsilon 0.001"

    def __init__(self, config: Config, spec: Spec, clock: Any, device: torch.device, seed: int, num_envs: int):
        if not spec.num_actions:
            raise ValueError("dqn needs discrete actions; for continuous ones take ppo, a2c or reinforce")
        self.config, self.clock, self.device, self.num_actions = config, clock, device, spec.num_actions
        self.dtype = devices.compute_dtype(device, config.precision)
        with torch.random.fork_rng(devices=[]):  # weights come from the seed, whatever else draws numbers
            torch.manual_seed(seed)
            self.online = Network(config, spec).to(device)
        self.target = copy.deepcopy(self.online).requires_grad_(False)
        self.copied = 0  # step of the last copy to the target
        self.generator = devices.generator(device, seed, 1)
        self.optimizer = torch.optim.Adam(self.online.parameters(), lr=config.lr, eps=config.adam_eps, fused=True)
        self.needs = Needs(
            window=config.n_step + 1,
            sampler=Prioritized(config.alpha, config.beta) if config.prioritized else Uniform(),
            length=config.replay,
            batch=config.batch,
            pace=Ratio(config.ratio, config.batch, max(config.warmup, (config.n_step + 1 + spec.stack) * num_envs)),
        )

    @property
    def epsilon(self) -> float:
        """Share of random actions now."""
        c = self.config
        spent = self.clock.progress / c.epsilon_decay if c.epsilon_decay <= 1 else self.clock.steps / c.epsilon_decay
        return c.epsilon + (c.epsilon_end - c.epsilon) * min(1.0, spent)

    @torch.no_grad()
    def act(self, step: TimeStep, memory: Any = None, *, explore: bool = True) -> Act:
        with devices.mixed(self.device, self.dtype):
            q = self.online(step.obs)
        action = masked(q, step.legal).argmax(1)  # [N]
        if explore:
            n = len(action)
            draw = torch.rand((2, n, self.num_actions), generator=self.generator, device=self.device)
            anything = masked(draw[0], step.legal).argmax(1)  # uniform over the legal actions
            action = torch.where(draw[1, :, 0] < self.epsilon, anything, action)
        return Act(action)

    def learn(self, batch: Batch) -> Iterator[Learned]:
        c = self.config
        if self.clock.steps - self.copied >= c.target_period:
            self.target.load_state_dict(self.online.state_dict())
            self.copied = self.clock.steps
        reward = batch.reward.clamp(-c.reward_clip, c.reward_clip) if c.reward_clip else batch.reward
        ahead = n_step(reward, batch.discount, batch.last, c.gamma)
        rows = torch.arange(len(reward), device=self.device)
        later, legal = batch.obs[rows, ahead.boot], None
        if batch.legal is not None:
            legal = batch.legal[rows, ahead.boot]
        with devices.mixed(self.device, self.dtype):
            with torch.no_grad():
                q_t = self.target(later)
                chooser = self.online(later) if c.double else q_t
            q_tm1 = self.online(batch.obs[:, 0])
        a_t = masked(chooser, legal).argmax(1)
        error = losses.q_learning(q_tm1, batch.action[:, 0], ahead.reward, ahead.discount, q_t, a_t)
        loss = losses.mean(losses.huber(error, c.huber), batch.weight[:, 0])
        for group in self.optimizer.param_groups:
            group["lr"] = c.lr * (1 - (1 - c.lr_end) * self.clock.progress)
        self.optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.online.parameters(), c.max_grad_norm or float("inf"), foreach=True)
        self.optimizer.step()
        metrics = {"loss": loss.detach(), "q": q_tm1.detach().mean(), "grad_norm": norm}
        priority = None
        if c.prioritized:
            self.needs.sampler.beta = c.beta + (1 - c.beta) * self.clock.progress
            priority = Priority(batch.index, error.detach().abs())
        yield Learned(metrics, priority)

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
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])

    def load_weights(self, state: dict[str, Any]) -> None:
        """Another run's weights only: optimizer, schedules and generators start anew."""
        self.online.load_state_dict(state["network"])
        self.target.load_state_dict(state["network"])


build = DQN
