"""Kart physics: a bicycle model with slip, a friction circle per axle, drag, grass, walls, pads and contacts.

Everything is per unit of mass. A tyre's side force follows a slip curve, but never exceeds what would stop the
axle's sideways motion within the substep: that keeps the model stable at any speed down to standstill, and
makes every force but engine and boost take energy away.
"""

import math

import numpy as np
from numba import njit

from envs.kart.columns import (
    ACCEL,
    ALONG,
    BOOST,
    BRAKE,
    DRAG,
    FREE_SPEED,
    GRIP,
    HEADING,
    IMPACT,
    INDEX,
    LATERAL,
    MAX_STEER,
    PAD_END,
    PAD_LEFT,
    PAD_RIGHT,
    PAD_START,
    POS_X,
    POS_Y,
    POWER,
    PROGRESS,
    ROUGH,
    SLIP,
    STEER_BIAS,
    STEER_GAIN,
    TOP_SPEED,
    TX,
    TY,
    VEL_X,
    VEL_Y,
    WALL_L,
    WALL_R,
    WHEEL,
    YAW,
    YAW_RATE,
    X,
    Y,
)
from envs.kart.ground import KERB_WIDTH, locate
from envs.kart.line import GRAVITY

FRONT, REAR = 0.60, 0.55  # centre of mass to axles, m
BASE = FRONT + REAR  # wheelbase, m
CENTRE_HEIGHT = 0.22  # height of the centre of mass, m
GYRATION = 0.42  # squared radius of gyration about the vertical, m2
RADIUS = 0.75  # radius of the circle that touches walls, karts and cones, m
STEER_RATE = 3.5  # speed of the front wheels' turn, rad/s
TYRE_STIFFNESS, TYRE_SHAPE = 9.0, 1.5  # side force = sin(SHAPE * atan(STIFFNESS * slip)), peak near 11 degrees
FRONT_GRIP = 0.87  # share of the rear's grip: understeer, stable under power; the hand brake turns that round
HAND_BRAKE_GRIP = 0.45  # rear side grip while the hand brake is pulled: the start of a drift

MAX_GRIP = 0.86 * GRAVITY  # acceleration that a bend can use of nominal grip, m/s2 (the front axle gives way first)
ENGINE_ACCEL = 4.2  # largest acceleration of the engine, m/s2
ENGINE_POWER = 42.0  # power of the engine, W/kg
BRAKE_ACCEL = 8.0  # largest deceleration of the brakes, m/s2
BRAKE_FRONT = 0.68  # share of the braking that the front axle does
REVERSE_SPEED = 3.0  # highest speed in reverse, m/s
ROLLING = 0.15  # rolling resistance, m/s2
DRAG_QUADRATIC = 0.0145  # air drag, 1/m: 14 m/s at full power
BOOST_ACCEL, BOOST_TIME = 4.0, 1.2  # acceleration and duration of a boost, m/s2, s
GRASS_DRAG = 2.5  # drag of grass, m/s2
GRASS_GRIP = 0.55  # fraction of the grip on asphalt
WALL_BOUNCE, WALL_FRICTION = 0.3, 0.25
KART_BOUNCE = 0.4
MOTOR_TIME = 0.5  # time in which an electric motor comes to its speed, s
BY_PEDAL, BY_SPEED, BY_THROTTLE = 0, 1, 2  # meanings of a driver's second number
CONE_LOSS = 0.07  # fraction of the speed that a cone takes


@njit(cache=True, nogil=True)
def axle_push(side_speed, long_speed, limit, lever, dt):
    """Speed change (>= 0) that a tyre gives against its axle's sideways motion in one substep.

    limit: largest side force, m/s2; lever: distance of the axle's side axis from the centre of mass, m.
    """
    slip = math.atan2(abs(side_speed), abs(long_speed) + 0.1)
    force = limit * math.sin(TYRE_SHAPE * math.atan(TYRE_STIFFNESS * slip))
    stop = abs(side_speed) / (1.0 + lever * lever / GYRATION)
    return min(force * dt, stop)


