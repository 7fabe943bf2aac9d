"""The compiled heart of search: descend to leaves, judge or hand them out, take the answers back up the trees."""

from typing import NamedTuple

import numpy as np
from numba import njit, types
from numba.experimental import structref

from agents.search import gumbel, puct, rave
from agents.search.evaluators import playout_value
from agents.search.game import GAME
from agents.search.rng import gumbel as gumbel_draw
from agents.search.rng import log_gamma_draw
from agents.search.tree import (
    IN_FLIGHT,
    NEW,
    OPEN,
    TERMINAL,
    TREE,
    back_up,
    close_node,
    find,
    make_node,
    open_node,
    prove,
    remember,
    take_back,
)  # fmt: skip

PUCT, GUMBEL, RAVE = 0, 1, 2


class Leaves(NamedTuple):
    """Leaves in flight, at most K per game, and what belongs to one search of each game. R = B * K rows."""

    planes: np.ndarray  # [R, C * H * W] float32: features in the view of the side to move at the leaf
    legal: np.ndarray  # [R, A] bool
    game: np.ndarray  # [R] int32: game of the leaf
    place: np.ndarray  # [R] int32: number of the path, of the game's K, that leads to the leaf
    node: np.ndarray  # [R] int32: the leaf's node, -1 where the tree is full
    side: np.ndarray  # [R] int8: the side to move at the leaf
    playout: np.ndarray  # [R] float64: mean playout result in the view of that side
    path_node: np.ndarray  # [B, K, D] int32: nodes from the root to the leaf's parent
    path_action: np.ndarray  # [B, K, D] int32: actions taken at the nodes of `path_node`
    path_length: np.ndarray  # [B, K] int32
    state: np.ndarray  # [2, S] int64: scratch
    scratch: np.ndarray  # [2, A] float64
    first: np.ndarray  # [A] int8: 1 + the side that played an action first in the present descent, 0 nobody (RAVE)
    rng: np.ndarray  # [B, 1] uint64: each game's random generator
    root_prior: np.ndarray  # [B, A] float32: the root's prior with noise, -1 where illegal (PUCT)
    noise: np.ndarray  # [B, A] float64: the root's Gumbel draws (Gumbel)
    baseline: np.ndarray  # [B, A] int32: the root's visits when this search began (Gumbel)
    halving: np.ndarray  # [B] int32: number of the game's halving schedule (Gumbel)
    done: np.ndarray  # [B] int64: descents made by the last call of `collect`
    barred: np.ndarray  # [2, A] int32: plies from the root before which a side may not play an action
    deepest: np.ndarray  # [1] int64: largest ply in `barred`; 0: nothing is barred


class Settings(NamedTuple):
    """The scalars of `Puct` or `Gumbel` and of the evaluator, as compiled search takes them."""

    algorithm: int  # PUCT, GUMBEL or RAVE
    network: bool  # True: leaves are handed out; False: leaves are judged on the spot
    playouts: int
    kind: int  # kind of the playouts, see `evaluators`
    weight: float  # share of the playouts in the value
    transpositions: bool
    prove: bool
    virtual_loss: float  # value that a descent in flight takes; 0 where a game has one leaf in flight
    c_init: float
    c_base: float
    fpu_reduction: float
    c_visit: float
    c_scale: float
    least_spread: float
    noise_scale: float  # scale of the Gumbel noise
    noise_fraction: float  # share of the Dirichlet noise in the root's prior
    noise_alpha: float
    equivalence: float
    expand_after: int
    exploration: float


_ARRAYS = dict(
    planes=("float32", 2), legal=("boolean", 2), game=("int32", 1), place=("int32", 1), node=("int32", 1),
    side=("int8", 1), playout=("float64", 1), path_node=("int32", 3), path_action=("int32", 3),
    path_length=("int32", 2), state=("int64", 2), scratch=("float64", 2), first=("int8", 1), rng=("uint64", 2),
    root_prior=("float32", 2), noise=("float64", 2), baseline=("int32", 2), halving=("int32", 1),
    done=("int64", 1), barred=("int32", 2), deepest=("int64", 1),
)  # fmt: skip
_SCALARS = {bool: types.boolean, int: types.int64, float: types.float64}
SETTINGS = types.NamedTuple([_SCALARS[kind] for kind in Settings.__annotations__.values()], Settings)
FIELDS = [(name, types.Array(getattr(types, kind), ndim, "C")) for name, (kind, ndim) in _ARRAYS.items()]
FIELDS.append(("settings", SETTINGS))


