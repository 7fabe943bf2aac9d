"""PUCT: the search of AlphaZero (Silver et al. 2018), with first play urgency and bounds.

At a node with N descents through its actions, of which n took action a of prior P and brought the mean value Q:

    argmax_a  Q + c P sqrt(N) / (1 + n),   c = c_init + log((N + c_base + 1) / c_base)

First play urgency: an action never tried counts as the node's mean so far minus
`fpu_reduction * sqrt(sum of the priors of the tried actions)` (Leela Zero's and KataGo's rule), not below -1. The mean
is in the same view as Q, that of the side to move at the node. Ties go to the smallest action.

Transpositions: nodes of equal key and ply are one node, whose value its parents read (a graph, as in KataGo). Sound
only where the rules' key tells the whole future: exact for tic-tac-toe, Connect Four and Go under simple ko; under
superko now and then a ban is missed or kept, so a move that is illegal on the path at hand may be looked at.

Bounds: where an action's child is solved its exact value replaces Q, and an action that provably cannot beat another
one's proven value is not descended into.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit, types

from agents.search.tree import TREE, child_bounds


@dataclass(frozen=True)
class Puct:
    """How PUCT searches."""

    c_init: float = 1.25  # exploration constant; values lie in [-1, 1]
    c_base: float = 19652.0  # visits at which exploration has visibly grown
    fpu_reduction: float = 0.2  # first play urgency: how far an untried action stands below its node's mean
    noise_fraction: float = 0.0  # share of Dirichlet noise in the root's prior; 0.25 in self-play, 0 in matches
    noise_alpha: float = 0.3  # Dirichlet parameter; about 10 / (typical number of legal moves)
    virtual_loss: float = 1.0  # value that a descent in flight takes from its edges; used where leaves > 1
    prove: bool = True  # carry exact results up the tree; a solved root ends the search
    transpositions: bool = False  # share nodes of equal key and ply: only where the key tells the whole future
    reuse: bool = True  # keep the played move's subtree

    def __post_init__(self):
        for name in ("c_init", "fpu_reduction", "virtual_loss"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 0 or more")
        for name in ("c_base", "noise_alpha"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be more than 0")
        if not 0 <= self.noise_fraction <= 1:
            raise ValueError(f"noise_fraction is {self.noise_fraction}; it must lie in 0..1")


@njit
def select(tree, b, node, prior, c_init, c_base, fpu_reduction):
    """The action to descend into at an open, unsolved node. prior [A]: the node's, or the root's with noise."""
    edge_visits, edge_value = tree.edge_visits[b, node], tree.edge_value[b, node]
    total, tried = tree.visits[b, node] - 1, 0.0
    for a in range(len(prior)):
        if edge_visits[a] > 0:
            tried += prior[a]
    mean = tree.value_sum[b, node] / tree.visits[b, node]
    first_play = max(-1.0, mean - fpu_reduction * math.sqrt(tried))
    # With no descent yet sqrt(N) is 0 and would make all actions equal: 1 lets the prior decide.
    explore = (c_init + math.log((total + c_base + 1.0) / c_base)) * math.sqrt(max(total, 1))
    bounded, side, floor = tree.bounded[b, node], tree.to_move[b, node], tree.lower[b, node]
    best, best_score = -1, -np.inf
    for a in range(len(prior)):
        if prior[a] < 0.0:  # illegal
            continue
        n = edge_visits[a]
        q = edge_value[a] / n if n > 0 else first_play
        if bounded:
            low, high = child_bounds(tree, b, tree.children[b, node, a], side)
            if high <= floor:
                continue
            if low == high:
                q = low
        score = q + explore * prior[a] / (1 + n)
        if score > best_score:
            best, best_score = a, score
    if best < 0:  # a transposition has solved this node by another way: any end of it will tell
        best = np.argmax(prior)
    return best


@njit(types.int64(TREE, types.int64), cache=True)
def decide(tree, b):
    """The root action to play: most visits among those not proven worse.

    Ties: higher mean, higher prior, smaller action. A root that is searched no further plays its policy.
    """
    side, floor = tree.to_move[b, 0], tree.lower[b, 0]
    solved = floor == tree.upper[b, 0]
    best, best_visits, best_mean, best_prior = -1, -1, -np.inf, -np.inf
    for a in range(tree.prior.shape[2]):
        if tree.prior[b, 0, a] < 0.0:
            continue
        low, high = child_bounds(tree, b, tree.children[b, 0, a], side)
        # A solved root: an action that attains its value. Otherwise every action that may still be the best one.
        if (solved and low < floor) or (not solved and high <= floor):
            continue
        n, prior = tree.edge_visits[b, 0, a], tree.prior[b, 0, a]
        mean = tree.edge_value[b, 0, a] / n if n > 0 else -np.inf
        better = mean > best_mean or (mean == best_mean and prior > best_prior)
        if n > best_visits or (n == best_visits and better):
            best, best_visits, best_mean, best_prior = a, n, mean, prior
    return best
