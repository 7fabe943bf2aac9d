"""Random numbers for compiled search: splitmix64 (Steele, Lea and Flood 2014), one uint64 of state per game.

Each game of a batch owns one element of a uint64 array, so that a game draws the same numbers alone or in company.
Functions take a one-element view `state` [1] and advance it.
"""

import math

import numpy as np
from numba import njit

GOLDEN, MIX1, MIX2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
S11, S27, S30, S31, S32 = np.uint64(11), np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32)
TO_UNIT = 2.0**-53


@njit(inline="always")
def next_bits(state):
    """64 random bits as uint64."""
    state[0] += GOLDEN
    z = state[0]
    z = (z ^ (z >> S30)) * MIX1
    z = (z ^ (z >> S27)) * MIX2
    return z ^ (z >> S31)


@njit(inline="always")
def below(state, n):
    """A uniform integer in 0..n-1, n < 2**31 (the bias of multiply-shift is below 2**-32)."""
    return np.int64(((next_bits(state) >> S32) * np.uint64(n)) >> S32)


@njit(inline="always")
def uniform(state):
    """A uniform float64 in the open interval (0, 1)."""
    return (np.float64(next_bits(state) >> S11) + 0.5) * TO_UNIT


@njit
def gumbel(state):
    """A draw from the standard Gumbel distribution."""
    return -math.log(-math.log(uniform(state)))


@njit
def normal(state):
    """A draw from the standard normal distribution (Box and Muller)."""
    return math.sqrt(-2.0 * math.log(uniform(state))) * math.cos(2.0 * math.pi * uniform(state))


@njit
def log_gamma_draw(state, shape):
    """The logarithm of a draw from Gamma(shape, 1) (Marsaglia and Tsang 2000).

    The logarithm, because draws for the small shapes of Dirichlet noise underflow.
    """
    d = (shape + 1.0 if shape < 1.0 else shape) - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        x = normal(state)
        v = (1.0 + c * x) ** 3
        if v > 0.0 and math.log(uniform(state)) < 0.5 * x * x + d - d * v + d * math.log(v):
            break
    log_draw = math.log(d) + math.log(v)
    return log_draw + math.log(uniform(state)) / shape if shape < 1.0 else log_draw
