"""Pictures of a tub: JPEG files, small ones; no other format is opened, since some run programs."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from envs.recordings.tub_files import MIB, TubError, content, stays_inside

FORMATS = ("JPEG", "PNG")
LARGEST_FILE = 16 * MIB
LARGEST = 2**24  # pixels; a file of a few kilobytes can claim a thousand times as many


def encode(picture: np.ndarray | bytes, quality: int) -> tuple[bytes, tuple[int, int]]:
    """A picture as the bytes of a JPEG file, and (height, width). Bytes are a JPEG file already."""
    if isinstance(picture, bytes):
        return picture, decode(picture).shape[:2]  # the whole of it: half a file has a header too
    picture = np.asarray(picture)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        # A cast would make black pictures of floats from 0 to 1.
        raise TubError(f"a picture must be uint8 [height, width, 3], not {picture.dtype} {list(picture.shape)}")
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", quality=quality, subsampling=0)  # small pictures need all their colour
    return out.getvalue(), picture.shape[:2]


def shape_of(data: bytes) -> tuple[int, int]:
    """(height, width) from a picture file's header. Raises TubError."""
    return _open(data, whole=False)


def decode(data: bytes) -> np.ndarray:
    """A picture file's bytes as uint8 [H, W, 3]. Raises TubError."""
    return _open(data, whole=True)


def _open(data: bytes, whole: bool) -> np.ndarray | tuple[int, int]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # LARGEST is stricter
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        with image:
            if image.width * image.height > LARGEST:
                raise TubError(f"it claims {image.width:,} x {image.height:,} pixels, too many")
            return np.asarray(image.convert("RGB")) if whole else (image.height, image.width)
    except TubError:
        raise
    except Image.DecompressionBombError:
        raise TubError("it claims more pixels than Pillow allows") from None
    except Image.UnidentifiedImageError:
        raise TubError("cannot identify image: it is neither JPEG nor PNG") from None
    except Exception as fault:  # whatever a decoder meets in damaged bytes: struct.error, IndexError, zlib.error, ...
        raise TubError(f"{type(fault).__name__}: {fault}") from None


def first_shape(path: Path) -> tuple[int, int] | None:
    """(height, width) of the first picture in a dataset that can be opened."""
    stays_inside(path, "images")
    for file in sorted((path / "images").glob("*.*"), key=lambda p: (len(p.name), p.name)):
        try:
            return shape_of(content(path, f"images/{file.name}", LARGEST_FILE))
        except (OSError, TubError):
            continue  # half a picture of a crash: the next one tells
    return None


def size(shape: tuple[int, int]) -> str:
    """As people say it: width x height."""
    return f"{shape[1]}x{shape[0]}"
