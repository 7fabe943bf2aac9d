"""The last 30 seconds of what was shown, kept compressed, and saved beside the play."""

from __future__ import annotations

import io
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.cli import UserError
from experiments.video import Video
from experiments.web.pictures import encode

SECONDS = 30.0


class Clip:
    """Pictures as files in memory: about 5 MB for Atari, 50 MB for large pictures."""

    def __init__(self, fps: float, folder: Path = Path("clips")):
        self.fps, self.folder = fps, folder
        self._files: deque[bytes] = deque(maxlen=max(1, round(SECONDS * fps)))
        self._saving: threading.Thread | None = None

    def add(self, picture: np.ndarray) -> None:
        """Appends one picture, uint8 [H, W, 3]; pictures older than SECONDS are dropped."""
        self._files.append(encode(picture)[0])

    def save(self, name: str, report: Callable[[str], None]) -> None:
        """Begins to write clips/<name>-N.mp4; `report` gets a sentence when it is there."""
        self.wait()
        if not self._files:
            return report("nothing was shown yet")
        number = 1
        while (path := self.folder / f"{name}-{number}.mp4").exists():
            number += 1
        files = list(self._files)
        self._saving = threading.Thread(target=self._write, args=(path, files, report), name="clip")
        self._saving.start()

    def wait(self) -> None:
        """Until the clip that is being written is whole."""
        if self._saving is not None:
            self._saving.join()

    def _write(self, path: Path, files: list[bytes], report: Callable[[str], None]) -> None:
        try:
            shape = _picture(files[-1]).shape
            with Video(path, self.fps) as video:
                for picture in map(_picture, files):
                    if picture.shape == shape:  # a video has one size
                        video.write(picture)
        except (OSError, ValueError, UserError) as fault:
            report(f"the clip could not be written: {fault}")
            return
        report(f"saved the last {video.frames / self.fps:.1f} s as {path}")


def _picture(file: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))
