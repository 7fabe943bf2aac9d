"""An agent that sees vectors and rewards of unit size: a running mean and deviation around any agent of the lab.

The ring keeps what the game gave. Numbers are normalised where the agent acts and where it learns, with the figures of
the moment when the last `learn` began: a whole rollout is acted on with the same figures, and learned from with them.
The figures are part of the agent's state. Only the agent that trains counts what it sees (`training`); one that is
scored or watched keeps them as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from agents.core.rows import Act, Agent, Batch, Learned, Spec, TimeStep

PARTS = ("obs", "reward")
LIMIT = 10.0  # bound of normalised numbers, in both directions
SMALLEST = 1e-8  # smallest variance


def parts(text: str) -> tuple[str, ...]:
    """``obs,reward`` -> its parts. Raises ValueError for another word."""
    found = tuple(word.strip() for word in text.split(",") if word.strip())
    for word in found:
        if word not in PARTS:
            raise ValueError(f"normalize {text!r}: must be obs, reward or obs,reward")
    return found


class Moments:
    """Mean and variance of all rows so far, by the parallel formula of Chan et al. (1979)."""

    def __init__(self, size: int):
        self.count = 0
        self.mean, self.squares = (torch.zeros(size, dtype=torch.float64) for _ in range(2))

    def add(self, rows: Tensor) -> None:
        """rows: [M, size]."""
        rows = rows.detach().to("cpu", torch.float64)
        n = len(rows)
        if not n:
            return
        mean, total = rows.mean(0), self.count + n
        away = mean - self.mean
        self.squares = self.squares + (rows - mean).square().sum(0) + away.square() * (self.count * n / total)
        self.mean, self.count = self.mean + away * (n / total), total

    def figures(self) -> Tensor:
        """Mean and deviation, float32 [2, size]; 0 and 1 before there are two rows."""
        if self.count < 2:
            return torch.stack([torch.zeros_like(self.mean), torch.ones_like(self.mean)]).float()
        deviation = (self.squares / self.count + SMALLEST).sqrt()
        return torch.stack([self.mean, deviation]).float()

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "mean": self.mean, "squares": self.squares}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count, self.mean, self.squares = state["count"], state["mean"].cpu(), state["squares"].cpu()


class Normalized:
    """`agent` behind the figures; everything else about it is its own.

    what: of PARTS. gamma: the agent's discount: rewards are divided by the deviation of discounted returns.
    Raises ValueError where there are no vectors to normalise.
    """

    def __init__(self, agent: Agent, spec: Spec, what: tuple[str, ...], gamma: float):
        if "obs" in what and (spec.obs_dtype != "float32" or len(spec.obs_shape) != 1):
            raise ValueError("--normalize-obs: only for observations that are vectors of numbers")
        self.agent, self.what, self.gamma = agent, what, gamma
        self.needs, self.evaluation = agent.needs, agent.evaluation
        self.training = False
        self.obs, self.returns = Moments(spec.obs_shape[0] if "obs" in what else 0), Moments(1)
        self.running = torch.zeros(0, dtype=torch.float64)  # discounted return so far, [N]
        self._counted: TimeStep | None = None  # newest row that was counted: the loop may act twice on a row
        self._freeze()
        self._learning = self._acting

    def __getattr__(self, name: str) -> Any:
        agent = self.__dict__["agent"]
        if name == "explain":
            explain = agent.explain
            return lambda step, memory=None: explain(step._replace(obs=self._seen(step.obs, self._acting)), memory)
        return getattr(agent, name)

    def _freeze(self) -> None:
        self._acting = (self.obs.figures(), self.returns.figures())

    def _seen(self, obs: Tensor, figures: tuple[Tensor, Tensor]) -> Tensor:
        """obs: [..., D]."""
        if "obs" not in self.what:
            return obs
        mean, deviation = figures[0].to(obs.device)
        return ((obs - mean) / deviation).clamp(-LIMIT, LIMIT)

    def _count(self, step: TimeStep) -> None:
        if not self.training or step is self._counted:
            return
        self._counted = step
        if "obs" in self.what:
            self.obs.add(step.obs[:, -1])
        if "reward" in self.what:
            reward, first = step.reward.to("cpu", torch.float64), step.first.cpu()
            before = self.running if len(self.running) == len(reward) else torch.zeros_like(reward)
            self.running = torch.where(first, 0.0, before * self.gamma + reward)
            self.returns.add(self.running[~first][:, None])

    def act(self, step: TimeStep, memory: Any = None, *, explore: bool = True) -> Act:
        self._count(step)
        return self.agent.act(step._replace(obs=self._seen(step.obs, self._acting)), memory, explore=explore)

    def learn(self, batch: Batch) -> Iterator[Learned]:
        self._learning = self._acting  # statistics with which this rollout was acted on
        self._freeze()
        changed = {"obs": self._seen(batch.obs, self._learning)}
        if "reward" in self.what:
            deviation = self._learning[1][1].to(batch.reward.device)
            changed["reward"] = (batch.reward / deviation).clamp(-LIMIT, LIMIT)
        return self.agent.learn(batch._replace(**changed))

    def state_dict(self) -> dict[str, Any]:
        figures = {"obs": self._acting[0], "returns": self._acting[1]}
        counted = {"obs": self.obs.state_dict(), "returns": self.returns.state_dict(), "running": self.running}
        return {**self.agent.state_dict(), "normalizer": {"acting": figures, "counted": counted}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        own = state["normalizer"]
        self.agent.load_state_dict({k: v for k, v in state.items() if k != "normalizer"})
        self._take(own)
        self.running = own["counted"]["running"].cpu()

    def load_weights(self, state: dict[str, Any]) -> None:
        """Weights, and the figures that belong to them. Those of a run that had none (--init) begin anew."""
        self.agent.load_weights({k: v for k, v in state.items() if k != "normalizer"})
        if "normalizer" in state:
            self._take(state["normalizer"])

    def _take(self, state: dict[str, Any]) -> None:
        self.obs.load_state_dict(state["counted"]["obs"])
        self.returns.load_state_dict(state["counted"]["returns"])
        self._acting = (state["acting"]["obs"].cpu(), state["acting"]["returns"].cpu())
