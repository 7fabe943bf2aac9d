"""What is drawn over and beside pictures: reasons of a network, boards, steering and pedals. Pillow and numpy alone."""

from __future__ import annotations

import functools
import math
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

USER = (80, 220, 110)  # colour of the driver's action: green
PILOT = (90, 170, 255)  # colour of the network's action: blue
WARN = (255, 120, 80)
INK, QUIET, GROUND, GRID = (235, 235, 230), (150, 155, 165), (24, 26, 31), (58, 62, 72)
SECONDS = 10  # time that a plot shows, in s
HEAT = np.array([255, 64, 32], np.float32)  # colour of the pixels that drive the choice
SIDE = 84  # smallest side of one frame of the stack, in px


@functools.lru_cache
def font(size: int) -> Any:
    """Pillow's own font in this size, in px."""
    return ImageFont.load_default(size)


def times(picture: np.ndarray, factor: int) -> np.ndarray:
    """An enlargement of [H, W, ...] by a whole factor; a factor below 1 counts as 1."""
    return picture.repeat(max(1, factor), 0).repeat(max(1, factor), 1)


def larger(picture: np.ndarray, height: int) -> np.ndarray:
    """An enlargement of [H, W, 3] to at most `height` rows; never smaller than it was."""
    return times(picture, height // picture.shape[0])


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


def sheet(pictures: Sequence[np.ndarray], captions: Sequence[str], width: int = 1320) -> np.ndarray:
    """Pictures of one size in rows that are no wider than `width`, each with a caption below: uint8 [H, W, 3]."""
    titled = []
    for picture, caption in zip(pictures, captions, strict=True):
        bar = Image.new("RGB", (picture.shape[1], 16), GROUND)
        ImageDraw.Draw(bar).text((1, 2), caption, QUIET, font(11))
        titled.append(np.concatenate([picture, np.asarray(bar)]))
    columns = max(1, min(len(titled), width // titled[0].shape[1]))
    return np.pad(tile(titled, columns, gap=6), ((6, 6), (6, 6), (0, 0)), constant_values=24)


def blend(
    picture: np.ndarray, heat: np.ndarray, box: tuple[float, float, float, float] | None = None, strength: float = 0.75
) -> np.ndarray:
    """Lays a heat map [h, w] in 0..1 over a picture uint8 [H, W, 3].

    box: the part of the picture that the map belongs to (px from the left, from the top, wide, high); None: all of it.
    """
    left, top, width, height = (0, 0, *picture.shape[1::-1]) if box is None else map(round, box)
    stretched = Image.fromarray(np.asarray(heat, np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    out = picture.copy()
    part = out[top : top + height, left : left + width]
    weight = strength * np.asarray(stretched).clip(0, 1)[: part.shape[0], : part.shape[1], None]
    part[:] = (part * (1 - weight) + HEAT * weight).astype(np.uint8)
    return out


def inset(picture: np.ndarray, small: np.ndarray) -> np.ndarray:
    """`small` in the lower left corner of a picture, by a whole factor up to a third of its width, in a dark frame."""
    large = times(small, picture.shape[1] // 3 // small.shape[1])
    large = np.pad(large, ((3, 0), (0, 3), (0, 0)), constant_values=20)
    large = large[-picture.shape[0] :, : picture.shape[1]]
    out = picture.copy()
    out[-large.shape[0] :, : large.shape[1]] = large
    return out


def on_board(picture: np.ndarray, values: np.ndarray, box: tuple[float, float, float], signed: bool) -> np.ndarray:
    """Marks the points of a board with squares that are the larger the larger `values` [rows, columns] are.

    box: (px of the first line from the left, from the top, px between lines). signed: +1 is Black's, -1 White's.
    """
    left, top, gap = box
    out, largest = picture.copy(), float(np.abs(values).max()) or 1.0
    for (row, column), value in np.ndenumerate(values):
        share = abs(float(value)) / (1.0 if signed else largest)
        if share < 0.02:
            continue
        reach = gap * 0.42 * min(1.0, share) ** 0.5
        x, y = left + column * gap, top + row * gap
        part = out[max(0, round(y - reach)) : round(y + reach) + 1, max(0, round(x - reach)) : round(x + reach) + 1]
        colour = HEAT if not signed else np.float32([20, 20, 24] if value > 0 else [250, 250, 250])
        part[:] = (part * 0.35 + colour * 0.65).astype(np.uint8)
    return out


def stack_picture(obs: np.ndarray, heat: np.ndarray | None = None) -> np.ndarray | None:
    """What a network is given, [stack, *frame]: pictures side by side, the newest on the right; None for vectors.

    heat: what drives the choice, [h, w], to be laid over the newest.
    Planes of numbers (a board) become small pictures from dark (0) to bright (1), negative ones in red.
    """
    if obs.dtype == np.uint8 and obs.ndim in (3, 4):
        frames = [coloured(frame) for frame in obs]
        if heat is not None:
            frames[-1] = blend(frames[-1], heat)
        return tile(frames, len(obs), gap=2)
    if obs.ndim == 4:  # [1, C, H, W] float
        planes = obs[-1][:32]
        scale = np.abs(planes).max((1, 2), keepdims=True).clip(1e-6)
        bright = (planes / np.maximum(scale, 1) * 255).astype(np.float32)
        red, rest = np.abs(bright), bright.clip(0)
        pictures = np.stack([red, rest, rest], -1).clip(0, 255).astype(np.uint8)
        return tile([times(p, 48 // pictures.shape[1]) for p in pictures], 8, gap=2)
    return None


def coloured(frame: np.ndarray) -> np.ndarray:
    """One frame [H, W], [H, W, 1] or [H, W, C] as a picture [H, W, 3]; small ones are enlarged by a whole factor."""
    if frame.ndim == 2:
        frame = frame[..., None]
    if frame.shape[2] == 1:
        frame = frame.repeat(3, 2)
    elif frame.shape[2] != 3:  # planes without colours: brightest plane
        frame = frame.max(2, keepdims=True).repeat(3, 2)
    return times(frame, SIDE // max(frame.shape[:2]))


def tile(pictures: Sequence[np.ndarray], columns: int, gap: int = 4, ground: int = 24) -> np.ndarray:
    """Pictures [H, W, 3] in rows of `columns`, each in a place as large as the largest of them."""
    height, width = (max(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    rows = -(-len(pictures) // columns)
    shape = (rows * (height + gap) - gap, min(columns, len(pictures)) * (width + gap) - gap, 3)
    out = np.full(shape, ground, np.uint8)
    for i, picture in enumerate(pictures):
        y, x = i // columns * (height + gap), i % columns * (width + gap)
        out[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    return out
