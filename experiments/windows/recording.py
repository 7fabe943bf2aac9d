"""Recording a game in its own window: what is seen at every tick, and the keys that a person, or a script, holds then.

Rows go to a folder as `play --record` writes it, file by file beside the clock of the recording, so that no tick waits
for the disk and nothing is lost but the rows of the last, unfinished file.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import envs
from agents.core.progress import Live
from envs.recordings.arrays import ArrayWriter
from envs.window import PygameWindow

PREVIEW = 4.0  # pictures of the preview in a second
ENLARGED = 3  # px of the preview per px of what an agent sees


class WindowRecording(NamedTuple):
    """What became of a recording."""

    rows: int  # rows with an action: ticks that were stored
    games: int  # games that came to their end; one that crashed has none
    ticks: int  # ticks of the clock, those that were lost among them
    late: list[float]  # seconds by which each tick came late
    stale: int  # ticks whose picture equalled the one before

    def sentence(self, rate: float) -> str:
        """The figures in a line."""
        jitter = float(np.percentile(self.late, 99)) if self.late else 0.0
        share = self.rows / max(1, self.ticks)
        return (
            f"{self.rows:,} rows of {self.games} finished games in {self.ticks / rate / 60:.1f} minutes; {share:.2%} of"
            f" the ticks, 99 % of them within {1000 * jitter:.1f} ms, {self.stale:,} with the picture of the one before"
        )


class WindowRecorder:
    """Records one game, tick by tick. `close` it: the rows so far are kept whatever happens."""

    def __init__(self, game: str, options: Mapping[str, Any], out: Path, *, scripted: bool = False):
        self.env = envs.make(game, "rgb_array", **options).unwrapped
        about = envs.describe(game, **options)
        self.rate, self.scripted = 1.0 / about.step_seconds, scripted
        # As agents.core's Spec has it, which needs no torch to be written down.
        spec = {"obs_shape": list(about.observation.shape), "obs_dtype": str(about.observation.dtype)}
        spec |= {"stack": about.frame_stack, "num_actions": int(about.actions.n), "action_dim": 0}
        self.writer = ArrayWriter(out, {"game": game, "env": dict(options), "spec": spec}, aside=True)
        self.first, self.ends, self.late, self.stale = self.writer.count, 0, [], 0
        self.games, self.sum = 0, 0.0  # games that came to their own end, and the rewards of the one that is played
        self.ticks, self.shown = 0, None
        self._row: dict[str, Any] = {}

    def begin(self, seed: int | None = None) -> None:
        """The first game begins."""
        self._open(*self.env.reset(seed=seed))

    def _open(self, obs: np.ndarray, info: dict[str, Any]) -> None:
        self._row = {"obs": obs, "reward": np.float32(0), "discount": np.float32(1), "first": True, "last": False}
        self._info, self.sum = info, 0.0

    def tick(self) -> tuple[int, bool]:
        """One tick: stores what was seen with the action there. Returns the action, and whether the game ended."""
        if self.scripted:
            action = int(self._info["expert"])
            result = self.env.step(action)
        else:
            action, result = self.env.follow()
        self.writer.write({**self._row, "action": np.int64(action), "person": True})
        obs, reward, terminated, truncated, info = result
        over = terminated or truncated
        discount = np.float32(not terminated)
        self._row = {"obs": obs, "reward": np.float32(reward), "discount": discount, "first": False, "last": over}
        self._info, self.sum = info, self.sum + float(reward)
        self.ticks += 1 + int(info["missed"])
        self.late.append(float(info["late"]))
        self.stale += bool(info["stale"])
        if over:  # the last picture of a game is a row, too
            self.writer.write({**self._row, "action": np.int64(0), "person": True})
            self.ends += 1
            if self.env.scored:
                self.writer.ended(float(info.get("score", self.sum)))
                self.games += 1
            self._open(*self.env.reset())
        return action, over

    @property
    def result(self) -> WindowRecording:
        """What has been recorded so far."""
        rows = self.writer.count - self.first - self.ends
        return WindowRecording(rows, self.games, self.ticks, self.late, self.stale)

    def picture(self) -> np.ndarray:
        """What an agent sees now, uint8 [H, W, 3]."""
        obs = self._row["obs"]
        return obs if obs.ndim == 3 else np.repeat(obs[..., None], 3, axis=2)

    def close(self) -> None:
        """Writes what is left, lets go of the keys, and ends a game that was started."""
        try:
            self.writer.close()
        finally:
            self.env.close()


def record(
    recorder: WindowRecorder, *, minutes: float | None, seed: int | None, preview: PygameWindow | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> WindowRecording:  # fmt: skip
    """Records until the time is up, or `stop` says so, or Ctrl-C."""
    limit = None if minutes is None else round(60 * minutes * recorder.rate)
    every = max(1, round(recorder.rate / PREVIEW))
    try:
        recorder.begin(seed)
        with Live() as live:
            while not stop() and (limit is None or recorder.ticks < limit):
                recorder.tick()
                if preview is not None and recorder.ticks % every == 0:
                    preview.draw(recorder.picture())
                if live.due:
                    live(f"{recorder.ticks / recorder.rate:.0f} s, {recorder.games} games")
    except KeyboardInterrupt:
        print()
    finally:
        recorder.close()
        if preview is not None:
            preview.close()
    return recorder.result


def preview_on(display: str) -> PygameWindow:
    """A window that shows what is recorded, on that display."""
    os.environ["DISPLAY"] = display
    return PygameWindow("joypad: recording", ENLARGED)


def write_profile(path: Path, options: Any) -> None:
    """The window and keys that a person has named, as a profile. Raises OSError, also where the file is there."""
    from envs.screen.profile import of_words, text_of

    with open(path, "x", encoding="utf-8") as file:
        file.write(text_of(of_words(options.window, options.keys)))


def seed_of(seed: int | None) -> int:
    """The seed that was named, else one of the clock's."""
    return time.time_ns() % 2**31 if seed is None else seed
