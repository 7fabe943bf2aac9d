"""experiments.comparing.statistics: by hand, by enumeration, and as rliable has it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from experiments.comparing import statistics

GOLDENS = json.loads((Path(__file__).parent / "fixtures" / "statistics" / "rliable.json").read_text())["answers"]


def games(matrix: list[list[float]]) -> list[np.ndarray]:
    """[runs, games] -> one array per game."""
    return list(np.array(matrix).T)


def test_aggregates_by_hand() -> None:
    a, b = np.array([1.0, 2.0, 3.0, 100.0]), np.array([10.0, 20.0])
    assert statistics.mean(a) == 26.5
    assert statistics.mean(a, b) == (26.5 + 15) / 2  # games weigh the same, however many seeds they have
    assert statistics.median(a) == 2.5
    assert statistics.median(a, b, np.array([0.0])) == 15  # of the means 26.5, 15, 0
    assert statistics.interquartile_mean(a) == 2.5  # 1 and 100 are cut
    assert statistics.interquartile_mean(np.arange(1.0, 9.0)) == 4.5  # of 3, 4, 5, 6
    assert statistics.interquartile_mean(np.array([0.0, 5.0, 100.0])) == 35  # three runs: nothing is cut
    assert statistics.interquartile_mean(a, b) == (2 + 3 + 10 + 20) / 4


def test_improvement_counts_pairs_and_halves_ties() -> None:
    x, y = np.array([3.0, 5.0, 1.0]), np.array([3.0, 0.0])
    assert statistics.improvement(x, y) == pytest.approx((0.5 + 1 + 1 + 1 + 0 + 1) / 6)
    assert statistics.improvement(x, x) == 0.5
    assert statistics.improvement(x, np.array([9.0]), y, np.array([1.0])) == pytest.approx((4.5 / 6 + 1) / 2)


def test_improvement_is_the_mann_whitney_statistic() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 6, 9).astype(float), rng.integers(0, 6, 7).astype(float)
    expected = stats.mannwhitneyu(x, y).statistic / (9 * 7)
    assert statistics.improvement(x, y) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["mean", "median", "interquartile_mean"])
def test_interval_is_the_exact_bootstrap(name: str) -> None:
    """All 256 equally likely resamples of four scores, enumerated."""
    scores, statistic = np.array([1.0, 4.0, 6.0, 13.0]), getattr(statistics, name)
    every = np.sort([float(statistic(np.array(s))) for s in itertools.product(scores, repeat=4)])
    low, high = statistics.interval(statistic, [scores], resamples=20_000)
    for end, level in ((float(low), 2.5), (float(high), 97.5)):  # a discrete distribution: between its neighbours
        around = np.percentile(every, [max(0, level - 0.6), min(100, level + 0.6)])
        assert around[0] - 1e-9 <= end <= around[1] + 1e-9


def test_interval_resamples_each_game_by_itself() -> None:
    """Two games far apart: a pooled bootstrap would mix their levels, a stratified one cannot."""
    low, high = statistics.interval(statistics.mean, [np.array([0.0, 1.0, 2.0]), np.array([1000.0, 1001.0, 1002.0])])
    assert 500.0 <= low < 501 < high <= 502.0


def test_interval_has_its_level() -> None:
    """The mean of 40 normal scores: the bootstrap's ends agree with the normal interval."""
    scores = np.random.default_rng(3).normal(10, 2, 40)
    low, high = statistics.interval(statistics.mean, [scores], resamples=5000)
    half = 1.96 * scores.std() / np.sqrt(40)
    assert low == pytest.approx(scores.mean() - half, abs=0.1)
    assert high == pytest.approx(scores.mean() + half, abs=0.1)


def test_interval_is_repeatable_and_needs_three_seeds() -> None:
    scores = [np.array([1.0, 2.0, 4.0])]
    assert statistics.interval(statistics.mean, scores) == statistics.interval(statistics.mean, scores)
    for few in ([np.array([1.0, 2.0])], [np.arange(5.0), np.array([1.0])]):
        assert np.isnan(statistics.interval(statistics.mean, few)).all()


@pytest.mark.parametrize("case", GOLDENS)
def test_points_equal_rliable(case: str) -> None:
    golden = GOLDENS[case]
    x, y = games(golden["x"]), games(golden["y"])
    assert statistics.mean(*x) == pytest.approx(golden["mean"]["point"], abs=1e-12)
    assert statistics.interquartile_mean(*x) == pytest.approx(golden["interquartile_mean"]["point"], abs=1e-12)
    if len(x) > 1:  # of one game rliable's median is the mean over seeds, ours the median
        assert statistics.median(*x) == pytest.approx(golden["median"]["point"], abs=1e-12)
    assert statistics.improvement(*x, *y) == pytest.approx(golden["improvement"]["point"], abs=1e-12)
    profile = statistics.mean(*statistics.profile(x, np.array(golden["thresholds"])))
    assert profile == pytest.approx(golden["profile"]["point"], abs=1e-12)


