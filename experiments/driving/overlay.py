"""What is drawn beside and over pictures of driving: steering, pedals, histories, numbers. Pillow and numpy alone."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

USER = (80, 220, 110)  # colour of the driver's action: green
PILOT = (90, 170, 255)  # colour of the network's action: blue
WARN = (255, 120, 80)
INK, QUIET, GROUND, GRID = (235, 235, 230), (150, 155, 165), (24, 26, 31), (58, 62, 72)
SECONDS = 10  # time that a plot shows, in s


def font(size: int) -> ImageFont.ImageFont:
    """Pillow's own font."""
    return ImageFont.load_default(size)


def larger(picture: np.ndarray, height: int) -> np.ndarray:
    """A whole-factor enlargement of [H, W, 3] to at most `height` rows; never smaller than it was."""
    factor = max(1, height // picture.shape[0])
    return picture.repeat(factor, 0).repeat(factor, 1)


def with_steering(picture: np.ndarray, user: float | None = None, pilot: float | None = None) -> np.ndarray:
    """A copy of uint8 [H, W, 3] with a ray from the bottom per steering in [-1, 1]: straight up is 0, 60 degrees is 1.

    user in green, pilot in blue; None draws nothing.
    """
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    height, width = picture.shape[:2]
    for angle, colour, share in ((pilot, PILOT, 0.30), (user, USER, 0.38)):
        if angle is None or math.isnan(angle):
            continue
        turn = math.radians(60.0) * min(max(angle, -1.0), 1.0)
        begin, reach = (width / 2, height - 1), share * height
        end = (begin[0] + reach * math.sin(turn), begin[1] - reach * math.cos(turn))
        thick = max(1, round(height / 60))
        draw.line([begin, end], fill=(0, 0, 0), width=thick + 2)
        draw.line([begin, end], fill=colour, width=thick)
    return np.asarray(image)


def wheel(size: int, user: float | None = None, pilot: float | None = None) -> np.ndarray:
    """Two steering wheels in one, uint8 [size, size, 3]: the driver's whole, the network's as a ring outside."""
    image = Image.new("RGB", (size, size), GROUND)
    draw = ImageDraw.Draw(image)
    middle, thick = size / 2, max(2, size // 24)
    for angle, colour, radius in ((pilot, PILOT, 0.46 * size), (user, USER, 0.34 * size)):
        if angle is None or math.isnan(angle):
            continue
        box = [middle - radius, middle - radius, middle + radius, middle + radius]
        draw.ellipse(box, outline=colour, width=thick)
        turn = math.radians(120.0) * min(max(angle, -1.0), 1.0)
        for spoke in (turn, turn + 2.1, turn - 2.1):
            inner = 0.0 if colour == USER else 0.36 * size / radius
            if colour == PILOT and spoke != turn:
                continue
            tip = (middle + radius * math.sin(spoke), middle - radius * math.cos(spoke))
            root = (middle + inner * radius * math.sin(spoke), middle - inner * radius * math.cos(spoke))
            draw.line([root, tip], fill=colour, width=thick)
    return np.asarray(image)


class Plot:
    """The last 10 s of a driver's controls: steering above, pedal below; the network's too where there is one.

    rate: control steps a second.
    """

    def __init__(self, rate: float):
        self.rate, self.length = rate, round(SECONDS * rate)
        self.rows: deque[tuple[float, float, float]] = deque(maxlen=self.length)

    def add(self, steer: float | None, throttle: float | None, pilot: float | None = None) -> None:
        """Steering and pedal of one control step, each in [-1, 1]; None leaves a gap."""
        self.rows.append(tuple(math.nan if v is None else float(v) for v in (steer, throttle, pilot)))

    def picture(self, width: int, height: int) -> np.ndarray:
        """uint8 [height, width, 3]."""
        image = Image.new("RGB", (width, height), GROUND)
        draw = ImageDraw.Draw(image)
        half = height // 2
        reach = half / 2 - 4
        for top, name, ends in ((0, "steering", ("left -1", "right +1")), (half, "pedal", ("throttle +1", "brake -1"))):
            for place, anchor, text in ((-reach, "ra", ends[0]), (0, "rm", "0"), (reach, "rs", ends[1])):
                y = top + half / 2 + place
                draw.line([(0, y), (width, y)], fill=GRID)
                draw.text((width - 6, y + (2 if place < 0 else -2 if place else 0)), text, QUIET, font(10), anchor)
            draw.text((6, top + 6), name, fill=QUIET, font=font(11))
        for second in range(1, SECONDS):
            x = width - second * self.rate * width / self.length
            draw.line([(x, height - 4), (x, height)], fill=QUIET)
        draw.text((6, height - 6), f"{SECONDS} s ago", QUIET, font(10), "ls")
        draw.line([(0, half), (width, half)], fill=GRID)
        for column, top, sign, colour in ((2, 0, 1, PILOT), (0, 0, 1, USER), (1, half, -1, INK)):
            self._curve(draw, column, top + half / 2, sign * (half / 2 - 4), width, colour)
        return np.asarray(image)

    def _curve(self, draw: ImageDraw.ImageDraw, column: int, zero: float, reach: float, width: int, colour) -> None:
        start = self.length - len(self.rows)
        spots: list[tuple[float, float]] = []
        for k, row in enumerate([*self.rows, (math.nan,) * 3]):
            if math.isnan(row[column]):
                if len(spots) > 1:
                    draw.line(spots, fill=colour, width=2)
                spots = []
            else:
                spots.append(((start + k) * width / self.length, zero + reach * min(max(row[column], -1.0), 1.0)))


def panel(
    picture: np.ndarray, plot: Plot, lines: Sequence[str], *, warn: str = "", inset: np.ndarray | None = None
) -> np.ndarray:
    """A picture with the controls' histories below it and lines of text to the right, as one picture.

    inset: a small picture below the text, where there is room.
    """
    shown = larger(picture, 400)
    height, width = shown.shape[:2]
    side, strip = 250, 130
    out = np.empty((height + strip, width + side, 3), np.uint8)
    out[:] = GROUND
    out[:height, :width] = shown
    out[height:] = plot.picture(width + side, strip)
    image = Image.fromarray(out[:height, width:])
    draw = ImageDraw.Draw(image)
    for k, line in enumerate(lines):
        draw.text((14, 10 + 21 * k), line, fill=INK, font=font(16))
    if warn:
        draw.text((14, 12 + 21 * len(lines)), warn, fill=WARN, font=font(16))
    if inset is not None and not warn:
        small = larger(inset, 100)
        top = height - small.shape[0] - 10
        if top > 21 * len(lines) + 26 and small.shape[1] <= side - 28:
            image.paste(Image.fromarray(small), (14, top))
            draw.text((14, top - 18), "recorded", fill=QUIET, font=font(11))
    out[:height, width:] = np.asarray(image)
    return out


def sheet(tiles: Sequence[np.ndarray], captions: Sequence[str], columns: int) -> np.ndarray:
    """Pictures of one size in rows, each with a caption below, uint8 [H, W, 3]."""
    height, width = tiles[0].shape[:2]
    rows = -(-len(tiles) // columns)
    out = Image.new("RGB", (columns * (width + 6) + 6, rows * (height + 22) + 6), GROUND)
    draw = ImageDraw.Draw(out)
    for k, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        x, y = 6 + (k % columns) * (width + 6), 6 + (k // columns) * (height + 22)
        out.paste(Image.fromarray(tile), (x, y))
        draw.text((x + 1, y + height + 2), caption, fill=QUIET, font=font(11))
    return np.asarray(out)
