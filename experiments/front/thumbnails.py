"""A few seconds of a game's best agent as one picture, frame below frame: made once, kept beside the runs.

Each agent has one file, which a newer checkpoint replaces.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import envs
from agents.core import files
from experiments.watching.source import Source, find

FOLDER = ".thumbnails"  # folder in a runs folder; no list of runs looks into it
WIDTH = 192  # pixels
FRAMES, RATE = 40, 8  # frames, and how many of them are shown in a second
PATIENCE = 8.0  # seconds of play after which fewer frames have to do
LEAST = 8  # frames before the patience ends
QUALITY = 70  # quality of JPEG

_few = threading.BoundedSemaphore(2)  # plays at once: a training beside them has the right of way


def thumbnail(root: Path, game: str, ended: Callable[[], bool] = lambda: False) -> dict[str, Any]:
    """{"frames", "rate", "width", "height", "image", "who"}; image is a data: URL. Raises ValueError and RunError.

    ended: has the program that wants it ended meanwhile? A game in a window of its own has none: looking at a page
    starts no program on a person's display, and presses no keys there.
    """
    source = find(game, root)
    if envs.describe(source.game, **source.options).window:
        raise ValueError(f"{source.game} is played in a window of its own, which is opened to be watched alone")
    key, file = _key(source), root / FOLDER / f"{_agent(source)}.json"
    with _few:
        if (kept := _kept(file, key)) is not None:
            return kept
        found = _made(source, ended)
        with contextlib.suppress(OSError):  # a folder that cannot be written to: it is made again next time
            file.parent.mkdir(parents=True, exist_ok=True)
            files.write_json(file, {"key": key, "picture": found})
        return found


def _kept(file: Path, key: str) -> dict[str, Any] | None:
    """The picture of this key; None where none is made yet, or another one lies there."""
    try:
        kept = files.read_json(file)
    except (OSError, ValueError):
        return None
    whole = isinstance(kept, dict) and kept.get("key") == key and isinstance(kept.get("picture"), dict)
    return kept["picture"] if whole else None


def _agent(source: Source) -> str:
    """The name of an agent's file."""
    told = [source.game, source.scripted, None if source.run is None else str(source.run.path.resolve())]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:24]


def _key(source: Source) -> str:
    """Another checkpoint is another picture."""
    from agents.core import manifest

    newest = None if source.run is None else manifest.newest(source.run.checkpoints)
    told = [WIDTH, FRAMES, RATE, newest and manifest.seal(newest[1])]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:24]


def _made(source: Source, ended: Callable[[], bool]) -> dict[str, Any]:
    """Plays for a few seconds. Raises ValueError where the program ends meanwhile."""
    from PIL import Image

    from experiments.watching.player import Player

    player = Player([source], seed=1, panels=False)
    began, taken, every = time.monotonic(), [], max(1, round(player.fps / RATE))
    try:
        for number, frame in enumerate(player.frames()):
            if ended():
                raise ValueError("the program ends")
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
