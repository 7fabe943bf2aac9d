"""The kart game's pictures: cameras, projection and colours against slow literal references."""

import io
import math

import numpy as np
import pytest

from envs.kart import camera, looks, physics
from envs.kart import columns as c
from envs.kart.batch import KartBatch
from envs.kart.camera import CAMERAS, Camera, aim, mount, project, rays
from envs.kart.env import make, make_vec
from envs.kart.hud import clock, write
from envs.kart.looks import THEMES, make_look
from envs.kart.options import KartOptions
from envs.kart.picture import to_grey
from envs.kart.scene import put_posts
from envs.kart.sprites import FOOT, KART_SPAN, atlas
from envs.kart.track import make_track

WIDE = Camera(fov=110.0, height=0.6, pitch=7.0, k1=-0.13, k2=0.012)


def literal_projection(point, pose, lens_camera, width, height, top=0.0, bottom=0.0):
    """Pixel of a point (forward, right, up) in metres from the camera's foot: rotations, distortion, pixels."""
    forward, right, up = point
    v = np.array([right, pose[camera.HEIGHT] - up, forward])  # right, down, forward
    p, r = pose[camera.PITCH], pose[camera.ROLL]
    # The camera looks down by p: in its frame things far ahead move up.
    v = np.array([[1, 0, 0], [0, math.cos(p), -math.sin(p)], [0, math.sin(p), math.cos(p)]]) @ v
    v = np.array([[math.cos(r), math.sin(r), 0], [-math.sin(r), math.cos(r), 0], [0, 0, 1]]) @ v
    x, y = v[0] / v[2] / pose[camera.ZOOM], v[1] / v[2] / pose[camera.ZOOM]

    def bend(radius2):
        return 1 + lens_camera.k1 * radius2 + lens_camera.k2 * radius2**2

    edge = math.tan(math.radians(lens_camera.fov / 2))
    half_width = edge * bend(edge**2)  # of the picture, in the lens's own unit
    u = 0.5 + 0.5 * x * bend(x * x + y * y) / half_width
    w = 0.5 + 0.5 * y * bend(x * x + y * y) / (0.75 * half_width)
    return u * width - 0.5, (w - top) / (1 - top - bottom) * height - 0.5


@pytest.mark.parametrize(
    "lens", [CAMERAS["kart"], CAMERAS["picam"], CAMERAS["wide"], WIDE], ids=["kart", "picam", "wide", "bent"]
)
@pytest.mark.parametrize("shape", [(120, 160, 0.0, 0.0), (66, 200, 0.36, 0.2), (84, 84, 0.0, 0.0)])
def test_known_points_fall_on_the_right_pixels(lens, shape):
    height, width, top, bottom = shape
    eyes, pose = rays(lens, width, height, top, bottom), mount(lens)
    pose[camera.ROLL], pose[camera.ZOOM], pose[camera.PITCH] = 0.05, 1.07, pose[camera.PITCH] + 0.03
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        point = (rng.uniform(0.8, 40), rng.uniform(-20, 20), rng.uniform(0, 2))
        col, row, depth = project(*point, aim(pose, eyes.lens))
        if not (0 <= col <= width - 1 and 0 <= row <= height - 1):
            continue
        inside += 1
        assert depth > 0
        assert (col, row) == pytest.approx(literal_projection(point, pose, lens, width, height, top, bottom), abs=1e-6)
        # And back: the ray of that pixel, turned by the pose, meets the point.
        i, j = int(row), int(col)
        k, m = min(i + 1, height - 1), min(j + 1, width - 1)
        fy, fx = row - i, col - j

        def blend(a, i=i, j=j, k=k, m=m, fy=fy, fx=fx):
            return (1 - fy) * ((1 - fx) * a[i, j] + fx * a[i, m]) + fy * ((1 - fx) * a[k, j] + fx * a[k, m])

        x, y = pose[camera.ZOOM] * blend(eyes.right), pose[camera.ZOOM] * blend(eyes.down)
        cos, sin = math.cos(pose[camera.ROLL]), math.sin(pose[camera.ROLL])
        x, y = x * cos - y * sin, x * sin + y * cos
        cos, sin = math.cos(pose[camera.PITCH]), math.sin(pose[camera.PITCH])
        down, ahead = y * cos + sin, cos - y * sin
        assert x / ahead == pytest.approx(point[1] / point[0], abs=0.01)
        assert down / ahead == pytest.approx((pose[camera.HEIGHT] - point[2]) / point[0], abs=0.01)
    assert inside > 30
    assert project(-3.0, 0.0, 0.0, aim(pose, eyes.lens))[2] < 0  # behind


