"""Physics of the kart game against a literal rigid body, energy, and known motions."""

import numpy as np
import pytest

from envs.kart import columns as c
from envs.kart import physics, race
from envs.kart.track import make_track

DT = c.SUBSTEP


def new_kart(speed=0.0, yaw=0.0, **columns):
    kart = np.zeros(c.KART_COLUMNS)
    kart[c.YAW], kart[c.VEL_X], kart[c.VEL_Y] = yaw, speed * np.cos(yaw), speed * np.sin(yaw)
    for name, value in columns.items():
        kart[getattr(c, name)] = value
    return kart


def energy(kart):
    return 0.5 * (kart[c.VEL_X] ** 2 + kart[c.VEL_Y] ** 2 + physics.GYRATION * kart[c.YAW_RATE] ** 2)


def literal_step(s, steer, pedal, hand, d):
    """The same model with vectors: impulses at the axles of a rigid body of mass 1. s: dict, changed."""
    p = physics
    s["wheel"] += np.clip(np.clip(steer * d[c.STEER_GAIN] + d[c.STEER_BIAS], -1, 1) * c.MAX_STEER - s["wheel"],
                          -p.STEER_RATE * DT, p.STEER_RATE * DT)  # fmt: skip
    nose = np.array([np.cos(s["yaw"]), np.sin(s["yaw"])])
    right = np.array([-nose[1], nose[0]])
    v = s["v"].copy()
    ahead_before = v @ nose
    grip = d[c.GRIP] * 9.81 * (1 - s["rough"] * (1 - p.GRASS_GRIP))
    shift = np.clip(s["accel"] * p.CENTRE_HEIGHT / (p.BASE * 9.81), -0.3, 0.3)
    front = p.FRONT_GRIP * grip * (p.REAR / p.BASE - shift)
    rear = grip * (p.FRONT / p.BASE + shift)
    f_front = f_rear = 0.0
    if pedal > 0:
        f_rear = min(pedal * min(p.ENGINE_ACCEL, d[c.POWER] * p.ENGINE_POWER / max(v @ nose, 1.0)), rear)
        v += f_rear * DT * nose
    elif pedal < 0 and v @ nose > 0.3:
        f_front = min(-p.BRAKE_FRONT * pedal * d[c.BRAKE] * p.BRAKE_ACCEL, front)
        f_rear = min(-(1 - p.BRAKE_FRONT) * pedal * d[c.BRAKE] * p.BRAKE_ACCEL, rear)
        v -= min((f_front + f_rear) * DT, v @ nose) * nose
    elif pedal < 0 and v @ nose > -p.REVERSE_SPEED:
        f_rear = min(-0.4 * pedal * p.ENGINE_ACCEL, rear)
        v -= f_rear * DT * nose
    if hand:
        f_rear = 0.0
        v -= np.sign(v @ nose) * min(0.25 * rear * DT, abs(v @ nose)) * nose
        rear *= p.HAND_BRAKE_GRIP
    if s["boost"] > 0:
        v += p.BOOST_ACCEL * DT * nose
        s["boost"] = max(s["boost"] - DT, 0)
    speed = np.linalg.norm(v)
    if speed > 0:
        drag = d[c.DRAG] * (p.ROLLING + p.DRAG_QUADRATIC * speed**2) + s["rough"] * p.GRASS_DRAG
        v *= max(1 - drag * DT / speed, 0)
    for arm, limit, used, turn in ((p.FRONT, front, f_front, s["wheel"]), (-p.REAR, rear, f_rear, 0.0)):
        rolling = np.cos(turn) * nose + np.sin(turn) * right
        across = -np.sin(turn) * nose + np.cos(turn) * right
        contact = v + s["rate"] * arm * right  # velocity of the axle
        slip = np.arctan2(abs(contact @ across), abs(contact @ rolling) + 0.1)
        force = np.sqrt(max(limit**2 - used**2, 0)) * np.sin(p.TYRE_SHAPE * np.arctan(p.TYRE_STIFFNESS * slip))
        torque_arm = arm * (right @ across)
        stopping = abs(contact @ across) / (1 + torque_arm**2 / p.GYRATION)
        impulse = -np.sign(contact @ across) * min(force * DT, stopping)
        v += impulse * across
        s["rate"] += impulse * torque_arm / p.GYRATION
        if arm < 0:
            s["slip"] = np.arctan2(contact @ across, abs(contact @ rolling) + 0.1)
    s["accel"] += 0.15 * ((v @ nose - ahead_before) / DT - s["accel"])
    s["v"] = v
    s["x"] = s["x"] + v * DT
    s["yaw"] = (s["yaw"] + s["rate"] * DT + np.pi) % (2 * np.pi) - np.pi


