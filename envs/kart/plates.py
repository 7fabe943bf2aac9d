"""Traffic signs as sprites: flat plates on a post that face who comes. Nothing is loaded from a file."""

from __future__ import annotations

import numpy as np

PLATES = ("stop sign", "give way sign")
SPAN = 2.4  # width and height of the square that the picture covers, m
MIDDLE, RADIUS = 1.42, 0.74  # height of a plate's middle, and half its height, m
RED, WHITE, POST = (196, 22, 30), (246, 246, 244), (120, 124, 130)
FINE = 4  # samples per side of a pixel
LETTERS = ("111 111 111 111", "100 010 101 101", "111 010 101 111", "001 010 101 100", "111 010 111 100")  # STOP


def pictures(size: int, foot: float) -> dict[str, np.ndarray]:
    """Name -> premultiplied RGBA, float32 [size, size, 4]; foot: height of the ground, as a share of the picture."""
    at = (np.arange(size * FINE) + 0.5) / (size * FINE)
    across, height = np.meshgrid((at - 0.5) * SPAN, (1.0 - at - foot) * SPAN)
    x, y = across / RADIUS, (height - MIDDLE) / RADIUS  # a plate reaches from -1 to 1
    post = (np.abs(across) < 0.05) & (height > 0.0) & (height < MIDDLE)
    return {name: _sampled(post, *plate) for name, plate in zip(PLATES, (_stop(x, y), _give_way(x, y)), strict=True)}


def _stop(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A red octagon with a white edge and white letters: where it is, and where it is white."""
    away = np.maximum(np.maximum(abs(x), abs(y)), (abs(x) + abs(y)) * np.sqrt(0.5))
    rows, columns = len(LETTERS), len(LETTERS[0])
    wide, high = 1.3, 0.5
    row = np.clip(((0.5 - y / high) * rows).astype(int), 0, rows - 1)
    column = np.clip(((x / wide + 0.5) * columns).astype(int), 0, columns - 1)
    letters = np.array([[sign == "1" for sign in line] for line in LETTERS])[row, column]
    return away < 1.0, (away > 0.92) | (letters & (abs(x) < wide / 2) & (abs(y) < high / 2))


def _give_way(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A white triangle that stands on its point, with a red edge: where it is, and where it is white."""
    inside = np.minimum(1.0 - y, (y + 1.0) * 0.5 - abs(x) * np.sqrt(0.75)) * 0.9  # distance from the edge
    return inside > 0.0, inside > 0.2


def _sampled(post: np.ndarray, plate: np.ndarray, white: np.ndarray) -> np.ndarray:
    fine = np.zeros((*plate.shape, 4), np.float32)
    fine[post], fine[plate], fine[plate & white] = (*POST, 255), (*RED, 255), (*WHITE, 255)
    size = len(plate) // FINE
    return fine.reshape(size, FINE, size, FINE, 4).mean(axis=(1, 3))