@structref.register
class WorkType(types.StructRef):
    """Numba's type of linked leaves and settings."""


class Work(structref.StructRefProxy):
    """Python's side of linked leaves and settings: an opaque handle; the arrays are shared with `Leaves`."""


structref.define_boxing(WorkType, Work)
WORK = WorkType(FIELDS)


def new_leaves(games: int, leaves: int, depth: int, planes: int, num_actions: int, state_size: int) -> Leaves:
    """Buffers for `leaves` paths of at most `depth` moves per game."""
    rows = games * leaves
    shapes = dict(
        planes=(rows, planes), legal=(rows, num_actions), game=rows, place=rows, node=rows, side=rows, playout=rows,
        path_node=(games, leaves, depth), path_action=(games, leaves, depth), path_length=(games, leaves),
        state=(2, state_size), scratch=(2, num_actions), first=num_actions, rng=(games, 1),
        root_prior=(games, num_actions), noise=(games, num_actions), baseline=(games, num_actions), halving=games,
        done=games, barred=(2, num_actions), deepest=1,
    )  # fmt: skip
    dtypes = {name: "bool" if kind == "boolean" else kind for name, (kind, _) in _ARRAYS.items()}  # numpy's names
    return Leaves(**{name: np.zeros(shapes[name], dtypes[name]) for name in Leaves._fields})


@njit(WORK(*[kind for _, kind in FIELDS]), cache=True)
def link_work(
    planes, legal, game, place, node, side, playout, path_node, path_action, path_length, state, scratch, first,
    rng, root_prior, noise, baseline, halving, done, barred, deepest, settings,
):  # fmt: skip
    """The handle for compiled code: `link_work(*leaves, settings)`."""
    work = structref.new(WORK)
    work.planes, work.legal, work.game, work.place, work.node = planes, legal, game, place, node
    work.side, work.playout, work.path_node, work.path_action = side, playout, path_node, path_action
    work.path_length, work.state, work.scratch, work.first, work.rng = path_length, state, scratch, first, rng
    work.root_prior, work.noise, work.baseline = root_prior, noise, baseline
    work.halving, work.done, work.barred, work.deepest, work.settings = halving, done, barred, deepest, settings
    return work


@njit
def _finish(tree, work, b, k, value, side):
    """Takes the value of a path's end, in the view of `side`, back to the root."""
    settings, length = work.settings, work.path_length[b, k]
    nodes = work.path_node[b, k]
    back_up(tree, b, nodes, work.path_action[b, k], length, value, side, settings.virtual_loss, settings.transpositions)
    if settings.algorithm == RAVE:
        for i in range(length):
            rave.learn(tree, b, nodes[i], work.first, value, side)


