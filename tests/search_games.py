"""Games and helpers that the search tests share."""

import functools

import numpy as np
from numba import njit

from agents.search.gumbel import Gumbel
from agents.search.puct import Puct
from envs.rules import FEATURES, KEY, LEGAL, OUTCOME, PLAY, RESET, TO_MOVE, Rules


@njit(RESET)
def nim_reset(state):
    state[0], state[1] = 9, 0


@njit(LEGAL)
def nim_legal(state, mask):
    for a in range(3):
        mask[a] = a < state[0] or state[0] == 0


@njit(PLAY)
def nim_play(state, action):
    state[0] -= action + 1
    if not (state[2] and action == 1):
        state[1] = 1 - state[1]


@njit(OUTCOME)
def nim_outcome(state):
    if state[0] > 0:
        return np.nan
    # Nobody moves twice after the last stone has gone, unless it went with a take of 2 that keeps the turn.
    return -1.0 if not state[2] or state[3] != state[1] else 1.0


@njit(PLAY)
def nim_play_noting_who(state, action):
    state[3] = state[1]
    nim_play(state, action)


@njit(TO_MOVE)
def nim_to_move(state):
    return state[1]


@njit(FEATURES)
def nim_features(state, planes):
    planes[0] = state[0]


@njit(KEY)
def nim_key(state):
    return state[0] * 8 + state[1] * 4 + state[2] * 2 + state[3]


def nim(extra: int) -> Rules:
    return Rules(
        "nim", 3, 4, (1, 1, 1), nim_reset, nim_legal, nim_play_noting_who, nim_outcome, nim_to_move, nim_features,
        nim_key, 13, (0, 0, extra),
    )  # fmt: skip


def legal_actions(rules, state):
    mask = np.zeros(rules.num_actions, bool)
    rules.legal(state, mask)
    return np.flatnonzero(mask)


def after(rules, state, action):
    state = state.copy()
    rules.play(state, action)
    return state


def solver(rules):
    """The literal value of a state for its side to move."""

    @functools.cache
    def solve(data: bytes) -> float:
        state = np.frombuffer(data, np.int64).copy()
        outcome = rules.outcome(state)
        return outcome if not np.isnan(outcome) else max(action_value(state, a) for a in legal_actions(rules, state))

    def action_value(state, action) -> float:
        child = after(rules, state, action)
        value = solve(child.tobytes())
        return value if rules.to_move(child) == rules.to_move(state) else -value

    return lambda state: solve(state.tobytes()), action_value


CONFIGS = [
    Puct(prove=False), Puct(), Puct(transpositions=True), Puct(prove=False, transpositions=True), Gumbel(noise_scale=0),
    Gumbel(noise_scale=0, prove=True),
]  # fmt: skip

LABELS = ["puct", "puct-prove", "puct-prove-graph", "puct-graph", "gumbel", "gumbel-prove"]


def hashed_network(actions):
    """A deterministic stand-in for a network, the same for a row in any batch."""
    weights = np.random.default_rng(0).normal(size=(1000, actions + 1))

    def answer(features):
        flat = features.reshape(len(features), -1)
        out = np.stack([np.sin(7 * row @ weights[: len(row)]) for row in flat])
        return 2 * out[:, 1:], out[:, 0]

    return answer
