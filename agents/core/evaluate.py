"""Scores: full games of a frozen agent, with episodes assigned to environments and seeds beforehand.

Taking the first n episodes to finish would favour short ones; here environment i plays the episodes i, i + N,
i + 2N, ..., and the rest waits for the last of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from agents.core.actor import Actor
from agents.core.device import generator
from agents.core.rows import Act, Agent, Spec, TimeStep
from agents.core.stream import Episode, Stream
from agents.exploration import epsilon_greedy


class Policy:
    """How an agent is evaluated: "greedy", "sampled" (its own exploration) or "epsilon E" over greedy."""

    def __init__(self, agent: Agent, name: str, spec: Spec, seed: int):
        kind, _, number = name.partition(" ")
        if kind not in ("greedy", "sampled", "epsilon") or (kind == "epsilon") != bool(number):
            raise ValueError(f"the evaluation policy must be greedy, sampled or 'epsilon E', not {name!r}")
        self.agent, self.sampled = agent, kind == "sampled"
        self.epsilon = float(number) if number else 0.0
        if not 0 <= self.epsilon <= 1:
            raise ValueError(f"epsilon must lie in 0..1, not {self.epsilon}")
        if self.epsilon and not spec.num_actions:
            raise ValueError(f"policy {name!r}: draws one of several actions, and here they are continuous")
        self.spec, self.seed, self.generator = spec, seed, None

    def begin(self, columns: int) -> None:
        """It will act for so many columns from now on."""
        if (begin := getattr(self.agent, "begin", None)) is not None:
            begin(columns)

    def act(self, step: TimeStep, memory: Any = None) -> Act:
        act = self.agent.act(step, memory, explore=self.sampled)
        if not self.epsilon:
            return act
        device = act.action.device
        if self.generator is None:
            self.generator = generator(device, self.seed, 3)
        mixed = epsilon_greedy(act.action, step.legal, self.spec.num_actions, self.epsilon, self.generator)
        return act._replace(action=mixed)


def play(
    policy: Policy,
    stream: Stream,
    episodes: int,
    seed: int,
    on_step: Callable[[int, int], None] = lambda done, steps: None,
) -> list[Episode]:
    """Plays `episodes` full games, in the order of their assignment. on_step(episodes done, steps) follows along."""
    quota = [len(range(i, episodes, stream.num_envs)) for i in range(stream.num_envs)]
    played: list[list[Episode]] = [[] for _ in quota]
    actor, steps = Actor(policy, stream.spec, stream.columns), 0
    stream.reset(seed, 1)
    stream.take_episodes()
    while any(len(p) < q for p, q in zip(played, quota, strict=True)):
        stream.send(actor.act())
        stream.receive()
        steps += stream.num_envs
        for episode in stream.take_episodes():
            if len(played[episode.column]) < quota[episode.column]:
                played[episode.column].append(episode)
        on_step(sum(map(len, played)), steps)
    return [played[k % stream.num_envs][k // stream.num_envs] for k in range(episodes)]


def summary(episodes: list[Episode], protocol: str, policy: str, frame_skip: int) -> dict[str, Any]:
    """The figures of an evaluation: mean, median, standard error of the mean, every score, frames played."""
    scores = np.array([e.score for e in episodes])
    sem = float(scores.std(ddof=1) / np.sqrt(len(scores))) if len(scores) > 1 else None
    result = {
        "protocol": protocol,
        "policy": policy,
        "episodes": len(scores),
        "mean": float(scores.mean()),
        "median": float(np.median(scores)),
        "sem": sem,
        "scores": [float(s) for s in scores],
        "frames": int(sum(e.length for e in episodes) * frame_skip),
        "human_normalised": None,
    }
    for name in episodes[0].info if episodes else ():
        result[name] = float(np.mean([e.info[name] for e in episodes if name in e.info]))
    return result
