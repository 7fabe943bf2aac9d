"""A training: vector steps until the budget is spent, what hooks are told of them, and when a barrier is due."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from agents.core.clock import Clock
from agents.core.loop import Loop
from agents.core.rows import Agent, Learned
from agents.core.stream import Episode


class Moment(NamedTuple):
    """What hooks are told after each vector step, and after a barrier that had to learn."""

    clock: Clock
    episodes: list[Episode]  # episodes finished in this step
    learned: list[Learned]  # optimizer steps since the last moment
    agent: Agent


Hooks = Sequence[Callable[[Moment], None]]


def train(
    loop: Loop,
    *,
    hooks: Hooks = (),
    barrier: int = 0,
    save: Callable[[], None] = lambda: None,
    stop: Callable[[], bool] = lambda: False,
    wanted: Callable[[], bool] = lambda: False,
) -> bool:
    """Trains until the budget is spent (True) or `stop` says so (False). Both end in a barrier and a `save`.

    barrier: steps between barriers, 0 for none but the last. wanted: asks for one more, now.
    """
    clock = loop.clock
    if loop.stream.step is None:
        loop.stream.reset(loop.seed, clock.steps)
    started, before = time.perf_counter(), clock.seconds
    away = clock.away
    while clock.budget is None or clock.steps < clock.budget:
        passed = clock.steps
        loop.advance()
        clock.seconds = before + time.perf_counter() - started - (clock.away - away)
        _tell(loop, hooks)
        if stop():
            _halt(loop, hooks, save)
            return False
        due = (barrier and clock.steps // barrier > passed // barrier) or wanted()
        if due and (clock.budget is None or clock.steps < clock.budget):
            _halt(loop, hooks, save)
    _halt(loop, hooks, save)
    return True


def _halt(loop: Loop, hooks: Hooks, save: Callable[[], None]) -> None:
    """A barrier, and what it learned for the hooks; then the save."""
    loop.barrier()
    if loop.learner.learned:
        _tell(loop, hooks)
    save()


def _tell(loop: Loop, hooks: Hooks) -> None:
    moment = Moment(loop.clock, loop.stream.take_episodes(), loop.learner.take_learned(), loop.agent)
    for hook in hooks:
        hook(moment)
