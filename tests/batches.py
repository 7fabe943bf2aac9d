"""The same batches for several agents: what they make of them then differs by their arithmetic alone."""

from __future__ import annotations

import torch

from agents.core.rows import Batch
from experiments import lab

Ways = dict[str, torch.Tensor]  # of each weight, from before to after


def drawn(parts: lab.Lab, updates: int) -> list[Batch]:
    """For at least so many optimizer steps, with new rows before each batch; nothing is learned from them here."""
    stream, ring, needs = parts.stream, parts.replay, parts.agent.needs
    stream.reset(3, 0)
    batches: list[Batch] = []
    while len(batches) * getattr(needs.pace, "updates", 1) < updates:
        for _ in range(needs.window):
            act = parts.agent.act(stream.step)
            ring.add(stream.step, act)
            stream.send(act)
            stream.receive()
        batches.append(ring.sample(needs.batch))
    return batches


def learned(parts: lab.Lab, batches: list[Batch]) -> tuple[torch.Tensor, Ways]:
    """The losses of every optimizer step on the batches, and which way the weights have come by them.

    The clock goes on between the batches: target networks are copied, schedules fall.
    """
    weights = dict(parts.agent.network.named_parameters())
    before = {k: v.detach().clone() for k, v in weights.items()}
    losses = []
    for batch in batches:
        parts.clock.steps += 40
        losses += [step.metrics["loss"] for step in parts.agent.learn(batch)]
    return torch.stack(losses), {k: v.detach() - before[k] for k, v in weights.items()}


def assert_same_way(one: Ways, other: Ways, tolerance: float) -> None:
    """Each weight has come the same way but for a share `tolerance` of it, and some have come far."""
    assert one.keys() == other.keys()
    for name, way in one.items():
        assert (way - other[name]).norm() <= tolerance * way.norm(), name
    assert max(way.abs().max() for way in one.values()) > 1e-3
