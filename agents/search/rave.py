"""RAVE: Monte-Carlo tree search that also learns from moves played later in the same playout.

All-moves-as-first (AMAF): a playout's result also counts, at every node of the descent, for the actions that the side
to move there played anywhere below, if it was the first to play there. Such counts come fast but are biased, so they
fade as the real visits grow (Gelly and Silver 2011, with the weight of P. Baudis' Michi):

    score = beta * amaf mean + (1 - beta) * mean,   beta = m / (m + n + n m / equivalence)

with m AMAF counts and n visits. n and the mean include the game's heuristic knowledge of the action, as so many visits
of so much value; an action without any has mean 0. By default there is no exploration term: the changing AMAF values
explore.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from agents.search.tree import child_bounds


@dataclass(frozen=True)
class Rave:
    """How RAVE searches; for evaluators without a network."""

    equivalence: float = 3500.0  # visits at which AMAF still has half of the weight, if it has counts in plenty
    expand_after: int = 2  # visits of an action before its child becomes a node
    exploration: float = 0.0  # constant of an additional PUCT term with uniform prior
    prove: bool = True  # carry exact results up the tree; a solved root ends the search
    transpositions: bool = False  # share nodes of equal key and ply: only where the key tells the whole future
    reuse: bool = True  # keep the played move's subtree

    def __post_init__(self):
        if not self.equivalence > 0:
            raise ValueError(f"equivalence is {self.equivalence}; it must be more than 0")
        if self.expand_after < 1:
            raise ValueError(f"expand_after is {self.expand_after}; it must be 1 or more")


@njit
def select(tree, b, node, equivalence, exploration):
    """The action to descend into at an open, unsolved node."""
    edge_visits, edge_value, prior = tree.edge_visits[b, node], tree.edge_value[b, node], tree.prior[b, node]
    amaf_visits, amaf_value = tree.amaf_visits[b, node], tree.amaf_value[b, node]
    heuristic_visits, heuristic_value = tree.heuristic_visits[b, node], tree.heuristic_value[b, node]
    bounded, side, floor = tree.bounded[b, node], tree.to_move[b, node], tree.lower[b, node]
    explore = exploration * np.sqrt(np.float64(tree.visits[b, node]))
    best, best_score = -1, -np.inf
    for a in range(len(prior)):
        if prior[a] < 0.0:  # illegal
            continue
        n, m = edge_visits[a] + heuristic_visits[a], amaf_visits[a]
        score = (edge_value[a] + heuristic_value[a]) / n if n > 0.0 else 0.0
        if m > 0.0:
            beta = m / (m + n + n * m / equivalence)
            score = beta * amaf_value[a] / m + (1.0 - beta) * score
        if exploration > 0.0:
            score += explore * prior[a] / (1.0 + n)
        if bounded:
            low, high = child_bounds(tree, b, tree.children[b, node, a], side)
            if high <= floor:
                continue
            if low == high:
                score = low
        if score > best_score:
            best, best_score = a, score
    if best < 0:  # a transposition has solved this node by another way: any end of it will tell
        best = np.argmax(prior)
    return best


@njit
def leave_out(tree, b, node):
    """Treats the actions that the heuristic gave -1 visits as illegal, unless nothing else is legal."""
    visits, prior, others = tree.heuristic_visits[b, node], tree.prior[b, node], 0
    for a in range(len(visits)):
        others += visits[a] >= 0.0 and prior[a] >= 0.0
    for a in range(len(visits)):
        if visits[a] < 0.0:
            visits[a] = tree.heuristic_value[b, node, a] = 0.0
            if others > 0:
                prior[a], tree.logits[b, node, a] = -1.0, -np.inf


@njit
def learn(tree, b, node, first, value, side):
    """Counts a result, in the view of `side`, for what the side to move at a node played first: first [A] holds
    1 + side for every action that was played below the root, 0 elsewhere."""
    amaf_visits, amaf_value, mark = tree.amaf_visits[b, node], tree.amaf_value[b, node], 1 + tree.to_move[b, node]
    gain = value if tree.to_move[b, node] == side else -value
    for a in range(len(first)):
        if first[a] == mark:
            amaf_visits[a] += 1.0
            amaf_value[a] += gain