def test_physics_equals_a_literal_rigid_body():
    rng = np.random.default_rng(1)
    for trial in range(40):
        d = physics.nominal_dynamics() * rng.uniform(0.8, 1.2, c.DYNAMICS_COLUMNS)
        d[c.STEER_BIAS] = rng.uniform(-0.1, 0.1)
        yaw = rng.uniform(-np.pi, np.pi)
        kart = new_kart(rng.uniform(-2, 15), yaw, YAW_RATE=rng.normal(), ROUGH=rng.choice([0.0, 0.4, 1.0]))
        kart[[c.VEL_X, c.VEL_Y]] += rng.normal(size=2)
        kart[c.BOOST] = rng.choice([0.0, 0.1])
        s = dict(x=np.zeros(2), v=kart[[c.VEL_X, c.VEL_Y]].copy(), yaw=yaw, rate=kart[c.YAW_RATE], wheel=0.0,
                 boost=kart[c.BOOST], accel=0.0, rough=kart[c.ROUGH], slip=0.0)  # fmt: skip
        steer, pedal, hand = rng.uniform(-1, 1), rng.uniform(-1, 1), bool(trial % 4 == 0)
        for _ in range(60):
            physics.advance(kart, steer, pedal, hand, d, DT)
            literal_step(s, steer, pedal, hand, d)
        assert np.allclose(kart[[c.POS_X, c.POS_Y, c.VEL_X, c.VEL_Y]], [*s["x"], *s["v"]], atol=1e-8)
        got = kart[[c.YAW, c.YAW_RATE, c.WHEEL, c.BOOST, c.SLIP]]
        assert np.allclose(got, [s["yaw"], s["rate"], s["wheel"], s["boost"], s["slip"]], atol=1e-8)


def test_without_engine_energy_never_grows():
    rng = np.random.default_rng(2)
    for _ in range(60):
        kart = new_kart(rng.uniform(0, 18), rng.uniform(-3, 3), YAW_RATE=3 * rng.normal(), ROUGH=rng.choice([0.0, 1.0]))
        kart[[c.VEL_X, c.VEL_Y]] += 3 * rng.normal(size=2)
        kart[c.WHEEL] = rng.uniform(-0.45, 0.45)
        for _ in range(150):
            before = energy(kart)
            physics.advance(kart, rng.uniform(-1, 1), -float(kart[c.VEL_X] > 3), bool(rng.random() < 0.2),
                            physics.nominal_dynamics(), DT)  # fmt: skip
            if physics.speed_of(kart) > 0.31:  # slower, the pedal would engage reverse
                assert energy(kart) <= before + 1e-12
    kart = new_kart(6.0)
    physics.advance(kart, 0.0, 1.0, False, physics.nominal_dynamics(), DT)
    assert energy(kart) > 18.0