def test_field_of_view_and_pixel_shape():
    plain = Camera(fov=90.0, pitch=0.0)
    eyes = rays(plain, 160, 120)
    assert eyes.right[60, 159] == pytest.approx(159 / 160, abs=1e-5)  # tan 45 degrees at the picture's edge
    assert np.diff(eyes.right[60]).mean() == pytest.approx(np.diff(eyes.down[:, 80]).mean(), rel=1e-4)
    band = rays(plain, 200, 66, 0.36, 0.2)
    assert np.diff(band.right[30]).mean() == pytest.approx(np.diff(band.down[:, 100]).mean(), rel=1e-4)
    bent = rays(WIDE, 160, 120)
    assert np.diff(bent.right[60])[0] > 1.3 * np.diff(bent.right[60])[80]  # a barrel squeezes the edge


# The whole picture


def flat_batch(number=-2, along=60.0, lateral=0.0, theme="day", karts=1, **options):
    """One race with plain colours: no texture, fog, cones, signs or scenery."""
    batch = KartBatch(
        1, KartOptions(**{"tracks": "harbour", "theme": theme, "obs": "frame", "karts": karts, **options})
    )
    batch.seed(0, 1)
    batch.begin(0)
    batch.paint.weather[0, looks.FOG_RATE] = batch.paint.weather[0, looks.BUMP] = 0.0
    batch.scene.item_count[0] = batch.scene.cone_count[0] = 0
    put(batch, 0, along, lateral)
    return batch


def put(batch, k, along, lateral=0.0, heading=0.0):
    scene = batch.scene
    physics.stand(
        batch.karts[0, k], scene.line[0], scene.count[0], scene.step[0], scene.half[0], along, lateral, heading, 0.0
    )


def literal_ground(batch, x, y):
    """Offset and arc length of a world point by brute force over the centreline's segments."""
    n = batch.scene.count[0]
    points = batch.scene.line[0, :n, :2]
    edge = np.roll(points, -1, axis=0) - points
    u = np.clip((([x, y] - points) * edge).sum(1) / (edge**2).sum(1), 0, 1)
    away = [x, y] - (points + u[:, None] * edge)
    k = np.hypot(*away.T).argmin()
    side = np.sign(edge[k, 0] * away[k, 1] - edge[k, 1] * away[k, 0])
    return side * np.hypot(*away[k]), (k + u[k]) * batch.scene.step[0], k


