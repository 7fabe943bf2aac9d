"""Search trees in flat arrays: B trees (games), N nodes each, A actions; node 0 of a tree is its root.

Whose value: everything stored *at a node* (its own evaluation, its sums, its edges' sums, its bounds) is in the view
of the side to move at that node. A value crosses an edge unchanged where the same side moves at both ends and with
its sign flipped where the sides differ; the side is asked of the rules (`to_move`), never derived from the depth.

A node keeps no game state: a descent replays the moves from the root's state, which costs a little time and saves
kilobytes per node.
"""

from typing import NamedTuple

import numpy as np
from numba import njit, types
from numba.experimental import structref

NEW, IN_FLIGHT, OPEN, TERMINAL = 0, 1, 2, 3  # status: not judged; being judged; judged; the game is over there


class Tree(NamedTuple):
    """The arrays of B trees. Rows of nodes that were never made are undefined memory."""

    children: np.ndarray  # [B, N, A] int32: node behind an action, -1 where there is none yet
    edge_visits: np.ndarray  # [B, N, A] int32: descents through the action, those in flight included
    edge_value: np.ndarray  # [B, N, A] float64: sum of the values that these descents brought back
    prior: np.ndarray  # [B, N, A] float32: the evaluator's probability; -1 marks an illegal action
    logits: np.ndarray  # [B, N, A] float32: log of the prior; -inf marks an illegal action
    amaf_visits: np.ndarray  # [B, N, A] float32: results that counted for the action as one played later (RAVE)
    amaf_value: np.ndarray  # [B, N, A] float32: sum of the results in `amaf_visits` (RAVE)
    heuristic_visits: np.ndarray  # [B, N, A] float32: visits that the game's heuristic is worth (RAVE)
    heuristic_value: np.ndarray  # [B, N, A] float32: sum of the heuristic's values; all four: [B, 1, 1] without RAVE
    visits: np.ndarray  # [B, N] int32: descents that reached the node: 1 for its own evaluation + sum(edge_visits)
    value_sum: np.ndarray  # [B, N] float64: raw_value + sum(edge_value), so value_sum / visits is the mean;
    #                        a node that ends the game: visits * raw_value
    raw_value: np.ndarray  # [B, N] float64: the node's own evaluation; where the game is over the exact outcome
    lower: np.ndarray  # [B, N] float64: proven lower bound of the game's value, -1 where nothing is proven
    upper: np.ndarray  # [B, N] float64: proven upper bound, +1 where nothing is proven
    bounded: np.ndarray  # [B, N] int8: 1 where a child may have a bound that says something
    to_move: np.ndarray  # [B, N] int8: the side to move, as the rules number it
    status: np.ndarray  # [B, N] int8: NEW, IN_FLIGHT, OPEN or TERMINAL
    ply: np.ndarray  # [B, N] int32: moves since the game's first position
    key: np.ndarray  # [B, N] int64: the rules' key; kept only where transpositions are on
    slots: np.ndarray  # [B, T] int32: open-addressed hash table from key to node, T a power of 2; [B, 1] where off
    size: np.ndarray  # [B] int32: nodes in use
    root_state: np.ndarray  # [B, S] int64: the game's state at node 0


_DTYPES = dict(
    children="int32", edge_visits="int32", edge_value="float64", prior="float32", logits="float32",
    amaf_visits="float32", amaf_value="float32", heuristic_visits="float32", heuristic_value="float32", visits="int32",
    value_sum="float64", raw_value="float64", lower="float64", upper="float64", bounded="int8", to_move="int8",
    status="int8", ply="int32", key="int64", slots="int32", size="int32", root_state="int64",
)  # fmt: skip
PER_EDGE = ("children", "edge_visits", "edge_value", "prior", "logits")
RAVE_EDGE = ("amaf_visits", "amaf_value", "heuristic_visits", "heuristic_value")
PER_NODE = ("visits", "value_sum", "raw_value", "lower", "upper", "bounded", "to_move", "status", "ply", "key")
_NDIM = dict.fromkeys(Tree._fields, 2) | dict.fromkeys(PER_EDGE + RAVE_EDGE, 3) | {"size": 1}
FIELDS = [(name, types.Array(getattr(types, _DTYPES[name]), _NDIM[name], "C")) for name in Tree._fields]


