"""One control step of N races: actions with delay and noise, physics, contacts, laps, rescues, rewards, endings."""

import math

import numpy as np
from numba import njit

from envs.kart import columns as c
from envs.kart.columns import CONTROL, MAX_DELAY, SUBSTEP, SUBSTEPS, TOP_SPEED
from envs.kart.drivers import rival
from envs.kart.physics import (
    BY_SPEED,
    CONE_LOSS,
    RADIUS,
    advance,
    hit_karts,
    hit_pads,
    hit_walls,
    pedal_of,
    place,
    speed_of,
    stand,
)
from envs.kart.random import uniform

STUCK_TIME = 3.0  # time without getting STUCK_GAIN m further, s: stuck (driving the wrong way ends so, too)
STUCK_GAIN = 1.0
OFF_TIME = 3.0  # time off the road without a break after which the kart is lost, s
OFF_MARGIN = 0.5  # distance of the kart's middle beyond the edge from which it is off the road, m
CONTACT_SPEED = 0.5  # impact speed below which there is no contact, m/s

# Entries of `rules`, the numbers of the options that the kernel needs (float64).
LAPS, TIME_LIMIT, RESCUE, STEER_NOISE = range(4)
REWARD_PROGRESS, REWARD_FINISH, COST_OFF_ROAD, COST_MARGIN, COST_CONTACT = range(4, 9)
RULES = 9
# Ways in which a step can end an episode.
GOES_ON, FINISHED, LOST, TIMED_OUT = 0, 1, 2, 3


@njit(cache=True, nogil=True)
def hit_cones(kart, items, cones, fallen):
    """Knock over the cones that a kart touches; each takes a little speed."""
    for k in range(cones):
        if fallen[k]:
            continue
        dx, dy = items[k, c.ITEM_X] - kart[c.POS_X], items[k, c.ITEM_Y] - kart[c.POS_Y]
        if dx * dx + dy * dy < (RADIUS + 0.2) ** 2:
            fallen[k] = True
            speed = math.sqrt(kart[c.VEL_X] ** 2 + kart[c.VEL_Y] ** 2)
            kart[c.VEL_X] *= 1.0 - CONE_LOSS
            kart[c.VEL_Y] *= 1.0 - CONE_LOSS
            kart[c.IMPACT] = max(kart[c.IMPACT], CONE_LOSS * speed + CONTACT_SPEED)


@njit(cache=True, nogil=True)
def count_laps(race, before, now, length, laps):
    """Checkpoints and laps that a player passes while its progress goes from `before` to `now` in one substep."""
    while now >= (race[c.GATE] + 1.0) * length / c.GATES:
        race[c.GATE] += 1.0
        if race[c.GATE] % c.GATES == 0.0:
            passed = race[c.GATE] / c.GATES * length
            time = race[c.CLOCK] - SUBSTEP * (now - passed) / max(now - before, 1e-9)
            race[c.LAST_LAP] = time - race[c.LAP_START]
            if not race[c.BEST_LAP] <= race[c.LAST_LAP]:
                race[c.BEST_LAP] = race[c.LAST_LAP]
            race[c.LAP_START] = time
            if laps > 0.0 and race[c.GATE] == laps * c.GATES:
                race[c.FINISH] = time


@njit(cache=True, nogil=True)
def watch_progress(kart, dt):
    """True once a kart has not got STUCK_GAIN further for STUCK_TIME."""
    if kart[c.PROGRESS] >= kart[c.MARK] + STUCK_GAIN:
        kart[c.MARK] = kart[c.PROGRESS]
        kart[c.IDLE] = 0.0
    else:
        kart[c.IDLE] += dt
    return kart[c.IDLE] >= STUCK_TIME - 1e-9


@njit(cache=True, nogil=True)
def put_back(kart, line, n, step, half):
    """Stand a kart on the centreline where it is, in driving direction."""
    stand(kart, line, n, step, half, kart[c.ALONG], 0.0, 0.0, 0.0)
    kart[c.MARK], kart[c.IDLE] = kart[c.PROGRESS], 0.0


