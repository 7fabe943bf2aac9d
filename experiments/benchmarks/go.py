"""Go on one core, 9x9 unless said: playouts, moves with legality and superko, planes, search; beside OpenSpiel.

    python -m experiments.bench go

Rates are per second of this process's CPU time. The lines about visits are those of `bench search`. OpenSpiel
(`pip install -e ".[oracle]"`) is measured if it is there: its random rollouts run in C++ (inside its MCTSBot, a
thousand per leaf, so that the tree costs nothing), its moves are driven from Python, as ours are from compiled code:
that is how either is used.
"""

from __future__ import annotations

import importlib.util
import statistics
from typing import Any

import numpy as np
from numba import njit

from envs.go import rules
from envs.go.env import make_vec
from envs.go.playout import playout
from envs.go.scoring import pass_alive
from envs.rules import Rules
from experiments.benchmarks import Work, rate, search

CHUNK = 256  # playouts or positions between two looks at the clock
ENVS = 64


@njit("void(int64[::1], int64, uint64[::1], float64[::1])")
def play_many(root, count, rng, total):
    """Playouts from one position, scored; adds the results to total [1]."""
    work = root.copy()
    for _ in range(count):
        work[:] = root
        total[0] += playout(work, rng)


@njit("int64(int64[::1], int64, int64[::1])")
def move_many(root, games, draws):
    """Games of uniformly random legal moves, the whole legal mask with superko before each; returns the
    moves.
    """
    work, mask = root.copy(), np.empty(root[0] * root[0] + 1, np.bool_)
    options, moves, drawn = np.empty(len(mask), np.int64), 0, 0
    for _ in range(games):
        work[:] = root
        while np.isnan(rules.outcome(work)):
            rules.legal(work, mask)
            count = 0
            for action in range(len(mask)):
                options[count] = action
                count += mask[action]
            if count > 1:
                count -= 1  # the pass only where nothing else is legal: long games, many captures
            drawn = (drawn + 1) % len(draws)
            rules.play(work, options[draws[drawn] % count])
            moves += 1
    return moves


@njit("void(int64[:, ::1], float32[::1])")
def planes_many(states, planes):
    """The planes of every state."""
    for i in range(len(states)):
        rules.features(states[i], planes)


@njit("void(int64[:, ::1], int8[::1])")
def benson_many(states, owner):
    """Pass-alive points of every state."""
    for i in range(len(states)):
        pass_alive(states[i], owner)


def _rate(work: Work, seconds: float) -> float:
    """As `rate`, after one piece of work that compiles and fills caches."""
    work()
    return rate(work, seconds)


def _positions(game: Rules) -> np.ndarray:
    """States [CHUNK, S] from every stage of random games."""
    rng, states = np.random.default_rng(1), []
    mask = np.empty(game.num_actions, np.bool_)
    state, left = game.new_state(), 0
    while len(states) < CHUNK:
        if left == 0:
            state, left = game.new_state(), int(rng.integers(10, 80))
        game.legal(state, mask)
        options = np.flatnonzero(mask[:-1])
        game.play(state, int(rng.choice(options)) if len(options) else game.num_actions - 1)
        left -= 1
        if left == 0:
            states.append(state.copy())
    return np.array(states)


def _ours(seconds: float) -> dict[str, float]:
    draws = np.random.default_rng(0).integers(0, 2**62, 1 << 16)
    rng, total = np.array([1], np.uint64), np.zeros(1)
    rows = {}
    for size in (5, 7, 9, 19):
        root = rules.go_rules(size).new_state()
        count = CHUNK if size < 19 else 16
        rows[f"playouts {size}x{size}"] = _rate(lambda r=root, n=count: play_many(r, n, rng, total) or n, seconds)
    root = rules.go_rules(9).new_state()
    rows["moves with the whole legal mask and superko"] = _rate(lambda: move_many(root, 8, draws), seconds)
    states = _positions(rules.go_rules(9))
    planes, owner = np.empty(rules.PLANES * 81, np.float32), np.empty(81, np.int8)
    rows["input planes"] = _rate(lambda: planes_many(states, planes) or CHUNK, seconds)
    rows["Benson's life, both sides"] = _rate(lambda: benson_many(states, owner) or CHUNK, seconds)

    envs, chooser = make_vec(ENVS), np.random.default_rng(2)
    legal = [envs.reset()[1]["legal"]]

    def step() -> int:
        actions = (chooser.random(legal[0].shape, np.float32) * legal[0]).argmax(1)
        legal[0] = envs.step(actions)[-1]["legal"]
        return ENVS

    rows[f"environment steps, batch of {ENVS}"] = _rate(step, seconds)
    return rows


def _openspiel(seconds: float) -> dict[str, float]:
    import pyspiel

    game = pyspiel.load_game("go(board_size=9,komi=7.5)")
    leaves, rollouts = 2, 1000
    evaluator = pyspiel.RandomRolloutEvaluator(rollouts, 1)
    bot = pyspiel.MCTSBot(game, evaluator, 1.4, leaves, 100, False, 1, False)
    rng = np.random.default_rng(0)

    def roll() -> int:
        bot.step(game.new_initial_state())
        return leaves * rollouts

    def moves() -> int:
        state, count = game.new_initial_state(), 0
        while not state.is_terminal():
            options = state.legal_actions()
            state.apply_action(options[int(rng.integers(len(options)))])
            count += 1
        return count

    def tensors() -> int:
        for _ in range(CHUNK):
            state.observation_tensor()
        return CHUNK

    state = game.new_initial_state()
    return {
        "openspiel: playouts 9x9": _rate(roll, seconds),
        "openspiel: moves with legal actions (no superko)": _rate(moves, seconds),
        "openspiel: observation tensors": _rate(tensors, seconds),
    }


def go_rules(seconds: float = 2.0) -> dict[str, float]:
    """Measures each line for `seconds` of CPU time, prints and returns units per second."""
    rows = _ours(seconds)
    if importlib.util.find_spec("pyspiel") is not None:
        rows |= _openspiel(seconds)
    for name, speed in rows.items():
        print(f"{speed:14,.0f} /s  {name}")
    return rows


def run(device: Any, seconds: float, rounds: int, race: bool) -> dict[str, Any]:
    """What `python -m experiments.bench go` prints; the rules run on the processor whatever the device."""
    results = [go_rules(seconds) for _ in range(rounds)]
    rows: dict[str, Any] = {f"{name}, /s": statistics.median(r[name] for r in results) for name in results[0]}
    theirs = "openspiel: playouts 9x9"
    if theirs in results[0]:
        ratio = statistics.median(r["playouts 9x9"] / r[theirs] for r in results)
        rows["playouts 9x9, ours"] = f"{ratio:.1f}x openspiel"
    return rows | search.measure(min(seconds, 3.0), rounds, "go 9x9")