@njit
def _descend(game, tree, work, schedules, b, k, state):
    """One descent of game b along path k; leaves the state of its end in `state` [S].

    Returns (node, side, value): the new node to judge (-1: no room for one) and the side to move there, with value
    NaN; or, where the end is known already (a terminal or solved node), its exact value in the view of that side.
    A leaf that is in flight already gives (-2, 0, NaN): the descent has to be taken back.
    """
    settings = work.settings
    nodes, actions = work.path_node[b, k], work.path_action[b, k]
    state[:] = tree.root_state[b]
    work.first[:] = 0
    node, length = np.int32(0), 0
    while True:
        if tree.status[b, node] == TERMINAL or (settings.prove and node and tree.lower[b, node] == tree.upper[b, node]):
            tree.visits[b, node] += 1
            value = tree.lower[b, node]
            tree.value_sum[b, node] += value
            break
        if tree.status[b, node] == IN_FLIGHT or length == len(nodes):  # rules that break their max_moves stop here
            work.path_length[b, k] = length
            return np.int32(-2), np.int64(0), np.nan
        if settings.algorithm == RAVE:
            action = rave.select(tree, b, node, settings.equivalence, settings.exploration)
        elif settings.algorithm == GUMBEL and node == 0:
            action = gumbel.select_root(
                tree, b, work.noise[b], work.baseline[b], schedules[work.halving[b]], settings.c_visit,
                settings.c_scale, settings.least_spread, work.scratch[0],
            )  # fmt: skip
        elif settings.algorithm == GUMBEL:
            action = gumbel.select(
                tree, b, node, settings.c_visit, settings.c_scale, settings.least_spread, work.scratch[0],
                work.scratch[1],
            )  # fmt: skip
        else:
            prior = tree.prior[b, node] if node else work.root_prior[b]
            action = puct.select(tree, b, node, prior, settings.c_init, settings.c_base, settings.fpu_reduction)
        nodes[length], actions[length] = node, action
        length += 1
        tree.edge_visits[b, node, action] += 1
        tree.visits[b, node] += 1
        tree.edge_value[b, node, action] -= settings.virtual_loss
        tree.value_sum[b, node] -= settings.virtual_loss
        if work.first[action] == 0:
            work.first[action] = 1 + tree.to_move[b, node]
        game.play(state, action)
        child = tree.children[b, node, action]
        if child < 0:
            side, ply = game.to_move(state), tree.ply[b, node] + 1
            if settings.transpositions:
                key = game.key(state)
                child = find(tree, b, key, ply, side)
            if child < 0:
                outcome = game.outcome(state)
                # An ended game becomes a node at once: its value is exact and may prove something.
                if tree.edge_visits[b, node, action] >= settings.expand_after or not np.isnan(outcome):
                    child = make_node(tree, b, side, ply)
                if child >= 0:
                    tree.children[b, node, action] = child
                    if settings.transpositions:
                        remember(tree, b, child, key)
                    if not np.isnan(outcome):
                        close_node(tree, b, child, outcome)
                work.path_length[b, k] = length
                return child, side, outcome
            tree.children[b, node, action] = child
        node = child
    work.path_length[b, k] = length
    return node, np.int64(tree.to_move[b, node]), value


@njit
def _judge(game, work, b, state, legal):
    """Fills the legal mask [A] and returns the mean playout result (0 without playouts) for the side to move."""
    game.legal(state, legal)
    count = work.settings.playouts
    if count == 0:
        return 0.0
    mask = np.empty_like(legal)
    return playout_value(game, work.settings.kind, count, state, work.state[1], mask, work.rng[b], work.first)


@njit
def _bar(barred, side, depth, legal):
    """Takes out of a legal mask [A] what is barred for a side so many plies from the root, unless that is all."""
    left = 0
    for a in range(len(legal)):
        left += legal[a] and barred[side, a] <= depth
    if left > 0:
        for a in range(len(legal)):
            legal[a] &= barred[side, a] <= depth


@njit
def _leaf(game, tree, work, b, k, node, side, state, row):
    """A leaf that has to be judged: handed out as a row, or opened on the spot. Returns the number of rows."""
    if node >= 0:
        tree.status[b, node] = IN_FLIGHT
    work.playout[row] = _judge(game, work, b, state, work.legal[row])
    if work.deepest[0] > 0 and node >= 0:
        _bar(work.barred, side, tree.ply[b, node] - tree.ply[b, 0], work.legal[row])
    if work.settings.network:
        work.game[row], work.place[row], work.node[row], work.side[row] = b, k, node, side
        game.features(state, work.planes[row])
        return row + 1
    work.scratch[0, :] = 0.0
    if node >= 0:
        open_node(tree, b, node, work.legal[row], work.scratch[0], work.playout[row])
        if work.settings.algorithm == RAVE:
            game.heuristic(state, tree.heuristic_visits[b, node], tree.heuristic_value[b, node])
            rave.leave_out(tree, b, node)
            rave.learn(tree, b, node, work.first, work.playout[row], side)
    _finish(tree, work, b, k, work.playout[row], side)
    return row