@njit(cache=True, nogil=True)
def advance(kart, steer, pedal, hand_brake, dynamics, dt):
    """Move one free kart by one substep: wheel, engine and brakes, drag, tyres, position. No walls, no contacts.

    kart: row [KART_COLUMNS], changed in place; steer and pedal in [-1, 1] (right, throttle positive).
    """
    wanted = min(max(steer * dynamics[STEER_GAIN] + dynamics[STEER_BIAS], -1.0), 1.0) * MAX_STEER
    kart[WHEEL] += min(max(wanted - kart[WHEEL], -STEER_RATE * dt), STEER_RATE * dt)
    cos, sin = math.cos(kart[YAW]), math.sin(kart[YAW])
    forward = kart[VEL_X] * cos + kart[VEL_Y] * sin
    right = -kart[VEL_X] * sin + kart[VEL_Y] * cos
    rate = kart[YAW_RATE]
    before = forward

    grip = dynamics[GRIP] * GRAVITY * (1.0 - kart[ROUGH] * (1.0 - GRASS_GRIP))
    shift = min(max(kart[ACCEL] * CENTRE_HEIGHT / (BASE * GRAVITY), -0.3), 0.3)
    load_front, load_rear = REAR / BASE - shift, FRONT / BASE + shift
    limit_front, limit_rear = FRONT_GRIP * grip * load_front, grip * load_rear

    # Along the kart: engine at the rear axle, brakes at both.
    used_front = used_rear = 0.0
    if pedal > 0.0:
        used_rear = min(pedal * min(ENGINE_ACCEL, dynamics[POWER] * ENGINE_POWER / max(forward, 1.0)), limit_rear)
        forward += used_rear * dt
    elif pedal < 0.0 and forward > 0.3:
        used_front = min(-BRAKE_FRONT * pedal * dynamics[BRAKE] * BRAKE_ACCEL, limit_front)
        used_rear = min((BRAKE_FRONT - 1.0) * pedal * dynamics[BRAKE] * BRAKE_ACCEL, limit_rear)
        forward = max(forward - (used_front + used_rear) * dt, 0.0)
    elif pedal < 0.0 and forward > -REVERSE_SPEED:
        used_rear = min(-0.4 * pedal * ENGINE_ACCEL, limit_rear)
        forward -= used_rear * dt
    if hand_brake:
        used_rear = 0.0
        forward -= math.copysign(min(0.25 * limit_rear * dt, abs(forward)), forward)
        limit_rear *= HAND_BRAKE_GRIP
    if kart[BOOST] > 0.0:
        forward += BOOST_ACCEL * dt
        kart[BOOST] = max(kart[BOOST] - dt, 0.0)

    # Air, rolling and grass act against the velocity.
    speed = math.sqrt(forward * forward + right * right)
    if speed > 0.0:
        slow = dynamics[DRAG] * (ROLLING + DRAG_QUADRATIC * speed * speed) + kart[ROUGH] * GRASS_DRAG
        keep = max(1.0 - slow * dt / speed, 0.0)
        forward *= keep
        right *= keep

    # Tyres, front and then rear: each sees the motion that the one before has left.
    cos_w, sin_w = math.cos(kart[WHEEL]), math.sin(kart[WHEEL])
    along = forward * cos_w + (right + FRONT * rate) * sin_w
    across = -forward * sin_w + (right + FRONT * rate) * cos_w
    left_over = math.sqrt(max(limit_front * limit_front - used_front * used_front, 0.0))
    push = -math.copysign(axle_push(across, along, left_over, FRONT * cos_w, dt), across)
    forward -= push * sin_w
    right += push * cos_w
    rate += push * FRONT * cos_w / GYRATION

    across = right - REAR * rate
    left_over = math.sqrt(max(limit_rear * limit_rear - used_rear * used_rear, 0.0))
    push = -math.copysign(axle_push(across, forward, left_over, REAR, dt), across)
    right += push
    rate -= push * REAR / GYRATION
    kart[SLIP] = math.atan2(across, abs(forward) + 0.1)

    kart[ACCEL] += 0.15 * ((forward - before) / dt - kart[ACCEL])
    kart[VEL_X] = forward * cos - right * sin
    kart[VEL_Y] = forward * sin + right * cos
    kart[YAW_RATE] = rate
    kart[POS_X] += kart[VEL_X] * dt
    kart[POS_Y] += kart[VEL_Y] * dt
    kart[YAW] = (kart[YAW] + rate * dt + math.pi) % (2.0 * math.pi) - math.pi


