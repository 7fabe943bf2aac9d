"""Imitation: behaviour cloning and DAgger, two presets of the same few lines.

clone   learns from a dataset, or from a teacher that drives (`info["expert"]`, where the game has one).
dagger  in rounds: the learner itself drives, the teacher says what it would have done, and everything so far is
        learned from again (Ross et al. 2011). With a dataset the first round begins from what that teaches.

The network is that of policy gradients (encoder and policy head), so that a clone can be the start of reinforcement.
For a driver the actions are steering and a target speed, not the throttle: the environment works the pedals. Beside
them it learns what the simulator knows of the road (offset, heading, drivable area); rows without that are left out.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents import losses, optimizers
from agents.configs.clone import PRESETS as PRESETS
from agents.configs.clone import Config
from agents.core import device as devices
from agents.core.pace import Pace, Ratio
from agents.core.rows import Act, Batch, Context, Learned, Needs, Spec, TimeStep
from agents.core.samplers import Uniform
from agents.heads import Categorical, Gaussian, Road
from agents.imitation import DaggerRounds, Offline
from agents.perception import augment, encoders

UNKNOWN = {  # labels of `agents.heads.Road` where nobody knows them
    "lateral": np.float32("nan"),
    "heading": np.float32("nan"),
    "drivable": np.full(Road.AREA, 255, np.uint8),
}
LATERAL_SCALE, HEADING_SCALE = 2.0, 0.3  # m and rad that count as an error of 1
EDGE = 0.1  # errors of an action above it count linearly: a teacher has moods


class Network(nn.Module):
    """An encoder with a policy head, and where it is asked for what is seen of the road."""

    def __init__(self, config: Config, spec: Spec):
        super().__init__()
        self.encoder = encoders.build(spec.obs_shape, spec.stack, config.encoder, config.hidden)
        features = self.encoder.features
        self.policy = (
            Gaussian(features, spec.action_dim) if spec.action_dim else Categorical(features, spec.num_actions)
        )
        self.road = Road(features) if config.road else None

    def forward(self, obs: Tensor, legal: Tensor | None) -> Tensor:
        """[B, stack, ...] -> parameters of the policy [B, ...]."""
        return self.policy(self.encoder(obs), legal)


class Clone:
    """See the module. Columns of the ring: expert (the label), and the road's labels where the game tells them."""

    evaluation = "greedy"

    def __init__(self, config: Config, spec: Spec, context: Context):
        clock, device, seed, _ = context
        self.config, self.spec, self.clock, self.device = config, spec, clock, device
        self.dtype = devices.compute_dtype(device, config.precision)
        with devices.seeded(seed):
            self.learner = Network(config, spec).to(device)
        self.driver = copy.deepcopy(self.learner).requires_grad_(False)  # the moving average; it acts
        self.act_generator = devices.generator(device, seed, 1)
        self.learn_generator = devices.generator(device, seed, 2)
        self.optimizer = optimizers.build(config.optimizer, self.learner.parameters(), config.lr, eps=1e-8)
        settings = augment.Config(
            flip=config.flip, shift=config.shift, colour=config.colour, brightness=config.brightness,
            noise=config.noise, exposure=config.exposure, shade=config.shade, invert=config.invert,
        )  # fmt: skip
        changes = not augment.plain(settings)
        if changes and (len(spec.obs_shape) < 2 or not spec.action_dim):
            raise ValueError(
                "--flip, --shift, --colour, --brightness, --noise, --exposure, --shade, --invert: only pictures with a"
                " steering wheel have them"
            )
        self.augment = augment.Augment(settings, device) if changes else None
        self.rounds = DaggerRounds(config.first, config.rows, config.draws) if config.rounds else None
        pace: Pace = self.rounds or Ratio(config.ratio, config.batch, config.warmup)
        self.needs = Needs(
            window=1,
            sampler=Uniform(),
            capacity=config.replay,
            batch=config.batch,
            pace=pace,
            info={"expert": np.zeros(spec.action_shape, spec.action_dtype), **(UNKNOWN if config.road else {})},
        )

    def take_dataset(self, rows: int, taught: bool) -> None:
        """Plans for a dataset of `rows` rows in the ring. taught: the game has a teacher, too, so rounds can follow.

        Must be called before the ring is built: `needs` changes.
        """
        if self.rounds is not None and taught:
            self.rounds.begin(rows)
            self.needs = self.needs._replace(capacity=self.needs.capacity + rows)
            return
        self.rounds = None
        self.needs = self.needs._replace(pace=Offline(), capacity=rows)

    @property
    def network(self) -> nn.Module:
        """What learns."""
        return self.learner

    @torch.no_grad()
    def act(self, step: TimeStep, memory: Any = None, *, explore: bool = True) -> Act:
        """Where a teacher stands by and this is training, it drives (clone), or drives at times (dagger)."""
        with devices.mixed(self.device, self.dtype):
            action = self.driver.policy.mode(self.driver(step.obs, step.legal))
        action = action.float() if self.spec.action_dim else action
        if not explore:
            return Act(action)
        known = {k: v for k, v in step.info.items() if k != "expert"}
        expert = step.info.get("expert")
        if expert is None:
            return Act(action, {"expert": action, **known})
        asked = torch.ones(len(action), dtype=torch.bool, device=self.device)
        if self.rounds is not None:
            share = self.config.teacher ** (self.rounds.round + 1)
            asked = torch.rand(len(action), generator=self.act_generator, device=self.device) < share
        done = torch.where(asked[:, None] if self.spec.action_dim else asked, expert.to(action.dtype), action)
        return Act(done, {"expert": expert, **known})

    def explain(self, step: TimeStep, memory: Any = None) -> dict[str, Tensor]:
        """What the driver is about to do, for the panels of `watch`."""
        params = self.driver(step.obs, step.legal)
        if self.spec.action_dim:
            return {"mean": params[..., 0], "deviation": params[..., 1].exp()}
        return {"probabilities": params.exp()}

    def _progress(self) -> float:
        """0..1, share of the updates: the steps in which a round is collected learn nothing, and do not count."""
        clock = self.clock
        if not clock.budget or self.rounds is None:
            return clock.progress
        return clock.updates / (clock.updates + 1 + self.rounds.left(clock.budget - clock.steps))

    def learn(self, batch: Batch) -> Iterator[Learned]:
        """One optimizer step on B rows."""
        c = self.config
        obs, weight = batch.obs[:, 0], batch.weight[:, 0]
        label, road = batch.extras["expert"][:, 0], {k: batch.extras[k][:, 0] for k in UNKNOWN if k in batch.extras}
        legal = None if batch.legal is None else batch.legal[:, 0]
        if self.augment is not None:
            obs, label, road = self.augment(obs, label, road, self.learn_generator)
        loss, metrics = self._loss(self.learner, obs, label, legal, road, weight)
        left = 1 - self._progress()
        optimizers.set_rate(self.optimizer, c.lr * (c.lr_end + (1 - c.lr_end) * left))
        self.optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.learner.parameters(), c.max_grad_norm, foreach=True)
        self.optimizer.step()
        updates = self.clock.updates + 1
        decay = min(c.average, updates / (updates + 10))  # the first weights are soon forgotten
        with torch.no_grad():
            mine, theirs = list(self.driver.parameters()), list(self.learner.parameters())
            torch._foreach_lerp_(mine, theirs, 1 - decay)
        yield Learned({k: v.detach() for k, v in {**metrics, "loss": loss, "grad_norm": norm}.items()})

    def _loss(
        self, network: Network, obs: Tensor, label: Tensor, legal: Tensor | None, road: dict[str, Tensor],
        weight: Tensor,
    ) -> tuple[Tensor, dict[str, Tensor]]:  # fmt: skip
        """obs: [B, S, ...], label: [B, D] or [B], road: labels [B, ...], weight: [B] -> (loss, what it consists of)."""
        c = self.config
        with devices.mixed(self.device, self.dtype):
            features = network.encoder(obs)
        params = network.policy(features, legal)
        if self.spec.action_dim:
            mean = params[..., 0]
            off = mean - label  # [B, D]
            each = F.smooth_l1_loss(mean, label, beta=EDGE, reduction="none").sum(1)
            imitation = losses.mean(each * (1 + c.balance * label[:, 0].abs()), weight)
            # The deviation learns how far off the mean is; the mean does not learn from it.
            wide = network.policy.logp(torch.stack([mean.detach(), params[..., 1]], -1), label)
            loss = imitation - 0.1 * losses.mean(wide, weight)
            metrics = {f"error_{i}": losses.mean(off[:, i].abs(), weight) for i in range(off.shape[1])}
        else:
            label = label.long()
            imitation = losses.mean(-network.policy.logp(params, label), weight)
            loss = imitation
            metrics = {"wrong": losses.mean((params.argmax(1) != label).float(), weight)}
        metrics["imitation"] = imitation
        if network.road is not None:
            for name, value in self._road_losses(network.road, features, road, weight).items():
                loss, metrics[name] = loss + c.road * value, value
        return loss, metrics

    def _road_losses(self, head: Road, features: Tensor, road: dict[str, Tensor], weight: Tensor) -> dict[str, Tensor]:
        """Huber for offset and heading, cross entropy for the drivable area; rows without a label count nothing."""
        lateral, heading, area = head(features)
        result = {}
        for name, seen, scale in (("lateral", lateral, LATERAL_SCALE), ("heading", heading, HEADING_SCALE)):
            if name in road:
                known = road[name].isfinite()
                error = (seen - road[name].nan_to_num()) / scale
                each = F.smooth_l1_loss(error, torch.zeros_like(error), reduction="none")
                result[name] = losses.mean(each, weight * known)
        if "drivable" in road:
            known = road["drivable"].amax((1, 2)) <= 1
            target = road["drivable"].clamp(max=1).float()
            each = F.binary_cross_entropy_with_logits(area, target, reduction="none").mean((1, 2))
            result["drivable"] = losses.mean(each, weight * known)
        return result

    @torch.no_grad()
    def examine(self, batch: Batch) -> dict[str, Tensor]:
        """The driver's losses on rows that it does not learn from, unchanged pictures: mean over the rows."""
        road = {k: batch.extras[k][:, 0] for k in UNKNOWN if k in batch.extras}
        legal = None if batch.legal is None else batch.legal[:, 0]
        label = batch.extras["expert"][:, 0]
        _, metrics = self._loss(self.driver, batch.obs[:, 0], label, legal, road, batch.weight[:, 0])
        return metrics

    def state_dict(self) -> dict[str, Any]:
        return {
            "network": self.driver.state_dict(),  # what acts, and what another agent can start from
            "learner": self.learner.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "act_generator": self.act_generator.get_state(),
            "learn_generator": self.learn_generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.driver.load_state_dict(state["network"])
        self.learner.load_state_dict(state["learner"])
        optimizers.load(self.optimizer, state["optimizer"])
        self.act_generator.set_state(state["act_generator"])
        self.learn_generator.set_state(state["learn_generator"])

    def load_weights(self, state: dict[str, Any]) -> None:
        """Another run's weights only: optimizer, schedules and generators start anew."""
        self.driver.load_state_dict(state["network"])
        self.learner.load_state_dict(state["network"])


build = Clone
