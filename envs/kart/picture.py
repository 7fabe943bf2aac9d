"""Whole pictures of N environments: backdrop, solids, weather, sensor; colour, grey, or the drivable area."""

import math
import sys
from typing import NamedTuple

import numpy as np
from numba import njit

from envs.kart.camera import HEIGHT, PITCH, ROLL, SENSOR_TABLES, ZOOM, develop
from envs.kart.columns import ASPHALT, DETAIL, YAW_RATE
from envs.kart.drawing import new_scratch
from envs.kart.ground import ground_at
from envs.kart.looks import textures
from envs.kart.physics import speed_of
from envs.kart.random import uniform
from envs.kart.render import backdrop, eye
from envs.kart.solids import falling, solids
from envs.kart.sprites import atlas


class Art(NamedTuple):
    """What all environments share: sprites, textures and the sensor's tables."""

    texels: np.ndarray
    span: np.ndarray
    first_kart: int
    ground: np.ndarray
    sky: np.ndarray
    noise: np.ndarray
    luma: np.ndarray
    chroma: np.ndarray
    dct: np.ndarray


def make_art() -> Art:
    """The shared art; sprites and textures are made once per process."""
    sheet = atlas()
    return Art(sheet.texels, sheet.span, sheet.first["kart"], *textures(), *SENSOR_TABLES)


def as_quads(out: np.ndarray) -> np.ndarray:
    """The memory of pictures [N, H, W, 3] as words of four bytes; empty where these do not fit."""
    height, width = out.shape[1:3]
    if width % 4 or sys.byteorder != "little":
        return np.empty((len(out), height, 0), np.uint32)
    return out.reshape(len(out), height, 3 * width).view(np.uint32)


@njit(cache=True, nogil=True)
def paint_batch(out, quads, low, high, rays, poses, scene, paint, art, karts, fallen, state):
    """Draw environments low..high-1 into out, uint8 [N, H, W, 3]; quads: of `as_quads(out)`.

    karts: float64 [N, K, KART_COLUMNS]; fallen: bool [N, MAX_ITEMS]; state: uint64 [N], random state of pictures.
    """
    scratch = new_scratch(out.shape[2])
    for i in range(low, high):
        image, pose = out[i], poses[i]
        x, y, yaw = eye(karts[i, 0], pose)
        backdrop(
            image, quads[i], rays.right, rays.down, rays.turn, rays.bounds, rays.lens, pose, x, y, yaw,
            scene.half[i], scene.pads[i], scene.pad_count[i], scene.cells[i], scene.details[i], scene.special_count[i],
            paint.colours[i], paint.weather[i], paint.hills[i], art.ground, art.sky, scratch,
        )  # fmt: skip
        solids(
            image, x, y, yaw, pose, rays.lens, scene.posts[i], scene.post_count[i], scene.items[i],
            scene.item_count[i], fallen[i], karts[i], paint.colours[i], paint.weather[i], paint.scenery[i],
            art.texels, art.span, art.first_kart, scratch,
        )  # fmt: skip
        falling(image, paint.weather[i], state, i)


@njit(cache=True, nogil=True)
def develop_batch(out, low, high, rays, poses, art, karts, state):
    """Apply the sensors of environments low..high-1 to their pictures; apart, since the clean camera needs none."""
    before = np.empty_like(out[0])
    for i in range(low, high):
        kart = karts[i, 0]
        start = int(uniform(state, i, 0.0, 65536.0))
        develop(
            out[i], before, rays.right, rays.down, rays.shade, rays.lens, poses[i], speed_of(kart), kart[YAW_RATE],
            start, art.noise, art.luma, art.chroma, art.dct,
        )  # fmt: skip


@njit(cache=True, nogil=True)
def to_grey(colour, out, low, high):
    """Luma (ITU-R BT.601) of colour pictures [N, H, W, 3] into out [N, H, W], both uint8."""
    for i in range(low, high):
        for y in range(out.shape[1]):
            for x in range(out.shape[2]):
                r, g, b = colour[i, y, x, 0], colour[i, y, x, 1], colour[i, y, x, 2]
                out[i, y, x] = (77 * r + 150 * g + 29 * b + 128) >> 8


@njit(cache=True, nogil=True)
def drivable_batch(out, rays, poses, scene, karts):
    """1 where the pixel's ray meets road within 60 m, else 0; out: uint8 [N, h, w], rays of that size."""
    for i in range(out.shape[0]):
        pose = poses[i]
        x, y, yaw = eye(karts[i, 0], pose)
        cos_p, sin_p = math.cos(pose[PITCH]), math.sin(pose[PITCH])
        cos_r, sin_r = math.cos(pose[ROLL]), math.sin(pose[ROLL])
        for row in range(out.shape[1]):
            for col in range(out.shape[2]):
                a0, b0 = pose[ZOOM] * rays.right[row, col], pose[ZOOM] * rays.down[row, col]
                a, b = a0 * cos_r - b0 * sin_r, a0 * sin_r + b0 * cos_r
                sink = b * cos_p + sin_p
                out[i, row, col] = 0
                if sink * 60.0 > pose[HEIGHT]:
                    t = pose[HEIGHT] / sink
                    ahead, aside = (cos_p - b * sin_p) * t, a * t
                    px = x + ahead * math.cos(yaw) - aside * math.sin(yaw)
                    py = y + ahead * math.sin(yaw) + aside * math.cos(yaw)
                    what, offset, _ = ground_at(px, py, scene.cells[i], scene.details[i])
                    out[i, row, col] = what == ASPHALT or (what == DETAIL and abs(offset) < scene.half[i])
