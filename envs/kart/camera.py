"""Cameras: where they are, what their lens and sensor do. One module for the kart game and for the car.

A camera sees a virtual 4:3 frame. An observation is a horizontal band of that frame, resized; its `Rays` say for
every pixel which way it looks. `develop` then turns the ideal picture into the sensor's: motion blur, exposure,
vignette, noise, JPEG blocks. `project` is the inverse of the rays: from a point in the world to a pixel.

Axes of a ray: right, down, forward = 1. Pitch is positive downwards, roll and yaw are clockwise.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit

from envs.kart.cameras import CAMERAS as CAMERAS
from envs.kart.cameras import Camera as Camera

# One row per environment: what differs between two cameras of the same preset (float64).
HEIGHT, PITCH, ROLL, LOOK, AHEAD, ASIDE, ZOOM, GAIN, GAMMA, BLUR, NOISE, QUALITY = range(12)
POSE_COLUMNS = 12


class Rays(NamedTuple):
    """Where the pixels of one picture look, and the numbers to go back."""

    right: np.ndarray  # float32 [H, W]
    down: np.ndarray  # float32 [H, W]
    turn: np.ndarray  # float32 [H, W], azimuth of the ray, rad
    shade: np.ndarray  # float32 [H, W], vignette, 1 in the centre
    bounds: np.ndarray  # float32 [H, 4], least and largest `right` and `down` of each row
    lens: np.ndarray  # float64 [8]: width, height, first row, scale x, scale y, k1, k2, m per pixel at 1 m


@lru_cache(maxsize=32)
def rays(camera: Camera, width: int, height: int, top: float = 0.0, bottom: float = 0.0) -> Rays:
    """Rays of a `height` x `width` picture of the frame without its `top` and `bottom` fractions."""
    edge = math.tan(math.radians(camera.fov) / 2.0)
    bent_edge = edge * (1.0 + camera.k1 * edge**2 + camera.k2 * edge**4)
    scale_x = width / (2.0 * bent_edge)  # pixels per unit of distorted slope
    scale_y = height / (1.0 - top - bottom) / (2.0 * bent_edge * 0.75)
    first = top * height / (1.0 - top - bottom)
    x = (np.arange(width) + 0.5 - width / 2.0) / scale_x
    y = (np.arange(height) + 0.5 + first) / scale_y - 0.75 * bent_edge
    bent_x, bent_y = np.meshgrid(x, y)
    bent = np.hypot(bent_x, bent_y)
    radius = bent.copy()
    for _ in range(30):  # Newton: undo the distortion
        value = radius * (1.0 + camera.k1 * radius**2 + camera.k2 * radius**4) - bent
        radius -= value / (1.0 + 3.0 * camera.k1 * radius**2 + 5.0 * camera.k2 * radius**4)
    stretch = np.divide(radius, bent, out=np.ones_like(bent), where=bent > 0.0)
    right, down = bent_x * stretch, bent_y * stretch
    corner = math.hypot(1.0, 0.75) * bent_edge
    shade = 1.0 - camera.vignette * (bent / corner) ** 2
    lens = np.array([width, height, first, scale_x, scale_y, camera.k1, camera.k2, 1.0 / scale_x])
    bounds = np.stack([right.min(axis=1), right.max(axis=1), down.min(axis=1), down.max(axis=1)], axis=1)
    return Rays(*(a.astype(np.float32) for a in (right, down, np.arctan(right), shade, bounds)), lens)


def mount(camera: Camera) -> np.ndarray:
    """Pose row [POSE_COLUMNS] of a camera exactly as its preset says."""
    row = np.zeros(POSE_COLUMNS)
    row[HEIGHT], row[PITCH], row[AHEAD] = camera.height, math.radians(camera.pitch), camera.forward
    row[ZOOM] = row[GAIN] = row[GAMMA] = 1.0
    row[BLUR], row[NOISE], row[QUALITY] = camera.shutter, camera.noise, camera.jpeg
    return row


def vary(row: np.ndarray, amount: float, uniform) -> None:
    """Change a pose row in place by up to `amount` (1 = a carelessly mounted camera in changing light).

    uniform: a function (low, high) -> float.
    """
    row[HEIGHT] *= 1.0 + amount * uniform(-0.2, 0.2)
    row[PITCH] += amount * uniform(-0.07, 0.07)
    row[ROLL] += amount * uniform(-0.04, 0.04)
    row[LOOK] += amount * uniform(-0.05, 0.05)
    row[AHEAD] += amount * uniform(-0.15, 0.15)
    row[ASIDE] += amount * uniform(-0.12, 0.12)
    row[ZOOM] *= 1.0 + amount * uniform(-0.08, 0.08)
    row[GAIN] *= 1.0 + amount * uniform(-0.3, 0.3)
    row[GAMMA] *= 1.0 + amount * uniform(-0.2, 0.2)
    row[BLUR] *= 1.0 + amount * uniform(-0.6, 0.6)
    row[NOISE] = row[NOISE] * (1.0 + amount * uniform(-0.6, 0.6)) + amount * uniform(0.0, 3.0)


def has_sensor(poses: np.ndarray, eyes: Rays) -> bool:
    """Whether `develop` would change the pictures of any of these cameras [N, POSE_COLUMNS]."""
    plain = (poses[:, [GAIN, GAMMA]] == 1.0).all() and (poses[:, [BLUR, NOISE, QUALITY]] == 0.0).all()
    return not plain or float(eyes.shade[0, 0]) < 1.0


@njit(cache=True, nogil=True)
def aim(pose, lens):
    """The numbers of one camera that `project` needs, taken together once per picture."""
    middle = 0.375 * lens[0] / lens[3] * lens[4] - lens[2] - 0.5  # row of the uncropped frame's centre
    return (
        pose[HEIGHT], math.cos(pose[PITCH]), math.sin(pose[PITCH]), math.cos(pose[ROLL]) / pose[ZOOM],
        math.sin(pose[ROLL]) / pose[ZOOM], lens[3], lens[4], 0.5 * lens[0] - 0.5, middle, lens[5], lens[6],
    )  # fmt: skip


@njit(cache=True, nogil=True)
def project(forward, right, up, view):
    """Pixel (column, row) and depth of a point given relative to the camera's place, turned by its yaw.

    forward, right: on the ground, m; up: height above the ground, m; view: of `aim`. Depth <= 0 is behind the camera.
    """
    height, cos_p, sin_p, cos_r, sin_r, scale_x, scale_y, middle_x, middle_y, k1, k2 = view
    down = height - up
    depth = forward * cos_p + down * sin_p
    if depth <= 1e-3:
        return 0.0, 0.0, -1.0
    level_x, level_y = right / depth, (down * cos_p - forward * sin_p) / depth
    x = level_x * cos_r + level_y * sin_r
    y = -level_x * sin_r + level_y * cos_r
    square = min(x * x + y * y, 4.0)  # beyond it the polynomial turns back
    bend = 1.0 + k1 * square + k2 * square * square
    return x * bend * scale_x + middle_x, y * bend * scale_y + middle_y, depth


# What the sensor does to a finished picture, uint8 [H, W, 3].

_NOISE = np.random.default_rng(20).standard_normal(1 << 16).astype(np.float32)  # read at a random start per frame
_LUMA = np.array(
    [16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29,
     51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121,
     120, 101, 72, 92, 95, 98, 112, 100, 103, 99], np.float32)  # fmt: skip  # ITU T.81, table K.1
_CHROMA = np.full(64, 99.0, np.float32)  # table K.2
_CHROMA[[0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 24, 25]] = [17, 18, 24, 47, 18, 21, 26, 66, 24, 26, 56, 47, 66]
_DCT = np.array(
    [[(0.5 if u else math.sqrt(0.125)) * math.cos((2 * x + 1) * u * math.pi / 16) for x in range(8)] for u in range(8)],
    np.float32,
)


@njit(cache=True, nogil=True, fastmath=True)
def motion_blur(image, before, right, down, lens, pose, speed, yaw_rate):
    """Smear each pixel along its own path during the exposure; `before` is scratch of the same shape.

    The path is that of a point on the ground (below the horizon) or far away (above it), four samples long.
    """
    height, width = image.shape[0], image.shape[1]
    before[:] = image
    tilt = math.tan(pose[PITCH])
    for y in range(height):
        for x in range(width):
            a, b = right[y, x], down[y, x]
            closer = max(b + tilt, 0.0) / pose[HEIGHT] * speed  # 1 / seconds until the camera is there
            flow_x = (a * closer - yaw_rate * (1.0 + a * a)) * pose[BLUR] * lens[3]
            flow_y = ((b + tilt) * closer - yaw_rate * a * b) * pose[BLUR] * lens[4]
            if abs(flow_x) + abs(flow_y) < 0.5:
                continue
            r = g = c = 0
            for k in range(4):
                px = min(max(int(x + flow_x * (k / 3.0 - 0.5) + 0.5), 0), width - 1)
                py = min(max(int(y + flow_y * (k / 3.0 - 0.5) + 0.5), 0), height - 1)
                r += before[py, px, 0]
                g += before[py, px, 1]
                c += before[py, px, 2]
            image[y, x, 0], image[y, x, 1], image[y, x, 2] = r >> 2, g >> 2, c >> 2


@njit(cache=True, nogil=True, fastmath=True)
def expose(image, shade, pose, noise, start):
    """Gain, gamma and vignette, then noise whose strength grows with the light; `start` picks the noise."""
    curve = np.empty(256, np.float32)
    for level in range(256):
        curve[level] = 255.0 * min(pose[GAIN] * (level / 255.0) ** pose[GAMMA], 1.0)
    strength = pose[NOISE] / math.sqrt(255.0)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            for k in range(3):
                value = curve[image[y, x, k]] * shade[y, x]
                if strength > 0.0:
                    value += strength * math.sqrt(value + 50.0) * noise[start & 65535]
                    start += 1
                image[y, x, k] = np.uint8(min(max(value + 0.5, 0.0), 255.0))


@njit(cache=True, nogil=True, fastmath=True)
def _code_plane(plane, table, scale, dct):
    """Quantise a float plane [8 r, 8 c] in blocks as JPEG does, in place."""
    part = np.empty((8, 8), np.float32)
    freq = np.empty((8, 8), np.float32)
    for y0 in range(0, plane.shape[0], 8):
        for x0 in range(0, plane.shape[1], 8):
            for i in range(8):
                for u in range(8):
                    total = np.float32(0.0)
                    for k in range(8):
                        total += (plane[y0 + i, x0 + k] - np.float32(128.0)) * dct[u, k]
                    part[i, u] = total
            for v in range(8):
                for u in range(8):
                    total = np.float32(0.0)
                    for k in range(8):
                        total += part[k, u] * dct[v, k]
                    step = min(max(math.floor((table[8 * v + u] * scale + 50.0) / 100.0), 1.0), 255.0)
                    freq[v, u] = np.float32(np.rint(total / step) * step)
            for v in range(8):
                for x in range(8):
                    total = np.float32(0.0)
                    for k in range(8):
                        total += freq[v, k] * dct[k, x]
                    part[v, x] = total
            for y in range(8):
                for x in range(8):
                    total = np.float32(128.0)
                    for k in range(8):
                        total += part[k, x] * dct[k, y]
                    plane[y0 + y, x0 + x] = min(max(total, np.float32(0.0)), np.float32(255.0))


@njit(cache=True, nogil=True, fastmath=True)
def jpeg(image, quality, luma_table, chroma_table, dct):
    """What a JPEG file of this quality (4:2:0 colour) leaves of the picture, in place."""
    height, width = image.shape[0], image.shape[1]
    rows, columns = (height + 15) // 16 * 16, (width + 15) // 16 * 16
    scale = 5000.0 / quality if quality < 50.0 else 200.0 - 2.0 * quality
    luma = np.empty((rows, columns), np.float32)
    blue = np.zeros((rows // 2, columns // 2), np.float32)
    red = np.zeros((rows // 2, columns // 2), np.float32)
    for y in range(rows):
        for x in range(columns):
            r = np.float32(image[min(y, height - 1), min(x, width - 1), 0])
            g = np.float32(image[min(y, height - 1), min(x, width - 1), 1])
            b = np.float32(image[min(y, height - 1), min(x, width - 1), 2])
            luma[y, x] = 0.299 * r + 0.587 * g + 0.114 * b
            blue[y >> 1, x >> 1] += 32.0 + 0.25 * (-0.168736 * r - 0.331264 * g + 0.5 * b)
            red[y >> 1, x >> 1] += 32.0 + 0.25 * (0.5 * r - 0.418688 * g - 0.081312 * b)
    _code_plane(luma, luma_table, scale, dct)
    _code_plane(blue, chroma_table, scale, dct)
    _code_plane(red, chroma_table, scale, dct)
    for y in range(height):
        for x in range(width):
            cb, cr = blue[y >> 1, x >> 1] - 128.0, red[y >> 1, x >> 1] - 128.0
            light = luma[y, x] + 0.5
            image[y, x, 0] = np.uint8(min(max(light + 1.402 * cr, 0.0), 255.0))
            image[y, x, 1] = np.uint8(min(max(light - 0.344136 * cb - 0.714136 * cr, 0.0), 255.0))
            image[y, x, 2] = np.uint8(min(max(light + 1.772 * cb, 0.0), 255.0))


@njit(cache=True, nogil=True)
def develop(image, before, right, down, shade, lens, pose, speed, yaw_rate, start, noise, luma, chroma, dct):
    """The whole sensor on one picture [H, W, 3] in place: blur, exposure and noise, JPEG; each only if asked for.

    speed, m/s, and yaw_rate, rad/s: the camera's motion; start: where this frame begins in the noise tile.
    """
    if pose[BLUR] > 0.0:
        motion_blur(image, before, right, down, lens, pose, speed, yaw_rate)
    if pose[GAIN] != 1.0 or pose[GAMMA] != 1.0 or pose[NOISE] > 0.0 or shade[0, 0] < 1.0:
        expose(image, shade, pose, noise, start)
    if pose[QUALITY] > 0.0:
        jpeg(image, pose[QUALITY], luma, chroma, dct)


SENSOR_TABLES = (_NOISE, _LUMA, _CHROMA, _DCT)  # the last four arguments of `develop`