@pytest.mark.parametrize("preset, along, lateral", [("kart", 60.0, 0.0), ("kart", 200.0, 2.5), ("picam", 330.0, -1.5)])
def test_colours_of_the_ground_equal_a_literal_renderer(preset, along, lateral):
    batch = flat_batch(along=along, lateral=lateral, camera=preset)
    lens = CAMERAS[preset]
    pose = mount(Camera(lens.fov, lens.height, lens.pitch, lens.forward, lens.k1, lens.k2))  # without the sensor
    eyes = rays(Camera(lens.fov, lens.height, lens.pitch, lens.forward, lens.k1, lens.k2), 160, 120)
    batch.scene.line[0, :, [c.WALL_L, c.WALL_R]] = 60.0  # walls out of the way
    put_posts(batch.scene, 0)
    picture = batch.pictures(eyes, pose[None])[0].astype(int)
    colours, half = batch.paint.colours[0], batch.scene.half[0]
    kart = batch.karts[0, 0]
    nose = np.array([math.cos(kart[c.YAW]), math.sin(kart[c.YAW])])
    eye = kart[[c.POS_X, c.POS_Y]] + pose[camera.AHEAD] * nose
    grass = 0.5 * (colours[looks.GRASS_DARK] + colours[looks.GRASS_LIGHT])
    road = 0.5 * (colours[looks.ROAD_DARK] + colours[looks.ROAD_LIGHT])
    cos, sin = math.cos(pose[camera.PITCH]), math.sin(pose[camera.PITCH])
    seen = dict(grass=0, road=0, line=0, kerb=0, sky=0)
    for row in range(2, 118, 2):
        for col in range(1, 160, 3):
            a, b = float(eyes.right[row, col]), float(eyes.down[row, col])
            down, ahead = b * cos + sin, cos - b * sin
            if down < 0.002:
                seen["sky"] += 1
                continue
            t = pose[camera.HEIGHT] / down
            if t > 18.0:
                continue
            spot = eye + ahead * t * nose + a * t * np.array([-nose[1], nose[0]])
            offset, along_here, k = literal_ground(batch, *spot)
            deep = t * t / pose[camera.HEIGHT] / eyes.lens[4]  # metres of ground in the pixel's height
            distance, margin = abs(offset), 0.12 + 0.02 * t + 0.6 * deep
            kerb = batch.scene.line[0, k, c.KERB_R if offset > 0 else c.KERB_L]
            if distance < half - 0.34 - margin:
                name, expected = "road", [road]
            elif half - 0.34 + 0.05 < distance < half - 0.14 - 0.05 and t < 3.0:
                name, expected = "line", [colours[looks.LINE]]
            elif kerb > 0.8 and half + margin < distance < half + kerb - margin:
                name, expected = "kerb", [colours[looks.KERB_A], colours[looks.KERB_B]]
                phase = along_here % 1.6
                if not 0.1 + 0.1 * t < phase < 1.5 - 0.1 * t:
                    continue
                expected = expected[int(along_here / 1.6) % 2 :][:1]
            elif kerb < 0.01 and distance > half + margin or distance > half + 1.0 + margin:
                name, expected = "grass", [grass]
            else:
                continue
            seen[name] += 1
            error = min(np.abs(picture[row, col] - colour).max() for colour in expected)
            assert error <= 2, (row, col, name, picture[row, col], expected, distance - half)
    assert seen["road"] > 200 and seen["sky"] > 100 and seen["grass"] + seen["kerb"] > 20


def test_a_kart_is_drawn_where_it_stands():
    for gap, lateral in ((6.0, 0.0), (12.0, 2.0), (9.0, -2.5)):
        batch = flat_batch(along=20.0, karts=2, camera="kart", width=320, height=240)
        put(batch, 1, 20.0 + gap, lateral)
        with_kart = batch.observe()[0].astype(int)
        put(batch, 1, 250.0)
        without = batch.observe()[0].astype(int)
        changed = np.argwhere(np.abs(with_kart - without).max(axis=2) > 40)
        pose = batch.poses[0]
        me = batch.karts[0, 0].copy()
        put(batch, 1, 20.0 + gap, lateral)
        delta = batch.karts[0, 1, [c.POS_X, c.POS_Y]] - me[[c.POS_X, c.POS_Y]]
        nose = np.array([math.cos(me[c.YAW]), math.sin(me[c.YAW])])
        forward = delta @ nose - pose[camera.AHEAD]
        right = delta @ np.array([-nose[1], nose[0]])
        col, row = literal_projection((forward, right, 0.0), pose, CAMERAS["kart"], 320, 240)
        (top, left), (low, high) = changed.min(axis=0), changed.max(axis=0)
        metre = 320 / (2 * math.tan(math.radians(42))) / forward
        assert 0.5 * (left + high) == pytest.approx(col, abs=0.2 * metre + 2)
        assert low == pytest.approx(row + FOOT * KART_SPAN * metre, abs=0.08 * metre + 2)
        assert row - top == pytest.approx(1.25 * metre, abs=0.25 * metre + 2)


