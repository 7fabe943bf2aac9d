"""The racing line of a track (least bending inside the road) and the speed that grip and engine allow on it."""

import math

import numpy as np
from numba import njit

from envs.kart.columns import TOP_SPEED

GRAVITY = 9.81


@njit(cache=True)
def least_bending(points, normals, bound):
    """Lateral offsets in [-bound, bound] that minimise the sum of squared second differences, [n].

    Coordinate descent, first with wide stencils (which move the whole line) and then with narrow ones.
    """
    n = points.shape[0]
    offset = np.zeros(n)
    q = points.copy()
    for h, sweeps in ((16, 20), (8, 20), (4, 25), (2, 25), (1, 20)):
        for _ in range(sweeps):
            for i in range(n):
                a, b = i - 2 * h, i - h
                c, d = (i + h) % n, (i + 2 * h) % n
                slope = 0.0
                for k in range(2):
                    bend = q[a, k] - 4.0 * q[b, k] + 6.0 * q[i, k] - 4.0 * q[c, k] + q[d, k]
                    slope += bend * normals[i, k]
                offset[i] = min(max(offset[i] - slope / 6.0, -bound), bound)
                q[i, 0] = points[i, 0] + offset[i] * normals[i, 0]
                q[i, 1] = points[i, 1] + offset[i] * normals[i, 1]
    return offset


@njit(cache=True)
def pace(points, grip, thrust, power, brake, drag, rolling):
    """Quasi-steady speed along a closed line of points, m/s, [n]: bends, then braking, then engine.

    grip: lateral limit, m/s2; thrust and brake: longitudinal limits, m/s2; power: W/kg; drag: 1/m.
    Lateral and longitudinal acceleration share one friction circle.
    """
    n = points.shape[0]
    speed = np.empty(n)
    bend = np.empty(n)
    step = np.empty(n)
    for i in range(n):
        ax, ay = points[i, 0] - points[i - 1, 0], points[i, 1] - points[i - 1, 1]
        bx, by = points[(i + 1) % n, 0] - points[i, 0], points[(i + 1) % n, 1] - points[i, 1]
        step[i] = math.hypot(bx, by)
        angle = math.atan2(ax * by - ay * bx, ax * bx + ay * by)
        bend[i] = abs(angle) / (0.5 * (step[i] + math.hypot(ax, ay)))
        speed[i] = min(TOP_SPEED, math.sqrt(grip / max(bend[i], 1e-4)))
    for i in range(2 * n - 1, -1, -1):  # twice around, backwards: brake in time
        here, ahead = i % n, (i + 1) % n
        used = min(1.0, speed[ahead] ** 2 * bend[ahead] / grip)
        room = brake * math.sqrt(1.0 - used * used) + drag * speed[ahead] ** 2 + rolling
        speed[here] = min(speed[here], math.sqrt(speed[ahead] ** 2 + 2.0 * room * step[here]))
    for i in range(2 * n):  # twice around, forwards: what the engine gives
        here, ahead = i % n, (i + 1) % n
        v = speed[here]
        used = min(1.0, v * v * bend[here] / grip)
        push = min(thrust, power / max(v, 1.0), grip * math.sqrt(1.0 - used * used))
        gain = push - drag * v * v - rolling
        speed[ahead] = min(speed[ahead], math.sqrt(max(v * v + 2.0 * gain * step[here], 1.0)))
    return speed
