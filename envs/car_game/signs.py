"""Traffic signs of the simulated car's tracks: where they stand, and which of them a picture shows."""

import math

import numpy as np

from envs.kart import columns as c
from envs.kart.camera import AHEAD, ASIDE, LOOK, ZOOM, Rays
from envs.kart.scene import Scene
from envs.kart.track import Track

NONE, STOP, OTHER = 0, 1, 2  # classes that a network tells apart in a picture
MOST = 12  # signs of one track at most
APART = 32.0  # distance between two signs, m
BESIDE = 0.75  # distance of a sign's post from the road's edge, m
CALM = 1.0 / 40.0  # bend before a sign at most, 1/m: who comes sees it in time
FIRST = 16.0  # distance of the first sign from the start line at least, m
BEFORE = 14.0  # stretch before a sign that bends so little, m
NEAR, FAR = 1.0, 10.0  # distances ahead of the camera between which a sign counts as seen, m
KINDS = {STOP: c.STOP_SIGN, OTHER: c.GIVE_WAY}


def stand(track: Track) -> np.ndarray:
    """The signs of a track, float64 [K, 2]: metres along it, and STOP or OTHER; always the same, STOP first."""
    step = track.length / len(track.line)
    back = max(1, round(BEFORE / step))
    bend = np.abs(track.line[:, c.BEND])
    calm = np.max([np.roll(bend, k) for k in range(back)], axis=0) < CALM
    calm[: math.ceil(FIRST / step)] = False  # nobody begins in front of a sign
    rng = np.random.default_rng([31, track.number % 2**32])
    chosen: list[float] = []
    for i in rng.permutation(np.flatnonzero(calm)):
        gaps = [abs(i * step - at) for at in chosen]
        if all(min(gap, track.length - gap) >= APART for gap in gaps) and len(chosen) < MOST:
            chosen.append(float(i * step))
    kinds = [STOP if k % 2 == 0 else OTHER for k in range(len(chosen))]
    return np.array(list(zip(chosen, kinds, strict=True)), np.float64).reshape(-1, 2)


def put(scene: Scene, i: int, track: Track, signs: np.ndarray) -> None:
    """Sets up the signs on the right of slot i's road, in the place of scenery where its table is full."""
    room = c.MAX_ITEMS - len(signs)
    first = min(int(scene.item_count[i]), room)
    for k, (along, kind) in enumerate(signs):
        point = track.line[round(along / track.length * len(track.line)) % len(track.line)]
        aside = track.half + BESIDE
        row = scene.items[i, first + k]
        row[c.ITEM_X], row[c.ITEM_Y] = point[c.X] - aside * point[c.TY], point[c.Y] + aside * point[c.TX]
        row[c.ITEM_KIND], row[c.ITEM_SIZE], row[c.ITEM_ALONG] = KINDS[int(kind)], 1.0, along
    scene.item_count[i] = first + len(signs)


def seen(scene: Scene, karts: np.ndarray, poses: np.ndarray, eyes: Rays) -> tuple[np.ndarray, np.ndarray]:
    """What the picture shows of signs: int64 [N] NONE, STOP or OTHER, and how far the nearest is ahead, m (nan: none).

    karts: float64 [N, KART_COLUMNS]. A sign counts from FAR on until it leaves the picture or is NEAR.
    """
    kinds, away = np.zeros(len(karts), np.int64), np.full(len(karts), np.nan)
    for i, kart in enumerate(karts):
        items = scene.items[i, : scene.item_count[i]]
        items = items[items[:, c.ITEM_KIND] >= c.STOP_SIGN]
        if not len(items):
            continue
        pose, yaw = poses[i], kart[c.YAW]
        x = kart[c.POS_X] + pose[AHEAD] * math.cos(yaw) - pose[ASIDE] * math.sin(yaw)
        y = kart[c.POS_Y] + pose[AHEAD] * math.sin(yaw) + pose[ASIDE] * math.cos(yaw)
        yaw += pose[LOOK]
        dx, dy = items[:, c.ITEM_X] - x, items[:, c.ITEM_Y] - y
        ahead, aside = dx * math.cos(yaw) + dy * math.sin(yaw), -dx * math.sin(yaw) + dy * math.cos(yaw)
        edge = 0.97 * pose[ZOOM] * float(eyes.bounds[len(eyes.bounds) // 2, 1])
        gap = (items[:, c.ITEM_ALONG] - kart[c.ALONG]) % (scene.count[i] * scene.step[i])  # metres of road to the item
        shown = (ahead > NEAR) & (ahead < FAR) & (np.abs(aside) < edge * ahead) & (gap < 2.0 * FAR)
        if shown.any():
            k = int(np.argmin(np.where(shown, ahead, np.inf)))
            kinds[i], away[i] = STOP if items[k, c.ITEM_KIND] == c.STOP_SIGN else OTHER, ahead[k]
    return kinds, away
