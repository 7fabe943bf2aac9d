"""Drives that are watched: recordings with a person's overrides, and both steering wheels over the picture."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from agents.core.rows import TimeStep
from envs.recordings.tub import IMAGE
from experiments import overlay
from experiments.driving import races
from experiments.driving.dashboard import Dashboard

DISCARDED = 3.0  # time whose records a person deletes at once, in s
HOLD = "h"  # key that takes over while it is held
WHEEL = 96  # px, at most a third of the picture's height


def drives(seat: Any) -> bool:
    """Does the seat drive something, so that it can be recorded and taken over at the wheel?"""
    return seat.about.driving is not None and seat.about.driving.refusal is None


class Laps:
    """Records a seat's first race as a tub (envs/recordings/tub.py); hears each decision before it is carried out.

    user/* is what was done; where a network plays, pilot/* is what it wanted, and a person's driving is an override
    (shadow: a person drives all the time, and takes nothing over).
    """

    def __init__(self, folder: Path, seat: Any, shadow: bool = False):
        self.seat, self.games, self.race, self.overrides = seat, seat.envs[0].unwrapped, 0, 0
        self.driving = seat.about.driving
        self.driven, self.shadow = False, shadow  # driven: the present race has records
        self.network = seat.source.run is not None
        about = {"network": seat.source.label, "step": seat.at} if self.network else {}
        self.teacher = bool(seat.source.scripted)  # True where the game's own expert drives, whose actions are labels
        driver = "network" if self.network else seat.source.scripted or "person"
        self.writer = races.open_writer(folder, seat.source.game, self.driving, driver, **about)
        self.first = self.writer.index
        self.recording = True  # False while a person pauses it
        self.newest: dict[str, Any] | None = None  # record of the newest decision, stored or not
        self._deleted: set[int] = set()  # records that a person has deleted
        self.off = self.discarded = 0  # records off the road; how often a person has deleted the last ones

    @property
    def count(self) -> int:
        """Records of the dataset so far."""
        return self.writer.index

    @property
    def steps(self) -> int:
        """Records of this session so far."""
        return self.writer.index - self.first

    def add(self, step: TimeStep, action: Any, person: bool) -> None:
        """One record, unless the recording is paused; the end of a race is none, since nobody steers there."""
        if bool(step.last[0]):
            return
        self.newest = self.record(step, action, person)
        if self.recording:
            self.writer.write(self.newest)
            self.overrides += self.newest["override"]
            self.off += bool(self.newest.get("game/off_road"))
            self.driven = True

    def record(self, step: TimeStep, action: Any, person: bool) -> dict[str, Any]:
        """A decision as a record. What a network says may lie outside; the game gets it clipped."""
        driving, done = self.driving, action[0].cpu().numpy().clip(-1.0, 1.0)
        found = {
            IMAGE: step.obs[0, -1].cpu().numpy(), "user/mode": "user" if person or self.teacher else "local",
            "override": bool(person and self.network and not self.shadow), "game/steer": float(done[0]),
            **driving.controls(self.games, done), **driving.figures(self.games, self.race),
        }  # fmt: skip
        if self.network:
            wanted = self.seat.act.action[0].cpu().numpy().clip(-1.0, 1.0)
            found |= driving.controls(self.games, wanted, "pilot")
        return found

    def discard(self) -> int:
        """Deletes the last seconds of this session that are still kept; returns how many records."""
        kept = (row for row in range(self.writer.index - 1, self.first - 1, -1) if row not in self._deleted)
        rows = list(itertools.islice(kept, round(DISCARDED * self.driving.rate)))
        self.writer.delete(rows)
        self._deleted.update(rows)
        self.discarded += 1
        return len(rows)

    def began(self) -> None:
        """Another race begins; the one before it may have been left in the middle."""
        self.race, self.driven = self.race + self.driven, False

    def ended(self, score: float) -> None:
        """A race came to its end."""
        self.began()

    def close(self) -> None:
        self.writer.close()


class Cockpit:
    """What a person sees who drives to record: through the camera that records, with controls and counters.

    limit: records after which the play ends. film: called with the picture of every record.
    """

    def __init__(
        self, player: Any, laps: Laps, limit: int | None = None,
        film: Callable[[np.ndarray], None] = lambda picture: None,
    ):  # fmt: skip
        self.player, self.laps, self.limit, self.film = player, laps, limit, film
        self.board = Dashboard(laps.driving.rate)
        self._shown: dict[str, Any] | None = None

    def __call__(self) -> np.ndarray:
        """The picture of the present state, uint8 [H, W, 3]."""
        laps, seat, beat = self.laps, self.player.focus, self.player.beat
        record = laps.newest or laps.record(seat.step, seat.act.action, False)
        fresh, self._shown = record is not self._shown, record
        if fresh:
            self.board.add(record)
        told = (f"{beat.rate:.1f} Hz, {beat.late} late", f"deleted {laps.discarded} times")
        warn = "" if laps.recording else "not recording (x)"
        view = laps.driving.view(laps.games)
        picture = self.board.picture(record, view, laps, *told, warn=warn, inset=record[IMAGE])
        if fresh and laps.newest is not None:
            self.film(picture)
        self.player.ended |= self.limit is not None and laps.steps >= self.limit
        return picture


def with_wheels(picture: np.ndarray, seat: Any) -> np.ndarray:
    """A picture with the person's steering wheel and, around it, the network's, while a person drives."""
    if seat.human is None or not drives(seat):
        return picture
    wanted = float(seat.act.action[0, 0]) if seat.source.run is not None else None
    mine = float(seat.human.hands.steer) if seat.human.hands is not None else None
    size = min(WHEEL, picture.shape[0] // 3)
    drawn = overlay.wheel(size, mine, wanted)
    lines = (drawn != overlay.GROUND).any(2)  # the wheels alone: the road is seen through them, the car beside them
    out = picture.copy()
    corner = out[-size - 4 : -4, 4 : 4 + size]
    row, column = (axis - (size - 1) / 2 for axis in np.ogrid[:size, :size])
    disc = row**2 + column**2 <= (size / 2) ** 2
    corner[disc] = corner[disc] * 0.6  # a little darker, so that they stand out on bright ground, too
    corner[lines] = drawn[lines]
    return out