@structref.register
class TreeType(types.StructRef):
    """Numba's type of linked trees."""


class LinkedTree(structref.StructRefProxy):
    """Python's side of linked trees: an opaque handle; the arrays themselves are shared with `Tree`."""


structref.define_boxing(TreeType, LinkedTree)
TREE = TreeType(FIELDS)


def new_tree(games: int, capacity: int, num_actions: int, state_size: int, transpositions: bool, rave: bool) -> Tree:
    """Empty trees. Untouched rows cost no memory on systems that hand out pages at the first write."""
    slots = 1 << (2 * capacity - 1).bit_length() if transpositions else 1
    last = {"slots": (slots,), "size": (), "root_state": (state_size,)}
    last |= dict.fromkeys(PER_EDGE, (capacity, num_actions)) | dict.fromkeys(PER_NODE, (capacity,))
    last |= dict.fromkeys(RAVE_EDGE, (capacity, num_actions) if rave else (1, 1))
    arrays = {name: np.empty((games, *last[name]), _DTYPES[name]) for name in Tree._fields}
    arrays["slots"][:] = -1
    arrays["size"][:] = 0
    return Tree(**arrays)


@njit(TREE(*[kind for _, kind in FIELDS]), cache=True)
def link_tree(
    children, edge_visits, edge_value, prior, logits, amaf_visits, amaf_value, heuristic_visits, heuristic_value,
    visits, value_sum, raw_value, lower, upper, bounded, to_move, status, ply, key, slots, size, root_state,
):  # fmt: skip
    """The handle of trees for compiled code: `link_tree(*tree)`."""
    tree = structref.new(TREE)
    tree.children, tree.edge_visits, tree.edge_value = children, edge_visits, edge_value
    tree.prior, tree.logits, tree.visits, tree.value_sum = prior, logits, visits, value_sum
    tree.amaf_visits, tree.amaf_value = amaf_visits, amaf_value
    tree.heuristic_visits, tree.heuristic_value = heuristic_visits, heuristic_value
    tree.raw_value, tree.lower, tree.upper, tree.bounded = raw_value, lower, upper, bounded
    tree.to_move, tree.status, tree.ply, tree.key = to_move, status, ply, key
    tree.slots, tree.size, tree.root_state = slots, size, root_state
    return tree


@njit
def make_node(tree, b, side, ply):
    """A new node of tree b with nothing known, or -1 where the tree is full."""
    node = tree.size[b]
    if node == tree.visits.shape[1]:
        return np.int32(-1)
    tree.size[b] = node + 1
    tree.children[b, node, :] = -1
    tree.edge_visits[b, node, :] = 0
    tree.edge_value[b, node, :] = 0.0
    if tree.amaf_visits.shape[2] == tree.children.shape[2]:
        tree.amaf_visits[b, node, :] = 0.0
        tree.amaf_value[b, node, :] = 0.0
        tree.heuristic_visits[b, node, :] = 0.0
        tree.heuristic_value[b, node, :] = 0.0
    tree.visits[b, node] = 1
    tree.value_sum[b, node] = 0.0
    tree.raw_value[b, node] = 0.0
    tree.lower[b, node] = -1.0
    tree.upper[b, node] = 1.0
    tree.bounded[b, node] = 0
    tree.to_move[b, node] = side
    tree.status[b, node] = NEW
    tree.ply[b, node] = ply
    return node


@njit
def close_node(tree, b, node, outcome):
    """The game is over at a node just made: its value is exact."""
    tree.status[b, node] = TERMINAL
    tree.raw_value[b, node] = tree.value_sum[b, node] = outcome
    tree.lower[b, node] = tree.upper[b, node] = outcome
    tree.prior[b, node, :] = -1.0
    tree.logits[b, node, :] = -np.inf


