"""Pictures for a browser: small ones exactly, as PNG, large ones as JPEG."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

EXACT = 256 * 256  # pixels; pictures up to this size are sent without loss
QUALITY = 85  # quality of JPEG


def encode(picture: np.ndarray) -> tuple[bytes, str]:
    """uint8 [H, W, 3] or [H, W] -> (file, its media type). Raises ValueError for anything else."""
    if picture.dtype != np.uint8 or picture.ndim not in (2, 3) or (picture.ndim == 3 and picture.shape[2] != 3):
        raise ValueError(f"a picture must be uint8 [H, W, 3] or [H, W], not {picture.dtype} {picture.shape}")
    image, file = Image.fromarray(picture), io.BytesIO()
    if picture.shape[0] * picture.shape[1] <= EXACT:
        image.save(file, "PNG", compress_level=1)
        return file.getvalue(), "image/png"
    image.save(file, "JPEG", quality=QUALITY)
    return file.getvalue(), "image/jpeg"
