"""What a leaf is worth: a uniform guess, random playouts, a network, or a mix of the last two.

Views: a network speaks for the side to move in the features that it is given; a playout function returns the result
of the game that it played in the view of the side to move at the state that it was given. All values in [-1, 1].

A network is any callable `(features [n, C, H, W] float32) -> (logits [n, A], values [n])`, numpy in, numpy out. Its
input is reused by the next call. Logits of illegal actions are ignored; the others must be finite.

Playouts of the game's own are compiled first-class functions. Without one, legal actions are drawn uniformly.
- `float64(int64[::1] state, uint64[::1] rng)` plays the state to an end (and may overwrite it), advances the
  one-element generator `rng` (see `rng.py`) and returns the result.
- traced, for RAVE: a third argument `int8[::1] first` [A]; where it is 0 at an action's first play it becomes 1 + side.

A heuristic, for RAVE: `void(int64[::1] state, float32[::1] visits, float32[::1] value)` says how many visits [A] the
game's knowledge of each action is worth, and their summed value [A] in the view of the side to move; both come as 0.
-1 visits leave an action out of the search as if it were illegal (one must remain): what is `solved` is then solved
without it.
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numba import njit

from agents.search.game import no_heuristic, no_playout, no_traced_playout
from agents.search.rng import below

RANDOM, OWN, TRACED = 0, 1, 2  # kinds of playouts


class Evaluator(NamedTuple):
    """How leaves are judged. Made by the functions below."""

    network: Callable | None = None  # features -> (logits, values); None: logits 0, all legal actions alike
    playouts: int = 0  # playouts per leaf; 0 for none
    weight: float = 0.0  # share lambda of the playouts in the value: (1 - weight) * network + weight * playouts
    kind: int = RANDOM  # kind of the playouts
    playout: Callable = no_playout  # the game's own playout
    traced: Callable = no_traced_playout  # the game's own traced playout
    heuristic: Callable = no_heuristic  # the game's own heuristic


def uniform() -> Evaluator:
    """Value 0 and the same probability for every legal action: what the search finds comes from ended games alone."""
    return Evaluator()


def rollouts(count: int = 1, playout: Callable | None = None) -> Evaluator:
    """The mean result of `count` playouts, uniform priors. Playouts draw from the game's generator: they vary."""
    if count < 1:
        raise ValueError(f"count is {count}; it must be 1 or more playouts per leaf")
    if playout is None:
        return Evaluator(playouts=count, weight=1.0)
    return Evaluator(playouts=count, weight=1.0, kind=OWN, playout=playout)


def classical(traced: Callable, heuristic: Callable = no_heuristic) -> Evaluator:
    """A game's own traced playout and heuristic: with `rave.Rave` a player that needs no training."""
    return Evaluator(playouts=1, weight=1.0, kind=TRACED, traced=traced, heuristic=heuristic)


def network(function: Callable) -> Evaluator:
    """The network's value and policy."""
    return Evaluator(network=function)


def mix(function: Callable, weight: float = 0.5, count: int = 1, playout: Callable | None = None) -> Evaluator:
    """AlphaGo's mix (Silver et al. 2016): network policy, value (1 - weight) * network + weight * playouts."""
    if not 0 <= weight <= 1:
        raise ValueError(f"weight is {weight}; it must lie in 0..1")
    return rollouts(count, playout)._replace(network=function, weight=float(weight))


def symmetric(function: Callable, points: np.ndarray, actions: np.ndarray) -> Callable:
    """A network averaged over symmetries: mean logits (the policies' geometric mean) and mean value, in one call.

    points [G, H * W]: plane p of the g-th picture is `p.ravel()[points[g]]`; actions [G, A]: in that picture action i
    is the game's action `actions[g, i]`. Costs G evaluations per leaf and makes play alike in all orientations.
    """
    count, num_actions = actions.shape
    back = np.argsort(actions, axis=1)  # the game's action -> its place in the picture

    def averaged(features: np.ndarray):
        n, planes, height, width = features.shape
        flat = features.reshape(n, planes, -1)
        pictures = np.stack([flat[:, :, order] for order in points])  # [G, n, C, H * W]
        logits, values = function(pictures.reshape(count * n, planes, height, width))
        logits = np.reshape(logits, (count, n, num_actions))
        logits = np.take_along_axis(logits, back[:, None, :], axis=2).mean(axis=0)  # [n, A]
        return logits, np.reshape(values, (count, n)).mean(axis=0)

    return averaged


class Cached:
    """A network that remembers its answers; the oldest is forgotten first where there are more than `size`.

    Positions are the same if all their planes are, so nothing that the network sees can differ. hits, misses: leaves
    so far. Call `clear` when the network has changed.
    """

    def __init__(self, function: Callable, size: int = 100_000):
        if size < 1:
            raise ValueError(f"size is {size}; it must be 1 or more positions")
        self.function, self.size, self.hits, self.misses = function, size, 0, 0
        self._known: dict[bytes, tuple[np.ndarray, float]] = {}

    def __call__(self, planes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        keys = [blake2b(row, digest_size=16).digest() for row in np.reshape(planes, (len(planes), -1))]
        asked = {key: i for i, key in enumerate(keys) if key not in self._known}  # one row of each new position
        found = {key: self._known[key] for key in keys if key not in asked}
        if asked:
            logits, values = self.function(planes if len(asked) == len(keys) else planes[list(asked.values())])
            values = np.reshape(values, -1)
            found |= {key: (logits[i].copy(), float(values[i])) for i, key in enumerate(asked)}
            self._known |= {key: found[key] for key in asked}
            for _ in range(len(self._known) - self.size):
                del self._known[next(iter(self._known))]
        self.hits += len(keys) - len(asked)
        self.misses += len(asked)
        return np.stack([found[key][0] for key in keys]), np.array([found[key][1] for key in keys])

    def clear(self) -> None:
        """Forgets all answers."""
        self._known.clear()


@njit
def random_playout(game, state, legal, rng, first):
    """Plays uniformly drawn legal actions to the end; the result in the view of the side to move at `state`."""
    side = game.to_move(state)
    for _ in range(game.max_moves + 1):
        result, mover = game.outcome(state), game.to_move(state)
        if not np.isnan(result):
            return result if mover == side else -result
        game.legal(state, legal)
        count = 0
        for a in range(len(legal)):
            count += legal[a]
        chosen = below(rng, count)
        for a in range(len(legal)):
            if legal[a]:
                if chosen == 0:
                    if first[a] == 0:
                        first[a] = 1 + mover
                    game.play(state, a)
                    break
                chosen -= 1
    return 0.0  # the rules promise an end within max_moves


@njit
def playout_value(game, kind, count, state, scratch, legal, rng, first):
    """The mean result of playouts from `state`, in the view of the side to move there.

    scratch [S] and legal [A] are overwritten; first [A] int8 traces (see above) unless kind is OWN.
    """
    total = 0.0
    for _ in range(count):
        scratch[:] = state
        if kind == OWN:
            total += game.playout(scratch, rng)
        elif kind == TRACED:
            total += game.traced(scratch, rng, first)
        else:
            total += random_playout(game, scratch, legal, rng, first)
    return total / count