@njit
def open_node(tree, b, node, legal, logits, value):
    """Stores an evaluation at a node: logits [A] are masked by legal [A] and normalised. False if any is not finite."""
    prior, log_prior = tree.prior[b, node], tree.logits[b, node]
    highest = -np.inf
    for a in range(len(legal)):
        if legal[a]:
            if not np.isfinite(logits[a]):
                return False
            highest = max(highest, logits[a])
    total = 0.0
    for a in range(len(legal)):
        if legal[a]:
            prior[a] = np.exp(logits[a] - highest)
            total += prior[a]
    log_total = np.log(total)
    for a in range(len(legal)):
        if legal[a]:
            prior[a] /= total
            log_prior[a] = logits[a] - highest - log_total
        else:
            prior[a] = -1.0
            log_prior[a] = -np.inf
    tree.status[b, node] = OPEN
    tree.raw_value[b, node] = value
    tree.value_sum[b, node] += value
    return True


@njit
def refresh(tree, b, node):
    """Recomputes a node's sums from its children's means: with transpositions a child also learns by other ways."""
    edge_visits, edge_value, children = tree.edge_visits[b, node], tree.edge_value[b, node], tree.children[b, node]
    value_sum, visits, side = tree.raw_value[b, node], 1, tree.to_move[b, node]
    for a in range(len(children)):
        if edge_visits[a] > 0:
            child = children[a]
            if child >= 0 and tree.status[b, child] >= OPEN:
                mean = tree.value_sum[b, child] / tree.visits[b, child]
                edge_value[a] = edge_visits[a] * (mean if tree.to_move[b, child] == side else -mean)
            value_sum += edge_value[a]
            visits += edge_visits[a]
    tree.value_sum[b, node] = value_sum
    tree.visits[b, node] = visits


@njit
def back_up(tree, b, nodes, actions, length, value, side, virtual_loss, transpositions):
    """Adds a value in the view of `side` to every edge of a path, and takes the virtual loss off again."""
    for i in range(length - 1, -1, -1):
        node = nodes[i]
        gain = (value if tree.to_move[b, node] == side else -value) + virtual_loss
        tree.edge_value[b, node, actions[i]] += gain
        tree.value_sum[b, node] += gain
        if transpositions:
            refresh(tree, b, node)


@njit
def take_back(tree, b, nodes, actions, length, virtual_loss, transpositions):
    """Undoes a descent that met a leaf already in flight."""
    for i in range(length - 1, -1, -1):
        node = nodes[i]
        tree.edge_visits[b, node, actions[i]] -= 1
        tree.visits[b, node] -= 1
        tree.edge_value[b, node, actions[i]] += virtual_loss
        tree.value_sum[b, node] += virtual_loss
        if transpositions:
            refresh(tree, b, node)


@njit(inline="always")
def child_bounds(tree, b, child, side):
    """Bounds of a child (-1: none made yet) in the view of `side`."""
    if child < 0:
        return -1.0, 1.0
    if tree.to_move[b, child] == side:
        return tree.lower[b, child], tree.upper[b, child]
    return -tree.upper[b, child], -tree.lower[b, child]


@njit
def prove(tree, b, nodes, length):
    """Carries bounds from the end of a path towards the root (score bounded search, Cazenave and Saffidine 2010).

    The mover has at least the best of its actions' lower bounds and at most the best of their upper bounds.
    """
    for i in range(length - 1, -1, -1):
        node = nodes[i]
        tree.bounded[b, node] = 1
        lower = upper = -1.0
        for a in range(tree.prior.shape[2]):
            if tree.prior[b, node, a] >= 0.0:
                low, high = child_bounds(tree, b, tree.children[b, node, a], tree.to_move[b, node])
                lower, upper = max(lower, low), max(upper, high)
        if lower == tree.lower[b, node] and upper == tree.upper[b, node]:
            return
        tree.lower[b, node], tree.upper[b, node] = lower, upper


@njit
def _slot(key, ply, mask):
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(ply)
    return np.int64((mixed ^ (mixed >> np.uint64(29))) & np.uint64(mask))


