"""What a game's render() gives -> pictures that windows, pages and videos take: uint8 [H, W, 3], all of one size."""

from __future__ import annotations

from typing import Any

import numpy as np

from envs.gym_check import GameFault, described


def as_picture(value: Any, name: str) -> np.ndarray:
    """uint8 [H, W, 3] of grey, float, RGBA and channels-first pictures too. Raises GameFault for what is no picture."""
    if isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.shape[2:] == (3,) and value.size:
        return value
    try:
        picture = np.asarray(value)
    except ValueError:
        picture = np.zeros(0)
    if picture.dtype.kind not in "fiub" or picture.ndim not in (2, 3) or 0 in picture.shape:
        raise GameFault(f"{name}: render() must give a picture, uint8 [height, width, 3]; it gave {described(value)}")
    if picture.ndim == 2:
        picture = picture[:, :, None]
    elif picture.shape[2] not in (1, 3, 4) and picture.shape[0] in (1, 3, 4):
        picture = np.moveaxis(picture, 0, 2)
    if picture.shape[2] not in (1, 3, 4):
        raise GameFault(f"{name}: render() must give a picture, uint8 [height, width, 3]; it gave {described(value)}")
    if picture.dtype.kind == "b":
        picture = picture.astype(np.uint8) * 255
    elif picture.dtype.kind == "f":
        picture = np.nan_to_num(picture)
        picture = picture * (255 if picture.max() <= 1 else 1) + 0.5  # black, too, is black either way
    picture = picture.clip(0, 255).astype(np.uint8)
    return picture.repeat(3, 2) if picture.shape[2] == 1 else np.ascontiguousarray(picture[:, :, :3])


def fitted(picture: np.ndarray, shape: tuple[int, ...] | None) -> np.ndarray:
    """The picture in the size of the game's first one: a video has one size only."""
    if shape is None or picture.shape == shape:
        return picture
    from PIL import Image

    return np.asarray(Image.fromarray(picture).resize((shape[1], shape[0]), Image.Resampling.NEAREST))
