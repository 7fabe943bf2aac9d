"""What is shown of a drive that is recorded: the picture, histories of the controls, counters."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from experiments import overlay


class Counts(Protocol):
    """How much was recorded: `steps` records, of which `off` are off the road."""

    steps: int
    off: int


class Dashboard:
    """Turns records into pictures for people. rate: records per second."""

    def __init__(self, rate: float):
        self.plot, self.rate = overlay.Plot(rate), rate

    def add(self, record: dict[str, Any]) -> None:
        """Appends the controls of a record to the histories."""
        self.plot.add(record["user/angle"], record["user/throttle"], record.get("pilot/angle"))

    def picture(
        self, record: dict[str, Any], seen: np.ndarray, counts: Counts, *more: str, warn: str = "",
        inset: np.ndarray | None = None,
    ) -> np.ndarray:  # fmt: skip
        """A record's steering over what is `seen`, the last 10 s of controls, and counters: [H, W, 3]."""
        seen = overlay.with_steering(seen, record["user/angle"], record.get("pilot/angle"))
        minutes, seconds = divmod(int(counts.steps / self.rate), 60)
        last, wanted = record.get("game/lap_time"), record.get("user/target_speed")
        lines = [
            f"{counts.steps:,} records  {minutes}:{seconds:02d}",
            f"race {record['game/race'] + 1}  lap {record['game/lap'] + 1}",
            f"time {record['game/time']:.1f} s",
            *([] if last is None else [f"last lap {last:.2f} s" if last else "last lap -"]),
            f"speed {record['game/speed']:.1f} m/s",
            *([] if wanted is None else [f"wanted {wanted:.1f} m/s"]),
            f"steering {record['user/angle']:+.2f}",
            f"off the road {counts.off / max(1, counts.steps):.0%}",
            *more,
        ]
        return overlay.panel(seen, self.plot, lines, warn=warn, inset=inset)


@contextlib.contextmanager
def video_of(path: Path | None, fps: float) -> Iterator[Callable[[np.ndarray], None]]:
    """Within: a function that adds a picture to the video; without a path it does nothing."""
    if path is None:
        yield lambda picture: None
        return
    from experiments.video import Video

    with Video(path, fps) as video:
        yield video.write
