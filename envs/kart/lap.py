"""A numerically optimised lap, driven in the game's own physics: the yardstick for the expert and for agents.

The cross-entropy method changes the racing line's offsets and the speed along it, knot by knot; a lap counts only
if it stays on the road. Every candidate is really driven at 20 Hz with the same two actions that an agent has, so
the result can be reached (but may not be the very best). Boost pads are there to be found.

    python -m envs.kart.lap test:5
"""

import sys
from typing import NamedTuple

import numpy as np
from numba import njit

from envs.kart import columns as c
from envs.kart.columns import SUBSTEP, SUBSTEPS
from envs.kart.drivers import CAUTION, LINE_SHARE, pursue
from envs.kart.physics import (
    advance,
    hit_pads,
    hit_walls,
    nominal_dynamics,
    place,
    speed_control,
    stand,
)
from envs.kart.splits import parse_tracks
from envs.kart.track import Track, make_track

KNOT = 9.0  # distance of the knots, m
TIMEOUT = 150.0  # time limit of one lap, s


@njit(cache=True, nogil=True)
def drive_lap(line, n, step, half, pads, pad_count, dynamics, share, caution):
    """Drive two laps from standstill; returns (time of the flying lap, s; seconds of it off the road).

    An unfinished lap takes TIMEOUT plus what is missing of it.
    """
    kart = np.zeros(c.KART_COLUMNS)
    length = n * step
    stand(kart, line, n, step, half, 0.0, 0.0, 0.0, 0.0)
    kart[c.PROGRESS] = 0.0
    start, off, clock = -1.0, 0.0, 0.0
    while clock < TIMEOUT:
        steer, target = pursue(kart, line, n, step, half, dynamics[c.GRIP], share, caution, 0.0)
        for _ in range(SUBSTEPS):
            before = kart[c.PROGRESS]
            advance(kart, steer, speed_control(kart, target), False, dynamics, SUBSTEP)
            place(kart, line, n, step, half)
            hit_walls(kart, line)
            hit_pads(kart, pads, pad_count)
            clock += SUBSTEP
            moved = kart[c.PROGRESS] - before
            if start < 0.0 and kart[c.PROGRESS] >= length:
                start = clock - SUBSTEP * (kart[c.PROGRESS] - length) / moved
            if start >= 0.0:
                off += SUBSTEP if abs(kart[c.LATERAL]) > half + 0.3 else 0.0
                if kart[c.PROGRESS] >= 2.0 * length:
                    return clock - SUBSTEP * (kart[c.PROGRESS] - 2.0 * length) / moved - start, off
    return TIMEOUT + 2.0 * length - kart[c.PROGRESS], off


class Lap(NamedTuple):
    """Result of `optimise`."""

    time: float  # lap time, s
    line: np.ndarray  # the track's line with the optimised RACE and PACE columns
    tried: int  # laps that were driven


def expert_lap(track: Track) -> float:
    """Flying lap of the scripted expert alone on a dry track, s."""
    n = len(track.line)
    step, dynamics = track.length / n, nominal_dynamics()
    return drive_lap(track.line, n, step, track.half, track.pads, len(track.pads), dynamics, LINE_SHARE, CAUTION)[0]


def optimise(track: Track, generations: int = 120, population: int = 96, seed: int = 0) -> Lap:
    """Cross-entropy search from the least-bending line at full pace; deterministic for a seed."""
    rng = np.random.default_rng(seed)
    n = len(track.line)
    step, knots = track.length / n, max(8, round(track.length / KNOT))
    at = np.arange(n) * knots / n
    dynamics, line = nominal_dynamics(), track.line.copy()
    bound = track.half - 0.35

    def spread(values: np.ndarray) -> np.ndarray:
        return np.interp(at, np.arange(knots + 1), np.append(values, values[0]))

    def shape(genes: np.ndarray) -> None:
        line[:, c.RACE] = np.clip(track.line[:, c.RACE] + spread(genes[:knots]), -bound, bound)
        line[:, c.PACE] = track.line[:, c.PACE] * (1.0 + spread(genes[knots:]))

    def cost(genes: np.ndarray) -> float:
        shape(genes)
        time, off = drive_lap(line, n, step, track.half, track.pads, len(track.pads), dynamics, 1.0, 1.0)
        return time + 20.0 * off

    mean = np.zeros(2 * knots)
    mean[knots:] = -0.04
    spread_of = np.concatenate([np.full(knots, 0.35), np.full(knots, 0.05)])
    best, best_cost, elite = mean.copy(), cost(mean), population // 6
    for _ in range(generations):
        trial = mean + spread_of * rng.standard_normal((population, 2 * knots))
        trial[0] = best
        costs = np.array([cost(genes) for genes in trial])
        order = np.argsort(costs)
        if costs[order[0]] < best_cost:
            best, best_cost = trial[order[0]].copy(), costs[order[0]]
        chosen = trial[order[:elite]]
        mean = 0.3 * mean + 0.7 * chosen.mean(axis=0)
        spread_of = np.maximum(0.3 * spread_of + 0.7 * chosen.std(axis=0), 1e-3)
    shape(best)
    return Lap(float(best_cost), line, generations * population)


def main() -> None:
    try:
        tracks = parse_tracks(sys.argv[1] if len(sys.argv) > 1 else "validation:5")
    except ValueError as fault:
        print(f"joypad: {fault}", file=sys.stderr)
        sys.exit(2)
    for number in tracks:
        track = make_track(number)
        expert, lap = expert_lap(track), optimise(track)
        figures = f"expert {expert:.2f} s, optimised {lap.time:.2f} s, ratio {expert / lap.time:.3f}"
        print(f"{track.name}: {track.length:.0f} m, {figures}")


if __name__ == "__main__":
    main()