def test_a_wall_has_its_height_and_its_place():
    batch = flat_batch(along=20.0, width=320, height=240)
    batch.scene.line[0, :, c.WALL_L], batch.scene.line[0, :, c.WALL_R] = 90.0, 6.0
    put_posts(batch.scene, 0)
    batch.paint.colours[0, [looks.WALL_A, looks.WALL_B, looks.WALL_TOP]] = (0, 0, 255), (0, 0, 255), (255, 0, 255)
    pose, me, col = batch.poses[0], batch.karts[0, 0], 250
    rows = batch.observe()[0, :, col].astype(int)
    blue, violet = (np.abs(rows - colour).max(axis=1) < 90 for colour in ((0, 0, 255), (255, 0, 255)))
    bottom = np.flatnonzero(blue).max()  # of the nearest wall; then upwards its blue part and its strip
    first = bottom
    while blue[first - 1]:
        first -= 1
    while violet[first - 1]:
        first -= 1
    changed = np.array([first, bottom])
    # Where does this column's ray meet the wall, 6 m to the right of the centreline? By search over distances.
    eyes = rays(CAMERAS["kart"], 320, 240)
    best = None
    for forward in np.linspace(2, 40, 4000):
        right = float(eyes.right[changed.max(), col]) / (
            math.cos(pose[camera.PITCH]) - float(eyes.down[changed.max(), col]) * math.sin(pose[camera.PITCH])
        )
        spot = me[[c.POS_X, c.POS_Y]] + (forward + pose[camera.AHEAD]) * np.array(
            [math.cos(me[c.YAW]), math.sin(me[c.YAW])]
        )
        spot = spot + right * forward * np.array([-math.sin(me[c.YAW]), math.cos(me[c.YAW])])
        offset, _, _ = literal_ground(batch, *spot)
        if offset > 6.0:
            best = (forward, right * forward)
            break
    bottom = literal_projection((*best, 0.0), pose, CAMERAS["kart"], 320, 240)[1]
    top = literal_projection((*best, 0.55), pose, CAMERAS["kart"], 320, 240)[1]
    assert changed.max() == pytest.approx(bottom, abs=1.2) and changed.min() == pytest.approx(top, abs=1.2)


def test_chase_camera_sees_the_player_and_the_kart_camera_does_not():
    near = flat_batch(camera="chase", width=160, height=120)
    picture = near.observe()[0]
    near.karts[0, 0, c.YAW] += 2 * math.pi  # the same direction, written differently
    assert np.array_equal(picture, near.observe()[0])
    red = np.abs(picture.astype(int) - (190, 40, 40)).max(axis=2) < 45
    assert red[60:100, 60:100].sum() > 40
    own = flat_batch(camera="kart", width=160, height=120).observe()[0]
    assert (np.abs(own.astype(int) - (190, 40, 40)).max(axis=2) < 45)[60:].sum() < red[60:].sum() / 4


def test_fallen_cones_disappear():
    track = make_track(-2)
    assert track.cones > 0
    batch = KartBatch(1, KartOptions(tracks="harbour", obs="frame", width=320, height=240))
    batch.begin(0)
    put(batch, 0, track.items[0, c.ITEM_ALONG] - 6.0)
    standing = batch.observe()
    batch.fallen[0, : track.cones] = True
    assert (np.abs(standing.astype(int) - batch.observe()).max(axis=3) > 60).sum() > 20


# Observations and looks


@pytest.mark.parametrize("obs, shape", [("trunk", (60, 80, 3)), ("pilotnet", (66, 200, 3)), ("grey", (84, 84))])
def test_observation_sizes(obs, shape):
    env = make_vec(2, obs=obs)
    frames, _ = env.reset(seed=0)
    assert frames.shape == (2, *shape) and frames.dtype == np.uint8
    assert env.observation_space.contains(frames) and frames.std() > 20
    assert env.metadata["frame_stack"] == (4 if obs == "grey" else 1)
    assert make_vec(2, obs=obs, stack=3).metadata["frame_stack"] == 3
    assert not np.array_equal(frames[0], frames[1])


