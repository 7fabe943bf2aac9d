"""The game's sprites, made by casting rays at a few boxes, ellipsoids and frusta. Nothing is loaded from a file.

A sprite is a premultiplied RGBA picture [64, 64, 4] that stands on the ground FOOT above its lower edge. Karts
are seen from 13 directions (the other side is the mirror image) in 8 colours.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit

from envs.kart import plates

SIZE = 64  # pixels per side of the finest level
LEVELS = 4  # levels of a sprite, 64, 32, 16 and 8 pixels
KART_VIEWS = 13  # views of a kart, 0: from behind, 6: from the side, 12: from the front
TINTS = ((214, 40, 40), (36, 92, 216), (240, 190, 30), (46, 166, 72), (240, 120, 24), (150, 70, 200),
         (235, 235, 235), (30, 180, 190))  # fmt: skip
ELEVATION = math.radians(14.0)
FOOT = 0.09  # height of the ground point above the lower edge, as a fraction of the picture

BOX, ELLIPSOID, FRUSTUM = 0, 1, 2
# A part: kind, centre (forward, left, up), half sizes, colour; a frustum has radii at bottom and top and half a
# height as its "half sizes". A colour of TINT takes the kart's own; CHEVRON is the pattern of the signs.
TINT, CHEVRON = (-1, -1, -1), (-2, -2, -2)
TYRE, METAL, SKIN, SUIT = (28, 28, 30), (120, 124, 130), (225, 180, 150), (60, 60, 74)

KART = [
    (BOX, (0.05, 0.0, 0.20), (0.62, 0.36, 0.07), TINT),  # floor
    (BOX, (0.62, 0.0, 0.24), (0.16, 0.20, 0.08), TINT),  # nose
    (BOX, (0.80, 0.0, 0.16), (0.05, 0.46, 0.05), METAL),  # front bumper
    (BOX, (0.02, 0.46, 0.24), (0.30, 0.10, 0.11), TINT),  # side pods
    (BOX, (0.02, -0.46, 0.24), (0.30, 0.10, 0.11), TINT),
    (BOX, (-0.55, 0.0, 0.30), (0.16, 0.30, 0.13), METAL),  # engine
    (BOX, (-0.72, 0.0, 0.62), (0.10, 0.44, 0.03), TINT),  # wing
    (BOX, (-0.70, 0.30, 0.48), (0.03, 0.03, 0.12), METAL),
    (BOX, (-0.70, -0.30, 0.48), (0.03, 0.03, 0.12), METAL),
    (BOX, (-0.28, 0.0, 0.46), (0.06, 0.22, 0.22), TYRE),  # seat
    (ELLIPSOID, (-0.55, 0.50, 0.24), (0.25, 0.13, 0.25), TYRE),
    (ELLIPSOID, (-0.55, -0.50, 0.24), (0.25, 0.13, 0.25), TYRE),
    (ELLIPSOID, (0.52, 0.48, 0.20), (0.20, 0.10, 0.20), TYRE),
    (ELLIPSOID, (0.52, -0.48, 0.20), (0.20, 0.10, 0.20), TYRE),
    (ELLIPSOID, (-0.14, 0.0, 0.62), (0.16, 0.22, 0.27), SUIT),  # driver
    (ELLIPSOID, (0.10, 0.20, 0.62), (0.22, 0.06, 0.06), SUIT),
    (ELLIPSOID, (0.10, -0.20, 0.62), (0.22, 0.06, 0.06), SUIT),
    (ELLIPSOID, (-0.12, 0.0, 1.00), (0.19, 0.18, 0.20), TINT),  # helmet
    (BOX, (0.02, 0.0, 1.01), (0.07, 0.13, 0.05), (20, 22, 30)),  # visor
]
# Each: (width and height of the square that the picture covers, m; radius of its shadow, m; parts).
MODELS = {
    "cone": (0.9, 0.35, [
        (BOX, (0, 0, 0.03), (0.26, 0.26, 0.03), (40, 36, 34)),
        (FRUSTUM, (0, 0, 0.18), (0.20, 0.14, 0.13), (245, 100, 20)),
        (FRUSTUM, (0, 0, 0.41), (0.14, 0.095, 0.10), (245, 245, 240)),
        (FRUSTUM, (0, 0, 0.62), (0.095, 0.04, 0.12), (245, 100, 20)),
    ]),
    "sign": (2.4, 0.0, [
        (BOX, (0, 0.7, 0.4), (0.06, 0.06, 0.4), METAL),
        (BOX, (0, -0.7, 0.4), (0.06, 0.06, 0.4), METAL),
        (BOX, (0, 0, 1.35), (0.06, 1.12, 0.62), CHEVRON),
    ]),
    "tree": (6.4, 2.0, [
        (FRUSTUM, (0, 0, 1.0), (0.28, 0.2, 1.0), (104, 74, 48)),
        (ELLIPSOID, (0, 0, 3.4), (1.8, 1.8, 1.6), (52, 122, 44)),
        (ELLIPSOID, (0.2, 1.1, 2.8), (1.2, 1.2, 1.0), (62, 138, 50)),
        (ELLIPSOID, (0.2, -1.2, 2.9), (1.2, 1.2, 1.1), (46, 112, 42)),
        (ELLIPSOID, (0, 0.3, 4.6), (1.2, 1.2, 1.1), (74, 150, 56)),
    ]),
    "pine": (6.8, 1.5, [
        (FRUSTUM, (0, 0, 0.5), (0.24, 0.2, 0.5), (96, 68, 46)),
        (FRUSTUM, (0, 0, 1.9), (1.6, 0.5, 1.0), (34, 92, 56)),
        (FRUSTUM, (0, 0, 3.4), (1.25, 0.35, 0.9), (38, 102, 60)),
        (FRUSTUM, (0, 0, 4.9), (0.9, 0.05, 1.0), (44, 112, 64)),
    ]),
    "snow pine": (6.8, 1.5, [
        (FRUSTUM, (0, 0, 0.5), (0.24, 0.2, 0.5), (84, 66, 54)),
        (FRUSTUM, (0, 0, 1.5), (1.65, 1.2, 0.5), (52, 92, 80)),
        (FRUSTUM, (0, 0, 2.4), (1.2, 0.5, 0.5), (232, 240, 248)),
        (FRUSTUM, (0, 0, 3.1), (1.25, 0.8, 0.4), (54, 96, 84)),
        (FRUSTUM, (0, 0, 3.9), (0.8, 0.4, 0.5), (236, 243, 250)),
        (FRUSTUM, (0, 0, 5.0), (0.75, 0.05, 0.8), (240, 246, 252)),
    ]),
    "bush": (2.4, 0.95, [
        (ELLIPSOID, (0, 0.35, 0.5), (0.7, 0.7, 0.6), (66, 132, 52)),
        (ELLIPSOID, (0.1, -0.4, 0.45), (0.65, 0.65, 0.55), (56, 118, 48)),
        (ELLIPSOID, (0.2, 0, 0.8), (0.5, 0.5, 0.45), (84, 150, 62)),
    ]),
    "snow bush": (2.4, 0.95, [
        (ELLIPSOID, (0, 0.35, 0.5), (0.7, 0.7, 0.6), (214, 226, 238)),
        (ELLIPSOID, (0.1, -0.4, 0.45), (0.65, 0.65, 0.55), (200, 214, 230)),
        (ELLIPSOID, (0.2, 0, 0.8), (0.5, 0.5, 0.45), (240, 246, 252)),
    ]),
    "cactus": (4.4, 0.6, [
        (FRUSTUM, (0, 0, 1.7), (0.32, 0.28, 1.7), (70, 130, 70)),
        (ELLIPSOID, (0, 0, 3.4), (0.28, 0.28, 0.3), (80, 142, 78)),
        (BOX, (0, 0.65, 1.5), (0.14, 0.45, 0.15), (64, 122, 66)),
        (FRUSTUM, (0, 1.0, 2.1), (0.19, 0.17, 0.7), (72, 134, 72)),
        (BOX, (0, -0.6, 2.0), (0.14, 0.4, 0.15), (64, 122, 66)),
        (FRUSTUM, (0, -0.95, 2.5), (0.18, 0.16, 0.6), (72, 134, 72)),
    ]),
    "rock": (2.8, 1.1, [
        (ELLIPSOID, (0, 0.3, 0.4), (0.9, 0.9, 0.7), (176, 120, 78)),
        (ELLIPSOID, (0.2, -0.6, 0.3), (0.6, 0.6, 0.5), (150, 100, 66)),
        (BOX, (0, 0.2, 0.8), (0.4, 0.45, 0.3), (190, 134, 90)),
    ]),
    "lamp": (6.0, 0.0, [
        (BOX, (0, 0, 2.5), (0.09, 0.09, 2.5), (70, 74, 84)),
        (BOX, (0, 0.6, 5.0), (0.08, 0.7, 0.07), (70, 74, 84)),
        (BOX, (0, 1.2, 4.88), (0.18, 0.35, 0.08), (255, 244, 190)),
    ]),
}  # fmt: skip
KART_SPAN = 1.9  # side of a kart's picture, m


class Atlas(NamedTuple):
    """Every sprite at every level, and how large each is in the world."""

    texels: np.ndarray  # uint8 [bytes], sprite after sprite, level after level
    span: np.ndarray  # float64 [sprites], metres that the picture's side covers
    first: dict[str, int]  # name -> index; karts: "kart" + tint * KART_VIEWS + view


@njit(cache=True)
def _cast(part, ox, oy, oz, rx, ry, rz):
    """Distance along a ray to one part (row: kind, centre, half sizes, colour) and the normal there; -1 for a miss."""
    ox, oy, oz = ox - part[1], oy - part[2], oz - part[3]
    hx, hy, hz = part[4], part[5], part[6]
    if part[0] == BOX:
        ax, ay, az = (-hx - ox) / rx, (-hy - oy) / ry, (-hz - oz) / rz
        bx, by, bz = (hx - ox) / rx, (hy - oy) / ry, (hz - oz) / rz
        nx, ny, nz = min(ax, bx), min(ay, by), min(az, bz)
        near, far = max(nx, ny, nz), min(max(ax, bx), max(ay, by), max(az, bz))
        if near >= far:
            return -1.0, 0.0, 0.0, 0.0
        if near == nx:
            return near, -math.copysign(1.0, rx), 0.0, 0.0
        if near == ny:
            return near, 0.0, -math.copysign(1.0, ry), 0.0
        return near, 0.0, 0.0, -math.copysign(1.0, rz)
    if part[0] == ELLIPSOID:
        px, py, pz, dx, dy, dz = ox / hx, oy / hy, oz / hz, rx / hx, ry / hy, rz / hz
        a, b, c = dx * dx + dy * dy + dz * dz, px * dx + py * dy + pz * dz, px * px + py * py + pz * pz - 1.0
        root = b * b - a * c
        if root < 0.0:
            return -1.0, 0.0, 0.0, 0.0
        t = (-b - math.sqrt(root)) / a
        nx, ny, nz = (px + t * dx) / hx, (py + t * dy) / hy, (pz + t * dz) / hz
    else:  # a frustum: the radius changes linearly from hx at the bottom to hy at the top
        slope = (hy - hx) / (2.0 * hz)
        r = hx + slope * (oz + hz)
        a = rx * rx + ry * ry - slope * slope * rz * rz
        b = ox * rx + oy * ry - r * slope * rz
        root = b * b - a * (ox * ox + oy * oy - r * r)
        if root < 0.0:
            return -1.0, 0.0, 0.0, 0.0
        t = (-b - math.sqrt(root)) / a
        if abs(oz + t * rz) > hz:
            return -1.0, 0.0, 0.0, 0.0
        nx, ny = ox + t * rx, oy + t * ry
        nz = -slope * math.sqrt(nx * nx + ny * ny)
    size = math.sqrt(nx * nx + ny * ny + nz * nz)
    return t, nx / size, ny / size, nz / size


@njit(cache=True)
def _picture(parts, span, azimuth, shadow_x, shadow_y):
    """Two premultiplied pictures [2, SIZE, SIZE, 4]: the fixed colours, and the light on parts with a tint."""
    out = np.zeros((2, SIZE, SIZE, 4), np.float32)
    cos_a, sin_a = math.cos(azimuth), math.sin(azimuth)
    cos_e, sin_e = math.cos(ELEVATION), math.sin(ELEVATION)
    rx, ry, rz = cos_a * cos_e + 1e-9, sin_a * cos_e + 1e-9, -sin_e  # never exactly along an axis
    for y in range(SIZE):
        for x in range(SIZE):
            for sub in range(4):
                u = ((x + 0.25 + 0.5 * (sub & 1)) / SIZE - 0.5) * span
                v = (1.0 - (y + 0.25 + 0.5 * (sub >> 1)) / SIZE - FOOT) * span
                ox = u * sin_a + v * cos_a * sin_e - 50.0 * rx
                oy = -u * cos_a + v * sin_a * sin_e - 50.0 * ry
                oz = v * cos_e - 50.0 * rz
                best, part = 1e9, -1
                nx = ny = nz = 0.0
                for k in range(parts.shape[0]):
                    t, ax, ay, az = _cast(parts[k], ox, oy, oz, rx, ry, rz)
                    if 0.0 < t < best:
                        best, part, nx, ny, nz = t, k, ax, ay, az
                if part < 0:  # the shadow on the ground
                    fall = oz / -rz
                    if ((ox + fall * rx) / shadow_x) ** 2 + ((oy + fall * ry) / shadow_y) ** 2 < 1.0:
                        out[0, y, x, 3] += 100.0 / 4.0
                    continue
                lit = max(-0.434 * nx + 0.530 * ny + 0.723 * nz, 0.0)  # the sun, behind the left shoulder
                light = (0.52 + 0.5 * lit + 0.1 * nz) / 4.0
                r, g, b = parts[part, 7], parts[part, 8], parts[part, 9]
                if r == -1.0:
                    for k in range(3):
                        out[1, y, x, k] += light
                else:
                    if r == -2.0:  # white arrows on red, pointing to the picture's right
                        across, up = abs(oy + best * ry - parts[part, 2]), oz + best * rz - parts[part, 3]
                        stripe = (0.9 * abs(up) - (oy + best * ry - parts[part, 2]) + 8.0) % 0.74
                        white = stripe < 0.36 or across > 1.04 or abs(up) > 0.54
                        r, g, b = (250.0, 250.0, 250.0) if white else (205.0, 24.0, 30.0)
                    out[0, y, x, 0] += light * r
                    out[0, y, x, 1] += light * g
                    out[0, y, x, 2] += light * b
                out[0, y, x, 3] += 255.0 / 4.0
    return out


def picture(parts, span: float, azimuth: float, shadow: tuple[float, float]) -> np.ndarray:
    """Parts as the pair of pictures of `_picture`; azimuth 0 looks along +forward, from behind."""
    table = np.array([[part[0], *part[1], *part[2], *part[3]] for part in parts], float)
    return _picture(table, span, azimuth, shadow[0] + 1e-6, shadow[1] + 1e-6)


def levels(image: np.ndarray) -> np.ndarray:
    """A sprite with its halved copies, flat uint8."""
    lit = np.minimum(image[..., :3], image[..., 3:])  # the sun may not shine brighter than white
    chain = [np.concatenate([lit, image[..., 3:]], axis=2)]
    for _ in range(LEVELS - 1):
        side = chain[-1].shape[0] // 2
        chain.append(chain[-1].reshape(side, 2, side, 2, 4).mean(axis=(1, 3)))
    return np.concatenate([np.clip(np.rint(level), 0, 255).astype(np.uint8).ravel() for level in chain])


@lru_cache(maxsize=1)
def atlas() -> Atlas:
    """All sprites; made at the first call."""
    pictures, spans, first = [], [], {}
    for name, (span, shadow, parts) in MODELS.items():
        image = picture(parts, span, 0.0, (shadow, shadow))[0]
        first[name] = len(pictures)
        pictures.append(levels(image))
        spans.append(span)
        if name == "sign":
            first["sign left"] = len(pictures)
            pictures.append(levels(image[:, ::-1]))
            spans.append(span)
    for name, image in plates.pictures(SIZE, FOOT).items():
        first[name] = len(pictures)
        pictures.append(levels(image))
        spans.append(plates.SPAN)
    first["kart"] = len(pictures)
    views = [picture(KART, KART_SPAN, math.pi * k / (KART_VIEWS - 1), (0.9, 0.58)) for k in range(KART_VIEWS)]
    for tint in TINTS:
        for fixed, light in views:
            image = fixed.copy()
            image[..., :3] += light[..., :3] * np.array(tint, np.float32)
            pictures.append(levels(image))
            spans.append(KART_SPAN)
    return Atlas(np.concatenate(pictures), np.array(spans), first)
