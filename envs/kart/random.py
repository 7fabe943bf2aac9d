"""The environments' random numbers: splitmix64, one 64-bit word of state per environment (Steele et al., 2014).

The state is an ordinary array, so that kernels can draw, and it is saved with the environment.
"""

import numpy as np
from numba import njit

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)


@njit(cache=True, nogil=True)
def mix(word):
    """A well-mixed 64-bit word from any 64-bit word."""
    word = (word ^ (word >> _S30)) * _MIX_1
    word = (word ^ (word >> _S27)) * _MIX_2
    return word ^ (word >> _S31)


@njit(cache=True, nogil=True)
def uniform(state, i, low, high):
    """Advance state[i] (uint64 array) and return a float in [low, high)."""
    state[i] += _STEP
    return low + (high - low) * (np.float64(mix(state[i]) >> _S11) * (1.0 / 9007199254740992.0))


def seed_word(seed: int) -> np.uint64:
    """The state that belongs to a seed: neighbouring seeds share nothing."""
    return np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]
