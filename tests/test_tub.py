"""The dataset of driving: written, killed, appended to, damaged and read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from envs.tub import BLOCK, Tub, TubError, Writer
from envs.tub_format import IMAGE

ROOT = Path(__file__).resolve().parents[1]
KINDS = {"override": "boolean", "pilot/angle": "float", "game/lap": "int", "game/race": "int", "game/note": "str"}


def picture(k: int, height: int = 12, width: int = 16) -> np.ndarray:
    """A smooth picture that no other k has, which JPEG keeps within a few levels."""
    y, x = np.mgrid[:height, :width]
    return np.stack([(7 * k) % 200 + y, (13 * k) % 180 + x, np.full_like(x, (29 * k) % 251)], -1).astype(np.uint8)


def values(k: int, **more: object) -> dict[str, object]:
    row = {IMAGE: picture(k), "user/angle": (k % 21 - 10) / 10, "user/throttle": 0.5, "user/mode": "user"}
    return {**row, **{name.replace("_", "/", 1): value for name, value in more.items()}}


def written(path: Path, n: int, **more: object) -> Path:
    with Writer(path, KINDS) as writer:
        for k in range(n):
            writer.write(values(k, **more))
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """The seed's preparation wrote one row per recording and black pictures: here are n rows and the pictures."""
    with Writer(tmp_path / "d", KINDS, metadata={"game": "kart"}) as writer:
        for k in range(1005):
            more = {"override": k % 7 == 0, "game_lap": k // 100, "game_race": 0, "game_note": f"n{k}"}
            if k % 2:
                more["pilot_angle"] = k / 2000
            assert writer.write(values(k, **more), timestamp_ms=50 * k) == k
    tub = Tub(tmp_path / "d")
    assert len(tub) == 1005 and not tub.damaged and not tub.faults and tub.metadata == {"game": "kart"}
    assert tub.records["user/angle"].tolist() == [(k % 21 - 10) / 10 for k in range(1005)]
    assert tub.records["user/angle"].dtype == np.float64 and tub.records["game/lap"].dtype == np.int64
    assert tub.records["override"].tolist() == [k % 7 == 0 for k in range(1005)]
    assert tub.records["game/note"].tolist() == [f"n{k}" for k in range(1005)]
    pilot = tub.records["pilot/angle"]
    assert np.isnan(pilot[::2]).all() and np.allclose(pilot[1::2], np.arange(1, 1005, 2) / 2000)
    assert tub.laps.tolist() == [k // 100 for k in range(1005)]
    assert tub.starts.tolist() == [True] + [False] * 1004
    assert np.array_equal(tub.records["_timestamp_ms"], 50 * np.arange(1005))
    assert tub.shape == (12, 16)
    images = tub.images([0, 3, 1004])
    assert images.dtype == np.uint8 and images.shape == (3, 12, 16, 3)
    for row, k in enumerate((0, 3, 1004)):
        assert np.array_equal(images[row], tub.image(k))
        assert np.abs(images[row].astype(int) - picture(k)).max() <= 6
