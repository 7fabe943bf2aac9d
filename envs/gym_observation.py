"""How the observations of any Gymnasium environment are presented to an agent: uint8 pictures or float32 vectors.

Pictures have their channels last and bytes from 0 to 255, whatever the environment has; what is no picture becomes one
vector of numbers. Whatever is changed that a person would not expect is told in `note`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from agents.perception import preprocess
from envs.gym_check import GameFault, odd_one

COLOURS = (1, 3, 4)  # channels of grey, RGB and RGBA: a last axis of so many is one of channels
FLOAT32 = np.dtype(np.float32)
SMALLEST = 8  # smallest side of a picture, pixels: a float table with a smaller one is no picture
HINT = (
    "--wrapper gymnasium.wrappers:FlattenObservation makes one vector of it, a wrapper of its own package may choose"
    " a part (such as --wrapper minigrid.wrappers:ImgObsWrapper)"
)


class Reading(NamedTuple):
    """How observations of a space are read."""

    convert: Callable[[Any], np.ndarray]
    space: spaces.Box  # space of the converted observations: uint8 pictures or float32 vectors
    stack: int  # frames that an observation shall hold
    note: str = ""  # sentence that a person should know


def reading(space: spaces.Space, name: str, size: int, grey: bool, frame_stack: int) -> Reading:
    """size, grey, frame_stack: see envs.gym.GymOptions. Raises ValueError for a space that is not supported."""
    if isinstance(space, spaces.Discrete):
        start, n = int(space.start), int(space.n)
        return Reading(lambda value: _one_hot(value, start, n), spaces.Box(0, 1, (n,), np.float32), frame_stack or 1)
    if isinstance(space, spaces.MultiBinary) or (isinstance(space, spaces.Box) and len(space.shape) <= 1):
        return _numbers(space, frame_stack)
    if not isinstance(space, spaces.Box):
        raise ValueError(
            f"{name} observes {' '.join(str(space).split())}; supported are Box pictures, Box vectors, Discrete and"
            f" MultiBinary; {HINT}"
        )
    if _is_picture(space):
        return _pictures(space, name, size, grey, frame_stack)
    if space.dtype.kind == "f":
        note = f"{name} observes tables of {space.dtype}, shape {space.shape}: they are read as one vector"
        return _numbers(space, frame_stack, note)
    raise ValueError(
        f"{name} observes {space.dtype} of shape {space.shape} from {space.low.min()} to {space.high.max()}, which is"
        f" neither a picture nor a vector; supported are Box pictures (two or three axes, uint8, bool or with finite"
        f" bounds) and Box vectors; {HINT}"
    )


def _numbers(space: spaces.Space, frame_stack: int, note: str = "") -> Reading:
    n = int(np.prod(space.shape))

    def convert(value: Any) -> np.ndarray:
        if type(value) is np.ndarray and value.dtype is FLOAT32:  # the usual kind, which nothing happens to
            return value if value.ndim == 1 else value.reshape(n)
        with np.errstate(over="ignore"):  # values that do not fit become infinite, and are refused where rows are made
            return np.asarray(value, np.float32).reshape(n)

    return Reading(convert, spaces.Box(-np.inf, np.inf, (n,), np.float32), frame_stack or 1, note)


def _one_hot(value: int, start: int, n: int) -> np.ndarray:
    row = np.zeros(n, np.float32)
    row[value - start] = 1
    return row


def _is_picture(space: spaces.Box) -> bool:
    """Two or three axes of bytes, flags, or numbers between finite bounds that look like pixels."""
    if len(space.shape) not in (2, 3) or space.low.min() < 0 or not np.isfinite(space.high).all():
        return False
    if space.dtype.kind != "f":
        return space.dtype in (np.uint8, np.bool_) or space.high.max() <= 255
    shape = [n for n in space.shape if n not in COLOURS] or [0]
    return space.high.max() in (1.0, 255.0) and min(shape) >= SMALLEST


def channels_first(shape: tuple[int, ...]) -> bool:
    """Is the first axis the one of channels: the smallest, where the last one is none of channels?"""
    return len(shape) == 3 and shape[0] < min(shape[1:]) and shape[2] not in COLOURS


def _pictures(space: spaces.Box, name: str, size: int, grey: bool, frame_stack: int) -> Reading:
    first, high = channels_first(space.shape), float(space.high.max())
    shape = (*space.shape[1:], space.shape[0]) if first else space.shape
    large = min(shape[:2]) >= size
    notes = [f"the channels of its pictures {space.shape} come first: they are moved to the end"] if first else []
    if space.dtype.kind == "f" or (space.dtype != np.bool_ and high < 128):
        notes.append(f"its pictures of {space.dtype} from 0 to {high:g} are scaled to 0 to 255")
    to_bytes = _to_bytes(space.dtype, high, name)

    def convert(value: Any) -> np.ndarray:
        picture = to_bytes(np.asarray(value))
        if first:
            picture = np.moveaxis(picture, 0, 2)
        if large and grey and picture.ndim == 3 and picture.shape[2] == 3:
            picture = preprocess.grey(picture)
        return preprocess.resize(picture, size, size) if large else picture

    made = convert(np.zeros(space.shape, space.dtype)).shape
    stack = frame_stack or (4 if large else 1)
    note = f"{name}: {'; '.join(notes)}" if notes else ""
    return Reading(convert, spaces.Box(0, 255, made, np.uint8), stack, note)


def _to_bytes(dtype: np.dtype, high: float, name: str) -> Callable[[np.ndarray], np.ndarray]:
    """Values from 0 to `high` -> uint8 from 0 to 255. Planes of 0 and 1, or of few values, would be black otherwise."""
    if dtype == np.bool_:
        return lambda picture: picture.astype(np.uint8) * 255
    if dtype.kind == "f":
        return lambda picture: _rounded(picture, 255 / high, name)
    factor = int(255 // high) if 0 < high < 128 else 1
    if dtype == np.uint8 and factor == 1:
        return lambda picture: picture
    return lambda picture: (picture.clip(0, 255 // factor) * factor).astype(np.uint8)


def _rounded(picture: np.ndarray, factor: float, name: str) -> np.ndarray:
    bytes_ = picture * factor + 0.5
    if not np.isfinite(bytes_).all():  # a byte cannot say so
        raise GameFault(f"{name}: the observation is a picture with a number that is not finite: {odd_one(bytes_)}")
    return bytes_.clip(0, 255).astype(np.uint8)
