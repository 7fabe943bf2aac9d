"""Hooks of a training: called by the loop at every step with what has happened (`Moment`)."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections import deque
from typing import Any

import torch

from agents.core import checkpoint
from agents.core.clock import Clock
from agents.core.log import Log
from agents.core.replay import ReplayBuffer
from agents.core.run import Run
from agents.core.training import Moment
from experiments import building, players

STOPS = ("SIGINT", "SIGTERM", "SIGHUP")  # Ctrl-C, the end of a batch job, a closed terminal
SAVES = "SIGUSR1"  # warning of a batch system: save and go on


class Stop:
    """Signals that ask the loop to save and stop at the next step; a second Ctrl-C does not wait.

    saving: SIGUSR1 asks for a checkpoint in between as well.
    """

    def __init__(self, what: str = "the run is being saved", saving: bool = False) -> None:
        self.asked, self.wanted, self.what = False, False, what
        numbers = [getattr(signal, name) for name in STOPS if hasattr(signal, name)]
        # Under nohup a closed terminal ends nothing.
        known = {n: self._ask for n in numbers if n == signal.SIGINT or signal.getsignal(n) is not signal.SIG_IGN}
        if saving and hasattr(signal, SAVES):
            known[getattr(signal, SAVES)] = self._want
        self._before = {number: signal.signal(number, handler) for number, handler in known.items()}

    def release(self) -> None:
        """Puts back what the signals did before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: Any) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True
        with contextlib.suppress(OSError):  # the terminal has gone
            print(f"\nstopping: {self.what} (Ctrl-C again to leave at once)", file=sys.stderr, flush=True)

    def _want(self, number: int, frame: Any) -> None:
        self.wanted = True

    def __call__(self) -> bool:
        return self.asked

    def wants_save(self) -> bool:
        """Was a checkpoint asked for since the last time?"""
        wanted, self.wanted = self.wanted, False
        return wanted


class Stages:
    """A hook: keeps the weights at some shares of the budget; the last of them is kept at the very end."""

    def __init__(self, run: Run, parts: building.Lab):
        self.run, self.parts = run, parts
        kept = players.milestones(run)
        self.left = [percent for percent in players.MILESTONES if percent not in kept and percent < 100]
        # Measure of progress until --minutes has become a number of steps.
        self.seconds = 60 * (run.config["minutes"] or float("inf"))
        self(Moment(parts.clock, [], [], parts.agent))

    def __call__(self, moment: Moment) -> None:
        clock = moment.clock
        share = clock.progress if clock.budget else clock.seconds / self.seconds
        while self.left and share * 100 >= self.left[0]:
            players.save_milestone(self.run, self.parts, self.left.pop(0))


class Best:
    """Keeps the weights with the best evaluation along the way, beside the newest ones; a tie keeps the later."""

    def __init__(self, run: Run, parts: building.Lab):
        self.run, self.parts = run, parts
        self.folder, self.mean = players.best_folder(run), float("-inf")
        if checkpoint.steps(self.folder):
            self.mean = float(checkpoint.load(self.folder, None, set())[1].get("mean", self.mean))

    def add(self, result: dict[str, Any]) -> None:
        """An evaluation of the agent as it is now."""
        if result["mean"] >= self.mean:
            self.mean = result["mean"]
            players.save_weights(self.run, self.parts, self.folder, mean=self.mean, episodes=result["episodes"])


class StopAt:
    """A hook: ends the run, as finished, where a score is reached: the mean of the last 100 training games, or where
    there are evaluations along the way the mean of one of these.
    """

    def __init__(self, run: Run, score: float, scores: deque[float], along: Any = None):
        self.run, self.score, self.scores, self.along = run, score, scores, along

    def __call__(self, moment: Moment) -> None:
        if self.along is not None:
            mean, what = self.along.mean, "an evaluation"
        else:
            full = len(self.scores) == self.scores.maxlen
            mean = sum(self.scores) / len(self.scores) if full and moment.episodes else None
            what = f"the mean of the last {len(self.scores)} training games"
        if mean is None or mean < self.score or moment.clock.budget == moment.clock.steps:
            return
        print(f"stopped at step {moment.clock.steps:,}: {what} is {mean:g} (--stop-at {self.score:g})")
        moment.clock.budget = self.run.config["steps"] = moment.clock.steps
        self.run.write_config()


class Minutes:
    """A hook: turns `--minutes` into a step budget when the speed of learning is known; follows it where it changes.

    The speed is the mean since learning began. Schedules fall with the budget, whatever it is.
    """

    def __init__(self, run: Run, minutes: float):
        self.run, self.limit = run, minutes * 60
        self.mark: tuple[float, int] | None = None  # seconds and steps at the beginning of learning
        self.looked = 0.0  # time at which the budget was named last, in s

    def __call__(self, moment: Moment) -> None:
        clock = moment.clock
        if self.mark is None:
            if clock.updates and clock.seconds > min(10.0, 0.05 * self.limit):
                self.mark, self.looked = (clock.seconds, clock.steps), clock.seconds
            elif clock.budget is None and clock.seconds >= self.limit:
                self._settle(clock, clock.steps)
            return
        wait = min(60.0, 0.1 * self.limit) if clock.budget is None else 0.03 * self.limit
        if clock.seconds - self.looked < wait:
            return
        rate = (clock.steps - self.mark[1]) / (clock.seconds - self.mark[0])
        self._settle(clock, clock.steps + max(0, int(rate * (self.limit - clock.seconds))))
        self.looked = clock.seconds

    def _settle(self, clock: Clock, steps: int) -> None:
        """Names the budget, in the run's configuration too: a run without one could not be told to be finished."""
        clock.budget = self.run.config["steps"] = steps
        self.run.write_config()


class Validation:
    """A hook: how far off the agent is on laps that it does not learn from, every so many updates and at the end."""

    def __init__(self, log: Log, ring: ReplayBuffer, period: int = 500):
        self.log, self.ring, self.period = log, ring, period

    def __call__(self, moment: Moment) -> None:
        clock = moment.clock
        if moment.learned and (clock.updates % self.period == 0 or clock.steps == clock.budget):
            values = {f"validation/{k}": v for k, v in self.figures(moment.agent).items()}
            self.log.write({"clock/updates": clock.updates, **values})
            if "validation/accuracy" in values:
                self.log.remark = f"{values['validation/accuracy']:.1%} right on held-out rows"

    def figures(self, agent: Any) -> dict[str, float]:
        """Means over all rows of the ring."""
        rows, batches = torch.arange(len(self.ring), device=self.ring.device), []
        for index in rows.split(256):
            batches.append({k: float(v) * len(index) for k, v in agent.examine(self.ring.windows(index)).items()})
        return {k: sum(b[k] for b in batches) / len(rows) for k in batches[0]}