def test_grey_is_luma():
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (2, 5, 7, 3), dtype=np.uint8)
    out = np.empty((2, 5, 7), np.uint8)
    to_grey(colour, out, 0, 2)
    assert np.abs(out - colour @ [0.299, 0.587, 0.114]).max() <= 1.0


def test_drivable_area_equals_a_literal_one():
    batch = flat_batch(along=150.0, lateral=1.0, drivable_info=True)
    label = batch.drivable()[0]
    eyes, pose, kart = rays(CAMERAS["kart"], 20, 15), batch.poses[0], batch.karts[0, 0]
    nose = np.array([math.cos(kart[c.YAW]), math.sin(kart[c.YAW])])
    wrong = 0
    for row in range(15):
        for col in range(20):
            a, b = float(eyes.right[row, col]), float(eyes.down[row, col])
            cos, sin = math.cos(pose[camera.PITCH]), math.sin(pose[camera.PITCH])
            down, ahead = b * cos + sin, cos - b * sin
            expected = 0
            if down * 60 > pose[camera.HEIGHT]:
                t = pose[camera.HEIGHT] / down
                spot = kart[[c.POS_X, c.POS_Y]] + (pose[camera.AHEAD] + ahead * t) * nose
                spot = spot + a * t * np.array([-nose[1], nose[0]])
                expected = abs(literal_ground(batch, *spot)[0]) < batch.scene.half[0]
            wrong += expected != label[row, col]
    assert wrong <= 2 and 40 < label.sum() < 200


def test_themes_and_looks():
    means = []
    for theme in THEMES:
        batch = KartBatch(1, KartOptions(tracks="oval", theme=theme, obs="frame"))
        batch.seed(0, 3)
        batch.begin(0)
        means.append(batch.observe()[0].reshape(-1, 3).mean(axis=0))
    distances = np.abs(np.array(means)[:, None] - np.array(means)[None]).max(axis=2)
    assert distances[~np.eye(len(THEMES), dtype=bool)].min() > 8
    a, b = make_look("day", 5, 0.8), make_look.__wrapped__("day", 5, 0.8)
    assert np.array_equal(a.colours, b.colours) and np.array_equal(a.hills, b.hills)
    assert np.abs(a.colours - make_look("day", 6, 0.8).colours).max() > 10
    plain = make_look("day", 0, 0.0)
    assert np.array_equal(plain.colours[looks.KERB_A], [206, 38, 38])
    assert plain.colours.min() >= 0 and a.colours.max() <= 255


def test_looks_of_the_splits_are_disjoint():
    seeds = {}
    for split in ("train", "validation", "test"):
        games = make_vec(16, tracks=split, random_looks=0.5, obs="state")
        games.reset(seed=1)  # 16 of 10,000 without a seed: two would be the same one time in eighty
        seeds[split] = {int(s) for s in games.batch.look[:, 1]}
    assert not seeds["train"] & seeds["validation"] and not seeds["validation"] & seeds["test"]
    assert all(len(found) == 16 for found in seeds.values())


def test_sprites_stand_on_the_ground_and_karts_turn():
    sheet = atlas()
    first = sheet.texels.reshape(len(sheet.span), -1)[:, : 64 * 64 * 4].reshape(-1, 64, 64, 4)
    assert (first[..., :3] <= first[..., 3:] * 1.0 + 6).all()  # premultiplied (bright parts are a little overlit)
    behind, side = first[sheet.first["kart"]], first[sheet.first["kart"] + 6]
    widths = [np.ptp(np.flatnonzero((part[..., 3] > 200).any(axis=0))) for part in (behind, side)]
    assert widths[1] > 1.3 * widths[0]
    assert np.array_equal(first[sheet.first["sign left"]], first[sheet.first["sign"]][:, ::-1])


# The sensor


