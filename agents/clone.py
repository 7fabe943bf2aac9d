"""Imitation: behaviour cloning and DAgger, two presets of the same few lines.

clone   learns from a dataset, or from a teacher that drives (`info["expert"]`, where the game has one).
dagger  in rounds: the learner itself drives, the teacher says what it would have done, and everything so far is
        learned from again (Ross et al. 2011). With a dataset the first round begins from what that teaches.

The network is that of policy gradients (encoder and policy head), so that a clone can be the start of reinforcement.
What is of driving alone (pictures made different, labels of the road) is a part in `agents.driving`, what is of board
games (a tower, symmetries, how the games ended) one in `agents.boards`; a clone of anything else has none.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents import boards, driving, losses, optimizers
from agents.boards import RecordTraining
from agents.configs.clone import PRESETS as PRESETS
from agents.configs.clone import CloneConfig
from agents.configs.clone import Config as Config
from agents.core import device as devices
from agents.core import parallel
from agents.core.pace import Pace, Ratio
from agents.core.rows import Act, Batch, Context, Learned, Needs, Spec, TimeStep
from agents.core.samplers import Uniform
from agents.driving import DrivingTraining
from agents.heads import Categorical, Gaussian
from agents.imitation import DaggerRounds, Offline
from agents.perception import encoders

EXTRA, OLD_EXTRA = "extra.", "road."  # prefixes of the names of the further head's weights, now and in old checkpoints
HUBER_THRESHOLD = 0.1  # Huber threshold of the action error: larger errors count linearly, as labels are noisy


class CloneNetwork(nn.Module):
    """An encoder with a policy head, and a further head that helps to learn features."""

    def __init__(self, config: CloneConfig, spec: Spec, part: DrivingTraining | None):
        super().__init__()
        self.encoder = encoders.build(spec.obs_shape, spec.stack, config.encoder, config.hidden, dtype=spec.obs_dtype)
        features = self.encoder.features
        self.policy = (
            Gaussian(features, spec.action_dim) if spec.action_dim else Categorical(features, spec.num_actions)
        )
        self.extra = None if part is None else part.head(features)

    def freeze(self) -> None:
        """The encoder learns no more."""
        self.encoder.requires_grad_(False)

    def forward(self, obs: Tensor, legal: Tensor | None) -> Tensor:
        """[B, stack, ...] -> parameters of the policy [B, ...]."""
        return self.policy(self.encoder(obs), legal)


class BoardCloneNetwork(boards.BoardNetwork):
    """The network of board games, called like `CloneNetwork`."""

    @property
    def extra(self) -> Any:
        """What tells how games end."""
        return self.ends

    def forward(self, obs: Tensor, legal: Tensor | None) -> Tensor:
        """[B, 1, C, H, W] -> log probabilities [B, A]."""
        return self.policy(self.encoder(obs), legal)


class CloneBatch(NamedTuple):
    """B rows to learn from."""

    obs: Tensor  # [B, S, ...]
    label: Tensor  # [B, D] or [B]: the teacher's action
    legal: Tensor | None  # bool [B, A]
    more: dict[str, Tensor]  # further labels, by name  [B, ...]
    weight: Tensor  # [B]

    def share(self, part: slice) -> CloneBatch:
        """Some of the rows."""
        if part == slice(0, len(self.weight)):
            return self
        more, legal = {k: v[part] for k, v in self.more.items()}, None if self.legal is None else self.legal[part]
        return CloneBatch(self.obs[part], self.label[part], legal, more, self.weight[part])


class Clone:
    """See the module. Columns of the ring: expert (the label), and further labels of its part where they are told."""

    evaluation = "greedy"

    def __init__(self, config: CloneConfig, spec: Spec, context: Context):
        clock, device, seed, _ = context
        self.config, self.spec, self.clock, self.device = config, spec, clock, device
        self.dtype = devices.compute_dtype(device, config.precision)
        self.part: DrivingTraining | RecordTraining | None = driving.part(config, spec, device)
        with devices.seeded(seed):
            if boards.is_board(spec) and self.part is None and config.encoder == "auto":
                self.part, network = RecordTraining(spec, device), BoardCloneNetwork(config, spec)
            else:
                network = CloneNetwork(config, spec, self.part)
            self.learner = network.to(device)
        if config.freeze_trunk:
            self.learner.freeze()
        self.driver = copy.deepcopy(self.learner).requires_grad_(False)  # the moving average; it acts
        self.act_generator = devices.generator(device, seed, 1)
        self.learn_generator = devices.generator(device, seed, 2)
        self.optimizer = optimizers.build(config.optimizer, self.learner.parameters(), config.lr, eps=1e-8)
        lengths = config.pretrain_updates, config.rows_per_round, config.updates_per_round
        self.rounds = DaggerRounds(*lengths) if config.dagger else None
        pace: Pace = self.rounds or Ratio(config.ratio, config.batch, config.warmup)
        further = self.part.info if self.part is not None else {}
        self.needs = Needs(
            window=1,
            sampler=Uniform(),
            capacity=config.replay,
            batch=config.batch,
            pace=pace,
            info={"expert": np.zeros(spec.action_shape, spec.action_dtype), **further},
        )

    def take_dataset(self, rows: int, has_teacher: bool) -> None:
        """Plans for a dataset of `rows` rows in the ring. has_teacher: the game has one, too, so rounds can follow.

        Must be called before the ring is built: `needs` changes.
        """
        if self.rounds is not None and has_teacher:
            self.rounds.begin(rows)
            self.needs = self.needs._replace(capacity=self.needs.capacity + rows)
            return
        self.rounds = None
        self.needs = self.needs._replace(pace=Offline(), capacity=rows)

    @property
    def network(self) -> nn.Module:
        """What learns."""
        return self.learner

    @property
    def acting(self) -> nn.Module:
        """What acts: `encoder`, `policy`, and `extra` or None."""
        return self.driver

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
            share = self.config.teacher_share ** (self.rounds.round + 1)
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
        rows = self._rows(batch)
        if self.part is not None:
            told = rows.more if rows.legal is None else {**rows.more, "legal": rows.legal}
            obs, label, more = self.part.changed(rows.obs, rows.label, told, self.learn_generator)
            rows = rows._replace(obs=obs, label=label, legal=more.pop("legal", None), more=more)
        rows = rows.share(parallel.share(len(rows.weight)))
        loss, metrics = self._loss(self.learner, rows)
        left = 1 - self._progress()
        optimizers.set_rate(self.optimizer, c.lr * (c.lr_end + (1 - c.lr_end) * left))
        self.optimizer.zero_grad()
        loss.backward()
        parallel.sum_gradients(self.learner.parameters())
        norm = nn.utils.clip_grad_norm_(self.learner.parameters(), c.max_grad_norm, foreach=True)
        self.optimizer.step()
        updates = self.clock.updates + 1
        decay = min(c.ema_decay, updates / (updates + 10))  # the first weights are soon forgotten
        with torch.no_grad():
            mine, theirs = list(self.driver.parameters()), list(self.learner.parameters())
            torch._foreach_lerp_(mine, theirs, 1 - decay)
        figures = parallel.whole(torch.stack([v.detach() for v in (*metrics.values(), loss)])).unbind()
        yield Learned(dict(zip((*metrics, "loss"), figures, strict=True)) | {"grad_norm": norm.detach()})

    def _rows(self, batch: Batch) -> CloneBatch:
        wanted = () if self.part is None else self.part.info
        return CloneBatch(
            batch.obs[:, 0], batch.extras["expert"][:, 0], None if batch.legal is None else batch.legal[:, 0],
            {k: batch.extras[k][:, 0] for k in wanted if k in batch.extras}, batch.weight[:, 0],
        )  # fmt: skip

    def _loss(self, network: CloneNetwork, rows: CloneBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of B rows, and what it consists of."""
        label, weight = rows.label, rows.weight
        with devices.mixed(self.device, self.dtype):
            features = network.encoder(rows.obs)
        params = network.policy(features, rows.legal)
        if self.spec.action_dim:
            mean = params[..., 0]
            off = mean - label  # [B, D]
            each = F.smooth_l1_loss(mean, label, beta=HUBER_THRESHOLD, reduction="none").sum(1)
            imitation = losses.mean(each if self.part is None else each * self.part.emphasis(label), weight)
            # The deviation learns how far off the mean is; the mean does not learn from it.
            wide = network.policy.logp(torch.stack([mean.detach(), params[..., 1]], -1), label)
            loss = imitation - 0.1 * losses.mean(wide, weight)
            metrics = {f"error_{i}": losses.mean(off[:, i].abs(), weight) for i in range(off.shape[1])}
        else:
            label = label.long()
            imitation = losses.mean(-network.policy.logp(params, label), weight)
            loss = imitation
            metrics = {"accuracy": losses.mean((params.argmax(1) == label).float(), weight)}
        metrics["imitation"] = imitation
        if self.part is not None:
            for name, (share, value) in self.part.losses(network.extra, features, rows.more, weight).items():
                loss, metrics[name] = loss + share * value, value
        return loss, metrics

    @torch.no_grad()
    def examine(self, batch: Batch) -> dict[str, Tensor]:
        """The driver's losses on rows that it does not learn from, unchanged pictures: mean over the rows."""
        with parallel.alone():
            return self._loss(self.driver, self._rows(batch))[1]

    def state_dict(self) -> dict[str, Any]:
        driver = self.driver.state_dict()
        return {
            # What acts, a plain policy that another agent can start from: encoder and policy alone.
            "network": {k: v for k, v in driver.items() if not k.startswith(EXTRA)},
            "extra": {k: v for k, v in driver.items() if k.startswith(EXTRA)},
            "learner": self.learner.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "act_generator": self.act_generator.get_state(),
            "learn_generator": self.learn_generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        state = upgraded(state)
        self.driver.load_state_dict({**state["network"], **state["extra"]})
        self.learner.load_state_dict(state["learner"])
        optimizers.load(self.optimizer, state["optimizer"])
        self.act_generator.set_state(state["act_generator"])
        self.learn_generator.set_state(state["learn_generator"])

    def load_weights(self, state: dict[str, Any]) -> None:
        """Another run's weights only: optimizer, schedules and generators start anew, and so does the further head
        where that run has none."""
        state, mine = upgraded(state), self.driver.state_dict()
        given = {**{k: v for k, v in mine.items() if k.startswith(EXTRA)}, **state["network"]}
        given |= {k: v for k, v in state.get("extra", {}).items() if k in mine}
        self.driver.load_state_dict(given)
        self.learner.load_state_dict(given)


def upgraded(state: dict[str, Any]) -> dict[str, Any]:
    """The state of an older checkpoint, which held the further head in "network", in today's layout."""
    if "extra" in state or not any(k.startswith(OLD_EXTRA) for k in state["network"]):
        return {"extra": {}, **state}

    def renamed(weights: dict[str, Any]) -> dict[str, Any]:
        return {EXTRA + k.removeprefix(OLD_EXTRA) if k.startswith(OLD_EXTRA) else k: v for k, v in weights.items()}

    driver = renamed(state["network"])
    state = {**state, "network": {k: v for k, v in driver.items() if not k.startswith(EXTRA)}}
    state["extra"] = {k: v for k, v in driver.items() if k.startswith(EXTRA)}
    return {**state, "learner": renamed(state["learner"])} if "learner" in state else state


build = Clone
