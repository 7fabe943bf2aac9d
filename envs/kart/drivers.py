"""The scripted expert: pure pursuit of a racing line at the speed that the line allows. Teacher and rivals.

It sees the track, not the picture. Its answer for any state (also after a mistake) is a label for cloning.
"""

import math

from numba import njit

from envs.kart import columns, physics
from envs.kart.columns import (
    ALONG,
    GRIP,
    HEADING,
    LATERAL,
    MAX_STEER,
    PACE,
    POS_X,
    POS_Y,
    RACE,
    ROUGH,
    SKILL,
    TOP_SPEED,
    TX,
    TY,
    YAW,
    X,
    Y,
)
from envs.kart.physics import BASE, speed_control, speed_of

LINE_SHARE = 0.9  # share of the racing line's offsets that the expert uses: it keeps away from the edges
CAUTION = 0.97  # share of the speed that the racing line allows
LOOK_NEAR, LOOK_TIME = 2.2, 0.30  # look-ahead = NEAR + TIME * speed, m
SPEED_PREVIEW = 0.20  # delay of engine and brakes, s
UNDERSTEER = 0.0045  # wheel angle per m/s2 of side acceleration beyond geometry, rad
ROOM = 1.9  # wanted sideways distance to another kart, m


@njit(cache=True, nogil=True)
def target_point(line, n, step, along, share, shift, bound):
    """World point of the racing line at an arc length; shift moves it to the right, inside +-bound."""
    place = along / step
    i = int(math.floor(place)) % n
    j = (i + 1) % n
    u = place - math.floor(place)
    offset = share * ((1.0 - u) * line[i, RACE] + u * line[j, RACE]) + shift
    offset = min(max(offset, -bound), bound)
    x = (1.0 - u) * (line[i, X] - offset * line[i, TY]) + u * (line[j, X] - offset * line[j, TY])
    y = (1.0 - u) * (line[i, Y] + offset * line[i, TX]) + u * (line[j, Y] + offset * line[j, TX])
    return x, y, offset


@njit(cache=True, nogil=True)
def pursue(kart, line, n, step, half, grip, share, caution, shift):
    """Steering in [-1, 1] and target speed (m/s) for a placed kart that wants to follow the line.

    share: of the racing line's offsets; caution: fraction of its speed; shift: sideways, m.
    """
    speed = max(speed_of(kart), 0.0)
    look = LOOK_NEAR + LOOK_TIME * speed
    bound = half - 0.6
    x, y, _ = target_point(line, n, step, kart[ALONG] + look, share, shift, bound)
    dx, dy = x - kart[POS_X], y - kart[POS_Y]
    cos, sin = math.cos(kart[YAW]), math.sin(kart[YAW])
    ahead, aside = dx * cos + dy * sin, -dx * sin + dy * cos
    distance = max(math.sqrt(dx * dx + dy * dy), 1.0)
    bend = 2.0 * (aside / distance) / distance
    if ahead < 0.0:  # the way is behind: turn on the spot as far as the wheels allow
        bend = math.copysign(1.0, aside)
    wheel = math.atan(BASE * bend) + UNDERSTEER * speed * speed * bend
    steer = min(max(wheel / MAX_STEER, -1.0), 1.0)

    place = (kart[ALONG] + SPEED_PREVIEW * speed) / step
    i = int(math.floor(place)) % n
    pace = min(line[i, PACE], line[(i + 1) % n, PACE])
    target = caution * pace * math.sqrt(min(grip, 1.3))
    # Away from the line or across the road the plan does not hold.
    _, _, wanted = target_point(line, n, step, kart[ALONG], share, shift, bound)
    target *= 1.0 - 0.08 * min(max(abs(kart[LATERAL] - wanted) - 0.8, 0.0), 4.0)
    target *= 1.0 - 0.45 * min(max(abs(kart[HEADING]) - 0.35, 0.0), 1.2)
    if kart[ROUGH] > 0.0:
        target = min(target, 7.0)
    return steer, min(max(target, 2.5), TOP_SPEED)


@njit(cache=True, nogil=True)
def expert(kart, line, n, step, half, grip):
    """What the teacher does with one kart: steering in [-1, 1], target speed in m/s."""
    return pursue(kart, line, n, step, half, grip, LINE_SHARE, CAUTION, 0.0)


@njit(cache=True, nogil=True)
def rival(karts, k, line, n, step, half, grip):
    """What rival k of karts [K, KART_COLUMNS] does: the expert's way at its own speed, around others."""
    length = n * step
    shift, follow = 0.0, 100.0
    nearest = 10.0
    for j in range(karts.shape[0]):
        if j == k:
            continue
        gap = karts[j, ALONG] - karts[k, ALONG]
        gap -= length * math.floor(gap / length + 0.5)
        beside = karts[j, LATERAL] - karts[k, LATERAL]
        if not -1.0 < gap < nearest or abs(beside) > ROOM:
            continue
        nearest = gap
        # To the side with more road; once beside, to the side where it already is.
        side = -math.copysign(1.0, karts[j, LATERAL]) if gap > 2.0 else -math.copysign(1.0, beside)
        goal = karts[j, LATERAL] + side * ROOM
        _, _, line_here = target_point(line, n, step, karts[k, ALONG], LINE_SHARE, 0.0, half)
        shift = goal - line_here
        if 0.0 < gap < 2.2 and abs(beside) < 1.3:
            follow = max(speed_of(karts[j]) - 0.3, 1.5)
    steer, target = pursue(karts[k], line, n, step, half, grip, LINE_SHARE, CAUTION * karts[k, SKILL], shift)
    return steer, min(target, follow)


@njit(cache=True, nogil=True)
def expected(kart, line, n, step, half, pads, pad_count, dynamics, commands, control):
    """The kart once `commands` (steering, what `control` means, hand brake; the newest first) have been carried out,
    if nothing else happens to it."""
    later = kart.copy()
    for d in range(commands.shape[0] - 1, -1, -1):
        steer, target, hand = commands[d]
        for _ in range(columns.SUBSTEPS):
            pedal = physics.pedal_of(later, target, control)
            physics.advance(later, steer, pedal, hand > 0.0, dynamics, columns.SUBSTEP)
            physics.place(later, line, n, step, half)
            physics.hit_walls(later, line)
            physics.hit_pads(later, pads, pad_count)
    return later


@njit(cache=True, nogil=True)
def expert_batch(out, karts, race, queue, scene, dynamics, control):
    """The expert's answer for the first kart of each environment, out: float32 [N, 3].

    Steering; target speed scaled to -1..1, or where drivers press pedals the one that the speed controller would press;
    hand brake. Where actions are late it answers for the moment at which they arrive.
    """
    for i in range(out.shape[0]):
        line, n, step, half = scene.line[i], scene.count[i], scene.step[i], scene.half[i]
        kart = expected(
            karts[i, 0], line, n, step, half, scene.pads[i], scene.pad_count[i], dynamics[i],
            queue[i, : int(race[i, columns.DELAY])], control,
        )  # fmt: skip
        steer, target = expert(kart, line, n, step, half, dynamics[i, GRIP])
        out[i, 0] = steer
        out[i, 1] = speed_control(kart, target) if control == physics.BY_PEDAL else 2.0 * target / TOP_SPEED - 1.0
        out[i, 2] = -1.0
