"""A few seconds of a game's best agent as one picture, frame below frame: made once, kept beside the runs."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from experiments.watching.source import Source, find

FOLDER = ".thumbnails"  # folder in a runs folder; no list of runs looks into it
WIDTH = 192  # pixels
FRAMES, RATE = 40, 8  # frames, and how many of them are shown in a second
PATIENCE = 8.0  # seconds of play after which fewer frames have to do
LEAST = 8  # frames before the patience ends
QUALITY = 70  # quality of JPEG

_few = threading.BoundedSemaphore(2)  # plays at once: a training beside them has the right of way


def thumbnail(root: Path, game: str) -> dict[str, Any]:
    """{"frames", "rate", "width", "height", "image", "who"}; image is a data: URL. Raises ValueError and RunError."""
    source = find(game, root)
    file = root / FOLDER / f"{_key(source)}.json"
    with _few:
        try:
            return json.loads(file.read_text())
        except (OSError, ValueError):
            pass  # a picture that is not made yet, or torn
        found = _made(source)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            unfinished = file.with_suffix(".part")
            unfinished.write_text(json.dumps(found))
            unfinished.replace(file)
        except OSError:
            pass  # a folder that cannot be written to: it is made again next time
        return found


def _key(source: Source) -> str:
    """Another agent, or another checkpoint of it, is another picture."""
    from agents.core import manifest

    told = [source.game, source.scripted, WIDTH, FRAMES, RATE]
    if source.run is not None:
        newest = manifest.newest(source.run.checkpoints)
        told += [str(source.run.path), newest and manifest.seal(newest[1])]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:24]


def _made(source: Source) -> dict[str, Any]:
    from PIL import Image

    from experiments.watching.player import Player

    player = Player([source], seed=1, panels=False)
    began, taken, every = time.monotonic(), [], max(1, round(player.fps / RATE))
    try:
        for number, frame in enumerate(player.frames()):
            if number % every == 0:
                taken.append(_small(frame.picture))
            late = time.monotonic() - began > PATIENCE and len(taken) >= LEAST
            if len(taken) >= FRAMES or late or time.monotonic() - began > 4 * PATIENCE:
                break
    finally:
        player.close()
    strip = np.concatenate(taken)
    buffer = io.BytesIO()
    Image.fromarray(strip).save(buffer, "JPEG", quality=QUALITY)
    height, width = taken[0].shape[:2]
    image = f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    who = source.label if source.run is None else f"{source.run.config['agent']} {source.run.path.name}"
    return {"frames": len(taken), "rate": RATE, "width": width, "height": height, "image": image, "who": who}


def _small(picture: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3], WIDTH pixels wide."""
    from PIL import Image

    height = max(1, round(picture.shape[0] * WIDTH / picture.shape[1]))
    return np.asarray(Image.fromarray(picture).convert("RGB").resize((WIDTH, height), Image.Resampling.BILINEAR))
