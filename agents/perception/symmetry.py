"""Symmetries of boards as tables of points and actions: a picture of the same position, turned or mirrored."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Symmetries(NamedTuple):
    """G pictures of a board; the first is the board itself.

    Plane p of the game is `p.ravel()[points[g]]` in picture g, and what is known of its actions [A] is
    `known[actions[g]]`; action i of the picture is the game's action `actions[g, i]`.
    """

    points: np.ndarray  # int64 [G, H * W]
    actions: np.ndarray  # int64 [G, A]


def tables(kind: str, height: int, width: int, num_actions: int) -> Symmetries:
    """The symmetries of a kind: "square" (turned and mirrored), "mirror" (left and right) or "" (none).

    An action is a point (row * width + column), and behind the points the pass where there is one; or a column.
    Raises ValueError where the board or its actions do not fit the kind.
    """
    board = np.arange(height * width).reshape(height, width)
    if kind == "square":
        pictures = [np.rot90(side, turns) for side in (board, board[:, ::-1]) for turns in range(4)]
    elif kind == "mirror":
        pictures = [board, board[:, ::-1]]
    elif kind == "":
        pictures = [board]
    else:
        raise ValueError(f"a board has no symmetry {kind!r}; it is square, mirror or none")
    if kind == "square" and height != width:
        raise ValueError(f"a board of {height}x{width} is not square")
    points = np.stack([picture.ravel() for picture in pictures])
    if num_actions in (points.shape[1], points.shape[1] + 1):
        rest = np.arange(points.shape[1], num_actions)
        actions = np.stack([np.concatenate([row, rest]) for row in points])
    elif num_actions == width and kind in ("mirror", ""):
        columns = np.arange(width)
        actions = np.stack([columns, columns[::-1]])[: len(pictures)]
    elif kind == "":
        actions = np.arange(num_actions)[None]
    else:
        raise ValueError(f"{num_actions} actions are neither the points of {height}x{width} nor its columns")
    return Symmetries(points, actions)
