"""Scripted players that see nothing but the window: what a game can look like, and teachers to learn from."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from envs.screen.profile import ScreenProfile

COARSE = 4  # px of the window, along each side, of which one is looked at
GREY, DARK = 24, 60  # ground: its channels differ by this at most, and its brightest one is at least this
FOOT = 18  # rows at the foot of the picture that show whether there is ground on the left and on the right
BAND = (2, 14)  # rows below the horizon in which the far end of a valley shows as stripes
SMOOTH = 9  # columns over which the stripes are averaged
FEWEST = 8  # columns with a horizon, of either half, without which its tilt is not known
ROLL = 1.0  # steering for each px by which the horizon sinks in a px to the right: the craft has rolled to the left
EDGE = 0.8  # steering away from a side on which there is no ground
LEAST = 0.2  # steering, in half widths of the picture, below which no key is held
LOST = 0.15  # share of ground at the foot below which the craft flies free, and nothing is pressed
CRUISE, BEND = 5.0, 3.0  # speeds that are kept, straight on and while the craft turns or rolls
FAST = 8.0  # speed from which it brakes: downhill the craft gathers speed by itself
TURNING = 0.4  # steering, or tilt, from which the craft turns


class ScreenPlayer(Protocol):
    """A player of one game."""

    def begin(self) -> None:
        """A game begins."""

    def act(self, picture: np.ndarray) -> int:
        """The action for a window's picture, uint8 [H, W, 3], of the profile's size."""


class Valley(NamedTuple):
    """What a picture says of the way ahead."""

    ahead: float  # place at which the valley goes on, -1 (left edge of the picture) to 1
    tilt: float  # px by which the horizon sinks in a px to the right
    left: float  # share of the left half of the foot that is ground, 0 to 1
    right: float


def look(grey: np.ndarray, seen: np.ndarray) -> Valley:
    """The valley in a picture of which the top is beside the ground. grey: int16 [h, w, 3]; seen: bool [w], columns.

    Ground is what has no colour, upwards from the foot; where it ends is the horizon. A valley that goes on is drawn
    in ever narrower stripes towards its far end: it lies where brightness changes most from row to row below the
    horizon.
    """
    bright = grey.max(2)
    ground = (bright - grey.min(2) <= GREY) & (bright >= DARK)
    high, wide = ground.shape
    tops = np.where(ground.all(0), 0, high - np.argmin(ground[::-1], axis=0))  # the first row of ground, by column
    x = np.arange(wide) - 0.5 * (wide - 1)
    known = seen & (tops > 2) & (tops < high - BAND[1])
    halves = [known & (x < 0), known & (x > 0)]
    tilt = 0.0
    if min(half.sum() for half in halves) >= FEWEST:
        (low, left), (far, right) = [(np.median(tops[half]), np.median(x[half])) for half in halves]
        tilt = float((far - low) / (right - left))
    stripes = np.zeros(wide)
    steps = np.abs(np.diff(bright, axis=0))
    for column in np.flatnonzero(known):
        stripes[column] = steps[tops[column] + BAND[0] : tops[column] + BAND[1], column].sum()
    stripes = np.convolve(stripes, np.ones(SMOOTH) / SMOOTH, "same")
    weight = np.where(known, stripes - np.median(stripes[known]), 0.0).clip(0.0) if known.any() else np.zeros(wide)
    ahead = float((weight * x).sum() / weight.sum() / (0.5 * wide)) if weight.sum() > 0 else 0.0
    foot = ground[-FOOT:]
    return Valley(ahead, tilt, *(float(foot[:, seen & side].mean()) for side in (x < 0, x > 0)))


class ValleyPilot:
    """Follows a valley of grey ground in a craft that hovers, at a steady speed: reads only the window.

    It steers towards the valley's far end, back from a roll, and away from where the ground ends; it keeps the speed
    that the reader `speed` tells, slower in bends, and presses nothing while it flies free, until it has ground below
    it again. Only the profile's crop, beside its masks, is looked at. Actions: nothing, faster, brake, left, right,
    and faster with each of the two.
    """

    def __init__(self, profile: ScreenProfile):
        names = list(profile.actions)
        named = {
            (False, 0): "nothing", (False, -1): "left", (False, 1): "right",
            (True, 0): "faster", (True, -1): "faster left", (True, 1): "faster right",
        }  # fmt: skip
        missing = [f"an action {name!r}" for name in ("brake", *named.values()) if name not in names]
        if "speed" not in profile.readers:
            missing.append("a reader 'speed'")
        if missing:
            raise ValueError(f"the profile {profile.name}: the player {profile.player} needs {missing[-1]}")
        self.reader, self.brake = profile.readers["speed"], names.index("brake")
        self.actions = {does: names.index(name) for does, name in named.items()}
        (wide, high), (_, top, _, bottom) = profile.size, profile.crop
        self.rows = slice(round(top * high), round(bottom * high), COARSE)
        self.seen = np.ones(len(range(0, wide, COARSE)), bool)
        for left, _, right, _ in profile.masks:
            self.seen[round(left * wide) // COARSE : -(-round(right * wide) // COARSE)] = False

    def begin(self) -> None:
        """Nothing is kept from one picture to the next."""

    def act(self, picture: np.ndarray) -> int:
        """The action for a window's picture, uint8 [H, W, 3], of the profile's size."""
        valley = look(picture[self.rows, ::COARSE].astype(np.int16), self.seen)
        if max(valley.left, valley.right) < LOST:
            return self.actions[False, 0]
        steering = valley.ahead + ROLL * valley.tilt + EDGE * (valley.right - valley.left)
        side = int(np.sign(steering)) if abs(steering) > LEAST else 0
        speed = self.reader.read(picture)
        if speed is not None and speed > FAST and abs(steering) < TURNING:
            return self.brake
        wanted = BEND if max(abs(steering), abs(valley.tilt)) > TURNING else CRUISE
        return self.actions[speed is not None and speed < wanted, side]


PLAYERS: dict[str, type] = {"valley": ValleyPilot}
