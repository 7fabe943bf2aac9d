"""What a run tells of a game that failed: one sentence, with the whole traceback in the run's folder."""

from __future__ import annotations

import contextlib
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from agents.core import checkpoint, parallel
from agents.core.log import Log
from agents.core.loop import Diverged
from agents.core.run import Run
from agents.core.stream import RowFault
from agents.core.transport import TransportFault
from envs.gym_check import GameFault
from experiments import building, cli
from experiments.training.resources import less_memory

FILE = "fault.txt"
HUGE = 1e6  # reward beyond which a loss is spoiled by rewards alone


def traced(run: Run, fault: BaseException) -> str:
    """The sentence of a fault; where it hides a traceback, that is added to the run's fault.txt, which is named."""
    text = " ".join(str(fault).split())
    if isinstance(fault, GameFault) and not fault.trace:
        return text
    if isinstance(fault, cli.UserError | RowFault | TransportFault) or type(fault) is ValueError:
        return text
    trace = fault.trace if isinstance(fault, GameFault) else "".join(traceback.format_exception(fault))
    message = text if isinstance(fault, GameFault) else f"{type(fault).__name__}: {text}".removesuffix(": ")
    path = run.path / FILE
    try:
        with open(path, "a", encoding="utf-8", errors="replace") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {message}\n\n{trace}\n")
    except OSError as other:
        return f"{message} (its traceback could not be written: {other.strerror})"
    return f"{message}; its traceback: {path}"


def of_game(
    run: Run, parts: building.Lab, fault: GameFault | RowFault | TransportFault, save: Callable[[], None]
) -> cli.UserError:
    """A game, or the way to it, failed in the midst of training: what was learned until then is saved, where it can
    be."""
    at, foreign = parts.clock.steps, parts.own_loop
    try:
        alone = parallel.size() == 1  # the others are in the midst of their own steps
        there = alone and (foreign or parts.loop.abandon())
        if there and parts.clock.steps > max(checkpoint.steps(run.checkpoints), default=0):
            save()
    except (Diverged, OSError) as other:
        cli.tell(f"the steps since the last checkpoint are lost: {other}")
    good, more = kept(run)
    return cli.UserError(f"training stopped at step {at:,}: {traced(run, fault)}; {good}{'' if foreign else more}")


def kept(run: Run) -> tuple[str, str]:
    """What is left of a run that ends in a fault, and the command that goes on with it, if there is anything."""
    if not (steps := checkpoint.steps(run.checkpoints)):
        return "there was no checkpoint yet", ""
    more = f"; go on with {cli.line('train', '--resume', run.path)}{cli.trusting(run.config)}"
    return f"the checkpoint of step {steps[-1]:,} is kept", more


@contextlib.contextmanager
def ending(run: Run, parts: building.Lab, log: Log, save: Callable[[], None]) -> Iterator[None]:
    """Within: a game that fails, a loss that is not finite and memory that is missing end the training in one
    sentence, after what can be saved is saved. Raises UserError."""
    try:
        yield
    except (GameFault, RowFault, TransportFault) as fault:
        message = of_game(run, parts, fault, save)
        log.close()
        raise message from None
    except (Diverged, MemoryError, RuntimeError) as fault:
        lost = parallel.is_lost(fault)
        if not lost and not isinstance(fault, Diverged) and not cli.is_short_of_memory(fault):
            raise
        log.close()
        good, again = kept(run)
        if lost:
            gone = "another process that learned with this one ended"
            raise cli.UserError(f"training stopped: {gone}; {good}{again}") from None
        more = advice(parts) if isinstance(fault, Diverged) else less_memory(run.config)
        raise cli.UserError(f"training stopped: {cli.beginning(fault)}; {good}; {more}") from None


def advice(parts: building.Lab) -> str:
    """What may help where a loss is not finite."""
    held = parts.replay.data["reward"]
    largest = float(held.abs().max()) if len(parts.replay) else 0.0
    if largest > HUGE:
        return f"its rewards reach {largest:.3g}: try --normalize-reward, or --reward-clip 1"
    return "try a smaller --lr"


def attempt(run: Run, what: str, part: Callable[[], Any]) -> bool:
    """One part of what comes after training. Whatever it raises is told, and spoils nothing else. Did it succeed?"""
    try:
        part()
    except Exception as fault:
        sys.stdout.flush()
        cli.tell(f"there is no {what}: {traced(run, fault)}")
        return False
    return True