@njit
def find(tree, b, key, ply, side):
    """The node with this key at this ply, or -1. Equal plies only: so the graph has no cycle, whatever the key."""
    slots = tree.slots[b]
    mask = len(slots) - 1
    slot = _slot(key, ply, mask)
    while slots[slot] >= 0:
        node = slots[slot]
        if tree.key[b, node] == key and tree.ply[b, node] == ply and tree.to_move[b, node] == side:
            return node
        slot = (slot + 1) & mask
    return np.int32(-1)


@njit
def remember(tree, b, node, key):
    """Enters a node into the table of keys."""
    slots = tree.slots[b]
    mask = len(slots) - 1
    slot = _slot(key, tree.ply[b, node], mask)
    while slots[slot] >= 0:
        slot = (slot + 1) & mask
    slots[slot] = node
    tree.key[b, node] = key


@njit
def _move_row(tree, b, old, new):
    tree.children[b, new, :] = tree.children[b, old]
    tree.edge_visits[b, new, :] = tree.edge_visits[b, old]
    tree.edge_value[b, new, :] = tree.edge_value[b, old]
    tree.prior[b, new, :] = tree.prior[b, old]
    tree.logits[b, new, :] = tree.logits[b, old]
    if tree.amaf_visits.shape[2] == tree.children.shape[2]:
        tree.amaf_visits[b, new, :] = tree.amaf_visits[b, old]
        tree.amaf_value[b, new, :] = tree.amaf_value[b, old]
        tree.heuristic_visits[b, new, :] = tree.heuristic_visits[b, old]
        tree.heuristic_value[b, new, :] = tree.heuristic_value[b, old]
    tree.visits[b, new] = tree.visits[b, old]
    tree.value_sum[b, new] = tree.value_sum[b, old]
    tree.raw_value[b, new] = tree.raw_value[b, old]
    tree.lower[b, new], tree.upper[b, new] = tree.lower[b, old], tree.upper[b, old]
    tree.bounded[b, new], tree.to_move[b, new] = tree.bounded[b, old], tree.to_move[b, old]
    tree.status[b, new], tree.ply[b, new] = tree.status[b, old], tree.ply[b, old]
    tree.key[b, new] = tree.key[b, old]


@njit(types.boolean(TREE, types.int64, types.int64, types.boolean), cache=True, nogil=True)
def reroot(tree, b, action, transpositions):
    """Makes the node behind a root action the new root, keeping what hangs below it. False if there is none.

    Nodes keep their order, so every one moves to the same or a smaller index and rows are moved in place.
    """
    first = np.int64(tree.children[b, 0, action]) if tree.size[b] > 0 else -1
    if first < 0 or tree.status[b, first] < OPEN:
        tree.size[b] = 0
        tree.slots[b, :] = -1
        return False
    size, actions = tree.size[b], tree.children.shape[2]
    place = np.full(size, -1, np.int32)  # first a mark of what is kept, then the new index
    stack = np.empty(size, np.int32)
    stack[0], place[first], depth = first, 0, 1
    while depth > 0:
        depth -= 1
        node = stack[depth]
        for a in range(actions):
            child = tree.children[b, node, a]
            if child >= 0 and place[child] < 0:
                place[child] = 0
                stack[depth] = child
                depth += 1
    # The new root goes to row 0, the others to 1, 2, ... in their order. The old root in row 0 is never kept, so no
    # row moves to a larger index and none is overwritten before it has moved (a transposition may well reach nodes
    # older than the new root).
    _move_row(tree, b, first, 0)
    kept = 1
    for node in range(size):
        if place[node] >= 0 and node != first:
            place[node] = kept
            kept += 1
    for node in range(size):
        if place[node] > 0:
            _move_row(tree, b, node, place[node])
    tree.size[b] = kept
    for node in range(kept):
        for a in range(actions):
            if tree.children[b, node, a] >= 0:
                tree.children[b, node, a] = place[tree.children[b, node, a]]
    if transpositions:
        tree.slots[b, :] = -1
        for node in range(1, kept):
            remember(tree, b, node, tree.key[b, node])
    return True