@pytest.mark.parametrize("case", GOLDENS)
def test_intervals_agree_with_rliable(case: str) -> None:
    """Two bootstraps with their own draws: each end within a tenth of the interval's width."""
    golden = GOLDENS[case]
    x, y = games(golden["x"]), games(golden["y"])
    estimates = {"mean": x, "interquartile_mean": x, "improvement": [*x, *y]}
    for name, data in estimates.items():
        expected = golden[name]["interval"]
        ends = statistics.interval(getattr(statistics, name), data, resamples=5000)
        assert np.array(ends) == pytest.approx(expected, abs=0.1 * (expected[1] - expected[0])), name
    low, high = statistics.interval(statistics.mean, statistics.profile(x, np.array(golden["thresholds"])))
    step = 1 / np.array(golden["x"]).size  # the profile moves in steps of one run
    assert low == pytest.approx(golden["profile"]["interval"][0], abs=1.01 * step)
    assert high == pytest.approx(golden["profile"]["interval"][1], abs=1.01 * step)


def test_permutation_test_is_exact_for_small_samples() -> None:
    """Three against three: 20 equally likely ways to deal the names, 2 of them as far apart."""
    x, y = np.array([4.0, 5.0, 6.0]), np.array([1.0, 2.0, 3.0])
    assert statistics.permutation_test([x], [y]) == pytest.approx(2 / 20, abs=0.01)
    assert statistics.permutation_test([x], [x]) == 1.0
    x, y = np.array([3.0, 3.0, 5.0, 8.0]), np.array([1.0, 3.0, 2.0, 3.0, 0.0])  # with ties
    exact = stats.permutation_test(
        (x, y), lambda a, b: abs(float(statistics.improvement(a, b)) - 0.5), alternative="greater"
    )
    assert statistics.permutation_test([x], [y]) == pytest.approx(exact.pvalue, abs=0.01)


def test_permutation_test_of_a_suite_is_stratified() -> None:
    """Two games of two against two, enumerated: names are dealt within a game."""
    xs, ys = [np.array([3.0, 4.0]), np.array([30.0, 20.0])], [np.array([1.0, 2.0]), np.array([10.0, 25.0])]
    observed = abs(float(statistics.improvement(*xs, *ys)) - 0.5)
    hits = []
    for deals in itertools.product(itertools.combinations(range(4), 2), repeat=2):
        dealt_x, dealt_y = [], []
        for x, y, chosen in zip(xs, ys, deals, strict=True):
            pool = np.concatenate([x, y])
            dealt_x.append(pool[list(chosen)])
            dealt_y.append(np.delete(pool, chosen))
        hits.append(abs(float(statistics.improvement(*dealt_x, *dealt_y)) - 0.5) >= observed - 1e-9)
    assert statistics.permutation_test(xs, ys) == pytest.approx(np.mean(hits), abs=0.01)


def test_holm_by_hand() -> None:
    assert statistics.holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert statistics.holm([0.5, 0.9]) == [1.0, 1.0]
    assert statistics.holm([0.02]) == [0.02] and statistics.holm([]) == []


def test_reaching_a_threshold() -> None:
    x, y = np.array([0.0, 10.0, 20.0, 30.0]), np.array([1.0, 5.0, 4.0, 9.0])
    assert statistics.first_reach(x, y, 4.5) == 10
    assert statistics.first_reach(x, y, 9.0) == 30
    assert np.isnan(statistics.first_reach(x, y, 9.1))
    assert statistics.median_reach([10.0, np.nan, 30.0]) == 30
    assert np.isnan(statistics.median_reach([10.0, np.nan, np.nan]))
    assert np.isnan(statistics.median_reach([10.0, np.nan]))


def test_band_of_curves_with_different_lengths() -> None:
    """y = k x for k = 1, 2, 6, the last of them twice as long, the first begun late."""
    curves = [(np.array([x0, x1]), k * np.array([x0, x1])) for k, x0, x1 in ((1, 2, 10), (2, 0, 10), (6, 0, 20))]
    found = statistics.band(curves, points=19)
    assert found.x.tolist() == list(range(2, 21))
    whole = found.x <= 10
    assert found.line == pytest.approx(np.where(whole, 3 * found.x, 6 * found.x))
    assert found.runs.tolist() == [3] * 9 + [1] * 10
    assert (found.low[whole] < found.line[whole]).all() and (found.line[whole] < found.high[whole]).all()
    assert np.isnan(found.low[~whole]).all() and np.isnan(found.high[~whole]).all()


def test_band_of_two_has_a_line_without_an_interval() -> None:
    found = statistics.band([(np.array([0.0, 4.0]), np.array([0.0, 4.0]))] * 2, points=5)
    assert found.line.tolist() == [0, 1, 2, 3, 4] and np.isnan(found.low).all()