def test_jpeg_equals_pillow():
    image = pytest.importorskip("PIL.Image")
    colour = flat_batch(obs="pilotnet").observe()[0]
    luma = np.array([0.299, 0.587, 0.114])
    # libjpeg also rounds between its steps and smooths the colour when it enlarges it: so the colours are muted.
    grey = (colour @ luma)[..., None]
    muted = np.clip(grey + 0.3 * (colour - grey), 0, 255).astype(np.uint8)
    for picture, share in ((np.repeat(colour[..., 1:2], 3, axis=2), 0.25), (muted, 0.5)):
        for quality in (30, 60, 90):
            file = io.BytesIO()
            image.fromarray(picture).save(file, "JPEG", quality=quality, subsampling=2)
            expected = np.asarray(image.open(file)).astype(int)
            ours = picture.copy()
            camera.jpeg(ours, float(quality), *camera.SENSOR_TABLES[1:])
            lost = np.abs((picture - expected) @ luma).mean()
            assert lost > 0.7 and np.abs((ours - expected) @ luma).mean() < share * lost


def test_exposure_noise_and_blur_by_definition():
    picture = np.full((40, 60, 3), 100, np.uint8)
    picture[:, 30:] = 200
    eyes, pose = rays(Camera(pitch=0.0), 60, 40), mount(Camera(pitch=0.0))
    noise = camera.SENSOR_TABLES[0]

    def developed(speed=0.0, turn=0.0, **columns):
        row, out = pose.copy(), picture.copy()
        for name, value in columns.items():
            row[getattr(camera, name)] = value
        camera.develop(out, np.empty_like(out), eyes.right, eyes.down, eyes.shade, eyes.lens, row, speed, turn, 7,
                       *camera.SENSOR_TABLES)  # fmt: skip
        return out

    assert np.array_equal(developed(speed=10.0, turn=2.0), picture)
    assert np.abs(developed(GAIN=1.2, GAMMA=0.9)[0, 0] - 255 * 1.2 * (100 / 255) ** 0.9).max() <= 1
    assert developed(GAIN=1.5)[0, 59, 0] == 255
    spread = (developed(NOISE=6.0).astype(float) - picture)[:, 30:].std()
    assert spread == pytest.approx(6.0 * math.sqrt(250 / 255), rel=0.1) and abs(noise.std() - 1) < 0.02
    turned = developed(turn=3.0, BLUR=0.04)
    # During the exposure the view turns by 0.12 rad: an edge in the middle is smeared over that many pixels.
    smeared = np.flatnonzero((turned[20, :, 0] > 100) & (turned[20, :, 0] < 200))
    assert len(smeared) == pytest.approx(0.12 * eyes.lens[3], abs=2)
    assert np.array_equal(developed(BLUR=0.04), picture)  # nothing moves, nothing blurs


def test_vignette_darkens_corners():
    shade = rays(CAMERAS["picam"], 80, 60).shade
    assert shade[30, 40] > 0.99 and shade[0, 0] == pytest.approx(1 - CAMERAS["picam"].vignette, abs=0.02)


def test_pictures_repeat_and_noise_moves_on():
    env = make_vec(1, camera="picam", theme="rain", karts=2)
    first, _ = env.reset(seed=3)
    assert np.array_equal(first, env.observe())
    second, *_ = env.step(np.float32([[0, -1]]))
    assert not np.array_equal(first, second)


# For people


def test_rendered_pictures_and_window(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = make("rgb_array", karts=3, tracks="oval", obs="state")
    env.reset(seed=0)
    picture = env.render()
    assert picture.shape == (360, 480, 3) and picture.dtype == np.uint8
    assert (picture[10:25, 10:100] == 255).any()  # the lap
    window = make("human", tracks="oval", obs="state")
    window.reset(seed=0)
    window.step(np.float32([0, 1]))
    assert window.render() is None
    window.close()
    assert len(make_vec(2, obs="state").render()) == 2
    assert [clock(t) for t in (83.456, float("nan"))] == ["1:23.46", "-:--.--"]
    canvas = np.full((20, 60, 3), 128, np.uint8)
    write(canvas, "1", 4, 4, 2)
    assert canvas[4:14, 4:10].max(axis=2).reshape(5, 2, 3, 2).max(axis=(1, 3)).tolist()[0] == [128, 255, 128]
