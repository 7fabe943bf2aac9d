"""A Go board drawn for people: wood, slate and shell, coordinates, the last move, and a line of text
below.
"""

from functools import lru_cache

import numpy as np

from envs.go.game import COLUMNS

SIDE = 640  # width of the picture and of the square with the board, px
FOOT = 48  # height of the line below, px
DARK, LIGHT = np.array([32, 35, 40], np.float32), np.array([226, 222, 212], np.float32)
INK = np.array([58, 38, 18], np.float32)
ACCENT = np.array([214, 72, 56], np.float32)
HOSHI = {5: [], 7: [], 9: [2, 6], 11: [2, 8], 13: [3, 9]}  # lines of the corner stars; larger boards 3 from the edge


def geometry(size: int) -> tuple[float, float]:
    """(px of the first line from the left and from the top, px between lines)."""
    gap = (SIDE - 24) / (size + 1.3)
    return (SIDE - gap * (size - 1)) / 2, gap


def action_at(x: float, y: float, size: int) -> int:
    """The action of the intersection nearest to a pixel, or -1 off the board."""
    first, gap = geometry(size)
    column, row = round((x - first) / gap), round((y - first) / gap)
    return row * size + column if 0 <= column < size and 0 <= row < size else -1


def stars(size: int) -> list[int]:
    """Actions of the marked points."""
    if size < 9:
        return [size // 2 * (size + 1)] if size % 2 and size > 3 else []
    lines = HOSHI.get(size, [3 if size > 12 else 2, size - 4 if size > 12 else size - 3])
    points = [row * size + column for row in lines for column in lines]
    if size % 2:
        middle = size // 2
        points.append(middle * (size + 1))
        if size > 13:
            points += [p for line in lines for p in (line * size + middle, middle * size + line)]
    return points


@lru_cache(maxsize=256)
def text_mask(text: str, height: int) -> np.ndarray:
    """The text in the standard font, float32 [h, w] in 0..1."""
    import pygame.font
    import pygame.surfarray

    pygame.font.init()
    surface = pygame.font.Font(None, height).render(text, True, (255, 255, 255))
    return pygame.surfarray.array_alpha(surface).T.astype(np.float32) / 255


def blend(image: np.ndarray, mask: np.ndarray, colour: np.ndarray, top: int, left: int) -> None:
    """Paints `colour` ([3], or [h, w, 3]) through a mask [h, w] in 0..1 whose corner lies at (top, left)."""
    height, width = mask.shape
    up, before = max(-top, 0), max(-left, 0)
    down, behind = min(height, image.shape[0] - top), min(width, image.shape[1] - left)
    if up >= down or before >= behind:
        return
    target = image[top + up : top + down, left + before : left + behind]
    alpha = mask[up:down, before:behind, None]
    source = colour[up:down, before:behind] if colour.ndim == 3 else colour
    target += alpha * (source - target)


def write(image: np.ndarray, text: str, height: int, colour: np.ndarray, x: float, y: float, anchor: float = 0.5):
    """Writes with the middle of the line at y; anchor 0, 0.5 or 1: x is its left end, middle or right end."""
    mask = text_mask(text, height)
    blend(image, mask, colour, round(y - mask.shape[0] / 2), round(x - anchor * mask.shape[1]))


@lru_cache(maxsize=8)
def empty_board(size: int) -> np.ndarray:
    """The board without stones, float32 [SIDE + FOOT, SIDE, 3]. Read-only."""
    image = np.empty((SIDE + FOOT, SIDE, 3), np.float32)
    image[:] = DARK
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    noise = np.random.Generator(np.random.PCG64(5)).normal(size=(SIDE // 8 + 2, 40)).astype(np.float32)
    wave = np.sin(y / 97 + 1.7) * 9 + np.sin(y / 41) * 3  # the grain runs from top to bottom and bends a little
    across = (x + wave) / SIDE * 38 + 0.5
    column, part = across.astype(int).clip(0, 38), (across % 1)[..., None]
    rows = noise[(y // 8).astype(int) // 12]  # long streaks
    streak = np.take_along_axis(rows, column[..., None], 2) * (1 - part)
    streak += np.take_along_axis(rows, column[..., None] + 1, 2) * part
    rings = 0.5 + 0.5 * np.sin(across[..., None] * 5.1 + 1.5 * np.sin(y[..., None] / 130))
    fine = np.sin(across[..., None] * 61) * 0.35
    wood = np.array([222, 178, 112], np.float32) + np.array([9, 9, 8], np.float32) * (
        0.35 * np.clip(streak, -2, 2) + 0.9 * (rings - 0.5) + fine
    )
    edge = np.minimum(np.minimum(x, y), SIDE - 1 - np.maximum(x, y)) - 12  # px inside the plate
    corner = 10.0
    dx, dy = np.minimum(x, SIDE - 1 - x) - 12 - corner, np.minimum(y, SIDE - 1 - y) - 12 - corner
    rounded = np.where((dx < 0) & (dy < 0), corner - np.hypot(dx, dy), edge)
    wood *= (1 - 0.16 * np.exp(-np.clip(edge, 0, None) / 7))[..., None]
    blend(image, np.clip(rounded + 0.5, 0, 1), wood, 0, 0)

    first, gap = geometry(size)
    last = first + gap * (size - 1)
    width = max(1.0, gap / 34)
    for line in range(size):
        at = first + gap * line
        thick = width * (1.7 if line in (0, size - 1) else 1.0)
        inside = (
            np.clip(x, first - thick / 2, last + thick / 2) == x,
            np.clip(y, first - thick / 2, last + thick / 2) == y,
        )
        blend(image, np.clip(thick / 2 + 0.5 - np.abs(x - at), 0, 1) * inside[1] * 0.85, INK, 0, 0)
        blend(image, np.clip(thick / 2 + 0.5 - np.abs(y - at), 0, 1) * inside[0] * 0.85, INK, 0, 0)
        letter, number = COLUMNS[line], str(size - line)
        height, away = int(max(15, min(24, gap * 0.42))), gap * 0.78
        for end in (first - away, last + away):
            write(image, letter, height, INK, at, end)
            write(image, number, height, INK, end, at)
    for point in stars(size):
        middle = first + gap * (point % size), first + gap * (point // size)
        distance = np.hypot(x - middle[0], y - middle[1])
        blend(image, np.clip(max(2.6, gap * 0.075) - distance + 0.5, 0, 1), INK, 0, 0)
    image.flags.writeable = False
    return image


@lru_cache(maxsize=32)
def stone(colour: int, gap: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A stone of radius 0.48 gaps, lit from the upper left: (mask [k, k], colours [k, k, 3], shadow [k,
    k]).
    """
    radius = gap * 0.48
    half = int(np.ceil(radius * 1.4))
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float32) / radius
    distance = np.hypot(x, y)
    up = np.sqrt(np.clip(1 - distance**2, 0, 1))
    facing = np.clip((-0.42 * x - 0.55 * y + 0.72 * up), 0, 1)
    gleam = np.clip(-0.46 * x - 0.56 * y + 0.69 * up, 0, 1)[..., None]
    if colour == 1:
        body = np.array([26, 28, 32], np.float32) + 34 * facing[..., None] + 95 * gleam**14
    else:
        shell = 2.0 * np.sin((x + 0.25 * np.sin(2.2 * y)) * 17)  # the faint lines of a clam shell
        body = np.array([196, 194, 188], np.float32) + 52 * facing[..., None] ** 0.7 + shell[..., None]
        body += 14 * gleam**10
    mask = np.clip((1 - distance) * radius + 0.5, 0, 1)
    shadow = 0.5 * np.clip(1.25 - np.hypot(x - 0.09, y - 0.14), 0, 0.3) / 0.3
    return mask, np.clip(body, 0, 255), shadow


def draw(board: np.ndarray, *, last: int = -1, banned: int = -1, foot: str = "", note: str = "") -> np.ndarray:
    """The picture, RGB uint8 [SIDE + FOOT, SIDE, 3].

    board: int8 [size, size], 0 empty, 1 Black, 2 White. last: action to be marked as the last move; banned:
    one that ko forbids. foot and note: text at the left and the right of the line below.
    """
    size = len(board)
    first, gap = geometry(size)
    image = empty_board(size).copy()
    places = [(int(row), int(column)) for row, column in np.argwhere(board)]
    for layer in ("shadow", "stone"):  # all shadows first: none falls on a neighbour
        for row, column in places:
            mask, body, shadow = stone(int(board[row, column]), gap)
            half = mask.shape[0] // 2
            top, left = round(first + gap * row) - half, round(first + gap * column) - half
            if layer == "shadow":
                blend(image, shadow, INK * 0.3, top, left)
            else:
                blend(image, mask, body, top, left)
    radius = gap * 0.17
    half = int(radius) + 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float32)
    if 0 <= last < size * size:
        dot = np.clip(radius - np.hypot(x, y) + 0.5, 0, 1)
        blend(image, dot, ACCENT, round(first + gap * (last // size)) - half, round(first + gap * (last % size)) - half)
    if 0 <= banned < size * size:
        square = np.clip(1.5 - np.abs(np.maximum(np.abs(x), np.abs(y)) - radius), 0, 1)
        blend(
            image,
            square,
            ACCENT,
            round(first + gap * (banned // size)) - half,
            round(first + gap * (banned % size)) - half,
        )
    write(image, foot, 26, LIGHT, 20, SIDE + FOOT / 2 - 2, 0.0)
    write(image, note, 26, LIGHT, SIDE - 20, SIDE + FOOT / 2 - 2, 1.0)
    return image.round().clip(0, 255).astype(np.uint8)
