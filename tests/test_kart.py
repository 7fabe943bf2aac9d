"""The kart game: tracks, physics and environments against their definitions."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from envs.kart import columns as c
from envs.kart import physics, race
from envs.kart.env import KartVectorEnv, make, make_vec
from envs.kart.ground import sample
from envs.kart.options import DISCRETE, Options
from envs.kart.splits import NAMES, SPLITS, parse_tracks, split_of
from envs.kart.track import make_track

DT = physics.SUBSTEP


# Tracks


def test_seed_ranges_are_disjoint_and_every_track_has_one_split():
    ranges = list(SPLITS.values())
    for i, a in enumerate(ranges):
        for b in ranges[i + 1 :]:
            assert a.stop <= b.start or b.stop <= a.start
    assert [split_of(r.start) for r in ranges] == [split_of(r.stop - 1) for r in ranges] == list(SPLITS)
    assert parse_tracks("test:3") == tuple(SPLITS["test"][:3])
    assert parse_tracks("harbour, validation#7") == (-1 - NAMES.index("harbour"), SPLITS["validation"][7])


@pytest.mark.parametrize("text", ["", "tset", "test:0", "test:99999999", "train,test:2", "oval;dunes", "test#-1"])
def test_unknown_tracks_are_named(text):
    with pytest.raises(ValueError, match="tracks: .* is unknown; allowed are train, validation, test"):
        parse_tracks(text)


@pytest.mark.parametrize("number", [-1, -2, -3, -4, 0, 17, 1_000_003, 2_000_001])
def test_a_track_is_a_closed_road_between_walls(number):
    track = make_track(number)
    points = track.line[:, [c.X, c.Y]]
    steps = np.hypot(*(np.roll(points, -1, axis=0) - points).T)
    assert steps.sum() == pytest.approx(track.length)
    assert steps.max() < 1.02 * track.length / len(points)
    # Curvature by its definition: the turn of the direction of travel per metre.
    angle = np.unwrap(np.arctan2(track.line[:, c.TY], track.line[:, c.TX]))
    turn = np.diff(np.append(angle, angle[0] + 2 * np.pi * np.round((angle[-1] - angle[0]) / (2 * np.pi))))
    assert np.abs(turn / steps - 0.5 * (track.line[:, c.BEND] + np.roll(track.line[:, c.BEND], -1))).max() < 0.03
    assert abs(track.line[:, c.BEND].sum() * track.length / len(points)) == pytest.approx(2 * np.pi, rel=0.01)
    assert abs(abs(angle[-1] - angle[0]) - 2 * np.pi) < 0.3  # once around
    assert np.abs(track.line[:, c.BEND]).max() < 1 / 8.0
    for wall in (c.WALL_L, c.WALL_R):
        assert track.line[:, wall].min() > track.half + 0.5
    # A wall is never nearer to another part of the road than that road's edge.
    normal = np.stack([-track.line[:, c.TY], track.line[:, c.TX]], axis=1)
    for wall, side in ((c.WALL_L, -1), (c.WALL_R, 1)):
        posts = points + side * track.line[:, wall, None] * normal
        distance = np.hypot(*(posts[:, None] - points[None]).transpose(2, 0, 1))
        assert distance.min() > track.half + 0.3
    assert np.abs(track.line[:, c.RACE]).max() <= track.half
    assert (track.items[: track.cones, c.ITEM_KIND] == c.CONE).all()
    again = make_track.__wrapped__(number)
    assert all(
        np.array_equal(getattr(track, name), getattr(again, name)) for name in ("line", "items", "pads", "flags")
    )


def test_the_ground_map_gives_the_distance_to_the_centreline():
    track = make_track(3)
    points = track.line[:, [c.X, c.Y]]
    ends = np.roll(points, -1, axis=0)
    rng = np.random.default_rng(0)
    for _ in range(300):
        i = rng.integers(len(points))
        spot = points[i] + rng.uniform(-1, 1, 2) * (track.half + 2.0)
        # Literally: the nearest point of the polygon.
        edge = ends - points
        u = np.clip(((spot - points) * edge).sum(1) / (edge**2).sum(1), 0, 1)
        away = spot - (points + u[:, None] * edge)
        k = np.hypot(*away.T).argmin()
        right = edge[k, 0] * away[k, 1] - edge[k, 1] * away[k, 0]
        expected = np.copysign(np.hypot(*away[k]), right)
        offset, along = sample(track.field.reshape(-1, 2), spot[0], spot[1], track.length)
        if abs(expected) < track.half + 1.0:
            assert offset == pytest.approx(expected, abs=0.12)
            place = (k + u[k]) * track.length / len(points)
            assert abs((along - place + track.length / 2) % track.length - track.length / 2) < 0.5


# Physics


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
    s["wheel"] += np.clip(np.clip(steer * d[c.STEER_GAIN] + d[c.STEER_BIAS], -1, 1) * p.MAX_STEER - s["wheel"],
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
    expected = physics.speed_of(kart) * np.tan(0.5 * physics.MAX_STEER) / physics.BASE
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


# Laps


def test_laps_need_every_checkpoint_in_order_and_count_once():
    length, row = 100.0, np.zeros(c.RACE_COLUMNS)
    row[[c.LAST_LAP, c.BEST_LAP, c.FINISH]] = np.nan

    def drive(begin, end, seconds):
        places = np.linspace(begin, end, round(seconds / DT) + 1)
        for a, b in zip(places, places[1:], strict=False):
            row[c.CLOCK] += DT
            race.count_laps(row, a, b, length, 2.0)

    drive(-5.0, 60.0, 6.0)
    assert row[c.GATE] == 4 and np.isnan(row[c.LAST_LAP])
    drive(60.0, 20.0, 4.0)  # back
    drive(20.0, 99.9, 8.0)
    assert row[c.GATE] == 7 and np.isnan(row[c.LAST_LAP])
    drive(99.9, 100.4, 0.5)
    assert row[c.GATE] == 8 and row[c.LAST_LAP] == pytest.approx(18.1, abs=1e-6)
    drive(100.4, 90.0, 1.0)  # over the line backwards and again: not a second lap
    drive(90.0, 101.0, 1.0)
    assert row[c.GATE] == 8 and np.isnan(row[c.FINISH])
    drive(101.0, 200.0, 9.9)
    assert row[c.GATE] == 16 and row[c.FINISH] == pytest.approx(30.4, abs=1e-6)
    assert row[c.LAST_LAP] == pytest.approx(30.4 - 18.1, abs=1e-6) and row[c.BEST_LAP] == row[c.LAST_LAP]


def drive(env, policy, steps):
    """Runs a vector environment; returns the infos of every step and the rewards [T, N]."""
    _, info = env.reset(seed=[5 + i for i in range(env.num_envs)])
    infos, rewards = [info], []
    for _ in range(steps):
        _, reward, terminated, truncated, info = env.step(policy(info))
        infos.append({**info, "terminated": terminated, "truncated": truncated})
        rewards.append(reward)
    return infos, np.array(rewards)


def test_the_expert_drives_unseen_tracks_without_help():
    env = make_vec(12, tracks="validation:12", order="cycle", obs="state", expert_info=True, laps=2)
    infos, _ = drive(env, lambda info: info["expert"], 1700)
    over = np.array([info["terminated"] for info in infos[1:]])
    assert over.any(axis=0).all()
    for i, step in enumerate(over.argmax(axis=0)):
        part = [info for info in infos[1 : step + 2]]
        assert not any(info["off_road"][i] or info["wrong_way"][i] for info in part)
        assert part[-1]["rescues"][i] == 0 and part[-1]["lap"][i] == 2
        assert part[-1]["score"][i] == pytest.approx(2 * 120.0 / part[-1]["episode"]["seconds"][i], rel=0.01)
        assert part[-1]["best_lap"][i] <= part[-1]["lap_time"][i]


def autonomy(infos):
    """PilotNet's: 100 (1 - 6 s per intervention / time), here in 0..1 and with the game's rescues."""
    seconds = sum(info["episode"]["seconds"].sum() for info in infos if info["truncated"].any())
    rescues = sum(info["rescues"].sum() for info in infos if info["truncated"].any())
    return 1 - 6 * rescues / seconds


def test_straight_on_fails_where_the_expert_does_not():
    env = make_vec(6, tracks="validation:6", order="cycle", obs="state", expert_info=True, laps=0, time_limit=40.0)
    straight = np.tile(np.float32([0.0, 0.0]), (6, 1))
    fails, _ = drive(env, lambda info: straight, 800)
    good, _ = drive(env, lambda info: info["expert"], 800)
    assert good[-1]["truncated"].all() and autonomy(good[-1:]) == 1.0
    assert autonomy(fails[-1:]) < 0.5
    assert fails[-1]["score"].mean() < 0.5 * good[-1]["score"].mean()


def turned_round(**options):
    env = make_vec(1, tracks="oval", obs="state", **options)
    env.reset(seed=[1])
    scene = env.batch.scene
    kart = env.batch.karts[0, 0]
    physics.stand(kart, scene.line[0], scene.count[0], scene.step[0], scene.half[0], 30.0, 0.0, np.pi, 5.0)
    return env


def test_wrong_way_is_seen_and_ends_in_a_rescue_or_the_end():
    env = turned_round(cost_off_road=0.0)
    for step in range(1, 65):
        _, reward, terminated, _, info = env.step(np.float32([[0.0, -0.5]]))
        if step < 50:
            assert info["wrong_way"][0] and reward[0] < 0 and info["heading"][0] ** 2 > 8
        if info["rescues"][0]:
            break
    assert step == 60 and not terminated[0]
    _, _, _, _, info = env.step(np.float32([[0.0, -0.5]]))
    assert not info["wrong_way"][0] and abs(info["heading"][0]) < 0.1
    env = turned_round(on_stuck="end")
    ends = [env.step(np.float32([[0.0, -0.5]]))[2][0] for _ in range(61)]
    assert ends == [False] * 59 + [True, False]


def test_standing_still_is_stuck_and_grass_is_lost():
    env = make_vec(1, tracks="oval", obs="state")
    infos, rewards = drive(env, lambda info: np.float32([[0, -1]]), 61)
    assert [info["rescues"][0] for info in infos[-3:]] == [0, 1, 1] and (rewards == 0).all()
    kart, scene = env.batch.karts[0, 0], env.batch.scene
    seen = []
    for _ in range(61):
        along = kart[c.ALONG] + 1.0  # somebody pushes it along on the grass
        progress = kart[c.PROGRESS] + 1.0
        physics.stand(
            kart, scene.line[0], scene.count[0], scene.step[0], scene.half[0], along, scene.half[0] + 0.8, 0, 0
        )
        kart[c.PROGRESS] = progress
        _, reward, _, _, info = env.step(np.float32([[0, -1]]))
        seen.append((info["off_road"][0], info["rescues"][0], reward[0] < 0))
    assert seen[0] == (True, 1, True) and seen[58] == (True, 1, True) and seen[59][1] == 2


def test_rewards_are_options():
    base = dict(tracks="oval", obs="state", expert_info=True, laps=1)
    env = make_vec(1, **base, reward_progress=0.5, reward_finish=7.0, cost_contact=0.0)
    infos, rewards = drive(env, lambda info: info["expert"], 700)
    end = next(k for k, info in enumerate(infos[1:]) if info["terminated"][0])
    length = make_track(-1).length
    metres = (infos[end + 1]["progress"][0] - infos[0]["progress"][0]) * length
    assert rewards[: end + 1].sum() == pytest.approx(0.5 * metres + 7.0)
    assert rewards[end + 1] == 0.0  # the step that only resets
    straight = np.float32([[0.0, 0.4]])
    plain, costly = (
        make_vec(1, **base, reward_progress=0.0, cost_off_road=a, cost_contact=b) for a, b in ((0, 0), (2, 3))
    )
    assert (drive(plain, lambda info: straight, 200)[1] == 0).all()
    infos, rewards = drive(costly, lambda info: straight, 200)
    last = infos[-1]
    assert last["contacts"][0] > 0 and last["episode"]["off_road_seconds"][0] > 0
    expected = -2 * last["episode"]["off_road_seconds"][0] - 3 * last["contacts"][0]
    assert rewards.sum() == pytest.approx(expected)


def test_score_of_an_unfinished_race_is_its_laps():
    env = make_vec(2, tracks="named", obs="state", expert_info=True, time_limit=5.0)
    infos, _ = drive(env, lambda info: info["expert"], 100)
    assert infos[-1]["truncated"].all() and not infos[-1]["terminated"].any()
    assert np.array_equal(infos[-1]["score"], infos[-1]["progress"]) and (infos[-1]["score"] < 1).all()
    assert infos[-1]["episode"]["seconds"] == pytest.approx([5.0, 5.0])


# The environments' contract

EVERYTHING = dict(
    karts=3, theme="all", random_looks=0.7, random_camera=0.5, random_dynamics=0.5, random_latency=3, steer_noise=0.1,
    start="random", time_limit=2.0, camera="picam",
)  # fmt: skip


def play(env, steps, seed=11):
    rng = np.random.default_rng(seed)
    log = []
    for _ in range(steps):
        log.append(env.step(rng.uniform(-1, 1, env.action_space.shape).astype(np.float32)))
    return log


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind == "f")


def test_same_seeds_same_games_and_vector_equals_single():
    many, again = make_vec(3, **EVERYTHING), make_vec(3, **EVERYTHING, threads=2)
    first, second = many.reset(seed=[4, 5, 6]), again.reset(seed=[4, 5, 6])
    assert same(first, second)
    log = play(many, 50)
    assert same(tuple(log), tuple(play(again, 50)))
    assert any(entry[3].any() for entry in log)  # a reset is part of it
    again.close()
    with make(**EVERYTHING) as one:
        obs, _ = one.reset(seed=5)
        assert np.array_equal(obs, first[0][1])
        rng = np.random.default_rng(11)
        for entry in log:
            action = rng.uniform(-1, 1, (3, 2)).astype(np.float32)[1]
            if one.batch.over[0]:
                obs, info = one.reset()
            else:
                obs, reward, terminated, truncated, info = one.step(action)
                assert (reward, terminated, truncated) == (entry[1][1], entry[2][1], entry[3][1])
            assert np.array_equal(obs, entry[0][1]) and info["speed"] == entry[4]["speed"][1]


def test_seeds_share_nothing():
    env = make_vec(4, tracks="train", obs="state")
    tracks = [tuple(env.reset(seed=seed)[1]["track"]) for seed in (1, 2, 1)]
    assert tracks[0] == tracks[2] and not set(tracks[0]) & set(tracks[1])
    env.reset(seed=3)
    assert set(env.reset()[1]["track"]) != set(env.reset()[1]["track"])


def test_a_saved_state_goes_on_exactly():
    env = make_vec(2, **EVERYTHING)
    env.reset(seed=9)
    play(env, 25, seed=1)
    state, now = env.state_dict(), env.observe()
    assert np.array_equal(now, env.observe())
    expected = play(env, 60, seed=2)
    other = make_vec(2, **EVERYTHING)
    other.load_state_dict(state)
    assert np.array_equal(other.observe(), now)
    assert same(tuple(play(other, 60, seed=2)), tuple(expected))
    assert all(isinstance(value, np.ndarray | str) for value in state.values())
    with pytest.raises(ValueError, match="state: it comes from Options"):
        make_vec(2).load_state_dict(state)
    state.pop("karts")
    with pytest.raises(ValueError, match="state: karts must have shape"):
        other.load_state_dict(state)


def test_next_step_autoreset():
    env = make_vec(2, tracks="oval", obs="state", time_limit=1.0)
    _, begin = env.reset(seed=0)
    log = play(env, 21)
    assert log[18][3].tolist() == [False, False] and log[19][3].tolist() == [True, True]
    _, reward, terminated, truncated, info = log[20]
    assert not reward.any() and not terminated.any() and not truncated.any()
    assert np.array_equal(info["progress"], begin["progress"]) and not info["episode"]["seconds"].any()


@pytest.mark.parametrize("control", ["speed", "raw", "discrete"])
@pytest.mark.parametrize("obs", ["trunk", "grey", "state"])
def test_gymnasium_checker(control, obs):
    env = make(control=control, obs=obs, expert_info=True, tracks="named")
    check_env(env, skip_render_check=True)
    env.close()
    env.close()


@pytest.mark.parametrize(
    "control, bad",
    [("speed", [[0, 1.1]]), ("speed", [[np.nan, 0]]), ("speed", [0, 0]), ("raw", [[0, 0]]), ("discrete", [15]),
     ("discrete", [-1]), ("discrete", [0.5])],
)  # fmt: skip
def test_an_action_outside_the_space_moves_nothing(control, bad):
    env = make_vec(1, control=control, obs="state")
    env.reset(seed=0)
    before = env.state_dict()
    with pytest.raises(ValueError, match="actions must be"):
        env.step(np.array(bad))
    assert same(env.state_dict(), before)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(obs="rgb"), "obs must be one of trunk, pilotnet, grey, frame, state"),
        (dict(theme="dusk"), "theme: 'dusk' is unknown"),
        (dict(tracks="monza"), "tracks: 'monza' is unknown"),
        (dict(camera="fisheye"), "camera must be one of kart, picam, chase"),
        (dict(karts=9), "karts must be from 1 to 8, not 9"),
        (dict(karts=2.5), "karts must be int, not 2.5"),
        (dict(time_limit=float("nan")), "time_limit must be from 1.0 to 3600.0, not nan"),
        (dict(latency=6, random_latency=6), "latency . random_latency must be at most 10, not 12"),
        (dict(obs="state", drivable_info=True), "drivable_info needs an observation with a picture"),
        (dict(speed=3), "kart has no option 'speed'; it has tracks, "),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        make_vec(1, **options)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="num_envs must be a whole number from 1, not 0"):
        make_vec(0)
    with pytest.raises(ValueError, match="render_mode must be None, human or rgb_array, not 'ansi'"):
        make("ansi")
    env = make_vec(2, obs="state")
    with pytest.raises(ValueError, match="seed must be one integer or 2 of them, not 3"):
        env.reset(seed=[1, 2, 3])
    with pytest.raises(ValueError, match="seed must consist of whole numbers from 0"):
        env.reset(seed=[1, -2])
    one = make(obs="state", time_limit=1.0)
    one.reset(seed=0)
    for _ in range(20):
        one.step(np.float32([0, 0]))
    with pytest.raises(gymnasium.error.ResetNeeded):
        one.step(np.float32([0, 0]))


def test_latency_delays_the_wheels():
    moved = []
    for latency in (0, 4):
        env = make_vec(1, tracks="oval", obs="state", latency=latency)
        env.reset(seed=0)
        wheels = []
        for _ in range(8):
            env.step(np.float32([[1.0, 0.5]]))
            wheels.append(env.batch.karts[0, 0, c.WHEEL])
        moved.append(int(np.flatnonzero(wheels)[0]))
    assert moved == [0, 4]


def test_discrete_actions_are_raw_actions():
    one, other = make_vec(1, tracks="oval", obs="state", control="discrete"), None
    other = make_vec(1, tracks="oval", obs="state", control="raw")
    one.reset(seed=0), other.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(60):
        action = int(rng.integers(len(DISCRETE)))
        a, b = one.step(np.array([action])), other.step(DISCRETE[action][None])
        assert np.array_equal(a[0], b[0])


@pytest.mark.parametrize("control, rescues", [("raw", 0), ("discrete", 2)])
def test_the_expert_speaks_every_control(control, rescues):
    env = make_vec(3, tracks="validation:3", order="cycle", obs="state", control=control, expert_info=True, laps=1)
    infos, _ = drive(env, lambda info: info["expert"], 900)
    # Fifteen actions are too few to be as smooth as the teacher, but enough to get round.
    assert max(info["rescues"].sum() for info in infos) <= rescues
    assert np.array([info["terminated"] for info in infos[1:]]).any(axis=0).all()


def test_a_race_against_seven():
    env = make_vec(2, tracks="validation:2", order="cycle", obs="state", karts=8, rival_speed=1.0, expert_info=True)
    infos, _ = drive(env, lambda info: info["expert"], 700)
    assert infos[0]["place"].tolist() == [8, 8]
    progress = env.batch.karts[:, :, c.PROGRESS]
    assert (progress > 150.0).all()  # nobody is left behind
    expected = 1 + (progress[:, 1:] > progress[:, :1]).sum(axis=1)
    assert np.array_equal(infos[-1]["place"], expected)
    gaps = np.hypot(*(env.batch.karts[0, :, None, :2] - env.batch.karts[0, None, :, :2]).transpose(2, 0, 1))
    assert gaps[~np.eye(8, dtype=bool)].min() > 1.9 * physics.RADIUS


def test_options_change_what_they_say():
    slow = make_vec(4, theme="snow", weather_grip=True, tracks="oval")
    assert slow.batch.dynamics[:, c.GRIP] == pytest.approx([0.65] * 4)
    varied = make_vec(8, random_dynamics=1.0, obs="state")
    assert len(set(varied.batch.dynamics[:, c.GRIP])) == 8
    cycle = make_vec(3, tracks="validation:5", order="cycle", obs="state")
    first = cycle.reset(seed=0)[1]["track"] - SPLITS["validation"][0]
    assert first.tolist() == [0, 1, 2]
    assert (cycle.reset()[1]["track"] - SPLITS["validation"][0]).tolist() == [3, 4, 0]
    assert Options().protocol == "kart tracks=train laps=2 time_limit=120.0"
    assert "karts=3" in Options(karts=3).protocol and Options(obs="grey").protocol == Options().protocol


@pytest.mark.slow
def test_the_expert_is_close_to_an_optimised_lap():
    from envs.kart.lap import expert_lap, optimise

    for number in SPLITS["validation"][:5]:
        track = make_track(number)
        assert 1.0 < expert_lap(track) / optimise(track, generations=60, population=64).time < 1.15


@pytest.mark.slow
def test_the_expert_drives_forty_more_unseen_tracks():
    env = KartVectorEnv(40, Options(tracks="test:40", order="cycle", obs="state", expert_info=True, laps=3))
    infos, _ = drive(env, lambda info: info["expert"], 2400)
    assert np.array([info["terminated"] for info in infos[1:]]).any(axis=0).all()
    assert max(info["rescues"].max() for info in infos) == 0
    assert max(info["episode"]["off_road_seconds"].max() for info in infos) == 0
