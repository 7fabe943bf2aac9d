"""Statistics of few runs: pure functions of arrays, for `compare`, `suite` and the like.

A *game* here is an array of scores, float [..., n], one per seed along the last axis; the games of a suite may have
different numbers of seeds. Every aggregate takes the games one after the other and an axis (always -1), the form
that `scipy.stats.bootstrap` calls: it resamples each game by itself, which is the stratified bootstrap.

Source: Agarwal et al. (2021), "Deep reinforcement learning at the edge of the statistical precipice"; the tests hold
these functions against its authors' library, rliable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

MIN_SEEDS = 3  # seeds below which an interval says nothing
CONFIDENCE = 0.95
RESAMPLES = 2000  # resamples of the bootstrap; the ends of an interval then move by about a twentieth of its width


def mean(*games: np.ndarray, axis: int = -1) -> np.ndarray:
    """The mean over seeds, and over games of those."""
    return np.mean([np.mean(g, axis=axis) for g in games], axis=0)


def median(*games: np.ndarray, axis: int = -1) -> np.ndarray:
    """The median over the seeds of one game; of several games the median of their means."""
    if len(games) == 1:
        return np.median(games[0], axis=axis)
    return np.median([np.mean(g, axis=axis) for g in games], axis=0)


def interquartile_mean(*games: np.ndarray, axis: int = -1) -> np.ndarray:
    """The mean of the middle half of all runs: less noisy than the median, deaf to a single outlier.

    A quarter, rounded down, is cut at each end: with fewer than four runs this is the mean.
    """
    from scipy import stats  # a second of its own: loaded where a table is asked for

    return stats.trim_mean(np.concatenate(games, axis=axis), 0.25, axis=axis)


def improvement(*games: np.ndarray, axis: int = -1) -> np.ndarray:
    """P(X > Y) + P(X = Y) / 2 for a run X of one agent and Y of another, averaged over games.

    games: X of every game, then Y of every game.
    """
    assert len(games) % 2 == 0 and axis == -1
    half = len(games) // 2
    return np.mean([_above(x, y) for x, y in zip(games[:half], games[half:], strict=True)], axis=0)


def _above(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    difference = x[..., :, None] - y[..., None, :]  # [..., n, m]
    return ((difference > 0) + 0.5 * (difference == 0)).mean((-2, -1))


def profile(games: Sequence[np.ndarray], thresholds: np.ndarray) -> list[np.ndarray]:
    """1 where a run's score is above the threshold: float [T, n] per game.

    `mean` of these is the performance profile [T]: the fraction of runs above each threshold.
    """
    return [(g[None, :] > thresholds[:, None]).astype(np.float64) for g in games]


def interval(
    statistic: Callable[..., np.ndarray],
    games: Sequence[np.ndarray],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """The stratified bootstrap's percentile interval of statistic(*games), over the last axis.

    Returns (low, high), each shaped like the statistic; nan where a game has fewer than MIN_SEEDS runs.
    """
    point = np.asarray(statistic(*games, axis=-1))
    if min(g.shape[-1] for g in games) < MIN_SEEDS:
        return np.full(point.shape, np.nan), np.full(point.shape, np.nan)
    from scipy import stats

    result = stats.bootstrap(
        tuple(games),
        statistic,
        n_resamples=resamples,
        batch=200,
        vectorized=True,
        paired=False,
        axis=-1,
        confidence_level=confidence,
        method="percentile",
        random_state=np.random.default_rng(seed),
    )
    return np.asarray(result.confidence_interval.low), np.asarray(result.confidence_interval.high)


def permutation_test(
    xs: Sequence[np.ndarray], ys: Sequence[np.ndarray], *, draws: int = 20_000, seed: int = 0
) -> float:
    """Two-sided p: how often `improvement` is this far from 1/2 when the agents' names are dealt out at random.

    Within each game the names are shuffled among its runs. The bootstrap alone is overconfident with few seeds: three
    runs that all beat three others have an interval of nothing but 1, while p here is 0.1.
    """
    from scipy import stats

    rng = np.random.default_rng(seed)
    drawn = np.zeros(draws)
    for x, y in zip(xs, ys, strict=True):
        n, m = len(x), len(y)
        ranks = np.tile(stats.rankdata(np.concatenate([x, y])), (draws, 1))  # ties share their middle rank
        taken = rng.permuted(ranks, axis=1)[:, :n].sum(1)
        drawn += (taken - n * (n + 1) / 2) / (n * m) / len(xs)
    observed = abs(float(improvement(*xs, *ys)) - 0.5)
    return (1 + int((np.abs(drawn - 0.5) >= observed - 1e-9).sum())) / (1 + draws)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down: the same p-values, made honest for having asked several questions at once."""
    adjusted, running = [1.0] * len(p_values), 0.0
    for rank, i in enumerate(np.argsort(p_values, kind="stable")):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted


def first_reach(x: np.ndarray, y: np.ndarray, threshold: float) -> float:
    """The first x whose y is at or above the threshold; nan where there is none."""
    reached = np.flatnonzero(y >= threshold)
    return float(x[reached[0]]) if len(reached) else np.nan


def median_reach(reached: Sequence[float]) -> float:
    """The median over seeds, where nan (never) counts as later than all others; nan where that is the median."""
    middle = float(np.median([np.inf if np.isnan(r) else r for r in reached]))
    return middle if np.isfinite(middle) else np.nan


class Band(NamedTuple):
    """A group's learning curve; every array [P]."""

    x: np.ndarray
    line: np.ndarray  # interquartile mean of the runs that have come so far
    low: np.ndarray  # lower end of the interval; nan where a run is missing or there are fewer than MIN_SEEDS
    high: np.ndarray
    runs: np.ndarray  # int, number of the runs that have come so far


def band(curves: Sequence[tuple[np.ndarray, np.ndarray]], points: int = 200, **options: Any) -> Band:
    """Curves (x rising, y) of different lengths on one grid, linearly interpolated, never beyond their own ends.

    The grid reaches from where the last of them begins to where the longest ends.
    options: of `interval`.
    """
    grid = np.linspace(max(x[0] for x, _ in curves), max(x[-1] for x, _ in curves), points)
    on_grid = np.array([np.interp(grid, x, y, right=np.nan) for x, y in curves])  # [n, P]
    runs = np.isfinite(on_grid).sum(0)
    line = np.array([interquartile_mean(column[np.isfinite(column)]) for column in on_grid.T])
    low, high = np.full((2, points), np.nan)
    whole = runs == len(curves)
    low[whole], high[whole] = interval(interquartile_mean, [on_grid.T[whole]], **options)
    return Band(grid, line, low, high, runs)
