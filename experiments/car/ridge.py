"""Linear heads in closed form, for few frames: ridge regression on standardised features, numpy alone.

The penalty is the one of STRENGTHS with the least mean error where every frame is left out in turn, with all copies of
it that augmentation has made: they would give each other's answers away. What is left out is told from one
decomposition (the leave-one-out formula for blocks; Hastie et al., Elements of Statistical Learning, 7.10).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # penalties, in shares of the mean square of a standardised feature


class RidgeHead(NamedTuple):
    """Answers = (features - mean) / scale @ weights + bias."""

    mean: np.ndarray  # float64 [F]
    scale: np.ndarray  # float64 [F]
    weights: np.ndarray  # float64 [F, D]
    bias: np.ndarray  # float64 [D]
    strength: np.ndarray  # float64 [D], the penalty that was chosen for each answer

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """[N, F] -> [N, D]."""
        return (features - self.mean) / self.scale @ self.weights + self.bias


def fitted(
    features: np.ndarray, answers: np.ndarray, frame: np.ndarray, emphasis: np.ndarray | float = 1.0
) -> RidgeHead:  # fmt: skip
    """The head for features [N, F] and answers [N, D]. frame: int [N], from which frame a row was made.

    emphasis: [F], by how much a feature is larger than the others once all are standardised: the penalty on its
    weight is that much smaller, squared.
    """
    x, y = features.astype(np.float64), answers.astype(np.float64)
    mean, deviation = x.mean(0), x.std(0)
    scale = (deviation + 1e-3 * deviation.mean() + 1e-12) / emphasis  # a feature that never changes stays small
    z, bias = (x - mean) / scale, y.mean(0)
    values, vectors = np.linalg.eigh(z @ z.T / z.shape[1])
    groups = [np.flatnonzero(frame == one) for one in np.unique(frame)]
    best: list[tuple[float, float, np.ndarray]] = [(np.inf, 0.0, np.empty(0))] * y.shape[1]
    for strength in STRENGTHS:
        inverse = vectors / (np.maximum(values, 0.0) + strength) @ vectors.T
        dual = inverse @ (y - bias)  # [N, D]
        left_out = np.zeros(y.shape[1])
        for rows in groups:
            left_out += np.abs(np.linalg.solve(inverse[np.ix_(rows, rows)], dual[rows])).mean(0) / len(groups)
        best = [
            min(one, (float(left_out[d]), strength, dual[:, d]), key=lambda found: found[0])
            for d, one in enumerate(best)
        ]
    weights = z.T @ np.stack([dual for _, _, dual in best], 1) / z.shape[1]
    return RidgeHead(mean, scale, weights, bias, np.array([strength for _, strength, _ in best]))
