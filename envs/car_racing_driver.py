"""A scripted driver of CarRacing-v3: pure pursuit of a racing line at the speed that the line allows.

It sees the track and how the car moves, not the picture. Its answer for any state (also after a mistake) is a label for
cloning. Lengths are in units of the game, of which a car is about 5 long; a frame is 1/50 s.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

HALF = 40 / 6  # distance from the centre of the road to its edge
STEP = 21 / 6  # distance between two points of the centreline
BASE = 162 * 0.02  # wheelbase
REACH = 36.0  # distance that the picture shows of the road ahead
# Found by search on other tracks than those of tests and scores, with noise on the wheel: see docs/log.md.
ROOM = 3.28  # distance from the racing line to the edge of the road
GRIP, BRAKES, TOP_SPEED = 77.0, 47.0, 63.0  # accelerations in bends and in braking, and the highest speed
LOOK_NEAR, LOOK_TIME = 4.17, 0.147  # look-ahead = NEAR + TIME * speed
GAIN = 1.39  # gain of the steering
PREVIEW = 0.04  # delay of engine and brakes, s
THROTTLE, RETARD = 0.025, 0.0083  # pedal per unit of speed that is missing, or too much
SLIDING = 0.12  # share of the throttle that is let go per unit of sideways speed
EASE = 0.69  # share of the throttle that is let go per unit of steering: with gas in a bend the rear breaks away
# A car that is lost, far beside the road or sliding across it, comes to rest first and crawls back.
BESIDE, ACROSS = 1.0, 15.0  # distance off the edge, and sideways speed, above which the car counts as lost
CALM, CRAWL, GENTLE = 4.0, 20.0, 0.3  # sideways speed above which the car only brakes; its speed then, and its gas


class Driver:
    """Drives one `gymnasium` CarRacing game that has been reset; made anew for every track."""

    def __init__(self, game: Any):
        from envs.kart.line import least_bending  # compiled

        self.game = game
        track = np.array(game.track)
        self.points = np.ascontiguousarray(track[:, 2:4])  # [T, 2]
        self.turn = track[:, 1]  # the road's direction, rad: 0 upwards, to the left positive
        right = np.stack([np.cos(track[:, 1]), np.sin(track[:, 1])], 1)
        self.line = self.points + least_bending(self.points, right, HALF - ROOM)[:, None] * right
        self.pace = _pace(self.line)
        self.at = 0  # nearest point of the track

    def act(self) -> np.ndarray:
        """Steering (right is positive), and gas (above 0) or brake (below): float32 [2] in -1..1."""
        hull = self.game.car.hull
        place = np.array(hull.position)
        self._find(place)
        cos, sin = math.cos(hull.angle), math.sin(hull.angle)
        vx, vy = hull.linearVelocity
        speed, sideways = max(vy * cos - vx * sin, 0.0), vx * cos + vy * sin

        ahead, right, distance = self._aim(place, cos, sin, min(LOOK_NEAR + LOOK_TIME * speed, REACH))
        steer = math.atan(2.0 * BASE * right / distance**2) if ahead > 0 else math.copysign(1.0, right)
        missing = self.pace[(self.at + round(PREVIEW * speed / STEP)) % len(self.pace)] - speed
        grip = max(0.0, 1.0 - SLIDING * abs(sideways) - EASE * abs(steer))
        pedal = RETARD * missing if missing < 0 else THROTTLE * missing * grip
        if abs(sideways) > ACROSS or math.dist(place, self.points[self.at]) > HALF + BESIDE:
            fast = math.hypot(vx, vy)
            stop = abs(sideways) > CALM or fast > CRAWL + 10.0
            pedal = -1.0 if stop else min(THROTTLE * (CRAWL - fast), GENTLE)
        return np.clip(np.array([GAIN * steer, max(pedal, -0.8)], np.float32), -1, 1)  # brakes lock above 0.9

    def place(self) -> tuple[float, float]:
        """Where the car is: from the middle of the road to the right, and against the road's direction, rad."""
        hull = self.game.car.hull
        place = np.array(hull.position)
        self._find(place)
        turn = self.turn[self.at]
        heading = math.remainder(turn - hull.angle, 2 * math.pi)
        return float((place - self.points[self.at]) @ (math.cos(turn), math.sin(turn))), heading

    def _find(self, place: np.ndarray) -> None:
        """The nearest point of the track: close to the last one, unless the car has been thrown far from there."""
        near = (self.at + np.arange(-5, 16)) % len(self.points)
        gaps = ((self.points[near] - place) ** 2).sum(1)
        self.at = int(near[gaps.argmin()])
        if gaps.min() > 30.0**2:
            self.at = int(((self.points - place) ** 2).sum(1).argmin())

    def _aim(self, place: np.ndarray, cos: float, sin: float, look: float) -> tuple[float, float, float]:
        """The first point of the line, from here on, that lies in front at least `look` away: how far it is ahead, to
        the right, and away. Where there is none, one some way further on."""
        way = self.line[(self.at + np.arange(1, 40)) % len(self.line)] - place
        ahead, right, distance = way[:, 1] * cos - way[:, 0] * sin, way @ (cos, sin), np.hypot(*way.T)
        fits = (distance >= look) & (ahead > 0)
        k = int(fits.argmax()) if fits.any() else len(way) - 1
        return float(ahead[k]), float(right[k]), max(float(distance[k]), 1.0)


def _pace(line: np.ndarray) -> np.ndarray:
    """Speeds [T] that a closed line [T, 2] allows: what bends take, then braking in time for them."""
    before, after = line - np.roll(line, 2, 0), np.roll(line, -2, 0) - line
    angle = np.abs(np.arctan2(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0], (before * after).sum(1)))
    bend = angle / np.maximum(0.5 * (np.hypot(*before.T) + np.hypot(*after.T)), 1e-6)
    pace = np.minimum(TOP_SPEED, np.sqrt(GRIP / np.maximum(bend, 1e-4)))
    step = np.hypot(*(np.roll(line, -1, 0) - line).T)
    for i in range(2 * len(pace) - 1, -1, -1):  # twice around, backwards
        here, ahead = i % len(pace), (i + 1) % len(pace)
        pace[here] = min(pace[here], math.sqrt(pace[ahead] ** 2 + 2.0 * BRAKES * step[here]))
    return pace
