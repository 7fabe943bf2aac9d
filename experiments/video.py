"""Frames -> mp4, streamed to ffmpeg so that nothing piles up in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np

SMALLEST = 480  # pictures are enlarged by a whole factor to about this height


class Video:
    """A context manager: ``with Video(path, fps) as video: video.write(picture)``; pictures uint8 [H, W, 3]."""

    def __init__(self, path: Path, fps: float):
        self.path, self.fps, self.frames = path, fps, 0
        self._writer = None

    def __enter__(self) -> Video:
        return self

    def write(self, picture: np.ndarray) -> None:
        picture = enlarge(picture)
        if self._writer is None:
            import imageio_ffmpeg

            height, width = picture.shape[:2]
            self._writer = imageio_ffmpeg.write_frames(
                str(self.path), (width, height), fps=self.fps, codec="libx264", macro_block_size=2, quality=7
            )
            self._writer.send(None)
        self._writer.send(np.ascontiguousarray(picture))
        self.frames += 1

    def __exit__(self, *exc: object) -> None:
        if self._writer is not None:
            self._writer.close()


def enlarge(picture: np.ndarray) -> np.ndarray:
    """Whole-factor enlargement of small pictures, and an even size, which the codec needs."""
    factor = max(1, round(SMALLEST / picture.shape[0]))
    if factor > 1:
        picture = picture.repeat(factor, 0).repeat(factor, 1)
    height, width = picture.shape[0] // 2 * 2, picture.shape[1] // 2 * 2
    return picture[:height, :width]