@njit(types.int64(GAME, TREE, WORK, types.int32[:, :, ::1], types.int64[::1], types.int64), cache=True, nogil=True)
def collect(game, tree, work, schedules, target, quota):
    """Descends in every game until its root has `target` [B] visits; returns the number of leaves handed out.

    Without a network the leaves are judged here and none is handed out. A call makes at most `quota` descents per
    game (`work.done` says how many); a root not judged yet comes first, alone. schedules [_, max_considered + 1, n].
    """
    rows, leaves, state, settings = 0, work.path_length.shape[1], work.state[0], work.settings
    for b in range(len(target)):
        work.done[b] = 0
        if tree.status[b, 0] == NEW:
            state[:] = tree.root_state[b]
            work.path_length[b, 0] = 0
            work.first[:] = 0
            rows = _leaf(game, tree, work, b, 0, np.int32(0), np.int64(tree.to_move[b, 0]), state, rows)
            continue
        flying = 0
        while flying < leaves and work.done[b] < quota and tree.visits[b, 0] <= target[b]:
            if tree.status[b, 0] == TERMINAL or (settings.prove and tree.lower[b, 0] == tree.upper[b, 0]):
                break
            node, side, value = _descend(game, tree, work, schedules, b, flying, state)
            if node == -2:
                take_back(
                    tree, b, work.path_node[b, flying], work.path_action[b, flying], work.path_length[b, flying],
                    settings.virtual_loss, settings.transpositions,
                )  # fmt: skip
                break
            work.done[b] += 1
            if np.isnan(value):
                before = rows
                rows = _leaf(game, tree, work, b, flying, node, side, state, rows)
                flying += rows - before
            else:
                _finish(tree, work, b, flying, value, side)
                if settings.prove:
                    prove(tree, b, work.path_node[b, flying], work.path_length[b, flying])
    return rows


@njit(types.int64(TREE, WORK, types.float32[:, ::1], types.float64[::1], types.int64), cache=True, nogil=True)
def absorb(tree, work, logits, values, rows):
    """Opens the handed-out leaves with logits [R, A] and values [R] in the view of the side to move at each.

    Returns -1, or the first row whose answer is not finite or whose value lies outside [-1, 1].
    """
    weight = work.settings.weight
    for row in range(rows):
        b, node = work.game[row], work.node[row]
        value = (1.0 - weight) * values[row] + weight * work.playout[row]
        if not abs(value) <= 1.0 + 1e-5:  # not a number fails too; rounding may pass 1
            return row
        value = min(1.0, max(-1.0, value))
        if node >= 0 and not open_node(tree, b, node, work.legal[row], logits[row], value):
            return row
        _finish(tree, work, b, work.place[row], value, work.side[row])
    return -1


@njit(types.void(TREE, WORK), cache=True)
def begin(tree, work):
    """Draws the noise of a new search at every open root, from each game's own generator."""
    settings = work.settings
    for b in range(tree.status.shape[0]):
        if tree.status[b, 0] != OPEN:
            continue
        prior, rng = tree.prior[b, 0], work.rng[b]
        work.root_prior[b, :] = prior
        if settings.algorithm == GUMBEL:
            work.baseline[b, :] = tree.edge_visits[b, 0]
            work.noise[b, :] = 0.0
            if settings.noise_scale > 0.0:
                for a in range(len(prior)):
                    work.noise[b, a] = settings.noise_scale * gumbel_draw(rng)
        elif settings.noise_fraction > 0.0:
            draws, total = work.scratch[0], 0.0
            for a in range(len(prior)):
                draws[a] = log_gamma_draw(rng, settings.noise_alpha) if prior[a] >= 0.0 else -np.inf
            highest = draws.max()
            for a in range(len(prior)):
                draws[a] = np.exp(draws[a] - highest)
                total += draws[a]
            for a in range(len(prior)):
                if prior[a] >= 0.0:
                    share = settings.noise_fraction
                    work.root_prior[b, a] = (1.0 - share) * prior[a] + share * draws[a] / total
