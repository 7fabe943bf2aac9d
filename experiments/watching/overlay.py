"""Pictures of what an agent sees and of what drives its choice. numpy and Pillow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

HEAT = np.array([255, 64, 32], np.float32)  # colour of the pixels that drive the choice
SIDE = 84  # smallest side of one frame of the stack, in px


def blend(
    picture: np.ndarray, heat: np.ndarray, box: tuple[float, float, float, float] | None = None, strength: float = 0.75
) -> np.ndarray:
    """Lays a heat map [h, w] in 0..1 over a picture uint8 [H, W, 3].

    box: the part of the picture that the map belongs to (px from the left, from the top, wide, high); None: all of it.
    """
    left, top, width, height = (0, 0, *picture.shape[1::-1]) if box is None else map(round, box)
    stretched = Image.fromarray(np.asarray(heat, np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    out = picture.copy()
    part = out[top : top + height, left : left + width]
    weight = strength * np.asarray(stretched).clip(0, 1)[: part.shape[0], : part.shape[1], None]
    part[:] = (part * (1 - weight) + HEAT * weight).astype(np.uint8)
    return out


def inset(picture: np.ndarray, small: np.ndarray) -> np.ndarray:
    """`small` in the lower left corner of a picture, by a whole factor up to a third of its width, in a dark frame."""
    factor = max(1, picture.shape[1] // 3 // small.shape[1])
    large = np.pad(small.repeat(factor, 0).repeat(factor, 1), ((3, 0), (0, 3), (0, 0)), constant_values=20)
    large = large[-picture.shape[0] :, : picture.shape[1]]
    out = picture.copy()
    out[-large.shape[0] :, : large.shape[1]] = large
    return out


def on_board(picture: np.ndarray, values: np.ndarray, box: tuple[float, float, float], signed: bool) -> np.ndarray:
    """Marks the points of a board with squares that are the larger the larger `values` [rows, columns] are.

    box: (px of the first line from the left, from the top, px between lines). signed: +1 is Black's, -1 White's.
    """
    left, top, gap = box
    out, largest = picture.copy(), float(np.abs(values).max()) or 1.0
    for (row, column), value in np.ndenumerate(values):
        share = abs(float(value)) / (1.0 if signed else largest)
        if share < 0.02:
            continue
        reach = gap * 0.42 * min(1.0, share) ** 0.5
        x, y = left + column * gap, top + row * gap
        part = out[max(0, round(y - reach)) : round(y + reach) + 1, max(0, round(x - reach)) : round(x + reach) + 1]
        colour = HEAT if not signed else np.float32([20, 20, 24] if value > 0 else [250, 250, 250])
        part[:] = (part * 0.35 + colour * 0.65).astype(np.uint8)
    return out


def stack_picture(obs: np.ndarray, heat: np.ndarray | None = None) -> np.ndarray | None:
    """What a network is given, [stack, *frame]: pictures side by side, the newest on the right; None for vectors.

    heat: what drives the choice, [h, w], to be laid over the newest.
    Planes of numbers (a board) become small pictures from dark (0) to bright (1), negative ones in red.
    """
    if obs.dtype == np.uint8 and obs.ndim in (3, 4):
        frames = [coloured(frame) for frame in obs]
        if heat is not None:
            frames[-1] = blend(frames[-1], heat)
        return tile(frames, len(obs), gap=2)
    if obs.ndim == 4:  # [1, C, H, W] float
        planes = obs[-1][:32]
        scale = np.abs(planes).max((1, 2), keepdims=True).clip(1e-6)
        bright = (planes / np.maximum(scale, 1) * 255).astype(np.float32)
        red, rest = np.abs(bright), bright.clip(0)
        pictures = np.stack([red, rest, rest], -1).clip(0, 255).astype(np.uint8)
        factor = max(1, 48 // pictures.shape[1])
        return tile([p.repeat(factor, 0).repeat(factor, 1) for p in pictures], 8, gap=2)
    return None


def coloured(frame: np.ndarray) -> np.ndarray:
    """One frame [H, W], [H, W, 1] or [H, W, C] as a picture [H, W, 3]; small ones are enlarged by a whole factor."""
    if frame.ndim == 2:
        frame = frame[..., None]
    if frame.shape[2] == 1:
        frame = frame.repeat(3, 2)
    elif frame.shape[2] != 3:  # planes without colours: brightest plane
        frame = frame.max(2, keepdims=True).repeat(3, 2)
    factor = max(1, SIDE // max(frame.shape[:2]))
    return frame.repeat(factor, 0).repeat(factor, 1)


def tile(pictures: Sequence[np.ndarray], columns: int, gap: int = 4, ground: int = 24) -> np.ndarray:
    """Pictures of one size [H, W, 3] in rows of `columns`."""
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // columns)
    shape = (rows * (height + gap) - gap, min(columns, len(pictures)) * (width + gap) - gap, 3)
    out = np.full(shape, ground, np.uint8)
    for i, picture in enumerate(pictures):
        y, x = i // columns * (height + gap), i % columns * (width + gap)
        out[y : y + height, x : x + width] = picture
    return out
