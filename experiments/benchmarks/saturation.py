"""Where a learner saturates: synthetic actors offer rows through Ray, faster and faster, as 1,000 actors would.

    python -m experiments.bench saturation --seconds 10

PROCESSES actors of Ray's stand for ACTORS: they send the blocks of all, of frames that were made once, at the moments
when they would come. The learner's side takes them out of the object store and writes them into its ring, as in a
training. Rates are rows per second of each actor that is stood for.
"""

from __future__ import annotations

import json
import time
from typing import Any, NamedTuple

import numpy as np
import torch

FRAME = (84, 84)  # pixels of a frame of Atari games
ACTORS = 1000  # actors that are stood for
RATES = (4.0, 16.0, 64.0, 256.0)  # rows per second of each
PROCESSES = 2  # processes that send


class Load(NamedTuple):
    """What is offered."""

    actors: int  # actors that are stood for
    rate: float  # rows per second of each
    columns: int = 8  # columns of each
    length: int = 32  # rows of each column in a block
    processes: int = PROCESSES  # processes that send


class Synthetic:
    """Some of the actors: blocks of frames at the moments when they are due."""

    def __init__(self, actors: int, load: Load, place: int):
        self.load, self.actors = load, actors
        shape = (self.load.length, self.load.columns)
        draws = np.random.default_rng(place)
        self.rows = {"obs": draws.integers(0, 255, (*shape, *FRAME), np.uint8), "action": draws.integers(0, 4, shape)}
        self.rows |= {name: np.zeros(shape, np.float32) for name in ("reward", "discount", "logp", "value")}
        self.rows |= {name: np.zeros(shape, bool) for name in ("first", "last")}
        self.sent, self.began = 0, 0.0

    def block(self) -> tuple[bytes, dict[str, np.ndarray]]:
        """The next block, when it is due."""
        now = time.perf_counter()
        self.began = self.began or now
        rows = self.load.length * self.load.columns
        period = rows / (self.load.rate * self.actors)  # seconds between two blocks of all
        due = self.began + self.sent * period
        if due > now:
            time.sleep(due - now)
        self.sent += 1
        return json.dumps({"late": max(0.0, now - due)}).encode(), self.rows


def measure(load: Load, seconds: float) -> dict[str, float]:
    """Rows per second that were offered and that came, bytes per row, and how late senders were at the end."""
    from agents.core.replay import ReplayBuffer
    from agents.core.rows import Spec
    from agents.core.samplers import Recent
    from experiments.cluster import engine

    ray, c = engine.load(), load
    engine.connect("local", 16 * c.processes * c.length * c.columns * FRAME[0] * FRAME[1])
    kind = ray.remote(num_cpus=0)(Synthetic)
    shares = [len(part) for part in np.array_split(np.arange(c.actors), c.processes)]
    senders = [kind.remote(share, c, place) for place, share in enumerate(shares)]
    ring = ReplayBuffer(2 * c.length + 8, c.columns * c.processes, Spec(FRAME, "uint8", 4, num_actions=4), Recent())
    columns = [np.arange(place * c.columns, (place + 1) * c.columns) for place in range(c.processes)]
    waiting = {sender.block.remote(): place for place, sender in enumerate(senders) for _ in range(2)}
    rows, size, late, begun = 0, 0, [0.0] * c.processes, 0.0
    while not begun or time.perf_counter() - begun < seconds:
        ready, _ = ray.wait(list(waiting), num_returns=1)
        place = waiting.pop(ready[0])
        words, arrays = ray.get(ready[0])
        waiting[senders[place].block.remote()] = place
        ring.extend(arrays, columns[place])
        if not begun:
            begun = time.perf_counter()  # the first block is not counted: processes were starting
            continue
        rows += len(arrays["action"]) * c.columns
        size += len(words) + sum(array.nbytes for array in arrays.values())
        late[place] = json.loads(words)["late"]
    spent = time.perf_counter() - begun
    for sender in senders:
        ray.kill(sender)
    return {
        "rows/s offered": c.actors * c.rate, "rows/s that came": rows / spent, "bytes per row": size / max(rows, 1),
        "MiB/s": size / spent / 2**20, "s behind": max(late),
    }  # fmt: skip


def run(device: torch.device, seconds: float, rounds: int, race: bool) -> dict[str, Any]:
    """Figures by name, for each of RATES."""
    from experiments.cluster import engine

    figures = {}
    try:
        for rate in RATES:
            found = measure(Load(ACTORS, rate), seconds)
            figures |= {f"{ACTORS:,} actors of {rate:g} rows/s, {name}": value for name, value in found.items()}
    finally:
        engine.close()
    return figures