@njit(cache=True, nogil=True)
def place(kart, line, n, step, half):
    """Project a kart on the centreline: index, arc length, offset, heading error, surface and progress."""
    index, along, lateral = locate(kart[POS_X], kart[POS_Y], int(kart[INDEX]), line, n, step)
    length = n * step
    moved = along - kart[ALONG]
    kart[PROGRESS] += moved - length * math.floor(moved / length + 0.5)
    kart[INDEX], kart[ALONG], kart[LATERAL] = index, along, lateral
    direction = math.atan2(line[index, TY], line[index, TX])
    kart[HEADING] = (kart[YAW] - direction + math.pi) % (2.0 * math.pi) - math.pi
    kart[ROUGH] = min(max(abs(lateral) - half - 0.5 * KERB_WIDTH, 0.0), 1.0)


@njit(cache=True, nogil=True)
def hit_walls(kart, line):
    """Keep a placed kart between the walls: it loses part of its speed into and along the wall it touches."""
    index = int(kart[INDEX])
    side = 1.0 if kart[LATERAL] > 0.0 else -1.0
    inside = abs(kart[LATERAL]) - (line[index, WALL_R if side > 0.0 else WALL_L] - RADIUS)
    if inside <= 0.0:
        return
    nx, ny = -line[index, TY] * side, line[index, TX] * side  # towards the wall
    kart[POS_X] -= inside * nx
    kart[POS_Y] -= inside * ny
    kart[LATERAL] -= inside * side
    into = kart[VEL_X] * nx + kart[VEL_Y] * ny
    if into <= 0.0:
        return
    sideways = -kart[VEL_X] * ny + kart[VEL_Y] * nx
    loss = min(WALL_FRICTION * (1.0 + WALL_BOUNCE) * into, abs(sideways))
    sideways -= math.copysign(loss, sideways)
    kart[VEL_X] = -WALL_BOUNCE * into * nx - sideways * ny
    kart[VEL_Y] = -WALL_BOUNCE * into * ny + sideways * nx
    kart[YAW_RATE] *= 0.6
    kart[IMPACT] = max(kart[IMPACT], into)


@njit(cache=True, nogil=True)
def hit_karts(karts):
    """Contacts of karts [K, KART_COLUMNS] of equal mass as smooth circles: momentum is kept, energy is not."""
    for a in range(karts.shape[0]):
        for b in range(a + 1, karts.shape[0]):
            dx, dy = karts[b, POS_X] - karts[a, POS_X], karts[b, POS_Y] - karts[a, POS_Y]
            distance = math.sqrt(dx * dx + dy * dy)
            if distance >= 2.0 * RADIUS or distance == 0.0:
                continue
            nx, ny = dx / distance, dy / distance
            apart = 0.5 * (2.0 * RADIUS - distance)
            karts[a, POS_X] -= apart * nx
            karts[a, POS_Y] -= apart * ny
            karts[b, POS_X] += apart * nx
            karts[b, POS_Y] += apart * ny
            closing = (karts[a, VEL_X] - karts[b, VEL_X]) * nx + (karts[a, VEL_Y] - karts[b, VEL_Y]) * ny
            if closing <= 0.0:
                continue
            push = 0.5 * (1.0 + KART_BOUNCE) * closing
            karts[a, VEL_X] -= push * nx
            karts[a, VEL_Y] -= push * ny
            karts[b, VEL_X] += push * nx
            karts[b, VEL_Y] += push * ny
            karts[a, IMPACT] = max(karts[a, IMPACT], closing)
            karts[b, IMPACT] = max(karts[b, IMPACT], closing)


