"""Drives that are watched: recordings with a person's overrides, and both steering wheels over the picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from agents.core.rows import TimeStep
from experiments.driving import overlay

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
        from experiments.driving.races import open_writer

        self.seat, self.games, self.race, self.overrides = seat, seat.envs[0].unwrapped, 0, 0
        self.driving = seat.about.driving
        self.driven, self.shadow = False, shadow  # driven: the present race has records
        self.network = seat.source.run is not None
        about = {"network": seat.source.label, "step": seat.at} if self.network else {}
        driver = "network" if self.network else "person"
        self.writer = open_writer(folder, seat.source.game, self.driving, driver, **about)

    @property
    def count(self) -> int:
        """Records so far."""
        return self.writer.index

    def add(self, step: TimeStep, action: Any, person: bool) -> None:
        """One record; the end of a race is none, since nobody steers there."""
        from envs.recordings.tub import IMAGE

        if bool(step.last[0]):
            return
        # What a network says may lie outside; the game gets it clipped.
        driving, done = self.driving, action[0].cpu().numpy().clip(-1.0, 1.0)
        wanted = self.seat.act.action[0].cpu().numpy().clip(-1.0, 1.0) if self.network else None
        record = {
            IMAGE: step.obs[0, -1].cpu().numpy(), "user/mode": "user" if person else "local",
            "override": bool(person and self.network and not self.shadow), "game/steer": float(done[0]),
            **driving.controls(self.games, done), **driving.figures(self.games, self.race),
        }  # fmt: skip
        if wanted is not None:
            record |= driving.controls(self.games, wanted, "pilot")
        self.writer.write(record)
        self.overrides += record["override"]
        self.driven = True

    def began(self) -> None:
        """Another race begins; the one before it may have been left in the middle."""
        self.race, self.driven = self.race + self.driven, False

    def ended(self, score: float) -> None:
        """A race came to its end."""
        self.began()

    def close(self) -> None:
        self.writer.close()


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