def test_known_motions():
    dynamics = physics.nominal_dynamics()
    kart = new_kart()
    for _ in range(4000):
        physics.advance(kart, 0.0, 1.0, False, dynamics, DT)
    # Top speed: power = speed * (rolling + drag speed^2).
    top = physics.speed_of(kart)
    assert top * (physics.ROLLING + physics.DRAG_QUADRATIC * top**2) == pytest.approx(physics.ENGINE_POWER, rel=0.01)
    assert kart[c.POS_Y] == kart[c.YAW] == 0.0
    # Slowly, the kart follows the circle of its wheels' geometry, to the right for positive steering.
    kart = new_kart()
    for _ in range(3000):
        physics.advance(kart, 0.5, physics.speed_control(kart, 1.5), False, dynamics, DT)
    expected = physics.speed_of(kart) * np.tan(0.5 * c.MAX_STEER) / physics.BASE
    assert kart[c.YAW_RATE] == pytest.approx(expected, rel=0.05)
    assert physics.speed_of(kart) == pytest.approx(1.5, abs=0.1)
    # Fast, grip bounds the side acceleration; on grass it is much less.
    for rough, low, high in ((0.0, 0.75, 0.95), (1.0, 0.4, 0.55)):
        kart, pulls = new_kart(11.0), []
        for _ in range(80):
            kart[c.ROUGH] = rough
            before = kart[[c.VEL_X, c.VEL_Y]].copy()
            physics.advance(kart, 0.6, 0.0, False, dynamics, DT)
            after = kart[[c.VEL_X, c.VEL_Y]]
            pulls.append((before[0] * after[1] - before[1] * after[0]) / np.hypot(*after) / DT / 9.81)
        assert low < max(pulls) < high
    # The hand brake makes the rear slide: a drift.
    slips = []
    for hand in (False, True):
        kart = new_kart(10.0)
        for _ in range(60):
            physics.advance(kart, 0.5, 0.3, hand, dynamics, DT)
        slips.append(abs(kart[c.SLIP]))
    assert slips[1] > 0.3 > 3 * slips[0] / 2


def test_walls_and_karts_take_energy_and_contacts_keep_momentum():
    rng = np.random.default_rng(3)
    track = make_track(-1)
    n = len(track.line)
    step = track.length / n
    for _ in range(100):
        kart = np.zeros(c.KART_COLUMNS)
        side = rng.choice([-1, 1])
        along = rng.uniform(0, track.length)
        wall = track.line[int(along / step) % n, c.WALL_R if side > 0 else c.WALL_L]
        physics.stand(kart, track.line, n, step, track.half, along, side * (wall - 0.3), rng.uniform(-3, 3), 9.0)
        before = energy(kart)
        physics.hit_walls(kart, track.line)
        assert energy(kart) <= before + 1e-12
        physics.place(kart, track.line, n, step, track.half)
        assert abs(kart[c.LATERAL]) <= wall - physics.RADIUS + 0.1
    karts = np.zeros((3, c.KART_COLUMNS))
    for _ in range(100):
        karts[:, [c.POS_X, c.POS_Y]] = rng.uniform(0, 1.6, (3, 2))
        karts[:, [c.VEL_X, c.VEL_Y]] = rng.normal(size=(3, 2)) * 5
        momentum, before = karts[:, [c.VEL_X, c.VEL_Y]].sum(0), sum(map(energy, karts))
        physics.hit_karts(karts)
        assert np.allclose(karts[:, [c.VEL_X, c.VEL_Y]].sum(0), momentum)
        assert sum(map(energy, karts)) <= before + 1e-12


def test_pads_boost_and_cones_fall():
    kart = new_kart(8.0, ALONG=11.0, LATERAL=0.5)
    physics.hit_pads(kart, np.array([[10.0, 14.0, -1.0, 1.0]]), 1)
    assert kart[c.BOOST] == physics.BOOST_TIME
    for _ in range(100):
        physics.advance(kart, 0.0, 1.0, False, physics.nominal_dynamics(), DT)
    assert physics.speed_of(kart) > 8.0 + 0.9 * (physics.BOOST_ACCEL + 2.0)
    items = np.zeros((2, c.ITEM_COLUMNS))
    items[1, c.ITEM_X] = 5.0
    fallen = np.zeros(2, bool)
    kart = new_kart(10.0)
    race.hit_cones(kart, items, 2, fallen)
    assert fallen.tolist() == [True, False] and physics.speed_of(kart) == pytest.approx(9.3)
    race.hit_cones(kart, items, 2, fallen)
    assert physics.speed_of(kart) == pytest.approx(9.3)  # a cone falls once
