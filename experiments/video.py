"""Frames -> mp4 (streamed to ffmpeg, so that nothing piles up in memory) or an animated GIF for pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from experiments import arguments
from experiments.cli import UserError
from experiments.overlay import times

SMALLEST = 480  # height to which pictures of an mp4 are enlarged, by a whole factor, in px
SMALL_GIF = 420  # height to which pictures of a GIF are enlarged, in px
LARGEST_GIF = 2**30  # pixels of a GIF's pictures at most, each of which is a byte in memory until the end
GIF_FPS = 20.0  # pictures per second of a GIF at most; browsers slow faster ones down


class Video:
    """A context manager: ``with Video(path, fps) as video: video.write(picture)``; pictures uint8 [H, W, 3].

    The suffix of `path` decides: .mp4 or .gif. Raises ValueError for another, and where no file can be written. A file
    that is there is kept until the first picture comes.
    """

    def __init__(self, path: Path, fps: float):
        arguments.video(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("ab").close()  # before anything is played; ffmpeg would only tell of a broken pipe
        except OSError as fault:
            raise ValueError(f"--video {path}: {fault.strerror}") from None
        self.path, self.fps, self.frames = path, fps, 0
        self._writer: Any = None
        self._stills: list[Any] = []  # pictures of a GIF, already reduced to few colours
        self._pixels = 0  # pixels of these pictures

    def __enter__(self) -> Video:
        return self

    def write(self, picture: np.ndarray) -> None:
        """Appends one picture, uint8 [H, W, 3]."""
        if self.path.suffix.lower() == ".gif":
            self._still(enlarge(picture, SMALL_GIF))
        else:
            self._stream(enlarge(picture))
        self.frames += 1

    def _still(self, picture: np.ndarray) -> None:
        from PIL import Image

        if self.frames % max(1, round(self.fps / GIF_FPS)) == 0:
            self._pixels += picture.shape[0] * picture.shape[1]
            if self._pixels > LARGEST_GIF:  # the pictures that there are become the file
                raise UserError(f"{self.path}: so many pictures of a GIF fit into no memory; an .mp4 may be longer")
            self._stills.append(Image.fromarray(picture).quantize(32, dither=Image.Dither.NONE))

    def _stream(self, picture: np.ndarray) -> None:
        if self._writer is None:
            import imageio_ffmpeg

            height, width = picture.shape[:2]
            self._writer = imageio_ffmpeg.write_frames(
                str(self.path), (width, height), fps=self.fps, codec="libx264", macro_block_size=2, quality=7
            )
            self._writer.send(None)
        try:
            self._writer.send(np.ascontiguousarray(picture))
        except OSError as fault:  # the encoder has ended, which says why in many lines
            raise UserError(f"{self.path}: the video's encoder has stopped (is the disk full?)") from fault

    def __exit__(self, *exc: object) -> None:
        if self._writer is not None:
            self._writer.close()
        if self._stills:
            each = max(1, round(self.fps / GIF_FPS))
            # A GIF counts hundredths of a second: what rounding takes from one picture, the next one gets.
            ends = [round(100 * min(i * each, self.frames) / self.fps) for i in range(len(self._stills) + 1)]
            lengths = [10 * (b - a) for a, b in zip(ends, ends[1:], strict=False)]  # ms
            first, *rest = self._stills
            first.save(self.path, save_all=True, append_images=rest, duration=lengths, loop=0, optimize=True)
        if not self.frames and not self.path.stat().st_size:
            self.path.unlink()  # nothing was played


def size_of(path: Path) -> tuple[int, int]:
    """(width, height) of a GIF."""
    from PIL import Image

    with Image.open(path) as image:
        return image.size


def enlarge(picture: np.ndarray, height: int = SMALLEST) -> np.ndarray:
    """Whole-factor enlargement of small pictures to about `height`, and an even size, which the codec needs."""
    picture = times(picture, round(height / picture.shape[0]))
    height, width = picture.shape[0] // 2 * 2, picture.shape[1] // 2 * 2
    return picture[:height, :width]
