"""Strength from games: scores with Wilson intervals and Elo by the Bradley-Terry model with bootstrap intervals.

Opening pairs (one opening, both colours) are what the bootstrap draws, since their two games are not independent.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import numpy as np
from scipy import optimize, stats

CONFIDENCE = 0.95
PRIOR = 1.0  # drawn games added to every pair of players who met, so that a clean sheet has a finite rating


class RatedGame(NamedTuple):
    """One counted game."""

    first: int  # number of the first player
    second: int
    points: float  # points of the first player: 1, 0.5 or 0
    opening: int  # number of the opening; games with the same players and opening are resampled together


class Elo(NamedTuple):
    """Ratings [P] against player 0, who has 0, and the ends of their intervals."""

    rating: np.ndarray
    low: np.ndarray
    high: np.ndarray


def wilson(points: float, games: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's interval of a score; a draw counts as half a win and half a loss. nan without games."""
    if games == 0:
        return float("nan"), float("nan")
    z = float(stats.norm.ppf(0.5 + confidence / 2))
    p, square = points / games, z * z / games
    middle, half = p + square / 2, z * np.sqrt(p * (1 - p) / games + square / games / 4)
    return float((middle - half) / (1 + square)), float((middle + half) / (1 + square))


def bradley_terry(players: int, games: list[RatedGame], prior: float = PRIOR) -> np.ndarray:
    """Most likely ratings [players], in Elo, player 0 at 0: P(i beats j) = 1 / (1 + 10^((r_j - r_i) / 400)).

    A draw counts as half a win for both. Players who are not connected by games to player 0 come out as nan.
    """
    wins = np.zeros((players, players))
    for game in games:
        wins[game.first, game.second] += game.points
        wins[game.second, game.first] += 1 - game.points
    met = (wins + wins.T) > 0
    wins += prior / 2 * met
    reached, waiting = {0}, [0]
    while waiting:
        for j in np.flatnonzero(met[waiting.pop()]):
            if int(j) not in reached:
                reached.add(int(j))
                waiting.append(int(j))
    free = sorted(reached - {0})
    ratings = np.full(players, np.nan)
    ratings[0] = 0.0
    if not free:
        return ratings
    some = [0, *free]
    table = wins[np.ix_(some, some)]

    def loss(x: np.ndarray):
        r = np.concatenate([[0.0], x])
        gap = r[:, None] - r[None, :]
        chance = 1 / (1 + np.exp(-gap))
        gradient = (table * (1 - chance)).sum(1) - (table * (1 - chance)).sum(0)
        return float((table * np.logaddexp(0, -gap)).sum()), -gradient[1:]

    found = optimize.minimize(loss, np.zeros(len(free)), jac=True, method="BFGS", options={"gtol": 1e-8})
    ratings[free] = found.x * 400 / np.log(10)
    return ratings


def elo(players: int, games: list[RatedGame], *, resamples: int = 1000, seed: int = 0) -> Elo:
    """Ratings with percentile intervals of a bootstrap over opening pairs within each pair of players."""
    rating = bradley_terry(players, games)
    pairs: dict[tuple[int, int], dict[int, list[RatedGame]]] = defaultdict(lambda: defaultdict(list))
    for game in games:
        key = min(game.first, game.second), max(game.first, game.second)
        pairs[key][game.opening].append(game)
    rng, drawn = np.random.default_rng(seed), []
    for _ in range(resamples if games else 0):
        chosen: list[RatedGame] = []
        for openings in pairs.values():
            lists = list(openings.values())
            for i in rng.integers(len(lists), size=len(lists)):
                chosen += lists[i]
        drawn.append(bradley_terry(players, chosen))
    if not drawn:
        return Elo(rating, rating * np.nan, rating * np.nan)
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(np.array(drawn), [tail, 100 - tail], axis=0)
    return Elo(rating, low, high)
