"""The window of `record` while a person drives: live picture, controls' histories, counters."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from experiments.driving import overlay
from experiments.driving.hands import Gamepad, Pad, held_keys
from experiments.driving.races import Recorder

HELP = "R: pause recording or go on, Backspace: delete the last 3 s, Escape: end"
LATE = 0.01  # delay above which a step counts as late, in s


class Dashboard:
    """Turns recorded steps into pictures for people."""

    def __init__(self, rate: float):
        self.plot = overlay.Plot(rate)

    def picture(self, recorder: Recorder, record: dict[str, Any], *more: str, warn: str = "") -> np.ndarray:
        """What was recorded in this step with its steering, the last 10 s of controls, and counters: [H, W, 3]."""
        self.plot.add(record["user/angle"], record["user/throttle"], record.get("pilot/angle"))
        small = record["cam/image_array"]
        seen = overlay.larger(small, 400) if recorder.simulated else recorder.view()
        seen = overlay.with_steering(seen, record["user/angle"], record.get("pilot/angle"))
        minutes, seconds = divmod(int(recorder.steps / recorder.fps), 60)
        last, wanted = record.get("game/lap_time"), record.get("user/target_speed")
        lines = [
            f"{recorder.steps:,} records  {minutes}:{seconds:02d}",
            f"race {record['game/race'] + 1}  lap {record['game/lap'] + 1}",
            f"time {record['game/time']:.1f} s",
            *([] if last is None else [f"last lap {last:.2f} s" if last else "last lap -"]),
            f"speed {record['game/speed']:.1f} m/s",
            *([] if wanted is None else [f"wanted {wanted:.1f} m/s"]),
            f"steering {record['user/angle']:+.2f}",
            f"off the road {recorder.off / recorder.steps:.0%}",
            *more,
        ]
        return overlay.panel(seen, self.plot, lines, warn=warn, inset=None if recorder.simulated else small)


class Keyboard:
    """The window, and what a person holds: `read()` -> (keys, gamepad); None once the window is closed or Escape."""

    def __init__(self, title: str):
        import pygame

        self._pygame, self._screen, self.title = pygame, None, title
        pygame.display.init()
        self._pad = Gamepad()
        self.pressed: list[str] = []  # names of keys that went down since the last `read`

    def read(self) -> tuple[set[str], Pad | None] | None:
        """Returns the held keys and the gamepad's state, or None when the user closes the window or presses Escape."""
        pygame = self._pygame
        self.pressed = []
        for event in pygame.event.get():
            if event.type == pygame.QUIT:
                return None
            if event.type == pygame.KEYDOWN:
                self.pressed.append(pygame.key.name(event.key))
        return None if "escape" in self.pressed else (held_keys(), self._pad.read())

    def show(self, picture: np.ndarray) -> None:
        """Draws a picture, uint8 [H, W, 3], in a window of the same size."""
        size = (picture.shape[1], picture.shape[0])
        if self._screen is None or self._screen.get_size() != size:
            self._screen = self._pygame.display.set_mode(size)
            self._pygame.display.set_caption(self.title)
        self._screen.blit(self._pygame.surfarray.make_surface(picture.swapaxes(0, 1)), (0, 0))
        self._pygame.display.flip()

    def close(self) -> None:
        self._pygame.quit()


class Metronome:
    """Wakes every 1/fps s; after a hold-up it goes on from then instead of hurrying."""

    def __init__(self, fps: float, clock: Callable[[], float] = time.monotonic, sleep: Callable = time.sleep):
        self.period, self._clock, self._sleep = 1.0 / fps, clock, sleep
        self.late = 0  # steps that began LATE or more after their time
        self.ticks = 0
        self._next = clock()
        self._times: deque[float] = deque(maxlen=41)

    def wait(self) -> None:
        """Until the next step is due."""
        now = self._clock()
        if now < self._next:
            self._sleep(self._next - now)
            now = self._clock()
        self.ticks += 1
        self.late += now - self._next > LATE
        self._times.append(now)
        self._next = now + self.period if now - self._next > self.period else self._next + self.period

    @property
    def rate(self) -> float:
        """Steps per second over the last two seconds."""
        span = self._times[-1] - self._times[0] if len(self._times) > 1 else 0.0
        return (len(self._times) - 1) / span if span else 0.0


@contextlib.contextmanager
def video_of(path: Path | None, fps: float) -> Iterator[Callable[[np.ndarray], None]]:
    """Within: a function that adds a picture to the video; without a path it does nothing."""
    if path is None:
        yield lambda picture: None
        return
    from experiments.video import Video

    with Video(path, fps) as video:
        yield video.write
