"""What ``python -m experiments.bench NAME`` measures; each module times peers alternately in one process.

Here: speed per second of this process's own processor time, which other programs on the machine do not lower much.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

Work = Callable[[], int]  # function that does some work and returns how many units of it


def rate(work: Work, seconds: float) -> float:
    """Units of work per second of processor time, over at least `seconds` of it."""
    start, done = time.process_time(), 0
    while (spent := time.process_time() - start) < seconds:
        done += work()
    return done / spent


def in_rounds(works: Mapping[str, Work], seconds: float, rounds: int) -> dict[str, list[float]]:
    """The rates of each in every round: all of them in turn, after one piece of work that compiles and fills caches."""
    for work in works.values():
        work()
    measured = [{name: rate(work, seconds) for name, work in works.items()} for _ in range(rounds)]
    return {name: [one[name] for one in measured] for name in works}
