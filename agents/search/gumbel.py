"""Gumbel AlphaZero search (Danihelka, Guez, Schrittwieser and Silver 2022), number for number as in DeepMind's mctx.

Root: Gumbel noise g plus logits picks `max_considered` actions without replacement, and sequential halving spreads
the simulations over them. Elsewhere the choice is deterministic: argmax pi' - n / (1 + N), where pi' is the improved
policy softmax(logits + sigma(q)). The root's pi' is the training target.

sigma(q) = (c_visit + max n) * c_scale * q, with q completed and rescaled: an action never tried gets the mixed value
(the node's own evaluation and the tried actions' mean, weighted as in the paper's appendix D), and the whole row is
mapped linearly onto [0, 1]. As in mctx an illegal action takes part in the row as one never tried.

With `prove` (not in mctx) a solved child's exact value is its q, and below the root an action that provably cannot
beat another one's proven value is not descended into.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
from numba import njit, types

from agents.search.tree import TREE, child_bounds

LOW_LOGIT = -1e9  # least logit: an action of negligible logit stays above one that is not considered


@dataclass(frozen=True)
class Gumbel:
    """How Gumbel search searches."""

    max_considered: int = 16  # actions tried at the root
    c_visit: float = 50.0  # `maxvisit_init` of mctx
    c_scale: float = 0.1  # `value_scale` of mctx
    least_spread: float = 1e-8  # smallest range of q that is stretched to [0, 1]; mctx's: any. Above, noise stays small
    noise_scale: float = 1.0  # scale of the root's Gumbel noise; 0 in matches: the best move, no exploration
    virtual_loss: float = 1.0  # value that a descent in flight takes from its edges; used where leaves > 1
    prove: bool = False  # carry exact results up the tree; off, so that visits and targets are the paper's
    transpositions: bool = False  # share nodes of equal key and ply: only where the key tells the whole future
    reuse: bool = False  # keep the played move's subtree; halving then counts the new visits only

    def __post_init__(self):
        if self.max_considered < 1:
            raise ValueError(f"max_considered is {self.max_considered}; it must be 1 or more")
        for name in ("c_visit", "c_scale", "least_spread", "noise_scale", "virtual_loss"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 0 or more")


def considered_visits(considered: int, simulations: int) -> list[int]:
    """Sequential halving as a list: simulation i goes to an action that has exactly this many visits.

    Each of the ceil(log2(considered)) phases gives every survivor the same number of visits, at least one.
    """
    if considered <= 1:
        return list(range(simulations))
    phases = math.ceil(math.log2(considered))
    visits, sequence, survivors = [0] * considered, [], considered
    while len(sequence) < simulations:
        for _ in range(max(1, int(simulations / (phases * survivors)))):
            sequence.extend(visits[:survivors])
            visits[:survivors] = [n + 1 for n in visits[:survivors]]
        survivors = max(2, survivors // 2)
    return sequence[:simulations]


@functools.lru_cache(maxsize=16)
def schedules(max_considered: int, simulations: tuple[int, ...]) -> np.ndarray:
    """`considered_visits` for several budgets and 0..max_considered actions, int32 [budgets, max_considered + 1, n]."""
    table = np.zeros((len(simulations), max_considered + 1, max(simulations)), np.int32)
    for i, budget in enumerate(simulations):
        for m in range(max_considered + 1):
            table[i, m, :budget] = considered_visits(m, budget)
    return table


@njit
def scaled_q(tree, b, node, c_visit, c_scale, least_spread, out):
    """sigma(completed q) of every action of a node into out [A], in the view of the side to move there."""
    edge_visits, edge_value, logits = tree.edge_visits[b, node], tree.edge_value[b, node], tree.logits[b, node]
    total, most, prior_sum, weighted = 0, 0, 0.0, 0.0
    for a in range(len(out)):
        n = edge_visits[a]
        if n > 0:
            total += n
            most = max(most, n)
            prior = max(math.exp(logits[a]), 1.1754944e-38)  # the smallest normal float32, as in mctx
            prior_sum += prior
            weighted += prior * edge_value[a] / n
    mixed = tree.raw_value[b, node]
    if total > 0:
        mixed = (mixed + total * weighted / prior_sum) / (total + 1)
    low, high = np.inf, -np.inf
    for a in range(len(out)):
        out[a] = edge_value[a] / edge_visits[a] if edge_visits[a] > 0 else mixed
        if tree.bounded[b, node]:
            lower, upper = child_bounds(tree, b, tree.children[b, node, a], tree.to_move[b, node])
            out[a] = lower if lower == upper else out[a]
        low, high = min(low, out[a]), max(high, out[a])
    scale = (c_visit + most) * c_scale / max(high - low, least_spread, 1e-8)
    for a in range(len(out)):
        out[a] = (out[a] - low) * scale


@njit
def improve(logits, scaled, out):
    """softmax(logits + scaled) into out [A]; 0 where logits are -inf (illegal)."""
    highest, total = -np.inf, 0.0
    for a in range(len(out)):
        highest = max(highest, logits[a] + scaled[a])
    for a in range(len(out)):
        out[a] = math.exp(logits[a] + scaled[a] - highest)
        total += out[a]
    for a in range(len(out)):
        out[a] /= total


@njit
def select(tree, b, node, c_visit, c_scale, least_spread, scaled, policy):
    """The action to descend into below the root; scaled and policy [A] are scratch."""
    scaled_q(tree, b, node, c_visit, c_scale, least_spread, scaled)
    logits, edge_visits = tree.logits[b, node], tree.edge_visits[b, node]
    improve(logits, scaled, policy)
    best, best_score, any_legal = -1, -np.inf, -1
    for a in range(len(policy)):
        if logits[a] == -np.inf:
            continue
        any_legal = a
        if tree.bounded[b, node]:
            upper = child_bounds(tree, b, tree.children[b, node, a], tree.to_move[b, node])[1]
            if upper <= tree.lower[b, node]:
                continue
        score = policy[a] - edge_visits[a] / tree.visits[b, node]  # visits = 1 + sum(edge_visits)
        if score > best_score:
            best, best_score = a, score
    return best if best >= 0 else any_legal  # none: a transposition has solved this node by another way


@njit
def select_considered(tree, b, noise, baseline, wanted, c_visit, c_scale, least_spread, scaled):
    """The root's action of the highest noise + logits + sigma(q) among those with `wanted` visits since the start.

    noise [A]: Gumbel draws; baseline [A]: visits that the root had when this search began.
    """
    scaled_q(tree, b, 0, c_visit, c_scale, least_spread, scaled)
    logits, highest = tree.logits[b, 0], tree.logits[b, 0].max()
    best, best_score = -1, -np.inf
    for a in range(len(scaled)):
        if logits[a] > -np.inf and tree.edge_visits[b, 0, a] - baseline[a] == wanted:
            score = max(LOW_LOGIT, noise[a] + logits[a] - highest + scaled[a])
            if score > best_score:
                best, best_score = a, score
    return best


@njit
def select_root(tree, b, noise, baseline, schedule, c_visit, c_scale, least_spread, scaled):
    """The root action of the next simulation under sequential halving (schedule: see above)."""
    simulation, legal = 0, 0
    for a in range(len(scaled)):
        simulation += tree.edge_visits[b, 0, a] - baseline[a]
        legal += tree.logits[b, 0, a] > -np.inf
    wanted = schedule[min(legal, schedule.shape[0] - 1), min(simulation, schedule.shape[1] - 1)]
    return select_considered(tree, b, noise, baseline, wanted, c_visit, c_scale, least_spread, scaled)


@njit(
    types.int64(
        TREE, types.int64, types.float64[::1], types.int32[::1], types.float64, types.float64, types.float64,
        types.float32[::1],
    ),
    cache=True,
)
def conclude(tree, b, noise, baseline, c_visit, c_scale, least_spread, target):
    """Writes the root's improved policy into target [A] and returns the action to play."""
    scaled, policy = np.empty(len(target)), np.empty(len(target))
    scaled_q(tree, b, 0, c_visit, c_scale, least_spread, scaled)
    improve(tree.logits[b, 0], scaled, policy)
    target[:] = policy
    most = 0
    for a in range(len(target)):
        most = max(most, tree.edge_visits[b, 0, a] - baseline[a])
    return select_considered(tree, b, noise, baseline, most, c_visit, c_scale, least_spread, scaled)
