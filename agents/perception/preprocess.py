"""Pictures for an agent: crop, grey, resize. numpy only; the one path for training and for driving.

Resizing is by area: each target pixel is the mean of the source pixels that it covers, parts of pixels in proportion.
"""

from __future__ import annotations

import functools

import numpy as np

LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def grey(picture: np.ndarray) -> np.ndarray:
    """[..., H, W, 3] uint8 -> [..., H, W] uint8, luminance rounded to the nearest."""
    return (picture.astype(np.float32) @ LUMINANCE + 0.5).astype(np.uint8)


def crop(picture: np.ndarray, top: int = 0, bottom: int = 0, left: int = 0, right: int = 0) -> np.ndarray:
    """Removes so many pixels from each side of [H, W, ...]. Raises ValueError where nothing is left."""
    height, width = picture.shape[:2]
    if min(top, bottom, left, right) < 0 or top + bottom >= height or left + right >= width:
        raise ValueError(f"cannot crop {top}, {bottom}, {left}, {right} from a picture of {height}x{width}")
    return picture[top : height - bottom, left : width - right]


def resize(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """[H, W] or [H, W, C] uint8 -> [height, width, ...] uint8 by area."""
    down, across = picture.shape[0] // height, picture.shape[1] // width
    if picture.shape[:2] == (down * height, across * width):  # whole pixels: whole numbers, many times faster
        total = np.full((height, width, *picture.shape[2:]), down * across // 2, np.uint32)
        for row in range(down):
            for column in range(across):
                total += picture[row::down, column::across]
        return (total // (down * across)).astype(np.uint8)
    rows, columns = _weights(picture.shape[0], height), _weights(picture.shape[1], width)
    flat = picture.reshape(picture.shape[0], -1).astype(np.float32)
    lower = (rows @ flat).reshape(height, picture.shape[1], -1)  # [height, W, C]
    small = np.einsum("wx,hxc->hwc", columns, lower, optimize=True)
    return (small + 0.5).astype(np.uint8).reshape(height, width, *picture.shape[2:])


def band(picture: np.ndarray, height: int, width: int, top: float = 0.0, bottom: float = 0.0) -> np.ndarray:
    """What a driver's network sees of a camera's picture [H, W, 3]: a band without its `top` and `bottom` fractions,
    resized to [height, width, 3]. A picture of that size already is the band, and stays as it is.

    Raises ValueError, with both sizes, where the band has another shape than the network's picture (by over 5 %) or is
    smaller: what was not seen cannot be made up.
    """
    if picture.shape[:2] == (height, width):
        return picture
    rows = picture.shape[0]
    cut = crop(picture, top=round(top * rows), bottom=round(bottom * rows))
    if not 0.95 < cut.shape[1] / cut.shape[0] / (width / height) < 1.05:
        raise ValueError(
            f"pictures of {picture.shape[1]}x{rows} do not fit a network that sees {width}x{height}: their band is"
            f" {cut.shape[1]}x{cut.shape[0]}"
        )
    if cut.shape[0] < height or cut.shape[1] < width:
        raise ValueError(
            f"pictures of {picture.shape[1]}x{rows} are too small for a network that sees {width}x{height}: their band"
            f" is {cut.shape[1]}x{cut.shape[0]}"
        )
    return resize(cut, height, width)


@functools.lru_cache(maxsize=64)
def _weights(source: int, target: int) -> np.ndarray:
    """[target, source] share of each source pixel in each target pixel; rows sum to 1."""
    edges = np.arange(target + 1, dtype=np.float64) * source / target
    begin, end = edges[:-1, None], edges[1:, None]
    pixel = np.arange(source)[None, :]
    overlap = np.clip(np.minimum(end, pixel + 1) - np.maximum(begin, pixel), 0, None)
    return (overlap / overlap.sum(1, keepdims=True)).astype(np.float32)
