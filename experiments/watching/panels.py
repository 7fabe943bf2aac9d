"""The panels beside the picture, drawn for windows and videos; the web page draws its own from the same facts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from experiments.overlay import font
from experiments.video import enlarge

WIDTH = 320  # px of the column
EDGE = 12  # margin around the panels, in px
GROUND, CARD, INK, QUIET, ACCENT, SECOND = "#16181c", "#262a31", "#e8e6e0", "#a0a4ad", "#5aa9f8", "#f0b35a"
THIRD = "#8fd18a"
MOST = 9  # bars shown at most, if there are more actions


def beside(picture: np.ndarray, player: Any) -> np.ndarray:
    """The picture, enlarged, with a column of panels for each seat: uint8 [H, W, 3]."""
    return with_columns(picture, player.status(), [seat.history() for seat in player.seats], player.focus.seen())


def with_columns(
    picture: np.ndarray, status: dict[str, Any], histories: Sequence[dict[str, Any]], seen: np.ndarray | None
) -> np.ndarray:
    """As `beside`, from the facts alone. The size depends on the picture and the number of seats only."""
    picture = enlarge(picture)
    columns = [
        column(status, seat, history, seen if i == 0 else None, picture.shape[0])
        for i, (seat, history) in enumerate(zip(status["seats"], histories, strict=True))
    ]
    return np.concatenate([picture, *columns], axis=1)


def column(
    status: dict[str, Any], seat: dict[str, Any], history: dict[str, Any], seen: np.ndarray | None, height: int
) -> np.ndarray:
    """One column of panels, uint8 [height, WIDTH, 3]; what does not fit is left out."""
    image = Image.new("RGB", (WIDTH, height), GROUND)
    draw = ImageDraw.Draw(image)
    y = _head(draw, status, seat)
    if seat["heights"]:
        y = _bars(draw, seat, y)
    for name, colour in (("value", ACCENT), ("reward", SECOND), ("score", THIRD)):
        if y + 70 <= height and any(v is not None for v in history[name]):
            y = _curve(draw, name, history[name], colour, y)
    if seen is not None and y + 60 <= height:
        _seen(image, draw, seen, y)
    return np.asarray(image)


def _head(draw: ImageDraw.ImageDraw, status: dict[str, Any], seat: dict[str, Any]) -> int:
    draw.text((EDGE, 8), f"{status['game']}  ·  {seat['label']}"[:44], INK, font(15))
    stage = "" if seat["stage"] is None else f"{seat['stage']} % of training, "
    step = "untrained" if seat["step"] < 0 else f"step {seat['step']:,}"
    who = "a person plays" if seat["human"] else seat["policy"]
    draw.text((EDGE, 28), f"{stage}{step}  ·  {who}  ·  seed {status['seed']}"[:52], QUIET, font(12))
    score = "-" if seat["score"] is None else f"{seat['score']:.10g}"
    draw.text((EDGE, 46), f"score {score}", INK, font(26))
    last = "" if seat["last_score"] is None else f"last game {seat['last_score']:.10g}"
    last = last if seat["winrate"] is None else f"winrate {seat['winrate']:.0%}"
    draw.text((WIDTH - EDGE, 60), last, QUIET, font(12), anchor="ra")
    return 86


def _bars(draw: ImageDraw.ImageDraw, seat: dict[str, Any], y: int) -> int:
    """Action values or probabilities; of many actions the highest; the chosen one is marked."""
    heights = [0.0 if h is None else h for h in seat["heights"]]
    chosen = seat["chosen"] if isinstance(seat["chosen"], int) else None
    order = list(range(len(heights)))
    if len(order) > MOST:
        order = sorted(order, key=lambda i: (i != chosen, -heights[i]))[:MOST]
        order.sort(key=lambda i: -heights[i])
    title = {"values": "action values", "probabilities": "probabilities", "mean": "actions"}[seat["bars"]]
    draw.text((EDGE, y), title, QUIET, font(12))
    y += 18
    low, high = (0.0, 1.0) if seat["bars"] == "probabilities" else (min(heights), max(heights))
    if seat["bars"] == "mean":
        low, high = -1.0, 1.0
    left, right = 112, WIDTH - 64
    for i in order:
        share = (min(max(heights[i], low), high) - low) / (high - low) if high > low else 1.0
        colour = ACCENT if i == chosen else "#59606c"
        draw.rectangle((left, y + 2, right, y + 12), CARD)
        draw.rectangle((left, y + 2, left + max(1, round(share * (right - left))), y + 12), colour)
        ink = INK if i == chosen else QUIET
        draw.text((EDGE, y), seat["actions"][i][:16], ink, font(12))
        draw.text((WIDTH - EDGE, y), f"{heights[i]:.3g}", ink, font(12), anchor="ra")
        y += 17
    return y + 8


def _curve(draw: ImageDraw.ImageDraw, name: str, rows: Sequence[float | None], colour: str, y: int) -> int:
    rows = [v for v in rows if v is not None]  # None: nobody asked for reasons then
    draw.text((EDGE, y), name, QUIET, font(12))
    draw.text((WIDTH - EDGE, y), f"{rows[-1]:.3g}", INK, font(12), anchor="ra")
    top, bottom, right = y + 18, y + 58, WIDTH - EDGE
    draw.rectangle((EDGE, top, right, bottom), CARD)
    low, high = min(rows), max(rows)
    span = high - low or 1.0
    step = (right - EDGE) / max(1, len(rows) - 1)
    points = [(EDGE + i * step, bottom - 2 - (v - low) / span * (bottom - top - 4)) for i, v in enumerate(rows)]
    if len(points) > 1:
        draw.line(points, colour, 2)
    return bottom + 10


def _seen(image: Image.Image, draw: ImageDraw.ImageDraw, seen: np.ndarray, y: int) -> None:
    draw.text((EDGE, y), "what the network sees (newest on the right)", QUIET, font(12))
    room = (WIDTH - 2 * EDGE, image.height - y - 18 - EDGE)
    factor = min(room[0] / seen.shape[1], room[1] / seen.shape[0])
    size = (max(1, int(seen.shape[1] * factor)), max(1, int(seen.shape[0] * factor)))
    image.paste(Image.fromarray(seen).resize(size, Image.Resampling.BOX), (EDGE, y + 18))


def titled(picture: np.ndarray, text: str) -> np.ndarray:
    """A line of text below the (enlarged) picture, for clips that are joined."""
    picture = enlarge(picture)
    bar = Image.new("RGB", (picture.shape[1], 28), GROUND)
    ImageDraw.Draw(bar).text((8, 5), text, INK, font(14))
    return np.concatenate([picture, np.asarray(bar)])