@njit(cache=True, nogil=True)
def hit_pads(kart, pads, count):
    """A kart on a boost pad gets the full boost time."""
    for k in range(count):
        if (
            pads[k, PAD_START] <= kart[ALONG] <= pads[k, PAD_END]
            and pads[k, PAD_LEFT] <= kart[LATERAL] <= pads[k, PAD_RIGHT]
        ):
            kart[BOOST] = BOOST_TIME


@njit(cache=True, nogil=True)
def speed_control(kart, target):
    """Pedal in [-1, 1] that brings the kart to a target speed (m/s) and holds it there."""
    forward = kart[VEL_X] * math.cos(kart[YAW]) + kart[VEL_Y] * math.sin(kart[YAW])
    target = min(max(target, 0.0), TOP_SPEED)
    hold = (ROLLING + DRAG_QUADRATIC * target * target) / min(ENGINE_ACCEL, ENGINE_POWER / max(target, 1.0))
    pedal = min(max(1.2 * (target - forward) + hold, -1.0), 1.0)
    if pedal > 0.0:  # traction control: ease off while the rear slides
        pedal *= min(max(2.0 - abs(kart[SLIP]) / 0.14, 0.0), 1.0)
    # Near standstill a negative pedal would engage reverse; the target is never negative.
    return max(pedal, 0.0) if forward < 0.3 else pedal


@njit(cache=True, nogil=True)
def motor(kart, throttle):
    """Pedal in [-1, 1] of an electric motor under a voltage of throttle, -1 to 1: the motor of a toy car.

    It pulls towards the speed at which it takes no current, FREE_SPEED times the throttle, and so brakes by itself.
    """
    forward = speed_of(kart)
    push = (throttle * FREE_SPEED - forward) / MOTOR_TIME
    most = min(ENGINE_ACCEL, ENGINE_POWER / max(abs(forward), 1.0)) if push > 0.0 else BRAKE_ACCEL
    return min(max(push / most, -1.0), 1.0)


@njit(cache=True, nogil=True)
def pedal_of(kart, wanted, control):
    """Pedal in [-1, 1] for what a driver wants: the pedal itself, a target speed in m/s, or a motor's throttle."""
    if control == BY_SPEED:
        return speed_control(kart, wanted)
    return motor(kart, wanted) if control == BY_THROTTLE else wanted


@njit(cache=True, nogil=True)
def speed_of(kart):
    """Speed along the kart's own axis, m/s."""
    return kart[VEL_X] * math.cos(kart[YAW]) + kart[VEL_Y] * math.sin(kart[YAW])


@njit(cache=True, nogil=True)
def stand(kart, line, n, step, half, along, lateral, heading, speed):
    """Put a kart down at a place of the track, with a speed along its own axis; PROGRESS stays as it was."""
    along = along % (n * step)
    index = int(along / step + 0.5) % n
    past = along - index * step
    past -= n * step * math.floor(past / (n * step) + 0.5)
    kart[POS_X] = line[index, X] + past * line[index, TX] - lateral * line[index, TY]
    kart[POS_Y] = line[index, Y] + past * line[index, TY] + lateral * line[index, TX]
    kart[YAW] = math.atan2(line[index, TY], line[index, TX]) + heading
    kart[VEL_X], kart[VEL_Y] = speed * math.cos(kart[YAW]), speed * math.sin(kart[YAW])
    for column in (YAW_RATE, WHEEL, BOOST, ACCEL, SLIP):
        kart[column] = 0.0
    progress = kart[PROGRESS]
    kart[INDEX], kart[ALONG] = index, along
    place(kart, line, n, step, half)
    kart[PROGRESS] = progress


def nominal_dynamics() -> np.ndarray:
    """Dynamics row [DYNAMICS_COLUMNS] of a kart as designed."""
    row = np.ones(6)
    row[STEER_BIAS] = 0.0
    return row