@njit(cache=True, nogil=True)
def step_race(karts, race, dynamics, queue, fallen, line, n, step, half, pads, pad_count, items, cones, command,
              control, rules, state, i):  # fmt: skip
    """One control step of one race; returns (reward, how it ends).

    command: steering, what `control` means (`physics.pedal_of`), hand brake.
    """
    length = n * step
    for d in range(MAX_DELAY, 0, -1):
        queue[d] = queue[d - 1]
    queue[0] = command
    steer, target, hand = queue[int(race[c.DELAY])]
    if rules[STEER_NOISE] > 0.0:
        u, v = uniform(state, i, 1e-12, 1.0), uniform(state, i, 0.0, 2.0 * math.pi)
        race[c.WOBBLE] = 0.9 * race[c.WOBBLE] + math.sqrt(0.19 * -2.0 * math.log(u)) * math.cos(v)
        steer = min(max(steer + rules[STEER_NOISE] * race[c.WOBBLE], -1.0), 1.0)
    steers, targets = np.empty(karts.shape[0]), np.empty(karts.shape[0])
    steers[0], targets[0] = steer, target
    for k in range(1, karts.shape[0]):
        steers[k], targets[k] = rival(karts, k, line, n, step, half, dynamics[c.GRIP])
    start = karts[0, c.PROGRESS]
    karts[:, c.IMPACT] = 0.0

    for _ in range(SUBSTEPS):
        before = karts[0, c.PROGRESS]
        for k in range(karts.shape[0]):
            kart = karts[k]
            pedal = pedal_of(kart, targets[k], control if k == 0 else BY_SPEED)
            advance(kart, steers[k], pedal, k == 0 and hand > 0.0, dynamics, SUBSTEP)
            place(kart, line, n, step, half)
            hit_walls(kart, line)
            hit_pads(kart, pads, pad_count)
            hit_cones(kart, items, cones, fallen)
        if karts.shape[0] > 1:
            hit_karts(karts)
        race[c.CLOCK] += SUBSTEP
        count_laps(race, before, karts[0, c.PROGRESS], length, rules[LAPS])
        if not math.isnan(race[c.FINISH]):
            break

    race[c.STEPS] += 1.0
    player = karts[0]
    reward = rules[REWARD_PROGRESS] * (player[c.PROGRESS] - start)
    beyond = abs(player[c.LATERAL]) - half - OFF_MARGIN
    if beyond > 0.0:
        race[c.OFF_NOW] += CONTROL
        race[c.OFF_TOTAL] += CONTROL
    else:
        race[c.OFF_NOW] = 0.0
    if beyond > -rules[COST_MARGIN]:
        reward -= rules[COST_OFF_ROAD] * CONTROL
    if player[c.IMPACT] > CONTACT_SPEED:
        race[c.CONTACTS] += 1.0
        reward -= rules[COST_CONTACT]
    race[c.PLACE] = 1.0
    for k in range(1, karts.shape[0]):
        race[c.PLACE] += 1.0 if karts[k, c.PROGRESS] > player[c.PROGRESS] else 0.0
        if watch_progress(karts[k], CONTROL):
            put_back(karts[k], line, n, step, half)
    if not math.isnan(race[c.FINISH]):
        return reward + rules[REWARD_FINISH], FINISHED
    lost = watch_progress(player, CONTROL) or race[c.OFF_NOW] >= OFF_TIME - 1e-9
    if lost and rules[RESCUE] == 0.0:
        return reward, LOST
    if lost:
        put_back(player, line, n, step, half)
        race[c.OFF_NOW] = 0.0
        race[c.RESCUES] += 1.0
    # The clock is a sum of hundredths; half a substep absorbs its rounding.
    return reward, TIMED_OUT if race[c.CLOCK] >= rules[TIME_LIMIT] - 0.5 * SUBSTEP else GOES_ON


@njit(cache=True, nogil=True)
def step_batch(low, high, karts, race, dynamics, queue, fallen, scene, command, control, rules, state, active,
               reward, ending):  # fmt: skip
    """`step_race` for environments low..high-1 that are active; the others get reward 0 and GOES_ON."""
    for i in range(low, high):
        reward[i], ending[i] = 0.0, GOES_ON
        if active[i]:
            reward[i], ending[i] = step_race(
                karts[i], race[i], dynamics[i], queue[i], fallen[i], scene.line[i], scene.count[i], scene.step[i],
                scene.half[i], scene.pads[i], scene.pad_count[i], scene.items[i], scene.cone_count[i], command[i],
                control, rules, state, i,
            )  # fmt: skip


@njit(cache=True, nogil=True)
def numbers_batch(out, karts, scene):
    """The `state` observation, float32 [N, NUMBERS]; every entry is about 1 in size.

    0 speed / 16, 1 sideways speed / 8, 2 yaw rate / 3, 3 front wheels / full lock, 4 offset / half the road,
    5 and 6 sine and cosine of the heading error, 7 grass, 8 boost left / 1.2, 9..16 ten times the curvature 4, 8,
    ... 32 m ahead, 17..19 the nearest kart within 20 m ahead: gap / 20, sideways / 4, speed difference / 8; 1, 0, 0
    without one; 20 half the road / 4.
    """
    for i in range(out.shape[0]):
        kart, n, step = karts[i, 0], scene.count[i], scene.step[i]
        cos, sin = math.cos(kart[c.YAW]), math.sin(kart[c.YAW])
        out[i, 0] = speed_of(kart) / TOP_SPEED
        out[i, 1] = (-kart[c.VEL_X] * sin + kart[c.VEL_Y] * cos) / 8.0
        out[i, 2] = kart[c.YAW_RATE] / 3.0
        out[i, 3] = kart[c.WHEEL] / 0.45
        out[i, 4] = kart[c.LATERAL] / scene.half[i]
        out[i, 5], out[i, 6] = math.sin(kart[c.HEADING]), math.cos(kart[c.HEADING])
        out[i, 7], out[i, 8] = kart[c.ROUGH], kart[c.BOOST] / 1.2
        for k in range(8):
            out[i, 9 + k] = 10.0 * scene.line[i, int((kart[c.ALONG] + 4.0 * (k + 1)) / step) % n, c.BEND]
        out[i, 17], out[i, 18], out[i, 19] = 1.0, 0.0, 0.0
        out[i, 20] = scene.half[i] / 4.0
        for k in range(1, karts.shape[1]):
            gap = karts[i, k, c.ALONG] - kart[c.ALONG]
            gap -= n * step * math.floor(gap / (n * step) + 0.5)
            if -1.0 < gap < 20.0 * out[i, 17]:
                out[i, 17] = gap / 20.0
                out[i, 18] = (karts[i, k, c.LATERAL] - kart[c.LATERAL]) / 4.0
                out[i, 19] = (speed_of(karts[i, k]) - speed_of(kart)) / 8.0
