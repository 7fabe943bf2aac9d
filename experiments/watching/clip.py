"""The last 30 seconds of what was shown, kept compressed, and saved beside the play."""

from __future__ import annotations

import io
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

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

    def save(self, name: str, report: Callable[[str], None]) -> Path:
        """Begins to write clips/<name>-N.mp4 and returns its path; `report` gets a sentence when it is there."""
        self.wait()
        number = 1
        while (path := self.folder / f"{name}-{number}.mp4").exists():
            number += 1
        files = list(self._files)
        self._saving = threading.Thread(target=self._write, args=(path, files, report), name="clip")
        self._saving.start()
        return path

    def wait(self) -> None:
        """Until the clip that is being written is whole."""
        if self._saving is not None:
            self._saving.join()

    def _write(self, path: Path, files: list[bytes], report: Callable[[str], None]) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with Video(path, self.fps) as video:
                shape = None
                for file in files:
                    picture = np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))
                    if shape is None or picture.shape == shape:  # the panels may have come or gone
                        video.write(picture)
                        shape = picture.shape
        except (OSError, ValueError) as fault:
            report(f"the clip could not be written: {fault}")
            return
        report(f"saved the last {len(files) / self.fps:.1f} s as {path}")
