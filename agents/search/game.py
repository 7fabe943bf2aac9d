"""A game's rules as compiled search sees them: first-class functions behind one handle.

A kernel that closes over jitted functions is compiled again in every process; one that receives them as values of
`numba.types.FunctionType` is cached on disk. Unpacking such a value costs about 20 microseconds in every call from
Python, more than a whole visit, so it happens once: `link` moves the functions into a numba struct (a `GAME`), whose
handle then passes in 0.3 microseconds. The handle borrows the functions: keep the rules alive as long as it.
"""

import warnings

from numba import njit, types
from numba.core.errors import NumbaExperimentalFeatureWarning
from numba.experimental import structref

STATE, MASK, PLANES, RNG = types.int64[::1], types.boolean[::1], types.float32[::1], types.uint64[::1]
LEGAL = types.FunctionType(types.void(STATE, MASK))
PLAY = types.FunctionType(types.void(STATE, types.int64))
OUTCOME = types.FunctionType(types.float64(STATE))
TO_MOVE = types.FunctionType(types.int64(STATE))
FEATURES = types.FunctionType(types.void(STATE, PLANES))
KEY = types.FunctionType(types.int64(STATE))
# Described in `evaluators`:
PLAYOUT = types.FunctionType(types.float64(STATE, RNG))
TRACED = types.FunctionType(types.float64(STATE, RNG, types.int8[::1]))
HEURISTIC = types.FunctionType(types.void(STATE, types.float32[::1], types.float32[::1]))


@structref.register
class GameType(types.StructRef):
    """Numba's type of a linked game."""


class Game(structref.StructRefProxy):
    """Python's side of a linked game: an opaque handle."""


structref.define_boxing(GameType, Game)
GAME = GameType(
    [
        ("legal", LEGAL), ("play", PLAY), ("outcome", OUTCOME), ("to_move", TO_MOVE), ("features", FEATURES),
        ("key", KEY), ("playout", PLAYOUT), ("traced", TRACED), ("heuristic", HEURISTIC), ("max_moves", types.int64),
    ]
)  # fmt: skip


@njit(types.float64(STATE, RNG), cache=True)
def no_playout(state, rng):
    """Stands in where an evaluator has no playout of the game's own."""
    return 0.0


@njit(types.float64(STATE, RNG, types.int8[::1]), cache=True)
def no_traced_playout(state, rng, first):
    """Stands in where an evaluator has no traced playout of the game's own."""
    return 0.0


@njit(types.void(STATE, types.float32[::1], types.float32[::1]), cache=True)
def no_heuristic(state, visits, value):
    """Stands in where a game has no heuristic of its own: the arrays stay zero."""


with warnings.catch_warnings():
    warnings.simplefilter("ignore", NumbaExperimentalFeatureWarning)  # "first-class functions are experimental"

    @njit(GAME(LEGAL, PLAY, OUTCOME, TO_MOVE, FEATURES, KEY, PLAYOUT, TRACED, HEURISTIC, types.int64), cache=True)
    def _link(legal, play, outcome, to_move, features, key, playout, traced, heuristic, max_moves):
        game = structref.new(GAME)
        game.legal, game.play, game.outcome, game.to_move = legal, play, outcome, to_move
        game.features, game.key, game.max_moves = features, key, max_moves
        game.playout, game.traced, game.heuristic = playout, traced, heuristic
        return game


def link(rules, playout=no_playout, traced=no_traced_playout, heuristic=no_heuristic) -> Game:
    """The handle of a game: any tuple with the fields of `envs.rules.Rules`, and what an evaluator adds."""
    return _link(
        rules.legal, rules.play, rules.outcome, rules.to_move, rules.features, rules.key, playout, traced, heuristic,
        rules.max_moves,
    )  # fmt: skip
